"""Steps that tick themselves."""

import re
from datetime import timedelta

import pytest

from app.core.clock import now
from app.people.rules import BATON, COMMAND_LINE, Role
from app.runbooks.runs import queries, service
from app.runbooks.runs.rules import EventKind, Mode, Said, StepState
from app.runbooks.runs.sensing import sense_waiting
from app.runbooks.runs.sensor import Sensed
from app.runbooks.runs.service import Beginning
from tests.support.following import LATENCY, publish


@pytest.fixture
def begin(app, at):
    """A run in which the verification waits; its id."""

    def begin(mode=Mode.LIVE):
        version = publish(LATENCY, at=at)
        beginning = Beginning(version.id, mode, model_name="recsys-home")
        begun = service.start(beginning, by=COMMAND_LINE, at=at)
        said = Said(EventKind.WAITING, "soak")
        service.add(begun.id, said, client_event_id="w", by=BATON, at=at)
        return begun.id

    return begin


@pytest.fixture
def run(begin):
    return begin()


@pytest.fixture
def reads(app, monkeypatch):
    def register(holds):
        def sensor(model_name, step):
            assert model_name == "recsys-home"
            if step["id"] != "soak":
                return None
            return Sensed(holds, "441 ms", "under 250 ms", "Prometheus", now())

        monkeypatch.setitem(app.extensions, "sensor", sensor)

    return register


def standing(run_id):
    return queries.followed(run_id).state.of("soak")


@pytest.mark.parametrize(
    ("holds", "minutes", "state"),
    [
        (True, 1, StepState.DONE),
        (False, 1, StepState.WAITING),
        (False, 16, StepState.FAILED),
        (None, 16, StepState.WAITING),
    ],
)
def test_a_reading_answers_when_it_holds_or_when_time_is_up(run, reads, at, holds, minutes, state):
    reads(holds)

    answered = sense_waiting(at=at + timedelta(minutes=minutes))

    assert answered == (state is not StepState.WAITING)
    assert standing(run).state is state
    assert standing(run).sensed == (state is not StepState.WAITING)


def test_without_a_sensor_nothing_ticks_itself(run, at):
    assert sense_waiting(at=at + timedelta(hours=1)) == 0


def test_a_reading_is_shown_beside_the_timer_and_marked(run, reads, signed_in):
    reads(False)

    text = signed_in(Role.RESPONDER).get(f"/runs/{run}").text

    assert "441 ms" in text
    assert "Sensed: Prometheus" in text
    assert "Not yet" in text


@pytest.mark.parametrize("holds", [True, False])
def test_in_a_drill_a_reading_is_shown_and_a_person_answers(begin, reads, signed_in, at, holds):
    drill = begin(Mode.DRILL)
    reads(holds)

    answered = sense_waiting(at=at + timedelta(minutes=16))
    text = signed_in(Role.RESPONDER).get(f"/runs/{drill}").text

    assert answered == 0
    assert standing(drill).state is StepState.WAITING
    assert "441 ms" in text
    assert "Not played" in text
    assert "it ticks nothing in a drill" in text
    assert not {"Holds", "Not yet"} & set(re.findall(r"</svg>([\w ]+)</span>", text))


def test_no_reading_is_taken_for_an_answer_in_a_drill(begin, at):
    drill = begin(Mode.DRILL)

    assert service.sense(drill, "soak", True, {"reading": "441 ms"}, at=at) is None
    assert standing(drill).state is StepState.WAITING
