"""What the sandbox pager knows: a SQLite file of its own, or memory."""

import fcntl
import json
import secrets
import sqlite3
import string
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS received (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, path TEXT NOT NULL, key TEXT, action TEXT,
    dedup_key TEXT, summary TEXT, status INTEGER NOT NULL, became TEXT NOT NULL, body TEXT);
CREATE INDEX IF NOT EXISTS received_by_key ON received (key, at);
CREATE INDEX IF NOT EXISTS received_by_dedup_key ON received (dedup_key, id);

CREATE TABLE IF NOT EXISTS services (
    id TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, name TEXT NOT NULL, status TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS incidents (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, incident_key TEXT NOT NULL,
    service_id TEXT NOT NULL, title TEXT NOT NULL, status TEXT NOT NULL, urgency TEXT NOT NULL,
    created_at TEXT NOT NULL, changed_at TEXT NOT NULL, more TEXT NOT NULL DEFAULT '{}');

CREATE TABLE IF NOT EXISTS alerts (
    id TEXT PRIMARY KEY, incident_id TEXT, service_id TEXT NOT NULL, key TEXT NOT NULL,
    dedup_key TEXT NOT NULL, status TEXT NOT NULL, severity TEXT NOT NULL, summary TEXT NOT NULL,
    created_at TEXT NOT NULL, body TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS alerts_open ON alerts (key, dedup_key)
    WHERE status <> 'resolved';
CREATE INDEX IF NOT EXISTS alerts_by_incident ON alerts (incident_id);

CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, incident_id TEXT NOT NULL, type TEXT NOT NULL,
    at TEXT NOT NULL, agent TEXT, channel TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS entries_by_incident ON entries (incident_id, number);

CREATE TABLE IF NOT EXISTS notes (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, incident_id TEXT NOT NULL, at TEXT NOT NULL,
    content TEXT NOT NULL, agent TEXT);

CREATE TABLE IF NOT EXISTS windows (
    id TEXT PRIMARY KEY, starts_at TEXT NOT NULL, ends_at TEXT NOT NULL, body TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS subscriptions (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, url TEXT NOT NULL, secrets TEXT NOT NULL,
    active INTEGER NOT NULL, disabled_until TEXT, drops INTEGER NOT NULL DEFAULT 0,
    body TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS deliveries (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, subscription_id TEXT NOT NULL,
    incident_id TEXT NOT NULL, event TEXT NOT NULL, created_at TEXT NOT NULL,
    next_try_at TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (number) WHERE state = 'waiting';

CREATE TABLE IF NOT EXISTS faults (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL, trouble TEXT NOT NULL, times INTEGER NOT NULL,
    status INTEGER NOT NULL, seconds REAL NOT NULL, retry_after TEXT);
"""

BUSY_TIMEOUT = 15.0  # seconds
ALPHABET = string.ascii_uppercase + string.digits


class Store:
    """Stateful, and shared: by threads, and by processes when it is a file.

    A file is opened for each transaction. That is quick enough, and nothing is carried over a fork.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._turn = threading.RLock()
        self._memory: sqlite3.Connection | None = None
        self._prepared = False

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of what happens inside is kept, or nothing."""
        with self._turn:
            connection = self._open()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._close(connection)

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with self._turn:
            connection = self._open()
            try:
                return connection.execute(sql, values).fetchall()
            finally:
                self._close(connection)

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        found = self.rows(sql, *values)
        return found[0] if found else None

    def _open(self) -> sqlite3.Connection:
        if self._memory is not None:
            return self._memory
        if self.path is not None and not self._prepared:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Two processes that switch a new file to WAL at once would lock each other out.
            with self.path.with_name(f"{self.path.name}-setup").open("w") as turnstile:
                fcntl.flock(turnstile, fcntl.LOCK_EX)
                with _connect(str(self.path)) as connection:
                    connection.execute("PRAGMA journal_mode=WAL")
                    connection.executescript(SCHEMA)
                connection.close()
            self._prepared = True
        connection = _connect(str(self.path) if self.path else ":memory:")
        if self.path is None:
            connection.executescript(SCHEMA)
            self._memory = connection
        return connection

    def _close(self, connection: sqlite3.Connection) -> None:
        if connection is not self._memory:
            connection.close()


def _connect(database: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        database, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    # A sandbox may lose its last moments with the power; it may not lose them with a process.
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def new_id(first: str, length: int = 14) -> str:
    """An id as PagerDuty makes them: a letter that tells the kind, then letters and digits."""
    return first + "".join(secrets.choice(ALPHABET) for _ in range(length - 1))


def written(at: datetime) -> str:
    """A time as it is stored and sent: UTC, in a form that sorts."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read(text: str) -> datetime:
    return datetime.fromisoformat(text)


def packed(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
