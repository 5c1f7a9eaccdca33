"""Seldon v2: the tensors that a drift detector answers with, over HTTP or from its topic.

64-bit numbers are written as texts. The name of the model in there is the detector's own, so that
it never says which model is meant.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from app.health.sources.base import Report, UnreadableError
from app.health.sources.drift.alibi import of_prediction
from app.health.sources.reading import Given, fields, items, number_in, objects

name = "seldon"


def fits(document: Any) -> bool:
    return any(tensor.get("name") == "is_drift" for tensor in _tensors(document))


def parse(document: Any, *, given: Given) -> list[Report]:
    said: dict[str, Any] = {}
    for tensor in _tensors(document):
        called = tensor.get("name")
        if called in ("is_drift", "distance", "p_val", "threshold"):
            said.setdefault(called, []).extend(_numbers(tensor))
    if not said.get("is_drift"):
        raise UnreadableError("The tensor is_drift is empty or missing.")
    if "distance" not in said and "p_val" not in said and len(said["is_drift"]) == 1:
        said["distance"] = said["is_drift"]  # all there is to draw
    return [of_prediction(said, "detector", given, name)]


def _tensors(document: Any) -> Iterable[Mapping[str, Any]]:
    if isinstance(document, list):
        return objects(document)
    said = fields(document)
    return objects(said["outputs"]) if isinstance(said.get("outputs"), list) else [said]


def _numbers(tensor: Mapping[str, Any]) -> list[float | None]:
    values = tensor.get("data")
    if values is None:
        contents = fields(tensor.get("contents"))
        values = next((held for held in contents.values() if isinstance(held, list)), [])
    return [number_in(value) for value in _flat(values)]


def _flat(values: Any) -> list[Any]:
    """The rows of a tensor, one level deep, as one list."""
    flat: list[Any] = []
    for value in items(values):
        flat.extend(value if isinstance(value, list) else [value])
    return flat
