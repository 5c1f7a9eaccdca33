"""What people do with incidents, and what they are told when somebody was quicker."""

import pytest
from sqlalchemy import select

from app.core.db import db, end_read
from app.core.errors import ConflictError, RefusedError
from app.incidents import queries, service
from app.incidents.rules import State
from app.incidents.service import Declaration
from app.incidents.tables import Incident
from app.integrations.pagerduty import outbox
from app.integrations.pagerduty.rules import Action
from app.people.rules import Actor, Role
from tests.support import factories

ROUTING_KEY = "R" * 32


@pytest.fixture
def priya(app):
    person = factories.user(Role.RESPONDER, name="Priya Raman")
    return Actor("person", person.id, person.name)


@pytest.fixture
def ines(app):
    person = factories.user(Role.RESPONDER, name="Ines Duarte")
    return Actor("person", person.id, person.name)


@pytest.fixture
def declared(app, priya, at):
    """An incident that Priya declared, so its team is paged."""
    model = factories.model(owner=factories.team("serving", routing_key=ROUTING_KEY))
    return service.declare(
        Declaration("recsys-home: empty shelves", 2, model.id, "output_drift"), by=priya, at=at
    )


def pages(incident):
    end_read()
    return [(m.action, m.to, m.dedup_key) for m in reversed(outbox.of_incident(incident.id))]


def happened(incident):
    end_read()
    return [(one.actor_name, one.text) for one in queries.timeline(incident.id)]


def test_declaring_pages_the_owners_of_the_model(declared):
    [(action, to, key)] = pages(declared)

    assert (action, to) == (Action.TRIGGER, "Serving")
    assert key.startswith("portal:")
    assert key.endswith(f"{declared.uuid}:1")


def test_a_second_declaration_of_the_same_kind_names_the_first(declared, ines, at):
    twin = Declaration("the same", 3, declared.model_id, "output_drift")

    with pytest.raises(ConflictError, match=f"INC-{declared.id} is open"):
        service.declare(twin, by=ines, at=at)


def test_acknowledging_makes_a_lead_and_tells_pagerduty(declared, priya, at):
    incident = service.acknowledge(declared.id, seen=declared.version, by=priya, at=at)

    assert (incident.state, incident.lead_id) == (State.ACKNOWLEDGED, priya.id)
    assert [action for action, *_ in pages(declared)] == [Action.TRIGGER, Action.ACKNOWLEDGE]


def test_whoever_comes_second_hears_who_was_first_and_changes_nothing(declared, priya, ines, at):
    seen = declared.version
    service.acknowledge(declared.id, seen=seen, by=priya, at=at)

    with pytest.raises(ConflictError, match="Priya Raman: Acknowledged"):
        service.set_severity(declared.id, 1, seen=seen, by=ines, at=at)

    assert db.session.get(Incident, declared.id).severity == 2


def test_what_a_resolved_incident_was_about_stays_and_its_page_ends(declared, ines, at):
    service.resolve(
        declared.id, reason="Rolled back to v42", noise=False, seen=None, by=ines, at=at
    )

    incident = queries.incident(declared.id)
    assert (incident.state, incident.resolution) == (State.RESOLVED, "Rolled back to v42")
    trigger, resolve = pages(declared)
    assert resolve[0] is Action.RESOLVE
    assert resolve[2] == trigger[2]


def test_a_resolved_incident_cannot_be_acknowledged(declared, ines, at):
    service.resolve(declared.id, reason="over", noise=True, seen=None, by=ines, at=at)

    with pytest.raises(RefusedError, match="already resolved"):
        service.acknowledge(declared.id, seen=None, by=ines, at=at)


def test_opening_again_is_a_page_of_its_own(declared, ines, at):
    service.resolve(declared.id, reason="over", noise=False, seen=None, by=ines, at=at)
    service.reopen(declared.id, reason="it is back", seen=None, by=ines, at=at)

    triggers = [key for action, _to, key in pages(declared) if action is Action.TRIGGER]
    assert len(set(triggers)) == 2


def test_opening_again_in_triage_is_refused_while_a_newer_one_is_open(app, ines, at):
    facts = {"model_id": None, "triage_key": "k", "failure_mode": "unnamed"}
    old = factories.incident(state=State.RESOLVED, **facts)
    newer = factories.incident(**facts)

    with pytest.raises(ConflictError, match=f"INC-{newer.id} is newer.* same alerts"):
        service.reopen(old.id, reason="it is back", seen=None, by=ines, at=at)


def test_routing_to_a_model_that_has_the_same_open_names_it(declared, ines, at):
    lost = factories.incident(model_id=None, triage_key="k", failure_mode=declared.failure_mode)

    with pytest.raises(ConflictError, match=f"INC-{declared.id} is open for that model"):
        service.assign_model(lost.id, declared.model_id, seen=None, by=ines, at=at)

    end_read()
    assert queries.incident(lost.id).model_id is None


def test_opening_again_is_refused_while_a_newer_one_is_open(declared, ines, at):
    service.resolve(declared.id, reason="over", noise=False, seen=None, by=ines, at=at)
    newer = Declaration("again", 3, declared.model_id, "output_drift")
    twin = service.declare(newer, by=ines, at=at)

    with pytest.raises(ConflictError, match=f"INC-{twin.id} is newer.* model and failure mode"):
        service.reopen(declared.id, reason="mine", seen=None, by=ines, at=at)


def test_escalating_pages_another_team_and_the_resolve_reaches_both(declared, priya, at):
    platform = factories.team("platform")
    service.escalate(
        declared.id, platform.id, note="index is slow on all shards", seen=None, by=priya, at=at
    )
    service.resolve(declared.id, reason="over", noise=False, seen=None, by=priya, at=at)

    resolved = {to for action, to, _key in pages(declared) if action is Action.RESOLVE}
    assert resolved == {"Serving", "Platform"}


def test_each_escalation_is_a_page_of_its_own(declared, priya, at):
    platform = factories.team("platform")
    for note in ("first", "second"):
        service.escalate(declared.id, platform.id, note=note, seen=None, by=priya, at=at)

    keys = [key for action, to, key in pages(declared) if to == "Platform"]
    assert len(set(keys)) == 2


def test_handing_over_changes_the_lead_and_says_so(declared, priya, ines, at):
    service.hand_over(
        declared.id, ines.id, note="watch the index", seen=declared.version, by=priya, at=at
    )

    assert queries.incident(declared.id).lead_id == ines.id
    assert ("Priya Raman", "Handed over to Ines Duarte") in happened(declared)


@pytest.mark.parametrize("severity", [0, 5])
def test_there_are_four_severities(declared, priya, at, severity):
    with pytest.raises(RefusedError, match="SEV-1"):
        service.set_severity(declared.id, severity, seen=None, by=priya, at=at)


def test_a_note_that_is_sent_twice_is_written_once(declared, priya, at):
    for _ in range(2):
        service.add_note(declared.id, "**v43** is slow", key="form-1", by=priya, at=at)

    assert [text for _who, text in happened(declared)].count("**v43** is slow") == 1


def test_a_note_does_not_stand_in_the_way_of_those_who_act(declared, priya, ines, at):
    seen = declared.version
    service.add_note(declared.id, "looking", key=None, by=ines, at=at)

    assert service.acknowledge(declared.id, seen=seen, by=priya, at=at).lead_id == priya.id


def test_an_incident_leaves_triage_with_a_page_to_the_owners(app, priya, at):
    lost = factories.incident()
    model = factories.model("eta-courier", owner=factories.team("logistics"))

    service.assign_model(lost.id, model.id, seen=lost.version, by=priya, at=at)

    assert queries.incident(lost.id).team.slug == "logistics"
    assert [(action, to) for action, to, _key in pages(lost)] == [(Action.TRIGGER, "Logistics")]


def test_a_refused_page_can_be_tried_again_by_the_key_its_team_has_now(declared, priya, at):
    from app.core.db import unit_of_work
    from app.integrations.pagerduty.rules import MessageState
    from app.integrations.pagerduty.tables import Message

    with unit_of_work() as session:
        message = session.scalars(select(Message)).one()
        message.state, message.settled_at, message.answer = MessageState.REFUSED, at, "bad key"

    service.retry_page(declared.id, message.id, by=priya, at=at)

    end_read()
    assert outbox.message(message.id).state is MessageState.WAITING
    assert ("Priya Raman", "Page to Serving tried again") in happened(declared)


def test_two_people_who_act_at_the_same_moment_lose_nothing(app, declared, priya, ines, at):
    """Both read version 1 and press at once, in two threads with two connections."""
    import threading

    told, barrier = [], threading.Barrier(2)
    seen, incident_id = declared.version, declared.id

    def press(who):
        with app.app_context():
            barrier.wait()
            try:
                service.acknowledge(incident_id, seen=seen, by=who, at=at)
                told.append("done")
            except ConflictError as conflict:
                told.append(conflict.sentence)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=press, args=(who,)) for who in (priya, ines)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert "done" in told
    [sentence] = [one for one in told if one != "done"]
    assert "Acknowledged, while you were reading" in sentence
    assert [text for _who, text in happened(declared)].count("Acknowledged") == 1
