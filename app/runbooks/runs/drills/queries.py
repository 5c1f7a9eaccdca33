"""Reads of drills, shaped for pages and for the API."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, func, select, tuple_
from sqlalchemy.orm import aliased, joinedload

from app.core.db import db, get_or_404
from app.people.rules import Role
from app.people.tables import User
from app.registry.tables import MlModel
from app.runbooks.front_matter import Facts
from app.runbooks.rules import duration
from app.runbooks.runs.drills.rules import (
    SOON,
    Report,
    is_for,
    is_overdue,
    proof_ends,
    report_of,
)
from app.runbooks.runs.queries import as_happened
from app.runbooks.runs.rules import Mode, Plan, PlanStep, RunStatus
from app.runbooks.runs.tables import PlannedDrill, Run, RunEvent, Verification
from app.runbooks.tables import Runbook, RunbookStep, RunbookVersion
from app.web.pagination import Page, decode_cursor, page_of

MOST_PLANNED = 100  # shown on a page, and driven at once
MOST_OFFERED = 500  # people and models to choose from


@dataclass(frozen=True, slots=True)
class Drilled:
    """A drill that is over, and what it showed."""

    run: Run
    report: Report
    proven: bool  # it set when the runbook was last verified


@dataclass(frozen=True, slots=True)
class Due:
    """A drill that is planned, or that a runbook should have."""

    slug: str
    title: str
    owner: str | None
    due_at: datetime
    proven_at: datetime | None
    planned_id: int | None = None  # none: nobody has planned it yet
    driver: str | None = None
    note: str = ""
    planned_by: str = ""
    version: int = 0  # of the planned drill, as its reader sees it


@dataclass(frozen=True, slots=True)
class Schedule:
    overdue: Sequence[Due]
    soon: Sequence[Due]
    later: Sequence[Due]

    def __bool__(self) -> bool:
        return bool(self.overdue or self.soon or self.later)


@dataclass(frozen=True, slots=True)
class NeverDrilled:
    slug: str
    title: str
    owner: str | None
    said_by_file: date | None  # when the file itself says that it was verified
    planned_for: datetime | None


def planned(planned_id: int) -> PlannedDrill:
    return get_or_404(PlannedDrill, planned_id, PlannedDrill.id, "There is no such planned drill.")


def next_planned(runbook_id: int) -> tuple[PlannedDrill, str | None] | None:
    """The next drill that is planned for a runbook, and who is to drive it."""
    row = db.session.execute(
        select(PlannedDrill, User.name)
        .outerjoin(User, User.id == PlannedDrill.driver_id)
        .where(PlannedDrill.runbook_id == runbook_id, *_still_planned())
        .order_by(PlannedDrill.due_at, PlannedDrill.id)
        .limit(1)
    ).one_or_none()
    return (row[0], row[1]) if row else None


def _still_planned() -> tuple[ColumnElement[bool], ...]:
    return (PlannedDrill.run_id.is_(None), PlannedDrill.called_off_at.is_(None))


def schedule(owner: str, *, at: datetime) -> Schedule:
    """What is planned, and the proofs that end soon and for which nothing is planned."""
    lines = sorted(
        (*planned_drills(owner), *_ending_proofs(owner, at=at)),
        key=lambda one: (one.due_at, one.title.lower()),
    )
    overdue = [one for one in lines if is_overdue(one.due_at, at=at)]
    soon = [one for one in lines[len(overdue) :] if one.due_at <= at + SOON]
    return Schedule(overdue, soon, lines[len(overdue) + len(soon) :])


def planned_drills(owner: str = "") -> list[Due]:
    """What is planned, the next first."""
    rows = db.session.execute(
        select(
            Runbook.slug,
            Runbook.title,
            Runbook.owner,
            PlannedDrill.due_at,
            _last_proof_of(Runbook.id),
            PlannedDrill.id,
            User.name,
            PlannedDrill.note,
            PlannedDrill.planned_by,
            PlannedDrill.version,
        )
        .join(Runbook, Runbook.id == PlannedDrill.runbook_id)
        .outerjoin(User, User.id == PlannedDrill.driver_id)
        .where(*_still_planned(), *_owned_by(owner))
        .order_by(PlannedDrill.due_at, PlannedDrill.id)
        .limit(MOST_PLANNED)
    )
    return [Due(*row) for row in rows]


def _ending_proofs(owner: str, *, at: datetime) -> list[Due]:
    newest = (
        select(Verification.runbook_id, func.max(Verification.at).label("at"))
        .group_by(Verification.runbook_id)
        .subquery()
    )
    rows = db.session.execute(
        select(
            Runbook.slug,
            Runbook.title,
            Runbook.owner,
            newest.c.at,
            RunbookVersion.front_matter["review_every"].as_string(),
        )
        .join(newest, newest.c.runbook_id == Runbook.id)
        .join(RunbookVersion, RunbookVersion.id == Runbook.published_id)
        .where(Runbook.retired_at.is_(None), _plan_of(Runbook.id).is_(None), *_owned_by(owner))
    )
    found = [
        Due(
            slug, title, runbook_owner, proof_ends(proven_at, duration(str(every or ""))), proven_at
        )
        for slug, title, runbook_owner, proven_at, every in rows
    ]
    return [one for one in found if one.due_at <= at + SOON]


def never_drilled(owner: str, *, after: str | None = None, size: int) -> Page[NeverDrilled]:
    """Published runbooks that neither a drill nor an incident has proven, by title."""
    title = func.lower(Runbook.title)
    found = (
        select(
            Runbook.slug,
            Runbook.title,
            Runbook.owner,
            RunbookVersion.front_matter["last_verified"].as_string(),
            _plan_of(Runbook.id),
        )
        .join(RunbookVersion, RunbookVersion.id == Runbook.published_id)
        .where(*_is_never_drilled(owner))
    )
    if after:
        (slug,) = decode_cursor(after, str)
        last = select(title).where(Runbook.slug == slug).scalar_subquery()
        found = found.where(tuple_(title, Runbook.slug) > tuple_(last, slug))
    rows = db.session.execute(found.order_by(title, Runbook.slug).limit(size + 1))
    lines = [
        NeverDrilled(slug, name, team, _day(said), planned_for)
        for slug, name, team, said, planned_for in rows
    ]
    return page_of(lines, size, key=lambda line: (line.slug,))


def how_many_never_drilled(owner: str) -> int:
    found = select(func.count()).select_from(Runbook).where(*_is_never_drilled(owner))
    return db.session.scalar(found) or 0


def _is_never_drilled(owner: str) -> list[ColumnElement[bool]]:
    proven = select(Verification.id).where(Verification.runbook_id == Runbook.id).exists()
    return [
        Runbook.published_id.is_not(None),
        Runbook.retired_at.is_(None),
        ~proven,
        *_owned_by(owner),
    ]


def _day(said: Any) -> date | None:
    try:
        return date.fromisoformat(str(said or "")[:10])
    except ValueError:
        return None


def _owned_by(owner: str) -> tuple[ColumnElement[bool], ...]:
    return (Runbook.owner == owner,) if owner else ()


def _last_proof_of(runbook_id: Any) -> ScalarSelect[Any]:
    found = select(func.max(Verification.at)).where(Verification.runbook_id == runbook_id)
    return found.correlate(Runbook).scalar_subquery()


def _plan_of(runbook_id: Any) -> ScalarSelect[Any]:
    """When the next drill of a runbook is planned for."""
    other = aliased(PlannedDrill)
    return (
        select(func.min(other.due_at))
        .where(
            other.runbook_id == runbook_id,
            other.run_id.is_(None),
            other.called_off_at.is_(None),
        )
        .correlate(Runbook)
        .scalar_subquery()
    )


def proven_at(runbook_id: int) -> datetime | None:
    """When a drill or an incident last proved the runbook."""
    return db.session.scalar(
        select(func.max(Verification.at)).where(Verification.runbook_id == runbook_id)
    )


# --- Drills that took place, or do


def driven_now(owner: str = "", *, runbook_id: int | None = None) -> Sequence[Run]:
    found = _drills(owner).where(Run.status == RunStatus.OPEN)
    if runbook_id is not None:
        found = found.where(Run.runbook_id == runbook_id)
    return db.session.scalars(found.limit(MOST_PLANNED)).unique().all()


def done_lately(owner: str, *, limit: int) -> list[Drilled]:
    runs = db.session.scalars(
        _drills(owner).where(Run.status != RunStatus.OPEN).limit(limit)
    ).unique()
    return drilled(runs.all())


def drill_page(
    runbook: str = "", owner: str = "", *, after: str | None = None, size: int
) -> Page[Drilled]:
    """Drills, the newest first, also those that go on."""
    found = _drills(owner)
    if runbook:
        found = found.where(Run.runbook.has(Runbook.slug == runbook))
    if after:
        (last,) = decode_cursor(after, int)
        found = found.where(Run.id < last)
    runs = page_of(
        db.session.scalars(found.limit(size + 1)).unique().all(), size, key=lambda run: (run.id,)
    )
    return Page(drilled(runs.items), runs.next)


def _drills(owner: str) -> Select[Run]:
    found = (
        select(Run)
        .where(Run.mode == Mode.DRILL)
        .options(joinedload(Run.runbook), joinedload(Run.runbook_version))
        .order_by(Run.id.desc())
    )
    return found.where(Run.runbook.has(and_(*_owned_by(owner)))) if owner else found


def drilled(runs: Sequence[Run]) -> list[Drilled]:
    """What these drills showed: three queries, however many they are."""
    if not runs:
        return []
    ids = [run.id for run in runs]
    events: dict[int, list[RunEvent]] = {run_id: [] for run_id in ids}
    for event in db.session.scalars(
        select(RunEvent).where(RunEvent.run_id.in_(ids)).order_by(RunEvent.run_id, RunEvent.seq)
    ):
        events[event.run_id].append(event)
    plans = _plans(run.version_id for run in runs)
    proven = set(
        db.session.scalars(select(Verification.run_id).where(Verification.run_id.in_(ids)))
    )
    return [
        Drilled(run, _report(plans[run.version_id], events[run.id]), run.id in proven)
        for run in runs
    ]


def _plans(version_ids: Iterable[int]) -> dict[int, Plan]:
    """The steps of versions, as far as a report needs them: without reading their whole text."""
    wanted = set(version_ids)
    steps: dict[int, list[PlanStep]] = {version_id: [] for version_id in wanted}
    rows = db.session.execute(
        select(
            RunbookStep.version_id,
            RunbookStep.step_id,
            RunbookStep.position,
            RunbookStep.title,
            RunbookStep.kind,
        )
        .where(RunbookStep.version_id.in_(wanted))
        .order_by(RunbookStep.version_id, RunbookStep.position)
    )
    for version_id, step_id, position, title, kind in rows:
        steps[version_id].append(PlanStep(step_id, position, title, kind, role="", section=""))
    return {version_id: Plan(tuple(found)) for version_id, found in steps.items()}


def _report(plan: Plan, events: Iterable[RunEvent]) -> Report:
    # When somebody did it, not when we heard of it: they may have been offline.
    happened = [replace(as_happened(event), at=event.said_at) for event in events]
    return report_of(plan, happened)


# --- Who may drive, and on which model


def drivers(author_id: int | None) -> list[tuple[int, str]]:
    """People who may drive a drill of a version by this author, by name."""
    rows = db.session.execute(
        select(User.id, User.name)
        .where(
            User.active,
            User.role.in_([role for role in Role if role.covers(Role.RESPONDER)]),
            User.id != (author_id or 0),
        )
        .order_by(func.lower(User.name), User.id)
        .limit(MOST_OFFERED)
    )
    return [(row[0], row[1]) for row in rows]


def models_for(said: Facts) -> list[str]:
    """Models in production that a runbook is written for."""
    rows = db.session.execute(
        select(MlModel.slug, MlModel.tags)
        .where(MlModel.retired_at.is_(None))
        .order_by(MlModel.tier, MlModel.slug)
    )
    return [slug for slug, tags in rows if is_for(said, slug, tags)][:MOST_OFFERED]
