"""Published versions as files: into a folder, as an archive, or as a patch for one file.

A file is written byte for byte as its version came, so that what nobody edited stays as it was.
One that somebody changed in the folder since both agreed is not written over unless that is asked
for. Pictures that the folder lacks come with their runbook.
"""

import io
import os
import posixpath
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from difflib import unified_diff
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import select

from app.core.db import db, unit_of_work
from app.core.errors import NotFoundError, RefusedError
from app.people import audit
from app.people.rules import Actor
from app.runbooks import assets
from app.runbooks.format import canonical_sha256
from app.runbooks.importing import Failure
from app.runbooks.syncing import Known, Look, State, agree, look_at
from app.runbooks.tables import RunbookVersion

BATCH = 100  # texts in memory at a time
# A fixed moment, so that the same texts make the same archive.
EPOCH = (1980, 1, 1, 0, 0, 0)
EXPORTED = (State.CHANGED_HERE, State.ONLY_HERE)


@dataclass
class ExportReport:
    """What an export did, by path."""

    folder: str
    written: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    refused: list[Failure] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report in words, the total first."""
        total = f"{len(self.written)} written, {len(self.unchanged)} unchanged"
        found = [f"Runbooks to {self.folder}: {total}, {len(self.refused)} not written."]
        found += [f"  {path} was written." for path in self.written]
        found += [f"  {one.path} was not written: {one.why}" for one in self.refused]
        return found


@dataclass(frozen=True, slots=True)
class _Export:
    known: Known
    path: str
    source: bytes
    pictures: Mapping[str, str] = field(default_factory=dict)  # path beside it -> sha256


def export_folder(
    folder: Path, *, name: str | None = None, force: bool = False, by: Actor, at: datetime
) -> ExportReport:
    """Write every published version to its file below a folder, which is made if it is missing.

    With `force`, also over files that somebody changed there since both agreed. `name` is what
    `syncing.name_of` calls the folder.
    """
    _make(folder)
    look = look_at(folder, name=name)
    report = ExportReport(str(folder))
    agreed: list[dict[str, Any]] = []
    taken: set[str] = set()
    for one in _exports(look):
        why = _refusal(folder, one, look, force=force)
        if one.path in taken:
            why = "Another runbook has the same file."
        taken.add(one.path)
        if why is None:
            why = _write_if_other(folder, one, report)
        if why is not None:
            report.refused.append(Failure(one.path, why))
            continue
        _write_missing_pictures(folder, one, report)
        if one.known.folder == name:
            agreed.append(
                {
                    "at": one.known.id,
                    "sha": one.known.published,
                    "to_version": one.known.published_id,
                    "path": one.path,
                }
            )
    db.session.rollback()
    with unit_of_work() as session:
        agree(session, agreed)
        if report.written:
            _audit(report, by=by, at=at)
    return report


def archive(look: Look) -> bytes:
    """A zip of the files that the folder lacks, or has in an older state."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for one in _exports(look):
            if look.state(one.known.slug) in EXPORTED:
                file.writestr(zipfile.ZipInfo(one.path, EPOCH), one.source)
                for said, sha256 in one.pictures.items():
                    path = _beside(one.path, said)
                    if path is None or path in file.NameToInfo or (look.folder / path).exists():
                        continue
                    file.writestr(zipfile.ZipInfo(path, EPOCH), assets.content(sha256))
    return packed.getvalue()


def patch(look: Look, slug: str) -> bytes:
    """The difference from the file in the folder to what is published, as `git apply` takes it."""
    known = look.known.get(slug)
    if known is None or known.published_id is None:
        raise NotFoundError("There is no published runbook of that name.")
    file = look.files.get(slug)
    path = file.path if file else _path(known)
    source = db.session.scalars(
        select(RunbookVersion.source).where(RunbookVersion.id == known.published_id)
    ).one()
    if file is not None and file.source == source:
        raise NotFoundError("The file and what is published are the same.")
    before = _lines(file.source) if file else []
    names = f"a/{path}" if file else "/dev/null", f"b/{path}"
    found = [
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in unified_diff(before, _lines(source), *names)
    ]
    return "".join(found).encode("utf-8", "surrogateescape")


def _lines(source: bytes) -> list[str]:
    # Only line feeds end a line in a patch, and what is no UTF-8 has to come out as it went in.
    text = source.decode("utf-8", "surrogateescape")
    return [line + "\n" for line in text.split("\n")[:-1]] + [
        line for line in text.split("\n")[-1:] if line
    ]


def _exports(look: Look) -> Iterator[_Export]:
    """Every published runbook with its text and its path, by slug."""
    wanted = sorted(
        (one for one in look.known.values() if one.published_id is not None),
        key=lambda one: one.slug,
    )
    for start in range(0, len(wanted), BATCH):
        some = wanted[start : start + BATCH]
        rows = db.session.execute(
            select(RunbookVersion.id, RunbookVersion.source).where(
                RunbookVersion.id.in_([one.published_id for one in some])
            )
        )
        sources = {row.id: row.source for row in rows}
        pictures = assets.hashes_of(db.session(), list(sources))
        for one in some:
            assert one.published_id is not None
            yield _Export(
                one, _path(one), sources[one.published_id], pictures.get(one.published_id, {})
            )


def _path(known: Known) -> str:
    return known.path or f"{known.slug}.md"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedError(f"The folder {folder} can't be made: {error.strerror}.") from None


def _refusal(folder: Path, one: _Export, look: Look, *, force: bool) -> str | None:
    """Why a file must not be written."""
    parts = PurePosixPath(one.path).parts
    if one.path.startswith("/") or ".." in parts or "\\" in one.path:
        return "Its path leads out of the folder."
    target = folder / one.path
    if not target.resolve().is_relative_to(folder.resolve()) or target.is_symlink():
        return "A link leads out of the folder."
    try:
        there = target.read_bytes()
    except FileNotFoundError:
        belongs_here = one.known.folder == look.name and one.known.synced is not None
        if belongs_here and not force:
            return "It was deleted in the folder. Import the folder to retire it, or use --force."
        return None
    except OSError as error:
        return f"It can't be read: {error.strerror}."
    digest = canonical_sha256(there)
    if force or digest in (one.known.published, one.known.synced):
        return None
    return "It was changed in the folder. Import the folder first, or use --force."


def _write_if_other(folder: Path, one: _Export, report: ExportReport) -> str | None:
    """Write a file, unless it holds that text. Says why it could not be written."""
    target = folder / one.path
    with suppress(OSError):
        # Ends of lines and trailing blanks are the business of whoever keeps the files.
        if canonical_sha256(target.read_bytes()) == one.known.published:
            report.unchanged.append(one.path)
            return None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, one.source)
    except OSError as error:
        return f"It can't be written: {error.strerror}."
    report.written.append(one.path)
    return None


def _write_missing_pictures(folder: Path, one: _Export, report: ExportReport) -> None:
    """Put pictures back that the folder lacks. One that is there is the folder's own."""
    root = folder.resolve()
    for said, sha256 in one.pictures.items():
        path = _beside(one.path, said)
        if path is None or (root / path).is_symlink() or (root / path).exists():
            continue
        if not (root / path).resolve().is_relative_to(root):
            continue
        try:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            _replace(root / path, assets.content(sha256))
        except OSError as error:
            report.refused.append(Failure(path, f"It can't be written: {error.strerror}."))
        else:
            report.written.append(path)


def _beside(path: str, said: str) -> str | None:
    """Where a picture is that a runbook at `path` names; none if that leads out of the folder."""
    found = posixpath.normpath(posixpath.join(posixpath.dirname(path), said))
    return None if found.startswith(("../", "/")) or found in ("..", ".") else found


def _replace(target: Path, source: bytes) -> None:
    """Write a file as a whole: whoever reads it meanwhile has the old one or the new one."""
    # Hidden, so that nobody takes it for a runbook.
    beside = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            file.write(source)
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):
            beside.chmod(target.stat().st_mode & 0o777)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _audit(report: ExportReport, *, by: Actor, at: datetime) -> None:
    name = PurePosixPath(report.folder).name[:100] or "runbooks"
    audit.record(
        "runbook.export",
        target_kind="runbooks_folder",
        target_id=name,
        target_name=name,
        after={"written": report.written},
        by=by,
        at=at,
    )
