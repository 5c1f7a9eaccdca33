"""The data inputs of a model's health page: three lamps each, freshness counted to now. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from app.core.db import db
from app.health.rules import WORST_FIRST, LampState, Lane
from app.health.standing import Watched
from app.health.tables import Dataset, DatasetModel

SOON = timedelta(days=14)  # until a review is due


@dataclass(frozen=True, slots=True)
class InputCell:
    """A lamp of a data input."""

    watched: Watched
    state: LampState
    line: str
    loaded_at: datetime | None = None  # of a freshness that can be counted
    fresh_for: float | None = None  # seconds


@dataclass(frozen=True, slots=True)
class Input:
    dataset: Dataset
    cells: Mapping[Lane, InputCell]
    reviewed: str  # when access was last reviewed, or is due
    is_due: bool

    @property
    def place(self) -> int:
        return min((WORST_FIRST.index(cell.state) for cell in self.cells.values()), default=99)


def inputs_of(model_id: int, panels: Sequence[Watched], *, at: datetime) -> list[Input]:
    """The data inputs of a model with their lamps, the worst first."""
    rows = db.session.scalars(
        select(Dataset)
        .join(DatasetModel, DatasetModel.dataset_id == Dataset.id)
        .where(DatasetModel.model_id == model_id)
        .options(joinedload(Dataset.team))
        .order_by(Dataset.slug)
    ).all()
    found = sorted(
        (one for one in panels if one.row.dataset_id), key=lambda one: one.row.dataset_id
    )
    by_input = {key: list(some) for key, some in groupby(found, lambda one: one.row.dataset_id)}
    inputs = [_input(row, by_input.get(row.id, ()), at) for row in rows]
    return sorted(inputs, key=lambda one: one.place)


def _input(row: Dataset, panels: Sequence[Watched], at: datetime) -> Input:
    cells: dict[Lane, InputCell] = {}
    for one in panels:
        if one.lane is Lane.FRESHNESS:
            cells.setdefault(one.lane, _freshness(row, one, at))
        else:
            cells.setdefault(one.lane, InputCell(one, one.shown.state, _line_of(row, one)))
    reviewed, is_due = _review(row, at)
    return Input(row, cells, reviewed, is_due)


def _freshness(row: Dataset, one: Watched, at: datetime) -> InputCell:
    """Counted from the last load to this moment, not to the last look."""
    limit = one.row.above
    is_known = one.shown.state in (LampState.OK, LampState.BREACH, LampState.PARTIAL)
    if row.loaded_at is None or not is_known:
        return InputCell(one, one.shown.state, one.shown.line)
    state = one.shown.state
    if state is LampState.OK and limit is not None:
        age = (at - row.loaded_at).total_seconds()
        state = LampState.BREACH if age > limit else state
    return InputCell(one, state, "", row.loaded_at, limit)


def _line_of(row: Dataset, one: Watched) -> str:
    """What stands under the word of a schema or an access."""
    if one.shown.state is not LampState.OK:
        return one.row.remark or one.shown.line
    said = row.contract if one.lane is Lane.SCHEMA else row.access_role
    return said or one.shown.line


def _review(row: Dataset, at: datetime) -> tuple[str, bool]:
    """When access was reviewed, or when it has to be."""
    today = at.date()
    for what, day in (("ends", row.access_ends_on), ("review due", row.access_review_due)):
        if day is not None and day - today <= SOON:
            return f"{what} {day_in_words(day, today)}", True
    if row.access_reviewed_on is not None:
        return f"reviewed {day_in_words(row.access_reviewed_on, today)}", False
    return "never reviewed", True


def day_in_words(day: date, today: date) -> str:
    """As in: 12 February, with the year when it is another."""
    return f"{day.day} {day:%B}" + ("" if day.year == today.year else f" {day.year}")
