import pytest
from recommender.breaker import Breaker


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(clock) -> Breaker:
    breaker = Breaker(failures=3, cool_down=2, clock=clock)
    for _ in range(3):
        breaker.failed()
    return breaker


def test_it_opens_only_after_failures_in_a_row(clock):
    breaker = Breaker(failures=3, cool_down=2, clock=clock)
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert not breaker.is_open
    assert breaker.lets_through()


def test_an_open_breaker_lets_nothing_through_until_it_has_cooled_down(opened, clock):
    clock.seconds = 1.9
    assert opened.is_open
    assert not opened.lets_through()


def test_one_trial_goes_through_and_the_others_wait_for_it(opened, clock):
    clock.seconds = 2
    assert opened.lets_through()
    assert not opened.lets_through()


def test_a_trial_that_succeeds_closes_it(opened, clock):
    clock.seconds = 2
    opened.lets_through()
    opened.succeeded()
    assert not opened.is_open


def test_a_trial_that_fails_keeps_it_open(opened, clock):
    clock.seconds = 2
    opened.lets_through()
    opened.failed()
    clock.seconds = 3.9
    assert not opened.lets_through()


def test_a_trial_that_never_came_back_is_followed_by_another(opened, clock):
    clock.seconds = 2
    opened.lets_through()
    clock.seconds = 4
    assert opened.lets_through()
