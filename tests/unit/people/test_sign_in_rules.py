from datetime import UTC, datetime, timedelta

import pytest

from app.people.rules import (
    TRIES_BY_ACCOUNT,
    TRIES_BY_ADDRESS,
    WINDOW,
    in_minutes,
    refusal_of_email,
    refusal_of_password,
    throttled_address,
    tries_left,
    wait_before_next_try,
)

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


def failures(count, *, seconds_ago=0):
    return [NOON - timedelta(seconds=seconds_ago + number) for number in range(count)]


def test_the_last_try_an_account_has_needs_no_wait():
    assert wait_before_next_try(failures(TRIES_BY_ACCOUNT - 1), [], at=NOON) == 0


def test_after_its_last_try_an_account_waits_until_the_oldest_failure_is_forgotten():
    wait = wait_before_next_try(failures(TRIES_BY_ACCOUNT, seconds_ago=60), [], at=NOON)

    oldest = NOON - timedelta(seconds=60 + TRIES_BY_ACCOUNT - 1)
    assert NOON + timedelta(seconds=wait) > oldest + WINDOW
    assert NOON + timedelta(seconds=wait - 2) < oldest + WINDOW


def test_an_office_behind_one_address_gets_more_tries_than_one_account():
    assert wait_before_next_try([], failures(TRIES_BY_ADDRESS - 1), at=NOON) == 0
    assert wait_before_next_try([], failures(TRIES_BY_ADDRESS), at=NOON) > 0


@pytest.mark.parametrize(
    ("failed", "sentence"),
    [
        (1, "You have 4 tries left, then wait 15 minutes."),
        (4, "You have 1 try left, then wait 15 minutes."),
        (5, "Wait 15 minutes before the next try."),
    ],
)
def test_tries_left_are_said(failed, sentence):
    assert tries_left(failed) == sentence


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1, "1 second"), (90, "90 seconds"), (91, "2 minutes"), (900, "15 minutes")],
)
def test_a_wait_is_said_in_seconds_when_short_and_never_too_short(seconds, said):
    assert in_minutes(seconds) == said


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unix:", "unix:"),
    ],
)
def test_a_whole_ipv6_line_counts_as_one_address(address, counted_as):
    assert throttled_address(address) == counted_as


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("a few plain words", None),
        ("short", "Use at least 12 characters. A few words in a row are fine."),
        ("x" * 201, "Use at most 200 characters."),
        ("abababababab", "Use at least 5 different characters."),
        ("Ada@Example.com ", "Your email address is the first thing anyone would try."),
    ],
)
def test_passwords_that_would_be_guessed_are_refused(password, why):
    assert refusal_of_password(password, email="ada@example.com") == why


@pytest.mark.parametrize("email", ["ada@example.com", "ops@corp", "ada+baton@example.test"])
def test_addresses_of_any_domain_are_fine(email):
    assert refusal_of_email(email) is None


@pytest.mark.parametrize("email", ["", "ada", "ada@", "@example.com", "ada @example.com", "a@b@c"])
def test_what_is_no_address_is_refused(email):
    assert refusal_of_email(email) == "An email address looks like name@example.com."


def test_an_address_that_no_column_can_hold_is_refused():
    assert refusal_of_email("a" * 250 + "@b.example") is not None
