import json
import math
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.health.rules import LampState, Lane, Rule, judge
from app.health.slo_rules import WINDOWS
from app.health.sources.base import CountWatch, Page, UnreachableError, Watch
from app.health.sources.prometheus import Prometheus, clamped_step, range_query
from app.health.sources.querying import promql
from app.health.sources.querying.api import bounds_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT = NOON.timestamp()
QUERY = "sum by ($by) (rate(requests_total[$w]))"
ROWS = "sum by ($by) (increase(requests_total[$w]))"
SHARED = {"query": QUERY, "by": "model"}
WITH_ROWS = {**SHARED, "rows": ROWS}
ASKED = "sum by (model) (rate(requests_total[300s]))"
ASKED_ROWS = "sum by (model) (increase(requests_total[300s]))"
NEVER_OUTSIDE = Rule(above=1e300)


class FakePrometheus:
    """Answers queries with what it was told; anything else has no series."""

    def __init__(self, **answers):
        self.answers = {}
        self.asked = []
        self.always = None

    def __call__(self, path="", *, form=None, accept="application/json"):
        self.asked.append((path, dict(form)))
        said = self.always if self.always is not None else self.answers.get(form["query"], [])
        if isinstance(said, list) and said and isinstance(said[0], Page | Exception):
            said = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Page) else success(said)

    def read(self, *specs, counts=(), models=("shop-similar",) * 9):
        watches = [
            Watch(number, models[number], Lane.OTHER, spec, 300)
            for number, spec in enumerate(specs)
        ]
        return Prometheus().read(watches, counts, self, lambda _: None, options={}, now=NOON)

    def see(self, spec=SHARED):
        return self.read(spec).observations[0]


def vector(*values, at=AT, label="model"):
    return [{"metric": {label: model}, "value": [at, value]} for model, value in values]


def success(result, kind="vector", **more):
    data = {"resultType": kind, "result": result}
    return page({"status": "success", "data": data, **more})


def page(said, status=200):
    return Page(status, "application/json", json.dumps(said).encode())


def refusal(kind, status, error="why"):
    return page({"status": "error", "errorType": kind, "error": error}, status)


@pytest.fixture
def prometheus():
    return FakePrometheus()


# --- Queries


def test_one_query_answers_for_all_models_of_a_template(prometheus):
    prometheus.answers[ASKED] = vector(("a", "1.5"), ("b", "2.5"))
    seen = prometheus.read(SHARED, SHARED, SHARED, models=("a", "b", "c")).observations
    assert [seen[panel].value for panel in range(3)] == [1.5, 2.5, None]
    assert seen[2].gap is LampState.NO_DATA
    assert prometheus.asked == [("api/v1/query", {"query": ASKED})]


def test_a_query_without_the_label_is_asked_for_its_own_model(prometheus):
    spec = {"query": 'sum(rate(requests_total{model="$m"}[$w]))', "value": 'a"\\'}
    prometheus.answers['sum(rate(requests_total{model="a\\"\\\\"}[300s]))'] = vector(("", "4"))
    assert prometheus.see(spec).value == 4


def test_the_value_is_scaled_and_the_rows_are_not(prometheus):
    prometheus.answers = {
        ASKED: vector(("shop-similar", "0.2")), ASKED_ROWS: vector(("shop-similar", "60")),
    }  # fmt: skip
    seen = prometheus.see({**WITH_ROWS, "scale": 1000})
    assert (seen.value, seen.rows, seen.at) == (200, 60, NOON)


def test_a_scalar_is_a_value(prometheus):
    prometheus.always = success([AT, "7"], kind="scalar")
    assert prometheus.see({"query": "scalar(x)"}).value == 7


# --- What is not good news


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "x", "", None, 10**400])
def test_what_is_not_a_number_has_no_data(prometheus, value):
    prometheus.answers[ASKED] = vector(("shop-similar", value))
    assert prometheus.see().gap is LampState.NO_DATA


def test_no_series_is_not_nought(prometheus):
    seen = prometheus.see()
    assert (seen.value, seen.gap) == (None, LampState.NO_DATA)
    assert seen.remark == "no series with model=shop-similar"


def test_no_requests_is_no_traffic_though_there_is_no_value(prometheus):
    prometheus.answers[ASKED_ROWS] = vector(("shop-similar", "0"))
    assert prometheus.see(WITH_ROWS).gap is LampState.NO_TRAFFIC


def test_a_rate_of_nought_is_below_its_limit_and_a_share_of_nothing_is_not(prometheus):
    prometheus.answers[ASKED] = vector(("shop-similar", "0"))
    prometheus.answers[ASKED_ROWS] = vector(("shop-similar", "0"))
    seen = prometheus.see(WITH_ROWS)
    assert (seen.value, seen.rows, seen.gap) == (0, 0, None)
    assert judge(seen, Rule(below=1), now=NOON).state is LampState.BREACH
    assert judge(seen, NEVER_OUTSIDE, now=NOON).state is LampState.NO_TRAFFIC

    prometheus.answers[ASKED] = vector(("shop-similar", "NaN"))
    seen = prometheus.see(WITH_ROWS)
    assert judge(seen, Rule(below=1), now=NOON).state is LampState.NO_TRAFFIC


def test_a_value_that_is_missing_despite_requests_says_so(prometheus):
    prometheus.answers[ASKED_ROWS] = vector(("shop-similar", "12"))
    seen = prometheus.see(WITH_ROWS)
    assert seen.gap is LampState.NO_DATA
    assert seen.remark.endswith("though there were 12 requests")


def test_a_comparison_with_a_time_before_the_first_sample_is_not_measurable(prometheus):
    then = {**WITH_ROWS, "query": f"{QUERY} - {QUERY} offset 7d"}
    assert prometheus.see(then).gap is LampState.NO_DATA  # nothing is there at all

    prometheus.answers[ASKED_ROWS] = vector(("shop-similar", "12"))
    seen = prometheus.see(then)
    assert seen.gap is LampState.NOT_MEASURABLE
    assert seen.remark == "there are no samples yet of the time that it is compared with"


def test_a_value_without_the_rows_that_were_asked_for_is_never_ok(prometheus):
    prometheus.answers[ASKED] = vector(("shop-similar", "1"))
    seen = prometheus.see(WITH_ROWS)
    assert judge(seen, NEVER_OUTSIDE, now=NOON).state is LampState.PARTIAL


def test_a_warning_makes_it_partial_and_a_breach_stays_one(prometheus):
    prometheus.always = success(
        vector(("shop-similar", "9")), warnings=["store  gateway-2 is\nunreachable."]
    )
    seen = prometheus.see()
    assert seen.remark == "Prometheus warns: store gateway-2 is unreachable"
    assert judge(seen, NEVER_OUTSIDE, now=NOON).state is LampState.PARTIAL
    assert judge(seen, Rule(above=5), now=NOON).state is LampState.BREACH


def test_advice_to_authors_is_no_warning(prometheus):
    prometheus.always = success(vector(("shop-similar", "9")), infos=["might not be a counter"])
    assert judge(prometheus.see(), NEVER_OUTSIDE, now=NOON).state is LampState.OK


def test_several_series_of_a_model_are_not_one(prometheus):
    prometheus.answers[ASKED] = vector(("shop-similar", "1"), ("shop-similar", "2"))
    seen = prometheus.see()
    assert seen.gap is LampState.NO_DATA
    assert "gives 2 series for this model: aggregate them" in seen.remark


def test_a_native_histogram_is_not_a_number(prometheus):
    series = {"metric": {"model": "shop-similar"}, "histogram": [AT, {"count": "9"}]}
    prometheus.answers[ASKED] = [series]
    assert "native histogram" in prometheus.see().remark


def test_an_old_sample_is_too_old(prometheus):
    prometheus.answers[ASKED] = vector(("shop-similar", "1"), at=AT - 3600)
    seen = prometheus.see()
    assert judge(seen, NEVER_OUTSIDE, now=NOON).state is LampState.NO_DATA


@pytest.mark.parametrize(
    ("query", "asks"),
    [
        ("up", "timestamp(up)"),
        (" job:x:sum {a=\"}\", b=~'c{'} ", "timestamp(job:x:sum {a=\"}\", b=~'c{'})"),
        ("max by ($by) (busy)", "max by ($by) (timestamp(busy))"),
        ("avg(busy{a='b'})", "max (timestamp(busy{a='b'}))"),
        ("sum(x) / sum(y)", None),
        ("sum(rate(x[5m]))", None),
        ("x[5m]", None),
        ("x offset 1h", None),
        ("scalar(x)", None),
        ("quantile(0.5, x)", None),
        ("7", None),
        (QUERY, None),
    ],
)
def test_only_samples_as_they_are_have_a_time_to_ask_for(query, asks):
    assert promql.when_sampled(query) == asks


def test_a_series_that_stopped_is_as_old_as_its_newest_sample(prometheus):
    busy = {"query": "max by ($by) (busy)", "by": "model"}
    prometheus.answers = {
        "max by (model) (busy)": vector(("a", "1"), ("b", "2"), ("c", "3")),
        "max by (model) (timestamp(busy))": vector(("a", str(AT - 240)), ("b", str(AT + 9))),
    }
    seen = prometheus.read(busy, busy, busy, models=("a", "b", "c")).observations
    assert [NOON - seen[panel].at for panel in range(3)] == [
        timedelta(minutes=4), timedelta(0), timedelta(0),
    ]  # fmt: skip
    assert [seen[panel].value for panel in range(3)] == [1, 2, 3]
    assert len(prometheus.asked) == 2
    recent = Rule(above=9, stale_after=timedelta(minutes=2))
    assert judge(seen[0], recent, now=NOON).state is LampState.NO_DATA


# --- Errors


@pytest.mark.parametrize(
    "trouble",
    [refusal("timeout", 503), refusal("unavailable", 503), Page(503, "text/html", b"<html>")],
)
def test_a_query_that_took_too_long_is_asked_once_more(prometheus, trouble):
    prometheus.answers[ASKED] = [trouble, success(vector(("shop-similar", "3")))]
    assert prometheus.see().value == 3
    assert len(prometheus.asked) == 2


def test_a_source_that_is_busy_twice_is_unreachable(prometheus):
    prometheus.always = refusal("timeout", 503)
    with pytest.raises(UnreachableError, match="did not end in time"):
        prometheus.see()
    assert len(prometheus.asked) == 2


@pytest.mark.parametrize(("kind", "status"), [("bad_data", 400), ("execution", 422)])
def test_a_query_that_is_refused_takes_no_other_panel_with_it(prometheus, kind, status):
    prometheus.answers["many"] = refusal(kind, status, "many-to-many matching")
    prometheus.answers[ASKED] = vector(("shop-similar", "3"))
    seen = prometheus.read({"query": "many"}, SHARED).observations
    assert (seen[0].gap, seen[1].value) == (LampState.NO_DATA, 3)
    assert seen[0].remark == "Prometheus refuses the query (many-to-many matching)"
    assert len(prometheus.asked) == 2


def test_one_heavy_query_does_not_make_the_source_unreachable(prometheus):
    prometheus.answers = {ASKED: vector(("shop-similar", "3")), "heavy": UnreachableError("Late.")}
    seen = prometheus.read(SHARED, {"query": "heavy"}).observations
    assert (seen[0].value, seen[1].gap) == (3, LampState.UNREACHABLE)


def test_a_source_that_stopped_answering_is_not_asked_on_and_on(prometheus):
    prometheus.answers = {f"q{number}": UnreachableError("Late.") for number in range(8)}
    prometheus.answers[ASKED] = vector(("shop-similar", "3"))
    specs = [SHARED, *({"query": f"q{number}"} for number in range(8))]
    seen = prometheus.read(*specs).observations
    assert len(prometheus.asked) == 3
    assert {seen[panel].gap for panel in range(1, 9)} == {LampState.UNREACHABLE}


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (Page(200, "text/html", b"<html>Sign in</html>"), "a web page"),
        (Page(502, "text/html", b"<html>Bad gateway</html>"), "status 502"),
        (Page(200, "text/plain", b"ok"), "does not come from a Prometheus"),
        (Page(200, "application/json", b"[1]"), "does not come from a Prometheus"),
        (Page(200, "application/json", b"[" * 100_000), "does not come from a Prometheus"),
        (Page(401, "text/plain", b"Unauthorized"), "refuses to answer"),
        (Page(302, "", b""), "redirect"),
        (page({"status": "success", "data": None}), "nothing in it"),
        (page({"status": "success", "data": {"resultType": "vector"}}), "can't be read"),
        (success([5]), "can't be read"),
    ],
)
def test_what_is_no_answer_is_unreachable(prometheus, said, says):
    prometheus.always = said
    with pytest.raises(UnreachableError, match=says):
        prometheus.see()


# --- Charts


def test_a_chart_has_no_point_where_there_is_no_number():
    values = [[AT, "1"], [AT + 15, "NaN"], [AT + 30, "3"]]
    other = {"metric": {"model": "other"}, "values": [[AT, "9"]]}
    prometheus = FakePrometheus()
    series = {"metric": {"model": "shop-similar"}, "values": values}
    prometheus.always = success([other, series], kind="matrix")
    points = range_query(
        prometheus, ASKED, NOON, NOON + timedelta(hours=1), 15, by="model", value="shop-similar"
    )
    assert [value for _, value in points] == [1, None, 3]
    assert points[0][0] == NOON
    assert prometheus.asked[0][1]["step"] == "15.000"


@given(st.integers(0, 400 * 86_400), st.floats(0, 1000, allow_nan=False, allow_infinity=False))
def test_a_step_is_never_finer_than_prometheus_allows(seconds, step):
    clamped = clamped_step(NOON, NOON + timedelta(seconds=seconds), step)
    assert clamped >= step
    assert math.floor(seconds / clamped) + 1 <= 11_000


def test_a_refused_chart_says_why():
    prometheus = FakePrometheus()
    prometheus.always = refusal("bad_data", 400, "parse error")
    with pytest.raises(UnreachableError, match=r"There is no chart: .*parse error"):
        range_query(prometheus, "x(", NOON, NOON, 15)


def test_the_ends_of_buckets_are_asked_for(prometheus):
    prometheus.answers["count by (le) (took_seconds_bucket)"] = vector(
        ("0.1", "3"), ("+Inf", "3"), ("0.025", "3"), label="le"
    )
    assert bounds_of(prometheus, "took_seconds") == [0.025, 0.1]


# --- Service levels


EVENTS = {
    "bad": 'sum by ($by) (increase(requests_total{outcome!="ok"}[$w]))',
    "total": "sum by ($by) (increase(requests_total[$w]))",
    "by": "model",
}


def count_of(spec, windows=(300, 3600)):
    return CountWatch(7, "shop-similar", spec, windows)


def filled(name, window):
    return promql.filled(EVENTS[name], window=window, by="model")


def test_events_are_counted_over_each_window(prometheus):
    for window, bad, total in ((300, "1", "40"), (3600, "5.5", "500")):
        prometheus.answers[filled("bad", window)] = vector(("shop-similar", bad))
        prometheus.answers[filled("total", window)] = vector(("shop-similar", total))
    assert prometheus.read(counts=[count_of(EVENTS)]).counts == {
        7: {300: (1, 40), 3600: (5.5, 500)}
    }


def test_a_window_without_a_total_is_not_measured(prometheus):
    prometheus.answers[filled("total", 300)] = vector(("shop-similar", "40"))
    assert prometheus.read(counts=[count_of(EVENTS)]).counts == {7: {300: (0, 40)}}


def test_bad_events_that_are_not_a_number_are_not_nought(prometheus):
    prometheus.answers[filled("total", 300)] = vector(("shop-similar", "40"))
    prometheus.answers[filled("bad", 300)] = vector(("shop-similar", "NaN"))
    answer = prometheus.read(counts=[count_of(EVENTS)])
    assert answer.counts == {}
    why = "Its bad events over 5m can't be counted: the value is not a number."
    assert answer.uncounted == {7: why}
    assert answer.remarks == [f"A service level of shop-similar: {why}"]


def test_a_window_that_takes_too_long_is_told_and_the_others_are_counted(prometheus):
    for name in ("bad", "total"):
        prometheus.answers[filled(name, 300)] = vector(("shop-similar", "4"))
    prometheus.answers[filled("total", 3600)] = UnreachableError("It took too long.")
    answer = prometheus.read(counts=[count_of(EVENTS)])
    assert answer.counts == {7: {300: (4, 4)}}
    assert answer.uncounted == {7: "Its total events over 1h can't be counted: It took too long."}


@pytest.mark.parametrize(
    "spec", [{"recorded": "sloth", "service": "a", "slo": "b"}, {"recorded": "pyrra", "slo": "b"}]
)
def test_ratios_that_nobody_records_are_told(prometheus, spec):
    answer = prometheus.read(counts=[count_of(spec)])
    assert f"no series of {spec['recorded']}" in answer.uncounted[7]


SECONDS = [int(window.total_seconds()) for window in WINDOWS] + [30 * 86_400]


def test_ratios_that_sloth_recorded_are_read_and_not_recomputed(prometheus):
    spec = {"recorded": "sloth", "service": "shop", "slo": "availability"}
    names = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
    prometheus.always = success(
        [
            {
                "metric": {
                    "__name__": f"slo:sli_error:ratio_rate{name}",
                    "sloth_slo": "availability",
                },
                "value": [AT, f"0.{number}"],
            }
            for number, name in enumerate(names)
        ]
    )
    counts = prometheus.read(counts=[count_of(spec, SECONDS)]).counts[7]
    assert counts == {
        window: (pytest.approx(number / 10), 1.0) for number, window in enumerate(SECONDS)
    }
    assert len(prometheus.asked) == 1
    assert 'sloth_service="shop",sloth_slo="availability"' in prometheus.asked[0][1]["query"]


def test_ratios_that_pyrra_recorded_are_read_with_the_total_of_a_query(prometheus):
    spec = {"recorded": "pyrra", "slo": "http-errors", "total": "sum(increase(http_total[$w]))"}
    recorded = [
        {"metric": {"__name__": f"http_requests:burnrate{name}"}, "value": [AT, "0.25"]}
        for name in ("5m", "1h", "4d")
    ]
    prometheus.answers['{__name__=~".+:burnrate.+",slo="http-errors"}'] = recorded
    prometheus.answers["sum(increase(http_total[300s]))"] = vector(("", "80"))
    assert prometheus.read(counts=[count_of(spec)]).counts == {7: {300: (20, 80)}}


# --- Specs


@pytest.mark.parametrize(
    "query",
    [
        QUERY,
        "histogram_quantile(0.99, sum by (le, $by) (rate(x_bucket[$w])))",
        'max by (pod) (x{quantile="0.99"}) / 1e6',
        'sum(x) / max(y{quantile="0.5"})',
        "quantile_over_time(0.9, x[$w])",
        "sum by (quantile) (x)",
    ],
)
def test_a_query_that_works_is_not_refused(query):
    assert Prometheus().why_not({"query": query, "by": "model"}) is None


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({}, "Give a query"),
        ({"query": " "}, "Give a query"),
        ({"query": 5}, "Give a query"),
        ({"query": "sum(x"}, "not closed"),
        ({"query": 'x{a="}'}, "not closed"),
        ({"query": "x[$window]"}, r"\$window stands for nothing"),
        ({"query": "sum by ($by) (x{model='$m'})", "by": "model"}, "not both"),
        ({"query": QUERY}, "Name the label"),
        ({"query": QUERY, "by": "a b"}, "Name the label"),
        ({"query": QUERY, "by": "model", "rows": "sum(x)"}, r"all queries hold \$by"),
        ({"query": "avg(histogram_quantile(0.99, x))"}, "can't be averaged"),
        ({"query": "avg by (a) (max(x{quantile='0.99'}))"}, "can't be averaged"),
        ({"query": "sum without (pod) (x{quantile='0.99'})"}, "can't be averaged"),
        ({"query": "x", "scale": 0}, "scale"),
        ({"query": "x", "value": 5}, "text"),
        ({"query": "x" * 9000}, "at most"),
    ],
)
def test_a_spec_that_could_not_work_is_refused_in_a_sentence(prometheus, spec, says):
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(Prometheus().why_not(spec))
    assert prometheus.see(spec).gap is LampState.NOT_MEASURABLE


@pytest.mark.parametrize(
    "spec",
    [
        {"bad": "x"},
        {"recorded": "other", "slo": "a"},
        {"recorded": "sloth", "slo": "a"},
        {"recorded": "pyrra", "slo": 'a"} or vector(1) or x{a="'},
    ],
)
def test_a_service_level_that_could_not_be_counted_is_refused(prometheus, spec):
    assert Prometheus().why_not_counts(spec).endswith(".")
    assert "can't be counted" in prometheus.read(counts=[count_of(spec)]).remarks[0]


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(300, "5m"), (5400, "1h30m"), (86_400, "1d"), (28 * 86_400, "4w"), (30 * 86_400, "30d")],
)
def test_windows_are_written_as_in_recorded_series(seconds, written):
    assert promql.duration(seconds) == written


# --- No payload breaks it, and none is good news


anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
        st.sampled_from(["NaN", "+Inf", "1", "shop-similar", "vector", "success", 10**400]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["metric", "value", "values", "histogram", "model", "result"]), inner
        ),
    ),
    max_leaves=12,
)  # fmt: skip
series = st.fixed_dictionaries(
    {},
    optional={
        "metric": st.one_of(st.just({"model": "shop-similar"}), anything),
        "value": st.one_of(st.tuples(st.just(AT), st.sampled_from(["1", "NaN", "0"])), anything),
        "values": anything,
        "histogram": anything,
    },
)
answers = st.one_of(
    st.builds(
        lambda kind, result, more, status: page(
            {"status": "success", "data": {"resultType": kind, "result": result}, **more}, status
        ),
        st.sampled_from(["vector", "vector", "matrix", "scalar", "string", None]),
        st.one_of(st.lists(series, max_size=3), anything),
        st.dictionaries(st.sampled_from(["warnings", "infos", "error"]), anything, max_size=2),
        st.sampled_from([200, 200, 200, 500]),
    ),
    st.builds(
        lambda kind, error, status: page(
            {"status": "error", "errorType": kind, "error": error}, status
        ),
        st.one_of(st.sampled_from(["timeout", "bad_data", "unavailable"]), anything),
        anything,
        st.sampled_from([200, 400, 422, 503]),
    ),
    st.builds(page, anything),
    st.builds(Page, st.sampled_from([200, 204, 404, 500, 503]), st.just("text/html"), st.binary()),
)
SPECS = (
    SHARED,
    WITH_ROWS,
    {"query": "scalar(x)"},
    {"query": "busy", "by": "model"},
    {"query": "y", "rows": "z", "scale": 1e6},
)
LEVELS = (count_of(EVENTS), count_of({"recorded": "pyrra", "slo": "a"}))


@given(st.lists(answers, min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_no_answer_breaks_it_or_is_good_news_without_a_number(said):
    prometheus = FakePrometheus()
    prometheus.always = list(said)
    try:
        answer = prometheus.read(*SPECS, counts=LEVELS)
    except UnreachableError:
        return
    for seen in answer.observations.values():
        if judge(seen, NEVER_OUTSIDE, now=NOON).state is LampState.OK:
            assert seen.value is not None
            assert math.isfinite(seen.value)
            assert seen.rows is None or seen.rows > 0
    for counted in answer.counts.values():
        assert all(0 <= bad <= total for bad, total in counted.values())


@given(st.lists(series, max_size=4))
@settings(deadline=None)
def test_an_answer_without_the_model_is_never_ok(said):
    others = [{**one, "metric": {"model": "other"}} for one in said if isinstance(one, dict)]
    prometheus = FakePrometheus()
    prometheus.always = success(others)
    assert prometheus.see().gap is LampState.NO_DATA


def test_every_address_is_below_the_url_of_the_source(prometheus):
    prometheus.see()
    assert all(
        not urlsplit(path).netloc and not path.startswith("/") for path, _ in prometheus.asked
    )
