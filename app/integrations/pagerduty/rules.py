"""What goes out next, when, and in which shape: pure functions."""

import hashlib
import json
import math
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


# The shape that PagerDuty takes

SUMMARY_LENGTH = 1024
DEDUP_KEY_LENGTH = 255
FIELD_LENGTH = 255
LINK_TEXT_LENGTH = 255
URL_LENGTH = 2048
MOST_LINKS = 20
BODY_BYTES = 512_000
KEYS_BYTES = 2_048  # room for what is sent beside the event: keys and action
SEVERITIES = frozenset({"critical", "error", "warning", "info"})


def fit(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event, cut to what PagerDuty takes. A page must not be lost for being too long."""
    event = _sendable(event)
    fitted: dict[str, Any] = {"payload": _payload(event.get("payload") or {})}
    if client := event.get("client"):
        fitted["client"] = str(client)[:FIELD_LENGTH]
    if _is_url(event.get("client_url")):
        fitted["client_url"] = event["client_url"]
    if links := [_link(link) for link in event.get("links") or [] if _is_url(link.get("href"))]:
        fitted["links"] = links[:MOST_LINKS]
    if images := [
        _image(image)
        for image in event.get("images") or []
        if _is_url(image.get("src"), schemes=("https://",))
    ]:
        fitted["images"] = images[:MOST_LINKS]
    if _size(fitted) > BODY_BYTES - KEYS_BYTES:
        fitted["payload"]["custom_details"] = {"details": _where_the_details_are(fitted)}
    return fitted


def fit_dedup_key(key: str) -> str:
    """The key, or a shorter one that no other key is cut to."""
    key = _sendable_text(key)
    if len(key) <= DEDUP_KEY_LENGTH:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key[: DEDUP_KEY_LENGTH - len(digest) - 1]}:{digest}"


def _payload(payload: Mapping[str, Any]) -> dict[str, Any]:
    severity = str(payload.get("severity"))
    fitted: dict[str, Any] = {
        "summary": str(payload.get("summary") or "Incident without a title")[:SUMMARY_LENGTH],
        "source": str(payload.get("source") or "baton")[:FIELD_LENGTH],
        "severity": severity if severity in SEVERITIES else "error",
    }
    for name in ("component", "group", "class"):
        if value := payload.get(name):
            fitted[name] = str(value)[:FIELD_LENGTH]
    if timestamp := _timestamp(payload.get("timestamp")):
        fitted["timestamp"] = timestamp
    details = payload.get("custom_details")
    if details:
        fitted["custom_details"] = details if isinstance(details, dict) else {"details": details}
    return fitted


def _timestamp(value: Any) -> str | None:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return str(value)


def _link(link: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "href": link["href"],
        "text": str(link.get("text") or link["href"])[:LINK_TEXT_LENGTH],
    }


def _image(image: Mapping[str, Any]) -> dict[str, Any]:
    fitted = {"src": image["src"]}
    if _is_url(image.get("href")):
        fitted["href"] = image["href"]
    if alt := image.get("alt"):
        fitted["alt"] = str(alt)[:LINK_TEXT_LENGTH]
    return fitted


def _is_url(value: Any, schemes: tuple[str, ...] = ("https://", "http://")) -> bool:
    return isinstance(value, str) and len(value) <= URL_LENGTH and value.lower().startswith(schemes)


def _where_the_details_are(event: Mapping[str, Any]) -> str:
    links = [link["href"] for link in event.get("links", ())]
    url = event.get("client_url") or next(iter(links), None)
    sentence = "The details are too large for PagerDuty."
    return f"{sentence} See {url}" if url else f"{sentence} See the incident in Baton."


def _size(event: Mapping[str, Any]) -> int:
    return len(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode())


def _sendable(value: Any) -> Any:
    """The same without what JSON or PostgreSQL can't hold: NaN, NUL and halves of surrogates."""
    if isinstance(value, str):
        return _sendable_text(value)
    if isinstance(value, Mapping):
        return {_sendable_text(str(key)): _sendable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sendable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return _sendable_text(str(value))


def _sendable_text(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()


# What the incident's page says about PagerDuty


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
