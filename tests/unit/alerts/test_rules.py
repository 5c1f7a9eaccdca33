"""What an alert means, given what is known of it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.alerts.rules import LATE_COPY, MAX_ATTEMPTS, Known, Verdict, judge, learned, next_try

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


def minutes(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


FIRING = Known(True, starts_at=NOON, event_at=NOON, seen_at=minutes(1))
OVER = Known(False, starts_at=NOON, event_at=minutes(5), seen_at=minutes(6))


@pytest.mark.parametrize(
    ("known", "firing", "starts", "event", "seen", "verdict"),
    [
        (None, True, 0, 0, 1, Verdict.FIRES),
        (FIRING, True, 0, 0, 2, Verdict.REPEATS),
        (FIRING, False, 0, 5, 6, Verdict.RESOLVES),
        (FIRING, False, -9, -5, 6, Verdict.LATE),  # the end of an earlier time
        (OVER, True, 0, 0, 6.5, Verdict.LATE),  # a late copy of its own trigger
        (OVER, True, 7, 7, 8, Verdict.FIRES),
        (OVER, True, 5, 5, 6, Verdict.FIRES),  # starts the moment it ended
        (OVER, False, 0, 5, 7, Verdict.OVER),
        (None, False, 0, 5, 6, Verdict.OVER),  # a resolve before its trigger
    ],
)
def test_an_alert_is_judged_by_what_is_known(known, firing, starts, event, seen, verdict):
    assert (
        judge(
            known,
            firing=firing,
            starts_at=minutes(starts),
            event_at=minutes(event),
            seen_at=minutes(seen),
        )
        is verdict
    )


def test_an_old_start_told_long_after_the_end_is_an_alert_that_never_stopped():
    told = OVER.seen_at + LATE_COPY

    verdict = judge(OVER, firing=True, starts_at=NOON, event_at=NOON, seen_at=told)

    assert verdict is Verdict.FIRES


def test_a_resolve_before_its_trigger_is_kept_as_a_tombstone():
    known = learned(None, Verdict.OVER, starts_at=NOON, event_at=minutes(5), seen_at=minutes(6))

    late = judge(known, firing=True, starts_at=NOON, event_at=NOON, seen_at=minutes(6.5))

    assert late is Verdict.LATE


events = st.tuples(st.booleans(), st.integers(0, 20), st.integers(0, 20))


@given(st.lists(events, max_size=12))
def test_what_is_known_never_grows_older(told):
    known = None
    for seen, (firing, starts, length) in enumerate(told):
        starts_at = minutes(starts)
        event_at = starts_at if firing else minutes(starts + length)
        facts = {"starts_at": starts_at, "event_at": event_at, "seen_at": minutes(seen)}
        verdict = judge(known, firing=firing, **facts)
        after = learned(known, verdict, **facts)
        if verdict is Verdict.LATE:
            assert after == known
        if known is not None and verdict is not Verdict.FIRES:
            assert after.event_at >= known.event_at
        known = after


def test_a_failing_delivery_is_tried_again_later_and_later_and_then_laid_aside():
    waits = [next_try(attempts, at=NOON) for attempts in range(1, MAX_ATTEMPTS + 1)]

    assert waits[:-1] == sorted(wait for wait in waits[:-1] if wait)
    assert waits[-1] is None
