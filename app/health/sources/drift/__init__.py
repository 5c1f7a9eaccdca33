"""Drift and quality reports of tools, read into our own words. One module for each format."""

from collections.abc import Iterable, Mapping
from typing import Any

from app.health.sources.base import Report
from app.health.sources.drift import (
    alibi,
    azureml,
    evidently,
    evidently_old,
    nannyml,
    own,
    sagemaker,
    seldon,
    vertex,
)
from app.health.sources.formats import Format, parse_all, read_by
from app.health.sources.reading import Given, fields

# In the order in which they are tried.
FORMATS: dict[str, Format[Report]] = {
    each.name: each
    for each in (
        evidently, evidently_old, nannyml, alibi, seldon, sagemaker, vertex, azureml, own
    )
}  # fmt: skip


EMPTY = "The list of reports is empty."
UNKNOWN = (
    "This is no report that Baton knows. Name its format, or send method, value, threshold and "
    "direction as the report of an envelope."
)


def parse(document: Any, *, given: Given) -> list[Report]:
    """All reports in a document: a tool's own, one in an envelope, or a list of envelopes."""
    return parse_all(document, given, unwrapped, lambda said, known: read(said, given=known))


def unwrapped(document: Any, given: Given) -> Iterable[tuple[Any, Given]]:
    """Each report with what its envelope says of it."""
    envelopes = document if isinstance(document, list) else [document]
    if not envelopes or not all(is_envelope(one) for one in envelopes):
        return [(document, given)]
    return [(one["report"], given.with_said(one)) for one in envelopes]


def is_envelope(document: Any) -> bool:
    said: Mapping[str, Any] = fields(document)
    return "report" in said and ("model" in said or "kind" in said)


def read(document: Any, *, given: Given) -> list[Report]:
    """The reports of one tool's document, by the format that is given or that fits."""
    return read_by(FORMATS, document, given, unknown=EMPTY if document == [] else UNKNOWN)
