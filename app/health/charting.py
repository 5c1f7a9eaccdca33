"""The past of a panel as a chart: points, states, what is missing, and where a line is broken.

Pure but for `read` and `asked`. Moments are seconds since 1970, as the browser wants them.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import fmean, median
from typing import Any, NamedTuple, cast

from sqlalchemy import Table, select

from app.core.db import db, end_read
from app.health.asking import Asking
from app.health.recording import figure
from app.health.rules import LampState, worst
from app.health.showing import GRACE
from app.health.sources.base import UnreachableError
from app.health.sources.prometheus import chart_query, range_query
from app.health.tables import Panel, Reading, ReadingHour

MOST = 20_000  # points that are sent; more than a screen is wide by ten times
STEPS = 48  # rows of the table beside a chart
SLICES = 400  # of the strip of states
ASKED = 2_000  # points that are asked of a source
HOUR = 3600.0


Point = tuple[float, float | None, float | None, float | None]  # at, low, value, high


class Seen(NamedTuple):
    """What one reading, or one hour of them, said."""

    begin: float | None  # of an hour; none: a reading, which ends at `at`
    at: float
    low: float | None
    value: float | None
    high: float | None
    state: LampState
    rows: float | None
    series: str


class Run(NamedTuple):
    """A time in which one state lasted."""

    start: float
    end: float
    state: LampState


class Break(NamedTuple):
    """Where method or reference changed: no line leads from one side to the other."""

    at: float
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Range:
    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Chart:
    start: float
    end: float
    seen: Sequence[Seen]
    runs: Sequence[Run]  # states, without a hole: what nobody saw has no data
    gaps: Sequence[Run]  # times without a value
    breaks: Sequence[Break]
    cuts: Sequence[float]  # moments at which a line must not be joined


# --- Reading ----------------------------------------------------------------------------------


def read(panel_id: int, span: Range, *, at: datetime, days: int) -> list[Seen]:
    """What is kept of a panel: each reading while those are kept for all of the range, else hours,
    and readings since the last hour."""
    since = span.start
    found: list[Seen] = []
    if span.start < at - timedelta(days=days):
        found = _hours(panel_id, span)
        if found and found[-1].begin is not None:
            since = datetime.fromtimestamp(found[-1].begin + HOUR, UTC)
    return found + _readings(panel_id, Range(since, span.end))


def _readings(panel_id: int, span: Range) -> list[Seen]:
    one = cast(Table, Reading.__table__).c  # columns, not attributes: twice as quick
    rows = db.session.connection().execute(
        select(one.at, one.value, one.state, one.rows, one.series)
        .where(one.panel_id == panel_id, one.at >= span.start, one.at <= span.end)
        .order_by(one.at)
    )
    return [
        Seen(None, at.timestamp(), value, value, value, state, count, series)
        for at, value, state, count, series in rows
    ]


def _hours(panel_id: int, span: Range) -> list[Seen]:
    hour = ReadingHour
    rows = db.session.execute(
        select(hour.at, hour.low, hour.mean, hour.high, hour.state, hour.rows, hour.series)
        .where(
            hour.panel_id == panel_id,
            hour.at > span.start - timedelta(hours=1),
            hour.at < span.end,
        )
        .order_by(hour.at)
    )
    return [
        Seen(begin, begin + HOUR / 2, low, mean, high, state, count, series)
        for at, low, mean, high, state, count, series in rows
        for begin in (at.timestamp(),)
    ]


def asked(panel: Panel, span: Range) -> list[Point]:
    """The line as the source itself has it. Raises `UnreachableError` with a sentence."""
    source = panel.source
    if source is None or source.kind != "prometheus" or "query" not in panel.spec:
        raise UnreachableError("Only a Prometheus can be asked for a line.")
    spec, asking = dict(panel.spec), Asking.of(source)
    query, by, value = chart_query(spec, panel.model.slug, panel.window)
    step = max(float(source.every), span.length.total_seconds() / ASKED)
    end_read()  # nothing is held in the database while others are waited for
    points = range_query(asking.fetch, query, span.start, span.end, step, by=by, value=value)
    found: list[Point] = []
    for moment, seen in points:
        at, scaled = moment.timestamp(), None if seen is None else seen * spec.get("scale", 1)
        if found and at - found[-1][0] > 1.5 * step:
            found.append(((at + found[-1][0]) / 2, None, None, None))  # it left some out
        found.append((at, scaled, scaled, scaled))
    return found


# --- What it says -----------------------------------------------------------------------------


def chart_of(
    seen: Sequence[Seen],
    span: Range,
    *,
    since: datetime,
    until: datetime | None = None,
    panel: Panel,
) -> Chart:
    """Put together what was seen. Before `since` and after `until` nobody looked: that is no gap."""
    start, end = span.start.timestamp(), span.end.timestamp()
    watched_until = end if until is None else min(end, until.timestamp())
    patience = _patience(seen, panel.stale_after + GRACE.total_seconds())
    runs: list[Run] = []
    gaps: list[Run] = []
    breaks: list[Break] = []
    cuts: list[float] = []
    last = max(start, since.timestamp())
    series = ""
    for number, one in enumerate(seen):
        if (
            runs
            and one.state is runs[-1].state
            and one.series == series
            and one.value is not None
            and one.begin is None
            and last < one.at <= last + patience
        ):
            last = one.at  # as before, which is so for nearly all of thousands
            continue
        if runs:
            runs[-1] = runs[-1]._replace(end=last)
        begin = _begin(one, last, patience, panel.window)
        if begin > last:
            # Nobody looked, or the source was not asked.
            _lasting(runs, Run(last, begin, LampState.NO_DATA))
            _lasting(gaps, Run(last, begin, LampState.NO_DATA))
            if number:
                cuts.append(begin)
        its_end = one.at if one.begin is None else min(one.begin + HOUR, end)
        _lasting(runs, Run(begin, its_end, one.state))
        if one.value is None:
            _lasting(gaps, Run(begin, its_end, one.state))
        else:
            if series and one.series != series:
                breaks.append(Break((last + one.at) / 2, series, one.series))
                cuts.append(one.at)
            series = one.series
        last = max(last, its_end)
    if runs:
        runs[-1] = runs[-1]._replace(end=last)
    if watched_until - last > patience:
        _lasting(runs, Run(last, watched_until, LampState.NO_DATA))
        _lasting(gaps, Run(last, watched_until, LampState.NO_DATA))
    return Chart(start, end, seen, runs, gaps, breaks, cuts)


def _patience(seen: Sequence[Seen], stale: float) -> float:
    """Seconds between two readings that are no gap yet."""
    if len(seen) < 3:
        return stale
    usual = median(after.at - before.at for before, after in pairwise(seen))
    return min(stale, 3 * usual)


def _begin(one: Seen, last: float, patience: float, window: int) -> float:
    """From when on a reading speaks."""
    if (one.at if one.begin is None else one.begin) - last <= patience:
        return last
    return max(last, one.at - min(window, patience)) if one.begin is None else one.begin


def _lasting(runs: list[Run], run: Run) -> None:
    """Add a run; one that goes on becomes longer."""
    if run.end <= run.start:
        return
    if runs and runs[-1].state is run.state and run.start - runs[-1].end < 1:
        runs[-1] = Run(runs[-1].start, run.end, run.state)
    else:
        runs.append(run)


def columns(chart: Chart, *, most: int = MOST) -> dict[str, list[Any]]:
    """The points by column, as uPlot takes them. A none breaks the line."""
    points = list(_joinable(chart))
    points = thinned(points, most) if len(points) > most else points
    return by_column(points)


def by_column(points: Sequence[Point]) -> dict[str, list[Any]]:
    names = ("at", "low", "value", "high")
    return {name: [point[place] for point in points] for place, name in enumerate(names)}


def _joinable(chart: Chart) -> Iterator[Point]:
    """All points, with a none between two that may not be joined."""
    cuts = iter(chart.cuts)
    cut = next(cuts, None)
    before: float | None = None
    for one in chart.seen:
        while cut is not None and cut <= one.at:
            if before is not None and before < one.at:
                yield ((before + one.at) / 2, None, None, None)
            cut = next(cuts, None)
        yield (one.at, one.low, one.value, one.high)
        before = one.at


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most so many points that look the same: the first, the last, the lowest and the highest of
    each stretch stay, and so does a hole."""
    stretches = max(1, most // 5)
    count = len(points)
    kept: list[Point] = []
    for number in range(stretches):
        stretch = range(number * count // stretches, (number + 1) * count // stretches)
        if not stretch:
            continue
        chosen = {stretch[0], stretch[-1]}
        holes = [place for place in stretch if points[place][2] is None]
        chosen.update(holes[:1])
        valued = [place for place in stretch if points[place][2] is not None]
        if valued:
            chosen.add(min(valued, key=lambda place: points[place][1]))  # type: ignore[arg-type,return-value]  # valued
            chosen.add(max(valued, key=lambda place: points[place][3]))  # type: ignore[arg-type,return-value]  # valued
        kept += [points[place] for place in sorted(chosen)]
    return kept


class Slice(NamedTuple):
    """A piece of the strip of states, in thousandths of its width."""

    x: float
    width: float
    state: LampState


def strip(chart: Chart, *, most: int = SLICES) -> list[Slice]:
    """The states beside each other. Where they changed too often to be drawn, the worst counts."""
    whole = chart.end - chart.start
    runs = chart.runs
    if len(runs) > most:
        slots: dict[int, list[LampState]] = {}
        for run in runs:
            first, last = (
                min(int((moment - chart.start) / whole * most), most - 1)
                for moment in (run.start, run.end)
            )
            for slot in range(first, last + 1):
                slots.setdefault(slot, []).append(run.state)
        size, runs = whole / most, []
        for slot, states in sorted(slots.items()):
            begin, state = chart.start + slot * size, worst(states) or LampState.NO_DATA
            _lasting(runs, Run(begin, begin + size, state))
    return [
        Slice(
            round((run.start - chart.start) / whole * 1000, 1),
            round((run.end - run.start) / whole * 1000, 1),
            run.state,
        )
        for run in runs
    ]


class Step(NamedTuple):
    """A row of the table beside a chart."""

    at: datetime  # its end
    state: LampState  # the worst
    low: float | None
    value: float | None  # the mean of what was read
    high: float | None
    rows: float | None


def steps(chart: Chart, *, count: int = STEPS) -> list[Step]:
    """The chart as a table, newest first: each reading, or the range in so many equal parts."""
    if len(chart.seen) <= count:
        return [
            Step(moment(one.at), one.state, one.low, one.value, one.high, one.rows)
            for one in reversed(chart.seen)
        ]
    length = (chart.end - chart.start) / count

    ends = [chart.start + (number + 1) * length for number in range(count)]
    states: dict[int, list[LampState]] = {}
    for run in chart.runs:
        for number in range(bisect_right(ends, run.start), bisect_left(ends, run.end) + 1):
            states.setdefault(min(number, count - 1), []).append(run.state)
    moments = [one.at for one in chart.seen]
    cuts = [0, *(bisect_right(moments, end) for end in ends[:-1]), len(moments)]
    return [
        _step(chart.seen[cuts[number] : cuts[number + 1]], states[number], ends[number])
        for number in sorted(states, reverse=True)
    ]


def _step(seen: Sequence[Seen], states: Sequence[LampState], until: float) -> Step:
    values = [one.value for one in seen if one.value is not None]
    known = [one.rows for one in seen if one.rows is not None]
    return Step(
        moment(until),
        worst(states) or LampState.NO_DATA,
        min((one.low for one in seen if one.low is not None), default=None),
        fmean(values) if values else None,
        max((one.high for one in seen if one.high is not None), default=None),
        fmean(known) if known else None,
    )


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def sentence(chart: Chart, panel: Panel) -> str:
    """The chart in words: its last value, its limit, its trend."""
    values = [one for one in chart.seen if one.value is not None]
    if not values:
        return f"{panel.title}: there is no value in this range."
    last = values[-1].value or 0.0
    said = f"{panel.title}: last {figure(last, panel.unit)}"
    limits = [
        f"{word} {figure(limit, panel.unit)}"
        for word, limit in (("limit", panel.above), ("lower limit", panel.below))
        if limit is not None and panel.spec.get("verdict") != "tool"
    ]
    said = ", ".join([said, *limits])
    low = min(one.low for one in values if one.low is not None)
    high = max(one.high for one in values if one.high is not None)
    if low == high:
        return f"{said}. The same all the time."
    return f"{said}. Between {figure(low, '')} and {figure(high, panel.unit)}, {_trend(values)}."


def _trend(values: Sequence[Seen]) -> str:
    some = max(1, len(values) // 10)
    first = fmean(one.value or 0.0 for one in values[:some])
    last = fmean(one.value or 0.0 for one in values[-some:])
    spread = max(abs(first), abs(last)) * 0.1
    if last - first > spread:
        return "higher at its end than at its start"
    return "lower at its end than at its start" if first - last > spread else "steady"
