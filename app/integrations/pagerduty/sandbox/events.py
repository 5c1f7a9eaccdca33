"""Events API v2: what is refused, and what a taken event does."""

import hashlib
import json
import sqlite3
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from flask.typing import ResponseReturnValue

from app.integrations.pagerduty.sandbox import lifecycle
from app.integrations.pagerduty.sandbox.store import Store, packed, written

MOST_BYTES = 512 * 1024
SUMMARY_LENGTH = 1024
DEDUP_KEY_LENGTH = 255
KEY_LENGTH = 32
KEPT = 20_000  # calls that are remembered
ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES = ("critical", "error", "warning", "info")

bp = Blueprint("events", __name__)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: dict[str, Any]


@bp.post("/v2/enqueue", strict_slashes=False)
def enqueue() -> ResponseReturnValue:
    return _take("/v2/enqueue", refusals, _apply)


@bp.post("/v2/change/enqueue", strict_slashes=False)
def enqueue_change() -> ResponseReturnValue:
    return _take("/v2/change/enqueue", change_refusals, _apply_change)


def _take(path: str, find_refusals: Any, apply: Any) -> Response:
    store: Store = current_app.config["STORE"]
    at: datetime = current_app.config["CLOCK"]()
    raw = request.get_data(cache=False)
    event = _parsed(raw)
    with store.transaction() as connection:
        if len(raw) > MOST_BYTES:
            reply, became = Reply(413, {"status": "invalid event", "message": "Too large"}), ""
        elif event is None:
            reply, became = _invalid(["Event object format is unrecognized"]), ""
        elif wrong := find_refusals(event):
            reply, became = _invalid(wrong), ""
        elif _is_over_the_rate(connection, key_hash(event["routing_key"]), at):
            reply, became = _too_many(), ""
        else:
            reply, became = apply(connection, event, at)
        _write_down(connection, path, event or {}, reply, became, at)
    answer = jsonify(reply.body)
    answer.status_code = reply.status
    return answer


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(raw)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _invalid(errors: list[str]) -> Reply:
    return Reply(
        400,
        {"status": "invalid event", "message": "Event object is invalid", "errors": errors},
    )


def _too_many() -> Reply:
    return Reply(
        429,
        {
            "status": "throttle exceeded",
            "message": "Requests for this service are arriving too quickly. Please retry later.",
        },
    )


def key_hash(routing_key: str) -> str:
    """By this a key is told from others: no key is kept."""
    return hashlib.sha256(routing_key.encode("utf-8", "replace")).hexdigest()[:16]


def _is_over_the_rate(connection: sqlite3.Connection, key: str, at: datetime) -> bool:
    most = current_app.config["CALLS_PER_MINUTE"]
    taken = connection.execute(
        "SELECT count(*) FROM received WHERE key = ? AND at > ? AND status = 202",
        (key, written(at - timedelta(minutes=1))),
    ).fetchone()[0]
    return bool(taken >= most)


def _write_down(
    connection: sqlite3.Connection,
    path: str,
    event: dict[str, Any],
    reply: Reply,
    became: str,
    at: datetime,
) -> None:
    key, payload = event.get("routing_key"), event.get("payload")
    written_down = connection.execute(
        "INSERT INTO received (at, path, key, action, dedup_key, summary, status, became, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            written(at),
            path,
            key_hash(key) if isinstance(key, str) else None,
            _text_or_none(event.get("event_action")),
            reply.body.get("dedup_key") or _text_or_none(event.get("dedup_key")),
            _text_or_none(payload.get("summary")) if isinstance(payload, dict) else None,
            reply.status,
            became or "; ".join(reply.body.get("errors", ())) or reply.body["message"],
            packed({name: value for name, value in event.items() if name != "routing_key"}),
        ),
    )
    assert written_down.lastrowid is not None
    connection.execute("DELETE FROM received WHERE id <= ?", (written_down.lastrowid - KEPT,))


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


# What is refused


def refusals(event: dict[str, Any]) -> list[str]:
    """What is wrong with an event, in PagerDuty's manner."""
    wrong = _key_refusals(event)
    action = event.get("event_action")
    if action not in ACTIONS:
        wrong.append(
            "'event_action' is missing or invalid (must be one of trigger, acknowledge, resolve)"
        )
        return wrong
    dedup_key = event.get("dedup_key")
    if dedup_key is None:
        if action != "trigger":
            wrong.append("'dedup_key' is missing or blank")
    elif not isinstance(dedup_key, str) or not dedup_key:
        wrong.append("'dedup_key' is missing or blank")
    elif len(dedup_key) > DEDUP_KEY_LENGTH:
        wrong.append("Length of 'dedup_key' is incorrect (should be at most 255 characters)")
    if action == "trigger":
        wrong += _payload_refusals(event.get("payload"), ("summary", "source", "severity"))
        wrong += _link_refusals(event)
    return wrong


def change_refusals(event: dict[str, Any]) -> list[str]:
    wrong = _key_refusals(event)
    if not wrong and event["routing_key"].startswith("R"):
        wrong.append("'routing_key' of a ruleset can't take change events")
    return wrong + _payload_refusals(event.get("payload"), ("summary",)) + _link_refusals(event)


def _key_refusals(event: dict[str, Any]) -> list[str]:
    key = event.get("routing_key")
    if not isinstance(key, str) or not key:
        return ["'routing_key' is missing or blank"]
    if len(key) != KEY_LENGTH:
        return ["Length of 'routing_key' is incorrect (should be 32 characters)"]
    return []


def _payload_refusals(payload: Any, required: tuple[str, ...]) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    wrong = [
        f"'payload.{name}' is missing or blank"
        for name in required
        if not isinstance(payload.get(name), str) or not payload[name]
    ]
    if len(str(payload.get("summary", ""))) > SUMMARY_LENGTH:
        wrong.append("'payload.summary' is too long (should be at most 1024 characters)")
    if payload.get("severity") and payload["severity"] not in SEVERITIES:
        wrong.append(
            "'payload.severity' is invalid (must be one of the following: "
            "'critical', 'warning', 'error' or 'info')"
        )
    if "timestamp" in payload and not _is_time(payload["timestamp"]):
        wrong.append("'payload.timestamp' is invalid (should be in ISO 8601 format)")
    if payload.get("custom_details") is not None and not isinstance(
        payload["custom_details"], dict
    ):
        wrong.append("'payload.custom_details' is invalid (should be an object)")
    return wrong


def _link_refusals(event: dict[str, Any]) -> list[str]:
    wrong = []
    for name, needed in (("links", "href"), ("images", "src")):
        found = event.get(name)
        if found is None:
            continue
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            wrong.append(f"'{name}' is invalid (should be an array of objects)")
        elif not all(isinstance(item.get(needed), str) and item[needed] for item in found):
            wrong.append(f"'{name}.{needed}' is missing or blank")
        elif name == "images" and not all(item["src"].startswith("https://") for item in found):
            wrong.append("'images.src' is invalid (should be an https URL)")
    return wrong


def _is_time(value: Any) -> bool:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True


# What a taken event does


def _apply(
    connection: sqlite3.Connection, event: dict[str, Any], at: datetime
) -> tuple[Reply, str]:
    dedup_key = event.get("dedup_key") or uuid.uuid4().hex
    key = key_hash(event["routing_key"])
    match event["event_action"]:
        case "trigger":
            became = lifecycle.trigger(connection, key, dedup_key, event, at)
        case "acknowledge":
            became = lifecycle.acknowledge(connection, key, dedup_key, at)
        case _:
            became = lifecycle.resolve(connection, key, dedup_key, at)
    # PagerDuty says the same whether anything came of it or not.
    body = {"status": "success", "message": "Event processed", "dedup_key": dedup_key}
    return Reply(202, body), became


def _apply_change(
    _connection: sqlite3.Connection, _event: dict[str, Any], _at: datetime
) -> tuple[Reply, str]:
    return Reply(202, {"status": "success", "message": "Change event processed"}), "change noted"
