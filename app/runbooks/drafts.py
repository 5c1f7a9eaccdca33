"""The text that is being edited: one draft for each runbook, saved every few seconds.

A draft is not a version. It becomes one when a review is asked for or when it is published, and is
gone then. Whoever saves says which state of the draft they saw (0: none), so that of two people at
the same text the second is told, and neither loses a word.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from app.core.db import db, unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.core.markdown import MAX_BYTES
from app.people import audit
from app.people.rules import Actor
from app.runbooks import search, service, template
from app.runbooks.format import canonical_sha256, read, text_of
from app.runbooks.identity import with_ids
from app.runbooks.merge import Names, merge
from app.runbooks.rules import RESERVED, SLUG, Status
from app.runbooks.tables import Draft, Runbook, RunbookStep, RunbookVersion, VersionEvent

NO_RUNBOOK = "There is no runbook of that name."
NO_VERSION = "This runbook has no such version."
MAX_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class OpenDraft:
    """What an editor opens with: the draft, or the text that a draft would begin from."""

    runbook: Runbook
    source: str
    message: str
    version: int  # of the draft; 0: nothing is saved yet
    base: RunbookVersion  # what the text was written from
    base_status: Status
    number: int  # that it gets when it becomes a version
    published: RunbookVersion | None
    behind: bool  # another version was published since `base` was written
    used_ids: tuple[str, ...]  # of steps of all versions: none of them may come back for another
    saved_at: datetime | None = None
    saved_by: str | None = None
    saved_by_id: int | None = None
    writers: tuple[int, ...] = ()  # of the draft, and of the waiting version it goes on from

    @property
    def is_saved(self) -> bool:
        return self.version > 0


class EditedMeanwhileError(ConflictError):
    """Somebody else saved, discarded or handed in the draft. Both texts are kept here."""

    def __init__(self, sentence: str, *, mine: str, theirs: OpenDraft) -> None:
        super().__init__(sentence)
        self.mine = mine
        self.theirs = theirs


@dataclass(frozen=True, slots=True)
class NewRunbook:
    slug: str
    title: str
    failure_mode: str
    owner: str
    models: tuple[str, ...] = ("*",)


# --- Opening


def open_draft(slug: str, *, start: int | None = None) -> OpenDraft:
    """The draft of a runbook; if there is none, the text that one begins from. Writes nothing.

    It begins from version `start`, else from a newer one that waits for its author or a reviewer,
    else from the published one, else from the newest.
    """
    return _open(db.session(), _runbook(db.session(), slug), start)


def text_to_edit(source: bytes) -> str:
    """A file as an editor holds it: text with line feeds."""
    return text_of(source)[0]


@lru_cache(maxsize=64)
def _text_with_ids(slug: str, source: bytes, used: tuple[str, ...]) -> str:
    # Asked again at every pause of somebody who has not saved yet, and the same each time.
    document = read(source, f"{slug}.md")
    return with_ids(text_to_edit(source).encode(), document, used).decode()


def plain(typed: str) -> str:
    """What a browser sends, which ends lines in its own way."""
    return typed.replace("\r\n", "\n").replace("\r", "\n")


def _open(session: Session, runbook: Runbook, start: int | None = None) -> OpenDraft:
    draft = session.get(Draft, runbook.id, options=[joinedload(Draft.base)])
    newest = _newest(session, runbook)
    if start is None and draft is not None and draft.base is not None:
        base = draft.base
    else:
        base = _starting_point(session, runbook, newest, start)
    status, behind = _standing(session, runbook, base)
    used = _used_ids(session, runbook)
    if draft is not None:
        source, message = draft.source, draft.message
    else:
        source = _text_with_ids(runbook.slug, base.source, tuple(used))
        message = base.message if _is_pending(base, runbook, status) else ""
    return OpenDraft(
        runbook=runbook,
        source=source,
        message=message,
        version=draft.version if draft else 0,
        base=base,
        base_status=status,
        number=newest.number + 1,
        published=runbook.published,
        behind=behind,
        used_ids=tuple(used),
        saved_at=draft.saved_at if draft else None,
        saved_by=draft.saved_by if draft else None,
        saved_by_id=draft.saved_by_id if draft else None,
        writers=tuple(draft.writers) if draft else (),
    )


def _starting_point(
    session: Session, runbook: Runbook, newest: RunbookVersion, start: int | None
) -> RunbookVersion:
    if start is not None:
        return _version(session, runbook, start)
    status, _ = _standing(session, runbook, newest)
    if runbook.published is None or _is_pending(newest, runbook, status):
        return newest
    return runbook.published


def _is_pending(version: RunbookVersion, runbook: Runbook, status: Status) -> bool:
    """Whether a version waits for its author or a reviewer."""
    return version.id != runbook.published_id and status in (Status.DRAFT, Status.IN_REVIEW)


def _standing(session: Session, runbook: Runbook, version: RunbookVersion) -> tuple[Status, bool]:
    """Where a version stands, and whether another was published since it was written."""
    events = session.execute(
        select(VersionEvent.id, VersionEvent.version_id, VersionEvent.status)
        .where(VersionEvent.version_id.in_({version.id, runbook.published_id or version.id}))
        .order_by(VersionEvent.id)
    ).all()
    own = [event for event in events if event.version_id == version.id]
    published = [
        event.id
        for event in events
        if event.version_id == runbook.published_id and event.status is Status.PUBLISHED
    ]
    status = own[-1].status if own else Status.DRAFT
    behind = version.id != runbook.published_id and bool(own and published)
    return status, behind and published[-1] > own[0].id


# --- Writing


def begin(new: NewRunbook, *, by: Actor, at: datetime) -> RunbookVersion:
    """Begin a runbook from the template of its failure mode: its first version, a draft."""
    if not SLUG.fullmatch(new.slug) or len(new.slug) > 120:
        raise RefusedError("A name is made of lower-case letters, digits and hyphens.")
    if new.slug in RESERVED:
        raise RefusedError(f"{new.slug} is the address of a page. Choose another name.")
    text = service.read_text(
        new.slug,
        template.for_failure_mode(
            new.failure_mode, slug=new.slug, title=new.title, owner=new.owner, models=new.models
        ).encode(),
        {"kind": "browser"},
        "Begun from the template",
    )
    with unit_of_work() as session:
        service.lock(session)
        if session.scalar(select(Runbook.id).where(Runbook.slug == new.slug)) is not None:
            raise ConflictError(f"There is a runbook called {new.slug} already.")
        version = service.write_version(session, text, by=by, at=at)
        service.move(session, [(text, version, Status.DRAFT)], by=by, at=at)
        search.index(session, version.runbook_id)
    return version


def save(
    slug: str,
    source: str,
    message: str,
    seen_version: int,
    *,
    base: int | None = None,
    write_ids: bool = True,
    by: Actor,
    at: datetime,
) -> Draft:
    """Keep the text. `base`: number of the version that it was written from, for a first save.

    `write_ids`: give an id to each step that has none. Not while somebody types: half of a title
    would become the id for ever.
    """
    text, message = plain(source), message.strip()
    _check_size(text, message)
    with unit_of_work() as session:
        runbook = _runbook(session, slug, lock=True)
        draft = session.get(Draft, runbook.id, populate_existing=True)
        if draft is not None and (draft.source, draft.message) == (text, message):
            return draft  # also what a browser sends again that has heard no answer
        if (draft.version if draft else 0) != seen_version:
            raise _edited_meanwhile(session, runbook, text)
        start = draft.base if draft else None
        if start is None:
            start = _starting_point(session, runbook, _newest(session, runbook), base)
        if write_ids:
            text = _with_ids(slug, text, start, _used_ids(session, runbook))
        takes_over = draft is None or draft.saved_by != by.name
        if draft is None:
            draft = Draft(runbook_id=runbook.id, base_id=start.id, writers=_writers_so_far(start))
            session.add(draft)
        draft.source, draft.message = text, message
        draft.saved_at, draft.saved_by = at, by.name
        draft.saved_by_id = by.id if by.kind == "person" else None
        if draft.saved_by_id is not None:
            draft.writers = sorted({*draft.writers, draft.saved_by_id})
        session.flush()
        # Saved every few seconds, so the trail holds who wrote and when they began.
        if takes_over:
            _audit("runbook.edit", runbook, after={"written_from": start.number}, by=by, at=at)
    return draft


def _writers_so_far(start: RunbookVersion) -> list[int]:
    """Who wrote what the draft goes on from, as far as it was never published."""
    return [] if start.id == start.runbook.published_id else sorted(writers_of(start))


def writers_of(version: RunbookVersion) -> frozenset[int]:
    """The people who wrote a version."""
    also = version.origin.get("writers", ())
    return frozenset(one for one in (version.author_id, *also) if one is not None)


def discard(slug: str, seen_version: int, *, by: Actor, at: datetime) -> None:
    """Throw the draft away. Versions stay as they are."""
    with unit_of_work() as session:
        runbook = _runbook(session, slug, lock=True)
        draft = session.get(Draft, runbook.id, populate_existing=True)
        if draft is None:
            raise ConflictError("There is no draft to discard.")
        if draft.version != seen_version:
            raise ConflictError(
                f"{draft.saved_by} saved this draft while you were reading it. "
                "Nothing was discarded: open it to see the change."
            )
        digest = canonical_sha256(draft.source.encode())
        session.delete(draft)
        _audit("runbook.discard_draft", runbook, before={"sha256": digest}, by=by, at=at)


@dataclass(frozen=True, slots=True)
class CaughtUp:
    draft: Draft
    conflicts: tuple[str, ...]  # places that hold both texts, for somebody to choose


def catch_up(
    slug: str, source: str, message: str, seen_version: int, *, by: Actor, at: datetime
) -> CaughtUp:
    """Bring what was published meanwhile into the draft, step by step."""
    opened = open_draft(slug)
    if opened.published is None or not opened.behind:
        raise RefusedError("Nothing was published since this draft was begun.")
    base, published = text_to_edit(opened.base.source), text_to_edit(opened.published.source)
    names = Names("in this draft", f"in v{opened.published.number}")
    merged = merge(base, plain(source), published, names)
    with unit_of_work() as session:
        # What was typed is saved as it is first, so that a conflict is found out before.
        draft = save(slug, source, message, seen_version, write_ids=False, by=by, at=at)
        draft.source, draft.base_id = merged.text, opened.published.id
        session.flush()
        session.refresh(draft, ["base"])
    return CaughtUp(draft, merged.conflicts)


# --- What the functions above share


def _runbook(session: Session, slug: str, *, lock: bool = False) -> Runbook:
    if not SLUG.fullmatch(slug):
        raise NotFoundError(NO_RUNBOOK)
    found = select(Runbook).where(Runbook.slug == slug)
    if lock:
        # Two first saves of one draft meet here, where there is no row of it to lock yet.
        session.execute(found.with_for_update(of=Runbook))
    row = session.scalars(
        found.options(joinedload(Runbook.published)).execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise NotFoundError(NO_RUNBOOK)
    return row


def _newest(session: Session, runbook: Runbook) -> RunbookVersion:
    return session.scalars(
        select(RunbookVersion)
        .where(RunbookVersion.runbook_id == runbook.id)
        .order_by(RunbookVersion.number.desc())
        .limit(1)
    ).one()


def _version(session: Session, runbook: Runbook, number: int) -> RunbookVersion:
    row = None
    if 0 < number < 2**31:
        row = session.scalars(
            select(RunbookVersion).where(
                RunbookVersion.runbook_id == runbook.id, RunbookVersion.number == number
            )
        ).one_or_none()
    if row is None:
        raise NotFoundError(NO_VERSION)
    return row


def _used_ids(session: Session, runbook: Runbook) -> list[str]:
    return list(
        session.scalars(
            select(RunbookStep.step_id)
            .join(RunbookVersion, RunbookVersion.id == RunbookStep.version_id)
            .where(RunbookVersion.runbook_id == runbook.id)
            .distinct()
            .order_by(RunbookStep.step_id)
        )
    )


def _with_ids(slug: str, text: str, before: RunbookVersion, used: Collection[str]) -> str:
    return with_ids(text.encode(), read(before.source, f"{slug}.md"), used).decode()


def _check_size(text: str, message: str) -> None:
    size = len(text.encode())
    if size > MAX_BYTES:
        raise RefusedError(
            f"This text has {size // 1024 + 1} KB, and a runbook has at most "
            f"{MAX_BYTES // 1024} KB. Split it in two."
        )
    if len(message) > MAX_MESSAGE:
        raise RefusedError(f"Say in at most {MAX_MESSAGE} characters what changed.")


def _edited_meanwhile(session: Session, runbook: Runbook, mine: str) -> EditedMeanwhileError:
    theirs = _open(session, runbook)
    if theirs.is_saved:
        who, did = theirs.saved_by or "Somebody", "saved this draft"
    else:
        newest = _newest(session, runbook)
        last = audit.changed_meanwhile("runbook", runbook.slug, runbook.slug).sentence
        who = last.split(" changed ", 1)[0]
        did = f"ended this draft; the newest version is v{newest.number}"
    sentence = f"{who} {did} while you were editing. Your text is kept, and so is theirs."
    return EditedMeanwhileError(sentence, mine=mine, theirs=theirs)


def _audit(
    action: str,
    runbook: Runbook,
    *,
    before: dict[str, object] | None = None,
    after: dict[str, object] | None = None,
    by: Actor,
    at: datetime,
) -> None:
    audit.record(
        action,
        target_kind="runbook",
        target_id=runbook.slug,
        target_name=runbook.title,
        before=before,
        after=after,
        by=by,
        at=at,
    )
