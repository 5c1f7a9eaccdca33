"""How a lamp reads, also when nobody writes lamps any more."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from app.health.rules import LampState, Lane
from app.health.showing import COLUMNS, GRACE, against, is_doubtful, shown

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
STALE = timedelta(seconds=300)


@dataclass
class Row:
    """What a query gives of a panel and its lamp."""

    state: LampState | None = LampState.OK
    value: float | None = 84.0
    newest_at: datetime | None = NOON
    looked_at: datetime | None = NOON
    since: datetime | None = NOON
    remark: str | None = ""
    title: str = "p99 latency"
    lane: Lane = Lane.LATENCY
    unit: str = "ms"
    above: float | None = 250.0
    below: float | None = None
    stale_after: int = 300
    window: int = 300


def line(at: datetime = NOON, **row) -> str:
    return shown(Row(**row), at=at).line


def state(at: datetime = NOON, **row) -> LampState:
    return shown(Row(**row), at=at).state


def test_the_columns_are_those_that_are_read():
    assert set(COLUMNS) == set(Row.__dataclass_fields__)


def test_a_reading_stands_before_its_limit_and_the_title_tells_the_age():
    found = shown(Row(), at=NOON + timedelta(seconds=8))

    assert found.state is LampState.OK
    assert found.line == "84 / 250 ms"
    assert found.title == "p99 latency: 84 / 250 ms, newest sample 8 s ago"


def test_what_nobody_has_looked_at_is_no_data():
    found = shown(Row(state=None, value=None, newest_at=None, looked_at=None, since=None,
                      remark=None), at=NOON)  # fmt: skip

    assert (found.state, found.line) == (LampState.NO_DATA, "not looked yet")
    assert not is_doubtful(Row(state=None, newest_at=None), at=NOON)


# Doubt


@pytest.mark.parametrize("known", [LampState.OK, LampState.BREACH, LampState.PARTIAL])
def test_a_sample_that_is_older_than_its_rule_allows_is_no_data(known):
    edge = NOON + STALE + GRACE

    assert state(edge, state=known) is known
    assert state(edge + timedelta(seconds=1), state=known) is LampState.NO_DATA
    assert line(edge + timedelta(seconds=1), state=known) == "no sample for 6 min"


@pytest.mark.parametrize(
    "blind", [LampState.UNREACHABLE, LampState.NO_DATA, LampState.NOT_MEASURABLE]
)
def test_what_says_that_nothing_is_known_is_not_doubted(blind):
    assert state(NOON + timedelta(days=1), state=blind) is blind


def test_no_traffic_is_known_since_somebody_asked_however_old_the_last_sample_is():
    asked = {"state": LampState.NO_TRAFFIC, "newest_at": NOON - timedelta(hours=6)}

    assert state(NOON + timedelta(seconds=30), **asked) is LampState.NO_TRAFFIC
    later = NOON + STALE + GRACE + timedelta(seconds=1)
    assert state(later, **asked) is LampState.NO_DATA
    assert line(later, **asked) == "nobody looked for 6 min"


def test_no_traffic_since_ever_is_doubted_too_when_nobody_looks():
    never = {"state": LampState.NO_TRAFFIC, "newest_at": None, "value": None}

    assert state(NOON, **never) is LampState.NO_TRAFFIC
    assert state(NOON + timedelta(hours=1), **never) is LampState.NO_DATA


FRESHNESS = {
    "title": "Freshness of clicks", "lane": Lane.FRESHNESS, "unit": "s", "above": 1800.0,
    "value": 360.0, "stale_after": 172_800, "window": 60,
}  # fmt: skip


def test_the_age_of_a_load_counts_on_while_nobody_looks():
    assert line(**FRESHNESS) == "6 min / 30 min"
    assert line(NOON + timedelta(minutes=1), **FRESHNESS) == "7 min / 30 min"


def test_what_was_fresh_is_not_ok_once_its_last_known_load_is_too_old():
    within, over = NOON + timedelta(minutes=24), NOON + timedelta(minutes=26)

    assert state(within, **FRESHNESS) is LampState.OK
    assert state(over, **FRESHNESS) is LampState.NO_DATA
    assert line(over, **FRESHNESS) == "no load known for 32 min"


def test_a_breach_of_freshness_stays_one_while_it_counts_on():
    stale = {**FRESHNESS, "state": LampState.BREACH, "value": 7200.0}

    assert state(NOON + timedelta(hours=3), **stale) is LampState.BREACH
    assert line(NOON + timedelta(hours=3), **stale) == "5 h / 30 min, 3 h old"


# The second line


def test_an_unreachable_source_says_for_how_long():
    row = {"state": LampState.UNREACHABLE, "remark": "gpu-3:9090 does not answer"}
    found = shown(Row(**row), at=NOON + timedelta(minutes=12))

    assert found.line == "for 12 min"
    assert "(gpu-3:9090 does not answer)" in found.title


@pytest.mark.parametrize("gap", [LampState.NO_DATA, LampState.NO_TRAFFIC, LampState.NOT_MEASURABLE])
def test_a_gap_says_why_or_for_how_long(gap):
    assert line(state=gap, remark="quiet hours") == "quiet hours"
    assert line(NOON + timedelta(minutes=3), state=gap) == "for 3 min"


def test_partial_says_how_much_is_in():
    told = {"state": LampState.PARTIAL, "remark": "612 of the 1,000 rows that it takes"}

    assert line(**told) == "84 / 250 ms, 612 of the 1,000 rows that it takes"
    assert line(value=None, **told) == "612 of the 1,000 rows that it takes"


def test_a_verdict_without_a_number_says_when_it_was_given():
    schema = {"lane": Lane.SCHEMA, "title": "Schema of clicks", "value": None, "above": None}

    assert line(NOON + timedelta(minutes=4), **schema) == "checked 4 min ago"
    assert line(remark="column leg_id is new", **schema) == "column leg_id is new"


def test_a_sample_older_than_two_windows_says_so_in_the_line():
    assert line(NOON + timedelta(seconds=120), window=60) == "84 / 250 ms"
    assert line(NOON + timedelta(seconds=125), window=60) == "84 / 250 ms, 2 min old"


def test_a_clock_that_is_fast_makes_no_future():
    found = shown(Row(newest_at=NOON + timedelta(minutes=5)), at=NOON)

    assert found.title.endswith("newest sample 0 s ago")
    assert line(newest_at=NOON + timedelta(minutes=5), **FRESHNESS) == "6 min / 30 min"


@pytest.mark.parametrize(
    ("value", "above", "below", "said"),
    [
        (0.08, 0.2, None, "0.08 / 0.20 rps"),
        (0.0031, 0.2, None, "0.0031 / 0.20 rps"),
        (612.0, 250.0, None, "612 / 250 rps"),
        (5.0, None, 10.0, "5 / 10 rps"),
        (5.0, 100.0, 10.0, "5 / 10 rps"),
        (50.0, 100.0, 10.0, "50 / 100 rps"),
        (500.0, 100.0, 10.0, "500 / 100 rps"),
        (50.0, None, None, "50 rps"),
    ],
)
def test_the_limit_is_the_one_that_was_passed(value, above, below, said):
    row = Row(lane=Lane.THROUGHPUT, unit="rps", above=above, below=below)

    assert against(value, row) == said
