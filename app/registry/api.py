"""Models and teams as JSON."""

from typing import Any, NoReturn

from flask import request
from flask_openapi3 import APIBlueprint, RawModel, Tag

from app.core.clock import now
from app.core.errors import (
    PreconditionFailedError,
    RefusedError,
)
from app.people.access import allows, current_actor
from app.registry import imports, queries, service
from app.registry.drafts import PagerDraft
from app.registry.files import read_file
from app.registry.queries import ModelFilter
from app.registry.schemas import (
    BySlug,
    ImportOut,
    ImportQuery,
    ModelIn,
    ModelListing,
    ModelOut,
    ModelPage,
    ModelPatch,
    PagerIn,
    TeamIn,
    TeamListing,
    TeamOut,
    TeamPage,
    TeamPatch,
)
from app.registry.service import EditedMeanwhileError
from app.registry.tables import MlModel, Team
from app.web.versions import IfMatch, etag, version_in

api = APIBlueprint("registry_api", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="Registry")])

Reply = tuple[dict[str, Any], int, dict[str, str]]


class RegistryFileBody(RawModel):
    mimetypes = ["application/yaml", "application/json"]


# --- Models -----------------------------------------------------------------------------------


@api.get("/models", summary="Models by tier and name", responses={200: ModelPage})
@allows("registry:read")
def models(query: ModelListing) -> dict[str, Any]:
    wanted = ModelFilter(query.search, query.team, query.tier, query.tag, query.retired)
    found = queries.whole_models(wanted, after=query.cursor, size=query.limit)
    items = [ModelOut.of(model) for model in found.items]
    return ModelPage(items=items, next=found.next).model_dump(mode="json")


@api.post("/models", summary="Add a model", responses={201: ModelOut})
@allows("registry:write")
def add_model(body: ModelIn) -> Reply:
    model = service.create_model(body.as_draft(), by=current_actor(), at=now())
    return _model(model, 201)


@api.get("/models/<slug>", summary="One model", responses={200: ModelOut})
@allows("registry:read")
def model(path: BySlug) -> Reply:
    return _model(queries.model_by_slug(path.slug))


@api.patch("/models/<slug>", summary="Change a model", responses={200: ModelOut})
@allows("registry:write")
def change_model(path: BySlug, header: IfMatch, body: ModelPatch) -> Reply:
    current = queries.model_by_slug(path.slug)
    draft = body.onto(service.draft_of_model(current))
    try:
        changed = service.edit_model(
            path.slug,
            draft,
            seen_version=version_in(header, current.version),
            by=current_actor(),
            at=now(),
        )
    except EditedMeanwhileError as error:
        _refuse_stale(header, error)
    return _model(changed)


@api.delete("/models/<slug>", summary="Retire a model", responses={200: ModelOut})
@allows("registry:write")
def retire_model(path: BySlug, header: IfMatch) -> Reply:
    """It keeps its past, and its alerts go to triage. `POST /models/{slug}/restore` undoes it."""
    try:
        retired = service.retire_model(
            path.slug, seen_version=version_in(header), by=current_actor(), at=now()
        )
    except EditedMeanwhileError as error:
        _refuse_stale(header, error)
    return _model(retired)


@api.post("/models/<slug>/restore", summary="Restore a model", responses={200: ModelOut})
@allows("registry:write")
def restore_model(path: BySlug) -> Reply:
    return _model(service.restore_model(path.slug, by=current_actor(), at=now()))


# --- Teams ------------------------------------------------------------------------------------


@api.get("/teams", summary="Teams by name", responses={200: TeamPage})
@allows("registry:read")
def teams(query: TeamListing) -> dict[str, Any]:
    found = queries.whole_teams(query.search, after=query.cursor, size=query.limit)
    items = [TeamOut.of(team) for team in found.items]
    return TeamPage(items=items, next=found.next).model_dump(mode="json")


@api.post("/teams", summary="Add a team", responses={201: TeamOut})
@allows("registry:write")
def add_team(body: TeamIn) -> Reply:
    return _team(service.create_team(body.as_draft(), by=current_actor(), at=now()), 201)


@api.get("/teams/<slug>", summary="One team", responses={200: TeamOut})
@allows("registry:read")
def team(path: BySlug) -> Reply:
    return _team(queries.team_by_slug(path.slug))


@api.patch("/teams/<slug>", summary="Change a team", responses={200: TeamOut})
@allows("registry:write")
def change_team(path: BySlug, header: IfMatch, body: TeamPatch) -> Reply:
    current = queries.team_by_slug(path.slug)
    draft = body.onto(service.draft_of_team(current))
    try:
        changed = service.edit_team(
            path.slug,
            draft,
            seen_version=version_in(header, current.version),
            by=current_actor(),
            at=now(),
        )
    except EditedMeanwhileError as error:
        _refuse_stale(header, error)
    return _team(changed)


@api.delete("/teams/<slug>", summary="Delete a team that owns nothing", responses={204: None})
@allows("registry:write")
def delete_team(path: BySlug, header: IfMatch) -> tuple[str, int]:
    try:
        service.delete_team(
            path.slug, seen_version=version_in(header), by=current_actor(), at=now()
        )
    except EditedMeanwhileError as error:
        _refuse_stale(header, error)
    return "", 204


@api.put("/teams/<slug>/pager", summary="Say how a team is paged", responses={200: TeamOut})
@allows("registry:write")
def wire_pager(path: BySlug, header: IfMatch, body: PagerIn) -> Reply:
    """The routing key can be written, never read: only its last four characters are told."""
    kept = None if "routing_key" not in body.model_fields_set else body.routing_key or ""
    draft = PagerDraft(body.region, body.service_id or None, kept)
    try:
        wired = service.wire_pager(
            path.slug, draft, seen_version=version_in(header), by=current_actor(), at=now()
        )
    except EditedMeanwhileError as error:
        _refuse_stale(header, error)
    return _team(wired)


# --- Import -----------------------------------------------------------------------------------


@api.post("/registry/import", summary="Import teams and models", responses={200: ImportOut})
@allows("registry:write")
def import_registry(query: ImportQuery, raw: RegistryFileBody) -> dict[str, Any]:
    """Takes YAML or JSON with a list of `teams`, of `models`, or both, in the fields of the API.

    All of it is written, or nothing; what is left out of an entry stays as it is, so that the
    same file may be sent again. With `dry_run=true` nothing is written.
    """
    file, problems = read_file(request.get_data(), is_json=request.is_json)
    if query.dry_run:
        return ImportOut.of(imports.plan_import(file, problems)).model_dump(mode="json")
    if problems:
        raise RefusedError(" ".join(problems[:5]))
    done = imports.import_file(file, by=current_actor(), at=now())
    return ImportOut.of(done).model_dump(mode="json")


# --- Versions ---------------------------------------------------------------------------------


def _refuse_stale(header: IfMatch, error: EditedMeanwhileError) -> NoReturn:
    if header.if_match:
        raise PreconditionFailedError(error.sentence) from None
    raise error


def _model(model: MlModel, status: int = 200) -> Reply:
    return ModelOut.of(model).model_dump(mode="json"), status, etag(model.version)


def _team(team: Team, status: int = 200) -> Reply:
    return TeamOut.of(team).model_dump(mode="json"), status, etag(team.version)
