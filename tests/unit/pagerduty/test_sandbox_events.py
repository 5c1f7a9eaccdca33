from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest

from app.integrations.pagerduty.sandbox import SandboxPager, Trouble, create_sandbox
from app.integrations.pagerduty.sandbox.store import Store

KEY, OTHER_KEY = "a" * 32, "b" * 32
PAYLOAD = {"summary": "p99 612 ms", "source": "fraud", "severity": "error"}
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


@pytest.fixture
def clock():
    class Clock:
        at = NOON

        def __call__(self):
            return self.at

    return Clock()


@pytest.fixture
def store():
    return Store(None)


@pytest.fixture
def api(store, clock):
    return create_sandbox(store, clock=clock).test_client()


@pytest.fixture
def pager(store):
    return SandboxPager(store)


def trigger(**changes):
    event = {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "incident-1",
        "payload": PAYLOAD,
    } | changes
    return {name: value for name, value in event.items() if value is not None}


def follow(action, **changes):
    return trigger(event_action=action, payload=None, **changes)


@pytest.mark.parametrize("path", ["/v2/enqueue", "/v2/enqueue/"])
def test_an_event_is_taken_with_202(api, path):
    reply = api.post(path, json=trigger())

    assert reply.status_code == 202
    assert reply.json == {
        "status": "success",
        "message": "Event processed",
        "dedup_key": "incident-1",
    }


def test_a_trigger_without_a_key_gets_one(api):
    reply = api.post("/v2/enqueue", json=trigger(dedup_key=None))

    assert len(reply.json["dedup_key"]) == 32


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"routing_key": None}, "'routing_key' is missing or blank"),
        (
            {"routing_key": "a" * 31},
            "Length of 'routing_key' is incorrect (should be 32 characters)",
        ),
        ({"dedup_key": "k" * 256}, "Length of 'dedup_key' is incorrect"),
        ({"dedup_key": ""}, "'dedup_key' is missing or blank"),
        ({"event_action": "resolved"}, "'event_action' is missing or invalid"),
        ({"payload": None}, "'payload' is missing or blank"),
        ({"payload": {**PAYLOAD, "summary": "x" * 1025}}, "'payload.summary' is too long"),
        ({"payload": {**PAYLOAD, "source": ""}}, "'payload.source' is missing or blank"),
        ({"payload": {**PAYLOAD, "severity": "fatal"}}, "'payload.severity' is invalid"),
        ({"payload": {**PAYLOAD, "timestamp": "noon"}}, "'payload.timestamp' is invalid"),
        ({"payload": {**PAYLOAD, "custom_details": "x"}}, "'payload.custom_details' is invalid"),
        ({"links": {"href": "https://x.test"}}, "'links' is invalid"),
        ({"images": [{"src": "http://x.test"}]}, "'images.src' is invalid"),
    ],
)
def test_a_wrong_event_gets_400_and_the_reason(api, pager, changes, error):
    reply = api.post("/v2/enqueue", json=trigger(**changes))

    assert reply.status_code == 400
    assert reply.json["status"] == "invalid event"
    assert reply.json["message"] == "Event object is invalid"
    assert reply.json["errors"][0].startswith(error)
    assert pager.incidents() == []
    assert [call.status for call in pager.received()] == [400]


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_only_a_trigger_may_come_without_a_key(api, action):
    reply = api.post("/v2/enqueue", json=follow(action, dedup_key=None))

    assert reply.status_code == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff"])
def test_what_is_not_an_object_gets_400(api, body):
    assert api.post("/v2/enqueue", data=body).status_code == 400


def test_more_than_512_kb_gets_413(api):
    details = {"values": "x" * 512 * 1024}

    reply = api.post("/v2/enqueue", json=trigger(payload={**PAYLOAD, "custom_details": details}))

    assert reply.status_code == 413


def test_120_calls_a_minute_are_taken_and_no_more(api, clock):
    statuses = [api.post("/v2/enqueue", json=trigger()).status_code for _ in range(121)]

    assert statuses == [202] * 120 + [429]
    assert api.post("/v2/enqueue", json=trigger(routing_key=OTHER_KEY)).status_code == 202
    clock.at += timedelta(seconds=61)
    assert api.post("/v2/enqueue", json=trigger()).status_code == 202


def test_a_resolve_that_overtakes_its_trigger_is_dropped(api, pager):
    assert api.post("/v2/enqueue", json=follow("resolve")).status_code == 202
    api.post("/v2/enqueue", json=trigger())

    assert [incident.status for incident in pager.incidents()] == ["triggered"]
    assert pager.received()[-1].became == "dropped: no open alert has this key"


def test_another_routing_key_does_not_reach_the_alert(api, pager):
    api.post("/v2/enqueue", json=trigger())
    assert api.post("/v2/enqueue", json=follow("resolve", routing_key=OTHER_KEY)).status_code == 202

    assert [incident.status for incident in pager.incidents()] == ["triggered"]


def test_after_its_resolve_a_key_opens_a_new_incident(api, pager):
    for event in (trigger(), follow("resolve"), trigger(), follow("acknowledge")):
        api.post("/v2/enqueue", json=event)

    assert [(i.number, i.status) for i in pager.incidents()] == [
        (2, "acknowledged"),
        (1, "resolved"),
    ]


def test_a_change_event_pages_nobody(api, pager):
    change = {"routing_key": KEY, "payload": {"summary": "fraud v3 to v4"}}

    for path in ("/v2/change/enqueue", "/v2/change/enqueue/"):
        assert api.post(path, json=change).status_code == 202
    assert pager.incidents() == []


def test_a_ruleset_takes_no_change_events(api):
    change = {"routing_key": "R" * 32, "payload": {"summary": "fraud v3 to v4"}}

    assert api.post("/v2/change/enqueue", json=change).status_code == 400


def test_no_routing_key_is_kept(api, store):
    api.post("/v2/enqueue", json=trigger())

    kept = [
        str(value)
        for table in ("received", "services", "alerts", "incidents", "entries")
        for row in store.rows(f"SELECT * FROM {table}")
        for value in row
    ]
    assert not any(KEY in value for value in kept)


def test_threads_that_trigger_one_key_open_one_incident(tmp_path):
    pager = SandboxPager(tmp_path / "pager.sqlite3")

    def call():
        for _ in range(10):
            pager.app.test_client().post("/v2/enqueue", json=trigger())

    threads = [Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(pager.incidents()) == 1
    assert len(pager.received(100)) == 40


def test_processes_share_the_file(tmp_path):
    path = tmp_path / "new folder" / "pager.sqlite3"
    SandboxPager(path).app.test_client().post("/v2/enqueue", json=trigger())

    assert [incident.title for incident in SandboxPager(path).incidents()] == ["p99 612 ms"]


def test_the_incidents_shown_come_newest_first_with_what_was_received(api, pager):
    for number in (1, 2, 3):
        api.post("/v2/enqueue", json=trigger(dedup_key=f"incident-{number}"))
    api.post("/v2/enqueue", json=follow("resolve", dedup_key="incident-3"))

    shown = pager.incidents(limit=2)

    assert [incident.dedup_key for incident in shown] == ["incident-3", "incident-2"]
    assert [call.became for call in shown[0].received] == ["incident 3", "resolved incident 3"]


def test_faults_can_be_asked_for_only_where_that_is_open(store):
    fault = {"trouble": "status", "status": 500, "path": "/v2/enqueue", "times": 2}
    closed, opened = (create_sandbox(store, control=control) for control in (False, True))

    assert closed.test_client().post("/control/faults", json=fault).status_code == 404
    api = opened.test_client()
    assert api.post("/control/faults", json=fault).status_code == 204
    assert api.post("/v2/change/enqueue", json={}).status_code == 400
    statuses = [api.post("/v2/enqueue", json=trigger()).status_code for _ in range(3)]
    assert statuses == [500, 500, 202]
    assert [i["status"] for i in api.get("/control/incidents").json["incidents"]] == ["triggered"]


def test_faults_can_be_taken_back(store):
    api = create_sandbox(store, control=True).test_client()
    api.post("/control/faults", json={"trouble": str(Trouble.STATUS), "times": 5})
    api.delete("/control/faults")

    assert api.post("/v2/enqueue", json=trigger()).status_code == 202
