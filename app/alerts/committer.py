"""Commits deliveries, many at a time.

A request hands its delivery over and waits. A thread takes all that came while the last commit
ran, writes it in one transaction and lets the requests go on: without a timer, the busier it is
the more a commit carries. When this returns, the delivery is durable.
"""

import logging
import os
import queue
import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from flask import Flask, current_app
from sqlalchemy import (
    Connection,
    Engine,
    Table,
    bindparam,
    create_engine,
    delete,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.alerts.rules import REPEAT_WINDOW, DeliveryState
from app.alerts.spool import Spool
from app.alerts.tables import Delivery, LastBody
from app.core.bulk import Bulk, BulkRead
from app.core.db import db, engine_options, is_sqlite_url, prepare_engine
from app.core.jobs import enqueue_on

log = logging.getLogger(__name__)

DELIVERIES = cast(Table, Delivery.__table__)

COLUMNS = (
    "receipt", "integration_id", "source", "received_at", "path", "headers", "body", "size",
    "sha256", "sender_id", "state", "processed_at", "attempts", "repeats", "what", "why", "outcome",
)  # fmt: skip
WRITE_DELIVERIES = Bulk(Delivery, COLUMNS)
SUBJECT = ("integration_id", "subject")
LAST_BODIES = BulkRead(LastBody, SUBJECT, (*SUBJECT, "sha256", "receipt", "received_at"))
REMEMBER_BODIES = Bulk(
    LastBody,
    (*SUBJECT, "sha256", "receipt", "received_at"),
    "ON CONFLICT (integration_id, subject) DO UPDATE SET sha256 = excluded.sha256, "
    "receipt = excluded.receipt, received_at = excluded.received_at",
)

# Errors about what the database was given. Any other means that it does not take rows now.
ABOUT_CONTENT = (DataError, IntegrityError)
AWAY = (DBAPIError, PoolTimeoutError)
MOST = 256  # deliveries a transaction
DEADLINE = 9.0  # seconds a request waits; Alertmanager gives up after 10 at the soonest
SPOOL_CHECK = 1.0  # seconds between two tries to empty the spool while nothing arrives


def _taken_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True)
class Entry:
    """A delivery on its way to the disk, and what became of it."""

    columns: dict[str, Any]
    subject: str | None = None
    result: str = ""  # accepted | duplicate | spooled
    receipt: str = ""  # of the first, if this is a duplicate
    error: BaseException | None = None
    # Bare locks, each taken once: a threading.Event costs ten times as much.
    taken: threading.Lock = field(default_factory=threading.Lock)  # by whoever writes it
    settled: threading.Lock = field(default_factory=_taken_lock)  # let go when it is written

    @property
    def subject_key(self) -> tuple[int, str] | None:
        if self.subject is None:
            return None
        return (self.columns["integration_id"], self.subject)


class Committer:
    """One for each process, started with its first delivery, after gunicorn has forked."""

    def __init__(self, app: Flask, spool: Spool) -> None:
        self._app = app
        self._queue: queue.SimpleQueue[Entry] = queue.SimpleQueue()
        self._sqlite = is_sqlite_url(app.config["SQLALCHEMY_DATABASE_URI"])
        self._engine = _engine(app)
        self.spool = spool
        self._spooled = spool.size() > 0  # whether something may wait there
        self._woke_for = -1
        # One, also where the database could write in parallel: a commit costs more CPU than disk,
        # and the fewer there are the more each carries.
        threading.Thread(target=self._run, name="committer", daemon=True).start()

    def commit(self, entry: Entry) -> Entry:
        """Return once the delivery is on the disk. Raises what kept it from getting there."""
        self._queue.put(entry)
        if not entry.settled.acquire(timeout=DEADLINE):
            if not entry.taken.acquire(blocking=False):
                raise TimeoutError(f"A delivery was not committed within {DEADLINE:.0f} s.")
            # Others before it hang in a database that does not answer.
            self._spool([entry])
        if entry.error is not None:
            raise entry.error
        return entry

    def _run(self) -> None:
        with self._app.app_context():
            while True:
                try:
                    came = [self._queue.get(timeout=SPOOL_CHECK if self._spooled else None)]
                except queue.Empty:
                    self._empty_spool()
                    continue
                while len(came) < MOST:
                    try:
                        came.append(self._queue.get_nowait())
                    except queue.Empty:
                        break
                batch = [entry for entry in came if entry.taken.acquire(blocking=False)]
                try:
                    self._settle(batch)
                except BaseException as error:
                    log.exception("committer failed")
                    for entry in batch:
                        entry.error = entry.error or error
                finally:
                    for entry in batch:
                        entry.settled.release()

    def _settle(self, batch: list[Entry]) -> None:
        try:
            if self.spool.size():
                self._replay()  # what waits came first
            self._spooled = False
            self._write(batch)
        except ABOUT_CONTENT:
            # One of them can't be written, and took the others with it.
            for entry in batch:
                self._settle_alone(entry)
        except AWAY as error:
            log.error(
                "database away, spooling",
                extra={"deliveries": len(batch), "error": type(error).__name__},
            )
            self._spool(batch)

    def _settle_alone(self, entry: Entry) -> None:
        try:
            self._write([entry])
        except ABOUT_CONTENT as error:
            entry.error = error
        except AWAY:
            self._spool([entry])

    def _spool(self, batch: list[Entry]) -> None:
        self._spooled = True
        try:
            self.spool.append([entry.columns for entry in batch])
        except Exception as error:
            for entry in batch:
                entry.error = error
            return
        for entry in batch:
            entry.result, entry.receipt = "spooled", entry.columns["receipt"]

    def _empty_spool(self) -> None:
        try:
            self._replay()
            self._spooled = False
        except AWAY:
            log.warning("database still away", extra={"spool_bytes": self.spool.size()})

    def _replay(self) -> None:
        self.spool.replay(write_spooled)

    def _write(self, batch: list[Entry]) -> None:
        with self._engine.connect() as connection:
            connection = connection.execution_options(write=True)
            with connection.begin():
                fresh, repeats = self._sort_out(connection, batch)
                self._insert(connection, fresh)
                if repeats:
                    connection.execute(
                        update(DELIVERIES)
                        .where(DELIVERIES.c.receipt == bindparam("first"))
                        .values(repeats=DELIVERIES.c.repeats + bindparam("more")),
                        [{"first": first, "more": more} for first, more in sorted(repeats.items())],
                    )
                self._wake(connection, batch)

    def _sort_out(
        self, connection: Connection, batch: list[Entry]
    ) -> tuple[list[Entry], dict[str, int]]:
        """Tell new bodies from repeats. Returns the new ones, and how often which came again."""
        subjects = {key for entry in batch if (key := entry.subject_key)}
        last: dict[tuple[int, str], tuple[str, str, datetime]] = {}
        if subjects:
            rows = LAST_BODIES.read(connection, subjects)
            last = {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}
        fresh: list[Entry] = []
        repeats: dict[str, int] = {}
        changed: set[tuple[int, str]] = set()
        for entry in batch:
            columns, key = entry.columns, entry.subject_key
            known = last.get(key) if key else None
            if (
                known is not None
                and known[0] == columns["sha256"]
                and columns["received_at"] - known[2] < REPEAT_WINDOW
            ):
                entry.result, entry.receipt = "duplicate", known[1]
                repeats[known[1]] = repeats.get(known[1], 0) + 1
                continue
            entry.result, entry.receipt = "accepted", columns["receipt"]
            fresh.append(entry)
            if key:
                last[key] = (columns["sha256"], columns["receipt"], columns["received_at"])
                changed.add(key)
        if changed:
            REMEMBER_BODIES.write(
                connection,
                [
                    {
                        "integration_id": key[0],
                        "subject": key[1],
                        "sha256": last[key][0],
                        "receipt": last[key][1],
                        "received_at": last[key][2],
                    }
                    # In one order, so that two committers never wait for each other.
                    for key in sorted(changed)
                ],
            )
        return fresh, repeats

    def _insert(self, connection: Connection, fresh: list[Entry]) -> None:
        plain = [entry for entry in fresh if entry.columns["sender_id"] is None]
        if plain:
            WRITE_DELIVERIES.write(connection, [entry.columns for entry in plain])
        named = [entry for entry in fresh if entry.columns["sender_id"] is not None]
        for entry in named:
            statement = (sqlite if self._sqlite else postgresql).insert(DELIVERIES)
            written = connection.execute(
                statement.on_conflict_do_nothing().returning(DELIVERIES.c.id), entry.columns
            ).first()
            if written is None:
                entry.result = "duplicate"
                entry.receipt = connection.execute(
                    update(DELIVERIES)
                    .where(
                        DELIVERIES.c.integration_id == entry.columns["integration_id"],
                        DELIVERIES.c.sender_id == entry.columns["sender_id"],
                    )
                    .values(repeats=DELIVERIES.c.repeats + 1)
                    .returning(DELIVERIES.c.receipt)
                ).scalar_one()

    def _wake(self, connection: Connection, batch: list[Entry]) -> None:
        """Wake the worker, once a second at most. Its job goes on until that second is over."""
        second = int(batch[-1].columns["received_at"].timestamp())
        if second == self._woke_for or not any(e.result == "accepted" for e in batch):
            return
        if all(e.columns["state"] is not DeliveryState.RECEIVED for e in batch):
            return
        enqueue_on(connection, "alerts.process_inbox", second, key=f"inbox-{second}")
        self._woke_for = second


def _engine(app: Flask) -> Engine:
    """On PostgreSQL a pool that does not ask each connection whether it is well: a committer that
    meets a dead one spools what it holds, and goes on with the next."""
    url = app.config["SQLALCHEMY_DATABASE_URI"]
    if is_sqlite_url(url):
        return db.engine
    engine = create_engine(url, **{**engine_options(url), "pool_pre_ping": False, "pool_size": 2})
    prepare_engine(engine)
    return engine


def write_spooled(columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write what waited in the spool; what was written before is known by its receipt.

    Returns those that the database will never take, so that one of them can't hold up the rest.
    """
    try:
        _write_known(columns)
    except ABOUT_CONTENT:
        return [one for one in columns if not _is_taken(one)]
    return []


def _is_taken(columns: dict[str, Any]) -> bool:
    try:
        _write_known([columns])
    except ABOUT_CONTENT:
        log.exception("a spooled delivery can't be written", extra={"receipt": columns["receipt"]})
        return False
    return True


def _write_known(columns: list[dict[str, Any]]) -> None:
    with db.engine.connect() as connection:
        connection = connection.execution_options(write=True)
        on_sqlite = connection.dialect.name == "sqlite"
        statement = (sqlite if on_sqlite else postgresql).insert(DELIVERIES)
        with connection.begin():
            connection.execute(statement.on_conflict_do_nothing(), columns)
            # What these said is newer than the bodies that repeats are told by.
            doors = {one["integration_id"] for one in columns}
            connection.execute(delete(LastBody).where(LastBody.integration_id.in_(doors)))
            second = int(columns[-1]["received_at"].timestamp())
            enqueue_on(connection, "alerts.process_inbox", second, key=f"spool-{second}")


def committer() -> Committer:
    """The committer of this process."""
    found: Committer | None = current_app.extensions.get("committer")
    if found is None or found_in_parent(current_app):
        with _starting:
            found = current_app.extensions.get("committer")
            if found is None or found_in_parent(current_app):
                app = cast(Any, current_app)._get_current_object()
                found = Committer(app, spool_of(app))
                current_app.extensions["committer"] = found
                current_app.extensions["committer_pid"] = os.getpid()
    return found


_starting = threading.Lock()


def found_in_parent(app: Flask) -> bool:
    """A fork takes the object along, but not its thread."""
    return bool(app.extensions.get("committer_pid") != os.getpid())


def spool_of(app: Flask) -> Spool:
    settings = app.config["SETTINGS"]
    return Spool(settings.var / "spool.jsonl", settings.spool_bytes)
