"""Reads of panels, for their pages."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import contains_eager, joinedload

from app.core.db import AnyRow, db
from app.core.errors import NotFoundError
from app.health.showing import COLUMNS
from app.health.tables import Dataset, EmbedLink, HealthSource, Lamp, Panel, StateChange
from app.registry.tables import MlModel
from app.web.pagination import Page, decode_cursor, page_of

CHANGES_SHOWN = 20


def panel(model_slug: str, slug: str) -> Panel:
    """A panel with its model and source by the names in its address, open or closed."""
    found = db.session.scalars(
        select(Panel)
        .join(Panel.model)
        .where(MlModel.slug == model_slug, Panel.slug == slug)
        .options(contains_eager(Panel.model), joinedload(Panel.source))
    ).one_or_none()
    if found is None:
        raise NotFoundError(f"{model_slug} has no panel {slug}.")
    return found


_LAMP = {
    name: getattr(Lamp, name)
    for name in ("state", "value", "newest_at", "looked_at", "since", "remark", "rows", "series")
}


def lamp_row(found: Panel) -> AnyRow:
    """What `showing.shown` reads of one panel."""
    return db.session.execute(_lamps().where(Panel.id == found.id)).one()


def of_model(model_id: int, *, closed: bool = False) -> Sequence[AnyRow]:
    """The panels of a model with their lamps, by lane."""
    which = Panel.closed_at.is_not(None) if closed else Panel.closed_at.is_(None)
    order = [Panel.closed_at.desc()] if closed else [Panel.lane]
    return db.session.execute(
        _lamps().where(Panel.model_id == model_id, which).order_by(*order, Panel.title, Panel.id)
    ).all()


def _lamps() -> Select[Any]:
    of_panel = [getattr(Panel, name) for name in COLUMNS if name not in _LAMP]
    return (
        select(
            Panel.id, Panel.slug, Panel.preset, Panel.closed_at, Panel.source_id, Panel.spec,
            Panel.k, Panel.n, Panel.min_rows,
            HealthSource.name.label("source"), Dataset.slug.label("dataset"), *_LAMP.values(),
            *of_panel,
        )
        .outerjoin(HealthSource, HealthSource.id == Panel.source_id)
        .outerjoin(Dataset, Dataset.id == Panel.dataset_id)
        .outerjoin(Lamp, Lamp.panel_id == Panel.id)
    )  # fmt: skip


def changes_of(panel_id: int, *, after: str | None, size: int = CHANGES_SHOWN) -> Page[StateChange]:
    """Changes of state, newest first."""
    wanted = select(StateChange).where(StateChange.panel_id == panel_id)
    if after:
        (before,) = decode_cursor(after, int)
        wanted = wanted.where(StateChange.id < before)
    rows = db.session.scalars(wanted.order_by(StateChange.id.desc()).limit(size + 1)).all()
    return page_of(rows, size, key=lambda change: (change.id,))


def sources(kinds: Sequence[str]) -> Sequence[HealthSource]:
    """Sources of these kinds that are open, by name."""
    return db.session.scalars(
        select(HealthSource)
        .where(HealthSource.closed_at.is_(None), HealthSource.kind.in_(kinds))
        .order_by(HealthSource.name, HealthSource.id)
    ).all()


def embeds_of(panel_id: int) -> Sequence[EmbedLink]:
    """Links that work, oldest first."""
    return db.session.scalars(
        select(EmbedLink)
        .where(EmbedLink.panel_id == panel_id, EmbedLink.closed_at.is_(None))
        .order_by(EmbedLink.id)
    ).all()


def is_old(moment: datetime | None, *, at: datetime, seconds: float) -> bool:
    return moment is not None and (at - moment).total_seconds() > seconds
