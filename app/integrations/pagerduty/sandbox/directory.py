"""REST API v2, what incidents refer to: services, policies, who is on call, maintenance windows."""

import json
from typing import Any

from flask import jsonify
from flask.typing import ResponseReturnValue

from app.integrations.pagerduty.sandbox import rest, shapes
from app.integrations.pagerduty.sandbox.store import new_id, packed, read, written

bp = rest.rest_blueprint("directory")


@bp.get("/services")
def services() -> ResponseReturnValue:
    rows = rest.store().rows("SELECT * FROM services ORDER BY name")
    return rest.page("services", [shapes.service(row) for row in rows])


@bp.get("/services/<service_id>")
def service(service_id: str) -> ResponseReturnValue:
    row = rest.one(rest.store().rows("SELECT * FROM services WHERE id = ?", service_id))
    return jsonify({"service": shapes.service(row)})


@bp.put("/services/<service_id>")
def change_service(service_id: str) -> ResponseReturnValue:
    status = rest.wrapped("service").get("status")
    if status not in ("active", "disabled"):
        rest.invalid("Status must be active or disabled.")
    with rest.store().transaction() as connection:
        connection.execute("UPDATE services SET status = ? WHERE id = ?", (status, service_id))
    return service(service_id)


@bp.get("/escalation_policies")
def escalation_policies() -> ResponseReturnValue:
    return rest.page("escalation_policies", [shapes.POLICY])


@bp.get("/oncalls")
def oncalls() -> ResponseReturnValue:
    on_call = {
        "user": shapes.reference(shapes.USER, "user"),
        "escalation_policy": shapes.reference(shapes.POLICY, "escalation_policy"),
        "escalation_level": 1,
        "schedule": None,
        "start": None,  # for ever
        "end": None,
    }
    return rest.page("oncalls", [on_call])


@bp.get("/users")
def users() -> ResponseReturnValue:
    return rest.page("users", [shapes.USER])


@bp.get("/users/me")
def me() -> ResponseReturnValue:
    return jsonify({"user": shapes.USER})


@bp.get("/users/<user_id>")
def user(user_id: str) -> ResponseReturnValue:
    if user_id != shapes.USER["id"]:
        rest.not_found()
    return me()


@bp.get("/abilities")
def abilities() -> ResponseReturnValue:
    return jsonify({"abilities": ["teams", "urgencies", "service_support_hours"]})


@bp.get("/maintenance_windows")
def maintenance_windows() -> ResponseReturnValue:
    rows = rest.store().rows("SELECT * FROM windows ORDER BY starts_at")
    return rest.page("maintenance_windows", [json.loads(row["body"]) for row in rows])


@bp.post("/maintenance_windows")
def create_maintenance_window() -> ResponseReturnValue:
    agent = rest.requester()
    wanted = rest.wrapped("maintenance_window")
    try:
        starts_at, ends_at = (written(read(wanted[name])) for name in ("start_time", "end_time"))
    except (KeyError, TypeError, ValueError):
        rest.invalid("Start time and end time must be in ISO 8601 format.")
    if ends_at <= starts_at:
        rest.invalid("End time must be after start time.")
    window: dict[str, Any] = {
        "id": new_id("P", 7),
        "type": "maintenance_window",
        "start_time": starts_at,
        "end_time": ends_at,
        "description": wanted.get("description"),
        "services": wanted.get("services") or [],
        "created_by": agent,
    }
    with rest.store().transaction() as connection:
        connection.execute(
            "INSERT INTO windows VALUES (?, ?, ?, ?)",
            (window["id"], starts_at, ends_at, packed(window)),
        )
    return jsonify({"maintenance_window": window}), 201
