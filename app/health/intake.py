"""What a look at a source brought beside readings: totals, reports, checks of data, counts."""

from datetime import datetime

from app.core.db import unit_of_work
from app.health import datasets, levels, recording, reports, scrapes
from app.health.sources.base import Answer


def take(source_id: int, answer: Answer, *, at: datetime) -> None:
    """Keep it, and judge the panels that it speaks of."""
    with unit_of_work() as session:
        if answer.totals is not None:
            scrapes.keep(session, source_id, answer.totals)
        if answer.counts or answer.uncounted:
            levels.take_counts(session, answer.counts, answer.uncounted, at=at)
        seen = reports.take(session, answer.reports, source_id=source_id, at=at)
        datasets.take(session, answer.datasets, source_id=source_id, at=at)
        if seen:
            recording.record(seen, at=at)
