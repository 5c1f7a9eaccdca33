import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from app.integrations.pagerduty.sandbox import create_sandbox
from app.integrations.pagerduty.sandbox.store import Store
from app.integrations.pagerduty.sandbox.webhooks import WebhookSender

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
AUTHORIZATION = {"Authorization": "Bearer token"}
EVENTS = [
    "incident.triggered", "incident.acknowledged", "incident.resolved", "incident.annotated",
]  # fmt: skip


class Receiver:
    """Takes webhooks and answers with what it was told to."""

    def __init__(self):
        self.answers = []
        self.got = []

    def __call__(self, url, body, headers):
        self.got.append((url, body, headers))
        answer = self.answers.pop(0) if self.answers else 202
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def types(self):
        return [json.loads(body)["event"]["event_type"] for _, body, _ in self.got]


@pytest.fixture
def store():
    return Store(None)


@pytest.fixture
def api(store):
    return create_sandbox(store, clock=lambda: NOON).test_client()


@pytest.fixture
def receiver():
    return Receiver()


@pytest.fixture
def sender(store, receiver):
    return WebhookSender(store, receiver)


@pytest.fixture
def subscription(api):
    wanted = {
        "type": "webhook_subscription",
        "events": EVENTS,
        "filter": {"type": "account_reference"},
        "delivery_method": {
            "type": "http_delivery_method",
            "url": "https://baton.test/in/pagerduty",
            "custom_headers": [{"name": "X-Team", "value": "serving"}],
        },
    }
    reply = api.post(
        "/webhook_subscriptions", json={"webhook_subscription": wanted}, headers=AUTHORIZATION
    )
    return reply.json["webhook_subscription"]


@pytest.fixture
def tell(api, subscription):
    def tell(*actions, dedup_key="incident-1"):
        for action in actions:
            api.post(
                "/v2/enqueue",
                json={
                    "routing_key": "a" * 32,
                    "event_action": action,
                    "dedup_key": dedup_key,
                    "payload": {"summary": "p99", "source": "fraud", "severity": "error"},
                },
            )

    return tell


def is_signed(body, header, secret):
    wanted = "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return wanted in header.split(",")


def test_subscribers_are_told_what_happens_in_order(sender, receiver, tell):
    tell("trigger", "acknowledge", "resolve")

    assert sender.send_due(at=NOON) == 3
    assert receiver.types == EVENTS[:3]


def test_an_event_has_pagerdutys_shape(sender, receiver, tell, subscription):
    tell("trigger")
    sender.send_due(at=NOON)

    url, body, headers = receiver.got[0]
    event = json.loads(body)["event"]
    assert url == "https://baton.test/in/pagerduty"
    assert list(event) == [
        "id", "event_type", "resource_type", "occurred_at", "agent", "client", "data",
    ]  # fmt: skip
    assert (event["data"]["incident_key"], event["data"]["number"]) == ("incident-1", 1)
    assert headers["User-Agent"] == "PagerDuty-Webhook/V3.0"
    assert headers["X-Webhook-Subscription"] == subscription["id"]
    assert headers["X-Team"] == "serving"


def test_the_signature_is_made_with_the_secret_that_was_told_once(
    api, sender, receiver, tell, subscription
):
    tell("trigger")
    sender.send_due(at=NOON)

    _, body, headers = receiver.got[0]
    secret = subscription["delivery_method"]["secret"]
    assert is_signed(body, headers["X-PagerDuty-Signature"], secret)
    assert not is_signed(body + b" ", headers["X-PagerDuty-Signature"], secret)
    path = f"/webhook_subscriptions/{subscription['id']}"
    again = api.get(path, headers=AUTHORIZATION).json["webhook_subscription"]
    assert again["delivery_method"]["secret"] is None


def test_both_secrets_sign_while_one_takes_over(sender, receiver, tell, subscription):
    old = subscription["delivery_method"]["secret"]
    new = sender.rotate_secret(subscription["id"])
    tell("trigger")
    sender.send_due(at=NOON)
    sender.forget_old_secrets(subscription["id"])
    tell("resolve")
    sender.send_due(at=NOON)

    signed_by = [
        [is_signed(body, headers["X-PagerDuty-Signature"], secret) for secret in (old, new)]
        for _, body, headers in receiver.got
    ]
    assert signed_by == [[True, True], [False, True]]


@pytest.mark.parametrize("failure", [500, 503, 429, httpx2.ReadTimeout("slow")])
def test_a_failed_delivery_comes_again_under_its_id_and_holds_back_the_later_ones(
    sender, receiver, tell, failure
):
    tell("trigger", "acknowledge")
    receiver.answers = [failure]

    assert sender.send_due(at=NOON) == 0
    assert sender.send_due(at=NOON + timedelta(seconds=5)) == 0
    assert sender.send_due(at=NOON + timedelta(seconds=11)) == 2
    assert receiver.types == [EVENTS[0], EVENTS[0], EVENTS[1]]
    ids = [headers["X-Webhook-Id"] for _, _, headers in receiver.got]
    assert ids[0] == ids[1] != ids[2]


def test_one_incident_does_not_hold_back_another(sender, receiver, tell):
    tell("trigger", dedup_key="incident-1")
    tell("trigger", dedup_key="incident-2")
    receiver.answers = [500]

    assert sender.send_due(at=NOON) == 1


def test_after_two_days_a_delivery_is_given_up(sender, receiver, tell):
    tell("trigger", "resolve")
    receiver.answers = [500]

    assert sender.send_due(at=NOON + timedelta(hours=49)) == 1
    assert receiver.types == EVENTS[0:3:2]


def test_three_refusals_in_a_row_switch_the_subscription_off_for_a_day(
    api, sender, receiver, tell, subscription
):
    for number in range(5):
        tell("trigger", dedup_key=f"incident-{number}")
    receiver.answers = [400, 404, 410]

    assert sender.send_due(at=NOON) == 0
    assert len(receiver.got) == 3
    path = f"/webhook_subscriptions/{subscription['id']}"
    method = api.get(path, headers=AUTHORIZATION).json["webhook_subscription"]["delivery_method"]
    assert method["temporarily_disabled"]
    tell("resolve", dedup_key="incident-0")
    assert sender.send_due(at=NOON) == 0

    api.post(f"{path}/enable", headers=AUTHORIZATION)
    tell("resolve", dedup_key="incident-1")
    assert sender.send_due(at=NOON) == 1
    assert receiver.types[-1] == "incident.resolved"


def test_deliveries_can_come_twice_and_backwards(sender, receiver, tell):
    tell("trigger", "acknowledge")
    sender.repeat, sender.backwards = 1, True

    sender.send_due(at=NOON)

    assert receiver.types == [EVENTS[1], EVENTS[1], EVENTS[0], EVENTS[0]]
    assert len({headers["X-Webhook-Id"] for _, _, headers in receiver.got}) == 2


def test_resolving_with_a_note_tells_of_both(api, sender, receiver, tell):
    tell("trigger")
    api.put(
        "/incidents/1",
        json={"incident": {"status": "resolved", "resolution": "Rolled back"}},
        headers=AUTHORIZATION,
    )
    sender.send_due(at=NOON)

    assert receiver.types == ["incident.triggered", "incident.resolved", "incident.annotated"]
    note = json.loads(receiver.got[-1][1])["event"]["data"]
    assert note["content"] == "Resolution Note: Rolled back"


def test_a_ping_says_hello(api, sender, receiver, subscription):
    reply = api.post(f"/webhook_subscriptions/{subscription['id']}/ping", headers=AUTHORIZATION)
    sender.send_due(at=NOON)

    assert reply.status_code == 202
    assert receiver.types == ["pagey.ping"]


def test_nobody_is_told_of_events_they_did_not_ask_for(api, sender, receiver, tell, subscription):
    api.put(
        f"/webhook_subscriptions/{subscription['id']}",
        json={"webhook_subscription": {"events": ["incident.resolved"]}},
        headers=AUTHORIZATION,
    )
    tell("trigger", "resolve")
    sender.send_due(at=NOON)

    assert receiver.types == ["incident.resolved"]


def test_a_deleted_subscription_is_told_nothing_more(api, sender, receiver, tell, subscription):
    tell("trigger")
    path = f"/webhook_subscriptions/{subscription['id']}"

    assert api.delete(path, headers=AUTHORIZATION).status_code == 204
    assert sender.send_due(at=NOON) == 0
    assert api.get(path, headers=AUTHORIZATION).status_code == 404


def test_there_are_ten_subscriptions_at_most(api, subscription):
    wanted = {"events": EVENTS, "delivery_method": {"url": "https://baton.test/in/pagerduty"}}
    statuses = [
        api.post(
            "/webhook_subscriptions", json={"webhook_subscription": wanted}, headers=AUTHORIZATION
        ).status_code
        for _ in range(10)
    ]

    assert statuses == [200] * 9 + [400]
