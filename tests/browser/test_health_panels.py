"""Panels in a real browser: made in three clicks, drawn, read by keyboard, shown elsewhere."""

import random
import statistics
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import insert

from app import create_app
from app.config import Settings
from app.core.clock import now
from app.core.db import db, unit_of_work
from app.health import embeds
from app.health.rules import LampState, Lane
from app.health.tables import AllowedHost, Lamp, Reading
from app.people.rules import COMMAND_LINE
from app.registry.queries import model_by_slug
from tests.browser.conftest import Site
from tests.browser.looks import faults
from tests.support import factories

HERE = "/models/fraud-card/health/panels"
MANY, SOME = 20_000, 2_000
METRICS = b"""\
# TYPE recommender_request_duration_seconds histogram
recommender_request_duration_seconds_bucket{model="fraud-card",le="0.05"} 10
recommender_request_duration_seconds_bucket{model="fraud-card",le="0.1"} 20
recommender_request_duration_seconds_bucket{model="fraud-card",le="0.15"} 30
recommender_request_duration_seconds_bucket{model="fraud-card",le="+Inf"} 30
recommender_request_duration_seconds_count{model="fraud-card"} 30
recommender_request_duration_seconds_sum{model="fraud-card"} 2.1
# TYPE recommender_requests_total counter
recommender_requests_total{model="fraud-card",outcome="ok"} 30
recommender_requests_total{model="fraud-card",outcome="error"} 0
# TYPE recommender_served_total counter
recommender_served_total{model="fraud-card",rung="provider"} 30
# TYPE recommender_in_flight gauge
recommender_in_flight{model="fraud-card"} 1
"""


@pytest.fixture(scope="module")
def serving() -> Iterator[int]:
    """The port of a serving API."""

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(METRICS)

        def log_message(self, *_rest: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Metrics)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def token(site: Site, serving: int) -> str:
    """Fills the installation: a source, panels with a past, and a link to one of them."""
    app = create_app(Settings(var=site._baton.var, bind=site._baton.bind))
    at = now()
    with app.app_context():
        host = f"127.0.0.1:{serving}"
        factories.keep(AllowedHost(pattern=host, why="", created_at=at, created_by="Baton"))
        factories.health_source(name="fraud-card serving", url=f"http://{host}/metrics")
        # Without an address nobody asks it, so that the past stays as it is written here.
        silent = factories.health_source(name="silent", url="")
        model = model_by_slug("eta-courier")
        made = {
            count: factories.panel(
                model, slug=f"p99-{count}", k=3, n=5, min_rows=50, clear=225.0,
                created_at=at - timedelta(days=3),
                spec={"stat": "quantile", "metric": "x_seconds", "q": 0.99},
                source_id=silent.id,
            )
            for count in (SOME, MANY)
        }  # fmt: skip
        spread = random.Random(7)
        for count, panel in made.items():
            rows = [
                {
                    "panel_id": panel.id,
                    "at": at - timedelta(seconds=number * 86_000 / count),
                    "state": LampState.OK if number < count * 0.9 else LampState.UNREACHABLE,
                    "value": 200 + spread.gauss(0, 9) if number < count * 0.9 else None,
                    "rows": 900.0,
                    "series": "p99",
                }
                for number in range(count)
            ]
            with unit_of_work() as session:
                for first in range(0, count, 4_000):
                    session.execute(insert(Reading), rows[first : first + 4_000])
                session.add(
                    Lamp(panel_id=panel.id, model_id=model.id, lane=Lane.LATENCY,
                         state=LampState.OK, since=at, value=201.0, rows=900.0, newest_at=at,
                         looked_at=at, windows=[], series="p99")
                )  # fmt: skip
        _, made_token = embeds.make(made[SOME].id, "Wall", by=COMMAND_LINE, at=at)
        db.session.remove()
        db.engine.dispose()
    return made_token


def test_panels_are_made_in_three_clicks(
    site: Site, token: str, visit: Callable[..., Page]
) -> None:
    lena = site.signed_in(visit, "Lena Fischer")
    lena.goto("/models/fraud-card/health")

    lena.get_by_role("link", name="Add panels").first.click()
    lena.get_by_role("radio", name="Recommender").click()
    lena.get_by_role("button", name="Make 9 panels").click()

    expect(lena.get_by_role("heading", name="Panels of fraud-card")).to_be_visible()
    expect(lena.locator("#toasts")).to_contain_text("9 panels are made")
    expect(lena.get_by_role("link", name="p99 latency")).to_be_visible()


def test_the_offer_is_read_and_changed_before_anything_is_made(
    site: Site, token: str, visit: Callable[..., Page]
) -> None:
    lena = site.signed_in(visit, "Lena Fischer")
    lena.goto("/models/recsys-home/health/panels/new")
    lena.get_by_role("radio", name="vLLM").check()
    expect(lena.get_by_role("heading", name="What this server cannot tell you")).to_be_visible()
    expect(lena.get_by_role("radio", name="vLLM")).to_be_focused()
    lena.get_by_role("checkbox", name="p50 latency").uncheck()
    expect(lena.get_by_role("button", name="Make 8 panels")).to_be_visible()
    assert faults(lena) == []
    lena.get_by_role("button", name="Make 8 panels").click()

    # The source serves something else: it is asked, and says so before anything is saved.
    expect(lena.get_by_role("alert")).to_contain_text("Nothing is made yet.")
    expect(lena.get_by_text("no such series").first).to_be_visible()
    expect(lena.get_by_role("button", name="Make 8 panels as they are")).to_be_visible()
    assert faults(lena) == []


def test_a_panel_is_drawn_and_its_page_is_sound(
    site: Site, token: str, visit: Callable[..., Page]
) -> None:
    lena = site.signed_in(visit, "Lena Fischer")
    lena.goto(f"/models/eta-courier/health/panels/p99-{SOME}")

    expect(lena.locator("[data-chart][data-drawn] canvas")).to_be_visible()
    assert colours(lena) > 2
    lena.get_by_text("Show as table").click()
    expect(lena.locator("#steps tbody tr").first).to_be_visible()
    assert faults(lena) == []


def colours(page: Page) -> int:
    """How many colours the canvas has: an empty one has none."""
    return int(
        page.evaluate(
            """() => {
                const canvas = document.querySelector("[data-chart] canvas");
                const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                return new Set(new Uint32Array(data.buffer)).size;
            }"""
        )
    )


def test_a_chart_is_read_with_the_keyboard_alone(
    site: Site, token: str, visit: Callable[..., Page]
) -> None:
    lena = site.signed_in(visit, "Lena Fischer")
    lena.goto(f"/models/eta-courier/health/panels/p99-{SOME}")
    expect(lena.locator("[data-drawn]")).to_be_visible()

    lena.get_by_role("navigation", name="Range").get_by_role("link").last.focus()
    lena.keyboard.press("Tab")
    expect(lena.locator("[data-chart]")).to_be_focused()
    lena.keyboard.press("ArrowLeft")
    expect(lena.locator("[data-readout]")).to_contain_text("ms")
    first = lena.locator("[data-readout]").inner_text()
    lena.keyboard.press("ArrowLeft")
    expect(lena.locator("[data-readout]")).not_to_have_text(first)
    lena.keyboard.press("Tab")
    lena.keyboard.press("Enter")
    expect(lena.get_by_label("From")).to_be_visible()


def test_twenty_thousand_points_are_drawn_at_once(
    site: Site,
    token: str,
    visit: Callable[..., Page],
    record_property: Callable[[str, object], None],
) -> None:
    lena = site.signed_in(visit, "Lena Fischer")
    drawn = {count: statistics.median(times(lena, count)) for count in (SOME, MANY)}

    record_property("ms to draw 20,000 points", drawn[MANY])
    print(f"drawn in ms: {drawn}")  # noqa: T201
    points = lena.request.get(f"/models/eta-courier/health/panels/p99-{MANY}/points").json()
    assert 19_900 <= len(points["columns"]["at"]) <= 20_000
    # Ten times as many points take far less than ten times as long, on whatever machine.
    assert drawn[MANY] < 10 * drawn[SOME]


def times(page: Page, count: int) -> Iterator[float]:
    """Milliseconds from making the chart to the end of its first drawing."""
    for _ in range(5):
        page.goto(f"/models/eta-courier/health/panels/p99-{count}")
        expect(page.locator("[data-drawn]")).to_be_visible()
        yield float(page.locator("[data-drawn]").get_attribute("data-drawn") or 0)


def test_without_scripts_panels_are_made_and_read(
    site: Site, token: str, visit: Callable[..., Page]
) -> None:
    lena = site.signed_in(visit, "Lena Fischer", java_script_enabled=False)
    lena.goto("/models/recsys-home/health/panels/new")
    lena.get_by_role("radio", name="MLflow").check()
    lena.get_by_role("button", name="Show what it offers").click()
    lena.get_by_role("button", name="Make 5 panels").click()
    expect(lena.get_by_role("heading", name="Panels of recsys-home")).to_be_visible()

    lena.goto(f"/models/eta-courier/health/panels/p99-{SOME}")
    expect(lena.get_by_text("p99 latency: last")).to_be_visible()
    lena.get_by_text("Show as table").click()
    expect(lena.locator("#steps tbody tr").first).to_be_visible()


def test_a_panel_is_closed_and_opened_again(
    site: Site, token: str, visit: Callable[..., Page]
) -> None:
    lena = site.signed_in(visit, "Lena Fischer")
    lena.goto(f"/models/eta-courier/health/panels/p99-{MANY}")
    lena.get_by_role("link", name="Close…").click()
    lena.get_by_role("button", name="Close p99 latency").click()
    expect(lena.get_by_text("Closed since")).to_be_visible()
    lena.get_by_role("button", name="Reopen").click()
    expect(lena.locator("#toasts")).to_contain_text("watched again")


def test_an_embedded_panel_stands_by_itself(
    site: Site, token: str, visit: Callable[..., Page]
) -> None:
    wall = visit(site.url, viewport={"width": 420, "height": 240})
    wall.goto(f"/embed/panels/{token}?theme=light")

    expect(wall.get_by_role("heading", name="p99 latency eta-courier")).to_be_visible()
    expect(wall.locator("svg.chart path").first).to_be_attached()
    assert faults(wall) == []
