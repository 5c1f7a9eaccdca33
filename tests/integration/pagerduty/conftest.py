"""A worker in small: the outbox's jobs, run by hand on a clock that the test sets."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from flask import Flask

from app.config import settings
from app.core.secrets import encrypt
from app.integrations import Gateways
from app.integrations.pagerduty import jobs, outbox
from app.integrations.pagerduty.outbox import Draft
from app.integrations.pagerduty.rules import Action
from tests.integration.pagerduty.rows import messages
from tests.support.fakes import FakePager

KEY = "0123456789abcdef0123456789abcdef"
EVENT = {"payload": {"summary": "p99 612 ms", "source": "fraud", "severity": "error"}}


@dataclass
class Clock:
    at: datetime

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **duration: float) -> None:
        self.at += timedelta(**duration)


@pytest.fixture
def clock(at: datetime, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(at)
    monkeypatch.setattr(jobs, "now", clock)
    return clock


@pytest.fixture
def pager(app: Flask) -> FakePager:
    fake = FakePager()
    app.extensions["gateways"] = Gateways(pager=fake)
    return fake


@pytest.fixture
def draft(app: Flask) -> Callable[..., Draft]:
    def make(
        action: str = "trigger", dedup_key: str = "incident-7", key: str | None = KEY
    ) -> Draft:
        return Draft(
            incident_id=7,
            to="Serving Platform",
            routing_key_encrypted=None if key is None else encrypt(key, settings().key),
            region="us",
            dedup_key=dedup_key,
            action=Action(action),
            event=EVENT,
        )

    return make


@pytest.fixture
def write(draft: Callable[..., Draft], clock: Clock) -> Callable[..., str]:
    """Put a message in line; returns its lane."""

    def write(*args: str, **kwargs: str | None) -> str:
        outbox.write(draft(*args, **kwargs), at=clock.at)
        return messages()[-1].lane

    return write
