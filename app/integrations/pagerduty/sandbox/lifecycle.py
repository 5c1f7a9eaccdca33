"""Alerts and incidents of the sandbox pager: how they open, change and end.

There is no deferred resolve: what comes for a key that is unknown, closed or another routing key's
is dropped. A trigger after the resolve opens a new alert and a new incident.
"""

import json
import sqlite3
from datetime import datetime
from typing import Any

from app.integrations.pagerduty.sandbox import webhooks
from app.integrations.pagerduty.sandbox.store import new_id, packed, written

Agent = dict[str, Any] | None


def trigger(
    connection: sqlite3.Connection, key: str, dedup_key: str, event: dict[str, Any], at: datetime
) -> str:
    body = {name: value for name, value in event.items() if name != "routing_key"}
    known = _open_alert(connection, key, dedup_key)
    if known is not None:
        if known["incident_id"]:
            log(connection, known["incident_id"], "trigger", at, None, body)
        return "log entry on the open alert"
    service = service_of(connection, key)
    payload = event["payload"]
    incident = None
    if _pages(connection, service, at):
        number = open_incident(
            connection,
            service_id=service["id"],
            title=payload["summary"],
            incident_key=dedup_key,
            urgency="low" if payload["severity"] in ("warning", "info") else "high",
            at=at,
        )
        incident = find_incident(connection, str(number))
    connection.execute(
        "INSERT INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            new_id("Q"), incident["id"] if incident else None, service["id"], key, dedup_key,
            "triggered", payload["severity"], payload["summary"], written(at), packed(body),
        ),
    )  # fmt: skip
    if incident is None:
        return "suppressed alert, no incident"
    tell_of_new_incident(connection, incident["id"], body, at, None)
    return f"incident {incident['number']}"


def tell_of_new_incident(
    connection: sqlite3.Connection,
    incident_id: str,
    body: dict[str, Any],
    at: datetime,
    agent: Agent,
) -> None:
    log(connection, incident_id, "trigger", at, agent, body)
    webhooks.emit(connection, "incident.triggered", incident_id, agent, at)


def acknowledge(connection: sqlite3.Connection, key: str, dedup_key: str, at: datetime) -> str:
    alert = _open_alert(connection, key, dedup_key)
    if alert is None or not alert["incident_id"]:
        return "dropped: no open alert has this key"
    incident = find_incident(connection, alert["incident_id"])
    if incident is None or incident["status"] != "triggered":
        return "dropped: already acknowledged"
    change_status(connection, incident, "acknowledged", at, None)
    return f"acknowledged incident {incident['number']}"


def resolve(connection: sqlite3.Connection, key: str, dedup_key: str, at: datetime) -> str:
    alert = _open_alert(connection, key, dedup_key)
    if alert is None:
        return "dropped: no open alert has this key"
    connection.execute("UPDATE alerts SET status = 'resolved' WHERE id = ?", (alert["id"],))
    incident = find_incident(connection, alert["incident_id"] or "")
    if incident is None:
        return "resolved the suppressed alert"
    others = connection.execute(
        "SELECT count(*) FROM alerts WHERE incident_id = ? AND status <> 'resolved'",
        (incident["id"],),
    ).fetchone()[0]
    if others or incident["status"] == "resolved":
        return f"resolved one alert of incident {incident['number']}"
    change_status(connection, incident, "resolved", at, None)
    return f"resolved incident {incident['number']}"


def open_incident(
    connection: sqlite3.Connection,
    *,
    service_id: str,
    title: str,
    incident_key: str,
    urgency: str,
    at: datetime,
) -> int:
    made = connection.execute(
        "INSERT INTO incidents (id, incident_key, service_id, title, status, urgency, created_at, "
        "changed_at) VALUES (?, ?, ?, ?, 'triggered', ?, ?, ?)",
        (new_id("Q"), incident_key, service_id, title, urgency, written(at), written(at)),
    )
    assert made.lastrowid is not None
    return made.lastrowid


def change_status(
    connection: sqlite3.Connection, incident: sqlite3.Row, status: str, at: datetime, agent: Agent
) -> None:
    """Move an incident, and with a resolve its alerts; tell the log and the subscribers."""
    connection.execute(
        "UPDATE incidents SET status = ?, changed_at = ? WHERE id = ?",
        (status, written(at), incident["id"]),
    )
    if status == "resolved":
        connection.execute(
            "UPDATE alerts SET status = 'resolved' WHERE incident_id = ?", (incident["id"],)
        )
    entry = {"acknowledged": "acknowledge", "resolved": "resolve"}.get(status, status)
    log(connection, incident["id"], entry, at, agent, {})
    webhooks.emit(connection, f"incident.{status}", incident["id"], agent, at)


def add_note(
    connection: sqlite3.Connection, incident_id: str, content: str, at: datetime, agent: Agent
) -> dict[str, Any]:
    note_id = new_id("P", 7)
    connection.execute(
        "INSERT INTO notes (id, incident_id, at, content, agent) VALUES (?, ?, ?, ?, ?)",
        (note_id, incident_id, written(at), content, packed(agent)),
    )
    log(connection, incident_id, "annotate", at, agent, {"summary": content})
    note = {"id": note_id, "content": content}
    webhooks.emit(connection, "incident.annotated", incident_id, agent, at, note=note)
    return {**note, "created_at": written(at), "user": agent}


def log(
    connection: sqlite3.Connection,
    incident_id: str,
    kind: str,
    at: datetime,
    agent: Agent,
    channel: dict[str, Any],
) -> None:
    connection.execute(
        "INSERT INTO entries (id, incident_id, type, at, agent, channel) VALUES (?, ?, ?, ?, ?, ?)",
        (new_id("R", 26), incident_id, f"{kind}_log_entry", written(at), packed(agent),
         packed(channel)),
    )  # fmt: skip


def remember(connection: sqlite3.Connection, incident: sqlite3.Row, **more: Any) -> None:
    """Keep what only a few incidents have: a snooze, a merge, assignments."""
    kept = {**json.loads(incident["more"]), **more}
    connection.execute("UPDATE incidents SET more = ? WHERE id = ?", (packed(kept), incident["id"]))


def find_incident(connection: sqlite3.Connection, wanted: str) -> sqlite3.Row | None:
    """By id, or by number as people say it."""
    found = connection.execute(
        "SELECT * FROM incidents WHERE id = ? OR number = ?", (wanted, number_in(wanted))
    ).fetchone()
    assert found is None or isinstance(found, sqlite3.Row)
    return found


def number_in(wanted: str) -> int | None:
    return int(wanted) if wanted.isdecimal() and len(wanted) < 19 else None


def _open_alert(connection: sqlite3.Connection, key: str, dedup_key: str) -> sqlite3.Row | None:
    found = connection.execute(
        "SELECT * FROM alerts WHERE key = ? AND dedup_key = ? AND status <> 'resolved'",
        (key, dedup_key),
    ).fetchone()
    assert found is None or isinstance(found, sqlite3.Row)
    return found


def service_of(connection: sqlite3.Connection, key: str) -> sqlite3.Row:
    """The service behind a key. Any key of the right length has one from its first event on."""
    connection.execute(
        "INSERT INTO services VALUES (?, ?, ?, 'active') ON CONFLICT (key) DO NOTHING",
        (new_id("P", 7), key, f"Sandbox service {key[:4]}"),
    )
    found = connection.execute("SELECT * FROM services WHERE key = ?", (key,)).fetchone()
    assert isinstance(found, sqlite3.Row)
    return found


def _pages(connection: sqlite3.Connection, service: sqlite3.Row, at: datetime) -> bool:
    """A disabled service and a maintenance window take the event and page nobody."""
    if service["status"] != "active":
        return False
    moment = written(at)
    windows = connection.execute(
        "SELECT body FROM windows WHERE starts_at <= ? AND ends_at > ?", (moment, moment)
    ).fetchall()
    return not any(
        reference.get("id") == service["id"]
        for window in windows
        for reference in json.loads(window["body"]).get("services", ())
    )
