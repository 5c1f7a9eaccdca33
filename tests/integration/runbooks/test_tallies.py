"""How much lint counts in what came in: told by the import, the folder's page and the reading page."""

import pytest

from app.core.clock import now
from app.people.rules import Role
from app.runbooks import cli, syncing, tallies
from app.runbooks.cli import runbooks
from app.runbooks.tallies import Tally, of_versions
from app.runbooks.views import sync
from tests.support import factories
from tests.support.factories import NOON
from tests.support.runbooks import latency, published

TODAY = NOON.date()
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(tallies, "_kept", {})


@pytest.fixture
def maintainer(signed_in):
    return signed_in(Role.MAINTAINER)


@pytest.fixture
def run(app):
    def invoke(*words):
        return app.test_cli_runner().invoke(runbooks, [str(word) for word in words])

    return invoke


@pytest.mark.parametrize(
    ("errors", "warnings", "words"),
    [
        (0, 0, "nothing found"),
        (1, 0, "1 error"),
        (0, 2, "2 warnings"),
        (3, 1, "3 errors, 1 warning"),
    ],
)
def test_a_tally_in_words(errors, warnings, words):
    assert Tally(errors, warnings).words == words


def test_it_counts_the_version_that_is_asked_for(app):
    published()
    published(latency("TODO"))

    first = of_versions({"latency": 1}, today=TODAY)["latency"]
    second = of_versions({"latency": 2}, today=TODAY)["latency"]

    assert (first.errors, second.errors) == (0, 1)
    assert of_versions({"latency": 3, "none": 1}, today=TODAY) == {}


def test_what_was_counted_is_kept_until_something_around_it_changes(app, monkeypatch):
    published()
    factories.team("serving")
    before = of_versions({"latency": 1}, today=TODAY)["latency"]
    factories.team("data", members=[factories.user()])
    counted = []
    monkeypatch.setattr(
        tallies, "_counted_by_lint", lambda *asked: counted.append(asked) or Tally(9, 9)
    )

    assert of_versions({"latency": 1}, today=TODAY)["latency"] == Tally(9, 9)
    assert of_versions({"latency": 1}, today=TODAY, seconds=0)["latency"] == Tally(9, 9)
    assert before.warnings == 1  # nobody is in the team
    assert len(counted) == 1


def test_the_queries_are_the_same_for_one_or_fifty(app, queries):
    for number in range(50):
        factories.runbook(f"book-{number}")
    one = queries(lambda: of_versions({"book-1": 1}, today=TODAY))

    everything = {f"book-{number}": 1 for number in range(50)}
    assert queries(lambda: of_versions(everything, today=TODAY)) == one


# --- The command


def test_the_import_says_how_much_there_is_to_mend_and_where(run, write, folder):
    write("a.md", "# A\n")
    write("latency.md", latency())

    said = run("import", folder).output

    assert "  a.md: lint says 4 errors, 3 warnings. See http" in said
    assert "/runbooks/a/edit\n" in said
    assert "  latency.md: lint says nothing found.\n" in said
    assert "lint says" not in run("import", folder).output


def test_what_there_is_no_time_for_is_told_with_the_command_that_does_it(
    run, write, folder, monkeypatch
):
    monkeypatch.setattr(cli, "LINT_SECONDS", 0.0)
    write("a.md", "# A\n")
    write("b.md", "# B\n")

    said = run("import", folder)

    assert said.exit_code == 0
    assert (
        f"  2 files were not linted, to save time. See: baton runbooks lint {folder}" in said.output
    )


# --- The pages


@pytest.fixture
def home(app, folder, monkeypatch):
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(syncing, "home", lambda: folder)
    return folder


def test_the_folder_s_page_asks_again_for_what_there_was_no_time_for(
    maintainer, home, write, bring_in, monkeypatch
):
    write("a.md", "# A\n")
    bring_in()
    with monkeypatch.context() as hurry:
        hurry.setattr(sync, "LINT_SECONDS", 0.0)
        page = maintainer.get("/runbooks/sync").text
    part = maintainer.get("/runbooks/sync", headers=HTMX).text

    assert "not looked at yet" in page
    assert 'hx-get="/runbooks/sync" hx-trigger="load"' in page
    assert '<a class="state" data-tone="bad" href="/runbooks/a/edit">' in part
    assert "4 errors, 3 warnings</a>" in part
    assert "hx-get" not in part
    assert "<html" not in part


def test_the_folder_s_page_comes_in_pages(maintainer, home, write, bring_in, monkeypatch):
    monkeypatch.setattr(sync, "ROWS", 2)
    for name in "abc":
        write(f"{name}.md", f"# {name}\n")
    bring_in()

    first = maintainer.get("/runbooks/sync").text
    following = first.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0]
    last = maintainer.get(following).text

    assert "1 to 2 of 3" in first
    assert "3 to 3 of 3" in last
    assert 'href="/runbooks/c"' in last
    assert 'href="/runbooks/a"' not in last


def test_the_folder_s_page_costs_the_same_for_one_or_thirty(
    maintainer, home, write, bring_in, queries
):
    write("a.md", "# A\n")
    bring_in()
    one = queries(lambda: maintainer.get("/runbooks/sync"))
    for number in range(29):
        write(f"b{number}.md", "# B\n")
    bring_in()

    assert queries(lambda: maintainer.get("/runbooks/sync")) <= one


def test_the_reading_page_tells_maintainers_what_lint_says(maintainer, signed_in, app):
    published(latency("TODO"), at=now())

    page = maintainer.get("/runbooks/latency").text
    line = maintainer.get("/runbooks/latency/lint", headers=HTMX).text

    assert 'hx-get="/runbooks/latency/lint"' in page
    assert "Lint:" in line
    assert 'href="/runbooks/latency/edit"' in line
    assert "1 error</a>" in line
    assert maintainer.get("/runbooks/latency/lint").location == "/runbooks/latency/edit"
    viewer = signed_in(Role.VIEWER)
    assert "/runbooks/latency/lint" not in viewer.get("/runbooks/latency").text
    assert viewer.get("/runbooks/latency/lint").status_code == 403


def test_an_older_version_says_nothing_of_lint(maintainer, app):
    published()
    published(latency("Look at p95."))

    assert "/lint" not in maintainer.get("/runbooks/latency/v1").text
    assert "/runbooks/latency/lint" in maintainer.get("/runbooks/latency/v2").text
