"""Alembic's entry: one set of migrations for SQLite and PostgreSQL."""

from typing import Any

from alembic import context
from flask import current_app
from sqlalchemy import JSON, BigInteger, Enum, text

from app.core.db import UtcDateTime, db


def ours(_object: object, name: str | None, kind: str, reflected: bool, _to: object) -> bool:
    """On SQLite, DBOS keeps its tables beside ours: what only the database knows is not ours."""
    return not (kind == "table" and reflected and name not in db.metadata.tables)


def render(kind: str, thing: Any, autogen_context: Any) -> str | bool:
    if kind != "type":
        return False
    if isinstance(thing, UtcDateTime):
        autogen_context.imports.add("from app.core.db import UtcDateTime")
        return "UtcDateTime()"
    if isinstance(thing, JSON):
        autogen_context.imports.add("from app.core.db import Json")
        return "Json"
    if isinstance(thing, BigInteger):
        autogen_context.imports.add("from app.core.db import BigId")
        return "BigId"
    if isinstance(thing, Enum):
        return f"sa.String({thing.length})"  # states are kept by value, as text
    return False


assert current_app
with db.engine.connect() as connection:
    connection = connection.execution_options(write=True)
    if connection.dialect.name == "postgresql":
        connection.execute(
            text("SET statement_timeout = 0")
        )  # a change of a large table takes time
    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        render_as_batch=True,
        include_object=ours,
        render_item=render,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
