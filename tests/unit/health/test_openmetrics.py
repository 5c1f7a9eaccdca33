import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from app.health.rules import LampState, Rule, judge
from app.health.sources.base import CountWatch, Page, UnreachableError
from app.health.sources.openmetrics import OpenMetrics
from app.health.sources.scraping import exposition
from tests.support.scraping import TEXT, Scraper, histogram

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOTAL = {"metric": "requests_total", "labels": {"model": "shop-similar"}}
RATE = {"stat": "rate", **TOTAL}
RATIO = {"stat": "ratio", **TOTAL, "bad": {"outcome": ["error", "invalid"]}, "scale": 100}
LABELS = {"model": "shop-similar"}
P99 = {"stat": "quantile", "metric": "took_seconds", "labels": LABELS, "q": 0.99, "scale": 1000}
OVER = {"stat": "share_over", "metric": "took_seconds", "labels": LABELS, "over": 0.15}
BUSY = {"stat": "gauge", "metric": "busy", "labels": LABELS}
GAP = {"stat": "distribution_gap", "metric": "took_seconds", "labels": LABELS, "offset": 86_400}
SPECS = (RATE, RATIO, P99, OVER, BUSY, GAP)
NEVER_OUTSIDE = Rule(above=1e300)


@pytest.fixture
def scraper():
    return Scraper(NOON)


def requests(ok, error=None, model="shop-similar"):
    page = f'requests_total{{model="{model}",outcome="ok"}} {ok}\n'
    if error is not None:
        page += f'requests_total{{model="{model}",outcome="error"}} {error}\n'
    return page


def full_window(first, last, *, before=300):
    return [(0, first), (before, last)]


# --- The first look


@pytest.mark.parametrize("spec", [RATE, RATIO])
def test_a_first_scrape_has_no_rate_and_says_so(scraper, spec):
    seen = scraper.watch([(0, requests(100, 0))], spec)
    assert (seen.gap, seen.value) == (LampState.NO_DATA, None)
    assert seen.remark == "one more look is needed"


def test_the_second_scrape_has_a_rate(scraper):
    seen = scraper.watch(full_window(requests(100), requests(400)), RATE)
    assert (seen.value, seen.rows, seen.gap) == (1.0, 300, None)
    assert not seen.is_partial


def test_part_of_a_window_is_partial(scraper):
    seen = scraper.watch([(0, requests(100)), (30, requests(130))], RATE)
    assert (seen.value, seen.is_partial) == (1.0, True)
    assert seen.remark == "only the last 30 s of 300 were seen"


def test_a_panel_that_is_new_waits_even_where_others_have_a_history(scraper):
    scraper.scrape(requests(100, 0), RATE, after=0)
    other = {"stat": "rate", "metric": "requests_total", "labels": {"outcome": "error"}}
    seen = scraper.scrape(requests(200, 90), RATE, other, after=300).observations
    assert seen[0].value == pytest.approx(190 / 300)
    assert seen[1].remark == "one more look is needed"


def test_what_grew_over_much_more_than_a_window_is_partial(scraper):
    seen = scraper.watch([(0, requests(100)), (500, requests(600))], RATE, window=60)
    assert (seen.value, seen.is_partial) == (1.0, True)
    assert seen.remark == "over 500 s and not 60: Baton had not looked between"


def test_after_half_an_hour_in_the_dark_one_more_look_is_needed(scraper):
    pages = [(0, requests(100)), (2000, requests(5000)), (2300, requests(5300))]
    assert scraper.watch(pages[:2], RATE).remark == "one more look is needed"
    assert Scraper(NOON).watch(pages, RATE).rows == 300


# --- Counters


def test_a_counter_that_began_anew_goes_on(scraper):
    pages = [(0, requests(1000)), (100, requests(1060)), (200, requests(40)), (300, requests(90))]
    seen = scraper.watch(pages, RATE)
    assert seen.rows == 60 + 40 + 50


def test_a_total_never_falls_however_often_its_process_restarts(scraper):
    totals = []
    for number, raw in enumerate([5, 9, 2, 2, 3, 0, 1, 10]):
        answer = scraper.scrape(requests(raw), RATE, after=number)
        totals.append(answer.totals.samples['requests_total{model="shop-similar",outcome="ok"}'])
    assert totals == [5, 9, 11, 11, 12, 12, 13, 22]


def test_a_series_that_is_born_begins_at_nought(scraper):
    seen = scraper.watch(full_window(requests(100), requests(190, 10)), RATIO)
    assert (seen.value, seen.rows) == (10.0, 100)


def test_a_series_that_vanished_counts_for_as_long_as_it_is_in_the_window(scraper):
    pages = [(0, requests(0, 0)), (100, requests(90, 10)), (300, requests(100))]
    seen = scraper.watch(pages, RATIO)
    assert seen.value == pytest.approx(100 * 10 / 110)


def test_a_series_that_comes_back_is_not_counted_twice(scraper):
    pages = [(0, requests(0, 50)), (100, requests(10)), (300, requests(20, 55))]
    seen = scraper.watch(pages, {"stat": "rate", **TOTAL})
    assert seen.rows == 20 + 5


def test_a_model_that_vanished_has_no_data(scraper):
    seen = scraper.watch(full_window(requests(100), requests(400, model="other")), RATE)
    assert (seen.gap, seen.remark) == (LampState.NO_DATA, "no such series: requests_total")


def test_no_requests_is_no_traffic(scraper):
    seen = scraper.watch(full_window(requests(100, 1), requests(100, 1)), RATIO)
    assert judge(seen, NEVER_OUTSIDE, now=seen.at).state is LampState.NO_TRAFFIC


def test_a_rate_of_nought_is_below_its_limit_and_a_share_of_nothing_is_not(scraper):
    quiet = full_window(requests(100, 1), requests(100, 1))
    seen = scraper.watch(quiet, {"stat": "rate", **TOTAL})
    assert judge(seen, Rule(below=1), now=seen.at).state is LampState.BREACH
    assert judge(seen, NEVER_OUTSIDE, now=seen.at).state is LampState.NO_TRAFFIC

    share = Scraper(NOON).watch(quiet, RATIO)
    assert judge(share, Rule(below=1), now=share.at).state is LampState.NO_TRAFFIC


def test_failures_that_were_never_counted_are_none_if_requests_are(scraper):
    spec = {"stat": "ratio", **TOTAL, "bad_metric": "errors_total"}
    seen = scraper.watch(full_window(requests(100), requests(200)), spec)
    assert (seen.value, seen.rows) == (0.0, 100)


def test_a_ratio_by_a_label_that_no_series_has_is_not_nought(scraper):
    spec = {"stat": "ratio", **TOTAL, "bad": {"result": "error"}}
    seen = scraper.watch(full_window(requests(100), requests(200)), spec)
    assert (seen.gap, seen.value) == (LampState.NO_DATA, None)
    assert "no series of requests_total has the label result" in seen.remark


def test_all_but_the_good_ones_can_be_bad_and_a_value_may_end_in_a_star(scraper):
    page = 'requests_total{{model="shop-similar",outcome="{}"}} {}\n'
    first = page.format("200", 0) + page.format("500", 0) + page.format("503", 0)
    last = page.format("200", 70) + page.format("500", 20) + page.format("503", 10)
    for which in ({"not_bad": {"outcome": "200"}}, {"bad": {"outcome": "5*"}}):
        seen = Scraper(NOON).watch(full_window(first, last), {"stat": "ratio", **TOTAL, **which})
        assert seen.value == pytest.approx(0.3)


def test_several_counters_are_added_up_and_the_later_ones_may_not_have_begun(scraper):
    spec = {"stat": "ratio", "metric": ["good", "failed"], "bad_metric": "failed"}
    seen = scraper.watch(full_window("good 0\n", "good 30\nfailed 10\n"), spec)
    assert (seen.value, seen.rows) == (0.25, 40)


def test_a_mean_is_one_counter_by_another(scraper):
    spec = {"stat": "mean", "metric": "spent_us", "per": "asked", "scale": 0.001}
    seen = scraper.watch(full_window("spent_us 0\nasked 0\n", "spent_us 9000\nasked 3\n"), spec)
    assert (seen.value, seen.rows) == (3.0, 3)


@pytest.mark.parametrize("odd", ["NaN", "+Inf", "-5", "1e999"])
def test_a_counter_that_is_no_number_makes_the_rest_partial(scraper, odd):
    last = requests(200) + f'requests_total{{model="shop-similar",outcome="error"}} {odd}\n'
    seen = scraper.watch(full_window(requests(100, 0), last), RATIO)
    assert (seen.is_partial, seen.remark) == (True, "a counter is not a number")


def test_two_processes_that_take_turns_are_not_measurable(scraper):
    one, other = "process_start_time_seconds 1000\n", "process_start_time_seconds 2000\n"
    pages = [(0, one + requests(5)), (30, other + requests(900)), (60, one + requests(7))]
    assert scraper.watch(pages, RATE).gap is LampState.NOT_MEASURABLE


def test_a_restart_is_not_two_processes(scraper):
    one, other = "process_start_time_seconds 1000\n", "process_start_time_seconds 2000\n"
    pages = [(0, one + requests(5)), (300, other + requests(2))]
    assert scraper.watch(pages, RATE).rows == 2


# --- Histograms


def took(*, upto_100ms=0, upto_150ms=0, upto_1s=0, over=0):
    """Requests by how long they took, in a histogram with these ends."""
    low, middle, high = upto_100ms, upto_100ms + upto_150ms, upto_100ms + upto_150ms + upto_1s
    counts = {"0.1": low, "0.15": middle, "1.0": high, "+Inf": high + over}
    return histogram("took_seconds", counts, model="shop-similar")


def test_a_quantile_lies_between_the_ends_of_its_bucket(scraper):
    pages = full_window(took(), took(upto_100ms=98, upto_150ms=2))
    seen = scraper.watch(pages, P99)
    assert seen.value == pytest.approx(125.0)
    assert (seen.rows, seen.series) == (100, "p99")


def test_a_quantile_above_the_last_bucket_is_never_ok(scraper):
    seen = scraper.watch(full_window(took(), took(upto_100ms=50, over=50)), P99)
    assert seen.value == 1000.0
    assert judge(seen, Rule(above=5000), now=seen.at).state is LampState.PARTIAL
    assert judge(seen, Rule(above=500), now=seen.at).state is LampState.BREACH


def test_a_share_is_exact_where_a_bucket_ends(scraper):
    pages = full_window(took(), took(upto_100ms=90, upto_150ms=5, upto_1s=5))
    seen = scraper.watch(pages, OVER)
    assert seen.value == pytest.approx(0.05)
    assert not seen.is_partial


def test_a_share_between_two_ends_is_bounded_and_never_ok(scraper):
    pages = full_window(took(), took(upto_100ms=90, upto_150ms=5, upto_1s=5))
    seen = scraper.watch(pages, {**OVER, "over": 0.12})
    assert seen.value == pytest.approx(0.05)
    assert seen.is_partial
    assert seen.remark == "between 5.00% and 10.00%: no bucket ends at 0.12"


def test_a_share_between_two_ends_is_known_if_nothing_lies_there(scraper):
    pages = full_window(took(), took(upto_100ms=90, upto_1s=10))
    seen = scraper.watch(pages, {**OVER, "over": 0.12})
    assert seen.value == pytest.approx(0.1)
    assert not seen.is_partial


def test_histograms_with_other_buckets_are_not_added_up(scraper):
    spec = {**P99, "labels": {}}
    first = histogram("took_seconds", {"0.1": 0, "+Inf": 0}, model="a")
    first += histogram("took_seconds", {"0.5": 0, "+Inf": 0}, model="b")
    seen = scraper.watch(full_window(first, first), spec)
    assert (seen.gap, seen.remark) == (
        LampState.NO_DATA,
        "its histograms do not have the same buckets",
    )


def test_buckets_that_hold_only_their_own_events_are_no_histogram(scraper):
    own = {"0.1": 90, "0.15": 5, "1.0": 3, "+Inf": 2}
    first = histogram("took_seconds", dict.fromkeys(own, 0), model="shop-similar")
    pages = full_window(first, histogram("took_seconds", own, model="shop-similar"))
    for spec in (P99, OVER):
        seen = scraper.watch(pages, spec)
        assert (seen.gap, seen.value) == (LampState.NO_DATA, None)
        assert seen.remark == "its buckets do not hold the events of the ones before them"


def test_buckets_that_were_read_while_requests_went_on_are_a_histogram(scraper):
    read = {"0.1": 900, "0.15": 899, "1.0": 1000, "+Inf": 1000}
    first = histogram("took_seconds", dict.fromkeys(read, 0), model="shop-similar")
    pages = full_window(first, histogram("took_seconds", read, model="shop-similar"))
    assert scraper.watch(pages, OVER).value == pytest.approx(0.1)


def test_a_bucket_that_is_written_in_two_ways_counts_no_event_twice(scraper):
    # 1 and 1.0 together would hold all ten, and the slow half would be gone.
    twice = {"0.1": 4, "1": 5, "1.0": 5, "+Inf": 10}
    first = histogram("took_seconds", dict.fromkeys(twice, 0), model="shop-similar")
    pages = full_window(first, histogram("took_seconds", twice, model="shop-similar"))
    seen = scraper.watch(pages, P99)
    assert (seen.gap, seen.value) == (LampState.NO_DATA, None)


def test_the_ends_of_buckets_are_told(scraper):
    answer = scraper.scrape(took(), P99)
    assert answer.bounds == {"took_seconds": [0.1, 0.15, 1.0]}


def test_the_gap_to_the_time_before_is_that_of_the_distributions(scraper):
    day = 86_400
    pages = [
        (0, took()),
        (3600, took(upto_100ms=90, upto_150ms=10)),
        (day, took(upto_100ms=90, upto_150ms=10)),
        (day + 3600, took(upto_100ms=130, upto_150ms=70)),
    ]
    # Between the days Baton looks too, or it would begin anew.
    for hour in range(2, 24):
        pages.insert(-2, (hour * 3600, took(upto_100ms=90, upto_150ms=10)))
    seen = scraper.watch(pages, GAP, window=3600)
    assert seen.value == pytest.approx(0.5)
    assert seen.rows == 100


def test_before_there_is_a_time_to_compare_with_drift_is_not_measurable(scraper):
    seen = scraper.watch(full_window(took(), took(upto_100ms=9)), GAP)
    assert (seen.gap, seen.remark) == (
        LampState.NOT_MEASURABLE,
        "it takes 1 day of samples",
    )


# --- Gauges


def test_a_gauge_is_the_value_now(scraper):
    page = 'busy{model="shop-similar",pod="a"} 3\nbusy{model="shop-similar",pod="b"} 5\n'
    of = {
        agg: scraper.watch([(0, page)], {**BUSY, "agg": agg}).value for agg in ("sum", "max", "avg")
    }
    assert of == {"sum": 8, "max": 5, "avg": 4}


def test_a_gauge_that_is_not_a_number_has_no_data(scraper):
    seen = scraper.watch([(0, 'busy{model="shop-similar"} NaN\n')], BUSY)
    assert seen.gap is LampState.NO_DATA


def test_one_replica_without_a_number_makes_the_gauge_partial(scraper):
    page = 'busy{model="shop-similar",pod="a"} 3\nbusy{model="shop-similar",pod="b"} NaN\n'
    seen = scraper.watch([(0, page)], BUSY)
    assert (seen.value, seen.is_partial) == (3, True)


def test_a_sample_is_as_old_as_the_page_says(scraper):
    old = NOON - timedelta(hours=1)
    seen = scraper.watch(
        [(0, f'busy{{model="shop-similar"}} 3 {old.timestamp() * 1000:.0f}\n')], BUSY
    )
    assert seen.at == old
    assert judge(seen, NEVER_OUTSIDE, now=NOON).state is LampState.NO_DATA


def test_a_ratio_is_as_old_as_the_older_of_its_counters(scraper):
    old = NOON - timedelta(hours=1)
    spec = {"stat": "ratio", **TOTAL, "bad_metric": "failed_total"}
    failed = f'failed_total{{model="shop-similar"}} 7 {old.timestamp() * 1000:.0f}\n'
    seen = scraper.watch(full_window(requests(100) + failed, requests(400) + failed), spec)
    assert seen.at == old
    assert judge(seen, NEVER_OUTSIDE, now=NOON).state is LampState.NO_DATA


def test_a_time_in_the_future_is_now(scraper):
    page = f'busy{{model="shop-similar"}} 3 {(NOON.timestamp() + 900) * 1000:.0f}\n'
    assert scraper.watch([(0, page)], BUSY).at == NOON


# --- Service levels


def test_events_of_a_service_level_are_running_totals(scraper):
    count = CountWatch(7, "shop-similar", {**TOTAL, "bad": {"outcome": "error"}}, (300,))
    counted = [
        scraper.scrape(page, after=after, counts=[count]).counts[7]
        for after, page in ((0, requests(500, 20)), (30, requests(590, 30)), (60, requests(9, 1)))
    ]
    assert counted == [{0: (0, 0)}, {0: (10, 100)}, {0: (11, 110)}]


def test_events_over_a_latency_are_counted_where_a_bucket_ends(scraper):
    spec = {"metric": "took_seconds", "labels": LABELS, "over": 0.15}
    count = CountWatch(7, "shop-similar", spec, (300,))
    scraper.scrape(took(), counts=[count])
    answer = scraper.scrape(took(upto_100ms=90, upto_1s=10), counts=[count], after=30)
    assert answer.counts[7][0] == pytest.approx((10, 100))


def test_events_over_a_latency_are_not_guessed(scraper):
    spec = {"metric": "took_seconds", "labels": LABELS, "over": 0.12}
    count = CountWatch(7, "shop-similar", spec, (300,))
    scraper.scrape(took(), counts=[count])
    answer = scraper.scrape(took(upto_100ms=90, upto_150ms=10), counts=[count], after=30)
    assert answer.counts == {}
    assert "no bucket of took_seconds_bucket ends at 0.12" in answer.uncounted[7]
    assert answer.uncounted[7] in answer.remarks[0]


def test_a_look_that_found_nothing_loses_no_count(scraper):
    count = CountWatch(7, "shop-similar", {**TOTAL, "bad": {"outcome": "error"}}, (300,))
    for after, page in ((0, requests(0, 0)), (30, requests(90, 10)), (60, "")):
        answer = scraper.scrape(page, after=after, counts=[count])
    assert answer.counts == {}
    answer = scraper.scrape(requests(190, 10), after=90, counts=[count])
    assert answer.counts[7] == {0: (10, 200)}


# --- Pages


@pytest.mark.parametrize(
    ("page", "says"),
    [
        (Page(200, "text/html", b"<!doctype html><p>Sign in</p>"), "a web page"),
        (Page(200, TEXT, b"<html><body>504</body></html>"), "a web page"),
        (Page(500, TEXT, b"requests_total 1\n"), "status 500"),
        (Page(403, TEXT, b""), "refuses"),
        (Page(302, "", b""), "redirect"),
        (Page(200, TEXT, b"not\nmetrics at all\n"), "not a page of metrics"),
        (Page(200, "application/json", b'{"status": "up"}'), "not a page of metrics"),
        (Page(200, "application/vnd.google.protobuf", b"\x0a\x02"), "protocol buffers"),
        (Page(200, exposition.OPENMETRICS, b"requests_total 1\nrequ"), "the end is missing"),
        (Page(200, TEXT, b"a 1\n" * 500_000), "more than 400,000 lines"),
    ],
)
def test_what_is_no_page_of_metrics_is_unreachable(scraper, page, says):
    with pytest.raises(UnreachableError, match=says):
        scraper.scrape(page, RATE)


def test_an_empty_page_has_no_data(scraper):
    assert scraper.scrape("", RATE).observations[0].gap is LampState.NO_DATA


def test_a_line_that_cannot_be_read_makes_its_series_partial(scraper):
    last = requests(200) + 'requests_total{model="shop-similar",outcome="err 5\n'
    seen = scraper.watch(full_window(requests(100), last), RATE)
    assert (seen.is_partial, seen.remark) == (True, "a line of requests_total can't be read")


def test_a_series_that_is_there_twice_makes_it_partial(scraper):
    seen = scraper.watch(full_window(requests(100), requests(200) + requests(300)), RATE)
    assert (seen.rows, seen.is_partial) == (100, True)


def test_only_what_a_panel_needs_is_kept(scraper):
    page = requests(5) + requests(6, model="other") + took(upto_100ms=4) + "up 1\n"
    kept = scraper.scrape(page, RATE).totals.samples
    series = [key for key in kept if not key.startswith("#")]
    assert series == ['requests_total{model="shop-similar",outcome="ok"}']


def test_exemplars_and_times_of_creation_change_nothing(scraper):
    def page(count):
        return (
            "# TYPE requests counter\n"
            f'requests_total{{model="shop-similar",outcome="ok"}} {count} # {{trace_id="a b}}"}} 1.0\n'
            'requests_created{model="shop-similar",outcome="ok"} 1.7e9\n# EOF\n'
        )

    for after, count in ((0, 100), (300, 400)):
        seen = scraper.scrape(page(count), RATE, after=after, kind=exposition.OPENMETRICS)
    assert seen.observations[0].rows == 300


@pytest.mark.parametrize("write", [generate_latest, generate_openmetrics])
def test_lines_are_read_as_prometheus_client_reads_them(write):
    registry = CollectorRegistry()
    counter = Counter("asked", "x", ("model", "why"), registry=registry)
    for value in ('a"b', "c\\d", "e\nf", "", "{},= #", "ä"):
        counter.labels(value, "x").inc(
            1.5, {"trace": "1"} if write is generate_openmetrics else None
        )
    Gauge("busy", "x", registry=registry).set(-math.inf)
    Histogram("took", "x", registry=registry, buckets=(0.1, 5)).observe(0.3)
    written = write(registry)
    page = Page(200, exposition.OPENMETRICS if write is generate_openmetrics else TEXT, written)
    names = {"asked_total", "busy", "took_bucket", "took_sum", "took_count"}
    read = exposition.read(page, names)
    families = text_string_to_metric_families(generate_openmetrics(registry).decode())
    theirs = {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
        if one.name in names
    }
    assert {
        (one.name, tuple(sorted(one.labels.items()))): one.value for one in read.samples
    } == theirs
    assert not read.broken


@given(st.dictionaries(st.sampled_from("abc"), st.text(max_size=8), max_size=3))
def test_a_series_is_read_back_from_its_key(labels):
    assert exposition.series_of(exposition.key_of("x:y", labels)) == ("x:y", labels)


# --- Specs


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_that_works_is_not_refused(spec):
    assert OpenMetrics().why_not(spec) is None


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"stat": "rate"},
        {"stat": "average", "metric": "x"},
        {"stat": "rate", "metric": "no spaces"},
        {"stat": "rate", "metric": []},
        {"stat": "rate", "metric": "x", "labels": {"model": 5}},
        {"stat": "rate", "metric": "x", "labels": {"a": ["x"] * 60, "b": ["y"] * 60}},
        {"stat": "ratio", "metric": "x"},
        {"stat": "ratio", "metric": "x", "bad": {"a": "b"}, "not_bad": {"a": "c"}},
        {"stat": "ratio", "metric": "x", "bad_metric": 7},
        {"stat": "quantile", "metric": "x", "q": 99},
        {"stat": "quantile", "metric": ["x", "y"], "q": 0.9},
        {"stat": "share_over", "metric": "x", "over": "0.15"},
        {"stat": "gauge", "metric": "x", "agg": "median"},
        {"stat": "gauge", "metric": "x", "scale": 0},
        {"stat": "gauge", "metric": "x", "scale": math.nan},
        {"stat": "gauge", "metric": "x", "scale": 10**400},
        {"stat": "mean", "metric": "x"},
        {"stat": "distribution_gap", "metric": "x", "offset": 30 * 86_400},
        {"not_measurable": 5},
    ],
)
def test_a_spec_that_could_not_work_is_refused_in_a_sentence(scraper, spec):
    why = OpenMetrics().why_not(spec)
    assert why is not None
    assert why.endswith(".")
    assert scraper.scrape(requests(1), spec).observations[0].gap is LampState.NOT_MEASURABLE


def test_what_cannot_be_measured_says_why(scraper):
    seen = scraper.scrape("", {"not_measurable": "It keeps no distribution."}).observations[0]
    assert (seen.gap, seen.remark) == (LampState.NOT_MEASURABLE, "It keeps no distribution.")


# --- No payload breaks it, and none is good news


NAMES = ["requests_total", "took_seconds_bucket", "took_seconds_count", "busy", "other", "# TYPE"]
VALUES = ["0", "1", "7", "1e308", "NaN", "+Inf", "-Inf", "-1", "1_0", "x", "", "1 1700000000000"]
words = st.sampled_from(["shop-similar", "ok", "error", "0.1", "+Inf", "NaN", "-1", "1e-400", ""])
label = st.builds('{}="{}"'.format, st.sampled_from(["model", "outcome", "le", "quantile"]), words)
lines = st.one_of(
    st.builds(
        lambda name, labels, value, more: f"{name}{{{','.join(labels)}}} {value}{more}",
        st.sampled_from(NAMES), st.lists(label, max_size=3), st.sampled_from(VALUES),
        st.sampled_from(["", " # {a=\"b\"} 1", " 99999999999999999999", ' "', "\r"]),
    ),
    st.text(max_size=20),
    st.sampled_from(["# EOF", "<html>", '{"requests_total","a"="b"} 5', "requests_total{"]),
)  # fmt: skip
pages = st.one_of(
    st.builds(
        Page,
        st.sampled_from([200, 200, 200, 204, 301, 404, 503]),
        st.sampled_from([TEXT, exposition.OPENMETRICS, "text/html", ""]),
        st.one_of(
            st.lists(lines, max_size=8).map(lambda each: "\n".join(each).encode()),
            st.binary(max_size=60),
        ),
    ),
    st.lists(lines, max_size=8).map(
        lambda each: Page(200, exposition.OPENMETRICS, "\n".join([*each, "# EOF\n"]).encode())
    ),
)
COUNTS = (
    CountWatch(1, "m", {**TOTAL, "bad": {"outcome": "error"}}, (300,)),
    CountWatch(2, "m", {"metric": "took_seconds", "over": 0.1}, (300,)),
)


@given(st.lists(pages, min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_no_page_breaks_it_or_is_good_news_without_a_number(written):
    scraper = Scraper(NOON)
    for number, page in enumerate(written):
        try:
            answer = scraper.scrape(page, *SPECS, after=300 * number, counts=COUNTS)
        except UnreachableError:
            continue
        for seen in answer.observations.values():
            now = NOON + timedelta(seconds=300 * number)
            if judge(seen, NEVER_OUTSIDE, now=now).state is LampState.OK:
                assert seen.value is not None
                assert math.isfinite(seen.value)
                assert seen.rows is None or seen.rows > 0
        for bad, total in (count[0] for count in answer.counts.values()):
            assert 0 <= bad <= total * (1 + 1e-9)


without = st.sampled_from(["busy_too", "requests", "took_seconds_sum", "took_seconds_created"])


@given(
    st.lists(
        st.lists(st.builds('{}{{model="shop-similar"}} {}'.format, without, st.integers(0, 9)))
    )
)
@settings(deadline=None)
def test_a_page_without_the_series_is_never_ok(written):
    scraper = Scraper(NOON)
    specs = [P99, OVER, BUSY, GAP]
    for number, each in enumerate(written):
        answer = scraper.scrape("\n".join([*each, ""]), *specs, after=300 * number)
        assert {seen.gap for seen in answer.observations.values()} == {LampState.NO_DATA}


@given(st.text(alphabet='r{}="\\,# \t1e+.', max_size=400))
@settings(deadline=None)
def test_no_line_takes_longer_than_its_length(text):
    page = Page(200, TEXT, ("requests_total" + text * 20 + "\nup 1\n").encode())
    assert exposition.read(page, {"requests_total"}) is not None
