"""Reads for the page of the sample: where each fault shows, and what it leads to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from app.core.db import AnyRow, db
from app.health.rules import Lane
from app.health.showing import Shown, shown
from app.health.tables import Lamp, Panel
from app.incidents import queries as incidents
from app.overview.sample import plan
from app.registry.tables import MlModel
from app.runbooks import queries as runbooks
from app.runbooks.rules import Matching, Published


@dataclass(frozen=True, slots=True)
class Signal:
    """Where a fault shows: a panel, its lamp, the runbook and the incident that it leads to."""

    lane: Lane
    panel: str  # slug
    title: str
    lamp: Shown
    runbook: Published | None
    incident_id: int | None  # that is open


def signals(*, at: datetime) -> Mapping[str, Signal]:
    """By the name that the sample gives the signal. A lane that nobody watches is missing."""
    rows = db.session.execute(
        select(
            Panel.model_id, Panel.slug, Panel.title, Panel.lane, Panel.unit, Panel.above,
            Panel.below, Panel.stale_after, Panel.window, Panel.failure_mode,
            Lamp.state, Lamp.value, Lamp.newest_at, Lamp.looked_at, Lamp.since, Lamp.remark,
        )
        .join(MlModel, MlModel.id == Panel.model_id)
        .outerjoin(Lamp, Lamp.panel_id == Panel.id)
        .where(
            MlModel.slug == plan.MODEL.slug,
            MlModel.retired_at.is_(None),
            Panel.closed_at.is_(None),
            Panel.failure_mode != "",
        )
        .order_by(Panel.id)
    ).all()  # fmt: skip
    if not rows:
        return {}
    matching = Matching(tuple(runbooks.signals_index()))
    opened = {row.failure_mode: row.id for row in incidents.open_of_models([rows[0].model_id])}
    found: dict[str, Signal] = {}
    for row in rows:
        found.setdefault(row.lane.value, _signal(row, matching, opened, at))
    return found


def _signal(row: AnyRow, matching: Matching, opened: Mapping[str, int], at: datetime) -> Signal:
    said = {"failure_mode": row.failure_mode}
    fit = matching.best("", said, plan.MODEL.slug, plan.MODEL.tags)
    return Signal(
        lane=row.lane,
        panel=row.slug,
        title=row.title,
        lamp=shown(row, at=at),
        runbook=fit.runbook if fit else None,
        incident_id=opened.get(row.failure_mode),
    )


def is_sample(model_id: int) -> bool:
    """Whether this is the sample's model: its page knows it, so that nothing is asked again."""
    model = db.session.get(MlModel, model_id)
    return model is not None and plan.TAG in model.tags and model.retired_at is None
