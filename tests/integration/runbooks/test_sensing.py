"""Steps that can be measured tick themselves."""

from datetime import timedelta

import pytest

from app.core.db import end_read
from app.runbooks.runs import jobs
from app.runbooks.runs import queries as runs
from app.runbooks.runs.rules import EventKind, StepState
from app.runbooks.runs.showing import Sensed
from tests.integration.runbooks.test_runs_service import (  # noqa: F401 fixtures
    begin,
    people,
    publish,
    say,
)


@pytest.fixture
def sense(app, at, monkeypatch):
    """Runs the job some minutes later, with a sensor that says this of every verification."""

    def sense(holds, minutes=1):
        def sensor(model_name, step):
            if step["kind"] != "verify":
                return None
            return Sensed(holds, "182 ms", "under 250 ms", f"Prometheus of {model_name}", at)

        monkeypatch.setitem(app.extensions, "sensor", sensor)
        monkeypatch.setattr(jobs, "now", lambda: at + timedelta(minutes=minutes))
        jobs.sense()
        end_read()

    return sense


@pytest.mark.parametrize(
    ("holds", "minutes", "state"),
    [
        (True, 1, StepState.DONE),
        (False, 1, StepState.WAITING),
        (False, 11, StepState.FAILED),
        (None, 11, StepState.WAITING),  # the source does not answer: a person is asked
    ],
)
def test_a_waiting_step_follows_its_reading(begin, say, sense, holds, minutes, state):  # noqa: F811
    run_id = begin(model_name="recsys")
    say(run_id, EventKind.WAITING, "over")

    sense(holds, minutes)

    standing = runs.followed(run_id).state.of("over")
    assert (standing.state, standing.sensed) == (state, state is not StepState.WAITING)


def test_what_nobody_has_come_to_yet_is_not_sensed(begin, sense):  # noqa: F811
    run_id = begin()

    sense(holds=True)

    assert runs.followed(run_id).state.of("over").state is StepState.TODO
