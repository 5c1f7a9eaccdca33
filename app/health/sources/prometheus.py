"""A Prometheus, asked with instant queries: one a template for all models.

Panels with the same query, label and window are one query. What it leaves out has no data, and a
query that fails takes only its own panels with it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.health.rules import LampState, Observation
from app.health.sources.base import (
    Answer,
    CountWatch,
    Fetch,
    History,
    UnreachableError,
    Watch,
)
from app.health.sources.querying import promql
from app.health.sources.querying.api import (
    BusyError,
    RefusedQueryError,
    Result,
    Series,
    ask,
    clamped_step,
    range_query,
)
from app.health.sources.scraping.specs import is_number

__all__ = ["Prometheus", "chart_query", "clamped_step", "range_query"]

RECORDERS = ("sloth", "pyrra")
NAME_IN_QUERY = re.compile(r"[\w./ -]{1,120}")
OFFSET = re.compile(r"\boffset\b")
PYRRA_RATE = re.compile(r".+:burnrate(\w+)")


def why_not(spec: Mapping[str, Any]) -> str | None:
    """Say why a panel can't be read by this spec."""
    if "not_measurable" in spec:
        return None if isinstance(spec["not_measurable"], str) else "Say why it can't be measured."
    if why := _why_not_queries(spec, ("query",), ("rows",)):
        return why
    if not is_number(spec.get("scale", 1)) or spec.get("scale", 1) == 0:
        return "The scale is a number other than 0."
    return None


def why_not_counts(spec: Mapping[str, Any]) -> str | None:
    """Say why the events of a service level can't be counted by this spec."""
    if "recorded" not in spec:
        return _why_not_queries(spec, ("bad", "total"), ())
    if spec["recorded"] not in RECORDERS:
        return f"Recorded by one of: {', '.join(RECORDERS)}."
    names = ["slo", "service"] if spec["recorded"] == "sloth" else ["slo"]
    for name in names:
        if not isinstance(spec.get(name), str) or not NAME_IN_QUERY.fullmatch(spec[name]):
            return f"Give the {name} by the name that {spec['recorded']} records."
    return promql.why_not(spec["total"]) if spec.get("total") else None


def _why_not_queries(
    spec: Mapping[str, Any], needed: Sequence[str], optional: Sequence[str]
) -> str | None:
    queries = [spec.get(name) for name in needed]
    queries += [spec[name] for name in optional if spec.get(name)]
    for query in queries:
        if why := promql.why_not(query):
            return why
    written = [str(query) for query in queries]
    if len({promql.is_shared(query) for query in written}) > 1:
        return "Either all queries hold $by, or none: their answers are matched by that label."
    by = spec.get("by", "")
    if promql.is_shared(written[0]) and not (isinstance(by, str) and promql.LABEL.fullmatch(by)):
        return "Name the label that holds the model: $by stands for it."
    if not isinstance(spec.get("value", ""), str):
        return "The value of the label is a text."
    return None


def chart_query(spec: Mapping[str, Any], model: str, window: int) -> tuple[str, str, str]:
    """The query for the chart of a panel, and label and value of its series in the answer."""
    by = str(spec.get("by", "")) if promql.is_shared(spec["query"]) else ""
    value = str(spec.get("value") or model)
    return promql.filled(spec["query"], window=window, by=by, model=value), by, value if by else ""


@dataclass(slots=True)
class _Asker:
    """Asks each query once, and stops asking a source that has stopped answering."""

    fetch: Fetch
    known: dict[str, Result | RefusedQueryError | BusyError] = field(default_factory=dict)
    has_answered: bool = False
    silences: int = 0

    def ask(self, query: str) -> Result | RefusedQueryError | BusyError:
        if query not in self.known:
            self.known[query] = self._ask(query)
        return self.known[query]

    def _ask(self, query: str) -> Result | RefusedQueryError | BusyError:
        if self.silences > 1:
            return BusyError("the source stopped answering")
        try:
            found = ask(self.fetch, query)
        except RefusedQueryError as error:
            self.has_answered = True
            return error
        except BusyError as error:
            self.silences += 1
            return error
        except UnreachableError as error:
            # One heavy query does not make the whole source unreachable.
            if not self.has_answered:
                raise
            self.silences += 1
            return BusyError(str(error.args[0]).rstrip("."))
        self.has_answered = True
        return found


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a query says of one model."""

    at: datetime
    value: float | None = None
    gap: LampState | None = None
    remark: str = ""
    is_partial: bool = False


def _reading(
    answer: Result | RefusedQueryError | BusyError, by: str, value: str, now: datetime
) -> _Reading:
    if isinstance(answer, BusyError):
        return _Reading(now, gap=LampState.UNREACHABLE, remark=str(answer.args[0]))
    if isinstance(answer, RefusedQueryError):
        return _Reading(now, gap=LampState.NO_DATA, remark=str(answer.args[0]))
    meant = [one for one in answer.series if not by or one.labels.get(by) == value]
    if not meant:
        nothing = f"no series with {by}={value}" if by else "the query gives no series"
        return _Reading(now, gap=LampState.NO_DATA, remark=answer.warning or nothing)
    if len(meant) > 1:
        remark = f"the query gives {len(meant)} series for this model: aggregate them"
        return _Reading(now, gap=LampState.NO_DATA, remark=remark)
    return _of_one(meant[0], answer.warning, now)


def _of_one(one: Series, warning: str, now: datetime) -> _Reading:
    if one.is_histogram:
        remark = "the query gives a native histogram and not a number"
        return _Reading(now, gap=LampState.NO_DATA, remark=remark)
    if len(one.points) != 1:
        remark = "the query gives a range and not a number" if one.points else "no value"
        return _Reading(now, gap=LampState.NO_DATA, remark=remark)
    ((moment, number),) = one.points
    at = min(now, datetime.fromtimestamp(moment, UTC))
    if number is None:
        return _Reading(at, gap=LampState.NO_DATA, remark="the value is not a number")
    return _Reading(at, number, remark=warning, is_partial=bool(warning))


def _observe(asker: _Asker, watch: Watch, now: datetime) -> Observation:
    spec = watch.spec
    if why := why_not(spec) or spec.get("not_measurable"):
        return Observation(now, gap=LampState.NOT_MEASURABLE, remark=why)
    query, by, value = chart_query(spec, watch.model, watch.window)
    seen = _reading(asker.ask(query), by, value, now)
    if not spec.get("rows"):
        rows = _Reading(now)
    else:
        model = str(spec.get("value") or watch.model)
        asked = promql.filled(spec["rows"], window=watch.window, by=by, model=model)
        rows = _reading(asker.ask(asked), by, value, now)
        is_quiet = rows.value is not None and rows.value <= 0 and not rows.is_partial
        # 0 of 0 is no value. A rate of 0 is one, and its rule says what it means.
        if is_quiet and seen.value is None:
            return Observation(rows.at, gap=LampState.NO_TRAFFIC, remark="no requests")
    if seen.value is None:
        if OFFSET.search(query) and seen.gap is LampState.NO_DATA and rows.value:
            # There are requests now, and none of the time that they are compared with.
            remark = "there are no samples yet of the time that it is compared with"
            return Observation(seen.at, gap=LampState.NOT_MEASURABLE, remark=remark)
        return Observation(seen.at, gap=seen.gap, remark=_why_no_value(seen, rows))
    at = _newest(asker, query, by, value, seen.at)
    # Asked for and not told: how many requests there were is not known then.
    is_partial = seen.is_partial or rows.is_partial or rows.gap is not None
    return Observation(
        at,
        seen.value * spec.get("scale", 1),
        rows.value,
        remark=seen.remark or rows.remark,
        is_partial=is_partial,
        series=query[:200],
    )


def _newest(asker: _Asker, query: str, by: str, value: str, asked_at: datetime) -> datetime:
    """When the newest sample behind an answer was taken, as far as that can be asked.

    An answer carries the time of the question, also while its series has been silent for minutes.
    """
    question = promql.when_sampled(query)
    if question is None:
        return asked_at
    moment = _reading(asker.ask(question), by, value, asked_at).value
    if moment is None or not 0 <= moment < asked_at.timestamp():
        return asked_at
    return datetime.fromtimestamp(moment, UTC)


def _why_no_value(seen: _Reading, rows: _Reading) -> str:
    if seen.gap is LampState.NO_DATA and rows.value:
        return f"{seen.remark}, though there were {rows.value:,.0f} requests"
    return seen.remark


# --- Service levels


def _count(asker: _Asker, watch: CountWatch, now: datetime) -> dict[int, tuple[float, float]]:
    """Bad and total events by window; what was not measured is left out."""
    recorded = watch.spec.get("recorded")
    ratios = {}
    if recorded == "sloth":
        ratios = _of_sloth(asker, watch)
    elif recorded == "pyrra":
        ratios = _of_pyrra(asker, watch)
    counts = {}
    for window in watch.windows:
        total = _number(asker, watch, "total", window, now)
        if recorded:
            # A recorded ratio without a count stands for one event: its burn rate is right.
            ratio = ratios.get(window)
            total = total if watch.spec.get("total") else 1.0
            bad = None if ratio is None or total is None else ratio * total
        else:
            bad = _number(asker, watch, "bad", window, now)
            # Servers show a counter of errors only once there was one.
            bad = (
                0.0
                if bad is None and total is not None and _is_empty(asker, watch, window)
                else bad
            )
        if bad is not None and total is not None and total >= 0:
            counts[window] = min(max(bad, 0.0), total), total
    return counts


def _why_uncounted(
    asker: _Asker, watch: CountWatch, counts: Mapping[int, object], now: datetime
) -> str:
    """Say why windows were left out, by the shortest of them. Nothing is asked a second time."""
    missing = [window for window in watch.windows if window not in counts]
    recorded = watch.spec.get("recorded")
    # Recorders choose their windows: those that they leave out are no trouble.
    if not missing or (recorded and counts):
        return ""
    window = missing[0]
    for name in ("total", "bad"):
        if not watch.spec.get(name):
            continue
        query, by, value = _query(watch, name, window)
        seen = _reading(asker.ask(query), by, value, now)
        if name == "bad" and _is_empty(asker, watch, window):
            continue
        if seen.value is None or seen.is_partial:
            over = promql.duration(window)
            return f"Its {name} events over {over} can't be counted: {seen.remark.rstrip('.')}."
    if recorded:
        query = _sloth_query(watch) if recorded == "sloth" else _pyrra_query(watch)
        answer = asker.ask(query)
        if isinstance(answer, Exception):
            return f"Its recorded ratios can't be read: {str(answer.args[0]).rstrip('.')}."
        why = answer.warning or f"no series of {recorded} can be read for its windows"
        return f"Its recorded ratios can't be read: {why.rstrip('.')}."
    return "Its events can't be counted: the number of them is below 0."


def _query(watch: CountWatch, name: str, window: int) -> tuple[str, str, str]:
    spec = watch.spec
    by = str(spec.get("by", "")) if promql.is_shared(spec[name]) else ""
    value = str(spec.get("value") or watch.model)
    return promql.filled(spec[name], window=window, by=by, model=value), by, value


def _number(
    asker: _Asker, watch: CountWatch, name: str, window: int, now: datetime
) -> float | None:
    if not watch.spec.get(name):
        return None
    query, by, value = _query(watch, name, window)
    seen = _reading(asker.ask(query), by, value, now)
    return None if seen.is_partial else seen.value


def _is_empty(asker: _Asker, watch: CountWatch, window: int) -> bool:
    """Whether there is no series of bad events, as far as Prometheus knows all of them."""
    query, by, value = _query(watch, "bad", window)
    answer = asker.ask(query)
    return (
        isinstance(answer, Result)
        and not answer.warning
        and not any(not by or one.labels.get(by) == value for one in answer.series)
    )


def _of_sloth(asker: _Asker, watch: CountWatch) -> dict[int, float]:
    windows = {f"slo:sli_error:ratio_rate{promql.duration(one)}": one for one in watch.windows}
    return _by_window(asker.ask(_sloth_query(watch)), windows)


def _sloth_query(watch: CountWatch) -> str:
    return (
        f'{{__name__=~"slo:sli_error:ratio_rate.+",sloth_service="{watch.spec["service"]}",'
        f'sloth_slo="{watch.spec["slo"]}"}}'
    )


def _pyrra_query(watch: CountWatch) -> str:
    return f'{{__name__=~".+:burnrate.+",slo="{watch.spec["slo"]}"}}'


def _of_pyrra(asker: _Asker, watch: CountWatch) -> dict[int, float]:
    """What pyrra calls burn rate is the ratio of errors."""
    windows = {promql.duration(one): one for one in watch.windows}
    answer = asker.ask(_pyrra_query(watch))
    if isinstance(answer, Result):
        answer = Result(
            [
                Series({"__name__": found[1]}, one.points, one.is_histogram)
                for one in answer.series
                if (found := PYRRA_RATE.fullmatch(one.labels.get("__name__", "")))
            ],
            answer.warning,
        )
    return _by_window(answer, windows)


def _by_window(
    answer: Result | RefusedQueryError | BusyError, windows: Mapping[str, int]
) -> dict[int, float]:
    """The ratio of each window; none for one that has several series, or not a number."""
    if not isinstance(answer, Result) or answer.warning:
        return {}
    found: dict[int, list[float | None]] = {}
    for one in answer.series:
        window = windows.get(one.labels.get("__name__", ""))
        if window is not None and not one.is_histogram and len(one.points) == 1:
            found.setdefault(window, []).append(one.points[0][1])
    return {
        window: values[0]
        for window, values in found.items()
        if len(values) == 1 and values[0] is not None
    }


class Prometheus:
    name = "prometheus"
    title = "Prometheus"
    what = "Baton asks a Prometheus, or a Thanos or Mimir, with queries of yours."
    pulls = True
    counts = True

    def why_not(self, spec: Mapping[str, Any]) -> str | None:
        return why_not(spec)

    def why_not_counts(self, spec: Mapping[str, Any]) -> str | None:
        return why_not_counts(spec)

    def read(
        self,
        watches: Sequence[Watch],
        counts: Sequence[CountWatch],
        fetch: Fetch,
        history: History,
        *,
        options: Mapping[str, Any],
        now: datetime,
    ) -> Answer:
        asker = _Asker(fetch)
        observations = {watch.panel_id: _observe(asker, watch, now) for watch in watches}
        counted = {}
        uncounted = {}
        for one in counts:
            if why := why_not_counts(one.spec):
                uncounted[one.slo_id] = f"Its events can't be counted: {why}"
                continue
            if found := _count(asker, one, now):
                counted[one.slo_id] = found
            if why := _why_uncounted(asker, one, found, now):
                uncounted[one.slo_id] = why
        if asker.known and not asker.has_answered:
            error = next(iter(asker.known.values()))
            said = str(error.args[0]) if isinstance(error, Exception) else "no answer"
            raise UnreachableError(f"It did not answer: {said}.")
        remarks = [
            f"A service level of {one.model}: {uncounted[one.slo_id]}"
            for one in counts
            if one.slo_id in uncounted
        ]
        return Answer(
            observations=observations, counts=counted, uncounted=uncounted, remarks=remarks
        )
