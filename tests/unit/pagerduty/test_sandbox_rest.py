from datetime import UTC, datetime, timedelta

import httpx2
import pagerduty
import pytest

from app.integrations.pagerduty.client import SANDBOX_URL, PagerDuty
from app.integrations.pagerduty.rules import Action, Outgoing
from app.integrations.pagerduty.sandbox import SandboxPager

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


@pytest.fixture
def sandbox():
    return SandboxPager(None)


@pytest.fixture
def rest(sandbox):
    """The real REST client, as Baton will use it."""
    client = pagerduty.RestApiV2Client(
        "a token",
        auth_type="bearer",
        base_url=SANDBOX_URL,
        transport=httpx2.WSGITransport(sandbox.app),
    )
    client.retry[429] = 1
    return client


@pytest.fixture
def tell(sandbox):
    pager = PagerDuty(sandbox)

    def tell(action, dedup_key="incident-1", title="p99 612 ms"):
        event = {"payload": {"summary": title, "source": "fraud", "severity": "error"}}
        pager.send(Outgoing(None, "us", dedup_key, Action(action), event))

    return tell


@pytest.fixture
def incident(tell, rest):
    tell("trigger")
    [found] = rest.rget("/incidents")
    return found


def code(error):
    return error.value.response.json()["error"]["code"]


def test_an_incident_is_found_by_its_key_and_read_by_its_id(rest, tell):
    tell("trigger", "incident-1", "one")
    tell("trigger", "incident-2", "two")

    [found] = rest.rget("/incidents", params={"incident_key": "incident-2"})

    assert (found["title"], found["status"]) == ("two", "triggered")
    assert rest.rget(f"/incidents/{found['id']}")["incident_key"] == "incident-2"


def test_the_list_can_be_narrowed_to_states(rest, tell):
    for key in ("incident-1", "incident-2"):
        tell("trigger", key)
    tell("resolve", "incident-2")

    open_ones = rest.rget("/incidents", params={"statuses[]": ["triggered", "acknowledged"]})

    assert [one["incident_key"] for one in open_ones] == ["incident-1"]


def test_all_pages_of_a_list_are_read(rest, tell):
    for number in range(30):
        tell("trigger", f"incident-{number}")

    assert len(list(rest.iter_all("/incidents"))) == 30


def test_a_list_ends_at_ten_thousand(rest):
    with pytest.raises(pagerduty.HttpError) as error:
        rest.rget("/incidents", params={"limit": 100, "offset": 9_950})

    assert (error.value.response.status_code, code(error)) == (400, 2001)


def test_a_change_of_state_is_kept(rest, incident):
    changed = rest.rput(
        f"/incidents/{incident['id']}",
        json={"type": "incident_reference", "status": "acknowledged"},
    )

    assert changed["status"] == "acknowledged"


@pytest.mark.parametrize(("status", "number"), [("acknowledged", 1002), ("resolved", 1001)])
def test_what_is_so_already_has_a_code_of_its_own(rest, incident, status, number):
    change = {"type": "incident_reference", "status": status}
    rest.rput(f"/incidents/{incident['id']}", json=change)

    with pytest.raises(pagerduty.HttpError) as error:
        rest.rput(f"/incidents/{incident['id']}", json=change)

    assert code(error) == number


def test_many_are_changed_at_once_but_no_more_than_250(rest, incident):
    change = {"id": incident["id"], "type": "incident_reference", "status": "resolved"}

    changed = rest.put("/incidents", json={"incidents": [change]})
    too_many = rest.put("/incidents", json={"incidents": [change] * 251})

    assert [one["status"] for one in changed.json()["incidents"]] == ["resolved"]
    assert too_many.status_code == 413


def test_an_incident_is_created_once_for_its_key(rest, incident):
    wanted = {
        "type": "incident",
        "title": "Declared",
        "incident_key": "incident-9",
        "service": {"id": incident["service"]["id"], "type": "service_reference"},
    }

    assert rest.post("/incidents", json={"incident": wanted}).status_code == 201
    assert rest.post("/incidents", json={"incident": wanted}).status_code == 400


def test_notes_are_kept_in_order_and_have_a_limit(rest, incident):
    path = f"/incidents/{incident['id']}/notes"
    rest.rpost(path, json={"content": "Rolled back"})
    rest.rpost(path, json={"content": "Watching"})

    assert [note["content"] for note in rest.rget(path)] == ["Rolled back", "Watching"]
    assert rest.post(path, json={"note": {"content": "x" * 2001}}).status_code == 400


def test_alerts_tell_the_key_and_the_log_tells_the_event(rest, incident, tell):
    tell("trigger")

    [alert] = rest.rget(f"/incidents/{incident['id']}/alerts")
    entries = rest.rget(
        f"/incidents/{incident['id']}/log_entries", params={"include[]": ["channels"]}
    )

    assert (alert["alert_key"], alert["status"]) == ("incident-1", "triggered")
    assert [entry["type"] for entry in entries] == ["trigger_log_entry"] * 2
    assert entries[0]["channel"]["payload"]["source"] == "fraud"


def test_a_snooze_acknowledges_until_its_end(rest, incident):
    reply = rest.post(f"/incidents/{incident['id']}/snooze", json={"duration": 3600})

    assert reply.status_code == 201
    assert reply.json()["incident"]["status"] == "acknowledged"
    assert reply.json()["incident"]["pending_actions"][0]["type"] == "unacknowledge"


def test_a_merged_incident_says_that_it_was_not_fixed(rest, tell):
    for key in ("incident-1", "incident-2"):
        tell("trigger", key)
    target, source = rest.rget("/incidents")

    rest.put(
        f"/incidents/{target['id']}/merge",
        json={"source_incidents": [{"id": source["id"], "type": "incident_reference"}]},
    )

    merged = rest.rget(f"/incidents/{source['id']}")
    assert merged["status"] == "resolved"
    assert merged["resolve_reason"]["type"] == "merge_resolve_reason"
    alerts = rest.rget(f"/incidents/{target['id']}/alerts")
    assert {alert["alert_key"] for alert in alerts} == {"incident-1", "incident-2"}


def test_a_maintenance_window_pages_nobody(rest, tell, sandbox):
    tell("trigger")
    [service] = rest.rget("/services")
    now = datetime.now(UTC)
    window = {
        "type": "maintenance_window",
        "start_time": (now - timedelta(hours=1)).isoformat(),
        "end_time": (now + timedelta(hours=1)).isoformat(),
        "services": [{"id": service["id"], "type": "service_reference"}],
    }
    made = rest.post("/maintenance_windows", json={"maintenance_window": window})
    tell("trigger", "incident-2")

    assert made.status_code == 201
    assert len(rest.rget("/maintenance_windows")) == 1
    assert [one.dedup_key for one in sandbox.incidents()] == ["incident-1"]
    assert sandbox.received()[0].became == "suppressed alert, no incident"


def test_a_disabled_service_pages_nobody(rest, tell, sandbox):
    tell("trigger")
    [service] = rest.rget("/services")
    rest.rput(f"/services/{service['id']}", json={"type": "service", "status": "disabled"})
    tell("trigger", "incident-2")

    assert [one.dedup_key for one in sandbox.incidents()] == ["incident-1"]


@pytest.mark.parametrize("path", ["/escalation_policies", "/oncalls", "/users", "/abilities"])
def test_what_incidents_refer_to_can_be_looked_up(rest, path):
    assert rest.get(path).status_code == 200


def test_the_user_on_call_can_be_looked_up(rest):
    [on_call] = rest.rget("/oncalls")

    assert rest.rget(f"/users/{on_call['user']['id']}") == rest.rget("/users/me")


@pytest.mark.parametrize("path", ["/incidents/Q404", "/services/P404", "/users/P404"])
def test_what_is_not_there_gets_404(rest, path):
    with pytest.raises(pagerduty.HttpError) as error:
        rest.rget(path)

    assert (error.value.response.status_code, code(error)) == (404, 2100)


@pytest.mark.parametrize("header", [None, "a token", "Token a", "Token token=", "Bearer "])
def test_nobody_gets_in_without_a_key(sandbox, header):
    headers = {} if header is None else {"Authorization": header}

    assert sandbox.app.test_client().get("/incidents", headers=headers).status_code == 401


def test_an_account_key_has_to_say_for_whom_it_speaks(sandbox, incident):
    api = sandbox.app.test_client()
    path, change = f"/incidents/{incident['id']}", {"incident": {"status": "resolved"}}
    key = {"Authorization": "Token token=key"}

    assert api.put(path, json=change, headers=key).status_code == 400
    assert api.put(path, json=change, headers=key | {"From": "a@b.test"}).status_code == 200
