"""What a drill plays, when it is due, and what it showed."""

from datetime import UTC, datetime, timedelta

import pytest

from app.runbooks.front_matter import facts
from app.runbooks.runs.drills.rules import (
    days_left,
    due_on,
    is_for,
    is_overdue,
    made_up,
    may_drive,
    proof_ends,
    report_of,
    suggested_due,
)
from app.runbooks.runs.rules import EventKind, Happened
from tests.unit.runbooks.runs.test_run_rules import NOON, PLAN

MINUTE = timedelta(minutes=1)
NUMBERS = {"upstream": 1, "rollback": 2, "accept": 3}
LABELS = {"upstream": "One feature", "rollback": "Many", "accept": "Slow"}


class Drill:
    """Events of a drill, one a minute, as the service keeps them."""

    def __init__(self):
        self.events = []
        self.add(EventKind.STARTED)

    def add(self, kind, step=None, *, by=1, **detail):
        seq = len(self.events) + 1
        at = NOON + (seq - 1) * MINUTE
        self.events.append(Happened(seq, kind, step, at, f"Person {by}", by, detail))
        return seq

    def decide(self, goes_to, step="shape"):
        return self.add(
            EventKind.DECIDED,
            step,
            option=NUMBERS.get(goes_to, 0),
            label=LABELS.get(goes_to, "None of these"),
            goes_to=goes_to,
        )

    def end(self, status="finished", **waived):
        return self.add(EventKind.ENDED, status=status, waived=waived)

    @property
    def report(self):
        return report_of(PLAN, self.events)


@pytest.fixture
def drill():
    return Drill()


def said(remarks):
    return [(remark.number, remark.sentence) for remark in remarks]


# --- Times


def test_nothing_done_is_no_first_action(drill):
    assert (drill.report.first_action, drill.report.length) == (None, None)


def test_reading_filling_in_and_notes_are_no_first_action(drill):
    drill.add(EventKind.FILLED, name="window", value="1h")
    drill.add(EventKind.OPENED, "shape")
    drill.add(EventKind.NOTED, "confirm", text="hm")
    drill.add(EventKind.SENSED, "confirm", by=None, holds=True)
    drill.add(EventKind.COPIED, "confirm", text="date")

    assert drill.report.first_action == 5 * MINUTE


def test_an_action_that_was_taken_back_was_still_the_first(drill):
    first = drill.add(EventKind.DONE, "confirm")
    drill.add(EventKind.TAKEN_BACK, "confirm", seq=first)

    assert drill.report.first_action == MINUTE


def test_what_was_said_offline_before_the_others_is_the_first_action(drill):
    drill.add(EventKind.DONE, "confirm")
    late = drill.events[-1]
    early = Happened(3, EventKind.DONE, "freeze", NOON + MINUTE / 2, "Ben", 2, {})
    drill.events = [drill.events[0], late, early]

    assert drill.report.first_action == MINUTE / 2


def test_a_drill_is_as_long_as_it_went_on_and_feedback_does_not_lengthen_it(drill):
    drill.add(EventKind.DONE, "confirm")
    drill.end()
    drill.add(EventKind.FEEDBACK, "confirm", verdict="worked")

    report = drill.report

    assert (report.length, report.finished, report.is_clean) == (2 * MINUTE, True, True)


def test_a_drill_that_was_left_is_not_finished_and_what_was_open_is_not_skipped(drill):
    drill.end("left", over="")

    assert not drill.report.finished
    assert drill.report.skipped == ()


# --- Wrong branches


def test_a_decision_that_was_taken_back_is_a_wrong_branch(drill):
    seq = drill.decide("rollback")
    drill.add(EventKind.TAKEN_BACK, "shape", seq=seq)
    drill.decide("upstream")

    assert said(drill.report.wrong_branches) == [(2, "“Many” was chosen, then taken back.")]


def test_a_decision_is_a_wrong_branch_when_somebody_goes_back_to_it_or_before(drill):
    drill.decide("upstream")
    drill.add(EventKind.DONE, "upstream")
    drill.add(EventKind.OPENED, "confirm")

    assert said(drill.report.wrong_branches) == [
        (2, "“One feature” was chosen, and led back to step 1.")
    ]


def test_a_decision_is_a_wrong_branch_when_a_failure_leads_back_to_it(drill):
    drill.decide("accept")
    drill.add(EventKind.FAILED, "accept", what="failed", goes_to="shape")
    drill.decide("upstream")

    assert said(drill.report.wrong_branches) == [(2, "“Slow” was chosen, and led back to step 2.")]


def test_a_decision_that_is_answered_again_was_wrong_before(drill):
    drill.decide("")
    drill.decide("accept")

    assert said(drill.report.wrong_branches) == [
        (2, "“None of these” was chosen, and another answer after it.")
    ]


def test_going_on_and_an_answer_that_leads_back_by_itself_are_no_wrong_branches(drill):
    drill.decide("confirm")  # as "not yet" does
    drill.add(EventKind.DONE, "confirm")
    drill.decide("confirm")
    drill.decide("accept")
    drill.add(EventKind.OPENED, "over")

    assert drill.report.wrong_branches == ()


def test_one_way_back_makes_one_wrong_branch(drill):
    drill.decide("upstream")
    drill.add(EventKind.OPENED, "shape")
    drill.add(EventKind.OPENED, "confirm")

    assert len(drill.report.wrong_branches) == 1


def test_a_jump_that_was_taken_back_leads_nowhere(drill):
    drill.decide("upstream")
    seq = drill.add(EventKind.OPENED, "confirm")
    drill.add(EventKind.TAKEN_BACK, "confirm", seq=seq)

    assert drill.report.wrong_branches == ()


# --- Expectations


@pytest.mark.parametrize(
    ("detail", "sentence"),
    [
        ({"what": "failed", "note": ""}, "Not as expected."),
        ({"what": "failed", "note": "Flat at 612 ms."}, "Not as expected: Flat at 612 ms."),
        ({"what": "timed_out"}, "Time ran out."),
        ({"what": "cannot", "note": "no rights"}, "It could not be done: no rights."),
    ],
)
def test_what_failed_is_told_with_its_reason(drill, detail, sentence):
    drill.add(EventKind.FAILED, "confirm", **detail)

    assert said(drill.report.failed) == [(1, sentence)]


def test_a_failure_that_was_taken_back_did_not_happen(drill):
    seq = drill.add(EventKind.FAILED, "confirm", what="failed")
    drill.add(EventKind.TAKEN_BACK, "confirm", seq=seq)

    assert drill.report.failed == ()


def test_a_reading_that_does_not_hold_is_a_failed_expectation(drill):
    drill.add(EventKind.SENSED, "over", by=None, holds=False, reading="612 ms", target="250 ms")
    drill.add(EventKind.SENSED, "confirm", by=None, holds=True, reading="1 ms", target="250 ms")

    assert said(drill.report.failed) == [(9, "The reading was 612 ms, its target 250 ms.")]


def test_what_somebody_said_last_of_a_step_counts(drill):
    drill.add(EventKind.FEEDBACK, "confirm", verdict="wrong", note="old flag")
    drill.add(EventKind.FEEDBACK, "confirm", verdict="worked")
    drill.add(EventKind.FEEDBACK, "freeze", verdict="unclear")
    drill.add(EventKind.FEEDBACK, "confirm", by=2, verdict="wrong", note="old flag")

    assert said(drill.report.failed) == [
        (3, "Said to be unclear."),
        (1, "Said to be wrong: old flag."),
    ]


# --- Skipped and played


def test_a_step_that_was_skipped_is_told_with_its_reason(drill):
    drill.add(EventKind.SKIPPED, "freeze", reason="Takes too long")

    assert said(drill.report.skipped) == [(3, "Skipped: Takes too long.")]


def test_a_step_that_was_skipped_and_done_later_was_not_skipped(drill):
    drill.add(EventKind.SKIPPED, "freeze", reason="Takes too long")
    drill.add(EventKind.DONE, "freeze")

    assert drill.report.skipped == ()


def test_a_verification_that_was_waived_is_told_with_its_reason(drill):
    drill.end(over="no traffic at night")

    assert said(drill.report.skipped) == [(9, "Not verified: no traffic at night.")]


def test_risky_steps_are_told_as_played(drill):
    drill.add(EventKind.DONE, "rollback", played=True)
    drill.add(EventKind.DONE, "confirm")

    assert said(drill.report.played) == [(6, "Done in words only.")]


def test_a_step_that_a_newer_version_left_out_keeps_its_id(drill):
    drill.add(EventKind.FAILED, "gone", what="failed")

    (remark,) = drill.report.failed
    assert (remark.number, remark.title) == (0, "gone")


# --- What is played

SAID = facts(
    {
        "signals": [
            {"alertname": "ModelLatencyHigh"},
            {"metric": "p99_seconds", "op": ">", "value": 0.25, "for": "5m"},
        ],
        "variables": [
            {"name": "model", "from": "incident.model"},
            {"name": "namespace", "from": "incident.labels.namespace", "default": "models"},
            {"name": "job", "from": "incident.labels.job_name"},
            {"name": "size", "from": "incident.labels.size", "choices": ["s", "m"]},
            {"name": "token", "from": "incident.labels.token", "secret": True},
        ],
    }
)


def test_a_scenario_is_made_from_signals_and_variables():
    played = made_up(SAID, "Latency", model="recsys-home")

    assert played.name == "ModelLatencyHigh"
    assert played.story == (
        "ModelLatencyHigh fires for recsys-home: p99_seconds is above 0.25 for 5m."
    )
    assert played.labels == {
        "alertname": "ModelLatencyHigh",
        "namespace": "models",
        "job_name": "drill-job-name",
        "size": "s",
        "model": "recsys-home",
    }


def test_variables_are_filled_from_the_scenario():
    known = made_up(SAID, "Latency", model="recsys-home").known()

    assert known["incident.model"] == "recsys-home"
    assert known["incident.labels.namespace"] == "models"


def test_a_runbook_without_signals_is_played_by_its_title():
    played = made_up(facts({}), "Latency is high")

    assert (played.name, played.story) == ("Latency is high", "Latency is high.")


def test_the_drivers_own_story_is_told_instead():
    assert made_up(SAID, "Latency", story="It is slow.").story == "It is slow."


@pytest.mark.parametrize(
    ("applies_to", "fits"),
    [
        ({}, True),
        ({"models": ["reco-*"]}, False),
        ({"models": ["recsys-*"]}, True),
        ({"tags": ["ranking"]}, False),
        ({"models": ["*"], "tags": ["feed"]}, True),
    ],
)
def test_a_model_is_offered_when_the_runbook_is_for_it(applies_to, fits):
    assert is_for(facts({"applies_to": applies_to}), "recsys-home", ["feed"]) is fits


# --- Who drives, and when


def test_only_the_author_may_not_drive():
    assert not may_drive(7, 7)
    assert may_drive(8, 7)
    assert may_drive(8, None)  # it came from a file


@pytest.mark.parametrize(
    ("at", "overdue"),
    [
        (datetime(2026, 3, 11, 23, 59, tzinfo=UTC), False),
        (datetime(2026, 3, 12, 23, 59, tzinfo=UTC), False),
        (datetime(2026, 3, 13, 0, 0, tzinfo=UTC), True),
    ],
)
def test_a_drill_is_overdue_when_its_day_is_over(at, overdue):
    assert is_overdue(due_on(NOON.date()), at=at) is overdue


@pytest.mark.parametrize(
    ("day", "left"),
    [
        (9, "3 days left"),
        (11, "1 day left"),
        (12, "today"),
        (13, "1 day over"),
        (15, "3 days over"),
    ],
)
def test_what_is_left_until_a_drill_is_counted_in_days(day, left):
    late_that_day = datetime(2026, 3, day, 23, 30, tzinfo=UTC)
    assert days_left(due_on(NOON.date()), at=late_that_day) == left


def test_the_next_drill_is_due_when_the_proof_ends():
    every = timedelta(days=30)

    assert proof_ends(NOON, every) == NOON + every
    assert suggested_due(NOON, every, at=NOON + timedelta(days=3)) == NOON + every


@pytest.mark.parametrize("proven_at", [None, NOON - timedelta(days=100)])
def test_without_a_proof_that_holds_the_next_drill_is_due_within_a_week(proven_at):
    assert suggested_due(proven_at, None, at=NOON) == NOON + timedelta(days=7)


def test_a_runbook_that_says_nothing_is_proven_every_ninety_days():
    assert proof_ends(NOON, None) == NOON + timedelta(days=90)
