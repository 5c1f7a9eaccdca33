"""A folder and the database: what either side changed is kept, whatever the other did."""

import os
import subprocess

import pytest
from sqlalchemy import func, select

from app.core.db import db, unit_of_work
from app.people.rules import Actor
from app.runbooks import assets, exporting, jobs, publishing, queries, service, syncing
from app.runbooks.merge import CONFLICT
from app.runbooks.rules import Status
from app.runbooks.syncing import Known, State, state_of
from app.runbooks.tables import Runbook, RunbookVersion, VersionEvent

PRIYA = Actor("person", None, "Priya Raman")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def publish_here(app, at):
    """Publish a text as somebody does who edits in the browser."""

    def put(slug, source, parent=None):
        source = source if isinstance(source, bytes) else source.encode()
        text = service.read_text(slug, source, {"kind": "browser"}, "Edited")
        with unit_of_work() as session:
            service.lock(session)
            version = service.write_version(session, text, parent, by=PRIYA, at=at)
            service.move(session, [(text, version, Status.PUBLISHED)], by=PRIYA, at=at)
            return version.number

    return put


@pytest.fixture
def standing(app, folder):
    """How the runbooks stand to the folder, by slug."""

    def look(**more):
        db.session.rollback()
        return {line.slug: line.state for line in syncing.status(folder, **more).lines}

    return look


def statuses(slug="latency"):
    db.session.rollback()
    runbook = db.session.scalars(select(Runbook).where(Runbook.slug == slug)).one()
    return [(line.number, line.status.value) for line in queries.versions(runbook.id)]


def runbook(slug="latency"):
    db.session.rollback()
    return db.session.scalars(select(Runbook).where(Runbook.slug == slug)).one()


def source(number, slug="latency"):
    return queries.source(slug, number).decode()


@pytest.mark.parametrize(
    ("file", "synced", "published", "retired", "state"),
    [
        ("a", "a", "a", False, State.IN_SYNC),
        ("b", "a", "a", False, State.CHANGED_IN_FOLDER),
        ("a", "a", "b", False, State.CHANGED_HERE),
        ("b", "a", "c", False, State.CHANGED_IN_BOTH),
        ("b", "a", "b", False, State.IN_SYNC),
        ("a", None, "a", False, State.IN_SYNC),
        ("a", None, "b", False, State.CHANGED_IN_BOTH),
        ("a", None, None, False, State.NEW),
        ("a", None, None, True, State.NEW),
        ("a", "a", None, True, State.CHANGED_HERE),
        ("b", "a", None, True, State.CHANGED_IN_BOTH),
        (None, "a", "a", False, State.MISSING),
        (None, "a", "b", False, State.MISSING),
        (None, "a", None, True, None),
        (None, None, "a", False, State.ONLY_HERE),
        (None, None, None, False, None),
    ],
)
def test_three_hashes_decide(file, synced, published, retired, state):
    known = Known(1, "x", "X", synced=synced, published=published, is_retired=retired)

    assert state_of(file, known) == state


def test_a_file_that_nobody_knows_is_new():
    assert (state_of("a", None), state_of(None, None)) == (State.NEW, None)


# --- One side changed


def test_what_neither_side_changed_stays_as_it_is(bring_in, latency, standing):
    latency()
    bring_in()

    bring_in()

    assert standing() == {"latency": State.IN_SYNC}
    assert statuses() == [(1, "published")]
    assert runbook().synced_sha256 == queries.version("latency", 1).sha256


def test_what_only_the_folder_changed_is_published(bring_in, latency, standing):
    latency("one")
    bring_in()
    latency("two")
    assert standing() == {"latency": State.CHANGED_IN_FOLDER}

    bring_in()

    assert standing() == {"latency": State.IN_SYNC}
    assert statuses() == [(2, "published"), (1, "retired")]


def test_what_only_the_database_changed_stays_and_is_offered_for_export(
    bring_in, latency, standing, publish_here
):
    path = latency("one")
    bring_in()
    publish_here("latency", path.read_text().replace("one", "two"))

    report = bring_in()

    assert report.here == ["latency"]
    assert "latency changed in Baton only. Export it" in report.lines()[-1]
    assert standing() == {"latency": State.CHANGED_HERE}
    assert statuses() == [(2, "published"), (1, "retired")]


def test_the_same_change_on_both_sides_is_agreed_on(bring_in, latency, standing, publish_here):
    latency("one")
    bring_in()
    publish_here("latency", latency("two").read_bytes())

    bring_in()

    assert standing() == {"latency": State.IN_SYNC}
    assert len(statuses()) == 2
    assert runbook().synced_id == queries.version("latency", 2).id


# --- Both sides changed


@pytest.fixture
def conflict(bring_in, latency, publish_here):
    """v2 was written here and v3 is the file, over v1; v4 holds both. Gives the report."""
    path = latency("At p99.\n\nThen call.")
    bring_in()
    publish_here("latency", path.read_text().replace("At p99.", "At p95."))
    latency("At p50.\n\nThen call Ana.")
    return bring_in()


def test_what_both_changed_stays_published_and_a_draft_holds_both(conflict, standing):
    (one,) = conflict.changed

    assert (one.number, one.published, one.stays) == (4, False, 2)
    assert one.conflicts == ("the step Look",)
    assert "Choose in the step Look." in conflict.lines()[1]
    assert statuses() == [(4, "draft"), (3, "retired"), (2, "published"), (1, "retired")]
    merged = queries.version("latency", 4)
    assert merged.parent_id == queries.version("latency", 2).id
    assert merged.origin == {
        "kind": "folder",
        "path": "latency.md",
        "merge": {"file": 3, "with": 2},
    }
    text = source(4)
    assert CONFLICT.findall(text) == ["v2, published", "from latency.md", "end"]
    assert {"At p95.", "At p50.", "Then call Ana."} <= set(text.split("\n"))
    assert standing() == {"latency": State.CHANGED_IN_BOTH}


def test_the_same_conflict_is_told_again_but_makes_no_further_version(conflict, bring_in, app):
    report = bring_in()

    assert (report.changed, report.waiting) == ([], ["latency"])
    assert "A draft that holds both is still waiting" in report.lines()[-1]
    assert len(statuses()) == 4


def test_a_draft_that_was_edited_and_published_settles_the_conflict(
    conflict, bring_in, standing, publish_here
):
    publish_here("latency", source(2).replace("call", "call Ana"), queries.version("latency", 4))

    report = bring_in()

    assert report.here == ["latency"]
    assert standing() == {"latency": State.CHANGED_HERE}
    assert runbook().synced_id == queries.version("latency", 3).id


def test_a_draft_that_was_given_up_settles_the_conflict_too(conflict, standing, at):
    publishing.drop(queries.version("latency", 4).id, "We keep ours.", by=PRIYA, at=at)

    assert standing() == {"latency": State.CHANGED_HERE}


def test_after_a_conflict_the_file_as_it_came_is_what_the_next_one_is_made_from(
    conflict, bring_in, latency, publish_here
):
    publish_here("latency", source(2).replace("call", "call Ana"), queries.version("latency", 4))
    latency("At p50.\n\nThen call Ana at once.")

    (one,) = bring_in().changed

    assert one.conflicts == ()
    assert "At p95." in source(one.number)
    assert "Then call Ana at once." in source(one.number)


def test_another_change_on_either_side_replaces_the_draft(
    conflict, bring_in, latency, publish_here
):
    latency("At p50.\n\nThen call Bo.")
    bring_in()
    assert statuses()[:3] == [(6, "draft"), (5, "retired"), (4, "retired")]
    publish_here("latency", source(2).replace("At p95", "At p90"), queries.version("latency", 2))

    bring_in()

    assert [number for number, status in statuses() if status == "draft"] == [9]
    assert queries.version("latency", 9).origin["merge"] == {"file": 8, "with": 7}


def test_a_file_whose_change_is_published_already_needs_no_draft(
    bring_in, latency, publish_here, standing
):
    path = latency("At p99.\n\nThen call.")
    bring_in()
    publish_here("latency", path.read_text().replace("p99", "p95").replace("call", "call Ana"))
    latency("At p99.\n\nThen call Ana.")

    report = bring_in()

    assert report.changed == []
    assert standing() == {"latency": State.CHANGED_HERE}
    assert [status for _, status in statuses()] == ["retired", "published", "retired"]


def test_one_conflict_does_not_stop_the_rest(bring_in, latency, write, publish_here):
    path = latency("one")
    write("other.md", "# Other\n")
    bring_in()
    publish_here("latency", path.read_text().replace("one", "two"))
    latency("three")
    write("other.md", "# Other now\n")
    write("fresh.md", "# Fresh\n")

    report = bring_in()

    assert [one.slug for one in report.new] == ["fresh"]
    assert {one.slug: one.published for one in report.changed} == {"latency": False, "other": True}


def test_a_runbook_that_somebody_retired_is_not_brought_back_by_a_changed_file(
    bring_in, latency, standing, at
):
    latency("one")
    bring_in()
    publishing.retire("latency", "Nobody needs it.", by=PRIYA, at=at)
    assert standing() == {"latency": State.CHANGED_HERE}
    latency("two")

    report = bring_in()

    assert [(one.number, one.published) for one in report.changed] == [(2, False)]
    assert "is a draft, because the runbook is retired here" in report.lines()[1]
    assert runbook().published_id is None
    assert bring_in().changed == []


def test_a_file_for_a_runbook_that_was_written_here_is_a_draft(bring_in, publish_here, write):
    publish_here("disk-full", "---\nid: disk-full\n---\n# Disk is full\n")
    write("disk-full.md", "---\nid: disk-full\n---\n# Something else\n")

    (one,) = bring_in().changed

    assert (one.number, one.published, one.is_merge) == (2, False, False)
    assert queries.published("disk-full").title == "Disk is full"


# --- Gone, back and moved


def test_a_file_that_is_gone_retires_its_runbook_and_deletes_nothing(
    bring_in, latency, write, standing
):
    path = latency()
    write("other.md", "# Other\n")
    bring_in()
    path.unlink()
    assert standing()["latency"] is State.MISSING

    report = bring_in()

    assert report.retired == ["latency"]
    assert "latency has no file here any more. It was retired." in report.lines()[-1]
    assert statuses() == [(1, "retired")]
    assert runbook().retired_at is not None
    assert "latency" not in standing()
    assert bring_in().retired == []


def test_a_file_that_comes_back_publishes_the_same_version_again(
    bring_in, latency, write, standing
):
    path = latency()
    write("other.md", "# Other\n")
    bring_in()
    text = path.read_bytes()
    path.unlink()
    bring_in()
    path.write_bytes(text)

    report = bring_in()

    assert [(one.number, one.published) for one in report.changed] == [(1, True)]
    assert statuses() == [(1, "published")]
    assert runbook().retired_at is None
    assert standing()["latency"] is State.IN_SYNC


def test_a_file_that_comes_back_changed_is_a_new_version(bring_in, latency, write):
    path = latency("one")
    write("other.md", "# Other\n")
    bring_in()
    path.unlink()
    bring_in()
    latency("two")

    bring_in()

    assert statuses() == [(2, "published"), (1, "retired")]


def test_also_what_was_edited_here_is_retired_when_its_file_is_gone(
    bring_in, latency, write, publish_here
):
    path = latency("one")
    write("other.md", "# Other\n")
    bring_in()
    publish_here("latency", path.read_text().replace("one", "two"))
    path.unlink()

    assert bring_in().retired == ["latency"]
    assert source(2).count("two") == 1


def test_an_empty_folder_retires_nothing(bring_in, latency):
    latency().parent.joinpath("latency.md")
    bring_in()
    latency().unlink()

    report = bring_in()

    assert (report.retired, report.missing) == ([], ["latency"])
    assert "none was retired" in report.lines()[-1]
    assert statuses() == [(1, "published")]


def test_a_runbook_that_never_had_a_file_is_left_alone(bring_in, write, publish_here, standing):
    publish_here("mine", "# Mine\n")
    write("other.md", "# Other\n")

    assert bring_in().retired == []
    assert standing() == {"mine": State.ONLY_HERE, "other": State.IN_SYNC}


def test_a_file_with_a_known_id_in_another_place_is_that_runbook(bring_in, latency, folder):
    path = latency("one")
    bring_in()
    path.unlink()
    latency("two", name="team/moved.md")

    report = bring_in()

    assert report.moved == [("latency", "team/moved.md")]
    assert statuses() == [(2, "published"), (1, "retired")]
    assert runbook().source_path == "team/moved.md"


def test_a_file_without_an_id_is_known_by_its_text_in_another_place(bring_in, write, standing):
    path = write("disk.md", "# Disk is full\n\nWords.\n")
    write("other.md", "# Other\n")
    bring_in()
    path.rename(path.with_name("storage.md"))

    report = bring_in()

    assert (report.moved, report.new, report.retired) == ([("disk", "storage.md")], [], [])
    assert standing() == {"disk": State.IN_SYNC, "other": State.IN_SYNC}


def test_a_file_that_was_given_another_id_is_another_runbook(bring_in, latency, write):
    path = latency()
    write("other.md", "# Other\n")
    bring_in()
    path.write_text(path.read_text().replace("id: latency\n", "id: slow\n"))

    report = bring_in()

    assert ([one.slug for one in report.new], report.retired) == (["slow"], ["latency"])


# --- Other folders, and rows from before


def test_each_folder_speaks_for_its_own_runbooks_only(
    bring_in, latency, write, tmp_path, at, folder
):
    latency()
    bring_in()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "disk.md").write_text("# Disk\n")
    (elsewhere / "latency.md").write_text("---\nid: latency\n---\n# Taken over\n")

    report = syncing.import_folder(elsewhere, at=at, name="elsewhere")

    assert ([one.slug for one in report.new], report.retired) == (["disk"], [])
    assert report.failed[0].why == "Its id latency is that of a runbook from another folder."
    assert bring_in().retired == []
    (elsewhere / "disk.md").unlink()
    assert syncing.import_folder(elsewhere, at=at, name="elsewhere").retired == ["disk"]
    assert queries.published("latency").number == 1


def test_rows_from_before_both_sides_were_compared_are_understood(
    bring_in, latency, standing, publish_here, app
):
    path = latency("one")
    bring_in()
    publish_here("latency", path.read_text().replace("one", "two"))
    with unit_of_work() as session:
        session.query(Runbook).update({"synced_sha256": None, "synced_id": None})

    assert standing() == {"latency": State.CHANGED_HERE}
    bring_in()
    assert runbook().synced_id == queries.version("latency", 1).id


def test_a_second_import_writes_nothing(bring_in, latency, write, publish_here, app):
    path = latency("one")
    write("other.md", "# Other\n")
    bring_in()
    publish_here("latency", path.read_text().replace("one", "two"))
    latency("three")
    bring_in()
    events = db.session.scalar(select(func.count()).select_from(VersionEvent))

    bring_in()

    assert db.session.scalar(select(func.count()).select_from(VersionEvent)) == events
    assert db.session.scalar(select(func.count()).select_from(RunbookVersion)) == 5


# --- Git


@pytest.fixture
def git(folder):
    folder.mkdir(parents=True, exist_ok=True)

    def run(*arguments):
        who = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org"]
        done = subprocess.run(
            ["git", "-C", str(folder), *who, *arguments], capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    run("init", "-q")
    return run


def test_a_version_knows_the_commit_of_its_file(bring_in, latency, write, git):
    latency()
    write("a b/ö.md", "---\nid: other\n---\n# Other\n")
    git("add", "-A")
    git("commit", "-qm", "One")
    first = git("rev-parse", "HEAD")
    latency("two")
    git("commit", "-qam", "Two")

    bring_in()

    assert queries.version("latency", 1).origin["commit"] == git("rev-parse", "HEAD")
    assert queries.version("other", 1).origin["commit"] == first


def test_what_is_not_committed_has_no_commit(bring_in, latency, git):
    latency()
    git("add", "-A")
    git("commit", "-qm", "One")
    latency("two")

    bring_in()

    assert queries.version("latency", 1).origin == {"kind": "folder", "path": "latency.md"}


def test_without_git_there_is_no_commit(bring_in, latency, monkeypatch):
    monkeypatch.setenv("PATH", "")
    latency()

    bring_in()

    assert "commit" not in queries.version("latency", 1).origin


# --- Pictures


def test_files_beside_a_runbook_come_along_and_stay_with_what_is_edited(
    bring_in, write, publish_here
):
    write("graph.png", PNG)
    write("a.md", "# A\n\n![graph](graph.png)\n")
    bring_in()
    assert "/runbooks/a/v1/files/graph.png" in service.rendered(queries.published("a"))["intro"]

    publish_here("a", "# A\n\nNew. ![graph](graph.png)\n")

    assert "/runbooks/a/v2/files/graph.png" in service.rendered(queries.published("a"))["intro"]


OLD, NEW = PNG + b"old", PNG + b"new"
WITH_PICTURE = "# A\n\n![graph](img/graph.png)\n"


@pytest.fixture
def pictured(bring_in, write):
    """A runbook with a picture, imported."""
    write("img/graph.png", OLD)
    write("a.md", WITH_PICTURE)
    bring_in()


def test_a_picture_that_changed_makes_a_version_with_the_same_text(
    pictured, bring_in, write, standing
):
    write("img/graph.png", NEW)
    assert standing() == {"a": State.CHANGED_IN_FOLDER}

    report = bring_in()

    assert [(one.slug, one.number, one.published) for one in report.changed] == [("a", 2, True)]
    assert statuses("a") == [(2, "published"), (1, "retired")]
    first, second = queries.version("a", 1), queries.version("a", 2)
    assert (second.source, second.sha256) == (first.source, first.sha256)
    assert second.message == "img/graph.png changed beside a.md"
    assert (second.parent_id, runbook("a").synced_id) == (first.id, second.id)
    assert assets.find("a", 1, "img/graph.png").content == OLD
    assert assets.find("a", 2, "img/graph.png").content == NEW
    assert "/runbooks/a/v2/files/img/graph.png" in service.rendered(second)["intro"]
    assert standing() == {"a": State.IN_SYNC}


def test_a_picture_that_did_not_change_makes_no_version(pictured, bring_in, write):
    write("img/graph.png", OLD)

    assert bring_in().unchanged == ["a.md"]
    assert statuses("a") == [(1, "published")]


def test_a_picture_that_was_missing_and_is_there_now_comes_in(bring_in, write, standing):
    write("a.md", "# A\n\n![graph][one]\n\n[one]: img/graph.png\n")
    bring_in()
    write("img/graph.png", NEW)

    bring_in()

    assert assets.find("a", 2, "img/graph.png").content == NEW
    assert standing() == {"a": State.IN_SYNC}


def test_a_picture_that_is_gone_or_is_none_any_more_stays_as_it_was_kept(
    pictured, bring_in, write, standing, folder
):
    write("img/graph.png", b"<svg>")
    bring_in()
    assert standing() == {"a": State.IN_SYNC}

    (folder / "img/graph.png").unlink()
    bring_in()

    assert statuses("a") == [(1, "published")]
    assert assets.find("a", 1, "img/graph.png").content == OLD


def test_a_text_that_comes_later_keeps_a_picture_that_is_gone(pictured, bring_in, write, folder):
    (folder / "img/graph.png").unlink()
    write("a.md", WITH_PICTURE + "\nMore.\n")

    bring_in()

    assert assets.find("a", 2, "img/graph.png").content == OLD


def test_what_is_mentioned_but_not_shown_makes_no_version(bring_in, write):
    write("a.png", OLD)
    write("a.md", "---\nnote: '![x](a.png)'\n---\n# A\n\nWords.\n")
    bring_in()
    write("a.png", NEW)

    assert bring_in().changed == []


def test_a_picture_also_comes_to_a_text_that_was_edited_here(
    pictured, bring_in, write, publish_here, standing, folder
):
    publish_here("a", "# A\n\nEdited. ![graph](img/graph.png)\n")
    write("img/graph.png", NEW)
    [line] = syncing.status(folder).lines
    assert (line.state, line.beside) == (State.CHANGED_HERE, ("img/graph.png",))

    bring_in()

    assert statuses("a")[0] == (3, "published")
    assert source(3, "a") == source(2, "a")
    assert assets.find("a", 3, "img/graph.png").content == NEW
    assert assets.find("a", 2, "img/graph.png").content == OLD
    assert standing() == {"a": State.CHANGED_HERE}
    assert bring_in().changed == []


def test_a_file_that_changes_after_its_picture_did_is_still_held_together(
    pictured, bring_in, write, publish_here, standing
):
    publish_here("a", "# A\n\nEdited. ![graph](img/graph.png)\n")
    write("img/graph.png", NEW)
    bring_in()
    write("a.md", WITH_PICTURE + "\nMore.\n")

    bring_in()

    assert statuses("a")[0] == (5, "draft")
    assert "Edited." in source(5, "a")
    assert "More." in source(5, "a")
    assert standing() == {"a": State.CHANGED_IN_BOTH}


def test_an_edit_that_goes_on_from_it_has_the_new_picture(pictured, bring_in, write, publish_here):
    write("img/graph.png", NEW)
    bring_in()

    publish_here("a", "# A\n\nEdited. ![graph](img/graph.png)\n")

    assert assets.find("a", 3, "img/graph.png").content == NEW


def test_a_file_that_comes_back_with_another_picture_is_a_new_version(
    pictured, bring_in, write, folder
):
    write("b.md", "# B\n")
    (folder / "a.md").unlink()
    bring_in()
    write("img/graph.png", NEW)
    write("a.md", WITH_PICTURE)

    bring_in()

    assert statuses("a")[0] == (2, "published")
    assert assets.find("a", 2, "img/graph.png").content == NEW


def test_what_is_exported_after_it_is_the_file_as_it_came(
    bring_in, write, folder, tmp_path, app, at
):
    write("graph.png", OLD)
    path = write("a.md", b"# A\r\n\r\n![graph](graph.png)  \r\n\r\n\r\n")
    before = path.read_bytes()
    bring_in()
    write("graph.png", NEW)
    bring_in()

    exporting.export_folder(tmp_path / "out", name="out", by=PRIYA, at=at)

    assert (tmp_path / "out/a.md").read_bytes() == before


def test_files_without_pictures_cost_no_query_more(bring_in, write, app, folder, queries):
    write("a.md", "# A\n")
    bring_in()
    db.session.rollback()
    without = queries(lambda: syncing.status(folder))

    write("b.md", WITH_PICTURE)
    write("img/graph.png", OLD)
    bring_in()
    db.session.rollback()

    assert queries(lambda: syncing.status(folder)) == without + 1


# --- Watching


def test_a_picture_that_changed_is_imported_like_a_text(app, folder, write, at):
    watch = jobs.Watch()
    write("a.md", WITH_PICTURE)
    write("img/graph.png", OLD)
    for _ in range(3):
        watch.look(folder, at)
    os.utime(write("img/graph.png", NEW), ns=(1, 1))

    watch.look(folder, at)
    watch.look(folder, at)

    db.session.rollback()
    assert queries.published("a").number == 2


def test_a_link_that_leads_to_another_file_now_counts_as_a_change(app, folder, latency, at):
    path = latency("one")
    for name in ("..one", "..two"):
        (folder / name).mkdir()
    old = path.rename(folder / "..one" / "latency.md")
    (folder / "latency.md").symlink_to("..data/latency.md")
    (folder / "..data").symlink_to("..one")
    watch = jobs.Watch()
    for _ in range(2):
        watch.look(folder, at)
    new = old.read_bytes().replace(b"one", b"two, longer")
    (folder / "..two" / "latency.md").write_bytes(new)
    (folder / "..next").symlink_to("..two")
    (folder / "..next").replace(folder / "..data")

    watch.look(folder, at)
    watch.look(folder, at)

    db.session.rollback()
    assert queries.published("latency").number == 2


def test_a_change_is_imported_when_the_folder_looks_the_same_twice(app, folder, latency, at):
    watch = jobs.Watch()
    watch.look(folder, at)  # it is not there yet
    path = latency("one")
    watch.look(folder, at)
    assert not queries.existing(["latency"])
    watch.look(folder, at)
    assert queries.published("latency").number == 1

    latency("two")
    os.utime(path, ns=(1, 1))
    watch.look(folder, at)
    watch.look(folder, at)

    db.session.rollback()
    assert queries.published("latency").number == 2


def test_a_folder_in_which_nothing_changed_costs_no_query(app, folder, latency, at, queries):
    latency()
    watch = jobs.Watch()
    for _ in range(3):
        watch.look(folder, at)

    assert queries(lambda: watch.look(folder, at)) == 0
