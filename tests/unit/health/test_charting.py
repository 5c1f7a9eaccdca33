"""Charts never join what nobody saw, and thin points without losing a peak."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.health import charting
from app.health.charting import Range, Seen
from app.health.rules import LampState

START = datetime(2026, 3, 12, tzinfo=UTC)
BEGIN = START.timestamp()
HOUR = Range(START, START + timedelta(hours=1))
PANEL = SimpleNamespace(
    stale_after=300, window=300, title="p99 latency", unit="ms", above=250.0, below=None, spec={}
)


def seen(at, value=200.0, *, state=LampState.OK, series="p99"):
    state = state if value is not None or state is not LampState.OK else LampState.NO_DATA
    return Seen(None, BEGIN + at, value, value, value, state, 9.0, series)


def hour(at, low, mean, high):
    return Seen(BEGIN + at, BEGIN + at + 1800, low, mean, high, LampState.OK, 9.0, "p99")


def chart(points, *, span=HOUR, since=START, until=None):
    return charting.chart_of(points, span, since=since, until=until, panel=PANEL)


def regular(values, every=30):
    return [seen((number + 1) * every, value) for number, value in enumerate(values)]


def relative(runs):
    return [(run.start - BEGIN, run.end - BEGIN, run.state) for run in runs]


def test_regular_readings_are_one_run_without_a_gap():
    drawn = chart(regular([200.0] * 120))

    assert relative(drawn.runs) == [(0, 3600, LampState.OK)]
    assert drawn.gaps == []
    assert charting.columns(drawn)["value"] == [200.0] * 120


def test_readings_without_a_value_are_a_gap_that_says_why():
    values = [200.0] * 60 + [None] * 10 + [200.0] * 50
    points = [
        one if one.value else one._replace(state=LampState.UNREACHABLE) for one in regular(values)
    ]

    drawn = chart(points)

    assert relative(drawn.gaps) == [(1800, 2100, LampState.UNREACHABLE)]
    assert None in charting.columns(drawn)["value"]


def test_a_time_in_which_nobody_looked_has_no_data_and_breaks_the_line():
    points = [one for one in regular([200.0] * 120) if not 1200 < one.at - BEGIN < 2400]

    drawn = chart(points)

    assert [state for *_, state in relative(drawn.runs)] == [
        LampState.OK, LampState.NO_DATA, LampState.OK,
    ]  # fmt: skip
    assert len(drawn.gaps) == 1
    values = charting.columns(drawn)["value"]
    assert values.count(None) == 1
    assert values[0] is not None
    assert values[-1] is not None


def test_what_was_not_seen_up_to_now_is_a_gap_at_the_end():
    drawn = chart(regular([200.0] * 60))

    assert relative(drawn.gaps) == [(1800, 3600, LampState.NO_DATA)]


def test_before_a_panel_was_made_and_after_it_was_closed_nobody_should_have_looked():
    points = [seen(at) for at in range(1230, 2430, 30)]

    drawn = chart(
        points,
        since=START + timedelta(seconds=1200),
        until=START + timedelta(seconds=2400),
    )

    assert drawn.gaps == []


def test_another_method_breaks_the_line():
    points = [
        *regular([200.0] * 60),
        *(seen(1800 + at, series="p99 v2") for at in range(30, 1801, 30)),
    ]

    drawn = chart(points)

    assert [(one.before, one.after) for one in drawn.breaks] == [("p99", "p99 v2")]
    assert charting.columns(drawn)["value"].count(None) == 1
    assert drawn.gaps == []


def test_reports_that_come_once_a_day_are_joined():
    week = Range(START, START + timedelta(days=7))
    slow = SimpleNamespace(**{**vars(PANEL), "stale_after": 172_800, "window": 3600})
    points = [seen(day * 86_400) for day in range(1, 8)]

    drawn = charting.chart_of(points, week, since=START, panel=slow)

    assert drawn.gaps == []
    assert drawn.breaks == []
    assert None not in charting.columns(drawn)["value"]


def test_hours_carry_their_lowest_and_highest():
    day = Range(START, START + timedelta(hours=24))

    drawn = chart([hour(number * 3600, 100.0, 200.0, 400.0) for number in range(24)], span=day)

    assert drawn.gaps == []
    columns = charting.columns(drawn)
    assert (columns["low"][3], columns["value"][3], columns["high"][3]) == (100, 200, 400)


def test_an_hour_that_is_missing_is_a_gap():
    day = Range(START, START + timedelta(hours=24))
    hours = [hour(number * 3600, 100.0, 200.0, 400.0) for number in range(24) if number != 12]

    drawn = chart(hours, span=day)

    assert relative(drawn.gaps) == [(12 * 3600, 13 * 3600, LampState.NO_DATA)]
    assert charting.columns(drawn)["value"].count(None) == 1


def test_nothing_is_nothing():
    drawn = chart([])

    assert charting.columns(drawn) == {"at": [], "low": [], "value": [], "high": []}
    assert charting.steps(drawn) == []
    assert relative(drawn.gaps) == [(0, 3600, LampState.NO_DATA)]
    assert charting.sentence(drawn, PANEL) == "p99 latency: there is no value in this range."


# --- Thinning


def points_of(values):
    return [(float(number), value, value, value) for number, value in enumerate(values)]


def test_fewer_points_than_the_most_stay_as_they_are():
    drawn = chart(regular([200.0] * 100))

    assert len(charting.columns(drawn, most=100)["at"]) == 100


@settings(deadline=None)
@given(
    st.lists(st.none() | st.floats(-1e6, 1e6), min_size=101, max_size=1500),
    st.integers(50, 100),
)
def test_thinning_keeps_every_peak_and_the_order(values, most):
    points = points_of(values)

    kept = charting.thinned(points, most)

    assert len(kept) <= most
    assert kept == sorted(kept, key=lambda point: point[0])
    assert set(kept) <= set(points)
    assert kept[0] == points[0]
    assert kept[-1] == points[-1]
    known = [value for value in values if value is not None]
    left = [point[2] for point in kept if point[2] is not None]
    assert max(left, default=None) == max(known, default=None)
    assert min(left, default=None) == min(known, default=None)


@settings(deadline=None, max_examples=30)
@given(st.integers(20_001, 60_000), st.data())
def test_one_peak_and_one_hole_among_many_points_survive(count, data):
    peak = data.draw(st.integers(0, count - 1))
    hole = data.draw(st.integers(0, count - 1).filter(lambda place: place != peak))
    points = [(float(number), 1.0, 1.0, 1.0) for number in range(count)]
    points[peak] = (float(peak), 9.0, 9.0, 9.0)
    points[hole] = (float(hole), None, None, None)

    kept = charting.thinned(points, charting.MOST)

    assert len(kept) <= charting.MOST
    assert points[peak] in kept
    assert points[hole] in kept


# --- Beside the chart


def test_the_strip_fills_its_width_with_what_is_known():
    pieces = charting.strip(chart(regular([200.0] * 60 + [None] * 60)))

    assert [(one.x, one.width, one.state) for one in pieces] == [
        (0, 500, LampState.OK),
        (500, 500, LampState.NO_DATA),
    ]


def test_a_strip_that_changes_too_often_shows_the_worst():
    states = [LampState.OK, LampState.OK, LampState.OK, LampState.BREACH]
    points = [seen((number + 1) * 3, state=states[number % 4]) for number in range(1200)]

    pieces = charting.strip(chart(points), most=100)

    assert len(pieces) <= 100
    assert pieces[0].state is LampState.BREACH


def test_a_long_range_is_a_table_of_equal_parts_newest_first():
    points = regular([float(number) for number in range(120)])

    rows = charting.steps(chart(points), count=12)

    assert len(rows) == 12
    assert rows[0].high == 119
    assert rows[-1].low == 0
    assert rows[0].low <= rows[0].value <= rows[0].high


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([200.0] * 20, "p99 latency: last 200 ms, limit 250 ms. The same all the time."),
        ([100.0] * 10 + [300.0] * 10, "last 300 ms, limit 250 ms. Between 100 and 300 ms, higher"),
        ([300.0] * 10 + [100.0] * 10, "lower at its end"),
        ([200.0, 201.0, 199.0, 200.0], "steady."),
    ],
)
def test_the_sentence_says_last_value_limit_and_trend(values, said):
    assert said in charting.sentence(chart(regular(values)), PANEL)
