"""Sources and allowed hosts as JSON. A secret goes in and never comes out."""

from typing import Any

from app.core.clock import now
from app.health import service, source_queries
from app.health.api.blueprint import api
from app.health.api.versions import Reply, seen_version
from app.health.asking import host_of
from app.health.presets import PRESETS
from app.health.schemas import (
    ById,
    BySlug,
    HostIn,
    HostOut,
    HostPage,
    Listing,
    PresetList,
    PresetOut,
    SourceIn,
    SourceListing,
    SourceOut,
    SourcePage,
    SourcePatch,
)
from app.health.source_queries import SourceFilter
from app.health.tables import HealthSource
from app.people.access import allows, current_actor
from app.web.versions import IfMatch, etag


@api.get("/presets", summary="What can be watched of which server", responses={200: PresetList})
@allows("health:read")
def presets() -> dict[str, Any]:
    items = [PresetOut.of(preset) for preset in PRESETS.values()]
    return PresetList(items=items).model_dump(mode="json")


@api.get("/sources", summary="Sources by name", responses={200: SourcePage})
@allows("health:read")
def sources(query: SourceListing) -> dict[str, Any]:
    at = now()
    wanted = SourceFilter(query.search, query.which)
    found = source_queries.sources(wanted, cursor=query.cursor, size=query.limit)
    items = [SourceOut.of(line, at=at) for line in found.items]
    return SourcePage(items=items, next=found.next).model_dump(mode="json")


@api.post("/sources", summary="Add a source", responses={201: SourceOut})
@allows("integrations:write")
def add_source(body: SourceIn) -> Reply:
    made = service.create_source(
        body.as_draft(),
        slug=body.slug or "",
        allow=_allowed_with(body.allow_host, body.url),
        by=current_actor(),
        at=now(),
    )
    return _source(made, 201)


@api.get("/sources/<slug>", summary="One source", responses={200: SourceOut})
@allows("health:read")
def source(path: BySlug) -> Reply:
    return _source(source_queries.source_by_slug(path.slug))


@api.patch("/sources/<slug>", summary="Change a source", responses={200: SourceOut})
@allows("integrations:write")
def change_source(path: BySlug, header: IfMatch, body: SourcePatch) -> Reply:
    """A sign-in that is kept does not go along to another host: give it again."""
    current = source_queries.source_by_slug(path.slug)
    draft = body.onto(current)
    changed = service.edit_source(
        current.id,
        draft,
        seen_version=seen_version(header, current),
        allow=_allowed_with(body.allow_host, draft.url),
        by=current_actor(),
        at=now(),
    )
    return _source(changed)


@api.post("/sources/<slug>/close", summary="Stop asking a source", responses={200: SourceOut})
@allows("integrations:write")
def close_source(path: BySlug, header: IfMatch) -> Reply:
    """Its panels stay, without data. `POST /sources/{slug}/reopen` undoes it."""
    current = source_queries.source_by_slug(path.slug)
    closed = service.close_source(
        current.id, seen_version=seen_version(header, current), by=current_actor(), at=now()
    )
    return _source(closed)


@api.post("/sources/<slug>/reopen", summary="Ask a source again", responses={200: SourceOut})
@allows("integrations:write")
def reopen_source(path: BySlug) -> Reply:
    current = source_queries.source_by_slug(path.slug)
    return _source(service.reopen_source(current.id, by=current_actor(), at=now()))


@api.get("/hosts", summary="Hosts that Baton may ask", responses={200: HostPage})
@allows("integrations:read")
def hosts(query: Listing) -> dict[str, Any]:
    found = source_queries.hosts(cursor=query.cursor, size=query.limit)
    return HostPage.of_lines(list(found.items), found.next).model_dump(mode="json")


@api.post("/hosts", summary="Let Baton ask a host", responses={201: HostOut})
@allows("integrations:write")
def add_host(body: HostIn) -> tuple[dict[str, Any], int]:
    added = service.allow_host(body.pattern, body.why, by=current_actor(), at=now())
    return HostOut.of(added).model_dump(mode="json"), 201


@api.delete("/hosts/<int:id>", summary="Take a host off the list", responses={204: None})
@allows("integrations:write")
def remove_host(path: ById) -> tuple[str, int]:
    service.forbid_host(path.id, by=current_actor(), at=now())
    return "", 204


def _allowed_with(is_asked: bool, url: str) -> str:
    return (host_of(url) or "") if is_asked else ""


def _source(found: HealthSource, status: int = 200) -> Reply:
    body = SourceOut.of(source_queries.line_of(found), at=now()).model_dump(mode="json")
    return body, status, etag(found.version)
