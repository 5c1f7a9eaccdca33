"""How a lamp reads: its word, its second line, and the age of what it rests on.

The worker writes where panels stand. When it is away nothing is written any more, so whoever shows
a lamp doubts one whose newest sample is older than its rule allows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.health.recording import figure
from app.health.rules import BLIND, LampState, Lane
from app.web.times import duration

# What the worker may be late with before a lamp is doubted: a tick, a look and a slow answer.
GRACE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Shown:
    """A lamp as people read it."""

    state: LampState
    line: str  # reading / limit, or why there is none
    title: str  # in full, with the age of the newest sample
    value: float | None = None
    newest_at: datetime | None = None


# The columns of a row that `shown` reads, of `Lamp` and `Panel`.
COLUMNS = (
    "state", "value", "newest_at", "looked_at", "since", "remark",
    "title", "lane", "unit", "above", "below", "stale_after", "window",
)  # fmt: skip


def shown(row: Any, *, at: datetime) -> Shown:
    """What a lamp says at this moment. `row` has the attributes in `COLUMNS`; a panel that was
    never looked at has none in those of its lamp."""
    state, remark = row.state, row.remark or ""
    if state is None:
        return Shown(LampState.NO_DATA, "not looked yet", f"{row.title}: not looked yet")
    if is_doubtful(row, at=at):
        state = LampState.NO_DATA
        remark = f"no sample for {duration(at - row.newest_at)}"
    line = _line(state, row, remark, at)
    age = f", newest sample {duration(at - row.newest_at)} ago" if row.newest_at else ""
    why = f" ({remark})" if remark and remark != line else ""
    return Shown(state, line, f"{row.title}: {line}{why}{age}", row.value, row.newest_at)


def is_doubtful(row: Any, *, at: datetime) -> bool:
    """Whether what the row says is older than its rule allows, and nobody has written so."""
    if row.state in (*BLIND, LampState.NOT_MEASURABLE) or row.newest_at is None:
        return False
    return bool(at - row.newest_at > timedelta(seconds=row.stale_after) + GRACE)


def _line(state: LampState, row: Any, remark: str, at: datetime) -> str:
    if state is LampState.UNREACHABLE:
        return f"for {duration(at - row.since)}"
    if state in (LampState.NO_DATA, LampState.NO_TRAFFIC, LampState.NOT_MEASURABLE):
        return remark or f"since {duration(at - row.since)}"
    if row.value is None:
        return remark
    reading = against(row.value, row)
    old = row.newest_at is not None and at - row.newest_at > timedelta(seconds=2 * row.window)
    return f"{reading}, {duration(at - row.newest_at)} old" if old else reading


def against(value: float, row: Any) -> str:
    """A reading and its limit: 612 / 250 ms, or 6 min / 30 min of a freshness."""
    limit = row.above if row.above is not None else row.below
    if row.lane is Lane.FRESHNESS:
        reading = duration(timedelta(seconds=max(value, 0)))
        return reading if limit is None else f"{reading} / {duration(timedelta(seconds=limit))}"
    if limit is None:
        return figure(value, row.unit)
    return f"{figure(value, '')} / {figure(limit, row.unit)}"
