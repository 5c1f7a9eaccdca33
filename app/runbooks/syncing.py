"""A folder and the database, file by file: who changed what since they last agreed.

Three hashes decide: the file's, that of the published text, and that of the text on which both
last agreed. Nothing that one side wrote is lost to the other: where both changed, what is
published stays, and a draft holds the two together. One file never stops the rest.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from flask import current_app
from sqlalchemy import and_, bindparam, func, select, update
from sqlalchemy.orm import Session, aliased

from app.config import settings
from app.core.db import db, unit_of_work
from app.core.errors import RefusedError
from app.people.rules import BATON, Actor
from app.runbooks import assets, files, publishing, search, service
from app.runbooks.commits import commits_of
from app.runbooks.format import id_of, read, text_of
from app.runbooks.importing import Failure, File, Imported, ImportReport, read_folder
from app.runbooks.merge import Names, merge
from app.runbooks.rules import Status
from app.runbooks.service import Text
from app.runbooks.tables import Runbook, RunbookVersion, VersionEvent


class State(StrEnum):
    """How a file and its runbook stand to one another."""

    IN_SYNC = "in_sync"
    CHANGED_HERE = "changed_here"
    CHANGED_IN_FOLDER = "changed_in_folder"
    CHANGED_IN_BOTH = "changed_in_both"
    NEW = "new"  # a file without a runbook
    ONLY_HERE = "only_here"  # a runbook that never had a file
    MISSING = "missing"  # its file is gone


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows of a runbook, so far as a folder is concerned."""

    id: int
    slug: str
    title: str
    path: str | None = None
    folder: str | None = None  # None: the portal's own
    synced: str | None = None  # hash of the text on which both agreed
    synced_id: int | None = None
    stored: str | None = None  # what the row says of `synced`
    published: str | None = None  # hash
    published_id: int | None = None
    number: int | None = None  # of the published version
    is_retired: bool = False


def state_of(file: str | None, known: Known | None) -> State | None:
    """How a file (its hash) and a runbook stand to one another; None if neither is in use.

    A runbook that was retired because its file was gone has agreed to that: it has no `synced`.
    """
    if known is None:
        return State.NEW if file else None
    synced, published = known.synced, known.published
    if file is None:
        if published is None:
            return None
        return State.MISSING if synced else State.ONLY_HERE
    if file == published:
        return State.IN_SYNC
    if synced is None:
        return State.CHANGED_IN_BOTH if published else State.NEW
    if file == synced:
        return State.CHANGED_HERE
    return State.CHANGED_IN_FOLDER if published == synced else State.CHANGED_IN_BOTH


def home() -> Path:
    """The folder of BATON_RUNBOOKS."""
    return Path(current_app.root_path).parent / settings().runbooks


def name_of(folder: Path) -> str | None:
    """What a folder is called in the versions that come from it; the portal's own has no name."""
    return None if folder.resolve() == home().resolve() else str(folder.resolve())[:500]


# --- Looking


@dataclass(frozen=True, slots=True)
class Taken:
    """A version of a runbook on which file and database do not agree."""

    id: int
    number: int
    parent_id: int | None
    sha256: str
    origin: dict[str, Any]
    status: Status

    @property
    def is_file(self) -> bool:
        """Whether it holds a file as it came, and nothing else."""
        made_here = "merge" in self.origin or "files" in self.origin
        return self.origin.get("kind") == "folder" and not made_here

    @property
    def is_open(self) -> bool:
        return self.status in (Status.DRAFT, Status.IN_REVIEW)


@dataclass
class Look:
    """A folder as it is now, beside what the database knows."""

    folder: Path
    name: str | None
    files: dict[str, File]  # by slug
    failed: list[Failure]
    known: dict[str, Known]
    versions: dict[str, list[Taken]] = field(default_factory=dict)  # where both changed, by slug
    # Of what is published as it was, by slug: paths of pictures that changed in the folder.
    beside: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def state(self, slug: str) -> State | None:
        found = self.state_of_text(slug)
        if found is State.IN_SYNC and slug in self.beside:
            return State.CHANGED_IN_FOLDER
        return found

    def state_of_text(self, slug: str) -> State | None:
        file = self.files.get(slug)
        return state_of(file.sha256 if file else None, self.known.get(slug))

    def own(self) -> Iterator[Known]:
        """Runbooks whose files belong into this folder."""
        return (one for one in self.known.values() if one.folder == self.name)

    def gone(self) -> Iterator[Known]:
        """Runbooks whose file was in this folder and is not any more."""
        paths = {file.path for file in self.files.values()}
        failed = {failure.path for failure in self.failed}
        for one in self.own():
            if one.slug in self.files or one.path is None or one.synced is None:
                continue
            if one.path in paths or (one.path not in failed and _is_gone(self.folder / one.path)):
                yield one


def look_at(folder: Path, *, name: str | None = None) -> Look:
    """Read a folder, and hold it against the database. Raises `NotFoundError` if it can't be read."""
    known = _known(db.session())
    db.session.rollback()
    by_path = {one.path: one.slug for one in known.values() if one.path and one.folder == name}
    others = {one.slug for one in known.values() if one.path and one.folder != name}
    files, failed = read_folder(folder, by_path, others)
    look = Look(folder, name, {file.slug: file for file in files}, failed, known)
    _refuse_ids_of_others(look, others)
    _find_renamed(look)
    _settle(db.session(), look)
    look.beside = _changed_beside(db.session(), look)
    return look


def _known(session: Session) -> dict[str, Known]:
    published, newest = aliased(RunbookVersion), aliased(RunbookVersion)
    kind, merged = newest.origin["kind"].as_string(), newest.origin["merge"].as_string()
    with_files = newest.origin["files"].as_string()
    came_in = (
        select(newest.runbook_id, func.max(newest.number).label("number"))
        .where(kind == "folder", merged.is_(None), with_files.is_(None))
        .group_by(newest.runbook_id)
        .subquery()
    )
    rows = session.execute(
        select(
            Runbook.id,
            Runbook.slug,
            Runbook.title,
            Runbook.source_path,
            Runbook.synced_sha256,
            Runbook.synced_id,
            Runbook.retired_at,
            RunbookVersion.id.label("came_id"),
            RunbookVersion.sha256.label("came"),
            RunbookVersion.origin,
            published.id.label("published_id"),
            published.sha256.label("published"),
            published.number,
        )
        .outerjoin(came_in, came_in.c.runbook_id == Runbook.id)
        .outerjoin(
            RunbookVersion,
            and_(
                RunbookVersion.runbook_id == Runbook.id,
                RunbookVersion.number == came_in.c.number,
            ),
        )
        .outerjoin(published, published.id == Runbook.published_id)
    )
    found: dict[str, Known] = {}
    for row in rows:
        synced, synced_id = row.synced_sha256, row.synced_id
        # Written before what both agreed on was kept: it was what came in last.
        if synced is None and row.retired_at is None and row.came is not None:
            synced, synced_id = row.came, row.came_id
        found[row.slug] = Known(
            id=row.id,
            slug=row.slug,
            title=row.title,
            path=row.source_path,
            folder=(row.origin or {}).get("folder"),
            synced=synced,
            synced_id=synced_id,
            stored=row.synced_sha256,
            published=row.published,
            published_id=row.published_id,
            number=row.number,
            is_retired=row.retired_at is not None,
        )
    return found


def _refuse_ids_of_others(look: Look, others: Iterable[str]) -> None:
    """A folder beside the portal's own can't take over runbooks that are not its own."""
    if look.name is None:
        return
    for slug in look.files.keys() & set(others):
        file = look.files.pop(slug)
        why = f"Its id {slug} is that of a runbook from another folder."
        look.failed.append(Failure(file.path, why))


def _find_renamed(look: Look) -> None:
    """Files that name no id are known by their text when they moved."""
    gone = {one.synced: one for one in look.gone()}
    for slug in [slug for slug in look.files if slug not in look.known]:
        file = look.files[slug]
        was = gone.pop(file.sha256, None) if id_of(file.source) is None else None
        if was is not None:
            del look.files[slug]
            look.files[was.slug] = replace(file, slug=was.slug)


def _is_gone(path: Path) -> bool:
    """Whether there is no such file, for certain: in a folder that can't be read it may be there."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


# --- Pictures and other files beside a runbook


def _changed_beside(session: Session, look: Look) -> dict[str, tuple[str, ...]]:
    """The files that what is published refers to, where the folder has others now, by slug.

    They change in the folder only, so there is nothing to choose, whoever wrote the text. Where
    the text of a file is about to come in, its pictures come with it.
    """
    texts = _texts_in_force(session, look)
    named = {slug: text for slug, text in texts.items() if files.mentioned(text_of(text)[0])}
    ids = {slug: look.known[slug].published_id or 0 for slug in named}
    kept = assets.hashes_of(session, ids.values()) if ids else {}
    found: dict[str, tuple[str, ...]] = {}
    for slug, source in named.items():
        path, has = look.files[slug].path, kept.get(ids[slug], {})
        # Reading the text as Markdown takes longer than reading its pictures.
        if files.differing(look.folder, path, files.mentioned(text_of(source)[0]), has):
            with suppress(RefusedError):
                wanted = files.referenced(read(source, path))
                taken = files.load(look.folder, path, wanted).paths
                found[slug] = files.differing(look.folder, path, taken, has)
    return {slug: paths for slug, paths in found.items() if paths}


def _texts_in_force(session: Session, look: Look) -> dict[str, bytes]:
    """What is published, by slug, where no other text is about to come in."""
    found: dict[str, bytes] = {}
    changed_here: dict[int, str] = {}
    for slug, file in look.files.items():
        known, state = look.known.get(slug), look.state_of_text(slug)
        if known is None or known.published_id is None:
            continue
        if state is State.IN_SYNC:
            found[slug] = file.source
        elif state is State.CHANGED_HERE:
            changed_here[known.published_id] = slug
    return found | {changed_here[at]: source for at, source in _sources(session, changed_here)}


def _sources(session: Session, version_ids: Iterable[int]) -> list[tuple[int, bytes]]:
    wanted = list(version_ids)
    if not wanted:
        return []
    rows = session.execute(
        select(RunbookVersion.id, RunbookVersion.source).where(RunbookVersion.id.in_(wanted))
    )
    return [(row.id, row.source) for row in rows]


# --- Conflicts: what was taken in, and whether somebody has decided


def _settle(session: Session, look: Look) -> None:
    """Find what became of files that changed on both sides and were taken in before."""
    ids = [look.known[slug].id for slug in look.files if look.state(slug) is State.CHANGED_IN_BOTH]
    versions = _versions(session, ids) if ids else {}
    for slug, found in versions.items():
        look.versions[slug] = found
        known = look.known[slug]
        taken = _taken(known, found)
        if taken is not None and _is_settled(known, taken, found):
            # The file was read and decided about: only the database has more to say since.
            look.known[slug] = replace(known, synced=taken.sha256, synced_id=taken.id)


def _versions(session: Session, runbook_ids: list[int]) -> dict[str, list[Taken]]:
    last = (
        select(VersionEvent.version_id, func.max(VersionEvent.id).label("id"))
        .group_by(VersionEvent.version_id)
        .subquery()
    )
    rows = session.execute(
        select(
            Runbook.slug,
            RunbookVersion.id,
            RunbookVersion.number,
            RunbookVersion.parent_id,
            RunbookVersion.sha256,
            RunbookVersion.origin,
            VersionEvent.status,
        )
        .join(Runbook, Runbook.id == RunbookVersion.runbook_id)
        .outerjoin(last, last.c.version_id == RunbookVersion.id)
        .outerjoin(VersionEvent, VersionEvent.id == last.c.id)
        .where(RunbookVersion.runbook_id.in_(runbook_ids))
        .order_by(RunbookVersion.number)
    )
    found: dict[str, list[Taken]] = {}
    for slug, version_id, number, parent_id, sha256, origin, status in rows:
        one = Taken(version_id, number, parent_id, sha256, origin, status or Status.DRAFT)
        found.setdefault(slug, []).append(one)
    return found


def _taken(known: Known, versions: Iterable[Taken]) -> Taken | None:
    """The version that holds the file as it came last, if it came in since both agreed."""
    came = [one for one in versions if one.is_file]
    return came[-1] if came and came[-1].id > (known.synced_id or 0) else None


def _is_settled(known: Known, taken: Taken, versions: list[Taken]) -> bool:
    """Whether what is published came from it, or every draft with it was dropped."""
    offers = _offers(taken, versions) or [taken]
    by_id = {one.id: one for one in versions}
    at = by_id.get(known.published_id or 0)
    while at is not None:
        if at.id == taken.id or at in offers:
            return True
        at = by_id.get(at.parent_id or 0)
    return all(one.status is Status.RETIRED for one in offers)


def _offers(taken: Taken, versions: Iterable[Taken]) -> list[Taken]:
    """The drafts that hold it together with what was published."""
    return [one for one in versions if one.origin.get("merge", {}).get("file") == taken.number]


def is_waiting(look: Look, slug: str) -> bool:
    """Whether a draft already holds both sides as they are now."""
    known, versions = look.known[slug], look.versions.get(slug, [])
    taken = _taken(known, versions)
    if taken is None or taken.sha256 != look.files[slug].sha256:
        return False
    offers = _offers(taken, versions)
    if not offers:
        return taken.is_open
    return any(one.is_open and one.origin["merge"]["with"] == known.number for one in offers)


# --- Importing


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file that makes a version, read and rendered."""

    file: File
    state: State
    text: Text
    merged: Text | None = None  # together with what is published
    conflicts: tuple[str, ...] = ()
    of_published: bool = False  # its text is what is published, only files beside it are new


def import_folder(
    path: Path, *, at: datetime, by: Actor | None = None, name: str | None = None
) -> ImportReport:
    """Bring in every file below a folder that is new or changed, and retire what is gone.

    What only the folder changed is published. `name` is what `name_of` calls a folder other than
    the portal's own; each folder speaks for its own runbooks only. Raises `NotFoundError` when
    the folder can't be read; a file that can't be is told in the report.
    """
    look = look_at(path, name=name)
    report = ImportReport(str(path), failed=look.failed)
    # Reading and rendering take most of the time, so nobody waits for a lock meanwhile.
    prepared = _prepare(look, report)
    agreed, gone = list(_agreed(look)), list(look.gone())
    if not look.files and not look.failed:
        report.missing = sorted(one.slug for one in gone)
        gone = []  # more likely the folder is not mounted than that all were deleted
    db.session.rollback()
    if prepared or agreed or gone:
        with unit_of_work() as session:
            _write(session, look, prepared, agreed, report, by=by or BATON, at=at)
            _retire(session, gone, report, by=by or BATON, at=at)
    _tell_the_rest(look, report)
    return report


def _prepare(look: Look, report: ImportReport) -> list[Prepared]:
    wanted = (State.NEW, State.CHANGED_IN_FOLDER, State.CHANGED_IN_BOTH)
    ids = {slug: look.known[slug].published_id or 0 for slug in look.beside}
    sources = dict(_sources(db.session(), ids.values()))
    news: list[tuple[File, State]] = []
    for slug, file in look.files.items():
        state = look.state(slug)
        if state is State.CHANGED_IN_BOTH and is_waiting(look, slug):
            report.waiting.append(slug)
        elif state in wanted or slug in look.beside:
            assert state is not None
            news.append((file, state))
    commits = commits_of(look.folder, [(file.path, file.source) for file, _ in news])
    found: list[Prepared] = []
    for file, state in news:
        origin: dict[str, Any] = {"kind": "folder", "path": file.path}
        if file.path in commits:
            origin["commit"] = commits[file.path]
        if look.name is not None:
            origin["folder"] = look.name
        source, message = file.source, f"From {file.path}"
        if beside := look.beside.get(file.slug):
            # The bytes of the version, not of the file: the text is the same again.
            source, message = sources[ids[file.slug]], f"{_few(beside)} changed beside {file.path}"
            origin["files"] = list(beside)
        try:
            text = service.read_text(file.slug, source, origin, message, folder=look.folder)
        except RefusedError as refused:
            report.failed.append(Failure(file.path, refused.sentence))
            continue
        if state is State.CHANGED_IN_BOTH:
            found.append(_together(Prepared(file, state, text), look))
        else:
            found.append(Prepared(file, state, text, of_published=bool(beside)))
    return found


def _few(paths: tuple[str, ...]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more


def _together(one: Prepared, look: Look) -> Prepared:
    """A file with what was published over it, by what both were made from."""
    known = look.known[one.file.slug]
    if known.synced_id is None or known.published_id is None:
        return one
    wanted = (known.synced_id, known.published_id)
    sources = {at: text_of(source)[0] for at, source in _sources(db.session(), wanted)}
    names = Names(f"v{known.number}, published", f"from {one.file.path}")
    base, ours = sources[known.synced_id], sources[known.published_id]
    made = merge(base, ours, text_of(one.file.source)[0], names)
    message = f"From {one.file.path}, together with v{known.number}"
    try:
        merged = service.read_text(
            one.file.slug, made.text.encode(), one.text.origin, message, folder=look.folder
        )
    except RefusedError:
        return one  # as large as both: the file alone is a draft then
    return replace(one, merged=merged, conflicts=made.conflicts)


def _agreed(look: Look) -> Iterator[dict[str, Any]]:
    """What the rows of runbooks should say of their files, where they say something else."""
    for slug, file in look.files.items():
        known = look.known.get(slug)
        if known is None:
            continue
        synced, synced_id = known.synced, known.synced_id
        if look.state(slug) is State.IN_SYNC and synced != file.sha256:
            synced, synced_id = file.sha256, known.published_id
        if (synced, file.path) != (known.stored, known.path):
            yield {"at": known.id, "sha": synced, "to_version": synced_id, "path": file.path}


def _write(
    session: Session,
    look: Look,
    prepared: list[Prepared],
    agreed: list[dict[str, Any]],
    report: ImportReport,
    *,
    by: Actor,
    at: datetime,
) -> None:
    if prepared:
        service.lock(session)
    again = replace(look, known=_known(session), versions={})
    _settle(session, again)
    # What another process changed since we looked is left for the next look.
    same = {slug for slug in look.files if again.known.get(slug) == look.known.get(slug)}
    by_id = {known.id: slug for slug, known in look.known.items()}
    agree(session, [one for one in agreed if by_id[one["at"]] in same])
    wanted = [one for one in prepared if one.file.slug in same]
    versions = _write_files(session, wanted, by=by, at=at)
    for one in wanted:
        version, known = versions[one.file.slug], look.known.get(one.file.slug)
        if one.state is State.CHANGED_IN_BOTH:
            assert known is not None
            made = _hold_together(session, one, version, known, by=by, at=at)
            if made is not None:
                report.changed.append(made)
        else:
            if version.sha256 == one.file.sha256:
                version.runbook.synced_sha256 = version.sha256
                version.runbook.synced_id = version.id
            path, remarks = one.file.path, one.text.remarks
            brought = Imported(path, one.file.slug, version.number, True, remarks)
            (report.changed if known else report.new).append(brought)
    search.index(session, *(version.runbook_id for version in versions.values()))


def agree(session: Session, agreed: list[dict[str, Any]]) -> None:
    """Keep on which text (`sha`, `to_version`), and where (`path`), rows of runbooks agree."""
    if not agreed:
        return
    rows = Runbook.__table__
    session.execute(
        update(rows)  # type: ignore[arg-type]  # declared as FromClause; it is a Table
        .where(rows.c.id == bindparam("at"))
        .values(
            synced_sha256=bindparam("sha"),
            synced_id=bindparam("to_version"),
            source_path=bindparam("path"),
        ),
        agreed,
    )


def _write_files(
    session: Session, wanted: list[Prepared], *, by: Actor, at: datetime
) -> dict[str, RunbookVersion]:
    """The versions that hold the files as they came, by slug; those of one side are published."""
    newest = service.newest_versions(session, [one.file.slug for one in wanted])
    # A file that comes back as it went is the same version again.
    found = {
        one.file.slug: newest[one.file.slug]
        for one in wanted
        if one.state is State.NEW
        and one.file.slug in newest
        and newest[one.file.slug].sha256 == one.text.sha256
        and newest[one.file.slug].runbook.retired_at is not None
        and assets.holds(session, newest[one.file.slug].id, one.text.beside.files)
    }
    fresh = [one for one in wanted if one.file.slug not in found]
    if fresh:
        texts = [
            (one.text, newest[one.file.slug].runbook.published if one.of_published else None)
            for one in fresh
        ]
        made = service.write_versions(session, texts, by=by, at=at)
        found |= {one.file.slug: version for one, version in zip(fresh, made, strict=True)}
    moves = [
        (
            one.text,
            found[one.file.slug],
            Status.DRAFT if one.state is State.CHANGED_IN_BOTH else Status.PUBLISHED,
        )
        for one in wanted
    ]
    service.move(session, moves, by=by, at=at)
    return found


def _hold_together(
    session: Session, one: Prepared, taken: RunbookVersion, known: Known, *, by: Actor, at: datetime
) -> Imported | None:
    """Add the draft that holds both sides. Nothing if what is published holds the file already."""
    slug, path = one.file.slug, one.file.path
    _drop_earlier(session, one, taken, by=by, at=at)
    if one.merged is None:
        return Imported(path, slug, taken.number, False, one.text.remarks, known.number)
    if one.merged.sha256 == known.published:
        why = f"All of it is in v{known.number}."
        service.move(session, [(one.text, taken, Status.RETIRED)], reason=why, by=by, at=at)
        taken.runbook.synced_sha256, taken.runbook.synced_id = taken.sha256, taken.id
        return None
    origin = one.merged.origin | {"merge": {"file": taken.number, "with": known.number}}
    text = replace(one.merged, origin=origin)
    parent = session.get_one(RunbookVersion, known.published_id)
    version = service.write_version(session, text, parent, by=by, at=at)
    why = f"v{version.number} holds it together with v{known.number}."
    moves = [(text, version, Status.DRAFT)]
    service.move(session, moves, by=by, at=at)
    service.move(session, [(one.text, taken, Status.RETIRED)], reason=why, by=by, at=at)
    return Imported(
        path,
        slug,
        version.number,
        False,
        one.text.remarks,
        stays=known.number,
        is_merge=True,
        conflicts=one.conflicts,
    )


def _drop_earlier(
    session: Session, one: Prepared, taken: RunbookVersion, *, by: Actor, at: datetime
) -> None:
    """Drafts that held an earlier state of either side are of no use any more."""
    earlier = [
        each
        for each in _versions(session, [taken.runbook_id]).get(one.file.slug, [])
        if each.is_open and each.id != taken.id and each.origin.get("kind") == "folder"
    ]
    for each in earlier:
        version = session.get_one(RunbookVersion, each.id)
        text = service.read_text(one.file.slug, version.source, version.origin)
        why = f"v{taken.number} came from the folder since."
        service.move(session, [(text, version, Status.RETIRED)], reason=why, by=by, at=at)


def _retire(
    session: Session, gone: list[Known], report: ImportReport, *, by: Actor, at: datetime
) -> None:
    for one in gone:
        if not one.is_retired:
            why = f"Its file {one.path} is no longer in the folder."
            publishing.retire(one.slug, why, by=by, at=at)
            report.retired.append(one.slug)
        # Both agree that it is gone; a file that comes back is news.
        session.execute(
            update(Runbook)
            .where(Runbook.id == one.id)
            .values(synced_sha256=None, synced_id=None)
            .execution_options(synchronize_session="evaluate")
        )


def _tell_the_rest(look: Look, report: ImportReport) -> None:
    report.retired.sort()
    news = {one.path for one in (*report.new, *report.changed)}
    news |= {failure.path for failure in report.failed}
    report.unchanged = [file.path for file in look.files.values() if file.path not in news]
    for slug, file in look.files.items():
        known = look.known.get(slug)
        if known is not None and known.path not in (None, file.path):
            report.moved.append((slug, file.path))
        if look.state(slug) is State.CHANGED_HERE and known and known.published:
            report.here.append(slug)


# --- Saying how both stand


@dataclass(frozen=True, slots=True)
class StatusLine:
    slug: str
    title: str
    path: str | None
    state: State
    number: int | None  # of the published version
    is_waiting: bool = False  # a draft holds both sides
    beside: tuple[str, ...] = ()  # pictures of what is published that changed in the folder


@dataclass(frozen=True, slots=True)
class FolderStatus:
    folder: str
    lines: tuple[StatusLine, ...]  # by slug
    failed: tuple[Failure, ...]

    @property
    def is_in_sync(self) -> bool:
        return not self.failed and all(line.state is State.IN_SYNC for line in self.lines)

    def count(self, state: State) -> int:
        return sum(line.state is state for line in self.lines)


def status(path: Path, *, name: str | None = None) -> FolderStatus:
    """How each file of a folder and each runbook stand to one another. Writes nothing."""
    return status_of(look_at(path, name=name))


def status_of(look: Look) -> FolderStatus:
    slugs = look.files.keys() | {one.slug for one in look.own()}
    lines: list[StatusLine] = []
    for slug in sorted(slugs):
        state, known, file = look.state(slug), look.known.get(slug), look.files.get(slug)
        if state is None:
            continue
        lines.append(
            StatusLine(
                slug,
                known.title if known else "",
                file.path if file else known.path if known else None,
                state,
                known.number if known else None,
                state is State.CHANGED_IN_BOTH and is_waiting(look, slug),
                look.beside.get(slug, ()),
            )
        )
    return FolderStatus(str(look.folder), tuple(lines), tuple(look.failed))
