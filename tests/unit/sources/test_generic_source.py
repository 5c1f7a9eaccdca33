import json
import re
from pathlib import Path

import pytest

from app.alerts.sources.base import UnparsableError
from app.alerts.sources.generic import Generic

source = Generic()

DOC = Path(__file__).parents[3] / "docs/adding-a-source.md"


def read_one(alert):
    parsed = source.parse(alert, {})
    assert parsed.faults == ()
    return parsed.alerts[0]


def test_a_name_is_enough():
    alert = read_one({"name": "RetrainFailed"})
    assert (alert.status, alert.name, alert.summary) == ("firing", "RetrainFailed", "RetrainFailed")
    assert alert.labels == {"alertname": "RetrainFailed"}
    assert alert.group_key is None


@pytest.mark.parametrize("said", [{}, {"name": ""}, {"name": " ", "model": "m"}, {"labels": {}}])
def test_an_alert_without_a_name_is_a_fault(said):
    (fault,) = source.parse(said, {}).faults
    assert (fault.where, fault.why) == ("alerts[0]", "It has no name.")


def test_the_name_may_be_the_label_alertname():
    assert read_one({"labels": {"alertname": "X"}}).name == "X"


def test_what_stands_beside_the_name_becomes_a_label_and_wins():
    said = {"name": "X", "model": "a", "failure_mode": "drift", "version": 7, "feature": None}
    alert = read_one({**said, "labels": {"model": "b", "feature": "f", "site": "eu"}})
    assert alert.labels == {
        "alertname": "X",
        "model": "a",
        "failure_mode": "drift",
        "version": "7",
        "feature": "f",
        "site": "eu",
    }


@pytest.mark.parametrize(
    ("said", "status", "remarks"),
    [
        (None, "firing", 0),
        ("resolved", "resolved", 0),
        ("Firing", "firing", 0),
        ("acknowledged", "acknowledged", 0),
        ("on fire", "firing", 1),
        (3, "firing", 1),
    ],
)
def test_an_unknown_status_fires_with_a_remark(said, status, remarks):
    alert = read_one({"name": "X", "status": said})
    assert (alert.status, len(alert.remarks)) == (status, remarks)


def test_without_a_fingerprint_name_and_labels_are_the_identity():
    first = read_one({"name": "X", "model": "a"})
    assert (
        first.fingerprint == read_one({"name": "X", "model": "a", "status": "resolved"}).fingerprint
    )
    assert first.fingerprint != read_one({"name": "X", "model": "b"}).fingerprint
    assert read_one({"name": "X", "fingerprint": "f"}).fingerprint == "f"
    assert read_one({"name": "X", "dedup_key": 12}).fingerprint == "12"


def test_alerts_of_one_group_share_a_key():
    first, second = source.parse(
        {"alerts": [{"name": "X", "group": "g"}, {"name": "Y", "group": "g"}]}, {}
    ).alerts
    assert first.group_key == second.group_key
    assert len(first.group_key) == 64


def test_links_are_objects_or_addresses_and_a_runbook_is_one():
    alert = read_one(
        {
            "name": "X",
            "links": [
                "https://example.com/1",
                {"href": "https://example.com/2", "text": "Two"},
                "/no",
            ],
            "annotations": {"runbook_url": "https://example.com/r"},
        }
    )
    assert [link.text for link in alert.links] == ["https://example.com/1", "Two", "Runbook"]
    assert alert.remarks[0].startswith("Links that are not web addresses")


def test_only_what_is_over_has_an_end():
    end = "2026-03-12T03:10:00Z"
    assert read_one({"name": "X", "ends_at": end}).ends_at is None
    assert read_one({"name": "X", "ends_at": end, "status": "resolved"}).ends_at is not None


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"name": "X"}, "X firing"),
        ({"name": "X", "status": "resolved"}, "X resolved"),
        ({"alerts": [{"name": "X"}, {"name": "Y"}]}, "2 alerts, the first X"),
        ([{"name": "X"}], "X firing"),
        ({"alerts": [None]}, "unnamed firing"),
        ({"alerts": []}, "No alerts"),
    ],
)
def test_a_delivery_is_told_in_one_line(document, what):
    assert source.glance(document, {}).what == what


def test_the_id_of_a_delivery_is_in_a_header_or_in_the_body():
    assert source.glance({"name": "X", "delivery_id": 7}, {}).sender_id == "7"
    assert source.glance({"name": "X", "delivery_id": 7}, {"request-id": "r"}).sender_id == "r"
    # Whoever writes an id means the alert's: firing and resolved would have the same.
    assert source.glance({"name": "X", "id": 7}, {}).sender_id is None


def test_a_repeated_body_is_read_again_since_others_may_have_told_of_its_alert():
    assert source.glance({"name": "X", "fingerprint": "f"}, {}).subject is None


@pytest.mark.parametrize("document", ["x", 3, None, {"alerts": None}, {"alerts": {"name": "X"}}])
def test_what_holds_no_alerts_is_refused(document):
    with pytest.raises(UnparsableError):
        source.glance(document, {})


def test_the_examples_of_the_documentation_are_read_without_a_remark():
    examples = re.findall(r"```json\n(.*?)```", DOC.read_text(), re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        parsed = source.parse(json.loads(example), {})
        assert parsed.alerts
        assert not parsed.faults
        assert not any(alert.remarks for alert in parsed.alerts)


def test_labels_that_are_too_many_are_told_of_once():
    labels = {f"label_{number}": "x" for number in range(150)}

    [alert] = source.parse({"name": "X", "model": "churn-weekly", "labels": labels}, {}).alerts

    assert alert.remarks == ("It has 152 labels; the first 100 are kept.",)
    assert {"alertname": "X", "model": "churn-weekly"}.items() <= alert.labels.items()
