"""The first run: three steps, whose state is read from what is there."""

import re

import pytest

from app.alerts.rules import DeliveryState
from app.core.clock import now
from app.people.rules import Role
from tests.integration.overview import rows
from tests.support import factories


@pytest.fixture
def administrator(signed_in):
    rows.worker(now(), cycled=now())
    return signed_in(Role.ADMINISTRATOR)


def states(page: str) -> list[str]:
    return re.findall(r'<li data-state="(\w+)"><span class="setup__n">', page)


def test_a_fresh_installation_shows_three_steps_and_which_is_next(administrator):
    page = administrator.get("/").text

    assert "0 of 3 done" in page
    assert states(page) == ["doing", "todo", "todo"]
    assert "Waiting for a first delivery, 0 so far" in page
    assert "Three steps are left" in page
    assert page.count("btn--primary") == 1


@pytest.mark.parametrize(
    ("role", "shown"), [(Role.VIEWER, False), (Role.RESPONDER, False), (Role.MAINTAINER, True)]
)
def test_only_those_who_can_set_it_up_see_the_steps(signed_in, role, shown):
    assert ("0 of 3 done" in signed_in(role).get("/").text) is shown


def test_a_key_finishes_the_first_step_and_says_which(administrator):
    door, key = factories.integration(name="Alertmanager production")

    page = administrator.get("/").text

    assert "1 of 3 done" in page
    assert states(page) == ["done", "doing", "todo"]
    assert f"Alertmanager production, key ends in {door.last_four}" in page
    assert key not in page
    assert f'action="/settings/integrations/{door.id}/test"' in page


def test_a_closed_integration_is_no_door(administrator):
    factories.integration(closed_at=now())

    assert "0 of 3 done" in administrator.get("/").text


def test_the_receiver_is_that_of_the_newest_key_with_our_own_address(administrator):
    factories.integration("alertmanager")
    assert "url: https://baton.test/in/alertmanager" in administrator.get("/").text

    factories.integration("events_v2")
    assert "url: https://baton.test/v2/enqueue" in administrator.get("/").text


def test_the_first_delivery_finishes_the_second_step(administrator):
    door, _ = factories.integration(name="Alertmanager production")
    rows.delivery(now(), DeliveryState.RECEIVED, integration_id=door.id, what="BatonTest, 1 firing")

    part = administrator.get("/now/urgent", headers={"HX-Request": "true"}).text

    assert states(part) == ["done", "done", "doing"]
    assert "from Alertmanager production: BatonTest, 1 firing. 1 so far." in part


def test_a_refused_request_is_no_first_delivery_but_its_reason_is_shown(administrator):
    factories.integration()
    rows.delivery(now(), DeliveryState.REFUSED, body=None, why="401: No key, or not the key.")

    page = administrator.get("/").text

    assert states(page)[1] == "doing"
    assert "0 so far" in page
    assert "401: No key, or not the key." in page


def test_the_third_step_leads_to_the_pager_of_a_team(administrator):
    assert 'href="/teams/new"' in administrator.get("/").text

    factories.team("serving", name="Serving")

    page = administrator.get("/").text
    assert 'href="/teams/serving/pager"' in page
    assert "Connect Serving" in page


def test_once_all_is_done_the_steps_are_gone(administrator):
    door, _ = factories.integration()
    rows.delivery(now(), integration_id=door.id)
    factories.team(routing_key="R" * 32)

    page = administrator.get("/").text

    assert "of 3 done" not in page
    assert "Nothing needs you" in page


def test_a_real_incident_shrinks_what_is_left_to_a_line(administrator):
    door, _ = factories.integration()
    rows.delivery(now(), integration_id=door.id)
    factories.team("serving", name="Serving")
    factories.incident()

    page = administrator.get("/").text

    assert states(page) == []
    assert "Set up: 2 of 3 done." in page
    assert "Connect Serving" in page


def test_the_incident_of_a_test_is_no_real_one(administrator):
    door, _ = factories.integration()
    rows.delivery(now(), integration_id=door.id)
    factories.incident(failure_mode="baton_test")

    page = administrator.get("/").text

    assert states(page) == ["done", "done", "doing"]
    assert "is in triage" in page


def test_a_maintainer_is_told_that_an_administrator_makes_keys(signed_in):
    page = signed_in(Role.MAINTAINER).get("/").text

    assert "An administrator does this." in page
    assert "/settings/integrations/new" not in page
