"""What people hand in on pages of runbooks."""

from flask_wtf import FlaskForm
from wtforms import HiddenField, SelectField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length, ValidationError

from app.runbooks.drafts import MAX_MESSAGE, NewRunbook, plain
from app.runbooks.publishing import MAX_COMMENT
from app.runbooks.rules import FAILURE_MODES, SLUG, kebab

OWN_MODE = ""


class NewRunbookForm(FlaskForm):
    failure_mode = SelectField(
        "Failure mode",
        description="It decides what the template suggests, and which incidents it is for.",
    )
    title = StringField(
        "Title",
        [InputRequired("Say what is wrong when it is needed."), Length(max=120)],
        description="What is wrong, as in: p99 latency is above its limit.",
    )
    slug = StringField(
        "Name",
        [Length(max=120)],
        description="Lower-case letters, digits and hyphens: its address and its file name, for "
        "good. Left empty, it is made from the title.",
    )
    owner = SelectField("Owner", description="The team that keeps it true.")
    models = StringField(
        "Models",
        [Length(max=300)],
        default="*",
        description="Names or patterns, separated by commas, as in reco-*. A star alone: all.",
    )

    def offer(self, covered: set[str], teams: list[tuple[str, str]]) -> None:
        """The failure modes without a runbook come first: they need one most."""
        modes = [(mode, title) for mode, title in FAILURE_MODES.items() if mode not in covered]
        modes += [
            (mode, f"{title} (has one)") for mode, title in FAILURE_MODES.items() if mode in covered
        ]
        self.failure_mode.choices = [*modes, (OWN_MODE, "Another one")]
        self.owner.choices = [*teams, ("", "Nobody yet")]

    def validate_slug(self, field: StringField) -> None:
        if not SLUG.fullmatch(self.name()):
            raise ValidationError(
                "Use lower-case letters, digits and hyphens."
                if (field.data or "").strip()
                else "No name can be made from this title. Write one."
            )

    def name(self) -> str:
        return (self.slug.data or "").strip() or kebab(self.title.data or "")

    def as_new_runbook(self) -> NewRunbook:
        models = [one.strip() for one in (self.models.data or "").split(",")]
        return NewRunbook(
            slug=self.name(),
            title=" ".join((self.title.data or "").split()),
            failure_mode=self.failure_mode.data,
            owner=self.owner.data,
            models=tuple(one for one in models if one) or ("*",),
        )


class SourceForm(FlaskForm):
    """The text in the editor. Its length is checked where it is saved, with a sentence."""

    source = TextAreaField("Source")
    message = StringField("What changed, and why", [Length(max=MAX_MESSAGE)])
    version = HiddenField()  # of the draft, as its reader saw it
    base = HiddenField()  # number of the version that the text was written from
    fill = StringField()  # whose values the preview shows

    def text(self) -> str:
        return plain(self.source.data or "")

    def words(self) -> str:
        return (self.message.data or "").strip()

    def seen_version(self) -> int:
        return _number(self.version.data)

    def base_number(self) -> int | None:
        return _number(self.base.data) or None


class SeenForm(FlaskForm):
    """A button that acts on the draft as its reader saw it."""

    version = HiddenField()

    def seen_version(self) -> int:
        return _number(self.version.data)


class ReviewForm(FlaskForm):
    verdict = HiddenField()
    comment = TextAreaField(
        "Comment",
        [Length(max=MAX_COMMENT)],
        description="Needed when you ask for changes. The author reads it in the editor.",
    )


class ReasonForm(FlaskForm):
    reason = StringField("Reason", [Length(max=MAX_MESSAGE)])

    def words(self) -> str:
        return (self.reason.data or "").strip()


def _number(said: str | None) -> int:
    """A form without a version saw none, and none is 0."""
    said = (said or "").strip()
    return int(said) if said.isascii() and said.isdigit() and len(said) < 10 else 0
