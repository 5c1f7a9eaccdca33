"""How a lane is sent: claim its next message, and write down what became of it.

The sending itself happens between the two, outside of any transaction. A worker that dies there
leaves a claim that runs out; the message is then sent again, which its dedup key makes harmless.
"""

import logging
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from app.config import settings
from app.core.db import db, unit_of_work
from app.core.jobs import enqueue
from app.core.metrics import OUTBOX_LAG_SECONDS
from app.core.secrets import decrypt
from app.integrations.pagerduty.outbox import SEND_LANE, WAITING, wake_in_turns
from app.integrations.pagerduty.rules import (
    CALLS_PER_MINUTE,
    Action,
    Answer,
    MessageState,
    Outcome,
    Outgoing,
    Waiting,
    backoff,
    next_to_send,
    wait_for_room,
)
from app.integrations.pagerduty.tables import Message

log = logging.getLogger(__name__)

# Outlives the client, which gives up after 4 s each for connecting, writing and the answer.
CLAIMED_FOR = timedelta(seconds=30)

# A wake-up that is this late is not on its way any more.
OVERDUE_AFTER = timedelta(seconds=10)
LANES_A_SWEEP = 500

chance = random.SystemRandom().random


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send one message, until then."""

    message_id: int
    until: datetime
    outgoing: Outgoing
    tried_before: datetime | None


def claim_next(lane: str, *, at: datetime) -> Claim | None:
    """Take the lane's next message, unless nothing is due or another worker is at the lane."""
    with unit_of_work() as session:
        waiting = _lock_waiting(session, lane)
        if not waiting or any(_is_claimed(message, at) for message in waiting):
            return None
        # A lane that failed waits as a whole: a new message doesn't jump the queue.
        if max(message.next_try_at for message in waiting) > at:
            return None
        message = _choose(session, lane, waiting, at)
        if message is None or not _has_room(session, message, at):
            return None
        try:
            routing_key = _routing_key(message)
        except ValueError as error:
            _settle(message, MessageState.REFUSED, str(error), at)
        else:
            tried_before = message.tried_at
            # Written before the try, so that one nobody lives to tell of counts as well.
            message.tried_at = at
            message.attempts += 1
            message.claimed_until = at + CLAIMED_FOR
            return Claim(
                message.id,
                message.claimed_until,
                Outgoing(
                    routing_key, message.region, message.dedup_key, message.action, message.event
                ),
                tried_before,
            )
    return claim_next(lane, at=at)


def record(claim: Claim, answer: Answer, *, at: datetime) -> None:
    """Write down what became of a message, and when it is tried again."""
    with unit_of_work() as session:
        message = session.get(
            Message, claim.message_id, with_for_update=True, populate_existing=True
        )
        if message is None or message.claimed_until != claim.until:
            log.warning("a claim ran out while sending", extra={"message_id": claim.message_id})
            return
        if answer.outcome is Outcome.TRY_AGAIN:
            wait = backoff(message.attempts, answer.retry_after, chance)
            if not answer.may_have_arrived:
                # `tried_at` is the last try that PagerDuty may know of.
                message.tried_at = claim.tried_before
            message.claimed_until, message.answer = None, answer.sentence
            message.next_try_at = at + wait
            enqueue(SEND_LANE, message.lane, delay=wait.total_seconds())
            return
        if answer.outcome is Outcome.ACCEPTED:
            _settle(message, MessageState.SENT, answer.sentence, at)
            OUTBOX_LAG_SECONDS.observe(max((at - message.created_at).total_seconds(), 0.0))
        else:
            _settle(message, MessageState.REFUSED, answer.sentence, at)
            log.error(
                "PagerDuty refused a message",
                extra={"message_id": message.id, "incident_id": message.incident_id},
            )


def wake_overdue(*, at: datetime) -> int:
    """Wake the lanes whose own wake-up never came; how many."""
    overdue = (
        select(Message.lane)
        .where(WAITING)
        .group_by(Message.lane)
        .having(
            func.max(Message.next_try_at) < at - OVERDUE_AFTER,
            or_(func.max(Message.claimed_until).is_(None), func.max(Message.claimed_until) < at),
        )
        .order_by(func.min(Message.id))
        .limit(LANES_A_SWEEP)
    )
    lanes = db.session.scalars(overdue).all()
    # Once a minute at most: a busy queue is not helped by more of the same.
    wake_in_turns(lanes, once=str(int(at.timestamp()) // 60))
    return len(lanes)


def _lock_waiting(session: Session, lane: str) -> list[Message]:
    """The lane's waiting messages, oldest first. The first one's row lock is the lane's."""
    return list(
        session.scalars(
            select(Message)
            .where(Message.lane == lane, Message.state == MessageState.WAITING)
            .order_by(Message.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    )


def _is_claimed(message: Message, at: datetime) -> bool:
    return message.claimed_until is not None and message.claimed_until > at


def _choose(session: Session, lane: str, waiting: list[Message], at: datetime) -> Message | None:
    chosen, overtaken = next_to_send(
        [
            Waiting(message.id, message.action, message.created_at, message.tried_at is not None)
            for message in waiting
        ],
        at=at,
        told=_was_told(session, lane),
    )
    message = next((message for message in waiting if chosen and message.id == chosen.id), None)
    for older in waiting:
        if older.id not in overtaken:
            continue
        if message is not None and older.action is message.action:
            _inherit(message, older)
        _settle(older, MessageState.OVERTAKEN, overtaken[older.id], at)
    return message


def _inherit(message: Message, older: Message) -> None:
    """The tries of a message that is replaced stay with the one that takes its place."""
    message.attempts = max(message.attempts, older.attempts)
    message.tried_at = max(filter(None, (message.tried_at, older.tried_at)), default=None)


def _was_told(session: Session, lane: str) -> bool:
    """Whether PagerDuty may hold an open alert from this lane's settled messages."""
    last_resolve = (
        select(func.coalesce(func.max(Message.id), 0))
        .where(
            Message.lane == lane,
            Message.action == Action.RESOLVE,
            Message.state == MessageState.SENT,
        )
        .scalar_subquery()
    )
    trigger = (
        select(Message.id)
        .where(
            Message.lane == lane,
            Message.action == Action.TRIGGER,
            Message.state != MessageState.WAITING,
            Message.tried_at.is_not(None),
            Message.id > last_resolve,
        )
        .limit(1)
    )
    return session.scalar(trigger) is not None


def _has_room(session: Session, message: Message, at: datetime) -> bool:
    """Whether the message's key may be called once more this minute. If not, it waits its turn."""
    calls, oldest = session.execute(
        select(func.count(), func.min(Message.tried_at)).where(
            Message.key_hash == message.key_hash, Message.tried_at > at - timedelta(minutes=1)
        )
    ).one()
    if calls < CALLS_PER_MINUTE or oldest is None:
        return True
    ahead = session.scalar(
        select(func.count()).where(
            Message.state == MessageState.WAITING,
            Message.key_hash == message.key_hash,
            Message.id < message.id,
        )
    )
    wait = wait_for_room(oldest, ahead or 0, at=at, random=chance)
    message.next_try_at = at + wait
    enqueue(SEND_LANE, message.lane, delay=wait.total_seconds())
    return False


def _routing_key(message: Message) -> str | None:
    if message.routing_key_encrypted is None:
        return None
    return decrypt(message.routing_key_encrypted, settings().key)


def _settle(message: Message, state: MessageState, answer: str, at: datetime) -> None:
    message.state, message.answer, message.settled_at = state, answer, at
    message.claimed_until = None
