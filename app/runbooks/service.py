"""Writes: versions and where they stand, a first draft, and keeping what was rendered.

Folders are brought in by `syncing`; what is edited becomes a version in `publishing`.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, contains_eager, defer

from app.core.db import db, is_sqlite, unit_of_work
from app.core.errors import ConflictError, RefusedError
from app.people import audit
from app.people.rules import Actor
from app.runbooks import assets, files, search, template
from app.runbooks.files import Beside
from app.runbooks.format import Document, canonical_sha256, read
from app.runbooks.rendering import RENDERER, placed, render_document
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
    beside: Beside = field(default=Beside(), compare=False)  # the files that it refers to

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences: what could not be read."""
        return self.document.remarks + self.beside.remarks

    @property
    def from_folder(self) -> bool:
        return bool(self.origin["kind"] == "folder")


def start_draft(alertname: str, *, by: Actor, at: datetime) -> RunbookVersion:
    """Begin a runbook for an alert that has none, from the template, as a draft."""
    slug = kebab(alertname)
    if not slug or not STARTABLE.fullmatch(alertname):
        raise RefusedError(
            "A runbook can be begun for an alert whose name is made of letters, digits, spaces "
            "and _ - . : only."
        )
    source = template.for_alert(alertname, slug).encode()
    draft = read_text(slug, source, {"kind": "browser"}, f"Begun for the alert {alertname}")
    with unit_of_work() as session:
        lock(session)
        if newest_versions(session, [slug]):
            raise ConflictError(f"Somebody has begun {slug} meanwhile. Reload to see it.")
        version = write_version(session, draft, by=by, at=at)
        move(session, [(draft, version, Status.DRAFT)], by=by, at=at)
        search.index(session, version.runbook_id)
    return version


def rendered(version: RunbookVersion) -> dict[str, Any]:
    """The HTML parts of a version, made now if this release has not made them yet."""
    kept = db.session.get(RunbookRendering, (version.id, RENDERER))
    if kept is not None:
        return kept.parts
    version_id = version.id
    slug = version.runbook.slug
    paths = assets.paths_of(version_id)
    parts = render_document(read(version.source, f"{slug}.md"), files=paths)
    parts = placed(parts, slug, version.number) if paths else parts
    # Another request may be making the same.
    with suppress(IntegrityError), unit_of_work() as session:
        session.add(RunbookRendering(version_id=version_id, renderer=RENDERER, parts=parts))
    return parts


# --- Writing versions


def read_text(
    slug: str,
    source: bytes,
    origin: dict[str, Any],
    message: str = "",
    *,
    folder: Path | None = None,
) -> Text:
    """A text read and rendered, which takes most of the time: do it before a lock is taken.

    With a `folder`, the files in it that the text refers to come along; without one it has those
    of its parent. Raises `RefusedError` for a text that can't be a runbook.
    """
    path = str(origin.get("path", f"{slug}.md"))
    document = read(source, path)
    found = files.beside(folder, path, document) if folder else Beside()
    parts = render_document(document, files=found.paths)
    return Text(slug, source, canonical_sha256(source), document, parts, origin, message, found)


def lock(session: Session) -> None:
    """Let one process at a time number versions. SQLite has one writer anyway."""
    if not is_sqlite():
        session.execute(text("LOCK TABLE runbooks IN SHARE ROW EXCLUSIVE MODE"))


def newest_versions(session: Session, slugs: Iterable[str]) -> dict[str, RunbookVersion]:
    """The newest versions of runbooks, without their texts, by slug."""
    highest = (
        select(RunbookVersion.runbook_id, func.max(RunbookVersion.number).label("number"))
        .group_by(RunbookVersion.runbook_id)
        .subquery()
    )
    found = (
        select(RunbookVersion)
        .join(highest, highest.c.runbook_id == RunbookVersion.runbook_id)
        .join(Runbook, Runbook.id == RunbookVersion.runbook_id)
        .where(RunbookVersion.number == highest.c.number)
        .options(
            defer(RunbookVersion.source),
            contains_eager(RunbookVersion.runbook)
            .joinedload(Runbook.published)
            .defer(RunbookVersion.source),
        )
    )
    wanted = list(slugs)
    if len(wanted) == 1:
        found = found.where(Runbook.slug == wanted[0])
    among = set(wanted)
    return {
        version.runbook.slug: version
        for version in session.scalars(found)
        if version.runbook.slug in among
    }


def write_version(
    session: Session, text: Text, parent: RunbookVersion | None = None, *, by: Actor, at: datetime
) -> RunbookVersion:
    """Write a text as the next version of its runbook, which is begun if there is none.

    With its steps, signals and HTML. `parent` is what it was written from, if not the newest.
    Take the `lock` first, and say with `move` where the version stands.
    """
    return write_versions(session, [(text, parent)], by=by, at=at)[0]


def write_versions(
    session: Session,
    texts: Iterable[tuple[Text, RunbookVersion | None]],
    *,
    by: Actor,
    at: datetime,
) -> list[RunbookVersion]:
    """What `write_version` does, for texts of different runbooks, all of a kind at once."""
    wanted = list(texts)
    newest = newest_versions(session, [found.slug for found, _ in wanted])
    made: list[tuple[Text, RunbookVersion]] = []
    for found, parent in wanted:
        last = newest.get(found.slug)
        runbook = last.runbook if last else _begin(session, found, at=at)
        made.append((found, _version(found, runbook, last, parent or last, by=by, at=at)))
    session.add_all(version for _, version in made)
    session.flush()
    _write_parts(session, [(found, version, _keep_files(session, found, version))
                           for found, version in made])  # fmt: skip
    return [version for _, version in made]


def _keep_files(session: Session, found: Text, version: RunbookVersion) -> dict[str, Any]:
    """Keep the files that a version refers to; gives its HTML, in which they have an address."""
    assets.keep(session, version.id, found.beside.files)
    wanted = set(files.referenced(found.document)) - found.beside.paths
    parts = found.parts
    if wanted and version.parent_id is not None:
        assets.carry_over(session, version.id, from_id=version.parent_id, paths=wanted)
        if paths := assets.paths_of(version.id) - found.beside.paths:
            parts = render_document(found.document, files=paths | found.beside.paths)
    has_files = parts is not found.parts or found.beside.files
    return placed(parts, found.slug, version.number) if has_files else parts


def _begin(session: Session, found: Text, *, at: datetime) -> Runbook:
    runbook = Runbook(slug=found.slug, title=found.document.title, created_at=at)
    session.add(runbook)
    return runbook


def _version(
    found: Text,
    runbook: Runbook,
    last: RunbookVersion | None,
    parent: RunbookVersion | None,
    *,
    by: Actor,
    at: datetime,
) -> RunbookVersion:
    document = found.document
    return RunbookVersion(
        runbook=runbook,
        number=last.number + 1 if last else 1,
        parent_id=parent.id if parent else None,
        sha256=found.sha256,
        source=found.source,
        front_matter=document.front_matter,
        title=document.title,
        dialect=document.dialect,
        author=by.name,
        author_id=by.id if by.kind == "person" else None,
        message=found.message,
        origin=found.origin,
        created_at=at,
    )


def _write_parts(
    session: Session, made: Iterable[tuple[Text, RunbookVersion, dict[str, Any]]]
) -> None:
    """Steps, signals and HTML of new versions, which have their ids by now; all of a kind at once."""
    steps: list[dict[str, Any]] = []
    signals: list[dict[str, Any]] = []
    renderings: list[dict[str, Any]] = []
    for found, version, parts in made:
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
        renderings.append({"version_id": version.id, "renderer": RENDERER, "parts": parts})
    for table, rows in (
        (RunbookStep, steps),
        (RunbookSignal, signals),
        (RunbookRendering, renderings),
    ):
        if rows:
            session.execute(insert(table), rows)


def move(
    session: Session,
    moves: Iterable[tuple[Text, RunbookVersion, Status]],
    *,
    reason: str = "",
    emergency: bool = False,
    by: Actor,
    at: datetime,
) -> None:
    """Say where versions stand from now on, and point their runbooks at what is published.

    A version that has just been written is a draft first. Publishing one retires the version
    that was published before; a runbook is named after what is published, else after its newest.
    """
    wanted = list(moves)
    begun = _begun(session, [version.id for _, version, _ in wanted])
    events: list[dict[str, Any]] = []
    common = {"at": at, "by": by.name, "by_id": by.id if by.kind == "person" else None}

    def note(version_id: int, status: Status, why: str = "", flagged: bool = False) -> None:
        told = {"version_id": version_id, "status": status, "reason": why, "emergency": flagged}
        events.append(common | told)

    for found, version, status in wanted:
        runbook, is_new = version.runbook, version.id not in begun
        if is_new and status is not Status.DRAFT:
            note(version.id, Status.DRAFT)
        if status is Status.PUBLISHED:
            if runbook.published_id not in (None, version.id):
                note(runbook.published_id, Status.RETIRED, f"v{version.number} was published.")
            runbook.published, runbook.retired_at = version, None
        elif runbook.published_id == version.id:
            runbook.published = None
        note(version.id, status, reason, emergency)
        _name(runbook, found, version)
        if is_new and found.from_folder:
            runbook.source_path = found.origin["path"]
        _tell(found, version, status, reason=reason, emergency=emergency, by=by, at=at)
    if events:
        session.execute(insert(VersionEvent), events)


def _begun(session: Session, version_ids: list[int]) -> set[int]:
    """Those of the versions of which it was said before where they stand."""
    found = select(VersionEvent.version_id).where(VersionEvent.version_id.in_(version_ids))
    return set(session.scalars(found.distinct()))


def _name(runbook: Runbook, found: Text, version: RunbookVersion) -> None:
    if runbook.published in (None, version):
        said = found.document.facts
        runbook.title = version.title
        runbook.failure_mode, runbook.owner = said.failure_mode, said.owner


DONE = {
    Status.DRAFT: "runbook.draft",
    Status.IN_REVIEW: "runbook.ask_for_review",
    Status.PUBLISHED: "runbook.publish",
    Status.RETIRED: "runbook.retire",
}


def _tell(
    found: Text,
    version: RunbookVersion,
    status: Status,
    *,
    reason: str,
    emergency: bool,
    by: Actor,
    at: datetime,
) -> None:
    after: dict[str, Any] = {
        "version": version.number,
        "sha256": version.sha256,
        "from": found.origin["kind"],
    }
    if reason:
        after["reason"] = reason
    if emergency:
        after["emergency"] = True
    audit.record(
        DONE[status],
        target_kind="runbook",
        target_id=version.runbook.slug,
        target_name=f"{version.title}, v{version.number}",
        after=after,
        by=by,
        at=at,
    )
