"""Integrations and deliveries over JSON.

Who may send is for an administrator to say, as in the browser, so integrations have scopes of
their own: integrations:read and integrations:write beside deliveries:read and deliveries:write.
"""

from typing import Any

from flask import url_for
from flask_openapi3 import APIBlueprint, Tag

from app.alerts import queries, service
from app.alerts.queries import DeliveryFilter
from app.alerts.schemas import (
    Deliveries,
    DeliveryInList,
    DeliveryOut,
    DeliveryPath,
    DeliveryQuery,
    IntegrationIn,
    IntegrationOut,
    IntegrationPath,
    Integrations,
    KeyOut,
    Replayed,
    ReplayIn,
)
from app.alerts.tables import Integration
from app.config import settings
from app.core.clock import now
from app.core.errors import RefusedError
from app.people.access import allows, current_actor

api = APIBlueprint("alerts_api", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="Deliveries")])

NO_STORE = {"Cache-Control": "no-store"}


# --- Integrations


@api.get("/integrations", summary="Integrations by name", responses={200: Integrations})
@allows("integrations:read")
def integrations() -> dict[str, Any]:
    """All of them in one page, the closed ones last. Takes the scope integrations:read."""
    items = [IntegrationOut.of(line) for line in queries.integrations(at=now())]
    return Integrations(items=items, next=None).model_dump(mode="json")


@api.post("/integrations", summary="Open a door for a sender", responses={201: KeyOut})
@allows("integrations:write")
def create_integration(body: IntegrationIn) -> Any:
    """The answer holds the key. It is told this once. Takes the scope integrations:write."""
    made, key = service.create_integration(
        body.name, body.source, body.team_id, by=current_actor(), at=now()
    )
    return _key(made, key), 201, NO_STORE


@api.post(
    "/integrations/<int:integration_id>/key", summary="Make a new key", responses={200: KeyOut}
)
@allows("integrations:write")
def new_key(path: IntegrationPath) -> Any:
    """The key so far works for 24 more hours. Takes the scope integrations:write."""
    changed, key = service.replace_key(path.integration_id, by=current_actor(), at=now())
    return _key(changed, key), 200, NO_STORE


@api.delete("/integrations/<int:integration_id>", summary="Close a door", responses={204: None})
@allows("integrations:write")
def close_integration(path: IntegrationPath) -> Any:
    """Its keys are refused from now on. What has come stays. Takes the scope integrations:write."""
    service.close_integration(path.integration_id, by=current_actor(), at=now())
    return "", 204


def _key(integration: Integration, key: str) -> dict[str, Any]:
    return KeyOut(
        id=integration.id,
        name=integration.name,
        source=integration.source,
        key=key,
        url=f"{settings().url}/in/{integration.source}",
        old_key_until=integration.old_key_until,
    ).model_dump(mode="json")


# --- Deliveries


@api.get("/deliveries", summary="Deliveries, the newest first", responses={200: Deliveries})
@allows("deliveries:read")
def deliveries(query: DeliveryQuery) -> dict[str, Any]:
    """A search by words reads a part of the inbox at a time: go on while there is a `next`."""
    wanted = DeliveryFilter(query.state, query.integration_id, query.source, query.q)
    found = queries.deliveries(wanted, cursor=query.cursor, size=query.limit)
    items = [DeliveryInList.of_row(row, _url(row.id)) for row in found.items]
    return Deliveries(items=items, next=found.next).model_dump(mode="json")


@api.get("/deliveries/<delivery>", summary="One delivery", responses={200: DeliveryOut})
@allows("deliveries:read")
def delivery(path: DeliveryPath) -> dict[str, Any]:
    """With its body, and with what became of it."""
    found = queries.delivery(queries.delivery_id(path.delivery))
    return DeliveryOut.of(found, _url(found.id)).model_dump(mode="json")


@api.post(
    "/deliveries/<delivery>/replay", summary="Process one again", responses={200: DeliveryOut}
)
@allows("deliveries:write")
def replay_one(path: DeliveryPath) -> dict[str, Any]:
    """It keeps its first time. Ask for it again to see what became of it."""
    delivery_id = queries.delivery_id(path.delivery)
    service.replay([delivery_id], by=current_actor(), at=now())
    return DeliveryOut.of(queries.delivery(delivery_id), _url(delivery_id)).model_dump(mode="json")


@api.post("/deliveries/replay", summary="Process several again", responses={200: Replayed})
@allows("deliveries:write")
def replay(body: ReplayIn) -> dict[str, Any]:
    """In the order in which they came. One that can't be replayed stops all: nothing is half done."""
    if body.all_dead == bool(body.deliveries):
        raise RefusedError("Name deliveries, or set all_dead; one of the two.")
    if body.source is not None and not body.all_dead:
        raise RefusedError("source goes with all_dead.")
    if body.all_dead:
        count = service.replay_all_dead(body.source, by=current_actor(), at=now())
    else:
        ids = [queries.delivery_id(named) for named in body.deliveries]
        count = service.replay(ids, by=current_actor(), at=now())
    return Replayed(replayed=count).model_dump(mode="json")


def _url(delivery_id: int) -> str:
    return f"{settings().url}{url_for('alerts.delivery', delivery_id=delivery_id)}"
