"""What Prometheus scrapes."""

from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy.exc import OperationalError

from app.alerts.rules import DeliveryState
from app.config import Settings
from app.core.clock import now
from app.incidents.rules import State
from app.integrations.pagerduty.rules import MessageState
from app.overview import operations
from tests.integration.overview import rows
from tests.support import factories

DOCS = Path(__file__).parents[3] / "docs" / "operations.md"


def scraped(client, **kwargs) -> dict[str, float]:
    reply = client.get("/metrics", **kwargs)
    assert reply.status_code == 200
    return {
        f"{sample.name}{dict(sample.labels) or ''}": sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def test_the_depth_and_age_of_the_queues_are_read_from_the_database(client):
    at = now()
    rows.delivery(at - timedelta(seconds=90), DeliveryState.RETRYING)
    rows.delivery(at - timedelta(seconds=30), DeliveryState.RECEIVED)
    rows.delivery(at, DeliveryState.ACCEPTED)
    rows.delivery(at, DeliveryState.DEAD)
    rows.message(at - timedelta(seconds=60), MessageState.WAITING)
    rows.message(at, MessageState.SENT)

    found = scraped(client)

    assert found["baton_database_up"] == 1
    assert found["baton_inbox_depth"] == 2
    assert found["baton_inbox_oldest_seconds"] == pytest.approx(90, abs=5)
    assert found["baton_dead_letters"] == 1
    assert found["baton_outbox_depth"] == 1
    assert found["baton_outbox_oldest_seconds"] == pytest.approx(60, abs=5)
    assert found["baton_spool_bytes"] == 0


def test_empty_queues_are_zero_and_not_missing(client):
    found = scraped(client)

    assert found["baton_inbox_depth"] == 0
    assert found["baton_inbox_oldest_seconds"] == 0
    assert found["baton_outbox_oldest_seconds"] == 0
    assert found["baton_open_incidents{'severity': '1'}"] == 0


def test_open_incidents_are_counted_by_severity(client):
    factories.incident(severity=2)
    factories.incident(severity=2, state=State.ACKNOWLEDGED)
    factories.incident(severity=2, state=State.RESOLVED)
    factories.incident(severity=4)

    found = scraped(client)

    assert found["baton_open_incidents{'severity': '2'}"] == 2
    assert found["baton_open_incidents{'severity': '4'}"] == 1


def test_only_workers_that_were_seen_lately_are_alive(client):
    rows.worker(now(), cycled=now())
    rows.worker(now() - timedelta(minutes=1))

    found = scraped(client)

    assert found["baton_workers_alive"] == 1
    assert found["baton_workers_cycled"] == 1


def test_a_refused_page_counts_until_its_incident_is_over(client, app):
    at = now()
    open_one, over = factories.incident(), factories.incident(state=State.RESOLVED)
    rows.message(at, MessageState.REFUSED, incident_id=open_one.id, lane="a")
    rows.message(at, MessageState.REFUSED, incident_id=over.id, lane="b")

    assert scraped(client)["baton_pages_refused"] == 1


def test_health_sources_tell_how_many_fail_and_how_late_they_are_asked(client):
    at = now()
    factories.health_source(due_at=at + timedelta(seconds=20))
    factories.health_source(due_at=at - timedelta(seconds=90), failures=3)
    factories.health_source(due_at=at - timedelta(days=1), failures=9, closed_at=at)
    factories.health_source(due_at=at - timedelta(days=1), url="")

    found = scraped(client)

    assert found["baton_health_sources"] == 2
    assert found["baton_health_sources_failing"] == 1
    assert found["baton_health_overdue_seconds"] == pytest.approx(90, abs=5)


def test_sources_that_are_asked_in_time_are_zero_seconds_late(client):
    factories.health_source(due_at=now() + timedelta(seconds=20))

    assert scraped(client)["baton_health_overdue_seconds"] == 0


def test_the_doctor_tells_sources_that_fail_from_a_poller_that_does_not_look(app):
    at = now()
    factories.health_source(due_at=at + timedelta(seconds=20))
    assert all(check.ok for check in operations.source_checks(at=at))

    factories.health_source(due_at=at - timedelta(minutes=5), failures=3)
    poller, sources = operations.source_checks(at=at)

    assert poller.why == "one has been due for 5 min, so no worker looks"
    assert sources.why.startswith("1 of 2 do not")


def test_what_processes_count_is_told_while_the_database_is_away(client, monkeypatch):
    def away(_at):
        raise OperationalError("SELECT", {}, Exception("away"))

    monkeypatch.setattr(operations, "_gauges", away)

    found = scraped(client)

    assert found["baton_database_up"] == 0
    assert "baton_inbox_depth" not in found


@pytest.fixture
def key(app, monkeypatch) -> str:
    keyed = app.config["SETTINGS"].model_copy(update={"metrics_key": SecretStr("s3cret-s3cret")})
    assert isinstance(keyed, Settings)
    monkeypatch.setitem(app.config, "SETTINGS", keyed)
    return "s3cret-s3cret"


@pytest.mark.parametrize("sent", [None, "Bearer wrong", "Basic s3cret-s3cret", "Bearer é"])
def test_with_a_metrics_key_nobody_else_may_scrape(client, key, sent):
    headers = {"Authorization": sent} if sent else {}

    reply = client.get("/metrics", headers=headers)

    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    assert key not in reply.text


def test_the_metrics_key_opens_the_metrics(client, key):
    assert scraped(client, headers={"Authorization": f"Bearer {key}"})["baton_database_up"] == 1


def test_every_metric_of_ours_is_explained_in_the_docs(client):
    families = text_string_to_metric_families(client.get("/metrics").text)
    names = {family.name for family in families if family.name.startswith("baton_")}
    named = {name for name in names if not name.endswith("_created")}  # a part of each histogram
    explained = DOCS.read_text("utf-8")

    assert len(named) > 15
    assert sorted(name for name in named if f"`{name}" not in explained) == []
