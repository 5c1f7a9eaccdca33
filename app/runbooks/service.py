"""Writes: importing a folder, starting a draft, and keeping what was rendered."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, defer, joinedload

from app.core.db import db, is_sqlite, unit_of_work
from app.core.errors import ConflictError, RefusedError
from app.people import audit
from app.people.rules import BATON, Actor
from app.runbooks import template
from app.runbooks.format import Document, canonical_sha256, read
from app.runbooks.importing import Failure, File, Imported, ImportReport, read_folder
from app.runbooks.rendering import RENDERER, render_document
from app.runbooks.rules import Status, kebab
from app.runbooks.tables import (
    Runbook,
    RunbookRendering,
    RunbookSignal,
    RunbookStep,
    RunbookVersion,
    VersionEvent,
)

STARTABLE = re.compile(r"[A-Za-z0-9_.: -]{1,120}")


@dataclass(frozen=True, slots=True)
class Text:
    """A runbook's text, read and rendered, about to become a version."""

    slug: str
    source: bytes
    sha256: str
    document: Document
    parts: dict[str, Any]
    origin: dict[str, Any]
    message: str

    @property
    def from_folder(self) -> bool:
        return bool(self.origin["kind"] == "folder")


def import_folder(path: Path, *, at: datetime, by: Actor | None = None) -> ImportReport:
    """Make a version of every file below a folder that is new or changed, and publish it.

    A file has changed when its text is another than that of the newest version that came from
    the folder. Over a version that was published from elsewhere it becomes a draft. Raises
    `NotFoundError` when the folder can't be read; a file that can't be is told in the report.
    """
    known = _known()
    db.session.rollback()
    slugs_by_path = {one.path: slug for slug, one in known.items() if one.path}
    files, failures = read_folder(path, slugs_by_path)
    report = ImportReport(str(path), failed=failures)
    # Reading and rendering take most of the time, so nobody waits for a lock meanwhile.
    texts = [
        found
        for file in files
        if _is_news(file, known) and (found := _read_file(file, report)) is not None
    ]
    if texts:
        _write_versions(texts, report, by=by or BATON, at=at)
    failed = {failure.path for failure in report.failed}
    news = failed | {one.path for one in (*report.new, *report.changed)}
    unchanged = [file for file in files if file.path not in news]
    report.unchanged = [file.path for file in unchanged]
    _note_moved(unchanged, known)
    here = {file.slug for file in files}
    report.missing = sorted(
        slug
        for slug, was in known.items()
        if was.path and slug not in here and was.path not in failed
    )
    return report


def _note_moved(files: Iterable[File], known: Mapping[str, "Known"]) -> None:
    moved = [file for file in files if file.slug in known and known[file.slug].path != file.path]
    if moved:
        with unit_of_work() as session:
            for file in moved:
                session.execute(
                    update(Runbook).where(Runbook.slug == file.slug).values(source_path=file.path)
                )


def start_draft(alertname: str, *, by: Actor, at: datetime) -> RunbookVersion:
    """Begin a runbook for an alert that has none, from the template, as a draft."""
    slug = kebab(alertname)
    if not slug or not STARTABLE.fullmatch(alertname):
        raise RefusedError(
            "A runbook can be begun for an alert whose name is made of letters, digits, spaces "
            "and _ - . : only."
        )
    source = template.for_alert(alertname, slug).encode()
    draft = _text(slug, source, {"kind": "browser"}, f"Begun for the alert {alertname}")
    with unit_of_work() as session:
        _lock(session)
        if slug in _newest(session, [slug]):
            raise ConflictError(f"Somebody has begun {slug} meanwhile. Reload to see it.")
        version = _add_version(session, draft, None, by=by, at=at)
        session.flush()
        _write_parts(session, [(draft, version)])
        _move(session, [(draft, version, Status.DRAFT)], by=by, at=at)
    return version


def rendered(version: RunbookVersion) -> dict[str, Any]:
    """The HTML parts of a version, made now if this release has not made them yet."""
    kept = db.session.get(RunbookRendering, (version.id, RENDERER))
    if kept is not None:
        return kept.parts
    version_id = version.id
    slug = version.runbook.slug
    parts = render_document(read(version.source, f"{slug}.md"))
    # Another request may be making the same.
    with suppress(IntegrityError), unit_of_work() as session:
        session.add(RunbookRendering(version_id=version_id, renderer=RENDERER, parts=parts))
    return parts


# --- What is known, and what is news


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows of a runbook when an import begins."""

    path: str | None
    from_folder: str | None  # hash of the newest version that came from the folder


def _known() -> dict[str, Known]:
    hashes = _folder_hashes(db.session())
    return {
        slug: Known(path, hashes.get(runbook_id))
        for runbook_id, slug, path in db.session.execute(
            select(Runbook.id, Runbook.slug, Runbook.source_path)
        )
    }


def _folder_hashes(session: Session) -> dict[int, str]:
    """By runbook: the hash of the newest version that came from the folder."""
    rows = session.execute(
        select(RunbookVersion.runbook_id, RunbookVersion.sha256)
        .where(RunbookVersion.origin["kind"].as_string() == "folder")
        .order_by(RunbookVersion.runbook_id, RunbookVersion.number)
    )
    return {row.runbook_id: row.sha256 for row in rows}


def _is_news(file: File, known: Mapping[str, Known]) -> bool:
    return file.slug not in known or known[file.slug].from_folder != file.sha256


def _read_file(file: File, report: ImportReport) -> Text | None:
    try:
        origin = {"kind": "folder", "path": file.path}
        return _text(file.slug, file.source, origin, f"From {file.path}")
    except RefusedError as refused:
        report.failed.append(Failure(file.path, refused.sentence))
        return None


def _text(slug: str, source: bytes, origin: dict[str, Any], message: str) -> Text:
    document = read(source, str(origin.get("path", f"{slug}.md")))
    parts = render_document(document)
    return Text(slug, source, canonical_sha256(source), document, parts, origin, message)


# --- Writing versions


def _write_versions(
    texts: Iterable[Text], report: ImportReport, *, by: Actor, at: datetime
) -> None:
    with unit_of_work() as session:
        _lock(session)
        texts = list(texts)
        newest = _newest(session, [found.slug for found in texts])
        hashes = _folder_hashes(session)
        made: list[tuple[Text, RunbookVersion, Status]] = []
        for found in texts:
            runbook, last = newest.get(found.slug, (None, None))
            if runbook is not None and hashes.get(runbook.id) == found.sha256:
                continue  # another process imported it since we looked
            version = _add_version(session, found, last, by=by, at=at, runbook=runbook)
            theirs = runbook is not None and not _published_from_folder(runbook)
            made.append((found, version, Status.DRAFT if theirs else Status.PUBLISHED))
        if not made:
            return
        session.flush()
        _write_parts(session, [(found, version) for found, version, _ in made])
        _move(session, made, by=by, at=at)
        for found, version, status in made:
            published = status is Status.PUBLISHED
            path, remarks = found.origin["path"], found.document.remarks
            one = Imported(path, found.slug, version.number, published, remarks)
            (report.changed if version.number > 1 else report.new).append(one)


def _published_from_folder(runbook: Runbook) -> bool:
    return runbook.published is None or runbook.published.origin.get("kind") == "folder"


def _lock(session: Session) -> None:
    """Let one process at a time number versions. SQLite has one writer anyway."""
    if not is_sqlite():
        session.execute(text("LOCK TABLE runbooks IN SHARE ROW EXCLUSIVE MODE"))


def _newest(session: Session, slugs: list[str]) -> dict[str, tuple[Runbook, RunbookVersion]]:
    """Runbooks and their newest versions, by slug."""
    highest = (
        select(RunbookVersion.runbook_id, func.max(RunbookVersion.number).label("number"))
        .group_by(RunbookVersion.runbook_id)
        .subquery()
    )
    rows = session.execute(
        select(Runbook, RunbookVersion)
        .join(highest, highest.c.runbook_id == Runbook.id)
        .join(
            RunbookVersion,
            (RunbookVersion.runbook_id == Runbook.id) & (RunbookVersion.number == highest.c.number),
        )
        .options(
            defer(RunbookVersion.source),
            joinedload(Runbook.published).defer(RunbookVersion.source),
        )
    )
    wanted = set(slugs)
    return {runbook.slug: (runbook, version) for runbook, version in rows if runbook.slug in wanted}


def _add_version(
    session: Session,
    found: Text,
    last: RunbookVersion | None,
    *,
    by: Actor,
    at: datetime,
    runbook: Runbook | None = None,
) -> RunbookVersion:
    document = found.document
    if runbook is None:
        runbook = Runbook(slug=found.slug, title=document.title, created_at=at)
        session.add(runbook)
    version = RunbookVersion(
        runbook=runbook,
        number=last.number + 1 if last else 1,
        parent_id=last.id if last else None,
        sha256=found.sha256,
        source=found.source,
        front_matter=document.front_matter,
        title=document.title,
        dialect="gfm",
        author=by.name,
        author_id=by.id if by.kind == "person" else None,
        message=found.message,
        origin=found.origin,
        created_at=at,
    )
    session.add(version)
    return version


def _write_parts(session: Session, made: Iterable[tuple[Text, RunbookVersion]]) -> None:
    """Steps, signals and HTML of new versions, which have their ids by now; all of a kind at once."""
    steps: list[dict[str, Any]] = []
    signals: list[dict[str, Any]] = []
    renderings: list[dict[str, Any]] = []
    for found, version in made:
        steps += [
            {
                "version_id": version.id,
                "position": position,
                "step_id": step.id,
                "section": step.section,
                "kind": step.kind,
                "title": step.title,
                "body": step.body,
                "risk": step.risk,
                "minutes": step.minutes,
                "attributes": step.attributes,
            }
            for position, step in enumerate(found.document.steps, start=1)
        ]
        signals += [
            {
                "version_id": version.id,
                "alertname": signal.alertname,
                "metric": signal.metric,
                "condition": signal.condition,
            }
            for signal in found.document.facts.signals
        ]
        renderings.append({"version_id": version.id, "renderer": RENDERER, "parts": found.parts})
    for table, rows in (
        (RunbookStep, steps),
        (RunbookSignal, signals),
        (RunbookRendering, renderings),
    ):
        if rows:
            session.execute(insert(table), rows)


def _move(
    session: Session,
    made: Iterable[tuple[Text, RunbookVersion, Status]],
    *,
    by: Actor,
    at: datetime,
) -> None:
    """Say where new versions stand, and point their runbooks at those that are published."""
    events: list[dict[str, Any]] = []
    common = {
        "at": at,
        "by": by.name,
        "by_id": by.id if by.kind == "person" else None,
        "emergency": False,
    }
    for found, version, status in made:
        runbook, said = version.runbook, found.document.facts
        moves = [(version.id, Status.DRAFT, "")]
        if status is Status.PUBLISHED:
            if runbook.published_id is not None:
                why = f"v{version.number} was published."
                moves.append((runbook.published_id, Status.RETIRED, why))
            moves.append((version.id, Status.PUBLISHED, ""))
            runbook.published = version
        events += [
            common | {"version_id": version_id, "status": moved_to, "reason": why}
            for version_id, moved_to, why in moves
        ]
        if status is Status.PUBLISHED or runbook.published_id is None:
            runbook.title = version.title
            runbook.failure_mode, runbook.owner = said.failure_mode, said.owner
        if found.from_folder:
            runbook.source_path = found.origin["path"]
        audit.record(
            "runbook.publish" if status is Status.PUBLISHED else "runbook.draft",
            target_kind="runbook",
            target_id=runbook.slug,
            target_name=f"{version.title}, v{version.number}",
            after={
                "version": version.number,
                "sha256": version.sha256,
                "from": found.origin["kind"],
            },
            by=by,
            at=at,
        )
    session.execute(insert(VersionEvent), events)
