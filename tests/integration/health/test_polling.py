"""One tick against real HTTP servers on loopback: what is asked, what is kept, who is left alone."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlalchemy import select

from app.core.clock import now
from app.core.db import db, unit_of_work
from app.health import polling, queries, service
from app.health.rules import LampState, Lane
from app.health.tables import AllowedHost, DriftReport, HealthSource, Lamp, Panel, Scrape
from app.people.rules import COMMAND_LINE as BY
from app.registry.tables import MlModel
from tests.support import factories


class Serving:
    """A serving API: how it answers can be changed at any time."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}/metrics"
        self.host = f"127.0.0.1:{server.server_port}"
        self.status, self.headers, self.body = 200, {"Content-Type": "text/plain"}, ""
        self.asked: list[dict[str, str]] = []
        self.may_answer = threading.Event()  # cleared: it hangs
        self.may_answer.set()

    def says(self, body: str, status: int = 200, **headers: str) -> None:
        self.body, self.status = body, status
        self.headers = {"Content-Type": "text/plain; version=0.0.4", **headers}


@contextmanager
def serving() -> Iterator[Serving]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.asked.append(dict(self.headers))
            here.may_answer.wait(2)
            self.send_response(here.status)
            for name, value in here.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(here.body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Serving(server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def api(app):
    with serving() as here:
        service.allow_host(here.host, "", by=BY, at=now())
        yield here


@pytest.fixture
def panel(api):
    model = factories.model("recsys-home", owner=factories.team())
    source = factories.health_source(url=api.url, due_at=now(), name="Serving")
    return factories.panel(
        model,
        source_id=source.id,
        spec={"stat": "gauge", "metric": "queue_depth", "labels": {"model": "recsys-home"}},
        unit="requests",
        above=10.0,
    )


def look(*, later=0):
    """Make every source due, and tick."""
    with unit_of_work() as session:
        for source in session.scalars(select(HealthSource)):
            source.due_at = now() - timedelta(seconds=1)
    done = polling.tick(at=now() + timedelta(seconds=later))
    db.session.expire_all()
    return done


def lamp(panel):
    return db.session.get_one(Lamp, panel.id)


def source():
    return db.session.scalars(select(HealthSource)).one()


def test_what_a_source_says_lights_its_panels(panel, api):
    api.says('queue_depth{model="recsys-home"} 3\n')

    done = look()

    assert (done.asked, done.unreachable, done.panels, done.changes) == (1, 0, 1, 1)
    assert (lamp(panel).state, lamp(panel).value) == (LampState.OK, 3.0)
    assert source().answered_at is not None
    assert source().trouble == ""
    assert db.session.query(Scrape).count() == 1


def test_a_source_is_asked_when_it_is_due_and_by_one_only(panel, api):
    api.says('queue_depth{model="recsys-home"} 3\n')

    assert polling.tick(at=now()).asked == 1
    assert polling.tick(at=now()).asked == 0
    db.session.expire_all()
    wait = (source().due_at - now()).total_seconds()
    assert 20 < wait < 34


def test_a_series_that_is_not_there_is_no_data(panel, api):
    api.says('queue_depth{model="another"} 3\n')
    look()

    assert lamp(panel).state is LampState.NO_DATA


@pytest.mark.parametrize(
    ("body", "status", "headers"),
    [
        ("<html>Bad gateway</html>", 502, {"Content-Type": "text/html"}),
        ("<html>Sign in</html>", 200, {"Content-Type": "text/html"}),
        ("", 500, {}),
        ("", 302, {"Location": "http://169.254.169.254/latest/meta-data/"}),
    ],
)
def test_what_is_no_answer_is_unreachable(panel, api, body, status, headers):
    api.says(body, status, **headers)
    look()

    assert lamp(panel).state is LampState.UNREACHABLE
    # It did answer: the panel says how, and not that nobody is there.
    assert lamp(panel).remark.startswith(f"{api.host} answered with ")
    assert source().failures == 1
    assert source().trouble


@pytest.fixture
def drift(api, panel):
    """A panel of input drift, whose source answers with reports."""
    with unit_of_work() as session:
        session.delete(session.get(Panel, panel.id))
        session.scalars(select(HealthSource)).one().kind = "drift"
    return factories.panel(
        db.session.scalars(select(MlModel)).one(), Lane.INPUT_DRIFT, source_id=source().id,
        spec={"verdict": "tool"}, above=None, stale_after=60,
    )  # fmt: skip


def report(**more):
    said = {"method": "psi", "value": 0.1, "threshold": 0.2, "direction": "above"}
    return {"model": "recsys-home", "kind": "input", "report": said} | more


def test_a_report_that_can_not_be_read_is_told_on_its_panel(drift, api):
    api.says(json.dumps([report(window_end="soon"), report(model="other")]))
    look()
    assert lamp(drift).state is LampState.NO_DATA
    assert lamp(drift).remark.startswith("its report can't be read: window_end, “soon”")
    assert source().trouble == ""


def test_a_report_without_a_time_that_stays_as_it_is_grows_old(drift, api, monkeypatch):
    api.says(json.dumps([report()]))
    look()
    assert lamp(drift).state is LampState.OK
    seen_at = lamp(drift).newest_at

    later = now() + timedelta(seconds=61)
    monkeypatch.setattr(polling, "now", lambda: later)
    look(later=61)
    assert (lamp(drift).state, lamp(drift).newest_at) == (LampState.NO_DATA, seen_at)
    assert lamp(drift).remark == "the newest sample is too old"
    assert db.session.query(DriftReport).count() == 1

    other = {"method": "psi", "value": 0.11, "threshold": 0.2, "direction": "above"}
    api.says(json.dumps([report(report=other)]))
    look(later=61)
    assert (lamp(drift).state, lamp(drift).value) == (LampState.OK, 0.11)
    assert lamp(drift).newest_at == later


def test_a_source_that_is_gone_is_left_alone_for_longer_and_longer(panel, api):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{probe.getsockname()[1]}"
    service.allow_host(nobody, "", by=BY, at=now())
    with unit_of_work() as session:
        session.scalars(select(HealthSource)).one().url = f"http://{nobody}/metrics"

    waits = []
    for _ in range(5):
        look()
        waits.append((source().due_at - now()).total_seconds())

    assert lamp(panel).state is LampState.UNREACHABLE
    assert "can't be reached" in source().trouble
    assert all(wait < 34 for wait in waits[:2])
    assert 53 < waits[2] < 67
    assert 107 < waits[3] < 133
    assert 213 < waits[4] < 267


def test_a_look_that_takes_long_holds_up_nobody_and_is_recorded_by_a_later_tick(panel, api):
    api.says('queue_depth{model="recsys-home"} 3\n')
    api.may_answer.clear()
    poller = polling.Poller()
    try:
        first = poller.tick(at=now(), patience=0.05)
        api.may_answer.set()
        second = poller.tick(at=now())  # with all the patience it takes
    finally:
        poller.close()

    assert (first.asked, first.panels) == (1, 0)
    assert (second.asked, second.panels) == (0, 1)
    assert lamp(panel).value == 3.0


def test_a_source_that_still_hangs_is_not_asked_a_second_time(panel, api):
    api.says('queue_depth{model="recsys-home"} 3\n')
    api.may_answer.clear()
    poller = polling.Poller()
    try:
        poller.tick(at=now(), patience=0.05)
        again = poller.tick(at=now() + timedelta(minutes=1), patience=0.05)
        api.may_answer.set()
        poller.tick(at=now())
    finally:
        poller.close()

    assert again.asked == 1
    assert len(api.asked) == 1


def test_a_silent_host_is_asked_for_one_of_its_sources_only(panel, api):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{probe.getsockname()[1]}"
    service.allow_host(nobody, "", by=BY, at=now())
    with unit_of_work() as session:
        session.scalars(select(HealthSource)).one().closed_at = now()
    model = factories.model("recsys-cart", owner=factories.team("cart"))
    panels = []
    for number in range(5):
        source = factories.health_source(url=f"http://{nobody}/{number}", due_at=now())
        panels.append(factories.panel(model, source_id=source.id))
    poller = polling.Poller()
    try:
        poller.tick(at=now())
        poller.tick(at=now() + timedelta(minutes=1))
    finally:
        poller.close()
    db.session.expire_all()
    sources = db.session.scalars(select(HealthSource).where(HealthSource.closed_at.is_(None))).all()

    assert {lamp(one).state for one in panels} == {LampState.UNREACHABLE}
    assert {source.failures for source in sources} == {1}  # the second time nobody was asked
    assert all("left alone for a while" in source.trouble for source in sources)


def test_an_answer_ends_the_rest_that_a_source_was_given(panel, api):
    api.says("", 500)
    for _ in range(4):
        look()
    api.says('queue_depth{model="recsys-home"} 3\n')
    look()

    assert (source().failures, source().trouble) == (0, "")
    assert lamp(panel).state is LampState.OK


def test_a_host_that_is_not_allowed_any_more_is_not_asked(panel, api):
    api.says('queue_depth{model="recsys-home"} 3\n')
    host = db.session.scalars(select(AllowedHost)).one()
    service.forbid_host(host.id, by=BY, at=now())

    look()

    assert api.asked == []
    assert "not on the list" in source().trouble
    assert lamp(panel).state is LampState.UNREACHABLE


def test_a_source_signs_in_with_its_secret_and_takes_no_proxy(panel, api, monkeypatch, at):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    api.says("")
    draft = service.SourceDraft("Serving", "openmetrics", api.url, secret={"bearer": "b" * 20})
    service.edit_source(source().id, draft, seen_version=None, by=BY, at=at)

    look()

    assert api.asked[0]["Authorization"] == f"Bearer {'b' * 20}"


def test_a_fault_of_ours_is_said_to_be_ours_and_others_go_on(panel, api, monkeypatch, caplog):
    second = factories.health_source("prometheus", url=api.url, due_at=now(), name="Second")
    monkeypatch.setattr(polling.SOURCES["prometheus"].__class__, "read", lambda *_a, **_k: 1 / 0)
    api.says('queue_depth{model="recsys-home"} 3\n')

    done = look()

    assert (done.asked, done.unreachable) == (2, 1)
    assert lamp(panel).state is LampState.OK
    assert db.session.get_one(HealthSource, second.id).trouble.startswith("Baton failed")
    caplog.clear()


def test_closed_panels_retired_models_and_closed_sources_are_left_out(panel, api, at):
    api.says('queue_depth{model="recsys-home"} 3\n')
    level = factories.slo(panel.model, source_id=source().id)
    assert set(polling.counts_of([source().id])) == {level.source_id}
    with unit_of_work() as session:
        session.get_one(MlModel, panel.model_id).retired_at = at
    assert polling.counts_of([source().id]) == polling.watches_of([source().id]) == {}
    with unit_of_work() as session:
        session.get_one(MlModel, panel.model_id).retired_at = None
    service.close_panel(panel.id, by=BY, at=at)
    assert look().panels == 0
    service.close_source(source().id, by=BY, at=at)
    assert look().asked == 0


def test_a_rate_takes_two_looks(panel, api):
    model = panel.model
    rate = factories.panel(
        model,
        source_id=source().id,
        spec={"stat": "rate", "metric": "served_total"},
        unit="rps",
        above=1_000.0,
        window=60,
    )
    api.says("# TYPE served_total counter\nserved_total 100\n")
    look()
    assert lamp(rate).state in (LampState.NO_DATA, LampState.PARTIAL)

    assert [fact.fact for fact in queries.facts_after(0, limit=9)] == ["", ""]
