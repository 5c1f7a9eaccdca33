"""What is older never undoes what is newer, in whatever batches and however late it comes."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.alerts.committer import spool_of, write_spooled
from app.alerts.rules import DeliveryState
from app.alerts.tables import Delivery
from app.core.clock import now
from app.core.db import db, unit_of_work
from app.incidents.rules import State
from app.incidents.tables import Incident
from tests.integration.alerts.conftest import firing, over, webhook
from tests.support import factories


@pytest.fixture(autouse=True)
def recsys(app):
    return factories.model("recsys-home")


def event(door, action, **more):
    return {
        "routing_key": door.key,
        "event_action": action,
        "dedup_key": "k",
        "payload": {"summary": "s", "source": "x", "severity": "error", "custom_details": more},
    }


def again(delivery):
    """As a replay does: back in line, its time of arrival kept."""
    with unit_of_work() as session:
        session.execute(
            update(Delivery).where(Delivery.id == delivery.id).values(state=DeliveryState.RECEIVED)
        )


def test_an_alert_name_of_any_length_opens_an_incident(sender, work, incidents):
    sender().send(webhook(firing("A" * 5000)))
    work()

    assert len(incidents()) == 1


def test_replaying_an_old_group_resolve_ends_nothing_that_fires_now(
    sender, work, incidents, deliveries
):
    door = sender()
    door.send(webhook(firing()))
    door.send(webhook(over(firing())))
    work()
    door.send(webhook({**firing(), "startsAt": "2026-03-12T03:00:00Z"}))
    work()
    again(deliveries()[1])
    work()

    assert [incident.state for incident in incidents()] == [State.TRIGGERED]


def test_replaying_an_old_undated_resolve_ends_nothing_that_fires_now(
    sender, work, incidents, deliveries
):
    door = sender("events_v2", "/v2/enqueue")
    for action in ("trigger", "resolve", "trigger"):
        door.send(event(door, action))
        work()
    again(deliveries()[1])
    work()

    assert [incident.state for incident in incidents()] == [State.TRIGGERED]


def test_after_a_backlog_a_new_start_opens_again_though_its_group_had_closed(
    app, sender, work, incidents
):
    door = sender()
    first, second = firing(feature="a"), firing(feature="b")
    door.send(webhook(first, second))
    work()
    long_ago = now() - timedelta(minutes=30)
    door.send(webhook(over(first), truncatedAlerts=1))
    door.send(webhook({**second, "startsAt": (long_ago + timedelta(minutes=5)).isoformat()}))
    with unit_of_work() as session:
        # Both came half an hour ago and waited; the close before the new start.
        for delivery_id, at in ((2, long_ago), (3, long_ago + timedelta(minutes=6))):
            session.execute(
                update(Delivery).where(Delivery.id == delivery_id).values(received_at=at)
            )
        session.execute(
            update(Delivery.__table__.metadata.tables["incident_members"]).values(
                last_seen_at=long_ago - timedelta(minutes=1)
            )
        )
    work()

    assert [incident.state for incident in incidents()] == [State.TRIGGERED]


def test_an_acknowledgement_counts_for_the_trigger_before_it_only(sender, work, incidents):
    door = sender("events_v2", "/v2/enqueue")
    for action in ("acknowledge", "trigger"):
        door.send(event(door, action))
    work()

    assert [incident.state for incident in incidents()] == [State.TRIGGERED]


def test_the_sender_can_acknowledge(sender, work, incidents):
    door = sender("events_v2", "/v2/enqueue")
    for action in ("trigger", "acknowledge"):
        door.send(event(door, action))
    work()

    assert [incident.state for incident in incidents()] == [State.ACKNOWLEDGED]


def test_two_teams_with_the_same_alert_are_both_told(app, work, incidents):
    for name in ("alpha", "beta"):
        team = factories.team(name)
        _row, key = factories.integration("alertmanager", name=name, team_id=team.id)
        app.test_client().post(
            "/in/alertmanager",
            json=webhook(firing("HostDown", model="nobodys")),
            headers={"Authorization": f"Bearer {key}"},
        )
    work()

    assert len({incident.team_id for incident in incidents()}) == 2


def test_a_group_that_resolves_an_incident_is_told_so(sender, work, deliveries):
    door = sender()
    alerts = [firing(feature=str(number)) for number in range(4)]
    door.send(webhook(*alerts))
    work()
    door.send(webhook(*[over(alert) for alert in alerts[:1]], truncatedAlerts=3))
    work()

    last = deliveries()[-1]
    assert last.state is DeliveryState.ACCEPTED
    assert last.why == "Resolved INC-1."


def test_a_resolve_in_the_spool_is_not_forgotten_when_its_trigger_comes_again(
    app, sender, work, incidents, deliveries
):
    door = sender("events_v2", "/v2/enqueue")
    trigger = event(door, "trigger")
    door.send(trigger)
    work()
    door.send(event(door, "resolve"))
    # As if the resolve had waited in the spool: its row is there, its body was never the newest.
    [_first, resolve] = deliveries()
    columns = {
        column.name: getattr(resolve, column.name)
        for column in Delivery.__table__.columns
        if column.name != "id"
    }
    with unit_of_work() as session:
        session.delete(session.get(Delivery, resolve.id))
    spool = spool_of(app)
    spool.append([columns])
    spool.replay(write_spooled)
    answer = door.send(trigger)
    work()

    assert answer.json["result"] == "accepted"
    assert [incident.state for incident in incidents()] == [State.TRIGGERED]


def test_an_alert_that_reopens_while_a_person_does_is_one_episode(app, sender, work, incidents, at):
    from app.incidents import service
    from app.people.rules import BATON

    door = sender()
    door.send(webhook(firing()))
    door.send(webhook(over(firing())))
    work()
    incident = db.session.scalars(select(Incident)).one()
    service.reopen(incident.id, reason="it is back", seen=None, by=BATON, at=now())
    door.send(webhook({**firing(), "startsAt": "2026-03-12T03:00:00Z"}))
    work()

    assert [(one.state, one.episode) for one in incidents()] == [(State.TRIGGERED, 2)]


def test_a_late_copy_does_not_bring_back_what_its_group_took_along(sender, work, incidents):
    door = sender()
    alerts = [firing(feature=str(number)) for number in range(3)]
    door.send(webhook(*alerts))
    work()

    # Both wait together, so that one batch has them.
    door.send(webhook(over(alerts[0]), truncatedAlerts=2))
    door.send(webhook(*alerts, externalURL="https://second-of-the-pair.example.com"))
    work()

    assert [(one.state, one.episode) for one in incidents()] == [(State.RESOLVED, 1)]


def test_an_acknowledgement_after_the_end_takes_nothing_on(sender, work, incidents):
    door = sender("events_v2", "/v2/enqueue")
    for action in ("trigger", "resolve", "acknowledge"):
        door.send(event(door, action))
    work()

    assert [(one.state, one.acknowledged_at) for one in incidents()] == [(State.RESOLVED, None)]
