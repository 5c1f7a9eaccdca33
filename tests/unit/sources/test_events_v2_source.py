import json

import pytest

from app.alerts.sources.base import GENERATED_KEY, UnparsableError
from app.alerts.sources.events_v2 import EventsV2

source = EventsV2()

LISTED = """\
Labels:
 - alertname = InputDrift
 - feature = price_usd
 - model = search-rank
Annotations:
 - description = Two
lines
 - runbook_url = https://wiki.example.com/drift
Source: https://prometheus.example.com/a
Labels:
 - alertname = InputDrift
 - feature = age_days
 - model = search-rank
Annotations:
 - description = Two
lines
 - runbook_url = https://wiki.example.com/drift
Source: https://prometheus.example.com/b
"""


def an_event(action="trigger", dedup_key="k1", payload=None, **said):
    payload = {"summary": "Drift", "source": "ci", "severity": "error"} | (payload or {})
    return {"event_action": action, "dedup_key": dedup_key, "payload": payload, **said}


def read_one(event, headers=None):
    parsed = source.parse(event, headers or {})
    assert parsed.faults == ()
    return parsed.alerts[0]


@pytest.mark.parametrize(
    ("action", "status"),
    [("trigger", "firing"), ("acknowledge", "acknowledged"), ("resolve", "resolved"), ("Trigger", "firing")],
)  # fmt: skip
def test_an_action_is_a_status(action, status):
    alert = read_one(an_event(action))
    assert (alert.status, alert.fingerprint) == (status, "k1")


def test_the_answer_echoes_the_key():
    glance = source.glance(an_event(), {})
    assert glance.reply == {
        "status": "success",
        "message": "Event processed",
        "dedup_key": "k1",
    }
    assert glance.kept == {}


@pytest.mark.parametrize("dedup_key", [None, "", "  "])
def test_a_trigger_without_a_key_gets_one_that_its_sender_can_resolve_with(dedup_key):
    event = an_event(dedup_key=dedup_key)
    first, second = source.glance(event, {}), source.glance(event, {})
    key = first.reply["dedup_key"]

    assert first.subject is None
    assert len(key) == 32
    assert key != second.reply["dedup_key"]
    assert read_one(event, first.kept).fingerprint == key
    assert read_one(an_event("resolve", key)).fingerprint == key


def test_a_second_attempt_of_one_delivery_is_answered_with_the_same_key():
    event, headers = an_event(dedup_key=None), {"request-id": "7f3a"}
    assert source.glance(event, headers).reply == source.glance(event, headers).reply


def test_without_the_kept_key_the_event_itself_is_its_key():
    event = an_event(dedup_key=None)
    assert read_one(event).fingerprint == read_one(event).fingerprint
    assert GENERATED_KEY in source.glance(event, {}).kept


def test_events_about_one_key_have_one_subject():
    trigger, resolve = source.glance(an_event(), {}), source.glance(an_event("resolve"), {})
    assert trigger.subject == resolve.subject
    assert trigger.subject != source.glance(an_event(dedup_key="k2"), {}).subject


def test_a_long_key_is_hashed_and_echoed_as_it_came():
    long = "k" * 300
    assert len(read_one(an_event(dedup_key=long)).fingerprint) == 64
    assert source.glance(an_event(dedup_key=long), {}).reply["dedup_key"] == long


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
@pytest.mark.parametrize("dedup_key", [None, ""])
def test_without_a_key_there_is_nothing_to_acknowledge_or_resolve(action, dedup_key):
    event = an_event(action, dedup_key)
    assert source.glance(event, {}).reply == {"status": "success", "message": "Event processed"}
    (fault,) = source.parse(event, {}).faults
    assert fault.why == f"It has no dedup_key, so that nothing tells what to {action}."


def test_an_unknown_action_is_taken_and_said_to_be_unknown():
    event = an_event("snooze")
    assert source.glance(event, {}).what == "Snooze: Drift"
    (fault,) = source.parse(event, {}).faults
    assert "'snooze'" in fault.why


@pytest.mark.parametrize(
    ("document", "headers", "key"),
    [
        ({"routing_key": " abc "}, {}, "abc"),
        ({}, {"x-routing-key": "abc"}, "abc"),
        ({"routing_key": ""}, {"x-routing-key": "abc"}, "abc"),
        ({"routing_key": "body"}, {"x-routing-key": "header"}, "body"),
        ({"routing_key": 7}, {}, None),
        ([], {"x-routing-key": " "}, None),
    ],
)
def test_the_routing_key_is_in_the_body_or_in_a_header(document, headers, key):
    assert source.routing_key(document, headers) == key


@pytest.mark.parametrize("said", ["critical", "error", "warning", "info", "Critical", "high"])
def test_a_severity_that_is_known_is_kept_as_sent(said):
    alert = read_one(an_event(payload={"severity": said}))
    assert (alert.severity, alert.remarks) == (said, ())


@pytest.mark.parametrize("said", ["P1", "{{ .severity }}", 3])
def test_a_severity_that_nobody_knows_is_read_as_error(said):
    alert = read_one(an_event(payload={"severity": said}))
    assert alert.severity == "error"
    assert alert.remarks[0].endswith("read as error.")
    assert str(said) in alert.remarks[0]


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        ({"custom_details": {"alertname": "X"}, "class": "drift"}, "X"),
        ({"custom_details": {"firing": LISTED}, "class": "drift"}, "InputDrift"),
        ({"class": "drift", "component": "search-rank"}, "drift"),
        ({"component": "search-rank"}, "search-rank"),
        ({}, "events_v2"),
    ],
)
def test_the_name_is_the_alertname_or_what_is_nearest(payload, name):
    assert read_one(an_event(payload=payload)).name == name


def test_details_that_look_like_labels_are_labels_and_all_are_annotations():
    details = {
        "model": "churn-weekly",
        "model_version": 12,
        "dry run": "no label: a space",
        "log": "two\nlines",
        "empty": "",
        "metrics": {"auc": 0.61},
        "num_firing": "2",
        "nothing": None,
    }
    alert = read_one(an_event(payload={"component": "c", "class": None, "custom_details": details}))
    assert alert.labels == {
        "model": "churn-weekly",
        "model_version": "12",
        "component": "c",
        "source": "ci",
    }
    assert alert.annotations == {
        "summary": "Drift",
        "model": "churn-weekly",
        "model_version": "12",
        "dry run": "no label: a space",
        "log": "two\nlines",
        "empty": "",
        "metrics": '{"auc":0.61}',
        "num_firing": "2",
    }


def test_labels_that_all_listed_alerts_share_are_the_events_own():
    alert = read_one(an_event(payload={"custom_details": {"firing": LISTED, "resolved": ""}}))
    assert alert.labels == {"alertname": "InputDrift", "model": "search-rank", "source": "ci"}
    assert alert.annotations["description"] == "Two\nlines"
    assert [link.href for link in alert.links] == [
        "https://wiki.example.com/drift",
        "https://prometheus.example.com/a",
        "https://prometheus.example.com/b",
    ]


def test_a_resolve_is_read_from_the_alerts_that_are_over():
    details = {"firing": "", "resolved": LISTED}
    assert read_one(an_event("resolve", payload={"custom_details": details})).name == "InputDrift"


@pytest.mark.parametrize("as_json_text", [True, False])
def test_listed_alerts_may_be_json(as_json_text):
    listed = [
        {"labels": {"alertname": "InputDrift", "model": "search-rank", "feature": feature}}
        for feature in ("price_usd", "age_days")
    ]
    details = {"firing": json.dumps(listed) if as_json_text else listed}
    alert = read_one(an_event(payload={"custom_details": details}))
    assert alert.labels["model"] == "search-rank"
    assert "feature" not in alert.labels


def test_links_may_be_at_the_top_or_in_the_payload():
    payload = {"links": [{"href": "https://keep.example.com/1", "text": "Alert"}], "images": [3]}
    event = an_event(
        payload=payload,
        links=[{"href": "https://wiki.example.com", "text": "On call"}, "x", {"href": "/no"}],
        images=[{"src": "https://grafana.example.com/1.png", "alt": "p99", "href": ""}],
        client="Alertmanager",
        client_url="https://alertmanager.example.com",
    )
    assert [(link.text, link.href) for link in read_one(event).links] == [
        ("On call", "https://wiki.example.com"),
        ("p99", "https://grafana.example.com/1.png"),
        ("Alert", "https://keep.example.com/1"),
        ("Alertmanager", "https://alertmanager.example.com"),
    ]


def test_a_timestamp_is_the_start_of_a_trigger_and_the_end_of_a_resolve():
    payload = {"timestamp": "2026-03-12T02:51:00.123+01:00"}
    trigger, resolve = (read_one(an_event(a, payload=payload)) for a in ("trigger", "resolve"))
    assert trigger.starts_at.isoformat() == "2026-03-12T01:51:00.123000+00:00"
    assert (trigger.ends_at, resolve.starts_at) == (None, None)
    assert resolve.ends_at == trigger.starts_at
    assert source.times_tell_order is False


def test_a_trigger_without_a_payload_still_opens_something():
    alert = read_one({"event_action": "trigger", "dedup_key": "k1", "payload": None})
    assert alert.summary == "events_v2"
    assert alert.remarks == ("It has no payload, so that only its key tells what it is about.",)


def test_custom_details_that_are_no_object_are_kept():
    alert = read_one(an_event(payload={"custom_details": "a text"}))
    assert alert.annotations["custom_details"] == "a text"


@pytest.mark.parametrize("event_action", [None, ""])
def test_an_event_without_an_action_is_a_change(event_action):
    event = {
        "event_action": event_action,
        "payload": {
            "summary": "recsys-home: v42 to v43",
            "source": "ci",
            "timestamp": "2026-03-12T01:40:00Z",
            "custom_details": {"model": "recsys-home", "metrics": {"auc": float("nan")}},
        },
        "links": [{"href": "https://ci.example.com/1", "text": "Build"}],
    }
    glance = source.glance(event, {})
    assert glance.what == "Change: recsys-home: v42 to v43"
    assert "dedup_key" not in glance.reply

    (change,) = source.parse(event, {}).changes
    assert change.at.isoformat() == "2026-03-12T01:40:00+00:00"
    assert change.labels["model"] == "recsys-home"
    assert change.detail == {"model": "recsys-home", "metrics": '{"auc":NaN}'}
    assert change.links[0].text == "Build"


def test_a_change_without_a_summary_is_a_fault():
    (fault,) = source.parse({"payload": {}}, {}).faults
    assert "payload.summary" in fault.why


@pytest.mark.parametrize("document", [{}, [], {"payload": "x"}, {"routing_key": "k"}])
def test_what_is_neither_an_event_nor_a_change_is_refused(document):
    with pytest.raises(UnparsableError):
        source.glance(document, {})


def test_a_text_with_very_many_lines_is_read_at_once():
    lines = "Labels:\n - a = b\nAnnotations:\n - c = d\n" + "x\n" * 200_000
    alert = read_one(an_event(payload={"custom_details": {"firing": lines}}))
    assert len(alert.annotations["c"]) <= 10_000
