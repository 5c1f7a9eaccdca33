"""How readers of drift tools make their reports: one rule for verdicts, one for many columns."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from app.health.rules import Lane
from app.health.sources.base import Part, Report, UnreadableError
from app.health.sources.reading import (
    MAX_PARTS,
    Given,
    named,
    not_ahead,
    number,
    remark_of,
    text,
)

SHARE = "share of drifted columns"
WORST_FIRST = {True: 0, None: 1, False: 2}  # by verdict
T = TypeVar("T")


def report(
    given: Given,
    *,
    kind: Lane,
    format: str,  # noqa: A002 the field's own name
    method: str,
    value: float | None = None,
    threshold: float | None = None,
    is_above: bool | None = None,
    said_outside: bool | None = None,
    parts: Sequence[Part] = (),
    rows: float | None = None,
    window_start: datetime | None = None,
    window_end: datetime | None = None,
    reference_id: str = "",
    remark: str = "",
) -> Report:
    """A report of what a tool says and what is known beside it, which counts for more.

    "Inside" without a number is no verdict: tools say it of windows that they could not compute.
    """
    end = given.window_end or window_end or given.received_at
    start = given.window_start or window_start
    not_ahead(end, given, "The end of its window")
    if start is not None and start > end:
        raise UnreadableError("Its window ends before it starts.")
    rows = given.rows if given.rows is not None else rows
    if value is None and said_outside is False:
        said_outside = None
    if value is None and said_outside is None and not remark:
        remark = "no value" if rows is None else f"no value was given for its {rows:,.0f} rows"
    return Report(
        model=given.model,
        kind=given.kind or kind,
        window_end=end,
        format=format,
        model_version=given.version,
        window_start=start,
        reference_id=given.reference_id or text(reference_id),
        reference_at=given.reference_at,
        rows=rows,
        method=text(method),
        value=value,
        threshold=threshold,
        is_above=is_above,
        said_outside=said_outside,
        parts=worst_first(parts)[:MAX_PARTS],
        remark=remark_of(remark),
        sender=given.sender,
        is_dated=(given.window_end or window_end) is not None,
    )


def worst_of(found: Sequence[T], verdict: Callable[[T], bool | None]) -> T:
    """Of several summaries of one report, of groups of columns, the one that is outside.

    If none is, then one that nobody knows the verdict of.
    """
    return min(found, key=lambda one: WORST_FIRST[verdict(one)])


def worst_first(parts: Iterable[Part]) -> tuple[Part, ...]:
    return tuple(sorted(parts, key=lambda part: WORST_FIRST[part.is_outside]))


def all_of(verdicts: Iterable[bool | None]) -> bool | None:
    """Outside if one is; inside only if every one is known to be. Of nothing, nothing is known."""
    known = list(verdicts)
    if True in known:
        return True
    return None if None in known or not known else False


def share_in(said: Any) -> float | None:
    """A share that a tool gives: from 0 to 1, or none."""
    found = number(said)
    return found if found is not None and 0 <= found <= 1 else None


def share_of(parts: Sequence[Part]) -> float | None:
    """The share of parts that are outside, if all have a verdict."""
    verdicts = [part.is_outside for part in parts]
    return None if None in verdicts or not verdicts else verdicts.count(True) / len(verdicts)


def methods_of(parts: Iterable[Part]) -> str:
    """The methods of the columns, each once: when a tool picks others, the line is broken."""
    return ", ".join(sorted({part.method for part in parts if part.method}))


def in_columns(parts: Sequence[Part]) -> str:
    """As in: 2 of 4 columns drifted: price, device."""
    outside = [part.name for part in parts if part.is_outside]
    if not outside:
        return ""
    return f"{len(outside)} of {len(parts)} columns drifted: {named(outside)}"


def of_parts(
    given: Given,
    parts: Sequence[Part],
    *,
    kind: Lane,
    format: str,  # noqa: A002 the field's own name
    share: str = SHARE,
    is_above: bool | None = None,
    rows: float | None = None,
    window_start: datetime | None = None,
    window_end: datetime | None = None,
    remark: str = "",
) -> Report:
    """A report of columns that have each their verdict, from a tool that has none for all.

    One column speaks for itself. Of several, whose methods can't be compared, the share counts.
    """
    if len(parts) == 1:
        (only,) = parts
        method = only.method if only.name in only.method else f"{only.method} of {only.name}"
        value, threshold = only.value, only.threshold
    else:
        method, value, threshold = f"{share} ({methods_of(parts)})", share_of(parts), None
        is_above = None
    unknown = [part.name for part in parts if part.is_outside is None]
    return report(
        given,
        kind=kind,
        format=format,
        method=method,
        value=value,
        threshold=threshold,
        is_above=is_above,
        said_outside=all_of(part.is_outside for part in parts),
        parts=parts,
        rows=rows,
        window_start=window_start,
        window_end=window_end,
        remark=remark_of(
            in_columns(parts) if len(parts) > 1 and share == SHARE else "",
            f"no verdict for {named(unknown)}" if unknown else "",
            remark,
        ),
    )
