"""More than usual at once: large deliveries, many incidents, many refusals."""

from datetime import timedelta

from sqlalchemy import func, select, update

from app.alerts import purging
from app.alerts.rules import DeliveryState
from app.alerts.tables import AlertState, Delivery, Integration
from app.core.clock import now
from app.core.db import db, unit_of_work
from app.incidents.rules import State
from app.incidents.tables import Incident
from app.integrations.pagerduty.tables import Message
from tests.support import factories


def small(number: int, *, name: str = "A", status: str = "firing") -> dict[str, object]:
    return {"status": status, "labels": {"alertname": name, "n": str(number)}}


def test_one_delivery_may_hold_nine_thousand_alerts(sender, work, incidents):
    door = sender()
    assert door.send([small(number) for number in range(9000)]).status_code == 200
    work()
    [incident] = incidents()
    assert (incident.member_count, incident.firing_count) == (9000, 9000)

    door.send([small(number, status="resolved") for number in range(9000)])
    work()

    [incident] = incidents()
    assert (incident.state, incident.firing_count) == (State.RESOLVED, 0)
    assert db.session.scalar(select(func.count()).select_from(AlertState)) == 9000


def test_one_delivery_may_open_a_thousand_incidents(sender, work, incidents, queries):
    """Each is paged once, and the jobs that send the pages are left to the worker."""
    door, team = sender(), factories.team()
    with unit_of_work() as session:
        session.get_one(Integration, door.integration_id).team_id = team.id
    door.send([small(0, name=f"Alert{number}") for number in range(1200)])

    statements = queries(work)

    assert len(incidents()) == 1200
    pages = select(func.count(Message.dedup_key.distinct()))
    assert db.session.scalar(pages) == 1200
    assert statements < 100


def test_an_alert_that_moves_to_a_new_incident_is_counted_there_only(sender, work, incidents):
    door = sender()
    door.send([small(1), small(2)])
    work()
    with unit_of_work() as session:
        session.execute(
            update(Incident).values(
                state=State.RESOLVED,
                resolved_by_hand=True,
                resolved_at=now() - timedelta(days=1),
            )
        )
    for number in (3, 1):
        door.send([small(number)])
        work()

    old, new = incidents()
    assert (old.firing_count, new.firing_count) == (1, 2)


def test_what_was_refused_goes_after_three_days(app, sender, deliveries):
    sender()
    stranger = app.test_client()
    for _ in range(2):
        stranger.post("/in/generic", json={"name": "A"})
    first, second = deliveries()
    assert first.state == second.state == DeliveryState.REFUSED
    with unit_of_work() as session:
        session.execute(
            update(Delivery)
            .where(Delivery.id == first.id)
            .values(received_at=now() - timedelta(days=4))
        )

    assert purging.purge(before=now() - timedelta(days=30), at=now()) == 1
    assert [one.id for one in deliveries()] == [second.id]
