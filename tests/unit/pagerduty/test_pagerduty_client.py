import httpx2
import pytest

from app.integrations.pagerduty.client import SANDBOX_KEY, PagerDuty
from app.integrations.pagerduty.rules import FULL, Action, Outcome, Outgoing
from app.integrations.pagerduty.sandbox import Fault, SandboxPager, Trouble

EVENT = {"payload": {"summary": "p99 612 ms", "source": "fraud", "severity": "error"}}


@pytest.fixture
def sandbox():
    return SandboxPager(None)


@pytest.fixture
def pager(sandbox):
    return PagerDuty(sandbox)


def message(action=Action.TRIGGER, routing_key=None, event=EVENT):
    return Outgoing(routing_key, "us", "incident-1", action, event)


def test_the_sandbox_key_looks_like_pagerdutys():
    assert len(SANDBOX_KEY) == 32


def test_a_message_without_a_routing_key_goes_to_the_sandbox(pager, sandbox):
    answer = pager.send(message())

    assert (answer.outcome, answer.sentence) == (Outcome.ACCEPTED, "The sandbox pager took it.")
    [incident] = sandbox.incidents()
    assert (incident.title, incident.status) == ("p99 612 ms", "triggered")
    assert [call.action for call in incident.received] == ["trigger"]


def test_an_acknowledge_carries_no_payload(pager, sandbox):
    pager.send(message())
    pager.send(message(Action.ACKNOWLEDGE))

    [row] = sandbox.store.rows("SELECT body FROM received WHERE action = 'acknowledge'")
    assert row["body"] == '{"event_action":"acknowledge","dedup_key":"incident-1"}'


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520])
def test_trouble_at_pagerduty_is_waited_out(pager, sandbox, status):
    sandbox.inject(Fault(Trouble.STATUS, status=status))

    answer = pager.send(message())

    assert answer.outcome is Outcome.TRY_AGAIN
    assert answer.may_have_arrived
    assert str(status) in answer.sentence
    assert pager.send(message()).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 30), ("7", 7), ("0", 0), ("x", 30)])
def test_too_many_calls_are_spread_and_not_slept_through(pager, sandbox, retry_after, seconds):
    sandbox.inject(Fault(Trouble.STATUS, status=429, retry_after=retry_after))

    answer = pager.send(message())

    assert (answer.outcome, answer.sentence) == (Outcome.TRY_AGAIN, FULL)
    assert answer.retry_after == seconds
    assert not answer.may_have_arrived


def test_a_date_to_come_back_at_is_understood(pager, sandbox):
    sandbox.inject(Fault(Trouble.STATUS, status=503, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"))

    assert pager.send(message()).retry_after == 0


@pytest.mark.parametrize("status", [301, 401, 403, 404, 407, 408, 425])
def test_what_only_a_proxy_or_a_wrong_address_would_say_does_not_lose_the_page(
    pager, sandbox, status
):
    sandbox.inject(Fault(Trouble.STATUS, status=status))

    answer = pager.send(message())

    assert answer.outcome is Outcome.TRY_AGAIN
    assert str(status) in answer.sentence


def test_a_login_page_in_between_is_not_taken_for_success(pager, sandbox):
    sandbox.inject(Fault(Trouble.STATUS, status=200))

    answer = pager.send(message())

    assert answer.outcome is Outcome.TRY_AGAIN
    assert sandbox.incidents() == []


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_judgement_on_the_event_is_final(pager, sandbox, status):
    sandbox.inject(Fault(Trouble.STATUS, status=status))

    assert pager.send(message()).outcome is Outcome.REFUSED


def test_an_event_over_half_a_megabyte_is_refused(pager):
    details = {"values": "x" * 600_000}

    answer = pager.send(message(event={"payload": {**EVENT["payload"], "custom_details": details}}))

    assert answer.outcome is Outcome.REFUSED
    assert answer.sentence == "The sandbox pager refuses it: it is too large."


def test_a_refusal_is_told_in_pagerdutys_own_words(pager):
    answer = pager.send(message(event={"payload": {**EVENT["payload"], "summary": ""}}))

    assert answer.sentence == (
        "The sandbox pager refuses it: 'payload.summary' is missing or blank."
    )


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (Trouble.DROP, "The connection to the sandbox pager broke off before an answer came."),
        (Trouble.HANG, "No answer from the sandbox pager in time."),
    ],
)
def test_without_an_answer_the_message_may_have_arrived(pager, sandbox, trouble, sentence):
    sandbox.inject(Fault(trouble))

    answer = pager.send(message())

    assert (answer.outcome, answer.may_have_arrived) == (Outcome.TRY_AGAIN, True)
    assert answer.sentence == sentence


def test_a_lost_answer_and_a_second_try_make_one_incident(pager, sandbox):
    sandbox.inject(Fault(Trouble.LOSE_ANSWER))

    assert pager.send(message()).outcome is Outcome.TRY_AGAIN
    assert pager.send(message()).outcome is Outcome.ACCEPTED
    assert len(sandbox.incidents()) == 1


@pytest.mark.parametrize("failure", [httpx2.ConnectError, httpx2.ConnectTimeout])
def test_without_a_connection_nothing_arrived(sandbox, failure):
    class Unreachable(PagerDuty):
        def _new_client(self, message):
            client = super()._new_client(message)
            client._transport = httpx2.MockTransport(refuse)
            return client

    def refuse(_request):
        raise failure("no route")

    answer = Unreachable(sandbox).send(message(routing_key="R" * 32))

    assert (answer.outcome, answer.may_have_arrived) == (Outcome.TRY_AGAIN, False)
    assert answer.sentence.startswith("No connection to PagerDuty")


@pytest.mark.parametrize(
    ("region", "url"),
    [("us", "https://events.pagerduty.com"), ("eu", "https://events.eu.pagerduty.com")],
)
def test_each_region_has_its_own_address(sandbox, region, url):
    client = PagerDuty(sandbox)._client(
        Outgoing("R" * 32, region, "incident-1", Action.TRIGGER, EVENT)
    )

    assert client.url == url


def test_another_address_must_be_https(sandbox):
    with pytest.raises(ValueError, match="BATON_PAGERDUTY_EVENTS_URL must start with https"):
        PagerDuty(sandbox, events_url="http://pager.test")


def test_the_client_neither_sleeps_nor_repeats(sandbox):
    client = PagerDuty(sandbox)._client(message(routing_key="R" * 32))

    assert client.timeout == 4
    assert client.max_network_attempts == 0
    assert client.max_http_attempts == -1
    assert client.retry == {429: 1, 500: 0, 502: 0, 503: 0, 504: 0}


def test_no_sentence_and_no_trace_holds_the_routing_key(sandbox):
    key = "0123456789abcdef0123456789abcdef"

    class Quoting(PagerDuty):
        def _new_client(self, message):
            client = super()._new_client(message)
            client._transport = httpx2.MockTransport(quote)
            return client

    def quote(_request):
        return httpx2.Response(400, json={"errors": [f"Invalid routing key {key.upper()}"]})

    outgoing = message(routing_key=key)

    assert Quoting(sandbox).send(outgoing).sentence == (
        "PagerDuty refuses it: Invalid routing key (the key)."
    )
    assert key not in repr(outgoing)
