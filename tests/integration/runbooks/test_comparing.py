"""The pages that show what differs: between two versions, and between the folder and Baton."""

import io
import re
import zipfile
from datetime import timedelta
from html import unescape

import pytest

from app.core.clock import now
from app.core.db import unit_of_work
from app.people.rules import Actor, Role
from app.runbooks import queries, service, syncing
from app.runbooks.rules import Status
from app.runbooks.runs.rules import Mode, RunStatus
from tests.support import factories

PRIYA = Actor("person", None, "Priya Raman")


@pytest.fixture
def reader(signed_in):
    return signed_in(Role.VIEWER)


@pytest.fixture
def maintainer(signed_in):
    return signed_in(Role.MAINTAINER)


@pytest.fixture
def home(app, folder, monkeypatch):
    """Let the folder of the test be the portal's own."""
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(syncing, "home", lambda: folder)
    return folder


def text_of(html):
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", html).split()))


@pytest.fixture
def two_versions(bring_in, latency):
    path = latency("Look at p99.")
    bring_in()
    text = path.read_text().replace("p99.\n", "p95.\n").replace("severity: sev2", "severity: sev1")
    text = text.replace("kubectl rollout", "kubectl -v rollout")
    path.write_text(text + "\n### New\n<!-- step id=new -->\nCall <b>Ana</b>.\n")
    bring_in()


def test_what_changed_is_shown_by_step(reader, two_versions):
    page = reader.get("/runbooks/latency/diff/v1..v2")

    words = text_of(page.text)
    assert page.status_code == 200
    assert "Changes from v1 to v2" in words
    assert "Added 1 step Changed 2 steps Removed 0 steps Moved 0 steps Same 1 step" in words
    assert "Step 2 is the same" in words
    assert "A risky step is among them: Go back." in words
    assert "Command changed" in words
    assert re.search(r"severity\s+sev2\s+sev1", words)
    assert "<ins>p95" in page.text
    assert "Call &lt;b&gt;Ana&lt;/b&gt;." in page.text


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("drill", "Proven by a drill 12 days ago"),
        ("incident", "Proven by an incident 12 days ago"),
    ],
)
def test_the_newer_version_says_what_has_proven_it(reader, two_versions, how, words):
    version = queries.version("latency", 2)
    factories.verification(factories.run(version), at=now() - timedelta(days=12, hours=1), how=how)

    assert words in text_of(reader.get("/runbooks/latency/diff/v1..v2").text)
    assert "No drill has run v1 yet." in text_of(reader.get("/runbooks/latency/diff/v2..v1").text)


def test_a_version_that_nothing_has_proven_says_which_of_its_steps_are_unproven(
    reader, two_versions
):
    def said():
        return text_of(reader.get("/runbooks/latency/diff/v1..v2").text)

    assert "No drill has run v2 yet. Steps 1, 3 and 4 are unproven." in said()

    factories.run(queries.version("latency", 2), mode=Mode.DRILL, status=RunStatus.LEFT)
    assert "v2 was drilled, and nothing has proven it yet." in said()


def test_what_changed_is_shown_by_line(reader, two_versions):
    page = reader.get("/runbooks/latency/diff/v1..v2?by=line").text

    assert 'aria-current="true">Source' in page
    assert re.search(r"dl--del.*Look at p99\..*dl--add.*Look at p95\.", page, re.DOTALL)


def test_two_versions_are_chosen_with_a_form(reader, two_versions):
    asked = reader.get("/runbooks/latency/diff?from=v2&to=v1&by=line")

    assert asked.location == "/runbooks/latency/diff/v2..v1?by=line"
    assert reader.get(asked.location).status_code == 200
    assert reader.get("/runbooks/latency/diff").location == "/runbooks/latency/diff/v1..v2"


@pytest.mark.parametrize(
    "path", ["diff/v1..v3", "diff/v0..v1", "diff/v1", "diff?from=x", f"diff/v1..v{10**30}"]
)
def test_a_version_that_there_is_not_is_not_compared(reader, two_versions, path):
    assert reader.get(f"/runbooks/latency/{path}", follow_redirects=True).status_code == 404


def test_the_version_list_leads_to_what_changed(reader, two_versions):
    assert 'href="/runbooks/latency/diff/v1..v2"' in reader.get("/runbooks/latency").text


def test_a_draft_that_holds_both_sides_says_so(maintainer, bring_in, latency, at):
    path = latency("one")
    bring_in()
    publish(path.read_bytes().replace(b"one", b"two"), at)
    latency("three")
    bring_in()

    page = text_of(maintainer.get("/runbooks/latency/diff/v2..v4").text)

    assert "The file and v2 were both changed. v4 holds them together." in page
    assert "Draft" in page


def publish(source, at):
    text = service.read_text("latency", source, {"kind": "browser"}, "Edited")
    with unit_of_work() as session:
        version = service.write_version(session, text, by=PRIYA, at=at)
        service.move(session, [(text, version, Status.PUBLISHED)], by=PRIYA, at=at)


def test_the_folder_is_compared_file_by_file(maintainer, home, bring_in, latency, write, at):
    path = latency("one")
    write("other.md", "# Other\n")
    bring_in()
    publish(path.read_bytes().replace(b"one", b"two"), at)
    write("other.md", "# Other now\n")
    write("fresh.md", "# Fresh\n")
    write("empty.md", "")

    words = text_of(maintainer.get("/runbooks/sync").text)

    assert re.search(
        r"Latency is high latency.md Changed here v2 \d errors?, \d warnings? Export it", words
    )
    assert (
        "Other other.md Changed in the folder v1 4 errors, 3 warnings An import publishes it."
        in words
    )
    assert "fresh fresh.md Not imported yet nothing nothing An import publishes it." in words
    assert "empty.md It is empty." in words
    assert "Export 1 as zip" in words


def test_the_folder_is_imported_from_the_page(maintainer, home, latency):
    latency()

    page = maintainer.post("/runbooks/sync/import", follow_redirects=True)

    assert "Imported: 1 new." in text_of(page.text)
    assert "All in sync" in text_of(page.text)
    assert queries.published("latency").number == 1


def test_what_changed_here_is_downloaded(maintainer, home, bring_in, latency, at):
    path = latency("one")
    bring_in()
    publish(path.read_bytes().replace(b"one", b"two"), at)

    archive = zipfile.ZipFile(io.BytesIO(maintainer.get("/runbooks/sync/export.zip").data))
    patch = maintainer.get("/runbooks/latency/sync.patch").text

    assert archive.namelist() == ["latency.md"]
    assert "\n-one\n+two\n" in patch
    assert maintainer.get("/runbooks/nothing/sync.patch").status_code == 404


def test_a_folder_that_is_gone_is_told(maintainer, home):
    home.rmdir()

    page = maintainer.get("/runbooks/sync")

    assert page.status_code == 200
    assert "can't be read" in text_of(page.text)


@pytest.mark.parametrize("path", ["/runbooks/sync", "/runbooks/sync/export.zip"])
def test_the_folder_is_for_maintainers(reader, path):
    assert reader.get(path).status_code == 403
    assert reader.post("/runbooks/sync/import").status_code == 403
