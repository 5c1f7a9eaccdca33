"""The inbox: what arrived, from whom, and what became of it."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.alerts.rules import DeliveryState
from app.core.db import BigId, Table


class Integration(Table):
    """A door for one sender: which source it speaks, and the hash of its key."""

    __tablename__ = "integrations"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    source: Mapped[str] = mapped_column(String(40))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)  # sha256 of 32 random characters
    last_four: Mapped[str] = mapped_column(String(4))
    # After a change of key the old one is taken until then.
    old_key_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    old_key_until: Mapped[datetime | None]
    team_id: Mapped[int | None] = mapped_column(
        ForeignKey("teams.id")
    )  # takes what no model claims
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(120))
    closed_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)

    __mapper_args__ = {"version_id_col": version}


class Delivery(Table):
    """One request to a door. Committed before it is answered with 2xx.

    A refused request leaves a row without a body, so that its sender's owner can see why.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        # What the worker takes next, oldest first.
        Index(
            "ix_deliveries_waiting",
            "id",
            postgresql_where=text("state IN ('received', 'retrying')"),
            sqlite_where=text("state IN ('received', 'retrying')"),
        ),
        Index("ix_deliveries_state", "state", "id"),
        Index("ix_deliveries_integration", "integration_id", "id"),
        Index(
            "uq_deliveries_sender_id",
            "integration_id",
            "sender_id",
            unique=True,
            postgresql_where=text("sender_id IS NOT NULL"),
            sqlite_where=text("sender_id IS NOT NULL"),
        ),
        Index("ix_deliveries_received_at", "received_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    receipt: Mapped[str] = mapped_column(String(32), unique=True)
    integration_id: Mapped[int | None] = mapped_column(ForeignKey("integrations.id"))
    source: Mapped[str] = mapped_column(String(40))
    received_at: Mapped[datetime]
    path: Mapped[str] = mapped_column(String(200))  # without the query: it may hold the key
    headers: Mapped[dict[str, str]]  # chosen ones, none of them secret
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    size: Mapped[int]
    sha256: Mapped[str | None] = mapped_column(String(64))
    sender_id: Mapped[str | None] = mapped_column(
        String(200)
    )  # the sender's own id of this delivery
    state: Mapped[DeliveryState]
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime | None]
    processed_at: Mapped[datetime | None]
    repeats: Mapped[int] = mapped_column(default=0)  # how often the same came again
    what: Mapped[str] = mapped_column(Text, default="")  # one line: what it said
    why: Mapped[str] = mapped_column(Text, default="")  # one line: what it became, or why nothing
    outcome: Mapped[dict[str, Any]] = mapped_column(default=dict)

    integration: Mapped[Integration | None] = relationship()


class LastBody(Table):
    """The newest body about one subject, by which a repeat is known as one.

    Only the newest: a trigger, its resolve and the same trigger again are three events, even
    when the first and the third are equal to the byte.
    """

    __tablename__ = "delivery_last_bodies"

    integration_id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(String(64), primary_key=True)  # hash of group or dedup key
    sha256: Mapped[str] = mapped_column(String(64))
    receipt: Mapped[str] = mapped_column(String(32))
    received_at: Mapped[datetime] = mapped_column(index=True)


class AlertState(Table):
    """The newest thing known about an alert, whether or not an incident is open for it.

    What is older never overrides it. A resolve that came before its trigger is kept here, too:
    the tombstone that the late trigger runs into.
    """

    __tablename__ = "alert_states"

    integration_id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(255), primary_key=True)
    firing: Mapped[bool]
    starts_at: Mapped[datetime]
    event_at: Mapped[datetime]  # when what is known happened: start if firing, end if resolved
    seen_at: Mapped[datetime] = mapped_column(index=True)
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"))


class Change(Table):
    """A deploy, a retrain, a flag: what changed about the time something broke."""

    __tablename__ = "changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    integration_id: Mapped[int] = mapped_column(ForeignKey("integrations.id"))
    delivery_id: Mapped[int] = mapped_column(ForeignKey("deliveries.id"), index=True)
    at: Mapped[datetime] = mapped_column(index=True)
    summary: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(String(300), default="")
    model_id: Mapped[int | None] = mapped_column(ForeignKey("ml_models.id"), index=True)
    links: Mapped[list[Any]]
    detail: Mapped[dict[str, Any]]


class FeedCursor(Table):
    """How far something has been read that only ever grows."""

    __tablename__ = "feed_cursors"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    position: Mapped[int] = mapped_column(BigId)
