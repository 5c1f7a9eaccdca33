"""Panels, what they said, and how models stand, as JSON."""

from datetime import datetime
from typing import Any

from app.core.clock import now
from app.core.errors import RefusedError
from app.health import panel_queries, service, source_queries
from app.health.api.blueprint import api
from app.health.api.versions import Reply, seen_version
from app.health.panel_drafts import why_not_pushed
from app.health.panel_queries import ModelRow
from app.health.presets import PRESETS, panels_of
from app.health.schemas import (
    ChangeListing,
    ChangeOut,
    ChangePage,
    LaneOut,
    Listing,
    ModelHealthOut,
    ModelHealthPage,
    ModelPath,
    PanelIn,
    PanelList,
    PanelListing,
    PanelOut,
    PanelPatch,
    PanelPath,
    PresetIn,
    ReadingListing,
    ReadingOut,
    ReadingPage,
    age,
)
from app.health.tables import HealthSource, Panel
from app.people.access import allows, current_actor
from app.web.versions import IfMatch, etag

# --- How models stand -------------------------------------------------------------------------


@api.get("/models", summary="How models stand, by name", responses={200: ModelHealthPage})
@allows("health:read")
def models(query: Listing) -> dict[str, Any]:
    """Of each lane the worst panel. Only `ok` says that all is well."""
    at = now()
    found = panel_queries.models(cursor=query.cursor, size=query.limit, at=at)
    items = [_health(row, at) for row in found.items]
    return ModelHealthPage(items=items, next=found.next).model_dump(mode="json")


def _health(row: ModelRow, at: datetime) -> ModelHealthOut:
    lanes = {
        lane: LaneOut(
            state=cell.shown.state,
            line=cell.shown.line,
            value=cell.shown.value,
            newest_at=cell.shown.newest_at,
            age=age(cell.shown.newest_at, at),
            panel=cell.panel,
        )
        for lane, cell in row.health.cells.items()
    }
    return ModelHealthOut(model=row.slug, worst=row.health.worst, lanes=lanes)


@api.get("/changes", summary="Changes of state, oldest first", responses={200: ChangePage})
@allows("health:read")
def changes(query: ChangeListing) -> dict[str, Any]:
    """A feed: keep the last id, and ask for what came after it."""
    rows, more = panel_queries.changes(after=query.after, model=query.model, size=query.limit)
    following = rows[-1].change.id if more and rows else None
    items = [ChangeOut.of(row) for row in rows]
    return ChangePage(items=items, next=following).model_dump(mode="json")


# --- Panels -----------------------------------------------------------------------------------


@api.get("/models/<model>/panels", summary="Panels of a model", responses={200: PanelList})
@allows("health:read")
def panels(path: ModelPath, query: PanelListing) -> dict[str, Any]:
    at = now()
    rows = panel_queries.panels_of(path.model, closed=query.closed)
    return PanelList(items=[PanelOut.of(row, at=at) for row in rows]).model_dump(mode="json")


@api.post("/models/<model>/panels", summary="Make a panel", responses={201: PanelOut})
@allows("health:write")
def add_panel(path: ModelPath, body: PanelIn) -> Reply:
    source = _source(body.source)
    if source is None and (why := why_not_pushed(body.lane, body.spec)):
        raise RefusedError(f"{body.title}: {why}")
    (made,) = service.create_panels(
        path.model,
        [body.as_draft()],
        source_id=source.id if source else None,
        by=current_actor(),
        at=now(),
    )
    return _panel(path.model, made, 201)


@api.post("/models/<model>/presets", summary="Make panels of a preset", responses={201: PanelList})
@allows("health:write")
def add_preset(path: ModelPath, body: PresetIn) -> tuple[dict[str, Any], int]:
    """All of them, or those that are named. What can't be measured says so."""
    source = _source(body.source)
    if body.preset not in PRESETS:
        raise RefusedError(f"There is no preset {body.preset}. There are {', '.join(PRESETS)}.")
    assert source is not None
    drafts = panels_of(body.preset, path.model, source.kind, name=body.name)
    if body.panels is not None:
        known = {draft.key for draft in drafts}
        if strange := [key for key in body.panels if key not in known]:
            raise RefusedError(f"The preset has no panel {strange[0][:60]}.")
        drafts = [draft for draft in drafts if draft.key in body.panels]
    at = now()
    made = service.create_panels(
        path.model, drafts, source_id=source.id, preset=body.preset, by=current_actor(), at=at
    )
    rows = [panel_queries.panel(path.model, panel.slug) for panel in made]
    found = PanelList(items=[PanelOut.of(row, at=at) for row in rows])
    return found.model_dump(mode="json"), 201


@api.get("/models/<model>/panels/<panel>", summary="One panel", responses={200: PanelOut})
@allows("health:read")
def panel(path: PanelPath) -> Reply:
    return _panel(path.model, panel_queries.panel(path.model, path.panel).panel)


@api.patch("/models/<model>/panels/<panel>", summary="Change a panel", responses={200: PanelOut})
@allows("health:write")
def change_panel(path: PanelPath, header: IfMatch, body: PanelPatch) -> Reply:
    current = panel_queries.panel(path.model, path.panel).panel
    draft = body.onto(current)
    if current.source_id is None and current.dataset_id is None:
        if why := why_not_pushed(draft.lane, draft.spec):
            raise RefusedError(f"{draft.title}: {why}")
    elif current.dataset_id is not None and (draft.lane, draft.spec) != (current.lane, {}):
        raise RefusedError("What a panel of a data input watches is said by its input.")
    changed = service.edit_panel(
        current.id,
        draft,
        seen_version=seen_version(header, current),
        by=current_actor(),
        at=now(),
    )
    return _panel(path.model, changed)


@api.post(
    "/models/<model>/panels/<panel>/close", summary="Stop watching", responses={200: PanelOut}
)
@allows("health:write")
def close_panel(path: PanelPath, header: IfMatch) -> Reply:
    """What it saw stays. `POST …/reopen` undoes it."""
    current = panel_queries.panel(path.model, path.panel).panel
    closed = service.close_panel(
        current.id, seen_version=seen_version(header, current), by=current_actor(), at=now()
    )
    return _panel(path.model, closed)


@api.post("/models/<model>/panels/<panel>/reopen", summary="Watch again", responses={200: PanelOut})
@allows("health:write")
def reopen_panel(path: PanelPath) -> Reply:
    current = panel_queries.panel(path.model, path.panel).panel
    return _panel(path.model, service.reopen_panel(current.id, by=current_actor(), at=now()))


@api.get(
    "/models/<model>/panels/<panel>/readings",
    summary="What a panel said, oldest first",
    responses={200: ReadingPage},
)
@allows("health:read")
def readings(path: PanelPath, query: ReadingListing) -> dict[str, Any]:
    found = panel_queries.readings(
        panel_queries.panel(path.model, path.panel).panel.id,
        since=query.since,
        until=query.until,
        by_hour=query.by == "hour",
        cursor=query.cursor,
        size=query.limit,
    )
    items = [ReadingOut.of(reading) for reading in found.items]
    return ReadingPage(items=items, next=found.next).model_dump(mode="json")


def _source(slug: str | None) -> HealthSource | None:
    if slug is None:
        return None
    found = source_queries.source_by_slug(slug)
    if found.closed_at is not None:
        raise RefusedError(f"The source {slug} is closed. Open it again first.")
    return found


def _panel(model: str, found: Panel, status: int = 200) -> Reply:
    row = panel_queries.panel(model, found.slug)
    return PanelOut.of(row, at=now()).model_dump(mode="json"), status, etag(row.panel.version)
