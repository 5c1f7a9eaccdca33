"""What people hand in on pages. Forms check the shape; rules that need data are the service's."""

from flask_wtf import FlaskForm
from wtforms import HiddenField, IntegerField, RadioField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]
from wtforms.validators import InputRequired, Length, Optional
from wtforms.widgets import HiddenInput

from app.alerts import queries
from app.alerts.queries import STATES, DeliveryFilter
from app.alerts.service import IntegrationDraft
from app.alerts.sources import SOURCES

NOBODY = 0


class IntegrationForm(FlaskForm):
    name = StringField(
        "Name",
        [InputRequired("Give it a name."), Length(max=120)],
        description="What people call this sender, as in Alertmanager prod-eu1.",
    )
    team = SelectField(
        "Whose sender is it?",
        coerce=int,
        description="Shown beside it, so that people know whom to ask.",
    )
    version = IntegerField(widget=HiddenInput(), validators=[Optional()])

    def offer(self) -> None:
        teams = [SelectChoice(row.id, row.name) for row in queries.team_choices()]
        self.team.choices = [SelectChoice(NOBODY, "Nobody in particular"), *teams]

    def as_draft(self) -> IntegrationDraft:
        return IntegrationDraft(self.name.data or "", self.team.data or None)


class NewIntegrationForm(IntegrationForm):
    source = RadioField(
        "What sends?",
        [InputRequired("Choose what sends.")],
        choices=[SelectChoice(source.name, source.title) for source in SOURCES.values()],
    )


class SeenForm(FlaskForm):
    """A press of a button, about the version that its reader saw."""

    version = IntegerField(widget=HiddenInput(), validators=[Optional()])


class TestForm(FlaskForm):
    __test__ = False  # for pytest, which would take it for tests

    model = StringField(
        "Model",
        [Length(max=120)],
        description="As in recsys-home. Without one, the test goes to triage.",
    )
    key = HiddenField()  # only on the page that just showed it


class DropForm(FlaskForm):
    reason = TextAreaField("Why does nobody need it?", [InputRequired("Say why."), Length(max=500)])


class FilterForm(FlaskForm):
    class Meta:
        csrf = False

    state = StringField()
    integration = IntegerField(validators=[Optional()])
    q = StringField("Words, d-88213 or a receipt")

    def as_filter(self) -> DeliveryFilter:
        self.validate()
        state = self.state.data or "all"
        chosen = self.integration.data if not self.integration.errors else None
        return DeliveryFilter(
            state=state if state in STATES else "all",
            integration_id=chosen if chosen and 0 < chosen < 2**31 else None,
            words=(self.q.data or "")[:200],
        )
