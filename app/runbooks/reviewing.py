"""Reads for reviewing: what waits for whom, and what was said of a version."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import aliased

from app.core.db import db
from app.people.rules import Actor
from app.runbooks import publishing
from app.runbooks.checking import Checked
from app.runbooks.publishing import Hurdle, is_last_event, is_unreviewed
from app.runbooks.rules import Status, Verdict
from app.runbooks.tables import Draft, Review, Runbook, RunbookVersion, VersionEvent

MOST = 100  # of each kind: whoever has more of them needs no longer list


@dataclass(frozen=True, slots=True)
class Task:
    """A version that somebody has to look at."""

    slug: str
    title: str
    number: int
    author: str
    author_id: int | None
    message: str
    since: datetime
    said: str  # why it was an emergency, or what the reviewer wants changed
    said_by: str


@dataclass(frozen=True, slots=True)
class DraftLine:
    slug: str
    title: str
    based_on: int | None
    saved_by: str
    saved_by_id: int | None
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class OpenReviews:
    emergencies: list[Task]
    in_review: list[Task]
    sent_back: list[Task]
    drafts: list[DraftLine]

    def __bool__(self) -> bool:
        return bool(self.emergencies or self.in_review or self.sent_back or self.drafts)

    def to_review(self, person_id: int) -> list[Task]:
        return [task for task in self.in_review if task.author_id != person_id]

    def waiting(self, person_id: int) -> list[Task]:
        """What this person wrote, and others are to review."""
        return [task for task in self.in_review if task.author_id == person_id]


def open_reviews() -> OpenReviews:
    """All that waits for somebody, the longest wait first."""
    sent_back = (
        select(Review.id)
        .where(Review.version_id == RunbookVersion.id, Review.verdict == Verdict.CHANGES)
        .exists()
    )
    return OpenReviews(
        emergencies=_tasks(
            _standing(Status.PUBLISHED, newest_only=False).where(
                VersionEvent.emergency, is_unreviewed()
            )
        ),
        in_review=_tasks(_standing(Status.IN_REVIEW)),
        sent_back=_tasks(_standing(Status.DRAFT).where(sent_back)),
        drafts=_drafts(),
    )


def reviews_of(version_id: int) -> Sequence[Review]:
    return db.session.scalars(
        select(Review).where(Review.version_id == version_id).order_by(Review.id)
    ).all()


def events_of(version_id: int) -> Sequence[VersionEvent]:
    return db.session.scalars(
        select(VersionEvent).where(VersionEvent.version_id == version_id).order_by(VersionEvent.id)
    ).all()


def before(version: RunbookVersion) -> RunbookVersion | None:
    """What a version is held against: what was published when it was, or is published now."""
    out = db.session.scalar(
        select(VersionEvent.id)
        .where(VersionEvent.version_id == version.id, VersionEvent.status == Status.PUBLISHED)
        .order_by(VersionEvent.id)
        .limit(1)
    )
    earlier = (
        select(RunbookVersion)
        .join(VersionEvent, VersionEvent.version_id == RunbookVersion.id)
        .where(
            RunbookVersion.runbook_id == version.runbook_id,
            RunbookVersion.id != version.id,
            VersionEvent.status == Status.PUBLISHED,
        )
        .order_by(VersionEvent.id.desc())
        .limit(1)
    )
    if out is not None:
        earlier = earlier.where(VersionEvent.id < out)
    return db.session.scalars(earlier).first()


def was_published(version: RunbookVersion) -> bool:
    return publishing.was_published(db.session(), version.id)


def waits_as_emergency(version: RunbookVersion) -> bool:
    return publishing.is_unreviewed_emergency(db.session(), version)


def hurdle(version: RunbookVersion, checked: Checked, by: Actor) -> Hurdle | None:
    """Why this person can't publish this version now; None if they can."""
    return publishing.hurdle_of(db.session(), version, checked, by)


def draft_of(runbook_id: int) -> DraftLine | None:
    """Who is writing at a runbook now."""
    return next(iter(_drafts(runbook_id)), None)


def _standing(status: Status, *, newest_only: bool = True) -> Select[VersionEvent]:
    found = select(VersionEvent).where(VersionEvent.status == status)
    return found.where(is_last_event()) if newest_only else found


def _tasks(events: Select[VersionEvent]) -> list[Task]:
    rows = db.session.execute(
        events.with_only_columns(
            Runbook.slug,
            RunbookVersion.title,
            RunbookVersion.number,
            RunbookVersion.author,
            RunbookVersion.author_id,
            RunbookVersion.message,
            VersionEvent.at,
            VersionEvent.reason,
            VersionEvent.by,
        )
        .join(RunbookVersion, RunbookVersion.id == VersionEvent.version_id)
        .join(Runbook, Runbook.id == RunbookVersion.runbook_id)
        .order_by(VersionEvent.at, VersionEvent.id)
        .limit(MOST)
    )
    return [Task(*row) for row in rows]


def _drafts(runbook_id: int | None = None) -> list[DraftLine]:
    base = aliased(RunbookVersion)
    found = (
        select(
            Runbook.slug,
            Runbook.title,
            base.number,
            Draft.saved_by,
            Draft.saved_by_id,
            Draft.saved_at,
        )
        .select_from(Draft)
        .join(Runbook, Runbook.id == Draft.runbook_id)
        .outerjoin(base, base.id == Draft.base_id)
        .order_by(Draft.saved_at.desc())
        .limit(MOST)
    )
    if runbook_id is not None:
        found = found.where(Draft.runbook_id == runbook_id)
    return [DraftLine(*row) for row in db.session.execute(found)]
