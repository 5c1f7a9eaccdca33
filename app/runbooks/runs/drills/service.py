"""Writes of drills: to plan one, to call it off, and to start it.

A drill is a run like any other, with the same events, but for what it is not: it belongs to no
incident, so nothing is opened and nobody is paged, and nothing risky is done in it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from flask import current_app
from sqlalchemy.orm import Session

from app.core.db import unit_of_work
from app.core.errors import ConflictError, ForbiddenError, NotFoundError, RefusedError
from app.people import audit
from app.people.rules import Actor, Role
from app.people.tables import User
from app.runbooks import queries as books
from app.runbooks.front_matter import facts
from app.runbooks.runs import service as runs
from app.runbooks.runs.drills import queries
from app.runbooks.runs.drills.rules import (
    Scenario,
    due_on,
    is_overdue,
    made_up,
    may_drive,
)
from app.runbooks.runs.rules import Mode
from app.runbooks.runs.service import Beginning
from app.runbooks.runs.tables import PlannedDrill, Run
from app.runbooks.tables import RunbookVersion

# Alerts belong to a feature above, which says there how to read a kept delivery:
# a function of its number that gives {"name", "summary", "labels", "links"}, or None.
REPLAYS = "delivery_for_drill"


@dataclass(frozen=True, slots=True)
class Wish:
    """A drill that is to take place."""

    due: date
    driver_id: int | None = None
    note: str = ""


# --- What is played


def scenario(version: RunbookVersion, *, model: str = "", story: str = "") -> Scenario:
    """What is played when nothing else is asked for: what the runbook itself is for."""
    return made_up(facts(version.front_matter), version.title, model=model, story=story)


def can_replay() -> bool:
    return REPLAYS in current_app.extensions


def replayed(delivery_id: int, *, model: str = "", story: str = "") -> Scenario:
    """What is played when a delivery that once came is to come again. It reaches no door."""
    read: Callable[[int], Mapping[str, Any] | None] | None = current_app.extensions.get(REPLAYS)
    found = read(delivery_id) if read else None
    if found is None:
        raise NotFoundError(f"There is no delivery d-{delivery_id} that could be played again.")
    return Scenario(
        name=str(found.get("name") or f"d-{delivery_id}"),
        story=story or str(found.get("summary") or f"Delivery d-{delivery_id} came in."),
        labels={str(name): str(value) for name, value in (found.get("labels") or {}).items()},
        links=tuple(found.get("links") or ()),
        model=model,
        delivery=delivery_id,
    )


# --- Starting


def start_drill(
    slug: str, played: Scenario, *, planned_id: int | None = None, by: Actor, at: datetime
) -> Run:
    """Begin a drill of the runbook that people are sent to. `planned_id`: as it was planned."""
    with unit_of_work() as session:
        version = drillable(slug)
        check_driver(version, by)
        if played.model:
            _check_model(version, played.model)
        run = runs.start(
            Beginning(
                version_id=version.id,
                mode=Mode.DRILL,
                model_name=played.model or None,
                known=played.known(),
                scenario=played.as_kept(),
            ),
            by=by,
            at=at,
        )
        if planned_id is not None:
            drill = _open(session, planned_id)
            if drill.runbook_id != version.runbook_id:
                raise RefusedError("That drill is planned for another runbook.")
            drill.run_id = run.id
    return run


def drillable(slug: str) -> RunbookVersion:
    """The version that a drill of this runbook follows."""
    version = books.current(slug)
    if version.runbook.retired_at is not None:
        raise RefusedError("This runbook is retired: nobody is sent to it, so nobody drills it.")
    return version


def check_driver(version: RunbookVersion, by: Actor) -> None:
    if by.kind != "person" or by.id is None:
        raise ForbiddenError("A drill is driven by a person who is signed in.")
    if not may_drive(by.id, version.author_id):
        raise ForbiddenError(f"You wrote v{version.number}, so somebody else drives it.")


def _check_model(version: RunbookVersion, model: str) -> None:
    if model not in queries.models_for(facts(version.front_matter)):
        raise RefusedError(f"This runbook is not written for a model called {model}.")


# --- Planning


def plan_drill(slug: str, wish: Wish, *, by: Actor, at: datetime) -> PlannedDrill:
    """Put a drill on the schedule."""
    with unit_of_work() as session:
        version = drillable(slug)
        due_at = due_on(wish.due)
        if is_overdue(due_at, at=at):
            raise RefusedError("That day is over. Plan it for today or later.")
        driver = _driver(session, version, wish.driver_id)
        drill = PlannedDrill(
            runbook_id=version.runbook_id,
            due_at=due_at,
            driver_id=driver.id if driver else None,
            note=wish.note,
            planned_by=by.name,
            planned_at=at,
        )
        session.add(drill)
        session.flush()
        audit.record(
            "drill.plan",
            target_kind="planned drill",
            target_id=drill.id,
            target_name=f"the drill of {version.runbook.slug}",
            after={
                "due": wish.due.isoformat(),
                "driver": driver.name if driver else None,
                "note": wish.note or None,
            },
            by=by,
            at=at,
        )
    return drill


def _driver(session: Session, version: RunbookVersion, driver_id: int | None) -> User | None:
    if driver_id is None:
        return None
    driver = session.get(User, driver_id)
    if driver is None or not driver.active:
        raise RefusedError("Whoever drives it must be able to sign in.")
    if not driver.role.covers(Role.RESPONDER):
        raise RefusedError(f"{driver.name} is a viewer. A drill is driven by a responder.")
    if not may_drive(driver.id, version.author_id):
        raise RefusedError(f"{driver.name} wrote v{version.number}, so somebody else drives.")
    return driver


def call_off(planned_id: int, *, seen_version: int | None, by: Actor, at: datetime) -> PlannedDrill:
    """Take a planned drill off the schedule. The runbook stays as due as it is."""
    with unit_of_work() as session:
        drill = _open(session, planned_id)
        name = f"the drill of {drill.runbook.slug}"
        if seen_version is not None and drill.version != seen_version:
            raise audit.changed_meanwhile("planned drill", drill.id, name)
        drill.called_off_at = at
        audit.record(
            "drill.call_off",
            target_kind="planned drill",
            target_id=drill.id,
            target_name=name,
            before={"due": drill.due_at.date().isoformat()},
            by=by,
            at=at,
        )
    return drill


def _open(session: Session, planned_id: int) -> PlannedDrill:
    """The planned drill, held until the unit of work ends."""
    drill = session.get(PlannedDrill, planned_id, with_for_update=True, populate_existing=True)
    if drill is None:
        raise NotFoundError("There is no such planned drill.")
    if drill.called_off_at is not None:
        raise ConflictError("This drill was called off meanwhile.")
    if drill.run_id is not None:
        run = session.get_one(Run, drill.run_id)
        raise ConflictError(f"{run.started_by} started this drill already. Follow along there.")
    return drill
