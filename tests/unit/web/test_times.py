from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.web import times

AT = datetime(2026, 3, 12, 2, 14, tzinfo=UTC)
UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "now"),
        (8, "8 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (1421, "23 min ago"),
        (3600, "1 h ago"),
        (7800, "2 h 10 min ago"),
        (86399, "23 h 59 min ago"),
        (86400, "11 March"),
        (86400 * 90, "12 December 2025"),
        (-2760, "in 46 min"),
        (-86400, "13 March"),
    ],
)
def test_a_time_is_relative_for_a_day_and_then_a_date(seconds, said):
    assert times.ago(AT - timedelta(seconds=seconds), UTC_ZONE, at=AT) == said


def test_a_date_is_that_of_the_readers_zone():
    late = datetime(2026, 3, 10, 23, 30, tzinfo=UTC)

    assert times.ago(late, UTC_ZONE, at=AT) == "10 March"
    assert times.ago(late, BERLIN, at=AT) == "11 March"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (61, "1 min"),
        (7200, "2 h"),
        (7800, "2 h 10 min"),
        (3 * 86400, "3 d"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
        (-5, "0 s"),
    ],
)
def test_a_duration_names_its_two_largest_units(seconds, said):
    assert times.duration(seconds) == said
    assert times.duration(timedelta(seconds=seconds)) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "00:00"), (1421, "23:41"), (3599, "59:59"), (3600, "1:00:00"), (90061, "25:01:01")],
)
def test_a_clock_shows_hours_from_the_first_hour_on(seconds, said):
    assert times.clock(seconds) == said


@pytest.mark.parametrize(
    ("moment", "zone", "said"),
    [
        (
            datetime(2026, 3, 12, 1, 51, tzinfo=UTC),
            BERLIN,
            "Thu 12 Mar 2026, 02:51 CET · 01:51 UTC",
        ),
        (
            datetime(2026, 3, 11, 23, 51, tzinfo=UTC),
            BERLIN,
            "Thu 12 Mar 2026, 00:51 CET · Wed 11 Mar, 23:51 UTC",
        ),
        (datetime(2026, 3, 12, 1, 51, tzinfo=UTC), UTC_ZONE, "Thu 12 Mar 2026, 01:51 UTC"),
        (
            datetime(2026, 3, 29, 1, 0, tzinfo=UTC),  # the hour in which clocks change
            BERLIN,
            "Sun 29 Mar 2026, 03:00 CEST · 01:00 UTC",
        ),
        (
            datetime(2026, 3, 12, 1, 51, tzinfo=UTC),
            ZoneInfo("America/Sao_Paulo"),
            "Wed 11 Mar 2026, 22:51 UTC−03 · Thu 12 Mar, 01:51 UTC",
        ),
    ],
)
def test_the_title_of_a_time_tells_both_zones(moment, zone, said):
    assert times.both_zones(moment, zone) == said


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (timedelta(days=2, hours=3), "Sat 14 March, 2 days left"),
        (timedelta(days=1), "Fri 13 March, 1 day left"),
        (timedelta(hours=3), "Thu 12 March 05:14, 3 h left"),
        (timedelta(hours=-3), "Wed 11 March 23:14, 3 h over"),
        (timedelta(days=-13), "Fri 27 February, 13 days over"),
    ],
)
def test_a_deadline_says_the_day_and_what_is_left(ahead, said):
    assert times.deadline(AT + ahead, UTC_ZONE, at=AT) == said


def test_the_datetime_attribute_is_in_utc():
    assert times.iso(datetime(2026, 3, 12, 2, 51, tzinfo=BERLIN)) == "2026-03-12T01:51:00Z"


def test_headings_and_dates_use_the_readers_day():
    moment = datetime(2026, 3, 11, 23, 51, tzinfo=UTC)

    assert times.long_day(moment, BERLIN, at=AT) == "Thursday 12 March"
    assert times.date_and_time(moment, UTC_ZONE, at=AT) == "11 March 23:51"


@pytest.mark.parametrize("name", [None, "", "Mars/Olympus", "../etc/passwd", "Europe"])
def test_an_unknown_zone_is_read_as_utc(name):
    assert times.zone_named(name).key == "UTC"
