"""Who may use which route. Every route carries one of three marks:

    @requires(Role.RESPONDER)    a person with at least this role, signed in with a browser
    @allows("incidents:read")    an API token with this scope
    @public                      anyone: sign-in, health, inbound doors

The marks are read before the view runs and before its arguments are looked at, so a refusal tells
nothing about what exists. A route without a mark serves nobody.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import (
    Flask,
    Response,
    after_this_request,
    current_app,
    g,
    redirect,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, current_user, login_user
from sqlalchemy.exc import SQLAlchemyError

from app.config import settings
from app.core.clock import now
from app.core.errors import ForbiddenError, NotSignedInError
from app.people import queries, tokens
from app.people.rules import Actor, Role, article, safe_path
from app.people.tables import User
from app.people.tokens import TokenInUse
from app.web.csrf import csrf
from app.web.parts import is_htmx

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a route: anyone, a person with this role, or a token with this scope."""

    role: Role | None = None
    token: bool = False
    scope: str | None = None


ANYONE = Access()

HOW_TO_ASK = "Send an API token: Authorization: Bearer bt_…"
# Views that belong to no feature, and who may use them.
OTHERS = ("static", "openapi.doc_url", "web_development.specimen")


def requires(role: Role) -> Callable[[View], View]:
    """Open the view to people of this role and of those above it."""
    return lambda view: _marked(view, Access(role=role))


def allows(scope: str | None = None) -> Callable[[View], View]:
    """Open the view to API tokens with this scope; without one to any token that is valid."""
    return lambda view: _marked(view, Access(token=True, scope=scope))


def public(view: View) -> View:
    """Open the view to anyone."""
    return _marked(view, ANYONE)


def access_to(view: Callable[..., Any]) -> Access | None:
    """The mark of a view."""
    return getattr(view, "access", None)


def _marked(view: View, access: Access) -> View:
    view.access = access  # type: ignore[attr-defined]
    return view


# --- Whoever makes this request


def current_person() -> User:
    """The person who is signed in with this browser."""
    person = person_if_any()
    if person is None:
        raise NotSignedInError("Sign in to go on.")
    return person


def person_if_any() -> User | None:
    return current_user.user if current_user.is_authenticated else None


def current_actor() -> Actor:
    """Whoever acts in this request, for the audit trail: the token or the person."""
    actor: Actor | None = g.get("actor")
    if actor is None:
        raise NotSignedInError("Sign in to go on.")
    return actor


def current_token() -> TokenInUse:
    """The API token that this request came with."""
    token: TokenInUse | None = g.get("token_in_use")
    if token is None:
        raise NotSignedInError(HOW_TO_ASK)
    return token


def may_open(endpoint: str) -> bool:
    """Whether there is such a page and the person at hand may open it. For links and tabs."""
    view = current_app.view_functions.get(endpoint)
    access = access_to(view) if view else None
    if access is None or access.token:
        return False
    if access.role is None:
        return True
    person = person_if_any()
    return person is not None and person.role.covers(access.role)


# --- Sessions


@dataclass(frozen=True, slots=True)
class SignedIn(UserMixin):
    """What Flask-Login knows of a person. Raising the epoch ends all sessions that hold it."""

    user: User

    def get_id(self) -> str:
        return f"{self.user.id}.{self.user.epoch}"


def begin_session(user: User, *, keep: bool = True, at: datetime) -> None:
    """Sign the browser in. `keep`: also after it was closed, until the session ends."""
    # Nothing from before signing in lives on, so a planted session is worth nothing.
    session.clear()
    session.permanent = keep
    session["ends"] = int((at + timedelta(hours=settings().session_hours)).timestamp())
    login_user(SignedIn(user))


def end_session() -> None:
    session.clear()
    g.pop("_login_user", None)


def _load(session_id: str) -> SignedIn | None:
    user_id, _, epoch = session_id.partition(".")
    if not (
        user_id.isdecimal() and epoch.isdecimal() and session.get("ends", 0) > now().timestamp()
    ):
        return None
    user = queries.user_in_session(int(user_id), int(epoch))
    return SignedIn(user) if user else None


# --- The gate


def guard() -> ResponseReturnValue | None:
    """Let the request through to its view, or answer it."""
    if current_app.testing:
        # One application context serves many requests there, and keeps what one of them left.
        for left_over in ("_login_user", "actor", "token_in_use"):
            g.pop(left_over, None)
    view = current_app.view_functions.get(request.endpoint or "")
    if view is None:
        return None  # 404 and 405 say so themselves
    access = access_to(view)
    if access is None:
        raise RuntimeError(f"The route {request.endpoint} does not say who may use it.")
    if access.token:
        _let_token_in(access.scope)
    elif access.role is not None:
        person = person_if_any()
        if person is None:
            return _to_sign_in()
        _let_person_in(person, access.role)
    # After the gate: somebody whose session has ended is asked to sign in, not told of a form.
    if current_app.config["WTF_CSRF_ENABLED"]:
        csrf.protect(apply_exemptions=True)
    return None


def _let_person_in(person: User, needed: Role) -> None:
    g.actor = Actor("person", person.id, person.name)
    if not person.role.covers(needed):
        raise ForbiddenError(
            f"This takes {article(needed)}, and you are {article(person.role)}. "
            "An administrator can change your role."
        )


def _let_token_in(scope: str | None) -> None:
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not secret:
        _challenge('Bearer realm="Baton"')
        raise NotSignedInError(HOW_TO_ASK)
    try:
        token = tokens.check(secret.strip(), at=now())
    except NotSignedInError:
        _challenge('Bearer realm="Baton", error="invalid_token"')
        raise
    g.actor, g.token_in_use = token.actor, token
    if scope is not None and scope not in token.scopes:
        _challenge(f'Bearer realm="Baton", error="insufficient_scope", scope="{scope}"')
        raise ForbiddenError(f"The token {token.name} lacks the scope {scope}.")


def _challenge(scheme: str) -> None:
    @after_this_request
    def add(response: Response) -> Response:
        response.headers["WWW-Authenticate"] = scheme
        return response


def _to_sign_in() -> ResponseReturnValue:
    """A page leads to the sign-in page and back. A part of one gets a 401 and stays as it is."""
    if is_htmx() or request.headers.get("Sec-Fetch-Dest", "document") != "document":
        raise NotSignedInError("Your session has ended. Sign in to go on; what you typed is kept.")
    return redirect(url_for("people.sign_in", next=_page_at_hand()), 303)


def _page_at_hand() -> str | None:
    """The page to come back to: this one if it can be asked for again, else where it came from."""
    if request.method in {"GET", "HEAD"}:
        path = safe_path(request.full_path.removesuffix("?"))
    else:
        origin = urlsplit(request.referrer or "")
        path = safe_path(origin.path) if origin.netloc == request.host else "/"
    return None if path == "/" else path


# --- Wiring


def register(app: Flask) -> None:
    """Put the gate before every route, and the person at hand into every template."""
    secure = app.config["SETTINGS"].url.startswith("https://")
    app.config.update(
        SESSION_COOKIE_NAME="baton",
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        # A session ends a fixed time after signing in, so its cookie need not be sent again.
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=app.config["SETTINGS"].session_hours),
        PREFERRED_URL_SCHEME="https" if secure else "http",
        WTF_CSRF_CHECK_DEFAULT=False,  # `guard` does it
    )
    manager = LoginManager()
    manager.session_protection = None  # phones change their address all the time
    manager.user_loader(_load)
    manager.init_app(app, add_context_processor=False)
    app.before_request(guard)
    app.context_processor(_viewer)
    app.jinja_env.globals["may_open"] = may_open
    for endpoint in OTHERS:
        if endpoint in app.view_functions:
            public(app.view_functions[endpoint])


def _viewer() -> dict[str, Any]:
    """For templates. Without a session cookie this asks the database nothing."""
    try:
        person = person_if_any()
    except SQLAlchemyError:  # the page that says the database is away needs no person
        person = None
    return {"current_person": person, "viewer_zone": person.time_zone if person else None}
