"""Reads of runs, shaped for pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from sqlalchemy import func, select
from sqlalchemy.orm import joinedload

from app.core.db import AnyRow, db
from app.core.errors import NotFoundError
from app.runbooks import service as runbooks
from app.runbooks.runs.rules import (
    CLAIM_LASTS,
    EventKind,
    Happened,
    Mode,
    Plan,
    RunState,
    RunStatus,
    fold,
    plan_of,
)
from app.runbooks.runs.tables import Presence, Run, RunEvent
from app.runbooks.tables import RunbookVersion

HERE = timedelta(seconds=30)  # since the last sign of life of somebody who is looking


@dataclass(frozen=True, slots=True)
class Followed:
    """A run with everything its page shows."""

    run: Run
    plan: Plan
    state: RunState
    events: Sequence[RunEvent]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who looks at a run."""

    user_id: int
    name: str
    step_id: str | None
    claimed: str | None  # the step they said they are on


def run(run_id: int) -> Run:
    """The run. Raises `NotFoundError`."""
    found = db.session.scalars(
        select(Run)
        .where(Run.id == run_id)
        .options(joinedload(Run.runbook), joinedload(Run.runbook_version))
    ).one_or_none()
    if found is None:
        raise NotFoundError(f"There is no run {run_id}.")
    return found


def followed(run_id: int) -> Followed:
    found = run(run_id)
    return stand(found, events(run_id))


def stand(found: Run, happened: Sequence[RunEvent]) -> Followed:
    plan = plan_for(found.runbook_version)
    return Followed(found, plan, fold(plan, map(as_happened, happened)), happened)


def of_incident(incident_id: int) -> Sequence[Run]:
    """All runs for an incident, newest first."""
    return db.session.scalars(
        select(Run)
        .where(Run.incident_id == incident_id)
        .order_by(Run.id.desc())
        .options(joinedload(Run.runbook), joinedload(Run.runbook_version))
    ).all()


def open_run_of(incident_id: int) -> Run | None:
    """The run that an incident's page shows: the newest that is open, else the newest."""
    runs = of_incident(incident_id)
    return next((one for one in runs if one.status is RunStatus.OPEN), runs[0] if runs else None)


def events(run_id: int, *, since: int = 0) -> Sequence[RunEvent]:
    return db.session.scalars(
        select(RunEvent)
        .where(RunEvent.run_id == run_id, RunEvent.seq > since)
        .order_by(RunEvent.seq)
    ).all()


def events_of_incident(incident_id: int) -> Sequence[tuple[Run, RunEvent]]:
    """What was done in all runs of an incident, newest first: for its timeline."""
    rows = db.session.execute(
        select(Run, RunEvent)
        .join(RunEvent, RunEvent.run_id == Run.id)
        .where(Run.incident_id == incident_id, RunEvent.kind != EventKind.FEEDBACK)
        .order_by(RunEvent.at.desc(), RunEvent.seq.desc())
        .limit(500)
        .options(joinedload(Run.runbook), joinedload(Run.runbook_version))
    )
    return [(row[0], row[1]) for row in rows]


def as_happened(event: RunEvent) -> Happened:
    return Happened(
        event.seq, event.kind, event.step_id, event.at, event.actor, event.actor_id, event.detail
    )


def plan_for(version: RunbookVersion) -> Plan:
    """The plan of a version, which never changes."""
    return _plan_of_version(version.id, version.sha256)


@lru_cache(256)
def _plan_of_version(version_id: int, _sha256: str) -> Plan:
    version = db.session.get_one(RunbookVersion, version_id)
    return plan_of(runbooks.rendered(version))


@dataclass(frozen=True, slots=True)
class Remark:
    """What somebody said of a step after a run: that it was wrong or unclear."""

    step_id: str
    verdict: str
    note: str
    by: str
    run_id: int
    incident_id: int | None


def remarks_on(version_id: int, *, most: int = 20) -> Sequence[Remark]:
    """What was said of the steps of a version, newest first; of each run the last word on each."""
    rows = db.session.execute(
        select(RunEvent.step_id, RunEvent.detail, RunEvent.actor, Run.id, Run.incident_id)
        .join(Run, Run.id == RunEvent.run_id)
        .where(Run.version_id == version_id, RunEvent.kind == EventKind.FEEDBACK)
        .order_by(RunEvent.id.desc())
        .limit(10 * most)
    )
    last: dict[tuple[int, str], Remark] = {}
    for step_id, detail, actor, run_id, incident_id in rows:
        verdict, note = str(detail.get("verdict")), str(detail.get("note") or "")
        remark = Remark(step_id, verdict, note, actor, run_id, incident_id)
        last.setdefault((run_id, step_id), remark)
    return [one for one in last.values() if one.verdict in ("wrong", "unclear")][:most]


def readers_of(runbook_id: int, *, at: datetime) -> Sequence[str]:
    """Who looks now at an open run of any version of a runbook, by name."""
    return db.session.scalars(
        select(Presence.name)
        .join(Run, Run.id == Presence.run_id)
        .where(
            Run.runbook_id == runbook_id,
            Run.status == RunStatus.OPEN,
            Presence.seen_at > at - HERE,
        )
        .distinct()
        .order_by(Presence.name)
    ).all()


def people(run_id: int, *, at: datetime) -> Sequence[Person]:
    """Who is looking now, and who has taken on a step in the last ten minutes."""
    rows = db.session.scalars(
        select(Presence)
        .where(Presence.run_id == run_id, Presence.seen_at > at - CLAIM_LASTS)
        .order_by(Presence.name, Presence.user_id)
    )
    found = []
    for row in rows:
        claimed = row.claimed_step_id
        if row.claimed_at is None or row.claimed_at <= at - CLAIM_LASTS:
            claimed = None
        if row.seen_at > at - HERE or claimed:
            found.append(Person(row.user_id, row.name, row.step_id, claimed))
    return found


def proofs(run: Run, plan: Plan) -> Mapping[str, str]:
    """When each risky step was last done elsewhere."""
    risky = [step.id for step in plan.steps if step.risk == "high"]
    if not risky:
        return {}
    last = (
        select(func.max(RunEvent.id))
        .join(Run, Run.id == RunEvent.run_id)
        .where(
            RunEvent.step_id.in_(risky),
            RunEvent.kind == EventKind.DONE,
            Run.runbook_id == run.runbook_id,
            Run.id != run.id,
        )
        .group_by(RunEvent.step_id)
    )
    rows = db.session.execute(
        select(RunEvent.step_id, RunEvent.at, Run.incident_id, Run.mode)
        .join(Run, Run.id == RunEvent.run_id)
        .where(RunEvent.id.in_(last))
    ).all()
    return {row.step_id: _proof(row) for row in rows}


def _proof(row: AnyRow) -> str:
    if row.mode is Mode.DRILL:
        where = "Played in a drill"
    else:
        where = f"Done in INC-{row.incident_id}" if row.incident_id else "Done"
    return f"{where} on {row.at.day} {row.at:%B %Y}"
