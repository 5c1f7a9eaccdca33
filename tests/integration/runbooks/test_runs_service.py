"""Runs in the database: every event is kept once, and one of two who are at it wins."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from app.core.db import db, end_read, unit_of_work
from app.core.errors import ConflictError, ForbiddenError, NotFoundError, RefusedError
from app.people.rules import Actor, Role
from app.runbooks.runs import queries as runs
from app.runbooks.runs import service
from app.runbooks.runs.rules import EventKind, Mode, RunStatus, Said, StepState
from app.runbooks.runs.service import Beginning, StepMovedError
from app.runbooks.runs.tables import Verification
from app.runbooks.syncing import import_folder
from app.runbooks.tables import Runbook, RunbookVersion
from tests.support import factories
from tests.unit.runbooks.runs.test_run_rules import SOURCE

VARIABLES = """\
variables:
  - {name: model, from: incident.model, pattern: "^[a-z0-9-]+$", required: true}
  - {name: window, default: 1h, choices: [15m, 1h]}
  - {name: token, secret: true}
---
# Slow
"""
TEXT = SOURCE.replace("---\n# Slow\n", VARIABLES)


@pytest.fixture
def people(app):
    ana = factories.user(Role.RESPONDER, name="Ana")
    ben = factories.user(Role.RESPONDER, name="Ben")
    return [Actor("person", one.id, one.name) for one in (ana, ben)]


@pytest.fixture
def publish(app, tmp_path: Path, at):
    """Publishes a text as the next version of `slow`."""

    def publish(text: str = TEXT, name: str = "slow.md") -> RunbookVersion:
        (tmp_path / name).write_text(text)
        report = import_folder(tmp_path, at=at)
        assert not report.failed
        book = db.session.scalars(select(Runbook).where(Runbook.slug == "slow")).one()
        assert book.published
        return book.published

    return publish


@pytest.fixture
def begin(publish, people, at):
    def begin(**more):
        more.setdefault("known", {"incident.model": "recsys"})
        return service.start(Beginning(publish().id, **more), by=people[0], at=at).id

    return begin


@pytest.fixture
def say(people, at):
    def say(run_id, kind, step=None, *, who=0, seen=None, key="", **detail):
        if seen is None and step:
            seen = runs.followed(run_id).state.of(step).seq
        said = Said(kind, step, seen or 0, detail)
        key = key or f"{kind}-{step}-{seen}-{who}"
        return service.add(run_id, said, client_event_id=key, by=people[who], at=at)

    return say


def state_of(run_id, step):
    end_read()
    return runs.followed(run_id).state.of(step).state


def test_a_run_begins_with_what_the_incident_knows(begin):
    followed = runs.followed(begin())

    assert followed.run.variables == {"model": "recsys", "window": "1h"}
    assert [event.kind for event in followed.events] == [EventKind.STARTED]
    assert followed.state.current == "confirm"


def test_what_does_not_fit_is_not_filled_in(begin):
    run = runs.run(begin(known={"incident.model": "a; rm -rf /"}))

    assert "model" not in run.variables


def test_an_event_that_is_sent_again_is_kept_once(begin, say):
    run_id = begin()
    first = say(run_id, EventKind.DONE, "confirm", seen=0, key="k")
    again = say(run_id, EventKind.DONE, "confirm", seen=0, key="k")

    assert (again.again, again.event.id) == (True, first.event.id)
    assert len(runs.events(run_id)) == 2


def test_the_second_of_two_is_told_who_was_first(begin, say):
    run_id = begin()
    say(run_id, EventKind.DONE, "confirm", seen=0, who=0)

    with pytest.raises(StepMovedError, match="Ana marked step 1 done before you") as told:
        say(run_id, EventKind.FAILED, "confirm", seen=0, who=1, what="failed")

    assert told.value.standing.state is StepState.DONE
    assert state_of(run_id, "confirm") is StepState.DONE


def test_of_two_at_the_same_moment_one_wins(app, begin, people, at):
    run_id = begin()
    ready, outcomes = threading.Barrier(2), []

    def tick(who: int) -> None:
        with app.app_context():
            said = Said(EventKind.DONE, "confirm", 0, {"note": f"from {who}"})
            ready.wait()
            try:
                service.add(run_id, said, client_event_id=f"c{who}", by=people[who], at=at)
                outcomes.append("won")
            except StepMovedError:
                outcomes.append("told")
            db.session.remove()

    threads = [threading.Thread(target=tick, args=(who,)) for who in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["told", "won"]
    end_read()
    assert len(runs.events(run_id)) == 2


def test_a_risky_step_wants_the_models_name(begin, say):
    run_id = begin()
    with pytest.raises(RefusedError, match="Type recsys"):
        say(run_id, EventKind.DONE, "rollback", typed="recsy")

    taken = say(run_id, EventKind.DONE, "rollback", typed="recsys")

    assert "typed" not in taken.event.detail


def test_a_timer_is_the_servers(begin, say, at):
    taken = say(begin(), EventKind.WAITING, "over")

    assert taken.event.detail["until"] == (at + timedelta(minutes=10)).isoformat()


def test_a_variable_is_filled_once_it_fits(begin, people, at):
    run_id = begin()
    with pytest.raises(RefusedError):
        service.fill(run_id, "window", "2h", client_event_id="a", by=people[0], at=at)
    with pytest.raises(NotFoundError):
        service.fill(run_id, "other", "x", client_event_id="b", by=people[0], at=at)

    service.fill(run_id, "window", "15m", client_event_id="c", by=people[0], at=at)

    assert runs.run(run_id).variables["window"] == "15m"


def test_a_secret_value_is_kept_nowhere(begin, people, at):
    run_id = begin()
    service.fill(run_id, "token", "hunter2", client_event_id="a", by=people[0], at=at)

    end_read()
    assert "token" not in runs.run(run_id).variables
    assert all("hunter2" not in str(event.detail) for event in runs.events(run_id))


def test_a_run_stays_with_its_version_until_somebody_switches(begin, publish, say, people, at):
    run_id = begin()
    say(run_id, EventKind.DONE, "confirm")
    newer = publish(TEXT.replace("Look.", "Look twice."))
    assert runs.run(run_id).runbook_version.number == 1

    taken = service.switch(run_id, newer.id, client_event_id="s", by=people[0], at=at)

    standing = taken.followed.state.of("confirm")
    assert taken.event.detail == {"from": 1, "to": 2, "check_again": ["confirm"]}
    assert (standing.state, standing.check_again) == (StepState.DONE, True)
    end_read()
    assert runs.run(run_id).runbook_version.number == 2
    with pytest.raises(ConflictError):
        service.switch(run_id, newer.id, client_event_id="t", by=people[0], at=at)


def test_a_run_is_finished_once_it_is_verified_or_that_is_waived(begin, say, people, at):
    run_id = begin()
    with pytest.raises(RefusedError, match="Verify step 9"):
        service.end(run_id, {}, client_event_id="e", by=people[0], at=at)

    service.end(run_id, {"over": "No traffic."}, client_event_id="f", by=people[0], at=at)

    end_read()
    run = runs.run(run_id)
    assert (run.status, run.ended_at) == (RunStatus.FINISHED, at)
    assert verifications() == 0  # nothing was proved
    with pytest.raises(RefusedError, match="is over"):
        say(run_id, EventKind.DONE, "confirm")


@pytest.mark.parametrize(("mode", "how"), [(Mode.LIVE, "incident"), (Mode.DRILL, "drill")])
def test_what_proves_a_version_is_a_run_that_verified_it(begin, say, people, at, mode, how):
    run_id = begin(mode=mode)
    say(run_id, EventKind.DONE, "over")
    service.end(run_id, {}, client_event_id="e", by=people[0], at=at)

    end_read()
    proved = db.session.scalars(select(Verification)).one()
    assert (proved.run_id, proved.how, proved.by) == (run_id, how, "Ana")


def test_a_run_that_was_left_proves_nothing(begin, say, people, at):
    run_id = begin()
    say(run_id, EventKind.DONE, "over")
    service.end(run_id, {}, leave=True, client_event_id="e", by=people[0], at=at)

    assert runs.run(run_id).status is RunStatus.LEFT
    assert verifications() == 0


def test_whoever_wrote_it_does_not_drive_its_drill(app, publish, people, at):
    version = publish()
    other = factories.user(Role.MAINTAINER, name="Author")
    author = Actor("person", other.id, other.name)
    written = factories.keep(
        RunbookVersion(
            runbook_id=version.runbook_id, number=9, sha256="0" * 64, source=version.source,
            front_matter={}, title="Slow", author=author.name, author_id=author.id,
            origin={"kind": "browser"}, created_at=at,
        )
    )  # fmt: skip

    with pytest.raises(ForbiddenError, match="did not write"):
        service.start(Beginning(written.id, mode=Mode.DRILL), by=author, at=at)


def test_who_is_here_and_on_what_is_known_for_a_while(begin, people, at):
    run_id = begin()
    service.look(run_id, "confirm", claim=True, by=people[0], at=at)
    service.look(run_id, "shape", by=people[1], at=at)

    here = {one.name: (one.step_id, one.claimed) for one in runs.people(run_id, at=at)}
    assert here == {"Ana": ("confirm", "confirm"), "Ben": ("shape", None)}
    later = runs.people(run_id, at=at + timedelta(minutes=5))
    assert [one.name for one in later] == ["Ana"]  # who said so may have gone to look elsewhere
    assert runs.people(run_id, at=at + timedelta(minutes=11)) == []


def test_a_reading_answers_unless_a_person_was_quicker(begin, say, at):
    run_id = begin()
    assert service.sense(run_id, "over", True, {"reading": "182 ms"}, at=at)
    assert state_of(run_id, "over") is StepState.DONE
    service.end(run_id, {}, client_event_id="e", by=Actor("person", None, "Ana"), at=at)
    assert service.sense(run_id, "over", True, {}, at=at) is None


def test_events_are_never_changed(begin):
    run_id = begin()
    event = runs.events(run_id)[0]
    with pytest.raises(DBAPIError, match="never changed"), unit_of_work():
        event.actor = "Somebody else"


def test_a_long_run_opens_with_as_many_statements_as_a_short_one(begin, say, queries):
    run_id = begin()
    short = queries(lambda: runs.followed(run_id))
    for number in range(50):
        say(run_id, EventKind.NOTED, "confirm", key=f"n{number}", text="x")
    end_read()

    assert queries(lambda: runs.followed(run_id)) == short
    assert len(runs.events(run_id)) == 51


def verifications() -> int:
    return db.session.scalar(select(func.count()).select_from(Verification)) or 0
