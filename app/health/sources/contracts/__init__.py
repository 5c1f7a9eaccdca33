"""Results of data contracts, read into our own words. One module for each format."""

from collections.abc import Iterable, Mapping
from typing import Any

from app.health.sources.base import DatasetReport
from app.health.sources.contracts import (
    dbt,
    great_expectations,
    odcs,
    openlineage,
    own,
    pandera,
    soda,
)
from app.health.sources.formats import Format, parse_all, read_by
from app.health.sources.reading import Given, fields

# In the order in which they are tried.
FORMATS: dict[str, Format[DatasetReport]] = {
    each.name: each
    for each in (dbt, great_expectations, soda, openlineage, odcs, pandera, own)
}  # fmt: skip


def parse(document: Any, *, given: Given) -> list[DatasetReport]:
    """All reports in a document: a tool's own, one with its data input, or a list of these."""
    return parse_all(document, given, unwrapped, lambda said, known: read(said, given=known))


def unwrapped(document: Any, given: Given) -> Iterable[tuple[Any, Given]]:
    """Each report with what its envelope says of it."""
    envelopes = document if isinstance(document, list) else [document]
    if not envelopes or not all(is_envelope(one) for one in envelopes):
        return [(document, given)]
    return [
        # The kind of a check is said by the report in it.
        (one["report"], given.with_said({k: v for k, v in one.items() if k != "kind"}))
        for one in envelopes
    ]


def is_envelope(document: Any) -> bool:
    said: Mapping[str, Any] = fields(document)
    return "report" in said and "dataset" in said


def read(document: Any, *, given: Given) -> list[DatasetReport]:
    """The reports of one tool's document, by the format that is given or that fits."""
    return read_by(
        FORMATS,
        document,
        given,
        unknown="This is no result of a check that Baton knows. Name its format.",
    )
