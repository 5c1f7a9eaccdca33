"""What the database knows about Baton itself: what waits, how long, and who works on it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, literal_column, or_, select
from sqlalchemy.orm import aliased

from app.alerts import queries as alerts
from app.core.db import db
from app.core.jobs import Worker
from app.health.polling import FAILURES
from app.health.tables import HealthSource
from app.incidents.rules import State
from app.incidents.tables import Incident
from app.integrations.pagerduty.rules import Action, MessageState
from app.integrations.pagerduty.tables import Message

OPEN = tuple(state for state in State if state is not State.RESOLVED)
SEVERITIES = (1, 2, 3, 4)

# Written out, because SQLite uses a partial index only for a condition that it can compare.
UNRESOLVED = Incident.state != literal_column("'resolved'")
WAITING = Message.state == literal_column("'waiting'")
REFUSED = Message.state == literal_column("'refused'")

SEEN_WITHIN = timedelta(seconds=10)
CYCLED_WITHIN = timedelta(seconds=30)
SILENT_AFTER = timedelta(minutes=10)
ASKED_WITHIN = timedelta(minutes=1)  # of the moment that a source of readings is due


@dataclass(frozen=True, slots=True)
class Queue:
    """How much waits, and for how many seconds the oldest of it has."""

    depth: int
    oldest: float


@dataclass(frozen=True, slots=True)
class Workers:
    alive: int
    cycled: int  # of these, how many ran a scheduled job lately
    last_cycle_at: datetime | None


@dataclass(frozen=True, slots=True)
class Sources:
    """APIs that are asked for readings."""

    asked: int
    failing: int  # of these, how many have not answered several times in a row
    silent: int  # of these, how many for so long that somebody has to look
    silent_name: str | None  # one of them
    overdue: float  # seconds that the one due longest has waited to be asked


def inbox(*, at: datetime) -> Queue:
    """Deliveries that are committed and not processed."""
    found = alerts.readings(at=at)
    return Queue(found.waiting, found.oldest_age)


def outbox(*, at: datetime) -> Queue:
    """Messages to PagerDuty that have yet to go out."""
    depth, oldest = db.session.execute(
        select(func.count(), func.min(Message.created_at)).where(WAITING)
    ).one()
    return Queue(depth, _age(oldest, at))


def refusals() -> Select[Any]:
    """Messages of open incidents that were refused, and that no later one has made good."""
    later = aliased(Message)
    made_good = (
        select(later.id)
        .where(
            later.lane == Message.lane,
            later.id > Message.id,
            later.state == MessageState.SENT,
            or_(later.action == Message.action, later.action == Action.RESOLVE),
        )
        .exists()
    )
    return (
        select()
        .select_from(Message)
        .join(Incident, Incident.id == Message.incident_id)
        .where(REFUSED, Incident.state.in_(OPEN), ~made_good)
    )


def refused_pages() -> int:
    return db.session.scalar(refusals().add_columns(func.count())) or 0


def open_incidents() -> dict[int, int]:
    """How many incidents of each severity are open."""
    found = db.session.execute(
        select(Incident.severity, func.count())
        .where(Incident.state.in_(OPEN))
        .group_by(Incident.severity)
    )
    return dict.fromkeys(SEVERITIES, 0) | {row[0]: row[1] for row in found}


def workers(*, at: datetime) -> Workers:
    rows = db.session.execute(
        select(Worker.cycled_at).where(Worker.seen_at >= at - SEEN_WITHIN)
    ).all()
    cycles = [row.cycled_at for row in rows if row.cycled_at is not None]
    return Workers(
        alive=len(rows),
        cycled=sum(cycle >= at - CYCLED_WITHIN for cycle in cycles),
        last_cycle_at=max(cycles, default=None),
    )


def sources(*, at: datetime) -> Sources:
    answers = HealthSource.failures < FAILURES
    told = func.coalesce(HealthSource.answered_at, HealthSource.created_at)
    silent = ~answers & (told < at - SILENT_AFTER)
    row = db.session.execute(
        select(
            func.count(),
            func.count().filter(~answers),
            func.count().filter(silent),
            func.min(HealthSource.name).filter(silent),
            func.min(HealthSource.due_at),
        ).where(HealthSource.closed_at.is_(None), HealthSource.url != "")
    ).one()
    return Sources(row[0], row[1], row[2], row[3], _age(row[4], at))


def _age(since: datetime | None, at: datetime) -> float:
    return 0.0 if since is None else max((at - since).total_seconds(), 0.0)
