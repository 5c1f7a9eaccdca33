"""What runs say of a runbook and of its steps."""

from datetime import UTC, datetime, timedelta

from app.runbooks.effectiveness import EventLine, RunLine, use_of, uses_of_steps, wrong_steps
from app.runbooks.runs.rules import EventKind, Mode, RunStatus

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


def run(number=1, *, minutes=20, status=RunStatus.FINISHED, mode=Mode.LIVE, incident=None):
    return RunLine(number, mode, status, incident, NOON, NOON + timedelta(minutes=minutes))


def events(*said, run_id=1):
    """Each is (step, kind, minute, detail)."""
    return [
        EventLine(run_id, seq, step, kind, NOON + timedelta(minutes=minute), detail)
        for seq, (step, kind, minute, detail) in enumerate(said, start=1)
    ]


def test_a_runbook_that_nobody_followed_has_no_figures():
    assert use_of([]).runs == 0
    assert use_of([]).minutes is None


def test_the_median_is_of_finished_runs():
    runs = [run(1, minutes=10), run(2, minutes=30), run(3, minutes=500, status=RunStatus.LEFT)]

    use = use_of(runs)

    assert (use.runs, use.finished, use.left, use.minutes) == (3, 2, 1, 20)


def test_an_incident_is_closed_by_a_run_that_was_finished():
    runs = [
        run(1, incident=7, status=RunStatus.LEFT),
        run(2, incident=7),
        run(3, incident=8, status=RunStatus.LEFT),
        run(4, mode=Mode.DRILL),
    ]

    use = use_of(runs)

    assert (use.incidents, use.closed, use.drills) == (2, 1, 1)


def test_a_step_takes_from_the_answer_before_it():
    uses = uses_of_steps(
        [run()],
        events(
            ("look", EventKind.OPENED, 1, {}),
            ("look", EventKind.DONE, 4, {}),
            ("back", EventKind.DONE, 10, {}),
        ),
    )

    assert (uses["look"].minutes, uses["back"].minutes) == (4, 6)


def test_failed_skipped_and_stopped_are_told_apart():
    uses = uses_of_steps(
        [run(status=RunStatus.LEFT)],
        events(
            ("look", EventKind.FAILED, 4, {"what": "timed_out"}),
            ("back", EventKind.SKIPPED, 5, {}),
            ("verify", EventKind.OPENED, 6, {}),
        ),
    )

    assert (uses["look"].failed, uses["back"].skipped, uses["verify"].stopped) == (1, 1, 1)
    assert uses["back"].minutes is None


def test_an_answer_that_was_taken_back_was_not_given():
    uses = uses_of_steps(
        [run()],
        events(
            ("look", EventKind.FAILED, 1, {}),
            ("look", EventKind.TAKEN_BACK, 2, {"seq": 1}),
            ("look", EventKind.DONE, 3, {}),
        ),
    )

    assert (uses["look"].times, uses["look"].failed) == (1, 0)


def test_a_reading_that_holds_is_an_answer():
    uses = uses_of_steps(
        [run()],
        events(
            ("soak", EventKind.SENSED, 5, {"holds": False}),
            ("soak", EventKind.SENSED, 9, {"holds": True}),
        ),
    )

    assert (uses["soak"].times, uses["soak"].minutes) == (1, 9)


def test_answers_are_counted_by_their_conditions():
    said = events(
        ("which", EventKind.DECIDED, 1, {"label": "roll back", "condition": "It is the model"}),
        ("which", EventKind.DECIDED, 2, {"label": "roll back", "condition": "It is the model"}),
        ("which", EventKind.DECIDED, 3, {"label": "roll back"}),  # written by an older release
        ("which", EventKind.DECIDED, 4, {"label": "None of these", "condition": ""}),
    )

    assert uses_of_steps([run()], said)["which"].answers == {
        "It is the model": 2,
        "roll back": 1,
        "None of these": 1,
    }


def test_the_last_word_on_a_step_counts():
    said = events(
        ("look", EventKind.FEEDBACK, 1, {"verdict": "wrong"}),
        ("back", EventKind.FEEDBACK, 2, {"verdict": "wrong"}),
        ("look", EventKind.FEEDBACK, 3, {"verdict": "worked"}),
    )

    assert wrong_steps(said) == ["back"]
    assert uses_of_steps([run()], said)["back"].wrong == 1
