"""The front page: what needs somebody, the models, what happened lately."""

import re
from datetime import timedelta

import pytest

from app.alerts.rules import DeliveryState
from app.core.clock import now
from app.health.rules import LampState, Lane
from app.incidents.rules import State
from app.integrations.pagerduty.rules import Action, MessageState
from app.people.rules import Role
from app.registry.tables import TeamMember
from tests.integration.overview import rows
from tests.support import factories

HTMX = {"HX-Request": "true"}


@pytest.fixture
def person(app):
    return factories.user(Role.RESPONDER, name="Priya Raman")


@pytest.fixture
def browser(app, person):
    app.config["WTF_CSRF_ENABLED"] = False
    client = app.test_client()
    factories.sign_in(client, person)
    rows.worker(now(), cycled=now())
    return client


def needs(browser) -> list[str]:
    """The rows of "Needs you", each as its text."""
    page = browser.get("/").text
    if 'id="needs"' not in page:
        return []
    card = page[page.index('id="needs"') :]
    card = card[: card.index("</section>")]
    found = re.findall(r"<li.*?</li>", card, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in found]


def test_nobody_sees_it_without_signing_in(client):
    assert client.get("/").status_code == 303


def test_an_empty_portal_says_that_nothing_needs_anybody(browser):
    page = browser.get("/").text

    assert "Nothing needs you" in page
    assert "No incident is open." in page
    assert "No model yet" in page


def test_an_incident_that_nobody_has_taken_on_needs_somebody(browser):
    home = factories.model("recsys-home")
    one = factories.incident(title="p99 is high", model_id=home.id, team_id=home.team_id)

    (row,) = needs(browser)

    assert f"INC-{one.id} p99 is high" in row
    assert "Nobody has taken it on." in row
    assert row.endswith("Acknowledge")


def test_pressing_acknowledge_takes_the_incident_on(browser, person):
    home = factories.model("recsys-home")
    one = factories.incident(model_id=home.id)
    form = re.search(r'action="(/incidents/\d+/acknowledge)".*?name="seen" value="(\d+)"',
                     browser.get("/").text, re.DOTALL)  # fmt: skip
    assert form is not None

    browser.post(form[1], data={"seen": form[2]})

    assert f"INC-{one.id}" in needs(browser)[0]
    assert "You lead." in needs(browser)[0]


def test_a_viewer_can_open_it_but_not_acknowledge(app, signed_in):
    factories.incident(model_id=factories.model().id)

    (row,) = needs(signed_in(Role.VIEWER))

    assert row.endswith("Open")


def test_only_the_first_button_is_filled(browser):
    home = factories.model("recsys-home")
    for mode in ("a", "b", "c"):
        factories.incident(model_id=home.id, failure_mode=mode)

    page = browser.get("/").text

    assert page.count("btn--primary") == 1


def test_what_somebody_else_has_taken_on_needs_nobody_else(browser):
    other = factories.user(name="Yusuf Demir")
    home = factories.model()
    factories.incident(model_id=home.id, state=State.ACKNOWLEDGED, lead_id=other.id)

    assert needs(browser) == []


def test_ones_own_and_ones_teams_incidents_come_before_worse_ones_of_others(browser, person):
    mine, theirs = factories.team("mine"), factories.team("theirs")
    factories.keep(TeamMember(team_id=mine.id, user_id=person.id))
    a = factories.model("a", owner=theirs)
    b = factories.model("b", owner=mine)
    factories.incident(title="of others", severity=1, model_id=a.id, team_id=theirs.id)
    factories.incident(title="of my team", severity=3, model_id=b.id, team_id=mine.id)
    factories.incident(
        title="led by me",
        severity=4,
        state=State.ACKNOWLEDGED,
        model_id=a.id,
        failure_mode="other",
        team_id=theirs.id,
        lead_id=person.id,
    )

    found = needs(browser)

    assert ["of my team" in row for row in found] == [True, False, False]
    assert ["led by me" in row for row in found] == [False, True, False]


def test_what_nobody_owns_is_in_triage(browser):
    one = factories.incident(severity=2)
    assert f"INC-{one.id} is in triage" in needs(browser)[0]

    factories.incident(severity=1)
    (row,) = needs(browser)

    assert row.startswith("SEV-1 2 incidents are in triage")


def test_a_refused_page_is_shown_with_the_reason_until_it_is_made_good(browser):
    other = factories.user()
    home = factories.model()
    one = factories.incident(model_id=home.id, state=State.ACKNOWLEDGED, lead_id=other.id)
    at = now()
    rows.message(
        at, MessageState.REFUSED, incident_id=one.id, answer="PagerDuty does not know the key."
    )
    (row,) = needs(browser)
    assert f"INC-{one.id}: PagerDuty refused the page to Serving" in row
    assert "does not know the key" in row

    rows.message(at, MessageState.SENT, Action.TRIGGER, incident_id=one.id)

    assert needs(browser) == []


def test_a_page_that_waits_for_more_than_a_minute_is_shown(browser):
    at = now()
    rows.message(at, MessageState.WAITING, lane="young")
    assert needs(browser) == []

    rows.message(
        at - timedelta(minutes=2), MessageState.WAITING, lane="old", answer="No connection."
    )

    (row,) = needs(browser)
    assert "A page waits for more than a minute" in row
    assert "No connection." in row


@pytest.mark.parametrize(
    ("role", "shown"), [(Role.VIEWER, False), (Role.RESPONDER, False), (Role.MAINTAINER, True)]
)
def test_dead_letters_are_shown_to_those_who_can_replay_them(signed_in, role, shown):
    rows.worker(now(), cycled=now())
    rows.delivery(now(), DeliveryState.DEAD)
    rows.delivery(now(), DeliveryState.DEAD, outcome={"dropped": True})

    found = any("1 delivery could not be processed" in row for row in needs(signed_in(role)))

    assert found is shown


def test_sources_that_stay_silent_are_told_to_those_who_can_look_into_it(signed_in):
    at = now()
    rows.worker(at, cycled=at)
    long_ago, lately = at - timedelta(minutes=11), at - timedelta(minutes=9)
    factories.health_source(name="Gateway", failures=3, answered_at=lately)
    factories.health_source(name="Old one", failures=9, answered_at=long_ago, closed_at=at)
    factories.health_source(name="Slow one", failures=2, answered_at=long_ago)
    browser = signed_in(Role.MAINTAINER)
    assert needs(browser) == []

    factories.health_source(name="Prometheus EU", failures=3, answered_at=long_ago)
    (row,) = needs(browser)
    assert "The health source Prometheus EU does not answer" in row

    factories.health_source(name="Never there", failures=3)
    (row,) = needs(browser)
    assert "2 health sources do not answer" in row
    assert needs(signed_in(Role.RESPONDER)) == []


def test_without_a_worker_the_page_says_that_nothing_is_processed(signed_in):
    assert "No worker is running." in signed_in(Role.VIEWER).get("/").text


def test_many_incidents_are_counted_and_the_worst_are_shown(browser):
    home = factories.model()
    for number in range(12):
        factories.incident(model_id=home.id, failure_mode=f"mode_{number}", severity=3)
    worst = factories.incident(model_id=home.id, failure_mode="worst", severity=1)

    found = needs(browser)

    assert len(found) == 8
    assert f"INC-{worst.id}" in found[0]
    assert "The 8 worst of 13 incidents are shown." in browser.get("/").text


# Lately


def test_changes_of_the_last_day_are_listed_with_their_model(browser):
    at = now()
    door, _ = factories.integration("events_v2")
    home = factories.model("recsys-home")
    rows.change(at - timedelta(hours=1), door.id, "Deploy of v43", model_id=home.id)
    rows.change(at - timedelta(hours=25), door.id, "Deploy of v42")

    page = browser.get("/now/lately", headers=HTMX).text

    assert "Deploy of v43" in page
    assert "/models/recsys-home" in page
    assert "v42" not in page


def test_the_last_delivery_is_shown_with_what_became_of_it(browser):
    door, _ = factories.integration(name="Alertmanager production")
    rows.delivery(now(), integration_id=door.id, what="LatencyHigh, 3 firing")

    page = browser.get("/now/lately", headers=HTMX).text

    assert "Alertmanager production" in page
    assert "LatencyHigh, 3 firing" in page
    assert "Accepted" in page


# Live


@pytest.mark.parametrize("part", ["urgent", "fleet", "lately"])
def test_a_region_that_is_the_same_is_not_sent_again(browser, part):
    factories.incident(model_id=factories.model().id)
    first = browser.get(f"/now/{part}", headers=HTMX)
    etag = first.headers["ETag"]

    again = browser.get(f"/now/{part}", headers={**HTMX, "If-None-Match": etag})
    assert again.status_code == 304

    factories.incident(model_id=factories.model("other").id, severity=1)
    door, _ = factories.integration()
    rows.delivery(now(), integration_id=door.id)
    changed = browser.get(f"/now/{part}", headers={**HTMX, "If-None-Match": etag})
    assert changed.status_code == 200


def test_the_summary_in_the_head_comes_along_with_the_urgent_region(browser):
    page = browser.get("/").text
    part = browser.get("/now/urgent", headers=HTMX).text

    assert "hx-swap-oob" not in page
    assert '<span id="summary" hx-swap-oob="true">' in part


# What it costs


def fill(count: int, team, door) -> None:
    at = now()
    for number in range(count):
        slug = f"m-{team.slug}-{number}"
        one = factories.model(slug, owner=team)
        found = factories.incident(model_id=one.id, team_id=team.id)
        factories.incident()
        rows.message(at, MessageState.REFUSED, incident_id=found.id, lane=slug)
        rows.message(at - timedelta(hours=1), MessageState.WAITING, lane=slug)
        rows.change(at, door.id, "Deploy", model_id=one.id)
        rows.delivery(at, DeliveryState.DEAD)
        for lane in (Lane.LATENCY, Lane.LATENCY, Lane.ERRORS, Lane.SCHEMA):
            rows.lamp(factories.panel(one, lane), LampState.BREACH, at)
        factories.health_source(failures=3)


@pytest.mark.parametrize(
    "path",
    ["/", "/now/urgent", "/now/fleet", "/now/fleet?rows=200", "/now/fleet/more", "/now/lately"],
)
def test_now_costs_the_same_for_one_or_thirty(signed_in, queries, path):
    browser = signed_in(Role.ADMINISTRATOR)
    rows.worker(now(), cycled=now())
    door, _ = factories.integration()
    fill(1, factories.team("one"), door)
    browser.get(path)
    one = queries(lambda: browser.get(path))
    fill(29, factories.team("many"), door)

    assert queries(lambda: browser.get(path)) == one
    assert one <= 24


# Every page


def test_the_notice_says_whose_pages_wake_nobody(app, browser):
    factories.team("serving", name="Serving", routing_key="R" * 32)
    factories.team("logistics", name="Logistics")

    page = browser.get("/search").text

    assert "Pages of Logistics go to the sandbox pager, so nobody is woken." in page
    assert "/settings/sandbox-pager" in page


def test_the_notice_is_gone_when_every_team_is_connected(app, browser):
    factories.team("serving", routing_key="R" * 32)

    assert "nobody is woken" not in browser.get("/search").text


def test_without_a_team_the_notice_says_that_nobody_is_woken(browser):
    assert "Pages go nowhere: there is no team yet" in browser.get("/search").text


def test_a_name_in_the_notice_is_text(browser):
    factories.team("a", name="<b>A</b>")
    factories.team("b", routing_key="R" * 32)

    assert "Pages of &lt;b&gt;A&lt;/b&gt; go" in browser.get("/search").text


def test_the_menu_counts_open_incidents_and_models(browser):
    home = factories.model()
    factories.model("gone", retired_at=now(), owner=home.team)
    factories.incident(model_id=home.id)
    factories.incident(state=State.RESOLVED)

    page = browser.get("/search").text

    assert '<span class="nav__n nav__n--hot">1</span>' in page
    assert '<span class="nav__n">1</span>' in page
