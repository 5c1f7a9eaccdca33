"""What becomes of a delivery and of each alert in it: pure functions."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class DeliveryState(StrEnum):
    RECEIVED = "received"  # committed, not processed yet
    ACCEPTED = "accepted"  # processed: it opened, changed or resolved something
    DUPLICATE = "duplicate"  # processed: it said nothing new
    RETRYING = "retrying"  # processing failed; tried again at next_try_at
    DEAD = "dead"  # processing failed too often, or nothing in it could be read
    REFUSED = "refused"  # answered with 4xx; no body kept


WAITING = (DeliveryState.RECEIVED, DeliveryState.RETRYING)

# A body that comes again this soon, with no other about the same subject between, is a repeat.
REPEAT_WINDOW = timedelta(seconds=60)

MAX_ATTEMPTS = 5


def next_try(attempts: int, *, at: datetime) -> datetime | None:
    """When a delivery whose processing failed is tried again; None: it is dead."""
    if attempts >= MAX_ATTEMPTS:
        return None
    return at + timedelta(seconds=2 * 4 ** (attempts - 1))


class Verdict(StrEnum):
    FIRES = "fires"  # it was not firing before
    REPEATS = "repeats"  # it was, and still is
    RESOLVES = "resolves"  # it was firing, and is over
    OVER = "over"  # it was over already, or never seen firing: kept as a tombstone
    LATE = "late"  # older than what is known: changes nothing
    ACKNOWLEDGES = "acknowledges"  # somebody took it, in the sender's system


@dataclass(frozen=True, slots=True)
class Known:
    """The newest thing known about an alert."""

    firing: bool
    starts_at: datetime
    event_at: datetime  # its start while it fires, its end once it is over
    seen_at: datetime  # when Baton was told
    incident_id: int | None = None


# How long after a resolve an older start is taken for a late copy, as a second Alertmanager of a
# pair sends it. Later than this the sender had lost sight of an alert that never stopped: a
# restarted Prometheus does, and the start it tells is the old one.
LATE_COPY = timedelta(minutes=1)


def judge(
    known: Known | None, *, firing: bool, starts_at: datetime, event_at: datetime, seen_at: datetime
) -> Verdict:
    """What an alert means, given what is known of it. What is older never undoes what is newer."""
    if firing:
        if known is None:
            return Verdict.FIRES
        if known.firing:
            return Verdict.REPEATS
        if starts_at < known.event_at and seen_at < known.seen_at + LATE_COPY:
            return Verdict.LATE
        return Verdict.FIRES
    if known is None or not known.firing:
        return Verdict.OVER
    return Verdict.RESOLVES if event_at >= known.starts_at else Verdict.LATE


def learned(
    known: Known | None,
    verdict: Verdict,
    *,
    starts_at: datetime,
    event_at: datetime,
    seen_at: datetime,
) -> Known:
    """What is known after the verdict."""
    if verdict is Verdict.FIRES:
        return Known(True, starts_at, starts_at, seen_at, known.incident_id if known else None)
    if known is None:
        return Known(False, starts_at, event_at, seen_at)
    if verdict is Verdict.RESOLVES:
        return Known(False, known.starts_at, event_at, seen_at, known.incident_id)
    if verdict is Verdict.OVER:
        return Known(
            False, known.starts_at, max(known.event_at, event_at), seen_at, known.incident_id
        )
    if verdict is Verdict.REPEATS:
        started = max(known.starts_at, starts_at)
        return Known(True, started, started, max(known.seen_at, seen_at), known.incident_id)
    return known
