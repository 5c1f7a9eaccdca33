"""How one model stands: what its health page shows, and its card on the model's page. Reads only.

Its drift lanes are in `drift_lanes`, its data inputs in `input_lamps`.
Each part of the page asks for what it shows, so that a part can be asked for alone. How many
panels a model has changes no number of queries.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from app.core.db import db
from app.health import budgets, history, levels
from app.health.drawing import Plot, Point, plot
from app.health.fleet import LANES
from app.health.levels import Level
from app.health.recording import figure
from app.health.rules import DRIFT, WORST_FIRST, LampState, Lane
from app.health.showing import Shown, shown
from app.health.slo_rules import BURN_ALERTS, Burn, Count, Objective
from app.health.tables import HealthSource, Lamp, LatencyBudget, Panel, Slo
from app.web.times import duration

MOST_POINTS = 150  # of a line on a card: two for each slot
DRILLED_WITHIN = 90  # days
SHOWN_BURNS = (timedelta(hours=1), timedelta(hours=6), timedelta(days=3))
PERCENTILE = re.compile(r"\bp(\d{2})(\d*)\b")
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
