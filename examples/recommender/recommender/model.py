"""The machine-learning model, as it is kept and served."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from recommender.catalogue import Floats, Ints

NAME = "shop-similar"
GOOD, BAD = "v1", "v2"


@dataclass(frozen=True)
class Model:
    version: str
    trained_at: str
    user_directions: Floats  # the factors at length one: taste, without how much one buys
    item_directions: Floats
    neighbours: Ints  # per item, the most similar first
    similarity: Floats  # of each of them
    popular: Ints  # all items, best sellers first

    def save(self, path: Path) -> None:
        np.savez(path, **asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Model":
        with np.load(path) as arrays:
            fields = dict(arrays)
        fields["version"], fields["trained_at"] = str(fields["version"]), str(fields["trained_at"])
        return cls(**fields)
