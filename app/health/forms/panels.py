"""What people hand in about panels: the range of a chart, a choice of panels, one panel, a link."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask_wtf import FlaskForm
from wtforms import (
    FloatField,
    HiddenField,
    IntegerField,
    RadioField,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # not in the stubs
from wtforms.validators import InputRequired, Length, NumberRange, Optional, ValidationError
from wtforms.widgets import HiddenInput

from app.health import offers
from app.health.charting import Range
from app.health.presets import PanelDraft
from app.health.rules import FAILURE_MODES, Lane, Rule
from app.health.sources.scraping.specs import AGGREGATES
from app.health.tables import HealthSource, Panel

# --- The range of a chart ---------------------------------------------------------------------

RANGES = {
    "1h": ("1 h", timedelta(hours=1)),
    "6h": ("6 h", timedelta(hours=6)),
    "24h": ("24 h", timedelta(hours=24)),
    "7d": ("7 d", timedelta(days=7)),
    "28d": ("28 d", timedelta(days=28)),
}
USUAL = ("1h", "6h", "24h")
LONGEST = timedelta(days=400)  # hours are kept as long


@dataclass(frozen=True, slots=True)
class ChosenRange:
    """The range that somebody looks at. `error` says why theirs is not used."""

    span: Range
    name: str  # in `RANGES`; empty: their own
    said_from: str = ""
    said_to: str = ""
    error: str = ""

    @property
    def arguments(self) -> dict[str, str]:
        """For the address of the same range."""
        if self.name:
            return {"range": self.name}
        return {"from": self.said_from, "to": self.said_to}


def usual_range(age: timedelta) -> str:
    """The range that a panel is first seen in: no wider than what is known of it, up to a day."""
    return next((name for name in USUAL if RANGES[name][1] >= age), USUAL[-1])


def chosen_range(
    arguments: Mapping[str, str], *, zone: ZoneInfo, at: datetime, usual_name: str = USUAL[-1]
) -> ChosenRange:
    """From ?range=6h or from ?from=…&to=…, in the reader's zone unless they carry one."""
    said_from, said_to = (arguments.get(name, "").strip()[:40] for name in ("from", "to"))
    name = arguments.get("range", "")
    name = name if name in RANGES else usual_name
    usual = Range(at - RANGES[name][1], at)
    if not (said_from or said_to):
        return ChosenRange(usual, name)
    start, end = _moment(said_from, zone), _moment(said_to, zone) if said_to else at
    error = ""
    if start is None or end is None:
        error = "Give both as a date and a time."
    elif start >= end:
        error = "The range has to begin before it ends."
    elif end - start > LONGEST:
        error = "A range is 400 days at the longest: nothing is kept for longer."
    elif start >= at:
        error = "The range lies ahead. Nothing is known of it yet."
    if error or start is None or end is None:
        return ChosenRange(usual, name, said_from, said_to, error)
    return ChosenRange(Range(start, min(end, at)), "", said_from, said_to)


def _moment(said: str, zone: ZoneInfo) -> datetime | None:
    try:
        found = datetime.fromisoformat(said)
        found = found.replace(tzinfo=zone) if found.tzinfo is None else found
        found = found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if 1970 < found.year < 9000 else None


# --- Panels of a preset -----------------------------------------------------------------------


@dataclass(slots=True)
class Row:
    """A panel on offer, as the form shows it."""

    draft: PanelDraft
    is_checked: bool
    is_there: bool = False  # the model has it already
    limit: str = ""
    error: str = ""
    warnings: Sequence[str] = ()

    @property
    def is_upper(self) -> bool:
        return self.draft.rule.above is not None


@dataclass(slots=True)
class Offer:
    """What a preset offers through a source, and what somebody made of it."""

    preset: str
    source: HealthSource | None
    name: str  # of the model at the server
    rows: Sequence[Row] = field(default_factory=list)
    trouble: str = ""

    @property
    def chosen(self) -> list[PanelDraft]:
        return [row.draft for row in self.rows if row.is_checked]

    @property
    def has_errors(self) -> bool:
        return any(row.error for row in self.rows)

    @property
    def fingerprint(self) -> str:
        return offers.fingerprint(
            [f"{row.draft.key}: {one}" for row in self.rows for one in row.warnings]
        )

    def warn(self, linted: offers.Linted) -> None:
        for row in self.rows:
            row.warnings = linted.warnings.get(row.draft.key, ()) if row.is_checked else ()
        self.trouble = linted.trouble


def offer(
    preset: str,
    source: HealthSource | None,
    model: str,
    name: str,
    there: Sequence[Any],
    said: Mapping[str, str] | None = None,
    checked: Sequence[str] = (),
) -> Offer:
    """The panels on offer; with what somebody handed in, if they did. `there`: rows of panels that
    the model has."""
    source_id = source.id if source else None
    known = [one for one in there if one.source_id == source_id]
    drafted = offers.drafts(preset, model, source.kind if source else None, name=name)
    rows = []
    for draft in drafted:
        # Reports have no names of metrics: their lane tells them apart.
        is_there = any(
            one.lane is draft.lane and ("verdict" in draft.spec or one.spec == draft.spec)
            for one in known
        )
        row = Row(draft, not is_there and offers.is_chosen(draft, drafted), is_there)
        row.limit = _written(offers.limit_of(draft.rule))
        if said is not None:
            row.is_checked = draft.key in checked
            _take_limit(row, said.get(f"limit-{draft.key}"))
        rows.append(row)
    return Offer(preset, source, name, rows)


def _take_limit(row: Row, said: str | None) -> None:
    if said is None or row.draft.not_measurable:
        return
    row.limit = said.strip()
    try:
        limit = float(row.limit.replace("−", "-").replace(",", ""))
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        row.error = "A limit is a number, as in 250." if row.is_checked else ""
        return
    row.draft = offers.with_limit(row.draft, limit)


def _written(number: float | None) -> str:
    return "" if number is None else f"{number:.12g}"


# --- One panel --------------------------------------------------------------------------------

LANES = {
    Lane.LATENCY: "Latency",
    Lane.ERRORS: "Errors",
    Lane.THROUGHPUT: "Throughput",
    Lane.OUTPUT_QUALITY: "Output quality drift",
    Lane.LATENCY_DRIFT: "Latency drift",
    Lane.INPUT_DRIFT: "Input drift",
    Lane.FALLBACK: "Fallback",
    Lane.QUEUE: "Queue",
    Lane.GPU: "GPU",
    Lane.FRESHNESS: "Data freshness",
    Lane.SCHEMA: "Data schema",
    Lane.ACCESS: "Data access",
    Lane.OTHER: "Other",
}
OF_DATA = (Lane.FRESHNESS, Lane.SCHEMA, Lane.ACCESS)
STATS = {
    "quantile": "A quantile of a histogram",
    "share_over": "Share of requests over a value",
    "ratio": "Share of requests that are bad",
    "rate": "Increase per second of a counter",
    "mean": "Mean: a sum divided by a counter",
    "gauge": "The value of a gauge now",
    "distribution_gap": "Distribution now against earlier",
}
BAD = {"bad": "are the bad ones", "not_bad": "are the good ones", "bad_metric": "have a counter"}
VERDICTS = {"tool": "The verdict of the tool", "limit": "The limit above"}
# Which fields a statistic has beside its metric and its labels.
FIELDS = {
    "quantile": ("q",),
    "share_over": ("over",),
    "ratio": ("bad_is", "bad", "bad_metric"),
    "rate": (),
    "mean": ("per",),
    "gauge": ("agg", "rows_metric"),
    "distribution_gap": ("offset",),
}
LABEL_LINE = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*(?:"(.*)"|(.*?))\s*')


def labels_in(text: str) -> dict[str, Any]:
    """Labels, one a line, as in outcome=error. A label that comes again has several values.

    Raises ValueError with a sentence.
    """
    found: dict[str, Any] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        match = LABEL_LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{line.strip()[:60]} is no label. Write one a line: outcome=error.")
        value = match[2] if match[2] is not None else match[3]
        before = found.get(match[1])
        many = [before] if isinstance(before, str) else before
        found[match[1]] = value if many is None else [*many, value]
    return found


def labels_out(labels: Mapping[str, Any] | None) -> str:
    return "\n".join(
        f"{label}={value}"
        for label, said in (labels or {}).items()
        for value in ([said] if isinstance(said, str) else said)
    )


def _are_labels(_form: FlaskForm, given: Any) -> None:
    try:
        labels_in(given.data or "")
    except ValueError as error:
        raise ValidationError(str(error)) from None


def _is_finite(_form: FlaskForm, given: Any) -> None:
    if given.data is not None and not math.isfinite(given.data):
        raise ValidationError("Give a number.")


def _number(label: str, *validators: Any, **more: Any) -> FloatField:
    return FloatField(label, [Optional(), *validators, _is_finite], **more)


class PanelForm(FlaskForm):
    """All of one panel. What it reads is asked for by the kind of its source."""

    title = StringField("Title", [InputRequired("Give the panel a title."), Length(max=120)])
    lane = SelectField("Lane")
    unit = StringField("Unit", [Length(max=20)], description="As in ms, %, rps or rows.")
    window = IntegerField(
        "Window, seconds",
        [InputRequired("Say over how many seconds a reading looks back."), NumberRange(1, 604_800)],
        description="One reading looks back over this time.",
    )
    above = _number("Outside above")
    below = _number("Outside below")
    clear = _number("A breach ends at", description="Empty: at the limit.")
    k = IntegerField("Windows outside", [InputRequired("Give a number."), NumberRange(1, 60)])
    n = IntegerField("… of the last", [InputRequired("Give a number."), NumberRange(1, 60)])
    min_rows = _number("Rows or requests at least", NumberRange(0))
    stale_after = IntegerField(
        "Too old after, seconds",
        [InputRequired("Say when a sample is too old."), NumberRange(1, 34_560_000)],
        description="A newest sample older than this is no data.",
    )
    failure_mode = StringField(
        "Failure mode",
        [Length(max=80)],
        description="Which runbook a breach leads to. Empty: it opens no incident.",
    )
    severity = SelectField("Severity", coerce=int)
    # OpenMetrics
    stat = SelectField("What to compute")
    metric = StringField("Metric", [Length(max=400)], description="Several: with a comma between.")
    labels = TextAreaField("With these labels", [Length(max=4_000), _are_labels])
    q = _number("Quantile", description="0.99 for p99.")
    over = _number("Over", description="In the unit of the metric, as in 0.15 for 150 ms.")
    bad_is = RadioField("Those with these labels", default="bad")
    bad = TextAreaField("Labels that tell good from bad", [Length(max=4_000), _are_labels])
    bad_metric = StringField("Counter of the bad ones", [Length(max=400)])
    per = StringField("Divided by the counter", [Length(max=200)])
    agg = SelectField("Several series become one by")
    rows_metric = StringField("Counter of the requests behind it", [Length(max=200)])
    offset = IntegerField("Compare with, seconds before", [Optional()])
    # Prometheus
    query = TextAreaField(
        "Query",
        [Length(max=8_000)],
        description="$w is the window; $by the label below, for one query for all models; "
        "$m the model, for one query for each.",
    )
    rows = TextAreaField("Query for the rows or requests behind it", [Length(max=8_000)])
    by = StringField("Label that holds the model", [Length(max=120)])
    value = StringField("The model's name there", [Length(max=200)])
    # Both
    scale = _number("Multiplied by", description="1,000 turns seconds into ms.")
    # Drift
    verdict = RadioField("Whose verdict counts", default="tool")
    seen = HiddenField()  # fingerprint of the warnings that were read
    version = IntegerField(widget=HiddenInput(), validators=[Optional()])

    def offer(self, kind: str | None, spec: Mapping[str, Any]) -> None:
        """Fill the choices. `spec` is what is stored; what no field shows of it is kept."""
        self.kind, self.stored = kind, dict(spec)
        self.lane.choices = [
            SelectChoice(lane.value, title)
            for lane, title in LANES.items()
            if lane not in OF_DATA or lane.value == self.lane.data
        ]
        self.severity.choices = [SelectChoice(number, f"SEV-{number}") for number in range(1, 5)]
        self.stat.choices = [SelectChoice(*one) for one in STATS.items()]
        self.agg.choices = [SelectChoice(name, name) for name in AGGREGATES]
        self.bad_is.choices = [SelectChoice(*one) for one in BAD.items()]
        self.verdict.choices = [SelectChoice(*one) for one in VERDICTS.items()]
        usual = {
            "stat": "quantile",
            "agg": "sum",
            "severity": 3,
            "bad_is": "bad",
            "verdict": "tool",
        }
        for name, value in usual.items():
            if self[name].data in (None, "None"):
                self[name].data = value

    @property
    def reads(self) -> str:
        """Which fields say what it reads."""
        if self.is_data or "not_measurable" in self.stored:
            return ""
        return self.kind if self.kind in offers.SERVING else "drift"

    @property
    def is_data(self) -> bool:
        return self.lane.data in {lane.value for lane in OF_DATA}

    @property
    def stat_fields(self) -> list[Any]:
        return [self[name] for name in FIELDS.get(self.stat.data, ())]

    def fill(self, panel: Panel) -> None:
        for name in (
            "title", "unit", "window", "above", "below", "clear", "k", "n", "min_rows",
            "stale_after", "failure_mode", "severity", "version",
        ):  # fmt: skip
            value = getattr(panel, name)
            whole = isinstance(value, float) and value.is_integer()
            self[name].data = int(value) if whole else value  # 250, not 250.0
        self.lane.data = panel.lane.value
        spec = panel.spec
        for name in (
            "stat", "q", "over", "per", "agg", "rows_metric", "offset", "query", "rows", "by",
            "value", "scale", "verdict",
        ):  # fmt: skip
            if name in spec:
                self[name].data = spec[name]
        self.metric.data = _joined(spec.get("metric"))
        self.bad_metric.data = _joined(spec.get("bad_metric"))
        self.labels.data = labels_out(spec.get("labels"))
        self.bad_is.data = next((name for name in BAD if spec.get(name)), "bad")
        self.bad.data = labels_out(spec.get("bad") or spec.get("not_bad"))

    def as_draft(self) -> PanelDraft:
        rule = Rule(
            above=self.above.data,
            below=self.below.data,
            clear=self.clear.data,
            k=self.k.data or 1,
            n=self.n.data or 1,
            min_rows=self.min_rows.data or 0,
            stale_after=timedelta(seconds=self.stale_after.data or 0),
        )
        spec = self._spec()
        return PanelDraft(
            key="",
            lane=Lane(self.lane.data),
            title=(self.title.data or "").strip(),
            unit=(self.unit.data or "").strip(),
            spec=spec,
            rule=rule,
            window=self.window.data or 0,
            failure_mode=(self.failure_mode.data or "").strip(),
            severity=self.severity.data,
            not_measurable=str(spec.get("not_measurable", "")),
        )

    def _spec(self) -> dict[str, Any]:
        match self.reads:
            case "openmetrics":
                return self._scraped()
            case "prometheus":
                said = {name: _text(self[name]) for name in ("query", "rows", "by", "value")}
                return _with({name: text for name, text in said.items() if text}, self.scale)
            case "drift":
                # A limit that was set for one method holds while the limit is what counts.
                is_limit = self.verdict.data == "limit"
                kept = {n: one for n, one in self.stored.items() if n != "limit_of" or is_limit}
                return {**kept, "verdict": self.verdict.data}
        return self.stored

    def _scraped(self) -> dict[str, Any]:
        spec: dict[str, Any] = {"stat": self.stat.data, "metric": _split(self.metric.data)}
        if labels := labels_in(self.labels.data or ""):
            spec["labels"] = labels
        for one in self.stat_fields:
            name = one.name
            if name in ("bad_is", "bad", "bad_metric"):
                continue
            said = one.data.strip() if isinstance(one.data, str) else one.data
            if said not in (None, ""):
                spec[name] = said
        if "rows_metric" in self.stored and "rows_metric" not in FIELDS[self.stat.data]:
            spec["rows_metric"] = self.stored["rows_metric"]
        if self.stat.data == "ratio":
            which = self.bad_is.data
            spec[which] = (
                _split(self.bad_metric.data)
                if which == "bad_metric"
                else labels_in(self.bad.data or "")
            )
        return _with(spec, self.scale)


def _with(spec: dict[str, Any], scale: FloatField) -> dict[str, Any]:
    return spec if scale.data in (None, 1) else {**spec, "scale": scale.data}


def _text(given: Any) -> str:
    return (given.data or "").strip()


def _joined(said: Any) -> str:
    return said if isinstance(said, str) else ", ".join(said or ())


def _split(text: str | None) -> str | list[str]:
    names = [one.strip() for one in (text or "").split(",") if one.strip()]
    return names[0] if len(names) == 1 else names


def new_panel(kind: str | None) -> dict[str, Any]:
    """What the form of a panel of one's own begins with."""
    reports = kind not in offers.SERVING
    return {
        "lane": (Lane.INPUT_DRIFT if reports else Lane.LATENCY).value,
        "unit": "" if reports else "ms",
        "window": 3600 if reports else 300,
        "k": 2 if reports else 3,
        "n": 3 if reports else 5,
        "min_rows": 1_000 if reports else 50,
        "stale_after": 172_800 if reports else 300,
        "failure_mode": FAILURE_MODES[Lane.INPUT_DRIFT if reports else Lane.LATENCY],
        "severity": 3,
        "q": 0.99,
        "scale": 1_000 if kind == "openmetrics" else None,
        "offset": 604_800,
    }


class EmbedForm(FlaskForm):
    name = StringField(
        "Which dashboard is it for?",
        [InputRequired("Say which dashboard it is for."), Length(max=120)],
    )


class SeenForm(FlaskForm):
    """A button about something of which its reader saw a version."""

    version = IntegerField(widget=HiddenInput(), validators=[Optional()])
