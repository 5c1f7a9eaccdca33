"""What people hand in about sources and hosts."""

from collections.abc import Mapping
from typing import Any

from flask_wtf import FlaskForm
from wtforms import (
    Field,
    FileField,
    HiddenField,
    IntegerField,
    PasswordField,
    RadioField,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # not in the stubs
from wtforms.validators import InputRequired, Length, Optional, ValidationError
from wtforms.widgets import HiddenInput, PasswordInput

from app.health.service import LONGEST, MAX_ADDRESS, MAX_SOURCE_NAME, SHORTEST, SourceDraft
from app.health.source_options import FORMATS, OPTIONS
from app.health.source_queries import SourceFilter
from app.health.tables import HealthSource

NONE, BEARER, PASSWORD, HEADER, KEEP = "none", "bearer", "password", "header", "keep"
SIGN_INS = (
    (NONE, "Nothing: anybody may read there"),
    (BEARER, "A bearer token"),
    (PASSWORD, "A user and a password"),
    (HEADER, "A header of its own"),
)
ADDRESSES = {
    "openmetrics": "http://serving.example.com:9000/metrics",
    "prometheus": "http://prometheus.example.com:9090",
    "drift": "https://drift.example.com/reports",
    "evidently": "http://evidently.example.com:8000",
    "contracts": "https://warehouse.example.com/contracts",
}
ABOUT = (
    ("", "What the report says, else inputs"),
    ("input", "Inputs"),
    ("output_quality", "Output quality"),
    ("latency", "Latency"),
)


class SecretField(PasswordField):
    """Shows what was typed again, so that a form with an error loses nothing. Never a stored one:
    a form is filled with what is stored without its secret."""

    widget = PasswordInput(hide_value=False)


class SourceForm(FlaskForm):
    """A source of one kind. Which options it has is for its kind to say."""

    name = StringField(
        "Name",
        [InputRequired("Give it a name."), Length(max=MAX_SOURCE_NAME)],
        description="What people call it, as in Serving prod-eu1.",
    )
    url = StringField("Address", [InputRequired("Give its address."), Length(max=MAX_ADDRESS)])
    every = IntegerField(
        "Seconds between two looks",
        [InputRequired(f"Give seconds, {SHORTEST} to {LONGEST:,}.")],
        default=30,
        description="A tenth more or less is added each time, so that not all are asked at once.",
    )
    sign_in = RadioField("What does it want to see?", default=NONE)
    bearer = SecretField("Token")
    user = StringField("User")
    password = SecretField("Password")
    header = StringField("Header", description="As in X-Api-Key.")
    value = SecretField("Its value")
    # Options: each kind has some of them.
    path = StringField("Path", description="Beside the address, as in /drift. Empty: the address.")
    model = StringField(
        "Model", description="Whose reports these are, if they do not say so themselves."
    )
    version = StringField("Version of the model", description="If the reports do not say so.")
    kind = SelectField(
        "What they are about", default="", choices=[SelectChoice(*one) for one in ABOUT]
    )
    format = SelectField("Format", default="")
    reference_id = StringField("Reference", description="What is compared with, in your words.")
    reference_at = StringField(
        "Reference taken", description="As in 2026-03-01 or 2026-03-01T12:00:00Z."
    )
    zone = StringField(
        "Time zone", description="Of times that name none, as in Europe/Lisbon. Empty: UTC."
    )
    projects = TextAreaField(
        "Projects",
        description="One a line, as in Home feed = recsys-home. Empty: all, each under its name.",
    )
    dataset = StringField("Data input", description="If the checks do not name it.")
    expected = TextAreaField(
        "Expected inputs",
        description="One a line. An input that a check leaves out is unknown, and never fresh.",
    )
    # The host that the reader agreed to put onto the list.
    allow = HiddenField()
    seen = IntegerField(widget=HiddenInput(), validators=[Optional()])

    def offer(self, kind: str, stored: HealthSource | None = None) -> None:
        """The fields and choices of a source of this kind."""
        kept = []
        if stored is not None and stored.secret_encrypted:
            kept = [(KEEP, f"What is kept: {stored.secret_hint}")]
        self.sign_in.choices = [SelectChoice(*one) for one in (*kept, *SIGN_INS)]
        formats = [("", "Found out"), *((name, name) for name in FORMATS.get(kind, ()))]
        self.format.choices = [SelectChoice(*one) for one in formats]
        for name in {option for options in OPTIONS.values() for option in options}:
            if name not in OPTIONS[kind]:
                del self[name]
        self.url.description = f"As in {ADDRESSES[kind]}."

    def options_of(self, kind: str) -> list[Field]:
        return [self[name] for name in OPTIONS[kind]]

    def fill(self, stored: HealthSource) -> None:
        """With what is stored, but for the secret."""
        self.name.data, self.url.data, self.every.data = stored.name, stored.url, stored.every
        self.sign_in.data = KEEP if stored.secret_encrypted else NONE
        self.seen.data = stored.version
        for name in OPTIONS[stored.kind]:
            self[name].data = _as_text(stored.options.get(name))

    def validate_bearer(self, field: Field) -> None:
        self._needed(field, BEARER, "Give the token.")

    def validate_user(self, field: Field) -> None:
        self._needed(field, PASSWORD, "Give the user.")

    def validate_header(self, field: Field) -> None:
        self._needed(field, HEADER, "Give the name of the header.")

    def validate_value(self, field: Field) -> None:
        self._needed(field, HEADER, "Give the value of the header.")

    def _needed(self, field: Field, sign_in: str, sentence: str) -> None:
        if self.sign_in.data == sign_in and not field.data:
            raise ValidationError(sentence)

    def validate_projects(self, field: Field) -> None:
        for line in _lines(field.data):
            if not all(part.strip() for part in (line.rpartition("=")[0], line.rpartition("=")[2])):
                raise ValidationError(f"{line[:60]}: write project = model.")

    def as_draft(self, kind: str) -> SourceDraft:
        return SourceDraft(
            name=self.name.data or "",
            kind=kind,
            url=(self.url.data or "").strip(),
            every=self.every.data or 0,
            options=self._options(kind),
            secret=self._secret(),
        )

    def _secret(self) -> Mapping[str, str] | None:
        match self.sign_in.data:
            case "keep":
                return None
            case "bearer":
                return {"bearer": (self.bearer.data or "").strip()}
            case "password":
                return {"user": self.user.data or "", "password": self.password.data or ""}
            case "header":
                return {
                    "header": (self.header.data or "").strip(),
                    "value": (self.value.data or "").strip(),
                }
            case _:
                return {}

    def _options(self, kind: str) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for name in OPTIONS[kind]:
            text = self[name].data or ""
            if name == "projects":
                pairs = [line.rpartition("=") for line in _lines(text)]
                said[name] = {before.strip(): model.strip() for before, _, model in pairs}
            elif name == "expected":
                said[name] = _lines(text)
            else:
                said[name] = text.strip()
        return {name: value for name, value in said.items() if value}


def _lines(text: str | None) -> list[str]:
    return [line.strip() for line in (text or "").splitlines() if line.strip()]


def _as_text(said: Any) -> str:
    if isinstance(said, dict):
        return "\n".join(f"{name} = {model}" for name, model in said.items())
    if isinstance(said, list):
        return "\n".join(map(str, said))
    return str(said or "")


class HostForm(FlaskForm):
    pattern = StringField(
        "Host and port",
        [InputRequired("Give a host and a port."), Length(max=255)],
        description="As in serving.example.com:9000. *.example.com:443 stands for any one name.",
    )
    why = StringField("What for?", [Length(max=200)])


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


class SeenForm(FlaskForm):
    """A press of a button, about the version that its reader saw."""

    version = IntegerField(widget=HiddenInput(), validators=[Optional()])


class FilterForm(FlaskForm):
    class Meta:
        csrf = False

    which = StringField()
    q = StringField("Name or address")

    def as_filter(self) -> SourceFilter:
        which = self.which.data if self.which.data in ("trouble", "closed") else "open"
        return SourceFilter((self.q.data or "").strip()[:200], which)
