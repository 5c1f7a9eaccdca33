"""A folder becomes published versions, and no version is ever lost or made twice."""

from threading import Barrier, Thread

import pytest
from sqlalchemy import func, select

from app.core.db import db, unit_of_work
from app.core.errors import NotFoundError, RefusedError
from app.people.rules import COMMAND_LINE, Actor
from app.people.tables import AuditEntry
from app.runbooks import queries, service, syncing
from app.runbooks.rendering import RENDERER
from app.runbooks.rules import Status, StepKind
from app.runbooks.tables import (
    Runbook,
    RunbookRendering,
    RunbookStep,
    RunbookVersion,
    VersionEvent,
)
from tests.support.runbooks import foreign

PRIYA = Actor("person", None, "Priya Raman")


def count(table):
    return db.session.scalar(select(func.count()).select_from(table))


def outcome(report):
    return (
        [one.slug for one in report.new],
        [(one.slug, one.number) for one in report.changed],
        report.unchanged,
        [one.path for one in report.failed],
        report.missing,
    )


def test_a_new_file_becomes_a_published_version(bring_in, latency, at):
    path = latency()

    report = bring_in()

    assert outcome(report) == (["latency"], [], [], [], [])
    version = queries.published("latency")
    runbook = version.runbook
    assert (version.number, version.title, version.author) == (1, "Latency is high", "Baton")
    assert version.origin == {"kind": "folder", "path": "latency.md"}
    assert queries.source("latency", 1) == path.read_bytes()
    assert (runbook.title, runbook.failure_mode, runbook.owner, runbook.source_path) == (
        "Latency is high",
        "latency_regression",
        "serving",
        "latency.md",
    )
    assert [(s.position, s.step_id, s.kind, s.risk, s.minutes) for s in version.steps] == [
        (1, "look", StepKind.CHECK, None, 2),
        (2, "which", StepKind.DECISION, None, None),
        (3, "back", StepKind.ACTION, "high", 5),
    ]
    assert version.steps[2].attributes["undo"] == "look"
    assert [signal.alertname for signal in version.signals] == ["recsyshomep99high"]
    assert version.signals[0].condition == {"alertname": "RecsysHomeP99High"}
    events = db.session.scalars(select(VersionEvent).order_by(VersionEvent.id)).all()
    assert [event.status for event in events] == [Status.DRAFT, Status.PUBLISHED]
    assert {event.at for event in events} == {at}


def test_the_same_folder_again_makes_no_version(bring_in, latency):
    latency()
    bring_in()

    report = bring_in()

    assert outcome(report) == ([], [], ["latency.md"], [], [])
    assert (count(RunbookVersion), count(VersionEvent), count(AuditEntry)) == (1, 2, 1)


def test_other_line_ends_and_blanks_make_no_version(bring_in, latency):
    path = latency()
    bring_in()
    path.write_bytes(path.read_bytes().replace(b"\n", b"  \r\n") + b"\r\n\r\n")

    assert outcome(bring_in()) == ([], [], ["latency.md"], [], [])


def test_a_changed_file_becomes_the_next_version_and_the_old_one_stays(bring_in, latency):
    before = latency("Look at p99.").read_bytes()
    bring_in()
    latency("Look at p95.")

    report = bring_in(by=COMMAND_LINE)

    assert outcome(report) == ([], [("latency", 2)], [], [], [])
    old, new = queries.version("latency", 1), queries.version("latency", 2)
    assert queries.published("latency").id == new.id
    assert new.parent_id == old.id
    assert (new.author, queries.source("latency", 1)) == ("Command line", before)
    assert [(line.number, line.status) for line in queries.versions(new.runbook_id)] == [
        (2, Status.PUBLISHED),
        (1, Status.RETIRED),
    ]
    assert (old.steps[0].body, new.steps[0].body) == ("Look at p99.", "Look at p95.")


def test_going_back_to_an_older_text_makes_a_version_too(bring_in, latency):
    for text in ("one", "two", "one"):
        latency(text)
        bring_in()

    assert queries.published("latency").number == 3
    assert queries.version("latency", 3).sha256 == queries.version("latency", 1).sha256


def test_one_bad_file_does_not_stop_the_rest(bring_in, latency, write, folder):
    latency()
    write("a-picture.md", b"\x89PNG\r\n\x00\x00")
    write("empty.md", b"\xef\xbb\xbf \n")
    write("huge.md", b"a" * (256 * 1024 + 1))
    write("slow.md", b"![[" * 80_000)
    write("same-id.md", "---\nid: latency\n---\n# Other\n")
    write("???.md", "# No letters\n")
    (folder / "dangling.md").symlink_to(folder / "gone.md")
    (folder.parent / "secret_key").write_text("a secret of this host")
    (folder / "key.md").symlink_to(folder.parent / "secret_key")

    report = bring_in()

    assert [one.slug for one in report.new] == ["latency"]
    assert {one.path: one.why for one in report.failed} == {
        "a-picture.md": "It is not a text file.",
        "empty.md": "It is empty.",
        "huge.md": "It is 257 KB large; a runbook is 256 KB at most.",
        "slow.md": "This text takes too long to read as Markdown. Simplify its brackets, quotes "
        "and nested lists.",
        "same-id.md": "Its id latency is already that of latency.md.",
        "???.md": "No id can be made from its name. Give it one in the front matter.",
        "dangling.md": "It is not a file.",
        "key.md": "It is a link that leads out of the folder.",
    }


def test_what_in_a_file_could_not_be_read_is_told(bring_in, write):
    write("odd.md", "---\nseverity: bad\n---\n## Steps\n### A\n<!-- step kind=dance -->\n")

    report = bring_in()

    assert any("line 5" in line.lower() for line in report.lines())
    assert any("severity: bad" in line for line in report.lines())
    assert queries.published("odd").steps[0].step_id == "a"


def test_files_that_are_no_runbooks_are_left_out(bring_in, write):
    write("README.md", "# Read me\n")
    write(".hidden/x.md", "# Hidden\n")
    write("_draft.md", "# Draft\n")
    write("notes.txt", "text")
    write("team/disk-full.markdown", "# Disk full\n")

    report = bring_in()

    assert [(one.slug, one.path) for one in report.new] == [
        ("disk-full", "team/disk-full.markdown")
    ]


def test_two_files_of_one_name_in_two_folders_are_two_runbooks(bring_in, write):
    write("a/disk.md", "# A\n")
    write("b/disk.md", "# B\n")
    bring_in()
    write("b/disk.md", "# B changed\n")
    write("aa/disk.md", "# AA\n")

    report = bring_in()

    assert {one.slug for one in report.new} == {"aa-disk"}
    assert [(one.slug, one.number) for one in report.changed] == [("b-disk", 2)]


def test_a_file_that_moved_keeps_its_runbook(bring_in, latency, folder):
    path = latency()
    bring_in()
    (folder / "team").mkdir()
    path.rename(folder / "team" / "latency.md")

    assert outcome(bring_in()) == ([], [], ["team/latency.md"], [], [])
    assert queries.published("latency").runbook.source_path == "team/latency.md"


def test_a_folder_that_is_not_there_is_refused(app, folder, at):
    with pytest.raises(NotFoundError, match="can't be read"):
        syncing.import_folder(folder, at=at)


def test_a_draft_of_somebody_is_published_by_the_file_of_its_name(app, bring_in, write, at):
    service.start_draft("DiskFull", by=PRIYA, at=at)
    write("disk-full.md", "---\nid: disk-full\ntitle: Disk is full\n---\n# Disk is full\n")

    report = bring_in()

    assert [(one.slug, one.number, one.published) for one in report.changed] == [
        ("disk-full", 2, True)
    ]
    assert queries.published("disk-full").runbook.title == "Disk is full"


def test_over_a_version_from_the_browser_a_changed_file_is_only_a_draft(bring_in, latency, at):
    latency("one")
    bring_in()
    published_in_the_browser("latency", number=2, at=at)
    latency("three")

    report = bring_in()

    assert [(one.number, one.published) for one in report.changed] == [(4, False)]
    assert queries.published("latency").number == 2
    assert "v4 is a draft that holds both, because v2 is published" in report.lines()[1]


def published_in_the_browser(slug, *, number, at):
    with unit_of_work() as session:
        runbook = session.scalars(select(Runbook).where(Runbook.slug == slug)).one()
        version = RunbookVersion(
            runbook=runbook,
            number=number,
            sha256="0" * 64,
            source=b"# Written here",
            front_matter={},
            title="Written here",
            author="Priya Raman",
            origin={"kind": "browser"},
            created_at=at,
        )
        session.add(version)
        session.flush()
        session.add(
            VersionEvent(version_id=version.id, status=Status.PUBLISHED, at=at, by="Priya Raman")
        )
        runbook.published = version


def test_every_published_version_is_in_the_audit_trail(bring_in, latency):
    latency()
    bring_in(by=COMMAND_LINE)

    entry = db.session.scalars(select(AuditEntry)).one()
    assert (entry.action, entry.target_id, entry.actor_name) == (
        "runbook.publish",
        "latency",
        "Command line",
    )
    assert entry.after["version"] == 1


def test_html_is_made_at_the_import_and_kept(bring_in, latency):
    latency()
    bring_in()
    version = queries.published("latency")

    assert service.rendered(version)["steps"]["look"]["kind"] == "check"
    assert count(RunbookRendering) == 1


def test_html_that_is_missing_is_made_when_somebody_reads(app, bring_in, latency):
    latency()
    bring_in()
    db.session.query(RunbookRendering).delete()
    db.session.commit()
    version = queries.published("latency")

    parts = service.rendered(version)

    assert (
        parts["steps"]["back"]["blocks"][0]["copied"] == "kubectl rollout undo deployment/{{model}}"
    )
    assert db.session.scalars(select(RunbookRendering.renderer)).all() == [RENDERER]
    assert service.rendered(queries.published("latency")) == parts


def test_two_processes_that_start_together_import_once(app, bring_in, latency, folder, at):
    latency()
    barrier = Barrier(2)
    reports = []

    def run():
        with app.app_context():
            barrier.wait()
            reports.append(syncing.import_folder(folder, at=at))
            db.session.remove()

    threads = [Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(len(report.new) for report in reports) == [0, 1]
    assert (count(Runbook), count(RunbookVersion)) == (1, 1)


def test_sixty_foreign_files_cost_a_constant_number_of_statements_each(
    app, bring_in, write, queries
):
    for number in range(60):
        write(f"group{number % 9}/Alert{number}.md", foreign(number))
    reports = []

    statements = queries(lambda: reports.append(bring_in()))

    assert len(reports[0].new) == 60
    assert not reports[0].failed
    assert count(RunbookStep) == 300
    assert statements < 6 * 60


@pytest.mark.parametrize("name", ["", "!!!", "Ünïcode", "a\nb", "x" * 200, '"quoted"', "{{x}}"])
def test_a_draft_needs_a_name_that_can_be_written(app, name, at):
    with pytest.raises(RefusedError):
        service.start_draft(name, by=PRIYA, at=at)


LONG = "x" * 400
NASTY = {
    "long.md": f"---\ntitle: {LONG}\nowner: {LONG}\nfailure_mode: {LONG}\nescalate_to: {LONG}\n"
    f"signals: [{LONG}, {{metric: {LONG}}}]\n---\n## {LONG}\n\n### {LONG}\n"
    f"<!-- step id={LONG} kind={LONG} risk={LONG} minutes={'9' * 50} {LONG}='{LONG}' -->\n",
    "nul.md": '---\nid: nul\nx: ["\\0", "\\x01", "\\u2028"]\n"\\0": y\n---\n# &#0;&#xD800;&#x110000;\n',
    "numbers.md": "---\na: 99999999999999999999999\nb: .nan\nc: 1e999\nd: -0\n---\n# \U0001f4a5 İİ\n",
    "markup.md": "# <b>*x*</b>\n\n1. <!-- step id=a -->\n2. \n3. `<!-- step id=b -->`\n",
    "turkish.md": f"---\nsignals: ['{'İ' * 200}']\n---\n# T\n",
    "dup.md": "### A\n<!-- step id=a -->\n### A\n<!-- step id=a -->\n### A\n<!-- step id=a-2 -->\n",
}


def test_every_database_takes_what_any_file_holds(bring_in, write):
    for name, text in NASTY.items():
        write(name, text)

    report = bring_in()

    assert report.failed == []
    assert len(report.new) == len(NASTY)
    assert outcome(bring_in())[2] == sorted(NASTY)
    for one in report.new:
        service.rendered(queries.published(one.slug))
