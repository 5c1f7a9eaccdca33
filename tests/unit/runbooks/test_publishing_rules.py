"""Where a version may go, and who may publish it."""

import pytest

from app.runbooks.rules import (
    NEXT,
    Status,
    refusal_to_approve,
    refusal_to_move,
    refusal_to_publish,
    why_second_person,
    worst_severity,
)

ANA, BEN, CLEO = 1, 2, 3


def may_publish(author, actor, *, severity=3, risky=False, approved_by=()):
    return (
        refusal_to_publish(
            writers=[] if author is None else [author],
            actor_id=actor,
            severity=severity,
            risky_change=risky,
            approved_by=approved_by,
        )
        is None
    )


@pytest.mark.parametrize(
    ("severity", "risky", "alone"),
    [
        (1, False, False),
        (2, False, False),
        (3, False, True),
        (4, False, True),
        (None, False, True),
        (4, True, False),
        (None, True, False),
        (1, True, False),
    ],
)
def test_an_author_publishes_alone_only_what_is_neither_severe_nor_risky(severity, risky, alone):
    assert may_publish(ANA, ANA, severity=severity, risky=risky) is alone


def test_an_author_publishes_what_another_person_approved():
    assert may_publish(ANA, ANA, severity=1, approved_by=[BEN])


def test_an_author_s_own_approval_counts_for_nothing():
    assert not may_publish(ANA, ANA, severity=1, approved_by=[ANA])


def test_another_person_who_publishes_is_the_second_person():
    assert may_publish(ANA, BEN, risky=True)


@pytest.mark.parametrize("author", [None, ANA])
def test_a_token_is_no_second_person(author):
    assert not may_publish(author, None, severity=2)
    assert may_publish(author, None, severity=2, approved_by=[CLEO])


def test_a_person_may_publish_what_no_person_wrote():
    assert may_publish(None, BEN, severity=1)


def test_the_refusal_says_why():
    refusal = refusal_to_publish(
        writers=[ANA], actor_id=ANA, severity=2, risky_change=False, approved_by=()
    )

    assert refusal is not None
    assert "second person" in refusal
    assert "SEV-2" in refusal
    assert why_second_person(3, True) == "it changes a risky step"


@pytest.mark.parametrize(
    ("before", "after", "worst"),
    [(1, 4, 1), (4, 1, 1), (None, 2, 2), (2, None, 2), (None, None, None)],
)
def test_a_change_can_t_lower_its_own_bar(before, after, worst):
    assert worst_severity(before, after) == worst


def test_only_another_person_approves():
    assert refusal_to_approve(writers=[ANA], actor_id=BEN) is None
    assert refusal_to_approve(writers=[], actor_id=BEN) is None
    assert "wrote" in (refusal_to_approve(writers=[ANA], actor_id=ANA) or "")
    assert "token" in (refusal_to_approve(writers=[ANA], actor_id=None) or "")


@pytest.mark.parametrize("current", Status)
@pytest.mark.parametrize("to", Status)
def test_a_version_goes_only_where_it_may(current, to):
    refusal = refusal_to_move(7, current, to)

    assert (refusal is None) is (to in NEXT[current])
    if refusal:
        assert refusal.startswith("v7 is ")


def test_what_is_published_is_never_a_draft_again():
    assert NEXT[Status.PUBLISHED] == (Status.RETIRED,)


def test_whoever_wrote_a_part_is_no_second_person():
    assert refusal_to_approve(writers=[ANA, BEN], actor_id=ANA)
    both = {"writers": [ANA, BEN], "severity": 1, "risky_change": False}
    assert refusal_to_publish(**both, actor_id=ANA, approved_by=[BEN])
    assert refusal_to_publish(**both, actor_id=ANA, approved_by=[CLEO]) is None
    assert refusal_to_publish(**both, actor_id=CLEO, approved_by=[]) is None
