"""The fleet on Now, as people use it: by eye, by keyboard, on a phone, and with more than a page."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from app import create_app
from app.config import Settings
from app.core.clock import now
from app.core.db import db, unit_of_work
from app.health.rules import FLEET, LampState, Lane
from app.registry.tables import Team
from tests.browser.conftest import Site, _settle
from tests.browser.looks import PHONE, faults, overflow
from tests.integration.overview import rows
from tests.support import factories, programs
from tests.support.processes import Baton

# Each model's lamps in the order of the columns, by the first letter of the state.
STATES = {
    "b": LampState.BREACH, "o": LampState.OK, "p": LampState.PARTIAL, "n": LampState.NO_DATA,
    "u": LampState.UNREACHABLE, "t": LampState.NO_TRAFFIC, "m": LampState.NOT_MEASURABLE,
}  # fmt: skip
FLEET_LAMPS = {
    "recsys-home": "boopboo",
    "eta-courier": "ooobobb",
    "price-elastic": "ooononn",
    "image-moderation": "uuuouuo",
    "ads-ctr": "opooooo",
    "fraud-score": "ooomooo",
    "notif-timing": "tttotto",
    "support-router": "ooooo--",
}
MORE = 60


@pytest.fixture(scope="module")
def lit(tmp_path_factory) -> Iterator[Site]:
    """An installation of its own with a fleet."""
    programs.require(programs.CHROMIUM)
    baton = Baton(tmp_path_factory.mktemp("fleet") / "var")
    try:
        baton.start()
        key, token = _settle(baton)
        light(baton)
        baton.wait_until_ready()
        yield Site(baton, baton.api(token), key)
    finally:
        baton.end()


def light(baton: Baton) -> None:
    app = create_app(Settings(var=baton.var, bind=baton.bind))
    with app.app_context():
        owner = db.session.query(Team).filter_by(slug="serving-platform").one()
        # Closed, so that the worker leaves these lamps as they are.
        source = factories.health_source(closed_at=now())
        for number, (slug, states) in enumerate(FLEET_LAMPS.items()):
            model = (
                factories.model(slug, owner=owner, tier=1 + number // 3)
                if slug not in ("recsys-home", "eta-courier")
                else _model(slug)
            )
            light_model(model, states, source.id)
            if number == 1:
                light_lane(model, Lane.SCHEMA, LampState.BREACH, source.id)
                light_lane(model, Lane.ACCESS, LampState.BREACH, source.id)
        for number in range(MORE):
            light_model(
                factories.model(f"ranker-{number:02}", owner=owner, tier=3), "ooooooo", source.id
            )
        db.session.remove()
        db.engine.dispose()


def _model(slug: str):
    from app.registry.queries import model_by_slug

    return model_by_slug(slug)


def light_model(model, states: str, source_id: int) -> None:
    for lane, letter in zip(FLEET, states, strict=True):
        if letter != "-":
            light_lane(model, lane, STATES[letter], source_id)


def light_lane(model, lane: Lane, state: LampState, source_id: int) -> None:
    # At once with its panel: the worker looks each second at what it can't see yet.
    with unit_of_work():
        _light_lane(model, lane, state, source_id)


def _light_lane(model, lane: Lane, state: LampState, source_id: int) -> None:
    at = now()
    drift = "drift" in lane.value
    is_age = lane is Lane.FRESHNESS
    panel = factories.panel(
        model, lane, slug=lane.value, title=lane.value.replace("_", " ").capitalize(),
        source_id=source_id, unit="" if drift else "s" if is_age else "ms",
        above=0.2 if drift else 1800.0 if is_age else 250.0, stale_after=86_400, failure_mode="",
    )  # fmt: skip
    db.session.flush()
    gap = state in (LampState.NO_DATA, LampState.UNREACHABLE, LampState.NOT_MEASURABLE)
    over = state is LampState.BREACH
    value = (0.34 if over else 0.08) if drift else 612.0 if over else 84.0
    rows.lamp(
        panel, state, at, age=8, since=at - timedelta(minutes=12),
        value=None if gap else 11_400.0 if is_age and over else value,
        remark={"no_data": "0 rows in 24 h", "not_measurable": "45-day labels",
                "no_traffic": "quiet hours", "partial": "61 % in"}.get(state.value, ""),
    )  # fmt: skip


def fleet(page: Page):
    return page.locator("#fleet tbody tr")


def links(page: Page) -> Locator:
    return page.locator('#fleet tbody th > a[href^="/models/"]:first-child')


def names(page: Page) -> list[str]:
    """As they stand now: after a click, wait for what it leads to first."""
    return links(page).all_inner_texts()


def refreshed(page: Page) -> str:
    """The address that the fleet asked for anew, once the page has done what the answer says."""
    return str(
        page.evaluate("""() => new Promise((done) => {
            document.addEventListener("htmx:afterRequest", (event) => {
                const asked = event.detail.xhr.responseURL;
                if (asked.includes("/now/fleet?")) done(asked);
            });
        })""")
    )


def test_the_fleet_is_accessible_in_light_and_dark_on_a_desk_and_a_phone(lit, visit):
    lit.alert()
    page = lit.signed_in(visit)
    page.goto("/")

    assert faults(page) == []
    page.goto("/models")
    assert faults(page) == []


def test_a_phone_shows_what_is_not_ok_and_counts_the_rest(lit, visit):
    page = lit.signed_in(visit, viewport=PHONE)
    page.goto("/")
    row = fleet(page).filter(has_text="image-moderation")

    expect(row.get_by_text("2 more OK")).to_be_visible()
    assert [lamp.inner_text().split()[0] for lamp in row.locator("td:visible .lamp").all()] == [
        "Unreachable"
    ] * 5 + ["2"]
    expect(fleet(page).filter(has_text="ranker-00").get_by_text("all 7 OK")).to_be_visible()
    assert overflow(page) <= 0


def test_show_more_adds_rows_that_stay_when_the_page_refreshes_itself(lit, visit):
    page = lit.signed_in(visit)
    page.goto("/")
    expect(fleet(page)).to_have_count(25)
    before = names(page)

    page.get_by_role("button", name="Show 25 more").focus()
    page.keyboard.press("Enter")
    expect(fleet(page)).to_have_count(50)
    # Who reads on by keyboard is at the first new row.
    first_new = names(page)[25]
    page.wait_for_function("name => document.activeElement.textContent === name", arg=first_new)
    assert "rows=50" in refreshed(page)
    assert fleet(page).count() == 50
    assert names(page)[:25] == before
    assert page.evaluate("document.activeElement.textContent") == first_new

    page.get_by_role("button", name="Show").click()
    expect(fleet(page)).to_have_count(69)
    expect(page.get_by_role("button", name="Show 25 more")).to_have_count(0)
    expect(page.locator("#fleet-pager")).to_contain_text("69 of 69")
    assert len(set(names(page))) == 69


def test_headings_and_filters_are_links_that_keyboards_reach(lit, visit):
    page = lit.signed_in(visit)
    page.goto("/")

    page.get_by_role("link", name="Input drift").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="Input drift")).to_have_attribute(
        "aria-sort", "descending"
    )
    page.get_by_role("link", name="Breach 2").click()
    expect(fleet(page)).to_have_count(2)
    expect(page).to_have_url(re.compile("show=breach"))
    assert set(names(page)) == {"recsys-home", "eta-courier"}
    expect(page.get_by_role("columnheader", name="Input drift")).to_have_attribute(
        "aria-sort", "descending"
    )
    page.get_by_role("link", name="worst first").click()
    expect(page).not_to_have_url(re.compile("sort="))
    expect(page.get_by_role("link", name="worst first")).to_have_count(0)


def test_a_breach_leads_to_its_panel(lit, visit):
    page = lit.signed_in(visit)
    page.goto("/")

    fleet(page).filter(has_text="recsys-home").get_by_role("link", name="Breach").first.click()

    expect(page).to_have_url(re.compile("/models/recsys-home/health/panels/latency$"))


def test_without_scripts_the_pages_are_read_on_and_back(lit, visit):
    page = lit.signed_in(visit, java_script_enabled=False)
    page.goto("/")
    first = names(page)
    expect(page.get_by_role("button", name="Show 25 more")).to_be_hidden()

    page.get_by_role("link", name="Next").click()
    page.wait_for_url("**/*after=*")
    assert len(names(page)) == 25
    assert not set(first) & set(names(page))
    page.get_by_role("link", name="Previous").click()

    expect(links(page)).to_have_text(first)
