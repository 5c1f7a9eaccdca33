"""Reads of panels, readings and changes for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.core.db import AnyRow, db
from app.core.errors import NotFoundError
from app.health import fleet
from app.health.fleet import ModelHealth
from app.health.tables import (
    Dataset,
    HealthSource,
    Lamp,
    Panel,
    Reading,
    ReadingHour,
    Slo,
    StateChange,
)
from app.registry.tables import MlModel
from app.web.pagination import Page, decode_cursor, page_of


@dataclass(frozen=True, slots=True)
class PanelRow:
    """A panel with the names of what it belongs to, and the row that `showing.shown` reads."""

    panel: Panel
    model: str
    source: str | None
    dataset: str | None
    lamp: AnyRow


def _rows() -> Any:
    return (
        select(
            Panel, MlModel.slug.label("model"), HealthSource.slug.label("source"),
            Dataset.slug.label("dataset"), Panel.title, Panel.lane, Panel.unit, Panel.above,
            Panel.below, Panel.stale_after, Panel.window, Lamp.state, Lamp.value, Lamp.rows,
            Lamp.newest_at, Lamp.looked_at, Lamp.since, Lamp.remark,
        )
        .join(MlModel, MlModel.id == Panel.model_id)
        .outerjoin(HealthSource, HealthSource.id == Panel.source_id)
        .outerjoin(Dataset, Dataset.id == Panel.dataset_id)
        .outerjoin(Lamp, Lamp.panel_id == Panel.id)
    )  # fmt: skip


def _row(row: AnyRow) -> PanelRow:
    return PanelRow(row[0], row.model, row.source, row.dataset, row)


def panels_of(model: str, *, closed: bool = False) -> Sequence[PanelRow]:
    """The panels of a model, by their slug."""
    _model_id(model)
    which = Panel.closed_at.is_not(None) if closed else Panel.closed_at.is_(None)
    rows = db.session.execute(_rows().where(MlModel.slug == model, which).order_by(Panel.slug))
    return [_row(row) for row in rows]


def panel(model: str, slug: str) -> PanelRow:
    row = db.session.execute(_rows().where(MlModel.slug == model, Panel.slug == slug)).one_or_none()
    if row is None:
        raise NotFoundError(f"{model} has no panel {slug}.")
    return _row(row)


def _model_id(slug: str) -> int:
    found = db.session.scalar(select(MlModel.id).where(MlModel.slug == slug))
    if found is None:
        raise NotFoundError(f"There is no model {slug}.")
    return found


def readings(
    panel_id: int,
    *,
    since: datetime | None,
    until: datetime | None,
    by_hour: bool,
    cursor: str | None,
    size: int,
) -> Page[Reading | ReadingHour]:
    """What a panel said, oldest first."""
    table: Any = ReadingHour if by_hour else Reading
    found = select(table).where(table.panel_id == panel_id).order_by(table.at).limit(size + 1)
    if since is not None:
        found = found.where(table.at >= since)
    if until is not None:
        found = found.where(table.at < until)
    if cursor:
        (last,) = decode_cursor(cursor, datetime)
        found = found.where(table.at > last)
    return page_of(db.session.scalars(found).all(), size, key=lambda reading: (reading.at,))


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model and how its lamps stand."""

    slug: str
    health: ModelHealth


def models(*, cursor: str | None, size: int, at: datetime) -> Page[ModelRow]:
    """Models in production, by name."""
    found = (
        select(MlModel.id, MlModel.slug)
        .where(MlModel.retired_at.is_(None))
        .order_by(MlModel.slug)
        .limit(size + 1)
    )
    if cursor:
        (last,) = decode_cursor(cursor, str)
        found = found.where(MlModel.slug > last)
    page = page_of(db.session.execute(found).all(), size, key=lambda row: (row.slug,))
    lamps = fleet.lamps_of([row.id for row in page.items], at=at)
    rows = [ModelRow(row.slug, lamps.get(row.id, fleet.NOTHING)) for row in page.items]
    return Page(rows, page.next)


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A change of state with the names of what changed."""

    change: StateChange
    model: str
    panel: str | None
    level: str | None


def changes(*, after: int, model: str | None, size: int) -> tuple[list[ChangeRow], bool]:
    """Changes with a higher id, oldest first, and whether there are more."""
    found = (
        select(StateChange, MlModel.slug, Panel.slug, Slo.slug)
        .join(MlModel, MlModel.id == StateChange.model_id)
        .outerjoin(Panel, Panel.id == StateChange.panel_id)
        .outerjoin(Slo, Slo.id == StateChange.slo_id)
        .where(StateChange.id > after)
        .order_by(StateChange.id)
        .limit(size + 1)
    )
    if model is not None:
        found = found.where(StateChange.model_id == _model_id(model))
    rows = [ChangeRow(*row) for row in db.session.execute(found)]
    return rows[:size], len(rows) > size
