"""The health page of a model, and its card on the model's page."""

import re
from datetime import date, timedelta

import pytest

from app.core.clock import now
from app.core.db import db
from app.health import drift_lanes, history, standing
from app.health.rules import LampState, Lane
from app.health.slo_rules import WINDOWS
from app.health.tables import ReadingHour, SloCount
from app.health.views import of_model
from app.people.rules import Role
from tests.support import factories

HTMX = {"HX-Request": "true"}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def model(app):
    return factories.model("recsys-home", owner=factories.team("serving", name="Serving"))


@pytest.fixture
def reader(signed_in):
    return signed_in(Role.VIEWER)


@pytest.fixture
def moment():
    return now().replace(microsecond=0)


def show(reader, part=""):
    path = "/models/recsys-home/health" + (f"/part/{part}" if part else "")
    return reader.get(path, headers=HTMX if part else {})


def panel(model, lane=Lane.LATENCY, state=LampState.OK, value=200.0, *, at=None, **more):
    """A panel with its lamp."""
    at = at or now()
    lamp = {name: more.pop(name) for name in ("rows", "remark", "newest_at") if name in more}
    made = factories.panel(model, lane, created_at=at - HOUR, **more)
    factories.lamp(made, state, value=value, at=at, **lamp)
    return made


def counts(bad, total, days=28):
    return {str(int(window.total_seconds())): [bad, total] for window in (*WINDOWS, days * DAY)}


def burning(bad, total, spent, days=28):
    """Counts that burn in all short windows, and what is spent of the whole one."""
    return counts(bad, total, days) | {str(int((days * DAY).total_seconds())): spent}


def text_of(reply):
    return re.sub(r" ([,.])", r"\1", re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", reply.text)))


# --- Where it stands


def test_health_is_the_first_tab_after_the_overview_and_its_first_card(reader, model):
    page = reader.get("/models/recsys-home").text

    tabs = re.findall(r"<a href=\"[^\"]*\"[^>]*>([^<]+)</a>", page.split('class="tabs"')[1])
    assert tabs[:2] == ["Overview", "Health"]
    assert (
        re.findall(r'hx-get="([^"]*)" hx-trigger="load"', page)[0] == "/models/recsys-home/health"
    )
    assert "css/pages/health.css" in page


def test_a_model_that_nobody_watches_says_so_and_offers_to_begin(reader, model):
    page = text_of(show(reader))

    assert "Nobody watches recsys-home yet" in page
    assert "Latency SLO" not in page


def test_an_unknown_model_is_not_found(reader, app):
    assert reader.get("/models/nobody/health").status_code == 404


# --- The card on the model's page


def test_the_card_shows_the_worst_lamp_of_each_lane_worst_first(reader, model):
    panel(model, Lane.LATENCY, title="p99 latency")
    panel(model, Lane.LATENCY, LampState.BREACH, 612.0, title="p95 latency")
    panel(model, Lane.ERRORS, LampState.UNREACHABLE, None, title="Errors")
    panel(model, Lane.THROUGHPUT, title="Requests", unit="rps")

    card = reader.get("/models/recsys-home/health", headers=HTMX).text

    lanes = re.findall(r'<th scope="row">([^<]+)', card)
    assert lanes == ["Latency", "Errors", "Throughput"]
    assert "p95 latency" in card
    assert "612 / 250 ms" in card
    assert "4 panels" in card
    assert "<html" not in card


def test_the_card_says_what_is_left_of_the_error_budget(reader, model, moment):
    factories.slo(model, counts=counts(310, 50_000), looked_at=moment)

    card = text_of(reader.get("/models/recsys-home/health", headers=HTMX))

    assert "38 % left" in card


# --- Service level


def test_the_worst_latency_is_large_and_the_other_percentiles_stand_beside_it(reader, model):
    panel(model, Lane.LATENCY, LampState.BREACH, 612.0, title="p99 latency", spec={"q": 0.99})
    panel(model, Lane.LATENCY, value=48.0, title="p50 latency", spec={"q": 0.5})
    panel(model, Lane.LATENCY, value=180.0, title="p95 latency", spec={"q": 0.95})

    page = text_of(show(reader, "levels"))

    assert re.search(r"p99 latency, 5 min 612 ms, limit 250 p95 180 ms p50 48 ms", page)
    assert "The worst of 3 panels. The other 2" in page


def test_a_lamp_that_is_blind_shows_no_old_figure(reader, model, moment):
    panel(model, state=LampState.UNREACHABLE, value=200.0, remark="serving:9000 does not answer")

    page = text_of(show(reader, "levels"))

    assert "Unreachable" in page
    assert "200 ms" not in page


def test_a_lamp_without_a_new_sample_is_doubted_although_it_was_ok(reader, model, moment):
    panel(model, at=moment - HOUR)

    page = show(reader, "levels").text

    assert 'data-state="no_data"' in page
    assert 'data-state="ok"' not in page


def test_the_chart_breaks_where_nobody_saw_and_says_it_in_a_sentence(reader, model, moment):
    made = panel(model, at=moment)
    dark = [LampState.UNREACHABLE] * 10
    factories.readings(made, [200.0] * 20 + dark + [210.0] * 5, until=moment)

    page = show(reader, "levels").text

    assert 'class="gap"' in page
    sentence = re.search(r'aria-label="(p99 latency over[^"]*)"', page)[1]
    assert sentence.startswith("p99 latency over the last hour, between 200 and 210 ms, now 200 ms")
    assert "not seen for 11 min" in sentence


def test_no_traffic_is_a_gap_and_not_blindness(reader, model, moment):
    made = panel(model, state=LampState.NO_TRAFFIC, at=moment, newest_at=moment - HOUR / 2)
    quiet = [LampState.NO_TRAFFIC] * 30
    factories.readings(made, [200.0] * 20 + quiet, until=moment)

    page = show(reader, "levels").text

    assert 'class="ln"' in page
    assert 'class="gap"' not in page


def test_the_error_budget_counts_down_and_says_when_it_is_gone(reader, model, moment):
    factories.slo(model, counts=counts(310, 50_000), looked_at=moment)
    panel(model)

    page = text_of(show(reader, "levels"))

    assert "Left of 28 days 38 %" in page
    assert "1 h 0.6× 6 h 0.6× 3 d 0.6×" in page
    assert "At the last hour’s pace it is gone in 17 d 3 h." in page
    assert "Not burning" in page


@pytest.mark.parametrize(
    ("ratio", "tones"),
    [
        (0.005, [None, None, None]),
        (0.0095, [None, None, "warn"]),  # 3 d: over 0.933
        (0.057, [None, "bad", "warn"]),  # 6 h: over 5.6
        (0.136, ["bad", "bad", "warn"]),  # 1 h: over 13.44
    ],
)
def test_a_burn_rate_has_a_tone_from_its_exact_factor_on(reader, model, moment, ratio, tones):
    factories.slo(model, counts=counts(ratio * 10_000, 10_000), looked_at=moment)
    panel(model)

    page = show(reader, "levels").text

    found = re.findall(r"<dt>(?:1 h|6 h|3 d)</dt><dd class=\"(?:t-(\w+) b)?\">", page)
    assert [tone or None for tone in found] == tones


def test_too_few_events_judge_no_burn(reader, model, moment):
    factories.slo(model, counts=counts(1, 3), min_events=100, looked_at=moment)
    panel(model)

    page = text_of(show(reader, "levels"))

    assert "3 events in the last hour: under 100, no burn is judged." in page
    assert "Not burning" not in page


def test_a_budget_that_is_no_longer_counted_claims_nothing(reader, model, moment):
    factories.slo(model, counts=counts(310, 50_000), looked_at=moment - HOUR)
    panel(model)

    page = text_of(show(reader, "levels"))

    assert "Not burning" not in page
    assert "nothing is claimed about now" in page


def test_the_line_of_the_budget_ends_at_what_is_left(app, model, moment):
    slo = factories.slo(model, counts=counts(310, 50_000), looked_at=moment)
    for day in range(28, 0, -1):
        factories.keep(
            SloCount(slo_id=slo.id, at=moment - day * DAY + HOUR, bad=310 - day * 10, total=1)
        )

    budget = standing.levels_of(model.id, [], [], at=moment).budget

    assert budget.line.y(38) == pytest.approx(budget.line.end[1])
    assert budget.line.high == pytest.approx(38 + 270 / 500 * 100)
    assert budget.counted_since is None


def test_of_several_service_levels_the_one_that_burns_is_shown(reader, model, moment):
    factories.slo(model, title="Errors under 1 %", counts=counts(1, 50_000), looked_at=moment)
    factories.slo(
        model, title="Requests within 250 ms", burning="page", looked_at=moment,
        counts=burning(1_420, 10_000, [31, 100_000]),
    )  # fmt: skip
    panel(model)

    page = text_of(show(reader, "levels"))

    assert "Burning 14 times too fast" in page
    assert "Requests within 250 ms, the worst of 2. Also: Errors under 1 %" in page


def test_throughput_is_held_against_its_peak_target_and_the_load_test(reader, model, moment):
    made = panel(model, Lane.THROUGHPUT, value=640.0, title="Requests", unit="rps", above=9e9)
    factories.readings(made, [3_910.0, 640.0], until=moment)
    factories.latency_budget(
        model, peak_rps=4_200, load_tested_rps=5_040, load_tested_on=date(2026, 3, 3)
    )

    page = text_of(show(reader, "levels"))

    assert "Now 640 rps Peak, 15 minutes 3,910 rps Load-tested 5,040 rps" in page
    assert "peak target 4,200 rps" in page
    assert "Peak target is 7 % away. Load test 3 March" in page
    assert "held 1.2 times the target" in page


# --- Drift


def test_the_three_lanes_are_judged_separately(reader, model):
    panel(model, Lane.OUTPUT_QUALITY, LampState.PARTIAL, -4.4, title="NDCG", unit="%", above=None,
          below=-5.0)  # fmt: skip
    panel(model, Lane.LATENCY_DRIFT, LampState.BREACH, 0.34, title="Gap", unit="", above=0.1)
    panel(model, Lane.INPUT_DRIFT, value=0.08, title="PSI", unit="", above=0.2)

    page = show(reader, "drift").text

    states = re.findall(r'card__head">.*?data-state="(\w+)"', page, re.DOTALL)
    assert states == ["partial", "breach", "ok"]


def test_a_lane_without_a_panel_says_that_nobody_can_say(reader, model):
    panel(model, Lane.INPUT_DRIFT, value=0.08, title="PSI", unit="", above=0.2)

    page = text_of(show(reader, "drift"))

    assert page.count("Not watched") == 2
    assert "Nobody can say." in page


def test_a_drift_lane_tells_how_it_is_judged(reader, model, moment):
    panel(model, Lane.INPUT_DRIFT, LampState.BREACH, 0.31, title="PSI", unit="", above=0.2, k=2,
          n=3, spec={"verdict": "limit"}, min_rows=1_000, rows=2_304.0, newest_at=moment,
          at=moment)  # fmt: skip
    factories.drift_report(
        model, window_end=moment, window_start=moment - HOUR, method="PSI in 10 bins", value=0.31,
        reference_id="Training set of v43", reference_at=moment - 40 * DAY, rows=2_304,
        parts=[{"name": "price_seen", "value": 0.31, "is_outside": True},
               {"name": "shop_age", "value": 0.1, "is_outside": False}],
    )  # fmt: skip

    page = text_of(show(reader, "drift"))

    assert "Method PSI in 10 bins, over 2 features" in page
    assert "Outside price_seen 0.31" in page
    assert "Threshold Above 0.20, in 2 of 3 windows" in page
    assert "Window 1 h" in page
    assert "Rows 2,304" in page
    assert "Reference Training set of v43, 40 days old" in page


def test_another_source_of_the_lane_does_not_speak_for_the_panel(app, model, moment):
    source = factories.health_source("evidently")
    panel(model, Lane.INPUT_DRIFT, spec={"verdict": "tool"}, newest_at=moment, at=moment)
    factories.drift_report(model, window_end=moment, source_id=source.id, method="theirs")

    (lane,) = [
        one
        for one in drift_lanes.drift_of(model.id, standing.watched(model.id, at=moment), at=moment)
        if one.lane is Lane.INPUT_DRIFT
    ]

    assert lane.facts[0] == drift_lanes.Fact("Method", "Not told yet")


def test_latency_drift_is_held_against_a_week_ago(reader, model):
    panel(model, Lane.LATENCY_DRIFT, value=0.03, title="Gap", unit="", above=0.1, window=3600,
          spec={"stat": "distribution_gap", "offset": 604_800})  # fmt: skip

    page = text_of(show(reader, "drift"))

    assert "Method Largest gap between two distributions of latency" in page
    assert "Reference The same 1 h, 7 d before" in page


def test_another_reference_breaks_the_line(reader, model, moment):
    panel(model, Lane.INPUT_DRIFT, value=0.1, title="PSI", unit="", above=0.2, stale_after=3 * 3600,
          spec={"verdict": "limit"}, newest_at=moment, at=moment)  # fmt: skip
    for hours in range(10):
        factories.drift_report(
            model, window_end=moment - hours * HOUR, method="PSI", value=0.1,
            reference_id="v42" if hours > 4 else "v43",
        )  # fmt: skip

    page = show(reader, "drift").text

    assert page.count('class="ln"') >= 2
    assert 'class="mk"' in page
    assert "Dotted: another method or reference" in page


def test_a_report_that_came_late_is_in_the_chart(app, model, moment):
    made = panel(model, Lane.OUTPUT_QUALITY, spec={"verdict": "tool"}, newest_at=moment, at=moment)
    factories.drift_report(model, Lane.OUTPUT_QUALITY, window_end=moment - 9 * DAY, value=7.0)

    (one,) = standing.watched(model.id, at=moment)
    past = history.pasts(model.id, [history.Wish(one.row, 14 * DAY)], at=moment)[made.id]

    assert [point.value for point in past.points] == [7.0, 200.0]
    assert past.span == 14 * DAY


# --- Charts over days


def test_days_are_drawn_from_hours_and_the_last_day_from_readings(app, model, moment):
    made = factories.panel(model, Lane.THROUGHPUT, created_at=moment - 6 * DAY)
    factories.lamp(made, value=5.0, at=moment)
    factories.readings(made, [5.0] * 30, until=moment)
    for hours in range(30, 140):
        factories.keep(
            ReadingHour(panel_id=made.id, at=moment - hours * HOUR, state=LampState.OK, count=60,
                        low=1.0, mean=2.0, high=9.0 if hours == 99 else 3.0)
        )  # fmt: skip
    (one,) = standing.watched(model.id, at=moment)

    past = history.pasts(model.id, [history.Wish(one.row, 7 * DAY)], at=moment)[made.id]

    assert max(point.value for point in past.points) == 9.0
    assert past.span == 7 * DAY
    assert past.points[-1].value == 5.0
    assert [point.at for point in past.points] == sorted(point.at for point in past.points)


def test_readings_are_summed_up_to_their_extremes(app, model, moment):
    made = factories.panel(model, created_at=moment - 20 * HOUR)
    factories.lamp(made, value=200.0, at=moment)
    factories.readings(made, [200.0] * 300 + [900.0] + [200.0] * 300, until=moment)
    (one,) = standing.watched(model.id, at=moment)

    past = history.pasts(model.id, [history.Wish(one.row, DAY)], at=moment)[made.id]

    assert len(past.points) <= 2 * history.SLOTS + 1
    assert max(point.value for point in past.points) == 900.0


# --- Stages, and the rest


def test_each_stage_is_held_against_its_own_budget(reader, model):
    panel(model, value=441.0, slug="candidates", title="Candidates p99", above=500.0)
    panel(model, value=38.0, slug="features", title="Features p99", above=50.0)
    panel(model, value=240.0, slug="whole", title="p99 latency")
    factories.latency_budget(
        model,
        stages=[
            {"name": "Feature lookup", "budget_ms": 50, "owner": "Data", "panel": "features"},
            {"name": "Candidate retrieval", "budget_ms": 60, "owner": "", "panel": "candidates"},
            {"name": "Ranker", "budget_ms": 125, "owner": "", "panel": None},
        ],
    )

    page = text_of(show(reader, "stages"))
    levels = text_of(show(reader, "levels"))

    assert re.search(r"Feature lookup Data 38 ms 50 ms OK", page)
    assert re.search(r"Candidate retrieval 441 ms 60 ms Over its budget", page)
    assert re.search(r"Ranker none 125 ms Not watched", page)
    assert "Budgets add up to 235 of 250 ms: 15 ms of slack." in page
    assert "slack. Readings of stages do not add up to the total." in page
    # What observes a stage is no headline.
    assert "p99 latency, 5 min 240 ms" in levels
    assert "Candidates p99" not in levels


def test_panels_without_a_card_are_listed_worst_first(reader, model):
    panel(model, Lane.QUEUE, title="Queue", unit="requests", value=3.0)
    panel(model, Lane.ERRORS, LampState.BREACH, 4.0, title="Errors", unit="%")

    page = show(reader, "stages").text

    assert page.index("Errors") < page.index("Queue")


def test_what_a_card_does_not_show_is_in_the_list(reader, model):
    panel(model, Lane.LATENCY, LampState.BREACH, 612.0, title="p99 latency")
    panel(model, Lane.LATENCY, title="p95 latency")
    panel(model, Lane.INPUT_DRIFT, title="PSI of prices")
    panel(model, Lane.INPUT_DRIFT, LampState.UNREACHABLE, title="PSI of shops")

    found = text_of(show(reader, "stages"))

    assert "Other panels 2" in found
    assert "p95 latency" in found
    assert "PSI of prices" in found
    assert "p99 latency" not in found


def test_the_ladder_tells_what_was_drilled_and_when(reader, model, moment):
    panel(model)
    factories.latency_budget(
        model,
        ladder=[
            {"title": "Cached list", "trigger": "the breaker opens", "seconds": 20,
             "drilled_on": (moment - 10 * DAY).date().isoformat()},
            {"title": "Popular list", "seconds": 5,
             "drilled_on": (moment - 98 * DAY).date().isoformat()},
            {"title": "Hide the shelf", "seconds": 5, "drilled_on": None},
        ],
    )  # fmt: skip

    page = text_of(show(reader))

    assert "Cached list When: the breaker opens 20 s to switch." in page
    assert re.search(r"Popular list 5 s to switch\. Drill .*?, 98 days ago Too old", page)
    assert "Hide the shelf 5 s to switch. Never drilled Never tested" in page
    assert page.index("Proven") < page.index("Too old")


# --- Data inputs


def fed(model, moment, **more):
    """An input with its three panels; `states` of schema, freshness and access."""
    states = more.pop("states", (LampState.OK,) * 3)
    row = factories.dataset("events.clicks_v3", model, **more)
    for lane, state in zip((Lane.SCHEMA, Lane.FRESHNESS, Lane.ACCESS), states, strict=True):
        panel(model, lane, state, None, dataset_id=row.id, title=f"{lane} of it", unit="",
              above=1800.0 if lane is Lane.FRESHNESS else None, at=moment)  # fmt: skip
    return row


def test_freshness_counts_from_the_last_load(reader, model, moment):
    fed(model, moment, loaded_at=moment - timedelta(minutes=6), fresh_within=1800,
        contract="contract v14", access_role="reader", access_approver="Kim Berg",
        access_reviewed_on=date(2026, 2, 12))  # fmt: skip

    page = show(reader, "inputs").text

    (age,) = re.findall(r'<time[^>]*data-tick="for"[^>]*data-fresh-for="1800"[^>]*>([^<]*)', page)
    assert age == "6 min"
    said = text_of(show(reader, "inputs"))
    assert "OK contract v14" in said
    assert "6 min / 30 min" in said
    assert "OK reader by Kim Berg, reviewed 12 February" in said


def test_an_approver_is_not_named_as_who_checks(reader, model, moment):
    fed(model, moment, states=(LampState.OK, LampState.OK, LampState.NO_DATA),
        access_role="reader", access_approver="Kim Berg")  # fmt: skip

    said = text_of(show(reader, "inputs"))

    assert re.search(r"No data [^,]*, approved by Kim Berg, never reviewed", said)


def test_a_load_that_is_too_old_is_no_longer_ok_before_the_worker_says_so(reader, model, moment):
    fed(model, moment, loaded_at=moment - timedelta(minutes=31), fresh_within=1800)

    page = show(reader, "inputs").text

    assert 'data-state="breach"' in page


def test_an_unknown_load_is_never_fresh(reader, model, moment):
    fed(model, moment, states=(LampState.OK, LampState.NO_DATA, LampState.OK))

    page = show(reader, "inputs").text

    assert 'data-state="no_data"' in page
    assert "data-tick" not in page


def test_a_review_that_is_due_stands_out(reader, model, moment):
    due = (moment + 3 * DAY).date()
    fed(model, moment, access_review_due=due)

    assert re.search(r't-warn m">review due \d+ \w+', show(reader, "inputs").text)


# --- Live regions, and what it costs


def test_a_part_that_is_the_same_is_not_sent_again(reader, model, moment, monkeypatch):
    monkeypatch.setattr(of_model, "now", lambda: moment)  # ages are told in seconds
    fed(model, moment, loaded_at=moment - timedelta(minutes=6), fresh_within=1800)
    first = show(reader, "inputs")

    again = reader.get(
        "/models/recsys-home/health/part/inputs",
        headers={**HTMX, "If-None-Match": first.headers["ETag"]},
    )

    assert again.status_code == 304


def test_every_part_is_on_the_page_as_it_comes_alone(reader, model):
    panel(model)

    page = show(reader).text

    for part in ("levels", "drift", "stages", "inputs"):
        alone = show(reader, part).text
        assert f'id="{part}"' in alone
        assert f"/models/recsys-home/health/part/{part}" in page


@pytest.mark.parametrize("part", ["", "levels", "drift", "stages", "inputs"])
def test_two_hundred_panels_cost_as_many_queries_as_one_a_lane(
    reader, model, moment, queries, part
):
    fed(model, moment, loaded_at=moment, fresh_within=1800)
    factories.latency_budget(model, stages=[{"name": "All", "budget_ms": 9, "panel": "p-1"}])
    factories.slo(model, counts=counts(310, 50_000), looked_at=moment)
    lanes = (Lane.LATENCY, Lane.THROUGHPUT, Lane.ERRORS, Lane.INPUT_DRIFT, Lane.OUTPUT_QUALITY,
             Lane.LATENCY_DRIFT)  # fmt: skip
    for lane in lanes:
        panel(model, lane, at=moment, spec={"verdict": "tool"} if lane is Lane.INPUT_DRIFT else {})
    few = queries(lambda: show(reader, part))

    for number in range(190):
        panel(model, lanes[number % len(lanes)], at=moment, title=f"Panel {number}")
    for _ in range(5):
        factories.slo(model, counts=counts(310, 50_000), looked_at=moment)

    db.session.remove()
    assert queries(lambda: show(reader, part)) == few
    assert few <= 24


# --- Runbooks


def test_the_runbooks_of_a_model_are_a_tab_and_a_card(reader, model, moment):
    version = factories.runbook("latency-regression", alertname="High", signals=["x"])
    factories.verification(factories.run(version), at=moment - 3 * DAY)
    panel(model)

    assert 'hx-get="/models/recsys-home/runbooks"' in show(reader).text
    card = reader.get("/models/recsys-home/runbooks", headers=HTMX)
    assert "<html" not in card.text
    assert "1 of 20 have one" in text_of(card)
    assert "latency_regression" in card.text
    assert "No runbook for:" in text_of(card)
    assert reader.get("/models/recsys-home/runbooks").text.count("<h1>") == 1
