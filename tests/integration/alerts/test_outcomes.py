"""What a delivery is said to have become: true of each incident that it touched."""

from datetime import timedelta

import pytest

from app.alerts.rules import DeliveryState
from app.core.clock import now
from app.incidents import queries, service
from app.incidents.rules import STILL_FIRING_AFTER
from app.incidents.service import Declaration
from app.people.rules import BATON
from tests.integration.alerts.conftest import firing, over, webhook
from tests.support import factories


@pytest.fixture(autouse=True)
def recsys(app):
    return factories.model("recsys-home")


@pytest.fixture
def became(work, deliveries):
    """State and sentence of the newest delivery, once it is processed."""

    def tell():
        work()
        newest = deliveries()[-1]
        return newest.state, newest.why

    return tell


def event(action, **more):
    payload = {"summary": "Shelves are empty", "source": "recsys", "severity": "error"}
    return {"event_action": action, "dedup_key": "k", "payload": payload, **more}


def resolve(number):
    service.resolve(number, reason="Rolled back", noise=False, seen=None, by=BATON, at=now())


def test_what_fires_already_elsewhere_has_not_joined(sender, became):
    door = sender()
    door.send(webhook(firing("A")))
    became()

    door.send(webhook(firing("A"), firing("B"), firing("B", feature="x")))

    assert became() == (DeliveryState.ACCEPTED, "Opened INC-2; 1 already firing in INC-1.")


def test_only_the_alerts_that_joined_are_counted_as_joined(sender, became):
    door = sender()
    door.send(webhook(firing("A")))
    became()

    door.send(webhook(firing("A", feature="x"), firing("B")))

    assert became() == (DeliveryState.ACCEPTED, "Opened INC-2; 1 joined INC-1.")


def test_what_comes_back_is_said_to_be_opened_again(sender, became):
    door = sender()
    door.send(webhook(firing()))
    door.send(webhook(over(firing())))
    became()

    door.send(webhook({**firing(), "startsAt": "2026-03-12T02:31:00Z"}))

    assert became() == (DeliveryState.ACCEPTED, "Opened INC-1 again.")


def test_members_that_go_along_with_their_group_are_counted_as_ended(sender, became):
    door = sender()
    alerts = [firing(feature=str(number)) for number in range(5)]
    door.send(webhook(*alerts))
    door.send(webhook(firing(feature="elsewhere"), group="another"))
    became()

    door.send(webhook(over(alerts[0]), truncatedAlerts=4))

    assert became() == (DeliveryState.ACCEPTED, "5 ended, others of INC-1 still fire.")


def test_a_group_that_ends_only_what_it_does_not_name_is_news(sender, became):
    door = sender()
    first, second = firing(feature="a"), firing(feature="b")
    door.send(webhook(first, second))
    door.send(webhook(firing(feature="elsewhere"), group="another"))
    door.send(webhook(over(first), second))
    became()

    door.send(webhook(over(first), truncatedAlerts=1))

    assert became() == (
        DeliveryState.ACCEPTED,
        "1 ended, others of INC-1 still fire; 1 over already, nothing was open.",
    )


def test_the_last_alert_of_a_declared_incident_ends_without_others_that_fire(
    sender, became, recsys
):
    service.declare(
        Declaration("It is slow", 2, recsys.id, "model_latency_high"), by=BATON, at=now()
    )
    door = sender()
    door.send(webhook(firing()))
    assert became() == (DeliveryState.ACCEPTED, "1 joined INC-1.")

    door.send(webhook(over(firing())))

    assert became() == (DeliveryState.ACCEPTED, "1 ended in INC-1.")


def test_an_alert_that_is_left_alone_after_a_persons_resolve_is_said_to_be(sender, became):
    door = sender()
    door.send(webhook(firing()))
    became()
    resolve(1)

    door.send(webhook(firing(), truncatedAlerts=1))

    assert became() == (DeliveryState.DUPLICATE, "1 still firing in INC-1, resolved by hand.")


def test_an_alert_that_never_stopped_opens_its_incident_again(sender, work, deliveries):
    door = sender()
    door.send(webhook(firing()))
    work()
    resolve(1)

    door.send(webhook(firing(), truncatedAlerts=1))
    work(now() + STILL_FIRING_AFTER + timedelta(seconds=1))

    newest = deliveries()[-1]
    assert (newest.state, newest.why) == (DeliveryState.ACCEPTED, "Opened INC-1 again.")


def test_what_somebody_took_at_the_sender_is_acknowledged_in_its_name(app, sender, became):
    door = sender("events_v2")
    door.send(event("trigger"))
    became()

    door.send(event("acknowledge", payload=None))

    assert became() == (DeliveryState.ACCEPTED, "Acknowledged INC-1.")
    said = [(one.actor_name, one.text) for one in queries.timeline(1)]
    assert ("events_v2", "Acknowledged at the sender") in said


@pytest.mark.parametrize("before", [(), ("trigger", "acknowledge"), ("trigger", "resolve")])
def test_an_acknowledgement_of_what_is_not_open_or_taken_already_changes_nothing(
    sender, became, before
):
    door = sender("events_v2")
    for action in before:
        door.send(event(action))
        became()

    door.send(event("acknowledge", client="again"))

    assert became() == (
        DeliveryState.DUPLICATE,
        "Acknowledged at the sender, changed nothing.",
    )
