"""Whatever happens on the way, PagerDuty ends where it is wanted, with one incident at a time.

The lane here is the outbox in small: rows in a list, the same rules, the real client, the sandbox.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.integrations.pagerduty.client import PagerDuty
from app.integrations.pagerduty.rules import Action, Outcome, Outgoing, Waiting, next_to_send
from app.integrations.pagerduty.sandbox import Fault, SandboxPager, Trouble

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
EVENT = {"payload": {"summary": "p99 612 ms", "source": "fraud", "severity": "error"}}
T, A, R = Action.TRIGGER, Action.ACKNOWLEDGE, Action.RESOLVE


@dataclass
class Row:
    id: int
    action: Action
    created_at: datetime
    may_have_arrived: bool = False
    waiting: bool = True
    sent: bool = False


@dataclass
class Lane:
    """One lane and those who write to it and send from it."""

    pager: PagerDuty
    sandbox: SandboxPager
    key: str
    rows: list[Row] = field(default_factory=list)
    at: datetime = NOON

    def write(self, action):
        """Baton acknowledges and resolves only what it has opened."""
        if action is T or self.wanted in (T, A):
            self.rows.append(Row(len(self.rows) + 1, action, self.at))

    @property
    def wanted(self):
        state = R
        for row in self.rows:
            state = A if (row.action, state) == (T, A) else row.action
        return state

    @property
    def told(self):
        resolved = max((row.id for row in self.rows if row.action is R and row.sent), default=0)
        return any(
            row.action is T and not row.waiting and row.may_have_arrived and row.id > resolved
            for row in self.rows
        )

    def send(self, trouble=None, *, dies=False):
        waiting = [
            Waiting(row.id, row.action, row.created_at, row.may_have_arrived)
            for row in self.rows
            if row.waiting
        ]
        chosen, overtaken = next_to_send(waiting, at=self.at, told=self.told)
        row = self.rows[chosen.id - 1] if chosen else None
        for number in overtaken:
            older = self.rows[number - 1]
            older.waiting = False
            if row is not None and older.action is row.action:
                row.may_have_arrived |= older.may_have_arrived
        if row is None:
            return
        tried_before, row.may_have_arrived = row.may_have_arrived, True
        if trouble:
            self.sandbox.inject(Fault(trouble))
        answer = self.pager.send(Outgoing(None, "us", self.key, row.action, EVENT))
        if dies:
            return
        if answer.outcome is Outcome.ACCEPTED:
            row.waiting, row.sent = False, True
        elif not answer.may_have_arrived:
            row.may_have_arrived = tried_before

    def incidents(self):
        found = self.sandbox.store.rows(
            "SELECT status FROM incidents WHERE incident_key = ? ORDER BY number", self.key
        )
        return [row["status"] for row in found]


@pytest.fixture(scope="module")
def pager():
    sandbox = SandboxPager(None, calls_per_minute=10**6)
    return PagerDuty(sandbox), sandbox


HAPPENINGS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from([T, A, R])),
    st.tuples(st.just("send"), st.none()),
    st.tuples(st.just("fail"), st.sampled_from([*Trouble])),
    st.tuples(st.just("die"), st.sampled_from([None, Trouble.LOSE_ANSWER, Trouble.DROP])),
    st.tuples(st.just("wait"), st.sampled_from([1, 6, 11])),
)


@given(st.lists(HAPPENINGS, max_size=25))
@example([("write", T), ("send", None), ("write", T), ("write", R), ("wait", 11)])
@settings(max_examples=300, deadline=None)
def test_any_order_of_events_failures_and_crashes_ends_in_the_wanted_state(pager, happenings):
    lane = Lane(*pager, key=uuid4().hex)
    for what, which in happenings:
        match what:
            case "write":
                lane.write(which)
            case "send":
                lane.send()
            case "fail":
                lane.send(which)
            case "die":
                lane.send(which, dies=True)
            case "wait":
                lane.at += timedelta(minutes=which)
        assert [status for status in lane.incidents() if status != "resolved"][1:] == []
    lane.sandbox.store.rows("DELETE FROM faults")
    while any(row.waiting for row in lane.rows):
        lane.send()

    open_ones = [status for status in lane.incidents() if status != "resolved"]
    assert open_ones == {T: ["triggered"], A: ["acknowledged"], R: []}[lane.wanted]
