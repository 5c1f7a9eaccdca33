"""How one model stands: what its health page shows, and its card on the model's page. Reads only.

Each part of the page asks for what it shows, so that a part can be asked for alone. How many
panels a model has changes no number of queries.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from app.core.db import db
from app.health import budgets, history, levels
from app.health.drawing import Plot, Point, plot
from app.health.fleet import LANES
from app.health.levels import Level
from app.health.recording import figure
from app.health.rules import DRIFT, WORST_FIRST, LampState, Lane
from app.health.showing import Shown, shown
from app.health.slo_rules import BURN_ALERTS, Burn, Count, Objective
from app.health.tables import (
    Dataset,
    DatasetModel,
    DriftReport,
    HealthSource,
    Lamp,
    LatencyBudget,
    Panel,
    Slo,
)
from app.web.times import duration

MOST_POINTS = 150  # of a line on a card: two for each slot
DRILLED_WITHIN = 90  # days
OLD_REFERENCE = timedelta(days=30)
SOON = timedelta(days=14)  # until a review is due
SHOWN_BURNS = (timedelta(hours=1), timedelta(hours=6), timedelta(days=3))
PERCENTILE = re.compile(r"\bp(\d{2})(\d*)\b")
OFFSET = re.compile(r"\boffset\s+(\d+)([smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
HEADED = (Lane.LATENCY, Lane.THROUGHPUT, *DRIFT)  # lanes that have a card


# --- Panels -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Watched:
    """A panel, and how its lamp reads at this moment."""

    row: Any  # columns of `Panel` and `Lamp`
    shown: Shown

    @property
    def lane(self) -> Lane:
        return self.row.lane  # type: ignore[no-any-return]  # of a row

    @property
    def limit(self) -> float | None:
        """The upper limit, or the lower one where it is the only one."""
        return self.row.above if self.row.above is not None else self.row.below  # type: ignore[no-any-return]  # of a row

    @property
    def percentile(self) -> float | None:
        return percentile_of(self.row.spec, self.row.title)

    @property
    def value(self) -> float | None:
        """The reading, if it may be shown as one."""
        blind = (LampState.NO_DATA, LampState.UNREACHABLE, LampState.NO_TRAFFIC)
        return None if self.shown.state in blind else self.shown.value

    @property
    def place(self) -> int:
        return WORST_FIRST.index(self.shown.state)


def watched(model_id: int, *, at: datetime) -> list[Watched]:
    """Every open panel of a model, the worst first."""
    rows = db.session.execute(
        select(
            Panel.id, Panel.slug, Panel.title, Panel.lane, Panel.spec, Panel.unit, Panel.window,
            Panel.above, Panel.below, Panel.k, Panel.n, Panel.min_rows, Panel.stale_after,
            Panel.source_id, Panel.dataset_id, Panel.created_at,
            HealthSource.name.label("source"), HealthSource.kind.label("source_kind"),
            Lamp.state, Lamp.value, Lamp.rows, Lamp.newest_at, Lamp.looked_at, Lamp.since,
            Lamp.remark, Lamp.series,
        )
        .outerjoin(Lamp, Lamp.panel_id == Panel.id)
        .outerjoin(HealthSource, HealthSource.id == Panel.source_id)
        .where(Panel.model_id == model_id, Panel.closed_at.is_(None))
    ).all()  # fmt: skip
    found = [Watched(row, shown(row, at=at)) for row in rows]
    return sorted(found, key=lambda one: (one.place, -(one.percentile or 0), one.row.title))


def lamps(panels: Sequence[Watched]) -> list[tuple[str, Watched]]:
    """The worst panel of each lane in use, with the lane's name; the worst lane first."""
    order = list(LANES)
    worst: dict[Lane, Watched] = {}
    for one in panels:
        worst.setdefault(one.lane, one)
    found = sorted(worst.values(), key=lambda one: (one.place, order.index(one.lane)))
    return [(LANES[one.lane], one) for one in found]


def heads(panels: Sequence[Watched], records: Sequence[LatencyBudget]) -> dict[Lane, list[Watched]]:
    """The panels of each lane that has a card, first the one that the card shows: the worst, and
    of equals the one by which the latency budget is measured. What observes a stage is in none."""
    of_stages = _of_stages(panels, records)
    measured = {record.panel_id for record in records}
    found: dict[Lane, list[Watched]] = {}
    for one in sorted(panels, key=lambda one: (one.place, one.row.id not in measured)):
        if one.lane in HEADED and one.row.id not in of_stages:
            found.setdefault(one.lane, []).append(one)
    return found


def others(
    panels: Sequence[Watched], records: Sequence[LatencyBudget]
) -> list[tuple[str, Watched]]:
    """Panels that no card shows, the worst first, each with its lane's name."""
    shown_above = {some[0].row.id for some in heads(panels, records).values()}
    shown_above |= _of_stages(panels, records)
    return [
        (LANES[one.lane], one)
        for one in panels
        if one.row.id not in shown_above and one.row.dataset_id is None
    ]


def _of_stages(panels: Sequence[Watched], records: Sequence[LatencyBudget]) -> set[int]:
    slugs = {stage.get("panel") for record in records for stage in record.stages}
    return {one.row.id for one in panels if one.row.slug in slugs}


def percentile_of(spec: Mapping[str, Any], title: str) -> float | None:
    """Which percentile a panel shows, as in 99; none if it shows none."""
    said = spec.get("q") or (spec.get("labels") or {}).get("quantile")
    try:
        if said is not None:
            return round(float(said) * 100, 6)
    except (TypeError, ValueError):
        return None
    found = PERCENTILE.search(title)
    return float(f"{found[1]}.{found[2] or 0}") if found else None


# --- Charts -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chart:
    """A line on a card, and what it says in one sentence."""

    plot: Plot
    since: datetime
    until: datetime
    sentence: str
    limit: str  # as it is written at its line; empty if there is none
    is_bad: bool
    is_of_days: bool  # its times are days, not hours


def chart_of(
    one: Watched, past: history.Past, *, limit: float | None = None, called: str = "limit"
) -> Chart:
    limit = one.limit if limit is None else limit
    unit = one.row.unit
    drawn = plot(
        past.points,
        since=past.since,
        until=past.until,
        limit=limit,
        silent_after=past.silent_after,
        most=MOST_POINTS,
    )
    said = [f"{one.row.title} over the last {history.SPANS[past.span]}"]
    if drawn.low is None or drawn.high is None:
        said.append("no reading")
    else:
        said.append(f"between {figure(drawn.low, '')} and {figure(drawn.high, unit)}")
        if one.value is not None:
            said.append(f"now {figure(one.value, unit)}")
    if limit is not None:
        said.append(f"{called} {figure(limit, unit)}")
    if drawn.blind_for > timedelta(0):
        said.append(f"not seen for {duration(drawn.blind_for)}")
    if changes := len(drawn.breaks):
        said.append(f"{changes} {'change' if changes == 1 else 'changes'} of method or reference")
    return Chart(
        drawn,
        past.since,
        past.until,
        ", ".join(said),
        "" if limit is None else f"{called} {figure(limit, unit)}",
        one.shown.state is LampState.BREACH,
        past.span > history.DAY,
    )


# --- Service level, error budget, throughput --------------------------------------------------


@dataclass(frozen=True, slots=True)
class Latency:
    shown: Watched
    beside: Sequence[Watched]  # the other percentiles
    chart: Chart
    slo: Slo | None


@dataclass(frozen=True, slots=True)
class BurnRate:
    """How fast the budget goes over one window; `tone` where a burn alert's factor is passed."""

    label: str
    rate: float | None
    tone: str


@dataclass(frozen=True, slots=True)
class Budget:
    """The error budget of one service level."""

    level: Level
    rates: Sequence[BurnRate]
    line: Plot | None  # per cent left; none if it can't be drawn
    even: tuple[float, float]  # y of even spending at the begin and at the end
    since: datetime
    until: datetime
    counted_since: datetime | None  # if that is less than the window
    last_hour: float | None  # events
    others: Sequence[Slo]

    @property
    def is_quiet(self) -> bool:
        """Whether the last hour had too few events to judge a burn."""
        return self.last_hour is not None and self.last_hour < self.level.slo.min_events


@dataclass(frozen=True, slots=True)
class Throughput:
    shown: Watched
    beside: Sequence[Watched]
    chart: Chart
    peak: float | None
    span: str
    record: LatencyBudget | None

    @property
    def away(self) -> float | None:
        """How far the peak is from its target, as a share of the target."""
        if self.peak is None or self.record is None or not self.record.peak_rps:
            return None
        return 1 - self.peak / self.record.peak_rps

    @property
    def held(self) -> float | None:
        """How many times the target the load test held."""
        record = self.record
        if record is None or not record.peak_rps or record.load_tested_rps is None:
            return None
        return record.load_tested_rps / record.peak_rps


@dataclass(frozen=True, slots=True)
class Levels:
    latency: Latency | None
    budget: Budget | None
    throughput: Throughput | None


def levels_of(
    model_id: int, panels: Sequence[Watched], records: Sequence[LatencyBudget], *, at: datetime
) -> Levels:
    lanes = heads(panels, records)
    latency, throughput = lanes.get(Lane.LATENCY), lanes.get(Lane.THROUGHPUT)
    wishes = [
        history.Wish(lane[0].row, most)
        for lane, most in ((latency, history.DAY), (throughput, 7 * history.DAY))
        if lane
    ]
    pasts = history.pasts(model_id, wishes, at=at)
    slos = slos_of(model_id, at=at)
    by_id = {one.slo.id: one.slo for one in slos}
    linked = next((by_id[one.slo_id] for one in records if one.slo_id in by_id), None)
    return Levels(
        latency=Latency(
            latency[0],
            sorted(latency[1:], key=lambda one: -(one.percentile or 0)),
            chart_of(latency[0], pasts[latency[0].row.id]),
            linked or (slos[0].slo if slos else None),
        )
        if latency
        else None,
        budget=_budget(slos, at=at) if slos else None,
        throughput=_throughput(throughput, pasts, records, at=at) if throughput else None,
    )


def slos_of(model_id: int, *, at: datetime) -> list[Level]:
    """The service levels of a model: what burns first, then what has least left."""
    found = [levels.level(slo, at=at) for slo in levels.of_model(model_id)]
    order = [Burn.PAGE.value, Burn.TICKET.value, ""]
    return sorted(
        found,
        key=lambda one: (
            order.index(one.slo.burning) if one.slo.burning in order else len(order),
            one.left if one.left is not None else 2.0,
            one.slo.id,
        ),
    )


def _budget(slos: Sequence[Level], *, at: datetime) -> Budget:
    worst = slos[0]
    objective, counts = levels.objective_of(worst.slo), levels.counts_of(worst.slo)
    since = at - objective.window
    steps = history.counted(worst.slo.id, objective.window, at=at)
    whole = counts.get(objective.window)
    line = _budget_line(worst, objective, whole, steps, at=at)
    hour = counts.get(timedelta(hours=1))
    began = steps[0][0] if steps else None
    return Budget(
        level=worst,
        rates=[_burn_rate(window, worst, objective) for window in SHOWN_BURNS],
        line=line,
        even=(line.y(100.0), line.y(0.0)) if line else (0.0, 100.0),
        since=since,
        until=at,
        counted_since=began if began and began - since > objective.window / 20 else None,
        last_hour=hour.total if hour else None,
        others=[one.slo for one in slos[1:]],
    )


def _budget_line(
    level: Level,
    objective: Objective,
    whole: Count | None,
    steps: Sequence[tuple[datetime, float]],
    *,
    at: datetime,
) -> Plot | None:
    """What was left step by step: the line ends at what is left now."""
    if level.left is None or whole is None or whole.expected is None or len(steps) < 2:
        return None
    allowed = whole.expected * objective.budget
    newest = steps[-1][1]
    points = [Point(moment, (level.left + (newest - bad) / allowed) * 100) for moment, bad in steps]
    return plot(
        points,
        since=at - objective.window,
        until=at,
        silent_after=objective.window / history.SLOTS * 2.5,
        also=(0.0, 92.0),
    )


def _burn_rate(window: timedelta, level: Level, objective: Objective) -> BurnRate:
    rate = level.rates.get(window)
    alert = next(one for one in BURN_ALERTS if one.long == window)
    is_over = rate is not None and rate > alert.factor(objective.window)
    tone = {Burn.PAGE: "bad", Burn.TICKET: "warn"}[alert.burn] if is_over else ""
    return BurnRate(duration(window), rate, tone)


def _throughput(
    panels: Sequence[Watched],
    pasts: Mapping[int, history.Past],
    records: Sequence[LatencyBudget],
    *,
    at: datetime,
) -> Throughput:
    worst = panels[0]
    past = pasts[worst.row.id]
    record = next((one for one in records if one.peak_rps or one.load_tested_rps), None)
    target = record.peak_rps if record else None
    values = [point.value for point in past.points if point.value is not None]
    return Throughput(
        worst,
        panels[1:],
        chart_of(worst, past, limit=target, called="peak target" if target else "limit"),
        max(values, default=None),
        "1 hour" if past.span == history.HOUR else history.SPANS[past.span],
        record,
    )


# --- Drift ------------------------------------------------------------------------------------


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


# --- Stages -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage, and how long it takes."""

    said: budgets.Stage
    watched: Watched | None
    reading: float | None  # ms

    @property
    def share(self) -> float:
        """How far the bar goes, in per cent: its budget is in the middle."""
        return min(100.0, (self.reading or 0.0) / self.said.budget_ms * 50)

    @property
    def is_over(self) -> bool:
        return self.reading is not None and self.reading > self.said.budget_ms


@dataclass(frozen=True, slots=True)
class Stages:
    record: LatencyBudget
    stages: Sequence[Stage]
    slack: float  # ms; below 0 the stages take more than there is


def stages_of(panels: Sequence[Watched], records: Sequence[LatencyBudget]) -> list[Stages]:
    found = []
    for record in records:
        stages = [one for one in budgets.draft_of(record).stages if one.budget_ms > 0]
        slack = budgets.slack_of(record.budget_ms, stages)
        found.append(Stages(record, [_stage(one, panels) for one in stages], slack))
    return found


def _stage(stage: budgets.Stage, panels: Sequence[Watched]) -> Stage:
    found = _observing(stage.panel, panels)
    reading = None
    if found is not None and found.value is not None:
        reading = found.value * (1000 if found.row.unit == "s" else 1)
    return Stage(stage, found, reading)


def _observing(slug: str | None, panels: Sequence[Watched]) -> Watched | None:
    return next((one for one in panels if slug and one.row.slug == slug), None)


# --- The failover ladder ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rung:
    said: budgets.Rung
    days: int | None  # since its last drill

    @property
    def proof(self) -> str:
        if self.days is None:
            return "never_tested"
        return "proven" if self.days <= DRILLED_WITHIN else "too_old"


def ladder_of(record: LatencyBudget, *, at: datetime) -> list[Rung]:
    today = at.date()
    return [
        Rung(rung, (today - rung.drilled_on).days if rung.drilled_on else None)
        for rung in budgets.draft_of(record).ladder
    ]


# --- Data inputs ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InputCell:
    """A lamp of a data input."""

    watched: Watched
    state: LampState
    line: str
    loaded_at: datetime | None = None  # of a freshness that can be counted
    fresh_for: float | None = None  # seconds


@dataclass(frozen=True, slots=True)
class Input:
    dataset: Dataset
    cells: Mapping[Lane, InputCell]
    reviewed: str  # when access was last reviewed, or is due
    is_due: bool

    @property
    def place(self) -> int:
        return min((WORST_FIRST.index(cell.state) for cell in self.cells.values()), default=99)


def inputs_of(model_id: int, panels: Sequence[Watched], *, at: datetime) -> list[Input]:
    """The data inputs of a model with their lamps, the worst first."""
    rows = db.session.scalars(
        select(Dataset)
        .join(DatasetModel, DatasetModel.dataset_id == Dataset.id)
        .where(DatasetModel.model_id == model_id)
        .options(joinedload(Dataset.team))
        .order_by(Dataset.slug)
    ).all()
    found = sorted(
        (one for one in panels if one.row.dataset_id), key=lambda one: one.row.dataset_id
    )
    by_input = {key: list(some) for key, some in groupby(found, lambda one: one.row.dataset_id)}
    inputs = [_input(row, by_input.get(row.id, ()), at) for row in rows]
    return sorted(inputs, key=lambda one: one.place)


def _input(row: Dataset, panels: Sequence[Watched], at: datetime) -> Input:
    cells: dict[Lane, InputCell] = {}
    for one in panels:
        if one.lane is Lane.FRESHNESS:
            cells.setdefault(one.lane, _freshness(row, one, at))
        else:
            cells.setdefault(one.lane, InputCell(one, one.shown.state, _line_of(row, one)))
    reviewed, is_due = _review(row, at)
    return Input(row, cells, reviewed, is_due)


def _freshness(row: Dataset, one: Watched, at: datetime) -> InputCell:
    """Counted from the last load to this moment, not to the last look."""
    limit = one.row.above
    is_known = one.shown.state in (LampState.OK, LampState.BREACH, LampState.PARTIAL)
    if row.loaded_at is None or not is_known:
        return InputCell(one, one.shown.state, one.shown.line)
    state = one.shown.state
    if state is LampState.OK and limit is not None:
        age = (at - row.loaded_at).total_seconds()
        state = LampState.BREACH if age > limit else state
    return InputCell(one, state, "", row.loaded_at, limit)


def _line_of(row: Dataset, one: Watched) -> str:
    """What stands under the word of a schema or an access."""
    if one.shown.state is not LampState.OK:
        return one.row.remark or one.shown.line
    said = row.contract if one.lane is Lane.SCHEMA else row.access_role
    return said or one.shown.line


def _review(row: Dataset, at: datetime) -> tuple[str, bool]:
    """When access was reviewed, or when it has to be."""
    today = at.date()
    for what, day in (("ends", row.access_ends_on), ("review due", row.access_review_due)):
        if day is not None and day - today <= SOON:
            return f"{what} {day_in_words(day, today)}", True
    if row.access_reviewed_on is not None:
        return f"reviewed {day_in_words(row.access_reviewed_on, today)}", False
    return "never reviewed", True


def day_in_words(day: date, today: date) -> str:
    """As in: 12 February, with the year when it is another."""
    return f"{day.day} {day:%B}" + ("" if day.year == today.year else f" {day.year}")
