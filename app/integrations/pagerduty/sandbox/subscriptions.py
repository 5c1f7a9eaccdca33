"""REST API v2, webhook subscriptions."""

import json
from typing import Any

from flask import jsonify
from flask.typing import ResponseReturnValue

from app.integrations.pagerduty.sandbox import rest, shapes, webhooks
from app.integrations.pagerduty.sandbox.store import new_id, packed

MOST = 10

bp = rest.rest_blueprint("subscriptions")


@bp.get("/webhook_subscriptions")
def listing() -> ResponseReturnValue:
    rows = rest.store().rows("SELECT * FROM subscriptions ORDER BY number")
    return rest.page("webhook_subscriptions", [shapes.subscription(row) for row in rows])


@bp.get("/webhook_subscriptions/<subscription_id>")
def detail(subscription_id: str) -> ResponseReturnValue:
    return _answer(subscription_id)


@bp.post("/webhook_subscriptions")
def create() -> ResponseReturnValue:
    wanted = rest.wrapped("webhook_subscription")
    url = _url(wanted)
    if not isinstance(wanted.get("events"), list) or not wanted["events"]:
        rest.invalid("Events cannot be empty.")
    subscription_id, secret = new_id("P", 7), new_id("s", 64)
    with rest.store().transaction() as connection:
        if connection.execute("SELECT count(*) FROM subscriptions").fetchone()[0] >= MOST:
            rest.invalid("No more than 10 subscriptions are allowed.")
        connection.execute(
            "INSERT INTO subscriptions (id, url, secrets, active, body) VALUES (?, ?, ?, 1, ?)",
            (subscription_id, url, packed([secret]), packed(wanted)),
        )
    return _answer(subscription_id, secret=secret)


@bp.put("/webhook_subscriptions/<subscription_id>")
def change(subscription_id: str) -> ResponseReturnValue:
    known = _row(subscription_id)
    wanted = rest.wrapped("webhook_subscription")
    body = {**json.loads(known["body"]), **wanted}
    url = _url(wanted) if "delivery_method" in wanted else known["url"]
    with rest.store().transaction() as connection:
        connection.execute(
            "UPDATE subscriptions SET url = ?, active = ?, body = ? WHERE id = ?",
            (url, bool(wanted.get("active", known["active"])), packed(body), subscription_id),
        )
    return _answer(subscription_id)


@bp.delete("/webhook_subscriptions/<subscription_id>")
def delete(subscription_id: str) -> ResponseReturnValue:
    _row(subscription_id)
    with rest.store().transaction() as connection:
        connection.execute("DELETE FROM subscriptions WHERE id = ?", (subscription_id,))
        connection.execute("DELETE FROM deliveries WHERE subscription_id = ?", (subscription_id,))
    return "", 204


@bp.post("/webhook_subscriptions/<subscription_id>/enable")
def enable(subscription_id: str) -> ResponseReturnValue:
    _row(subscription_id)
    with rest.store().transaction() as connection:
        connection.execute(
            "UPDATE subscriptions SET disabled_until = NULL, drops = 0 WHERE id = ?",
            (subscription_id,),
        )
    return _answer(subscription_id)


@bp.post("/webhook_subscriptions/<subscription_id>/ping")
def ping(subscription_id: str) -> ResponseReturnValue:
    _row(subscription_id)
    with rest.store().transaction() as connection:
        webhooks.ping(connection, subscription_id, rest.at())
    return "", 202


def _row(subscription_id: str) -> Any:
    return rest.one(rest.store().rows("SELECT * FROM subscriptions WHERE id = ?", subscription_id))


def _answer(subscription_id: str, *, secret: str | None = None) -> ResponseReturnValue:
    return jsonify(
        {"webhook_subscription": shapes.subscription(_row(subscription_id), secret=secret)}
    )


def _url(wanted: dict[str, Any]) -> str:
    url = (wanted.get("delivery_method") or {}).get("url")
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        rest.invalid("Delivery method url is invalid.")
    return url
