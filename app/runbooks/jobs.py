"""What the worker does for runbooks."""

import logging
from datetime import datetime
from pathlib import Path

from app.core.clock import now
from app.core.errors import BatonError
from app.runbooks import importing, syncing
from app.runbooks.files import DOWNLOADS, PICTURES

log = logging.getLogger(__name__)

WATCHED = {*importing.MARKDOWN, *PICTURES, *DOWNLOADS}
Fingerprint = frozenset[tuple[str, int, int]]


class Watch:
    """Imports a folder when a file in it changed. What it saw is kept in memory only."""

    def __init__(self) -> None:
        self.seen: Fingerprint | None = None
        self.imported: Fingerprint | None = None

    def look(self, folder: Path, at: datetime) -> None:
        found = fingerprint(folder)
        # A pull takes away files and puts others in their place. So a change counts once the
        # folder looks the same twice.
        if found == self.seen and found is not None and found != self.imported:
            self.imported = found
            self._import(folder, at)
        self.seen = found

    def _import(self, folder: Path, at: datetime) -> None:
        try:
            report = syncing.import_folder(folder, at=at)
        except BatonError as error:
            log.warning("Runbooks were not imported: %s", error.sentence)
            return
        if report.news:
            for line in report.lines():
                log.info(line.strip())


def fingerprint(folder: Path) -> Fingerprint | None:
    """Name, time and size of each file below a folder that can be of a runbook.

    Pictures and other files beside one are among them. None if the folder can't be read.
    """
    found: set[tuple[str, int, int]] = set()
    try:
        importing.check_readable(folder)
        for path in folder.rglob("*"):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if path.suffix.lower() not in WATCHED or hidden:
                continue
            # Of what a link leads to: in volumes of Kubernetes nothing else changes.
            about = path.stat() if path.exists() else path.lstat()
            found.add((str(path), about.st_mtime_ns, about.st_size))
    except (OSError, BatonError):
        return None
    return frozenset(found)


watch = Watch()


def watched(at: datetime) -> None:
    """Import the runbooks folder if a file in it changed since the last look."""
    watch.look(syncing.home(), at)


def watch_folder() -> None:
    """`watched`, as the worker's schedule calls it."""
    watched(now())
