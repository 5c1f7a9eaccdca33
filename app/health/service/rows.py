"""Rows that people change: found as they were seen, and named."""

from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import NotFoundError
from app.health.tables import HealthSource, Panel, Slo
from app.people import audit
from app.registry.rules import slug_from
from app.registry.tables import MlModel

Row = TypeVar("Row", HealthSource, Panel, Slo)


def model_called(session: Session, slug: str) -> MlModel:
    model = session.scalars(select(MlModel).where(MlModel.slug == slug)).one_or_none()
    if model is None:
        raise NotFoundError(f"There is no model {slug}.")
    return model


def row_seen(
    session: Session, table: type[Row], row_id: int, seen_version: int | None, kind: str
) -> Row:
    """The row, locked. Raises `ConflictError` if it changed since its reader saw `seen_version`."""
    row = session.get(table, row_id, with_for_update=True)
    if row is None:
        raise NotFoundError("It is gone: nothing here has that number.")
    if seen_version is not None and row.version != seen_version:
        name = row.name if isinstance(row, HealthSource) else row.title
        raise audit.changed_meanwhile(kind, row.id, name)
    return row


def free_slug(session: Session, column: Any, said: str, *among: Any) -> str:
    """A slug that nothing else has, made from a name."""
    wanted = slug_from(said)[:70] or "unnamed"
    taken = set(session.scalars(select(column).where(column.startswith(wanted), *among)))
    taken.add("new")  # the address of the form
    return next(
        slug
        for slug in (wanted, *(f"{wanted}-{number}" for number in range(2, len(taken) + 3)))
        if slug not in taken
    )
