"""What panels and service levels ask of a page of metrics, and why some of it can't be."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.health.sources.scraping.exposition import NAME

STATS = ("rate", "ratio", "mean", "quantile", "share_over", "gauge", "distribution_gap")
OF_BUCKETS = ("quantile", "share_over", "distribution_gap")
AGGREGATES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "max": max,
    "min": min,
    "avg": lambda values: sum(values) / len(values),
}
WEEK = 604_800
OLDEST = 8 * 86_400 - 1  # totals are kept for about as long
MAX_VALUES = 100  # that a label may have in a spec
MAX_NUMBER = 1e15
Labels = tuple[tuple[str, tuple[str, ...]], ...]
Named = Mapping[str, Any]  # label -> a value or a list of values, as in a spec


@dataclass(frozen=True, slots=True)
class Selector:
    """Series of one metric. Its name may be written with or without its suffix."""

    names: tuple[str, ...]
    labels: Labels
    is_counter: bool

    def mark(self, name: str) -> str:
        """The note on since when these series are watched without a break."""
        return f"#since {name}{self.labels!r}"

    def wants(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(label, "") in said for label, said in self.labels)


def _labels(named: Named) -> Labels:
    return tuple(sorted((label, tuple(_values(said))) for label, said in named.items()))


def _values(said: Any) -> list[str]:
    return [said] if isinstance(said, str) else list(said)


def _counter(metric: str, labels: Named) -> Selector:
    return Selector((metric, f"{metric}_total", f"{metric}_count"), _labels(labels), True)


def _buckets(metric: str, labels: Named) -> Selector:
    return Selector((f"{metric.removesuffix('_bucket')}_bucket",), _labels(labels), True)


def _gauge(metric: str, labels: Named) -> Selector:
    return Selector((metric,), _labels(labels), False)


def _metrics(said: Any) -> list[str]:
    return _values(said) if said else []


@dataclass(frozen=True, slots=True)
class Plan:
    """The series that a spec needs."""

    main: tuple[Selector, ...]
    bad: tuple[Selector, ...] = ()
    rows: Selector | None = None

    @property
    def all(self) -> Iterator[Selector]:
        yield from self.main
        yield from self.bad
        if self.rows is not None:
            yield self.rows


def plan_of(spec: Mapping[str, Any]) -> Plan:
    """What to read for a spec that `why_not` has nothing against."""
    labels: Named = spec.get("labels") or {}
    stat = spec.get("stat") or ("share_over" if "over" in spec else "ratio")
    make = _buckets if stat in OF_BUCKETS else _gauge if stat == "gauge" else _counter
    main = tuple(make(metric, labels) for metric in _metrics(spec["metric"]))
    bad = tuple(_counter(metric, labels) for metric in _metrics(spec.get("bad_metric")))
    if stat == "mean":
        bad = (_counter(spec["per"], labels),)
    rows = spec.get("rows_metric")
    # The labels of the rows are those of the value, but for the one that names a quantile.
    named = {label: said for label, said in labels.items() if label != "quantile"}
    return Plan(main, bad, _counter(rows, named) if rows else None)


def why_not(spec: Mapping[str, Any]) -> str | None:
    """Say why a panel can't be read by this spec."""
    if "not_measurable" in spec:
        return None if isinstance(spec["not_measurable"], str) else "Say why it can't be measured."
    stat = spec.get("stat")
    if stat not in STATS:
        return f"Say what to compute: one of {', '.join(STATS)}."
    if why := _why_not_series(spec):
        return why
    if stat == "quantile" and not is_number(spec.get("q"), above=0, below=1):
        return "Say which quantile, between 0 and 1: 0.99 for p99."
    if stat == "share_over" and not is_number(spec.get("over")):
        return "Say over which value requests are counted, in the unit of the metric."
    if stat == "ratio" and (why := _why_no_ratio(spec)):
        return why
    if stat == "mean" and not _is_name(spec.get("per")):
        return "Say by which counter to divide: that of the requests."
    if stat == "gauge" and spec.get("agg", "sum") not in AGGREGATES:
        return f"Say how several series become one: {', '.join(AGGREGATES)}."
    if stat == "distribution_gap" and not is_number(
        spec.get("offset", WEEK), above=59, below=OLDEST
    ):
        return "Say with which time before now to compare: in seconds, up to 8 days."
    if stat != "ratio" and not isinstance(spec["metric"], str) and stat != "rate":
        return "Name one metric: only rates and ratios add up several."
    if not is_number(spec.get("scale", 1)) or spec.get("scale", 1) == 0:
        return "The scale is a number other than 0."
    return None


def why_not_counts(spec: Mapping[str, Any]) -> str | None:
    """Say why the events of a service level can't be counted by this spec."""
    if why := _why_not_series(spec):
        return why
    if "over" in spec:
        if not is_number(spec["over"]):
            return "Say over which value a request is bad, in the unit of the metric."
        if not isinstance(spec["metric"], str):
            return "Name one histogram."
        return None
    return _why_no_ratio(spec)


def _why_not_series(spec: Mapping[str, Any]) -> str | None:
    named = spec.get("metric")
    metrics = [named] if isinstance(named, str) else named
    if not isinstance(metrics, list | tuple) or not 0 < len(metrics) <= MAX_VALUES:
        return "Name a metric."
    more = [spec[name] for name in ("rows_metric", "per") if spec.get(name)]
    for metric in [*metrics, *more]:
        if not _is_name(metric):
            return f"{metric!s:.80} is not the name of a metric."
    labels = spec.get("labels") or {}
    if not _is_named(labels):
        return "Labels are names with a text each, or with a list of texts."
    if math.prod(len(_values(said)) for said in labels.values()) > MAX_VALUES:
        return f"More than {MAX_VALUES} combinations of labels: leave some out."
    return None


def _why_no_ratio(spec: Mapping[str, Any]) -> str | None:
    said = [name for name in ("bad", "not_bad", "bad_metric") if spec.get(name)]
    if len(said) != 1:
        return "Say which requests are bad: by bad, by not_bad or by bad_metric."
    if said == ["bad_metric"]:
        metrics = spec["bad_metric"]
        metrics = [metrics] if isinstance(metrics, str) else metrics
        if not isinstance(metrics, list | tuple) or not all(map(_is_name, metrics)):
            return "bad_metric is the name of a counter."
    elif not _is_named(spec[said[0]]):
        return f"{said[0]} holds labels with a text each, or with a list of texts."
    return None


def _is_named(labels: Any) -> bool:
    return isinstance(labels, Mapping) and all(
        isinstance(label, str)
        and (
            isinstance(said, str)
            or (
                isinstance(said, list | tuple)
                and 0 < len(said) <= MAX_VALUES
                and all(isinstance(one, str) for one in said)
            )
        )
        for label, said in labels.items()
    )


def _is_name(said: Any) -> bool:
    return isinstance(said, str) and NAME.fullmatch(said) is not None


def is_number(said: Any, *, above: float = -MAX_NUMBER, below: float = MAX_NUMBER) -> bool:
    return isinstance(said, int | float) and not isinstance(said, bool) and above < said < below


def is_in(labels: Mapping[str, str], named: Named) -> bool:
    """Whether a series is one of those. A value may end in *."""
    return all(
        any(
            labels.get(label, "").startswith(value[:-1])
            if value.endswith("*")
            else labels.get(label, "") == value
            for value in _values(said)
        )
        for label, said in named.items()
    )
