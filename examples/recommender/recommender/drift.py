"""How far a window is from what the model was trained on: the inputs and the output apart."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy.spatial.distance import jensenshannon

from recommender.catalogue import ITEMS, Catalogue, Floats, Ints
from recommender.model import Model
from recommender.visits import DEVICES, Visit, Visitors

FEATURES = ("device", "session_events", "tenure_days", "item_price", "item_category")
Features = tuple[float, ...]  # the values of one request, in the order of FEATURES

# With fewer rows a figure is noise that looks like a measurement: none is given.
MINIMUM_ROWS = 1_000
BEST_SELLERS = ITEMS // 20
INPUT_LIMIT = 0.2
POPULARITY_SHARE_MAY_RISE_BY = 0.1
BINS = 10


@dataclass(frozen=True)
class Reference:
    """What the requests and the answers looked like when the model was trained."""

    id: str
    edges: dict[str, list[float]]  # between the bins of each feature; the outer bins are open
    shares: dict[str, list[float]]
    best_sellers: list[int]
    popularity_share: float
    taken_at: str | None = None  # not told by references of before it was kept

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> "Reference":
        return cls(**json.loads(path.read_text()))


class ItemTable(Protocol):
    @property
    def price(self) -> Floats: ...
    @property
    def category(self) -> Ints: ...


def features_of(visit: Visit, tenure_days: Ints, items: ItemTable) -> Features:
    return (
        visit.device,
        visit.session_events,
        float(tenure_days[visit.user]),
        float(items.price[visit.item]),
        float(items.category[visit.item]),
    )


def make_reference(
    catalogue: Catalogue, model: Model, rng: np.random.Generator, *, k: int = 10
) -> Reference:
    """Replay visits of the training period and keep the shape of what came in and went out."""
    visits = Visitors(catalogue, rng).draw(20_000)
    columns = _columns([features_of(visit, catalogue.tenure_days, catalogue) for visit in visits])
    edges = {
        "device": _between(len(DEVICES)),
        "item_category": _between(int(catalogue.category.max()) + 1),
    }
    for name in ("session_events", "tenure_days", "item_price"):
        quantiles = np.quantile(columns[name], np.linspace(0, 1, BINS + 1)[1:-1])
        edges[name] = np.unique(quantiles).tolist()
    best_sellers = model.popular[:BEST_SELLERS].tolist()
    shown = model.neighbours[[visit.item for visit in visits], :k]
    return Reference(
        id=f"{model.version}-training-{model.trained_at[:10]}",
        edges=edges,
        shares={name: _shares(columns[name], edges[name]).tolist() for name in FEATURES},
        best_sellers=best_sellers,
        popularity_share=round(float(np.isin(shown, best_sellers).mean()), 4),
        taken_at=model.trained_at,
    )


def input_report(requests: Sequence[Features], reference: Reference) -> dict[str, Any]:
    """Compare each feature with its reference; the worst one speaks for the window."""
    parts: dict[str, float] = {}
    if len(requests) >= MINIMUM_ROWS:
        for name, values in _columns(requests).items():
            seen, expected = _shares(values, reference.edges[name]), reference.shares[name]
            parts[name] = float(jensenshannon(seen, expected, base=2))
    worst = max(parts.values(), default=None)
    return _report("jensenshannon_worst_feature", worst, INPUT_LIMIT, parts)


def output_report(shown: Sequence[int], reference: Reference) -> dict[str, Any]:
    """Say how much of what was shown is best sellers: a model that feeds on itself narrows."""
    parts: dict[str, float] = {}
    if len(shown) >= MINIMUM_ROWS:
        parts["popularity_share"] = float(np.isin(shown, reference.best_sellers).mean())
        parts["popularity_share_in_training"] = reference.popularity_share
        parts["catalogue_coverage"] = len(set(shown)) / ITEMS
    limit = reference.popularity_share + POPULARITY_SHARE_MAY_RISE_BY
    return _report("popularity_share", parts.get("popularity_share"), limit, parts)


def _report(
    method: str, value: float | None, threshold: float, parts: dict[str, float]
) -> dict[str, Any]:
    return {
        "method": method,
        "value": None if value is None else round(value, 4),
        "threshold": round(threshold, 4),
        "direction": "above",
        "parts": [{"name": name, "value": round(part, 4)} for name, part in parts.items()],
    }


def _columns(requests: Sequence[Features]) -> dict[str, Floats]:
    table = np.asarray(requests, dtype=float).reshape(-1, len(FEATURES))
    return dict(zip(FEATURES, table.T, strict=True))


def _shares(values: Floats, edges: Sequence[float]) -> Floats:
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    shares: Floats = counts / counts.sum()
    return shares


def _between(categories: int) -> list[float]:
    return [code + 0.5 for code in range(categories - 1)]
