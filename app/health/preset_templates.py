"""What the presets of serving APIs are written with: templates, first rules and queries."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from app.health.rules import Lane, Rule

Spec = Mapping[str, Any]

MIN_RPS = 0.02  # under it, one failed request is a large share of all
WEEK = 604_800


@dataclass(frozen=True, slots=True)
class PanelTemplate:
    """One panel of a preset. Without a spec for a kind of source, `cannot` is the reason."""

    key: str
    lane: Lane
    title: str
    unit: str
    rule: Rule
    window: int = 300
    scrape: Spec | None = None
    query: Spec | None = None
    cannot: str = ""
    failure_mode: str | None = None  # none: that of the lane
    severity: int = 3


@dataclass(frozen=True, slots=True)
class Preset:
    """A kind of serving API."""

    key: str
    title: str
    what: str  # where its metrics are
    panels: tuple[PanelTemplate, ...]
    cannot: tuple[str, ...] = ()  # what it can't tell, a sentence each


# --- The rules that panels begin with


def up_to(above: float, *, clear: float | None = None, min_rows: float = 0, k: int = 3) -> Rule:
    return Rule(above=above, clear=clear, k=k, n=k + 2, min_rows=min_rows)


def latency_rule(ms: float) -> Rule:
    return up_to(ms, clear=ms * 0.9, min_rows=50)


ERRORS = Rule(above=1, clear=0.5, k=2, n=3, min_rows=50)
TRAFFIC = up_to(1_000, clear=900)
QUEUE = up_to(100, clear=50)
BUSY = up_to(95, clear=90, k=5)
GAP = Rule(above=0.2, clear=0.15, k=2, n=3, min_rows=1_000, stale_after=timedelta(minutes=10))
UNKNOWN = Rule(above=0)  # of a panel that can't be measured


# --- Queries and specs that servers share


def _matcher(named: Mapping[str, Any], *, is_not: bool) -> str:
    """As in outcome=~"error|invalid"; a value that ends in * stands for all that begin so."""
    parts = []
    for label, said in named.items():
        values = [said] if isinstance(said, str) else said
        pattern = "|".join(f"{one[:-1]}.*" if one.endswith("*") else one for one in values)
        parts.append(f'{label}{"!~" if is_not else "=~"}"{pattern}"')
    return ",".join(parts)


def rows_of(metric: str, by: str) -> dict[str, str]:
    return {"rows": f"sum by ($by) (increase({metric}[$w]))", "by": by}


@dataclass(frozen=True, slots=True)
class Server:
    """Writes the templates of one server: by its label for the model, and the unit of its times."""

    label: str
    to_ms: float = 1000  # from the unit of its latencies
    labels: Mapping[str, str] = field(default_factory=dict)  # that hold for all of its series

    @property
    def named(self) -> dict[str, Any]:
        return {**self.labels, **({self.label: "$m"} if self.label else {})}

    def rate(self, counter: str, *, rule: Rule = TRAFFIC) -> PanelTemplate:
        return PanelTemplate(
            "rate",
            Lane.THROUGHPUT,
            "Requests",
            "rps",
            rule,
            scrape={"stat": "rate", "metric": counter, "labels": self.named},
            query={"query": f"sum by ($by) (rate({counter}[$w]))", **rows_of(counter, self.label)},
        )

    def errors(
        self,
        counter: str,
        *,
        bad: Mapping[str, Any] | None = None,
        not_bad: Mapping[str, Any] | None = None,
        rule: Rule = ERRORS,
    ) -> PanelTemplate:
        matcher = _matcher(bad or not_bad or {}, is_not=bad is None)
        failed = f"sum by ($by) (rate({counter}{{{matcher}}}[$w]))"
        which = {"bad": bad} if bad else {"not_bad": not_bad}
        return self.failures(
            {"stat": "ratio", "metric": counter, "labels": self.named, **which, "scale": 100},
            failed,
            f"sum by ($by) (rate({counter}[$w]))",
            rows_of(counter, self.label),
            rule,
        )

    def failures(
        self, scrape: Spec, failed: str, all_: str, rows: Mapping[str, str], rule: Rule
    ) -> PanelTemplate:
        # 0 stands in for failures that were never counted, and only where requests were.
        query = f"({failed} or 0 * ({all_})) / ({all_}) and ({all_}) > {MIN_RPS}"
        return PanelTemplate(
            "errors",
            Lane.ERRORS,
            "Errors",
            "%",
            rule,
            scrape=scrape,
            query={"query": query, **rows, "scale": 100},
            severity=2,
        )

    def latencies(
        self, histogram: str, limits: Mapping[int, float] | None = None
    ) -> tuple[PanelTemplate, ...]:
        chosen = limits or {50: 100, 95: 200, 99: 250}
        return tuple(self.latency(histogram, percent, ms) for percent, ms in chosen.items())

    def latency(self, histogram: str, percent: int, ms: float) -> PanelTemplate:
        q = percent / 100
        query = f"histogram_quantile({q:g}, sum by (le, $by) (rate({histogram}_bucket[$w])))"
        return PanelTemplate(
            f"p{percent}",
            Lane.LATENCY,
            f"p{percent} latency",
            "ms",
            latency_rule(ms),
            scrape={
                "stat": "quantile",
                "metric": histogram,
                "labels": self.named,
                "q": q,
                "scale": self.to_ms,
            },
            query={
                "query": query,
                **rows_of(f"{histogram}_count", self.label),
                "scale": self.to_ms,
            },
            severity=2 if percent == 99 else 3,
            # One latency is enough to open an incident; the others explain it.
            failure_mode=None if percent == 99 else "",
        )

    def drift(self, histogram: str) -> PanelTemplate:
        """The distribution of latencies now against that of a week ago, as a share of requests."""
        return PanelTemplate(
            "latency-drift",
            Lane.LATENCY_DRIFT,
            "Latency against a week ago",
            "",
            GAP,
            window=3600,
            scrape={
                "stat": "distribution_gap",
                "metric": histogram,
                "labels": self.named,
                "offset": WEEK,
            },
            query={"query": _gap_query(histogram), **rows_of(f"{histogram}_count", self.label)},
        )

    def gauge(
        self, key: str, lane: Lane, title: str, unit: str, metric: str, rule: Rule,
        *, agg: str = "sum", scale: float = 1, named: bool = True,
    ) -> PanelTemplate:  # fmt: skip
        """The value now. Without `named` it is one of the server, whichever model it serves."""
        query = f"{agg} by ($by) ({metric})" if named else f"{agg}({metric})"
        return PanelTemplate(
            key,
            lane,
            title,
            unit,
            rule,
            scrape={
                "stat": "gauge",
                "metric": metric,
                "labels": self.named if named else dict(self.labels),
                "agg": agg,
                "scale": scale,
            },
            query={"query": query, "scale": scale, **({"by": self.label} if named else {})},
        )


def _gap_query(histogram: str) -> str:
    """The largest gap between two cumulative distributions."""
    now = f"sum by (le, $by) (increase({histogram}_bucket[$w]))"
    then = f"sum by (le, $by) (increase({histogram}_bucket[$w] offset 7d))"
    all_now = f"sum by ($by) (increase({histogram}_count[$w]))"
    all_then = f"sum by ($by) (increase({histogram}_count[$w] offset 7d))"
    return (
        f"max by ($by) (abs({now} / on ($by) group_left () {all_now} "
        f"- {then} / on ($by) group_left () {all_then}))"
    )


def cannot(key: str, lane: Lane, title: str, unit: str, why: str) -> PanelTemplate:
    return PanelTemplate(key, lane, title, unit, UNKNOWN, cannot=why, failure_mode="")


def no_latencies(why: str) -> tuple[PanelTemplate, ...]:
    return tuple(
        cannot(f"p{percent}", Lane.LATENCY, f"p{percent} latency", "ms", why)
        for percent in (50, 95, 99)
    )


def no_errors(why: str) -> PanelTemplate:
    return cannot("errors", Lane.ERRORS, "Errors", "%", why)


def no_queue(why: str) -> PanelTemplate:
    return cannot("queue", Lane.QUEUE, "Queue", "requests", why)


def no_gpu(server: str) -> PanelTemplate:
    why = f"{server} does not know its GPUs. NVIDIA's DCGM exporter does: add it as a source."
    return cannot("gpu", Lane.GPU, "GPU busy", "%", why)
