"""One contract for whoever wakes people: the real client on the sandbox pager, and the fake."""

import pytest

from app.integrations import Gateways, Pager
from app.integrations.pagerduty.client import PagerDuty
from app.integrations.pagerduty.rules import Action, Outcome, Outgoing
from app.integrations.pagerduty.sandbox import SandboxPager
from tests.support.fakes import FakePager

EVENT = {"payload": {"summary": "p99 612 ms", "source": "fraud", "severity": "error"}}
T, A, R = Action.TRIGGER, Action.ACKNOWLEDGE, Action.RESOLVE


class OnSandbox:
    def __init__(self):
        self.sandbox = SandboxPager(None)
        self.pager = PagerDuty(self.sandbox)

    def statuses(self):
        return [incident.status for incident in reversed(self.sandbox.incidents())]


class OnFake:
    def __init__(self):
        self.pager = FakePager()

    def statuses(self):
        return [incident.status for incident in self.pager.incidents]


@pytest.fixture(params=[OnSandbox, OnFake], ids=["real client on the sandbox", "fake"])
def stage(request):
    return request.param()


@pytest.fixture
def send(stage):
    def send(action, dedup_key="incident-1", event=EVENT):
        pager: Pager = stage.pager
        return pager.send(Outgoing(None, "us", dedup_key, action, event))

    return send


@pytest.mark.parametrize(
    ("actions", "statuses"),
    [
        ([T], ["triggered"]),
        ([T, T], ["triggered"]),
        ([T, A], ["acknowledged"]),
        ([T, A, T], ["acknowledged"]),
        ([T, R], ["resolved"]),
        ([T, A, R], ["resolved"]),
        ([T, R, A], ["resolved"]),
        ([T, R, R], ["resolved"]),
        ([R, T], ["triggered"]),
        ([A, T], ["triggered"]),
        ([A], []),
        ([R], []),
        ([T, R, T], ["resolved", "triggered"]),
        ([T, R, T, T, A, R], ["resolved", "resolved"]),
    ],
)
def test_messages_of_one_key_lead_to_these_incidents(stage, send, actions, statuses):
    answers = [send(action) for action in actions]

    assert {answer.outcome for answer in answers} == {Outcome.ACCEPTED}
    assert stage.statuses() == statuses


def test_another_key_is_another_incident(stage, send):
    send(T, "incident-1")
    send(T, "incident-2")
    send(R, "incident-1")

    assert stage.statuses() == ["resolved", "triggered"]


@pytest.mark.parametrize(
    ("dedup_key", "event"),
    [
        ("k" * 256, EVENT),
        ("incident-1", {}),
        ("incident-1", {"payload": {**EVENT["payload"], "summary": "x" * 1025}}),
        ("incident-1", {"payload": {**EVENT["payload"], "severity": "SEV-1"}}),
        ("incident-1", {"payload": {"summary": "no source", "severity": "error"}}),
        ("incident-1", EVENT | {"links": [{"text": "nowhere"}]}),
        ("incident-1", EVENT | {"images": [{"src": "http://plain.test/psi.png"}]}),
    ],
)
def test_what_pagerduty_would_not_take_is_refused_for_ever(stage, send, dedup_key, event):
    answer = send(T, dedup_key, event)

    assert answer.outcome is Outcome.REFUSED
    assert stage.statuses() == []


def test_both_pagers_give_the_same_sentences():
    refused = Outgoing(None, "us", "k" * 256, T, EVENT)
    taken = Outgoing(None, "us", "incident-1", T, EVENT)
    real, fake = OnSandbox().pager, FakePager()

    assert [real.send(refused), real.send(taken)] == [fake.send(refused), fake.send(taken)]


def test_gateways_come_with_a_sandbox_to_look_into():
    assert Gateways(pager=FakePager()).sandbox.incidents() == []
