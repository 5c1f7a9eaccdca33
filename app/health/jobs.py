"""What the worker does for health."""

from app.core.clock import now
from app.health import datasets, polling, recording, reports, retention


def tick() -> None:
    """Ask the sources that are due, look at what is pushed, and say what nobody can see."""
    polling.tick(at=now())
    recording.record(datasets.observe(at=now()), at=now())
    recording.record(reports.observe(at=now()), at=now())
    recording.tell_blind(at=now())


def roll_up() -> None:
    retention.roll_up(at=now())


def purge() -> None:
    retention.purge(at=now())
