"""The sample as part of `baton run`, and how soon a breach is an incident."""

import logging
import os
import re
import signal
import statistics
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from app import create_app
from app.config import Settings
from app.core.clock import now
from app.core.db import db
from app.health import service as health
from app.health.presets import PanelDraft
from app.health.rules import Lane, Rule
from app.health.service import SourceDraft
from app.people.rules import BATON
from app.registry import service as registry
from app.registry.drafts import ModelDraft, TeamDraft
from tests.end_to_end.test_commands import ONE_WORKER, welcome
from tests.support import recommender
from tests.support.processes import Baton, Metrics, metrics_endpoint, wait_for

log = logging.getLogger(__name__)

EVERY = 5  # seconds between two looks: the evaluation interval
JITTER = 1.1  # a look may come so much later
HANDING_ON = 2.0  # seconds from a look to an open incident
FLIPS = 3


def processes_of(folder: Path) -> dict[int, str]:
    """The processes of the sample with this folder, by their command lines."""
    found = {}
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if process.name.isdigit() and "recommender" in command and str(folder) in command:
            found[int(process.name)] = command
    return found


def parent(folder: Path) -> int | None:
    return next((pid for pid, said in processes_of(folder).items() if " run " in said), None)


def incidents(baton: Baton, token: str) -> list[dict]:
    return baton.api(token).all("/incidents", state="all")


def test_a_first_start_runs_and_watches_the_sample(installed):
    recommender.require()
    baton = installed(BATON_SAMPLE="on", **ONE_WORKER)
    folder = baton.var / "sample"
    link = baton.start().link
    token = baton.secret("token", "create", "test", "--scope", "read")
    api = baton.api(token)
    wait_for(lambda: "shop-similar" in {one["slug"] for one in api.all("/models")}, "its model")
    with baton.browser() as browser:
        welcome(browser, link)
        page = f"{baton.url}/sample"
        wait_for(lambda: "revoked-access" in browser.get(page, timeout=10).text, "its faults")

    # What breaks is an incident, also when the sample dies meanwhile and is started again.
    assert baton.command("sample", "break", "revoked-access").returncode == 0
    (opened,) = wait_for(lambda: incidents(baton, token), "the incident")
    assert opened["failure_mode"] == "access_revoked"
    killed = parent(folder)
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: parent(folder) not in (None, killed), "the sample to be started again")
    assert baton.answers()
    wait_for(lambda: baton.command("sample", "heal").returncode == 0, "the switches to answer")
    wait_for(lambda: incidents(baton, token)[0]["state"] == "resolved", "its end")

    assert baton.interrupt() == 0
    wait_for(lambda: not processes_of(folder), "the sample to end", 10)

    # A second start keeps everything, and adds nothing.
    baton.start()
    wait_for(lambda: baton.command("sample", "status").returncode == 0, "the sample to answer")
    assert "Training the model" not in baton.printed()
    assert len([one for one in api.all("/models") if "sample" in one["tags"]]) == 1
    assert len(incidents(baton, token)) == 1
    assert baton.interrupt() == 0


def test_a_sample_that_keeps_failing_is_given_up_and_baton_runs_on(installed):
    recommender.require()
    baton = installed(BATON_SAMPLE="on", **ONE_WORKER)
    baton.var.mkdir()
    (baton.var / "sample").touch()  # where its folder should be

    baton.start()

    wait_for(lambda: "sample keeps failing" in baton.printed(), "it to be given up")
    assert len(re.findall("^sample keeps failing", baton.printed(), re.MULTILINE)) == 1
    assert baton.answers()
    assert baton.interrupt() == 0


@pytest.fixture(scope="module")
def without(new_database, tmp_path_factory) -> Iterator[Baton]:
    """A running installation with BATON_SAMPLE=off."""
    var = tmp_path_factory.mktemp("without") / "var"
    baton = Baton(var, database_url=new_database(), **ONE_WORKER)
    baton.start()
    yield baton
    baton.end()


def test_left_out_there_are_neither_its_processes_nor_its_page(without):
    assert not processes_of(without.var / "sample")
    assert not (without.var / "sample").exists()
    with without.browser() as browser:
        assert browser.get(f"{without.url}/sample", timeout=10).status_code == 404


@pytest.fixture
def gauge(without) -> Iterator[Metrics]:
    """A gauge that a real worker looks at, at the shortest interval that there is."""
    settings = Settings(
        var=without.var, database_url=without.environment["BATON_DATABASE_URL"], sample=False
    )
    app = create_app(settings)
    with metrics_endpoint() as metrics:
        metrics.set("queue_depth", {"model": "recsys-home"}, 1)
        with app.app_context():
            watch(metrics.target, at=now())
            db.session.remove()
            db.engine.dispose()
        yield metrics


def watch(target: str, *, at: datetime) -> None:
    registry.create_team(TeamDraft("serving", "Serving"), by=BATON, at=at)
    registry.create_model(ModelDraft("recsys-home", "serving", 2), by=BATON, at=at)
    health.allow_host(target, "", by=BATON, at=at)
    draft = SourceDraft("Metrics", "openmetrics", f"http://{target}/metrics", EVERY)
    source = health.create_source(draft, by=BATON, at=at)
    panel = PanelDraft(
        key="queue",
        lane=Lane.QUEUE,
        title="Queue",
        unit="requests",
        spec={"stat": "gauge", "metric": "queue_depth", "labels": {"model": "recsys-home"}},
        rule=Rule(above=100),
        window=EVERY,
        failure_mode="traffic_over_target",
        severity=3,
    )
    health.create_panels("recsys-home", [panel], source_id=source.id, by=BATON, at=at)


def test_a_breach_is_an_open_incident_within_one_interval_and_two_seconds(without, gauge):
    token = without.secret("token", "create", "test", "--scope", "read")
    took = []

    def state() -> str:
        found = incidents(without, token)
        return found[0]["state"] if found else ""

    for _ in range(FLIPS):
        began = time.monotonic()
        gauge.set("queue_depth", {"model": "recsys-home"}, 500)
        wait_for(lambda: state() == "triggered", "the incident")
        took.append(time.monotonic() - began)
        gauge.set("queue_depth", {"model": "recsys-home"}, 1)
        wait_for(lambda: state() == "resolved", "its end")

    # Each comes right after a look, so it waits for nearly a whole interval. On a busy machine one
    # of them may be late.
    log.info("From a breach to an open incident: %s s", [round(one, 1) for one in took])
    assert statistics.median(took) < EVERY * JITTER + HANDING_ON, took
