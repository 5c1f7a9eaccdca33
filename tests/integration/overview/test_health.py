"""Liveness and readiness, as load balancers and orchestrators ask for them."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import func, select, text

from app.alerts.tables import Delivery
from app.core.clock import now
from app.core.db import db, is_sqlite
from app.overview import operations
from tests.integration.overview import rows


@contextmanager
def database_that_takes_nothing() -> Iterator[None]:
    """Somebody else writes, and does not come to an end."""
    with db.engine.connect() as connection:
        connection = connection.execution_options(write=True)
        with connection.begin() as transaction:
            if not is_sqlite():
                connection.execute(text("LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE"))
            yield
            transaction.rollback()


def let_probes_end() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("ask-"):
            thread.join(timeout=5)


def test_liveness_asks_nothing_of_the_database(client, queries):
    replies = []

    assert queries(lambda: replies.append(client.get("/health/live"))) == 0

    assert replies[0].status_code == 200
    assert replies[0].json == {"status": "live"}


def test_ready_when_the_inbox_takes_a_row_and_a_worker_has_cycled(client):
    rows.worker(now(), cycled=now())

    reply = client.get("/health/ready")

    assert reply.status_code == 200
    assert reply.json == {
        "status": "ready",
        "checks": {"inbox": {"ok": True}, "worker": {"ok": True}},
    }


def test_the_row_that_proves_the_inbox_is_not_kept(client):
    client.get("/health/ready")

    assert db.session.scalar(select(func.count()).select_from(Delivery)) == 0


def test_not_ready_without_a_worker(client):
    reply = client.get("/health/ready")

    assert reply.status_code == 503
    assert reply.json["checks"]["inbox"] == {"ok": True}
    assert "No worker was seen" in reply.json["checks"]["worker"]["why"]


def test_not_ready_when_the_only_worker_was_last_seen_long_ago(client):
    long_ago = now() - timedelta(seconds=11)
    rows.worker(long_ago, cycled=long_ago)

    assert client.get("/health/ready").status_code == 503


def test_not_ready_when_no_scheduled_job_has_run_lately(client):
    rows.worker(now(), cycled=now() - timedelta(seconds=31))

    reply = client.get("/health/ready")

    assert reply.status_code == 503
    assert "ran no scheduled job" in reply.json["checks"]["worker"]["why"]


def test_a_worker_that_has_not_cycled_yet_does_not_count(client):
    rows.worker(now())

    assert client.get("/health/ready").status_code == 503


def test_a_database_that_hangs_is_not_waited_for(client, monkeypatch):
    monkeypatch.setattr(operations, "PATIENCE", 0.2)
    rows.worker(now(), cycled=now())
    db.session.rollback()

    with database_that_takes_nothing():
        started = time.monotonic()
        replies = [client.get("/health/ready") for _ in range(3)]
        took = time.monotonic() - started
        probes = [t for t in threading.enumerate() if t.name == "ask-inbox"]
    let_probes_end()

    assert [reply.status_code for reply in replies] == [503, 503, 503]
    assert "did not answer" in replies[0].json["checks"]["inbox"]["why"]
    assert took < 2
    assert len(probes) == 1
    assert client.get("/health/ready").status_code == 200


def test_a_failure_names_no_secret_and_shows_no_trace(client, monkeypatch, app):
    def refuse(_at):
        raise RuntimeError("postgresql://baton:hunter2@db/baton said no")

    monkeypatch.setattr(operations, "_inbox_takes_a_row", refuse)

    reply = client.get("/health/ready")

    assert reply.status_code == 503
    assert reply.json["checks"]["inbox"]["why"] == "The database refused. The log says why."
    assert "hunter2" not in reply.text
    assert "Traceback" not in reply.text
