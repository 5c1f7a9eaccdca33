"""The health of a model in a real Chromium: how it looks, and a load that gets too old."""

from datetime import timedelta

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from app import create_app
from app.config import Settings
from app.core.clock import now
from app.core.db import db, unit_of_work
from app.health.rules import LampState, Lane
from app.health.slo_rules import WINDOWS
from app.health.tables import Lamp
from app.registry.tables import MlModel, Team
from tests.browser.looks import faults
from tests.support import factories

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WATCHED, FED = "health-watched", "health-fed"


@pytest.fixture(scope="module")
def written(site):
    """Lets a test write into the installation that the browser looks at."""
    baton = site._baton
    app = create_app(Settings(var=baton.var, bind=baton.bind))
    with app.app_context():
        yield now().replace(microsecond=0)
        db.session.remove()
        db.engine.dispose()


def new_model(slug):
    held = db.session.scalars(select(MlModel).where(MlModel.slug == slug)).one_or_none()
    owner = db.session.scalars(select(Team).where(Team.slug == "serving-platform")).one()
    return held or factories.model(slug, owner=owner, purpose="Ranks a feed")


def panel(model, lane, state, value, at, **more):
    lamp = {name: more.pop(name) for name in ("rows", "remark", "newest_at") if name in more}
    made = factories.panel(
        model, lane, created_at=at - 3 * DAY, stale_after=more.pop("stale_after", 86_400), **more
    )
    factories.lamp(made, state, value=value, at=at, **lamp)
    return made


@pytest.fixture(scope="module")
def watched(written):
    """A model with something in every card, and trouble in some."""
    at = written
    model = new_model(WATCHED)
    p99 = panel(model, Lane.LATENCY, LampState.BREACH, 612.0, at, spec={"q": 0.99})
    values = [200.0] * 200 + [LampState.UNREACHABLE] * 30 + [210.0] * 100 + [500.0, 612.0]
    factories.readings(p99, values, until=at)
    panel(model, Lane.LATENCY, LampState.OK, 58.0, at, title="p50 latency", spec={"q": 0.5})
    rate = panel(model, Lane.THROUGHPUT, LampState.OK, 640.0, at, title="Requests", unit="rps")
    factories.readings(rate, [600.0, 900.0] * 100 + [640.0], until=at)
    panel(model, Lane.LATENCY, LampState.BREACH, 441.0, at, title="Candidates", slug="candidates")
    panel(model, Lane.ERRORS, LampState.PARTIAL, 0.2, at, title="Errors", unit="%",
          remark="1 of 3 replicas")  # fmt: skip
    panel(model, Lane.LATENCY_DRIFT, LampState.OK, 0.03, at, title="Gap", unit="", above=0.1,
          spec={"stat": "distribution_gap"}, window=3600)  # fmt: skip
    panel(model, Lane.INPUT_DRIFT, LampState.BREACH, 0.31, at, title="PSI", unit="", above=0.2,
          spec={"verdict": "limit"}, rows=2_304.0)  # fmt: skip
    for hours in range(20):
        factories.drift_report(
            model, window_end=at - hours * HOUR, method="PSI", value=0.1 + 0.2 * (hours == 0),
            reference_id="v43" if hours < 9 else "v42", reference_at=at - 40 * DAY,
        )  # fmt: skip
    whole = {str(int(window.total_seconds())): [1_420, 10_000] for window in WINDOWS}
    factories.slo(
        model, counts=whole | {str(28 * 86_400): [310, 50_000]}, burning="page", looked_at=at
    )
    factories.latency_budget(
        model,
        stages=[{"name": "Candidates", "budget_ms": 60, "owner": "Serving", "panel": "candidates"}],
        ladder=[{"title": "Cached list", "trigger": "the breaker opens", "seconds": 20,
                 "drilled_on": (at - 9 * DAY).date().isoformat()}, {"title": "Hide the shelf"}],
        peak_rps=4_200, load_tested_rps=5_100, load_tested_on=(at - 20 * DAY).date(),
    )  # fmt: skip
    return f"/models/{WATCHED}/health"


def test_health_looks_right_in_light_and_dark_on_a_desk_and_a_phone(site, visit, watched):
    page = site.signed_in(visit)

    page.goto(watched)
    expect(page.get_by_role("heading", name="Runbooks for failure modes")).to_be_visible()
    expect(page.get_by_role("img", name="p99 latency over the last")).to_be_visible()
    found = faults(page)
    page.goto(f"/models/{WATCHED}")
    expect(page.get_by_role("link", name="Show health")).to_be_visible()
    found += faults(page)
    page.goto(f"/models/{WATCHED}/runbooks")
    found += faults(page)

    assert found == []


def test_a_model_that_nobody_watches_looks_right_too(site, visit):
    page = site.signed_in(visit)

    page.goto("/models/eta-courier/health")

    expect(page.get_by_text("Nobody watches eta-courier yet")).to_be_visible()
    assert faults(page) == []


def test_health_reads_without_a_script(site, visit, watched):
    page = site.signed_in(visit, java_script_enabled=False)

    page.goto(watched)

    expect(page.locator("#latency")).to_contain_text("612 ms, limit 250")
    page.get_by_role("link", name=f"Show runbooks of {WATCHED}").click()
    expect(page.get_by_role("heading", name="Runbooks for failure modes")).to_be_visible()


def test_a_load_turns_to_breach_in_the_second_it_is_too_old(site, visit, written):
    model = new_model(FED)
    page = site.signed_in(visit, complains=True)
    at, limit = now(), 30 * MINUTE
    # To the second, as the page tells it, and long enough for a slow machine to show the page.
    loaded_at = (at - limit + timedelta(seconds=15)).replace(microsecond=0)
    row = factories.dataset(
        f"events.{at.timestamp():.0f}", model, loaded_at=loaded_at, freshness_checked_at=at,
        fresh_within=int(limit.total_seconds()),
    )  # fmt: skip
    panel(model, Lane.FRESHNESS, LampState.OK, 1_700.0, at, dataset_id=row.id, unit="s",
          above=limit.total_seconds(), title="Freshness")  # fmt: skip
    # Whatever the server would say, the script says it.
    page.route("**/health/part/**", lambda route: route.abort())

    page.goto(f"/models/{FED}/health")

    lamp = page.locator("#data-inputs .lamp", has_text="30 min")
    expect(lamp).to_have_attribute("data-state", "ok")
    expect(lamp).to_contain_text("29 min / 30 min")
    expect(lamp).to_have_attribute("data-state", "breach")
    assert now() - loaded_at > limit
    expect(lamp).to_contain_text("Breach")
    expect(page.locator("#freshness-said")).to_contain_text("too old now")
    # Said once, and not again with each tick.
    page.evaluate("document.getElementById('freshness-said').textContent = ''")
    page.wait_for_function("""() => {
        window.ticks ??= performance.now();
        return performance.now() - window.ticks > 2500;
    }""")
    expect(page.locator("#freshness-said")).to_be_empty()


def test_a_region_comes_anew_while_somebody_looks(site, visit, written):
    model = new_model("health-anew")
    made = panel(model, Lane.LATENCY, LampState.OK, 200.0, written)
    page = site.signed_in(visit)
    page.goto("/models/health-anew/health")
    expect(page.locator("#latency")).to_contain_text("200 ms")

    with unit_of_work() as database:
        lamp = database.get_one(Lamp, made.id)
        lamp.state, lamp.value, lamp.in_breach = LampState.BREACH, 612.0, True

    expect(page.locator("#latency .lamp")).to_have_attribute("data-state", "breach")
    expect(page.locator("#latency")).to_contain_text("612 ms")
