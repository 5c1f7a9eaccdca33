"""Which key opens which door. Looked up for every delivery, so each process remembers them."""

import hmac
import threading
import time
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.alerts.tables import Integration
from app.core.db import db
from app.core.errors import UpstreamError
from app.core.secrets import secret_hash

FRESH = 2.0  # seconds until a known key is looked up again: a closed door closes this late
PATIENCE = 0.25  # seconds between two looks for keys we don't know, however often they come


@dataclass(frozen=True, slots=True)
class Door:
    """An open integration, as one of its keys finds it."""

    integration_id: int
    name: str
    source: str
    key_hash: str
    until: datetime | None  # the end of a key that was replaced


class Keys:
    """The keys of all doors, as they were a moment ago.

    While the database is away the last known ones are good: senders must not be turned off.
    """

    def __init__(self) -> None:
        self._doors: dict[str, Door] = {}
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def find(self, key: str, source: str, *, at: datetime) -> Door | None:
        """The door of this source that the key opens; None if there is none.

        Raises UpstreamError when the database is away and the key was never seen.
        """
        wanted = secret_hash(key)
        door = self._known(wanted, older_than=FRESH)
        if door is None:
            door = self._known(wanted, older_than=PATIENCE)
        if door is None or not hmac.compare_digest(door.key_hash, wanted):
            return None
        if door.source != source or (door.until is not None and door.until <= at):
            return None
        return door

    def forget(self) -> None:
        self._read_at = float("-inf")

    def _known(self, wanted: str, *, older_than: float) -> Door | None:
        door = self._doors.get(wanted)
        # One thread looks; others whose key was known a moment ago need not wait for it.
        if self._is_older_than(older_than) and self._lock.acquire(blocking=door is None):
            try:
                if self._is_older_than(older_than):
                    self._read(wanted)
            finally:
                self._lock.release()
            door = self._doors.get(wanted)
        return door

    def _is_older_than(self, seconds: float) -> bool:
        return time.monotonic() - self._read_at > seconds

    def _read(self, wanted: str) -> None:
        try:
            with db.engine.connect() as connection:
                rows = connection.execute(
                    select(
                        Integration.id,
                        Integration.name,
                        Integration.source,
                        Integration.key_hash,
                        Integration.old_key_hash,
                        Integration.old_key_until,
                    ).where(Integration.closed_at.is_(None))
                ).all()
        except (DBAPIError, PoolTimeoutError):
            if wanted in self._doors:
                self._read_at = time.monotonic()  # the next look can wait
            else:
                raise UpstreamError(
                    "The key can't be checked: the database does not answer. Nothing was kept; "
                    "send it again."
                ) from None
            return
        doors = {}
        for row in rows:
            doors[row.key_hash] = Door(row.id, row.name, row.source, row.key_hash, None)
            if row.old_key_hash:
                doors[row.old_key_hash] = Door(
                    row.id, row.name, row.source, row.old_key_hash, row.old_key_until
                )
        self._doors = doors
        self._read_at = time.monotonic()


keys = Keys()
