"""Reads for Now: each fetches all that its part of the page shows, for any number of rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Row,
    Select,
    Subquery,
    case,
    func,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.sql.functions import coalesce

from app.alerts import queries as alerts
from app.alerts.rules import DeliveryState
from app.alerts.tables import Change
from app.core.db import db, holds
from app.health import fleet as health
from app.health.rules import FLEET, LampState, Lane
from app.incidents.rules import State
from app.incidents.tables import Incident
from app.integrations.pagerduty.tables import Message
from app.overview.readings import OPEN, UNRESOLVED, WAITING, refusals
from app.people.tables import User
from app.registry.tables import MlModel, Team, TeamMember
from app.web.pagination import decode_cursor, encode_cursor

INCIDENTS_SHOWN = 8
REFUSALS_SHOWN = 3
MODELS_SHOWN = 25
MODELS_AT_ONCE = 200  # so many one page takes in; those after them are a page of their own
CHANGES_SHOWN = 15
STUCK_AFTER = timedelta(minutes=1)
CALM = 9  # stands for the severity of a model without an incident, after all others

AnyRow = Row[*tuple[Any, ...]]

ARRIVED = tuple(state for state in DeliveryState if state is not DeliveryState.REFUSED)


# What needs somebody


@dataclass(frozen=True, slots=True)
class OpenIncidents:
    """All open incidents in numbers. `mine` are those that the reader leads."""

    count: int
    mine: int
    severities: dict[int, int]
    untaken: int  # not acknowledged
    oldest: datetime | None
    triage: int  # no model claims them, and nobody has taken them on
    triage_worst: int | None
    triage_newest: int | None  # its number


def open_incidents(person_id: int) -> OpenIncidents:
    in_triage = Incident.model_id.is_(None) & Incident.lead_id.is_(None)
    row = db.session.execute(
        select(
            func.count(),
            func.count().filter(Incident.lead_id == person_id),
            *(func.count().filter(Incident.severity == severity) for severity in range(1, 5)),
            func.count().filter(Incident.state == State.TRIGGERED),
            func.min(Incident.opened_at),
            func.count().filter(in_triage),
            func.min(Incident.severity).filter(in_triage),
            func.max(Incident.id).filter(in_triage),
        ).where(Incident.state.in_(OPEN))
    ).one()
    count, mine, one, two, three, four, *rest = row
    return OpenIncidents(count, mine, {1: one, 2: two, 3: three, 4: four}, *rest)


def waiting_incidents(person_id: int) -> Sequence[AnyRow]:
    """Incidents that this person leads, and those that nobody has taken on.

    Their own and their teams' come first, then the worst. `of` is how many there are in all.
    """
    mine = Incident.lead_id == person_id
    untaken = Incident.state == State.TRIGGERED
    theirs = untaken & Incident.team_id.in_(_teams_of(person_id))
    rank = case((mine, 0), (theirs, 0), else_=1).label("rank")
    first = (
        select(Incident.id, rank, func.count().over().label("of"))
        .where(Incident.state.in_(OPEN), mine | (untaken & Incident.model_id.is_not(None)))
        .order_by(rank, Incident.severity, Incident.id.desc())
        .limit(INCIDENTS_SHOWN)
        .subquery()
    )
    return db.session.execute(
        select(
            Incident.id,
            Incident.title,
            Incident.state,
            Incident.severity,
            Incident.version,
            Incident.opened_at,
            Incident.firing_count,
            Incident.lead_id,
            User.name.label("lead_name"),
            MlModel.slug.label("model_name"),
            Team.name.label("team_name"),
            first.c.of,
        )
        .join(first, first.c.id == Incident.id)
        .outerjoin(User, User.id == Incident.lead_id)
        .outerjoin(MlModel, MlModel.id == Incident.model_id)
        .outerjoin(Team, Team.id == Incident.team_id)
        .order_by(first.c.rank, Incident.severity, Incident.id.desc())
    ).all()


def refused_pages() -> Sequence[AnyRow]:
    """The newest refusals by PagerDuty that an open incident still suffers from."""
    return db.session.execute(
        refusals()
        .add_columns(
            Message.id,
            Message.action,
            Message.to,
            Message.answer,
            Message.settled_at,
            Incident.id.label("incident_id"),
            Incident.title,
            Incident.severity,
            func.count().over().label("of"),
        )
        .order_by(Message.id.desc())
        .limit(REFUSALS_SHOWN)
    ).all()


def stuck_pages(*, at: datetime) -> AnyRow | None:
    """The oldest message that PagerDuty should have by now. `of` is how many there are."""
    return db.session.execute(
        select(
            Message.to,
            Message.answer,
            Message.incident_id,
            Message.created_at,
            func.count().over().label("of"),
        )
        .where(WAITING, Message.created_at < at - STUCK_AFTER)
        .order_by(Message.id)
        .limit(1)
    ).one_or_none()


# Deliveries


@dataclass(frozen=True, slots=True)
class Deliveries:
    last: AnyRow | None
    counts: alerts.Counts
    oldest_waits: float  # seconds


def deliveries(*, at: datetime) -> Deliveries:
    newest = alerts.latest_deliveries(1)
    return Deliveries(
        newest[0] if newest else None, alerts.counts(at=at), alerts.readings(at=at).oldest_age
    )


# The fleet

# What rows are ordered by, and what the cursor of a page holds.
SORTS: dict[str, tuple[str, ...]] = {
    "worst": ("severity", "worst", "tier", "slug"),
    "name": ("slug",),
    "tier": ("tier", "severity", "worst", "slug"),
    **{lane.value: ("of_lane", "severity", "tier", "slug") for lane in FLEET},
}
SHOWS = ("all", "breach", "blind", "open", "mine")


@dataclass(frozen=True, slots=True)
class FleetFilter:
    words: str = ""
    show: str = "all"  # one of SHOWS
    sort: str = "worst"  # one of SORTS


@dataclass(frozen=True, slots=True)
class FleetCounts:
    all: int
    breach: int
    blind: int
    open: int
    mine: int


@dataclass(frozen=True, slots=True)
class FleetPage:
    items: Sequence[AnyRow]
    lamps: Mapping[int, health.ModelHealth]  # by the id of the model
    counts: FleetCounts  # of all models in production
    after: str | None  # where this page begins; none: with the first row of all
    next: str | None  # where the next one does
    previous: str | None  # where the one before ends

    def of(self, row: AnyRow) -> health.ModelHealth:
        return self.lamps.get(row.id, health.NOTHING)


def fleet(
    wanted: FleetFilter,
    person_id: int,
    *,
    at: datetime,
    after: str | None = None,
    before: str | None = None,
    size: int = MODELS_SHOWN,
) -> FleetPage:
    """Models in production with their lamps: those after or before a cursor, or the first ones."""
    names = SORTS[wanted.sort]
    models = _fleet(wanted, person_id, at)
    order = [models.c[name] for name in names]
    page = (
        select(models)
        .where(*_narrowed(models, wanted))
        .order_by(*(key.desc() if before else key for key in order))
        .limit(size + 1)
    )
    if cursor := before or after:
        kinds = [str if name == "slug" else int for name in names]
        place, edge = tuple_(*order), tuple_(*decode_cursor(cursor, *kinds))
        page = page.where(place < edge if before else place > edge)
    found = db.session.execute(_with_counts(models, page.subquery("page"), names)).all()
    rows = [row for row in found if row.id is not None]
    has_more = len(rows) > size
    items = rows[-size:] if before else rows[:size]

    def cursor_of(row: AnyRow) -> str:
        return encode_cursor(*(getattr(row, name) for name in names))

    if before:
        after = cursor_of(rows[0]) if has_more else None
    return FleetPage(
        items,
        health.lamps_of([row.id for row in items], at=at) if items else {},
        FleetCounts(*found[0][: len(SHOWS)]),
        after,
        cursor_of(items[-1]) if items and (before or has_more) else None,
        cursor_of(items[0]) if items and after else None,
    )


def _fleet(wanted: FleetFilter, person_id: int, at: datetime) -> CTE:
    """All models in production, with what they are counted, narrowed and ordered by."""
    lane = Lane(wanted.sort) if "of_lane" in SORTS[wanted.sort] else None
    lamps = health.places(at=at, lane=lane)
    incidents = (
        select(
            Incident.model_id,
            func.min(Incident.severity).label("severity"),
            func.count().label("open"),
        )
        .where(UNRESOLVED, Incident.model_id.is_not(None))
        .group_by(Incident.model_id)
        .subquery("incidents")
    )
    return (
        select(
            MlModel.id,
            MlModel.slug,
            MlModel.tier,
            MlModel.purpose,
            Team.name.label("team_name"),
            coalesce(incidents.c.severity, CALM).label("severity"),
            coalesce(incidents.c.open, 0).label("incidents"),
            coalesce(lamps.c.worst, health.NO_PANEL).label("worst"),
            coalesce(lamps.c.is_blind, 0).label("is_blind"),
            coalesce(lamps.c.of_lane, health.NO_PANEL).label("of_lane"),
            case((_is_theirs(person_id), 1), else_=0).label("is_theirs"),
        )
        .join(Team, Team.id == MlModel.team_id)
        .outerjoin(lamps, lamps.c.model_id == MlModel.id)
        .outerjoin(incidents, incidents.c.model_id == MlModel.id)
        .where(MlModel.retired_at.is_(None))
        .cte("fleet")
    )


def _shown(models: CTE) -> dict[str, ColumnElement[bool]]:
    """Which models each of SHOWS takes in, but for all of them."""
    return {
        "breach": models.c.worst == health.PLACE[LampState.BREACH],
        "blind": models.c.is_blind == 1,
        "open": models.c.severity < CALM,
        "mine": models.c.is_theirs == 1,
    }


def _narrowed(models: CTE, wanted: FleetFilter) -> list[ColumnElement[bool]]:
    only = _shown(models).get(wanted.show)
    return [
        *([] if only is None else [only]),
        *(
            or_(
                holds(models.c.slug, word),
                holds(models.c.purpose, word),
                holds(models.c.team_name, word),
            )
            for word in wanted.words.split()
        ),
    ]


def _with_counts(models: CTE, page: Subquery, names: Sequence[str]) -> Select[Any]:
    """The rows of a page beside the counts of all, so that lamps are gone through once.

    The number of the worst incident is added: for the models of the page, not for all that are.
    """
    counts = select(
        func.count().label("all"),
        *(func.count().filter(only).label(show) for show, only in _shown(models).items()),
    ).subquery("counts")
    worst_first = select(Incident.id).order_by(Incident.severity, Incident.id.desc()).limit(1)
    return (
        select(
            counts,
            page,
            worst_first.where(Incident.model_id == page.c.id, UNRESOLVED)
            .scalar_subquery()
            .label("incident_id"),
        )
        .select_from(counts)
        .outerjoin(page, true())
        .order_by(*(page.c[name] for name in names))
    )


def _is_theirs(person_id: int) -> ColumnElement[bool]:
    return or_(MlModel.team_id.in_(_teams_of(person_id)), MlModel.deputy_id == person_id)


def _teams_of(person_id: int) -> Select[int]:
    return select(TeamMember.team_id).where(TeamMember.user_id == person_id)


# Changes


def changes(*, at: datetime) -> Sequence[AnyRow]:
    """What senders told of in the last 24 hours, newest first. `of` is how many there are."""
    lately = Change.at > at - timedelta(days=1)
    return db.session.execute(
        select(
            Change.id,
            Change.at,
            Change.summary,
            Change.source,
            MlModel.slug.label("model_name"),
            select(func.count()).where(lately).scalar_subquery().label("of"),
        )
        .outerjoin(MlModel, MlModel.id == Change.model_id)
        .where(lately)
        .order_by(Change.at.desc(), Change.id.desc())
        .limit(CHANGES_SHOWN)
    ).all()


# Every page


@dataclass(frozen=True, slots=True)
class Everywhere:
    """What every page tells, beside what it is about."""

    incidents: int  # open
    models: int
    teams: int
    unconnected: int  # teams whose pages go to the sandbox pager
    first: str | None  # the names of two of these
    second: str | None

    @property
    def named(self) -> list[str]:
        return [name for name in (self.first, self.second) if name is not None]


def everywhere() -> Everywhere:
    """All of it in one statement, because every page asks."""
    without_key = Team.routing_key_encrypted.is_(None)
    first = select(func.min(Team.name)).where(without_key).scalar_subquery()
    row = db.session.execute(
        select(
            select(func.count()).where(Incident.state.in_(OPEN)).scalar_subquery(),
            select(func.count()).where(MlModel.retired_at.is_(None)).scalar_subquery(),
            select(func.count()).select_from(Team).scalar_subquery(),
            select(func.count()).where(without_key).scalar_subquery(),
            first,
            select(func.min(Team.name)).where(without_key, Team.name > first).scalar_subquery(),
        )
    ).one()
    return Everywhere(*row)
