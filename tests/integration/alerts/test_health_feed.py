"""Baton's own panels as a sender of alerts."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from app.alerts import health_feed, processing
from app.alerts.persistence import rest
from app.alerts.tables import Delivery, Integration
from app.core.clock import now
from app.core.db import db, end_read, unit_of_work
from app.health import evidence, recording
from app.health import service as health
from app.health.evidence import Pace
from app.health.jobs import see_what_ages
from app.health.rules import LampState, Lane, Observation
from app.health.tables import Panel
from app.incidents.rules import State
from app.incidents.tables import Incident
from app.people.rules import BATON
from app.registry import service as registry
from tests.support import factories


@pytest.fixture
def panel(app):
    serving = factories.team()
    model = factories.model("recsys-home", owner=serving, matchers=[{"app": "reco"}])
    factories.runbook("latency-regression", failure_mode="latency_regression")
    return factories.panel(model, severity=2, slug="p99")


def look(panel, value, moment, **more):
    recording.record({panel.id: Observation(moment, value, 500.0, **more)}, at=moment)
    read = health_feed.read_changes(at=moment)
    processing.process_next(at=moment)
    db.session.expire_all()
    return read


def incidents():
    return list(db.session.scalars(select(Incident).order_by(Incident.id)))


def test_a_breach_opens_the_right_incident_and_its_end_resolves_it(panel, at):
    look(panel, 612.0, at)

    (incident,) = incidents()
    assert incident.model_id == panel.model_id
    assert incident.failure_mode == "latency_regression"
    assert incident.severity == 2
    assert "p99 latency 612 ms, limit 250 ms" in incident.title
    assert incident.state is State.TRIGGERED
    assert incident.runbook_version_id is not None

    look(panel, 90.0, at + timedelta(minutes=1))
    assert incidents()[0].state is State.RESOLVED


def test_what_is_no_breach_opens_nothing(panel, at):
    assert look(panel, 90.0, at) == 1
    look(panel, None, at + timedelta(minutes=1), gap=LampState.NO_DATA)

    assert incidents() == []
    assert db.session.query(Delivery).count() == 0


def test_a_source_that_stays_away_is_an_incident_of_its_own(panel, at):
    look(panel, 90.0, at)
    look(panel, None, at + timedelta(minutes=1), gap=LampState.UNREACHABLE)
    later = at + timedelta(minutes=12)
    recording.tell_blind(at=later)
    health_feed.read_changes(at=later)
    processing.process_next(at=later)

    (incident,) = incidents()
    assert incident.failure_mode == "monitoring_blind"

    look(panel, 90.0, later + timedelta(minutes=1))
    assert incidents()[0].state is State.RESOLVED


def test_a_breach_does_not_end_because_nobody_sees_it(panel, at):
    look(panel, 612.0, at)
    look(panel, None, at + timedelta(minutes=1), gap=LampState.UNREACHABLE)

    assert incidents()[0].state is State.TRIGGERED


def test_each_change_is_read_once(panel, at):
    assert look(panel, 612.0, at) == 1
    assert health_feed.read_changes(at=at) == 0
    assert db.session.query(Delivery).count() == 1


def test_a_panel_without_a_failure_mode_opens_no_incident(panel, at):
    quiet = factories.panel(panel.model, failure_mode="", slug="quiet")

    look(quiet, 612.0, at)

    assert incidents() == []


def test_the_end_of_what_never_had_a_failure_mode_is_no_delivery(panel, at):
    quiet = factories.panel(panel.model, failure_mode="", slug="quiet")
    look(quiet, 612.0, at)
    look(quiet, 90.0, at + timedelta(minutes=1))

    assert db.session.query(Delivery).count() == 0


def test_an_incident_ends_though_its_failure_mode_was_taken_away(panel, at):
    look(panel, 612.0, at)
    with unit_of_work() as session:
        session.get_one(Panel, panel.id).failure_mode = ""

    look(panel, 90.0, at + timedelta(minutes=1))

    assert incidents()[0].state is State.RESOLVED


def read(moment):
    health_feed.read_changes(at=moment)
    processing.process_next(at=moment)
    db.session.expire_all()


def test_a_panel_that_is_closed_resolves_its_incident(panel, at):
    look(panel, 612.0, at)

    health.close_panel(panel.id, by=BATON, at=at + timedelta(minutes=1))
    read(at + timedelta(minutes=1))

    assert incidents()[0].state is State.RESOLVED


def test_a_panel_that_is_closed_while_nobody_sees_it_resolves_both_incidents(panel, at):
    look(panel, 612.0, at)
    look(panel, None, at + timedelta(minutes=1), gap=LampState.UNREACHABLE)
    recording.tell_blind(at=at + timedelta(minutes=12))
    read(at + timedelta(minutes=12))
    assert [one.state for one in incidents()] == [State.TRIGGERED] * 2

    health.close_panel(panel.id, by=BATON, at=at + timedelta(minutes=13))
    read(at + timedelta(minutes=13))

    assert [one.state for one in incidents()] == [State.RESOLVED] * 2


def test_a_model_that_is_retired_resolves_its_incident(panel, at):
    look(panel, 612.0, at)

    registry.retire_model("recsys-home", by=BATON, at=at)
    see_what_ages()
    read(now())

    assert incidents()[0].state is State.RESOLVED


def test_the_door_of_the_panels_is_made_once_and_has_no_key_that_anybody_knows(panel, at):
    look(panel, 612.0, at)
    look(panel, 90.0, at + timedelta(minutes=1))

    (door,) = db.session.scalars(select(Integration)).all()
    assert (door.name, door.source, door.created_by) == ("Baton health", "generic", "Baton")


def test_an_alert_of_a_panel_leads_to_its_page(app, panel, at):
    look(panel, 612.0, at)

    (said,) = told()

    path = "/health/panels/p99" if "health.panel" in app.view_functions else ""
    assert said["links"] == [
        {"href": f"https://baton.test/models/recsys-home{path}", "text": "p99 latency"}
    ]
    assert said["annotations"] == {
        "value": "612.0",
        "limit": "250.0",
        "unit": "ms",
        "rows": "500.0",
    }
    assert said["severity"] == "error"


def told():
    """The alerts of the newest delivery."""
    newest = db.session.scalars(select(Delivery).order_by(Delivery.id.desc())).first()
    return json.loads(newest.body)["alerts"]


# --- How long what is over has to last, by failure mode


@pytest.fixture
def drift(panel):
    """A panel of input drift whose own rule asks for one clear window only."""
    model = db.session.get_one(type(panel.model), panel.model_id)
    factories.runbook("model-input-drift", failure_mode="input_drift")
    return factories.panel(
        model, Lane.INPUT_DRIFT, slug="inputs", title="Inputs", unit="", above=0.2, window=900,
        failure_mode="input_drift",
    )  # fmt: skip


MINUTE = timedelta(minutes=1)


def waiting():
    """The jobs that wait to tell an end."""
    end_read()
    rows = db.session.execute(
        text("SELECT workflow_uuid FROM dbos.workflow_status WHERE name = 'alerts.tell_end'")
        if db.engine.dialect.name == "postgresql"
        else text("SELECT workflow_uuid FROM workflow_status WHERE name = 'alerts.tell_end'")
    )
    return [int(row[0].removeprefix("health-rest-")) for row in rows]


def tell(fact_id, moment):
    done = health_feed.tell_end(fact_id, at=moment)
    processing.process_next(at=moment)
    db.session.expire_all()
    return done


def test_drift_opens_the_incident_with_its_own_runbook_at_once(drift, at):
    look(drift, 0.31, at)

    (incident,) = incidents()
    assert (incident.failure_mode, incident.severity) == ("input_drift", 3)
    assert incident.runbook_version.runbook.slug == "model-input-drift"


def test_one_clear_window_of_drift_does_not_end_its_incident(drift, at):
    look(drift, 0.31, at)
    look(drift, 0.08, at + 15 * MINUTE)

    assert incidents()[0].state is State.TRIGGERED
    (fact_id,) = waiting()

    assert tell(fact_id, at + 30 * MINUTE)
    assert incidents()[0].state is State.RESOLVED


def test_drift_that_nobody_watches_any_more_does_not_have_to_last(drift, at):
    look(drift, 0.31, at)

    health.close_panel(drift.id, by=BATON, at=at + MINUTE)
    read(at + MINUTE)

    assert waiting() == []
    assert incidents()[0].state is State.RESOLVED


def test_drift_that_comes_back_meanwhile_ends_nothing(drift, at):
    look(drift, 0.31, at)
    look(drift, 0.08, at + 15 * MINUTE)
    look(drift, 0.33, at + 20 * MINUTE)
    (fact_id,) = waiting()

    assert not tell(fact_id, at + 30 * MINUTE)
    assert incidents()[0].state is State.TRIGGERED
    assert incidents()[0].episode == 1


def test_an_end_is_told_once(drift, at):
    look(drift, 0.31, at)
    look(drift, 0.08, at + 15 * MINUTE)
    (fact_id,) = waiting()
    assert tell(fact_id, at + 30 * MINUTE)

    assert not tell(fact_id, at + 31 * MINUTE)


def test_an_end_that_nobody_recorded_is_not_told(panel, at):
    assert not health_feed.tell_end(4711, at=at)


def test_a_panel_whose_own_rule_asks_for_as_much_waits_no_longer(panel, at):
    model = db.session.get_one(type(panel.model), panel.model_id)
    steady = factories.panel(
        model, Lane.INPUT_DRIFT, slug="steady", unit="", above=0.2, k=2, n=3,
        failure_mode="input_drift",
    )  # fmt: skip
    for minute, value in enumerate((0.3, 0.3, 0.1, 0.1)):
        look(steady, value, at + minute * MINUTE)

    assert waiting() == []
    assert incidents()[0].state is State.RESOLVED


@pytest.mark.parametrize(
    ("mode", "k", "minutes"),
    [
        ("latency_regression", 1, 0),
        ("schema_break", 1, 0),
        ("monitoring_blind", 1, 0),
        ("input_drift", 1, 15),
        ("input_drift", 2, 0),
        ("provider_degraded", 1, 30),
        ("feedback_loop", 2, 15),
        ("a_mode_of_ours", 1, 0),
    ],
)
def test_each_mode_rests_as_long_as_it_needs(mode, k, minutes):
    assert rest(mode, Pace(15 * MINUTE, k)) == minutes * MINUTE


def test_the_pace_is_that_of_the_readings(drift, at):
    look(drift, 0.08, at)
    assert evidence.pace_of(drift.id) == Pace(15 * MINUTE, 1)

    look(drift, 0.08, at + MINUTE)
    assert evidence.pace_of(drift.id) == Pace(MINUTE, 1)
