"""OpenLineage 2-0-2: the facets of a run's inputs and outputs that tell of data quality.

One receiver for many producers. Columns' metrics hold values of the data and are left behind.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from app.health.sources.base import DatasetReport, UnreadableError
from app.health.sources.contracts.checks import Check, freshness_report, schema_report
from app.health.sources.reading import (
    Given,
    count,
    fields,
    items,
    moment,
    moment_or_none,
    objects,
    text,
)

name = "openlineage"

FACETS = ("facets", "inputFacets", "outputFacets")


def fits(document: Any) -> bool:
    return any("eventTime" in event and "job" in event for event in _events(document))


def parse(document: Any, *, given: Given) -> list[DatasetReport]:
    found = []
    for event in _events(document):
        at = moment(event.get("eventTime"), given.zone, "eventTime")
        for side in ("inputs", "outputs"):
            for dataset in objects(event.get(side)):
                found += _of_dataset(dataset, given, at)
    if not found:
        raise UnreadableError("No input or output of this run has a facet of data quality.")
    return found


def _events(document: Any) -> Iterable[Mapping[str, Any]]:
    return objects(document if isinstance(document, list) else [document])


def _of_dataset(said: Mapping[str, Any], given: Given, at: Any) -> list[DatasetReport]:
    facets: dict[str, Any] = {}
    for kind in FACETS:
        facets.update(fields(said.get(kind)))
    called = text(said.get("name"), 160)
    metrics = fields(facets.get("dataQualityMetrics"))
    asserted = fields(facets.get("dataQualityAssertions")).get("assertions")
    found = []
    if asserted is not None:
        checks = [_check(one) for one in objects(asserted)]
        found.append(
            schema_report(
                given,
                checks,
                dataset=called,
                format=name,
                checked_at=at,
                rows=count(metrics.get("rowCount")),
                is_complete=len(checks) == len(items(asserted)),
            )
        )
    if "lastUpdated" in metrics:
        found.append(
            freshness_report(
                given,
                dataset=called,
                format=name,
                loaded_at=moment_or_none(metrics.get("lastUpdated"), given.zone),
                checked_at=at,
            )
        )
    return found


def _check(said: Mapping[str, Any]) -> Check:
    called, column = text(said.get("assertion"), 60) or "assertion", text(said.get("column"), 60)
    return Check(
        f"{called} on {column}" if column else called,
        said.get("success") if isinstance(said.get("success"), bool) else None,
        is_warning=text(said.get("severity")) == "warn",
    )
