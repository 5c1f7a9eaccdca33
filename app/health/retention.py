"""How long readings are kept: whole for some days, by the hour for a year, then not at all."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, delete, func, select
from sqlalchemy.orm import Session

from app.config import settings
from app.core.bulk import Bulk
from app.core.db import unit_of_work
from app.health import levels, scrapes
from app.health.rules import LampState, worst
from app.health.tables import DriftReport, Reading, ReadingHour

HOURS_KEPT = timedelta(days=400)
BATCH = 20_000  # readings in one transaction: others write, too

WRITE_HOURS = Bulk(
    ReadingHour,
    ("panel_id", "at", "state", "count", "low", "mean", "high", "rows", "series"),
    "ON CONFLICT (panel_id, at) DO UPDATE SET state = excluded.state, count = excluded.count, "
    "low = excluded.low, mean = excluded.mean, high = excluded.high, rows = excluded.rows, "
    "series = excluded.series",
)


def roll_up(*, at: datetime) -> int:
    """Sum up the hour that is over, panel by panel. Returns how many panels had readings.

    Doing it again gives the same rows.
    """
    begin = at.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    end = begin + timedelta(hours=1)
    with unit_of_work() as session:
        rows = session.execute(
            select(
                Reading.panel_id,
                Reading.state,
                func.count().label("count"),
                func.count(Reading.value).label("values"),
                func.min(Reading.value).label("low"),
                func.sum(Reading.value).label("sum"),
                func.max(Reading.value).label("high"),
                func.sum(Reading.rows).label("rows"),
                func.max(Reading.series).label("series"),
            )
            .where(Reading.at >= begin, Reading.at < end)
            .group_by(Reading.panel_id, Reading.state)
        )
        by_panel: dict[int, list[Any]] = {}
        for row in rows:
            by_panel.setdefault(row.panel_id, []).append(row)
        hours = [_hour(panel_id, begin, found) for panel_id, found in by_panel.items()]
        if hours:
            WRITE_HOURS.write(session.connection(), hours)
    return len(hours)


def _hour(panel_id: int, begin: datetime, found: Sequence[Any]) -> dict[str, Any]:
    values = sum(row.values for row in found)
    lows = [row.low for row in found if row.low is not None]
    highs = [row.high for row in found if row.high is not None]
    known = [row.rows for row in found if row.rows is not None]
    return {
        "panel_id": panel_id,
        "at": begin,
        "state": worst([LampState(row.state) for row in found]),
        "count": sum(row.count for row in found),
        "low": min(lows, default=None),
        "mean": sum(row.sum or 0.0 for row in found) / values if values else None,
        "high": max(highs, default=None),
        "rows": sum(known) if known else None,
        "series": max(row.series for row in found),
    }


def purge(*, at: datetime) -> None:
    """Drop what is older than its time."""
    before = at - timedelta(days=settings().reading_days)
    while _drop_readings(before) == BATCH:
        pass
    with unit_of_work() as session:
        _drop(session, ReadingHour, ReadingHour.at < at - HOURS_KEPT)
        _drop(session, DriftReport, DriftReport.window_end < at - HOURS_KEPT)
        scrapes.thin(session, at=at)
    levels.purge(at=at)


def _drop_readings(before: datetime) -> int:
    """Some of the oldest readings. Returns how many."""
    with unit_of_work() as session:
        oldest = session.execute(
            select(Reading.at).where(Reading.at < before).order_by(Reading.at).limit(BATCH)
        ).all()
        if oldest:
            _drop(session, Reading, Reading.at <= oldest[-1].at)
    return len(oldest)


def _drop(session: Session, table: type[Any], which: Any) -> None:
    rows: Table = table.__table__
    session.execute(delete(rows).where(which))
