"""Vertex AI Model Monitoring: `searchModelDeploymentMonitoringStatsAnomalies`.

Categorical features are compared by the L-infinity distance and numeric ones by Jensen-Shannon;
more is worse in both. Skew is against training, drift against the window before: two methods.
"""

from collections.abc import Mapping
from typing import Any

from app.health.rules import Lane
from app.health.sources.base import Part, Report, UnreadableError
from app.health.sources.drift.reports import of_parts
from app.health.sources.reading import (
    MAX_REPORTS,
    Given,
    fields,
    moment,
    number,
    objects,
    text,
)

name = "vertex"


def fits(document: Any) -> bool:
    said = fields(document)
    return any("featureStats" in one for one in objects(said.get("monitoringStats"))) or isinstance(
        said.get("featureStats"), list
    )


def parse(document: Any, *, given: Given) -> list[Report]:
    said = fields(document)
    stats = list(objects(said.get("monitoringStats"))) or [said]
    windows: dict[tuple[str, Any, Any], list[Part]] = {}
    uncompared: list[Part] = []
    for one in stats:
        objective = text(one.get("objective"), 60).lower().replace("_", " ") or "drift"
        for feature in objects(one.get("featureStats")):
            if not any(objects(feature.get("predictionStats"))):
                uncompared.append(_part(feature, {}, objective))
            for seen in objects(feature.get("predictionStats")):
                start = moment(seen.get("startTime"), given.zone, "startTime")
                end = moment(seen.get("endTime"), given.zone, "endTime")
                part = _part(feature, seen, objective)
                windows.setdefault((objective, start, end), []).append(part)
    if not windows:
        raise UnreadableError("There are no predictionStats in this answer of Vertex.")
    is_cut = bool(said.get("nextPageToken"))
    return [
        of_parts(
            given,
            # With a page or a comparison missing, what is not outside is not known.
            [*parts, *uncompared, *([Part("features on further pages")] if is_cut else [])],
            kind=Lane.INPUT_DRIFT,
            format=name,
            is_above=True,
            window_start=start,
            window_end=end,
        )
        for (_, start, end), parts in list(windows.items())[:MAX_REPORTS]
    ]


def _part(feature: Mapping[str, Any], seen: Mapping[str, Any], objective: str) -> Part:
    value = number(seen.get("distributionDeviation"))
    threshold = number(seen.get("anomalyDetectionThreshold"))
    outside = None
    if value is not None and threshold is not None and threshold > 0:
        outside = value > threshold
    feature_name = text(feature.get("featureDisplayName")) or "unnamed"
    return Part(feature_name, objective, value, threshold, outside)
