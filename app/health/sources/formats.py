"""Documents of many formats: which one fits, and all the reports in it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from app.health.sources.base import UnreadableError
from app.health.sources.reading import MAX_REPORTS, Given, bound

T = TypeVar("T")


class Format(Protocol[T]):
    """How one tool writes. `parse` raises `UnreadableError` and nothing else."""

    name: str

    def fits(self, document: Any) -> bool: ...

    def parse(self, document: Any, *, given: Given) -> list[T]: ...


def read_by(
    formats: Mapping[str, Format[T]], document: Any, given: Given, *, unknown: str
) -> list[T]:
    """The reports of one tool's document, by the format that is given or the first that fits.

    `unknown` is the sentence for a document that no format fits.
    """
    if given.format:
        reader = formats.get(given.format)
        if reader is None:
            raise UnreadableError(
                f"There is no format “{given.format}”. There are {', '.join(formats)}."
            )
        return reader.parse(document, given=given)
    for reader in formats.values():
        if reader.fits(document):
            return reader.parse(document, given=given)
    raise UnreadableError(unknown)


def parse_all(
    document: Any,
    given: Given,
    unwrapped: Callable[[Any, Given], Iterable[tuple[Any, Given]]],
    read: Callable[[Any, Given], list[T]],
) -> list[T]:
    """The reports of every envelope in a document, up to a number."""
    bound(document)
    found: list[T] = []
    for said, known in unwrapped(document, given):
        found += read(said, known)
        if len(found) > MAX_REPORTS:
            raise UnreadableError(f"A document holds at most {MAX_REPORTS} reports.")
    return found
