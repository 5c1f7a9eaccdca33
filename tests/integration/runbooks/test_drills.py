"""Drills: when they are due, who may drive, what one records, and that nobody is paged."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from flask import current_app, render_template
from flask_login import login_user
from sqlalchemy import func, select

from app.core.clock import now
from app.core.db import db, end_read, unit_of_work
from app.core.errors import ConflictError, ForbiddenError, NotFoundError, RefusedError
from app.incidents.tables import Incident
from app.integrations.pagerduty.tables import Message
from app.people.access import SignedIn
from app.people.rules import COMMAND_LINE, Actor, Role
from app.people.tables import AuditEntry
from app.runbooks import service as runbooks
from app.runbooks.rules import Status
from app.runbooks.runs import queries as runs
from app.runbooks.runs import service as following
from app.runbooks.runs.drills import queries as drills
from app.runbooks.runs.drills import service
from app.runbooks.runs.drills.rules import Scenario
from app.runbooks.runs.drills.service import Wish
from app.runbooks.runs.rules import EventKind, Mode, RunStatus, Said
from app.runbooks.runs.tables import PlannedDrill, Run, Verification
from app.runbooks.tables import Runbook, RunbookVersion
from tests.support import factories
from tests.unit.runbooks.runs.test_run_rules import SOURCE

HEAD = """\
owner: serving
failure_mode: latency_regression
review_every: 30d
applies_to: {models: ["recsys-*"]}
signals: [{alertname: SlowModel}]
variables:
  - {name: model, from: incident.model, pattern: "^[a-z0-9-]+$", required: true}
  - {name: namespace, from: incident.labels.namespace, default: models}
---
# Slow
"""
TEXT = SOURCE.replace("---\n# Slow\n", HEAD)
PATH = "/runbooks/slow/drill"
DAY = timedelta(days=1)


@pytest.fixture
def publish(app, at):
    """Publish a runbook under this name."""

    def publish(slug="slow", text=TEXT, *, author=None) -> RunbookVersion:
        source = text.replace("id: slow", f"id: {slug}").encode()
        by = Actor("person", author.id, author.name) if author else COMMAND_LINE
        with unit_of_work() as session:
            found = runbooks.read_text(slug, source, {"kind": "browser"})
            version = runbooks.write_version(session, found, by=by, at=at)
            runbooks.move(session, [(found, version, Status.PUBLISHED)], by=by, at=at)
        return version

    return publish


@pytest.fixture
def ana(app):
    return factories.user(Role.RESPONDER, name="Ana")


@pytest.fixture
def actor(ana):
    return Actor("person", ana.id, ana.name)


@pytest.fixture
def as_ana(app, ana):
    client = app.test_client()
    factories.sign_in(client, ana)
    return client


@pytest.fixture
def maintainer(signed_in):
    return signed_in(Role.MAINTAINER)


@pytest.fixture
def begin(actor, at):
    def begin(slug="slow", **more):
        played = more.pop("played", Scenario("SlowModel", "It is slow."))
        return service.start_drill(slug, played, by=actor, at=at, **more).id

    return begin


@pytest.fixture
def say(actor, at):
    """Say something of a step, some minutes after the start."""

    def say(run_id, kind, step=None, *, minutes=1, **detail):
        seen = runs.followed(run_id).state.of(step).seq if step else 0
        following.add(
            run_id,
            Said(kind, step, seen, detail),
            client_event_id=f"{kind}-{step}-{minutes}",
            by=actor,
            at=at + timedelta(minutes=minutes),
        )

    return say


@pytest.fixture
def end(actor, at):
    def end(run_id, *, minutes=20, leave=False, **waived):
        following.end(
            run_id,
            waived,
            leave=leave,
            client_event_id=f"end-{run_id}",
            by=actor,
            at=at + timedelta(minutes=minutes),
        )

    return end


@pytest.fixture
def prove(begin, say, end):
    """Drive a drill to its end."""

    def prove(slug="slow"):
        run_id = begin(slug)
        for step in ("confirm", "over"):
            say(run_id, EventKind.DONE, step)
        end(run_id)
        return run_id

    return prove


def count(table):
    end_read()
    return db.session.scalar(select(func.count()).select_from(table))


def audited():
    return [
        (entry.action, entry.actor_name, entry.target_name)
        for entry in db.session.scalars(
            select(AuditEntry).where(AuditEntry.action.like("drill.%")).order_by(AuditEntry.id)
        )
    ]


# --- Driving


def test_a_responder_starts_a_drill_on_a_model_and_the_run_knows_what_is_played(
    as_ana, publish, ana
):
    publish()
    factories.model("recsys-home")

    reply = as_ana.post(PATH, data={"model": "recsys-home", "story": " p99 is\nhigh "})

    run = db.session.scalars(select(Run)).one()
    assert reply.status_code == 303
    assert (run.mode, run.status, run.incident_id) == (Mode.DRILL, RunStatus.OPEN, None)
    assert (run.started_by, run.model_name) == ("Ana", "recsys-home")
    assert run.variables == {"model": "recsys-home", "namespace": "models"}
    assert run.scenario == {
        "name": "SlowModel",
        "story": "p99 is high",
        "labels": {"alertname": "SlowModel", "namespace": "models", "model": "recsys-home"},
        "links": [],
        "delivery": None,
    }


def test_a_viewer_may_not_drive(signed_in, publish):
    publish()
    viewer = signed_in(Role.VIEWER)

    assert viewer.get(PATH).status_code == 403
    assert viewer.post(PATH, data={"model": ""}).status_code == 403
    assert count(Run) == 0


def test_who_wrote_the_version_is_told_beforehand_who_else_could_drive(as_ana, publish, ana):
    factories.user(Role.RESPONDER, name="Ben Ito")
    factories.user(Role.VIEWER, name="Vera Lind")
    factories.user(Role.RESPONDER, name="Gone Away", active=False)
    publish(author=ana)

    text = as_ana.get(PATH).text

    assert "You wrote v1, so somebody else drives." in text
    assert "Ben Ito could drive it" in text
    assert "Vera Lind" not in text
    assert "Gone Away" not in text
    assert "Start the drill" not in text


def test_who_wrote_the_version_may_not_drive(as_ana, publish, ana, begin):
    publish(author=ana)

    reply = as_ana.post(PATH, data={"model": ""})

    assert reply.status_code == 403
    assert "somebody else drives" in reply.text
    with pytest.raises(ForbiddenError):
        begin()
    assert count(Run) == 0


def test_a_drill_is_driven_by_a_person(publish, at):
    publish()
    for by in (COMMAND_LINE, Actor("token", 1, "a token")):
        with pytest.raises(ForbiddenError, match="person who is signed in"):
            service.start_drill("slow", Scenario("x", "y"), by=by, at=at)


def test_a_drill_is_about_a_model_that_the_runbook_is_for(as_ana, publish, begin):
    publish()
    factories.model("recsys-home")
    factories.model("fraud-card")

    text = as_ana.get(PATH).text

    assert "recsys-home" in text
    assert "fraud-card" not in text
    assert as_ana.post(PATH, data={"model": "fraud-card"}).status_code == 422
    with pytest.raises(RefusedError, match="not written for a model called fraud-card"):
        begin(played=Scenario("x", "y", model="fraud-card"))


def test_a_retired_runbook_is_not_drilled(as_ana, publish, at):
    book = publish().runbook
    with unit_of_work() as session:
        session.get(Runbook, book.id).retired_at = at

    assert as_ana.get(PATH).status_code == 422


def test_several_may_follow_along(as_ana, signed_in, publish, begin):
    publish()
    begin()

    other = signed_in(Role.RESPONDER)

    assert "Ana drives a drill of it now" in other.get(PATH).text
    assert "Follow along" in other.get("/drills").text


def test_nobody_is_paged_and_no_incident_is_opened(publish, begin, say, end):
    publish()
    factories.team("serving", routing_key="R" * 32)
    run_id = begin()
    say(run_id, EventKind.FAILED, "confirm", what="cannot")
    say(run_id, EventKind.ESCALATED, to="team")
    say(run_id, EventKind.DONE, "over", minutes=2)
    end(run_id)

    assert (count(Message), count(Incident)) == (0, 0)


def test_risky_steps_are_only_played(publish, begin, say):
    publish()
    run_id = begin()
    say(run_id, EventKind.OPENED, "rollback")
    say(run_id, EventKind.DONE, "rollback", minutes=2)  # nothing has to be typed

    (one,) = drills.drilled([runs.run(run_id)])
    assert [remark.title for remark in one.report.played] == ["Route back"]


# --- On the page of the run


@pytest.fixture
def part(app):
    """A part of the page of a run, for whoever reads it."""

    def part(name, run_id):
        end_read()
        with app.test_request_context():
            return render_template(f"runs/{name}.html", run=runs.run(run_id))

    return part


def test_a_big_banner_says_that_it_is_a_drill(part, publish, begin):
    publish()

    text = part("_drill_banner", begin())

    assert "Drill. Nobody is paged, nothing risky is done." in text
    assert "It is slow." in text
    assert "Ana drives." in text


def test_what_is_played_is_shown_as_text_only(part, publish, begin):
    publish()
    label = "<script>alert(1)</script>"

    text = part("_drill_banner", begin(played=Scenario("SlowModel", label, {"pod": label})))

    assert "<script>" not in text
    assert "pod=&lt;script&gt;" in text


def test_the_report_stands_on_the_page_when_the_drill_is_over(part, publish, begin, say, end):
    publish()
    run_id = begin()
    say(run_id, EventKind.FAILED, "confirm", what="failed", note="flat")
    say(run_id, EventKind.DONE, "over", minutes=2)
    before = part("_drill_report", run_id)
    end(run_id)
    after = part("_drill_report", run_id)

    assert before.strip() == ""
    assert "1 min after the start" in after
    assert "Not as expected: flat." in after
    assert "Proven" in after


def test_a_real_run_is_no_drill(part, publish, actor, at):
    real = following.start(following.Beginning(publish().id), by=actor, at=at)

    for name in ("_drill_banner", "_drill_report"):
        assert part(name, real.id).strip() == ""


def test_risky_commands_of_a_drill_are_closed_on_its_page(as_ana, publish, begin, say):
    text = TEXT.replace("Route.", "```bash\nroute --to old\n```")
    publish(text=text.replace("\nLook.", "\n```bash\nlook\n```"))
    run_id = begin()

    harmless = as_ana.get(f"/runs/{run_id}").text
    say(run_id, EventKind.OPENED, "rollback")
    risky = as_ana.get(f"/runs/{run_id}").text

    assert 'data-run-copy="c-confirm-0"' in harmless
    assert "route --to old" in risky
    assert "c-rollback-0" not in risky
    assert "In a drill nothing risky is done." in risky


def test_the_page_of_a_runbook_leads_to_its_drill(app, publish, as_ana, ana):
    runbook = publish().runbook
    with app.test_request_context():
        login_user(SignedIn(ana))
        text = render_template("runs/_drill_start.html", runbook=runbook)

    assert f'href="{PATH}"' in text


# --- A delivery, played again


@pytest.fixture
def deliveries(app):
    """Deliveries that are kept, as the alerts feature would read them."""
    kept = {
        1042: {
            "name": "SlowModel",
            "summary": "recsys-home: p99 612 ms",
            "labels": {"namespace": "prod"},
            "links": [{"href": "https://grafana.example.com/d/1", "text": "Dashboard"}],
        }
    }
    before = app.extensions.pop(service.REPLAYS, None)
    app.extensions[service.REPLAYS] = kept.get
    yield kept
    app.extensions.pop(service.REPLAYS)
    if before is not None:
        app.extensions[service.REPLAYS] = before


def test_a_delivery_that_once_came_is_played_again(as_ana, publish, deliveries):
    publish()

    as_ana.post(PATH, data={"model": "", "delivery": "d-1042"})

    run = db.session.scalars(select(Run)).one()
    assert run.scenario["story"] == "recsys-home: p99 612 ms"
    assert run.scenario["delivery"] == 1042
    assert run.scenario["links"] == deliveries[1042]["links"]
    assert run.variables["namespace"] == "prod"
    assert (count(Message), count(Incident)) == (0, 0)


@pytest.mark.parametrize("said", ["d-7", "no number"])
def test_a_delivery_that_is_not_there_is_told_beside_its_field(as_ana, publish, deliveries, said):
    publish()

    reply = as_ana.post(PATH, data={"model": "", "delivery": said, "story": "Kept words"})

    assert reply.status_code == 422
    assert "delivery" in reply.text
    assert "Kept words" in reply.text
    assert count(Run) == 0


def test_without_kept_deliveries_none_is_offered(as_ana, publish, app, monkeypatch):
    monkeypatch.delitem(current_app.extensions, service.REPLAYS, raising=False)
    publish()

    assert "Play a delivery again" not in as_ana.get(PATH).text
    with pytest.raises(NotFoundError):
        service.replayed(7)


# --- What it shows, and what it proves


def test_a_drill_that_was_driven_to_its_end_sets_last_verified(publish, prove, at):
    version = publish()

    run_id = prove()

    proof = db.session.scalars(select(Verification)).one()
    assert (proof.run_id, proof.version_id, proof.how, proof.by) == (
        run_id,
        version.id,
        "drill",
        "Ana",
    )
    assert drills.proven_at(version.runbook_id) == at + timedelta(minutes=20)


def test_a_drill_that_was_left_or_not_verified_proves_nothing(publish, begin, end):
    publish()
    end(begin(), leave=True)
    end(begin(), over="no traffic at night")

    assert count(Verification) == 0


def test_a_report_tells_when_it_began_where_it_went_wrong_and_what_was_left_out(
    publish, begin, say, end
):
    publish()
    run_id = begin()
    say(run_id, EventKind.FAILED, "confirm", minutes=3, what="failed", note="flat")
    say(run_id, EventKind.DECIDED, "shape", minutes=4, option=1)
    say(run_id, EventKind.OPENED, "shape", minutes=5)
    say(run_id, EventKind.DECIDED, "shape", minutes=6, option=3)
    say(run_id, EventKind.SKIPPED, "accept", minutes=7, reason="Takes too long")
    say(run_id, EventKind.DONE, "over", minutes=8)
    end(run_id)
    say(run_id, EventKind.FEEDBACK, "confirm", minutes=30, verdict="unclear", note="Which graph?")

    (one,) = drills.drilled([runs.run(run_id)])

    report = one.report
    assert (report.first_action, report.length) == (timedelta(minutes=3), timedelta(minutes=20))
    assert [remark.sentence for remark in report.wrong_branches] == [
        "“One feature” was chosen, and led back to step 2."
    ]
    assert [remark.sentence for remark in report.failed] == [
        "Not as expected: flat.",
        "Said to be unclear: Which graph?",
    ]
    assert [remark.sentence for remark in report.skipped] == ["Skipped: Takes too long."]
    assert one.proven


# --- The schedule


def test_a_maintainer_plans_a_drill_and_calls_it_off(maintainer, publish, ana):
    publish()
    due = (now() + 5 * DAY).date()

    planned = maintainer.post(
        f"{PATH}/plan", data={"due": due.isoformat(), "driver": ana.id, "note": "With the new flag"}
    )
    drill = db.session.scalars(select(PlannedDrill)).one()
    page = maintainer.get("/drills").text

    assert planned.status_code == 303
    assert drill.due_at == datetime(due.year, due.month, due.day, 12, tzinfo=UTC)
    assert "With the new flag" in page
    assert f'id="call-off-{drill.id}"' in page  # it is asked first

    called_off = maintainer.post(f"/drills/{drill.id}/call-off", data={"version": 1})

    assert called_off.status_code == 303
    assert "With the new flag" not in maintainer.get("/drills").text
    assert [(action, name) for action, _, name in audited()] == [
        ("drill.plan", "the drill of slow"),
        ("drill.call_off", "the drill of slow"),
    ]


def test_a_responder_neither_plans_nor_calls_off(as_ana, publish, actor, at):
    publish()
    drill = service.plan_drill("slow", Wish((at + DAY).date()), by=actor, at=at)

    assert as_ana.post(f"{PATH}/plan", data={"due": "2099-01-01"}).status_code == 403
    assert as_ana.post(f"/drills/{drill.id}/call-off").status_code == 403
    assert "Call off" not in as_ana.get("/drills").text
    assert "Plan it for later" not in as_ana.get(PATH).text


def test_a_drill_that_is_planned_for_today_has_all_of_today(maintainer, publish, actor):
    publish()
    service.plan_drill("slow", Wish(now().date()), by=actor, at=now())

    text = maintainer.get("/drills").text

    assert re.search(r"</time>, today</span></td>", text)
    assert " left</time>" not in text


def test_no_drill_is_planned_for_a_day_that_is_over(maintainer, publish):
    publish()
    yesterday = (now() - DAY).date().isoformat()

    reply = maintainer.post(f"{PATH}/plan", data={"due": yesterday, "driver": 0, "note": "Kept"})

    assert reply.status_code == 422
    assert "That day is over." in reply.text
    assert "Kept" in reply.text


def test_only_people_who_may_drive_are_planned_as_drivers(publish, ana, actor, at):
    publish(author=ana)
    viewer = factories.user(Role.VIEWER, name="Vera")
    gone = factories.user(Role.RESPONDER, name="Gone", active=False)
    due = at.date()

    for driver, why in (
        (ana.id, "Ana wrote v1, so somebody else drives"),
        (viewer.id, "Vera is a viewer"),
        (gone.id, "must be able to sign in"),
        (2**30, "must be able to sign in"),
    ):
        with pytest.raises(RefusedError, match=why):
            service.plan_drill("slow", Wish(due, driver), by=actor, at=at)


def test_the_day_that_is_proposed_comes_from_the_last_proof(maintainer, publish, begin):
    version = publish()
    in_a_week = (now() + 7 * DAY).date()
    in_a_month = (now() + 30 * DAY).date()  # its `review_every`

    never = maintainer.get(PATH).text
    factories.keep(
        Verification(
            runbook_id=version.runbook_id,
            version_id=version.id,
            run_id=begin(),
            how="drill",
            at=now(),
            by="Ana",
        )
    )
    proven = maintainer.get(PATH).text

    assert f'value="{in_a_week}"' in never
    assert f'value="{in_a_month}"' in proven


def test_a_planned_drill_is_started_once(as_ana, maintainer, publish, actor, begin, at):
    publish()
    drill = service.plan_drill("slow", Wish((at + DAY).date(), note="Bring Ben"), by=actor, at=at)

    assert "Bring Ben" in as_ana.get(PATH).text
    as_ana.post(PATH, data={"model": "", "planned": drill.id, "as_planned": "y"})

    end_read()
    run = db.session.scalars(select(Run)).one()
    assert drills.planned(drill.id).run_id == run.id
    with pytest.raises(ConflictError, match="Ana started this drill already"):
        begin(planned_id=drill.id)
    assert maintainer.post(f"/drills/{drill.id}/call-off").status_code == 409
    assert count(Run) == 1


def test_another_drill_leaves_the_planned_one_on_the_schedule(as_ana, publish, actor, at):
    publish()
    drill = service.plan_drill("slow", Wish((at + DAY).date()), by=actor, at=at)

    as_ana.post(PATH, data={"model": "", "planned": drill.id})

    end_read()
    assert drills.planned(drill.id).run_id is None


def test_a_drill_that_was_called_off_is_neither_started_nor_called_off_again(
    publish, actor, begin, at
):
    publish()
    drill = service.plan_drill("slow", Wish((at + DAY).date()), by=actor, at=at)
    service.call_off(drill.id, seen_version=None, by=actor, at=at)

    with pytest.raises(ConflictError, match="called off"):
        begin(planned_id=drill.id)
    with pytest.raises(ConflictError, match="called off"):
        service.call_off(drill.id, seen_version=None, by=actor, at=at)
    assert count(Run) == 0


def test_a_plan_that_changed_meanwhile_is_not_called_off(publish, actor, at):
    publish()
    drill = service.plan_drill("slow", Wish((at + DAY).date()), by=actor, at=at)

    with pytest.raises(ConflictError, match="Ana changed the drill of slow"):
        service.call_off(drill.id, seen_version=9, by=actor, at=at)


def test_a_drill_is_started_as_the_one_of_its_own_runbook(publish, actor, begin, at):
    publish()
    publish("other")
    drill = service.plan_drill("other", Wish((at + DAY).date()), by=actor, at=at)

    with pytest.raises(RefusedError, match="another runbook"):
        begin(planned_id=drill.id)
    assert count(Run) == 0


def test_the_schedule_has_overdue_before_soon_before_later(publish, actor, at):
    for slug, days in (("late", 40), ("next", 9), ("over", 1)):
        publish(slug)
        service.plan_drill(slug, Wish((at + days * DAY).date()), by=actor, at=at)

    found = drills.schedule("", at=at + 2 * DAY)

    assert [one.slug for one in found.overdue] == ["over"]
    assert [one.slug for one in found.soon] == ["next"]
    assert [one.slug for one in found.later] == ["late"]


def test_a_runbook_whose_proof_ends_is_due_unless_its_drill_is_planned(publish, prove, actor, at):
    publish()
    prove()

    def slugs(days):
        end_read()
        found = drills.schedule("", at=at + days * DAY)
        return [[one.slug for one in part] for part in (found.overdue, found.soon, found.later)]

    assert slugs(10) == [[], [], []]
    assert slugs(20) == [[], ["slow"], []]
    assert slugs(31) == [["slow"], [], []]
    service.plan_drill("slow", Wish((at + 33 * DAY).date()), by=actor, at=at)
    assert slugs(31) == [[], ["slow"], []]


def test_runbooks_that_were_never_drilled_are_listed_until_they_are(publish, prove):
    publish()
    said = HEAD.replace("review_every: 30d", "last_verified: 2026-01-05")
    publish("other", SOURCE.replace("---\n# Slow\n", said))

    before = drills.never_drilled("", size=10).items
    prove()
    end_read()
    after = drills.never_drilled("", size=10).items

    assert {one.slug for one in before} == {"slow", "other"}
    assert [one.slug for one in after] == ["other"]
    assert str(after[0].said_by_file) == "2026-01-05"
    assert drills.how_many_never_drilled("") == 1


def test_never_drilled_ones_are_listed_page_by_page(publish):
    for number in range(5):
        publish(f"r{number}")

    first = drills.never_drilled("", size=3)
    second = drills.never_drilled("", after=first.next, size=3)

    assert [one.slug for one in (*first.items, *second.items)] == [f"r{n}" for n in range(5)]
    assert second.next is None


def test_the_page_shows_the_runbooks_of_one_owner(as_ana, publish, prove, actor, at):
    publish()
    publish("theirs", TEXT.replace("owner: serving", "owner: growth"))
    prove("theirs")

    everyone = as_ana.get("/drills").text
    serving = as_ana.get("/drills?owner=serving").text

    assert "/runbooks/theirs" in everyone or "runs/" in everyone
    assert "/runbooks/slow" in serving
    assert "theirs" not in serving
    assert "Proven" in everyone
    assert "Proven" not in serving


def test_a_fresh_page_says_what_will_be_there(as_ana):
    text = as_ana.get("/drills").text

    assert "Nothing is due" in text
    assert "No drill yet" in text


def test_the_page_costs_the_same_for_one_drill_or_ten(as_ana, publish, prove, queries, actor, at):
    publish()
    prove()
    service.plan_drill("slow", Wish(now().date()), by=actor, at=at)
    one = queries(lambda: as_ana.get("/drills"))

    for number in range(9):
        publish(f"r{number}")
        prove(f"r{number}")
        publish(f"n{number}")
        service.plan_drill(f"n{number}", Wish(now().date()), by=actor, at=at)

    assert queries(lambda: as_ana.get("/drills")) == one


def test_the_page_where_a_drill_begins_costs_the_same_for_any_number_of_people_and_models(
    as_ana, publish, queries
):
    publish()
    factories.model("recsys-home")
    one = queries(lambda: as_ana.get(PATH))

    owner = factories.team("growth")
    for number in range(9):
        factories.user(Role.RESPONDER)
        factories.model(f"recsys-{number}", owner=owner)

    assert queries(lambda: as_ana.get(PATH)) == one


# --- The API


def test_the_api_tells_what_drills_showed(client, token, publish, prove, begin):
    publish()
    first, second = prove(), begin()
    headers = token("runbooks:read")

    newest = client.get("/api/v1/drills?limit=1", headers=headers).json
    rest = client.get(f"/api/v1/drills?cursor={newest['next']}", headers=headers).json

    assert [one["run"] for one in newest["items"]] == [second]
    (done,) = rest["items"]
    assert (done["run"], done["runbook"], done["driver"]) == (first, "slow", "Ana")
    assert (done["status"], done["proven"], done["seconds"]) == ("finished", True, 1200.0)
    assert done["seconds_to_first_action"] == 60.0
    assert rest["next"] is None
    assert newest["items"][0]["seconds"] is None
    assert client.get("/api/v1/drills?runbook=other", headers=headers).json["items"] == []


def test_the_api_tells_what_is_planned(client, token, publish, ana, actor, at):
    publish()
    service.plan_drill("slow", Wish((at + DAY).date(), ana.id, "Bring Ben"), by=actor, at=at)

    (one,) = client.get("/api/v1/drills/planned", headers=token("runbooks:read")).json["items"]

    assert (one["runbook"], one["driver"], one["note"]) == ("slow", "Ana", "Bring Ben")
    assert one["url"].endswith("/runbooks/slow/drill")


def test_the_api_takes_only_what_it_knows(client, token):
    headers = token("runbooks:read")

    assert client.get("/api/v1/drills?mode=live", headers=headers).status_code == 422
    assert client.get("/api/v1/drills", headers=token("incidents:read")).status_code == 403


def test_a_verification_that_was_skipped_proves_nothing(publish, begin, say, end):
    publish()
    run_id = begin()
    say(run_id, EventKind.SKIPPED, "over", reason="No traffic at night")
    end(run_id)

    assert count(Verification) == 0


def test_without_a_verification_a_drill_proves_nothing_until_all_is_done(publish, begin, end):
    publish(text=TEXT.replace("kind=verify", "kind=action"))
    end(begin())

    assert count(Verification) == 0
