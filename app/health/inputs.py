"""Reads of data inputs, for their pages and the API: each with its lamps at this moment."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import joinedload

from app.core.db import db, holds
from app.core.errors import NotFoundError
from app.health.datasets import LANES, STALE_AFTER, TITLES, seen, why_mute
from app.health.rules import LampState, Lane, Rule, judge, worst
from app.health.showing import Shown, shown
from app.health.tables import Dataset, DatasetModel, HealthSource, Panel
from app.people.tables import AuditEntry
from app.registry.tables import MlModel, Team
from app.web.pagination import SIZE, Page, decode_cursor, page_of
from app.web.texts import UNSTORABLE

GONE = "There is no data input of that name."


@dataclass(frozen=True, slots=True)
class InputFilter:
    text: str = ""
    state: LampState | None = None  # of its worst lamp
    model: str = ""  # slug of one that relies on it

    def __bool__(self) -> bool:
        return bool(self.text or self.state or self.model)


@dataclass(frozen=True, slots=True)
class InputLine:
    """A data input in a list."""

    dataset: Dataset
    source: HealthSource | None
    lamps: Mapping[Lane, Shown]
    models: int

    @property
    def state(self) -> LampState:
        """Of its worst lamp."""
        return worst([lamp.state for lamp in self.lamps.values()]) or LampState.NO_DATA


@dataclass(frozen=True, slots=True)
class _Row:
    """A lane of an input, with what `shown` reads."""

    state: LampState
    value: float | None
    newest_at: datetime | None
    looked_at: datetime
    since: datetime
    remark: str
    title: str
    lane: Lane
    unit: str
    above: float | None
    below: float | None
    stale_after: int
    window: int


def lamps_of(dataset: Dataset, source: HealthSource | None, *, at: datetime) -> dict[Lane, Shown]:
    """Schema, freshness and access at this moment. Freshness counts from the last load."""
    mute = why_mute(source)
    return {lane: _lamp(dataset, lane, mute, at) for lane in LANES}


def _lamp(dataset: Dataset, lane: Lane, mute: str, at: datetime) -> Shown:
    stale_after = int(STALE_AFTER.total_seconds())
    found = seen(lane, dataset, at=at, stale_after=stale_after, mute=mute)
    limit = dataset.fresh_within if lane is Lane.FRESHNESS else None
    above = None if limit is None else float(limit)
    judged = judge(found, Rule(above=above, stale_after=STALE_AFTER), now=at)
    row = _Row(
        state=judged.state,
        value=found.value,
        newest_at=None if found.gap is not None else found.at,
        looked_at=at,
        since=at,
        remark=judged.remark,
        title=f"{TITLES[lane]} of {dataset.slug}",
        lane=lane,
        unit="s" if lane is Lane.FRESHNESS else "",
        above=above,
        below=None,
        stale_after=stale_after,
        window=60,
    )
    return shown(row, at=at)


def input_list(
    wanted: InputFilter, *, after: str | None = None, size: int = SIZE, at: datetime
) -> Page[InputLine]:
    """One page of data inputs by name. `after` is the cursor of the page before.

    The state of a freshness changes with the clock, so no column holds it: rows are looked at one
    after the other until there are enough that fit.
    """
    query = _matching(wanted).order_by(Dataset.slug)
    if after:
        (slug,) = decode_cursor(after, str)
        query = query.where(Dataset.slug > slug)
    if wanted.state is None:
        query = query.limit(size + 1)
    rows = db.session.execute(query.execution_options(yield_per=500))
    lines: list[InputLine] = []
    for line in _lines(rows, at):
        if wanted.state is None or line.state is wanted.state:
            lines.append(line)
        if len(lines) > size:
            break
    rows.close()
    return page_of(lines, size, key=lambda one: (one.dataset.slug,))


def _lines(rows: Iterable[Any], at: datetime) -> Iterator[InputLine]:
    for dataset, source, models in rows:
        yield InputLine(dataset, source, lamps_of(dataset, source, at=at), models)


def input_count(wanted: InputFilter) -> int | None:
    """How many fit; none where only a look at each could tell."""
    if wanted.state is not None:
        return None
    return db.session.scalar(select(func.count()).select_from(_matching(wanted).subquery())) or 0


def _matching(wanted: InputFilter) -> Select[Any]:
    models = (
        select(func.count())
        .where(DatasetModel.dataset_id == Dataset.id)
        .scalar_subquery()
        .label("models")
    )
    query = (
        select(Dataset, HealthSource, models)
        .outerjoin(HealthSource, HealthSource.id == Dataset.source_id)
        .options(joinedload(Dataset.team))
    )
    for word in wanted.text.split():
        query = query.where(
            holds(Dataset.slug, word)
            | holds(Dataset.contract, word)
            | Dataset.team.has(holds(Team.name, word))
        )
    if wanted.model:
        query = query.where(Dataset.models.any(MlModel.slug == wanted.model))
    return query


def find(slug: str, *, at: datetime) -> InputLine:
    """One data input by its name."""
    return _one(Dataset.slug == slug if not UNSTORABLE.search(slug) else None, at)


def find_id(dataset_id: int, *, at: datetime) -> InputLine:
    return _one(Dataset.id == dataset_id, at)


def _one(which: Any, at: datetime) -> InputLine:
    found = (
        None
        if which is None
        else db.session.execute(_matching(InputFilter()).where(which)).one_or_none()
    )
    if found is None:
        raise NotFoundError(GONE)
    dataset, source, models = found
    return InputLine(dataset, source, lamps_of(dataset, source, at=at), models)


def is_linked(dataset: str, model: str) -> bool:
    return bool(
        db.session.scalar(
            select(func.count())
            .select_from(DatasetModel)
            .join(Dataset, Dataset.id == DatasetModel.dataset_id)
            .join(MlModel, MlModel.id == DatasetModel.model_id)
            .where(Dataset.slug == dataset, MlModel.slug == model)
        )
    )


@dataclass(frozen=True, slots=True)
class Reliant:
    """A model that relies on an input, with the slugs of its panels for it."""

    slug: str
    purpose: str
    panels: Mapping[Lane, str]


def reliants(dataset: Dataset) -> Sequence[Reliant]:
    models = db.session.scalars(
        select(MlModel)
        .join(DatasetModel, DatasetModel.model_id == MlModel.id)
        .where(DatasetModel.dataset_id == dataset.id)
        .order_by(MlModel.slug)
    ).all()
    panels: dict[int, dict[Lane, str]] = {}
    for model_id, lane, slug in db.session.execute(
        select(Panel.model_id, Panel.lane, Panel.slug).where(
            Panel.dataset_id == dataset.id, Panel.closed_at.is_(None)
        )
    ):
        panels.setdefault(model_id, {})[lane] = slug
    return [Reliant(one.slug, one.purpose, panels.get(one.id, {})) for one in models]


def history(dataset: Dataset, *, limit: int = 20) -> Sequence[AuditEntry]:
    """What people changed of it, newest first."""
    return db.session.scalars(
        select(AuditEntry)
        .where(AuditEntry.target_kind == "health_dataset", AuditEntry.target_id == str(dataset.id))
        .order_by(AuditEntry.id.desc())
        .limit(limit)
    ).all()


def is_due(dataset: Dataset, *, at: datetime) -> bool:
    """Whether the next review of access is due within two weeks, or access ends."""
    days = (dataset.access_review_due, dataset.access_ends_on)
    soon = (at + timedelta(days=14)).date()
    return any(day is not None and day <= soon for day in days)
