"""Settings: sources of readings, and the hosts that Baton may ask."""

from datetime import datetime
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from app.core.clock import now
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.health import panel_imports, service, source_queries, trying
from app.health.asking import allowed_hosts, host_of, why_not_allowed
from app.health.forms.sources import FilterForm, HostForm, ImportForm, SeenForm, SourceForm
from app.health.panel_files import EXAMPLE, read_file
from app.health.showing import shown
from app.health.source_queries import SourceFilter, opened_by
from app.health.source_showing import how_it_goes
from app.health.sources import SOURCES
from app.health.tables import HealthSource
from app.health.trying import Tried
from app.health.views.blueprint import bp
from app.people.access import current_actor, may_open, requires
from app.people.rules import Role
from app.web.parts import go, live, page
from app.web.toast import toast

LIST, SOURCE, FORM, HOSTS, IMPORT = (
    f"health/{name}.html" for name in ("sources", "source", "source_form", "hosts", "import")
)

# --- Sources ----------------------------------------------------------------------------------


@bp.get("/settings/sources")
@requires(Role.MAINTAINER)
def sources() -> ResponseReturnValue:
    return page(LIST, **_list())


@bp.get("/settings/sources/part/list")
@requires(Role.MAINTAINER)
def sources_part() -> ResponseReturnValue:
    return live(LIST, part="list", **_list())


def _list() -> dict[str, Any]:
    at = now()
    wanted = FilterForm(MultiDict(request.args)).as_filter()
    cursor = request.args.get("cursor")
    found = source_queries.sources(wanted, cursor=cursor)
    return {
        "found": found,
        "lamps": {line.source.id: how_it_goes(line.source, at=at) for line in found.items},
        "totals": source_queries.totals(),
        "wanted": wanted,
        "arguments": _arguments(wanted),
        "cursor": cursor,
        "kinds": SOURCES,
    }


def _arguments(wanted: SourceFilter) -> dict[str, str]:
    said = {"which": wanted.which if wanted.which != "open" else "", "q": wanted.words}
    return {name: value for name, value in said.items() if value}


@bp.route("/settings/sources/new", methods=["GET", "POST"])
@requires(Role.ADMINISTRATOR)
def new_source() -> ResponseReturnValue:
    """First the kind, then what a source of it needs."""
    kind = request.args.get("kind", "")
    if kind not in SOURCES:
        return page(FORM, kinds=SOURCES, kind=None, form=None, source=None)
    form = SourceForm()
    form.offer(kind)
    if not form.is_submitted():
        return _form_page(form, kind)
    if not form.validate():
        return _form_page(form, kind, status=422)
    try:
        made = service.create_source(
            form.as_draft(kind), allow=form.allow.data or "", by=current_actor(), at=now()
        )
    except (RefusedError, ConflictError) as error:
        return _refused(form, kind, error)
    toast(f"{made.name} is made. The worker asks it at once.")
    return go(url_for("health.source", source_id=made.id))


@bp.route("/settings/sources/<int:source_id>/edit", methods=["GET", "POST"])
@requires(Role.ADMINISTRATOR)
def edit_source(source_id: int) -> ResponseReturnValue:
    found = source_queries.source(source_id)
    form = SourceForm()
    form.offer(found.kind, found)
    if not form.is_submitted():
        form.fill(found)
        return _form_page(form, found.kind, found)
    if not form.validate():
        return _form_page(form, found.kind, found, status=422)
    try:
        saved = service.edit_source(
            source_id,
            form.as_draft(found.kind),
            seen_version=form.seen.data,
            allow=form.allow.data or "",
            by=current_actor(),
            at=now(),
        )
    except (RefusedError, ConflictError) as error:
        return _refused(form, found.kind, error, source_queries.source(source_id))
    toast(f"{saved.name} is saved. The worker asks it at once.")
    return go(url_for("health.source", source_id=source_id))


def _refused(
    form: SourceForm,
    kind: str,
    error: RefusedError | ConflictError,
    found: HealthSource | None = None,
) -> ResponseReturnValue:
    """The form again, with all that was typed."""
    host = host_of(form.url.data or "")
    form.allow.data = ""
    if isinstance(error, ConflictError):
        form.form_errors.append(error.sentence)
        if found is not None:
            # To save it once more, having read this, is on purpose.
            form.seen.data = found.version
    elif why_not_allowed(form.url.data or "", allowed_hosts()) == error.sentence:
        form.url.errors = [error.sentence]
        form.allow.data = host or ""
    else:
        form.form_errors.append(error.sentence)
    return _form_page(form, kind, found, status=int(error.status))


def _form_page(
    form: SourceForm, kind: str, found: HealthSource | None = None, *, status: int = 200
) -> ResponseReturnValue:
    response = page(FORM, "form", status=status, kinds=SOURCES, kind=SOURCES[kind], form=form,
                    source=found)  # fmt: skip
    # What was typed may be a secret.
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.route("/settings/sources/import", methods=["GET", "POST"])
@requires(Role.ADMINISTRATOR)
def import_panels() -> ResponseReturnValue:
    """Show what a file would do; with the fingerprint of what was shown, do it."""
    form = ImportForm()
    if not form.validate_on_submit():
        return page(IMPORT, form=form, example=EXAMPLE, plan=None, sentence=None)
    content = form.content()
    file, problems = read_file(content)
    status, sentence = 200, None
    if form.seen.data and not problems:
        try:
            done = panel_imports.import_file(
                file, seen=form.seen.data, by=current_actor(), at=now()
            )
        except (ConflictError, RefusedError) as error:
            status, sentence = int(error.status), error.sentence
        else:
            toast(f"{done.count('create')} added, {done.count('change')} changed.")
            return go(url_for("health.sources"))
    plan = panel_imports.plan_import(file, problems)
    form.text.data = content if isinstance(content, str) else content.decode("utf-8-sig", "replace")
    return page(
        IMPORT,
        "form",
        status=422 if plan.problems else status,
        form=form,
        example=EXAMPLE,
        plan=plan,
        sentence=sentence,
    )


@bp.get("/settings/sources/<int:source_id>")
@requires(Role.MAINTAINER)
def source(source_id: int) -> ResponseReturnValue:
    return page(SOURCE, tried=None, **_about(source_queries.source(source_id)))


@bp.get("/settings/sources/<int:source_id>/part/state")
@requires(Role.MAINTAINER)
def source_part(source_id: int) -> ResponseReturnValue:
    return live(SOURCE, part="state", **_about(source_queries.source(source_id)))


@bp.post("/settings/sources/<int:source_id>/ask")
@requires(Role.MAINTAINER)
def ask_source(source_id: int) -> ResponseReturnValue:
    """Ask it now. What came back is shown and not recorded: that is for the worker."""
    found = source_queries.source(source_id)
    if found.closed_at is not None:
        raise ConflictError(f"{found.name} is closed. Open it again to ask it.")
    tried: Tried = trying.ask_now(found, at=now())
    return page(SOURCE, "asked", tried=tried, **_about(source_queries.source(source_id)))


@bp.post("/settings/sources/<int:source_id>/close")
@requires(Role.ADMINISTRATOR)
def close_source(source_id: int) -> ResponseReturnValue:
    form = SeenForm()
    form.validate()
    closed = service.close_source(
        source_id, seen_version=form.version.data, by=current_actor(), at=now()
    )
    toast(f"{closed.name} is closed and not asked any more. Open it again on this page.")
    return go(url_for("health.source", source_id=source_id))


@bp.post("/settings/sources/<int:source_id>/reopen")
@requires(Role.ADMINISTRATOR)
def reopen_source(source_id: int) -> ResponseReturnValue:
    opened = service.reopen_source(source_id, by=current_actor(), at=now())
    toast(f"{opened.name} is open again. The worker asks it at once.")
    return go(url_for("health.source", source_id=source_id))


def _about(found: HealthSource) -> dict[str, Any]:
    at = now()
    return {
        "at": at,
        "source": found,
        "kind": SOURCES.get(found.kind),
        "line": source_queries.line_of(found),
        "how": how_it_goes(found, at=at),
        "panels": [(row, shown(row, at=at)) for row in source_queries.panels_on(found.id)],
        "why_not_allowed": why_not_allowed(found.url, allowed_hosts()) if found.url else None,
    }


# --- Hosts ------------------------------------------------------------------------------------


@bp.get("/settings/hosts")
@requires(Role.MAINTAINER)
def hosts() -> ResponseReturnValue:
    return _hosts_page(HostForm(formdata=None))


@bp.post("/settings/hosts")
@requires(Role.ADMINISTRATOR)
def add_host() -> ResponseReturnValue:
    form = HostForm()
    if not form.validate():
        return _hosts_page(form, status=422)
    try:
        added = service.allow_host(
            form.pattern.data or "", form.why.data or "", by=current_actor(), at=now()
        )
    except (RefusedError, ConflictError) as error:
        form.pattern.errors = [error.sentence]
        return _hosts_page(form, status=int(error.status))
    toast(f"Baton may ask {added.pattern} now.")
    return go(url_for("health.hosts"))


@bp.post("/settings/hosts/<int:host_id>/remove")
@requires(Role.ADMINISTRATOR)
def remove_host(host_id: int) -> ResponseReturnValue:
    try:
        removed = service.forbid_host(host_id, by=current_actor(), at=now())
    except NotFoundError as error:
        toast(error.sentence, "bad")
    else:
        toast(f"{removed.pattern} is off the list. It can be put back below.")
    return go(url_for("health.hosts"))


def _hosts_page(form: HostForm, *, status: int = 200) -> ResponseReturnValue:
    at: datetime = now()
    cursor = request.args.get("cursor")
    return page(
        HOSTS,
        status=status,
        form=form,
        found=source_queries.hosts(cursor=cursor),
        cursor=cursor,
        # Who may not write the list does not read the trail either.
        removed=source_queries.removed_lately(at=at) if may_open("health.add_host") else [],
        opened_by=opened_by,
    )
