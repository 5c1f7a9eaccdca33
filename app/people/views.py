"""Signing in, one's own profile, and the settings about people, tokens and the audit trail."""

from datetime import timedelta

from flask import Blueprint, redirect, request, session, url_for
from flask.typing import ResponseReturnValue

from app.config import settings as the_settings
from app.core.clock import now
from app.core.errors import (
    BatonError,
    ConflictError,
    NotFoundError,
    RefusedError,
    TooManyTriesError,
)
from app.people import queries, service, tokens
from app.people.access import (
    begin_session,
    current_actor,
    current_person,
    end_session,
    may_open,
    person_if_any,
    public,
    requires,
)
from app.people.forms import (
    InviteForm,
    PasswordForm,
    ProfileForm,
    SignInForm,
    TokenForm,
    WelcomeForm,
    text,
)
from app.people.queries import AuditFilter
from app.people.rules import (
    FIRST_ADMINISTRATOR,
    Role,
    field_changes,
    refusal_of_token,
    safe_path,
    said_aloud,
)
from app.web.parts import go, page
from app.web.toast import toast

bp = Blueprint("people", __name__, template_folder="templates")

ENDS_SOON = timedelta(days=14)  # a token's owner should make a new one

# The tabs of the settings, in their order. One whose page does not exist is not shown.
SETTINGS = (
    ("General", "overview.settings"),
    ("People", "people.people"),
    ("API tokens", "people.tokens"),
    ("Integrations", "alerts.integrations"),
    ("Sandbox pager", "overview.sandbox_pager"),
    ("Audit log", "people.audit_log"),
)


@bp.app_template_global()
def settings_pages() -> list[tuple[str, str]]:
    """The settings that the person at hand may open, as (label, endpoint)."""
    return [(label, endpoint) for label, endpoint in SETTINGS if may_open(endpoint)]


# --- Signing in and out


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
    link = service.open_link(secret, at=now())
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
    link = service.opened_link(session["welcome"], at=now())
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


# --- One's own profile


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
        person.id, form.as_profile(), version=_version(form.version.data), at=now()
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


# --- Settings: people


@bp.get("/settings")
@requires(Role.VIEWER)
def settings() -> ResponseReturnValue:
    """The first of the settings that this person may open."""
    pages = settings_pages()
    return redirect(url_for(pages[0][1] if pages else "people.profile"), 303)


@bp.get("/settings/people")
@requires(Role.ADMINISTRATOR)
def people() -> ResponseReturnValue:
    search = _asked("search")
    return page(
        "people/people.html",
        people=queries.people(search, cursor=request.args.get("cursor", "")),
        headcount=queries.headcount(),
        search=search,
    )


@bp.route("/settings/people/invite", methods=["GET", "POST"])
@requires(Role.ADMINISTRATOR)
def invite() -> ResponseReturnValue:
    form = InviteForm()
    status = 200
    if form.validate_on_submit():
        try:
            person, link = service.invite(form.as_invitation(), by=current_actor(), at=now())
        except (RefusedError, ConflictError) as error:
            form.email.errors = [error.sentence]
            status = int(error.status)
        else:
            return page("people/link.html", person=person, link=link, invited=True)
    elif form.errors:
        status = 422
    return page("people/invite.html", status=status, form=form)


@bp.get("/settings/people/<int:user_id>")
@requires(Role.ADMINISTRATOR)
def person(user_id: int) -> ResponseReturnValue:
    at = now()
    return page(
        "people/person.html",
        person=queries.user(user_id),
        roles=[(role.value, role.value.capitalize()) for role in Role],
        link=queries.open_link_of(user_id, at=at),
        tokens=queries.working_tokens(at=at, made_by=user_id),
        at=at,
    )


@bp.post("/settings/people/<int:user_id>/role")
@requires(Role.ADMINISTRATOR)
def change_role(user_id: int) -> ResponseReturnValue:
    wanted = request.form.get("role", "")
    if wanted not in list(Role):
        raise RefusedError("Choose one of the roles.")
    at = now()
    changed = service.change_role(
        user_id,
        Role(wanted),
        version=_version(request.form.get("version")),
        by=current_actor(),
        at=at,
    )
    # A token keeps its scopes, whatever becomes of its maker.
    made = len(queries.working_tokens(at=at, made_by=user_id))
    and_tokens = f" Tokens they made keep their scopes: {made}." if made else ""
    toast(f"{changed.name} is now {changed.role}.{and_tokens}")
    return go(url_for("people.person", user_id=user_id))


@bp.post("/settings/people/<int:user_id>/deactivate")
@requires(Role.ADMINISTRATOR)
def deactivate(user_id: int) -> ResponseReturnValue:
    left, revoked = service.deactivate(
        user_id,
        revoke_tokens="revoke_tokens" in request.form,
        version=_version(request.form.get("version")),
        by=current_actor(),
        at=now(),
    )
    and_tokens = f" Tokens revoked: {revoked}." if revoked else ""
    toast(f"{left.name} is deactivated and signed out.{and_tokens}")
    return go(url_for("people.person", user_id=user_id))


@bp.post("/settings/people/<int:user_id>/activate")
@requires(Role.ADMINISTRATOR)
def activate(user_id: int) -> ResponseReturnValue:
    back = service.activate(
        user_id,
        version=_version(request.form.get("version")),
        by=current_actor(),
        at=now(),
    )
    toast(f"{back.name} can sign in again.")
    return go(url_for("people.person", user_id=user_id))


@bp.post("/settings/people/<int:user_id>/link")
@requires(Role.ADMINISTRATOR)
def new_link(user_id: int) -> ResponseReturnValue:
    whose, link = service.new_link(user_id, by=current_actor(), at=now())
    return page("people/link.html", person=whose, link=link, invited=False)


# --- Settings: API tokens


@bp.get("/settings/tokens", endpoint="tokens")
@requires(Role.MAINTAINER)
def list_tokens() -> ResponseReturnValue:
    at = now()
    return page("people/tokens.html", tokens=queries.tokens(), at=at, soon=at + ENDS_SOON)


@bp.route("/settings/tokens/new", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def create_token() -> ResponseReturnValue:
    role = current_person().role
    form = TokenForm()
    form.offer(role)
    status = 200
    if form.validate_on_submit():
        wish = form.as_wish()
        try:
            if why := refusal_of_token(role, wish.scopes, wish.days):
                raise RefusedError(why)
            token, secret = tokens.create(wish, by=current_actor(), at=now())
        except BatonError as error:
            field = form.name if isinstance(error, ConflictError) else form.scopes
            field.errors = [error.sentence]
            status = int(error.status)
        else:
            return page(
                "people/token.html", token=token, secret=secret, base_url=the_settings().url
            )
    elif form.errors:
        status = 422
    return page("people/create_token.html", status=status, form=form)


@bp.post("/settings/tokens/<int:token_id>/revoke")
@requires(Role.MAINTAINER)
def revoke_token(token_id: int) -> ResponseReturnValue:
    token = tokens.revoke(token_id, by=current_actor(), role=current_person().role, at=now())
    toast(f"The token {token.name} is revoked.")
    return go(url_for("people.tokens"))


# --- Settings: audit log


@bp.get("/settings/audit")
@requires(Role.ADMINISTRATOR)
def audit_log() -> ResponseReturnValue:
    wanted = AuditFilter(who=_asked("who"), what=_asked("what"), kind=_asked("kind"))
    return page(
        "people/audit_log.html",
        entries=queries.audit_entries(wanted, cursor=request.args.get("cursor", "")),
        kinds=queries.audited_kinds(),
        wanted=wanted,
        changes=field_changes,
        first_page="cursor" not in request.args,
        at=now(),
    )


def _asked(name: str) -> str:
    """What the address asks for, without the NUL that PostgreSQL can't hold."""
    return request.args.get(name, "").replace("\0", "").strip()[:120]


def _version(said: str | None) -> int:
    """The version that the reader of a form saw."""
    if said is None or not said.isdigit():
        raise RefusedError("This form came without its version. Open the page again.")
    return int(said)
