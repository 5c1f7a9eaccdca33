"""The outside world: the only callers of it, gathered so that tests can put others in their place."""

from dataclasses import dataclass, field
from typing import Protocol

from app.config import Settings
from app.integrations.pagerduty.client import PagerDuty
from app.integrations.pagerduty.rules import Answer, Outgoing
from app.integrations.pagerduty.sandbox import SandboxPager

SANDBOX_FILE = "sandbox-pager.sqlite3"


class Pager(Protocol):
    """Whoever wakes people."""

    def send(self, message: Outgoing) -> Answer:
        """Hand one message over and say what became of it."""
        ...


def _sandbox_in_memory() -> SandboxPager:
    return SandboxPager(None)


@dataclass(frozen=True, slots=True)
class Gateways:
    pager: Pager
    # Where pages go while a team has no PagerDuty key. Pages show what arrived there.
    sandbox: SandboxPager = field(default_factory=_sandbox_in_memory)


def default_gateways(settings: Settings) -> Gateways:
    """The real ones. The sandbox pager keeps its file beside the database's."""
    sandbox = SandboxPager(settings.var / SANDBOX_FILE)
    pager = PagerDuty(sandbox, events_url=settings.pagerduty_events_url, ca=settings.pagerduty_ca)
    return Gateways(pager=pager, sandbox=sandbox)
