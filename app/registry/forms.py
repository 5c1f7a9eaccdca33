"""What people hand in on pages."""

from collections.abc import Callable, Iterable
from typing import Any

from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import (
    BooleanField,
    Field,
    HiddenField,
    PasswordField,
    RadioField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]
from wtforms.validators import InputRequired, Length, Optional, ValidationError
from wtforms.widgets import CheckboxInput, ListWidget

from app.registry import rules
from app.registry.drafts import ModelDraft, PagerDraft, TeamDraft, each_once
from app.registry.queries import Choice

NOBODY = ""


def obeys(rule: Callable[[str], str | None]) -> Callable[[FlaskForm, Field], None]:
    """Refuse what was typed with the sentence that the rule has for it."""

    def check(_form: FlaskForm, field: Field) -> None:
        if why := rule(text(field)):
            raise ValidationError(why)

    return check


def are_tags(_form: FlaskForm, field: Field) -> None:
    if why := rules.tags_refusal(rules.parse_tags(text(field))):
        raise ValidationError(why)


def are_matchers(_form: FlaskForm, field: Field) -> None:
    try:
        rules.parse_matchers(field.data or "")
    except ValueError as error:
        raise ValidationError(str(error)) from None


def text(field: Field) -> str:
    return (field.data or "").strip()


def stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _choices(pairs: Iterable[tuple[object, str]]) -> list[SelectChoice]:
    return [SelectChoice(value, label) for value, label in pairs]


def _gone(addresses: Iterable[str], people: list[Choice]) -> list[tuple[str, str]]:
    """Those of the addresses whose people have left: they may stay where they are."""
    known = {person.value for person in people}
    return [(gone, f"{gone} (no longer active)") for gone in addresses if gone not in known]


class VersionedForm(FlaskForm):
    """Carries the version its reader saw, so that a later edit is not overwritten unseen."""

    version = HiddenField()

    def seen_version(self) -> int:
        said = text(self.version)
        # A form without a version saw none, and none is 0.
        return int(said) if said.isascii() and said.isdigit() and len(said) < 10 else 0


class ModelForm(VersionedForm):
    slug = StringField(
        "Name",
        [InputRequired("What do people call it?"), obeys(rules.slug_refusal)],
        filters=[stripped],
        description="Lower case letters, digits and dashes. It is part of the address.",
    )
    purpose = TextAreaField(
        "Purpose",
        [Length(max=rules.MAX_PURPOSE)],
        description="What it is for, in a line that a colleague from another team understands.",
    )
    tier = SelectField("Tier", choices=_choices(rules.TIERS.items()), coerce=int, default=2)
    team = SelectField(
        "Owner team", description="Its incidents open for this team, and this team is paged."
    )
    deputy = SelectField("Deputy", description="Answers for the model when its owner is away.")
    tags = StringField("Tags", [are_tags], description="Separated by commas. Runbooks match them.")
    matchers = TextAreaField("Matchers", [are_matchers])
    labels = TextAreaField("Labels of an alert")

    def offer(self, teams: list[Choice], people: list[Choice], now: ModelDraft | None) -> None:
        """Offer teams and people; the deputy at hand stays, even after leaving."""
        self.team.choices = _choices((team.value, team.name) for team in teams)
        gone = _gone([now.deputy] if now and now.deputy else [], people)
        self.deputy.choices = _choices([(NOBODY, "Nobody"), *_labelled(people), *gone])

    def fill(self, model: ModelDraft, version: int) -> None:
        self.slug.data, self.purpose.data, self.tier.data = model.slug, model.purpose, model.tier
        self.team.data, self.deputy.data = model.team, model.deputy or NOBODY
        self.tags.data = ", ".join(model.tags)
        self.matchers.data = rules.matchers_text(model.matchers)
        self.version.data = str(version)

    def as_draft(self) -> ModelDraft:
        return ModelDraft(
            slug=text(self.slug),
            team=self.team.data,
            tier=self.tier.data,
            purpose=text(self.purpose),
            deputy=self.deputy.data or None,
            tags=rules.parse_tags(text(self.tags)),
            matchers=rules.parse_matchers(self.matchers.data or ""),
        )


class PeopleCheckboxesField(SelectMultipleField):
    widget = ListWidget(prefix_label=False)
    option_widget = CheckboxInput()


class TeamForm(VersionedForm):
    name = StringField(
        "Name",
        [InputRequired("What is the team called?"), Length(max=rules.MAX_TEAM_NAME)],
        filters=[stripped],
    )
    slug = StringField(
        "Address",
        filters=[stripped],
        description="The end of the team’s address here. Left empty, it is made of the name.",
    )
    chat_url = StringField(
        "Chat link",
        [Length(max=500), obeys(rules.chat_url_refusal)],
        description="Where the team talks.",
    )
    triages = BooleanField("Takes the incidents that no model claims")
    members = PeopleCheckboxesField("Members")

    def validate_slug(self, field: Field) -> None:
        if text(field):
            obeys(rules.slug_refusal)(self, field)
        elif text(self.name) and rules.slug_refusal(rules.slug_from(text(self.name))):
            raise ValidationError("No address can be made of the name. Write one.")

    def offer(self, people: list[Choice], now: TeamDraft | None) -> None:
        gone = _gone(now.members if now else (), people)
        self.members.choices = _choices([*_labelled(people), *gone])

    def fill(self, team: TeamDraft, version: int) -> None:
        self.name.data, self.slug.data, self.chat_url.data = team.name, team.slug, team.chat_url
        self.triages.data, self.members.data = team.triages, list(team.members)
        self.version.data = str(version)

    def as_draft(self) -> TeamDraft:
        return TeamDraft(
            slug=text(self.slug) or rules.slug_from(text(self.name)),
            name=text(self.name),
            chat_url=text(self.chat_url) or None,
            members=each_once(self.members.data or []),
            triages=bool(self.triages.data),
        )


class PagerForm(VersionedForm):
    # A password field never sends back what it holds.
    routing_key = PasswordField(
        "Routing key",
        [Optional(), obeys(rules.routing_key_refusal)],
        filters=[stripped],
        render_kw={"autocomplete": "off", "spellcheck": "false"},
    )
    remove_key = BooleanField("Take the key away: pages go to the sandbox pager")
    region = RadioField("Region", choices=_choices(rules.REGIONS.items()), default="us")
    service_id = StringField(
        "Service id",
        [obeys(rules.service_id_refusal)],
        filters=[stripped],
        description="As in PABC123. By it, people find the service in PagerDuty.",
    )

    def validate_remove_key(self, field: Field) -> None:
        if field.data and text(self.routing_key):
            raise ValidationError("Either a new key, or none.")

    def as_draft(self) -> PagerDraft:
        kept = text(self.routing_key) or None
        return PagerDraft(
            region=self.region.data,
            service_id=text(self.service_id) or None,
            routing_key="" if self.remove_key.data else kept,
        )


class ImportForm(FlaskForm):
    text = TextAreaField("YAML")
    file = FileField("Or a file")
    seen = HiddenField()  # the fingerprint of the plan that was shown

    def content(self) -> bytes | str:
        upload = self.file.data
        if upload:
            content: bytes = upload.read()
            return content
        return self.text.data or ""


def _labelled(people: list[Choice]) -> list[tuple[str, str]]:
    """Names, with the address behind where two people share one."""
    names = [person.name for person in people]
    return [
        (
            person.value,
            person.name if names.count(person.name) == 1 else f"{person.name} ({person.value})",
        )
        for person in people
    ]
