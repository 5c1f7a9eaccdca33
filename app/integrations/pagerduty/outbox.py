"""The outbox as others use it: write what PagerDuty is to be told, try again, see how far it is.

Write inside the unit of work of the change that the message tells of: both are kept, or neither.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, text

from app.config import settings
from app.core.db import db, unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.core.jobs import enqueue
from app.core.secrets import decrypt
from app.integrations.pagerduty.client import SANDBOX_KEY
from app.integrations.pagerduty.rules import Action, MessageState
from app.integrations.pagerduty.shape import fit, fit_dedup_key
from app.integrations.pagerduty.sync import Standing, SyncState, sync_state_of
from app.integrations.pagerduty.tables import Message

SEND_LANE = "pagerduty.send_lane"  # the job that sends what waits in a lane
WAKE_LANES = "pagerduty.wake_lanes"  # the job that enqueues many of those
LANES_AT_ONCE = 25  # a transaction


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to be sent. An acknowledge or resolve goes by the routing key of its trigger."""

    incident_id: int | None
    to: str  # who is told, in words: a team's name
    routing_key_encrypted: str | None  # none: the sandbox pager
    region: str
    dedup_key: str
    action: Action
    event: dict[str, Any]  # payload, links, client; a trigger only


@dataclass(frozen=True, slots=True)
class Wiring:
    """Where a team's pages go."""

    to: str
    routing_key_encrypted: str | None
    region: str


def write(draft: Draft, *, at: datetime) -> None:
    write_many((draft,), at=at)


def write_many(drafts: Sequence[Draft], *, at: datetime) -> None:
    """Put messages in line and wake their lanes, in the transaction at hand."""
    if not drafts:
        return
    with unit_of_work() as session:
        rows = [_row(draft, at) for draft in drafts]
        session.execute(insert(Message), rows)
        wake(list(dict.fromkeys(row["lane"] for row in rows)))


def wake(lanes: Sequence[str]) -> None:
    """Have what waits in these lanes sent. Inside the caller's unit of work.

    Each job takes some milliseconds to enqueue. A storm leaves that to the worker, so that it
    does not hold up whoever else writes.
    """
    if len(lanes) > LANES_AT_ONCE:
        enqueue(WAKE_LANES, list(lanes))
        return
    for lane in lanes:
        enqueue(SEND_LANE, lane)


def wake_in_turns(lanes: Sequence[str], *, once: str | None = None) -> None:
    """Have what waits in many lanes sent, some in each transaction. `once` names the occasion:
    for the same one, a lane is woken once."""
    for start in range(0, len(lanes), LANES_AT_ONCE):
        with unit_of_work():
            for lane in lanes[start : start + LANES_AT_ONCE]:
                enqueue(SEND_LANE, lane, key=f"wake {lane} {once}" if once else None)


def retry(message_id: int, *, at: datetime, wiring: Wiring | None = None) -> None:
    """Put a refused message back in line.

    `wiring` is where its team's pages go now. Nothing was taken by the old key, so a page may
    move to a new one; what only follows a page stays with the key that its page went by.
    """
    with unit_of_work() as session:
        message = session.get(Message, message_id, with_for_update=True, populate_existing=True)
        if message is None:
            raise NotFoundError("There is no such message to PagerDuty.")
        if message.state is not MessageState.REFUSED:
            raise ConflictError(f"This message is {message.state} by now. Reload to see it.")
        if _was_followed(message):
            raise RefusedError("A later message went out since, so this one is not needed.")
        if wiring is not None and message.action is Action.TRIGGER:
            message.to, message.region = wiring.to, wiring.region
            message.routing_key_encrypted = wiring.routing_key_encrypted
            key = _key(wiring.routing_key_encrypted)
            message.lane, message.key_hash = _lane(key, message.dedup_key), _key_hash(key)
        message.state, message.settled_at = MessageState.WAITING, None
        message.attempts, message.next_try_at, message.answer = 0, at, ""
        enqueue(SEND_LANE, message.lane)


def _was_followed(message: Message) -> bool:
    later = (
        select(Message.id)
        .where(
            Message.lane == message.lane,
            Message.id > message.id,
            Message.state != MessageState.REFUSED,
            Message.action != Action.ACKNOWLEDGE,
        )
        .limit(1)
    )
    return db.session.scalar(later) is not None


def _row(draft: Draft, at: datetime) -> dict[str, Any]:
    key = _key(draft.routing_key_encrypted)
    dedup_key = fit_dedup_key(draft.dedup_key)
    return {
        "lane": _lane(key, dedup_key),
        "incident_id": draft.incident_id,
        "to": draft.to,
        "routing_key_encrypted": draft.routing_key_encrypted,
        "key_hash": _key_hash(key),
        "region": draft.region,
        "dedup_key": dedup_key,
        "action": draft.action,
        "event": fit(draft.event) if draft.action is Action.TRIGGER else {},
        "state": MessageState.WAITING,
        "attempts": 0,
        "created_at": at,
        "next_try_at": at,
        "answer": "",
    }


def _key(routing_key_encrypted: str | None) -> str:
    """The routing key, or something in its place: an unreadable key must not stop an incident."""
    if routing_key_encrypted is None:
        return SANDBOX_KEY
    try:
        return decrypt(routing_key_encrypted, settings().key)
    except ValueError:
        return "unreadable"  # the job finds out again, and says so where people look


def _lane(key: str, dedup_key: str) -> str:
    return hashlib.sha256(f"{key}\n{dedup_key}".encode()).hexdigest()


def _key_hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


# Reads

# As the partial index says it: SQLite does not use that index for a bound value.
WAITING = text("pagerduty_outbox.state = 'waiting'")


def message(message_id: int) -> Message | None:
    return db.session.get(Message, message_id)


def of_incident(incident_id: int) -> Sequence[Message]:
    """All that PagerDuty is or was to be told of an incident, newest first."""
    return db.session.scalars(
        select(Message).where(Message.incident_id == incident_id).order_by(Message.id.desc())
    ).all()


def triggers_of(incident_ids: Collection[int]) -> Sequence[Message]:
    """The newest page of each lane of these incidents: what an acknowledge or resolve follows."""
    newest = (
        select(func.max(Message.id))
        .where(Message.incident_id.in_(incident_ids), Message.action == Action.TRIGGER)
        .group_by(Message.lane)
    )
    return db.session.scalars(
        select(Message).where(Message.id.in_(newest)).order_by(Message.id)
    ).all()


def sync_state(incident_id: int, *, at: datetime) -> SyncState:
    """Whether PagerDuty knows what Baton knows of this incident."""
    rows = db.session.execute(
        select(
            Message.id, Message.lane, Message.action, Message.state,
            Message.routing_key_encrypted.is_(None).label("sandbox"),
            Message.attempts, Message.created_at, Message.answer,
        )
        .where(Message.incident_id == incident_id)
        .order_by(Message.id)
    )  # fmt: skip
    return sync_state_of([Standing(*row) for row in rows], at=at)


def queue_depth() -> int:
    """Messages that have yet to go out."""
    return db.session.scalar(select(func.count()).select_from(Message).where(WAITING)) or 0


def oldest_waiting_age(*, at: datetime) -> float | None:
    """Seconds since the oldest message that has yet to go out was written; None: none waits."""
    oldest = db.session.scalar(select(func.min(Message.created_at)).where(WAITING))
    return None if oldest is None else max((at - oldest).total_seconds(), 0.0)
