"""REST API v2, incidents: list, read, change, create, notes, alerts, log, snooze and merge."""

import sqlite3
from datetime import timedelta
from typing import Any

from flask import jsonify, request
from flask.typing import ResponseReturnValue

from app.integrations.pagerduty.sandbox import lifecycle, rest, shapes
from app.integrations.pagerduty.sandbox.store import written

MOST_AT_ONCE = 250
NOTE_LENGTH = 2000
ORDER = {"triggered": 0, "acknowledged": 1, "resolved": 2}
WITH_SERVICE = (
    "SELECT incidents.*, services.name AS service_name "
    "FROM incidents JOIN services ON services.id = service_id"
)

bp = rest.rest_blueprint("incidents")


@bp.get("/incidents")
def listing() -> ResponseReturnValue:
    rows = rest.store().rows(f"{WITH_SERVICE} ORDER BY number")
    return rest.page("incidents", [shapes.incident(row) for row in rows if _is_wanted(row)])


def _is_wanted(row: sqlite3.Row) -> bool:
    wanted = request.args
    if (statuses := wanted.getlist("statuses[]")) and row["status"] not in statuses:
        return False
    if (services := wanted.getlist("service_ids[]")) and row["service_id"] not in services:
        return False
    if (key := wanted.get("incident_key")) and row["incident_key"] != key:
        return False
    if wanted.get("date_range") == "all":
        return True
    since, until = wanted.get("since"), wanted.get("until")
    return (not since or row["created_at"] >= since) and (not until or row["created_at"] < until)


@bp.get("/incidents/<incident_id>")
def detail(incident_id: str) -> ResponseReturnValue:
    return jsonify({"incident": shapes.incident(_row(incident_id))})


@bp.put("/incidents/<incident_id>")
def change(incident_id: str) -> ResponseReturnValue:
    agent = rest.requester()
    _change(incident_id, rest.wrapped("incident"), agent)
    return detail(incident_id)


@bp.put("/incidents")
def change_many() -> ResponseReturnValue:
    agent = rest.requester()
    body = request.get_json(silent=True)
    changes = body.get("incidents") if isinstance(body, dict) else None
    if not isinstance(changes, list) or not changes:
        rest.invalid("incidents must be an array.")
    if len(changes) > MOST_AT_ONCE:
        rest.refuse(413, 2001, "No more than 250 incidents can be changed at once")
    for wanted in changes:
        _change(str(wanted.get("id")), wanted, agent)
    rows = [_row(str(wanted["id"])) for wanted in changes]
    return jsonify({"incidents": [shapes.incident(row) for row in rows]})


@bp.post("/incidents")
def create() -> ResponseReturnValue:
    agent = rest.requester()
    wanted = rest.wrapped("incident")
    service = wanted.get("service") or {}
    title, key = wanted.get("title"), wanted.get("incident_key")
    if not isinstance(title, str) or not title:
        rest.invalid("Title cannot be empty.")
    at = rest.at()
    with rest.store().transaction() as connection:
        if not connection.execute(
            "SELECT 1 FROM services WHERE id = ?", (service.get("id"),)
        ).fetchone():
            rest.invalid("Service cannot be found.")
        if (
            key
            and connection.execute(
                "SELECT 1 FROM incidents WHERE incident_key = ? AND status <> 'resolved'", (key,)
            ).fetchone()
        ):
            rest.invalid("Open incident with matching dedup key already exists on this service.")
        number = lifecycle.open_incident(
            connection,
            service_id=service["id"],
            title=title,
            incident_key=key or f"created-{written(at)}",
            urgency=wanted.get("urgency") or "high",
            at=at,
        )
        made = lifecycle.find_incident(connection, str(number))
        assert made is not None
        lifecycle.tell_of_new_incident(connection, made["id"], {}, at, agent)
    return jsonify({"incident": shapes.incident(_row(made["id"]))}), 201


@bp.get("/incidents/<incident_id>/notes")
def notes(incident_id: str) -> ResponseReturnValue:
    rows = rest.store().rows(
        "SELECT * FROM notes WHERE incident_id = ? ORDER BY number", _row(incident_id)["id"]
    )
    return jsonify({"notes": [shapes.note(row) for row in rows]})


@bp.post("/incidents/<incident_id>/notes")
def add_note(incident_id: str) -> ResponseReturnValue:
    agent = rest.requester()
    content = rest.wrapped("note").get("content")
    if not isinstance(content, str) or not content.strip():
        rest.invalid("Content cannot be empty.")
    if len(content) > NOTE_LENGTH:
        rest.invalid("Content is too long (maximum is 2000 characters).")
    incident = _row(incident_id)
    with rest.store().transaction() as connection:
        note = lifecycle.add_note(connection, incident["id"], content, rest.at(), agent)
    return jsonify({"note": note})


@bp.get("/incidents/<incident_id>/alerts")
def alerts(incident_id: str) -> ResponseReturnValue:
    rows = rest.store().rows(
        "SELECT * FROM alerts WHERE incident_id = ? ORDER BY created_at", _row(incident_id)["id"]
    )
    return rest.page("alerts", [shapes.alert(row) for row in rows])


@bp.get("/incidents/<incident_id>/log_entries")
def log_entries(incident_id: str) -> ResponseReturnValue:
    rows = rest.store().rows(
        "SELECT * FROM entries WHERE incident_id = ? ORDER BY number", _row(incident_id)["id"]
    )
    with_channel = "channels" in request.args.getlist("include[]")
    return rest.page("log_entries", [shapes.entry(row, with_channel=with_channel) for row in rows])


@bp.post("/incidents/<incident_id>/snooze")
def snooze(incident_id: str) -> ResponseReturnValue:
    agent = rest.requester()
    duration = rest.wrapped("snooze").get("duration")
    if not isinstance(duration, int) or not 1 <= duration <= 604_800:
        rest.invalid("Duration must be from 1 to 604800 seconds.")
    incident, at = _row(incident_id), rest.at()
    if incident["status"] == "resolved":
        rest.refuse(400, 1001, "Incident Already Resolved")
    end = {"type": "unacknowledge", "at": written(at + timedelta(seconds=duration))}
    with rest.store().transaction() as connection:
        if incident["status"] == "triggered":
            lifecycle.change_status(connection, incident, "acknowledged", at, agent)
        lifecycle.remember(connection, incident, pending_actions=[end])
        lifecycle.log(connection, incident["id"], "snooze", at, agent, {"duration": duration})
    return jsonify({"incident": shapes.incident(_row(incident["id"]))}), 201


@bp.put("/incidents/<incident_id>/merge")
def merge(incident_id: str) -> ResponseReturnValue:
    """The sources end with a merge as their reason, and their alerts move to the target."""
    agent = rest.requester()
    body = request.get_json(silent=True)
    sources = body.get("source_incidents") if isinstance(body, dict) else None
    if not isinstance(sources, list) or not sources:
        rest.invalid("source_incidents must be an array.")
    target, at = _row(incident_id), rest.at()
    rows = [_row(str(source.get("id"))) for source in sources]
    reason = {
        "type": "merge_resolve_reason",
        "incident": {"id": target["id"], "type": "incident_reference"},
    }
    with rest.store().transaction() as connection:
        for row in rows:
            connection.execute(
                "UPDATE alerts SET incident_id = ? WHERE incident_id = ?", (target["id"], row["id"])
            )
            lifecycle.remember(connection, row, resolve_reason=reason)
            if row["status"] != "resolved":
                lifecycle.change_status(connection, row, "resolved", at, agent)
        lifecycle.log(connection, target["id"], "merge", at, agent, {"source_incidents": sources})
    return detail(target["id"])


def _row(incident_id: str) -> sqlite3.Row:
    return rest.one(
        rest.store().rows(
            f"{WITH_SERVICE} WHERE incidents.id = ? OR number = ?",
            incident_id,
            lifecycle.number_in(incident_id),
        )
    )


def _change(incident_id: str, wanted: dict[str, Any], agent: dict[str, Any]) -> None:
    incident, at = _row(incident_id), rest.at()
    status = wanted.get("status")
    if status not in (None, "acknowledged", "resolved"):
        rest.invalid("Status must be acknowledged or resolved.")
    if incident["status"] == "resolved":
        rest.refuse(400, 1001, "Incident Already Resolved")
    if status == "acknowledged" and incident["status"] == "acknowledged":
        rest.refuse(400, 1002, "Incident Already Acknowledged")
    kept = ("priority", "assignments", "escalation_level", "resolution")
    with rest.store().transaction() as connection:
        lifecycle.remember(
            connection, incident, **{name: wanted[name] for name in kept if name in wanted}
        )
        if isinstance(wanted.get("title"), str):
            connection.execute(
                "UPDATE incidents SET title = ? WHERE id = ?", (wanted["title"], incident["id"])
            )
        if status:
            lifecycle.change_status(connection, incident, status, at, agent)
        if status == "resolved" and wanted.get("resolution"):
            # One action of a person, and two events for those who listen.
            note = f"Resolution Note: {wanted['resolution']}"
            lifecycle.add_note(connection, incident["id"], note, at, agent)
