"""Service levels, OpenSLO files, latency budgets and data inputs as JSON."""

from typing import Any

from flask import Response, request
from flask_openapi3 import RawModel

from app.core.clock import now
from app.core.errors import NotFoundError, PreconditionFailedError, RefusedError
from app.health import budgets, datasets, inputs, level_imports, levels, openslo_out, service
from app.health.api.blueprint import api
from app.health.inputs import InputFilter, InputLine
from app.health.level_imports import sources_that_count
from app.health.level_schemas import (
    AttestationIn,
    BudgetIn,
    BudgetOut,
    InputListing,
    InputOut,
    Inputs,
    OfInput,
    OfModel,
    OfModelAndInput,
    OfSlo,
    OpenSloOut,
    OpenSloQuery,
    PromisePatch,
    RouteQuery,
    SloIn,
    SloListing,
    SloOut,
    SloPatch,
    Slos,
    StatusOut,
)
from app.health.tables import Dataset, LatencyBudget, Slo
from app.people import audit
from app.people.access import allows, current_actor
from app.registry import queries as registry
from app.web.versions import IfMatch, etag, version_in

Reply = tuple[dict[str, Any], int, dict[str, str]]
YAML = "application/yaml"


class OpenSloBody(RawModel):
    mimetypes = [YAML]


# --- Service levels ---------------------------------------------------------------------------


@api.get("/models/<slug>/slos", summary="Service levels of a model", responses={200: Slos})
@allows("health:read")
def slos(path: OfModel, query: SloListing) -> dict[str, Any]:
    model = registry.model_by_slug(path.slug)
    found = levels.of_model(model.id, also_closed=query.closed)
    return Slos(items=[SloOut.of(slo) for slo in found]).model_dump(mode="json")


@api.post("/models/<slug>/slos", summary="Make a service level", responses={201: SloOut})
@allows("health:write")
def add_slo(path: OfModel, body: SloIn) -> Reply:
    made = service.create_slo(
        path.slug, body.as_draft(), source_id=_source_id(body.source), by=current_actor(), at=now()
    )
    return _slo(made, 201)


@api.get("/models/<slug>/slos/<slo>", summary="One service level", responses={200: SloOut})
@allows("health:read")
def slo(path: OfSlo) -> Reply:
    return _slo(_found(path))


@api.patch("/models/<slug>/slos/<slo>", summary="Change a service level", responses={200: SloOut})
@allows("health:write")
def change_slo(path: OfSlo, header: IfMatch, body: SloPatch) -> Reply:
    found = _found(path)
    changed = service.edit_slo(
        found.id,
        body.onto(service.draft_of_slo(found)),
        seen_version=_seen(header, found),
        source_id=None if body.source is None else _source_id(body.source),
        by=current_actor(),
        at=now(),
    )
    return _slo(changed)


@api.delete("/models/<slug>/slos/<slo>", summary="Close a service level", responses={200: SloOut})
@allows("health:write")
def close_slo(path: OfSlo, header: IfMatch) -> Reply:
    """What was counted stays. `POST …/reopen` undoes it."""
    found = _found(path)
    seen = _seen(header, found)
    return _slo(service.close_slo(found.id, seen_version=seen, by=current_actor(), at=now()))


@api.post("/models/<slug>/slos/<slo>/reopen", summary="Count again", responses={200: SloOut})
@allows("health:write")
def reopen_slo(path: OfSlo) -> Reply:
    return _slo(service.reopen_slo(_found(path).id, by=current_actor(), at=now()))


@api.get(
    "/models/<slug>/slos/<slo>/status",
    summary="Error budget left, burn rates, burn alerts",
    responses={200: StatusOut},
)
@allows("health:read")
def slo_status(path: OfSlo) -> dict[str, Any]:
    at = now()
    return StatusOut.of(levels.level(_found(path), at=at), at=at).model_dump(mode="json")


# --- OpenSLO ----------------------------------------------------------------------------------


@api.get("/models/<slug>/openslo", summary="Service levels as OpenSLO v1")
@allows("health:read")
def openslo_file(path: OfModel) -> Response:
    model = registry.model_by_slug(path.slug)
    text = openslo_out.write(path.slug, levels.of_model(model.id))
    return Response(text, content_type=f"{YAML}; charset=utf-8")


@api.post("/models/<slug>/openslo", summary="Import OpenSLO v1", responses={200: OpenSloOut})
@allows("health:write")
def import_openslo(path: OfModel, query: OpenSloQuery, raw: OpenSloBody) -> dict[str, Any]:
    """All of the file becomes service levels, or nothing does. A level of the same name is
    changed, so the same file may be sent again. With `dry_run=true` nothing is written.
    """
    source_id = _source_id(query.source) if query.source else None
    content = request.get_data()
    if query.dry_run:
        plan = level_imports.plan_import(path.slug, content, source_id=source_id)
    else:
        plan = level_imports.import_levels(
            path.slug, content, source_id=source_id, by=current_actor(), at=now()
        )
    return OpenSloOut.of(plan).model_dump(mode="json")


# --- Latency budgets --------------------------------------------------------------------------


@api.get(
    "/models/<slug>/latency-budget", summary="Latency budget of a route", responses={200: BudgetOut}
)
@allows("health:read")
def latency_budget(path: OfModel, query: RouteQuery) -> Reply:
    model = registry.model_by_slug(path.slug)
    row = budgets.find_route(model.id, query.route)
    if row is None:
        raise NotFoundError(
            f"{path.slug} has no latency budget of {query.route or 'all requests'}."
        )
    return _budget(row)


@api.put(
    "/models/<slug>/latency-budget",
    summary="Write the latency budget of a route",
    responses={200: BudgetOut, 201: BudgetOut},
)
@allows("health:write")
def write_latency_budget(
    path: OfModel, query: RouteQuery, header: IfMatch, body: BudgetIn
) -> Reply:
    model = registry.model_by_slug(path.slug)
    draft = body.as_draft(
        query.route,
        panel_id=_panel_id(model.id, body.panel),
        slo_id=None if body.slo is None else levels.find(path.slug, body.slo).id,
    )
    row = budgets.find_route(model.id, query.route)
    if row is None:
        return _budget(budgets.create(path.slug, draft, by=current_actor(), at=now()), 201)
    seen = _seen(header, row)
    return _budget(budgets.edit(row.id, draft, seen_version=seen, by=current_actor(), at=now()))


# --- Data inputs ------------------------------------------------------------------------------


@api.get("/inputs", summary="Data inputs by name", responses={200: Inputs})
@allows("health:read")
def data_inputs(query: InputListing) -> dict[str, Any]:
    wanted = InputFilter(query.search, query.state, query.model)
    found = inputs.input_list(wanted, after=query.cursor, size=query.limit, at=now())
    items = [InputOut.of(line) for line in found.items]
    return Inputs(items=items, next=found.next).model_dump(mode="json", by_alias=True)


@api.get("/inputs/<path:dataset>", summary="One data input", responses={200: InputOut})
@allows("health:read")
def input(path: OfInput) -> Reply:  # noqa: A001  the name of the route
    return _input(inputs.find(path.dataset, at=now()))


@api.patch("/inputs/<path:dataset>", summary="Change what is promised", responses={200: InputOut})
@allows("health:write")
def change_input(path: OfInput, header: IfMatch, body: PromisePatch) -> Reply:
    row = inputs.find(path.dataset, at=now()).dataset
    datasets.edit_promise(
        row.slug,
        body.onto(datasets.promise_of(row)),
        seen_version=_seen(header, row),
        by=current_actor(),
        at=now(),
    )
    return _input(inputs.find(path.dataset, at=now()))


@api.post(
    "/attestations/<path:dataset>",
    summary="Record a review of access to a data input",
    responses={200: InputOut},
)
@allows("health:write")
def attest_input(path: OfInput, body: AttestationIn) -> Reply:
    datasets.attest_access(path.dataset, **body.model_dump(), by=current_actor(), at=now())
    return _input(inputs.find(path.dataset, at=now()))


@api.put(
    "/models/<slug>/inputs/<path:dataset>",
    summary="Say that a model relies on a data input",
    responses={204: None},
)
@allows("health:write")
def link_input(path: OfModelAndInput) -> tuple[str, int]:
    if not inputs.is_linked(path.dataset, path.slug):
        datasets.link(path.dataset, path.slug, by=current_actor(), at=now())
    return "", 204


@api.delete(
    "/models/<slug>/inputs/<path:dataset>",
    summary="Say that a model no longer relies on it",
    responses={204: None},
)
@allows("health:write")
def unlink_input(path: OfModelAndInput) -> tuple[str, int]:
    datasets.unlink(path.dataset, path.slug, by=current_actor(), at=now())
    return "", 204


# --- Shared -----------------------------------------------------------------------------------


def _found(path: OfSlo) -> Slo:
    return levels.find(path.slug, path.slo, also_closed=True)


def _source_id(slug: str) -> int:
    for source in sources_that_count():
        if source.slug == slug:
            return source.id
    raise RefusedError(f"No open source {slug[:80]} counts events.")


def _panel_id(model_id: int, slug: str | None) -> int | None:
    if slug is None:
        return None
    for panel in budgets.panels_for(model_id):
        if panel.slug == slug:
            return panel.id
    raise RefusedError(f"The model has no panel {slug[:80]}.")


def _seen(header: IfMatch, row: Slo | LatencyBudget | Dataset) -> int:
    """The version that the change was made on. Without If-Match it is the newest."""
    if version_in(header, row.version) == row.version:
        return row.version
    if isinstance(row, Slo):
        error = audit.changed_meanwhile("health_slo", row.id, row.title)
    elif isinstance(row, Dataset):
        error = audit.changed_meanwhile("health_dataset", row.id, row.slug)
    else:
        error = audit.changed_meanwhile("health_budget", row.id, "the latency budget")
    raise PreconditionFailedError(error.sentence)


def _slo(found: Slo, status: int = 200) -> Reply:
    return SloOut.of(found).model_dump(mode="json"), status, etag(found.version)


def _budget(row: LatencyBudget, status: int = 200) -> Reply:
    panel, level = budgets.named(row)
    said = BudgetOut.of(row, panel=panel, slo=level)
    return said.model_dump(mode="json"), status, etag(row.version)


def _input(line: InputLine) -> Reply:
    said = InputOut.of(line).model_dump(mode="json", by_alias=True)
    return said, 200, etag(line.dataset.version)
