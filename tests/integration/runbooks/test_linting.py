"""What the database knows around a runbook."""

from datetime import date, timedelta

from app.core.db import db, unit_of_work
from app.people.rules import Role
from app.runbooks.lint import lint
from app.runbooks.linting import surroundings_of
from app.runbooks.rules import StepKind
from app.runbooks.runs.rules import EventKind, Mode, RunStatus
from app.runbooks.runs.tables import Run, RunEvent, Verification
from app.runbooks.tables import Asset, Runbook, RunbookStep, RunbookVersion, VersionAsset
from tests.support import factories
from tests.support.factories import NOON, keep


def step(version, step_id, *, title=""):
    keep(
        RunbookStep(
            version_id=version.id,
            position=1,
            step_id=step_id,
            section="Steps",
            kind=StepKind.CHECK,
            title=title or step_id,
            body="",
            attributes={},
        )
    )


def next_version(version):
    row = keep(
        RunbookVersion(
            runbook_id=version.runbook_id,
            number=version.number + 1,
            sha256="2" * 64,
            source=b"# A\n",
            front_matter={},
            title="A",
            author="Test",
            origin={},
            created_at=NOON,
        )
    )
    with unit_of_work() as session:
        session.get_one(Runbook, version.runbook_id).published_id = row.id
    return row


def run(version, *, status=RunStatus.OPEN, steps=()):
    row = keep(
        Run(
            mode=Mode.LIVE,
            status=status,
            runbook_id=version.runbook_id,
            version_id=version.id,
            variables={},
            scenario={},
            started_at=NOON,
            started_by="Ana",
        )
    )
    for seq, step_id in enumerate(steps, start=1):
        keep(
            RunEvent(
                run_id=row.id,
                seq=seq,
                step_id=step_id,
                kind=EventKind.DONE,
                at=NOON,
                said_at=NOON,
                actor="Ana",
                client_event_id=f"{row.id}-{seq}",
                detail={},
            )
        )
    return row


def test_a_runbook_that_is_to_be_knows_the_others(app):
    factories.runbook("drift")

    around = surroundings_of("latency", today=date(2026, 3, 12))

    assert around.slugs == {"drift"}
    assert around.files == frozenset()
    assert around.today == date(2026, 3, 12)
    assert around.people_of_teams is None
    assert around.first_published is None


def test_a_runbook_is_not_another_of_itself_and_retired_ones_are_gone(app):
    factories.runbook("drift")
    gone = factories.runbook("gone")
    with unit_of_work() as session:
        session.get_one(Runbook, gone.runbook_id).retired_at = NOON

    assert surroundings_of("drift").slugs == set()


def test_steps_that_are_gone_are_known_by_their_last_titles(app):
    first = factories.runbook("drift")
    step(first, "look")
    step(first, "old", title="What it was")
    step(next_version(first), "look")

    around = surroundings_of("drift")

    assert around.former_steps == {"old": "What it was"}


def test_steps_of_open_runs_are_in_use(app):
    version = factories.runbook("drift")
    run(version, steps=("look", None))
    run(version, status=RunStatus.FINISHED, steps=("old",))

    assert surroundings_of("drift").live_step_ids == {"look"}


def test_the_files_of_the_published_version_are_beside_it(app):
    version = factories.runbook("drift")
    keep(Asset(sha256="a" * 64, media_type="image/png", content=b""))
    keep(VersionAsset(version_id=version.id, path="img/a.png", sha256="a" * 64))

    assert surroundings_of("drift").files == {"img/a.png"}


def test_only_people_who_are_still_here_can_be_called(app):
    factories.team("serving", members=[factories.user(), factories.user(active=False)])
    factories.team(
        "data", name="Data platform", members=[factories.user(Role.RESPONDER, active=False)]
    )

    assert surroundings_of("drift").people_of_teams == {
        "serving": 1,
        "Serving": 1,
        "data": 0,
        "Data platform": 0,
    }


def test_the_newest_verification_counts(app):
    version = factories.runbook("drift")
    for days in (9, 2):
        keep(
            Verification(
                runbook_id=version.runbook_id,
                version_id=version.id,
                run_id=run(version, status=RunStatus.FINISHED).id,
                how="drill",
                at=NOON - timedelta(days=days),
                by="Ana",
            )
        )

    around = surroundings_of("drift")

    assert around.last_verified == (NOON - timedelta(days=2)).date()
    assert around.first_published == NOON.date()


def test_findings_follow_from_what_the_database_knows(app):
    version = factories.runbook("drift")
    run(version, steps=("look",))
    factories.team("serving")
    source = b"---\nid: drift\nowner: serving\n---\n# A\n\n[x](gone.md) ![y](z.png)\n"

    found = lint(source, slug="drift", surroundings=surroundings_of("drift"))

    assert {"RB14", "RB27", "RB30"} <= {one.rule for one in found}


def test_it_costs_the_same_however_many_runbooks_there_are(app, queries):
    factories.runbook("drift")
    one = queries(lambda: surroundings_of("drift"))
    for number in range(5):
        factories.runbook(f"other-{number}")
    db.session.expire_all()

    assert queries(lambda: surroundings_of("drift")) == one
