"""Writes of runs: one event at a time, each of which is kept once."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from app.core.db import unit_of_work
from app.core.errors import ConflictError, ForbiddenError, NotFoundError, RefusedError
from app.people.rules import BATON, Actor
from app.runbooks.compare import compare
from app.runbooks.filling import check_value, values_at_start
from app.runbooks.format import read
from app.runbooks.front_matter import facts
from app.runbooks.runs import queries
from app.runbooks.runs.queries import Followed
from app.runbooks.runs.rules import (
    EventKind,
    Mode,
    RunStatus,
    Said,
    StaleStepError,
    Standing,
    StepState,
    check,
    goes_on_with,
    proves,
    to_verify,
)
from app.runbooks.runs.tables import Presence, Run, RunEvent, Verification
from app.runbooks.tables import RunbookVersion

DEFAULT_WAIT = 10  # minutes of a timer whose step names none
ABSENT = "It is not known who does this."


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a run begins."""

    version_id: int
    mode: Mode = Mode.LIVE
    incident_id: int | None = None
    model_name: str | None = None
    # What variables may be filled from, by their source: incident.model, alert.cluster …
    known: Mapping[str, str] = field(default_factory=dict)
    scenario: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """An event that was kept, and where the run stands after it."""

    event: RunEvent
    followed: Followed
    again: bool = False  # it had been kept before: the client had not heard


class StepMovedError(ConflictError):
    """Somebody else moved the step meanwhile."""

    def __init__(self, sentence: str, standing: Standing) -> None:
        super().__init__(sentence)
        self.standing = standing


def start(beginning: Beginning, *, by: Actor, at: datetime) -> Run:
    """Begin to follow a version. The incident's open run is returned if there is one already."""
    with unit_of_work() as session:
        version = session.get(
            RunbookVersion, beginning.version_id, options=[joinedload(RunbookVersion.runbook)]
        )
        if version is None:
            raise NotFoundError("This runbook has no such version.")
        if beginning.mode is Mode.DRILL and by.kind == "person" and by.id == version.author_id:
            raise ForbiddenError(
                "A drill is driven by somebody who did not write the runbook. Ask a colleague."
            )
        said = facts(version.front_matter)
        values = values_at_start(said.variables, beginning.known)
        run = Run(
            mode=beginning.mode,
            status=RunStatus.OPEN,
            incident_id=beginning.incident_id,
            runbook_id=version.runbook_id,
            version_id=version.id,
            model_name=beginning.model_name,
            variables=values,
            scenario=dict(beginning.scenario),
            started_at=at,
            started_by=by.name,
            started_by_id=by.id if by.kind == "person" else None,
            last_seq=0,
        )
        session.add(run)
        session.flush()
        detail = {"number": version.number, "variables": values}
        _append(session, run, Said(EventKind.STARTED, detail=detail), uuid.uuid4().hex, by, at, at)
    return run


def add(
    run_id: int,
    said: Said,
    *,
    client_event_id: str,
    by: Actor,
    at: datetime,
    said_at: datetime | None = None,
) -> Taken:
    """Keep an event, once. Raises `StepMovedError`, `RefusedError`, `NotFoundError`.

    `client_event_id` makes a repeat harmless; `said_at` is when the person did it, if they were
    offline meanwhile.
    """
    with unit_of_work() as session:
        run = _locked(session, run_id)
        kept = session.scalars(
            select(RunEvent).where(
                RunEvent.run_id == run_id, RunEvent.client_event_id == client_event_id
            )
        ).one_or_none()
        if kept is not None:
            return Taken(kept, queries.followed(run_id), again=True)
        before = queries.stand(run, queries.events(run_id))
        said = _checked(before, said)
        event = _append(
            session, run, _completed(before, said, at), client_event_id, by, said_at or at, at
        )
        session.flush()
        after = queries.stand(run, [*before.events, event])
    return Taken(event, after)


def _checked(before: Followed, said: Said) -> Said:
    target = confirmation_target(before.run)
    try:
        why_not = check(before.plan, before.state, before.run.mode, said, target=target)
    except StaleStepError as stale:
        standing: Standing = stale.args[0]
        raise StepMovedError(_who_was_first(before, said, standing), standing) from None
    if why_not is not None:
        raise RefusedError(why_not)
    return said


def _who_was_first(before: Followed, said: Said, standing: Standing) -> str:
    step = before.plan.get(said.step_id)
    number = step.number if step else "?"
    moved = next((event for event in before.events if event.seq == standing.seq), None)
    if moved is None:
        return f"Step {number} has changed since. Look again."
    return f"{moved.actor} marked step {number} {WORDS[standing.state]} before you."


WORDS = {
    StepState.TODO: "as to do",
    StepState.DOING: "as being done",
    StepState.WAITING: "as waiting",
    StepState.DONE: "done",
    StepState.FAILED: "failed",
    StepState.SKIPPED: "skipped",
    StepState.NOT_TAKEN: "not taken",
}


def confirmation_target(run: Run) -> str:
    """What a risky step asks to be typed: the model's name, or the runbook's if there is none."""
    return run.variables.get("model") or run.model_name or run.runbook.slug


def _completed(before: Followed, said: Said, at: datetime) -> Said:
    """What the server adds to what the client said."""
    step = before.plan.get(said.step_id)
    detail = {key: value for key, value in said.detail.items() if key != "typed"}
    if step is not None:
        detail |= goes_on_with(step, said)
        if said.kind is EventKind.WAITING:
            until = at + timedelta(minutes=step.minutes or DEFAULT_WAIT)
            detail["until"] = until.isoformat()
        if said.kind is EventKind.DONE and step.risk == "high" and before.run.mode is Mode.DRILL:
            detail["played"] = True  # nothing risky is done in a drill
    return Said(said.kind, said.step_id, said.seen, detail)


def _append(
    session: Session,
    run: Run,
    said: Said,
    client_event_id: str,
    by: Actor,
    said_at: datetime,
    at: datetime,
) -> RunEvent:
    run.last_seq += 1
    event = RunEvent(
        run_id=run.id,
        seq=run.last_seq,
        step_id=said.step_id,
        kind=said.kind,
        at=at,
        said_at=min(said_at, at),
        actor=by.name,
        actor_id=by.id if by.kind == "person" else None,
        client_event_id=client_event_id,
        detail=dict(said.detail),
    )
    session.add(event)
    return event


def _locked(session: Session, run_id: int) -> Run:
    run = session.scalars(
        select(Run)
        .where(Run.id == run_id)
        .options(joinedload(Run.runbook), joinedload(Run.runbook_version))
        .with_for_update(of=Run)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if run is None:
        raise NotFoundError(f"There is no run {run_id}.")
    return run


def fill(
    run_id: int, name: str, value: str, *, client_event_id: str, by: Actor, at: datetime
) -> Taken:
    """Give a variable a value. A secret one is checked and forgotten."""
    with unit_of_work() as session:
        run = _locked(session, run_id)
        said = facts(run.runbook_version.front_matter)
        variable = next((one for one in said.variables if one.name == name), None)
        if variable is None:
            raise NotFoundError(f"The runbook has no variable {name}.")
        value = value.strip()
        if sentence := check_value(variable, value):
            raise RefusedError(sentence)
        shown = "" if variable.secret else value
        taken = add(
            run_id,
            Said(EventKind.FILLED, detail={"name": name, "value": shown}),
            client_event_id=client_event_id,
            by=by,
            at=at,
        )
        if not variable.secret:
            run.variables = {**run.variables, name: value}
    return taken


def switch(run_id: int, version_id: int, *, client_event_id: str, by: Actor, at: datetime) -> Taken:
    """Go on with another version. What was done stays done, by step id."""
    with unit_of_work() as session:
        run = _locked(session, run_id)
        version = session.get(RunbookVersion, version_id)
        if version is None or version.runbook_id != run.runbook_id:
            raise NotFoundError("This runbook has no such version.")
        if version.id == run.version_id:
            raise ConflictError(f"This run follows v{version.number} already.")
        again = changed_steps(run.runbook_version, version)
        detail = {
            "from": run.runbook_version.number,
            "to": version.number,
            "check_again": sorted(again),
        }
        taken = add(
            run_id,
            Said(EventKind.SWITCHED, detail=detail),
            client_event_id=client_event_id,
            by=by,
            at=at,
        )
        if not taken.again:
            run.version_id, run.runbook_version = version.id, version
            taken = Taken(taken.event, queries.stand(run, taken.followed.events))
    return taken


def changed_steps(before: RunbookVersion, after: RunbookVersion) -> frozenset[str]:
    """The steps that both versions have and that say something else now."""
    slug = after.runbook.slug
    found = compare(read(before.source, f"{slug}.md"), read(after.source, f"{slug}.md"))
    return frozenset(step.step_id for step in found.steps if step.change == "changed")


def end(
    run_id: int,
    waived: Mapping[str, str],
    *,
    leave: bool = False,
    client_event_id: str,
    by: Actor,
    at: datetime,
) -> Taken:
    """End a run. It is finished when every verification is done, or waived with a reason."""
    with unit_of_work() as session:
        run = _locked(session, run_id)
        now = queries.stand(run, queries.events(run_id))
        open_steps = to_verify(now.plan, now.state)
        if not leave:
            missing = [step for step in open_steps if not waived.get(step.id, "").strip()]
            if missing:
                names = ", ".join(f"step {step.number}" for step in missing)
                raise RefusedError(f"Verify {names} first, or say why that is not needed.")
        status = RunStatus.LEFT if leave else RunStatus.FINISHED
        detail = {
            "status": status.value,
            "waived": {step.id: waived.get(step.id, "") for step in open_steps},
        }
        taken = add(
            run_id,
            Said(EventKind.ENDED, detail=detail),
            client_event_id=client_event_id,
            by=by,
            at=at,
        )
        if taken.again:
            return taken
        run.status, run.ended_at = status, at
        if status is RunStatus.FINISHED and proves(now.plan, now.state):
            session.add(
                Verification(
                    runbook_id=run.runbook_id,
                    version_id=run.version_id,
                    run_id=run.id,
                    how="drill" if run.mode is Mode.DRILL else "incident",
                    at=at,
                    by=by.name,
                )
            )
    return taken


def look(
    run_id: int, step_id: str | None, *, claim: bool | None = None, by: Actor, at: datetime
) -> None:
    """Say that somebody is here, at which step; `claim` takes the step on, or lets it go."""
    if by.kind != "person" or by.id is None:
        raise ForbiddenError(ABSENT)
    with unit_of_work() as session:
        queries.run(run_id)
        row = session.get(Presence, (run_id, by.id), with_for_update=True)
        if row is None:
            row = Presence(run_id=run_id, user_id=by.id, name=by.name, seen_at=at)
            session.add(row)
        row.step_id, row.seen_at = step_id, at
        if claim is not None:
            row.claimed_step_id = step_id if claim else None
            row.claimed_at = at if claim else None


def sense(
    run_id: int, step_id: str, holds: bool, reading: Mapping[str, Any], *, at: datetime
) -> Taken | None:
    """Let a reading answer for a person. None: a person was quicker."""
    followed = queries.followed(run_id)
    said = Said(
        EventKind.SENSED, step_id, followed.state.of(step_id).seq, {**reading, "holds": holds}
    )
    try:
        return add(run_id, said, client_event_id=uuid.uuid4().hex, by=BATON, at=at)
    except (StepMovedError, RefusedError):
        return None
