"""What PagerDuty is told about incidents: written to the outbox, with the change it tells of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.config import settings
from app.core.db import db
from app.core.errors import NotFoundError
from app.core.secrets import installation_id
from app.incidents.rules import PAGERDUTY_SEVERITY, dedup_key
from app.incidents.tables import Incident
from app.integrations.pagerduty import outbox
from app.integrations.pagerduty.outbox import Draft, Wiring
from app.integrations.pagerduty.rules import Action
from app.registry.tables import Team


@dataclass(frozen=True, slots=True)
class Page:
    """An incident that somebody must come to."""

    incident_id: int
    uuid: str
    episode: int
    team_id: int | None
    title: str
    severity: int
    model_name: str | None
    failure_mode: str
    opened_at: datetime
    labels: Mapping[str, str]
    links: Sequence[Mapping[str, str]]
    runbook_path: str | None = None
    lane: str = ""  # an escalation has a lane of its own

    def on_lane(self, lane: str) -> "Page":
        return replace(self, lane=lane)


def incident_url(incident_id: int) -> str:
    return f"{settings().url}/incidents/{incident_id}"


def page(pages: Sequence[Page], *, at: datetime) -> None:
    """Page the team of each. One without a team pages nobody, which its page says."""
    teams = _teams({page.team_id for page in pages if page.team_id is not None})
    drafts = []
    for wanted in pages:
        team = teams.get(wanted.team_id or 0)
        if team is None:
            continue
        drafts.append(
            Draft(
                incident_id=wanted.incident_id,
                to=team.name,
                routing_key_encrypted=team.routing_key_encrypted,
                region=team.region,
                dedup_key=_key(wanted.uuid, wanted.episode) + wanted.lane,
                action=Action.TRIGGER,
                event=_event(wanted),
            )
        )
    if drafts:
        outbox.write_many(drafts, at=at)


def acknowledge(incident_ids: Sequence[int], *, at: datetime) -> None:
    _follow(incident_ids, Action.ACKNOWLEDGE, at=at)


def resolve(incident_ids: Sequence[int], *, at: datetime) -> None:
    _follow(incident_ids, Action.RESOLVE, at=at)


def _follow(incident_ids: Sequence[int], action: Action, *, at: datetime) -> None:
    """Tell every page of the present episode. Each goes the way its trigger went."""
    keys = {
        row.id: _key(row.uuid, row.episode)
        for row in db.session.execute(
            select(Incident.id, Incident.uuid, Incident.episode).where(
                Incident.id.in_(incident_ids)
            )
        )
    }
    drafts = [
        Draft(
            incident_id=trigger.incident_id,
            to=trigger.to,
            routing_key_encrypted=trigger.routing_key_encrypted,
            region=trigger.region,
            dedup_key=trigger.dedup_key,
            action=action,
            event={},
        )
        for trigger in outbox.triggers_of(incident_ids)
        if trigger.incident_id is not None
        and trigger.dedup_key.startswith(keys[trigger.incident_id])
    ]
    if drafts:
        outbox.write_many(drafts, at=at)


def retry(incident_id: int, message_id: int, *, at: datetime) -> str:
    """Put a refused message back in line, by the key its team has now. Returns who it goes to."""
    message = outbox.message(message_id)
    if message is None or message.incident_id != incident_id:
        raise NotFoundError(f"INC-{incident_id} has no such page.")
    team = db.session.scalars(select(Team).where(Team.name == message.to)).first()
    wiring = Wiring(team.name, team.routing_key_encrypted, team.region) if team else None
    outbox.retry(message_id, at=at, wiring=wiring)
    return message.to


def _key(uuid: str, episode: int) -> str:
    return dedup_key(installation_id(settings().key), uuid, episode)


def _teams(ids: set[int]) -> dict[int, Any]:
    if not ids:
        return {}
    rows = db.session.execute(
        select(Team.id, Team.name, Team.routing_key_encrypted, Team.region).where(Team.id.in_(ids))
    )
    return {row.id: row for row in rows}


def _event(page: Page) -> dict[str, Any]:
    url = incident_url(page.incident_id)
    links = [{"href": url, "text": f"INC-{page.incident_id} in Baton"}]
    if page.runbook_path:
        links.append({"href": settings().url + page.runbook_path, "text": "Runbook"})
    links += [{"href": link["href"], "text": link["text"]} for link in page.links]
    details: dict[str, Any] = {
        "incident": f"INC-{page.incident_id}",
        "severity": f"SEV-{page.severity}",
        "failure_mode": page.failure_mode,
        **page.labels,
    }
    return {
        "client": "Baton",
        "client_url": url,
        "links": links,
        "payload": {
            "summary": f"SEV-{page.severity} {page.title}",
            "source": page.model_name or "triage",
            "severity": PAGERDUTY_SEVERITY[page.severity],
            "timestamp": page.opened_at.isoformat(),
            "component": page.model_name or "unrouted",
            "class": page.failure_mode,
            "custom_details": details,
        },
    }
