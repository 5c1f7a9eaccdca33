"""What one window says, and what a panel shows after several."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.health.rules import (
    Judged,
    LampState,
    Lane,
    Observation,
    Rule,
    Settled,
    Verdict,
    judge,
    settle,
    why_no_rule,
    worst,
)

NOW = datetime(2026, 3, 12, 2, 14, tzinfo=UTC)
LIMIT = Rule(above=250.0, k=2, n=3, min_rows=100)
QUIET = Rule(above=250.0)


def seen(value=100.0, rows=1000.0, **more):
    return Observation(more.pop("at", NOW), value, rows, **more)


def verdicts(*values, rule=QUIET):
    return [judge(seen(value), rule, now=NOW) for value in values]


def settled(*values, rule, in_breach=False):
    """What a panel shows after each of these values."""
    windows, shown = [], []
    for value in values:
        windows.append(
            judge(Observation(NOW, gap=value) if isinstance(value, LampState) else seen(value),
                  rule, now=NOW)
        )  # fmt: skip
        found = settle(in_breach, windows, rule)
        in_breach = found.in_breach
        shown.append(found.state.value)
    return shown


# --- One window


@pytest.mark.parametrize(
    ("observation", "state"),
    [
        (seen(100.0), "ok"),
        (seen(250.0), "ok"),
        (seen(250.1), "breach"),
        (seen(None), "no_data"),
        (seen(float("nan")), "no_data"),
        (seen(float("inf")), "no_data"),
        (seen(float("-inf")), "no_data"),
        (seen(100.0, rows=0), "no_traffic"),
        (seen(None, rows=0), "no_traffic"),
        (seen(100.0, rows=99), "partial"),
        (seen(900.0, rows=99), "partial"),
        (seen(100.0, rows=None), "partial"),
        (seen(100.0, is_partial=True), "partial"),
        (seen(900.0, is_partial=True), "breach"),
        (seen(100.0, at=NOW - timedelta(minutes=6)), "no_data"),
        (Observation(NOW, gap=LampState.UNREACHABLE), "unreachable"),
        (Observation(NOW, gap=LampState.NOT_MEASURABLE), "not_measurable"),
        (seen(None, said_outside=True), "breach"),
        (seen(None, said_outside=False), "ok"),
    ],
)
def test_what_a_window_says_by_itself(observation, state):
    assert judge(observation, LIMIT, now=NOW).state == state


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_zero_rows_come_before_a_missing_number(value):
    # 0 of 0 is NaN: no traffic, and neither healthy nor broken.
    assert judge(seen(value, rows=0), QUIET, now=NOW).state is LampState.NO_TRAFFIC


def test_a_lower_limit_is_one_too():
    floor = Rule(below=10.0)

    assert [one.state.value for one in verdicts(9.9, 10.0, 11.0, rule=floor)] == [
        "breach", "ok", "ok",
    ]  # fmt: skip


DOOR = Rule(below=1.0, min_rows=100)


@pytest.mark.parametrize(
    ("observation", "rule", "lane", "state"),
    [
        (seen(0.0, rows=0), Rule(below=1.0), None, "breach"),
        (seen(0.0, rows=0), DOOR, Lane.THROUGHPUT, "breach"),
        (seen(0.0, rows=0), Rule(above=900.0, below=1.0), Lane.THROUGHPUT, "breach"),
        (seen(0.01, rows=3), DOOR, Lane.THROUGHPUT, "breach"),
        (seen(0.01, rows=None), DOOR, Lane.THROUGHPUT, "breach"),
        # Inside its limit, or with nothing measured, no requests are no requests.
        (seen(5.0, rows=0), DOOR, Lane.THROUGHPUT, "no_traffic"),
        (seen(None, rows=0), DOOR, Lane.THROUGHPUT, "no_traffic"),
        (seen(float("nan"), rows=0), DOOR, Lane.THROUGHPUT, "no_traffic"),
        (seen(0.0, rows=0), Rule(above=900.0), Lane.THROUGHPUT, "no_traffic"),
        # Of a share, few rows are a reason to doubt it, and a report of no rows says nothing.
        (seen(0.5, rows=3), DOOR, Lane.OTHER, "partial"),
        (seen(0.5, rows=0), DOOR, Lane.OUTPUT_QUALITY, "no_traffic"),
        (seen(0.0, rows=0, at=NOW - timedelta(minutes=6)), DOOR, Lane.THROUGHPUT, "no_data"),
    ],
)
def test_a_dead_front_door_is_below_its_limit_and_not_without_traffic(
    observation, rule, lane, state
):
    assert judge(observation, rule, now=NOW, lane=lane).state == state


@given(
    value=st.one_of(st.none(), st.floats()),
    rows=st.one_of(st.none(), st.floats(min_value=-5, max_value=5_000)),
    age=st.integers(0, 7_200),
    partial=st.booleans(),
    gap=st.one_of(st.none(), st.sampled_from([state for state in LampState if state != "ok"])),
)
def test_ok_takes_a_finite_number_inside_enough_rows_and_a_recent_sample(
    value, rows, age, partial, gap
):
    one = Observation(NOW - timedelta(seconds=age), value, rows, gap=gap, is_partial=partial)

    if judge(one, LIMIT, now=NOW).state is LampState.OK:
        assert gap is None
        assert not partial
        assert value is not None
        assert value <= 250
        assert rows is not None
        assert rows >= 100
        assert age <= 300


@given(
    value=st.one_of(st.none(), st.floats()),
    rows=st.one_of(st.none(), st.floats(min_value=-5, max_value=5_000)),
    lane=st.one_of(st.none(), st.sampled_from(Lane)),
)
def test_a_lower_limit_makes_nothing_ok_that_is_below_it_or_has_too_few_rows(value, rows, lane):
    if judge(seen(value, rows), DOOR, now=NOW, lane=lane).state is LampState.OK:
        assert value is not None
        assert value >= 1
        assert rows is not None
        assert rows >= 100


# --- Several windows


def test_one_window_outside_is_neither_a_breach_nor_ok():
    assert settled(100, 900, rule=LIMIT) == ["ok", "partial"]


def test_k_of_n_windows_outside_are_a_breach():
    assert settled(900, 100, 900, rule=LIMIT) == ["partial", "ok", "breach"]
    assert settled(900, 100, 100, 900, rule=LIMIT) == ["partial", "ok", "ok", "partial"]


def test_a_breach_ends_after_k_windows_that_are_clear():
    assert settled(900, 900, 100, 100, rule=LIMIT) == ["partial", "breach", "breach", "ok"]
    assert settled(900, 900, 100, 900, 100, rule=LIMIT)[-1] == "breach"


def test_hysteresis_keeps_a_breach_until_it_is_clear_of_the_limit():
    rule = Rule(above=250.0, clear=200.0)

    assert settled(260, 240, 210, 200, rule=rule) == ["breach", "breach", "breach", "ok"]


def test_a_gap_is_shown_at_once_and_hides_a_breach_without_ending_it():
    gone = LampState.UNREACHABLE
    assert settled(900, gone, 900, rule=QUIET) == ["breach", "unreachable", "breach"]
    assert settled(900, *[gone] * 70, 100, rule=QUIET)[-1] == "ok"

    windows = [judge(Observation(NOW, gap=gone), QUIET, now=NOW)]
    assert settle(True, windows, QUIET) == Settled(gone, True, "")


def test_windows_that_could_not_be_judged_count_neither_way():
    gone = LampState.NO_DATA
    assert settled(900, gone, 900, rule=LIMIT) == ["partial", "no_data", "breach"]
    assert settled(900, gone, gone, 900, rule=LIMIT)[-1] == "partial"


@given(st.lists(st.sampled_from(list(Verdict)), min_size=1, max_size=30), st.booleans())
def test_only_ok_and_a_breach_say_that_something_was_judged(sequence, in_breach):
    windows = [
        Judged(one, LampState.NO_DATA if one is Verdict.UNJUDGED else LampState.OK, "")
        for one in sequence
    ]
    found = settle(in_breach, windows, LIMIT)

    if sequence[-1] is Verdict.UNJUDGED:
        assert found.state is LampState.NO_DATA
        assert found.in_breach is in_breach
    if found.state is LampState.OK:
        assert sequence[-1] in (Verdict.INSIDE, Verdict.CLEAR)
        assert not found.in_breach
    if found.state is LampState.BREACH:
        assert found.in_breach


# --- Rules


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (Rule(), "Give a limit"),
        (Rule(above=float("nan")), "A limit is a number"),
        (Rule(above=1, below=2), "The lower limit has to be below"),
        (Rule(above=250, clear=260), "has to be inside the limit"),
        (Rule(below=10, clear=9), "has to be inside the limit"),
        (Rule(above=1, k=3, n=2), "how many windows"),
        (Rule(above=1, k=0), "how many windows"),
        (Rule(above=1, n=61), "how many windows"),
        (Rule(above=1, min_rows=-1), "fewer than none"),
        (Rule(above=1, stale_after=timedelta(0)), "too old"),
    ],
)
def test_a_rule_that_can_t_be_used_says_why(rule, sentence):
    assert sentence in (why_no_rule(rule) or "")


def test_a_sound_rule_has_nothing_to_say():
    assert why_no_rule(Rule(above=250, clear=200, k=3, n=5, min_rows=100)) is None


def test_rows_of_lamps_are_sorted_by_the_worst():
    states = [LampState.OK, LampState.NO_TRAFFIC, LampState.UNREACHABLE, LampState.PARTIAL]
    assert worst(states) is LampState.UNREACHABLE
    assert worst([LampState.NOT_MEASURABLE, LampState.OK]) is LampState.OK
    assert worst([]) is None
