"""What the reports about one window say to a panel.

Several tools or several versions may report about one window: the worst of them counts. A report
without a verdict is not inside, and a limit holds only for the method that it was set for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.health.rules import LampState, Observation
from app.health.sources.base import Report

VERDICTS = ("tool", "limit")


def why_not(spec: Mapping[str, Any]) -> str | None:
    """Say why a panel can't be read by this spec."""
    if spec.get("verdict") not in VERDICTS:
        return "Say whose verdict counts: the tool’s own (tool) or the panel’s limit (limit)."
    for key in ("method", "version", "limit_of"):
        if not isinstance(spec.get(key, ""), str):
            return f"The {key} of a panel is a text."
    return None


def takes(spec: Mapping[str, Any], report: Report) -> bool:
    """Whether a panel is about such reports. One that names no method is about all."""
    return bool(spec.get("method", report.method) == report.method) and bool(
        spec.get("version", report.model_version) == report.model_version
    )


def observation(reports: Sequence[Report], spec: Mapping[str, Any]) -> Observation | None:
    """What the newest window says; none if there is no report for this panel."""
    taken = [report for report in reports if takes(spec, report)]
    if not taken:
        return None
    newest = max(report.window_end for report in taken)
    seen = [_of_one(report, spec) for report in taken if report.window_end == newest]
    if spec.get("verdict") == "limit":
        return _by_limit(seen)
    return min(seen, key=lambda one: (_badness(one), one.series))


def _of_one(report: Report, spec: Mapping[str, Any]) -> Observation:
    seen = Observation(
        report.window_end,
        value=report.value,
        rows=report.rows,
        remark=report.remark,
        series=report.series,
    )
    if report.value is None and report.said_outside is None:
        return seen
    if spec.get("verdict") == "limit":
        limit_of = spec.get("limit_of", report.method)
        if limit_of == report.method:
            return seen
        return _unjudged(seen, f"its limit was set for {limit_of}, not for {report.method}")
    if report.said_outside is None:
        return _unjudged(seen, report.remark or f"no verdict: how to read {report.method}?")
    return Observation(
        seen.at,
        value=seen.value,
        rows=seen.rows,
        remark=seen.remark,
        series=seen.series,
        said_outside=report.said_outside,
    )


def _unjudged(seen: Observation, remark: str) -> Observation:
    return Observation(
        seen.at,
        value=seen.value,
        rows=seen.rows,
        gap=LampState.NOT_MEASURABLE,
        remark=remark,
        series=seen.series,
    )


def _badness(seen: Observation) -> int:
    return 0 if seen.said_outside else 2 if seen.said_outside is False else 1


def _by_limit(seen: Sequence[Observation]) -> Observation:
    """Of several numbers of one window, the highest, and never as if it were all."""
    known = [one for one in seen if one.gap is None and one.value is not None]
    if not known:
        return seen[0]
    highest = max(known, key=lambda one: (one.value or 0.0, one.series))
    if len({one.value for one in known}) == 1:
        return highest
    return Observation(
        highest.at,
        value=highest.value,
        rows=highest.rows,
        remark=f"{len(known)} reports of one window differ",
        is_partial=True,
        series=highest.series,
    )
