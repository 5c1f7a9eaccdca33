"""The sandbox pager's page, and the general settings."""

import pytest

from app.core.clock import now
from app.incidents.rules import dedup_key
from app.people.rules import Role
from tests.integration.overview import rows
from tests.support import factories

KEY = "S" * 32


@pytest.fixture
def sandbox(app):
    return app.extensions["gateways"].sandbox


def send(sandbox, key: str, action: str = "trigger", summary: str = "SEV-2 p99 is high") -> None:
    reply = sandbox.app.test_client().post(
        "/v2/enqueue",
        json={
            "routing_key": KEY,
            "event_action": action,
            "dedup_key": key,
            "payload": {"summary": summary, "source": "recsys-home", "severity": "error"},
        },
    )
    assert reply.status_code == 202


def test_a_page_is_listed_with_whom_it_would_have_woken(sandbox, signed_in):
    one = factories.incident()
    key = dedup_key("abcd1234", one.uuid, 1)
    rows.message(now(), incident_id=one.id, dedup_key=key, to="Search Relevance")
    send(sandbox, key)

    page = signed_in(Role.VIEWER).get("/settings/sandbox-pager").text

    assert f'<a href="/incidents/{one.id}">INC-{one.id}</a> SEV-2 p99 is high' in page
    assert "Search Relevance" in page
    assert "Open" in page
    assert "wakes nobody" in page


def test_a_page_that_was_resolved_says_so_and_keeps_its_log(sandbox, signed_in):
    send(sandbox, "portal:a:b:1")
    send(sandbox, "portal:a:b:1", "acknowledge")
    send(sandbox, "portal:a:b:1", "resolve")
    send(sandbox, "portal:a:b:1", "resolve")

    page = signed_in(Role.VIEWER).get("/settings/sandbox-pager").text

    assert "Resolved" in page
    assert "Page taken" in page
    assert "Acknowledgement taken" in page
    assert "Resolve taken" in page
    assert "Resolve dropped: no open alert has this key" in page


def test_a_page_of_somebody_else_names_nobody(sandbox, signed_in):
    send(sandbox, "something else", summary="<i>not ours</i>")

    page = signed_in(Role.VIEWER).get("/settings/sandbox-pager").text

    assert "Nobody known" in page
    assert "&lt;i&gt;not ours" in page


def test_an_empty_sandbox_says_what_will_be_here(signed_in):
    assert "No page yet" in signed_in(Role.VIEWER).get("/settings/sandbox-pager").text


def test_the_list_costs_the_same_for_one_or_twenty_pages(sandbox, signed_in, queries):
    browser = signed_in(Role.VIEWER)

    def fill(count: int) -> None:
        for _ in range(count):
            one = factories.incident()
            key = dedup_key("abcd1234", one.uuid, 1)
            rows.message(now(), incident_id=one.id, dedup_key=key)
            send(sandbox, key)

    fill(1)
    ask = lambda: browser.get("/settings/sandbox-pager/part", headers={"HX-Request": "true"})  # noqa: E731
    one = queries(ask)
    fill(19)

    assert queries(ask) == one


def test_general_settings_show_the_state_and_no_secret(app, signed_in):
    page = signed_in(Role.ADMINISTRATOR).get("/settings/general").text

    assert "https://baton.test" in page
    assert "No worker was seen" in page
    assert app.config["SECRET_KEY"] not in page


def test_general_settings_are_for_maintainers(signed_in):
    assert signed_in(Role.RESPONDER).get("/settings/general").status_code == 403
