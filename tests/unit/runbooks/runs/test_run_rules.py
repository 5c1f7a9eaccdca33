"""What may happen in a run, and how it adds up."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runbooks.format import read
from app.runbooks.rendering import render_document
from app.runbooks.runs.rules import (
    MOVES,
    EventKind,
    Happened,
    Mode,
    RunState,
    RunStatus,
    Said,
    StaleStepError,
    StepState,
    check,
    fold,
    goes_on_with,
    plan_of,
    steps_to_go,
    to_verify,
)

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
SOURCE = """\
---
schema: runbook/1
id: slow
escalate_to: team
---
# Slow

## Steps

### Confirm
<!-- step id=confirm kind=check on_fail=shape -->
Look.

### Which shape?
<!-- step id=shape kind=decision -->
- **One feature** → [go: upstream](#upstream)
- **Many** → [go: roll back](#rollback)
- **Slow** → [go: accept](#accept)

### Freeze
<!-- step id=freeze kind=action risk=low undo=unfreeze -->
Freeze it.

### Upstream
<!-- step id=upstream kind=action risk=none -->
Page them.

### Accept
<!-- step id=accept kind=action risk=low -->
Accept.

## Roll back

### Route back
<!-- step id=rollback kind=action risk=high undo=restore confirm="type the model name" -->
Route.

### Restore
<!-- step id=restore kind=action -->
Only to undo.

### Unfreeze
<!-- step id=unfreeze kind=action -->
Only to undo.

## Verify

### It is over
<!-- step id=over kind=verify minutes=10 -->
Wait.

## Afterwards

### Write
<!-- step id=write kind=action -->
Write.
"""
PLAN = plan_of(render_document(read(SOURCE.encode(), "slow.md")))


class Log:
    """Events of a run that starts with the plan."""

    def __init__(self) -> None:
        self.events: list[Happened] = []
        self.add(EventKind.STARTED)

    def add(self, kind: EventKind, step: str | None = None, **detail: Any) -> int:
        seq = len(self.events) + 1
        at = NOON + timedelta(minutes=seq)
        self.events.append(Happened(seq, kind, step, at, "Ana", 1, detail))
        return seq

    def say(self, kind: EventKind, step: str, **detail: Any) -> int:
        """As a client does that has seen everything."""
        said = Said(kind, step, self.state.of(step).seq, detail)
        found = PLAN.get(step)
        assert found
        assert check(PLAN, self.state, Mode.LIVE, said, target="recsys") is None
        return self.add(kind, step, **detail, **goes_on_with(found, said))

    @property
    def state(self) -> RunState:
        return fold(PLAN, self.events)


@pytest.fixture
def log() -> Log:
    return Log()


def test_a_run_begins_at_its_first_step(log):
    assert log.state.current == "confirm"
    assert log.state.of("confirm").state is StepState.DOING


def test_a_step_that_is_done_opens_the_next(log):
    log.say(EventKind.DONE, "confirm")

    assert (log.state.of("confirm").state, log.state.current) == (StepState.DONE, "shape")


def test_a_problem_leads_where_the_runbook_says(log):
    log.say(EventKind.FAILED, "confirm", what="failed")

    assert (log.state.of("confirm").state, log.state.current) == (StepState.FAILED, "shape")


def test_a_decision_leads_to_its_branch_and_leaves_the_others(log):
    log.say(EventKind.DONE, "confirm")
    log.say(EventKind.DECIDED, "shape", option=3)

    state = log.state
    assert (state.current, state.of("shape").answer) == ("accept", 3)
    assert state.of("upstream").state is StepState.NOT_TAKEN
    assert state.of("freeze").state is StepState.TODO


def test_a_branch_that_was_left_can_be_taken_after_all(log):
    log.say(EventKind.DONE, "confirm")
    log.say(EventKind.DECIDED, "shape", option=3)
    log.say(EventKind.OPENED, "upstream")

    assert (log.state.current, log.state.of("upstream").state) == ("upstream", StepState.DOING)


def test_after_rolling_back_comes_verification_not_the_step_that_undoes_it(log):
    log.say(EventKind.DONE, "confirm")
    log.say(EventKind.DECIDED, "shape", option=2)
    assert log.state.current == "rollback"
    log.say(EventKind.DONE, "rollback", typed="recsys")

    assert log.state.current == "over"


def test_nobody_walks_into_the_roll_back_by_itself(log):
    for step in ("confirm", "freeze", "upstream", "accept"):
        log.say(EventKind.OPENED, step)
        log.say(EventKind.DONE, step)
    log.say(EventKind.DECIDED, "shape", option=0)

    assert log.state.current == "over"


def test_a_timer_runs_beside_the_other_steps(log):
    log.say(EventKind.OPENED, "over")
    log.say(EventKind.WAITING, "over", until=(NOON + timedelta(hours=1)).isoformat())

    state = log.state
    assert (state.of("over").state, state.current) == (StepState.WAITING, "write")
    assert state.of("over").until == NOON + timedelta(hours=1)


def test_taking_back_restores_what_was_and_what_followed(log):
    log.say(EventKind.DONE, "confirm")
    decided = log.say(EventKind.DECIDED, "shape", option=3)
    log.say(EventKind.TAKEN_BACK, "shape", seq=decided)

    state = log.state
    assert (state.current, state.of("shape").state) == ("shape", StepState.DOING)
    assert state.of("upstream").state is StepState.TODO


def test_a_person_may_overrule_a_reading_and_it_shows(log):
    log.add(EventKind.SENSED, "over", holds=True)
    assert (log.state.of("over").state, log.state.of("over").sensed) == (StepState.DONE, True)

    log.say(EventKind.FAILED, "over", what="failed")

    assert log.state.of("over").overridden


def test_a_changed_step_that_was_done_is_to_be_checked_again(log):
    log.say(EventKind.DONE, "confirm")
    log.add(EventKind.SWITCHED, None, check_again=["confirm", "write"])

    assert log.state.of("confirm").check_again
    assert not log.state.of("write").check_again


def test_the_verifications_that_are_missing_are_known(log):
    assert [step.id for step in to_verify(PLAN, log.state)] == ["over"]
    log.say(EventKind.DONE, "over")
    assert to_verify(PLAN, log.state) == ()


def test_what_is_left_counts_no_roll_back_and_no_undo(log):
    assert steps_to_go(PLAN, log.state) == 7


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (Said(EventKind.DONE, "nowhere"), "has no step"),
        (Said(EventKind.DONE), "is missing"),
        (Said(EventKind.DONE, "shape"), "one of its options"),
        (Said(EventKind.DECIDED, "shape", 0, {"option": 9}), "no such option"),
        (Said(EventKind.DECIDED, "confirm", 0, {"option": 0}), "no decision"),
        (Said(EventKind.SKIPPED, "confirm", 0, {"reason": " "}), "Say why"),
        (Said(EventKind.FAILED, "confirm", 0, {"what": "else"}), "Say what happened"),
        (Said(EventKind.WAITING, "confirm"), "has a timer"),
        (Said(EventKind.TAKEN_BACK, "confirm", 0, {"seq": 1}), "nothing to take back"),
        (Said(EventKind.FEEDBACK, "confirm", 0, {"verdict": "fine"}), "whether it worked"),
        (Said(EventKind.DONE, "rollback", 0, {"typed": "recsy"}), "Type recsys"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(log, said, sentence):
    assert sentence in (check(PLAN, log.state, Mode.LIVE, said, target="recsys") or "")


def test_a_risky_step_without_a_way_back_stays_closed(log):
    plan = replace(PLAN, steps=tuple(replace(step, undo="") for step in PLAN.steps))
    said = Said(EventKind.DONE, "rollback", 0, {"typed": "recsys"})

    assert "stays closed" in (check(plan, log.state, Mode.LIVE, said, target="recsys") or "")


def test_in_a_drill_nothing_has_to_be_typed(log):
    assert check(PLAN, log.state, Mode.DRILL, Said(EventKind.DONE, "rollback")) is None


def test_a_run_that_is_over_takes_feedback_only(log):
    log.add(EventKind.ENDED, None, status="finished")

    assert log.state.status is RunStatus.FINISHED
    assert log.state.current is None
    assert "is over" in (check(PLAN, log.state, Mode.LIVE, Said(EventKind.NOTED)) or "")
    worked = Said(EventKind.FEEDBACK, "confirm", 0, {"verdict": "worked"})
    assert check(PLAN, log.state, Mode.LIVE, worked) is None


def test_the_second_of_two_is_told(log):
    seen = log.state.of("confirm").seq
    log.say(EventKind.DONE, "confirm")

    with pytest.raises(StaleStepError) as told:
        check(PLAN, log.state, Mode.LIVE, Said(EventKind.DONE, "confirm", seen))

    assert told.value.args[0].actor == "Ana"


STEPS = [step.id for step in PLAN.steps]
attempts = st.tuples(
    st.sampled_from([*sorted(MOVES), EventKind.NOTED, EventKind.COPIED, EventKind.ENDED]),
    st.sampled_from(STEPS),
    st.integers(0, 3),  # option, or how far back the client's view is
    st.integers(0, 30),  # which event id: the same comes again
)


@given(st.lists(attempts, max_size=40))
def test_whatever_several_clients_send_the_run_stays_one_and_consistent(sent):
    log, seen_ids = Log(), set()
    for kind, step_id, number, client_event_id in sent:
        state = log.state
        if client_event_id in seen_ids:
            continue  # kept once: the service knows its id
        seen = max(0, state.of(step_id).seq - (number == 3))  # now and then an old view
        detail: dict[str, Any] = {"option": number, "reason": "r", "what": "failed", "holds": True}
        detail["seq"] = state.of(step_id).by_seq
        detail["status"] = "left"
        said = Said(kind, step_id, seen, detail)
        try:
            if check(PLAN, state, Mode.DRILL, said) is not None:
                continue
        except StaleStepError:
            assert seen != state.of(step_id).seq
            continue
        seen_ids.add(client_event_id)
        step = PLAN.get(step_id)
        assert step
        log.add(kind, step_id, **{**detail, **goes_on_with(step, said)})

        after = log.state
        assert after == fold(PLAN, list(log.events))  # nothing but the events decides
        if kind in MOVES:
            assert after.of(step_id).seq == len(log.events)
        if after.status is RunStatus.OPEN and after.current is not None:
            assert after.of(after.current).state is StepState.DOING
        doing = [each for each in STEPS if after.of(each).state is StepState.DOING]
        assert len(doing) <= 1
        if after.status is not RunStatus.OPEN:
            assert after.current is None
