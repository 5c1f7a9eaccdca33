"""Reads for freshness, coverage and effectiveness: sets at a time, whatever their size.

Alerts belong to features above. One of them says which names were ever seen, through
`app.extensions["alertnames_seen"]`: a function from names in lower case to those of them that
alerts had. Without it nothing is said of alerts.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import current_app
from sqlalchemy import ColumnElement, func, select

from app.core.db import AnyRow, db
from app.registry.tables import MlModel, Team
from app.runbooks.coverage import Matrix, Written
from app.runbooks.effectiveness import (
    CLOSING,
    EventLine,
    RunLine,
    StepUse,
    Use,
    use_of,
    uses_of_steps,
    wrong_steps,
)
from app.runbooks.freshness import Around, Freshness, Known, freshness
from app.runbooks.front_matter import Facts, facts
from app.runbooks.rules import Published
from app.runbooks.runs.rules import EventKind, Mode, RunStatus
from app.runbooks.runs.tables import Run, RunEvent, Verification
from app.runbooks.tables import Runbook, RunbookStep, RunbookVersion

RECENT_RUNS = 50  # of one runbook: older ones speak of older versions
MOST_RUNS = 2_000  # of all that are shown together

EVENT = (
    RunEvent.run_id,
    RunEvent.seq,
    RunEvent.step_id,
    RunEvent.kind,
    RunEvent.said_at,
    RunEvent.detail,
)
TELLING = (*CLOSING, EventKind.OPENED, EventKind.SENSED, EventKind.TAKEN_BACK, EventKind.FEEDBACK)

AlertnamesSeen = Callable[[Collection[str]], Collection[str]]


@dataclass(frozen=True, slots=True)
class Book:
    """A runbook and what its text in force says: the published version, else the newest."""

    id: int
    slug: str
    title: str
    failure_mode: str | None
    owner: str | None
    version_id: int
    number: int
    is_published: bool
    said: Facts


@dataclass(frozen=True, slots=True)
class Trust:
    """A runbook with what is known of it."""

    book: Book
    freshness: Freshness
    use: Use


# --- Freshness and use


def trust_of(runbook_ids: Collection[int], *, at: datetime) -> dict[int, Trust]:
    """Freshness and use of these runbooks, by their ids. The same queries, however many."""
    return _trust(_books(_among(Runbook.id, runbook_ids)), runbook_ids, at=at)


def trust_of_all(*, at: datetime) -> list[Trust]:
    """Every runbook that is not retired, the stalest first."""
    found = _trust(_books([Runbook.retired_at.is_(None)]), None, at=at).values()
    return sorted(found, key=lambda one: (-one.freshness.score, one.book.title.lower()))


def _trust(books: Sequence[Book], ids: Collection[int] | None, *, at: datetime) -> dict[int, Trust]:
    proofs, wrong, runs = _proofs(ids), _called_wrong(ids), _runs(ids)
    around = _around(books)
    found: dict[int, Trust] = {}
    for book in books:
        use = use_of(runs.get(book.id, ()))
        proof, said_wrong = proofs.get(book.id), wrong.get(book.id)
        known = Known(
            book.said,
            verified_at=proof.at if proof else None,
            verified_how=proof.how if proof else None,
            runs=use.runs,
            wrong_steps=said_wrong.steps if said_wrong else (),
            wrong_at=said_wrong.at if said_wrong else None,
        )
        found[book.id] = Trust(book, freshness(known, around, at=at), use)
    return found


def _among(column: Any, ids: Collection[int] | None) -> list[ColumnElement[bool]]:
    return [] if ids is None else [column.in_(ids)]


def _books(wanted: Sequence[ColumnElement[bool]]) -> list[Book]:
    newest = (
        select(func.max(RunbookVersion.id))
        .where(RunbookVersion.runbook_id == Runbook.id)
        .correlate(Runbook)
        .scalar_subquery()
    )
    rows = db.session.execute(
        select(
            Runbook.id,
            Runbook.slug,
            Runbook.title,
            Runbook.failure_mode,
            Runbook.owner,
            RunbookVersion.id,
            RunbookVersion.number,
            Runbook.published_id.is_not(None),
            RunbookVersion.front_matter,
        )
        .join(RunbookVersion, RunbookVersion.id == func.coalesce(Runbook.published_id, newest))
        .where(*wanted)
        .order_by(Runbook.slug)
    )
    return [_book(row) for row in rows]


def _book(row: AnyRow) -> Book:
    columns: list[Any] = [*row[:-1], facts(row[-1])]
    return Book(*columns)


@dataclass(frozen=True, slots=True)
class Proved:
    at: datetime
    how: str


def _proofs(ids: Collection[int] | None) -> dict[int, Proved]:
    newest = (
        select(func.max(Verification.id))
        .where(*_among(Verification.runbook_id, ids))
        .group_by(Verification.runbook_id)
    )
    rows = db.session.execute(
        select(Verification.runbook_id, Verification.at, Verification.how).where(
            Verification.id.in_(newest)
        )
    )
    return {row.runbook_id: Proved(row.at, row.how) for row in rows}


def proof_of(version_id: int) -> Proved | None:
    """What last proved this very version: a drill or an incident. None: nothing has."""
    row = db.session.execute(
        select(Verification.at, Verification.how)
        .where(Verification.version_id == version_id)
        .order_by(Verification.at.desc(), Verification.id.desc())
        .limit(1)
    ).one_or_none()
    return Proved(*row) if row else None


def was_drilled(version: RunbookVersion) -> bool:
    """Whether a drill followed this very version, to whatever end."""
    found = select(Run.id).where(
        Run.runbook_id == version.runbook_id, Run.version_id == version.id, Run.mode == Mode.DRILL
    )
    return db.session.scalar(select(found.exists())) or False


@dataclass(frozen=True, slots=True)
class CalledWrong:
    at: datetime
    steps: tuple[str, ...]


def _called_wrong(ids: Collection[int] | None) -> dict[int, CalledWrong]:
    """The steps that people called wrong after the last run of each runbook."""
    last = (
        select(func.max(Run.id))
        .where(Run.status != RunStatus.OPEN, *_among(Run.runbook_id, ids))
        .group_by(Run.runbook_id)
    )
    rows = db.session.execute(
        select(Run.runbook_id, Run.ended_at, *EVENT)
        .join(RunEvent, RunEvent.run_id == Run.id)
        .where(Run.id.in_(last), RunEvent.kind == EventKind.FEEDBACK)
    )
    events: dict[int, list[EventLine]] = defaultdict(list)
    ended: dict[int, datetime] = {}
    for row in rows:
        events[row.runbook_id].append(EventLine(*row[2:]))
        ended[row.runbook_id] = row.ended_at or row.said_at
    return {
        runbook_id: CalledWrong(ended[runbook_id], tuple(steps))
        for runbook_id, said in events.items()
        if (steps := wrong_steps(said))
    }


def _around(books: Sequence[Book]) -> Around:
    teams = {name for row in db.session.execute(select(Team.slug, Team.name)) for name in row}
    models = set(db.session.scalars(select(MlModel.slug).where(MlModel.retired_at.is_(None))))
    seen: AlertnamesSeen | None = current_app.extensions.get("alertnames_seen")
    names = {one.alertname for book in books for one in book.said.signals if one.alertname}
    return Around(teams, models, frozenset(seen(names)) if seen else None)


def _runs(ids: Collection[int] | None, most: int = MOST_RUNS) -> dict[int, list[RunLine]]:
    """The newest runs that have ended, by runbook."""
    rows = db.session.execute(
        select(
            Run.runbook_id,
            Run.id,
            Run.mode,
            Run.status,
            Run.incident_id,
            Run.started_at,
            Run.ended_at,
        )
        .where(Run.status != RunStatus.OPEN, Run.ended_at.is_not(None))
        .where(*_among(Run.runbook_id, ids))
        .order_by(Run.id.desc())
        .limit(most)
    )
    found: dict[int, list[RunLine]] = defaultdict(list)
    for row in rows:
        found[row.runbook_id].append(_run(row))
    return found


def _run(row: AnyRow) -> RunLine:
    return RunLine(*row[1:])


# --- Effectiveness


@dataclass(frozen=True, slots=True)
class StepLine:
    """A step of the text in force, and how it fared."""

    step_id: str
    number: int | None  # none: the step is no longer in the text
    title: str
    expected: int | None  # minutes, by the text
    use: StepUse


@dataclass(frozen=True, slots=True)
class Effect:
    use: Use
    steps: tuple[StepLine, ...]  # in the order of the text

    @property
    def trouble(self) -> list[StepLine]:
        """Where people stop, skip or fail, the worst first."""
        found = [line for line in self.steps if line.use.trouble]
        return sorted(found, key=lambda line: -line.use.trouble)


def effect_of(runbook_id: int, version_id: int) -> Effect:
    """How a runbook fared in its newest runs, with the steps of this version."""
    runs = _runs([runbook_id], RECENT_RUNS).get(runbook_id, [])
    if not runs:
        return Effect(Use(), ())
    rows = db.session.execute(
        select(*EVENT).where(
            RunEvent.run_id.in_([run.id for run in runs]), RunEvent.kind.in_(TELLING)
        )
    )
    uses = uses_of_steps(runs, (EventLine(*row) for row in rows))
    steps = db.session.execute(
        select(RunbookStep.step_id, RunbookStep.position, RunbookStep.title, RunbookStep.minutes)
        .where(RunbookStep.version_id == version_id)
        .order_by(RunbookStep.position)
    )
    lines = [
        StepLine(step_id, position, title, minutes, uses.pop(step_id, StepUse()))
        for step_id, position, title, minutes in steps
    ]
    gone = [StepLine(step_id, None, step_id, None, use) for step_id, use in sorted(uses.items())]
    return Effect(use_of(runs), (*lines, *gone))


# --- Coverage


def matrix(*, at: datetime) -> Matrix:
    """Every published runbook, ready to be asked about models."""
    books = _books([Runbook.published_id.is_not(None), Runbook.retired_at.is_(None)])
    proofs = _proofs(None)
    return Matrix(
        tuple(
            Written(
                _published(book),
                has_signal=bool(book.said.signals),
                proven_at=proofs[book.id].at if book.id in proofs else None,
            )
            for book in books
        ),
        at,
    )


def _published(book: Book) -> Published:
    said = book.said
    return Published(
        version_id=book.version_id,
        slug=book.slug,
        number=book.number,
        title=book.title,
        failure_mode=book.failure_mode,
        severity=said.severity,
        alertnames=frozenset(one.alertname for one in said.signals if one.alertname),
        models=said.models,
        tags=said.tags,
        owner=said.owner,
        escalate_to=said.escalate_to,
        escalate_after=said.escalate_after,
    )
