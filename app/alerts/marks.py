"""Changes that were reported, for the ribbon under charts."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from app.alerts.tables import Change
from app.core.db import db
from app.health.marks import Mark

MOST = 50  # of one chart: the newest


def changes_of(model_id: int, since: datetime, until: datetime) -> Sequence[Mark]:
    """Deploys, retrains and flags of a model, and those that name no model: they may be its."""
    rows = db.session.execute(
        select(Change.at, Change.summary, Change.links)
        .where(
            Change.at >= since,
            Change.at <= until,
            (Change.model_id == model_id) | Change.model_id.is_(None),
        )
        .order_by(Change.at.desc(), Change.id.desc())
        .limit(MOST)
    )
    return [
        Mark(row.at, row.summary, "change", str(row.links[0]["href"]) if row.links else "")
        for row in rows
    ]
