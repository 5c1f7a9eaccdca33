from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.integrations.pagerduty.rules import backoff, wait_for_room

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
CHANCE = st.floats(0, 1)


@pytest.mark.parametrize(
    ("attempts", "retry_after", "shortest", "longest"),
    [
        (1, None, 2, 5),
        (2, None, 22.5, 37.5),
        (3, None, 45, 75),
        (4, None, 90, 150),
        (5, None, 180, 300),
        (6, None, 300, 300),
        (500, None, 300, 300),
        (1, 0, 22.5, 37.5),
        (1, 60, 60, 66),
        (6, 10, 300, 300),
        (1, 86_400, 900, 990),
    ],
)
def test_the_wait_grows_from_seconds_to_five_minutes(attempts, retry_after, shortest, longest):
    waits = [
        backoff(attempts, retry_after, lambda chance=chance: chance).total_seconds()
        for chance in (0.0, 1.0)
    ]

    assert [round(wait, 3) for wait in waits] in ([shortest, longest], [shortest, shortest])


@given(st.integers(0, 10_000), st.none() | st.floats(0, 900), CHANCE)
def test_nobody_comes_back_earlier_than_asked(attempts, retry_after, chance):
    wait = backoff(attempts, retry_after, lambda: chance).total_seconds()

    assert max(2, (retry_after or 0) - 0.000_001) <= wait <= 990


def test_a_full_minute_is_waited_for_in_the_order_of_the_messages():
    oldest = NOON - timedelta(seconds=45)

    def wait(ahead: int) -> float:
        return wait_for_room(oldest, ahead, at=NOON, random=lambda: 0.0).total_seconds()

    assert [wait(0), wait(99), wait(100), wait(250)] == [15, 15, 75, 135]
