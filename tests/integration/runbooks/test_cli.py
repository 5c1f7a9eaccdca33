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


def test_status_says_how_each_runbook_stands_and_fails_while_one_differs(
    run, latency, write, folder
):
    latency()
    write("other.md", "# Other\n")
    run("import", folder)
    assert run("status", folder).exit_code == 0
    latency("Changed.")
    write("fresh.md", "# Fresh\n")

    result = run("status", folder)

    assert result.exit_code == 1
    assert [line.split(maxsplit=1)[1].split("  ")[0] for line in result.output.splitlines()] == [
        "not imported yet",
        "changed in the folder",
        "in sync",
    ]


def test_status_of_the_shipped_runbooks_is_in_sync_after_their_import(run):
    run("import")

    assert run("status").exit_code == 0


def test_export_writes_a_folder_and_fails_when_it_leaves_a_file_alone(run, latency, tmp_path):
    path = latency()
    run("import", path.parent)
    out = tmp_path / "out"

    assert "1 written, 0 unchanged, 0 not written." in run("export", out).output
    assert (out / "latency.md").read_bytes() == path.read_bytes()
    (out / "latency.md").write_text("# Mine\n")
    result = run("export", out)
    assert result.exit_code == 1
    assert "latency.md was not written: It was changed in the folder." in result.output
    assert run("export", out, "--force").exit_code == 0
