"""Drift and quality reports of tools, read into our own words. One module for each format."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from app.health.sources.base import Report, UnreadableError
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
from app.health.sources.reading import MAX_REPORTS, Given, bound, fields, items


class Format(Protocol):
    """How one tool writes. `parse` raises `UnreadableError` and nothing else."""

    name: str

    def fits(self, document: Any) -> bool: ...

    def parse(self, document: Any, *, given: Given) -> list[Report]: ...


# In the order in which they are tried.
FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        evidently, evidently_old, nannyml, alibi, seldon, sagemaker, vertex, azureml, own
    )
}  # fmt: skip


def parse(document: Any, *, given: Given) -> list[Report]:
    """All reports in a document: a tool's own, one in an envelope, or a list of envelopes."""
    bound(document)
    found: list[Report] = []
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
    return [(one["report"], given.with_said(one)) for one in envelopes]


def is_envelope(document: Any) -> bool:
    said: Mapping[str, Any] = fields(document)
    return "report" in said and ("model" in said or "kind" in said)


def read(document: Any, *, given: Given) -> list[Report]:
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
    if not items(document) and isinstance(document, list):
        raise UnreadableError("The list of reports is empty.")
    raise UnreadableError(
        "This is no report that Baton knows. Name its format, or send method, value, threshold and "
        "direction as the report of an envelope."
    )
