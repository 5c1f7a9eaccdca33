"""The settings about people, tokens and the audit trail."""

from datetime import timedelta

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.config import settings as the_settings
from app.core.clock import now
from app.core.errors import BatonError, ConflictError, RefusedError
from app.people import queries, service, tokens
from app.people.access import current_actor, current_person, may_open, requires
from app.people.forms import InviteForm, TokenForm
from app.people.queries import AuditFilter
from app.people.rules import Role, field_changes, refusal_of_token
from app.people.tables import AuditEntry
from app.people.views.blueprint import bp, seen_version
from app.web.navigation import url_if_there
from app.web.parts import go, page
from app.web.toast import toast

ENDS_SOON = timedelta(days=14)  # a token's owner should make a new one

# The tabs of the settings, in their order. One whose page does not exist is not shown.
SETTINGS = (
    ("General", "overview.settings"),
    ("People", "people.people"),
    ("API tokens", "people.tokens"),
    ("Integrations", "alerts.integrations"),
    ("Health sources", "health.sources"),
    ("Sandbox pager", "overview.sandbox_pager"),
    ("Audit log", "people.audit_log"),
)


# Where the trail leads, by kind of target: endpoint, and what it calls the id. Models and teams are
# not among them: their pages go by a name, which may be another by now.
TARGETS = {
    "incident": ("incidents.detail", "incident_id"),
    "delivery": ("alerts.delivery", "delivery_id"),
    "integration": ("alerts.integration", "integration_id"),
    "health_source": ("health.source", "source_id"),
    "person": ("people.person", "user_id"),
}


@bp.app_template_global()
def settings_pages() -> list[tuple[str, str]]:
    """The settings that the person at hand may open, as (label, endpoint)."""
    return [(label, endpoint) for label, endpoint in SETTINGS if may_open(endpoint)]


# --- People


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
        version=seen_version(request.form.get("version")),
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
        version=seen_version(request.form.get("version")),
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
        version=seen_version(request.form.get("version")),
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


# --- API tokens


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


# --- Audit log


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
        target_url=_target_url,
        first_page="cursor" not in request.args,
        at=now(),
    )


def _target_url(entry: AuditEntry) -> str | None:
    """The page of what was changed, if it has one. Several at once have no id."""
    if entry.target_kind not in TARGETS or not entry.target_id.isdigit():
        return None
    endpoint, name = TARGETS[entry.target_kind]
    return url_if_there(endpoint, **{name: int(entry.target_id)})


def _asked(name: str) -> str:
    return request.args.get(name, "").strip()[:120]
