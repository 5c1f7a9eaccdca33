"""Writing many rows with one statement.

SQLAlchemy prepares each value of each row in Python, which costs more than the databases do. Here
a statement is built once from its table; then SQLite gets tuples for `executemany`, and
PostgreSQL gets one binary array for each column (3.5 times the rows a second of text arrays).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import cached_property, lru_cache
from typing import Any, cast

from pydantic_core import to_json
from sqlalchemy import JSON, Boolean, Column, Connection, Float, Integer, LargeBinary, Table
from sqlalchemy import Enum as EnumType

from app.core.db import Table as DeclaredTable
from app.core.db import UtcDateTime

Row = Mapping[str, Any]


class Bulk:
    """An INSERT of these columns, with what it does `on_conflict`, as both databases spell it."""

    def __init__(
        self, table: type[DeclaredTable], columns: Sequence[str], on_conflict: str = ""
    ) -> None:
        self._table = cast(Table, table.__table__)
        self._columns = [self._table.c[name] for name in columns]
        self._on_conflict = on_conflict

    def write(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Write the rows. Each has a value for every column."""
        if connection.dialect.name == "sqlite":
            values = by_column(self._columns, rows, FOR_SQLITE)
            connection.exec_driver_sql(self._for_sqlite, list(zip(*values, strict=True)))
        else:
            values = by_column(self._columns, rows, FOR_POSTGRESQL)
            connection.exec_driver_sql(self._for_postgresql, tuple(values))

    @cached_property
    def _for_sqlite(self) -> str:
        marks = ", ".join("?" for _ in self._columns)
        return f"{self._into} VALUES ({marks}) {self._on_conflict}"

    @cached_property
    def _for_postgresql(self) -> str:
        values = ", ".join(_given(column) for column in self._columns)
        return f"{self._into} SELECT {values} FROM {unnested(self._columns)} {self._on_conflict}"

    @property
    def _into(self) -> str:
        return f"INSERT INTO {self._table.name} ({_names(self._columns)})"


class BulkUpdate:
    """An UPDATE that sets these columns, row by row, where the `keys` are those of the row."""

    def __init__(
        self,
        table: type[DeclaredTable],
        keys: Sequence[str],
        columns: Sequence[str],
        also: str = "",
    ) -> None:
        self._table = cast(Table, table.__table__)
        self._keys = [self._table.c[name] for name in keys]
        self._columns = [self._table.c[name] for name in columns]
        self._also = also  # a further condition

    def write(self, connection: Connection, rows: Sequence[Row]) -> None:
        every = [*self._columns, *self._keys]
        if connection.dialect.name == "sqlite":
            values = by_column(every, rows, FOR_SQLITE)
            connection.exec_driver_sql(self._for_sqlite, list(zip(*values, strict=True)))
        else:
            values = by_column(every, rows, FOR_POSTGRESQL)
            connection.exec_driver_sql(self._for_postgresql, tuple(values))

    @cached_property
    def _for_sqlite(self) -> str:
        setting = ", ".join(f'"{column.name}" = ?' for column in self._columns)
        where = " AND ".join(f"{column.name} = ?" for column in self._keys)
        return f"UPDATE {self._table.name} SET {setting} WHERE {where} {self._also}"

    @cached_property
    def _for_postgresql(self) -> str:
        setting = ", ".join(f'"{column.name}" = {_given(column)}' for column in self._columns)
        where = " AND ".join(
            f"{self._table.name}.{column.name} = {_given(column)}" for column in self._keys
        )
        given = unnested([*self._columns, *self._keys])
        return f"UPDATE {self._table.name} SET {setting} FROM {given} WHERE {where} {self._also}"


class BulkRead:
    """A SELECT of these columns of the rows whose `keys` are given.

    SQLAlchemy's `tuple_().in_()` is too deep for PostgreSQL with 8,000 of them, and slow to
    prepare with fewer.
    """

    def __init__(
        self,
        table: type[DeclaredTable],
        keys: Sequence[str],
        columns: Sequence[str],
        also: str = "",
    ) -> None:
        self._table = cast(Table, table.__table__)
        self._keys = [self._table.c[name] for name in keys]
        self._columns = [self._table.c[name] for name in columns]
        self._also = also  # a further condition
        self._moments = [
            place
            for place, name in enumerate(columns)
            if isinstance(self._table.c[name].type, UtcDateTime)
        ]

    def read(self, connection: Connection, keys: Iterable[Sequence[Any]]) -> list[Any]:
        """A tuple of the columns' values for each row that is there, in no order."""
        wanted = list(keys)
        if not wanted:
            return []
        if connection.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(self._for_sqlite, (_json(wanted),)).all()
            return [self._with_moments(row) for row in rows] if self._moments else list(rows)
        given = tuple([list(values) for values in zip(*wanted, strict=True)])
        return list(connection.exec_driver_sql(self._for_postgresql, given).all())

    def _with_moments(self, row: Sequence[Any]) -> tuple[Any, ...]:
        values = list(row)
        for place in self._moments:
            if values[place] is not None:
                values[place] = datetime.fromisoformat(values[place]).replace(tzinfo=UTC)
        return tuple(values)

    @property
    def _selected(self) -> str:
        return ", ".join(f'{self._table.name}."{column.name}"' for column in self._columns)

    @cached_property
    def _for_sqlite(self) -> str:
        keys = ", ".join(f'{self._table.name}."{column.name}"' for column in self._keys)
        values = ", ".join(f"value ->> {place}" for place in range(len(self._keys)))
        return (
            f"SELECT {self._selected} FROM {self._table.name} "
            f"WHERE ({keys}) IN (SELECT {values} FROM json_each(?)) {self._also}"
        )

    @cached_property
    def _for_postgresql(self) -> str:
        on = " AND ".join(
            f'{self._table.name}."{column.name}" = given."{column.name}"' for column in self._keys
        )
        return (
            f"SELECT {self._selected} FROM {unnested(self._keys)} "
            f"JOIN {self._table.name} ON {on} {self._also}"
        )


def _names(columns: Iterable[Column[Any]]) -> str:
    return ", ".join(f'"{column.name}"' for column in columns)


def _given(column: Column[Any]) -> str:
    cast_to = "::jsonb" if isinstance(column.type, JSON) else ""
    return f'given."{column.name}"{cast_to}'


def unnested(columns: Sequence[Column[Any]]) -> str:
    """For PostgreSQL: one binary array for each column, seen as a table called `given`."""
    marks = ", ".join(f"%b::{_array_type(column)}[]" for column in columns)
    return f"unnest({marks}) AS given({_names(columns)})"


def _array_type(column: Column[Any]) -> str:
    match column.type:
        case Boolean():
            return "boolean"
        case Integer():
            return "bigint"
        case Float():
            return "float8"
        case LargeBinary():
            return "bytea"
        case UtcDateTime():
            return "timestamptz"
        case _:
            return "text"


def by_column(
    columns: Sequence[Column[Any]],
    rows: Sequence[Row],
    converters: Mapping[type, Callable[[Any], Any]],
) -> list[list[Any]]:
    """The values of each column, as the driver takes them. Most need nothing done to them."""
    found = []
    for column in columns:
        values = [row[column.name] for row in rows]
        convert = converters.get(_kind(column))
        found.append([convert(value) for value in values] if convert else values)
    return found


def _kind(column: Column[Any]) -> type:
    return JSON if isinstance(column.type, JSON) else type(column.type)


def _value(member: Enum) -> Any:
    return member.value


def _json(value: Any) -> str:
    return to_json(value).decode()


@lru_cache(4096)
def _moment(value: datetime | None) -> str | None:
    """The text in which SQLAlchemy keeps a moment on SQLite."""
    if value is None:
        return None
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


FOR_POSTGRESQL: dict[type, Callable[[Any], Any]] = {JSON: _json, EnumType: _value}
FOR_SQLITE: dict[type, Callable[[Any], Any]] = {**FOR_POSTGRESQL, UtcDateTime: _moment}
