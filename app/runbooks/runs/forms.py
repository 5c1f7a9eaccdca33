"""What people say in a run. Forms check the shape; whether it may be said is the rules' to say."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import IntegerField, StringField, TextAreaField
from wtforms.validators import AnyOf, InputRequired, Length, Optional

from app.runbooks.filling import check_value
from app.runbooks.front_matter import Variable
from app.runbooks.runs.rules import VERDICTS, EventKind, Said

LONGEST_NOTE = 4000
# What a person may say of a step; all else follows from it, or is said elsewhere.
SAYABLE = (
    EventKind.OPENED,
    EventKind.DONE,
    EventKind.FAILED,
    EventKind.SKIPPED,
    EventKind.DECIDED,
    EventKind.WAITING,
    EventKind.TAKEN_BACK,
    EventKind.COPIED,
    EventKind.NOTED,
)


class EventForm(FlaskForm):
    """Every write names itself, so that a repeat is harmless."""

    client_event_id = StringField(validators=[Optional(), Length(max=64)])


class AnswerForm(EventForm):
    kind = StringField(validators=[AnyOf([kind.value for kind in SAYABLE])])
    seen = IntegerField(validators=[Optional()])
    said_at = StringField(validators=[Optional(), Length(max=40)])
    note = TextAreaField(validators=[Length(max=LONGEST_NOTE)])
    what = StringField(validators=[Length(max=20)])
    reason = StringField(validators=[Length(max=200)])
    other_reason = StringField(validators=[Length(max=500)])
    option = IntegerField(validators=[Optional()])
    typed = StringField(validators=[Length(max=200)])
    seq = IntegerField(validators=[Optional()])
    command = IntegerField(validators=[Optional()])

    @property
    def wanted(self) -> EventKind:
        return EventKind(self.kind.data or "")

    @property
    def text(self) -> str:
        return (self.note.data or "").strip()

    @property
    def why(self) -> str:
        return (self.other_reason.data or "").strip() or (self.reason.data or "").strip()

    def as_said(self, step_id: str) -> Said:
        detail: dict[str, Any] = {}
        match self.wanted:
            case EventKind.DONE:
                detail = {"note": self.text, "typed": (self.typed.data or "").strip()}
            case EventKind.FAILED:
                detail = {"what": self.what.data or "", "note": self.text}
            case EventKind.SKIPPED:
                detail = {"reason": self.why}
            case EventKind.DECIDED:
                detail = {"option": self.option.data, "note": self.text}
            case EventKind.TAKEN_BACK:
                detail = {"seq": self.seq.data}
            case EventKind.NOTED:
                detail = {"text": self.text}
        return Said(self.wanted, step_id, self.seen.data or 0, detail)

    @property
    def when(self) -> datetime | None:
        """When it was done, if that was offline."""
        try:
            found = datetime.fromisoformat(self.said_at.data or "")
        except ValueError:
            return None
        return found if found.tzinfo else None


class HereForm(FlaskForm):
    """Who looks at which step; `claim` says: I'm on it, or no longer."""

    step = StringField(validators=[Length(max=80)])
    claim = StringField(validators=[Optional(), AnyOf(["yes", "no"])])


class SwitchForm(EventForm):
    version_id = IntegerField(validators=[InputRequired()])


class EndForm(EventForm):
    leave = StringField(validators=[Length(max=4)])


def given(typed: MultiDict[str, str], prefix: str) -> dict[str, str]:
    """The fields of a family, as in `value:model`, by what comes after the colon."""
    start = f"{prefix}:"
    return {
        name.removeprefix(start): text.strip()
        for name, text in typed.items()
        if name.startswith(start) and text.strip()
    }


def faults_of(values: Mapping[str, str], variables: Sequence[Variable]) -> dict[str, str]:
    """What is wrong with values, by name."""
    return {
        variable.name: sentence
        for variable in variables
        if variable.name in values
        and (sentence := check_value(variable, values[variable.name])) is not None
    }


def verdicts(typed: MultiDict[str, str]) -> list[tuple[str, str, str]]:
    """Step, verdict and note of each step that somebody spoke on.

    Words that came without a verdict say what a step should say: it was unclear, at the least.
    """
    notes = given(typed, "note")
    said = dict.fromkeys(notes, "unclear") | given(typed, "verdict")
    return [
        (step_id, verdict, notes.get(step_id, "")[:LONGEST_NOTE])
        for step_id, verdict in said.items()
        if verdict in VERDICTS
    ]
