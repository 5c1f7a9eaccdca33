"""Steps that tick themselves: while a timer runs, a reading may answer for a person."""

from datetime import datetime

from sqlalchemy import select

from app.core.db import db
from app.runbooks import service as runbooks
from app.runbooks.runs import queries, service
from app.runbooks.runs.rules import Mode, RunStatus, Standing, StepState
from app.runbooks.runs.sensor import Sensed, Sensor, sensor
from app.runbooks.runs.tables import Run


def sense_waiting(*, at: datetime) -> int:
    """Ask the sensor for every step that waits, and let it answer. Returns for how many it did.

    A reading that holds ticks the step. One that does not hold fails it once its time is up. A
    source that does not answer says nothing: a person is asked. So it is in a drill: there the
    readings are the real model's, on which nothing is played.
    """
    ask = sensor()
    if ask is None:
        return 0
    open_runs = db.session.scalars(
        select(Run.id).where(Run.status == RunStatus.OPEN, Run.mode == Mode.LIVE)
    ).all()
    return sum(_sense_run(run_id, ask, at=at) for run_id in open_runs)


def _sense_run(run_id: int, ask: Sensor, *, at: datetime) -> int:
    followed = queries.followed(run_id)
    waiting = {
        step_id: standing
        for step_id, standing in followed.state.steps.items()
        if standing.state is StepState.WAITING
    }
    if not waiting:
        return 0
    parts = runbooks.rendered(followed.run.runbook_version)["steps"]
    answered = 0
    for step_id, standing in waiting.items():
        said = {**parts[step_id], "since": standing.at, "at": at}
        found = ask(followed.run.model_name, said)
        if found is None or found.holds is None or not (found.holds or _is_up(standing, at)):
            continue
        if service.sense(run_id, step_id, found.holds, _reading(found), at=at) is not None:
            answered += 1
    return answered


def _is_up(standing: Standing, at: datetime) -> bool:
    return standing.until is not None and standing.until <= at


def _reading(found: Sensed) -> dict[str, str]:
    return {"reading": found.reading, "target": found.target, "source": found.source}
