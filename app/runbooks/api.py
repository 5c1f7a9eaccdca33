"""Runbooks as JSON."""

from typing import Any

from flask_openapi3 import APIBlueprint, Tag

from app.people.access import allows
from app.runbooks import queries, schemas
from app.runbooks.queries import RunbookFilter
from app.runbooks.rules import failure_mode_key

api = APIBlueprint("runbooks_api", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="Runbooks")])


@api.get("/runbooks", summary="Runbooks by title", responses={200: schemas.Runbooks})
@allows("runbooks:read")
def runbooks(query: schemas.RunbookQuery) -> dict[str, Any]:
    wanted = RunbookFilter(query.search, failure_mode_key(query.failure_mode), query.owner)
    found = queries.runbook_list(wanted, after=query.cursor, size=query.limit)
    items = [schemas.Runbook.of(line) for line in found.items]
    return schemas.Runbooks(items=items, next=found.next).model_dump(mode="json")


@api.get(
    "/runbooks/<slug>",
    summary="One runbook, its versions, and in full the one in force",
    responses={200: schemas.WholeRunbook},
)
@allows("runbooks:read")
def runbook(path: schemas.BySlug) -> dict[str, Any]:
    version = queries.current(path.slug)
    lines = queries.versions(version.runbook_id, limit=1000)
    source = queries.source(path.slug, version.number)
    return schemas.WholeRunbook.of(version, lines, source).model_dump(mode="json")


@api.get(
    "/runbooks/<slug>/versions/<int:number>",
    summary="One version of a runbook",
    responses={200: schemas.Version},
)
@allows("runbooks:read")
def version(path: schemas.ByNumber) -> dict[str, Any]:
    found = queries.version(path.slug, path.number)
    event = queries.last_event(found.id)
    assert event is not None  # written with the version
    source = queries.source(path.slug, path.number)
    return schemas.Version.of(found, event.status, source).model_dump(mode="json")
