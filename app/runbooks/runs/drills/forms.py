"""What people type to start a drill or to plan one. Rules that need data are the service's."""

import re
from collections.abc import Sequence
from datetime import datetime

from flask_wtf import FlaskForm
from wtforms import BooleanField, DateField, IntegerField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # not in the stubs
from wtforms.validators import InputRequired, Length, Optional, Regexp
from wtforms.widgets import HiddenInput

from app.runbooks.runs.drills.service import Wish

NOBODY = 0
DELIVERY = re.compile(r"\s*(?:d-)?(\d{1,18})\s*")


class StartForm(FlaskForm):
    model = SelectField("Which model is it about?")
    story = StringField(
        "What has happened?",
        [Length(max=300)],
        description="A sentence for those who follow along. Without one, the runbook’s own "
        "signals tell it.",
    )
    delivery = StringField(
        "Play a delivery again",
        [Optional(), Regexp(DELIVERY, message="A delivery is called as in d-1042.")],
        description="As in d-1042: its alert, labels and links are shown as they came. "
        "Leave it empty to play what the runbook itself says.",
    )
    planned = IntegerField(widget=HiddenInput(), validators=[Optional()])
    as_planned = BooleanField("It is the one that was planned")

    def offer(self, models: Sequence[str]) -> None:
        choices = [SelectChoice(slug, slug) for slug in models]
        self.model.choices = [*choices, SelectChoice("", "No model in particular")]

    @property
    def delivery_id(self) -> int | None:
        found = DELIVERY.fullmatch(self.delivery.data or "")
        return int(found[1]) if found else None

    @property
    def planned_id(self) -> int | None:
        return self.planned.data if self.as_planned.data else None

    @property
    def said(self) -> str:
        return " ".join((self.story.data or "").split())


class PlanForm(FlaskForm):
    due = DateField("Until when?", [InputRequired("Choose a day.")])
    driver = SelectField("Who drives?", coerce=int)
    note = TextAreaField(
        "Note", [Length(max=500)], description="What it should show, or who else should come."
    )

    def offer(self, people: Sequence[tuple[int, str]]) -> None:
        choices = [SelectChoice(person_id, name) for person_id, name in people]
        self.driver.choices = [SelectChoice(NOBODY, "Whoever has time"), *choices]

    def propose(self, due_at: datetime) -> None:
        self.due.data = due_at.date()

    def as_wish(self) -> Wish:
        assert self.due.data  # it is required
        return Wish(self.due.data, self.driver.data or None, (self.note.data or "").strip())


class SeenForm(FlaskForm):
    """A press of a button, about the version that its reader saw."""

    version = IntegerField(widget=HiddenInput(), validators=[Optional()])
