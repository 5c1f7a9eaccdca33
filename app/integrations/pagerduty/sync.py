"""Whether PagerDuty knows what Baton knows, in the words of the incident's page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.integrations.pagerduty.rules import FULL, Action, MessageState


class Sync(StrEnum):
    """Whether PagerDuty knows what Baton knows."""

    IN_SYNC = "In sync"
    SENDING = "Sending"
    BEHIND = "Behind"
    NOT_REACHABLE = "Not reachable"
    NOT_CONNECTED = "Not connected"  # pages go to the sandbox pager


# A message that nobody has tried for this long is not just on its way.
BEHIND_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class SyncState:
    """`waiting` messages are on their way; the sentence says why they are not there yet."""

    sync: Sync
    waiting: int = 0
    sentence: str = ""

    @property
    def word(self) -> str:
        return f"{self.sync} {self.waiting}" if self.sync is Sync.SENDING else str(self.sync)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one message of an incident has come, as far as its sync state depends on it."""

    id: int
    lane: str
    action: Action
    state: MessageState
    sandbox: bool
    attempts: int
    created_at: datetime
    answer: str


def sync_state_of(messages: Sequence[Standing], *, at: datetime) -> SyncState:
    """Whether PagerDuty knows what it was told of one incident. `messages` is oldest first."""
    if not messages or messages[-1].sandbox:
        return SyncState(Sync.NOT_CONNECTED)
    waiting = [message for message in messages if message.state is MessageState.WAITING]
    if not waiting:
        refused = _last_refusal(messages)
        return SyncState(Sync.BEHIND, sentence=refused) if refused else SyncState(Sync.IN_SYNC)
    failed = [message for message in waiting if message.attempts and message.answer]
    if any(message.answer != FULL for message in failed):
        sync = Sync.NOT_REACHABLE
    elif failed or at - waiting[0].created_at > BEHIND_AFTER:
        sync = Sync.BEHIND
    else:
        sync = Sync.SENDING
    return SyncState(sync, len(waiting), failed[-1].answer if failed else "")


def _last_refusal(messages: Sequence[Standing]) -> str | None:
    """The answer to a refused message that no later one of its lane has made good."""
    for message in reversed(messages):
        if message.state is MessageState.REFUSED and not any(
            later.lane == message.lane
            and later.id > message.id
            and later.state is MessageState.SENT
            and (later.action is message.action or later.action is Action.RESOLVE)
            for later in messages
        ):
            return message.answer
    return None
