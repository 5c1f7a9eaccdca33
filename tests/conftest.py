"""Fixtures: an app on a migrated database, once on SQLite and once on PostgreSQL."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy import create_engine, event, text
from xdist.scheduler import LoadFileScheduling

from app import create_app
from app.alerts.keys import keys
from app.alerts.routing import forget_router
from app.config import Settings
from app.core import migrations
from app.core.db import db
from app.integrations import Gateways
from app.people.rules import Role
from tests.support import factories, postgres
from tests.support.fakes import FakePager

DATABASES = ("sqlite", "postgresql")


@pytest.fixture
def at() -> datetime:
    return datetime(2026, 3, 12, 2, 14, tzinfo=UTC)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=DATABASES, help="test on this database only")


class OneBrowser(LoadFileScheduling):
    """Tests of one file stay in one process, and so do all that share Chromium and its site."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "tests/browser" if file.startswith("tests/browser/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneBrowser:
    return OneBrowser(config, log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database" in metafunc.fixturenames:
        only = metafunc.config.getoption("--database")
        metafunc.parametrize(
            "database", [only] if only else DATABASES, indirect=True, scope="session"
        )


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    url, stop = postgres.start()
    yield url
    stop()


@pytest.fixture(scope="session")
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def _app_on(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Flask]]:
    """One app a database for the whole session, whatever order the tests come in."""
    made: dict[str, Flask] = {}

    def app_on(database: str) -> Flask:
        if database not in made:
            made[database] = _make_app(database, tmp_path_factory.mktemp(database), request)
        return made[database]

    yield app_on
    for app in made.values():
        with app.app_context():
            db.engine.dispose()


def _make_app(database: str, var: Path, request: pytest.FixtureRequest) -> Flask:
    if database == "sqlite":
        url = f"sqlite:///{var}/baton.sqlite3"
    else:
        server = request.getfixturevalue("postgres_server")
        admin = create_engine(server, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text("CREATE DATABASE baton"))
        admin.dispose()
        url = server.replace("/postgres?", "/baton?")
    settings = Settings(
        database_url=url,
        var=var,
        secret_key=SecretStr("a key for tests, 32 characters or more"),
        base_url="https://baton.test",
        development=True,
    )
    app = create_app(settings, Gateways(pager=FakePager()))
    app.testing = True
    app.config["WTF_CSRF_ENABLED"] = False  # its own test turns it on
    with app.app_context():
        migrations.migrate()
    if database == "sqlite":
        shutil.copy(var / "baton.sqlite3", var / "empty.sqlite3")
    return app


@pytest.fixture
def app(_app_on: Callable[[str], Flask], database: str) -> Iterator[Flask]:
    """The app with an empty database, in its application context."""
    app = _app_on(database)
    with app.app_context():
        _empty(app, database)
        app.extensions["gateways"] = Gateways(pager=FakePager())
        keys.forget()
        forget_router()
        yield app
        db.session.remove()


def _empty(app: Flask, database: str) -> None:
    if database == "sqlite":
        db.engine.dispose()
        var = Path(app.config["SETTINGS"].var)
        for leftover in ("baton.sqlite3-wal", "baton.sqlite3-shm"):
            (var / leftover).unlink(missing_ok=True)
        shutil.copy(var / "empty.sqlite3", var / "baton.sqlite3")
        return
    tables = [f"'{table.name}'" for table in db.metadata.sorted_tables]
    with db.engine.begin() as connection:
        connection.execute(text(EMPTY.replace("TABLES", ", ".join([*tables, "'runbook_search'"]))))


# Ten times as quick as TRUNCATE, which makes new files for every table and every index.
EMPTY = """
DO $$
DECLARE
    name text;
    filled boolean;
    counter text;
BEGIN
    SET LOCAL session_replication_role = replica;  -- no foreign keys, no triggers
    FOREACH name IN ARRAY ARRAY[TABLES] LOOP
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I)', name) INTO filled;
        IF filled THEN
            EXECUTE format('DELETE FROM %I', name);
        END IF;
    END LOOP;
    DELETE FROM dbos.workflow_status;
    FOR counter IN SELECT sequencename FROM pg_sequences
        WHERE schemaname = 'public' AND last_value IS NOT NULL LOOP
        EXECUTE format('ALTER SEQUENCE %I RESTART', counter);
    END LOOP;
END $$
"""


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser that nobody has signed in with, on https as the session cookie wants."""
    return app.test_client()


@pytest.fixture
def signed_in(app: Flask) -> Callable[[Role], FlaskClient]:
    """A browser in which a person of that role is signed in."""

    def sign_in(role: Role = Role.RESPONDER) -> FlaskClient:
        person = factories.user(role=role)
        client = app.test_client()
        factories.sign_in(client, person)
        return client

    return sign_in


@pytest.fixture
def token(app: Flask) -> Callable[..., dict[str, str]]:
    """Headers of an API token with these scopes."""
    return factories.token_headers


@pytest.fixture
def queries(app: Flask) -> Callable[[Callable[[], object]], int]:
    """How many statements a call sends to the database."""

    def count(call: Callable[[], object]) -> int:
        statements: list[str] = []

        def remember(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
            statements.append(statement)

        event.listen(db.engine, "before_cursor_execute", remember)
        try:
            call()
        finally:
            event.remove(db.engine, "before_cursor_execute", remember)
        count.statements = statements  # for whoever wonders what they were
        return len(statements)

    return count
