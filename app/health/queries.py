"""Reads of health, shaped for those who ask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.core.db import db
from app.health.tables import StateChange


@dataclass(frozen=True, slots=True)
class Fact:
    """A state change, as higher features read it."""

    id: int
    at: datetime
    panel_id: int | None
    slo_id: int | None
    fact: str  # breach, recovered, blind, seeing, burning, burnt_out, or empty
    sentence: str
    detail: Mapping[str, Any]


def facts_after(position: int, *, limit: int) -> Sequence[Fact]:
    """State changes with a higher id than that, oldest first."""
    rows = db.session.execute(
        select(
            StateChange.id, StateChange.at, StateChange.panel_id, StateChange.slo_id,
            StateChange.fact, StateChange.sentence, StateChange.detail,
        )
        .where(StateChange.id > position)
        .order_by(StateChange.id)
        .limit(limit)
    )  # fmt: skip
    return [Fact(*row) for row in rows]


def begin_of(end: Fact, name: str) -> Mapping[str, Any] | None:
    """The detail of the newest fact of that name about the same panel or service level."""
    return db.session.scalar(
        select(StateChange.detail)
        .where(
            StateChange.panel_id == end.panel_id
            if end.slo_id is None
            else StateChange.slo_id == end.slo_id,
            StateChange.fact == name,
            StateChange.id < end.id,
        )
        .order_by(StateChange.id.desc())
        .limit(1)
    )
