"""Alibi Detect 0.13: what a detector's `predict` returns, as JSON.

`is_drift` is one number for a batch and a list for single features, which have no names.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.health.rules import Lane
from app.health.sources.base import Part, Report, UnreadableError
from app.health.sources.drift.reports import of_parts, report
from app.health.sources.reading import Given, fields, flag, items, number, text

name = "alibi"


def fits(document: Any) -> bool:
    return "is_drift" in fields(fields(document).get("data"))


def parse(document: Any, *, given: Given) -> list[Report]:
    said = fields(document)
    detector = text(fields(said.get("meta")).get("name"), 60) or "detector"
    return [of_prediction(fields(said.get("data")), detector, given, name)]


def of_prediction(
    said: Mapping[str, Any],
    detector: str,
    given: Given,
    format: str,  # noqa: A002 the field's own name
) -> Report:
    """The report of one prediction, which Seldon wraps in tensors."""
    verdict = said.get("is_drift")
    p_values, distances = numbers(said.get("p_val")), numbers(said.get("distance"))
    threshold = next(iter(numbers(said.get("threshold"))), None)
    if isinstance(verdict, list) and len(verdict) > 1:
        return of_parts(
            given,
            _features(verdict, detector, p_values, distances, threshold),
            kind=Lane.INPUT_DRIFT,
            format=format,
        )
    if isinstance(verdict, list):
        verdict = verdict[0] if verdict else None
    if flag(verdict) is None:
        raise UnreadableError("is_drift is 0 or 1, or a list of them.")
    known = [one for one in p_values if one is not None]
    is_tested = bool(known)
    value = min(known) if is_tested else next(iter(distances), None)
    return report(
        given,
        kind=Lane.INPUT_DRIFT,
        format=format,
        method=f"{detector} {'p-value' if is_tested else 'distance'}",
        value=value,
        threshold=threshold if is_tested else None,
        is_above=False if is_tested else None,
        said_outside=flag(verdict),
    )


def numbers(said: Any) -> list[float | None]:
    """One number or several, as a list."""
    return [number(one) for one in items(said)] if isinstance(said, list) else [number(said)]


def _features(
    verdicts: Sequence[Any],
    detector: str,
    p_values: Sequence[float | None],
    distances: Sequence[float | None],
    threshold: float | None,
) -> list[Part]:
    """All of them, so that none is left out of the verdict."""
    is_tested = len(p_values) == len(verdicts)
    values = p_values if is_tested else distances
    method = f"{detector} {'p-value' if is_tested else 'distance'}"
    parts = []
    for place, verdict in enumerate(verdicts):
        value = values[place] if place < len(values) else None
        outside = flag(verdict)
        if value is None and outside is False:
            outside = None
        bound = threshold if is_tested else None
        parts.append(Part(f"feature {place}", method, value, bound, outside))
    return parts
