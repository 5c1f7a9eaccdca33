"""What a service level counts, taken from panels; nothing is counted where nothing is seen."""

from types import SimpleNamespace

import pytest

from app.health import counting
from app.health.presets import PRESETS, panels_of
from app.health.rules import Lane


def panel(draft):
    return SimpleNamespace(
        spec=draft.spec, above=draft.rule.above, unit=draft.unit, lane=draft.lane
    )


def of(preset, key, kind):
    draft = next(one for one in panels_of(preset, "recsys-home", kind) if one.key == key)
    return counting.of_panel(kind, panel(draft))


def test_a_scraped_quantile_counts_the_requests_over_its_limit():
    assert of("recommender", "p99", "openmetrics") == {
        "metric": "recommender_request_duration_seconds",
        "labels": {"model": "recsys-home"},
        "over": 0.15,
    }


def test_a_scraped_ratio_counts_its_bad_requests():
    assert of("recommender", "errors", "openmetrics") == {
        "metric": "recommender_requests_total",
        "labels": {"model": "recsys-home"},
        "bad": {"outcome": ["error", "invalid"]},
    }


def test_a_query_of_failures_counts_failures_and_requests():
    assert of("recommender", "errors", "prometheus") == {
        "bad": 'sum by ($by) (increase(recommender_requests_total{outcome=~"error|invalid"}[$w]))',
        "total": "sum by ($by) (increase(recommender_requests_total[$w]))",
        "by": "model",
        "value": "recsys-home",
    }


def test_without_the_bucket_of_the_limit_there_is_no_total_and_no_claim():
    found = of("kserve", "p99", "prometheus")

    bucket = 'sum by ($by) (increase(request_predict_seconds_bucket{le="0.25"}[$w]))'
    every = "sum by ($by) (increase(request_predict_seconds_count[$w]))"
    assert found["bad"] == f"{every} - {bucket}"
    assert found["total"] == f"{every} and {bucket}"


def test_a_whole_limit_is_found_however_its_bucket_is_written():
    assert 'le=~"2([.]0)?"' in counting.within("seconds", "", "", 2)["bad"]
    assert 'le="0.5"' in counting.within("seconds", 'job="a"', "", 0.5)["bad"]


@pytest.mark.parametrize("kind", ["openmetrics", "prometheus"])
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_what_a_preset_offers_can_be_counted_or_is_not_offered(preset, kind):
    for draft in panels_of(preset, "recsys-home", kind):
        found = counting.of_panel(kind, panel(draft))
        if found is not None:
            assert counting.why_not_counts(kind, found) is None
            assert counting.in_words(found)
        if draft.lane in (Lane.THROUGHPUT, Lane.QUEUE, Lane.GPU, Lane.LATENCY_DRIFT):
            assert found is None, draft.key


@pytest.mark.parametrize(
    ("kind", "spec", "why"),
    [
        ("evidently", {}, "does not count events"),
        ("nothing", {}, "does not count events"),
        ("openmetrics", {"metric": "a", "bad": {"b": "c"}, "colour": "red"}, "colour says nothing"),
        ("openmetrics", {"metric": "a", "bad": "c"}, "bad holds labels"),
        ("openmetrics", {"metric": 7}, "Name a metric"),
        ("prometheus", {"recorded": []}, "Recorded by one of"),
        ("prometheus", {"bad": {}, "total": []}, "Give a query"),
    ],
)
def test_a_spec_that_says_nothing_is_refused_with_the_reason(kind, spec, why):
    assert why in counting.why_not_counts(kind, spec)
