"""How one recommendation is made: features, candidates, ranking, filter."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from time import perf_counter
from zlib import crc32

import numpy as np

from recommender.catalogue import ITEMS, Catalogue
from recommender.contracts import DataStep, ItemFeatures
from recommender.drift import features_of
from recommender.ladder import RungFailedError, first_answer
from recommender.metrics import Metrics
from recommender.model import Model
from recommender.ranking import Provider
from recommender.visits import Visit
from recommender.windows import Windows

BUDGET = 0.150
TRENDING = 20
CACHED = 20
CONTROL_PERCENT = 10


@dataclass(frozen=True)
class Stage:
    """What a stage should take, and when it is given up.

    The budgets share out the 150 ms. The timeouts add up to more: a request that is late is still
    worth an answer, and only one that hangs is not. Past its timeout a stage takes its rung of
    the ladder with it; the filter has none, since by then there is nothing cheaper to fall back on.
    """

    name: str
    budget: float
    timeout: float = inf


FEATURES = Stage("features", budget=0.015, timeout=0.1)
CANDIDATES = Stage("candidates", budget=0.020, timeout=0.1)
RANKING = Stage("ranking", budget=0.100, timeout=0.35)
FILTER = Stage("filter", budget=0.015)
STAGES = (FEATURES, CANDIDATES, RANKING, FILTER)


class InvalidAnswerError(Exception):
    """The model gave a list that may not be shown."""


@dataclass(frozen=True)
class Answer:
    items: list[int]
    rung: str
    arm: str
    version: str


@dataclass(frozen=True)
class Candidates:
    items: list[int]
    similarity: list[float]


class Pipeline:
    """Answers visits with the model that is live."""

    def __init__(
        self,
        *,
        model: Model,
        catalogue: Catalogue,
        data: DataStep,
        provider: Provider,
        windows: Windows,
        metrics: Metrics,
    ) -> None:
        self._catalogue = catalogue
        self._data = data
        self._provider = provider
        self._windows = windows
        self._metrics = metrics
        self._shown = np.zeros(ITEMS, dtype=np.int64)
        self.go_live(model)

    def go_live(self, model: Model) -> None:
        self.model = model
        self._metrics.went_live(
            model.version,
            trained_at=model.trained_at,
            breaker_is_open=lambda: self._provider.breaker.is_open,
        )

    def recommend(self, visit: Visit, k: int) -> Answer:
        model = self.model  # one version from here to the answer, also while another goes live
        arm = arm_of(visit.user)
        features = self._data.features
        rung, ranked = first_answer(
            (
                ("provider", lambda: self._ranked_live(visit, features, model, arm)),
                ("cached", lambda: cached_list(visit.item, model)),
                ("popular", lambda: model.popular[: 3 * k].tolist()),
            )
        )
        with self._stage(FILTER):
            items = showable(ranked, visit, features, model, k)
            refuse_unknown(items)
        self._shown[items] += 1
        self._windows.answered(items)
        self._metrics.served(rung, arm=arm)
        return Answer(items, rung, arm, model.version)

    def _ranked_live(
        self, visit: Visit, features: ItemFeatures, model: Model, arm: str
    ) -> list[int]:
        with self._stage(FEATURES):
            self._windows.asked(features_of(visit, self._catalogue.tenure_days, features))
        with self._stage(CANDIDATES):
            candidates = candidates_for(visit.item, model)
        question = {
            "user": visit.user,
            "items": candidates.items,
            "similarity": candidates.similarity,
            "shown": self._times_shown(candidates.items),
            "personal": arm == "treatment",
        }
        with self._stage(RANKING):
            return self._provider.rank(question, timeout=RANKING.timeout)

    def _times_shown(self, items: list[int]) -> list[int]:
        return [int(self._shown[item]) if item < ITEMS else 0 for item in items]

    @contextmanager
    def _stage(self, stage: Stage) -> Iterator[None]:
        """Time a stage. What runs in this process can't be interrupted, only given up after."""
        started = perf_counter()
        try:
            yield
        finally:
            took = perf_counter() - started
            self._metrics.stage_took(stage.name, took)
        if took > stage.timeout:
            raise RungFailedError


def arm_of(user: int) -> str:
    """Put a user in the same arm each time, without keeping a list."""
    return "control" if crc32(str(user).encode()) % 100 < CONTROL_PERCENT else "treatment"


def candidates_for(item: int, model: Model) -> Candidates:
    """Take the item's neighbours, and the best sellers, which rarely win on likeness alone."""
    neighbours: list[int] = model.neighbours[item].tolist()
    taken = {item, *neighbours}
    trending = [best for best in model.popular[: 2 * TRENDING].tolist() if best not in taken]
    trending = trending[:TRENDING]
    similarity = model.similarity[item].tolist() + [0.0] * len(trending)
    return Candidates(neighbours + trending, similarity)


def cached_list(item: int, model: Model) -> list[int]:
    """Take the list that the nightly batch left for this item; a new item has none yet."""
    if item >= len(model.neighbours):
        raise RungFailedError
    cached: list[int] = model.neighbours[item, :CACHED].tolist()
    return cached


def showable(
    ranked: Sequence[int], visit: Visit, features: ItemFeatures, model: Model, k: int
) -> list[int]:
    """Drop what can't be bought, and fill up with best sellers.

    An id that has no features is kept: it is not sold out, it is wrong, and that must show.
    """

    def fits(item: int) -> bool:
        return item != visit.item and (item in features.in_stock or item >= ITEMS)

    chosen = dict.fromkeys(item for item in ranked if fits(item))
    if len(chosen) < k:
        chosen |= dict.fromkeys(item for item in model.popular[: 3 * k].tolist() if fits(item))
    return list(chosen)[:k]


def refuse_unknown(items: Sequence[int]) -> None:
    if any(item >= ITEMS for item in items):
        raise InvalidAnswerError("The list names items that the shop does not have.")
