"""What a look at a source brought beside readings: totals, reports, checks of data, counts."""

from datetime import datetime

from app.core.db import unit_of_work
from app.health import datasets, levels, reports, scrapes
from app.health.rules import Observation
from app.health.sources.base import Answer


def take(source_id: int, answer: Answer, *, at: datetime) -> dict[int, Observation]:
    """Keep it. Returns what its reports say to panels, also to those that they make."""
    with unit_of_work() as session:
        if answer.totals is not None:
            scrapes.keep(session, source_id, answer.totals)
        if answer.counts or answer.uncounted:
            levels.take_counts(session, answer.counts, answer.uncounted, at=at)
        datasets.take(session, answer.datasets, answer.unread, source_id=source_id, at=at)
        return reports.take(session, answer.reports, source_id=source_id, at=at)
