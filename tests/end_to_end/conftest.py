"""Whole installations for the tests of this folder, on SQLite and on PostgreSQL."""

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.support.processes import Baton, TlsPager, database_on, tls_pager

HERE = Path(__file__).parent
_databases = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.end_to_end)


def pytest_runtest_setup() -> None:
    if sys.platform != "linux":
        pytest.skip("End-to-end tests watch processes through /proc, which only Linux has.")


@pytest.fixture(scope="session")
def new_database(database: str, request: pytest.FixtureRequest) -> Callable[[], str]:
    """An empty database of the kind at hand, as BATON_DATABASE_URL names it."""

    def make() -> str:
        if database == "sqlite":
            return ""  # Baton's default: a file in its var folder
        server = request.getfixturevalue("postgres_server")
        return database_on(server, f"end_to_end_{next(_databases)}")

    return make


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Callable[..., Baton]]:
    """Makes installations that have not been started, and ends them after the test."""
    made: list[Baton] = []

    def install(name: str = "var", **settings: str) -> Baton:
        made.append(Baton(tmp_path / name, **settings))
        return made[-1]

    yield install
    for baton in made:
        baton.end()


@pytest.fixture(scope="module")
def pager(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsPager]:
    with tls_pager(tmp_path_factory.mktemp("pager")) as pager:
        yield pager
