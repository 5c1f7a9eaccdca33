"""Following a runbook for an incident: which ones fit, what is known to fill in, and starting."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlalchemy import select, update

from app.core.db import db, unit_of_work
from app.core.errors import NotFoundError, RefusedError
from app.incidents.rules import State
from app.incidents.tables import Incident, Member
from app.people.rules import Actor
from app.registry.tables import MlModel
from app.runbooks import queries as runbooks
from app.runbooks import reports
from app.runbooks.reports import Trust
from app.runbooks.rules import Published, closeness, failure_mode_title
from app.runbooks.runs import queries as runs
from app.runbooks.runs import service
from app.runbooks.runs.rules import EventKind, RunStatus, Said
from app.runbooks.runs.service import Beginning
from app.runbooks.runs.tables import Run
from app.runbooks.tables import RunbookVersion

MOST_LOOKED_AT = 200
MOST_TO_TRY = 5


@dataclass(frozen=True, slots=True)
class Fitting:
    """A runbook that could be followed, and what speaks for it."""

    runbook: Published
    matches: tuple[str, ...]  # as in: alert modellatencyhigh
    trust: Trust | None  # how fresh it is, and how often it was used


def fitting(incident: Incident, *, at: datetime) -> list[Fitting]:
    """All published runbooks, those that the alerts signal first."""
    names = {
        name.lower(): name
        for name in db.session.scalars(
            select(Member.name).where(Member.incident_id == incident.id).distinct()
        )
    }
    slug = incident.model.slug if incident.model else None
    tags = incident.model.tags if incident.model else ()
    trusts = {trust.book.slug: trust for trust in reports.trust_of_all(at=at)}
    found = [
        Fitting(one, _matches(one, incident, names), trusts.get(one.slug))
        for one in runbooks.signals_index()
    ]

    def rank(one: Fitting) -> tuple[int, bool, int, str]:
        staleness = one.trust.freshness.score if one.trust else 100
        for_another = closeness(one.runbook, slug, tags) is None
        return -len(one.matches), for_another, staleness, one.runbook.slug

    return sorted(found, key=rank)


def _matches(one: Published, incident: Incident, names: Mapping[str, str]) -> tuple[str, ...]:
    found = [f"alert {names[name]}" for name in sorted(one.alertnames & names.keys())]
    if one.failure_mode == incident.failure_mode:
        found.append(f"failure mode {failure_mode_title(one.failure_mode)}")
    return tuple(found)


def known_of(incident: Incident) -> dict[str, str]:
    """What variables can be filled from: of the incident, and of its newest alert."""
    known = {
        "incident.id": str(incident.id),
        "incident.severity": f"sev{incident.severity}",
        "incident.failure_mode": incident.failure_mode,
        "incident.model_version": incident.model_version,
        "incident.title": incident.title,
    }
    if incident.model:
        known["incident.model"] = incident.model.slug
    if incident.team:
        known["incident.team"] = incident.team.slug
    newest = db.session.scalars(
        select(Member)
        .where(Member.incident_id == incident.id)
        .order_by(Member.firing.desc(), Member.id.desc())
        .limit(1)
    ).first()
    if newest:
        known["alert.name"] = newest.name
        for name, value in newest.labels.items():
            known[f"alert.{name}"] = known[f"incident.labels.{name}"] = value
            known[f"alert.labels.{name}"] = value
    return {name: value for name, value in known.items() if value}


def to_try(failure_mode: str | None) -> list[tuple[int, str]]:
    """New incidents whose values show how a runbook will read, those that fail this way first."""
    rows = db.session.execute(
        select(Incident.id, Incident.failure_mode, MlModel.slug)
        .join(MlModel, MlModel.id == Incident.model_id)
        .order_by(Incident.id.desc())
        .limit(MOST_LOOKED_AT)
    ).all()
    rows = sorted(rows, key=lambda row: row.failure_mode != failure_mode)
    return [(row.id, f"INC-{row.id}, {row.slug}") for row in rows[:MOST_TO_TRY]]


def known_of_id(incident_id: int) -> dict[str, str] | None:
    """The same as `known_of`; None if there is no such incident."""
    incident = db.session.get(Incident, incident_id)
    return known_of(incident) if incident else None


def start(
    incident_id: int, version_id: int, *, by: Actor, at: datetime
) -> tuple[Run, RunbookVersion | None]:
    """Follow a version for an incident. Returns the run, and the version it took the place of.

    The run that is open already is returned if it follows the same runbook, whoever began it: two
    people who press at once follow one run. One of another runbook is left where it stands.
    """
    with unit_of_work() as session:
        incident = session.scalars(
            select(Incident).where(Incident.id == incident_id).with_for_update()
        ).one_or_none()
        if incident is None:
            raise NotFoundError(f"There is no INC-{incident_id}.")
        if incident.state is State.RESOLVED:
            raise RefusedError("This incident is resolved. Open it again to follow a runbook.")
        version = session.get(RunbookVersion, version_id)
        if version is None:
            raise NotFoundError("This runbook has no such version.")
        before = runs.open_run_of(incident_id)
        replaced = None
        if before is not None and before.status is RunStatus.OPEN:
            if before.runbook_id == version.runbook_id:
                return before, None
            replaced = before.runbook_version
            service.end(before.id, {}, leave=True, client_event_id=uuid4().hex, by=by, at=at)
        run = service.start(
            Beginning(
                version_id=version.id,
                incident_id=incident.id,
                model_name=incident.model.slug if incident.model else None,
                known=known_of(incident),
            ),
            by=by,
            at=at,
        )
        if incident.runbook_version_id != version.id:
            # Not an edit that somebody else's form could overwrite, so its version stays.
            session.execute(
                update(Incident)
                .where(Incident.id == incident.id)
                .values(runbook_version_id=version.id)
            )
    return run, replaced


def note_escalation(incident_id: int, to: str, *, by: Actor, at: datetime) -> None:
    """Tell the run that is followed that somebody was paged: its time to escalation is over."""
    run = runs.open_run_of(incident_id)
    if run is not None and run.status is RunStatus.OPEN:
        said = Said(EventKind.ESCALATED, detail={"to": to})
        service.add(run.id, said, client_event_id=uuid4().hex, by=by, at=at)
