from datetime import UTC, datetime, timedelta

import pytest

from app.integrations.pagerduty.rules import (
    CLOSED,
    OVER,
    REPLACED,
    STALE_AFTER,
    Action,
    Waiting,
    next_to_send,
)

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
LETTERS = {"T": Action.TRIGGER, "A": Action.ACKNOWLEDGE, "R": Action.RESOLVE}


def lane(written: str) -> list[Waiting]:
    """`T A? R!`: a question mark is a try without an answer, an exclamation mark is long ago."""
    return [
        Waiting(
            number,
            LETTERS[word[0]],
            NOON - STALE_AFTER - timedelta(seconds=1) if "!" in word else NOON,
            may_have_arrived="?" in word,
        )
        for number, word in enumerate(written.split(), start=1)
    ]


@pytest.mark.parametrize(
    ("waiting", "sent", "overtaken"),
    [
        ("", None, {}),
        ("T", 1, {}),
        ("T A", 1, {}),
        ("T R", 1, {}),
        ("A", 1, {}),
        ("R", 1, {}),
        ("T T T", 3, {1: REPLACED, 2: REPLACED}),
        ("T A T", 3, {1: REPLACED}),
        ("A A", 2, {1: REPLACED}),
        ("A R", 2, {1: CLOSED}),
        ("T A R", 1, {2: CLOSED}),
        ("T! A R", None, {1: OVER, 2: CLOSED, 3: OVER}),
        ("T! T R", 2, {1: REPLACED}),
        ("T! T! R", None, {1: REPLACED, 2: OVER, 3: OVER}),
        ("T?! R", 2, {1: OVER}),
        ("T?! T! R", 3, {1: REPLACED, 2: OVER}),
        ("T? R", 1, {}),
        ("T!", 1, {}),
        ("T! R T", 3, {1: OVER, 2: OVER}),
        ("R T", 1, {}),
        ("T R T", 1, {}),
    ],
)
def test_a_lane_sends_what_leads_to_the_wanted_state(waiting, sent, overtaken):
    chosen, needless = next_to_send(lane(waiting), at=NOON)

    assert (chosen and chosen.id, needless) == (sent, overtaken)


def test_an_alert_that_pagerduty_may_hold_open_is_always_resolved():
    chosen, needless = next_to_send(lane("T! R"), at=NOON, told=True)

    assert (chosen.id, needless) == (2, {1: OVER})


def test_a_page_is_stale_only_after_ten_minutes():
    waiting = [
        Waiting(1, Action.TRIGGER, NOON - timedelta(minutes=10)),
        Waiting(2, Action.RESOLVE, NOON),
    ]

    assert next_to_send(waiting, at=NOON)[0].id == 1
    assert next_to_send(waiting, at=NOON + timedelta(seconds=1))[0] is None
