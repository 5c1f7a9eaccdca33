"""Results of data contracts, read into our own words. One module for each format."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from app.health.sources.base import DatasetReport, UnreadableError
from app.health.sources.contracts import (
    dbt,
    great_expectations,
    odcs,
    openlineage,
    own,
    pandera,
    soda,
)
from app.health.sources.reading import MAX_REPORTS, Given, bound, fields


class Format(Protocol):
    """How one tool writes. `parse` raises `UnreadableError` and nothing else."""

    name: str

    def fits(self, document: Any) -> bool: ...

    def parse(self, document: Any, *, given: Given) -> list[DatasetReport]: ...


# In the order in which they are tried.
FORMATS: dict[str, Format] = {
    each.name: each
    for each in (dbt, great_expectations, soda, openlineage, odcs, pandera, own)
}  # fmt: skip


def parse(document: Any, *, given: Given) -> list[DatasetReport]:
    """All reports in a document: a tool's own, one with its data input, or a list of these."""
    bound(document)
    found: list[DatasetReport] = []
    for said, known in unwrapped(document, given):
        found += read(said, given=known)
        if len(found) > MAX_REPORTS:
            raise UnreadableError(f"A document holds at most {MAX_REPORTS} reports.")
    return found


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
    if given.format:
        reader = FORMATS.get(given.format)
        if reader is None:
            raise UnreadableError(
                f"There is no format “{given.format}”. There are {', '.join(FORMATS)}."
            )
        return reader.parse(document, given=given)
    for reader in FORMATS.values():
        if reader.fits(document):
            return reader.parse(document, given=given)
    raise UnreadableError("This is no result of a check that Baton knows. Name its format.")
