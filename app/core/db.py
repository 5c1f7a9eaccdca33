"""Tables, sessions and the unit of work, on SQLite and on PostgreSQL.

SQLite runs in WAL with `synchronous=FULL`: a commit is on the disk before an alert is
acknowledged. The driver's own transaction handling is off, because in its default mode three
writers lost more than half of their updates without an error; we emit BEGIN ourselves, IMMEDIATE
when the unit of work writes. Writers queue on a file lock, because SQLite's busy handler sleeps
and starves: with 16 writers its slowest hundredth waited 2.3 s, with the queue 11 ms.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    Enum,
    Integer,
    MetaData,
    Row,
    String,
    event,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Session
from sqlalchemy.types import TypeDecorator

from app.core.errors import NotFoundError

BUSY_TIMEOUT = 15.0  # seconds
STATEMENT_TIMEOUT = 20.0  # seconds, on PostgreSQL: also of waiting for a lock


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes in, aware UTC datetimes out. SQLite keeps them without a zone, in UTC."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite numbers rows by itself only in a column of type INTEGER, which is 64 bits wide there.
BigId = BigInteger().with_variant(Integer, "sqlite")
Json = JSON().with_variant(JSONB(), "postgresql")


class Table(DeclarativeBase):
    """The base of every table. Constraints have names, so that migrations can change them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        datetime: UtcDateTime(),
        dict[str, Any]: Json,
        list[Any]: Json,
        list[str]: Json,
        dict[str, str]: Json,
        str: String(),
        # By value, as text: a new state needs no change of a database type.
        StrEnum: Enum(
            StrEnum,
            native_enum=False,
            length=20,
            values_callable=lambda states: [state.value for state in states],
        ),
    }


db = SQLAlchemy(
    metadata=Table.metadata,
    session_options={"expire_on_commit": False},
)

T = TypeVar("T")

AnyRow: TypeAlias = Row[*tuple[Any, ...]]  # of a query whose columns the reader names


@contextmanager
def unit_of_work() -> Iterator[Session]:
    """Everything inside is one transaction: all of it is kept, or none.

    Services open it, so that no caller can forget. A unit inside a unit joins it; once an inner
    one has failed, the whole can no longer commit, even if somebody swallows the error.
    """
    session = db.session()
    if session.info.get("in_unit"):
        try:
            yield session
        except BaseException:
            session.info["doomed"] = True
            raise
        return

    # A read may have come before, in a snapshot that is older than this moment and that SQLite
    # would not let us upgrade to a write.
    session.rollback()
    session.info.update(in_unit=True, doomed=False)
    try:
        session.connection(execution_options={"write": True})
        yield session
        if session.info["doomed"]:
            raise RuntimeError("A nested unit of work failed and its error was swallowed.")
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.info["in_unit"] = False


def end_read() -> None:
    """Let go of the snapshot a long-lived reader holds, so that it sees what came since."""
    db.session.rollback()


def get_or_404(table: type[T], wanted: Any, by: InstrumentedAttribute[Any], sentence: str) -> T:
    """The one row whose column `by` equals `wanted`, or a `NotFoundError` with the sentence."""
    row = db.session.scalars(select(table).where(by == wanted)).one_or_none()
    if row is None:
        raise NotFoundError(sentence)
    return row


def is_sqlite() -> bool:
    return db.engine.dialect.name == "sqlite"


def holds(column: Any, word: str) -> ColumnElement[bool]:
    """Whether a text holds a word, in capitals or not."""
    if is_sqlite():
        found: ColumnElement[bool] = column.icontains(word, autoescape=True)
        return found
    return func.strpos(func.lower(column), word.lower()) > 0  # a ninth of the time of ILIKE


class QueueingConnection(sqlite3.Connection):
    """A SQLite connection whose write transactions take turns across threads and processes."""

    _turnstile: int | None = None

    def begin_write(self, database: str) -> None:
        if self._turnstile is None:
            # A lock belongs to the open file, so each connection opens its own.
            self._turnstile = os.open(f"{database}-queue", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._turnstile, fcntl.LOCK_EX)
        try:
            self.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._let_the_next_one_in()
            raise

    def commit(self) -> None:
        try:
            super().commit()
        finally:
            self._let_the_next_one_in()

    def rollback(self) -> None:
        try:
            super().rollback()
        finally:
            self._let_the_next_one_in()

    def close(self) -> None:
        super().close()
        if self._turnstile is not None:
            os.close(self._turnstile)
            self._turnstile = None

    def _let_the_next_one_in(self) -> None:
        if self._turnstile is not None:
            fcntl.flock(self._turnstile, fcntl.LOCK_UN)


def engine_options(url: str) -> dict[str, Any]:
    """What `create_engine` needs for this database."""
    if is_sqlite_url(url):
        return {
            "connect_args": {
                "isolation_level": None,
                "timeout": BUSY_TIMEOUT,
                "factory": QueueingConnection,
                "check_same_thread": False,
            },
            "pool_size": 24,
            "max_overflow": 24,
            "hide_parameters": True,  # an error is logged, and its values may be secret
        }
    return {
        # A host that is gone without a word is found out in seconds, not in a quarter of an hour.
        "connect_args": {
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
        },
        "hide_parameters": True,
        "pool_size": 12,
        "max_overflow": 24,
        "pool_pre_ping": True,
        "pool_recycle": 1800,
    }


def is_sqlite_url(url: str | URL) -> bool:
    return make_url(url).get_backend_name() == "sqlite"


def prepare_engine(engine: Engine) -> None:
    """Attach what each new connection needs."""
    if engine.dialect.name != "sqlite":

        @event.listens_for(engine, "connect")
        def on_connect_to_postgresql(connection: Any, _record: object) -> None:
            # In a statement rather than in `options`, which poolers in between refuse.
            connection.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT:.0f}s'")
            connection.commit()

        return
    database = engine.url.database or ""

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        raw = connection.connection.dbapi_connection
        assert isinstance(raw, QueueingConnection)
        if connection.get_execution_options().get("write"):
            raw.begin_write(database)
        else:
            raw.execute("BEGIN")
