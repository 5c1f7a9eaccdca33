"""What the worker does for health."""

import time

from flask import current_app

from app.core.clock import now
from app.health import datasets, levels, polling, recording, reports, retention

PATIENCE = 0.5  # seconds of a tick; what takes longer is recorded by the next one
AGEING = 5.0  # seconds between two looks at what nobody asks for: time alone makes it old


class Looker:
    """Looks, tick by tick. One for each worker: looks that take long outlive a tick."""

    def __init__(self) -> None:
        self._poller = polling.Poller()
        self._ages_at = 0.0

    def tick(self) -> None:
        """Ask the sources that are due. Now and then, see what has grown old meanwhile."""
        self._poller.tick(at=now(), patience=PATIENCE)
        if time.monotonic() >= self._ages_at:
            self._ages_at = time.monotonic() + AGEING
            see_what_ages()


def see_what_ages() -> None:
    """Let go of what is no longer watched, look at data inputs and at what is pushed, and say what
    nobody can see."""
    at = now()
    recording.let_go_of_unwatched(at=at)
    levels.let_go_of_unwatched(at=at)
    recording.record(datasets.observe(at=at), at=at)
    recording.record(reports.observe(at=at), at=at)
    recording.tell_blind(at=at)


def tick() -> None:
    """One tick of this worker."""
    looker: Looker = current_app.extensions.setdefault("health_looker", Looker())
    looker.tick()


def roll_up() -> None:
    retention.roll_up(at=now())


def purge() -> None:
    retention.purge(at=now())
