"""What people type about incidents. Forms check the shape; rules that need data are the service's.

Each form but a note carries `seen`, the version of the incident that its reader looked at.
"""

import re

from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, IntegerField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]
from wtforms.validators import DataRequired, Length, NumberRange, Optional
from wtforms.widgets import HiddenInput

from app.incidents import queries
from app.incidents.service import LONGEST_NOTE, Declaration
from app.runbooks.rules import FAILURE_MODES

SEVERITIES = [
    SelectChoice(1, "SEV-1: most users are affected"),
    SelectChoice(2, "SEV-2: many users are affected"),
    SelectChoice(3, "SEV-3: some are, or soon will be"),
    SelectChoice(4, "SEV-4: nobody notices yet"),
]


def _words(value: str | None) -> str:
    return " ".join((value or "").split())


class SeenForm(FlaskForm):
    seen = IntegerField(widget=HiddenInput(), validators=[Optional()])


class ReasonForm(SeenForm):
    reason = TextAreaField("Why is it open again?", [DataRequired("Say why."), Length(max=2000)])


class ResolveForm(SeenForm):
    reason = TextAreaField(
        "Why is it over?", [DataRequired("Say why it is over."), Length(max=2000)]
    )
    noise = BooleanField("It was noise: nobody had to be woken for this")


class SeverityForm(SeenForm):
    severity = SelectField("How bad is it?", coerce=int, choices=SEVERITIES)


class HandOverForm(SeenForm):
    to = SelectField("Who takes over?", coerce=int)
    note = TextAreaField("What should they know?", [Length(max=2000)])

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.to.choices = [SelectChoice(person.id, person.name) for person in queries.people()]


class EscalateForm(SeenForm):
    team = SelectField("Page", coerce=int)
    note = TextAreaField("What do they need to know?", [Length(max=2000)])

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.team_names = [(team.id, team.name) for team in queries.teams()]
        self.team.choices = [SelectChoice(*team) for team in self.team_names]


class AssignForm(SeenForm):
    model = SelectField("Which model is it about?", coerce=int)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.model.choices = [SelectChoice(model.id, model.slug) for model in queries.models()]


class StartForm(FlaskForm):
    version_id = IntegerField(validators=[DataRequired(), NumberRange(1, 2**31 - 1)])


class NoteForm(FlaskForm):
    text = TextAreaField(
        "Add a note", [DataRequired("A note needs words."), Length(max=LONGEST_NOTE)]
    )
    key = HiddenField(validators=[Length(max=64)])


class DeclareForm(FlaskForm):
    title = StringField("What is wrong?", [DataRequired("Say what is wrong."), Length(max=300)])
    severity = SelectField("How bad is it?", coerce=int, choices=SEVERITIES, default=3)
    model = SelectField("Which model?", coerce=int)
    failure_mode = SelectField("How does it fail?")
    other_mode = StringField("In a word", [Length(max=80)])
    note = TextAreaField("What do you see?", [Length(max=LONGEST_NOTE)])

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.model.choices = [
            SelectChoice(0, "None of them, or not known"),
            *(SelectChoice(model.id, model.slug) for model in queries.models()),
        ]
        self.failure_mode.choices = [
            SelectChoice("", "Not known yet, or something else"),
            *(SelectChoice(mode, title) for mode, title in FAILURE_MODES.items()),
        ]

    def as_declaration(self) -> Declaration:
        mode = self.failure_mode.data or _words(self.other_mode.data)
        return Declaration(
            title=_words(self.title.data),
            severity=self.severity.data,
            model_id=self.model.data or None,
            failure_mode=re.sub(r"[^a-z0-9]+", "_", mode.lower()).strip("_") or "declared_by_hand",
            note=(self.note.data or "").strip(),
        )


class FilterForm(FlaskForm):
    """The filters of the list, from the address."""

    class Meta:
        csrf = False

    severity = IntegerField(validators=[Optional(), NumberRange(1, 4)])
    team = StringField(validators=[Length(max=80)])
    model = StringField(validators=[Length(max=80)])
    q = StringField(validators=[Length(max=200)])
