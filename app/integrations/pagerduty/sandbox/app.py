"""The sandbox pager put together: a Flask app for callers, and what it received for people."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from flask import Blueprint, Flask, current_app, jsonify, request
from flask.typing import ResponseReturnValue

from app.core.clock import now
from app.integrations.pagerduty.sandbox import directory, events, incidents, rest, subscriptions
from app.integrations.pagerduty.sandbox.faults import Fault, Faults, Trouble, clear, inject
from app.integrations.pagerduty.sandbox.store import Store, read
from app.integrations.pagerduty.sandbox.webhooks import Post, WebhookSender

CALLS_PER_MINUTE = 120


def create_sandbox(
    store: Path | Store | None,
    *,
    clock: Callable[[], datetime] = now,
    calls_per_minute: int = CALLS_PER_MINUTE,
    control: bool = False,
) -> Flask:
    """The sandbox pager on a file, which processes share, or in memory.

    `control` opens `/control/faults`, by which whoever can call it breaks the pager on purpose.
    """
    app = Flask(__name__, static_folder=None)
    app.config.update(
        STORE=store if isinstance(store, Store) else Store(store),
        CLOCK=clock,
        CALLS_PER_MINUTE=calls_per_minute,
    )
    for part in (events.bp, incidents.bp, directory.bp, subscriptions.bp):
        app.register_blueprint(part)
    if control:
        app.register_blueprint(control_bp)
    app.wsgi_app = Faults(app.wsgi_app, app.config["STORE"])  # type: ignore[method-assign]
    return app


control_bp = Blueprint("control", __name__, url_prefix="/control")


@control_bp.post("/faults")
def add_fault() -> ResponseReturnValue:
    wanted = request.get_json()
    inject(current_app.config["STORE"], Fault(**{**wanted, "trouble": Trouble(wanted["trouble"])}))
    return "", 204


@control_bp.delete("/faults")
def clear_faults() -> ResponseReturnValue:
    clear(current_app.config["STORE"])
    return "", 204


@control_bp.get("/incidents")
def show_incidents() -> ResponseReturnValue:
    pager = SandboxPager(current_app.config["STORE"])
    return jsonify({"incidents": pager.incidents(limit=rest.FURTHEST)})


@dataclass(frozen=True, slots=True)
class Received:
    """One call that came in, and what became of it."""

    at: datetime
    action: str | None
    dedup_key: str | None
    summary: str | None
    status: int
    became: str


@dataclass(frozen=True, slots=True)
class SandboxIncident:
    number: int
    id: str
    title: str
    status: str
    urgency: str
    dedup_key: str
    created_at: datetime
    changed_at: datetime
    received: tuple[Received, ...]  # oldest first


class SandboxPager:
    """The sandbox pager as Baton uses it: the app to send to, and what it holds to show."""

    def __init__(
        self, store: Path | Store | None, *, calls_per_minute: int = CALLS_PER_MINUTE
    ) -> None:
        self.store = store if isinstance(store, Store) else Store(store)
        self.calls_per_minute = calls_per_minute

    @cached_property
    def app(self) -> Flask:
        return create_sandbox(self.store, calls_per_minute=self.calls_per_minute)

    def incidents(self, limit: int = 50) -> list[SandboxIncident]:
        """The newest incidents, each with all that was received for its key."""
        rows = self.store.rows("SELECT * FROM incidents ORDER BY number DESC LIMIT ?", limit)
        received: dict[str, list[Received]] = {row["incident_key"]: [] for row in rows}
        for row in self.store.rows(
            "SELECT * FROM received WHERE dedup_key IN ("
            "SELECT incident_key FROM incidents ORDER BY number DESC LIMIT ?) ORDER BY id",
            limit,
        ):
            if row["dedup_key"] in received:
                received[row["dedup_key"]].append(_received(row))
        return [
            SandboxIncident(
                number=row["number"],
                id=row["id"],
                title=row["title"],
                status=row["status"],
                urgency=row["urgency"],
                dedup_key=row["incident_key"],
                created_at=read(row["created_at"]),
                changed_at=read(row["changed_at"]),
                received=tuple(received[row["incident_key"]]),
            )
            for row in rows
        ]

    def received(self, limit: int = 50) -> list[Received]:
        """The newest calls, taken and refused."""
        rows = self.store.rows("SELECT * FROM received ORDER BY id DESC LIMIT ?", limit)
        return [_received(row) for row in rows]

    def inject(self, fault: Fault) -> None:
        """Let the next calls run into trouble, whichever process they come from."""
        inject(self.store, fault)

    def webhooks(self, post: Post | None = None) -> WebhookSender:
        return WebhookSender(self.store, post)


def _received(row: sqlite3.Row) -> Received:
    return Received(
        at=read(row["at"]),
        action=row["action"],
        dedup_key=row["dedup_key"],
        summary=row["summary"],
        status=row["status"],
        became=row["became"],
    )
