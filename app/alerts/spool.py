"""Where deliveries wait on the disk while the database is away.

One file for all processes of this host: a JSON document a line, fsynced before the sender is
answered. Whoever reaches the database first replays it, in order, and empties it.
"""

import base64
import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from app.core.errors import UpstreamError

log = logging.getLogger(__name__)

Entry = dict[str, Any]  # the columns of a delivery
MOMENTS = ("received_at", "processed_at", "next_try_at")


class SpoolFullError(UpstreamError):
    pass


class Spool:
    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit  # bytes

    def size(self) -> int:
        """Bytes that wait; 0 if none."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep the entries, on the disk before this returns. Raises SpoolFullError."""
        lines = b"".join(_line(entry) for entry in entries)
        with self._locked() as file:
            end = os.lseek(file, 0, os.SEEK_END)
            if end + len(lines) > self.limit:
                raise SpoolFullError(
                    "The database is away and the room for waiting deliveries is used up. "
                    "Nothing was kept; send it again."
                )
            try:
                if end and os.pread(file, 1, end - 1) != b"\n":
                    lines = b"\n" + lines  # a crash cut the last line short: leave it alone
                _write_all(file, lines)
                os.fsync(file)
            except OSError:
                os.ftruncate(file, end)
                raise

    def replay(self, write: Callable[[list[Entry]], list[Entry]]) -> int:
        """Hand all that waits to `write`, then empty the file. Returns how many.

        If `write` raises, everything stays. If the process dies between the two, they are written
        again: `write` must know an entry by its receipt. What `write` returns can't be written and
        is kept in a file beside, for people to look at.
        """
        if not self.size():
            return 0
        with self._locked() as file:
            with open(self.path, "rb") as reader:
                entries = list(_entries(reader.read()))
            unwritable = write(entries) if entries else []
            if unwritable:
                with open(self.path.with_suffix(".unwritable"), "ab") as beside:
                    beside.write(b"".join(_line(entry) for entry in unwritable))
            os.ftruncate(file, 0)
            os.fsync(file)
        log.info("spool replayed", extra={"deliveries": len(entries)})
        return len(entries)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self.path.exists()
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        if is_new:
            _sync_folder(self.path.parent)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)  # lets go of the lock, too


def _write_all(file: int, content: bytes) -> None:
    """A disk that is nearly full takes a part, and says so only by how much it took."""
    while content:
        content = content[os.write(file, content) :]


def _sync_folder(folder: Path) -> None:
    """A file is durable once its name is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _line(entry: Entry) -> bytes:
    said = dict(entry)
    said["body"] = None if entry["body"] is None else base64.b64encode(entry["body"]).decode()
    for name in MOMENTS:
        if said.get(name) is not None:
            said[name] = entry[name].isoformat()
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def _entries(content: bytes) -> Iterator[Entry]:
    for line in content.split(b"\n")[:-1]:
        try:
            entry = json.loads(line)
            if entry["body"] is not None:
                entry["body"] = base64.b64decode(entry["body"])
            for name in MOMENTS:
                if entry.get(name) is not None:
                    entry[name] = datetime.fromisoformat(entry[name])
        except (ValueError, KeyError):
            # A write that a crash cut short: its sender was never answered, and will repeat it.
            log.warning("a torn line in the spool was left out", extra={"bytes": len(line)})
            continue
        yield entry
