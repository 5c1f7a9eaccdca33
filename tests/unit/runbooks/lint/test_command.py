"""`baton runbooks lint` in the CI of a repository of runbooks."""

import json

import pytest
from click.testing import CliRunner

from app.runbooks.lint.cli import command
from tests.unit.runbooks.lint.examples import GOOD, changed

BAD = changed(("Write the cause", "TODO: 100%, now:\nWrite the cause"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "drift.png").touch()
    (tmp_path / "latency.md").write_text(GOOD.replace("id: drift", "id: latency"))
    (tmp_path / "drift.md").write_text(GOOD)
    (tmp_path / "README.md").write_text("# About\n")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(command, [str(each) for each in arguments], catch_exceptions=False)


def test_good_runbooks_pass(folder):
    found = run(folder)

    assert (found.exit_code, found.output) == (0, "2 files: 0 errors, 0 warnings.\n")


def test_an_error_fails_the_check_and_names_its_line(folder):
    (folder / "drift.md").write_text(BAD)

    found = run(folder / "drift.md", "--format", "text")

    assert found.exit_code == 1
    assert f"{folder}/drift.md:80: error RB20: `TODO` is left here" in found.stdout
    assert "1 file: 1 error, 0 warnings." in found.stdout


def test_warnings_alone_pass(folder):
    (folder / "drift.md").write_text(changed(("```bash\ndeploy freeze", "```\ndeploy freeze")))

    found = run(folder)

    assert found.exit_code == 0
    assert "2 files: 0 errors, 1 warning." in found.stdout


def test_links_are_looked_for_in_the_folder(folder):
    (folder / "img" / "drift.png").unlink()
    (folder / "latency.md").unlink()

    found = run(folder)

    assert found.exit_code == 1
    assert found.stdout.count("RB14") == 2


def test_an_id_belongs_to_one_file(folder):
    below = folder / "team"
    below.mkdir()
    (below / "drift.md").write_text(
        changed(("](latency.md)", "](../latency.md)"), ("(img/", "(../img/"))
    )

    found = run(folder)

    assert found.stdout.count("RB02: Another runbook has the id `drift`") == 2


def test_annotations_for_github_name_file_line_and_rule(folder):
    path = folder / "drift, too.md"
    path.write_text(BAD.replace("id: drift", "id: drift-too"))

    found = run(path, "--format", "github")

    assert found.exit_code == 1
    assert f"::error file={folder}/drift%2C too.md,line=80,title=RB20::`TODO`" in found.stdout
    assert all(line.startswith("::") for line in found.stdout.splitlines())


def test_json_holds_all_that_was_found(folder):
    (folder / "drift.md").write_text(changed(("id: drift\n", "id: drifts\n")))

    found = json.loads(run(folder, "--format", "json").stdout)

    assert (found["files"], found["errors"], found["warnings"]) == (2, 1, 0)
    [one] = found["findings"]
    assert (one["path"], one["rule"], one["level"], one["line"]) == (
        f"{folder}/drift.md",
        "RB02",
        "error",
        3,
    )
    assert one["fix"]["replacement"] == "id: drift\n"


def test_a_path_that_cannot_be_read_is_told_and_the_rest_is_checked(folder):
    found = run(folder / "gone.md", folder / "drift.md")

    assert found.exit_code == 2
    assert "gone.md can't be read: no such file or directory." in found.stderr
    assert "1 file: 0 errors, 0 warnings." in found.stdout
