"""Azure ML: `DatasetDriftDetected` of Event Grid, whose body is a list of events.

It is sent when drift was found, with one number. So it never says that all is well.
"""

from typing import Any

from app.health.rules import Lane
from app.health.sources.base import Report, UnreadableError
from app.health.sources.drift.reports import report
from app.health.sources.reading import Given, fields, items, moment, number, objects, text

name = "azureml"

DETECTED = "DatasetDriftDetected"


def fits(document: Any) -> bool:
    return any(_type(event).endswith(DETECTED) for event in _events(document))


def parse(document: Any, *, given: Given) -> list[Report]:
    found = []
    for event in _events(document):
        if not _type(event).endswith(DETECTED):
            continue
        said = fields(event.get("data"))
        found.append(
            report(
                given,
                kind=Lane.INPUT_DRIFT,
                format=name,
                method="drift coefficient",
                value=number(said.get("DriftCoefficient")),
                said_outside=True,
                window_start=moment(said.get("StartTime"), given.zone, "StartTime"),
                window_end=moment(said.get("EndTime"), given.zone, "EndTime"),
                reference_id=text(said.get("BaseDatasetId")),
            )
        )
    if not found:
        raise UnreadableError(f"None of the events is a {DETECTED}.")
    return found


def _events(document: Any) -> list[Any]:
    said = items(document) if isinstance(document, list) else [document]
    return list(objects(said[:1_000]))


def _type(event: Any) -> str:
    return text(event.get("eventType")) or text(event.get("type"))
