"""Counters and timings, shared by all processes of this host through files.

prometheus-client keeps them in PROMETHEUS_MULTIPROC_DIR, which `baton run` sets; without it they
count for one process. What the database knows (depths, ages) is read when somebody scrapes.
"""

import os
from collections.abc import Iterable

from prometheus_client import REGISTRY as OF_THIS_PROCESS
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
SLOW = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)

DELIVERIES = Counter("baton_deliveries", "Requests to the inbound doors.", ("source", "result"))
DOOR_SECONDS = Histogram(
    "baton_door_seconds",
    "From a request at a door to its answer, the commit included.",
    ("source",),
    buckets=QUICK,
)
INBOX_LAG_SECONDS = Histogram(
    "baton_inbox_lag_seconds", "From the receipt of a delivery to its incident.", buckets=SLOW
)
ALERTS = Counter("baton_alerts", "Alerts processed, by what became of them.", ("outcome",))
OUTBOX_LAG_SECONDS = Histogram(
    "baton_outbox_lag_seconds", "From a message's entry in the outbox to its 202.", buckets=SLOW
)
JOBS = Counter("baton_jobs", "Jobs run.", ("job", "outcome"))
JOB_SECONDS = Histogram("baton_job_seconds", "How long jobs ran.", ("job",), buckets=SLOW)
REQUEST_SECONDS = Histogram(
    "baton_request_seconds", "Server time of pages and API calls.", ("endpoint",), buckets=QUICK
)
HEALTH_LOOKS = Counter("baton_health_looks", "Sources of readings asked.", ("kind", "result"))
HEALTH_LAG_SECONDS = Histogram(
    "baton_health_lag_seconds",
    "From the moment that a source was due to the record of what it said.",
    buckets=(0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 10, 30, 60, 300),
)


def observe_job(name: str, outcome: str, seconds: float) -> None:
    JOBS.labels(name, outcome).inc()
    JOB_SECONDS.labels(name).observe(seconds)


class Snapshot:
    """Gauges read at the moment of a scrape: (name, help, value), value None if unknown."""

    def __init__(self, readings: Iterable[tuple[str, str, float | None]]) -> None:
        self.readings = list(readings)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        for name, text, value in self.readings:
            if value is not None:
                yield GaugeMetricFamily(name, text, value=value)


def exposition(readings: Iterable[tuple[str, str, float | None]]) -> bytes:
    """All metrics in the text format that Prometheus reads."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        counted = generate_latest(registry)
    else:
        counted = generate_latest(OF_THIS_PROCESS)
    now = CollectorRegistry()
    now.register(Snapshot(readings))
    return counted + generate_latest(now)
