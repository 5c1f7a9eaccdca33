"""What goes out next, and when: pure functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class Action(StrEnum):
    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"


class MessageState(StrEnum):
    WAITING = "waiting"
    SENT = "sent"  # PagerDuty answered 202
    OVERTAKEN = "overtaken"  # a later message made it needless before it went out
    REFUSED = "refused"  # PagerDuty will never take it as it is


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message as it is handed to a pager."""

    routing_key: str | None = field(repr=False)  # none: the sandbox pager
    region: str
    dedup_key: str
    action: Action
    event: Mapping[str, Any]


class Outcome(StrEnum):
    ACCEPTED = "accepted"
    TRY_AGAIN = "try again"
    REFUSED = "refused"  # for ever: the same message would be refused again


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a message, with a sentence for people."""

    outcome: Outcome
    sentence: str
    retry_after: float | None = None  # seconds; the pager asks not to come earlier
    may_have_arrived: bool = True


# PagerDuty takes about 120 calls a minute for each key. The difference is for workers that count
# at the same moment.
CALLS_PER_MINUTE = 100
FULL = "PagerDuty takes no more messages for this key at the moment. Baton tries again."


# What goes out next

REPLACED = "A newer message took its place."
CLOSED = "The incident was resolved before this could be sent."
OVER = "It was over before PagerDuty could be reached."

# A page for something that is over is still sent when it is this young, and resolved at once: the
# people on call then know that it happened. Later it would only wake somebody for nothing.
STALE_AFTER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message of a lane that has yet to go out."""

    id: int
    action: Action
    created_at: datetime
    may_have_arrived: bool = False  # a try was not answered, so PagerDuty may know it already


def next_to_send(
    waiting: Sequence[Waiting], *, at: datetime, told: bool = False
) -> tuple[Waiting | None, dict[int, str]]:
    """Which of a lane's waiting messages goes out now, and which never need to, with the reason.

    `waiting` is oldest first. `told` says that PagerDuty may hold an open alert of this lane from
    an earlier message. What goes out leads to the state that is wanted now: PagerDuty need not
    hear of every step in between, but it drops a resolve that comes before its trigger.
    """
    overtaken: dict[int, str] = {}
    rest = list(waiting)
    while rest:
        episode, rest = _first_episode(rest)
        triggers = [message for message in episode if message.action is Action.TRIGGER]
        acknowledgements = [message for message in episode if message.action is Action.ACKNOWLEDGE]
        resolve = episode[-1] if episode[-1].action is Action.RESOLVE else None

        overtaken |= {message.id: REPLACED for message in triggers[:-1]}
        if resolve is None:
            overtaken |= {message.id: REPLACED for message in acknowledgements[:-1]}
            return (triggers or acknowledgements)[-1], overtaken

        overtaken |= {message.id: CLOSED for message in acknowledgements}
        if not triggers:
            return resolve, overtaken
        if at - triggers[-1].created_at <= STALE_AFTER:
            return triggers[-1], overtaken
        overtaken[triggers[-1].id] = OVER
        if told or any(trigger.may_have_arrived for trigger in triggers):
            return resolve, overtaken
        overtaken[resolve.id] = OVER
    return None, overtaken


def _first_episode(messages: list[Waiting]) -> tuple[list[Waiting], list[Waiting]]:
    """The messages up to and with the first resolve, and those after it."""
    for index, message in enumerate(messages):
        if message.action is Action.RESOLVE:
            return messages[: index + 1], messages[index + 1 :]
    return messages, []


# When it is tried again

FIRST_WAIT = 30.0  # seconds
LONGEST_WAIT = 300.0
LONGEST_RETRY_AFTER = 900.0  # more than this is not believed: a page can't wait for hours


def backoff(attempts: int, retry_after: float | None, random: Callable[[], float]) -> timedelta:
    """How long to wait after so many tries. `random` gives a number from 0 to 1.

    The first wait is short, because most failures are over at once; not so when PagerDuty itself
    asked for time. Chance spreads the lanes, so that they don't all come back in the same second.
    """
    if attempts <= 1 and retry_after is None:
        return timedelta(seconds=2 + 3 * random())
    doublings = min(max(attempts - 2, 0), 10)
    wait = min(FIRST_WAIT * 2**doublings * (0.75 + 0.5 * random()), LONGEST_WAIT)
    if retry_after is not None:
        asked_for = min(max(retry_after, 0.0), LONGEST_RETRY_AFTER)
        wait = max(wait, asked_for * (1 + 0.1 * random()))
    return timedelta(seconds=wait)


def wait_for_room(
    oldest_call: datetime, ahead: int, *, at: datetime, random: Callable[[], float]
) -> timedelta:
    """How long a message waits when its key has used up its calls of the last minute.

    `ahead` counts the older messages that wait for the same key: each full hundred of them takes
    another minute.
    """
    window_opens = oldest_call + timedelta(minutes=1) - at
    turns = timedelta(minutes=ahead // CALLS_PER_MINUTE)
    return max(window_opens, timedelta(seconds=1)) + turns + timedelta(seconds=5 * random())
