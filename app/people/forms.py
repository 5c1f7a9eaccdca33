"""What people hand in on pages."""

from zoneinfo import available_timezones

from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    EmailField,
    Field,
    HiddenField,
    PasswordField,
    RadioField,
    SelectField,
    SelectMultipleField,
    StringField,
)
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]
from wtforms.validators import DataRequired, InputRequired, Length, ValidationError
from wtforms.widgets import CheckboxInput, ListWidget

from app.people.rules import (
    SCOPES,
    SHORTEST_PASSWORD,
    TOKEN_DAYS,
    Role,
    refusal_of_email,
    refusal_of_password,
)
from app.people.service import Invitation, Profile, Welcome
from app.people.tokens import TokenWish

PASSWORD_HINT = f"{SHORTEST_PASSWORD} characters or more. A few words in a row are fine."
NEVER = "never"


def is_email(_form: FlaskForm, field: Field) -> None:
    if why := refusal_of_email(text(field)):
        raise ValidationError(why)


def is_good_password(form: FlaskForm, field: Field) -> None:
    if why := refusal_of_password(field.data or "", email=form.email_address()):
        raise ValidationError(why)


def is_repeated(form: FlaskForm, field: Field) -> None:
    if field.data != form.password.data:
        raise ValidationError("The two passwords differ.")


def text(field: Field) -> str:
    return (field.data or "").strip()


class SignInForm(FlaskForm):
    email = EmailField("Work email", [InputRequired("Your email address.")])
    # Longer than any password can be, so that it is refused like any wrong one.
    password = PasswordField("Password", [InputRequired("Your password."), Length(max=1000)])
    keep = BooleanField("Keep me signed in", default=True)
    next = HiddenField()


class WelcomeForm(FlaskForm):
    email = EmailField("Work email", [is_email])
    name = StringField("Your name", [DataRequired("What colleagues call you."), Length(max=120)])
    password = PasswordField(
        "Password",
        [InputRequired("Choose a password."), is_good_password],
        description=PASSWORD_HINT,
    )
    again = PasswordField("Password, once more", [is_repeated])

    def email_address(self) -> str:
        return text(self.email)

    def as_welcome(self) -> Welcome:
        return Welcome(
            name=text(self.name), password=self.password.data or "", email=text(self.email)
        )


class ProfileForm(FlaskForm):
    name = StringField("Name", [DataRequired("What colleagues call you."), Length(max=120)])
    time_zone = SelectField("Time zone", description="Every page shows its times in this zone.")
    single_keys = BooleanField(
        "Single keys work as shortcuts", description="Without them, Ctrl+K still opens the search."
    )
    version = HiddenField()

    def offer_zones(self, current: str) -> None:
        known = {zone for zone in available_timezones() if "/" in zone and zone[:4] != "Etc/"}
        self.time_zone.choices = [SelectChoice(zone) for zone in sorted(known | {"UTC", current})]

    def as_profile(self) -> Profile:
        return Profile(
            name=text(self.name),
            time_zone=self.time_zone.data,
            single_keys=bool(self.single_keys.data),
        )


class PasswordForm(FlaskForm):
    current = PasswordField("Password so far", [InputRequired("Your password so far.")])
    password = PasswordField(
        "New password",
        [InputRequired("Choose a password."), is_good_password],
        description=PASSWORD_HINT,
    )
    again = PasswordField("New password, once more", [is_repeated])

    email = ""  # the view sets it

    def email_address(self) -> str:
        return self.email


class InviteForm(FlaskForm):
    email = EmailField("Work email", [DataRequired("Whom to invite?"), is_email])
    name = StringField("Name", [DataRequired("What colleagues call them."), Length(max=120)])
    role = SelectField(
        "Role",
        choices=[SelectChoice(role.value, role.value.capitalize()) for role in Role],
        default=Role.RESPONDER.value,
    )

    def as_invitation(self) -> Invitation:
        return Invitation(text(self.email), text(self.name), Role(self.role.data))


class ScopeCheckboxesField(SelectMultipleField):
    widget = ListWidget(prefix_label=False)
    option_widget = CheckboxInput()


class TokenForm(FlaskForm):
    name = StringField(
        "Name",
        [DataRequired("What will use it?"), Length(max=120)],
        description="What uses it, as in CI deploys. The audit log shows this name.",
    )
    scopes = ScopeCheckboxesField("Scopes")
    days = RadioField("Expires", default="90")

    def offer(self, role: Role) -> None:
        """Offer what a person of this role may grant."""
        scopes = [scope for scope, needed in SCOPES.items() if role.covers(needed)]
        self.scopes.choices = [SelectChoice(scope) for scope in scopes]
        days = [SelectChoice(str(days), f"In {days} days") for days in TOKEN_DAYS]
        never = [SelectChoice(NEVER, "Never")] if role is Role.ADMINISTRATOR else []
        self.days.choices = days + never

    def as_wish(self) -> TokenWish:
        days = None if self.days.data == NEVER else int(self.days.data)
        return TokenWish(text(self.name), sorted(self.scopes.data or []), days)
