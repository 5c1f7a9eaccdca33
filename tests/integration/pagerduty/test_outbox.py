from dataclasses import replace
from datetime import timedelta

import pytest

from app.core.db import unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.core.jobs import _client
from app.integrations.pagerduty import jobs, outbox
from app.integrations.pagerduty.outbox import Wiring
from app.integrations.pagerduty.rules import Action
from app.integrations.pagerduty.sync import Sync
from tests.integration.pagerduty.rows import messages, states, wake_ups


def test_a_message_and_its_wake_up_are_kept_together(write):
    lane = write()

    assert states() == ["waiting"]
    assert wake_ups() == [(lane, None)]


def test_neither_is_kept_when_the_change_fails(app, draft, at):
    @unit_of_work()
    def change():
        outbox.write(draft(), at=at)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()

    assert (states(), wake_ups()) == ([], [])


def test_a_lane_is_one_routing_key_and_one_dedup_key(write):
    lanes = [
        write("trigger", "incident-7"),
        write("resolve", "incident-7"),
        write("trigger", "incident-8"),
        write("trigger", "incident-7", key="b" * 32),
        write("trigger", "incident-7", key=None),
    ]

    assert lanes[0] == lanes[1]
    assert len(set(lanes)) == 4
    hashes = [message.key_hash for message in messages()]
    assert hashes[0] == hashes[2] != hashes[3]


def test_the_routing_key_is_not_in_the_row_in_plain_text(write):
    write(key="b" * 32)

    [message] = messages()
    assert not any("b" * 32 in str(value) for value in vars(message).values())


def test_an_event_is_cut_before_it_is_stored(app, draft, at):
    page = replace(
        draft(), event={"payload": {"summary": "é" * 3000, "custom_details": {"psi": float("nan")}}}
    )

    outbox.write(page, at=at)

    payload = messages()[0].event["payload"]
    assert payload["summary"] == "é" * 1024
    assert payload["custom_details"] == {"psi": "nan"}


def test_a_storm_is_written_with_one_insert_and_one_job_for_each_lane(app, draft, at, queries):
    drafts = [draft("trigger", f"incident-{number % 20}") for number in range(200)]

    statements = queries(lambda: outbox.write_many(drafts, at=at))

    assert len(messages()) == 200
    assert len(wake_ups()) == 20
    assert statements < 80  # twenty jobs cost two or three each


def test_a_storm_of_many_lanes_leaves_waking_them_to_one_job(app, draft, at):
    drafts = [draft("trigger", f"incident-{number}") for number in range(60)]

    outbox.write_many(drafts, at=at)

    assert wake_ups() == []
    [later] = _client().list_workflows(name=outbox.WAKE_LANES, load_input=True)
    jobs.wake_lanes(*later.input["args"])
    assert sorted(lane for lane, _ in wake_ups()) == sorted(row.lane for row in messages())


def test_nothing_to_write_writes_nothing(app, at):
    outbox.write_many([], at=at)

    assert states() == []


def test_messages_of_an_incident_come_newest_first(write):
    for action in ("trigger", "acknowledge", "resolve"):
        write(action)

    assert [str(message.action) for message in outbox.of_incident(7)] == [
        "resolve",
        "acknowledge",
        "trigger",
    ]
    assert outbox.of_incident(8) == []


def test_what_follows_a_page_finds_the_newest_of_each_lane(write):
    write("trigger", "incident-7")
    write("trigger", "incident-7")
    write("acknowledge", "incident-7")
    write("trigger", "incident-7", key="b" * 32)

    found = outbox.triggers_of([7])

    assert [(message.id, message.action) for message in found] == [
        (2, Action.TRIGGER),
        (4, Action.TRIGGER),
    ]
    assert outbox.triggers_of([]) == []


def test_a_secret_that_cannot_be_read_does_not_stop_the_incident(app, draft, at, pager, clock):
    outbox.write(replace(draft(), routing_key_encrypted="from another key"), at=at)
    jobs.send_lane(messages()[0].lane)

    [message] = messages()
    assert message.state == "refused"
    assert message.answer.startswith("A stored secret can't be read: BATON_SECRET_KEY")
    assert pager.sent == []


def test_a_refused_message_is_sent_again_on_request(write, pager, clock):
    lane = write()
    pager.refuse("PagerDuty refuses it: no such key.")
    jobs.send_lane(lane)
    assert [(message.state, message.answer) for message in messages()] == [
        ("refused", "PagerDuty refuses it: no such key.")
    ]

    outbox.retry(1, at=clock.at)
    jobs.send_lane(lane)

    assert (states(), pager.actions) == (["sent"], ["trigger"])
    assert len(wake_ups()) == 2


def test_a_refused_page_can_move_to_a_mended_key(app, draft, write, pager, clock):
    lane = write()
    pager.refuse()
    jobs.send_lane(lane)
    mended = draft(key="b" * 32)

    outbox.retry(1, at=clock.at, wiring=Wiring("Serving", mended.routing_key_encrypted, "eu"))
    [message] = messages()
    jobs.send_lane(message.lane)

    assert message.lane != lane
    assert [(sent.routing_key, sent.region) for sent in pager.sent] == [("b" * 32, "eu")]


@pytest.mark.parametrize("sent_meanwhile", ["trigger", "resolve"])
def test_a_refused_message_that_was_followed_stays_refused(write, pager, clock, sent_meanwhile):
    lane = write()
    pager.refuse()
    jobs.send_lane(lane)
    write(sent_meanwhile)

    with pytest.raises(RefusedError, match="A later message went out since"):
        outbox.retry(1, at=clock.at)


def test_only_a_refused_message_can_be_sent_again(write, pager, clock):
    write()

    with pytest.raises(ConflictError, match="This message is waiting by now"):
        outbox.retry(1, at=clock.at)
    with pytest.raises(NotFoundError):
        outbox.retry(404, at=clock.at)


def test_the_sync_state_follows_the_messages(write, pager, clock):
    def word():
        return outbox.sync_state(7, at=clock.at).word

    assert word() == "Not connected"
    lane = write()
    assert word() == "Sending 1"
    pager.fail()
    jobs.send_lane(lane)
    assert word() == "Not reachable"
    clock.forward(seconds=6)
    jobs.send_lane(lane)
    assert word() == "In sync"
    pager.refuse()
    write("acknowledge")
    jobs.send_lane(lane)
    assert word() == "Behind"


def test_pages_without_a_key_are_not_connected(write, pager, clock):
    jobs.send_lane(write(key=None))

    assert outbox.sync_state(7, at=clock.at).sync is Sync.NOT_CONNECTED
    assert pager.sent[0].routing_key is None


def test_the_depth_and_age_of_the_queue_are_known(write, pager, clock):
    assert (outbox.queue_depth(), outbox.oldest_waiting_age(at=clock.at)) == (0, None)
    write()
    clock.forward(seconds=90)
    lane = write("trigger", "incident-8")

    assert (outbox.queue_depth(), outbox.oldest_waiting_age(at=clock.at)) == (2, 90.0)
    jobs.send_lane(lane)
    assert outbox.queue_depth() == 1


def test_clocks_that_differ_make_no_negative_age(write, clock):
    write()

    assert outbox.oldest_waiting_age(at=clock.at - timedelta(seconds=5)) == 0.0
