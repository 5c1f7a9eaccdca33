"""Reads, shaped for pages, for the API and for matching alerts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

from markupsafe import Markup
from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_
from sqlalchemy.orm import aliased, contains_eager, defer, selectinload

from app.core.db import db
from app.core.errors import NotFoundError
from app.runbooks import search
from app.runbooks.front_matter import facts
from app.runbooks.rules import SLUG, Published, Status, kebab, squeezed
from app.runbooks.tables import Runbook, RunbookSignal, RunbookStep, RunbookVersion, VersionEvent
from app.web.pagination import SIZE, Page, decode_cursor, encode_cursor, page_of

NO_RUNBOOK = "There is no runbook of that name."
NO_VERSION = "This runbook has no such version."
MOST_FOUND = 1_000  # further than anybody reads
FOUND_SIZE = 20  # a page; each line with the passage that was found


@dataclass(frozen=True, slots=True)
class RunbookFilter:
    text: str = ""
    failure_mode: str = ""
    owner: str = ""

    def __bool__(self) -> bool:
        return bool(self.text or self.failure_mode or self.owner)


@dataclass(frozen=True, slots=True)
class RunbookLine:
    slug: str
    title: str
    failure_mode: str | None
    owner: str | None
    published: int | None  # number of the published version
    newest: int
    newest_status: Status
    steps: int  # of the published version, else of the newest
    changed_at: datetime
    changed_by: str
    id: int
    snippet: Markup | None = None  # where the words stand that were looked for


@dataclass(frozen=True, slots=True)
class VersionLine:
    number: int
    status: Status
    title: str
    message: str
    author: str
    created_at: datetime


def runbook_list(
    wanted: RunbookFilter, *, after: str | None = None, size: int | None = None
) -> Page[RunbookLine]:
    """One page of runbooks: by title, or the likeliest first when words are looked for.

    `after` is the cursor of the page before.
    """
    if wanted.text:
        return _found_lines(wanted, after, size or FOUND_SIZE)
    size = size or SIZE
    title = func.lower(Runbook.title)
    found = _lines().where(*_matching(wanted))
    if after:
        (slug,) = decode_cursor(after, str)
        last = select(title).where(Runbook.slug == slug).scalar_subquery()
        found = found.where(tuple_(title, Runbook.slug) > tuple_(last, slug))
    rows = db.session.execute(found.order_by(title, Runbook.slug).limit(size + 1))
    return page_of([RunbookLine(*row) for row in rows], size, key=lambda line: (line.slug,))


def _found_lines(wanted: RunbookFilter, after: str | None, size: int) -> Page[RunbookLine]:
    # By likelihood no row has a key to go on from, so a page begins at a number.
    (start,) = decode_cursor(after, int) if after else (0,)
    start = min(max(start, 0), MOST_FOUND)
    hits = search.find(wanted.text, size + 1, offset=start, among=_matching(wanted))
    more = len(hits) > size and start + size < MOST_FOUND
    found = _lines().where(Runbook.id.in_([hit.runbook_id for hit in hits[:size]]))
    lines = {line.id: line for row in db.session.execute(found) for line in [RunbookLine(*row)]}
    return Page(
        [
            replace(lines[hit.runbook_id], snippet=hit.snippet)
            for hit in hits[:size]
            if hit.runbook_id in lines
        ],
        encode_cursor(start + size) if more else None,
    )


@cache
def _lines() -> Select[Any]:
    """The columns of `RunbookLine`. Made once: a statement is never changed, only added to."""
    newest = aliased(RunbookVersion)
    steps = (
        select(func.count())
        .where(RunbookStep.version_id == func.coalesce(Runbook.published_id, newest.id))
        .scalar_subquery()
    )
    return (
        select(
            Runbook.slug,
            Runbook.title,
            Runbook.failure_mode,
            Runbook.owner,
            RunbookVersion.number,
            newest.number,
            _status_of(newest.id),
            steps,
            newest.created_at,
            newest.author,
            Runbook.id,
        )
        .select_from(Runbook)
        .join(newest, and_(newest.runbook_id == Runbook.id, _is_newest(newest)))
        .outerjoin(RunbookVersion, RunbookVersion.id == Runbook.published_id)
    )


def runbook_count(wanted: RunbookFilter) -> int:
    if wanted.text:
        return search.count(wanted.text, among=_matching(wanted))
    found = select(func.count()).select_from(Runbook).where(*_matching(wanted))
    return db.session.scalar(found) or 0


def _matching(wanted: RunbookFilter) -> list[ColumnElement[bool]]:
    """All but the words."""
    found: list[ColumnElement[bool]] = [Runbook.retired_at.is_(None)]
    if wanted.failure_mode:
        found.append(Runbook.failure_mode == wanted.failure_mode)
    if wanted.owner:
        found.append(Runbook.owner == wanted.owner)
    return found


def _is_newest(version: type[RunbookVersion]) -> ColumnElement[bool]:
    other = aliased(RunbookVersion)
    highest = select(func.max(other.number)).where(other.runbook_id == Runbook.id)
    return version.number == highest.correlate(Runbook).scalar_subquery()


def _status_of(version_id: Any) -> Any:
    """Where a version stands: its last event says."""
    return (
        select(VersionEvent.status)
        .where(VersionEvent.version_id == version_id)
        .order_by(VersionEvent.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def failure_modes_in_use() -> list[str]:
    return _values_of(Runbook.failure_mode)


def owners_in_use() -> list[str]:
    return _values_of(Runbook.owner)


def _values_of(column: Any) -> list[str]:
    found = select(column).where(column.is_not(None), Runbook.retired_at.is_(None))
    return list(db.session.scalars(found.distinct().order_by(column)))


def current(slug: str) -> RunbookVersion:
    """The published version of a runbook; while none is, the newest. With its runbook and steps."""
    _check(slug)
    other = aliased(RunbookVersion)
    newest = select(func.max(other.number)).where(other.runbook_id == Runbook.id)
    found = _whole().where(
        Runbook.slug == slug,
        or_(
            RunbookVersion.id == Runbook.published_id,
            and_(
                Runbook.published_id.is_(None),
                RunbookVersion.number == newest.correlate(Runbook).scalar_subquery(),
            ),
        ),
    )
    return _one(found, NO_RUNBOOK)


def published(slug: str) -> RunbookVersion:
    """The published version of a runbook, with its runbook, steps and signals."""
    _check(slug)
    found = _whole().where(Runbook.slug == slug, RunbookVersion.id == Runbook.published_id)
    return _one(found, NO_RUNBOOK)


def version(slug: str, number: int) -> RunbookVersion:
    """Any version of a runbook, with its runbook, steps and signals."""
    _check(slug, number)
    return _one(_whole().where(Runbook.slug == slug, RunbookVersion.number == number), NO_VERSION)


def source(slug: str, number: int) -> bytes:
    """The file of a version, byte for byte."""
    _check(slug, number)
    found = db.session.scalars(
        select(RunbookVersion.source)
        .join(Runbook, Runbook.id == RunbookVersion.runbook_id)
        .where(Runbook.slug == slug, RunbookVersion.number == number)
    ).one_or_none()
    if found is None:
        raise NotFoundError(NO_VERSION)
    return found


def _check(slug: str, number: int = 1) -> None:
    # Some databases refuse to look for what they could not hold.
    if not SLUG.fullmatch(slug):
        raise NotFoundError(NO_RUNBOOK)
    if not 0 < number < 2**31:
        raise NotFoundError(NO_VERSION)


def _whole() -> Select[RunbookVersion]:
    return (
        select(RunbookVersion)
        .join(Runbook, Runbook.id == RunbookVersion.runbook_id)
        .options(
            contains_eager(RunbookVersion.runbook),
            selectinload(RunbookVersion.steps),
            selectinload(RunbookVersion.signals),
            defer(RunbookVersion.source),
        )
    )


def _one(found: Select[RunbookVersion], sentence: str) -> RunbookVersion:
    row = db.session.scalars(found).unique().one_or_none()
    if row is None:
        raise NotFoundError(sentence)
    return row


def versions(runbook_id: int, *, limit: int = 50) -> list[VersionLine]:
    """The versions of a runbook, the newest first."""
    rows = db.session.execute(
        select(
            RunbookVersion.number,
            _status_of(RunbookVersion.id),
            RunbookVersion.title,
            RunbookVersion.message,
            RunbookVersion.author,
            RunbookVersion.created_at,
        )
        .where(RunbookVersion.runbook_id == runbook_id)
        .order_by(RunbookVersion.number.desc())
        .limit(limit)
    )
    return [VersionLine(*row) for row in rows]


def last_event(version_id: int) -> VersionEvent | None:
    """How a version came to stand where it stands."""
    return db.session.scalars(
        select(VersionEvent)
        .where(VersionEvent.version_id == version_id)
        .order_by(VersionEvent.id.desc())
        .limit(1)
    ).one_or_none()


def existing(slugs: Sequence[str]) -> set[str]:
    """Those of the names that are runbooks."""
    return set(db.session.scalars(select(Runbook.slug).where(Runbook.slug.in_(slugs))))


# --- By alert


def published_stamp() -> int:
    """A number that changes whenever a version is published or retired, for caches."""
    return db.session.scalar(select(func.max(VersionEvent.id))) or 0


def signals_index() -> list[Published]:
    """Every published version, as `rules.Matching` takes them."""
    names: dict[int, set[str]] = {}
    for version_id, name in db.session.execute(
        select(RunbookSignal.version_id, RunbookSignal.alertname)
        .join(Runbook, Runbook.published_id == RunbookSignal.version_id)
        .where(RunbookSignal.alertname.is_not(None))
    ):
        names.setdefault(version_id, set()).add(str(name))
    rows = db.session.execute(
        select(RunbookVersion.id, Runbook.slug, RunbookVersion.number, RunbookVersion.title,
               RunbookVersion.front_matter)
        .join(Runbook, Runbook.published_id == RunbookVersion.id)
        .where(Runbook.retired_at.is_(None))
        .order_by(Runbook.slug)
    )  # fmt: skip
    found: list[Published] = []
    for version_id, slug, number, title, front_matter in rows:
        said = facts(front_matter)
        found.append(
            Published(
                version_id=version_id,
                slug=slug,
                number=number,
                title=title,
                failure_mode=said.failure_mode,
                severity=said.severity,
                alertnames=frozenset(names.get(version_id, ())),
                models=said.models,
                tags=said.tags,
                owner=said.owner,
                escalate_to=said.escalate_to,
                escalate_after=said.escalate_after,
            )
        )
    return found


def slug_for_alert(alertname: str) -> str | None:
    """The published runbook that an alert of this name leads to, whatever its model.

    Its signal decides; else a runbook whose name, or whose failure mode, is the alert's name.
    """
    by_signal = db.session.scalars(
        select(Runbook.slug)
        .join(RunbookSignal, RunbookSignal.version_id == Runbook.published_id)
        .where(RunbookSignal.alertname == alertname.lower(), Runbook.retired_at.is_(None))
        .order_by(Runbook.slug)
        .limit(1)
    ).one_or_none()
    if by_signal is not None:
        return by_signal
    wanted = squeezed(alertname)
    rows = db.session.execute(
        select(Runbook.slug, Runbook.failure_mode)
        .where(Runbook.published_id.is_not(None), Runbook.retired_at.is_(None))
        .order_by(Runbook.slug)
    ).all()
    by_name = (slug for slug, _ in rows if squeezed(slug) == wanted)
    by_mode = (slug for slug, mode in rows if mode and squeezed(mode) == wanted)
    return next(by_name, None) or next(by_mode, None) if wanted else None


def draft_for_alert(alertname: str) -> str | None:
    """The runbook that somebody has begun for an alert of this name."""
    return db.session.scalars(
        select(Runbook.slug)
        .join(RunbookVersion, RunbookVersion.runbook_id == Runbook.id)
        .outerjoin(RunbookSignal, RunbookSignal.version_id == RunbookVersion.id)
        .where(
            Runbook.published_id.is_(None),
            or_(Runbook.slug == kebab(alertname), RunbookSignal.alertname == alertname.lower()),
        )
        .order_by(Runbook.slug)
        .limit(1)
    ).one_or_none()
