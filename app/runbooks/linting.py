"""What the database knows around runbooks, for lint."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from flask import current_app
from sqlalchemy import func, select

from app.core.db import db
from app.people.tables import User
from app.registry.tables import Team, TeamMember
from app.runbooks.lint import Surroundings
from app.runbooks.reports import AlertnamesSeen
from app.runbooks.rules import Status
from app.runbooks.runs.rules import RunStatus
from app.runbooks.runs.tables import Run, RunEvent, Verification
from app.runbooks.tables import (
    Runbook,
    RunbookSignal,
    RunbookStep,
    RunbookVersion,
    VersionAsset,
    VersionEvent,
)

MOST_NAMES = 1_000  # of alerts in other runbooks: enough for a hint


def surroundings_of(
    slug: str, *, alertnames: Collection[str] = (), today: date | None = None
) -> Surroundings:
    """What is known around the runbook of that name, or around one that is to get it.

    `alertnames`: those that its text names, in lower case.
    """
    return surroundings([slug], alertnames=alertnames, today=today)[slug]


def surroundings(
    slugs: Sequence[str], *, alertnames: Collection[str] = (), today: date | None = None
) -> dict[str, Surroundings]:
    """The same for several at once: as many queries as for one."""
    others = set(db.session.scalars(select(Runbook.slug).where(Runbook.retired_at.is_(None))))
    people = _people_of_teams()
    seen = _alertnames_seen(alertnames)
    books = [
        _Book(*row)
        for row in db.session.execute(
            select(Runbook.id, Runbook.slug, Runbook.published_id, func.max(RunbookVersion.id))
            .outerjoin(RunbookVersion, RunbookVersion.runbook_id == Runbook.id)
            .where(Runbook.slug.in_(slugs))
            .group_by(Runbook.id, Runbook.slug, Runbook.published_id)
        )
    ]
    around = _Around(books)
    ids = {book.slug: book.id for book in books}
    return {
        slug: Surroundings(
            slugs=others - {slug},
            former_steps=around.former_steps.get(ids.get(slug, 0), {}),
            live_step_ids=frozenset(around.live_steps.get(ids.get(slug, 0), ())),
            alertnames=seen,
            files=frozenset(around.files.get(ids.get(slug, 0), ())),
            people_of_teams=people or None,
            last_verified=around.last_verified.get(ids.get(slug, 0)),
            first_published=around.first_published.get(ids.get(slug, 0)),
            today=today,
        )
        for slug in slugs
    }


@dataclass(frozen=True, slots=True)
class _Book:
    id: int
    slug: str
    published_id: int | None
    newest_id: int | None

    @property
    def version_id(self) -> int | None:
        """The version that an edit begins with: the published one, else the newest."""
        return self.published_id or self.newest_id


class _Around:
    """What is known of runbooks that there are, by their ids."""

    def __init__(self, books: Sequence[_Book]) -> None:
        self.ids = [book.id for book in books]
        self.by_version = {book.version_id: book.id for book in books if book.version_id}
        self.former_steps = self._former_steps() if books else {}
        self.live_steps = self._live_steps() if books else {}
        self.files = self._files() if books else {}
        self.last_verified = self._last_verified() if books else {}
        self.first_published = self._first_published() if books else {}

    def _former_steps(self) -> dict[int, dict[str, str]]:
        """The steps that once were, by id, under their last titles."""
        rows = db.session.execute(
            select(
                RunbookVersion.runbook_id,
                RunbookStep.step_id,
                RunbookStep.title,
                RunbookStep.version_id,
            )
            .join(RunbookVersion, RunbookVersion.id == RunbookStep.version_id)
            .where(RunbookVersion.runbook_id.in_(self.ids))
            .order_by(RunbookVersion.number)
        ).all()
        still = {(row.runbook_id, row.step_id) for row in rows if row.version_id in self.by_version}
        found: dict[int, dict[str, str]] = defaultdict(dict)
        for row in rows:
            if (row.runbook_id, row.step_id) not in still:
                found[row.runbook_id][row.step_id] = row.title
        return found

    def _live_steps(self) -> dict[int, set[str]]:
        return _grouped(
            db.session.execute(
                select(Run.runbook_id, RunEvent.step_id)
                .join(Run, Run.id == RunEvent.run_id)
                .where(
                    Run.runbook_id.in_(self.ids),
                    Run.status == RunStatus.OPEN,
                    RunEvent.step_id.is_not(None),
                )
                .distinct()
            )
        )

    def _files(self) -> dict[int, set[str]]:
        rows = db.session.execute(
            select(VersionAsset.version_id, VersionAsset.path).where(
                VersionAsset.version_id.in_(self.by_version)
            )
        )
        return _grouped((self.by_version[version_id], path) for version_id, path in rows)

    def _last_verified(self) -> dict[int, date]:
        return _days(
            select(Verification.runbook_id, func.max(Verification.at))
            .where(Verification.runbook_id.in_(self.ids))
            .group_by(Verification.runbook_id)
        )

    def _first_published(self) -> dict[int, date]:
        return _days(
            select(RunbookVersion.runbook_id, func.min(VersionEvent.at))
            .join(RunbookVersion, RunbookVersion.id == VersionEvent.version_id)
            .where(RunbookVersion.runbook_id.in_(self.ids), VersionEvent.status == Status.PUBLISHED)
            .group_by(RunbookVersion.runbook_id)
        )


def _alertnames_seen(named: Collection[str]) -> frozenset[str] | None:
    """Alerts that ever came, of those that these or other runbooks name; None: nobody can say.

    Alerts belong to a feature above, which says of names whether alerts had them. Where none of
    the names of any runbook ever came, this installation is young, and nothing follows from it.
    """
    seen: AlertnamesSeen | None = current_app.extensions.get("alertnames_seen")
    if seen is None or not named:
        return None
    of_others = db.session.scalars(
        select(RunbookSignal.alertname)
        .join(Runbook, Runbook.published_id == RunbookSignal.version_id)
        .where(RunbookSignal.alertname.is_not(None))
        .distinct()
        .limit(MOST_NAMES)
    )
    return frozenset(seen({*named, *(name for name in of_others if name)})) or None


def _people_of_teams() -> Mapping[str, int]:
    """How many people can be called, by the slug and by the name of each team."""
    rows = db.session.execute(
        select(Team.slug, Team.name, func.count(User.id))
        .outerjoin(TeamMember, TeamMember.team_id == Team.id)
        .outerjoin(User, (User.id == TeamMember.user_id) & User.active)
        .group_by(Team.id, Team.slug, Team.name)
    )
    return {said: people for slug, name, people in rows for said in (slug, name)}


def _grouped(rows: Iterable[Any]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    for key, value in rows:
        found[key].add(value)
    return found


def _days(found: Any) -> dict[int, date]:
    rows: Iterable[tuple[int, datetime]] = db.session.execute(found)
    return {key: at.date() for key, at in rows}
