"""What holds for every source, shown with every payload that was recorded from its senders.

A new source is proved by its payloads alone: `tests/support/payloads/<name>/x.json` is a body as
it came, and `x.about.json` beside it has the kept headers and what the body says.
"""

import copy
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.alerts.sources import SOURCES, base
from app.alerts.sources.base import (
    Alert,
    AlertStatus,
    ChangeEvent,
    Glance,
    Parsed,
    UnparsableError,
    decode,
)

ROOT = Path(__file__).parents[3]
PAYLOADS = ROOT / "tests/support/payloads"
SHARED_MODULES = {"__init__", "base"}


@dataclass(frozen=True)
class Recording:
    source: str
    path: Path

    @property
    def body(self) -> bytes:
        return self.path.read_bytes()

    @property
    def about(self) -> dict[str, Any]:
        return json.loads(self.path.with_suffix(".about.json").read_text())


RECORDINGS = [
    Recording(name, path)
    for name in SOURCES
    for path in sorted((PAYLOADS / name).glob("*.json"))
    if not path.name.endswith(".about.json")
]
each_recording = pytest.mark.parametrize(
    "recording", RECORDINGS, ids=lambda one: f"{one.source}/{one.path.stem}"
)
each_source = pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))


def is_storable(text: str) -> bool:
    return "\x00" not in text and text == text.encode("utf-8", "replace").decode()


def assert_texts(texts: Any, limit: int) -> None:
    assert len(texts) <= base.MAX_TEXTS
    for name, text in texts.items():
        assert isinstance(text, str)
        assert is_storable(name)
        assert is_storable(text)
        assert len(name) <= base.MAX_LABEL_NAME
        assert len(text) <= limit


def assert_time(time: Any) -> None:
    if time is not None:
        assert time.utcoffset() == timedelta(0)
        assert 1970 <= time.year < 2200


def assert_links(links: Any) -> None:
    assert len(links) <= base.MAX_LINKS
    assert len({link.href for link in links}) == len(links)
    for link in links:
        assert link.href.lower().startswith(("http://", "https://"))
        assert 0 < len(link.text) <= 120
        assert len(link.href) <= 2000
        assert is_storable(link.href + link.text)


def assert_alert(alert: Alert) -> None:
    assert 0 < len(alert.fingerprint) <= base.MAX_FINGERPRINT
    assert isinstance(alert.status, AlertStatus)
    assert alert.name.strip()
    assert len(alert.name) <= base.MAX_NAME
    assert alert.summary.strip()
    assert len(alert.summary) <= 300
    assert "\n" not in alert.name + alert.summary
    assert len(alert.severity) <= base.MAX_LABEL
    assert alert.group_key is None or 0 < len(alert.group_key) <= 64
    assert is_storable(alert.fingerprint + alert.name + alert.summary + alert.severity)
    assert_texts(alert.labels, base.MAX_LABEL)
    assert_texts(alert.annotations, base.MAX_ANNOTATION)
    assert_time(alert.starts_at)
    assert_time(alert.ends_at)
    assert alert.ends_at is None or alert.status is AlertStatus.RESOLVED
    assert_links(alert.links)
    assert len(alert.remarks) <= 10
    assert all(is_storable(remark) and len(remark) <= 300 for remark in alert.remarks)


def assert_change(change: ChangeEvent) -> None:
    assert change.summary.strip()
    assert len(change.summary) <= 1024
    assert len(change.source) <= 300
    assert is_storable(change.summary + change.source)
    assert_time(change.at)
    assert_links(change.links)
    assert_texts(change.labels, base.MAX_LABEL)
    assert_texts(change.detail, base.MAX_ANNOTATION)


def assert_glance(glance: Glance) -> None:
    assert 0 < len(glance.what) <= 200
    assert "\n" not in glance.what
    assert glance.subject is None or 0 < len(glance.subject) <= 64
    assert glance.sender_id is None or 0 < len(glance.sender_id) <= 200
    assert is_storable(glance.what + (glance.sender_id or ""))
    assert is_storable(json.dumps([glance.reply, glance.kept], ensure_ascii=False))


def assert_parsed(parsed: Parsed) -> None:
    for alert in parsed.alerts:
        assert_alert(alert)
    for change in parsed.changes:
        assert_change(change)
    assert len(parsed.faults) <= base.MAX_FAULTS + 1
    assert all(
        fault.where and is_storable(fault.why) and fault.why.endswith(".")
        for fault in parsed.faults
    )
    assert parsed.resolved_group is None or 0 < len(parsed.resolved_group) <= 64


@each_recording
def test_a_recorded_payload_is_read_as_its_sidecar_says(recording):
    source, about = SOURCES[recording.source], recording.about
    document = decode(recording.body)

    assert_glance(source.glance(document, about["headers"]))
    parsed = source.parse(document, about["headers"])

    assert_parsed(parsed)
    assert [f"{alert.status} {alert.name}" for alert in parsed.alerts] == about["alerts"]
    assert [change.summary for change in parsed.changes] == about["changes"]
    assert [fault.where for fault in parsed.faults] == about["faults"]
    assert (parsed.resolved_group is not None) is about["resolved_group"]


@each_recording
def test_reading_a_payload_again_says_the_same(recording):
    source, headers = SOURCES[recording.source], recording.about["headers"]
    first = source.parse(decode(recording.body), headers)
    assert source.parse(decode(recording.body), headers) == first


@each_recording
def test_no_payload_holds_a_name_that_is_not_for_examples(recording):
    text = recording.body.decode()
    assert "127.0.0.1" not in text
    assert "localhost" not in text
    assert "authorization" not in recording.about["headers"]


@each_source
def test_a_source_has_payloads_and_an_example_for_its_sender(source):
    assert [one for one in RECORDINGS if one.source == source.name]
    url = "https://baton.example.com/in/x"
    assert url in source.receiver_example(url)
    assert source.title
    assert source.sends
    assert source.status in (200, 202)


def test_every_module_is_registered_and_described():
    modules = {path.stem for path in (ROOT / "app/alerts/sources").glob("*.py")} - SHARED_MODULES
    described = (ROOT / "docs/adding-a-source.md").read_text()
    assert set(SOURCES) == modules
    assert {name: source.name for name, source in SOURCES.items()} == {n: n for n in SOURCES}
    assert [name for name in modules if f"`{name}`" not in described] == []


@each_source
@pytest.mark.parametrize("document", [None, True, 3, 2.5, "text", ""])
def test_a_document_that_is_neither_an_object_nor_a_list_is_refused_with_a_sentence(
    source, document
):
    with pytest.raises(UnparsableError) as refusal:
        source.glance(document, {})
    assert refusal.value.args[0].endswith(".")


# What senders got wrong before, and what the readers look for.
ODD_TEXTS = (
    "", " ", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "asdf", "2026-03-12",
    "2026-03-12T01:51:00.123456789Z", "firing", "Resolved", "trigger", "resolve", "acknowledge",
    "P1", "critical", "https://example.com/", "HTTP://x", "javascript:alert(1)", "?orgId=1",
    "\x00", "\ud83d", "é\n", "x" * 300, "Labels:\n - alertname = X\n - a = b\nc\nAnnotations:\nd\n",
    "Labels:\nSource: https://example.com\nAnnotations:\n", "[", '[{"labels":{"a":"b"}}, 3]',
)  # fmt: skip
NAMES = (
    "alerts", "status", "labels", "annotations", "startsAt", "endsAt", "generatorURL",
    "fingerprint", "groupKey", "groupLabels", "commonLabels", "receiver", "truncatedAlerts",
    "alertname", "severity", "summary", "runbook_url", "event_action", "dedup_key", "routing_key",
    "payload", "custom_details", "firing", "resolved", "links", "images", "href", "text", "src",
    "client", "client_url", "timestamp", "component", "class", "source", "name", "model", "group",
    "starts_at", "ends_at", "delivery_id",
)  # fmt: skip
any_text = st.sampled_from(ODD_TEXTS) | st.text(st.characters(exclude_categories=()), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | any_text
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | any_text, inner, max_size=6)
    ),
    max_leaves=12,
)
KEPT = ("request-id", "x-webhook-id", "ce-id", "ce-source", base.RECEIVED_AT, base.GENERATED_KEY)
headers = st.dictionaries(st.sampled_from(KEPT), any_text)
DOCUMENTS = [decode(recording.body) for recording in RECORDINGS]
quick = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """A real payload in which a few values are missing or replaced by something else."""
    document = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
    for _ in range(draw(st.integers(1, 4))):
        node = document
        while node:
            places = sorted(node) if isinstance(node, dict) else range(len(node))
            place = draw(st.sampled_from(list(places)))
            child = node[place]
            if isinstance(child, (dict, list)) and child and draw(st.booleans()):
                node = child
                continue
            if draw(st.booleans()):
                node[place] = draw(documents)
            else:
                del node[place]
            break
    return document


@each_source
@quick
@given(document=documents | damaged(), headers=headers)
def test_whatever_the_door_lets_pass_is_read_without_an_error(source, document, headers):
    try:
        glance = source.glance(document, headers)
    except UnparsableError:
        return
    assert_glance(glance)
    assert_parsed(source.parse(document, {**headers, **glance.kept}))


@quick
@given(body=st.binary(max_size=60) | documents.map(lambda one: json.dumps(one).encode()))
def test_any_bytes_are_json_or_refused(body):
    with suppress(UnparsableError):
        decode(body)


@pytest.mark.parametrize("depth", [150, 800, 100_000])
@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_a_body_nested_without_end_does_no_harm(source, depth):
    nested = b"[" * depth + b"]" * depth
    for around in (b'{"alerts":[{"name":"X","labels":{"a":%s}}]}', b'{"payload":{"summary":%s}}'):
        try:
            document = decode(around % nested)
            source.glance(document, {})
        except UnparsableError:
            continue
        assert_parsed(source.parse(document, {}))
