"""The palette and the page of the search."""

import re

import pytest

from app.core.clock import now
from app.health.tables import Dataset
from app.incidents.rules import State
from app.people.rules import Role
from tests.support import factories

HTMX = {"HX-Request": "true"}


@pytest.fixture
def browser(signed_in):
    return signed_in(Role.RESPONDER)


def found(browser, text: str) -> list[str]:
    """The addresses that the palette shows, best first."""
    reply = browser.get("/search", query_string={"q": text}, headers=HTMX)
    assert reply.status_code == 200
    return re.findall(r'<a class="row" href="([^"]*)"', reply.text)


def test_the_palette_gets_links_and_no_page(browser):
    factories.model("recsys-home")

    reply = browser.get("/search?q=recsys", headers=HTMX)

    assert "<html" not in reply.text
    assert '<a class="row" href="/models/recsys-home">' in reply.text


def test_without_a_script_it_is_a_page_of_its_own(browser):
    factories.model("recsys-home")

    page = browser.get("/search?q=recsys").text

    assert "<html" in page
    assert 'value="recsys"' in page
    assert 'href="/models/recsys-home"' in page


@pytest.mark.parametrize("said", ["{}", "INC-{}", "inc {}", "inc{}"])
def test_an_incident_is_found_by_its_number(browser, said):
    one = factories.incident()
    factories.incident()

    assert found(browser, said.format(one.id))[0] == f"/incidents/{one.id}"


def test_words_of_a_title_are_found_in_any_case_and_order(browser):
    one = factories.incident(title="recsys-home: p99 Latency is high")
    factories.incident(title="input drift")

    assert f"/incidents/{one.id}" in found(browser, "latency RECSYS")
    assert len([url for url in found(browser, "latency") if "/incidents/" in url]) == 1


def test_open_incidents_come_before_resolved_ones(browser):
    still = factories.incident(title="latency")
    over = factories.incident(title="latency", state=State.RESOLVED)

    assert found(browser, "latency")[:2] == [f"/incidents/{still.id}", f"/incidents/{over.id}"]


def test_the_name_that_was_typed_comes_first(browser):
    team = factories.team()
    for slug in ("a-home", "home-feed", "home"):
        factories.model(slug, owner=team)

    assert found(browser, "home")[:3] == ["/models/home", "/models/home-feed", "/models/a-home"]


def test_teams_and_runbooks_are_found(browser):
    factories.team("search-relevance", name="Search Relevance")
    factories.runbook("latency-regression")

    assert "/teams/search-relevance" in found(browser, "relevance")
    assert "/runbooks/latency-regression" in found(browser, "latency-reg")


@pytest.mark.parametrize("text", ["%", "_", "100%", "\\", "' OR 1=1", "é" * 500, "(", "🦊"])
def test_no_character_means_anything_else(browser, text):
    factories.model("recsys-home")
    factories.incident(title="plain")

    assert [url for url in found(browser, text) if "/models/" in url or "/incidents/" in url] == []


def test_what_was_typed_is_shown_as_text(browser):
    page = browser.get("/search", query_string={"q": "<script>alert(1)</script>"}).text

    assert "<script>alert(1)" not in page


def test_nothing_found_is_said(browser):
    assert "Nothing found" in browser.get("/search?q=zzz").text


@pytest.mark.parametrize(("role", "shown"), [(Role.MAINTAINER, False), (Role.ADMINISTRATOR, True)])
def test_only_administrators_find_people(signed_in, role, shown):
    one = factories.user(name="Yusuf Demir", email="yusuf@example.com")
    browser = signed_in(role)

    assert (f"/settings/people/{one.id}" in found(browser, "yusuf")) is shown
    assert (f"/settings/people/{one.id}" in found(browser, "YUSUF@example")) is shown


def test_commands_are_those_that_the_person_may_give(signed_in):
    viewer, responder = signed_in(Role.VIEWER), signed_in(Role.RESPONDER)

    assert "/incidents/declare" not in found(viewer, "declare")
    assert "/incidents/declare" in found(responder, "declare")
    assert "/models" in found(viewer, "go models")
    assert "/audit" not in str(found(responder, "audit"))


def test_without_words_the_page_offers_the_commands(browser, queries):
    page = browser.get("/search").text

    assert "Declare incident" in page
    assert found(browser, "") == []


def test_a_kind_has_a_limit(browser):
    for _ in range(12):
        factories.incident(title="latency")

    assert len([url for url in found(browser, "latency") if "/incidents/" in url]) == 8


def test_a_search_costs_the_same_for_one_or_many(signed_in, queries):
    browser = signed_in(Role.ADMINISTRATOR)

    def fill(count: int) -> None:
        for number in range(count):
            team = factories.team(f"latency-{count}-{number}")
            model = factories.model(f"latency-{count}-{number}", owner=team)
            factories.panel(model)
            factories.incident(title="latency")
            factories.runbook(f"latency-{count}-{number}")
            factories.user(name="Latency")

    fill(1)
    one = queries(lambda: found(browser, "latency"))
    fill(9)

    assert queries(lambda: found(browser, "latency")) == one
    assert one <= 13  # a kind each, two of health, and the index of runbooks


def test_retired_models_are_found_last_and_marked(browser):
    team = factories.team()
    factories.model("home", owner=team, retired_at=now())
    factories.model("home-feed", owner=team)

    assert found(browser, "home")[:2] == ["/models/home-feed", "/models/home"]
    assert "retired" in browser.get("/search?q=home").text


def test_panels_are_found_by_their_title_and_their_model(browser):
    team = factories.team()
    home, feed = (factories.model(slug, owner=team) for slug in ("recsys-home", "feed"))
    factories.panel(home, slug="p99", title="p99 latency")
    factories.panel(feed, slug="p99", title="p99 latency")
    factories.panel(home, slug="gone", title="p99 of old", closed_at=now())

    assert found(browser, "RECSYS p99") == ["/models/recsys-home/health/panels/p99"]
    assert len([url for url in found(browser, "p99") if "/panels/" in url]) == 2
    assert "recsys-home · p99 latency" in browser.get("/search?q=recsys p99").text


def test_data_inputs_are_found_by_their_name_and_their_contract(browser):
    factories.keep(Dataset(slug="events.clicks_v3", contract="Clicks 3.1", created_at=now()))
    factories.keep(Dataset(slug="features/user", created_at=now()))

    assert found(browser, "EVENTS clicks") == ["/inputs/events.clicks_v3"]
    assert found(browser, "clicks 3.1") == ["/inputs/events.clicks_v3"]
    assert found(browser, "features/") == ["/inputs/features/user"]


def test_panels_of_retired_models_are_not_found(browser):
    factories.panel(factories.model("old", retired_at=now()), slug="p99")

    assert "/panels/" not in str(found(browser, "p99"))
