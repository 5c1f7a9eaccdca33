"""Evidently 0.7: what `Snapshot.json()` writes and its service hands out.

A verdict of Evidently's own tests counts for more than a comparison. Which test belongs to which
metric is said only by `metric_config.metric_id`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.health.rules import Lane
from app.health.sources.base import Part, Report, UnreadableError
from app.health.sources.drift.methods import has_drifted, is_above
from app.health.sources.drift.reports import (
    SHARE,
    all_of,
    in_columns,
    methods_of,
    of_parts,
    report,
    share_in,
    worst_of,
)
from app.health.sources.reading import (
    Given,
    count,
    fields,
    named,
    number,
    objects,
    text,
)

name = "evidently"

STATUSES = {"FAIL": True, "SUCCESS": False}
# What says how good the answers are, and what of its configuration tells it from others.
QUALITY = frozenset({
    "NDCG", "MAP", "MRR", "HitRate", "PrecisionTopK", "RecallTopK", "FBetaTopK", "Personalization",
    "Diversity", "Novelty", "Serendipity", "PopularityBiasMetric", "Accuracy", "Precision",
    "Recall", "F1Score", "RocAuc", "LogLoss", "MAE", "RMSE", "MAPE", "R2Score",
})  # fmt: skip
Verdicts = Mapping[str, Sequence[Mapping[str, Any]]]


def fits(document: Any) -> bool:
    said = fields(document)
    return isinstance(said.get("metrics"), list) and any(
        "config" in metric or "metric_name" in metric for metric in objects(said["metrics"])
    )


def parse(document: Any, *, given: Given) -> list[Report]:
    said = fields(document)
    metrics = list(objects(said.get("metrics")))
    tests: dict[str, list[Mapping[str, Any]]] = {}
    for test in objects(said.get("tests")):
        metric_id = text(fields(test.get("metric_config")).get("metric_id"))
        tests.setdefault(metric_id, []).append(test)
    rows = next(
        (count(metric.get("value")) for metric in metrics if _type(metric) == "RowCount"), None
    )
    drift = _drift(metrics, tests, given, rows)
    quality = _quality(metrics, tests, given, rows)
    if quality and given.kind is Lane.OUTPUT_QUALITY:
        # Of one kind there is one report: how good the answers are says more than that they moved.
        drift = None
    found = [one for one in (drift, quality) if one is not None]
    if not found:
        raise UnreadableError(
            "This report of Evidently holds neither drift (DriftedColumnsCount, ValueDrift) nor a "
            "known metric of quality."
        )
    return found


def _type(metric: Mapping[str, Any]) -> str:
    return text(fields(metric.get("config")).get("type")).rpartition(":")[2]


def _said(metric: Mapping[str, Any], tests: Verdicts) -> tuple[bool, bool | None]:
    """Whether there are tests of a metric, and what they say together."""
    about = tests.get(text(metric.get("id")) or "?", ())
    return bool(about), all_of(STATUSES.get(text(test.get("status"))) for test in about)


def _drift(
    metrics: Sequence[Mapping[str, Any]], tests: Verdicts, given: Given, rows: float | None
) -> Report | None:
    parts = [_column(metric, tests) for metric in metrics if _type(metric) == "ValueDrift"]
    wholes = [_whole(metric, tests) for metric in metrics if _type(metric) == "DriftedColumnsCount"]
    if not wholes:
        if not parts:
            return None
        side = is_above(parts[0].method) if len(parts) == 1 else None
        return of_parts(given, parts, kind=Lane.INPUT_DRIFT, format=name, is_above=side, rows=rows)
    config, share, threshold, verdict = worst_of(wholes, lambda one: one[-1])
    methods = methods_of(parts) or ", ".join(
        text(config.get(key)) for key in ("method", "num_method", "cat_method") if config.get(key)
    )
    return report(
        given,
        kind=Lane.INPUT_DRIFT,
        format=name,
        method=f"{SHARE} ({methods})" if methods else SHARE,
        value=share,
        threshold=threshold,
        is_above=True,
        said_outside=verdict,
        parts=parts,
        rows=rows,
        remark=in_columns(parts),
    )


def _whole(
    metric: Mapping[str, Any], tests: Verdicts
) -> tuple[Mapping[str, Any], float | None, float | None, bool | None]:
    """A count of drifted columns: its configuration, share, threshold and verdict."""
    config = fields(metric.get("config"))
    share = share_in(fields(metric.get("value")).get("share"))
    threshold = number(config.get("drift_share"))
    is_tested, verdict = _said(metric, tests)
    if not is_tested and share is not None and threshold is not None:
        verdict = share >= threshold
    return config, share, threshold, None if share is None and verdict is False else verdict


def _column(metric: Mapping[str, Any], tests: Verdicts) -> Part:
    config = fields(metric.get("config"))
    method = text(config.get("method"))
    value, threshold = number(metric.get("value")), number(config.get("threshold"))
    is_tested, verdict = _said(metric, tests)
    if not is_tested:
        verdict = has_drifted(method, value, threshold)
    if value is None and verdict is False:
        verdict = None
    return Part(text(config.get("column")) or "unnamed", method, value, threshold, verdict)


def _quality(
    metrics: Sequence[Mapping[str, Any]], tests: Verdicts, given: Given, rows: float | None
) -> Report | None:
    known = [metric for metric in metrics if _type(metric) in QUALITY]
    if not known:
        return None
    parts = []
    sides = []
    tested = []  # the others have no rule, and say nothing
    for metric in known:
        is_tested, verdict = _said(metric, tests)
        value = _value(metric.get("value"))
        if value is None and verdict is False:
            verdict = None
        bound, side = _bound(tests.get(text(metric.get("id")), ()))
        part = Part(_called(metric), _type(metric), value, bound, verdict)
        parts.append(part)
        sides.append(side)
        if is_tested:
            tested.append(part)
    first = (tested or parts)[0]
    outside = [part.name for part in tested if part.is_outside]
    return report(
        replace(given, kind=Lane.OUTPUT_QUALITY),
        kind=Lane.OUTPUT_QUALITY,
        format=name,
        method=first.name,
        value=first.value,
        threshold=first.threshold,
        is_above=sides[parts.index(first)],
        said_outside=all_of(part.is_outside for part in tested),
        parts=parts,
        rows=rows,
        remark=f"its test fails for {named(outside)}" if outside else "",
    )


def _value(said: Any) -> float | None:
    """A number; of a table by rank the last one, of a mean with its deviation the mean."""
    if isinstance(said, dict):
        by_rank = said.get("value", said.get("mean"))
        if isinstance(by_rank, dict):
            by_rank = list(by_rank.values())[-1:]
        said = by_rank[-1] if isinstance(by_rank, list) and by_rank else by_rank
    return number(said)


def _called(metric: Mapping[str, Any]) -> str:
    """As in: NDCG@10, PopularityBiasMetric gini@10."""
    config = fields(metric.get("config"))
    which = text(config.get("metric"), 40)
    k = text(config.get("k"), 10)
    return _type(metric) + (f" {which}" if which else "") + (f"@{k}" if k else "")


def _bound(tests: Sequence[Mapping[str, Any]]) -> tuple[float | None, bool | None]:
    """The limit of a metric's one test, and whether more than that is outside."""
    if len(tests) != 1:
        return None, None
    side = {"lt": True, "lte": True, "gt": False, "gte": False}.get(text(tests[0].get("id")))
    limit = number(fields(tests[0].get("test_config")).get("threshold"))
    return (limit, side) if side is not None else (None, None)
