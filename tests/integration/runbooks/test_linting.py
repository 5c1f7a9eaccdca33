"""What the database knows around a runbook."""

from datetime import date, timedelta

from app.core.db import db, unit_of_work
from app.people.rules import Role
from app.runbooks.checking import findings_of
from app.runbooks.lint import lint
from app.runbooks.linting import surroundings, surroundings_of
from app.runbooks.rules import StepKind
from app.runbooks.runs.rules import EventKind, Mode, RunStatus
from app.runbooks.runs.tables import Run, RunEvent, Verification
from app.runbooks.tables import (
    Asset,
    Runbook,
    RunbookSignal,
    RunbookStep,
    RunbookVersion,
    VersionAsset,
)
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


# --- Alerts that were ever seen


def signal(version, name):
    return keep(RunbookSignal(version_id=version.id, alertname=name, condition={"alertname": name}))


def seen_are(monkeypatch, app, *names):
    monkeypatch.setitem(app.extensions, "alertnames_seen", lambda asked: set(asked) & set(names))


def rb26(slug="drift", names="ModelLaet"):
    source = f"---\nid: {slug}\nsignals:\n  - {{alertname: {names}}}\n---\n# A\n".encode()
    found = findings_of(slug, source, today=NOON.date())
    return [one.sentence for one in found if one.rule == "RB26"]


def test_an_alert_that_never_came_is_told_with_the_one_that_is_meant(app, monkeypatch):
    signal(factories.runbook("latency"), "modellate")
    seen_are(monkeypatch, app, "modellate")

    (sentence,) = rb26()

    assert "never seen the alert `ModelLaet`" in sentence
    assert "`modellate`" in sentence


def test_nothing_is_said_of_alerts_while_none_is_known(app, monkeypatch):
    seen_are(monkeypatch, app)
    assert rb26() == []

    monkeypatch.delitem(app.extensions, "alertnames_seen", raising=False)
    assert rb26() == []


def test_an_alert_that_came_is_fine(app, monkeypatch):
    seen_are(monkeypatch, app, "modellaet")

    assert rb26() == []


def test_an_overdue_review_is_told_by_the_day_that_is_passed_in(app):
    version = factories.runbook("drift")
    source = b"---\nid: drift\nreview_every: 90d\n---\n# A\n"

    def overdue(days):
        found = findings_of("drift", source, today=(NOON + timedelta(days=days)).date())
        return [one.rule for one in found if one.rule == "RB28"]

    assert version.number == 1
    assert (overdue(90), overdue(91)) == ([], ["RB28"])


def test_around_many_costs_what_it_costs_around_one(app, queries):
    first = factories.runbook("drift")
    step(first, "old", title="What it was")
    step(next_version(first), "look")
    one = queries(lambda: surroundings(["drift"]))
    slugs = ["drift", *(factories.runbook(f"other-{number}").runbook.slug for number in range(5))]
    db.session.expire_all()

    assert queries(lambda: surroundings(slugs)) == one
    found = surroundings([*slugs, "to-be"])
    assert found["drift"].former_steps == {"old": "What it was"}
    assert found["drift"] == surroundings_of("drift")
    assert found["other-1"].former_steps == {}
    assert found["to-be"].slugs == set(slugs)
