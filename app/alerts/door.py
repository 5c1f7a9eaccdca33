"""The inbound doors: a delivery is on the disk before its sender is answered.

Nothing authentic and well formed is ever answered with 4xx: Alertmanager drops what gets one, and
PagerDuty switches a subscription off after three. Processing is a job's business (`service.py`).
"""

import binascii
import hashlib
import logging
import threading
import time
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from random import getrandbits
from typing import Any
from urllib.parse import parse_qs

from flask import Blueprint, Response, g, request
from flask.typing import ResponseReturnValue
from pydantic_core import to_json
from werkzeug.exceptions import RequestEntityTooLarge

from app.alerts.committer import Entry, committer
from app.alerts.keys import Door, keys
from app.alerts.rules import DeliveryState
from app.alerts.sources import SOURCES
from app.alerts.sources.base import Glance, Source, UnparsableError, decode
from app.config import settings
from app.core.clock import now
from app.core.errors import (
    BadRequestError,
    BatonError,
    NotFoundError,
    NotSignedInError,
    TooLargeError,
)
from app.core.metrics import DELIVERIES, DOOR_SECONDS
from app.people.access import public

log = logging.getLogger(__name__)

bp = Blueprint("door", __name__)

# As WSGI calls them, which is looked up in a tenth of the time.
KEPT_HEADERS = {
    "CONTENT_TYPE": "content-type",
    **{
        f"HTTP_{name.upper().replace('-', '_')}": name
        for name in (
            "user-agent", "x-webhook-id", "request-id", "x-amz-sns-message-id",
            "ce-id", "ce-source", "ce-type", "ce-time", "ce-specversion",
        )
    },
}  # fmt: skip
GZIP = b"\x1f\x8b"  # how it begins
DRAINED = 16  # times the limit: how much of an oversize body is read, so that its sender hears why
REFUSED_A_MINUTE = 600  # rows kept of refused requests, for each process


# A slash too many would be a 404, and what is sent there lost.
@bp.route("/in/<source>", methods=["POST", "PUT"], strict_slashes=False)
@public
def receive(source: str) -> ResponseReturnValue:
    if source not in SOURCES:
        raise NotFoundError(f"There is no door /in/{source}. Doors: {', '.join(sorted(SOURCES))}.")
    return _take(SOURCES[source])


@bp.post("/in/alertmanager/api/v1/alerts", strict_slashes=False)
@bp.post("/in/alertmanager/api/v2/alerts", strict_slashes=False)
@public
def receive_from_prometheus() -> ResponseReturnValue:
    """The paths that Prometheus itself posts to when Baton stands among its Alertmanagers."""
    return _take(SOURCES["alertmanager"])


@bp.post("/v2/enqueue", strict_slashes=False)
@bp.post("/v2/change/enqueue", strict_slashes=False)
@public
def receive_event() -> ResponseReturnValue:
    """The paths of PagerDuty's Events API v2, for senders that can change its host only."""
    return _take(SOURCES["events_v2"])


def _take(source: Source) -> ResponseReturnValue:
    g.quiet = True
    at = now()
    knock = Knock(source, request.environ, request.content_length or 0)
    try:
        body = _body()
        knock.size = len(body)
        return take(knock, body, at=at)
    except BatonError as refusal:
        _keep_refusal(knock, refusal, at)
        raise


@dataclass(slots=True)
class Knock:
    """A request at a door."""

    source: Source
    environ: Mapping[str, Any]  # as WSGI has it, which is looked up in a tenth of Flask's time
    size: int  # of the body, in bytes
    door: Door | None = None  # once a key has opened it


def take(knock: Knock, body: bytes, *, at: datetime) -> Response:
    """Keep a delivery, and answer its sender. Raises `BatonError` if it is refused."""
    started = time.perf_counter()
    source = knock.source
    document = _document(body)
    knock.door, key = _authenticated(knock, document, at)
    entry, glance = _entry(knock, knock.door, key, body, document, at)
    outcome = committer().commit(entry)
    DELIVERIES.labels(source.name, outcome.result).inc()
    DOOR_SECONDS.labels(source.name).observe(time.perf_counter() - started)
    reply = {"delivery": outcome.receipt, "result": outcome.result, **glance.reply}
    status = 202 if outcome.result == "spooled" else source.status
    return Response(to_json(reply), status, content_type="application/json")


def _body() -> bytes:
    try:
        body = request.get_data(cache=False)
        if not _goes_on(body):
            return body
    except RequestEntityTooLarge:
        pass
    limit = settings().max_delivery_bytes
    left = limit * DRAINED
    while left > 0 and (chunk := request.environ["wsgi.input"].read(min(left, 65_536))):
        left -= len(chunk)
    raise TooLargeError(
        f"A delivery may have {limit:,} bytes at the most. Send fewer alerts in one "
        "(max_alerts in Alertmanager)."
    )


def _goes_on(body: bytes) -> bool:
    """Whether there is more: what comes in chunks tells no length, and is read up to the limit."""
    if request.content_length is not None or len(body) < settings().max_delivery_bytes:
        return False
    return bool(request.environ["wsgi.input"].read(1))


class _Unreadable:
    """A body that is no JSON. Who sent it is asked first, so the sentence waits."""

    def __init__(self, why: str) -> None:
        self.why = why


def _document(body: bytes) -> Any:
    try:
        return decode(body)
    except UnparsableError as error:
        if body.startswith(GZIP):
            return _Unreadable("The body is compressed with gzip; send it as it is.")
        return _Unreadable(error.args[0])


def _authenticated(knock: Knock, document: Any, at: datetime) -> tuple[Door, str]:
    """The door that is knocked at, and the key that opened it."""
    for key in _keys_sent(knock, document):
        if door := keys.find(key, knock.source.name, at=at):
            return door, key
    ways = "as a bearer token, as the password of basic authentication or as ?key="
    if hasattr(knock.source, "routing_key"):
        ways = f"as the routing_key of the event, {ways}"
    raise NotSignedInError(
        f"No key, or not the key of an open {knock.source.title} integration. Send it {ways}."
    )


def _keys_sent(knock: Knock, document: Any) -> list[str]:
    """What may be the key, in the order in which it is tried."""
    sent = []
    source, environ = knock.source, knock.environ
    kind, _, credentials = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if kind.lower() in ("bearer", "token"):
        sent.append(credentials.strip())
    elif kind.lower() == "basic":
        try:
            user, _, password = b64decode(credentials, validate=True).decode().partition(":")
            sent += [password, user]
        except (binascii.Error, UnicodeDecodeError):
            pass
    if query := environ.get("QUERY_STRING"):
        sent += parse_qs(query, errors="replace").get("key", [])[:1]
    header = environ.get("HTTP_X_ROUTING_KEY", "")
    routing_key = getattr(source, "routing_key", None)
    if routing_key is not None and not isinstance(document, _Unreadable):
        header = routing_key(document, {"x-routing-key": header})
    sent.append(header)
    return [key for key in sent if key]


def _entry(
    knock: Knock, door: Door, key: str, body: bytes, document: Any, at: datetime
) -> tuple[Entry, Glance]:
    environ = knock.environ
    headers = {
        name: value for called, name in KEPT_HEADERS.items() if (value := environ.get(called))
    }
    if isinstance(document, _Unreadable):
        raise BadRequestError(document.why)
    try:
        glance = knock.source.glance(document, headers)
    except UnparsableError as error:
        raise BadRequestError(error.args[0]) from None
    columns = _columns(knock, at)
    columns.update(
        integration_id=door.integration_id,
        headers={**headers, **glance.kept},
        # An event of PagerDuty's holds its key; of that we keep the hash only, like any key.
        body=body.replace(key.encode(), f"{'*' * (len(key) - 4)}{key[-4:]}".encode()),
        sha256=hashlib.sha256(body).hexdigest(),
        sender_id=glance.sender_id,
        what=glance.what,
    )
    return Entry(columns, glance.subject), glance


def _columns(knock: Knock, at: datetime) -> dict[str, Any]:
    return {
        # In order of time, so that the index grows at one end.
        # Not a secret, so the quick generator will do: the system's makes threads wait in line.
        "receipt": f"{time.time_ns():016x}{getrandbits(64):016x}",
        "integration_id": None,
        "source": knock.source.name,
        "received_at": at,
        "path": knock.environ["PATH_INFO"][:200],
        "headers": {},
        "body": None,
        "size": knock.size,
        "sha256": None,
        "sender_id": None,
        "state": DeliveryState.RECEIVED,
        "processed_at": None,
        "attempts": 0,
        "repeats": 0,
        "what": "",
        "why": "",
        "outcome": {},
    }


class _Allowance:
    """So many a minute: whoever knocks without a key must not fill the disk."""

    def __init__(self, limit: int) -> None:
        self._limit, self._minute, self._used = limit, 0, 0
        self._lock = threading.Lock()

    def take(self, at: datetime) -> bool:
        minute = int(at.timestamp()) // 60
        with self._lock:
            if minute != self._minute:
                self._minute, self._used = minute, 0
            self._used += 1
            return self._used <= self._limit


_refusals = _Allowance(REFUSED_A_MINUTE)


def _keep_refusal(knock: Knock, refusal: BatonError, at: datetime) -> None:
    """Leave a row that says who was refused and why, without the body."""
    DELIVERIES.labels(knock.source.name, "refused").inc()
    if not 400 <= refusal.status < 500 or not _refusals.take(at):
        return
    columns = _columns(knock, at)
    columns.update(
        integration_id=knock.door.integration_id if knock.door else None,
        headers={
            name: value
            for name in ("content-type", "user-agent")
            if (value := request.headers.get(name))
        },
        state=DeliveryState.REFUSED,
        processed_at=at,
        what=f"{request.method} {request.path}"[:200],
        why=f"{refusal.status.value}: {refusal.sentence}",
        outcome={"address": request.remote_addr or ""},
    )
    try:
        committer().commit(Entry(columns))
    except Exception:
        # The refusal itself is what the sender must hear.
        log.exception("a refused request was not recorded")
