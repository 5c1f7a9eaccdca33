from datetime import UTC, datetime, timedelta

import pytest

from app.integrations.pagerduty.rules import FULL, Action, MessageState
from app.integrations.pagerduty.sync import Standing, Sync, sync_state_of

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
T, A, R = Action.TRIGGER, Action.ACKNOWLEDGE, Action.RESOLVE
WAITING, SENT, REFUSED = MessageState.WAITING, MessageState.SENT, MessageState.REFUSED


def standings(*told, sandbox=False):
    return [
        Standing(number, "lane", action, state, sandbox, attempts, NOON - age, answer)
        for number, (action, state, attempts, age, answer) in enumerate(told)
    ]


def told(action, state, attempts=0, age=timedelta(0), answer=""):
    return action, state, attempts, age, answer


MINUTES = timedelta(minutes=2)
DOWN = "No connection to PagerDuty."


@pytest.mark.parametrize(
    ("messages", "word"),
    [
        ([], "Not connected"),
        ([told(T, SENT, 1)], "In sync"),
        ([told(T, WAITING)], "Sending 1"),
        ([told(T, WAITING), told(A, WAITING)], "Sending 2"),
        ([told(T, SENT, 1), told(A, WAITING, 1)], "Sending 1"),
        ([told(T, WAITING, 0, MINUTES)], "Behind"),
        ([told(T, WAITING, 1, answer=FULL)], "Behind"),
        ([told(T, WAITING, 3, MINUTES, DOWN)], "Not reachable"),
        ([told(T, WAITING, 3, MINUTES, DOWN), told(R, WAITING)], "Not reachable"),
        ([told(T, REFUSED, 1, answer="No.")], "Behind"),
        ([told(T, REFUSED, 1, answer="No."), told(A, SENT, 1)], "Behind"),
        ([told(T, REFUSED, 1, answer="No."), told(T, SENT, 1)], "In sync"),
        ([told(T, REFUSED, 1, answer="No."), told(R, SENT, 1)], "In sync"),
        ([told(T, SENT, 1), told(T, MessageState.OVERTAKEN)], "In sync"),
    ],
)
def test_the_word_says_whether_pagerduty_knows(messages, word):
    assert sync_state_of(standings(*messages), at=NOON).word == word


def test_pages_to_the_sandbox_are_not_connected_however_well_they_went():
    state = sync_state_of(standings(told(T, SENT, 1), sandbox=True), at=NOON)

    assert state.sync is Sync.NOT_CONNECTED


def test_what_stands_in_the_way_is_said():
    assert sync_state_of(standings(told(T, WAITING, 2, MINUTES, DOWN)), at=NOON).sentence == DOWN
    assert sync_state_of(standings(told(T, REFUSED, 1, answer="No.")), at=NOON).sentence == "No."
