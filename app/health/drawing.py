"""The geometry of small charts: pure functions from readings to SVG paths.

x and y are per cent of the frame, from its left and its top; the paths lie in a box of 1000 x 100.
A line is never joined across what nobody saw, nor where the method or its reference changed.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

MOST = 300  # points of a line: a card has no more pixels than that
WIDE, HIGH = 1000, 100
LEVELS = 3  # gridlines, about
HEADROOM = 1.08
MOST_BREAKS = 40


@dataclass(frozen=True, slots=True)
class Point:
    """What was seen at a moment."""

    at: datetime
    value: float | None  # none: nothing to draw
    is_blind: bool = False  # because nobody could see
    series: str = ""  # method and reference: a change breaks the line


@dataclass(frozen=True, slots=True)
class Plot:
    """What a template needs to draw a line."""

    paths: Sequence[str]
    areas: Sequence[str]  # from the line down to zero
    bands: Sequence[tuple[float, float]]  # x and width of each time that nobody saw
    breaks: Sequence[float]  # x of each change of method or reference
    levels: Sequence[tuple[float, float]]  # y and value of each gridline
    limit: float | None  # its y
    end: tuple[float, float] | None  # x and y of the newest value
    low: float | None
    high: float | None
    blind_for: timedelta
    bottom: float  # values at the edges of the frame
    top: float

    def y(self, value: float) -> float:
        return (self.top - value) / (self.top - self.bottom) * 100


def thin(points: Sequence[Point], most: int = MOST) -> list[Point]:
    """At most so many of the points, oldest first, with every peak, dip and gap that can be seen.

    Of each stretch of time the first, lowest, highest and last value are kept, and one point for
    what lay between two of them and breaks the line. `most` is 9 or more.
    """
    kept = list(points)
    stretches = max(1, most // 4)
    while len(kept) > most:
        kept = [one for group in _stretches(points, stretches) for one in _corners(group)]
        stretches = max(1, stretches * 3 // 4)
    return kept


def _stretches(points: Sequence[Point], count: int) -> Iterator[Sequence[Point]]:
    begin, span = points[0].at, (points[-1].at - points[0].at).total_seconds() or 1.0
    start, number = 0, 0
    for index, point in enumerate(points):
        its = min(count - 1, int((point.at - begin).total_seconds() / span * count))
        if its != number:
            yield points[start:index]
            start, number = index, its
    yield points[start:]


def _corners(group: Sequence[Point]) -> Iterator[Point]:
    known = [(point.value, index) for index, point in enumerate(group) if point.value is not None]
    if not known:
        yield from _gap(group)
        return
    indexes = {known[0][1], known[-1][1], min(known)[1], max(known)[1]}
    before = 0
    for index in sorted(indexes):
        yield from _gap(group[before:index])
        yield group[index]
        before = index + 1
    yield from _gap(group[before:])


def _gap(between: Sequence[Point]) -> Iterator[Point]:
    """One point for all that breaks the line there, or none."""
    blind = [point for point in between if point.is_blind]
    empty = [point for point in between if point.value is None]
    changed = [here for here, following in pairwise(between) if here.series != following.series]
    if found := blind or empty or changed:
        yield Point(found[-1].at, None, bool(blind), found[-1].series)


def plot(
    points: Sequence[Point],
    *,
    since: datetime,
    until: datetime,
    limit: float | None = None,
    silent_after: timedelta,
    also: Sequence[float] = (),
    most: int = MOST,
) -> Plot:
    """Draw the points between two moments, at most so many of them. `silent_after`: no point for
    longer is a gap; `also`: values that have to be in the frame."""
    points = [point for point in points if since <= point.at <= until]
    values = [point.value for point in points if point.value is not None]
    bottom, top = _range([*values, *also, *([] if limit is None else [limit])])

    def x(moment: datetime) -> float:
        return (moment - since) / (until - since) * 100

    def y(value: float) -> float:
        return (top - value) / (top - bottom) * 100

    newest = points[-1] if points else None
    points = list(_with_silence(points, until, silent_after))
    # What nobody saw is told of exactly; only the line has fewer points.
    dark = list(_dark(points, until))
    runs = _runs(thin(points, most))
    corners = [[(x(point.at), y(point.value or 0.0)) for point in run] for run in runs]
    return Plot(
        paths=[_path(run) for run in corners],
        areas=[_area(run, y(max(bottom, 0.0))) for run in corners if len(run) > 1],
        bands=[(x(begin), x(end) - x(begin)) for begin, end in dark],
        breaks=[
            x(after.at)
            for before, after in pairwise([one for one in points if one.value is not None])
            if before.series != after.series
        ][:MOST_BREAKS],
        levels=[(y(level), level) for level in _levels(bottom, top)],
        limit=None if limit is None else y(limit),
        end=(x(newest.at), y(newest.value)) if newest and newest.value is not None else None,
        low=min(values, default=None),
        high=max(values, default=None),
        blind_for=sum((end - begin for begin, end in dark), timedelta(0)),
        bottom=bottom,
        top=top,
    )


def _with_silence(
    points: Sequence[Point], until: datetime, silent_after: timedelta
) -> Iterator[Point]:
    """The points, with a blind one where nothing came for too long, and at the end."""
    for point, following in pairwise([*points, None]):
        assert point is not None
        yield point
        if (following.at if following else until) - point.at > silent_after:
            yield Point(point.at, None, True, point.series)


def _runs(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Points that may be joined."""
    run: list[Point] = []
    for point in points:
        if run and (point.value is None or point.series != run[-1].series):
            yield run
            run = []
        if point.value is not None:
            run.append(point)
    if run:
        yield run


def _dark(points: Sequence[Point], until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """From when to when nobody saw, times that touch as one. Before the first point: not known."""
    spans = [
        (before.at, after.at if after else until)
        for before, after in pairwise([*points, None])
        if before is not None and (before.is_blind or (after is not None and after.is_blind))
    ]
    if not spans:
        return
    begin, end = spans[0]
    for following in spans[1:]:
        if following[0] > end:
            yield begin, end
            begin = following[0]
        end = following[1]
    yield begin, end


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The bottom and the top of the frame. Zero is always in it: half the height is half as much."""
    low, high = min([0.0, *values]), max([0.0, *values])
    if low == high:
        return 0.0, 1.0
    return low * HEADROOM, high * HEADROOM


def _levels(bottom: float, top: float) -> list[float]:
    """Round values for gridlines."""
    rough = (top - bottom) / LEVELS
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * times for times in (1, 2, 2.5, 5, 10) if size * times >= rough)
    first, last = math.ceil(bottom / step), math.floor(top / step)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _path(run: Sequence[tuple[float, float]]) -> str:
    if len(run) == 1:
        # Alone it would have no length, and not be seen.
        return f"M{run[0][0] * 10 - 2:.0f} {_number(run[0][1])}h4"
    return "M" + "L".join(f"{x * 10:.0f} {_number(y)}" for x, y in run)


def _area(run: Sequence[tuple[float, float]], ground: float) -> str:
    first = run[0][0]
    return f"{_path(run)}V{_number(ground)}H{first * 10:.0f}Z"


def _number(value: float) -> str:
    """Short, for there are hundreds of them."""
    return f"{value:.1f}".removesuffix(".0")
