"""NannyML 0.13: the flat frame of a result, as CSV text or as a list of rows.

Its estimates of performance (CBPE, DLE) know how good the answers are before the labels come, and
so are the best source of output quality. Rows of the reference period are there to compare with;
only those of the analysis period are news.
"""

import csv
import re
from collections.abc import Iterable, Mapping
from typing import Any

from app.health.rules import Lane
from app.health.sources.base import Part, Report, UnreadableError
from app.health.sources.drift.reports import SHARE, of_parts
from app.health.sources.reading import (
    AHEAD,
    MAX_REPORTS,
    Given,
    flag,
    items,
    moment,
    number_in,
    text,
)

name = "nannyml"

VALUE = re.compile(r"(?P<what>.{1,200})_value")
DRIFT = re.compile(
    r"(?P<column>.*?)_?(?P<method>jensen_shannon|kolmogorov_smirnov|wasserstein|hellinger|"
    r"l_infinity|chi2|reconstruction_error|domain_classifier_auroc)"
)
MAX_COLUMNS = 4_000  # of a CSV


def fits(document: Any) -> bool:
    if isinstance(document, str):
        return "chunk_period" in document[:20_000].partition("\n")[0]
    return any(isinstance(row, dict) and "chunk_period" in row for row in items(document)[:1])


def parse(document: Any, *, given: Given) -> list[Report]:
    rows = [row for row in _rows(document) if row.get("chunk_period") == "analysis"]
    if not rows:
        raise UnreadableError("There is no row whose chunk_period is analysis.")
    if any(not row.get("chunk_end_date") for row in rows):
        rows = rows[-1:]  # chunks by size have no time: only the last one can be now
    found = [one for row in rows[-MAX_REPORTS:] if (one := _report(row, given)) is not None]
    if not found:
        raise UnreadableError(
            "None of the rows is a chunk that has ended and has a …_value beside a …_alert. Give "
            "the zone of its times if they have none."
        )
    return found


def _rows(document: Any) -> Iterable[Mapping[str, Any]]:
    if not isinstance(document, str):
        return [row for row in items(document) if isinstance(row, dict)]
    try:
        rows = list(csv.DictReader(document.splitlines()))
    except csv.Error:
        raise UnreadableError("This is not CSV.") from None
    if rows and len(rows[0]) > MAX_COLUMNS:
        raise UnreadableError(f"A CSV has at most {MAX_COLUMNS:,} columns.")
    return rows


def _report(row: Mapping[str, Any], given: Given) -> Report | None:
    start = moment(row.get("chunk_start_date"), given.zone, "chunk_start_date")
    end = moment(row.get("chunk_end_date"), given.zone, "chunk_end_date")
    if end is not None and end > given.received_at + AHEAD:
        return None  # rows are still added to it
    drift, quality = [], []
    for key in row:
        known = VALUE.fullmatch(key) if isinstance(key, str) else None
        if known is None or f"{known['what']}_alert" not in row:
            continue
        what = known["what"]
        of_drift = DRIFT.fullmatch(what)
        if of_drift:
            column = of_drift["column"] or "all columns"
            drift.append(_part(row, what, text(column), of_drift["method"]))
        else:
            is_estimate = f"{what}_lower_confidence_boundary" in row
            method = "estimated" if is_estimate else "realized"
            quality.append(_part(row, what, text(what), f"{what}, {method}"))
    parts = drift or quality
    if not parts:
        return None
    return of_parts(
        given,
        parts,
        kind=Lane.INPUT_DRIFT if drift else Lane.OUTPUT_QUALITY,
        format=name,
        share=SHARE if drift else "share of metrics outside",
        is_above=_side(row) if len(parts) == 1 else None,
        rows=_size(row),
        window_start=start,
        window_end=end,
    )


def _part(row: Mapping[str, Any], what: str, column: str, method: str) -> Part:
    """A column with its verdict. Without a threshold `alert` is false and means nothing."""
    value = number_in(row.get(f"{what}_value"))
    upper = number_in(row.get(f"{what}_upper_threshold"))
    lower = number_in(row.get(f"{what}_lower_threshold"))
    alert = _alert(row.get(f"{what}_alert"))
    if alert is False and (value is None or (upper is None and lower is None)):
        alert = None
    nearest = lower if upper is None else upper
    if value is not None and upper is not None and lower is not None:
        nearest = lower if value - lower < upper - value else upper
    return Part(column, method, value, nearest, alert)


def _alert(said: Any) -> bool | None:
    if isinstance(said, str):
        return {"true": True, "false": False}.get(said.strip().lower())
    return flag(said)


def _side(row: Mapping[str, Any]) -> bool | None:
    """Which side is outside, if only one has a threshold."""
    found = {
        key.rpartition("_threshold")[0].rpartition("_")[2]
        for key in row
        if isinstance(key, str)
        and key.endswith("_threshold")
        and number_in(row.get(key)) is not None
    }
    return {frozenset({"upper"}): True, frozenset({"lower"}): False}.get(frozenset(found))


def _size(row: Mapping[str, Any]) -> float | None:
    first, last = number_in(row.get("chunk_start_index")), number_in(row.get("chunk_end_index"))
    return last - first + 1 if first is not None and last is not None and last >= first else None
