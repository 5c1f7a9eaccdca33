"""`baton health`, as somebody types it."""

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from app.cli import main
from app.core.clock import now
from app.core.db import db, end_read
from app.health import service
from app.health.panel_files import EXAMPLE
from app.health.tables import AllowedHost, Panel
from app.people.rules import COMMAND_LINE as BY
from tests.support import factories


@pytest.fixture
def baton(app):
    """The command with these words: its exit code and all that it printed."""

    def run(*words):
        found = CliRunner().invoke(main, ["health", *words], obj=_info(app))
        end_read()
        return found.exit_code, found.output

    return run


def _info(app):
    from flask.cli import ScriptInfo

    return ScriptInfo(create_app=lambda: app)


@pytest.fixture
def file(app, tmp_path):
    service.allow_host("serving.example.com:9000", "", by=BY, at=now())
    factories.model("shop-similar", owner=factories.team())
    path = tmp_path / "panels.yaml"
    path.write_text(EXAMPLE)
    return path


def panels():
    end_read()
    return db.session.scalar(select(func.count()).select_from(Panel))


def test_a_file_is_imported_once_and_printed_again(baton, file, tmp_path):
    code, said = baton("import", str(file), "--dry-run")
    assert (code, panels()) == (0, 0)
    assert "Nothing was written." in said

    code, said = baton("import", str(file))
    assert code == 0
    assert "new  serving-prod" in said
    assert panels() > 5

    code, said = baton("import", str(file))
    assert said.startswith("0 new, 0 changed")

    code, written = baton("export", "--model", "shop-similar")
    again = tmp_path / "again.yaml"
    again.write_text(written)
    assert baton("import", str(again))[1].startswith("0 new, 0 changed")


def test_problems_are_listed_with_their_lines_and_nothing_is_written(baton, file):
    file.write_text(EXAMPLE.replace("recommender", "tea-leaves").replace("9000", "9001"))

    code, said = baton("import", str(file))

    assert code == 1
    assert f"{file}: Line 3: " in said
    assert f"{file}: Line 11: " in said
    assert said.endswith("Nothing was written.\n")
    assert panels() == 0


def test_sources_are_listed_with_their_trouble(baton, app):
    assert baton("sources") == (0, "")
    factories.health_source(slug="prod", trouble="prod:9000 did not answer in time.", failures=3)

    code, said = baton("sources")

    assert code == 1
    assert "prod:9000 did not answer in time." in said


def test_a_look_asks_what_is_due(baton, app):
    factories.health_source(due_at=now())  # its host is not on the list

    code, said = baton("look")

    assert code == 0
    assert said.startswith("Asked 1 source, 1 without an answer.")


def test_a_host_is_allowed(baton, app):
    assert baton("allow", "a.example.com:80", "--why", "A test")[0] == 0
    code, said = baton("allow", "nonsense")

    assert (code, "Give a host and a port" in said) == (1, True)
    assert db.session.scalars(select(AllowedHost.pattern)).all() == ["a.example.com:80"]


def test_export_of_a_model_that_is_not_there_fails_in_plain_words(baton, app):
    assert baton("export", "--model", "nobody") == (1, "Error: There is no model nobody.\n")
