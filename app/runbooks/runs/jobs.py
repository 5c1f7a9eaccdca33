"""What the worker does for runs: steps that can be measured tick themselves."""

from flask import current_app

from app.core.clock import now
from app.core.db import end_read
from app.runbooks import service as runbooks
from app.runbooks.runs import queries, service
from app.runbooks.runs.rules import StepState
from app.runbooks.runs.showing import Sensor


def sense() -> None:
    """Let readings answer for the steps of open runs that are being done or wait.

    A reading that holds ticks its step. One that does not fails it once the time is up. Where the
    source does not answer, a person is asked.
    """
    sensor: Sensor | None = current_app.extensions.get("sensor")
    if sensor is None:
        return
    for run_id in queries.open_run_ids():
        followed, at = queries.followed(run_id), now()
        steps = runbooks.rendered(followed.run.runbook_version)["steps"]
        for step_id, standing in followed.state.steps.items():
            if standing.state not in (StepState.DOING, StepState.WAITING):
                continue
            about = {**steps[step_id], "id": step_id, "since": standing.at}
            found = sensor(followed.run.model_name, about)
            if found is None or found.holds is None:
                continue
            time_is_up = standing.until is not None and standing.until <= at
            if found.holds or time_is_up:
                reading = {
                    "reading": found.reading,
                    "target": found.target,
                    "source": found.source,
                }
                service.sense(run_id, step_id, found.holds, reading, at=at)
        end_read()
