import pytest

from app.alerts.sources.alertmanager import Alertmanager
from app.alerts.sources.base import RECEIVED_AT, UnparsableError

source = Alertmanager()

START, END, NEVER = "2026-03-12T01:51:00Z", "2026-03-12T02:10:00Z", "0001-01-01T00:00:00Z"


def an_alert(**said):
    labels = {"alertname": "InputDrift", "model": "search-rank"}
    return {"labels": labels, "startsAt": START, "fingerprint": "f1", **said}


def a_webhook(*alerts, **said):
    return {"version": "4", "groupKey": '{}:{alertname="InputDrift"}', "alerts": [*alerts], **said}


def read_one(alert, headers=None, **group):
    parsed = source.parse(a_webhook(alert, **group), headers or {})
    assert parsed.faults == ()
    return parsed.alerts[0]


@pytest.mark.parametrize(
    ("own", "group", "read"),
    [
        ("firing", "firing", "firing"),
        ("resolved", "firing", "resolved"),
        ("firing", "resolved", "firing"),
        ("RESOLVED", None, "resolved"),
        (None, "resolved", "resolved"),
        (None, "firing", "firing"),
        ("", None, "firing"),
        ("suppressed", "resolved", "resolved"),
        ({"state": "active"}, None, "firing"),
        (7, 7, "firing"),
    ],
)
def test_the_alerts_own_status_goes_before_the_groups(own, group, read):
    assert read_one(an_alert(status=own), status=group).status == read


@pytest.mark.parametrize(
    ("ends_at", "received_at", "read"),
    [
        ("2026-03-12T02:14:00Z", "2026-03-12T02:10:00+00:00", "firing"),
        ("2026-03-12T02:06:00Z", "2026-03-12T02:10:00+00:00", "resolved"),
        ("2026-03-12T02:10:00Z", "2026-03-12T02:10:00+00:00", "resolved"),
        (NEVER, "2026-03-12T02:10:00+00:00", "firing"),
        ("", "2026-03-12T02:10:00+00:00", "firing"),
        (None, "2026-03-12T02:10:00+00:00", "firing"),
        ("2026-03-12T02:06:00Z", None, "firing"),
    ],
)
def test_an_alert_in_a_bare_list_is_over_when_its_end_was_past_on_arrival(
    ends_at, received_at, read
):
    headers = {RECEIVED_AT: received_at} if received_at else {}
    (alert,) = source.parse([an_alert(endsAt=ends_at)], headers).alerts
    assert alert.status == read
    assert (alert.ends_at is not None) is (read == "resolved")


def test_a_group_that_is_over_ends_members_that_the_message_does_not_name():
    parsed = source.parse(
        a_webhook(an_alert(status="resolved"), status="resolved", truncatedAlerts=5), {}
    )
    assert parsed.resolved_group == parsed.alerts[0].group_key


def test_a_group_is_not_over_while_a_member_says_it_fires():
    alerts = [an_alert(status="firing"), an_alert(status="resolved", fingerprint="f2")]
    parsed = source.parse(a_webhook(*alerts, status="resolved"), {})
    assert parsed.resolved_group is None
    assert parsed.alerts[0].remarks == ("It fires although its group is said to be resolved.",)


def test_a_firing_group_ends_nothing_but_what_it_names():
    assert (
        source.parse(a_webhook(an_alert(status="resolved"), status="firing"), {}).resolved_group
        is None
    )


def test_a_group_keeps_its_key_from_firing_to_resolved():
    firing = read_one(an_alert(status="firing"), status="firing")
    resolved = read_one(an_alert(status="resolved"), status="resolved")
    assert firing.group_key == resolved.group_key
    assert len(firing.group_key) == 64


def test_without_a_group_key_labels_and_receiver_make_the_group():
    def key(**said):
        return source.glance({"alerts": [], **said}, {}).subject

    one = key(receiver="baton", groupLabels={"alertname": "X", "model": "m"})
    assert one == key(receiver="baton", groupLabels={"model": "m", "alertname": "X"}, groupKey=None)
    assert one != key(receiver="other", groupLabels={"alertname": "X", "model": "m"})
    assert key(receiver="baton", groupLabels={}) is None
    assert key(groupKey=12870389422354165723) == key(groupKey="12870389422354165723")
    assert source.glance([an_alert()], {}).subject is None


def test_an_alert_without_a_fingerprint_is_known_by_its_labels():
    first, again = read_one(an_alert(fingerprint=None)), read_one(an_alert(fingerprint=""))
    other = read_one(an_alert(fingerprint=None, labels={"alertname": "InputDrift", "model": "x"}))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert read_one(an_alert(fingerprint=None, startsAt=END)).fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("element", "why"),
    [
        (None, "An alert is an object; this is null."),
        ("x", "An alert is an object; this is a text."),
        ([], "An alert is an object; this is a list."),
        ({}, "It has neither labels nor a fingerprint, so nothing tells which it is."),
        (
            {"labels": None, "fingerprint": " "},
            "It has neither labels nor a fingerprint, so nothing tells which it is.",
        ),
    ],
)
def test_an_element_that_cannot_be_read_fails_alone(element, why):
    parsed = source.parse(a_webhook(an_alert(), element, an_alert(fingerprint="f2")), {})
    assert [alert.fingerprint for alert in parsed.alerts] == ["f1", "f2"]
    assert [(fault.where, fault.why) for fault in parsed.faults] == [("alerts[1]", why)]


def test_an_unreadable_start_is_unknown_and_said_so():
    alert = read_one(an_alert(startsAt="asdf"))
    assert alert.starts_at is None
    assert alert.remarks == ("Its startsAt, 'asdf', is not a time we can read.",)


def test_an_end_before_the_start_is_read_as_unknown():
    alert = read_one(an_alert(status="resolved", startsAt=END, endsAt=START))
    assert alert.ends_at is None
    assert "ends before it starts" in alert.remarks[0]


def test_a_firing_alert_has_no_end():
    assert read_one(an_alert(status="firing", endsAt=END)).ends_at is None


def test_links_are_those_of_the_alert_and_its_annotations():
    alert = read_one(
        an_alert(
            generatorURL="https://prometheus.example.com/graph",
            silenceURL="https://grafana.example.com/silence",
            annotations={
                "runbook_url": "https://wiki.example.com/drift",
                "dashboard": "https://grafana.example.com/d/1",
                "runbook": "see the wiki",
            },
        )
    )
    assert [(link.text, link.href.rpartition("/")[2]) for link in alert.links] == [
        ("Graph", "graph"),
        ("Silence", "silence"),
        ("Runbook", "drift"),
        ("Dashboard", "1"),
    ]
    assert alert.remarks == ()


def test_a_relative_link_is_left_out_with_a_remark():
    alert = read_one(an_alert(generatorURL="?orgId=1", panelURL=None, dashboardURL=""))
    assert alert.links == ()
    assert alert.remarks == ("Its link Graph, '?orgId=1', is not a web address, and left out.",)


@pytest.mark.parametrize(
    ("labels", "severity"),
    [
        ({"severity": "critical", "priority": "P1"}, "critical"),
        ({"severity": "", "priority": "P1"}, "P1"),
        ({"alertname": "X"}, ""),
    ],
)
def test_the_severity_is_a_label(labels, severity):
    assert read_one(an_alert(labels=labels)).severity == severity


@pytest.mark.parametrize(
    ("annotations", "summary"),
    [
        ({"summary": "Slow", "description": "Very"}, "Slow"),
        ({"description": "Two\n lines"}, "Two lines"),
        ({"summary": "{app} is {unknown!r}"}, "{app} is {unknown!r}"),
        ({"summary": None}, "InputDrift"),
        (None, "InputDrift"),
        ({"summary": {"nested": [1]}}, '{"nested":[1]}'),
    ],
)
def test_the_summary_is_the_annotation_that_says_most_in_a_line(annotations, summary):
    assert read_one(an_alert(annotations=annotations)).summary == summary


def test_an_alert_without_a_name_gets_one():
    assert read_one(an_alert(labels={"alertname": " "})).name == "Unnamed alert"
    assert read_one(an_alert(labels=["a"])).remarks[0].startswith("Its labels are a list")


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"status": "firing", "alerts": [{}] * 40, "commonLabels": {"alertname": "RecsysHomeP99High"}}, "RecsysHomeP99High firing, 40 alerts"),
        ({"status": "resolved", "alerts": [an_alert()], "groupLabels": {"alertname": "X"}}, "X resolved, 1 alert"),
        ({"status": "firing", "alerts": [an_alert()] * 3, "truncatedAlerts": 5}, "3 alerts and 5 not named, the first InputDrift"),
        ([an_alert()], "InputDrift, 1 alert"),
        ([an_alert(), None], "2 alerts, the first InputDrift"),
        ([None], "Unnamed alert, 1 alert"),
        ([], "No alerts"),
        ({"alerts": []}, "No alerts"),
    ],
)  # fmt: skip
def test_a_delivery_is_told_in_one_line(document, what):
    assert source.glance(document, {}).what == what


@pytest.mark.parametrize("document", [{}, {"alerts": None}, {"alerts": {}}, {"alerts": "x"}])
def test_an_object_without_a_list_of_alerts_is_refused(document):
    with pytest.raises(UnparsableError):
        source.glance(document, {})


def test_an_empty_list_is_taken_and_says_nothing():
    parsed = source.parse({"alerts": []}, {})
    assert (parsed.alerts, parsed.faults) == ((), ())
