import random
import threading
from datetime import timedelta

import pytest

from app.core.db import db
from app.core.metrics import OUTBOX_LAG_SECONDS
from app.integrations import Gateways
from app.integrations.pagerduty import jobs, outbox, sending
from app.integrations.pagerduty.client import PagerDuty
from app.integrations.pagerduty.rules import (
    CALLS_PER_MINUTE,
    FULL,
    OVER,
    REPLACED,
    Action,
    Answer,
    Outcome,
)
from app.integrations.pagerduty.sandbox import Fault, SandboxPager, Trouble
from tests.integration.pagerduty.rows import messages, states, wake_ups


class Killed(BaseException):
    """What SIGKILL is to the code: nothing runs after it."""


class DyingPager:
    """Hands the message on, and dies before anybody learns of it."""

    def __init__(self, pager):
        self.pager = pager

    def send(self, message):
        self.pager.send(message)
        raise Killed


def test_a_lane_is_sent_in_order_until_it_is_empty(write, pager, clock):
    for action in ("trigger", "acknowledge"):
        lane = write(action)
    jobs.send_lane(lane)
    jobs.send_lane(write("resolve"))

    assert pager.actions == ["trigger", "acknowledge", "resolve"]
    assert states() == ["sent"] * 3
    assert {message.answer for message in messages()} == {"PagerDuty took it."}
    assert {message.attempts for message in messages()} == {1}


def test_nothing_outside_is_called_inside_a_transaction(app, write, clock):
    seen = []

    class Watching:
        def send(self, _message):
            seen.append((db.session.info.get("in_unit"), db.session().in_transaction()))
            return Answer(Outcome.ACCEPTED, "Taken.")

    app.extensions["gateways"] = Gateways(pager=Watching())
    jobs.send_lane(write())

    assert seen == [(False, False)]


def test_a_failed_message_waits_and_holds_back_the_later_ones(write, pager, clock):
    lane = write()
    pager.fail()
    jobs.send_lane(lane)
    [message] = messages()
    assert (message.state, message.attempts) == ("waiting", 1)
    assert message.answer == "No connection to PagerDuty."
    wait = (message.next_try_at - clock.at).total_seconds()
    assert 2 <= wait <= 5
    assert wake_ups()[-1] == (lane, pytest.approx(wait, abs=1.1))  # kept in whole seconds

    jobs.send_lane(write("acknowledge"))
    assert pager.sent == []

    clock.forward(seconds=5)
    jobs.send_lane(lane)
    assert pager.actions == ["trigger", "acknowledge"]


def test_a_new_page_does_not_jump_the_queue_of_a_failing_lane(write, pager, clock):
    lane = write()
    pager.fail(times=2, retry_after=60)
    jobs.send_lane(lane)
    jobs.send_lane(write())
    assert len(pager.next_answers) == 1  # it was not even tried

    clock.forward(seconds=70)
    jobs.send_lane(lane)

    older, newer = messages()
    assert (older.state, older.answer) == ("overtaken", REPLACED)
    assert (newer.state, newer.attempts) == ("waiting", 2)  # it goes on where the other was


def test_a_refused_page_is_final_and_the_rest_goes_on(write, pager, clock):
    lane = write()
    write("acknowledge")
    pager.refuse()
    jobs.send_lane(lane)

    assert states() == ["refused", "sent"]
    assert messages()[0].settled_at == clock.at


def test_too_many_calls_are_waited_out_as_long_as_pagerduty_says(write, pager, clock):
    pager.next_answers.append(Answer(Outcome.TRY_AGAIN, FULL, 45.0, may_have_arrived=False))
    jobs.send_lane(write())

    wait = (messages()[0].next_try_at - clock.at).total_seconds()
    assert 45 <= wait <= 50


def test_a_page_that_never_got_through_is_dropped_when_it_is_over(write, pager, clock):
    lane = write()
    pager.fail()
    jobs.send_lane(lane)
    clock.forward(minutes=11)
    jobs.send_lane(write("resolve"))

    assert pager.sent == []
    assert [(str(message.state), message.answer) for message in messages()] == [
        ("overtaken", OVER)
    ] * 2


def test_a_page_that_may_have_got_through_is_resolved_however_late(write, pager, clock):
    lane = write()
    pager.next_answers.append(Answer(Outcome.TRY_AGAIN, "No answer from PagerDuty in time."))
    jobs.send_lane(lane)
    clock.forward(minutes=11)
    jobs.send_lane(write("resolve"))

    assert pager.actions == ["resolve"]
    assert states() == ["overtaken", "sent"]


def test_an_open_incident_at_pagerduty_is_resolved_though_its_repeat_never_got_through(
    write, pager, clock
):
    jobs.send_lane(write())
    write()
    clock.forward(minutes=11)
    jobs.send_lane(write("resolve"))

    assert pager.actions == ["trigger", "resolve"]
    assert pager.open_incidents() == []


def test_a_worker_killed_after_sending_sends_the_same_once_more(app, write, pager, clock):
    lane = write()
    app.extensions["gateways"] = Gateways(pager=DyingPager(pager))
    with pytest.raises(Killed):
        jobs.send_lane(lane)
    app.extensions["gateways"] = Gateways(pager=pager)

    jobs.send_lane(lane)
    assert pager.actions == ["trigger"]  # the dead one's claim still holds

    clock.forward(seconds=31)
    jobs.send_lane(lane)
    assert pager.actions == ["trigger", "trigger"]
    assert len(pager.incidents) == 1
    assert [(str(message.state), message.attempts) for message in messages()] == [("sent", 2)]


def test_a_page_whose_sender_was_killed_counts_as_sent_when_it_is_over(app, write, pager, clock):
    lane = write()
    app.extensions["gateways"] = Gateways(pager=DyingPager(pager))
    with pytest.raises(Killed):
        jobs.send_lane(lane)
    app.extensions["gateways"] = Gateways(pager=pager)
    clock.forward(minutes=11)

    jobs.send_lane(write("resolve"))

    assert pager.open_incidents() == []


def test_an_answer_that_comes_after_the_claim_ran_out_changes_nothing(write, pager, clock):
    lane = write()
    late = sending.claim_next(lane, at=clock.at)
    clock.forward(seconds=31)
    jobs.send_lane(lane)

    sending.record(late, Answer(Outcome.REFUSED, "Too late."), at=clock.at)

    assert states() == ["sent"]


def test_two_workers_never_send_one_lane_at_once(app, draft, clock):
    lanes = [f"incident-{number}" for number in range(3)]
    drafts = [
        draft(action, key) for key in lanes for action in ("trigger", "acknowledge", "resolve")
    ]
    outbox.write_many(drafts, at=clock.at)
    busy, sent, overlaps = set(), [], []

    class Watching:
        def send(self, message):
            if message.dedup_key in busy:
                overlaps.append(message)
            busy.add(message.dedup_key)
            threading.Event().wait(0.01)
            sent.append((message.dedup_key, str(message.action)))
            busy.discard(message.dedup_key)
            return Answer(Outcome.ACCEPTED, "Taken.")

    app.extensions["gateways"] = Gateways(pager=Watching())
    names = {message.lane for message in messages()}
    start = threading.Barrier(6)

    def work():
        with app.app_context():
            start.wait()
            for lane in names:
                jobs.send_lane(lane)
            db.session.remove()

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for lane in names:
        jobs.send_lane(lane)

    assert overlaps == []
    for key in lanes:
        assert [action for sent_to, action in sent if sent_to == key] == ["trigger", "resolve"]


def test_a_key_is_called_a_hundred_times_a_minute_at_most(app, draft, pager, clock):
    pages = [draft("trigger", f"incident-{number}") for number in range(CALLS_PER_MINUTE + 2)]
    outbox.write_many([*pages, draft("trigger", "of another team", key="b" * 32)], at=clock.at)
    for message in messages():
        jobs.send_lane(message.lane)

    assert len(pager.sent) == CALLS_PER_MINUTE + 1
    waiting = [message for message in messages() if message.state == "waiting"]
    assert [message.attempts for message in waiting] == [0, 0]
    for message in waiting:
        assert timedelta(minutes=1) <= message.next_try_at - clock.at <= timedelta(seconds=65)
        assert any(lane == message.lane and delay for lane, delay in wake_ups())

    clock.forward(seconds=66)
    for message in waiting:
        jobs.send_lane(message.lane)
    assert len(pager.sent) == CALLS_PER_MINUTE + 3


def test_the_sweep_wakes_a_lane_whose_wake_up_never_came(write, pager, clock):
    lane = write()
    jobs.sweep()
    assert len(wake_ups()) == 1  # its own is still on the way

    clock.forward(seconds=11)
    jobs.sweep()
    jobs.sweep()
    assert wake_ups() == [(lane, None)] * 2


def test_the_sweep_leaves_alone_what_is_sent_waits_or_is_being_sent(write, pager, clock):
    jobs.send_lane(write("trigger", "sent"))
    pager.fail(retry_after=120)
    jobs.send_lane(write("trigger", "waits"))
    clock.forward(seconds=20)
    sending.claim_next(write("trigger", "being sent"), at=clock.at)
    clock.forward(seconds=11)
    before = len(wake_ups())

    jobs.sweep()

    assert len(wake_ups()) == before


def test_the_sweep_takes_over_from_a_dead_worker(write, clock):
    lane = write()
    sending.claim_next(lane, at=clock.at)
    clock.forward(seconds=31)

    jobs.sweep()

    assert wake_ups() == [(lane, None)] * 2


def test_every_message_has_its_lag_measured(app, write, pager, clock):
    def measured():
        [family] = OUTBOX_LAG_SECONDS.collect()
        return next(s.value for s in family.samples if s.name.endswith("_sum"))

    before = measured()
    lane = write()
    clock.forward(seconds=3)
    jobs.send_lane(lane)

    assert measured() - before == pytest.approx(3)


@pytest.mark.parametrize("seed", range(2))
def test_after_any_failures_pagerduty_is_where_it_is_wanted(app, draft, clock, seed):
    """The real client, the sandbox and the database, through a random bad day."""
    chance = random.Random(seed)
    sandbox = SandboxPager(None, calls_per_minute=10**6)
    real = PagerDuty(sandbox)
    wanted = {f"incident-{number}": "resolved" for number in range(6)}

    def send(lane):
        dies = chance.random() < 0.15
        app.extensions["gateways"] = Gateways(pager=DyingPager(real) if dies else real)
        if chance.random() < 0.4:
            sandbox.inject(Fault(chance.choice([*Trouble])))
        try:
            jobs.send_lane(lane)
        except Killed:
            db.session.rollback()

    for _ in range(60):
        key = chance.choice([*wanted])
        action = chance.choice([*Action])
        if action is Action.TRIGGER or wanted[key] != "resolved":
            outbox.write(draft(str(action), key, key=None), at=clock.at)
            if not (action is Action.TRIGGER and wanted[key] == "acknowledged"):
                wanted[key] = {"trigger": "triggered", "acknowledge": "acknowledged"}.get(
                    str(action), "resolved"
                )
        clock.forward(seconds=chance.choice([0, 5, 40, 400]))
        for lane in {message.lane for message in messages() if message.state == "waiting"}:
            if chance.random() < 0.5:
                send(lane)
        opened = [i.dedup_key for i in sandbox.incidents(1000) if i.status != "resolved"]
        assert len(opened) == len(set(opened))

    sandbox.store.rows("DELETE FROM faults")
    app.extensions["gateways"] = Gateways(pager=real)
    while waiting := {message.lane for message in messages() if message.state == "waiting"}:
        clock.forward(minutes=6)
        for lane in waiting:
            jobs.send_lane(lane)

    found = {i.dedup_key: i.status for i in sandbox.incidents(1000) if i.status != "resolved"}
    assert found == {key: state for key, state in wanted.items() if state != "resolved"}
