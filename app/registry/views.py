"""Pages of models and teams, and the import of both."""

from dataclasses import dataclass

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm

from app.core.clock import now
from app.core.errors import BatonError, ConflictError, RefusedError
from app.people.access import current_actor, requires
from app.people.rules import Role
from app.registry import imports, queries, rules, service
from app.registry.drafts import FieldChange, differences
from app.registry.files import EXAMPLE, read_file
from app.registry.forms import ImportForm, ModelForm, PagerForm, TeamForm
from app.registry.queries import ModelFilter
from app.registry.rules import Match, RoutingRow
from app.registry.sections import (
    model_banners,
    model_columns,
    model_section_styles,
    model_sections,
)
from app.registry.service import EditedMeanwhileError
from app.registry.tables import MlModel, Team
from app.web.parts import go, page
from app.web.toast import toast

bp = Blueprint("registry", __name__, template_folder="templates")
bp.add_app_template_global(model_sections)
bp.add_app_template_global(model_section_styles)
bp.add_app_template_global(model_banners)

FILTERS = ("search", "team", "tier", "tag", "show")
NOT_SAVED_YET = 2**31  # stands for the id of a model that is only tried


# --- Models -----------------------------------------------------------------------------------


@bp.get("/models")
@requires(Role.VIEWER)
def models() -> ResponseReturnValue:
    wanted = _model_filter()
    cursor = request.args.get("cursor")
    found = queries.model_list(wanted, after=cursor)
    return page(
        "registry/models.html",
        part="list",
        found=found,
        wanted=wanted,
        count=queries.model_count(wanted),
        teams=queries.team_choices(),
        tags=queries.tags_in_use(),
        columns=model_columns([line.id for line in found.items]),
        next_url=_this_page(cursor=found.next) if found.next else None,
        first_url=_this_page(cursor=None) if cursor else None,
    )


@bp.route("/models/new", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def new_model() -> ResponseReturnValue:
    form = ModelForm(team=request.args.get("team"))
    form.offer(queries.team_choices(), queries.people_choices(), None)
    status = 200
    if _only_tries(form):
        return _model_form(form, None)
    if form.validate_on_submit():
        try:
            added = service.create_model(form.as_draft(), by=current_actor(), at=now())
        except (ConflictError, RefusedError) as error:
            status = _say(form, error)
        else:
            toast(f"{added.slug} is added. Its alerts open incidents for {added.team.name}.")
            return go(url_for("registry.model", slug=added.slug))
    elif form.is_submitted():
        status = 422
    return _model_form(form, None, status=status)


@bp.get("/models/<slug>")
@requires(Role.VIEWER)
def model(slug: str) -> ResponseReturnValue:
    found = queries.model_by_slug(slug)
    return page(
        "registry/model.html",
        model=found,
        matchers=[rules.matcher_text(held.labels) for held in found.matchers],
        last_change=queries.last_change("model", found.id),
    )


@bp.route("/models/<slug>/edit", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def edit_model(slug: str) -> ResponseReturnValue:
    found = queries.model_by_slug(slug)
    stored = service.draft_of_model(found)
    form = ModelForm()
    form.offer(queries.team_choices(), queries.people_choices(), stored)
    if _only_tries(form):
        return _model_form(form, found)
    if not form.is_submitted():
        form.fill(stored, found.version)
        return _model_form(form, found)
    if not form.validate():
        return _model_form(form, found, status=422)
    draft = form.as_draft()
    seen_version = form.seen_version()
    try:
        saved = service.edit_model(
            slug, draft, seen_version=seen_version, by=current_actor(), at=now()
        )
    except EditedMeanwhileError as error:
        newest = queries.model_by_slug(slug)
        conflict = Conflict(error.sentence, differences(service.draft_of_model(newest), draft))
        # The reader's text stays. To save it once more, having read this, is on purpose.
        form.version.data = str(newest.version)
        return _model_form(form, newest, status=409, conflict=conflict)
    except (ConflictError, RefusedError) as error:
        return _model_form(form, found, status=_say(form, error))
    toast(f"{saved.slug} is saved.")
    return go(url_for("registry.model", slug=saved.slug))


@bp.post("/models/<slug>/retire")
@requires(Role.MAINTAINER)
def retire_model(slug: str) -> ResponseReturnValue:
    service.retire_model(slug, by=current_actor(), at=now())
    toast(f"{slug} is retired. Its alerts go to triage from now on.")
    return go(url_for("registry.model", slug=slug))


@bp.post("/models/<slug>/restore")
@requires(Role.MAINTAINER)
def restore_model(slug: str) -> ResponseReturnValue:
    service.restore_model(slug, by=current_actor(), at=now())
    toast(f"{slug} is back in production.")
    return go(url_for("registry.model", slug=slug))


@bp.get("/models/try")
@bp.get("/models/<slug>/try")
@requires(Role.VIEWER)
def try_labels(slug: str | None = None) -> ResponseReturnValue:
    """Tell which model an alert with certain labels belongs to."""
    found = queries.model_by_slug(slug) if slug else None
    asked = request.args.get("labels")
    return page(
        "registry/try.html",
        part="answer",
        model=found,
        labels=asked if asked is not None else _fitting_labels(found),
        tried=_try(asked) if asked is not None else None,
    )


# --- Teams ------------------------------------------------------------------------------------


@bp.get("/teams")
@requires(Role.VIEWER)
def teams() -> ResponseReturnValue:
    search, cursor = _plain("search"), request.args.get("cursor")
    found = queries.team_list(search, after=cursor)
    return page(
        "registry/teams.html",
        part="list",
        found=found,
        search=search,
        count=queries.team_count(),
        triage=queries.triage_team(),
        next_url=_this_page(cursor=found.next) if found.next else None,
        first_url=_this_page(cursor=None) if cursor else None,
    )


@bp.route("/teams/new", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def new_team() -> ResponseReturnValue:
    form = TeamForm(triages=queries.triage_team() is None)
    form.offer(queries.people_choices(), None)
    status = 200
    if form.validate_on_submit():
        try:
            added = service.create_team(form.as_draft(), by=current_actor(), at=now())
        except (ConflictError, RefusedError) as error:
            status = _say(form, error)
        else:
            toast(f"{added.name} is added. Its pages go to the sandbox pager until you connect it.")
            return go(url_for("registry.team", slug=added.slug))
    elif form.is_submitted():
        status = 422
    return _team_form(form, None, status=status)


@bp.get("/teams/<slug>")
@requires(Role.VIEWER)
def team(slug: str) -> ResponseReturnValue:
    found = queries.team_by_slug(slug)
    in_production = ModelFilter(team=slug)
    retired = ModelFilter(team=slug, retired=True)
    return page(
        "registry/team.html",
        team=found,
        models=queries.model_list(in_production),
        count=queries.model_count(in_production),
        retired=queries.model_list(retired),
        retired_count=queries.model_count(retired),
        last_change=queries.last_change("team", found.id),
    )


@bp.route("/teams/<slug>/edit", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def edit_team(slug: str) -> ResponseReturnValue:
    found = queries.team_by_slug(slug)
    stored = service.draft_of_team(found)
    form = TeamForm()
    form.offer(queries.people_choices(), stored)
    if not form.is_submitted():
        form.fill(stored, found.version)
        return _team_form(form, found)
    if not form.validate():
        return _team_form(form, found, status=422)
    draft = form.as_draft()
    seen_version = form.seen_version()
    try:
        saved = service.edit_team(
            slug, draft, seen_version=seen_version, by=current_actor(), at=now()
        )
    except EditedMeanwhileError as error:
        newest = queries.team_by_slug(slug)
        conflict = Conflict(error.sentence, differences(service.draft_of_team(newest), draft))
        form.version.data = str(newest.version)
        return _team_form(form, newest, status=409, conflict=conflict)
    except (ConflictError, RefusedError) as error:
        return _team_form(form, found, status=_say(form, error))
    toast(f"{saved.name} is saved.")
    return go(url_for("registry.team", slug=saved.slug))


@bp.post("/teams/<slug>/delete")
@requires(Role.MAINTAINER)
def delete_team(slug: str) -> ResponseReturnValue:
    name = queries.team_by_slug(slug).name
    service.delete_team(slug, by=current_actor(), at=now())
    toast(f"{name} is deleted.")
    return go(url_for("registry.teams"))


@bp.route("/teams/<slug>/pager", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def wire_pager(slug: str) -> ResponseReturnValue:
    """How a team is paged."""
    found = queries.team_by_slug(slug)
    form = PagerForm()
    if not form.is_submitted():
        form.region.data, form.service_id.data = found.region, found.pagerduty_service_id
        form.version.data = str(found.version)
        return _pager_form(form, found)
    if not form.validate():
        return _pager_form(form, found, status=422)
    seen_version = form.seen_version()
    try:
        wired = service.wire_pager(
            slug, form.as_draft(), seen_version=seen_version, by=current_actor(), at=now()
        )
    except EditedMeanwhileError as error:
        newest = queries.team_by_slug(slug)
        form.version.data = str(newest.version)
        return _pager_form(form, newest, status=409, conflict=Conflict(error.sentence, []))
    toast(
        f"{wired.name} is paged through PagerDuty, key ending {wired.routing_key_last_four}."
        if wired.routing_key_last_four
        else f"{wired.name} is paged through the sandbox pager."
    )
    return go(url_for("registry.team", slug=slug))


# --- Import -----------------------------------------------------------------------------------


@bp.route("/models/import", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def import_file() -> ResponseReturnValue:
    """Show what a file would do; with the fingerprint of what was shown, do it."""
    form = ImportForm()
    if not form.validate_on_submit():
        return page("registry/import.html", form=form, example=EXAMPLE, plan=None)
    content = form.content()
    file, problems = read_file(content)
    status, sentence = 200, None
    if form.seen.data and not problems:
        try:
            done = imports.import_file(file, seen=form.seen.data, by=current_actor(), at=now())
        except (ConflictError, RefusedError) as error:
            status, sentence = int(error.status), error.sentence
        else:
            toast(f"{_counted(done.count('create'))} added, {done.count('change')} changed.")
            return go(url_for("registry.models"))
    plan = imports.plan_import(file, problems)
    form.text.data = content if isinstance(content, str) else content.decode("utf-8-sig", "replace")
    return page(
        "registry/import.html",
        part="form",
        status=422 if plan.problems else status,
        form=form,
        example=EXAMPLE,
        plan=plan,
        sentence=sentence,
    )


# --- What the pages share ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Conflict:
    """Somebody else saved first: who, and where the two differ."""

    sentence: str
    differences: list[FieldChange]


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of labels that were tried."""

    problem: str | None = None
    match: Match | None = None
    triage: str | None = None  # the team that gets it, if no model claims it


def _try(text: str, instead: RoutingRow | None = None) -> Tried:
    try:
        labels = rules.parse_labels(text)
    except ValueError as error:
        return Tried(problem=str(error))
    if not labels:
        return Tried(problem="Write at least one label.")
    match = queries.claimed_by(labels, instead)
    triage = queries.triage_team() if match is None else None
    return Tried(match=match, triage=triage[1] if triage else None)


def _try_form(form: ModelForm, model: MlModel | None) -> Tried:
    """Try labels on the model as it stands in the form, not yet saved."""
    try:
        matchers = rules.parse_matchers(form.matchers.data or "")
    except ValueError as error:
        return Tried(problem=f"Matchers, {error}")
    return _try(
        form.labels.data or "",
        RoutingRow(model.id if model else NOT_SAVED_YET, form.slug.data or "", 0, 0, matchers),
    )


def _only_tries(form: FlaskForm) -> bool:
    return bool(form.is_submitted() and "try" in request.form)


def _fitting_labels(model: MlModel | None) -> str:
    """Labels that one would try first: those of the model's first matcher."""
    if model is None:
        return ""
    if not model.matchers:
        return f"model_name={model.slug}"
    return rules.matcher_text(model.matchers[0].labels).replace(", ", "\n")


def _say(form: FlaskForm, error: BatonError) -> int:
    """Show the sentence above the form."""
    form.form_errors = [*form.form_errors, error.sentence]
    return int(error.status)


def _model_form(
    form: ModelForm,
    model: MlModel | None,
    *,
    status: int = 200,
    conflict: Conflict | None = None,
) -> ResponseReturnValue:
    only_tries = _only_tries(form)
    return page(
        "registry/model_form.html",
        part="tried" if only_tries else "form",
        status=status,
        form=form,
        model=model,
        conflict=conflict,
        tried=_try_form(form, model) if only_tries else None,
    )


def _team_form(
    form: TeamForm, team: Team | None, *, status: int = 200, conflict: Conflict | None = None
) -> ResponseReturnValue:
    return page(
        "registry/team_form.html",
        part="form",
        status=status,
        form=form,
        team=team,
        triage=queries.triage_team(),
        conflict=conflict,
    )


def _pager_form(
    form: PagerForm, team: Team, *, status: int = 200, conflict: Conflict | None = None
) -> ResponseReturnValue:
    return page(
        "registry/pager_form.html",
        part="form",
        status=status,
        form=form,
        team=team,
        conflict=conflict,
    )


def _model_filter() -> ModelFilter:
    tier = _plain("tier")
    return ModelFilter(
        text=_plain("search"),
        team=_plain("team"),
        tier=int(tier) if tier in {"1", "2", "3", "4"} else None,
        tag=_plain("tag"),
        retired=_plain("show") == "retired",
    )


def _plain(name: str) -> str:
    return request.args.get(name, "").strip()[:200]


def _this_page(*, cursor: str | None) -> str:
    """The list at hand with the same filter, at another place."""
    kept = {name: value for name in FILTERS if (value := _plain(name))}
    return url_for(str(request.endpoint), **kept, cursor=cursor)  # type: ignore[arg-type]


def _counted(number: int) -> str:
    return "1 entry" if number == 1 else f"{number} entries"
