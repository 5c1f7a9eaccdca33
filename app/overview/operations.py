"""Health and metrics, for whatever watches Baton.

Whoever asks gets an answer within seconds, also while the database hangs: what needs it runs in a
thread of its own, and is given up on.
"""

import hmac
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from flask_openapi3 import OpenAPI
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from app.alerts import queries as alerts
from app.alerts.committer import DELIVERIES, spool_of
from app.alerts.rules import DeliveryState
from app.config import settings
from app.core.clock import now
from app.core.db import db
from app.core.metrics import exposition
from app.overview import readings
from app.people.access import public
from app.web.times import duration

log = logging.getLogger(__name__)

bp = Blueprint("operations", __name__)

PATIENCE = 2.0  # seconds that the database is given
AWAY = (OperationalError, InterfaceError)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so before Baton can do its work; `why` says what is missing."""

    name: str
    why: str = ""

    @property
    def ok(self) -> bool:
        return not self.why


@bp.get("/health/live")
@public
def live() -> ResponseReturnValue:
    """This process answers. Says nothing about the database."""
    return jsonify(status="live")


@bp.get("/health/ready")
@public
def ready() -> ResponseReturnValue:
    """A delivery that arrives now can be kept, and a worker will take it."""
    checks = run_checks(at=now())
    fine = all(check.ok for check in checks)
    response = jsonify(
        status="ready" if fine else "not ready",
        checks={
            check.name: {"ok": True} if check.ok else {"ok": False, "why": check.why}
            for check in checks
        },
    )
    response.status_code = 200 if fine else 503
    return response


@bp.get("/api/v1/openapi.json")
@public
def describe_api() -> ResponseReturnValue:
    """The API as an OpenAPI 3.1 document, made of the models that check its requests."""
    return jsonify(cast(OpenAPI, current_app).api_doc)


@bp.get("/metrics")
@public
def metrics() -> ResponseReturnValue:
    if not _may_scrape():
        return Response(
            "Send the metrics key as a bearer token.\n",
            401,
            {"WWW-Authenticate": 'Bearer realm="Baton metrics"'},
            mimetype="text/plain",
        )
    at = now()
    try:
        gauges = _ask("metrics", lambda: _gauges(at)).result(timeout=PATIENCE)
    except (TimeoutError, DBAPIError) as error:
        # What the processes count is worth having even then, and this gauge says what is wrong.
        log.error("the database gave no readings", extra={"error": str(error)[:200]})
        gauges = []
    of_this_host = [
        ("baton_database_up", "Whether the database answered this scrape.", float(bool(gauges))),
        ("baton_spool_bytes", "Deliveries that wait on this host's disk.", float(spool_bytes())),
    ]
    return Response(exposition(of_this_host) + _text_of(gauges), content_type=CONTENT_TYPE_LATEST)


def spool_bytes() -> int:
    return spool_of(current_app).size()


def run_checks(*, at: datetime) -> tuple[Check, ...]:
    # Both at once, so that a database that hangs costs the patience for one.
    deadline = time.monotonic() + PATIENCE
    asked = {
        "inbox": _ask("inbox", lambda: _inbox_takes_a_row(at)),
        "worker": _ask("worker", lambda: _worker_cycles(at)),
    }
    return tuple(_check(name, answer, deadline) for name, answer in asked.items())


def _check(name: str, answer: Future[str], deadline: float) -> Check:
    try:
        return Check(name, answer.result(timeout=max(deadline - time.monotonic(), 0)))
    except TimeoutError:
        log.error("health check timed out", extra={"check": name})
        return Check(name, f"The database did not answer within {PATIENCE:g} s.")
    except AWAY as error:
        log.error("health check failed", extra={"check": name, "error": str(error.orig)})
        return Check(name, "The database does not answer.")
    except Exception:
        log.exception("health check failed", extra={"check": name})
        return Check(name, "The database refused. The log says why.")


def _inbox_takes_a_row(at: datetime) -> str:
    """Write a delivery as the doors do, and take it back."""
    with db.engine.connect() as connection:
        connection = connection.execution_options(write=True)
        with connection.begin() as transaction:
            connection.execute(
                insert(DELIVERIES),
                {
                    "receipt": f"ready{secrets.token_hex(13)}",
                    "source": "health",
                    "received_at": at,
                    "path": "/health/ready",
                    "headers": {},
                    "body": b"{}",
                    "size": 2,
                    "state": DeliveryState.RECEIVED,
                    "attempts": 0,
                    "repeats": 0,
                    "what": "",
                    "why": "",
                    "outcome": {},
                },
            )
            transaction.rollback()
    return ""


def source_checks(*, at: datetime) -> tuple[Check, ...]:
    """For `baton doctor`. No part of readiness: Baton takes alerts whoever else is away."""
    found = readings.sources(at=at)
    late = readings.ASKED_WITHIN.total_seconds()
    return (
        Check(
            "poller",
            f"one has been due for {duration(found.overdue)}, so no worker looks"
            if found.overdue > late
            else "",
        ),
        Check(
            "sources",
            f"{found.failing} of {found.asked} do not; Settings, Health sources says why"
            if found.failing
            else "",
        ),
    )


def _worker_cycles(at: datetime) -> str:
    workers = readings.workers(at=at)
    if not workers.alive:
        within = int(readings.SEEN_WITHIN.total_seconds())
        return f"No worker was seen in the last {within} s. Start one: baton worker."
    if not workers.cycled:
        within = int(readings.CYCLED_WITHIN.total_seconds())
        return f"A worker is there, but ran no scheduled job in the last {within} s."
    return ""


# Metrics


def _may_scrape() -> bool:
    wanted = settings().metrics_key
    if wanted is None:
        return True
    kind, _, sent = request.headers.get("Authorization", "").partition(" ")
    key = wanted.get_secret_value()
    return kind.lower() == "bearer" and hmac.compare_digest(
        sent.strip().encode("utf-8", "replace"), key.encode()
    )


def _gauges(at: datetime) -> list[GaugeMetricFamily]:
    inbox, outbox = readings.inbox(at=at), readings.outbox(at=at)
    workers, sources = readings.workers(at=at), readings.sources(at=at)
    incidents = GaugeMetricFamily("baton_open_incidents", "Open incidents.", labels=["severity"])
    for severity, count in readings.open_incidents().items():
        incidents.add_metric([str(severity)], count)
    plain = (
        ("baton_inbox_depth", "Deliveries that wait to be processed.", inbox.depth),
        ("baton_inbox_oldest_seconds", "Age of the oldest of these.", inbox.oldest),
        ("baton_dead_letters", "Deliveries that failed for good.", alerts.dead_count()),
        ("baton_outbox_depth", "Messages that wait to be sent.", outbox.depth),
        ("baton_outbox_oldest_seconds", "Age of the oldest of these.", outbox.oldest),
        ("baton_pages_refused", "Refused pages of open incidents.", readings.refused_pages()),
        ("baton_health_sources", "APIs that are asked for readings.", sources.asked),
        ("baton_health_sources_failing", "Of these, those that do not answer.", sources.failing),
        (
            "baton_health_overdue_seconds",
            "How long the source due longest has waited to be asked.",
            sources.overdue,
        ),
        ("baton_workers_alive", "Workers seen in the last 10 s.", workers.alive),
        ("baton_workers_cycled", "Workers with a scheduled job in the last 30 s.", workers.cycled),
    )
    return [
        incidents,
        *(GaugeMetricFamily(name, text, value=value) for name, text, value in plain),
    ]


class _Readings:
    """Readings in the shape that prometheus-client collects."""

    def __init__(self, gauges: Iterable[GaugeMetricFamily]) -> None:
        self._gauges = list(gauges)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self._gauges


def _text_of(gauges: Iterable[GaugeMetricFamily]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Readings(gauges))
    return generate_latest(registry)


# Patience

_starting = threading.Lock()


def _ask(name: str, question: Callable[[], T]) -> Future[T]:
    """Ask in a thread. Whoever asks the same before it is answered waits for the same answer.

    So a database that hangs holds one thread and one connection for each question, not one for
    each time somebody asks.
    """
    app = cast(Any, current_app)._get_current_object()
    with _starting:
        asked: dict[str, Future[T]] = app.extensions.setdefault("asked_patiently", {})
        running = asked.get(name)
        if running is None or running.done():
            running = asked[name] = Future()
            threading.Thread(
                target=_answer, args=(app, question, running), name=f"ask-{name}", daemon=True
            ).start()
    return running


def _answer(app: Flask, question: Callable[[], T], running: Future[T]) -> None:
    try:
        with app.app_context():
            found = question()
    except BaseException as error:
        running.set_exception(error)
    else:
        running.set_result(found)
