"""How stale a runbook is, and why."""

from datetime import UTC, date, datetime, timedelta

import pytest

from app.runbooks.freshness import Around, Known, Proof, freshness
from app.runbooks.front_matter import Facts, Signal

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SAID = Facts(
    owner="serving",
    models=("reco-*",),
    signals=(Signal("modellatencyhigh", None, {"alertname": "ModelLatencyHigh"}),),
    review_every=90 * DAY,
)
AROUND = Around({"serving"}, {"reco-home"}, {"modellatencyhigh"})


def known(said=SAID, *, days_ago=1, **more):
    return Known(
        said, **({"verified_at": NOON - days_ago * DAY, "verified_how": "drill", "runs": 3} | more)
    )


def judged(one, around=AROUND):
    return freshness(one, around, at=NOON)


def changed(**more):
    return Facts(
        **({name: getattr(SAID, name) for name in SAID.__slots__ if name != "remarks"} | more)
    )


def test_a_runbook_that_a_drill_has_just_proven_is_fresh():
    found = judged(known())

    assert (found.score, found.word, found.reasons) == (0, "Proven", ())


@pytest.mark.parametrize(
    ("days_ago", "word"),
    [
        (1, "Proven"),
        (76, "Proven"),
        (77, "Due in 13 days"),
        (89, "Due in 1 day"),
        (90, "Due today"),
        (91, "Too old"),
        (400, "Too old"),
    ],
)
def test_the_word_follows_the_review_date(days_ago, word):
    assert judged(known(days_ago=days_ago)).word == word


def test_without_a_proof_it_was_never_tested():
    found = judged(known(verified_at=None, verified_how=None, runs=0))

    assert found.word == "Never tested"
    assert found.reasons == (
        "No drill and no incident has proven it.",
        "Nobody has followed it here yet.",
    )
    assert found.score == 50


def test_what_the_file_says_counts_until_a_run_says_more():
    said = changed(last_verified=date(2026, 3, 1))

    by_file = judged(known(said, verified_at=None, verified_how=None))
    by_run = judged(known(said, days_ago=100))

    assert (by_file.verified_how, by_file.proof) == ("file", Proof.PROVEN)
    assert (by_run.verified_how, by_run.proof) == ("drill", Proof.TOO_OLD)


def test_the_longer_overdue_the_staler():
    scores = [judged(known(days_ago=days)).score for days in (91, 120, 180, 1000)]

    assert scores == [*sorted(set(scores[:3])), scores[2]]
    assert "Its review was due 30 days ago." in judged(known(days_ago=120)).reasons


def test_steps_that_were_called_wrong_are_named_and_fail_it():
    found = judged(known(wrong_steps=("look", "back"), wrong_at=NOON))

    assert found.word == "Failed"
    assert found.reasons == ("2 steps were called wrong after its last run: look and back.",)


def test_a_later_proof_outdoes_an_earlier_wrong():
    found = judged(known(wrong_steps=("look",), wrong_at=NOON - 30 * DAY))

    assert (found.word, found.score) == ("Proven", 0)


@pytest.mark.parametrize(
    ("said", "around", "sentence"),
    [
        (changed(owner=None), AROUND, "It names no owner."),
        (changed(owner="gone"), AROUND, "There is no team gone, its owner."),
        (SAID, Around({"serving"}, {"fraud"}, None), "No model in production is called reco-*."),
        (
            SAID,
            Around({"serving"}, {"reco-home"}, ()),
            "No alert called ModelLatencyHigh was ever seen.",
        ),
    ],
)
def test_what_it_names_and_is_not_there_is_told(said, around, sentence):
    found = judged(known(said), around)

    assert found.reasons == (sentence,)
    assert 0 < found.score < 40


def test_nothing_is_said_of_alerts_while_nobody_knows_them():
    assert judged(known(), Around({"serving"}, {"reco-home"}, None)).reasons == ()


def test_a_runbook_for_every_model_needs_none():
    assert judged(known(changed(models=("*",))), Around({"serving"}, (), None)).reasons == ()


def test_the_score_ends_at_a_hundred():
    said = changed(owner=None)
    worst = Known(said, wrong_steps=("a",), wrong_at=NOON)

    assert judged(worst, Around((), (), ())).score == 100
