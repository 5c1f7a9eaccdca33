"""Writing and reading the audit trail: who changed what, from what, to what."""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from flask import g
from sqlalchemy import select

from app.core.db import db, unit_of_work
from app.core.errors import ConflictError
from app.people.rules import Actor
from app.people.tables import AuditEntry

# Names of fields whose values never reach the trail. That they changed does.
SECRET = re.compile(r"password|secret|token$|_hash|_encrypted|(routing|api|integration)_key$")
HIDDEN = "not shown"


def record(
    action: str,
    *,
    target_kind: str,
    target_id: int | str,
    target_name: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    by: Actor,
    at: datetime,
) -> None:
    """Note a change in the unit of work that makes it. Of two states only the difference is kept."""
    before, after = difference(before, after)
    with unit_of_work() as session:
        session.add(
            AuditEntry(
                at=at,
                actor_kind=by.kind,
                actor_id=by.id,
                actor_name=by.name,
                action=action,
                target_kind=target_kind,
                target_id=str(target_id),
                target_name=target_name,
                before=before,
                after=after,
                request_id=g.get("request_id"),
            )
        )


def changed_meanwhile(target_kind: str, target_id: int | str, target_name: str) -> ConflictError:
    """The error for an edit of something that changed since its reader saw it."""
    last = db.session.scalars(
        select(AuditEntry)
        .where(AuditEntry.target_kind == target_kind, AuditEntry.target_id == str(target_id))
        .order_by(AuditEntry.id.desc())
        .limit(1)
    ).first()
    who = last.actor_name if last else "Somebody"
    return ConflictError(
        f"{who} changed {target_name} while you were editing. Reload to see the change."
    )


def difference(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Both states without what is the same in both, fit for JSON, secrets hidden."""
    same: set[str] = set()
    if before is not None and after is not None:
        same = {field for field in before if field in after and before[field] == after[field]}
    return _storable(before, same), _storable(after, same)


def _storable(state: Mapping[str, Any] | None, leave_out: set[str]) -> dict[str, Any] | None:
    if state is None:
        return None
    return {
        field: HIDDEN if SECRET.search(field) and value is not None else _plain(value)
        for field, value in state.items()
        if field not in leave_out
    }


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return value.value
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.isoformat()
        case Mapping():
            return {
                str(key): HIDDEN if SECRET.search(str(key)) else _plain(held)
                for key, held in value.items()
            }
        case set() | frozenset():
            return sorted(_plain(held) for held in value)
        case list() | tuple():
            return [_plain(held) for held in value]
    return str(value)
