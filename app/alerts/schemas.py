"""Integrations and deliveries as JSON: what the API takes and gives."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.alerts.bodies import without_key
from app.alerts.queries import COUNTED, AnyRow, IntegrationLine
from app.alerts.rules import DeliveryState
from app.alerts.service import MOST_REPLAYED
from app.alerts.tables import Delivery
from app.web.texts import Strict


class IntegrationPath(BaseModel):
    integration_id: int = Field(ge=1, lt=2**31)


class DeliveryPath(BaseModel):
    delivery: str = Field(
        max_length=40, description="A receipt as the door answered it, an id, or d-88213."
    )


class IntegrationIn(Strict):
    name: str = Field(min_length=1, max_length=120)
    source: str = Field(max_length=40, description="As in /in/<source>.")
    team_id: int | None = Field(None, ge=1, lt=2**31, description="Whose sender it is.")


class IntegrationOut(BaseModel):
    id: int
    name: str
    source: str
    team: str | None
    state: Literal["ok", "rejected", "silent", "never", "closed"]
    key_ends_in: str
    old_key_until: datetime | None
    closed_at: datetime | None
    last_delivery_at: datetime | None
    deliveries_24h: int = Field(description=f"Up to {COUNTED:,}.")
    dead_letters: int
    refused_24h: int

    @classmethod
    def of(cls, line: IntegrationLine) -> "IntegrationOut":
        return cls(
            id=line.id,
            name=line.name,
            source=line.source,
            team=line.team_name,
            state=line.state,
            key_ends_in=line.last_four,
            old_key_until=line.old_key_until,
            closed_at=line.closed_at,
            last_delivery_at=line.last_at,
            deliveries_24h=line.last_day,
            dead_letters=line.dead,
            refused_24h=line.rejected,
        )


class Integrations(BaseModel):
    items: list[IntegrationOut]
    next: str | None


class KeyOut(BaseModel):
    """The only time that the key is told."""

    id: int
    name: str
    source: str
    key: str
    url: str = Field(description="Where to send.")
    old_key_until: datetime | None = Field(description="The key so far works until then.")


class DeliveryQuery(Strict):
    state: Literal["all", "dead", "retrying", "refused", "duplicate"] = "all"
    integration_id: int | None = Field(None, ge=1, lt=2**31)
    source: str = Field("", max_length=40)
    q: str = Field("", max_length=200, description="Words of what it said, or a receipt.")
    cursor: str | None = Field(None, max_length=200, description="The `next` of the page before.")
    limit: int = Field(50, ge=1, le=200)


class DeliveryInList(BaseModel):
    id: int
    receipt: str
    url: str
    source: str
    integration_id: int | None
    integration: str | None
    received_at: datetime
    state: DeliveryState
    dropped: bool
    what: str
    why: str
    size: int
    repeats: int
    attempts: int
    next_try_at: datetime | None
    processed_at: datetime | None

    @classmethod
    def of_row(cls, row: AnyRow, url: str) -> "DeliveryInList":
        return cls(
            **{name: getattr(row, name) for name in SAME_NAME},
            url=url,
            integration=row.integration_name,
            dropped=bool(row.dropped),
        )


SAME_NAME = (
    "id", "receipt", "source", "integration_id", "received_at", "state", "what", "why", "size",
    "repeats", "attempts", "next_try_at", "processed_at",
)  # fmt: skip


class Deliveries(BaseModel):
    items: list[DeliveryInList]
    next: str | None


class DeliveryOut(DeliveryInList):
    path: str
    headers: dict[str, str]
    sha256: str | None
    sender_id: str | None
    outcome: dict[str, Any]
    body: str | None = Field(description="As it came, but for the key that it may hold.")

    @classmethod
    def of(cls, found: Delivery, url: str) -> "DeliveryOut":
        return cls(
            **{name: getattr(found, name) for name in SAME_NAME},
            url=url,
            integration=found.integration.name if found.integration else None,
            dropped=bool(found.outcome.get("dropped")),
            path=found.path,
            headers=found.headers,
            sha256=found.sha256,
            sender_id=found.sender_id,
            outcome=found.outcome,
            body=None if found.body is None else without_key(found.body).decode("utf-8", "replace"),
        )


class ReplayIn(Strict):
    deliveries: list[str] = Field(
        default_factory=list,
        max_length=MOST_REPLAYED,
        description="Receipts or ids. Either these or all_dead.",
    )
    all_dead: bool = Field(False, description="All dead letters, or those of one source.")
    source: str | None = Field(None, max_length=40, description="With all_dead.")


class Replayed(BaseModel):
    replayed: int
