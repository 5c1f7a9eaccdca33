"""Data inputs of models: what was promised of each, what was last seen, and who relies on it.

Freshness counts from the last load that is known, and is worked out whenever somebody looks. What
a check was expected to say and did not is unknown, and unknown is never fresh.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, delete, insert, select, update
from sqlalchemy.orm import Session

from app.core.db import AnyRow, db, unit_of_work
from app.core.errors import BadRequestError, ConflictError, NotFoundError, RefusedError
from app.health.asking import why_unreachable
from app.health.recording import let_go, rule_of
from app.health.rules import FAILURE_MODES, LampState, Lane, Observation, judge
from app.health.sources import contracts
from app.health.sources.base import DatasetReport, UnreadableError
from app.health.sources.reading import MAX_REMARK, Given
from app.health.tables import Dataset, DatasetModel, HealthSource, Lamp, Panel
from app.people import audit
from app.people.rules import Actor
from app.registry.tables import MlModel, Team

LANES = (Lane.SCHEMA, Lane.FRESHNESS, Lane.ACCESS)
TITLES = {Lane.SCHEMA: "Schema", Lane.FRESHNESS: "Freshness", Lane.ACCESS: "Access"}
STALE_AFTER = timedelta(days=2)  # a check that is older says nothing any more
WRITTEN_EVERY = timedelta(minutes=1)  # while an input goes on saying the same
REVIEW_HOLDS = timedelta(days=365)  # of access, where nobody said when the next one is due
FAILURES = 3  # in a row, until what a source said before is doubted
MISSING = "missing from the last check"
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of checks that were pushed."""

    reports: int
    datasets: tuple[str, ...]


def push(document: Any, *, given: Given, by: Actor, at: datetime) -> Pushed:
    """Take checks that somebody sent. All of them are taken, or none with a reason."""
    try:
        found = contracts.parse(document, given=given)
    except UnreadableError as error:
        raise BadRequestError(str(error.args[0])) from None
    with unit_of_work() as session:
        take(session, found, source_id=None, at=at)
    return Pushed(len(found), tuple(sorted({report.dataset for report in found})))


def take(
    session: Session,
    reports: Sequence[DatasetReport],
    unread: Mapping[str, str] = NOTHING,
    *,
    source_id: int | None,
    at: datetime,
) -> None:
    """Write what was seen to the inputs. One that nobody knew is added.

    An input that this source told of before and that is missing now is unknown. `unread`: why a
    check can't be read, by the name of its input.
    """
    names = {report.dataset for report in reports}
    held = {
        row.slug: row
        for row in session.execute(
            select(*COLUMNS).where(
                (Dataset.source_id == source_id) | Dataset.slug.in_(names)
                if source_id is not None
                else Dataset.slug.in_(names)
            )
        )
    }
    for name in sorted(names - set(held)):
        session.add(Dataset(slug=name, source_id=source_id, created_at=at))
    session.flush()
    if names - set(held):
        for row in session.execute(select(*COLUMNS).where(Dataset.slug.in_(names - set(held)))):
            held[row.slug] = row
    values: dict[int, dict[str, Any]] = {}
    for report in sorted(reports, key=lambda one: one.checked_at):
        row = held[report.dataset]
        said = values.setdefault(row.id, {})
        said.update(_said(report, row, said))
        if source_id is not None and report.about is not None:
            said["source_id"] = source_id
    for slug, row in held.items():
        if slug not in names:
            values[row.id] = _lost(row, unread.get(slug, ""), at)
    table = cast(Table, Dataset.__table__)
    for dataset_id, said in values.items():
        if said:
            # Not through the version of the row: no person edits what was seen.
            session.execute(update(table).where(table.c.id == dataset_id).values(**said))
        if said.get("fresh_within") is not None:
            _promise(session, dataset_id, said["fresh_within"])
    session.expire_all()


def _lost(row: AnyRow, why: str, at: datetime) -> dict[str, Any]:
    """The columns of an input that its source no longer tells of, or not in a way that can be read.

    Its schema was right when it was looked at; what a check that can't be read says of it is not
    known.
    """
    remark = f"its last check can't be read: {why.rstrip('.')}" if why else MISSING
    said: dict[str, Any] = {}
    if row.freshness_checked_at is not None:
        said |= {
            "loaded_at": None, "freshness_checked_at": at, "freshness_remark": remark[:MAX_REMARK]
        }  # fmt: skip
    if why and row.schema_checked_at is not None:
        said |= {"schema_ok": None, "schema_checked_at": at, "schema_remark": remark[:MAX_REMARK]}
    return said


COLUMNS = (
    Dataset.id, Dataset.slug, Dataset.contract, Dataset.schema_checked_at,
    Dataset.freshness_checked_at, Dataset.access_checked_at, Dataset.fresh_within,
)  # fmt: skip


def _said(report: DatasetReport, row: AnyRow, so_far: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a report changes. An older check than the one known changes none."""
    remark = report.remark[:MAX_REMARK]
    if report.about is None:
        promised = {
            "contract": report.contract,
            "fresh_within": report.fresh_within,
            "access_role": report.access_role,
            "access_approver": report.access_approver,
        }
        return {name: value for name, value in promised.items() if value}
    before = getattr(row, f"{report.about.value}_checked_at")
    if before is not None and report.checked_at < before:
        return {}
    match report.about:
        case Lane.SCHEMA:
            return {
                "schema_ok": report.schema_ok,
                "schema_rows": report.schema_rows,
                "schema_checked_at": report.checked_at,
                "schema_remark": remark,
            }
        case Lane.FRESHNESS:
            said: dict[str, Any] = {
                "loaded_at": None if report.is_unknown else report.loaded_at,
                "freshness_checked_at": report.checked_at,
                "freshness_remark": remark,
            }
            # What a contract promises counts for more than what a check measures against.
            if report.fresh_within and not (so_far.get("contract") or row.contract):
                said["fresh_within"] = report.fresh_within
            return said
        case _:
            told = {
                "access_role": report.access_role,
                "access_approver": report.access_approver,
                "access_reviewed_on": report.access_reviewed_on,
            }
            return {
                "access_ok": report.access_ok,
                "access_checked_at": report.checked_at,
                "access_remark": remark,
                **{name: value for name, value in told.items() if value},
            }


def _promise(session: Session, dataset_id: int, fresh_within: int | None) -> None:
    """The promise is the limit of the panels of freshness."""
    rows = cast(Table, Panel.__table__)
    session.execute(
        update(rows)
        .where(rows.c.dataset_id == dataset_id, rows.c.lane == Lane.FRESHNESS)
        .values(above=None if fresh_within is None else float(fresh_within))
    )


def observe(*, at: datetime) -> dict[int, Observation]:
    """What panels of data inputs show at this moment: those that say something else than before,
    and those that were last written some time ago. A reading a second of each would be too much."""
    rows = db.session.execute(
        select(
            Panel,
            Dataset,
            HealthSource,
            Lamp.state,
            Lamp.looked_at,
        )
        .join(Dataset, Dataset.id == Panel.dataset_id)
        .join(MlModel, MlModel.id == Panel.model_id)
        .outerjoin(HealthSource, HealthSource.id == Dataset.source_id)
        .outerjoin(Lamp, Lamp.panel_id == Panel.id)
        .where(Panel.closed_at.is_(None), MlModel.retired_at.is_(None))
    )
    found = {}
    for panel, dataset, source, state, looked_at in rows:
        one = seen(
            panel.lane,
            dataset,
            at=at,
            stale_after=panel.stale_after,
            mute=why_mute(source),
        )
        is_recent = looked_at is not None and at - looked_at < WRITTEN_EVERY
        if not (is_recent and judge(one, rule_of(panel), now=at).state is state):
            found[panel.id] = one
    return found


def why_mute(source: HealthSource | None) -> str:
    """Why what a source said before is doubted, as a clause. Empty: it is not."""
    if source is None:
        return ""
    if source.closed_at is not None:
        return "its source is closed"
    return why_unreachable(source.trouble, "its source") if source.failures >= FAILURES else ""


def seen(
    lane: Lane, dataset: Dataset, *, at: datetime, stale_after: int, mute: str = ""
) -> Observation:
    """What is known of one lane of an input. `mute`: why its source no longer tells, if it doesn't."""
    match lane:
        case Lane.FRESHNESS:
            return _freshness(dataset, at, stale_after, mute)
        case Lane.SCHEMA:
            return _schema(dataset, at, mute)
        case _:
            return _access(dataset, at, mute)


def _gap(at: datetime, state: LampState, *clauses: str) -> Observation:
    return Observation(at, gap=state, remark="; ".join(clause for clause in clauses if clause))


def _freshness(dataset: Dataset, at: datetime, stale_after: int, mute: str) -> Observation:
    checked_at = dataset.freshness_checked_at
    if checked_at is None:
        return _gap(at, LampState.NO_DATA, "its load was never checked")
    if dataset.loaded_at is None:
        remark = dataset.freshness_remark
        return _gap(at, LampState.NO_DATA, remark or "nobody knows when it was loaded")
    if at - checked_at > timedelta(seconds=stale_after):
        return _gap(at, LampState.NO_DATA, f"not checked since {_when(checked_at)}")
    age = max(0.0, (at - dataset.loaded_at).total_seconds())
    remark = f"loaded {_when(dataset.loaded_at)}"
    if mute:
        remark += f", as far as is known: {mute}"
    return Observation(at, value=age, remark=remark, is_partial=bool(mute), series="age")


def _schema(dataset: Dataset, at: datetime, mute: str) -> Observation:
    checked_at, ok = dataset.schema_checked_at, dataset.schema_ok
    if checked_at is None:
        return _gap(at, LampState.NO_DATA, "its schema was never checked")
    if mute:
        return _gap(at, LampState.UNREACHABLE, mute)
    if ok is None:
        return _gap(at, LampState.NO_DATA, dataset.schema_remark or "the check says nothing")
    if ok and dataset.schema_rows == 0:
        return _gap(at, LampState.NO_DATA, "it was checked without a row")
    return Observation(
        min(checked_at, at),
        rows=dataset.schema_rows if ok else None,
        remark=dataset.schema_remark,
        said_outside=not ok,
        series="schema",
    )


def _access(dataset: Dataset, at: datetime, mute: str) -> Observation:
    checked_at, ok = dataset.access_checked_at, dataset.access_ok
    if checked_at is None:
        return _attested(dataset, at)
    if mute:
        return _gap(at, LampState.UNREACHABLE, mute)
    if ok is None:
        return _gap(at, LampState.NO_DATA, dataset.access_remark or "the check says nothing")
    overdue = _overdue(dataset, at)
    return Observation(
        min(checked_at, at),
        remark="; ".join([dataset.access_remark, *overdue] if dataset.access_remark else overdue),
        is_partial=bool(overdue),
        said_outside=not ok,
        series="access",
    )


def _attested(dataset: Dataset, at: datetime) -> Observation:
    """What people say of access that no tool checks. Once it is overdue it is not known to be
    wrong: it is no longer known to be right."""
    reviewed_on = dataset.access_reviewed_on
    if reviewed_on is None:
        return _gap(at, LampState.NO_DATA, "its access was never checked")
    by = f" by {dataset.access_approver}" if dataset.access_approver else ""
    overdue = _overdue(dataset, at)
    if dataset.access_review_due is None and reviewed_on + REVIEW_HOLDS < _day(at):
        overdue.append("that is more than a year ago")
    return Observation(
        at,
        remark="; ".join([f"attested{by} on {reviewed_on.isoformat()}", *overdue]),
        is_partial=bool(overdue),
        said_outside=False,
        series="access",
    )


def _overdue(dataset: Dataset, at: datetime) -> list[str]:
    days = (
        ("its review was due on", dataset.access_review_due),
        ("it was to end on", dataset.access_ends_on),
    )
    return [f"{what} {day.isoformat()}" for what, day in days if day is not None and day < _day(at)]


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def link(dataset: str, model: str, *, by: Actor, at: datetime) -> list[Panel]:
    """Say that a model relies on an input. It gets three panels: schema, freshness and access."""
    with unit_of_work() as session:
        row, owner = _both(session, dataset, model)
        wanted = {"dataset_id": row.id, "model_id": owner.id}
        if session.get(DatasetModel, wanted) is not None:
            raise ConflictError(f"{model} is linked to {dataset} already.")
        session.execute(insert(DatasetModel).values(**wanted))
        panels = _panels_of(session, row, owner)
        for lane in LANES:
            if lane in panels:
                panels[lane].closed_at = None
            else:
                panels[lane] = _panel(session, row, owner, lane, by, at)
        session.flush()
        _audit("health.dataset.link", row, owner, by=by, at=at)
    return [panels[lane] for lane in LANES]


def unlink(dataset: str, model: str, *, by: Actor, at: datetime) -> None:
    """Say that a model no longer relies on an input. Its panels are closed; their past stays."""
    with unit_of_work() as session:
        row, owner = _both(session, dataset, model)
        linked = session.get(DatasetModel, {"dataset_id": row.id, "model_id": owner.id})
        if linked is None:
            raise ConflictError(f"{model} is not linked to {dataset}.")
        session.execute(
            delete(DatasetModel).where(
                DatasetModel.dataset_id == row.id, DatasetModel.model_id == owner.id
            )
        )
        panels = _panels_of(session, row, owner).values()
        for panel in panels:
            panel.closed_at = panel.closed_at or at
        let_go(session, [panel.id for panel in panels], at=at)
        _audit("health.dataset.unlink", row, owner, by=by, at=at)


def attest_access(
    dataset: str,
    *,
    role: str,
    approver: str,
    reviewed_on: date,
    review_due: date | None,
    ends_on: date | None,
    by: Actor,
    at: datetime,
) -> None:
    """Record that somebody looked at who may read an input.

    It holds where no tool checks access. A check that says something counts for more.
    """
    if reviewed_on > at.astimezone(UTC).date() + timedelta(days=1):
        raise RefusedError("The review is in the future.")
    if review_due is not None and review_due <= reviewed_on:
        raise RefusedError("The next review is due after this one.")
    if ends_on is not None and ends_on < reviewed_on:
        raise RefusedError("Access ended before it was reviewed.")
    with unit_of_work() as session:
        row = _dataset(session, dataset)
        before = _access_facts(row)
        row.access_role, row.access_approver = role[:120], approver[:120]
        row.access_reviewed_on, row.access_review_due = reviewed_on, review_due
        row.access_ends_on, row.break_glass = ends_on, 0
        audit.record(
            "health.dataset.attest_access",
            target_kind="health_dataset",
            target_id=row.id,
            target_name=row.slug,
            before=before,
            after=_access_facts(row),
            by=by,
            at=at,
        )


@dataclass(frozen=True, slots=True)
class Promise:
    """What people promise of an input. What a contract check says later counts for more."""

    team: str | None  # slug of who answers for it
    contract: str
    fresh_within: int | None  # seconds


def edit_promise(
    dataset: str, promise: Promise, *, seen_version: int | None, by: Actor, at: datetime
) -> Dataset:
    """Say who answers for an input, by which contract, and how old it may get."""
    if promise.fresh_within is not None and not 60 <= promise.fresh_within <= 366 * 86_400:
        raise RefusedError("Fresh within a minute to a year.")
    if len(promise.contract) > 120:
        raise RefusedError("The name of a contract has at most 120 letters.")
    with unit_of_work() as session:
        row = _dataset(session, dataset)
        if seen_version is not None and row.version != seen_version:
            raise audit.changed_meanwhile("health_dataset", row.id, row.slug)
        before = promise_facts(row)
        row.team = _team(session, promise.team)
        row.contract, row.fresh_within = promise.contract, promise.fresh_within
        session.flush()
        if promise_facts(row) != before:
            _promise(session, row.id, promise.fresh_within)
            audit.record(
                "health.dataset.promise",
                target_kind="health_dataset",
                target_id=row.id,
                target_name=row.slug,
                before=before,
                after=promise_facts(row),
                by=by,
                at=at,
            )
    return row


def promise_facts(row: Dataset) -> dict[str, Any]:
    """What was promised of an input, as the audit trail keeps it."""
    return {
        "team": row.team.name if row.team else None,
        "contract": row.contract,
        "fresh_within": row.fresh_within,
    }


def promise_of(row: Dataset) -> Promise:
    return Promise(row.team.slug if row.team else None, row.contract, row.fresh_within)


def _team(session: Session, slug: str | None) -> Team | None:
    if slug is None:
        return None
    team = session.scalars(select(Team).where(Team.slug == slug)).one_or_none()
    if team is None:
        raise RefusedError(f"There is no team {slug}.")
    return team


def _access_facts(row: Dataset) -> dict[str, Any]:
    days = (row.access_reviewed_on, row.access_review_due, row.access_ends_on)
    reviewed, due, ends = (day.isoformat() if day else None for day in days)
    return {
        "role": row.access_role,
        "approver": row.access_approver,
        "reviewed_on": reviewed,
        "review_due": due,
        "ends_on": ends,
    }


def _both(session: Session, dataset: str, model: str) -> tuple[Dataset, MlModel]:
    row = _dataset(session, dataset)
    owner = session.scalars(select(MlModel).where(MlModel.slug == model)).one_or_none()
    if owner is None:
        raise NotFoundError("There is no model of that name.")
    return row, owner


def _dataset(session: Session, slug: str) -> Dataset:
    row = session.scalars(
        select(Dataset).where(Dataset.slug == slug).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFoundError("There is no data input of that name.")
    return row


def _panels_of(session: Session, row: Dataset, owner: MlModel) -> dict[Lane, Panel]:
    panels = session.scalars(
        select(Panel).where(Panel.dataset_id == row.id, Panel.model_id == owner.id)
    )
    return {panel.lane: panel for panel in panels}


def _panel(
    session: Session, row: Dataset, owner: MlModel, lane: Lane, by: Actor, at: datetime
) -> Panel:
    taken = set(session.scalars(select(Panel.slug).where(Panel.model_id == owner.id)))
    slug = base = f"{lane.value}-{re.sub(r'[^a-z0-9]+', '-', row.slug.lower()).strip('-')}"[:70]
    number = 2
    while slug in taken:
        slug, number = f"{base}-{number}", number + 1
    is_freshness = lane is Lane.FRESHNESS
    panel = Panel(
        model_id=owner.id,
        slug=slug,
        title=f"{TITLES[lane]} of {row.slug}"[:120],
        lane=lane,
        dataset_id=row.id,
        spec={},
        unit="s" if is_freshness else "",
        window=60,
        above=float(row.fresh_within) if is_freshness and row.fresh_within else None,
        stale_after=int(STALE_AFTER.total_seconds()),
        failure_mode=FAILURE_MODES[lane],
        created_at=at,
        created_by=by.name,
    )
    session.add(panel)
    return panel


def _audit(action: str, row: Dataset, owner: MlModel, *, by: Actor, at: datetime) -> None:
    audit.record(
        action,
        target_kind="health_dataset",
        target_id=row.id,
        target_name=row.slug,
        after={"model": owner.slug},
        by=by,
        at=at,
    )
