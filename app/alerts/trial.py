"""The alert that "Send a test" sends, in the words of each source."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

NAME = "BatonTest"


@dataclass(frozen=True, slots=True)
class Trial:
    """One test. Its id makes it an alert of its own, so that no test is taken for a repeat."""

    id: str
    model: str  # a slug; empty: the test goes to triage
    by: str
    url: str  # of Baton
    at: datetime

    @property
    def summary(self) -> str:
        return f"A test that {self.by} sent"

    @property
    def labels(self) -> dict[str, str]:
        labels = {"alertname": NAME, "severity": "info", "test": self.id}
        return {**labels, "model": self.model} if self.model else labels

    @property
    def moment(self) -> str:
        return self.at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def alertmanager(trial: Trial) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{NAME}", test="{trial.id}"}}',
        "status": "firing",
        "receiver": "baton-test",
        "groupLabels": {"alertname": NAME, "test": trial.id},
        "commonLabels": trial.labels,
        "commonAnnotations": {"summary": trial.summary},
        "externalURL": trial.url,
        "truncatedAlerts": 0,
        "alerts": [
            {
                "status": "firing",
                "labels": trial.labels,
                "annotations": {"summary": trial.summary},
                "startsAt": trial.moment,
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": trial.url,
                "fingerprint": trial.id,
            }
        ],
    }


def events_v2(trial: Trial) -> dict[str, Any]:
    return {
        "event_action": "trigger",
        "dedup_key": trial.id,
        "payload": {
            "summary": trial.summary,
            "source": "Baton",
            "severity": "info",
            "timestamp": trial.moment,
            "class": NAME,
            "custom_details": trial.labels,
        },
    }


def generic(trial: Trial) -> dict[str, Any]:
    return {
        "name": NAME,
        "status": "firing",
        "summary": trial.summary,
        "fingerprint": trial.id,
        "severity": "info",
        "starts_at": trial.moment,
        "labels": trial.labels,
    }


# By the name of the source. One without an entry has no test.
TRIALS: dict[str, Callable[[Trial], dict[str, Any]]] = {
    "alertmanager": alertmanager,
    "events_v2": events_v2,
    "generic": generic,
}
