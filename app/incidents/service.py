"""What people do with incidents: one function for each thing. All are one unit of work.

Each takes the version of the incident that the person saw. If somebody was quicker, nothing is
written, and the error says who did what. Each writes a line of the timeline, for those who work on
the incident, and an entry of the audit trail, for those who ask later who changed what.
"""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.db import unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.incidents import evidence, paging, queries
from app.incidents.rules import LEAST_SEVERE, State, refusal_to_move
from app.incidents.tables import Entry, Incident
from app.people import audit
from app.people.rules import Actor
from app.people.tables import User
from app.registry.tables import MlModel, Team

LONGEST_NOTE = 20_000  # characters
AUDITED_OF_A_NOTE = 300  # the timeline has all of it


@dataclass(frozen=True, slots=True)
class Declaration:
    title: str
    severity: int
    model_id: int | None
    failure_mode: str
    note: str = ""


def declare(declaration: Declaration, *, by: Actor, at: datetime) -> Incident:
    """Open an incident by hand. Alerts of the same kind join it, but don't end it."""
    try:
        with unit_of_work() as session:
            return _declare(session, declaration, by=by, at=at)
    except IntegrityError:
        twin = _named(queries.open_twin(declaration.model_id, declaration.failure_mode))
        raise ConflictError(
            f"{twin} is open for the same model and failure mode. Work on that one."
        ) from None


def _named(incident: Incident | None) -> str:
    return f"INC-{incident.id}" if incident else "Another incident"


def _declare(session: Session, declaration: Declaration, *, by: Actor, at: datetime) -> Incident:
    model = None
    if declaration.model_id is not None:
        model = session.get(MlModel, declaration.model_id)
        if model is None:
            raise RefusedError("That model is gone. Choose another, or none.")
    team = model.team if model else queries.triage_team()
    runbook = queries.runbook_for(declaration.failure_mode, model)
    incident = Incident(
        uuid=uuid.uuid4().hex,
        title=declaration.title,
        state=State.TRIGGERED,
        severity=declaration.severity,
        severity_set_by_hand=True,
        model_id=model.id if model else None,
        failure_mode=declaration.failure_mode,
        model_version="",
        triage_key=None if model else uuid.uuid4().hex,
        team_id=team.id if team else None,
        runbook_version_id=runbook,
        lead_id=by.id if by.kind == "person" else None,
        declared_by_hand=True,
        opened_at=at,
    )
    session.add(incident)
    session.flush()
    _tell(session, incident, "opened", f"Declared by {by.name}", by=by, at=at)
    if declaration.note:
        _tell(session, incident, "note", declaration.note, by=by, at=at)
    evidence.take(session, incident, at=at)
    declared = {"failure_mode": incident.failure_mode, **_state(incident)}
    _record("declare", incident, None, declared, by=by, at=at)
    paging.page([_page_for(incident, team, model)], at=at)
    return incident


def acknowledge(incident_id: int, *, seen: int | None, by: Actor, at: datetime) -> Incident:
    """Take an incident on. Whoever acknowledges first leads it."""
    with _change("acknowledge", incident_id, seen=seen, by=by, at=at) as (session, incident):
        _move(incident, State.ACKNOWLEDGED)
        incident.acknowledged_at = at
        incident.mitigated_at = None
        if incident.lead_id is None and by.kind == "person":
            incident.lead = session.get(User, by.id)
        _tell(session, incident, "acknowledged", "Acknowledged", by=by, at=at)
        session.flush()
        paging.acknowledge([incident.id], at=at)
    return incident


def mitigate(incident_id: int, *, seen: int | None, by: Actor, at: datetime) -> Incident:
    """Say that users no longer feel it, though the cause is still there."""
    with _change("mitigate", incident_id, seen=seen, by=by, at=at) as (session, incident):
        _move(incident, State.MITIGATED)
        if incident.acknowledged_at is None:
            incident.acknowledged_at = at
            paging.acknowledge([incident.id], at=at)
        incident.mitigated_at = at
        _tell(session, incident, "mitigated", "Mitigated", by=by, at=at)
    return incident


def resolve(
    incident_id: int, *, reason: str, noise: bool, seen: int | None, by: Actor, at: datetime
) -> Incident:
    """End an incident with a reason, and its page with it."""
    with _change("resolve", incident_id, seen=seen, by=by, at=at) as (session, incident):
        _move(incident, State.RESOLVED)
        incident.resolved_at = at
        incident.resolved_by_hand = True
        incident.resolution = reason
        incident.noise = noise
        said = "Resolved as noise" if noise else "Resolved"
        _tell(session, incident, "resolved", f"{said}: {reason}", by=by, at=at, noise=noise)
        session.flush()
        paging.resolve([incident.id], at=at)
    return incident


def reopen(incident_id: int, *, reason: str, seen: int | None, by: Actor, at: datetime) -> Incident:
    """Open a resolved incident again. PagerDuty gets a page of its own for it."""
    try:
        with _change("reopen", incident_id, seen=seen, by=by, at=at) as (session, incident):
            _move(incident, State.TRIGGERED)
            incident.episode += 1
            incident.resolved_at = incident.acknowledged_at = incident.mitigated_at = None
            incident.resolved_by_hand = incident.noise = False
            incident.resolution = None
            _tell(session, incident, "reopened", f"Opened again: {reason}", by=by, at=at)
            session.flush()
            evidence.take(session, incident, at=at)
            paging.page([_page_for(incident, incident.team, incident.model)], at=at)
        return incident
    except IntegrityError:
        this = queries.incident(incident_id)
        twin = queries.open_twin(
            this.model_id, this.failure_mode, this.model_version, this.triage_key
        )
        alike = "model and failure mode" if this.model_id is not None else "alerts"
        raise ConflictError(
            f"{_named(twin)} is newer, and open for the same {alike}. Work on that one."
        ) from None


def set_severity(
    incident_id: int, severity: int, *, seen: int | None, by: Actor, at: datetime
) -> Incident:
    """Say how bad it is, 1 to 4. From then on alerts no longer change it."""
    if not 1 <= severity <= LEAST_SEVERE:
        raise RefusedError("The severity is SEV-1, SEV-2, SEV-3 or SEV-4.")
    with _change("severity", incident_id, seen=seen, by=by, at=at) as (session, incident):
        before = incident.severity
        if severity == before:
            raise RefusedError(f"This incident is already SEV-{severity}.")
        incident.severity = severity
        incident.severity_set_by_hand = True
        said = f"Severity changed from SEV-{before} to SEV-{severity}"
        _tell(session, incident, "severity", said, by=by, at=at, before=before, after=severity)
    return incident


def hand_over(
    incident_id: int, to_id: int, *, note: str, seen: int | None, by: Actor, at: datetime
) -> Incident:
    """Give the lead to another person."""
    with _change("hand_over", incident_id, seen=seen, by=by, at=at) as (session, incident):
        if incident.state is State.RESOLVED:
            raise RefusedError("This incident is resolved; there is nothing to hand over.")
        person = session.get(User, to_id)
        if person is None or not person.active:
            raise RefusedError("That person can't sign in here any more. Choose another.")
        if incident.lead_id == person.id:
            raise RefusedError(f"{person.name} leads this incident already.")
        incident.lead = person
        _tell(
            session, incident, "handover", f"Handed over to {person.name}", by=by, at=at,
            to=person.id, note=note,
        )  # fmt: skip
    return incident


def escalate(
    incident_id: int, team_id: int, *, note: str, seen: int | None, by: Actor, at: datetime
) -> Incident:
    """Page another team as well, with a word on what they need to know."""
    with unit_of_work() as session:
        incident = _seen(session, incident_id, seen)
        if incident.state is State.RESOLVED:
            raise RefusedError("This incident is resolved. Open it again before you page anybody.")
        team = session.get(Team, team_id)
        if team is None:
            raise RefusedError("That team is gone. Choose another.")
        times = queries.escalations(incident.id, incident.episode)
        _tell(
            session, incident, "escalated", f"Escalated to {team.name}", by=by, at=at,
            team=team.id, note=note, episode=incident.episode,
        )  # fmt: skip
        _record("escalate", incident, None, {"paged": team.name, "note": note}, by=by, at=at)
        wanted = _page_for(incident, team, incident.model, note=note)
        paging.page([wanted.on_lane(f":escalation-{times + 1}")], at=at)
    return incident


def add_note(incident_id: int, text: str, *, key: str | None, by: Actor, at: datetime) -> Entry:
    """Write a note, in Markdown, to the timeline. The same `key` again writes nothing new."""
    text = text.strip()
    if not text:
        raise RefusedError("A note needs words.")
    if len(text) > LONGEST_NOTE:
        raise RefusedError(f"A note has at most {LONGEST_NOTE:,} characters.")
    with unit_of_work() as session:
        incident = _find(session, incident_id)
        if key is not None:
            key = hashlib.sha256(f"{incident_id}:{key}".encode()).hexdigest()
            written = session.scalars(select(Entry).where(Entry.key == key)).one_or_none()
            if written is not None:
                return written
        _record("note", incident, None, {"note": _beginning(text)}, by=by, at=at)
        return _tell(session, incident, "note", text, by=by, at=at, key=key)


def assign_model(
    incident_id: int, model_id: int, *, seen: int | None, by: Actor, at: datetime
) -> Incident:
    """Take an incident out of triage: say whose it is, and page its owners."""
    try:
        with _change("route", incident_id, seen=seen, by=by, at=at) as (session, incident):
            if incident.model_id is not None:
                raise RefusedError("This incident has a model already.")
            model = session.get(MlModel, model_id)
            if model is None or model.retired_at is not None:
                raise RefusedError("That model is gone. Choose another.")
            incident.model, incident.triage_key = model, None
            incident.team = model.team
            if incident.runbook_version_id is None:
                incident.runbook_version_id = queries.runbook_for(incident.failure_mode, model)
            _tell(session, incident, "routed", f"Routed to {model.slug}", by=by, at=at)
            session.flush()
            evidence.take(session, incident, at=at)
            if incident.state is not State.RESOLVED:
                page = _page_for(incident, model.team, model)
                paging.page([page.on_lane(":routed")], at=at)
        return incident
    except IntegrityError:
        this = queries.incident(incident_id)
        twin = queries.open_twin(model_id, this.failure_mode, this.model_version)
        raise ConflictError(
            f"{_named(twin)} is open for that model and failure mode. Resolve this one and go on "
            "there. A matcher on the model brings its alerts there, too."
        ) from None


def retry_page(incident_id: int, message_id: int, *, by: Actor, at: datetime) -> None:
    """Send a page again that PagerDuty refused."""
    with unit_of_work() as session:
        incident = _find(session, incident_id)
        to = paging.retry(incident.id, message_id, at=at)
        _tell(session, incident, "paging", f"Page to {to} tried again", by=by, at=at)
        _record("retry_page", incident, None, {"paged": to}, by=by, at=at)


@contextmanager
def _change(
    action: str, incident_id: int, *, seen: int | None, by: Actor, at: datetime
) -> Iterator[tuple[Session, Incident]]:
    """A unit of work on the incident as its reader saw it; what it changes is audited."""
    with unit_of_work() as session:
        incident = _seen(session, incident_id, seen)
        before = _state(incident)
        yield session, incident
        _record(action, incident, before, _state(incident), by=by, at=at)


def _find(session: Session, incident_id: int) -> Incident:
    """The incident as it is now, held against other writers until the unit of work ends."""
    incident = session.scalars(
        select(Incident)
        .where(Incident.id == incident_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if incident is None:
        raise NotFoundError(f"There is no INC-{incident_id}.")
    return incident


def _seen(session: Session, incident_id: int, seen: int | None) -> Incident:
    """The incident, unless somebody changed it since the person looked."""
    incident = _find(session, incident_id)
    if seen is not None and incident.version != seen:
        last = queries.last_change(incident_id)
        what = f"{last.actor_name}: {last.text}" if last else "Somebody changed it"
        raise ConflictError(f"{what}, while you were reading. Look again, then decide.")
    return incident


def _move(incident: Incident, to: State) -> None:
    if why := refusal_to_move(incident.state, to):
        raise RefusedError(why)
    incident.state = to


def _state(incident: Incident) -> dict[str, Any]:
    """What people change of an incident, as the audit trail keeps it."""
    return {
        "state": incident.state,
        "severity": f"SEV-{incident.severity}",
        "model": incident.model.slug if incident.model else None,
        "team": incident.team.name if incident.team else None,
        "lead": incident.lead.name if incident.lead else None,
        "resolution": incident.resolution,
        "noise": incident.noise,
    }


def _beginning(text: str) -> str:
    return text if len(text) <= AUDITED_OF_A_NOTE else f"{text[: AUDITED_OF_A_NOTE - 1]}…"


def _record(
    action: str,
    incident: Incident,
    before: dict[str, Any] | None,
    after: dict[str, Any],
    *,
    by: Actor,
    at: datetime,
) -> None:
    audit.record(
        f"incident.{action}",
        target_kind="incident",
        target_id=incident.id,
        target_name=f"INC-{incident.id} {incident.title}",
        before=before,
        after=after,
        by=by,
        at=at,
    )


def _tell(
    session: Session,
    incident: Incident,
    kind: str,
    text: str,
    *,
    by: Actor,
    at: datetime,
    key: str | None = None,
    **detail: object,
) -> Entry:
    entry = Entry(
        incident_id=incident.id,
        at=at,
        kind=kind,
        actor_kind=by.kind,
        actor_id=by.id,
        actor_name=by.name,
        text=text,
        detail=detail,
        key=key,
    )
    session.add(entry)
    return entry


def _page_for(
    incident: Incident, team: Team | None, model: MlModel | None, *, note: str = ""
) -> paging.Page:
    return paging.Page(
        incident_id=incident.id,
        uuid=incident.uuid,
        episode=incident.episode,
        team_id=team.id if team else None,
        title=incident.title,
        severity=incident.severity,
        model_name=model.slug if model else None,
        failure_mode=incident.failure_mode,
        opened_at=incident.opened_at,
        labels={"note": note} if note else {},
        links=[],
    )
