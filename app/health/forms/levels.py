"""What people fill in about service levels, OpenSLO files and latency budgets."""

from collections.abc import Sequence
from typing import Any

from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import (
    DateField,
    FieldList,
    FloatField,
    FormField,
    HiddenField,
    IntegerField,
    RadioField,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # not in the stubs
from wtforms.form import Form
from wtforms.validators import InputRequired, Length, NumberRange, Optional, ValidationError

from app.core import plain_yaml
from app.health import counting
from app.health.budgets import CLOCKS, MOST_ROWS, BudgetDraft, Rung, Stage
from app.health.service import SloDraft
from app.health.slo_rules import MIN_EVENTS
from app.health.tables import HealthSource, LatencyBudget, Panel, Slo
from app.web.texts import UNSTORABLE

NONE = 0
MAX_SPEC = 20_000


def stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


class NumberField(FloatField):
    """Shows 99 as 99, and not as 99.0."""

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return "" if self.data is None else f"{self.data:.15g}"


def is_finite(_form: FlaskForm, field: FloatField) -> None:
    if field.data is not None and not abs(field.data) < 1e15:
        raise ValidationError("Give a number.")


def seen_version(field: Any) -> int:
    said = (field.data or "").strip()
    # A form without a version saw none, and none is 0.
    return int(said) if said.isascii() and said.isdigit() and len(said) < 10 else 0


# --- Service levels


class LevelForm(FlaskForm):
    version = HiddenField()
    seen = HiddenField()  # the warnings that were shown, so that saving in spite of them is meant
    title = StringField(
        "Title",
        [InputRequired("What does it promise?"), Length(max=120)],
        filters=[stripped],
        description="As in Requests within 250 ms.",
    )
    target = NumberField(
        "Objective, in per cent",
        [InputRequired("Which share has to be good?"), is_finite],
        description="99 means that 1 of 100 may be bad: that is the error budget.",
    )
    window_days = IntegerField(
        "Window, in days",
        [InputRequired("Over how many days?"), NumberRange(1, 90, "1 to 90 days.")],
        default=28,
        description="Four whole weeks have as many weekends each.",
    )
    min_events = NumberField(
        "Fewest events for an alert",
        [Optional(), is_finite, NumberRange(0, message="Events can't be fewer than none.")],
        default=MIN_EVENTS,
        description="In the long window of an alert. One bad request of three at night is no page.",
    )
    failure_mode = StringField(
        "Failure mode",
        [Length(max=80)],
        filters=[stripped],
        description="Leads to the runbook of the incident. Left empty, a burn opens none.",
    )
    counted = RadioField("What is counted", [InputRequired("Choose what is counted.")])
    source = SelectField("Source", coerce=int, description="Where the events are counted.")
    service = StringField("Service, as sloth_service has it", [Length(max=120)], filters=[stripped])
    sloth = StringField("SLO, as sloth_slo has it", [Length(max=120)], filters=[stripped])
    pyrra = StringField("SLO, as the label slo has it", [Length(max=120)], filters=[stripped])
    recorded_total = TextAreaField(
        "Query for all events",
        [Length(max=8_000)],
        filters=[stripped],
        description="Optional. Without it, nobody knows how many events there were.",
    )
    bad = TextAreaField("Query for bad events", [Length(max=8_000)], filters=[stripped])
    total = TextAreaField(
        "Query for all events",
        [Length(max=8_000)],
        filters=[stripped],
        description="Both count events: increase(…[$w]), with $w for the window.",
    )
    spec = TextAreaField(
        "Spec, as YAML",
        [Length(max=MAX_SPEC)],
        description="metric and labels; then over: a bound in the unit of the metric, or bad, "
        "not_bad or bad_metric.",
    )

    def offer(
        self,
        panels: Sequence[tuple[Panel, dict[str, Any]]],
        sources: Sequence[HealthSource],
        now: Slo | None,
    ) -> None:
        self.source.choices = [
            SelectChoice(NONE, "Choose a source"),
            *(SelectChoice(one.id, one.name) for one in sources),
        ]
        kept = [SelectChoice("kept", "What is counted now")] if now else []
        self.counted.choices = [
            *kept,
            *(SelectChoice(f"panel:{one.id}", one.title) for one, _ in panels),
            SelectChoice("spec", "Requests of a metric"),
            SelectChoice("queries", "Two queries of a Prometheus"),
            SelectChoice("sloth", "What sloth records"),
            SelectChoice("pyrra", "What pyrra records"),
        ]
        self._panels = {f"panel:{one.id}": (one, spec) for one, spec in panels}
        self._sources = {one.id: one for one in sources}
        self._now = now

    def suggest(self, panel: str) -> None:
        """Begin with the panel that the reader came from, or with the first that can be counted."""
        asked = f"panel:{panel}"
        self.counted.data = asked if asked in self._panels else next(iter(self._panels), "spec")

    def fill(self, slo: Slo) -> None:
        self.title.data, self.window_days.data = slo.title, slo.window_days
        self.target.data = float(f"{slo.target * 100:.12g}")
        self.min_events.data, self.failure_mode.data = slo.min_events, slo.failure_mode
        self.counted.data, self.source.data = "kept", slo.source_id or NONE
        self.version.data = str(slo.version)

    def validate_target(self, field: FloatField) -> None:
        if field.data is not None and not 0 < field.data < 100:
            raise ValidationError("It lies between 0 and 100 %, and is neither.")

    def validate_source(self, field: SelectField) -> None:
        if self.counted.data in self._panels or self.counted.data == "kept":
            field.errors = []
            return
        if not field.data:
            raise ValidationError("Choose where the events are counted.")

    def validate_spec(self, field: TextAreaField) -> None:
        if self.counted.data == "spec":
            self._read_spec()

    def source_id(self) -> int | None:
        """Of the source that is asked; none: it stays."""
        if self.counted.data in self._panels:
            return self._panels[self.counted.data][0].source_id
        if self.counted.data == "kept" and self._now is not None:
            return self._now.source_id
        return self.source.data or None

    def as_draft(self) -> SloDraft:
        kept = dict(self._now.spec).get(counting.KEPT) if self._now else None
        return SloDraft(
            title=self.title.data or "",
            target=float(f"{(self.target.data or 0) / 100:.12g}"),
            window_days=self.window_days.data or 0,
            spec={**self._counted(), **({counting.KEPT: kept} if kept else {})},
            min_events=self.min_events.data or 0,
            failure_mode=self.failure_mode.data or "",
        )

    def _counted(self) -> dict[str, Any]:
        chosen = self.counted.data
        total = {"total": self.recorded_total.data} if self.recorded_total.data else {}
        if chosen in self._panels:
            return dict(self._panels[chosen][1])
        if chosen == "sloth":
            named = {"service": self.service.data or "", "slo": self.sloth.data or ""}
            return {"recorded": "sloth", **named, **total}
        if chosen == "pyrra":
            return {"recorded": "pyrra", "slo": self.pyrra.data or "", **total}
        if chosen == "queries":
            return {"bad": self.bad.data or "", "total": self.total.data or ""}
        if chosen == "spec":
            return self._read_spec()
        held = self._now.spec if self._now else {}
        return {name: said for name, said in held.items() if name != counting.KEPT}

    def _read_spec(self) -> dict[str, Any]:
        try:
            said = plain_yaml.document(self.spec.data or "")
        except plain_yaml.NotPlainError as error:
            raise ValidationError(str(error)) from None
        if not isinstance(said, dict) or not said:
            raise ValidationError("Name a metric, as in metric: requests_total.")
        if not _is_plain(said) or UNSTORABLE.search(str(said)):
            raise ValidationError("It holds something other than texts, numbers and lists.")
        said.pop(counting.KEPT, None)
        return said


def _is_plain(said: Any) -> bool:
    if isinstance(said, dict):
        return all(isinstance(name, str) and _is_plain(one) for name, one in said.items())
    if isinstance(said, list):
        return all(map(_is_plain, said))
    return (
        said is None
        or isinstance(said, str | bool | float)
        or (isinstance(said, int) and abs(said) < 2**53)
    )


class SeenForm(FlaskForm):
    """A press of a button, about the version that its reader saw."""

    version = HiddenField()


class OpenSloForm(FlaskForm):
    text = TextAreaField("YAML")
    file = FileField("Or a file")
    source = SelectField(
        "Source",
        coerce=int,
        description="Asked for what names no source that is known here.",
    )
    seen = HiddenField()  # the fingerprint of the plan that was shown

    def offer(self, sources: Sequence[HealthSource]) -> None:
        self.source.choices = [
            SelectChoice(NONE, "As the file says"),
            *(SelectChoice(one.id, one.name) for one in sources),
        ]

    def content(self) -> bytes | str:
        upload = self.file.data
        if upload:
            content: bytes = upload.read()
            return content
        return self.text.data or ""


# --- Latency budgets


class StageForm(Form):
    name = StringField("Stage", [Length(max=80)], filters=[stripped])
    budget_ms = NumberField("Budget, ms", [Optional(), is_finite, NumberRange(0)])
    owner = StringField("Owner", [Length(max=120)], filters=[stripped])
    panel = SelectField("Observed by", choices=[], validate_choice=False)


class RungForm(Form):
    title = StringField("Serves", [Length(max=120)], filters=[stripped])
    trigger = StringField("When", [Length(max=200)], filters=[stripped])
    seconds = NumberField("Switch, s", [Optional(), is_finite, NumberRange(0)])
    cost = StringField("What it costs", [Length(max=200)], filters=[stripped])
    drilled_on = DateField("Last drill", [Optional()])


class BudgetForm(FlaskForm):
    version = HiddenField()
    route = StringField(
        "Route",
        [Length(max=120)],
        filters=[stripped],
        description="As in GET /recommend. Left empty: all requests.",
    )
    percentile = NumberField(
        "Percentile", [InputRequired("Which percentile?"), is_finite], default=99
    )
    budget_ms = NumberField("Budget, ms", [InputRequired("How long may it take?"), is_finite])
    clock = SelectField("Measured at", choices=[SelectChoice(*one) for one in CLOCKS.items()],
                        default="server")  # fmt: skip
    panel = SelectField("Measured by", coerce=int)
    slo = SelectField("Service level", coerce=int)
    stages = FieldList(FormField(StageForm), max_entries=MOST_ROWS)
    timeouts = TextAreaField(
        "Timeouts and retries",
        [Length(max=2_000)],
        filters=[stripped],
        description="In words: which call waits how long, and what is tried again.",
    )
    peak_rps = NumberField("Peak target, rps", [Optional(), is_finite, NumberRange(0)])
    load_tested_rps = NumberField("Load test held, rps", [Optional(), is_finite, NumberRange(0)])
    load_tested_on = DateField("Load test on", [Optional()])
    rungs = FieldList(FormField(RungForm), max_entries=MOST_ROWS)
    approved_by = StringField("Approved by", [Length(max=120)], filters=[stripped])
    review_on = DateField("Review on", [Optional()])

    def offer(self, panels: Sequence[Panel], slos: Sequence[Slo]) -> None:
        self.panel.choices = [
            SelectChoice(NONE, "No panel"),
            *(SelectChoice(one.id, one.title) for one in panels),
        ]
        self.slo.choices = [
            SelectChoice(NONE, "No service level"),
            *(SelectChoice(one.id, one.title) for one in slos),
        ]
        for row in self.stages:
            row.form.panel.choices = [
                SelectChoice("", "No panel"),
                *(SelectChoice(one.slug, one.title) for one in panels),
            ]

    def fill(self, held: LatencyBudget) -> None:
        for name in ("route", "percentile", "budget_ms", "clock", "timeouts", "peak_rps",
                     "load_tested_rps", "load_tested_on", "approved_by", "review_on"):  # fmt: skip
            self[name].data = getattr(held, name)
        self.panel.data, self.slo.data = held.panel_id or NONE, held.slo_id or NONE
        for stage in held.stages:
            self.stages.append_entry(dict(stage))
        for rung in held.ladder:
            self.rungs.append_entry(Rung.of(rung))
        self.version.data = str(held.version)

    def arrange(self, said: str) -> bool:
        """Add, remove or move a row: `stages-add`, `rungs-2-up`. False if it says neither."""
        name, _, what = said.partition("-")
        if name not in ("stages", "rungs"):
            return False
        rows = self[name]
        values = [row.data for row in rows]
        number, _, how = what.partition("-")
        if what == "add":
            values.append(None)
        elif number.isdecimal() and int(number) < len(values):
            place = int(number)
            other = {"up": place - 1, "down": place + 1}.get(how)
            if how == "remove":
                del values[place]
            elif other is not None and 0 <= other < len(values):
                values[place], values[other] = values[other], values[place]
        while len(rows):
            rows.pop_entry()
        rows.last_index = -1
        for value in values[:MOST_ROWS]:
            rows.append_entry(value)
        return True

    def as_draft(self) -> BudgetDraft:
        return BudgetDraft(
            route=self.route.data or "",
            percentile=self.percentile.data or 0,
            budget_ms=self.budget_ms.data or 0,
            clock=self.clock.data,
            panel_id=self.panel.data or None,
            slo_id=self.slo.data or None,
            stages=tuple(
                Stage(one["name"] or "", one["budget_ms"] or 0, one["owner"] or "",
                      one["panel"] or "")
                for row in self.stages if (one := row.data) and _is_filled(one)
            ),
            timeouts=self.timeouts.data or "",
            peak_rps=self.peak_rps.data,
            load_tested_rps=self.load_tested_rps.data,
            load_tested_on=self.load_tested_on.data,
            ladder=tuple(
                Rung(one["title"] or "", one["trigger"] or "", one["seconds"], one["cost"] or "",
                     one["drilled_on"])
                for row in self.rungs if (one := row.data) and _is_filled(one)
            ),
            approved_by=self.approved_by.data or "",
            review_on=self.review_on.data,
        )  # fmt: skip


def _is_filled(row: dict[str, Any]) -> bool:
    """A row that holds nothing is none."""
    return any(value not in (None, "") for value in row.values())
