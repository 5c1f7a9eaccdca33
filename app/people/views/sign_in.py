"""Signing in and out, and following a one-time link."""

from flask import redirect, request, session, url_for
from flask.typing import ResponseReturnValue

from app.config import settings as the_settings
from app.core.clock import now
from app.core.errors import ConflictError, NotFoundError, RefusedError, TooManyTriesError
from app.people import links, service
from app.people.access import begin_session, end_session, person_if_any, public
from app.people.forms import SignInForm, WelcomeForm, text
from app.people.rules import FIRST_ADMINISTRATOR, safe_path, said_aloud
from app.people.views.blueprint import bp
from app.web.parts import go, page
from app.web.toast import toast


@bp.route("/sign-in", methods=["GET", "POST"])
@public
def sign_in() -> ResponseReturnValue:
    form = SignInForm()
    next_path = safe_path(form.next.data or request.args.get("next"))
    if person_if_any() is not None:
        return go(next_path)
    status = 200
    retry_after = None
    if form.validate_on_submit():
        try:
            person = service.sign_in(
                text(form.email),
                form.password.data or "",
                address=request.remote_addr or "",
                at=now(),
            )
        except (RefusedError, TooManyTriesError) as error:
            form.password.errors = [error.sentence]
            status = int(error.status)
            retry_after = getattr(error, "retry_after", None)
        else:
            begin_session(person, keep=bool(form.keep.data), at=now())
            return go(next_path)
    elif form.errors:
        status = 422
    form.next.data = next_path
    response = page(
        "people/sign_in.html",
        status=status,
        form=form,
        goes_on_to=said_aloud(next_path),
        hours=the_settings().session_hours,
    )
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


@bp.post("/sign-out")
@public
def sign_out() -> ResponseReturnValue:
    end_session()
    toast("You are signed out.")
    return go(url_for("people.sign_in"))


@bp.get("/welcome/<secret>")
@public
def welcome_link(secret: str) -> ResponseReturnValue:
    """Take the secret out of the address at once: no history, log or referrer need hold it."""
    request.path = "/welcome/…"  # the log writes it down
    link = links.follow(secret, at=now())
    session["welcome"] = link.id
    response = redirect(url_for("people.welcome"), 303)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@bp.route("/welcome", methods=["GET", "POST"])
@public
def welcome() -> ResponseReturnValue:
    """Set name and password with the link that was followed."""
    if "welcome" not in session:
        raise NotFoundError("Follow the link you were sent once more.")
    link = links.followed(session["welcome"], at=now())
    asks_email = link.user.email == FIRST_ADMINISTRATOR
    form = WelcomeForm(name="" if asks_email else link.user.name)
    if not asks_email:
        form.email.data = link.user.email
    status = 200
    if form.validate_on_submit():
        try:
            person = service.use_link(link.id, form.as_welcome(), at=now())
        except (RefusedError, ConflictError) as error:
            form.email.errors = [error.sentence]
            status = int(error.status)
        else:
            begin_session(person, at=now())
            toast(f"Welcome, {person.name}. You are signed in.")
            return go("/")
    elif form.errors:
        status = 422
    return page(
        "people/welcome.html",
        status=status,
        form=form,
        link=link,
        asks_email=asks_email,
    )
