"""Rows that only these tests need."""

import itertools
from datetime import datetime, timedelta
from typing import Any

from app.alerts.rules import DeliveryState
from app.alerts.tables import Change, Delivery
from app.core.jobs import Worker
from app.health.rules import LampState
from app.health.tables import Lamp, Panel
from app.integrations.pagerduty.rules import Action, MessageState
from app.integrations.pagerduty.tables import Message
from tests.support.factories import keep

_numbers = itertools.count(1)


def worker(at: datetime, *, cycled: datetime | None = None) -> Worker:
    return keep(Worker(id=f"w{next(_numbers)}", started_at=at, seen_at=at, cycled_at=cycled))


def delivery(at: datetime, state: DeliveryState = DeliveryState.ACCEPTED, **more: Any) -> Delivery:
    values: dict[str, Any] = {
        "receipt": f"r{next(_numbers)}",
        "source": "alertmanager",
        "received_at": at,
        "path": "/in/alertmanager",
        "headers": {},
        "body": b"{}",
        "size": 2,
        "state": state,
        "what": "1 alert",
    }
    return keep(Delivery(**(values | more)))


def message(
    at: datetime,
    state: MessageState = MessageState.SENT,
    action: Action = Action.TRIGGER,
    *,
    incident_id: int | None = None,
    lane: str = "lane",
    **more: Any,
) -> Message:
    values: dict[str, Any] = {
        "lane": lane,
        "incident_id": incident_id,
        "to": "Serving",
        "key_hash": "hash",
        "region": "us",
        "dedup_key": lane,
        "action": action,
        "event": {},
        "state": state,
        "created_at": at,
        "next_try_at": at,
        "settled_at": None if state is MessageState.WAITING else at,
    }
    return keep(Message(**(values | more)))


def change(at: datetime, integration_id: int, summary: str, **more: Any) -> Change:
    told = delivery(at, integration_id=integration_id)
    return keep(
        Change(
            integration_id=integration_id,
            delivery_id=told.id,
            at=at,
            summary=summary,
            links=[],
            detail={},
            **more,
        )
    )


def lamp(panel: Panel, state: LampState, at: datetime, *, age: float = 0, **more: Any) -> Lamp:
    """Where a panel stands, as the worker wrote it `age` seconds ago."""
    told_at = at - timedelta(seconds=age)
    values: dict[str, Any] = {
        "panel_id": panel.id,
        "model_id": panel.model_id,
        "lane": panel.lane,
        "state": state,
        "since": told_at,
        "value": 84.0,
        "newest_at": told_at,
        "looked_at": told_at,
        "windows": [],
    }
    return keep(Lamp(**(values | more)))
