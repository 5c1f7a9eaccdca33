"""Service levels, latency budgets and data inputs as JSON, in and out."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from app.health import budgets, counting, levels
from app.health.budgets import BudgetDraft, Rung, Stage
from app.health.datasets import Promise
from app.health.inputs import InputLine
from app.health.level_imports import Plan
from app.health.levels import Level
from app.health.rules import LampState
from app.health.service import SloDraft
from app.health.showing import Shown
from app.health.tables import LatencyBudget, Slo
from app.web.texts import Strict

Words = Annotated[str, AfterValidator(str.strip)]
Title = Annotated[Words, Field(min_length=1, max_length=120)]
Target = Annotated[float, Field(gt=0, lt=1, description="As a ratio: 0.99 is 99 %.")]
Days = Annotated[int, Field(ge=1, le=90)]
Events = Annotated[
    float, Field(ge=0, lt=1e15, description="Fewer in an alert's long window fire nothing.")
]
Mode = Annotated[Words, Field(max_length=80)]
Spec = Annotated[
    dict[str, Any],
    Field(
        description="What is counted. OpenMetrics: metric, labels and bad, not_bad, bad_metric or "
        "over. Prometheus: bad and total, queries with $w for the window, or recorded: sloth with "
        "service and slo, or recorded: pyrra with slo."
    ),
]
Source = Annotated[str, Field(max_length=80, description="Slug of the source that is asked.")]
Milliseconds = Annotated[float, Field(gt=0, lt=1e9)]
Figure = Annotated[float, Field(ge=0, lt=1e9)]
Text = Annotated[Words, Field(max_length=120)]


# --- Service levels


class SloIn(Strict):
    title: Title
    target: Target
    window_days: Days = 28
    source: Source
    spec: Spec
    min_events: Annotated[
        Events | None, Field(description="Left out: 100, or none where only a ratio is recorded.")
    ] = None
    failure_mode: Mode = ""
    slug: Annotated[Words, Field(max_length=80)] = ""

    def as_draft(self) -> SloDraft:
        return SloDraft(
            title=self.title,
            target=self.target,
            window_days=self.window_days,
            spec={name: said for name, said in self.spec.items() if name != counting.KEPT},
            min_events=(
                counting.fewest_events(self.spec) if self.min_events is None else self.min_events
            ),
            failure_mode=self.failure_mode,
            slug=self.slug,
        )


class SloPatch(Strict):
    """What is left out, or null, stays."""

    title: Title | None = None
    target: Target | None = None
    window_days: Days | None = None
    source: Source | None = None
    spec: Spec | None = None
    min_events: Events | None = None
    failure_mode: Mode | None = None

    def onto(self, now: SloDraft) -> SloDraft:
        spec = dict(now.spec)
        if self.spec is not None:
            kept = {counting.KEPT: spec[counting.KEPT]} if counting.KEPT in spec else {}
            spec = {**self.spec, **kept}
        return SloDraft(
            title=self.title or now.title,
            target=self.target or now.target,
            window_days=self.window_days or now.window_days,
            spec=spec,
            min_events=now.min_events if self.min_events is None else self.min_events,
            failure_mode=now.failure_mode if self.failure_mode is None else self.failure_mode,
            slug=now.slug,
        )


class SloOut(BaseModel):
    slug: str
    title: str
    target: float
    window_days: int
    source: str | None
    spec: dict[str, Any]
    min_events: float
    failure_mode: str
    burning: Literal["", "page", "ticket"]
    burning_since: datetime | None
    looked_at: datetime | None
    closed_at: datetime | None
    created_at: datetime
    version: int

    @classmethod
    def of(cls, slo: Slo) -> "SloOut":
        return cls(
            slug=slo.slug,
            title=slo.title,
            target=slo.target,
            window_days=slo.window_days,
            source=slo.source.slug if slo.source else None,
            spec={name: said for name, said in slo.spec.items() if name != counting.KEPT},
            min_events=slo.min_events,
            failure_mode=slo.failure_mode,
            burning=slo.burning,  # one of those
            burning_since=slo.burning_since,
            looked_at=slo.looked_at,
            closed_at=slo.closed_at,
            created_at=slo.created_at,
            version=slo.version,
        )


class Slos(BaseModel):
    items: list[SloOut]
    next: str | None = None


class SloListing(Strict):
    closed: bool = Field(False, description="Also those that are closed.")


class WindowOut(BaseModel):
    seconds: int
    bad: float | None
    total: float | None
    burn_rate: float | None = Field(description="1 spends the budget evenly over the window.")


class AlertOut(BaseModel):
    burn: Literal["page", "ticket"]
    spent: float
    long_seconds: int
    short_seconds: int
    factor: float
    state: str
    detects_total_outage_after: float | None = Field(description="Seconds; null: never.")


class StatusOut(BaseModel):
    left: float | None = Field(description="Share of the error budget; null: not known.")
    exhausted_in: float | None = Field(description="Seconds, at the last hour's pace.")
    is_current: bool = Field(description="Counted within the last minutes.")
    burning: str
    looked_at: datetime | None
    windows: list[WindowOut]
    alerts: list[AlertOut]

    @classmethod
    def of(cls, level: Level, *, at: datetime) -> "StatusOut":
        slo = level.slo
        counts = levels.counts_of(slo)
        tells = counting.tells_events(slo.spec)
        lengths = [*level.rates, levels.objective_of(slo).window]
        return cls(
            left=level.left,
            exhausted_in=None if level.exhausted_in is None else level.exhausted_in.total_seconds(),
            is_current=level.is_current,
            burning=slo.burning,
            looked_at=slo.looked_at,
            windows=[
                WindowOut(
                    seconds=int(length.total_seconds()),
                    bad=counts[length].bad if tells and length in counts else None,
                    total=counts[length].total if tells and length in counts else None,
                    burn_rate=levels.rate_of(slo, length),
                )
                for length in lengths
            ],
            alerts=[
                AlertOut(
                    burn=line.alert.burn.value,
                    spent=line.alert.spent,
                    long_seconds=int(line.alert.long.total_seconds()),
                    short_seconds=int(line.alert.short.total_seconds()),
                    factor=line.factor,
                    state=line.firing.value,
                    detects_total_outage_after=(
                        None if line.delay is None else line.delay.total_seconds()
                    ),
                )
                for line in levels.burn_lines(slo, at=at)
            ],
        )


class OpenSloQuery(Strict):
    dry_run: bool = Field(False, description="Only tell what would be done.")
    source: str = Field("", description="Slug of the source for what names none that is known.")


class OpenSloStep(BaseModel):
    slug: str
    title: str
    does: Literal["create", "change", "reopen", "keep"]
    source: str
    changes: list[str]
    warnings: list[str]


class OpenSloOut(BaseModel):
    problems: list[str]
    notes: list[str] = Field(description="What is read otherwise, or has no place here.")
    steps: list[OpenSloStep]

    @classmethod
    def of(cls, plan: Plan) -> "OpenSloOut":
        return cls(
            problems=list(plan.problems),
            notes=list(plan.notes),
            steps=[
                OpenSloStep(
                    slug=step.draft.slug,
                    title=step.draft.title,
                    does=step.does,
                    source=step.source.slug,
                    changes=list(step.changes),
                    warnings=list(step.warnings),
                )
                for step in plan.steps
            ],
        )


# --- Latency budgets


class StageIn(Strict):
    name: Annotated[Words, Field(min_length=1, max_length=80)]
    budget_ms: Milliseconds
    owner: Text = ""
    panel: str = Field("", max_length=80, description="Slug of the panel that observes it.")


class RungIn(Strict):
    title: Title
    trigger: Annotated[Words, Field(max_length=200)] = ""
    seconds: Figure | None = Field(None, description="To switch.")
    cost: Annotated[Words, Field(max_length=200)] = ""
    drilled_on: date | None = None


class BudgetIn(Strict):
    percentile: float = Field(gt=0, lt=100)
    budget_ms: Milliseconds
    clock: Literal["client", "edge", "server", "model"] = "server"
    panel: str | None = Field(None, description="Slug of the panel that measures it.")
    slo: str | None = Field(None, description="Slug of its service level.")
    stages: list[StageIn] = Field(default_factory=list, max_length=budgets.MOST_ROWS)
    timeouts: Annotated[Words, Field(max_length=2_000)] = ""
    peak_rps: Figure | None = None
    load_tested_rps: Figure | None = None
    load_tested_on: date | None = None
    ladder: list[RungIn] = Field(default_factory=list, max_length=budgets.MOST_ROWS)
    approved_by: Text = ""
    review_on: date | None = None

    def as_draft(self, route: str, *, panel_id: int | None, slo_id: int | None) -> BudgetDraft:
        return BudgetDraft(
            route=route,
            percentile=self.percentile,
            budget_ms=self.budget_ms,
            clock=self.clock,
            panel_id=panel_id,
            slo_id=slo_id,
            stages=tuple(Stage(**stage.model_dump()) for stage in self.stages),
            timeouts=self.timeouts,
            peak_rps=self.peak_rps,
            load_tested_rps=self.load_tested_rps,
            load_tested_on=self.load_tested_on,
            ladder=tuple(Rung(**rung.model_dump()) for rung in self.ladder),
            approved_by=self.approved_by,
            review_on=self.review_on,
        )


class RouteQuery(Strict):
    route: Text = ""


class BudgetOut(BaseModel):
    route: str
    percentile: float
    budget_ms: float
    slack_ms: float = Field(description="What the stages leave; below 0 they take too much.")
    clock: str
    panel: str | None
    slo: str | None
    bucket_matched: bool | None
    stages: list[dict[str, Any]]
    timeouts: str
    peak_rps: float | None
    load_tested_rps: float | None
    load_tested_on: date | None
    ladder: list[dict[str, Any]]
    approved_by: str
    review_on: date | None
    updated_at: datetime
    updated_by: str
    version: int

    @classmethod
    def of(cls, row: LatencyBudget, *, panel: str | None, slo: str | None) -> "BudgetOut":
        same = ("route", "percentile", "budget_ms", "clock", "bucket_matched", "timeouts",
                "peak_rps", "load_tested_rps", "load_tested_on", "approved_by", "review_on",
                "updated_at", "updated_by", "version")  # fmt: skip
        return cls(
            **{name: getattr(row, name) for name in same},
            panel=panel,
            slo=slo,
            slack_ms=budgets.slack_of(row.budget_ms, budgets.draft_of(row).stages),
            stages=list(row.stages),
            ladder=list(row.ladder),
        )


# --- Data inputs


class LampOut(BaseModel):
    state: LampState
    says: str

    @classmethod
    def of(cls, lamp: Shown) -> "LampOut":
        return cls(state=lamp.state, says=lamp.line)


class InputOut(BaseModel):
    name: str
    team: str | None
    contract: str
    fresh_within: int | None = Field(description="Seconds that were promised.")
    schema_: LampOut = Field(serialization_alias="schema")
    freshness: LampOut
    access: LampOut
    loaded_at: datetime | None
    access_role: str
    access_approver: str
    access_reviewed_on: date | None
    access_review_due: date | None
    access_ends_on: date | None
    models: int
    version: int

    @classmethod
    def of(cls, line: InputLine) -> "InputOut":
        row = line.dataset
        same = ("contract", "fresh_within", "loaded_at", "access_role", "access_approver",
                "access_reviewed_on", "access_review_due", "access_ends_on", "version")  # fmt: skip
        lamps = {lane.value: LampOut.of(lamp) for lane, lamp in line.lamps.items()}
        return cls(
            name=row.slug,
            team=row.team.slug if row.team else None,
            schema_=lamps["schema"],
            freshness=lamps["freshness"],
            access=lamps["access"],
            models=line.models,
            **{name: getattr(row, name) for name in same},
        )


class Inputs(BaseModel):
    items: list[InputOut]
    next: str | None


class InputListing(Strict):
    search: Words = ""
    state: LampState | None = None
    model: str = ""
    cursor: str | None = Field(None, description="`next` of the page before.")
    limit: int = Field(50, ge=1, le=200)


class PromisePatch(Strict):
    """What is left out stays; null takes it away."""

    team: str | None = Field(None, description="Slug.")
    contract: Annotated[Words, Field(max_length=120)] | None = None
    fresh_within: int | None = Field(None, ge=60, le=366 * 86_400, description="Seconds.")

    def onto(self, now: Promise) -> Promise:
        said = self.model_fields_set
        return Promise(
            self.team if "team" in said else now.team,
            self.contract or "" if "contract" in said else now.contract,
            self.fresh_within if "fresh_within" in said else now.fresh_within,
        )


class AttestationIn(Strict):
    role: Annotated[Words, Field(min_length=1, max_length=120)]
    approver: Annotated[Words, Field(min_length=1, max_length=120)]
    reviewed_on: date
    review_due: date | None = None
    ends_on: date | None = None


# --- Where


class OfModel(BaseModel):
    slug: str


class OfSlo(BaseModel):
    slug: str
    slo: str


class OfInput(BaseModel):
    dataset: str


class OfModelAndInput(BaseModel):
    slug: str
    dataset: str
