"""The outbox: what PagerDuty is to be told, in order, and how far that has come."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import BigId, Table
from app.integrations.pagerduty.rules import Action, MessageState


class Message(Table):
    """One Events API v2 event. Written with the change it tells of, sent later by a job.

    A lane is one (routing key, dedup key): its messages go out one after the other, oldest first,
    because PagerDuty drops a resolve that overtakes its trigger. The routing key stays with the
    row, since PagerDuty also drops a resolve that comes by another key than its trigger did.
    """

    __tablename__ = "pagerduty_outbox"
    __table_args__ = (
        Index("ix_pagerduty_outbox_lane", "lane", "id"),
        Index(
            "ix_pagerduty_outbox_due",
            "next_try_at",
            postgresql_where=text("state = 'waiting'"),
            sqlite_where=text("state = 'waiting'"),
        ),
        Index(
            "ix_pagerduty_outbox_refused",
            "incident_id",
            postgresql_where=text("state = 'refused'"),
            sqlite_where=text("state = 'refused'"),
        ),
        Index("ix_pagerduty_outbox_incident_id", "incident_id", "id"),
        Index("ix_pagerduty_outbox_rate", "key_hash", "tried_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    lane: Mapped[str] = mapped_column(String(64))  # hash of routing key and dedup key
    incident_id: Mapped[int | None]
    to: Mapped[str] = mapped_column(String(120))  # who is told, in words: a team's name
    routing_key_encrypted: Mapped[str | None] = mapped_column(Text)  # none: the sandbox pager
    key_hash: Mapped[str] = mapped_column(String(64))  # by which the rate is counted
    region: Mapped[str] = mapped_column(String(2))
    dedup_key: Mapped[str] = mapped_column(String(255))
    action: Mapped[Action]
    event: Mapped[dict[str, Any]]  # payload, links, client: all but keys and action
    state: Mapped[MessageState]
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    next_try_at: Mapped[datetime]
    claimed_until: Mapped[datetime | None]  # a job is sending it
    tried_at: Mapped[datetime | None]  # the last try that may have arrived, written before it
    settled_at: Mapped[datetime | None]  # accepted, refused or overtaken
    answer: Mapped[str] = mapped_column(Text, default="")  # the last answer, in a sentence
