"""The drift lanes of a model's health page: each with how it is judged. Reads only."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.health import history
from app.health.fleet import LANES
from app.health.recording import figure
from app.health.rules import DRIFT, Lane
from app.health.standing import Chart, Watched, chart_of, heads
from app.health.tables import DriftReport
from app.web.times import duration

OLD_REFERENCE = timedelta(days=30)
OFFSET = re.compile(r"\boffset\s+(\d+)([smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of how a drift lane is judged."""

    term: str
    text: str
    age: str = ""  # of a reference, as in: 3 days old
    is_old: bool = False


@dataclass(frozen=True, slots=True)
class DriftLane:
    """One of the three lanes. They are never merged."""

    lane: Lane
    title: str
    shown: Watched | None
    beside: Sequence[Watched] = ()
    chart: Chart | None = None
    facts: Sequence[Fact] = ()


def drift_of(model_id: int, panels: Sequence[Watched], *, at: datetime) -> list[DriftLane]:
    headed = heads(panels, ())
    lanes = {lane: headed.get(lane, []) for lane in DRIFT}
    worst = [found[0] for found in lanes.values() if found]
    wishes = [history.Wish(one.row, 14 * history.DAY) for one in worst]
    pasts = history.pasts(model_id, wishes, at=at)
    reports = history.newest_reports(model_id, [one.row for one in worst], at=at)
    return [
        DriftLane(
            lane,
            LANES[lane],
            found[0],
            found[1:],
            chart_of(found[0], pasts[found[0].row.id]),
            _facts(found[0], reports.get(found[0].row.id), at=at),
        )
        if found
        else DriftLane(lane, LANES[lane], None)
        for lane, found in lanes.items()
    ]


def _facts(one: Watched, report: DriftReport | None, *, at: datetime) -> list[Fact]:
    row = one.row
    found = [
        Fact("Method", _method(row, report)),
        Fact("Threshold", _threshold(one, report)),
        Fact("Window", duration(_window(row, report))),
        Fact("Rows", _rows(row)),
        _reference(row, report, at),
    ]
    if report is not None and (worst := _worst_parts(report)):
        found.insert(1, Fact("Outside", worst))
    return found


def _method(row: Any, report: DriftReport | None) -> str:
    if report is not None and report.method:
        looked_at = len(report.parts)
        return report.method + (f", over {looked_at} features" if looked_at > 1 else "")
    if row.spec.get("stat") == "distribution_gap":
        return "Largest gap between two distributions of latency"
    if row.spec.get("query"):
        return f"A query of {row.source}" if row.source else "A query"
    return str(row.spec.get("method") or "Not told yet")


def _worst_parts(report: DriftReport) -> str:
    """The features that are outside, the furthest first."""
    outside = [part for part in report.parts if part.get("is_outside")]
    outside.sort(key=lambda part: -abs(part.get("value") or 0.0))
    named = [
        part["name"] + ("" if part.get("value") is None else f" {figure(part['value'], '')}")
        for part in outside[:3]
    ]
    more = len(outside) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _threshold(one: Watched, report: DriftReport | None) -> str:
    row = one.row
    if row.spec.get("verdict") == "tool":
        if report is None or report.threshold is None:
            return "The tool’s own verdict"
        text = f"{figure(report.threshold, row.unit)}, the tool’s own"
    elif one.limit is None:
        return "None is set"
    else:
        text = f"{'Above' if row.above is not None else 'Below'} {figure(one.limit, row.unit)}"
    return text + (f", in {row.k} of {row.n} windows" if row.n > 1 else "")


def _window(row: Any, report: DriftReport | None) -> timedelta:
    if report is not None and report.window_start is not None:
        return report.window_end - report.window_start
    return timedelta(seconds=row.window)


def _rows(row: Any) -> str:
    if row.rows is None:
        return "The source does not say"
    least = f" of the {figure(row.min_rows, '')} that it takes" if row.rows < row.min_rows else ""
    return figure(row.rows, "") + least


def _reference(row: Any, report: DriftReport | None, at: datetime) -> Fact:
    if report is not None:
        name, taken_at = report.reference_id or "Not named", report.reference_at
        if taken_at is None:
            return Fact("Reference", name)
        age = max(at - taken_at, timedelta(0))
        said = f"{age.days} days old" if age.days > 1 else f"{duration(age)} old"
        return Fact("Reference", name, said, age > OLD_REFERENCE)
    if offset := _offset(row.spec):
        return Fact("Reference", f"The same {duration(row.window)}, {duration(offset)} before")
    return Fact("Reference", "Not told yet")


def _offset(spec: Mapping[str, Any]) -> int | None:
    """How long ago the reference of a latency panel was, in seconds."""
    if spec.get("stat") == "distribution_gap":
        return int(spec.get("offset", SECONDS["w"]))
    found = OFFSET.search(str(spec.get("query", "")))
    return int(found[1]) * SECONDS[found[2]] if found else None
