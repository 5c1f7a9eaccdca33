"""The query API of Prometheus, and of what speaks it: Thanos, Mimir, VictoriaMetrics.

An answer is believed only as far as it goes: no series is not 0, a warning means that some of the
data is missing, and a page from a proxy is no answer.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.health.sources.base import Fetch, Page, UnreachableError
from app.health.sources.querying.promql import LABEL

MAX_POINTS = 11_000  # of one series; Prometheus refuses more
RETRIED = {"timeout", "unavailable"}
MAX_SAID = 200


class RefusedQueryError(Exception):
    """This query can't be answered; others may be. `args[0]` is a clause."""


class BusyError(Exception):
    """This query was not answered in time, though asked twice. `args[0]` is a clause."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer. A value is none where it is not a plain number."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float | None]]  # seconds since 1970
    is_histogram: bool = False  # a native one, which is not a number


@dataclass(frozen=True, slots=True)
class Result:
    series: Sequence[Series]
    warning: str = ""  # some of the data is missing: a clause


def ask(fetch: Fetch, query: str) -> Result:
    """Ask for the value of a query now."""
    return _ask(fetch, "api/v1/query", {"query": query})


def range_query(
    fetch: Fetch,
    query: str,
    start: datetime,
    end: datetime,
    step: float,
    *,
    by: str = "",
    value: str = "",
) -> list[tuple[datetime, float | None]]:
    """The points of a query between two moments; none where the value is not a number.

    A query that answers for several models needs the label and the value of the one that is meant.
    Raises `UnreachableError`.
    """  # fmt: skip
    form = {
        "query": query,
        "start": f"{start.timestamp():.3f}",
        "end": f"{end.timestamp():.3f}",
        "step": f"{clamped_step(start, end, step):.3f}",
    }
    try:
        found = _ask(fetch, "api/v1/query_range", form).series
    except (RefusedQueryError, BusyError) as error:
        raise UnreachableError(f"There is no chart: {error.args[0]}.") from None
    meant = [one for one in found if not by or one.labels.get(by) == value]
    if len(meant) > 1:
        raise UnreachableError(f"There is no chart: the query gives {len(meant)} series.")
    return [
        (datetime.fromtimestamp(at, UTC), value_at) for one in meant for at, value_at in one.points
    ]


def clamped_step(start: datetime, end: datetime, step: float) -> float:
    """A step with which Prometheus does not refuse a range as too fine."""
    span = max(0.0, (end - start).total_seconds())
    return max(step, 1.0, math.ceil(span / (MAX_POINTS - 1) * 1000) / 1000)


def bounds_of(fetch: Fetch, metric: str) -> list[float]:
    """Where the buckets of a histogram end. Empty if there is no such histogram."""
    if not LABEL.fullmatch(metric.replace(":", "_")):
        return []
    query = f"count by (le) ({metric.removesuffix('_bucket')}_bucket)"
    try:
        found = ask(fetch, query).series
    except (RefusedQueryError, BusyError):
        return []
    ends = (_number(one.labels.get("le")) for one in found)
    return sorted({end for end in ends if end is not None and math.isfinite(end)})


def _ask(fetch: Fetch, path: str, form: Mapping[str, str]) -> Result:
    try:
        return _read(fetch(path, form=form))
    except BusyError:
        return _read(fetch(path, form=form))


def _read(page: Page) -> Result:
    if page.status in (401, 403):
        raise UnreachableError(f"It refuses to answer Baton (status {page.status}).")
    if 300 <= page.status < 400:
        raise UnreachableError(
            f"It answered with a redirect (status {page.status}), which Baton does not follow."
        )
    said = _json(page)
    if said is None:
        if page.status == 503:
            raise BusyError("the source is not available")
        what = "a web page" if page.media_type == "text/html" else "something"
        raise UnreachableError(
            f"It answered with {what} that does not come from a Prometheus (status {page.status})."
        )
    if said.get("status") != "success":
        raise _refusal(page, said)
    if not 200 <= page.status < 300:
        raise UnreachableError(f"It answered with status {page.status}.")
    found = said.get("data")
    if not isinstance(found, dict):
        raise UnreachableError("It answered with nothing in it.")
    return Result(_series(found.get("resultType"), found.get("result")), _warning(said))


def _json(page: Page) -> dict[str, Any] | None:
    try:
        said = json.loads(page.body)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and "status" in said else None


def _refusal(page: Page, said: Mapping[str, Any]) -> Exception:
    kind = str(said.get("errorType", ""))[:40]
    text = _clause(said.get("error")) or f"status {page.status}"
    if kind in RETRIED or page.status == 503:
        return BusyError(f"the query did not end in time ({text})")
    if kind or page.status in (400, 422):
        return RefusedQueryError(f"Prometheus refuses the query ({text})")
    return UnreachableError(f"It answered with status {page.status}.")


def _warning(said: Mapping[str, Any]) -> str:
    """Infos are advice to authors of queries; warnings say that data is missing."""
    warnings = said.get("warnings")
    if not warnings:
        return ""
    first = warnings[0] if isinstance(warnings, list) else warnings
    return f"Prometheus warns: {_clause(first)}"


def _clause(said: Any) -> str:
    text = " ".join(str(said or "").split()).rstrip(".")
    return text if len(text) <= MAX_SAID else f"{text[: MAX_SAID - 1]}…"


def _series(kind: Any, result: Any) -> list[Series]:
    if kind == "scalar":
        point = _point(result)
        return [] if point is None else [Series({}, [point])]
    if kind == "string":
        raise RefusedQueryError("the query gives a text")
    if kind not in ("vector", "matrix") or not isinstance(result, list):
        raise UnreachableError("It answered in a way that can't be read.")
    return [_one(each) for each in result]


def _one(said: Any) -> Series:
    if not isinstance(said, dict) or not isinstance(said.get("metric", {}), dict):
        raise UnreachableError("It answered in a way that can't be read.")
    labels = {str(name): str(value) for name, value in said.get("metric", {}).items()}
    points = said["values"] if isinstance(said.get("values"), list) else [said.get("value")]
    read = [point for each in points if (point := _point(each)) is not None]
    return Series(labels, read, is_histogram="histogram" in said or "histograms" in said)


def _point(said: Any) -> tuple[float, float | None] | None:
    """Time and value. The value is written as a text; NaN and Inf are no numbers to compare."""
    if not isinstance(said, list) or len(said) != 2:
        return None
    at, value = _number(said[0]), _number(said[1])
    # Moments that no date can hold.
    if at is None or not 0 <= at < 2**37:
        return None
    return at, value if value is not None and math.isfinite(value) else None


def _number(said: Any) -> float | None:
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        return None
    try:
        return float(said)
    except (ValueError, OverflowError):
        return None
