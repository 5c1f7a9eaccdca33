"""Baton's own panels as a sender of alerts."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.alerts import health_feed, processing
from app.alerts.tables import Delivery, Integration
from app.core.db import db
from app.health import recording
from app.health.rules import LampState, Observation
from app.incidents.rules import State
from app.incidents.tables import Incident
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


def test_the_door_of_the_panels_is_made_once_and_has_no_key_that_anybody_knows(panel, at):
    look(panel, 612.0, at)
    look(panel, 90.0, at + timedelta(minutes=1))

    (door,) = db.session.scalars(select(Integration)).all()
    assert (door.name, door.source, door.created_by) == ("Baton health", "generic", "Baton")
