"""Reads about integrations and deliveries, shaped for pages and for the API.

The inbox may hold millions of rows: nothing here reads more of them than it shows, or than it
counts up to.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, false, func, literal, or_, select, true
from sqlalchemy.orm import joinedload

from app.alerts.rules import WAITING, DeliveryState
from app.alerts.sources import SOURCES
from app.alerts.sources.base import RECEIVED_AT, UnparsableError, decode
from app.alerts.tables import Delivery, Integration
from app.core.db import db, get_or_404, holds
from app.core.errors import NotFoundError
from app.incidents.tables import Incident
from app.integrations.pagerduty.rules import MessageState
from app.integrations.pagerduty.tables import Message
from app.people.tables import AuditEntry
from app.registry.tables import Team
from app.web.pagination import SIZE, Page, decode_cursor, encode_cursor, page_of

AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]

COUNTED = 2_000  # the end of counting what may be endless
SEARCHED = 10_000  # deliveries that one look for several things at once goes through
DAY = timedelta(days=1)
SILENT_AFTER = DAY
INCIDENTS_SHOWN = 20

DROPPED = Delivery.outcome["dropped"].as_boolean()
NOT_DROPPED = DROPPED.is_not(True)
DEAD_LETTER = (Delivery.state == DeliveryState.DEAD) & NOT_DROPPED


# --- Integrations


def integration(integration_id: int) -> Integration:
    return get_or_404(
        Integration, integration_id, Integration.id, "There is no such integration here."
    )


def names_in_use(*, but: int | None = None) -> set[str]:
    """The names of open integrations, in lower case."""
    found = select(Integration.name).where(Integration.closed_at.is_(None))
    if but is not None:
        found = found.where(Integration.id != but)
    return {name.lower() for name in db.session.scalars(found)}


@dataclass(frozen=True, slots=True)
class IntegrationLine:
    """An integration and how it has been lately."""

    id: int
    name: str
    source: str
    team_name: str | None
    last_four: str
    key_made_at: datetime
    old_key_until: datetime | None  # while an older key is good, too
    closed_at: datetime | None
    version: int
    last_at: datetime | None  # of what it sent and we took
    last_day: int  # deliveries in 24 hours, up to COUNTED
    dead: int
    rejected: int  # refused in 24 hours, with its key
    at: datetime

    @property
    def state(self) -> str:
        if self.closed_at is not None:
            return "closed"
        if self.dead or self.rejected:
            return "rejected"
        if self.last_at is None:
            return "never"
        return "silent" if self.at - self.last_at >= SILENT_AFTER else "ok"


def integrations(*, at: datetime) -> list[IntegrationLine]:
    """All integrations by name, the closed ones last. Five queries, however many there are."""
    since = _first_of_last_day(at)
    dead, rejected, made = _dead_by_integration(), refused_lately(since), _keys_made()
    return [
        IntegrationLine(
            id=row.id,
            name=row.name,
            source=row.source,
            team_name=row.team_name,
            last_four=row.last_four,
            key_made_at=made.get(row.id, row.created_at),
            old_key_until=row.old_key_until
            if row.old_key_until and row.old_key_until > at
            else None,
            closed_at=row.closed_at,
            version=row.version,
            last_at=row.last_at,
            last_day=row.last_day,
            dead=dead.get(row.id, 0),
            rejected=rejected.get(row.id, 0),
            at=at,
        )
        for row in _integration_rows(since)
    ]


def _integration_rows(since: int | None) -> Sequence[AnyRow]:
    of_this = Delivery.integration_id == Integration.id
    last_at = (
        select(Delivery.received_at)
        .where(of_this, Delivery.state != DeliveryState.REFUSED)
        .order_by(Delivery.id.desc())
        .limit(1)
        .correlate(Integration)
        .scalar_subquery()
    )
    lately = (
        select(literal(1))
        .where(of_this, _since(since))
        .limit(COUNTED)
        .correlate(Integration)
        .subquery()
    )
    return db.session.execute(
        select(
            Integration.id,
            Integration.name,
            Integration.source,
            Integration.last_four,
            Integration.created_at,
            Integration.old_key_until,
            Integration.closed_at,
            Integration.version,
            Team.name.label("team_name"),
            last_at.label("last_at"),
            select(func.count())
            .select_from(lately)
            .correlate(Integration)
            .scalar_subquery()
            .label("last_day"),
        )
        .outerjoin(Team, Team.id == Integration.team_id)
        .order_by(Integration.closed_at.is_not(None), func.lower(Integration.name), Integration.id)
    ).all()


def _first_of_last_day(at: datetime) -> int | None:
    """Where the last 24 hours begin, as an id: counting from there needs an index only.

    Ids follow the time of arrival, but for what waited in a spool meanwhile.
    """
    return db.session.scalar(
        select(Delivery.id)
        .where(Delivery.received_at >= at - DAY)
        .order_by(Delivery.received_at, Delivery.id)
        .limit(1)
    )


def _since(first: int | None) -> ColumnElement[bool]:
    return false() if first is None else Delivery.id >= first


def _dead_by_integration() -> dict[int, int]:
    newest = (
        select(Delivery.integration_id)
        .where(DEAD_LETTER)
        .order_by(Delivery.id.desc())
        .limit(COUNTED)
        .subquery()
    )
    return _counted(select(newest.c.integration_id, func.count()).group_by(newest.c.integration_id))


def refused_lately(since: int | None) -> dict[int | None, int]:
    """How many requests were refused, by the integration whose key they had; None: no good key."""
    newest = (
        select(Delivery.integration_id)
        .where(Delivery.state == DeliveryState.REFUSED, _since(since))
        .order_by(Delivery.id.desc())
        .limit(COUNTED)
        .subquery()
    )
    return _counted(select(newest.c.integration_id, func.count()).group_by(newest.c.integration_id))


def _keys_made() -> dict[int, datetime]:
    """When the key of each integration was made, if it is not the first one."""
    rows = db.session.execute(
        select(AuditEntry.target_id, func.max(AuditEntry.at))
        .where(AuditEntry.target_kind == "integration", AuditEntry.action == "integration.key")
        .group_by(AuditEntry.target_id)
    )
    return {int(target): made for target, made in rows}


def _counted(statement: AnySelect) -> dict[Any, int]:
    return dict(db.session.execute(statement).all())


def team_choices() -> Sequence[AnyRow]:
    return db.session.execute(select(Team.id, Team.name).order_by(func.lower(Team.name))).all()


def integration_choices() -> Sequence[AnyRow]:
    """For the filter of deliveries."""
    return db.session.execute(
        select(Integration.id, Integration.name).order_by(func.lower(Integration.name))
    ).all()


# --- Deliveries

STATES: dict[str, ColumnElement[bool]] = {
    "all": true(),
    "dead": DEAD_LETTER,
    "retrying": Delivery.state == DeliveryState.RETRYING,
    "refused": Delivery.state == DeliveryState.REFUSED,
    "duplicate": Delivery.state == DeliveryState.DUPLICATE,
}
RARE = ("dead", "retrying")  # so few that all of them can be looked through


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    state: str = "all"  # one of STATES
    integration_id: int | None = None
    source: str = ""
    words: str = ""  # of what it said; or d-88213, or a receipt

    @property
    def narrows(self) -> bool:
        return bool(self.integration_id or self.source or self.words)


@dataclass(frozen=True, slots=True)
class FoundDeliveries:
    items: Sequence[AnyRow]
    next: str | None
    # A search that ended before it had filled its page: `next` goes on with it.
    searched: int | None = None


RECEIPT = re.compile(r"[0-9a-f]{32}")
NUMBER = re.compile(r"(?:d-)?(\d{1,18})", re.IGNORECASE)


def deliveries(
    wanted: DeliveryFilter, *, cursor: str | None = None, size: int = SIZE
) -> FoundDeliveries:
    """The newest first."""
    named = _named(wanted.words)
    by_index, others = ([named], []) if named is not None else _split(wanted)
    if cursor:
        by_index.append(Delivery.id < decode_cursor(cursor, int)[0])
    end, full = _end_of_search(by_index) if others else (None, False)
    if end is not None:
        by_index.append(Delivery.id >= end)
    found: Page[AnyRow] = page_of(
        db.session.execute(_lines().where(*by_index, *others).limit(size + 1)).all(),
        size,
        key=lambda row: (row.id,),
    )
    if found.next is None and full and end is not None:
        return FoundDeliveries(found.items, encode_cursor(end), SEARCHED)
    return FoundDeliveries(found.items, found.next)


def _split(
    wanted: DeliveryFilter,
) -> tuple[list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """What an index finds, and what is left to be looked for row by row."""
    state = [] if wanted.state == "all" else [STATES[wanted.state]]
    door = (
        [] if wanted.integration_id is None else [Delivery.integration_id == wanted.integration_id]
    )
    others: list[ColumnElement[bool]] = []
    if wanted.source:
        others.append(Delivery.source == wanted.source)
    words = wanted.words.replace("\0", "").split()
    others += [holds(Delivery.what, word) for word in words]
    if not door or (state and wanted.state in RARE):
        return state, door + others
    return door, state + others


def _named(words: str) -> ColumnElement[bool] | None:
    """The one delivery that the words name, if they name one."""
    said = words.strip().lower()
    if RECEIPT.fullmatch(said):
        return Delivery.receipt == said
    number = NUMBER.fullmatch(said)
    return Delivery.id == int(number[1]) if number else None


def _end_of_search(conditions: Sequence[ColumnElement[bool]]) -> tuple[int | None, bool]:
    """How far down a search goes, and whether there may be more below.

    What no index finds is found by reading rows one by one, and the inbox may hold millions.
    """
    newest = (
        select(Delivery.id)
        .where(*conditions)
        .order_by(Delivery.id.desc())
        .limit(SEARCHED)
        .subquery()
    )
    end, count = db.session.execute(select(func.min(newest.c.id), func.count())).one()
    return end, count == SEARCHED


def _lines() -> AnySelect:
    """Deliveries without their bodies."""
    return (
        select(
            Delivery.id,
            Delivery.receipt,
            Delivery.source,
            Delivery.received_at,
            Delivery.state,
            Delivery.what,
            Delivery.why,
            Delivery.size,
            Delivery.attempts,
            Delivery.next_try_at,
            Delivery.processed_at,
            Delivery.repeats,
            Delivery.body.is_not(None).label("has_body"),
            DROPPED.label("dropped"),
            Delivery.integration_id,
            Integration.name.label("integration_name"),
        )
        .outerjoin(Integration, Integration.id == Delivery.integration_id)
        .order_by(Delivery.id.desc())
    )


def latest_deliveries(number: int, *, integration_id: int | None = None) -> Sequence[AnyRow]:
    found = _lines().limit(number)
    if integration_id is not None:
        found = found.where(Delivery.integration_id == integration_id)
    return db.session.execute(found).all()


def latest_dead(number: int) -> Sequence[AnyRow]:
    return db.session.execute(_lines().where(DEAD_LETTER).limit(number)).all()


@dataclass(frozen=True, slots=True)
class Counts:
    """Each up to COUNTED."""

    last_day: int
    dead: int
    retrying: int
    waiting: int
    refused_keyless: int  # in 24 hours, without the key of any integration


def counts(*, at: datetime) -> Counts:
    since = _first_of_last_day(at)
    keyless = (Delivery.state == DeliveryState.REFUSED) & Delivery.integration_id.is_(None)
    row = db.session.execute(
        select(
            _up_to(_since(since)),
            _up_to(DEAD_LETTER),
            _up_to(Delivery.state == DeliveryState.RETRYING),
            _up_to(Delivery.state.in_(WAITING)),
            _up_to(keyless & _since(since)),
        )
    ).one()
    return Counts(*row)


def _up_to(condition: ColumnElement[bool]) -> Any:
    some = select(literal(1)).select_from(Delivery).where(condition).limit(COUNTED).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


def dead_count() -> int:
    """Dead letters that wait for a person, up to COUNTED. What was dropped waits for nobody."""
    return db.session.scalar(select(_up_to(DEAD_LETTER))) or 0


@dataclass(frozen=True, slots=True)
class Readings:
    waiting: int
    oldest_age: float  # seconds; 0 if none waits


def readings(*, at: datetime) -> Readings:
    """How much waits to be processed, and how long the oldest of it has."""
    # One look into the index for each state, however many wait.
    first = [
        select(func.min(Delivery.id)).where(Delivery.state == state).scalar_subquery()
        for state in WAITING
    ]
    waiting, oldest = db.session.execute(
        select(
            select(func.count())
            .select_from(Delivery)
            .where(Delivery.state.in_(WAITING))
            .scalar_subquery(),
            select(func.min(Delivery.received_at))
            .where(or_(*(Delivery.id == one for one in first)))
            .scalar_subquery(),
        )
    ).one()
    return Readings(waiting, max((at - oldest).total_seconds(), 0.0) if oldest else 0.0)


# --- One delivery


def delivery(delivery_id: int) -> Delivery:
    """With its body."""
    found = db.session.scalars(
        select(Delivery)
        .where(Delivery.id == delivery_id)
        .options(joinedload(Delivery.integration))
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        raise NotFoundError(
            "There is no such delivery. It may have been older than Baton keeps them."
        )
    return found


def for_drill(delivery_id: int) -> dict[str, Any] | None:
    """The first alert of a kept delivery, for a drill to play; None if there is none."""
    found = db.session.get(Delivery, delivery_id)
    if found is None or found.body is None or found.source not in SOURCES:
        return None
    headers = {**found.headers, RECEIVED_AT: found.received_at.isoformat()}
    try:
        parsed = SOURCES[found.source].parse(decode(found.body), headers)
    except UnparsableError:
        return None
    if not parsed.alerts:
        return None
    first = parsed.alerts[0]
    return {
        "name": first.name,
        "summary": first.summary,
        "labels": dict(first.labels),
        "links": [{"href": link.href, "text": link.text} for link in first.links],
    }


def delivery_id(named: str) -> int:
    """The id behind a receipt, an id, or d-88213."""
    condition = _named(named.strip())
    found = (
        db.session.scalar(select(Delivery.id).where(condition)) if condition is not None else None
    )
    if found is None:
        raise NotFoundError(f"There is no delivery {named[:40]}.")
    return found


def without_body(ids: Collection[int]) -> set[int]:
    return set(
        db.session.scalars(select(Delivery.id).where(Delivery.id.in_(ids), Delivery.body.is_(None)))
    )


def incidents_of(found: Delivery) -> Sequence[AnyRow]:
    """The incidents that a delivery touched, up to so many."""
    ids = [number for number in found.outcome.get("incidents", []) if isinstance(number, int)]
    if not ids:
        return []
    return db.session.execute(
        select(Incident.id, Incident.title, Incident.state, Incident.severity)
        .where(Incident.id.in_(ids[:INCIDENTS_SHOWN]))
        .order_by(Incident.id)
    ).all()


def history(found_id: int) -> Sequence[AuditEntry]:
    """What people did with a delivery, the newest first."""
    return db.session.scalars(
        select(AuditEntry)
        .where(AuditEntry.target_kind == "delivery", AuditEntry.target_id == str(found_id))
        .order_by(AuditEntry.id.desc())
        .limit(20)
    ).all()


# --- Outbound


@dataclass(frozen=True, slots=True)
class Outbound:
    """What PagerDuty is told, and how far that has come."""

    teams: int
    unconnected: list[str]  # teams whose pages go to the sandbox pager
    waiting: int
    oldest: datetime | None  # of what waits
    last_sent_at: datetime | None

    @property
    def connected(self) -> int:
        return self.teams - len(self.unconnected)


def outbound() -> Outbound:
    teams = db.session.execute(
        select(Team.name, Team.routing_key_encrypted.is_(None)).order_by(func.lower(Team.name))
    ).all()
    last_sent = (
        select(Message.settled_at)
        .where(Message.state == MessageState.SENT)
        .order_by(Message.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    waiting, oldest, last_sent_at = db.session.execute(
        select(func.count(), func.min(Message.created_at), last_sent).where(
            Message.state == MessageState.WAITING
        )
    ).one()
    unconnected = [name for name, without in teams if without]
    return Outbound(len(teams), unconnected, waiting, oldest, last_sent_at)
