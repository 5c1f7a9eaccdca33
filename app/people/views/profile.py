"""One's own profile, password and sessions."""

from flask import request, session, url_for
from flask.typing import ResponseReturnValue

from app.core.clock import now
from app.core.errors import RefusedError, TooManyTriesError
from app.people import service
from app.people.access import (
    begin_session,
    current_actor,
    current_person,
    end_session,
    requires,
)
from app.people.forms import PasswordForm, ProfileForm
from app.people.rules import Role
from app.people.views.blueprint import bp, seen_version
from app.web.parts import go, page
from app.web.toast import toast


@bp.get("/profile")
@requires(Role.VIEWER)
def profile() -> ResponseReturnValue:
    return _profile_page()


@bp.post("/profile")
@requires(Role.VIEWER)
def update_profile() -> ResponseReturnValue:
    person = current_person()
    form = ProfileForm()
    form.offer_zones(person.time_zone)
    if not form.validate():
        return _profile_page(profile_form=form, part="profile_form", status=422)
    service.update_profile(
        person.id, form.as_profile(), version=seen_version(form.version.data), at=now()
    )
    toast("Your profile is saved.")
    return go(url_for("people.profile"))


@bp.post("/profile/password")
@requires(Role.VIEWER)
def change_password() -> ResponseReturnValue:
    person = current_person()
    keeps = bool(session.permanent)
    form = PasswordForm()
    form.email = person.email
    if not form.validate():
        return _profile_page(password_form=form, part="password_form", status=422)
    try:
        person = service.change_password(
            person.id,
            form.current.data or "",
            form.password.data or "",
            address=request.remote_addr or "",
            at=now(),
        )
    except (RefusedError, TooManyTriesError) as error:
        form.current.errors = [error.sentence]
        return _profile_page(password_form=form, part="password_form", status=int(error.status))
    begin_session(person, keep=keeps, at=now())
    toast("Your password is changed. Other devices are signed out.")
    return go(url_for("people.profile"))


@bp.post("/profile/sign-out-everywhere")
@requires(Role.VIEWER)
def sign_out_everywhere() -> ResponseReturnValue:
    service.sign_out_everywhere(current_person().id, by=current_actor(), at=now())
    end_session()
    toast("You are signed out on every device.")
    return go(url_for("people.sign_in"))


def _profile_page(
    *,
    profile_form: ProfileForm | None = None,
    password_form: PasswordForm | None = None,
    part: str | None = None,
    status: int = 200,
) -> ResponseReturnValue:
    person = current_person()
    if profile_form is None:
        profile_form = ProfileForm(formdata=None, obj=person)
        profile_form.offer_zones(person.time_zone)
    return page(
        "people/profile.html",
        part=part,
        status=status,
        person=person,
        profile_form=profile_form,
        password_form=password_form or PasswordForm(formdata=None),
    )
