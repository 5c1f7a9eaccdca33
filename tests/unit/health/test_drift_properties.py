"""Whatever comes is read or refused with a sentence, and nothing broken is ever all right."""

import copy
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from app.health.rules import DRIFT, LampState, Rule, judge
from app.health.sources import contracts, drift
from app.health.sources.base import UnreadableError
from app.health.sources.drift.observing import observation
from app.health.sources.reading import MAX_NAME, MAX_PARTS, MAX_REMARK, Given, decode

RECORDED = Path(__file__).parents[2] / "support/payloads/health"
NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)
GIVEN = Given(received_at=NOW, model="recsys-home", dataset="")
DOCUMENTS = [
    decode(path.read_bytes())
    for path in sorted(RECORDED.glob("*/*.json"))
    if path.parent.name != "evidently_service"
] + [
    [{"model": "m", "kind": "input", "window_end": "2026-03-12T02:01:00Z", "rows": 12,
      "report": {"method": "psi", "value": 0.1, "threshold": 0.2, "direction": "above",
                 "parts": [{"name": "a", "value": 1}]}}],
    [{"dataset": "d", "kind": "access", "format": "baton", "checked_at": "2026-03-12T02:01:00Z",
      "report": {"role": "r", "granted": True, "approver": "a", "reviewed_on": "2026-03-01"}}],
    {"name": "is_drift", "contents": {"int64Contents": ["0"]}},
    {"violations": [{"feature_name": "a", "constraint_check_type": "baseline_drift_check",
                     "description": "Value: 0.4"}]},
    {"monitoringStats": [{"objective": "RAW_FEATURE_SKEW", "featureStats": [
        {"featureDisplayName": "a", "predictionStats": [
            {"distributionDeviation": 0.1, "anomalyDetectionThreshold": 0.2,
             "startTime": "2026-03-11T00:00:00Z", "endTime": "2026-03-12T00:00:00Z"}]}]}]},
    [{"eventType": "X.DatasetDriftDetected", "data": {"DriftCoefficient": 0.4}}],
    {"eventTime": "2026-03-12T02:01:00Z", "job": {}, "inputs": [{"name": "d", "inputFacets": {
        "dataQualityAssertions": {"assertions": [{"assertion": "not_null", "success": True}]},
        "dataQualityMetrics": {"rowCount": 3, "lastUpdated": "2026-03-12T01:01:00Z"}}}]},
    {"apiVersion": "v3.1.0", "kind": "DataContract", "id": "c", "version": "1.0.0",
     "schema": [{"name": "d"}], "slaProperties": [{"property": "latency", "value": 4, "unit": "h"}],
     "roles": [{"role": "r", "access": "read", "firstLevelApprovers": "a"}]},
]  # fmt: skip

ODD = ("", " ", "0", "NaN", "\x00", "\ud83d", "9999-12-31T23:59:59-14:00", "2026-03-12", "pass",
       "SUCCESS", "FAIL", "False", "analysis", "above", "x" * 400, "Europe/Lisbon", "../x",
       "evidently", "baton", "[", "-1", "1e999")  # fmt: skip
NAMES = (
    "model", "kind", "report", "rows", "window_end", "window_start", "zone", "format", "dataset",
    "metrics", "tests", "config", "value", "threshold", "method", "metric", "result", "data",
    "is_drift", "p_val", "distance", "name", "outputs", "contents", "violations", "results",
    "success", "metadata", "checks", "hasFailures", "SCHEMA", "DATA", "inputs", "facets",
    "loaded_at", "granted", "ok", "chunk_period", "a_value", "a_alert", "run_results", "schema",
)  # fmt: skip
any_text = st.sampled_from(ODD) | st.text(st.characters(exclude_categories=()), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | any_text
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | any_text, inner, max_size=6)
    ),
    max_leaves=12,
)
quick = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def damaged(draw):
    """A real document in which a few values are missing or replaced by something else."""
    document = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
    for _ in range(draw(st.integers(1, 4))):
        node = document
        while node:
            places = sorted(node) if isinstance(node, dict) else range(len(node))
            place = draw(st.sampled_from(list(places)))
            child = node[place]
            if isinstance(child, dict | list) and child and draw(st.integers(0, 4)):
                node = child
                continue
            if draw(st.booleans()):
                node[place] = draw(anything)
            else:
                del node[place]
            break
    return document


def read_or_refused(parse, document, **given):
    """The reports; none if the document was refused with a sentence."""
    try:
        return parse(document, given=Given(received_at=NOW, **given))
    except UnreadableError as error:
        refusal = error
    assert refusal.args[0].endswith(".")
    return []


def assert_storable(text, limit):
    assert len(text) <= limit
    assert "\x00" not in text
    assert text == text.encode("utf-8", "replace").decode()


@quick
@drawn(document=anything | damaged(), fits=st.sampled_from(["", *drift.FORMATS]))
def test_a_drift_report_is_read_or_refused_and_never_all_right_without_a_number(document, fits):
    for report in read_or_refused(drift.parse, document, model="m", format=fits):
        assert report.kind in DRIFT
        assert report.window_end <= NOW.replace(minute=5)
        assert len(report.parts) <= MAX_PARTS
        for text, limit in ((report.remark, MAX_REMARK), (report.method, MAX_NAME),
                            (report.model, MAX_NAME), (report.model_version, MAX_NAME),
                            (report.reference_id, MAX_NAME), (report.series, 200)):  # fmt: skip
            assert_storable(text, limit)
        for part in report.parts:
            assert_storable(part.name + part.method, 2 * MAX_NAME)
        if report.said_outside is False:
            assert report.value is not None
        for verdict in ("tool", "limit"):
            seen = observation([report], {"verdict": verdict})
            state = judge(seen, Rule(), now=report.window_end).state
            assert state is not LampState.OK or (
                verdict == "tool" and report.said_outside is False and report.value is not None
            )


@quick
@drawn(document=anything | damaged(), fits=st.sampled_from(["", *contracts.FORMATS]))
def test_a_check_of_data_is_read_or_refused_and_unknown_is_never_good(document, fits):
    for report in read_or_refused(contracts.parse, document, dataset="d", format=fits):
        assert report.dataset
        assert_storable(report.dataset, 160)
        assert_storable(report.remark, MAX_REMARK)
        assert_storable(report.access_role + report.access_approver + report.contract, 360)
        assert report.checked_at <= NOW.replace(minute=5)
        if report.loaded_at is not None:
            assert report.loaded_at <= NOW.replace(minute=5)
            assert not report.is_unknown
        assert report.fresh_within is None or 0 < report.fresh_within < 2**62


@pytest.mark.parametrize("place", range(len(DOCUMENTS)))
def test_no_single_part_of_a_recording_that_goes_missing_makes_it_all_right(place):
    """A report that says "drifted" never says "all right" because something of it is lost."""
    document = DOCUMENTS[place]
    try:
        before = drift.parse(document, given=GIVEN)
    except UnreadableError:
        return
    if not all(report.said_outside for report in before):
        return
    for path in _paths(document):
        if _is_verdict(document, path):
            continue
        try:
            after = drift.parse(_without(document, path), given=GIVEN)
        except UnreadableError:
            continue
        assert not any(report.said_outside is False for report in after), path


def _paths(node, so_far=()):
    inside = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in inside:
        yield (*so_far, key)
        if isinstance(child, dict | list):
            yield from _paths(child, (*so_far, key))


def _is_verdict(document, path):
    """Without the part that drifted, the rest may well be all right: a whole column or metric."""
    node = document
    for key in path:
        node = node[key]
    return path[-1] in ("metrics", "tests", "violations") or isinstance(path[-1], int)


def _without(document, path):
    copied = copy.deepcopy(document)
    node = copied
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    return copied
