"""States and decisions of incidents."""

from datetime import UTC, datetime, timedelta

import pytest

from app.incidents.rules import (
    NEXT_STATES,
    Ended,
    State,
    mode_from_name,
    refusal_to_move,
    reopens,
    severity_of,
    still_fires,
)

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
TEN_MINUTES = timedelta(minutes=10)


@pytest.mark.parametrize("current", State)
@pytest.mark.parametrize("to", State)
def test_a_move_is_refused_exactly_when_it_leads_nowhere(current, to):
    assert (refusal_to_move(current, to) is None) is (to in NEXT_STATES[current])


def test_a_refusal_says_where_the_incident_stands():
    assert refusal_to_move(State.ACKNOWLEDGED, State.ACKNOWLEDGED) == (
        "This incident is already acknowledged."
    )
    assert "already resolved" in (refusal_to_move(State.RESOLVED, State.MITIGATED) or "")


@pytest.mark.parametrize(
    ("said", "severity"),
    [
        ("critical", 1),
        ("SEV-2", 2),
        ("Error", 2),
        ("warning", 3),
        ("info", 4),
        (" sev1 ", 1),
        ("P1", None),
        ("", None),
    ],
)
def test_a_senders_word_stands_for_a_severity(said, severity):
    assert severity_of(said) == severity


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("RecsysHomeP99High", "recsys_home_p99_high"),
        ("disk full on /var", "disk_full_on_var"),
        ("!!!", "unnamed"),
    ],
)
def test_an_unknown_alert_lends_its_name_to_the_failure_mode(name, mode):
    assert mode_from_name(name) == mode


@pytest.mark.parametrize(
    ("minutes", "by_hand", "again"), [(9, False, True), (11, False, False), (1, True, False)]
)
def test_only_what_ended_by_itself_just_now_comes_back(minutes, by_hand, again):
    ended = Ended(NOON, by_hand, noise=False)
    at = NOON + timedelta(minutes=minutes)

    assert reopens(ended, at=at, window=TEN_MINUTES) is again


@pytest.mark.parametrize(
    ("minutes", "noise", "speaks_up"), [(4, False, False), (5, False, True), (60, True, False)]
)
def test_an_alert_that_never_stopped_speaks_against_a_resolve_after_a_while(
    minutes, noise, speaks_up
):
    ended = Ended(NOON, by_hand=True, noise=noise)

    assert still_fires(ended, at=NOON + timedelta(minutes=minutes)) is speaks_up
