import pytest
from recommender.catalogue import ITEMS, SEED
from recommender.contracts import ItemFeatures
from recommender.ladder import RungFailedError, first_answer
from recommender.learning import with_wrong_ids
from recommender.pipeline import (
    BUDGET,
    STAGES,
    InvalidAnswerError,
    arm_of,
    cached_list,
    candidates_for,
    refuse_unknown,
    showable,
)
from recommender.visits import Visit

from tests.conftest import NOON

VISIT = Visit(user=1, item=7, device=0, session_events=3)


def failing() -> list[int]:
    raise RungFailedError


@pytest.mark.parametrize(
    ("provider", "cached", "expected"),
    [
        (lambda: [1], lambda: [2], ("provider", [1])),
        (failing, lambda: [2], ("cached", [2])),
        (failing, failing, ("popular", [3])),
    ],
)
def test_the_highest_rung_that_holds_answers(provider, cached, expected):
    rungs = (("provider", provider), ("cached", cached), ("popular", lambda: [3]))
    assert first_answer(rungs) == expected


def test_a_lower_rung_is_not_asked_while_a_higher_one_holds():
    rungs = (("provider", lambda: [1]), ("popular", pytest.fail))
    assert first_answer(rungs) == ("provider", [1])


def test_the_budgets_of_the_stages_share_out_the_whole():
    assert sum(stage.budget for stage in STAGES) == pytest.approx(BUDGET)


def test_a_new_item_has_no_cached_list(model):
    with pytest.raises(RungFailedError):
        cached_list(ITEMS, model)


def test_candidates_name_no_item_twice_and_not_the_one_looked_at(model):
    for item in range(0, ITEMS, 100):
        items = candidates_for(item, model).items
        assert len(items) == len(set(items))
        assert item not in items


def features_with(model, in_stock) -> ItemFeatures:
    prices = model.similarity[:, 0]
    return ItemFeatures(prices.astype(int), prices, frozenset(in_stock), NOON)


def test_what_is_sold_out_is_not_shown_and_best_sellers_fill_up(model):
    sold_out = set(range(0, ITEMS, 2))
    features = features_with(model, set(range(ITEMS)) - sold_out)

    items = showable([2, 4, 5], VISIT, features, model, k=4)

    assert items[0] == 5
    assert len(items) == 4
    assert not sold_out & set(items)


def test_an_answer_of_the_bad_version_is_refused_and_not_repaired(model):
    bad = with_wrong_ids(model, version="v2", seed=SEED)
    spoilt = next(item for item in range(ITEMS) if bad.neighbours[item, 0] >= ITEMS)
    features = features_with(model, range(ITEMS))

    items = showable(cached_list(spoilt, bad), VISIT, features, bad, k=10)

    with pytest.raises(InvalidAnswerError):
        refuse_unknown(items)


def test_a_user_stays_in_one_arm_and_a_tenth_are_the_control():
    arms = [arm_of(user) for user in range(5_000)]
    assert arms == [arm_of(user) for user in range(5_000)]
    assert 0.08 < arms.count("control") / 5_000 < 0.12
