"""Which incident an alert belongs to: its model, its failure mode, its runbook, and why."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from flask import current_app

from app.alerts.sources.base import Alert, hashed
from app.incidents.rules import DEFAULT_SEVERITY, mode_from_name, severity_of
from app.incidents.sightings import Attachment, Identity
from app.registry import queries as registry
from app.registry.rules import Match, Routing
from app.runbooks import queries as runbooks
from app.runbooks.rules import Matching, failure_mode_key

FRESH = 1.0  # seconds until a change of the registry or a publication is seen

MOST_ANSWERS = 20_000
VERSION_LABELS = ("model_version", "version")


@dataclass(frozen=True, slots=True)
class Route:
    identity: Identity
    attachment: Attachment
    severity: int


class Router:
    """Models, teams and runbooks as they were a moment ago."""

    def __init__(
        self,
        routing: Routing,
        matching: Matching,
        tags: Mapping[int, tuple[str, ...]],
        triage_team_id: int | None,
    ) -> None:
        self._routing, self._matching = routing, matching
        self._tags, self._triage_team_id = tags, triage_team_id
        self._answers: dict[object, Route] = {}

    def model_id(self, labels: Mapping[str, str]) -> int | None:
        match = self._routing.find(labels)
        return match.model_id if match else None

    def find(self, alert: Alert, sender_team_id: int | None = None) -> Route:
        """Where an alert belongs. Alerts that differ in their feature only share one answer.

        What no model claims is its sender's team's, if that is known, and else the triage team's.
        """
        match = self._routing.find(alert.labels)
        labels = tuple(alert.labels.get(name, "") for name in ("failure_mode", *VERSION_LABELS))
        question = (match, alert.name, alert.severity, labels, sender_team_id)
        route = self._answers.get(question)
        if route is None:
            if len(self._answers) >= MOST_ANSWERS:
                self._answers.clear()
            route = self._answers[question] = self._search(alert, match, sender_team_id)
        return route

    def _search(self, alert: Alert, match: Match | None, sender_team_id: int | None) -> Route:
        found = self._matching.best(
            alert.name,
            alert.labels,
            match.slug if match else None,
            self._tags.get(match.model_id, ()) if match else (),
        )
        runbook = found.runbook if found else None
        mode = (
            failure_mode_key(alert.labels.get("failure_mode", ""))
            or (runbook.failure_mode if runbook else None)
            or mode_from_name(alert.name)
        )[:120]
        severity = severity_of(alert.severity) or (runbook.severity if runbook else None)
        reasons = []
        if match:
            reasons.append(f"Model {match.slug}: {match.why}.")
        else:
            reasons.append("In triage: no model claims these labels.")
        if runbook and found:
            reasons.append(f"Runbook {runbook.slug} v{runbook.number}: {found.why}.")
        else:
            reasons.append("No runbook fits this alert.")
        team_id = match.team_id if match else sender_team_id or self._triage_team_id
        return Route(
            identity=self._identity(alert, match, mode, team_id),
            attachment=Attachment(
                team_id=team_id,
                model_name=match.slug if match else None,
                runbook_version_id=runbook.version_id if runbook else None,
                runbook_path=f"/runbooks/{runbook.slug}/v{runbook.number}" if runbook else None,
                reasons=tuple(reasons),
            ),
            severity=severity or DEFAULT_SEVERITY,
        )

    def _identity(
        self, alert: Alert, match: Match | None, mode: str, team_id: int | None
    ) -> Identity:
        if match is None:
            # Until somebody says whose they are, alerts of one name are one thing for a team.
            return Identity(None, mode, "", hashed(alert.name, str(team_id or "")))
        version = next(
            (alert.labels[name] for name in VERSION_LABELS if alert.labels.get(name)), ""
        )
        return Identity(match.model_id, mode, version[:120])


def title_of(alert: Alert, model_name: str | None) -> str:
    """What an incident is called that this alert opens: the thing and the fact."""
    said = alert.summary or alert.name
    if model_name is not None and model_name not in said:
        said = f"{model_name}: {said}"
    return said if len(said) <= 300 else f"{said[:299]}…"


def router() -> Router:
    """The router of this process. Once a second it is asked whether what it was made of changed."""
    kept: tuple[float, object, Router] | None = current_app.extensions.get("router")
    if kept is not None and time.monotonic() - kept[0] < FRESH:
        return kept[2]
    triage = registry.triage_team()
    stamp = (registry.routing_stamp(), runbooks.published_stamp(), triage)
    if kept is not None and kept[1] == stamp:
        found = kept[2]
    else:
        found = Router(
            Routing(registry.routing_rows()),
            Matching(tuple(runbooks.signals_index())),
            registry.tags_by_model(),
            triage[0] if triage else None,
        )
    current_app.extensions["router"] = (time.monotonic(), stamp, found)
    return found


def forget_router() -> None:
    """Let the next call read what just changed."""
    current_app.extensions.pop("router", None)
