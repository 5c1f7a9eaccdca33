"""What the buckets of a histogram say: quantiles, shares and gaps. Pure functions.

A bucket is the number of events up to its end, so buckets only grow. Between two ends nobody knows
how the events lie, and each function says when its number depends on that.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Buckets = Mapping[float, float]  # end -> events up to it
# So much may a bucket hold less than the one before it: requests went on while they were read.
READ_APART, FEW = 0.02, 2.0


@dataclass(frozen=True, slots=True)
class Quantile:
    value: float
    is_beyond: bool = False  # it lies above the last end: all that is known is "at least"


@dataclass(frozen=True, slots=True)
class Share:
    """At least and at most this share of events; both alike where a bucket ends."""

    least: float
    most: float

    @property
    def is_exact(self) -> bool:
        return math.isclose(self.least, self.most, abs_tol=1e-12)


def total_of(buckets: Buckets) -> float | None:
    """All events; none without the bucket that has no end."""
    return buckets.get(math.inf)


def is_cumulative(buckets: Buckets) -> bool:
    """Whether each bucket holds the events of those before it, but for a few.

    One that counts only its own would show nearly all requests as quick ones.
    """
    most = 0.0
    for end in sorted(buckets):
        if buckets[end] < most - max(FEW, READ_APART * most):
            return False
        most = max(most, buckets[end])
    return True


def _sorted(buckets: Buckets) -> list[tuple[float, float]]:
    """By end, and never falling: buckets that were read while requests went on may be."""
    grown: list[tuple[float, float]] = []
    for end in sorted(buckets):
        count = buckets[end]
        grown.append((end, max(count, grown[-1][1]) if grown else count))
    return grown


def quantile(buckets: Buckets, q: float) -> Quantile | None:
    """The same as Prometheus' histogram_quantile; none without events or without ends."""
    ends = _sorted(buckets)
    if len(ends) < 2 or ends[-1][0] != math.inf or not ends[-1][1] > 0:
        return None
    rank = q * ends[-1][1]
    place = next(number for number, (_, count) in enumerate(ends) if count >= rank)
    if place == len(ends) - 1:
        return Quantile(ends[-2][0], is_beyond=True)
    end, count = ends[place]
    start, before = ends[place - 1] if place else (0.0, 0.0)
    if place == 0 and end <= 0:
        return Quantile(end)
    if count == before:
        return Quantile(end)
    return Quantile(start + (end - start) * (rank - before) / (count - before))


def share_over(buckets: Buckets, limit: float) -> Share | None:
    """The share of events above a limit; none without events."""
    ends = _sorted(buckets)
    if not ends or ends[-1][0] != math.inf or not ends[-1][1] > 0:
        return None
    total = ends[-1][1]
    upto_least = upto_most = 0.0
    for end, count in ends:
        if end <= limit or is_at(end, limit):
            upto_least = count
        if end >= limit or is_at(end, limit):
            upto_most = count
            break
    return Share(1 - upto_most / total, 1 - upto_least / total)


def largest_gap(one: Buckets, other: Buckets) -> float | None:
    """The largest distance between two distributions, from 0 to 1.

    None without events, and none if their buckets do not end at the same places.
    """
    first, second = _sorted(one), _sorted(other)
    if [end for end, _ in first] != [end for end, _ in second] or not first:
        return None
    all_first, all_second = first[-1][1], second[-1][1]
    if first[-1][0] != math.inf or not all_first > 0 or not all_second > 0:
        return None
    return max(
        abs(count / all_first - there / all_second)
        for (_, count), (_, there) in zip(first, second, strict=True)
    )


def is_at(end: float, limit: float) -> bool:
    """Whether a bucket ends at a limit, but for how floats are written."""
    return math.isfinite(end) and abs(end - limit) <= 1e-9 * max(1.0, abs(limit))


def around(bounds: Sequence[float], limit: float) -> tuple[float | None, float | None]:
    """The nearest ends below and above a limit."""
    below = [end for end in bounds if end < limit and math.isfinite(end)]
    above = [end for end in bounds if end > limit and math.isfinite(end)]
    return max(below, default=None), min(above, default=None)
