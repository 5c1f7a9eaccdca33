"""Webhooks V3: what subscribers are told, signed, in order, and again until they answer 2xx."""

import hashlib
import hmac
import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx2

from app.integrations.pagerduty.sandbox import shapes
from app.integrations.pagerduty.sandbox.store import Store, new_id, packed, read, written

TIMEOUT = 5.0  # seconds; a slower answer counts as none
GIVE_UP_AFTER = timedelta(hours=48)
FIRST_WAIT = timedelta(seconds=10)
DROPS_UNTIL_DISABLED = 3
DISABLED_FOR = timedelta(hours=24)

Agent = dict[str, Any] | None
Post = Callable[[str, bytes, dict[str, str]], int]


def sign(body: bytes, secrets: Iterable[str]) -> str:
    """The signature header: one signature for each secret that is valid at the moment."""
    return ",".join(
        "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets
    )


def emit(
    connection: sqlite3.Connection,
    event_type: str,
    incident_id: str,
    agent: Agent,
    at: datetime,
    *,
    note: dict[str, Any] | None = None,
) -> None:
    """Put an event of an incident into the queue of everyone who subscribed to it."""
    subscribers = connection.execute(
        "SELECT * FROM subscriptions WHERE active AND (disabled_until IS NULL OR disabled_until <= ?)",
        (written(at),),
    ).fetchall()
    if not subscribers:
        return
    incident = connection.execute(
        "SELECT incidents.*, services.name AS service_name FROM incidents "
        "JOIN services ON services.id = service_id WHERE incidents.id = ?",
        (incident_id,),
    ).fetchone()
    content = shapes.note_told(note, incident) if note else shapes.incident_told(incident)
    event = packed(_envelope(event_type, "incident", agent, content, at))
    for subscription in subscribers:
        wanted = json.loads(subscription["body"])
        if event_type in wanted["events"] and _covers(wanted.get("filter") or {}, incident):
            queue(connection, subscription["id"], incident_id, event, at)


def queue(
    connection: sqlite3.Connection, subscription_id: str, incident_id: str, event: str, at: datetime
) -> None:
    connection.execute(
        "INSERT INTO deliveries (id, subscription_id, incident_id, event, created_at, next_try_at, "
        "state) VALUES (?, ?, ?, ?, ?, ?, 'waiting')",
        (new_id("W", 26), subscription_id, incident_id, event, written(at), written(at)),
    )


def ping(connection: sqlite3.Connection, subscription_id: str, at: datetime) -> None:
    content = {"message": "Hello from your friend Pagey!", "type": "ping"}
    event = packed(_envelope("pagey.ping", "pagey", None, content, at))
    queue(connection, subscription_id, "", event, at)


def _envelope(
    event_type: str, resource: str, agent: Agent, content: dict[str, Any], at: datetime
) -> dict[str, Any]:
    return {
        "event": {
            "id": new_id("0", 26),
            "event_type": event_type,
            "resource_type": resource,
            "occurred_at": written(at),
            "agent": agent,
            "client": None,
            "data": content,
        }
    }


def _covers(wanted: dict[str, Any], incident: sqlite3.Row) -> bool:
    if wanted.get("type") == "service_reference":
        return bool(wanted.get("id") == incident["service_id"])
    return True


@dataclass(frozen=True, slots=True)
class Delivery:
    number: int
    id: str
    subscription_id: str
    incident_id: str
    event: str
    created_at: datetime
    attempts: int


class WebhookSender:
    """Carries the queued events out when told to, and misbehaves when told to.

    `repeat` sends each delivery so many times more, with the same id. `backwards` lets a later
    event of an incident out before an earlier one.
    """

    def __init__(self, store: Store, post: Post | None = None) -> None:
        self.store = store
        self.post = post or _post
        self.repeat = 0
        self.backwards = False

    def send_due(self, *, at: datetime) -> int:
        """Try everything that is due once; how many were answered with 2xx."""
        arrived = 0
        held_back: set[tuple[str, str]] = set()
        for delivery in self._due(at):
            order = (delivery.subscription_id, delivery.incident_id)
            subscription = self._subscription(delivery.subscription_id, at)
            if subscription is None or order in held_back:
                continue
            status = 0
            for _ in range(1 + self.repeat):
                status = self._try(delivery, subscription)
            became = self._record(delivery, status, at)
            arrived += became == "arrived"
            if became == "waiting":
                held_back.add(order)  # it blocks the later ones of its incident
        return arrived

    def rotate_secret(self, subscription_id: str) -> str:
        """A new secret, which signs beside the old ones until those are forgotten."""
        secret = new_id("s", 40)
        self._change_secrets(subscription_id, lambda known: [*known, secret])
        return secret

    def forget_old_secrets(self, subscription_id: str) -> None:
        self._change_secrets(subscription_id, lambda known: known[-1:])

    def _change_secrets(
        self, subscription_id: str, change: Callable[[list[str]], list[str]]
    ) -> None:
        with self.store.transaction() as connection:
            row = connection.execute(
                "SELECT secrets FROM subscriptions WHERE id = ?", (subscription_id,)
            ).fetchone()
            connection.execute(
                "UPDATE subscriptions SET secrets = ? WHERE id = ?",
                (packed(change(json.loads(row["secrets"]))), subscription_id),
            )

    def _due(self, at: datetime) -> list[Delivery]:
        rows = self.store.rows("SELECT * FROM deliveries WHERE state = 'waiting' ORDER BY number")
        due, blocked = [], set()
        for row in rows:
            order = (row["subscription_id"], row["incident_id"])
            if row["next_try_at"] > written(at):
                blocked.add(order)
            elif order not in blocked:
                due.append(
                    Delivery(
                        row["number"], row["id"], *order, row["event"], read(row["created_at"]),
                        row["attempts"],
                    )
                )  # fmt: skip
        return list(reversed(due)) if self.backwards else due

    def _subscription(self, subscription_id: str, at: datetime) -> sqlite3.Row | None:
        return self.store.row(
            "SELECT * FROM subscriptions WHERE id = ? AND active "
            "AND (disabled_until IS NULL OR disabled_until <= ?)",
            subscription_id,
            written(at),
        )

    def _try(self, delivery: Delivery, subscription: sqlite3.Row) -> int:
        body = delivery.event.encode()
        own = (
            json.loads(subscription["body"]).get("delivery_method", {}).get("custom_headers") or []
        )
        headers = {str(header["name"]): str(header["value"]) for header in own} | {
            "Content-Type": "application/json",
            "User-Agent": "PagerDuty-Webhook/V3.0",
            "X-PagerDuty-Signature": sign(body, json.loads(subscription["secrets"])),
            "X-Webhook-Id": delivery.id,
            "X-Webhook-Subscription": subscription["id"],
        }
        try:
            return self.post(subscription["url"], body, headers)
        except httpx2.TransportError:
            return 0

    def _record(self, delivery: Delivery, status: int, at: datetime) -> str:
        arrived = 200 <= status < 300
        later = status in (0, 429) or status >= 500
        later = later and at - delivery.created_at <= GIVE_UP_AFTER
        wait = FIRST_WAIT * 2 ** min(delivery.attempts, 12)
        state = "arrived" if arrived else "waiting" if later else "dropped"
        with self.store.transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET state = ?, attempts = attempts + 1, next_try_at = ? "
                "WHERE number = ?",
                (state, written(at + wait), delivery.number),
            )
            if arrived:
                connection.execute(
                    "UPDATE subscriptions SET drops = 0 WHERE id = ?", (delivery.subscription_id,)
                )
            elif state == "dropped":
                self._count_drop(connection, delivery.subscription_id, at)
        return state

    def _count_drop(
        self, connection: sqlite3.Connection, subscription_id: str, at: datetime
    ) -> None:
        connection.execute(
            "UPDATE subscriptions SET drops = drops + 1 WHERE id = ?", (subscription_id,)
        )
        disabled = connection.execute(
            "UPDATE subscriptions SET disabled_until = ?, drops = 0 WHERE id = ? AND drops >= ?",
            (written(at + DISABLED_FOR), subscription_id, DROPS_UNTIL_DISABLED),
        )
        if disabled.rowcount:
            connection.execute(
                "UPDATE deliveries SET state = 'dropped' "
                "WHERE subscription_id = ? AND state = 'waiting'",
                (subscription_id,),
            )


def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    return httpx2.post(url, content=body, headers=headers, timeout=TIMEOUT).status_code
