"""What the worker does for the inbox."""

import time
from datetime import timedelta

from flask import current_app

from app.alerts import health_feed, processing, purging
from app.alerts.committer import spool_of, write_spooled
from app.config import settings
from app.core.clock import now
from app.core.db import end_read

LINGER = 1.25  # seconds after the second it was woken for: later commits of it find it still here
LOOK = 0.03  # seconds between two looks into an empty inbox
LONGEST = 5.0  # seconds; then the next job goes on, so that a worker can stop


def process_inbox(second: int) -> None:
    """Process what waits, and all that the doors commit until `second` (Unix time) is over.

    The doors wake the worker once a second, not once a delivery, so this job stays as long as
    one of their deliveries may still come.
    """
    started = time.monotonic()
    while time.monotonic() - started < LONGEST:
        if processing.process_next(at=now()):
            continue
        if now().timestamp() >= second + LINGER:
            return
        end_read()
        time.sleep(LOOK)


def sweep() -> None:
    """Take what no job was woken for: after a crash, after a retry's wait, from the spool."""
    spool_of(current_app).replay(write_spooled)
    started = time.monotonic()
    while time.monotonic() - started < LONGEST and processing.process_next(at=now()):
        pass


def read_health() -> None:
    """Take what changed of Baton's own panels in as alerts."""
    health_feed.read_changes(at=now())


def tell_end(fact_id: int) -> None:
    """Take the end of a breach in as an alert, now that it has lasted."""
    health_feed.tell_end(fact_id, at=now())


def purge_deliveries() -> None:
    at = now()
    purging.purge(before=at - timedelta(days=settings().delivery_days), at=at)
