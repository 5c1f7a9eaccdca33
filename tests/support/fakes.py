"""Stand-ins for the outside. Each is as strict as what it stands in for."""

from collections import deque
from dataclasses import dataclass, field

from app.integrations.pagerduty.client import SANDBOX_KEY
from app.integrations.pagerduty.rules import Action, Answer, Outcome, Outgoing
from app.integrations.pagerduty.sandbox import events


@dataclass
class FakeIncident:
    """An incident at the fake pager."""

    key: str
    dedup_key: str
    summary: str
    status: str = "triggered"


@dataclass
class FakePager:
    """A pager in memory, with PagerDuty's refusals and its lifecycle of alerts.

    `next_answers` are given before its own, in turn; a message that is not taken has no effect.
    """

    sent: list[Outgoing] = field(default_factory=list)
    incidents: list[FakeIncident] = field(default_factory=list)
    next_answers: deque[Answer] = field(default_factory=deque)

    def send(self, message: Outgoing) -> Answer:
        answer = self.next_answers.popleft() if self.next_answers else self._judge(message)
        if answer.outcome is Outcome.ACCEPTED:
            self.sent.append(message)
            self._apply(message)
        return answer

    def fail(self, times: int = 1, *, retry_after: float | None = None) -> None:
        """Be out of reach for so many messages."""
        failure = Answer(
            Outcome.TRY_AGAIN, "No connection to PagerDuty.", retry_after, may_have_arrived=False
        )
        self.next_answers.extend([failure] * times)

    def refuse(self, reason: str = "PagerDuty refuses it: it says so.") -> None:
        self.next_answers.append(Answer(Outcome.REFUSED, reason))

    def open_incidents(self, dedup_key: str | None = None) -> list[FakeIncident]:
        return [
            incident
            for incident in self.incidents
            if incident.status != "resolved" and dedup_key in (None, incident.dedup_key)
        ]

    @property
    def actions(self) -> list[str]:
        return [str(message.action) for message in self.sent]

    def _judge(self, message: Outgoing) -> Answer:
        name = "PagerDuty" if message.routing_key else "The sandbox pager"
        told = message.event if message.action is Action.TRIGGER else {}
        body = {
            **told,
            "routing_key": message.routing_key or SANDBOX_KEY,
            "event_action": str(message.action),
            "dedup_key": message.dedup_key,
        }
        if wrong := events.refusals(body):
            return Answer(Outcome.REFUSED, f"{name} refuses it: {'; '.join(wrong)}.")
        return Answer(Outcome.ACCEPTED, f"{name} took it.")

    def _apply(self, message: Outgoing) -> None:
        key = message.routing_key or SANDBOX_KEY
        known = next(
            (
                incident
                for incident in self.open_incidents(message.dedup_key)
                if incident.key == key
            ),
            None,
        )
        if message.action is Action.TRIGGER and known is None:
            summary = message.event["payload"]["summary"]
            self.incidents.append(FakeIncident(key, message.dedup_key, summary))
        elif message.action is Action.ACKNOWLEDGE and known is not None:
            known.status = "acknowledged"
        elif message.action is Action.RESOLVE and known is not None:
            known.status = "resolved"
