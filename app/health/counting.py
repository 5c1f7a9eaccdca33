"""What a service level counts: bad events and all events, as its kind of source reads them.

A panel that watches a share of bad requests, or a quantile of their latency, says most of it
already. Where a query gives nothing, nothing may be counted: no series of bad events would mean
that all is well.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.health.rules import Lane
from app.health.slo_rules import MIN_EVENTS
from app.health.sources import SOURCES

SHARES = (Lane.LATENCY, Lane.ERRORS, Lane.FALLBACK, Lane.OUTPUT_QUALITY, Lane.OTHER)
RECORDERS = ("sloth", "pyrra")
KEPT = "openslo"  # in a spec: what came with an OpenSLO file and no source reads
KNOWN = {
    "metric", "labels", "bad", "not_bad", "bad_metric", "over", "total", "by", "value",
    "recorded", "service", "slo", KEPT,
}  # fmt: skip

# As the presets write them: a quantile of buckets, and failures over all requests.
QUANTILE = re.compile(
    r"histogram_quantile\(\s*[\d.]+\s*,\s*sum by \((?P<by>[^)]*)\)\s*"
    r"\(rate\((?P<name>[a-zA-Z_:][\w:]*)_bucket(?:\{(?P<labels>[^{}]*)\})?\[\$w\]\)\)\s*\)"
)
FAILURES = re.compile(
    r"\((?P<bad>.+) or 0 \* \((?P<all>.+)\)\) / \((?P=all)\) and \((?P=all)\) > [\d.]+"
)
RATE = re.compile(r"\brate\s*\(")


def kinds_that_count() -> list[str]:
    """The kinds of source that can count events."""
    return [name for name, source in SOURCES.items() if source.counts]


def why_not_counts(kind: str, spec: Mapping[str, Any]) -> str | None:
    """Say why a source of this kind can't count events by this spec."""
    source = SOURCES.get(kind)
    if source is None or not source.counts:
        title = source.title if source else kind
        return f"A source of the kind {title} does not count events."
    if odd := [name for name in spec if name not in KNOWN]:
        return f"{str(odd[0])[:40]} says nothing about what is counted."
    try:
        why = source.why_not_counts(spec)
    except (TypeError, AttributeError):
        return "This does not say what to count."
    return why


def of_panel(kind: str, panel: Any) -> dict[str, Any] | None:
    """What to count so that the panel's limit becomes an objective; none if that can't be said."""
    if panel.above is None or "not_measurable" in panel.spec:
        return None
    if kind == "openmetrics":
        found = _scraped(panel.spec, panel.above)
    elif kind == "prometheus":
        found = _asked(panel.spec, panel.above, panel.unit, panel.lane)
    else:
        return None
    return found if found and why_not_counts(kind, found) is None else None


def _scraped(spec: Mapping[str, Any], above: float) -> dict[str, Any] | None:
    named = {name: spec[name] for name in ("metric", "labels") if spec.get(name)}
    if spec.get("stat") == "ratio":
        which = ("bad", "not_bad", "bad_metric")
        return {**named, **{name: spec[name] for name in which if spec.get(name)}}
    if spec.get("stat") == "share_over":
        return {**named, "over": spec["over"]}
    if spec.get("stat") == "quantile":
        return {**named, "over": in_metric(above, spec)}
    return None


def in_metric(limit: float, spec: Mapping[str, Any]) -> float:
    """A limit of a panel, in the unit of its metric: 250 ms are 0.25."""
    return float(f"{limit / (spec.get('scale') or 1):.12g}")


def _asked(spec: Mapping[str, Any], above: float, unit: str, lane: Lane) -> dict[str, Any] | None:
    query = str(spec.get("query", "")).strip()
    named = {name: spec[name] for name in ("by", "value") if spec.get(name)}
    if found := QUANTILE.fullmatch(query):
        return {**within(found["name"], found["labels"] or "", found["by"], in_metric(above, spec)),
                **named}  # fmt: skip
    if found := FAILURES.fullmatch(query):
        return {"bad": counted(found["bad"]), "total": counted(found["all"]), **named}
    if not spec.get("rows") or lane not in SHARES or unit not in ("%", ""):
        return None
    scale = (spec.get("scale") or 1) / (100 if unit == "%" else 1)
    rows = f"({spec['rows']})"
    share = f"({query})" if scale == 1 else f"({query}) * {scale:g}"
    return {"bad": f"{share} * {rows}", "total": f"{rows} and ({query})", **named}


def within(histogram: str, labels: str, by: str, over: float) -> dict[str, Any]:
    """Requests that take longer than a bound, from the buckets of a histogram in a Prometheus."""
    shared = " by ($by)" if "$by" in by else ""
    # Whole numbers are written 1 by some and 1.0 by others.
    bound = f'le=~"{over:g}([.]0)?"' if over == int(over) else f'le="{over:g}"'
    bucket = ",".join(part for part in (labels.strip().rstrip(","), bound) if part)
    some = f"{{{labels}}}" if labels.strip() else ""
    every = f"sum{shared} (increase({histogram}_count{some}[$w]))"
    good = f"sum{shared} (increase({histogram}_bucket{{{bucket}}}[$w]))"
    # Without such a bucket there is no total either, and nothing is claimed.
    return {"bad": f"{every} - {good}", "total": f"{every} and {good}"}


def counted(query: str) -> str:
    """The same query with events in place of events a second: their ratio is the same."""
    return RATE.sub("increase(", query)


def tells_events(spec: Mapping[str, Any]) -> bool:
    """Whether it is known how many events there are, and not only which share of them is bad."""
    return "recorded" not in spec or bool(spec.get("total"))


def fewest_events(spec: Mapping[str, Any]) -> float:
    """The fewest events for an alert where nobody says; none where events are not told."""
    return MIN_EVENTS if tells_events(spec) else 0


@dataclass(frozen=True, slots=True)
class Said:
    """One line of what is counted: a term and a query, a name or a sentence."""

    term: str
    text: str
    is_code: bool = True


def in_words(spec: Mapping[str, Any]) -> list[Said]:
    """What a spec counts, for people."""
    if recorded := spec.get("recorded"):
        name = f"{spec['service']}, {spec['slo']}" if "service" in spec else str(spec.get("slo"))
        said = [Said("Ratio", f"as {recorded} records it of {name}", is_code=False)]
        return [*said, *([Said("All events", spec["total"])] if spec.get("total") else [])]
    if "metric" not in spec:
        of = str(spec.get("value") or "")
        named = [Said("Model", f'{spec["by"]}="{of}"')] if spec.get("by") and of else []
        lines = [Said("Bad events", str(spec.get("bad", ""))),
                 Said("All events", str(spec.get("total", "")))]  # fmt: skip
        return [*lines, *named] if spec else []
    every = " + ".join(_series(name, spec.get("labels")) for name in _names(spec["metric"]))
    if "over" in spec:
        bad = Said("Bad events", f"those over {spec['over']:g}, in the unit of the metric", False)
    elif spec.get("bad_metric"):
        names = _names(spec["bad_metric"])
        bad = Said("Bad events", " + ".join(_series(name, spec.get("labels")) for name in names))
    elif spec.get("bad"):
        bad = Said("Bad events", _series("", spec["bad"]))
    else:
        bad = Said("Bad events", f"all but {_series('', spec.get('not_bad'))}")
    return [bad, Said("All events", every)]


def _names(said: Any) -> list[str]:
    return [said] if isinstance(said, str) else [str(one) for one in said]


def _series(name: str, labels: Any) -> str:
    if not labels:
        return name
    parts = (f"{label}={json.dumps(said, ensure_ascii=False)}" for label, said in labels.items())
    return f"{name}{{{', '.join(parts)}}}"
