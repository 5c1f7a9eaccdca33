"""Reads for Now: each fetches all that its part of the page shows, for any number of rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, ScalarSelect, Select, case, func, or_, select, tuple_
from sqlalchemy.sql.functions import coalesce

from app.alerts import queries as alerts
from app.alerts.rules import DeliveryState
from app.alerts.tables import Change
from app.core.db import db
from app.incidents.rules import State
from app.incidents.tables import Incident
from app.integrations.pagerduty.tables import Message
from app.overview.readings import OPEN, UNRESOLVED, WAITING, refusals
from app.people.tables import User
from app.registry.tables import MlModel, Team, TeamMember
from app.web.pagination import Page, decode_cursor, page_of

INCIDENTS_SHOWN = 8
REFUSALS_SHOWN = 3
MODELS_SHOWN = 25
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


@dataclass(frozen=True, slots=True)
class FleetFilter:
    words: str = ""
    show: str = "all"  # all | open | mine


@dataclass(frozen=True, slots=True)
class FleetCounts:
    all: int
    open: int
    mine: int


def fleet(wanted: FleetFilter, person_id: int, *, after: str | None = None) -> Page[AnyRow]:
    """A page of the models in production, those with the worst incidents first."""
    worst = coalesce(_of_open(MlModel.id, func.min(Incident.severity)), CALM).label("worst")
    found = (
        select(
            MlModel.id,
            MlModel.slug,
            MlModel.tier,
            Team.name.label("team_name"),
            Team.slug.label("team_slug"),
            worst,
        )
        .join(Team, Team.id == MlModel.team_id)
        .where(MlModel.retired_at.is_(None))
        .order_by(worst, MlModel.tier, MlModel.slug)
        .limit(MODELS_SHOWN + 1)
    )
    for word in wanted.words.split():
        found = found.where(
            or_(
                MlModel.slug.icontains(word, autoescape=True),
                MlModel.purpose.icontains(word, autoescape=True),
                Team.name.icontains(word, autoescape=True),
            )
        )
    if wanted.show == "open":
        found = found.where(worst < CALM)
    elif wanted.show == "mine":
        found = found.where(_is_theirs(person_id))
    if after:
        key = decode_cursor(after, int, int, str)
        found = found.where(tuple_(worst, MlModel.tier, MlModel.slug) > tuple_(*key))
    rows = db.session.execute(_with_incidents(found)).all()
    return page_of(rows, MODELS_SHOWN, key=lambda row: (row.worst, row.tier, row.slug))


def _with_incidents(found: Select[*tuple[Any, ...]]) -> Select[Any]:
    """Add what each row shows of incidents: for the models of one page, not for all that are."""
    models = found.subquery()
    worst_first = select(Incident.id).order_by(Incident.severity, Incident.id.desc()).limit(1)
    last_alert = select(func.max(Incident.last_alert_at)).where(Incident.model_id == models.c.id)
    return select(
        models,
        worst_first.where(Incident.model_id == models.c.id, UNRESOLVED)
        .scalar_subquery()
        .label("incident_id"),
        _of_open(models.c.id, func.count()).label("open"),
        last_alert.scalar_subquery().label("last_alert_at"),
    ).order_by(models.c.worst, models.c.tier, models.c.slug)


def _of_open(model_id: Any, what: ColumnElement[Any]) -> ScalarSelect[Any]:
    """Something about the open incidents of a model. Found by the index that keeps them unique."""
    return select(what).where(Incident.model_id == model_id, UNRESOLVED).scalar_subquery()


def fleet_counts(person_id: int) -> FleetCounts:
    models = select(func.count()).select_from(MlModel).where(MlModel.retired_at.is_(None))
    is_open = select(Incident.id).where(Incident.model_id == MlModel.id, UNRESOLVED).exists()
    row = db.session.execute(
        select(
            models.scalar_subquery(),
            models.where(is_open).scalar_subquery(),
            models.where(_is_theirs(person_id)).scalar_subquery(),
        )
    ).one()
    return FleetCounts(*row)


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
