"""Small charts: what may be joined, what is a gap, and what survives when points are left out."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.health.drawing import Point, plot, thin

BEGIN = datetime(2026, 3, 12, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def line(*values, every=MINUTE, series=""):
    """A point each minute: a number, None for nothing to see, "blind" for nobody saw."""
    return [
        Point(
            BEGIN + number * every,
            None if value in (None, "blind") else float(value),
            is_blind=value == "blind",
            series=series,
        )
        for number, value in enumerate(values)
    ]


def drawn(points, *, minutes, **more):
    more.setdefault("silent_after", 3 * MINUTE)
    return plot(points, since=BEGIN, until=BEGIN + minutes * MINUTE, **more)


def corners(path):
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.-]+) ([\d.-]+)", path)]


def test_a_line_goes_from_left_to_right_and_high_values_are_at_the_top():
    found = drawn(line(0, 50, 100), minutes=2)

    assert corners(found.paths[0]) == [(0, 100), (500, 53.7), (1000, 7.4)]
    assert found.end == pytest.approx((100, 7.407), abs=0.01)


def test_zero_is_always_in_the_frame():
    found = drawn(line(200, 210), minutes=1)

    assert (100.0, 0.0) in [(round(y, 3), value) for y, value in found.levels]


def test_values_below_zero_have_room():
    found = drawn(line(-4.4, 1), minutes=1, limit=-5)

    assert 0 < found.limit < 100
    assert 0.0 in [value for _, value in found.levels]


def test_a_limit_above_every_value_is_still_in_the_frame():
    assert 0 < drawn(line(10, 12), minutes=1, limit=250).limit < 100


def test_what_nobody_saw_is_a_band_and_no_line():
    found = drawn(line(1, 1, "blind", "blind", 1, 1), minutes=5)

    assert len(found.paths) == 2
    assert found.bands == [pytest.approx((20, 60))]
    assert found.blind_for == 3 * MINUTE


def test_nothing_to_see_breaks_the_line_and_is_no_band():
    found = drawn(line(1, 1, None, 1, 1), minutes=4)

    assert len(found.paths) == 2
    assert found.bands == []


def test_silence_is_a_band_too():
    early, late = line(1, 1), line(1, 1)
    late = [Point(point.at + 10 * MINUTE, point.value) for point in late]

    found = drawn([*early, *late], minutes=11)

    assert len(found.paths) == 2
    assert found.bands == [pytest.approx((100 / 11, 900 / 11))]


def test_silence_until_now_is_a_band():
    found = drawn(line(1, 1), minutes=10)

    assert found.bands == [pytest.approx((10, 90))]


def test_a_change_of_method_or_reference_is_a_break_without_a_band():
    before = line(1, 1, series="psi · v42")
    after = [Point(point.at + 2 * MINUTE, 0.2, series="psi · v43") for point in before]

    found = drawn([*before, *after], minutes=3)

    assert len(found.paths) == 2
    assert found.breaks == [pytest.approx(200 / 3)]
    assert found.bands == []


def test_a_long_line_that_is_thinned_has_no_gaps_that_were_none():
    values = [float(number % 7) for number in range(2_000)]

    found = drawn(line(*values), minutes=1_999, most=60)

    assert len(found.paths) == 1
    assert found.bands == []


def test_a_gap_keeps_its_length_when_the_line_is_thinned():
    found = drawn(line(*[1] * 1_000, *["blind"] * 10, *[1] * 990), minutes=1_999, most=60)

    assert found.blind_for == 11 * MINUTE
    assert len(found.paths) == 2


def test_a_value_alone_can_be_seen():
    assert drawn(line(None, 1, None), minutes=2).paths == ["M498 7.4h4"]


def test_nothing_at_all_is_an_empty_frame():
    found = drawn([], minutes=2, limit=250)

    assert (found.paths, found.areas, found.bands, found.end) == ([], [], [], None)
    assert found.limit is not None


def test_an_area_ends_on_the_ground():
    assert drawn(line(5, 10), minutes=1).areas == ["M0 53.7L1000 7.4V100H0Z"]


@pytest.mark.parametrize(
    ("high", "levels"),
    [(612, [0, 250, 500]), (0.34, [0, 0.2]), (4_200, [0, 2_000, 4_000]), (1, [0, 0.5, 1])],
)
def test_gridlines_are_at_round_values(high, levels):
    found = drawn(line(0, high), minutes=1)

    assert [value for _, value in found.levels] == levels


# --- Fewer points


def test_few_points_stay_as_they_are():
    points = line(3, 1, 2)

    assert thin(points, 9) == points


def test_peaks_and_dips_stay():
    values = [100.0] * 5_000
    values[1_234], values[4_321] = 612.0, 3.0

    kept = [point.value for point in thin(line(*values), 300)]

    assert len(kept) <= 300
    assert {612.0, 3.0} <= set(kept)


def test_a_short_gap_stays():
    values = [*[1] * 2_000, "blind", *[1] * 2_000]

    kept = thin(line(*values), 100)

    assert sum(point.is_blind for point in kept) == 1
    assert len(drawn(kept, minutes=4_000, silent_after=4_000 * MINUTE).paths) == 2


def test_a_series_that_comes_and_goes_between_two_points_is_a_break():
    points = [
        Point(BEGIN + number * MINUTE, 1.0, series="b" if number == 501 else "a")
        for number in range(1_000)
    ]

    kept = thin(points, 9)

    assert len(drawn(kept, minutes=1_000, silent_after=999 * MINUTE).paths) > 1


VALUES = st.lists(
    st.one_of(st.none(), st.just("blind"), st.floats(-1e6, 1e6, allow_subnormal=False)),
    min_size=1,
    max_size=400,
)


@given(VALUES, st.integers(9, 60))
def test_never_more_points_than_asked_for_and_the_extremes_among_them(values, most):
    points = line(*values)

    kept = thin(points, most)

    assert len(kept) <= most
    assert [point.at for point in kept] == sorted(point.at for point in kept)
    known = [point.value for point in points if point.value is not None]
    left = [point.value for point in kept if point.value is not None]
    assert (min(left, default=None), max(left, default=None)) == (
        min(known, default=None),
        max(known, default=None),
    )
    assert any(point.is_blind for point in kept) == any(point.is_blind for point in points)


@given(VALUES)
def test_everything_is_inside_the_frame(values):
    found = drawn(line(*values), minutes=400)

    for path in found.paths:
        for x, y in corners(path.split("h")[0]):
            assert -2 <= x <= 1000
            assert 0 <= y <= 100
    for x, width in found.bands:
        assert 0 <= x <= x + width <= 100.000001
