"""What every source of alerts has in common.

A source translates one sender's format into our own types. It reads no database and no clock.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Protocol

from pydantic_core import from_json

MAX_FINGERPRINT = 255
MAX_NAME = 300  # of an alert
MAX_LABEL_NAME = 200
MAX_LABEL = 2000
MAX_ANNOTATION = 10_000
MAX_TEXTS = 100  # labels of an alert, and as many annotations
MAX_LINKS = 20
MAX_FAULTS = 100  # of a delivery

# Headers that no sender can set, because the door keeps only those it knows.
GENERATED_KEY = "x-baton-dedup-key"  # from `Glance.kept`
RECEIVED_AT = "x-baton-received-at"  # when the delivery came; whoever calls `parse` adds it


class AlertStatus(StrEnum):
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"  # somebody took it, in the sender's system
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Link:
    href: str  # http or https only
    text: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, as its sender tells it. Texts hold no NUL and no lone surrogate."""

    fingerprint: str  # its identity within the integration, at most 255 characters
    status: AlertStatus
    name: str  # the alertname, or what comes nearest; never empty
    summary: str  # one line for people; never empty
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    severity: str = ""  # as sent; `incidents.rules.severity_of` reads it
    starts_at: datetime | None = None  # aware; None: the sender did not say, or not so that we can
    ends_at: datetime | None = None  # only of a resolved alert
    links: tuple[Link, ...] = ()
    group_key: str | None = None  # the sender's group, hashed, at most 64 characters
    remarks: tuple[str, ...] = ()  # what was odd and how it was read, a sentence each


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """Something was changed on purpose: a deploy, a retrain, a flag."""

    summary: str
    source: str = ""
    at: datetime | None = None
    links: tuple[Link, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """An element that could not be read. It fails alone."""

    where: str  # as in alerts[3]
    why: str  # a sentence


@dataclass(frozen=True, slots=True)
class Parsed:
    """All that one delivery says."""

    alerts: tuple[Alert, ...] = ()
    changes: tuple[ChangeEvent, ...] = ()
    faults: tuple[Fault, ...] = ()
    # A group that is over as a whole: every open member of it ends, named here or not.
    resolved_group: str | None = None


@dataclass(frozen=True, slots=True)
class Glance:
    """What the door needs to know before it answers."""

    what: str  # one line for the list of deliveries, at most 200 characters
    # What the delivery is about (a group, a dedup key), hashed to 64 characters. The same body
    # about the same subject, with no other between, is a repeat. None: never compare.
    subject: str | None = None
    sender_id: str | None = None  # the sender's own id of this delivery, at most 200 characters
    reply: Mapping[str, Any] = field(default_factory=dict)  # what the sender wants to hear back
    # What was decided at the door and `parse` must find again: stored with the kept headers.
    kept: Mapping[str, str] = field(default_factory=dict)


class UnparsableError(Exception):
    """The body as a whole can't be read. `args[0]` is a sentence for its sender."""


class ElementError(Exception):
    """One element can't be read. `args[0]` is a sentence; `read_each` makes it a `Fault`."""


class Source(Protocol):
    """One sender's format.

    `glance` runs at the door and must be quick; `parse` runs in a job. Both take the decoded
    JSON and the kept headers (lower-case names). Only `glance` may raise `UnparsableError`, and
    what it let pass, `parse` reads without an error: bad elements become faults.
    """

    name: str  # as in /in/<name>
    title: str
    sends: str  # in words, for the page of integrations
    status: int  # of a reply that takes the delivery: 200 or 202
    # Whether its times of start and end say what is newer. If not, the order of arrival does.
    times_tell_order: bool

    def glance(self, document: Any, headers: Mapping[str, str]) -> Glance: ...

    def parse(self, document: Any, headers: Mapping[str, str]) -> Parsed: ...

    def receiver_example(self, url: str) -> str:
        """A snippet of the sender's configuration that points at `url`."""
        ...


def decode(body: bytes) -> Any:
    """The JSON of a body. Raises `UnparsableError` with a sentence."""
    if not body.strip():
        raise UnparsableError("The body is empty; JSON is expected.")
    try:
        return from_json(body, allow_inf_nan=True, cache_strings="keys")
    except ValueError as error:
        why = str(error)
    try:
        # Slower, but takes half an emoji (JavaScript cuts texts so) and a byte order mark.
        return json.loads(body)
    except (ValueError, RecursionError):
        raise UnparsableError(f"The body is not JSON: {why}.") from None


# What no database takes as text: NUL, and half of a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean(text: object, limit: int | None = None) -> str:
    """Any value as text that every database takes, cut to `limit` characters."""
    if text is None:
        return ""
    said = text if isinstance(text, str) else str(text)
    if not said.isascii() or "\x00" in said:
        said = _UNSTORABLE.sub("\ufffd", said)
    return said if limit is None or len(said) <= limit else said[: limit - 1] + "…"


def hashed(*parts: str) -> str:
    """64 characters that stand for the parts, whatever their length."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """The identity of an alert that names none: all its labels, in any order."""
    return hashed(*(f"{name}={labels[name]}" for name in sorted(labels)))


def identity(said: object) -> str:
    """A sender's own key as a fingerprint. One that is too long is hashed: cut, two could meet."""
    key = as_text(said).strip()
    return key if len(key) <= MAX_FINGERPRINT else hashed(key)


def sender_id_of(headers: Mapping[str, str]) -> str | None:
    """The sender's own id of this delivery: the same in each of its attempts.

    `X-Request-Id` is none: proxies set it anew for each attempt.
    """
    for name in ("x-webhook-id", "request-id", "x-amz-sns-message-id"):
        if said := clean(headers.get(name)).strip():
            return short_id(said)
    event, origin = clean(headers.get("ce-id")).strip(), clean(headers.get("ce-source")).strip()
    return short_id(f"{origin} {event}") if event and origin else None


def short_id(said: str) -> str:
    """A sender's id as it is; hashed if it is longer than we keep."""
    return said if len(said) <= 200 else hashed(said)


def as_text(said: object, limit: int | None = None) -> str:
    """Any JSON value as text: what is not a string as compact JSON, and null as nothing."""
    if said is None or isinstance(said, str):
        return clean(said, limit)
    try:
        return clean(json.dumps(said, ensure_ascii=False, separators=(",", ":")), limit)
    except RecursionError:
        return "(nested too deeply)"


def texts(said: object, limit: int, *, called: str, remarks: list[str]) -> dict[str, str]:
    """An object of a sender's as texts, nulls left out. What it loses is added to `remarks`."""
    if not isinstance(said, dict):
        if said is not None:
            remarks.append(f"Its {called} are {kind_of(said)} instead of an object, and left out.")
        return {}
    if _is_plain(said, limit):
        return said.copy()
    if len(said) > MAX_TEXTS:
        remarks.append(f"It has {len(said)} {called}; the first {MAX_TEXTS} are kept.")
    return {
        clean(name, MAX_LABEL_NAME): as_text(value, limit)
        for name, value in islice(said.items(), MAX_TEXTS)
        if value is not None
    }


def _is_plain(said: dict[str, Any], limit: int) -> bool:
    """Whether all names and values are short texts of plain letters.

    Nearly all are. Looked at as one string they cost a quarter of a look at each.
    """
    try:
        together = "".join((*said, *said.values()))
    except TypeError:
        return False
    return (
        len(said) <= MAX_TEXTS
        and len(together) <= limit
        and together.isascii()
        and "\x00" not in together
        and max(map(len, said), default=0) <= MAX_LABEL_NAME
    )


def moment(said: object, *, called: str, remarks: list[str]) -> datetime | None:
    """A sender's time, aware and in UTC; None if it gives none, or none that can be meant.

    One without a zone is read as UTC. Go writes a time that isn't set as the year 1.
    """
    if said is None or said == "" or (isinstance(said, str) and said.startswith("0001-01-01T00:")):
        return None
    try:
        read = datetime.fromisoformat(said if isinstance(said, str) else "")
        read = read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        read = None
    # A time that far away is a mistake, and would be newer than all that is still to come.
    if read is None or not 1970 <= read.year < 2200:
        remarks.append(f"Its {called}, {as_text(said, 60)!r}, is not a time we can read.")
        return None
    return read


def kind_of(said: object) -> str:
    """What a JSON value is, for a sentence."""
    if said is None:
        return "null"
    if isinstance(said, bool):
        return "true or false"
    names = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(said), "something else")


def read_each(
    elements: Iterable[object], read: Callable[[object], Alert]
) -> tuple[tuple[Alert, ...], tuple[Fault, ...]]:
    """Read the alerts of a delivery. One that can't be read fails alone."""
    alerts: list[Alert] = []
    faults: list[Fault] = []
    for place, element in enumerate(elements):
        try:
            alerts.append(read(element))
        except ElementError as error:
            faults.append(Fault(f"alerts[{place}]", str(error)))
    if (unnamed := len(faults) - MAX_FAULTS) > 0:
        faults[MAX_FAULTS:] = [Fault("alerts", f"{unnamed} more could not be read.")]
    return tuple(alerts), tuple(faults)


def links_in(annotations: Mapping[str, str]) -> list[tuple[object, str]]:
    """Candidates for `web_links` among annotations, by the names that are customary."""
    customary = (
        ("runbook_url", "Runbook"),
        ("runbook", "Runbook"),
        ("dashboard_url", "Dashboard"),
        ("dashboard", "Dashboard"),
    )
    return [(annotations[name], words) for name, words in customary if name in annotations]


def web_links(*candidates: tuple[object, str]) -> tuple[Link, ...]:
    """Those of (href, text) that are http or https, once each, as many as are of use."""
    found: dict[str, Link] = {}
    for href, words in candidates:
        said = clean(href).strip()
        is_web = said[:8].lower().startswith(("http://", "https://")) and len(said) <= 2000
        if is_web and said not in found:
            found[said] = Link(said, clean(words, 120) or clean(said, 120))
    return tuple(found.values())[:MAX_LINKS]


def first_line(parts: Sequence[str], limit: int = 300) -> str:
    """The first of the texts that says something, on one line."""
    for part in parts:
        if line := " ".join(part.split()):
            return clean(line, limit)
    return ""
