"""What the database knows around a runbook, for lint."""

from datetime import date
from typing import Any

from sqlalchemy import func, select

from app.core.db import db
from app.people.tables import User
from app.registry.tables import Team, TeamMember
from app.runbooks.lint import Surroundings
from app.runbooks.rules import Status
from app.runbooks.runs.rules import RunStatus
from app.runbooks.runs.tables import Run, RunEvent, Verification
from app.runbooks.tables import (
    Runbook,
    RunbookStep,
    RunbookVersion,
    VersionAsset,
    VersionEvent,
)


def surroundings_of(slug: str, *, today: date | None = None) -> Surroundings:
    """What is known around the runbook of that name, or around one that is to get it.

    Which alerts and metrics there are is known to features above this one.
    """
    slugs = set(db.session.scalars(select(Runbook.slug).where(Runbook.retired_at.is_(None))))
    people = _people_of_teams()
    book = db.session.scalars(select(Runbook).where(Runbook.slug == slug)).one_or_none()
    if book is None:
        return Surroundings(
            slugs=slugs, files=frozenset(), people_of_teams=people or None, today=today
        )
    newest = _newest(book)
    return Surroundings(
        slugs=slugs - {slug},
        former_steps=_former_steps(book, newest),
        live_step_ids=_live_steps(book),
        files=_files(newest),
        people_of_teams=people or None,
        last_verified=_day(
            select(func.max(Verification.at)).where(Verification.runbook_id == book.id)
        ),
        first_published=_day(
            select(func.min(VersionEvent.at))
            .join(RunbookVersion, RunbookVersion.id == VersionEvent.version_id)
            .where(RunbookVersion.runbook_id == book.id, VersionEvent.status == Status.PUBLISHED)
        ),
        today=today,
    )


def _newest(book: Runbook) -> int | None:
    """The version that an edit begins with: the published one, else the newest."""
    return book.published_id or db.session.scalar(
        select(func.max(RunbookVersion.id)).where(RunbookVersion.runbook_id == book.id)
    )


def _former_steps(book: Runbook, newest: int | None) -> dict[str, str]:
    """The steps that once were, by id, under their last titles."""
    rows = db.session.execute(
        select(RunbookStep.step_id, RunbookStep.title, RunbookStep.version_id)
        .join(RunbookVersion, RunbookVersion.id == RunbookStep.version_id)
        .where(RunbookVersion.runbook_id == book.id)
        .order_by(RunbookVersion.number)
    ).all()
    still = {step_id for step_id, _, version_id in rows if version_id == newest}
    return {step_id: title for step_id, title, _ in rows if step_id not in still}


def _live_steps(book: Runbook) -> frozenset[str]:
    found = db.session.scalars(
        select(RunEvent.step_id)
        .join(Run, Run.id == RunEvent.run_id)
        .where(
            Run.runbook_id == book.id,
            Run.status == RunStatus.OPEN,
            RunEvent.step_id.is_not(None),
        )
        .distinct()
    )
    return frozenset(step_id for step_id in found if step_id)


def _files(version_id: int | None) -> frozenset[str]:
    return frozenset(
        db.session.scalars(select(VersionAsset.path).where(VersionAsset.version_id == version_id))
    )


def _people_of_teams() -> dict[str, int]:
    """How many people can be called, by the slug and by the name of each team."""
    rows = db.session.execute(
        select(Team.slug, Team.name, func.count(User.id))
        .outerjoin(TeamMember, TeamMember.team_id == Team.id)
        .outerjoin(User, (User.id == TeamMember.user_id) & User.active)
        .group_by(Team.id, Team.slug, Team.name)
    )
    return {said: people for slug, name, people in rows for said in (slug, name)}


def _day(found: Any) -> date | None:
    at = db.session.scalar(found)
    return at.date() if at else None
