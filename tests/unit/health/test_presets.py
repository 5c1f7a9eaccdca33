import math
from datetime import UTC, datetime, timedelta

import pytest

from app.health.limit_lint import lint_objective, lint_panel
from app.health.presets import OPENMETRICS, PRESETS, PROMETHEUS, panels_of
from app.health.rules import DRIFT, LampState, Lane, Rule, judge, why_no_rule
from app.health.slo_rules import Objective
from app.health.sources import SOURCES
from app.health.sources.querying import promql
from tests.support.scraping import Scraper, histogram

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALL = [(key, kind) for key in PRESETS for kind in (OPENMETRICS, PROMETHEUS)]
SERVERS = {
    "kserve", "triton", "torchserve", "tf-serving", "bentoml", "ray-serve", "seldon-v2", "vllm",
    "mlflow", "opentelemetry", "recommender",
}  # fmt: skip


def measured(key, kind):
    return [one for one in panels_of(key, "shop-similar", kind) if not one.not_measurable]


def test_the_servers_of_the_field_have_a_preset():
    assert set(PRESETS) == SERVERS


@pytest.mark.parametrize(("key", "kind"), ALL)
def test_a_preset_offers_panels_that_can_be_made_as_they_are(key, kind):
    drafts = panels_of(key, "shop-similar", kind)
    assert len({one.key for one in drafts}) == len(drafts)
    for one in drafts:
        assert SOURCES[kind].why_not(one.spec) is None, one
        assert why_no_rule(one.rule) is None, one
        assert one.title
        assert one.window >= 60
        if one.rule.clear is not None:
            assert one.rule.is_clear(one.rule.clear)


@pytest.mark.parametrize(("key", "kind"), ALL)
def test_rate_errors_latency_queue_and_gpu_are_offered_or_said_to_be_missing(key, kind):
    lanes = {one.lane for one in panels_of(key, "shop-similar", kind)}
    assert lanes >= {Lane.THROUGHPUT, Lane.ERRORS, Lane.LATENCY, Lane.QUEUE, Lane.GPU}


@pytest.mark.parametrize("key", PRESETS)
def test_a_preset_says_what_its_server_cannot_tell(key):
    preset = PRESETS[key]
    for sentence in (preset.what, *preset.cannot):
        assert sentence.endswith(".")
    for kind in (OPENMETRICS, PROMETHEUS):
        for one in panels_of(key, "shop-similar", kind):
            if one.not_measurable:
                assert one.not_measurable.endswith(".")
                assert one.failure_mode == "" or kind == OPENMETRICS


@pytest.mark.parametrize("key", sorted(SERVERS - {"mlflow"}))
def test_a_query_serves_all_models_and_names_this_one(key):
    for one in measured(key, PROMETHEUS):
        assert one.spec.get("value", "shop-similar") == "shop-similar"
        if one.lane is not Lane.GPU:
            assert promql.is_shared(one.spec["query"])
            assert one.spec["by"]


def test_a_model_can_have_another_name_at_its_server():
    scraped = panels_of("triton", "shop-similar", OPENMETRICS, name="als_v7")[0]
    assert scraped.spec["labels"] == {"model": "als_v7"}
    assert (
        panels_of("triton", "shop-similar", PROMETHEUS, name="als_v7")[0].spec["value"] == "als_v7"
    )


@pytest.mark.parametrize("key", sorted(SERVERS - {"mlflow", "torchserve"}))
def test_the_error_ratio_of_a_prometheus_has_a_floor_of_traffic(key):
    (errors,) = (one for one in panels_of(key, "m", PROMETHEUS) if one.key == "errors")
    if not errors.not_measurable:
        assert errors.spec["query"].endswith(" > 0.02")
        assert " or 0 * " in errors.spec["query"]
        assert errors.rule.min_rows > 0


def test_latencies_are_shown_in_milliseconds():
    units = {
        key: next(one.spec["scale"] for one in measured(key, OPENMETRICS) if one.key == "p99")
        for key in ("kserve", "triton", "tf-serving", "ray-serve", "vllm", "recommender")
    }
    assert units == {
        "kserve": 1000, "triton": 0.001, "tf-serving": 0.001, "ray-serve": 1, "vllm": 1000,
        "recommender": 1000,
    }  # fmt: skip


def test_latency_drift_is_a_lane_of_its_own():
    for key in ("kserve", "bentoml", "recommender"):
        (drift,) = (one for one in measured(key, OPENMETRICS) if one.lane in DRIFT)
        assert (drift.lane, drift.failure_mode) == (Lane.LATENCY_DRIFT, "latency_regression")


@pytest.mark.parametrize("key", PRESETS)
def test_only_one_latency_opens_incidents(key):
    modes = [
        one.failure_mode
        for one in panels_of(key, "m", OPENMETRICS)
        if one.lane is Lane.LATENCY and one.failure_mode
    ]
    assert len(modes) <= 1


# --- The recommender, scraped


def recommender(seconds, *, bad=0.0, slow=0.0, cached=0.0, rps=20):
    """Its page after some seconds of traffic, of which these shares were not as they should be."""
    total = seconds * rps
    ends = {
        "0.025": total * (1 - slow) * 0.9, "0.1": total * (1 - slow), "0.15": total * (1 - slow),
        "0.25": total, "+Inf": total,
    }  # fmt: skip
    its = 'model="shop-similar",version="v1"'
    took = histogram(
        "recommender_request_duration_seconds", ends, model="shop-similar", version="v1"
    )
    return took + (
        f'recommender_requests_total{{{its},outcome="ok"}} {total * (1 - bad)}\n'
        f'recommender_requests_total{{{its},outcome="error"}} 0\n'
        f'recommender_requests_total{{{its},outcome="invalid"}} {total * bad}\n'
        f'recommender_served_total{{{its},rung="provider"}} {total * (1 - cached)}\n'
        f'recommender_served_total{{{its},rung="cached"}} {total * cached}\n'
        f"recommender_in_flight{{{its}}} 1\n"
    )


def states_of(**fault):
    drafts = panels_of("recommender", "shop-similar", OPENMETRICS)
    scraper = Scraper(NOON)
    specs = [one.spec for one in drafts]
    scraper.scrape(recommender(0), *specs)
    seen = scraper.scrape(recommender(300, **fault), *specs, after=300).observations
    return {
        one.key: judge(seen[number], one.rule, now=NOON + timedelta(seconds=300)).state
        for number, one in enumerate(drafts)
    }


def test_a_recommender_in_health_is_ok_in_all_that_can_be_measured():
    states = states_of()
    unknown = {key for key, state in states.items() if state is LampState.NOT_MEASURABLE}
    assert unknown == {"gpu", "latency-drift"}
    assert {state for key, state in states.items() if key not in unknown} == {LampState.OK}


@pytest.mark.parametrize(
    ("fault", "breached"),
    [
        ({"slow": 0.1}, {"p95", "p99", "over-budget"}),
        ({"cached": 0.9}, {"fallback"}),
        ({"bad": 0.2}, {"errors"}),
    ],
)
def test_a_fault_of_the_recommender_moves_its_own_signal_only(fault, breached):
    states = states_of(**fault)
    assert {key for key, state in states.items() if state is LampState.BREACH} == breached


def test_a_recommender_that_nobody_asks_is_without_traffic():
    states = states_of(rps=0)
    assert states["errors"] is states["p99"] is states["rate"] is LampState.NO_TRAFFIC


# --- Lint

OTEL = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
SPECS = {
    "quantile": {"stat": "quantile", "metric": "took", "q": 0.99, "scale": 1000},
    "query": {
        "query": "histogram_quantile(0.99, sum by (le) (rate(took_bucket[$w])))",
        "scale": 1000,
    },
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_limit_between_two_ends_is_worth_a_warning(spec):
    (warning,) = lint_panel(spec, Rule(above=150), {"took": OTEL}, unit="ms")
    assert warning == (
        "No bucket of took ends at 150 ms. Between 100 ms and 250 ms a quantile is a guess, and so "
        "is whether it is inside the limit."
    )


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_limit_where_a_bucket_ends_is_fine(spec):
    assert lint_panel(spec, Rule(above=250), {"took": OTEL}, unit="ms") == []


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_limit_above_the_last_bucket_is_worth_a_warning(spec):
    (warning,) = lint_panel(spec, Rule(above=20_000), {"took": OTEL}, unit="ms")
    assert warning == (
        "The last bucket of took ends at 10,000 ms: that a quantile is over 20,000 ms can't be seen."
    )


@pytest.mark.parametrize(
    "spec",
    [
        {"stat": "share_over", "metric": "took", "over": 0.15},
        {"query": 'sum(rate(took_bucket{le="0.15"}[$w])) / sum(rate(took_count[$w]))'},
        {"metric": "took", "over": 0.15},
    ],
)
def test_a_share_over_what_is_no_end_is_worth_a_warning(spec):
    (warning,) = lint_panel(spec, Rule(above=1), {"took": OTEL})
    assert warning.startswith("No bucket of took ends at 0.15; the nearest end at 0.1 and 0.25.")
    assert lint_panel(spec, Rule(above=1), {"took": (*OTEL, 0.15)}) == []


def test_what_is_not_known_is_not_warned_of():
    assert lint_panel(SPECS["quantile"], Rule(above=150), {}) == []
    assert lint_panel({"stat": "rate", "metric": "x"}, Rule(above=1), {"x": OTEL}) == []
    assert lint_panel({"not_measurable": "No."}, Rule(above=0), {"x": OTEL}) == []


def test_alerts_that_can_never_fire_are_named():
    (warning,) = lint_objective(Objective(0.9, timedelta(days=28)))
    assert warning == (
        "The page for 2 % of the budget in 1 h can never fire: at 90 % even total failure burns 10 "
        "times as fast as even spending, and it takes 13.44."
    )
    assert lint_objective(Objective(0.999, timedelta(days=28))) == []


def test_every_first_limit_is_a_number():
    for key, kind in ALL:
        for one in panels_of(key, "m", kind):
            assert one.rule.above is not None
            assert math.isfinite(one.rule.above)
