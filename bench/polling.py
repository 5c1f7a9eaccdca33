"""What it costs one worker to keep 10,000 panels over 50 hosts, each looked at every 30 seconds."""

import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, multiprocess
from sqlalchemy import func, insert, select

from app import ROOT
from app.core.clock import now
from app.core.db import db
from app.health import service
from app.health.presets import panels_of
from app.health.service import SourceDraft
from app.health.tables import HealthSource, Lamp, Panel
from app.people.rules import BATON
from app.registry.tables import MlModel
from app.supervisor import Child, end
from tests.support import factories

HOSTS, PANELS_OF_A_MODEL, MODELS_OF_A_HOST = 50, 8, 25  # 10,000 panels
HANGING = 0.05
EVERY = 30  # seconds between two looks at a source
SETTLES, LASTS = 40, 60  # seconds until it is measured, and for how long


@contextmanager
def hosts() -> Iterator[tuple[list[int], int]]:
    """Ports of the hosts, and how many of them, the last ones, hang."""
    hanging = math.ceil(HOSTS * HANGING)
    scraped = (HOSTS - hanging) // 2
    asked = HOSTS - hanging - scraped
    counts = [str(number) for number in (scraped, asked, hanging, MODELS_OF_A_HOST)]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.hosts", *counts],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the benchmark, which ends it
    )
    try:
        assert process.stdout is not None
        yield [int(port) for port in process.stdout.readline().split()], scraped
    finally:
        process.kill()
        process.wait()


def fill(app: Any, ports: list[int], scraped: int) -> None:
    """Sources, models and panels, due all over the interval."""
    with app.app_context():
        owner = factories.team("fleet")
        at = now()
        for host, port in enumerate(ports):
            service.allow_host(f"127.0.0.1:{port}", "", by=BATON, at=at)
            kind = "openmetrics" if host < scraped else "prometheus"
            path = "/metrics" if host < scraped else ""
            draft = SourceDraft(
                name=f"host {host}", kind=kind, url=f"http://127.0.0.1:{port}{path}", every=EVERY
            )
            source = service.create_source(draft, by=BATON, at=at)
            names = [f"model-{host}-{number}" for number in range(MODELS_OF_A_HOST)]
            db.session.execute(
                insert(MlModel),
                [
                    {
                        "slug": name, "purpose": "", "tier": 3, "team_id": owner.id, "tags": [],
                        "matchers": [], "created_at": at, "updated_at": at,
                    }
                    for name in names
                ],
            )  # fmt: skip
            ids = dict(
                db.session.execute(
                    select(MlModel.slug, MlModel.id).where(MlModel.slug.in_(names))
                ).all()
            )
            drafts = {
                name: [
                    one for one in panels_of("recommender", name, kind) if not one.not_measurable
                ]
                for name in names
            }
            db.session.execute(
                insert(Panel),
                [
                    {
                        "model_id": ids[name], "slug": one.key, "title": one.title,
                        "lane": one.lane, "source_id": source.id, "spec": dict(one.spec),
                        "unit": one.unit, "window": one.window, "above": one.rule.above,
                        "below": one.rule.below, "clear": one.rule.clear, "k": one.rule.k,
                        "n": one.rule.n, "min_rows": one.rule.min_rows,
                        "stale_after": int(one.rule.stale_after.total_seconds()),
                        "failure_mode": "", "created_at": at, "created_by": "Baton",
                        "preset": "recommender", "severity": 3, "version": 1,
                    }
                    for name in names
                    for one in drafts[name][:PANELS_OF_A_MODEL]
                ],
            )  # fmt: skip
            found = db.session.get_one(HealthSource, source.id)
            found.due_at = at + timedelta(seconds=EVERY * host / HOSTS)
            db.session.commit()
        db.engine.dispose()


def cost(app: Any, environment: dict[str, str], folder: Path) -> dict[str, float]:
    """Share of a core that the worker takes, and how late looks are, once all run."""
    metrics = folder / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir(parents=True)
    environment = {**environment, "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    worker = Child("worker", [sys.executable, "-m", "app.worker"], environment, folder=ROOT)
    worker.start()
    assert worker.process is not None
    pid = worker.process.pid
    try:
        time.sleep(SETTLES)  # a length of time is what is measured
        before, seen = _cpu(pid), _lags(metrics)
        started = time.monotonic()
        time.sleep(LASTS)
        seconds = time.monotonic() - started
        used, lags = _cpu(pid) - before, _lags(metrics)
    finally:
        end([worker])
    with app.app_context():
        judged = db.session.scalar(
            select(func.count()).where(Lamp.looked_at > now() - timedelta(seconds=2 * EVERY))
        )
        db.engine.dispose()
    counted = {bound: lags[bound] - seen.get(bound, 0) for bound in lags}
    return {
        "cores": used / seconds,
        "lag_p99_s": _quantile(counted, 0.99),
        "looks": counted[float("inf")],
        "panels": float(judged or 0),
    }


def _cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _lags(metrics: Path) -> dict[float, float]:
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=str(metrics))  # type: ignore[no-untyped-call]  # theirs
    return {
        float(sample.labels["le"]): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "baton_health_lag_seconds_bucket"
    }


def _quantile(counted: dict[float, float], q: float) -> float:
    """As Prometheus' histogram_quantile: linear within a bucket."""
    whole = counted[float("inf")]
    low, below = 0.0, 0.0
    for bound in sorted(counted):
        if counted[bound] >= q * whole:
            if bound == float("inf"):
                return low
            inside = counted[bound] - below
            return low + (bound - low) * ((q * whole - below) / inside if inside else 1)
        low, below = bound, counted[bound]
    return low
