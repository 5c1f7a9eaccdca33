"""Sources, panels and what they say as JSON, in and out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from app.health.panel_drafts import (
    LONGEST_WINDOW,
    MAX_FAILURE_MODE,
    MAX_TITLE,
    MAX_UNIT,
    draft_of,
    why_no_spec,
)
from app.health.panel_queries import ChangeRow, PanelRow
from app.health.preset_templates import Preset
from app.health.presets import PanelDraft, panels_of
from app.health.rules import FAILURE_MODES, LampState, Lane, Rule
from app.health.service import LONGEST, MAX_ADDRESS, MAX_SOURCE_NAME, SHORTEST, SourceDraft
from app.health.showing import shown
from app.health.source_queries import HostLine, SourceLine, opened_by
from app.health.source_showing import how_it_goes
from app.health.tables import AllowedHost, HealthSource, Panel, Reading, ReadingHour
from app.web.texts import Strict

Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=70)]
Name = Annotated[str, AfterValidator(str.strip)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[int, Field(ge=1, le=LONGEST_WINDOW)]
Every = Annotated[int, Field(ge=SHORTEST, le=LONGEST)]
Address = Annotated[str, AfterValidator(str.strip), Field(max_length=MAX_ADDRESS)]
SourceName = Annotated[Name, Field(min_length=1, max_length=MAX_SOURCE_NAME)]
Title = Annotated[Name, Field(min_length=1, max_length=MAX_TITLE)]
Unit = Annotated[Name, Field(max_length=MAX_UNIT)]
FailureMode = Annotated[str, Field(pattern=r"^[a-z0-9_]*$", max_length=MAX_FAILURE_MODE)]
Severity = Annotated[int, Field(ge=1, le=4)]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("No such time exists in UTC.") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    if why := why_no_spec(value):
        raise ValueError(why)
    return value


Plain = Annotated[dict[str, Any], AfterValidator(_plain)]


class Listing(Strict):
    cursor: str | None = Field(None, max_length=400, description="`next` of the page before.")
    limit: int = Field(50, ge=1, le=200)


class BySlug(BaseModel):
    slug: str


class ById(BaseModel):
    id: int = Field(ge=1, lt=2**31)


class PanelPath(BaseModel):
    model: str
    panel: str


class ModelPath(BaseModel):
    model: str


# --- Sources and hosts ------------------------------------------------------------------------


class SignIn(Strict):
    """How Baton signs in there: with one of them. It can be written and is never told."""

    model_config = ConfigDict(hide_input_in_errors=True)

    bearer: str = Field("", max_length=4000, repr=False)
    user: str = Field("", max_length=200)
    password: str = Field("", max_length=4000, repr=False)
    header: str = Field("", max_length=60)
    value: str = Field("", max_length=4000, repr=False)

    def as_secret(self) -> dict[str, str]:
        return {name: value for name, value in self.model_dump().items() if value}


class SourceIn(Strict):
    name: SourceName
    kind: str = Field(max_length=40, description="As in openmetrics; see the list of presets.")
    url: Address
    slug: Slug | None = Field(None, description="Left out: made from the name.")
    every: Every = Field(30, description="Seconds between two looks.")
    options: Plain = Field({}, description="Of its kind.")
    sign_in: SignIn | None = Field(None, description="Null: nothing is asked for there.")
    allow_host: bool = Field(
        False, description="Put the host and port of the address onto the list of allowed hosts."
    )

    def as_draft(self) -> SourceDraft:
        return SourceDraft(
            name=self.name,
            kind=self.kind,
            url=self.url,
            every=self.every,
            options=self.options,
            secret=self.sign_in.as_secret() if self.sign_in else {},
        )


class SourcePatch(Strict):
    """What is left out stays. `sign_in: null` takes the sign-in away."""

    name: SourceName | None = None
    url: Address | None = None
    every: Every | None = None
    options: Plain | None = None
    sign_in: SignIn | None = None
    allow_host: bool = False

    def onto(self, source: HealthSource) -> SourceDraft:
        secret = None
        if "sign_in" in self.model_fields_set:
            secret = self.sign_in.as_secret() if self.sign_in else {}
        return SourceDraft(
            name=self.name or source.name,
            kind=source.kind,
            url=source.url if self.url is None else self.url,
            every=self.every or source.every,
            options=source.options if self.options is None else self.options,
            secret=secret,
        )


class SourceOut(BaseModel):
    slug: str
    name: str
    kind: str
    url: str
    every: int
    options: dict[str, Any]
    signs_in: str = Field(description="A hint, as in: bearer token that ends in 3f9a.")
    state: LampState
    trouble: str
    failures: int
    asked_at: datetime | None
    answered_at: datetime | None
    panels: int
    levels: int
    created_at: datetime
    closed_at: datetime | None
    version: int

    @classmethod
    def of(cls, line: SourceLine, *, at: datetime) -> "SourceOut":
        source = line.source
        return cls(
            slug=source.slug,
            name=source.name,
            kind=source.kind,
            url=source.url,
            every=source.every,
            options=source.options,
            signs_in=source.secret_hint,
            state=how_it_goes(source, at=at).state,
            trouble=source.trouble,
            failures=source.failures,
            asked_at=source.asked_at,
            answered_at=source.answered_at,
            panels=line.panels,
            levels=line.levels,
            created_at=source.created_at,
            closed_at=source.closed_at,
            version=source.version,
        )


class SourceListing(Listing):
    search: str = Field("", max_length=200)
    which: Literal["open", "trouble", "closed"] = "open"


class SourcePage(BaseModel):
    items: list[SourceOut]
    next: str | None


class HostIn(Strict):
    pattern: str = Field(max_length=255, description="name:port; *.example.com:443 is any name.")
    why: str = Field("", max_length=200)


class HostOut(BaseModel):
    id: int
    pattern: str
    opens: str
    why: str
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, host: AllowedHost) -> "HostOut":
        return cls(
            id=host.id,
            pattern=host.pattern,
            opens=opened_by(host.pattern),
            why=host.why,
            created_at=host.created_at,
            created_by=host.created_by,
        )


class HostPage(BaseModel):
    items: list[HostOut]
    next: str | None

    @classmethod
    def of_lines(cls, lines: list[HostLine], following: str | None) -> "HostPage":
        return cls(items=[HostOut.of(line.host) for line in lines], next=following)


# --- Presets ----------------------------------------------------------------------------------


class PresetPanelOut(BaseModel):
    key: str
    lane: Lane
    title: str
    unit: str
    not_measurable: dict[str, str] = Field(description="By kind of source, why not.")


class PresetOut(BaseModel):
    key: str
    title: str
    what: str
    cannot: list[str] = Field(description="What such a server does not tell.")
    panels: list[PresetPanelOut]

    @classmethod
    def of(cls, preset: Preset) -> "PresetOut":
        by_kind = {kind: panels_of(preset, "model", kind) for kind in ("openmetrics", "prometheus")}
        panels = [
            PresetPanelOut(
                key=template.key,
                lane=template.lane,
                title=template.title,
                unit=template.unit,
                not_measurable={
                    kind: drafts[place].not_measurable
                    for kind, drafts in by_kind.items()
                    if drafts[place].not_measurable
                },
            )
            for place, template in enumerate(preset.panels)
        ]
        return cls(
            key=preset.key,
            title=preset.title,
            what=preset.what,
            cannot=list(preset.cannot),
            panels=panels,
        )


class PresetList(BaseModel):
    items: list[PresetOut]


# --- Panels -----------------------------------------------------------------------------------


class RuleIn(Strict):
    """When a panel is outside its limit, and for how long it has to be."""

    above: Number | None = Field(None, description="Outside when higher.")
    below: Number | None = Field(None, description="Outside when lower.")
    clear: Number | None = Field(None, description="A breach ends on this side of it.")
    k: int = Field(1, ge=1, le=60, description="Windows outside …")
    n: int = Field(1, ge=1, le=60, description="… among so many, for a breach.")
    min_rows: Number = Field(0, ge=0, le=1e15)
    stale_after: Seconds = Field(300, description="Seconds; an older sample is no data.")

    def as_rule(self) -> Rule:
        return Rule(**{**self.model_dump(), "stale_after": timedelta(seconds=self.stale_after)})


class RulePatch(Strict):
    """What is left out stays. Null takes a limit away."""

    above: Number | None = None
    below: Number | None = None
    clear: Number | None = None
    k: int = Field(1, ge=1, le=60)
    n: int = Field(1, ge=1, le=60)
    min_rows: Number = Field(0, ge=0, le=1e15)
    stale_after: Seconds = 300

    def onto(self, rule: Rule) -> Rule:
        said: dict[str, Any] = self.model_dump(include=self.model_fields_set)
        if "stale_after" in said:
            said["stale_after"] = timedelta(seconds=said["stale_after"])
        return replace(rule, **said)


class PanelIn(Strict):
    title: Title
    lane: Lane
    slug: Slug | None = Field(None, description="Left out: made from the title.")
    source: str | None = Field(None, max_length=80, description="Null: reports are pushed.")
    unit: Unit = ""
    spec: Plain = Field(description="What its kind of source reads.")
    window: Seconds = 300
    rule: RuleIn
    failure_mode: FailureMode | None = Field(
        None, description="Of the incident that a breach opens. Empty: none. Null: its lane's."
    )
    severity: Severity = 3

    def as_draft(self) -> PanelDraft:
        mode = self.failure_mode
        return PanelDraft(
            key=self.slug or "",
            lane=self.lane,
            title=self.title,
            unit=self.unit,
            spec=self.spec,
            rule=self.rule.as_rule(),
            window=self.window,
            failure_mode=FAILURE_MODES.get(self.lane, "") if mode is None else mode,
            severity=self.severity,
        )


class PresetIn(Strict):
    preset: str = Field(max_length=60)
    source: str = Field(max_length=80)
    name: str = Field("", max_length=200, description="Of the model at its server, if another.")
    panels: list[str] | None = Field(
        None, max_length=50, description="Keys of the panels to make. Left out: all of them."
    )


class PanelPatch(Strict):
    """What is left out, or null, stays."""

    title: Title | None = None
    lane: Lane | None = None
    unit: Unit | None = None
    spec: Plain | None = None
    window: Seconds | None = None
    rule: RulePatch | None = None
    failure_mode: FailureMode | None = None
    severity: Severity | None = None

    def onto(self, panel: Panel) -> PanelDraft:
        said: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("title", "lane", "unit", "spec", "window", "failure_mode", "severity")
            if getattr(self, name) is not None
        }
        now = draft_of(panel)
        if self.rule is not None:
            said["rule"] = self.rule.onto(now.rule)
        return replace(now, **said)


class LampOut(BaseModel):
    state: LampState = Field(description="ok is the only one that says all is well.")
    line: str
    value: float | None
    rows: float | None
    since: datetime | None
    newest_at: datetime | None = Field(description="Of the newest sample.")
    looked_at: datetime | None


class RuleOut(BaseModel):
    above: float | None
    below: float | None
    clear: float | None
    k: int
    n: int
    min_rows: float
    stale_after: int


class PanelOut(BaseModel):
    model: str
    slug: str
    title: str
    lane: Lane
    source: str | None
    dataset: str | None
    preset: str
    unit: str
    spec: dict[str, Any]
    window: int
    rule: RuleOut
    failure_mode: str
    severity: int
    lamp: LampOut | None
    created_at: datetime
    closed_at: datetime | None
    version: int

    @classmethod
    def of(cls, row: PanelRow, *, at: datetime) -> "PanelOut":
        panel = row.panel
        return cls(
            model=row.model,
            slug=panel.slug,
            title=panel.title,
            lane=panel.lane,
            source=row.source,
            dataset=row.dataset,
            preset=panel.preset,
            unit=panel.unit,
            spec=panel.spec,
            window=panel.window,
            rule=RuleOut(**{name: getattr(panel, name) for name in RuleOut.model_fields}),
            failure_mode=panel.failure_mode,
            severity=panel.severity,
            lamp=None if panel.closed_at else _lamp(row, at),
            created_at=panel.created_at,
            closed_at=panel.closed_at,
            version=panel.version,
        )


def _lamp(row: PanelRow, at: datetime) -> LampOut:
    seen = shown(row.lamp, at=at)
    return LampOut(
        state=seen.state,
        line=seen.line,
        value=seen.value,
        rows=row.lamp.rows,
        since=row.lamp.since,
        newest_at=seen.newest_at,
        looked_at=row.lamp.looked_at,
    )


class PanelListing(Strict):
    closed: bool = False


class PanelList(BaseModel):
    items: list[PanelOut]


class ReadingListing(Strict):
    since: Moment | None = Field(None, alias="from")
    until: Moment | None = Field(None, alias="to")
    by: Literal["window", "hour"] = Field(
        "window", description="Each window is kept for some days, hours for 400."
    )
    cursor: str | None = Field(None, max_length=400)
    limit: int = Field(500, ge=1, le=2000)


class ReadingOut(BaseModel):
    at: datetime
    state: LampState
    value: float | None
    low: float | None = None
    high: float | None = None
    rows: float | None
    series: str = Field(description="Method and reference. Where it changes, no line is joined.")

    @classmethod
    def of(cls, reading: Reading | ReadingHour) -> "ReadingOut":
        if isinstance(reading, ReadingHour):
            return cls(
                at=reading.at,
                state=reading.state,
                value=reading.mean,
                low=reading.low,
                high=reading.high,
                rows=reading.rows,
                series=reading.series,
            )
        return cls(
            at=reading.at,
            state=reading.state,
            value=reading.value,
            rows=reading.rows,
            series=reading.series,
        )


class ReadingPage(BaseModel):
    items: list[ReadingOut]
    next: str | None


# --- Models and changes -----------------------------------------------------------------------


class LaneOut(BaseModel):
    state: LampState
    line: str
    value: float | None
    newest_at: datetime | None
    age: float | None = Field(description="Seconds since the newest sample.")
    panel: str = Field(description="The worst panel of the lane.")


class ModelHealthOut(BaseModel):
    model: str
    worst: LampState | None = Field(description="Null: nobody watches it.")
    lanes: dict[Lane, LaneOut]


class ModelHealthPage(BaseModel):
    items: list[ModelHealthOut]
    next: str | None


class ChangeListing(Strict):
    after: int = Field(0, ge=0, lt=2**63, description="Changes with a higher id than this.")
    model: str | None = Field(None, max_length=80)
    limit: int = Field(200, ge=1, le=1000)


class ChangeOut(BaseModel):
    id: int
    at: datetime
    model: str
    panel: str | None
    level: str | None
    before: str | None
    after: str
    fact: str = Field(description="breach, recovered, blind, seeing, burning, burnt_out, or empty.")
    sentence: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, row: ChangeRow) -> "ChangeOut":
        change = row.change
        return cls(
            id=change.id,
            at=change.at,
            model=row.model,
            panel=row.panel,
            level=row.level,
            before=change.before,
            after=change.after,
            fact=change.fact,
            sentence=change.sentence,
            detail=change.detail,
        )


class ChangePage(BaseModel):
    items: list[ChangeOut]
    next: int | None = Field(
        description="Give it as `after`. Null: these were all; go on after the last id later."
    )


# --- What is pushed ---------------------------------------------------------------------------


class Said(Strict):
    """What the request says of a document that does not say it itself."""

    format: str | None = Field(None, max_length=40, description="Left out: found out.")
    zone: str | None = Field(None, max_length=60, description="Of times that name none.")

    def as_said(self) -> dict[str, Any]:
        return {name: value for name, value in self.model_dump().items() if value is not None}


class ReportQuery(Said):
    model: str | None = Field(None, max_length=80, description="A model's slug.")
    version: str | None = Field(None, max_length=120)
    kind: Literal["input", "input_drift", "output_quality", "latency", "latency_drift"] | None = (
        None
    )
    direction: Literal["above", "below"] | None = Field(
        None, description="Of Baton's own small report: the side that is outside."
    )
    window_start: Moment | None = None
    window_end: Moment | None = None
    reference_id: str | None = Field(None, max_length=120)
    reference_at: Moment | None = None
    rows: int | None = Field(None, ge=0, lt=2**53)
    source: str | None = Field(None, max_length=120, description="Who sends it.")


class ContractQuery(Said):
    dataset: str | None = Field(None, max_length=160)
    checked_at: Moment | None = None
    expected: list[str] | None = Field(
        None, max_length=500, description="Inputs that the check has to speak of."
    )


class TakenOut(BaseModel):
    reports: int
    models: list[str]
    panels: int = Field(description="That were judged by it.")
    changes: int = Field(description="Of state, that it made.")


class PushedOut(BaseModel):
    reports: int
    datasets: list[str]


class ImportQuery(Strict):
    dry_run: bool = Field(False, description="Only tell what would be done.")


class StepOut(BaseModel):
    kind: Literal["source", "panel"]
    name: str
    does: Literal["create", "change", "keep"]
    changes: list[str]


class ProblemOut(BaseModel):
    line: int | None
    sentence: str


class ImportOut(BaseModel):
    problems: list[ProblemOut]
    created: int
    changed: int
    kept: int
    steps: list[StepOut]


def age(newest_at: datetime | None, at: datetime) -> float | None:
    """Seconds since the newest sample."""
    if newest_at is None:
        return None
    return round(max(0.0, (at - newest_at.astimezone(UTC)).total_seconds()), 1)
