"""What people change of an incident is in the audit trail, with what was there before."""

import pytest
from sqlalchemy import select

from app.core.db import db, end_read
from app.core.errors import ConflictError, RefusedError
from app.incidents import service
from app.incidents.service import Declaration
from app.integrations.pagerduty import outbox
from app.integrations.pagerduty.rules import MessageState
from app.people.rules import Actor, Role
from app.people.tables import AuditEntry
from tests.support import factories


@pytest.fixture
def priya(app):
    person = factories.user(Role.RESPONDER, name="Priya Raman")
    return Actor("person", person.id, person.name)


@pytest.fixture
def incident(app):
    model = factories.model("recsys-home", owner=factories.team("serving"))
    return factories.incident(model_id=model.id, team_id=model.team_id, title="Slow")


def last():
    end_read()
    return db.session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc()).limit(1)).one()


def count():
    end_read()
    return len(db.session.scalars(select(AuditEntry.id)).all())


def acknowledge(incident, by, at):
    service.acknowledge(incident.id, seen=1, by=by, at=at)


def mitigate(incident, by, at):
    service.mitigate(incident.id, seen=1, by=by, at=at)


def resolve(incident, by, at):
    service.resolve(incident.id, reason="A typo.", noise=True, seen=1, by=by, at=at)


def set_severity(incident, by, at):
    service.set_severity(incident.id, 1, seen=1, by=by, at=at)


def hand_over(incident, by, at):
    ada = factories.user(name="Ada Byron")
    service.hand_over(incident.id, ada.id, note="Look.", seen=None, by=by, at=at)


def escalate(incident, by, at):
    team = factories.team("platform")
    service.escalate(incident.id, team.id, note="It is the cache.", seen=1, by=by, at=at)


def add_note(incident, by, at):
    service.add_note(incident.id, "It is the cache.", key=None, by=by, at=at)


@pytest.mark.parametrize(
    ("act", "action", "before", "after"),
    [
        (
            acknowledge,
            "acknowledge",
            {"state": "triggered", "lead": None},
            {"state": "acknowledged", "lead": "Priya Raman"},
        ),
        (mitigate, "mitigate", {"state": "triggered"}, {"state": "mitigated"}),
        (
            resolve,
            "resolve",
            {"state": "triggered", "resolution": None, "noise": False},
            {"state": "resolved", "resolution": "A typo.", "noise": True},
        ),
        (set_severity, "severity", {"severity": "SEV-3"}, {"severity": "SEV-1"}),
        (hand_over, "hand_over", {"lead": None}, {"lead": "Ada Byron"}),
        (escalate, "escalate", None, {"paged": "Platform", "note": "It is the cache."}),
        (add_note, "note", None, {"note": "It is the cache."}),
    ],
)
def test_a_change_is_audited(incident, priya, at, act, action, before, after):
    act(incident, priya, at)

    entry = last()
    assert (entry.action, entry.actor_name, entry.at) == (f"incident.{action}", "Priya Raman", at)
    assert (entry.target_kind, entry.target_id) == ("incident", str(incident.id))
    assert entry.target_name == f"INC-{incident.id} Slow"
    assert (entry.before, entry.after) == (before, after)
    assert count() == 1


def test_opening_again_is_audited(incident, priya, at):
    resolve(incident, priya, at)
    service.reopen(incident.id, reason="It is back.", seen=None, by=priya, at=at)

    entry = last()
    assert entry.action == "incident.reopen"
    assert entry.before == {"state": "resolved", "resolution": "A typo.", "noise": True}
    assert entry.after == {"state": "triggered", "resolution": None, "noise": False}


def test_taking_an_incident_out_of_triage_is_audited(incident, priya, at):
    lost = factories.incident(title="Whose is it?")
    service.assign_model(lost.id, factories.model("fraud").id, seen=1, by=priya, at=at)

    entry = last()
    assert entry.action == "incident.route"
    assert entry.before == {"model": None, "team": None}
    assert entry.after == {"model": "fraud", "team": "Team-of-fraud"}


def test_declaring_and_sending_a_page_again_are_audited(priya, at):
    model = factories.model("fraud", owner=factories.team("risk", routing_key="R" * 32))
    declaration = Declaration("Odd", 2, model.id, "output_drift", note="x" * 1000)
    declared = service.declare(declaration, by=priya, at=at)

    entry = last()
    assert (entry.action, entry.before) == ("incident.declare", None)
    assert (entry.after["model"], entry.after["severity"]) == ("fraud", "SEV-2")

    [message] = outbox.of_incident(declared.id)
    message.state = MessageState.REFUSED
    db.session.commit()
    service.retry_page(declared.id, message.id, by=priya, at=at)

    assert (last().action, last().after) == ("incident.retry_page", {"paged": "Risk"})


def test_of_a_long_note_the_trail_keeps_the_beginning(incident, priya, at):
    service.add_note(incident.id, "word " * 1000, key=None, by=priya, at=at)

    assert len(last().after["note"]) == 300
    assert last().after["note"].endswith("…")


def test_what_is_refused_leaves_no_entry(incident, priya, at):
    with pytest.raises(RefusedError):
        service.reopen(incident.id, reason="Why not.", seen=1, by=priya, at=at)
    with pytest.raises(ConflictError):
        service.acknowledge(incident.id, seen=9, by=priya, at=at)
    service.add_note(incident.id, "Once.", key="k", by=priya, at=at)
    service.add_note(incident.id, "Once.", key="k", by=priya, at=at)

    assert count() == 1


def test_the_trail_shows_what_changed_and_leads_to_the_incident(signed_in, incident, priya, at):
    service.set_severity(incident.id, 1, seen=1, by=priya, at=at)

    page = signed_in(Role.ADMINISTRATOR).get("/settings/audit?kind=incident&what=INC-1").text

    assert f'<a href="/incidents/{incident.id}">INC-{incident.id} Slow</a>' in page
    assert "<del>SEV-3</del>" in page
    assert "<ins>SEV-1</ins>" in page
