import numpy as np
from recommender.catalogue import ITEMS, SEED, USERS, generate
from recommender.learning import learn
from scipy.sparse import csr_array

from tests.conftest import NOON


def test_the_same_seed_makes_the_same_shop(shop):
    again = generate(SEED)
    assert np.array_equal(shop.bought, again.bought)
    assert np.array_equal(shop.price, again.price)


def test_the_model_finds_the_next_purchase_far_more_often_than_the_best_seller_list(shop):
    is_last = np.append(shop.buyer[1:] != shop.buyer[:-1], True)
    buyer, bought, next_one = shop.buyer[~is_last], shop.bought[~is_last], shop.bought[is_last]
    model = learn(buyer, bought, version="test", at=NOON, seed=SEED)

    owned = csr_array((np.ones(len(buyer)), (buyer, bought)), shape=(USERS, ITEMS)).toarray()
    likeness = np.zeros((ITEMS, ITEMS))
    np.put_along_axis(likeness, model.neighbours, model.similarity, axis=1)
    rank_by_sales = np.empty(ITEMS)
    rank_by_sales[model.popular] = np.arange(ITEMS)

    by_model = recall_at_20(owned @ likeness, owned, next_one)
    by_sales = recall_at_20(np.tile(-rank_by_sales, (USERS, 1)), owned, next_one)
    assert by_model > 1.4 * by_sales
    assert by_model > 0.15


def recall_at_20(scores, owned, next_one) -> float:
    scores = np.where(owned > 0, -np.inf, scores)
    top = np.argpartition(-scores, 20, axis=1)[:, :20]
    return float((top == next_one[:, None]).any(axis=1).mean())
