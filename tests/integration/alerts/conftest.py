"""Sending deliveries to the doors, and letting the worker's jobs happen."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from app.alerts import processing
from app.alerts.tables import Delivery
from app.core.clock import now
from app.core.db import db, end_read
from app.incidents.tables import Incident
from tests.support import factories


def firing(name: str = "ModelLatencyHigh", **labels: str) -> dict[str, Any]:
    """An alert as Alertmanager writes it."""
    return {
        "status": "firing",
        "labels": {"alertname": name, "severity": "critical", "model": "recsys-home", **labels},
        "annotations": {"summary": "p99 latency 612 ms, limit 250 ms"},
        "startsAt": "2026-03-12T01:51:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://prometheus.example.com/graph",
        "fingerprint": factories.secret_hash(name + json.dumps(labels))[:16],
    }


def over(alert: dict[str, Any], ends_at: str = "2026-03-12T02:30:00Z") -> dict[str, Any]:
    return {**alert, "status": "resolved", "endsAt": ends_at}


def webhook(*alerts: dict[str, Any], group: str = "latency", **more: Any) -> dict[str, Any]:
    """A webhook of version 4 with these alerts."""
    still = any(alert.get("status") == "firing" for alert in alerts)
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{group}"}}',
        "status": "firing" if still else "resolved",
        "receiver": "baton",
        "groupLabels": {"alertname": group},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "https://alertmanager.example.com",
        "truncatedAlerts": 0,
        "alerts": list(alerts),
        **more,
    }


@dataclass
class Sender:
    """Somebody who sends deliveries to one door."""

    client: FlaskClient
    path: str
    key: str
    integration_id: int
    answers: list[TestResponse] = field(default_factory=list)

    def send(self, document: Any, **more: Any) -> TestResponse:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {"Authorization": f"Bearer {self.key}", **more.pop("headers", {})}
        answer = self.client.post(
            self.path, data=body, headers=headers, content_type="application/json", **more
        )
        self.answers.append(answer)
        return answer


@pytest.fixture
def sender(app: Flask) -> Callable[..., Sender]:
    def make(source: str = "alertmanager", path: str = "") -> Sender:
        row, key = factories.integration(source)
        return Sender(app.test_client(), path or f"/in/{source}", key, row.id)

    return make


@pytest.fixture
def work(app: Flask) -> Callable[..., int]:
    """Process all that waits in the inbox, as the worker's job does."""

    def run(at: datetime | None = None) -> int:
        end_read()
        total = 0
        while took := processing.process_next(at=at or now()):
            total += took
        end_read()
        return total

    return run


@pytest.fixture
def incidents(app: Flask) -> Callable[[], list[Incident]]:
    def all_of_them() -> list[Incident]:
        end_read()
        return list(db.session.scalars(select(Incident).order_by(Incident.id)))

    return all_of_them


@pytest.fixture
def deliveries(app: Flask) -> Callable[[], list[Delivery]]:
    def all_of_them() -> list[Delivery]:
        end_read()
        return list(db.session.scalars(select(Delivery).order_by(Delivery.id)))

    return all_of_them
