"""What is worth a warning when a panel or an objective is saved: sentences for the form."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from app.health.recording import figure
from app.health.rules import Rule
from app.health.slo_rules import Burn, Objective, dead_alerts
from app.health.sources.scraping.histograms import around, is_at

BUCKET = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)_bucket\b")
LE = re.compile(r'\ble\s*=\s*"([^"]+)"')


def histogram_of(spec: Mapping[str, Any]) -> str:
    """The histogram that a panel reads, of whichever kind of source; empty if none."""
    if query := spec.get("query"):
        found = BUCKET.search(query) if isinstance(query, str) else None
        return found[1] if found else ""
    if spec.get("stat") in ("quantile", "share_over") or "over" in spec:
        return str(spec.get("metric", "")).removesuffix("_bucket")
    return ""


def lint_panel(
    spec: Mapping[str, Any], rule: Rule, bounds: Mapping[str, Sequence[float]], *, unit: str = ""
) -> list[str]:
    """Say where a limit and the buckets of its histogram do not fit.

    `bounds` holds the ends of the buckets by histogram, in its own unit: `Answer.bounds` of a
    scrape, or `prometheus_api.bounds_of`.
    """
    histogram = histogram_of(spec)
    ends = bounds.get(histogram, ())
    if not histogram or not ends:
        return []
    scale = spec.get("scale") or 1
    if "over" in spec or spec.get("stat") == "share_over":
        return _lint_share(histogram, ends, float(spec["over"]))
    query = str(spec.get("query", ""))
    if query and "histogram_quantile" not in query:
        return [
            sentence
            for written in LE.findall(query)
            if _number(written) is not None
            for sentence in _lint_share(histogram, ends, float(written))
        ]
    limit = rule.above if rule.above is not None else rule.below
    return [] if limit is None else _lint_quantile(histogram, ends, limit / scale, scale, unit)


def _lint_quantile(
    histogram: str, ends: Sequence[float], limit: float, scale: float, unit: str
) -> list[str]:
    if any(is_at(end, limit) for end in ends):
        return []
    below, above = around(ends, limit)
    said = figure(limit * scale, unit)
    if above is None:
        last = figure(max(ends) * scale, unit)
        return [
            (
                f"The last bucket of {histogram} ends at {last}: that a quantile is over {said} can't "
                "be seen."
            )
        ]
    between = f"{figure((below or 0) * scale, unit)} and {figure(above * scale, unit)}"
    return [
        (
            f"No bucket of {histogram} ends at {said}. Between {between} a quantile is a guess, "
            "and so is whether it is inside the limit."
        )
    ]


def _lint_share(histogram: str, ends: Sequence[float], over: float) -> list[str]:
    if any(is_at(end, over) for end in ends):
        return []
    below, above = around(ends, over)
    nearest = " and ".join(f"{end:g}" for end in (below, above) if end is not None)
    return [
        (
            f"No bucket of {histogram} ends at {over:g}; the nearest end at {nearest}. The share of "
            f"requests over {over:g} can't be counted then, only bounded."
        )
    ]


def _number(written: str) -> float | None:
    try:
        return float(written)
    except ValueError:
        return None


def lint_objective(objective: Objective) -> list[str]:
    """Say which burn alerts can never fire at this objective."""
    words = {Burn.PAGE: "page", Burn.TICKET: "ticket"}
    return [
        f"The {words[one.burn]} for {one.spent * 100:.0f} % of the budget in {_hours(one.long)} can never "
        f"fire: at {objective.target * 100:.6g} % even total failure burns {1 / objective.budget:.3g} "
        f"times as fast as even spending, and it takes {one.factor(objective.window):.4g}."
        for one in dead_alerts(objective)
    ]


def _hours(length: timedelta) -> str:
    hours = int(length.total_seconds() // 3600)
    return f"{hours} h" if hours < 24 else f"{hours // 24} d"
