"""The sample: set up once, watched, broken on purpose, taken away and brought back."""

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import select

from app import create_app
from app.alerts import health_feed, processing
from app.alerts.routing import forget_router
from app.cli import main
from app.config import Settings
from app.core.db import db, unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.health import recording
from app.health import service as health
from app.health.rules import Lane, Observation
from app.health.tables import (
    AllowedHost,
    Dataset,
    HealthSource,
    LatencyBudget,
    Panel,
    Slo,
)
from app.overview.sample import plan, service
from app.overview.sample.plan import Pace
from app.people.rules import BATON, Actor, Role
from app.people.tables import AuditEntry
from app.registry import service as registry
from app.registry.tables import MlModel
from tests.support import factories

HERE, ELSEWHERE = "http://127.0.0.1:8090", "http://127.0.0.1:8091"
ADA = Actor("person", 1, "Ada")
TOKEN = "the token of the switches"


@pytest.fixture
def folder(app) -> Iterator[Path]:
    """Where the sample of this installation keeps its state."""
    folder = service.here().folder
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def running(folder) -> Path:
    """A sample that says where it answers, and does not."""
    (folder / "address").write_text(HERE)
    return folder


class Switches:
    """The sample's own API, as far as Baton asks it."""

    def __init__(self) -> None:
        self.on: dict[str, str] = {}
        self.asked: list[str] = []
        self.body: bytes | None = None  # in place of what it should say

    def faults(self) -> bytes:
        known = {"slow-provider": "latency", "stale-features": "freshness"}
        return json.dumps(
            [
                {"name": name, "moves": moves, "does": f"Does {name}.", "since": self.on.get(name)}
                for name, moves in known.items()
            ]
        ).encode()


@pytest.fixture
def switches(folder) -> Iterator[Switches]:
    """A sample that answers."""
    switches = Switches()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            switches.asked.append(f"{self.command} {self.path}")
            name = self.path.removeprefix("/faults").strip("/")
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                self.send_error(401)
                return
            if self.command == "PUT":
                switches.on[name] = "2026-03-12T02:10:00+00:00"
            elif self.command == "DELETE":
                switches.on = {one: at for one, at in switches.on.items() if name and one != name}
            body = switches.body or switches.faults()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.answer()

        def do_PUT(self) -> None:
            self.answer()

        def do_DELETE(self) -> None:
            self.answer()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    (folder / "address").write_text(f"http://127.0.0.1:{server.server_port}")
    (folder / "control-token").write_text(TOKEN)
    yield switches
    server.shutdown()
    thread.join()
    server.server_close()


def rows(table):
    return db.session.scalars(select(table).order_by(table.id)).all()


def model() -> MlModel:
    db.session.expire_all()
    return db.session.scalars(select(MlModel).where(MlModel.slug == plan.MODEL.slug)).one()


def panels(*, closed: bool = False) -> list[str]:
    db.session.expire_all()
    return [one.slug for one in rows(Panel) if (one.closed_at is not None) is closed]


def hosts() -> list[str]:
    return [host.pattern for host in rows(AllowedHost)]


def urls() -> list[str]:
    db.session.expire_all()
    return [source.url for source in rows(HealthSource)]


# --- Set up


def test_it_is_set_up_as_people_would_do_it(running, at):
    service.follow(at=at)

    assert (model().tier, model().tags, model().team.slug) == (2, ["sample"], "sample-shop")
    assert hosts() == ["127.0.0.1:8090"]
    assert [(one.kind, one.url) for one in rows(HealthSource)] == [
        ("openmetrics", f"{HERE}/metrics"),
        ("drift", f"{HERE}/drift"),
        ("contracts", f"{HERE}/contracts"),
    ]
    assert {one.lane for one in rows(Panel)} == set(Lane) - {Lane.GPU, Lane.OTHER}
    (level,) = rows(Slo)
    assert (level.target, level.window_days, level.failure_mode) == (0.99, 28, "")
    (budget,) = rows(LatencyBudget)
    assert (budget.percentile, budget.budget_ms, budget.slo_id) == (99, 150, level.id)
    assert sum(stage["budget_ms"] for stage in budget.stages) == 150
    assert {stage["panel"] for stage in budget.stages} <= set(panels())
    assert [rung["title"].split()[0] for rung in budget.ladder] == [
        "Ranking", "Cached", "Popularity",
    ]  # fmt: skip
    (data,) = rows(Dataset)
    assert (data.slug, data.fresh_within, data.access_role) == (
        "shop.item_features", 3600, "recommender-reader",
    )  # fmt: skip
    assert {entry.actor_name for entry in rows(AuditEntry)} == {"Baton"}
    assert rows(AuditEntry)[-1].action == "sample.add"


@pytest.mark.parametrize("kind", ["openmetrics", "prometheus"])
def test_one_bad_moment_is_no_breach(kind):
    pace = Pace()
    overlapping = pace.window / pace.looks
    for draft in plan.panels(kind, pace):
        if draft.lane is not Lane.LATENCY_DRIFT:
            assert draft.rule.k > overlapping + 1, draft.key


def test_a_second_look_sets_nothing_up(running, at):
    service.follow(at=at)
    before = len(rows(AuditEntry))

    service.follow(at=at)

    assert len(rows(AuditEntry)) == before


def test_nothing_is_set_up_before_it_runs(folder, at):
    service.follow(at=at)

    assert rows(AuditEntry) == []


@pytest.mark.parametrize("said", ["", "http://10.0.0.7:8090", "file:///etc/passwd", "x" * 9_999])
def test_an_address_that_is_not_of_this_host_is_not_asked(folder, at, said):
    (folder / "address").write_text(said)

    service.follow(at=at)

    assert rows(HealthSource) == []


def test_a_model_of_the_same_name_is_left_alone_and_it_is_said_once(running, at, caplog):
    factories.model("shop-similar")

    service.follow(at=at)
    service.follow(at=at)

    assert rows(HealthSource) == []
    assert [entry.action for entry in rows(AuditEntry)] == ["sample.skip"]
    assert caplog.text.count("There is a model shop-similar already") == 1
    with pytest.raises(RefusedError):
        service.add(HERE, by=ADA, at=at)


# --- What people change


def test_what_somebody_retired_or_closed_stays_so(running, at):
    service.follow(at=at)
    (first, *_) = rows(Panel)
    health.close_panel(first.id, by=ADA, at=at)
    registry.retire_model("shop-similar", by=ADA, at=at)

    service.follow(at=at)

    assert model().retired_at == at
    assert panels(closed=True) == [first.slug]


def test_it_is_asked_where_it_answers_now(running, at):
    service.follow(at=at)
    (running / "address").write_text(ELSEWHERE)

    service.follow(at=at)

    assert urls() == [f"{ELSEWHERE}{path}" for path in ("/metrics", "/drift", "/contracts")]
    assert hosts() == ["127.0.0.1:8091"]


def test_a_host_that_was_taken_off_the_list_does_not_come_back(running, at):
    service.follow(at=at)
    (host,) = rows(AllowedHost)
    health.forbid_host(host.id, by=ADA, at=at)
    (running / "address").write_text(ELSEWHERE)

    service.follow(at=at)

    assert hosts() == []
    assert urls()[0] == f"{HERE}/metrics"


def test_an_address_that_somebody_wrote_stays(running, at):
    service.follow(at=at)
    (source, *_) = rows(HealthSource)
    with unit_of_work():
        source.url = "http://metrics.example.com:9090/metrics"
    (running / "address").write_text(ELSEWHERE)

    service.follow(at=at)

    assert urls()[0] == "http://metrics.example.com:9090/metrics"
    assert urls()[1] == f"{ELSEWHERE}/drift"


# --- Taken away and brought back


def test_what_was_removed_is_watched_no_more_and_can_be_brought_back(running, at):
    service.follow(at=at)
    whole = panels()
    closed_before = whole[2]
    number = next(one.id for one in rows(Panel) if one.slug == closed_before)
    health.close_panel(number, by=ADA, at=at)

    service.remove(by=ADA, at=at.replace(hour=3))
    service.follow(at=at.replace(hour=4))

    assert model().retired_at is not None
    assert panels() == []
    assert all(source.closed_at for source in rows(HealthSource))
    assert hosts() == []
    with pytest.raises(ConflictError):
        service.remove(by=ADA, at=at)

    service.add(ELSEWHERE, by=ADA, at=at.replace(hour=5))

    assert model().retired_at is None
    assert panels() == [slug for slug in whole if slug != closed_before]
    assert urls()[0] == f"{ELSEWHERE}/metrics"
    assert hosts() == ["127.0.0.1:8091"]
    with pytest.raises(ConflictError):
        service.add(HERE, by=ADA, at=at)


def test_while_the_setting_leaves_it_out_nobody_misses_it(running, at):
    service.follow(at=at)

    service.leave_out(at=at.replace(hour=3))
    assert model().retired_at is not None
    service.leave_out(at=at.replace(hour=4))
    service.follow(at=at.replace(hour=5))

    assert model().retired_at is None
    assert panels(closed=True) == []


def test_what_was_removed_while_it_was_left_out_stays_away(running, at):
    service.follow(at=at)
    service.leave_out(at=at.replace(hour=3))
    service.remove(by=ADA, at=at.replace(hour=4))

    service.follow(at=at.replace(hour=5))
    assert model().retired_at is not None

    service.add(HERE, by=ADA, at=at.replace(hour=6))
    assert panels(closed=True) == []


def test_a_host_that_never_had_it_leaves_nothing_out(app, at):
    service.add(HERE, by=BATON, at=at)

    service.leave_out(at=at)

    assert model().retired_at is None


def test_what_was_never_set_up_can_not_be_removed(app, at):
    with pytest.raises(NotFoundError):
        service.remove(by=ADA, at=at)


# --- The page


def test_the_page_says_where_each_fault_shows_and_what_it_leads_to(switches, signed_in, at):
    factories.runbook("latency-regression", failure_mode="latency_regression")
    service.add(HERE, by=BATON, at=at)

    page = signed_in(Role.MAINTAINER).get("/sample").text

    assert "Does slow-provider." in page
    assert "p99 latency" in page
    assert 'href="/runbooks/latency-regression"' in page
    assert 'action="/sample/faults/slow-provider/break"' in page
    assert TOKEN not in page


def test_a_viewer_sees_the_faults_and_no_switch(switches, signed_in):
    page = signed_in(Role.VIEWER).get("/sample").text

    assert "stale-features" in page
    assert "/break" not in page
    assert "A maintainer breaks" in page


def test_break_and_heal_are_passed_on_and_audited(switches, signed_in):
    browser = signed_in(Role.MAINTAINER)

    assert browser.post("/sample/faults/slow-provider/break").location == "/sample"
    page = browser.get("/sample").text
    assert 'action="/sample/faults/slow-provider/heal"' in page
    assert "1 on" in page
    browser.post("/sample/faults/slow-provider/heal")
    assert switches.on == {}
    browser.post("/sample/faults/stale-features/break")
    browser.post("/sample/heal")

    assert switches.on == {}
    said = [(one.action, one.target_id) for one in rows(AuditEntry)]
    assert said == [
        ("sample.break", "slow-provider"),
        ("sample.heal", "slow-provider"),
        ("sample.break", "stale-features"),
        ("sample.heal", "all"),
    ]


def test_only_a_fault_that_it_has_is_passed_on(switches, signed_in):
    reply = signed_in(Role.MAINTAINER).post("/sample/faults/..%2Fmetrics/break")
    assert reply.status_code == 404
    reply = signed_in(Role.MAINTAINER).post("/sample/faults/metrics/break")
    assert reply.status_code == 404
    assert not any(asked.startswith("PUT") for asked in switches.asked)


def test_a_sample_that_does_not_answer_is_said_so(running, signed_in):
    (running / "address").write_text("http://127.0.0.1:1")
    browser = signed_in(Role.MAINTAINER)

    page = browser.get("/sample")
    assert page.status_code == 200
    assert "The sample does not answer." in page.text
    assert browser.post("/sample/heal").status_code == 503
    (running / "address").unlink()
    assert "The sample does not run." in browser.get("/sample").text
    assert rows(AuditEntry) == []


@pytest.mark.parametrize("body", [b"<html>", b"[]" * 70_000, b'[{"name": "../x"}]', b"\xff"])
def test_whatever_else_answers_there_is_not_taken_for_the_sample(switches, signed_in, body):
    switches.body = body

    page = signed_in(Role.VIEWER).get("/sample")

    assert page.status_code == 200
    assert "No fault is known" in page.text


def test_without_a_sample_on_this_host_there_is_no_page(app, signed_in):
    assert signed_in(Role.ADMINISTRATOR).get("/sample").status_code == 404


def test_the_page_costs_the_same_for_any_number_of_panels(switches, signed_in, at, queries):
    service.add(HERE, by=BATON, at=at)
    browser = signed_in(Role.VIEWER)
    browser.get("/sample")
    some = queries(lambda: browser.get("/sample"))
    for number in range(20):
        factories.panel(model(), slug=f"more-{number}")

    assert queries(lambda: browser.get("/sample")) == some


def test_switched_off_there_is_neither_page_nor_link(tmp_path):
    app = create_app(Settings(var=tmp_path, sample=False))

    assert "sample.page" not in app.view_functions


# --- Other pages


def test_the_page_of_its_model_says_what_it_is(switches, signed_in, at):
    service.add(HERE, by=BATON, at=at)
    factories.model("recsys-home")
    browser = signed_in(Role.VIEWER)

    assert "This is the sample." in browser.get("/models/shop-similar").text
    assert "This is the sample." not in browser.get("/models/recsys-home").text


def test_a_first_run_leads_to_it_and_does_not_count_it_as_set_up(switches, signed_in, at):
    service.add(HERE, by=BATON, at=at)
    number = next(one.id for one in rows(Panel) if one.slug == "errors")
    with unit_of_work():
        db.session.get(Panel, number).k = 1
    recording.record({number: Observation(at, 40.0, 500.0)}, at=at)
    forget_router()
    assert health_feed.read_changes(at=at) == 1
    assert processing.process_next(at=at) == 1

    page = signed_in(Role.ADMINISTRATOR).get("/").text

    assert "0 of 3 done" in page
    assert 'href="/sample"' in page
    assert "Connect Sample shop" not in page


# --- The command


@pytest.fixture
def baton(app):
    runner = app.test_cli_runner()
    return lambda *said: runner.invoke(main, ["sample", *said])


def test_the_command_breaks_and_heals_without_signing_in(switches, baton):
    assert baton("break", "slow-provider").output == "On now: slow-provider.\n"
    assert "slow-provider   on since 02:10:00 UTC" in baton("status").output
    assert baton("heal").output == "Everything is healed.\n"
    refused = baton("break", "nothing")
    assert refused.exit_code == 1
    assert "no fault nothing" in refused.output
    assert TOKEN not in refused.output


def test_the_command_takes_it_away_and_brings_it_back(running, baton, at):
    service.follow(at=at)

    assert "no longer watched" in baton("remove").output
    assert panels() == []
    assert baton("add").output == "The sample is watched.\n"
    assert len(panels()) == len(rows(Panel))


def test_the_command_says_that_it_does_not_run(folder, baton):
    for said in (("status",), ("heal",), ("add",)):
        done = baton(*said)
        assert done.exit_code == 1
        assert "The sample does not run." in done.output
