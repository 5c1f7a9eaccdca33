"""How a lamp reads: its word, its second line, and the age of what it rests on.

The worker writes where panels stand. When it is away nothing is written any more, so whoever shows
a lamp doubts one whose newest sample is older than its rule allows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.health.recording import figure, limit_of
from app.health.rules import BLIND, LampState, Lane
from app.web.times import duration

# What the worker may be late with before a lamp is doubted: a tick, a look and a slow answer.
GRACE = timedelta(seconds=60)
# These say already that nothing is known.
UNDOUBTED = (*sorted(BLIND), LampState.NOT_MEASURABLE)


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
    value = _value(row, at)
    if is_doubtful(row, at=at):
        state = LampState.NO_DATA
        remark = _doubt(row, value, at)
    line = _line(state, row, value, remark, at)
    age = f", newest sample {_since(row.newest_at, at)} ago" if row.newest_at else ""
    why = f" ({remark})" if remark and remark not in line else ""
    title = f"{row.title}: {line}{why}{age}" if line else f"{row.title}{why}{age}"
    return Shown(state, line, title, value, row.newest_at)


def is_doubtful(row: Any, *, at: datetime) -> bool:
    """Whether what the row says is older than its rule allows, and nobody has written so."""
    if row.state is None or row.state in UNDOUBTED:
        return False
    # That nothing was to be served is known since somebody asked, however old the last sample is.
    told_at = row.looked_at if row.state is LampState.NO_TRAFFIC else row.newest_at
    if told_at is None:
        return False
    if at - told_at > timedelta(seconds=row.stale_after) + GRACE:
        return True
    return row.state is LampState.OK and _is_overdue(row, at)


def _is_overdue(row: Any, at: datetime) -> bool:
    """Whether what was fresh when somebody last looked can't be any more, as far as is known."""
    if row.lane is not Lane.FRESHNESS or row.value is None or row.above is None:
        return False
    age = timedelta(seconds=row.value) + (at - row.newest_at)
    return bool(age > timedelta(seconds=row.above) + GRACE)


def _doubt(row: Any, value: float | None, at: datetime) -> str:
    told_at = row.looked_at if row.state is LampState.NO_TRAFFIC else row.newest_at
    if row.state is LampState.OK and value is not None and _is_overdue(row, at):
        return f"no load known for {duration(value)}"
    if row.state is LampState.NO_TRAFFIC:
        return f"nobody looked for {_since(told_at, at)}"
    return f"no sample for {_since(told_at, at)}"


def _value(row: Any, at: datetime) -> float | None:
    """The last value. The age of a load counts on while nobody looks."""
    if row.lane is not Lane.FRESHNESS or row.value is None or row.newest_at is None:
        return row.value  # type: ignore[no-any-return]  # of a row
    return float(row.value + max((at - row.newest_at).total_seconds(), 0.0))


def _line(state: LampState, row: Any, value: float | None, remark: str, at: datetime) -> str:
    if state is LampState.UNREACHABLE:
        return f"for {_since(row.since, at)}"
    if state in (LampState.NO_DATA, LampState.NO_TRAFFIC, LampState.NOT_MEASURABLE):
        return remark or f"for {_since(row.since, at)}"
    if value is None:
        return remark or (f"checked {_since(row.newest_at, at)} ago" if row.newest_at else "")
    reading = against(value, row)
    if state is LampState.PARTIAL and remark:
        return f"{reading}, {remark}"
    old = row.newest_at is not None and at - row.newest_at > timedelta(seconds=2 * row.window)
    return f"{reading}, {_since(row.newest_at, at)} old" if old else reading


def _since(moment: datetime, at: datetime) -> str:
    """How long ago. A clock elsewhere that is fast makes it no future."""
    return duration(max(at - moment, timedelta(0)))


def against(value: float, row: Any) -> str:
    """A reading and its limit: 612 / 250 ms, or 6 min / 30 min of a freshness."""
    limit = limit_of(row, value)
    if row.lane is Lane.FRESHNESS:
        reading = duration(timedelta(seconds=max(value, 0)))
        return reading if limit is None else f"{reading} / {duration(timedelta(seconds=limit))}"
    if limit is None:
        return figure(value, row.unit)
    # Two places are enough beside a limit of two, unless they would be noughts.
    reading = f"{value:.2f}" if 0.005 <= value < 0.1 <= limit else figure(value, "")
    return f"{reading} / {figure(limit, row.unit)}"
