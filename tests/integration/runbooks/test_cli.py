"""`baton runbooks`."""

import pytest

from app.runbooks import queries
from app.runbooks.cli import runbooks


@pytest.fixture
def run(app):
    def call(*arguments):
        return app.test_cli_runner().invoke(runbooks, [str(each) for each in arguments])

    return call


def test_import_tells_what_became_of_each_file(run, latency, write, folder):
    latency()
    write("empty.md", "")

    result = run("import", folder)

    assert result.exit_code == 0
    assert "1 new, 0 changed, 0 unchanged, 1 failed." in result.output
    assert "empty.md failed: It is empty." in result.output
    assert queries.published("latency").author == "Command line"


def test_import_fails_only_when_the_folder_cannot_be_read(run, folder):
    result = run("import", folder)

    assert result.exit_code == 1
    assert "can't be read" in result.output


def test_import_without_a_folder_takes_the_shipped_runbooks(run):
    result = run("import")

    assert result.exit_code == 0
    assert "0 failed." in result.output
    assert queries.published("latency-regression")


def test_list_names_every_runbook(run, write, folder):
    for number in range(60):
        write(f"r{number:02}.md", f"# R{number}\n")
    run("import", folder)

    lines = run("list").output.splitlines()

    assert len(lines) == 60
    assert lines[0].split() == ["r00", "v1", "R0"]
