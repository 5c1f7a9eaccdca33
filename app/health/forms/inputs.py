"""What people fill in about data inputs."""

from collections.abc import Sequence

from flask_wtf import FlaskForm
from wtforms import DateField, HiddenField, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # not in the stubs
from wtforms.validators import InputRequired, Length, NumberRange, Optional

from app.health.datasets import Promise
from app.health.forms.levels import NumberField, is_finite, stripped
from app.health.rules import LampState
from app.health.tables import Dataset
from app.registry.queries import Choice

NOBODY = ""
UNITS = {60: "minutes", 3600: "hours", 86_400: "days"}


class PromiseForm(FlaskForm):
    version = HiddenField()
    team = SelectField("Who answers for it?")
    contract = StringField(
        "Contract",
        [Length(max=120)],
        filters=[stripped],
        description="Its name and version, as in clicks v14.",
    )
    fresh = NumberField(
        "Fresh within",
        [Optional(), is_finite, NumberRange(min=0)],
        description="How old the last load may get. Left empty: nobody promised it.",
    )
    unit = SelectField(
        "of what", coerce=int, choices=[SelectChoice(*one) for one in UNITS.items()], default=3600
    )

    def offer(self, teams: Sequence[Choice]) -> None:
        self.team.choices = [
            SelectChoice(NOBODY, "Nobody in particular"),
            *(SelectChoice(team.value, team.name) for team in teams),
        ]

    def fill(self, row: Dataset) -> None:
        self.team.data = row.team.slug if row.team else NOBODY
        self.contract.data, self.version.data = row.contract, str(row.version)
        if row.fresh_within:
            unit = max(unit for unit in UNITS if unit == 60 or row.fresh_within % unit == 0)
            self.fresh.data, self.unit.data = row.fresh_within / unit, unit

    def as_promise(self) -> Promise:
        said = self.fresh.data
        return Promise(
            self.team.data or None,
            self.contract.data or "",
            round(said * self.unit.data) if said is not None else None,
        )


class AccessForm(FlaskForm):
    role = StringField(
        "Role",
        [InputRequired("By which role is it read?"), Length(max=120)],
        filters=[stripped],
        description="By which it is read, as in reader.",
    )
    approver = StringField(
        "Approver",
        [InputRequired("Who approved it?"), Length(max=120)],
        filters=[stripped],
    )
    reviewed_on = DateField("Reviewed on", [InputRequired("When was it looked at?")])
    review_due = DateField("Next review", [Optional()])
    ends_on = DateField("Access ends on", [Optional()])


class LinkForm(FlaskForm):
    model = StringField(
        "Model",
        [InputRequired("Which model relies on it?"), Length(max=120)],
        filters=[stripped],
        description="Its name, as in recsys-home. It gets panels for schema, freshness and access.",
    )


STATES = {
    LampState.BREACH: "Breach",
    LampState.UNREACHABLE: "Unreachable",
    LampState.NO_DATA: "No data",
    LampState.PARTIAL: "Partial",
    LampState.OK: "OK",
    LampState.NOT_MEASURABLE: "Not measurable",
}
