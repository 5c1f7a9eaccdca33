"""Learning from purchases: implicit-feedback matrix factorisation, read item to item."""

from dataclasses import replace
from datetime import datetime

import numpy as np
from scipy.sparse import csr_array

from recommender.catalogue import ITEMS, USERS, Floats, Ints
from recommender.model import Model

FACTORS = 24
ROUNDS = 5
CONFIDENCE = 15.0  # how much more a purchase says than its absence
REGULARISATION = 5.0
NEIGHBOURS = 40


def learn(buyer: Ints, bought: Ints, *, version: str, at: datetime, seed: int) -> Model:
    """Factorise the purchases and keep each item's nearest neighbours."""
    purchases = csr_array((np.ones(len(buyer)), (buyer, bought)), shape=(USERS, ITEMS))
    users, items = factorise(purchases, seed=seed)
    item_directions = directions_of(items)
    neighbours, similarity = nearest(item_directions)
    return Model(
        version=version,
        trained_at=at.isoformat(timespec="seconds"),
        user_directions=directions_of(users),
        item_directions=item_directions,
        neighbours=neighbours,
        similarity=similarity,
        popular=np.argsort(-np.bincount(bought, minlength=ITEMS), kind="stable"),
    )


def factorise(purchases: csr_array, *, seed: int) -> tuple[Floats, Floats]:
    """Alternate least squares for implicit feedback (Hu, Koren and Volinsky, 2008)."""
    rng = np.random.default_rng(seed)
    items: Floats = rng.normal(0, 0.1, (purchases.shape[1], FACTORS))
    by_item = purchases.T.tocsr()
    for _ in range(ROUNDS):
        users = _solve(purchases, items)
        items = _solve(by_item, users)
    return users, items


def _solve(purchases: csr_array, fixed: Floats) -> Floats:
    """Find the factors of every row that fit best while the other side's stay fixed."""
    everything = fixed.T @ fixed + REGULARISATION * np.eye(FACTORS)
    equations = np.empty((purchases.shape[0], FACTORS, FACTORS))
    for row, (start, end) in enumerate(zip(purchases.indptr, purchases.indptr[1:], strict=False)):
        seen = fixed[purchases.indices[start:end]]
        equations[row] = everything + CONFIDENCE * seen.T @ seen
    wanted = (1 + CONFIDENCE) * (purchases @ fixed)
    solved: Floats = np.linalg.solve(equations, wanted[:, :, None])[:, :, 0]
    return solved


def directions_of(factors: Floats) -> Floats:
    """Bring factors to length one, since the length of an item's is mostly how well it sells."""
    lengths = np.linalg.norm(factors, axis=1, keepdims=True)
    directions: Floats = factors / np.maximum(lengths, 1e-12)
    return directions


def nearest(directions: Floats) -> tuple[Ints, Floats]:
    """Give each item's nearest neighbours by cosine, and how near they are."""
    cosine = directions @ directions.T
    np.fill_diagonal(cosine, -1)  # an item is no recommendation for itself
    neighbours = np.argsort(-cosine, axis=1)[:, :NEIGHBOURS]
    return neighbours, np.take_along_axis(cosine, neighbours, axis=1)


def with_wrong_ids(model: Model, *, version: str, seed: int) -> Model:
    """Make the bad version: for a fifth of the items the ids come from another shop's table."""
    spoilt = np.random.default_rng(seed).random(len(model.neighbours)) < 0.2
    neighbours = np.where(spoilt[:, None], model.neighbours + ITEMS, model.neighbours)
    return replace(model, version=version, neighbours=neighbours)
