"""Burn rates, held against the published table of the SRE workbook and against sloth's numbers."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.health.slo_rules import (
    BURN_ALERTS,
    WINDOWS,
    Burn,
    Count,
    Objective,
    bound_of,
    burn_rate,
    burning,
    dead_alerts,
    detection_delay,
    remaining,
    time_to_exhaustion,
)

DAYS = timedelta(days=1)
HOUR = timedelta(hours=1)
OVER_30 = Objective(0.999, 30 * DAYS)
OVER_28 = Objective(0.99, 28 * DAYS)


def at_rate(rate, objective, total=1_000_000):
    """Counts of every window at which the budget burns that many times too fast."""
    return {window: Count(rate * objective.budget * total, total) for window in WINDOWS}


def test_the_factors_of_30_and_28_days_are_exact():
    assert [one.factor(30 * DAYS) for one in BURN_ALERTS] == pytest.approx([14.4, 6, 3, 1])
    assert [one.factor(28 * DAYS) for one in BURN_ALERTS] == pytest.approx(
        [13.44, 5.6, 2.8, 0.9333333], rel=1e-6
    )


@pytest.mark.parametrize(
    ("rate", "fires"),
    [
        (14.5, [(Burn.PAGE, 1), (Burn.PAGE, 6), (Burn.TICKET, 24), (Burn.TICKET, 72)]),
        (14.3, [(Burn.PAGE, 6), (Burn.TICKET, 24), (Burn.TICKET, 72)]),
        (5.9, [(Burn.TICKET, 24), (Burn.TICKET, 72)]),
        (2.9, [(Burn.TICKET, 72)]),
        (0.99, []),
    ],
)
def test_an_alert_fires_above_its_factor(rate, fires):
    found = burning(at_rate(rate, OVER_30), OVER_30)

    assert [(one.alert.burn, one.alert.long / HOUR) for one in found] == fires


def test_both_windows_have_to_burn():
    counts = at_rate(20, OVER_30)
    counts[timedelta(minutes=5)] = Count(0, 1_000)

    assert all(one.alert.long != HOUR for one in burning(counts, OVER_30))


def test_a_window_that_was_not_measured_fires_nothing():
    counts = at_rate(20, OVER_30)
    del counts[HOUR]

    assert [one.alert.long / HOUR for one in burning(counts, OVER_30)] == [6, 24, 72]


def test_little_traffic_pages_nobody():
    assert burning(at_rate(20, OVER_30, total=99), OVER_30, min_events=100) == []
    assert burning(at_rate(20, OVER_30, total=100), OVER_30, min_events=100) != []
    assert burning({window: Count(0, 0) for window in WINDOWS}, OVER_30) == []


def test_nothing_of_nothing_is_no_rate():
    assert burn_rate(Count(0, 0), OVER_30) is None
    assert remaining(Count(0, 0), OVER_30) is None
    assert remaining(Count(5, 10, seen=0), OVER_30) is None


def test_the_budget_that_is_left():
    assert remaining(Count(310, 50_000), OVER_28) == pytest.approx(0.38)
    assert remaining(Count(1_000, 50_000), OVER_28) == pytest.approx(-1)


def test_the_time_until_it_is_gone():
    # 38 % of 28 days at 14.2 times even spending.
    assert time_to_exhaustion(0.38, 14.2, OVER_28) == pytest.approx(
        timedelta(hours=17.98), abs=timedelta(minutes=1)
    )
    assert time_to_exhaustion(0.0, 1, OVER_28) == timedelta(0)
    assert time_to_exhaustion(-0.2, 0, OVER_28) == timedelta(0)
    assert time_to_exhaustion(0.5, 0, OVER_28) is None
    assert time_to_exhaustion(0.5, None, OVER_28) is None


def test_below_93_06_percent_the_page_is_dead():
    assert dead_alerts(Objective(0.9306, 30 * DAYS)) == []
    assert dead_alerts(Objective(0.9305, 30 * DAYS)) == [BURN_ALERTS[0]]
    assert dead_alerts(Objective(0.90, 30 * DAYS)) == [BURN_ALERTS[0]]


@given(st.floats(0.5, 0.9999), st.integers(7, 90))
def test_a_dead_alert_is_one_that_total_failure_does_not_fire(target, days):
    objective = Objective(target, days * DAYS)
    everything = {window: Count(1_000, 1_000) for window in WINDOWS}

    fires = {one.alert for one in burning(everything, objective)}

    assert fires.isdisjoint(dead_alerts(objective))
    for one in BURN_ALERTS:
        share = one.factor(objective.window) * objective.budget
        if abs(share - 1) > 1e-9:
            assert (one in fires) == (share < 1)


def test_how_long_an_outage_lasts_until_it_is_noticed():
    assert detection_delay(BURN_ALERTS[0], OVER_30) == pytest.approx(
        timedelta(seconds=51.84), abs=timedelta(milliseconds=1)
    )
    assert detection_delay(BURN_ALERTS[0], Objective(0.9, 30 * DAYS)) is None


@pytest.mark.parametrize(
    ("bounds", "budget", "matched"),
    [
        ([0.1, 0.25, 0.5], 0.25, True),
        ([0.1, 0.25, 0.5], 0.15, False),
        ([0.1, 0.15000000000000002, 0.5], 0.15, True),
        ([], 0.15, False),
    ],
)
def test_a_bucket_has_to_end_at_the_budget(bounds, budget, matched):
    assert bound_of(bounds, budget) is matched


def test_what_was_not_seen_of_a_window_counts_as_good():
    count = Count(20, 100, seen=0.25)
    assert count.expected == 400
    assert burn_rate(count, OVER_28) == pytest.approx(5)
    assert remaining(count, OVER_28) == pytest.approx(-4)


@pytest.mark.parametrize(
    ("long", "short", "fires"), [(1, 1, 1), (0.2, 1, 1), (0.1, 1, 0), (1, 0.9, 0)]
)
def test_an_alert_takes_a_whole_short_window_and_enough_of_the_long_one(long, short, fires):
    counts = {HOUR: Count(100, 100, long), timedelta(minutes=5): Count(100, 100, short)}
    assert len(burning(counts, OVER_28)) == fires
