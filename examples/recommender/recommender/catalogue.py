"""A generated shop: its items, its users, and what they bought."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SEED = 20260901
ITEMS = 2_000
USERS = 5_000
CATEGORIES = 12
TASTES = 8
MOST_BOUGHT_BY_ONE = 45


@dataclass(frozen=True)
class Catalogue:
    category: Ints  # per item
    price: Floats  # per item
    tenure_days: Ints  # per user
    # The feedback: one entry per purchase, each user's own in the order they were made.
    buyer: Ints
    bought: Ints

    def save(self, path: Path) -> None:
        np.savez(path, **asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Catalogue":
        with np.load(path) as arrays:
            return cls(**arrays)


def generate(seed: int = SEED) -> Catalogue:
    """Make the same shop for the same seed.

    Purchases follow taste and popularity together, as real ones do: a model has to beat the list
    of best sellers, and the best sellers are a temptation to it.
    """
    rng = np.random.default_rng(seed)
    category = rng.integers(0, CATEGORIES, ITEMS)
    centres = rng.normal(0, 1, (CATEGORIES, TASTES))
    items = centres[category] + rng.normal(0, 0.6, (ITEMS, TASTES))
    users = centres[rng.integers(0, CATEGORIES, USERS)] + rng.normal(0, 0.6, (USERS, TASTES))
    popularity = 0.8 * np.log(1 / np.arange(1, ITEMS + 1))[rng.permutation(ITEMS)]

    liking = (0.55 * users @ items.T + popularity).astype(np.float32)
    # Adding Gumbel noise and taking the largest draws without replacement, in drawing order.
    drawn = liking + rng.gumbel(size=liking.shape).astype(np.float32)
    best = np.argpartition(-drawn, MOST_BOUGHT_BY_ONE, axis=1)[:, :MOST_BOUGHT_BY_ONE]
    order = np.argsort(-np.take_along_axis(drawn, best, axis=1), axis=1)
    baskets = np.take_along_axis(best, order, axis=1)
    bought_by_one = rng.integers(12, MOST_BOUGHT_BY_ONE + 1, USERS)
    kept = np.arange(MOST_BOUGHT_BY_ONE) < bought_by_one[:, None]

    return Catalogue(
        category=category,
        price=np.round(rng.lognormal(3.2, 0.7, ITEMS), 2),
        tenure_days=rng.exponential(400, USERS).astype(np.int64),
        buyer=np.repeat(np.arange(USERS), bought_by_one),
        bought=baskets[kept].astype(np.int64),
    )
