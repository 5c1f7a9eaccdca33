"""Lines of the timeline that alerts write, many at a time. Those of people are in `service.py`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, insert
from sqlalchemy.orm import Session

from app.incidents.tables import Entry

ENTRIES = cast(Table, Entry.__table__)
LONGEST_NAME = 120


def line(
    incident_id: int, at: datetime, kind: str, text: str, *, by: str = "Alert", **detail: Any
) -> dict[str, Any]:
    return {
        "incident_id": incident_id,
        "at": at,
        "kind": kind,
        "actor_kind": "alert",
        "actor_id": None,
        "actor_name": by[:LONGEST_NAME],
        "text": text,
        "detail": detail,
    }


def write(session: Session, lines: Sequence[dict[str, Any]]) -> None:
    session.connection().execute(insert(ENTRIES), lines)
