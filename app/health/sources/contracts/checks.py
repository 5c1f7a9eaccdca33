"""What the results of single checks say together about a data input."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from app.health.rules import Lane
from app.health.sources.base import DatasetReport, UnreadableError
from app.health.sources.reading import Given, named, not_ahead, remark_of, text

MAX_DATASET = 160


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name and its column, never a value."""

    name: str
    passed: bool | None  # none: it did not run, or nobody can tell
    is_warning: bool = False  # failed, in a way that its author allows


def schema_report(
    given: Given,
    checks: Iterable[Check],
    *,
    dataset: str,
    format: str,  # noqa: A002 the field's own name
    checked_at: datetime | None = None,
    rows: float | None = None,
    is_complete: bool = True,
    remark: str = "",
) -> DatasetReport:
    """Broken if one check failed; whole only if there were checks and every one of them ran."""
    done = list(checks)
    failed = [one.name for one in done if one.passed is False and not one.is_warning]
    warned = [one.name for one in done if one.passed is False and one.is_warning]
    idle = [one.name for one in done if one.passed is None]
    ok: bool | None = None
    if failed:
        ok = False
    elif done and not idle and is_complete:
        ok = True
    return DatasetReport(
        dataset=dataset_of(given, dataset),
        checked_at=checked_at_of(given, checked_at),
        format=format,
        about=Lane.SCHEMA,
        schema_ok=ok,
        schema_rows=given.rows if given.rows is not None else rows,
        remark=remark_of(
            f"{len(failed)} of {len(done)} checks failed: {in_words(failed)}" if failed else "",
            f"{len(idle)} of {len(done)} checks did not run" if idle else "",
            f"a warning: {in_words(warned)}" if warned else "",
            "" if done else "no check was made",
            remark,
        ),
    )


def freshness_report(
    given: Given,
    *,
    dataset: str,
    format: str,  # noqa: A002 the field's own name
    loaded_at: datetime | None,
    checked_at: datetime | None = None,
    fresh_within: int | None = None,
    remark: str = "",
) -> DatasetReport:
    """Without a load that can be meant, freshness is unknown. One still to come is none."""
    if loaded_at is not None:
        loaded_at = not_ahead(loaded_at, given, "The time of the last load")
    return DatasetReport(
        dataset=dataset_of(given, dataset),
        checked_at=checked_at_of(given, checked_at),
        format=format,
        about=Lane.FRESHNESS,
        loaded_at=loaded_at,
        is_unknown=loaded_at is None,
        fresh_within=fresh_within,
        remark=remark_of(remark or ("" if loaded_at else "the check names no load")),
    )


def missing(
    given: Given,
    dataset: str,
    format: str,  # noqa: A002 the field's own name
) -> DatasetReport:
    """An input that was expected in a check and is not there."""
    return DatasetReport(
        dataset=text(dataset, MAX_DATASET),
        checked_at=checked_at_of(given, None),
        format=format,
        about=Lane.FRESHNESS,
        is_unknown=True,
        remark="missing from the last check",
    )


def dataset_of(given: Given, said: str) -> str:
    if not (name := given.dataset or text(said, MAX_DATASET)):
        raise UnreadableError("Nothing says which data input was checked. Give its name.")
    return name


def checked_at_of(given: Given, said: datetime | None) -> datetime:
    return not_ahead(given.checked_at or said or given.received_at, given, "The time of the check")


def in_words(names: Iterable[str]) -> str:
    """Each name once, with how often it is there."""
    counted = Counter(names)
    return named(name if many == 1 else f"{name} ({many})" for name, many in counted.items())
