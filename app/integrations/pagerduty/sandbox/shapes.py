"""How the sandbox pager writes its objects: as PagerDuty does in REST answers and in webhooks."""

import json
import sqlite3
from typing import Any

SITE = "https://sandbox.pagerduty.invalid"
API = "https://api.sandbox.pagerduty.invalid"

USER = {
    "id": "PSANDBX",
    "type": "user",
    "summary": "Sandbox responder",
    "name": "Sandbox responder",
    "email": "responder@sandbox.invalid",
    "role": "responder",
    "time_zone": "Etc/UTC",
    "self": f"{API}/users/PSANDBX",
    "html_url": f"{SITE}/users/PSANDBX",
}
POLICY = {
    "id": "PSANDEP",
    "type": "escalation_policy",
    "summary": "Sandbox escalation",
    "name": "Sandbox escalation",
    "num_loops": 0,
    "escalation_rules": [
        {
            "id": "PSANDER",
            "escalation_delay_in_minutes": 30,
            "targets": [{"id": "PSANDBX", "type": "user_reference"}],
        }
    ],
}


def reference(thing: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": thing["id"], "type": f"{kind}_reference", "summary": thing.get("summary")}


def service(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "type": "service",
        "summary": row["name"],
        "name": row["name"],
        "status": row["status"],
        "escalation_policy": reference(POLICY, "escalation_policy"),
        "self": f"{API}/services/{row['id']}",
        "html_url": f"{SITE}/service-directory/{row['id']}",
    }


def _service_of(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["service_id"],
        "type": "service_reference",
        "summary": row["service_name"],
    }


def incident(row: sqlite3.Row) -> dict[str, Any]:
    """As in REST answers. The row brings its service's name as `service_name`."""
    more = json.loads(row["more"])
    resolved = row["status"] == "resolved"
    assignments = [] if resolved else [{"at": row["created_at"], "assignee": _responder()}]
    return {
        "id": row["id"],
        "type": "incident",
        "summary": f"[#{row['number']}] {row['title']}",
        "self": f"{API}/incidents/{row['id']}",
        "html_url": f"{SITE}/incidents/{row['id']}",
        "incident_number": row["number"],
        "title": row["title"],
        "status": row["status"],
        "urgency": row["urgency"],
        "incident_key": row["incident_key"],
        "created_at": row["created_at"],
        "updated_at": row["changed_at"],
        "last_status_change_at": row["changed_at"],
        "resolved_at": row["changed_at"] if resolved else None,
        "service": _service_of(row),
        "assignments": more.get("assignments", assignments),
        "acknowledgements": [],
        "escalation_policy": reference(POLICY, "escalation_policy"),
        "escalation_level": more.get("escalation_level", 1),
        "teams": [],
        "priority": more.get("priority"),
        "resolve_reason": more.get("resolve_reason"),
        "resolution": more.get("resolution"),
        "pending_actions": more.get("pending_actions", []),
    }


def incident_told(row: sqlite3.Row) -> dict[str, Any]:
    """As in a webhook: flatter, and without a word of the alert's own details."""
    more = json.loads(row["more"])
    return {
        "id": row["id"],
        "type": "incident",
        "self": f"{API}/incidents/{row['id']}",
        "html_url": f"{SITE}/incidents/{row['id']}",
        "number": row["number"],
        "status": row["status"],
        "incident_key": row["incident_key"],
        "created_at": row["created_at"],
        "title": row["title"],
        "service": _service_of(row),
        "assignees": [] if row["status"] == "resolved" else [_responder()],
        "escalation_policy": reference(POLICY, "escalation_policy"),
        "teams": [],
        "priority": more.get("priority"),
        "urgency": row["urgency"],
        "conference_bridge": None,
        "resolve_reason": more.get("resolve_reason"),
        "incident_type": {"name": "incident_default"},
    }


def note_told(note: dict[str, Any], row: sqlite3.Row) -> dict[str, Any]:
    return {
        "incident": {"id": row["id"], "type": "incident_reference", "summary": row["title"]},
        "id": note["id"],
        "content": note["content"],
        "trimmed": False,
        "type": "incident_note",
    }


def alert(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "type": "alert",
        "summary": row["summary"],
        "status": row["status"],
        "severity": row["severity"],
        "alert_key": row["dedup_key"],
        "created_at": row["created_at"],
        "suppressed": row["incident_id"] is None,
        "incident": {"id": row["incident_id"], "type": "incident_reference"},
        "service": {"id": row["service_id"], "type": "service_reference"},
        "body": {"type": "alert_body", "details": json.loads(row["body"])},
    }


def entry(row: sqlite3.Row, *, with_channel: bool) -> dict[str, Any]:
    written = {
        "id": row["id"],
        "type": row["type"],
        "created_at": row["at"],
        "agent": json.loads(row["agent"]) if row["agent"] else None,
        "incident": {"id": row["incident_id"], "type": "incident_reference"},
        "channel": {"type": "api"},
    }
    if with_channel:
        written["channel"] = {"type": "api", **json.loads(row["channel"])}
    return written


def note(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "content": row["content"],
        "created_at": row["at"],
        "user": json.loads(row["agent"]) if row["agent"] else None,
    }


def subscription(row: sqlite3.Row, *, secret: str | None = None) -> dict[str, Any]:
    """The secret is told once, to whoever created it."""
    body = json.loads(row["body"])
    return {
        "id": row["id"],
        "type": "webhook_subscription",
        "active": bool(row["active"]),
        "description": body.get("description"),
        "events": body["events"],
        "filter": body.get("filter"),
        "delivery_method": {
            "type": "http_delivery_method",
            "url": row["url"],
            "secret": secret,
            "temporarily_disabled": row["disabled_until"] is not None,
            "custom_headers": body.get("delivery_method", {}).get("custom_headers", []),
        },
    }


def _responder() -> dict[str, Any]:
    return reference(USER, "user")
