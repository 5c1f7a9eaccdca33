"""What the sandbox pager received, and whom its pages would have woken."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.core.db import db
from app.incidents.tables import Incident
from app.integrations.pagerduty.rules import Action
from app.integrations.pagerduty.sandbox import SandboxPager
from app.integrations.pagerduty.tables import Message

SHOWN = 50


@dataclass(frozen=True, slots=True)
class ReceivedPage:
    """A page that woke nobody."""

    title: str
    status: str  # triggered | acknowledged | resolved
    created_at: datetime
    changed_at: datetime
    to: str | None  # the team it was meant for; None: no page of Baton's
    incident_id: int | None
    log: Sequence[Any]  # what came in, oldest first


def pages_received(pager: SandboxPager) -> list[ReceivedPage]:
    """The newest pages first, open or not."""
    held = pager.incidents(limit=SHOWN)
    meant = _meant_for([one.dedup_key for one in held])
    return [
        ReceivedPage(
            title=one.title,
            status=one.status,
            created_at=one.created_at,
            changed_at=one.changed_at,
            to=meant.get(one.dedup_key, (None, None))[0],
            incident_id=meant.get(one.dedup_key, (None, None))[1],
            log=one.received,
        )
        for one in held
    ]


def _meant_for(dedup_keys: Sequence[str]) -> dict[str, tuple[str, int | None]]:
    """The team and the incident of each page, by its key."""
    uuids = {parts[2] for key in dedup_keys if len(parts := key.split(":")) > 3}
    if not uuids:
        return {}
    # By way of the incident, whose uuid is part of the key: the outbox has no index by key.
    rows = db.session.execute(
        select(Message.dedup_key, Message.to, Message.incident_id)
        .join(Incident, Incident.id == Message.incident_id)
        .where(Incident.uuid.in_(uuids), Message.action == Action.TRIGGER)
        .order_by(Message.id)
    )
    return {row.dedup_key: (row.to, row.incident_id) for row in rows}
