"""Files that are kept with the versions of runbooks: written once, like the versions themselves."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.core.bulk import Bulk
from app.core.db import db
from app.core.errors import NotFoundError
from app.runbooks.files import File
from app.runbooks.rules import SLUG
from app.runbooks.tables import Asset, Runbook, RunbookVersion, VersionAsset

# Two runbooks may show the same picture, and two processes may keep it at once.
WRITE_ASSETS = Bulk(Asset, ("sha256", "media_type", "content"), "ON CONFLICT DO NOTHING")


@dataclass(frozen=True, slots=True)
class Kept:
    sha256: str
    content: bytes


def keep(session: Session, version_id: int, files: Sequence[File]) -> None:
    """Keep these files with a version, in the caller's unit of work."""
    hashes = {file.path: file.sha256 for file in files}
    if not hashes:
        return
    assets = {
        hashes[file.path]: {"media_type": file.media_type, "content": file.content}
        for file in files
    }
    # In one order for everybody, so that two writers never wait for each other in a circle.
    rows = [{"sha256": sha256} | assets[sha256] for sha256 in sorted(assets)]
    WRITE_ASSETS.write(session.connection(), rows)
    session.execute(
        insert(VersionAsset),
        [
            {"version_id": version_id, "path": path, "sha256": sha256}
            for path, sha256 in hashes.items()
        ],
    )


def carry_over(session: Session, version_id: int, *, from_id: int, paths: Collection[str]) -> None:
    """Give a version those of another's files that its text still refers to."""
    rows = session.execute(
        select(VersionAsset.path, VersionAsset.sha256).where(VersionAsset.version_id == from_id)
    )
    kept = [
        {"version_id": version_id, "path": row.path, "sha256": row.sha256}
        for row in rows
        if row.path in paths
    ]
    if kept:
        session.execute(insert(VersionAsset), kept)


def paths_of(version_id: int | None) -> frozenset[str]:
    """The paths of the files that are kept with a version."""
    if version_id is None:
        return frozenset()
    return frozenset(
        db.session.scalars(select(VersionAsset.path).where(VersionAsset.version_id == version_id))
    )


def hashes_of(session: Session, version_ids: Iterable[int]) -> dict[int, dict[str, str]]:
    """The hashes of the files that are kept with versions, by version and path."""
    found: dict[int, dict[str, str]] = {}
    rows = session.execute(
        select(VersionAsset.version_id, VersionAsset.path, VersionAsset.sha256).where(
            VersionAsset.version_id.in_(list(version_ids))
        )
    )
    for version_id, path, sha256 in rows:
        found.setdefault(version_id, {})[path] = sha256
    return found


def holds(session: Session, version_id: int, found: Iterable[File]) -> bool:
    """Whether these files are kept with a version, as they are."""
    kept = hashes_of(session, (version_id,)).get(version_id, {})
    return all(kept.get(file.path) == file.sha256 for file in found)


def content(sha256: str) -> bytes:
    """The bytes of a file that is kept."""
    return db.session.scalars(select(Asset.content).where(Asset.sha256 == sha256)).one()


def find(slug: str, number: int, path: str) -> Kept:
    """A file of a version. Raises `NotFoundError` if there is none."""
    found = None
    # Some databases refuse to look for what they could not hold.
    if SLUG.fullmatch(slug) and 0 < number < 2**31 and path.isprintable():
        found = db.session.execute(
            select(Asset.sha256, Asset.content)
            .join(VersionAsset, VersionAsset.sha256 == Asset.sha256)
            .join(RunbookVersion, RunbookVersion.id == VersionAsset.version_id)
            .join(Runbook, Runbook.id == RunbookVersion.runbook_id)
            .where(Runbook.slug == slug, RunbookVersion.number == number, VersionAsset.path == path)
        ).one_or_none()
    if found is None:
        raise NotFoundError("This version has no such file.")
    return Kept(found.sha256, found.content)
