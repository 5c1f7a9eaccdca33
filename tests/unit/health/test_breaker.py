from datetime import UTC, datetime, timedelta

from app.health.breaker import LONGEST_REST, SILENCES, Breaker

AT = datetime(2026, 3, 12, 2, 0, tzinfo=UTC)


def broken(at=AT):
    breaker = Breaker()
    for _ in range(SILENCES):
        breaker.was_silent("serving:9000", at=at)
    return breaker


def test_a_host_is_asked_until_it_was_silent_three_times_in_a_row():
    breaker = Breaker()
    for _ in range(SILENCES - 1):
        breaker.was_silent("serving:9000", at=AT)

    assert breaker.lets("serving:9000", at=AT)
    breaker.was_silent("serving:9000", at=AT)
    assert not breaker.lets("serving:9000", at=AT)
    assert breaker.lets("serving:9001", at=AT)


def test_after_a_rest_one_look_is_let_through():
    breaker = broken()
    later = AT + timedelta(seconds=30)

    assert breaker.lets("serving:9000", at=later)
    assert not breaker.lets("serving:9000", at=later)


def test_rests_grow_up_to_five_minutes():
    breaker, at, rests = broken(), AT, []
    for _ in range(8):
        begin = at
        while not breaker.lets("serving:9000", at=at):
            at += timedelta(seconds=1)
        breaker.was_silent("serving:9000", at=at)
        rests.append(at - begin)

    assert rests == sorted(rests)
    assert rests[0] == timedelta(seconds=30)
    assert rests[-1] == LONGEST_REST


def test_an_answer_closes_it_and_forgets():
    breaker = broken()
    breaker.answered("serving:9000")

    assert breaker.lets("serving:9000", at=AT)
    breaker.was_silent("serving:9000", at=AT)
    assert breaker.lets("serving:9000", at=AT)
