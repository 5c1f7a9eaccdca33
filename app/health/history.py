"""What panels and budgets said over days, as points for small charts: one query for all of them.

The database sums readings up to slots, so that a chart costs the same however often a source is
looked at. Reports are drawn from the reports themselves, because many come later than the hour in
which their window ended.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from typing import Any

from sqlalchemy import BigInteger, and_, case, cast, extract, func, or_, select, union_all

from app.core.db import db
from app.health.drawing import Point
from app.health.rules import BLIND, LampState
from app.health.sources.drift.observing import takes
from app.health.tables import DriftReport, Reading, ReadingHour, SloCount

SLOTS = 60  # of a chart; each gives its lowest and its highest value
FINE = timedelta(hours=24)  # before that, hours will do
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# A chart shows as much as there is, so that the first hour of a panel fills it too.
SPANS = {
    timedelta(minutes=15): "15 minutes",
    HOUR: "hour",
    3 * HOUR: "3 hours",
    12 * HOUR: "12 hours",
    DAY: "24 hours",
    3 * DAY: "3 days",
    7 * DAY: "7 days",
    14 * DAY: "14 days",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """A panel whose past is wanted."""

    panel: Any  # id, created_at, stale_after, spec, lane, source_id, newest_at, value and series
    most: timedelta  # how far back


@dataclass(frozen=True, slots=True)
class Past:
    """The points of one panel, oldest first, and the time they are drawn over."""

    points: Sequence[Point]
    since: datetime
    until: datetime
    span: timedelta
    silent_after: timedelta  # no point for longer is a gap


def is_reported(panel: Any) -> bool:
    """Whether reports of a drift tool are behind the panel, not readings of a page of metrics."""
    return "verdict" in panel.spec


def pasts(model_id: int, wishes: Sequence[Wish], *, at: datetime) -> dict[int, Past]:
    """The past of each panel, by its id."""
    spans = {wish.panel.id: _covering(at - wish.panel.created_at, wish.most) for wish in wishes}
    read = [wish for wish in wishes if not is_reported(wish.panel)]
    told = [wish for wish in wishes if is_reported(wish.panel)]
    points = _read(spans, read, at=at) | _reported(model_id, spans, told, at=at)
    return {
        wish.panel.id: _past(wish, spans[wish.panel.id], points.get(wish.panel.id, []), at)
        for wish in wishes
    }


def _past(wish: Wish, span: timedelta, points: list[Point], at: datetime) -> Past:
    panel = wish.panel
    if (newest := _newest(panel)) is not None:
        # A slot tells its range; the line ends at the newest value. A report tells its own.
        is_known = bool(points) and is_reported(panel) and points[-1].at >= newest.at
        points = points if is_known else [one for one in points if one.at < newest.at] + [newest]
    if points:
        span = _covering(at - points[0].at, wish.most)
    slot = span / SLOTS
    # The frame moves on by slots: between two of them a chart stays the same, byte for byte.
    begun = (at - datetime(1970, 1, 1, tzinfo=UTC)) // slot * slot
    until = datetime(1970, 1, 1, tzinfo=UTC) + begun + slot
    silent_after = timedelta(seconds=panel.stale_after) + slot
    if span > FINE and not is_reported(panel):
        silent_after = max(silent_after, 2 * HOUR)  # a point is an hour there
    return Past(points, until - span, until, span, silent_after)


def _newest(panel: Any) -> Point | None:
    """The value that the lamp shows, unless there has been nothing to see since."""
    gone = (*BLIND, LampState.NO_TRAFFIC)
    if panel.newest_at is None or panel.value is None or panel.state in gone:
        return None
    return Point(panel.newest_at, panel.value, series=panel.series or "")


def _covering(age: timedelta, most: timedelta) -> timedelta:
    return next((span for span in SPANS if age <= span < most), most)


# --- Readings ---------------------------------------------------------------------------------


def _read(
    spans: Mapping[int, timedelta], wishes: Sequence[Wish], *, at: datetime
) -> dict[int, list[Point]]:
    if not wishes:
        return {}
    ids = [wish.panel.id for wish in wishes]
    found: dict[int, list[Point]] = defaultdict(list)
    begin = at - max(spans[panel_id] for panel_id in ids)
    for row in _hours([one for one in ids if spans[one] > FINE], begin, at - FINE):
        middle = row.at + HOUR / 2
        blind = (row.at, row.at + HOUR) if row.state in BLIND else (None, None)
        found[row.panel_id] += _points(row, (middle, middle), blind, found[row.panel_id])
    for row in _slots(ids, spans, at):
        seen, blind = (row.first, row.last), (row.first_blind, row.last_blind)
        found[row.panel_id] += _points(row, seen, blind, found[row.panel_id])
    return {panel_id: sorted(points, key=lambda one: one.at) for panel_id, points in found.items()}


def _width(span: timedelta) -> int:
    """Seconds of a slot."""
    return max(1, min(int(span.total_seconds()) // SLOTS, 3600))


def _hours(ids: Sequence[int], since: datetime, until: datetime) -> Sequence[Any]:
    hour = ReadingHour
    if not ids:
        return []
    return db.session.execute(
        select(
            hour.panel_id,
            hour.at,
            hour.at.label("end"),
            hour.state,
            hour.low,
            hour.high,
            hour.series,
        )
        # An hour that readings tell of as well is not told of twice.
        .where(hour.panel_id.in_(ids), hour.at >= since, hour.at < until - HOUR)
        .order_by(hour.at)
    ).all()


def _slots(ids: Sequence[int], spans: Mapping[int, timedelta], at: datetime) -> Sequence[Any]:
    """The lowest and highest reading of each slot of the last day."""
    widths = {panel_id: _width(spans[panel_id]) for panel_id in ids}
    width = case(widths, value=Reading.panel_id, else_=1)
    slot = cast(extract("epoch", Reading.at), BigInteger) // width
    since = {panel_id: at - min(spans[panel_id], FINE) for panel_id in ids}
    has_value, was_blind = Reading.value.is_not(None), Reading.state.in_(list(BLIND))
    return db.session.execute(
        select(
            Reading.panel_id,
            Reading.series,
            func.min(Reading.value).label("low"),
            func.max(Reading.value).label("high"),
            func.min(case((has_value, Reading.at))).label("first"),
            func.max(case((has_value, Reading.at))).label("last"),
            func.min(case((was_blind, Reading.at))).label("first_blind"),
            func.max(case((was_blind, Reading.at))).label("last_blind"),
            func.max(Reading.at).label("end"),
        )
        .where(
            or_(
                *(
                    and_(Reading.panel_id == panel_id, Reading.at >= begin, Reading.at <= at)
                    for panel_id, begin in since.items()
                )
            )
        )
        .group_by(Reading.panel_id, slot, Reading.series)
        .order_by("end")
    ).all()


Times = tuple[datetime | None, datetime | None]


def _points(row: Any, seen: Times, blind: Times, before: Sequence[Point]) -> list[Point]:
    """What is drawn of a slot or of an hour: its range, and from when to when nobody saw."""
    found = [Point(moment, None, True, row.series) for moment in blind if moment is not None]
    found += _range(row, seen, row.series, before)
    return found or [Point(row.end, None, series=row.series)]


def _range(row: Any, seen: Times, series: str, before: Sequence[Point]) -> list[Point]:
    """The lowest and the highest value; one point where there was one.

    Which of them came first is not known: the nearer to the value before, or slopes had teeth.
    """
    if row.low is None:
        return []
    values, last = [row.low, row.high], before[-1].value if before else None
    if last is not None and abs(last - row.high) < abs(last - row.low):
        values.reverse()
    return [
        Point(moment, value, series=series)
        for moment, value in dict.fromkeys(zip(seen, values, strict=True))
        if moment is not None
    ]


# --- Reports ----------------------------------------------------------------------------------


def _reported(
    model_id: int, spans: Mapping[int, timedelta], wishes: Sequence[Wish], *, at: datetime
) -> dict[int, list[Point]]:
    """The range of what was told of the windows of each slot, by method and reference."""
    if not wishes:
        return {}
    report = DriftReport
    width = case(
        *((report.kind == wish.panel.lane, _width(spans[wish.panel.id])) for wish in wishes),
        else_=1,
    )
    names = (
        report.kind, report.source_id, report.model_version, report.method, report.reference_id,
    )  # fmt: skip
    rows = db.session.execute(
        select(
            *names,
            func.min(report.value).label("low"),
            func.max(report.value).label("high"),
            func.min(report.window_end).label("first"),
            func.max(report.window_end).label("last"),
        )
        .where(
            report.model_id == model_id,
            report.kind.in_({wish.panel.lane for wish in wishes}),
            report.window_end >= at - max(wish.most for wish in wishes),
            report.window_end <= at,
        )
        .group_by(*names, cast(extract("epoch", report.window_end), BigInteger) // width)
        .order_by("last")
    ).all()
    found: dict[int, list[Point]] = {wish.panel.id: [] for wish in wishes}
    for wish, row in product(wishes, rows):
        if is_about(wish.panel, row):
            points = found[wish.panel.id]
            points += _range(row, (row.first, row.last), _series(row), points)
    return {panel_id: sorted(points, key=lambda one: one.at) for panel_id, points in found.items()}


def _series(report: Any) -> str:
    return f"{report.method} · {report.reference_id}"[:200]


def is_about(panel: Any, report: Any) -> bool:
    """Whether a report is one that the panel shows."""
    return bool(
        report.kind is panel.lane
        and report.source_id == panel.source_id
        and takes(panel.spec, report)
    )


def newest_reports(model_id: int, panels: Sequence[Any], *, at: datetime) -> dict[int, DriftReport]:
    """The report behind each panel of reports: that of its newest window, the worst of several."""
    windows = [
        and_(DriftReport.kind == panel.lane, DriftReport.window_end == panel.newest_at)
        for panel in panels
        if is_reported(panel) and panel.newest_at is not None
    ]
    if not windows:
        return {}
    rows = db.session.scalars(
        select(DriftReport).where(DriftReport.model_id == model_id, or_(*windows))
    ).all()
    found = {}
    for panel in panels:
        its = [row for row in rows if row.window_end == panel.newest_at and is_about(panel, row)]
        if its:
            found[panel.id] = max(
                its, key=lambda one: (bool(one.said_outside), abs(one.value or 0.0), one.id)
            )
    return found


# --- Error budgets ----------------------------------------------------------------------------


def counted(slo_id: int, window: timedelta, *, at: datetime) -> list[tuple[datetime, float]]:
    """Bad events of a service level so far: at the first count in its window, and at the end of
    each slot of it."""
    ends = [at - window + window / SLOTS * number for number in range(SLOTS + 1)]
    # A look-up for each slot: a row for each minute of a month would be forty thousand.
    newest = union_all(
        *(
            select(func.max(SloCount.at)).where(
                SloCount.slo_id == slo_id, SloCount.at > begin, SloCount.at <= end
            )
            for begin, end in pairwise(ends)
        ),
        # A young level has counted within one slot only.
        select(func.min(SloCount.at)).where(SloCount.slo_id == slo_id, SloCount.at > ends[0]),
    )
    rows = db.session.execute(
        select(SloCount.at, SloCount.bad)
        .where(SloCount.slo_id == slo_id, SloCount.at.in_(newest))
        .order_by(SloCount.at)
    )
    return [(moment, bad) for moment, bad in rows]
