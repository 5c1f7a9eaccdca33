"""What is published goes back into files as it came, and over nobody's work."""

import io
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from app.core.db import db, unit_of_work
from app.people.rules import Actor
from app.runbooks import exporting, service, syncing
from app.runbooks.rules import Status
from app.runbooks.syncing import State

PRIYA = Actor("person", None, "Priya Raman")
SHIPPED = Path(__file__).parents[3] / "runbooks"


@pytest.fixture
def export(app, at):
    def run(path, **more):
        db.session.rollback()
        return exporting.export_folder(path, by=PRIYA, at=at, **more)

    return run


@pytest.fixture
def publish_here(app, at):
    def put(slug, source):
        text = service.read_text(slug, source, {"kind": "browser"}, "Edited")
        with unit_of_work() as session:
            version = service.write_version(session, text, by=PRIYA, at=at)
            service.move(session, [(text, version, Status.PUBLISHED)], by=PRIYA, at=at)

    return put


def state(folder, slug="latency"):
    db.session.rollback()
    return {line.slug: line.state for line in syncing.status(folder).lines}.get(slug)


def edited(path):
    return path.read_bytes().replace(b"p99", b"p95")


def test_all_shipped_runbooks_come_out_byte_for_byte(app, export, tmp_path, at):
    syncing.import_folder(SHIPPED, at=at)

    report = export(tmp_path / "out", name="out")

    names = sorted(path.name for path in SHIPPED.glob("*.md") if path.stem != "README")
    assert sorted(report.written) == names
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (SHIPPED / name).read_bytes()


def test_odd_bytes_come_out_as_they_went_in(bring_in, write, export, tmp_path):
    odd = b"\xef\xbb\xbf---\r\nid: odd\r\nmine: [1,   2] # why\r\n---\r\n# Caf\xe9  \r\n\r\n\r\n"
    write("team/odd.md", odd)
    bring_in()

    export(tmp_path / "out", name="out")

    assert (tmp_path / "out" / "team" / "odd.md").read_bytes() == odd


def test_only_what_was_edited_is_written(bring_in, latency, write, folder, export, publish_here):
    path, other = latency(), write("other.md", "# Other   \n")
    bring_in()
    before = other.stat().st_mtime_ns
    publish_here("latency", edited(path))

    report = export(folder)

    assert (report.written, report.unchanged) == (["latency.md"], ["other.md"])
    assert b"p95" in path.read_bytes()
    assert other.stat().st_mtime_ns == before
    assert state(folder) is State.IN_SYNC
    assert bring_in().changed == []


def test_a_file_that_was_changed_in_the_folder_is_not_written_over(
    bring_in, latency, folder, export, publish_here
):
    path = latency()
    bring_in()
    publish_here("latency", edited(path))
    path.write_bytes(path.read_bytes() + b"\nMore.\n")

    report = export(folder)

    assert [one.path for one in report.refused] == ["latency.md"]
    assert "It was changed in the folder." in report.lines()[1]
    assert b"More." in path.read_bytes()

    assert export(folder, force=True).written == ["latency.md"]
    assert b"More." not in path.read_bytes()
    assert state(folder) is State.IN_SYNC


def test_a_file_that_was_deleted_in_the_folder_is_written_only_if_that_is_asked_for(
    bring_in, latency, folder, export
):
    path = latency()
    bring_in()
    path.unlink()

    assert "It was deleted in the folder." in export(folder).refused[0].why
    assert export(folder, force=True).written == ["latency.md"]
    assert state(folder) is State.IN_SYNC


def test_a_runbook_written_here_gets_a_file_of_its_name(
    bring_in, latency, folder, export, publish_here
):
    latency()
    bring_in()
    publish_here("disk-full", b"---\nid: disk-full\n---\n# Disk is full\n")
    assert state(folder, "disk-full") is State.ONLY_HERE

    export(folder)

    assert (folder / "disk-full.md").read_bytes().endswith(b"# Disk is full\n")
    assert state(folder, "disk-full") is State.IN_SYNC


def test_drafts_and_retired_runbooks_are_not_written(app, export, tmp_path, at):
    service.start_draft("DiskFull", by=PRIYA, at=at)

    assert export(tmp_path / "out").written == []


def test_nothing_is_written_outside_of_the_folder(bring_in, write, folder, export, tmp_path):
    path = write("below/a.md", "# A\n")
    bring_in()
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.rmtree(path.parent)
    (folder / "below").symlink_to(outside)

    report = export(folder, force=True)

    assert [one.why for one in report.refused] == ["A link leads out of the folder."]
    assert list(outside.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(
    bring_in, latency, folder, export, publish_here, monkeypatch
):
    path = latency()
    bring_in()
    publish_here("latency", edited(path))

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    report = export(folder)

    assert report.refused[0].why == "It can't be written: No space left on device."
    assert b"p99" in path.read_bytes()
    assert [each.name for each in folder.iterdir()] == ["latency.md"]


def test_the_archive_holds_what_the_folder_lacks(bring_in, latency, write, folder, publish_here):
    path = latency()
    write("other.md", "# Other\n")
    bring_in()
    publish_here("latency", edited(path))

    packed = zipfile.ZipFile(io.BytesIO(exporting.archive(syncing.look_at(folder))))

    assert packed.namelist() == ["latency.md"]
    assert packed.read("latency.md") == edited(path)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_patch_makes_the_file_what_is_published(bring_in, write, folder, publish_here, end):
    path = write("a.md", b"---\nid: a\n---\n# A\n\nCaf\xe9\r\n\nlast" + end)
    bring_in()
    wanted = path.read_bytes().replace(b"# A", b"# B") + b"more\n"
    publish_here("a", wanted)

    patch = exporting.patch(syncing.look_at(folder), "a")

    subprocess.run(["git", "apply", "-"], input=patch, cwd=folder, check=True)
    assert path.read_bytes() == wanted


def test_a_patch_makes_a_file_that_is_not_there_yet(folder, publish_here):
    folder.mkdir()
    publish_here("a", b"# A\nno end")

    patch = exporting.patch(syncing.look_at(folder), "a")

    subprocess.run(["git", "apply", "-"], input=patch, cwd=folder, check=True)
    assert (folder / "a.md").read_bytes() == b"# A\nno end"


PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def pictured(bring_in, write):
    write("disk/img/graph.png", PNG)
    write("disk/a.md", "# A\n\n![graph](img/graph.png)\n")
    bring_in()


def test_pictures_come_out_beside_their_runbook(pictured, export, tmp_path):
    report = export(tmp_path / "out", name="out")

    assert report.written == ["disk/a.md", "disk/img/graph.png"]
    assert (tmp_path / "out/disk/img/graph.png").read_bytes() == PNG


def test_a_picture_that_is_there_is_the_folder_s_own(pictured, export, tmp_path):
    there = tmp_path / "out/disk/img/graph.png"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"another")

    export(tmp_path / "out", name="out")

    assert there.read_bytes() == b"another"


def test_the_archive_holds_pictures_that_the_folder_lacks(pictured, folder, publish_here):
    publish_here("a", b"# A\n\nNew. ![graph](img/graph.png)\n")
    assert _archived(folder) == ["disk/a.md"]
    (folder / "disk/img/graph.png").unlink()
    assert _archived(folder) == ["disk/a.md", "disk/img/graph.png"]


def _archived(folder):
    db.session.rollback()
    return zipfile.ZipFile(io.BytesIO(exporting.archive(syncing.look_at(folder)))).namelist()


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("img/a.png", "disk/img/a.png"),
        ("../a.png", "a.png"),
        ("../../a.png", None),
        ("/etc/a.png", None),
    ],
)
def test_no_picture_leads_out_of_the_folder(said, found):
    assert exporting._beside("disk/a.md", said) == found
