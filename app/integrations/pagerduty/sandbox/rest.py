"""What all REST paths of the sandbox pager share: who asks, errors, pages of a list."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NoReturn

from flask import Blueprint, current_app, jsonify, request
from flask.typing import ResponseReturnValue

from app.integrations.pagerduty.sandbox import shapes
from app.integrations.pagerduty.sandbox.store import Store

FURTHEST = 10_000  # offset and limit together
LARGEST_PAGE = 100


class RestError(Exception):
    def __init__(self, status: int, code: int, message: str, *errors: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "code": code, "errors": list(errors)}}


def refuse(status: int, code: int, message: str, *errors: str) -> NoReturn:
    raise RestError(status, code, message, *errors)


def invalid(*errors: str) -> NoReturn:
    refuse(400, 2001, "Invalid Input Provided", *errors)


def not_found() -> NoReturn:
    refuse(404, 2100, "Not Found")


def rest_blueprint(name: str) -> Blueprint:
    """A blueprint whose paths need a key and answer errors as PagerDuty does."""
    bp = Blueprint(name, __name__)
    bp.before_request(_require_key)
    bp.register_error_handler(RestError, _as_json)
    return bp


def _require_key() -> None:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme == "Token":
        scheme, _, secret = secret.partition("=")
        if scheme != "token":
            secret = ""
    elif scheme != "Bearer":
        secret = ""
    if not secret.strip():
        refuse(401, 2006, "Authentication failed")


def _as_json(error: RestError) -> ResponseReturnValue:
    return jsonify(error.body), error.status


def store() -> Store:
    found = current_app.config["STORE"]
    assert isinstance(found, Store)
    return found


def at() -> datetime:
    found = current_app.config["CLOCK"]()
    assert isinstance(found, datetime)
    return found


def requester() -> dict[str, Any]:
    """Who changes an incident. An account key speaks for nobody, so it has to say for whom."""
    if request.headers.get("Authorization", "").startswith("Token") and "@" not in (
        request.headers.get("From", "")
    ):
        refuse(400, 1008, "Requester User Not Found")
    return shapes.reference(shapes.USER, "user")


def wrapped(name: str) -> dict[str, Any]:
    """The object in the body under its name. It may also be sent bare."""
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        invalid("The body is not a JSON object.")
    found = body.get(name, body)
    if not isinstance(found, dict):
        invalid(f"{name} must be an object.")
    return found


def page(name: str, items: Sequence[Any]) -> ResponseReturnValue:
    """One page of a list, as `limit` and `offset` ask."""
    limit, offset = _number("limit", 25), _number("offset", 0)
    if limit < 1 or offset < 0 or offset + limit > FURTHEST:
        invalid("Offset and limit must be positive and no more than 10000 together.")
    limit = min(limit, LARGEST_PAGE)
    return jsonify(
        {
            name: items[offset : offset + limit],
            "limit": limit,
            "offset": offset,
            "more": offset + limit < len(items),
            "total": len(items) if request.args.get("total") == "true" else None,
        }
    )


def _number(name: str, otherwise: int) -> int:
    try:
        return int(request.args.get(name, otherwise))
    except ValueError:
        invalid(f"{name} must be a number.")


def one(rows: list[sqlite3.Row]) -> sqlite3.Row:
    if not rows:
        not_found()
    return rows[0]
