"""Incidents over JSON, for tokens with the scopes incidents:read and incidents:write."""

from typing import Any

from flask import url_for
from flask_openapi3 import APIBlueprint, Tag

from app.core.clock import now
from app.incidents import queries, schemas, service
from app.incidents.queries import Filter
from app.incidents.service import Declaration
from app.incidents.tables import Incident
from app.integrations.pagerduty import outbox
from app.people.access import allows, current_actor

api = APIBlueprint(
    "incidents_api",
    __name__,
    url_prefix="/api/v1/incidents",
    abp_tags=[Tag(name="Incidents")],
)


@api.get("", responses={200: schemas.Incidents})
@allows("incidents:read")
def index(query: schemas.ListQuery) -> dict[str, Any]:
    """Incidents, newest first."""
    wanted = Filter(
        state=query.state,
        severity=query.severity,
        team=query.team,
        model=query.model,
        words=query.q,
    )
    page = queries.page(wanted, query.cursor, query.limit)
    return schemas.Incidents(
        items=[
            schemas.IncidentInList(
                id=row.id,
                url=_url(row.id),
                title=row.title,
                state=row.state,
                severity=row.severity,
                model=row.model_name,
                failure_mode=row.failure_mode,
                model_version=row.model_version,
                team=row.team_name,
                lead=row.lead_name,
                alerts=row.member_count,
                firing=row.firing_count,
                opened_at=row.opened_at,
                resolved_at=row.resolved_at,
            )
            for row in page.items
        ],
        next=page.next,
    ).model_dump(mode="json")


@api.post("", responses={201: schemas.IncidentOut})
@allows("incidents:write")
def declare(body: schemas.DeclareBody) -> Any:
    """Declare an incident by hand."""
    incident = service.declare(
        Declaration(
            title=body.title,
            severity=body.severity,
            model_id=queries.model_id(body.model) if body.model else None,
            failure_mode=body.failure_mode,
            note=body.note,
        ),
        by=current_actor(),
        at=now(),
    )
    location = url_for("incidents_api.detail", incident_id=incident.id)
    return _whole(incident.id), 201, {"Location": location}


@api.get("/<int:incident_id>", responses={200: schemas.IncidentOut})
@allows("incidents:read")
def detail(path: schemas.IncidentPath) -> dict[str, Any]:
    """One incident with its alerts, its timeline and what was known when it opened."""
    return _whole(path.incident_id)


@api.post("/<int:incident_id>/acknowledge", responses={200: schemas.IncidentOut})
@allows("incidents:write")
def acknowledge(path: schemas.IncidentPath, body: schemas.SeenBody) -> dict[str, Any]:
    return _after(
        service.acknowledge(path.incident_id, seen=body.version, by=current_actor(), at=now())
    )


@api.post("/<int:incident_id>/mitigate", responses={200: schemas.IncidentOut})
@allows("incidents:write")
def mitigate(path: schemas.IncidentPath, body: schemas.SeenBody) -> dict[str, Any]:
    return _after(
        service.mitigate(path.incident_id, seen=body.version, by=current_actor(), at=now())
    )


@api.post("/<int:incident_id>/resolve", responses={200: schemas.IncidentOut})
@allows("incidents:write")
def resolve(path: schemas.IncidentPath, body: schemas.ResolveBody) -> dict[str, Any]:
    return _after(
        service.resolve(
            path.incident_id,
            reason=body.reason,
            noise=body.noise,
            seen=body.version,
            by=current_actor(),
            at=now(),
        )
    )


@api.post("/<int:incident_id>/reopen", responses={200: schemas.IncidentOut})
@allows("incidents:write")
def reopen(path: schemas.IncidentPath, body: schemas.ReopenBody) -> dict[str, Any]:
    return _after(
        service.reopen(
            path.incident_id, reason=body.reason, seen=body.version, by=current_actor(), at=now()
        )
    )


@api.post("/<int:incident_id>/severity", responses={200: schemas.IncidentOut})
@allows("incidents:write")
def severity(path: schemas.IncidentPath, body: schemas.SeverityBody) -> dict[str, Any]:
    return _after(
        service.set_severity(
            path.incident_id, body.severity, seen=body.version, by=current_actor(), at=now()
        )
    )


@api.post("/<int:incident_id>/hand-over", responses={200: schemas.IncidentOut})
@allows("incidents:write")
def hand_over(path: schemas.IncidentPath, body: schemas.HandOverBody) -> dict[str, Any]:
    return _after(
        service.hand_over(
            path.incident_id,
            queries.person_id(body.person),
            note=body.note,
            seen=body.version,
            by=current_actor(),
            at=now(),
        )
    )


@api.post("/<int:incident_id>/escalate", responses={200: schemas.IncidentOut})
@allows("incidents:write")
def escalate(path: schemas.IncidentPath, body: schemas.EscalateBody) -> dict[str, Any]:
    return _after(
        service.escalate(
            path.incident_id,
            queries.team_id(body.team),
            note=body.note,
            seen=body.version,
            by=current_actor(),
            at=now(),
        )
    )


@api.post("/<int:incident_id>/model", responses={200: schemas.IncidentOut})
@allows("incidents:write")
def assign_model(path: schemas.IncidentPath, body: schemas.AssignBody) -> dict[str, Any]:
    """Take an incident out of triage."""
    return _after(
        service.assign_model(
            path.incident_id,
            queries.model_id(body.model),
            seen=body.version,
            by=current_actor(),
            at=now(),
        )
    )


@api.post("/<int:incident_id>/notes", responses={201: schemas.HappeningOut})
@allows("incidents:write")
def add_note(path: schemas.IncidentPath, body: schemas.NoteBody) -> Any:
    entry = service.add_note(
        path.incident_id, body.text, key=body.key, by=current_actor(), at=now()
    )
    note = schemas.HappeningOut(
        at=entry.at, kind=entry.kind, by=entry.actor_name, text=entry.text, detail={}
    )
    return note.model_dump(mode="json"), 201


def _url(incident_id: int) -> str:
    return url_for("incidents.detail", incident_id=incident_id, _external=True)


def _after(incident: Incident) -> dict[str, Any]:
    return _whole(incident.id)


def _whole(incident_id: int) -> dict[str, Any]:
    incident = queries.incident(incident_id)
    version = incident.runbook_version
    evidence = queries.evidence(incident_id, incident.episode)
    return schemas.IncidentOut(
        id=incident.id,
        url=_url(incident.id),
        title=incident.title,
        state=incident.state,
        severity=incident.severity,
        model=incident.model.slug if incident.model else None,
        failure_mode=incident.failure_mode,
        model_version=incident.model_version,
        team=incident.team.name if incident.team else None,
        lead=incident.lead.name if incident.lead else None,
        alerts=incident.member_count,
        firing=incident.firing_count,
        opened_at=incident.opened_at,
        resolved_at=incident.resolved_at,
        version=incident.version,
        episode=incident.episode,
        noise=incident.noise,
        resolution=incident.resolution,
        acknowledged_at=incident.acknowledged_at,
        mitigated_at=incident.mitigated_at,
        runbook=schemas.RunbookOut(
            id=version.runbook.slug,
            version=version.number,
            url=url_for(
                "runbooks.version",
                slug=version.runbook.slug,
                number=version.number,
                _external=True,
            ),
        )
        if version
        else None,
        previous=incident.previous_id,
        paging=outbox.sync_state(incident_id, at=now()).word,
        members=[
            schemas.MemberOut(
                name=member.name,
                summary=member.summary,
                firing=member.firing,
                severity=member.severity,
                labels=member.labels,
                annotations=member.annotations,
                links=member.links,
                starts_at=member.starts_at,
                ends_at=member.ends_at,
                last_seen_at=member.last_seen_at,
                times_seen=member.times_seen,
            )
            for member in queries.members(incident_id, size=200).items
        ],
        timeline=[
            schemas.HappeningOut(
                at=one.at, kind=one.kind, by=one.actor_name, text=one.text, detail=one.detail
            )
            for one in queries.timeline(incident_id)
        ],
        evidence=evidence.content if evidence else None,
    ).model_dump(mode="json")
