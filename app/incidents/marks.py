"""Incidents of a model, for the ribbon under charts."""

from collections.abc import Sequence
from datetime import datetime

from flask import url_for
from sqlalchemy import select

from app.core.db import db
from app.health.marks import Mark
from app.incidents.tables import Incident

MOST = 20  # of one chart: the newest


def incidents_of(model_id: int, since: datetime, until: datetime) -> Sequence[Mark]:
    """What was open between the two moments, from its begin to its end."""
    rows = db.session.execute(
        select(Incident.id, Incident.title, Incident.opened_at, Incident.resolved_at)
        .where(
            Incident.model_id == model_id,
            Incident.opened_at <= until,
            Incident.resolved_at.is_(None) | (Incident.resolved_at >= since),
        )
        .order_by(Incident.opened_at.desc(), Incident.id.desc())
        .limit(MOST)
    )
    return [
        Mark(
            row.opened_at,
            f"INC-{row.id} {row.title}",
            "incident",
            url_for("incidents.detail", incident_id=row.id),
            row.resolved_at,
        )
        for row in rows
    ]
