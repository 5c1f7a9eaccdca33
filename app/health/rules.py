"""What one window says, and what a panel shows after several: pure functions.

Silence is never good news. A window without a number, without the rows that its rule asks for, or
older than it may be is never OK; and one window outside the limit is not yet a breach.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class LampState(StrEnum):
    """The seven honest states. Only `OK` is green."""

    OK = "ok"
    BREACH = "breach"
    NO_TRAFFIC = "no_traffic"  # nothing to serve, so nothing to judge
    NO_DATA = "no_data"  # the source answers, with nothing in it
    PARTIAL = "partial"  # only some of the data
    UNREACHABLE = "unreachable"  # the source does not answer
    NOT_MEASURABLE = "not_measurable"  # cannot be known from this source


WORST_FIRST = (
    LampState.BREACH,
    LampState.UNREACHABLE,
    LampState.NO_DATA,
    LampState.PARTIAL,
    LampState.OK,
    LampState.NO_TRAFFIC,
    LampState.NOT_MEASURABLE,
)
BLIND = frozenset({LampState.UNREACHABLE, LampState.NO_DATA})


class Lane(StrEnum):
    """What a panel watches. The three drift lanes are never merged into one score."""

    LATENCY = "latency"
    ERRORS = "errors"
    THROUGHPUT = "throughput"
    OUTPUT_QUALITY = "output_quality"
    LATENCY_DRIFT = "latency_drift"
    INPUT_DRIFT = "input_drift"
    FRESHNESS = "freshness"
    SCHEMA = "schema"
    ACCESS = "access"
    FALLBACK = "fallback"
    QUEUE = "queue"
    GPU = "gpu"
    OTHER = "other"


# The lamps of a model in the fleet, in the order of their columns.
FLEET = (
    Lane.LATENCY,
    Lane.ERRORS,
    Lane.THROUGHPUT,
    Lane.OUTPUT_QUALITY,
    Lane.LATENCY_DRIFT,
    Lane.INPUT_DRIFT,
    Lane.FRESHNESS,
)
DRIFT = (Lane.OUTPUT_QUALITY, Lane.LATENCY_DRIFT, Lane.INPUT_DRIFT)

FAILURE_MODES = {
    Lane.LATENCY: "latency_regression",
    Lane.ERRORS: "bad_model_push",
    Lane.THROUGHPUT: "traffic_over_target",
    Lane.OUTPUT_QUALITY: "output_drift",
    Lane.LATENCY_DRIFT: "latency_regression",
    Lane.INPUT_DRIFT: "input_drift",
    Lane.FRESHNESS: "feature_stale",
    Lane.SCHEMA: "schema_break",
    Lane.ACCESS: "access_revoked",
    Lane.FALLBACK: "provider_degraded",
    Lane.QUEUE: "traffic_over_target",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """When a panel is outside its limit, and for how long it has to be to matter.

    Limits are in the unit of the panel. At least one of them is set: what has no limit can't be
    judged, and what can't be judged is never OK.
    """

    above: float | None = None  # outside when the value is higher
    below: float | None = None  # outside when it is lower
    clear: float | None = None  # hysteresis: a breach ends on this side of it; none: at the limit
    k: int = 1  # windows outside …
    n: int = 1  # … among this many, for a breach
    min_rows: float = 0  # requests or rows that a window needs to be judged
    stale_after: timedelta = timedelta(minutes=5)  # a newest sample older than that is no data

    def is_outside(self, value: float) -> bool:
        return (self.above is not None and value > self.above) or (
            self.below is not None and value < self.below
        )

    def is_clear(self, value: float) -> bool:
        """Whether a value ends a breach that stands."""
        if self.clear is None or self.is_outside(value):
            return not self.is_outside(value)
        return value <= self.clear if self.above is not None else value >= self.clear


def why_no_rule(rule: Rule) -> str | None:
    """Say why this rule can't be used."""
    if rule.above is None and rule.below is None:
        return "Give a limit: what has none can't be judged."
    limits = [limit for limit in (rule.above, rule.below, rule.clear) if limit is not None]
    if not all(math.isfinite(limit) for limit in limits):
        return "A limit is a number."
    if rule.above is not None and rule.below is not None and rule.below >= rule.above:
        return "The lower limit has to be below the upper one."
    if rule.clear is not None and rule.is_outside(rule.clear):
        return "The value at which a breach ends has to be inside the limit."
    if not 1 <= rule.k <= rule.n <= 60:
        return "Say how many windows of how many make a breach, as in 3 of 5; at most 60."
    if rule.min_rows < 0:
        return "Rows can't be fewer than none."
    if rule.stale_after <= timedelta(0):
        return "Say after how long a sample is too old."
    return None


@dataclass(frozen=True, slots=True)
class Observation:
    """What a source said about one window of one panel.

    `value` is in the panel's unit. `gap` says why there is none: no traffic, no data, unreachable
    or not measurable. `series` names method and reference: where it changes, a chart is broken.
    """

    at: datetime  # the end of the window: the time of its newest sample
    value: float | None = None
    rows: float | None = None  # requests or rows behind the value; none: the source does not say
    gap: LampState | None = None
    remark: str = ""  # why there is a gap, or what is missing: a clause for people
    is_partial: bool = False  # the source says that it does not have everything
    series: str = ""
    # Some drift tools give a verdict and no comparable number. Whether it is outside, in that case.
    said_outside: bool | None = None


class Verdict(StrEnum):
    """What one window says by itself."""

    INSIDE = "inside"
    CLEAR = "clear"  # inside, and far enough to end a breach
    OUTSIDE = "outside"
    UNJUDGED = "unjudged"


@dataclass(frozen=True, slots=True)
class Judged:
    verdict: Verdict
    state: LampState  # of this window alone
    remark: str


def judge(seen: Observation, rule: Rule, *, now: datetime, lane: Lane | None = None) -> Judged:
    """What one window says by itself. `lane`: what the panel watches, if that is known."""
    if seen.gap is not None:
        return Judged(Verdict.UNJUDGED, seen.gap, seen.remark)
    if now - seen.at > rule.stale_after:
        return Judged(Verdict.UNJUDGED, LampState.NO_DATA, "the newest sample is too old")
    if _falls_short(seen, rule, lane):
        return _compare(seen, rule)
    if seen.rows is not None and seen.rows <= 0:
        return Judged(Verdict.UNJUDGED, LampState.NO_TRAFFIC, seen.remark or "no requests")
    if seen.value is None and seen.said_outside is None:
        return Judged(Verdict.UNJUDGED, LampState.NO_DATA, seen.remark or "no value")
    if seen.value is not None and not math.isfinite(seen.value):
        return Judged(Verdict.UNJUDGED, LampState.NO_DATA, "the value is not a number")
    if seen.said_outside is None and rule.above is None and rule.below is None:
        remark = seen.remark or "nothing says how much is too much"
        return Judged(Verdict.UNJUDGED, LampState.NOT_MEASURABLE, remark)
    if rule.min_rows:
        if seen.rows is None:
            return Judged(
                Verdict.UNJUDGED, LampState.PARTIAL, "the source does not say how many rows"
            )
        if seen.rows < rule.min_rows:
            remark = f"{seen.rows:,.0f} of the {rule.min_rows:,.0f} rows that it takes"
            return Judged(Verdict.UNJUDGED, LampState.PARTIAL, remark)
    return _compare(seen, rule)


def _falls_short(seen: Observation, rule: Rule, lane: Lane | None) -> bool:
    """Whether a value under its lower limit is wrong however few rows are behind it.

    Of traffic itself few rows are the news and no reason to doubt it: a dead front door serves
    none. A number that a report computed of nothing is none.
    """
    if seen.said_outside is not None or seen.value is None or not math.isfinite(seen.value):
        return False
    if rule.below is None or seen.value >= rule.below:
        return False
    if lane is Lane.THROUGHPUT:
        return True
    return lane not in DRIFT and seen.rows is not None and seen.rows <= 0


def _compare(seen: Observation, rule: Rule) -> Judged:
    if seen.said_outside is not None:
        outside, clear = seen.said_outside, not seen.said_outside
    else:
        assert seen.value is not None
        outside, clear = rule.is_outside(seen.value), rule.is_clear(seen.value)
    if outside:
        # What can be seen to be wrong stays wrong, however much is missing.
        return Judged(Verdict.OUTSIDE, LampState.BREACH, seen.remark)
    if seen.is_partial:
        return Judged(Verdict.UNJUDGED, LampState.PARTIAL, seen.remark or "some of it is missing")
    return Judged(Verdict.CLEAR if clear else Verdict.INSIDE, LampState.OK, seen.remark)


@dataclass(frozen=True, slots=True)
class Settled:
    """What a panel shows. A gap hides a breach and does not end it."""

    state: LampState
    in_breach: bool
    remark: str  # a clause that says why


def settle(in_breach: bool, windows: Sequence[Judged], rule: Rule) -> Settled:
    """What a panel shows after these windows, oldest first; the last one is the newest.

    A breach begins with `k` of the last `n` windows outside, the newest among them. It ends when
    the last `k` windows are all clear of the limit. A gap is shown at once.
    """
    newest = windows[-1]
    if newest.verdict is Verdict.UNJUDGED:
        return Settled(newest.state, in_breach, newest.remark)
    if in_breach:
        if _has_ended(windows, rule):
            return Settled(LampState.OK, False, newest.remark)
        is_outside = newest.verdict is Verdict.OUTSIDE
        remark = newest.remark if is_outside else "not clear of its limit for long enough yet"
        return Settled(LampState.BREACH, True, remark)
    if newest.verdict is not Verdict.OUTSIDE:
        return Settled(LampState.OK, False, newest.remark)
    outside = sum(one.verdict is Verdict.OUTSIDE for one in windows[-rule.n :])
    if outside >= rule.k:
        return Settled(LampState.BREACH, True, newest.remark)
    # Not a breach yet, and not OK either.
    remark = f"outside its limit in {outside} of the {rule.k} windows that make a breach"
    return Settled(LampState.PARTIAL, False, remark)


def _has_ended(windows: Sequence[Judged], rule: Rule) -> bool:
    last = windows[-rule.k :]
    return len(last) == rule.k and all(one.verdict is Verdict.CLEAR for one in last)


def worst(states: Sequence[LampState]) -> LampState | None:
    """The state that a row of lamps is sorted by."""
    return min(states, key=WORST_FIRST.index, default=None)
