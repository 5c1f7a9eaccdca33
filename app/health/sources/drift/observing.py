"""What the reports about one window say to a panel.

Several tools or several versions may report about one window: the worst of them counts. A report
without a verdict is not inside, and a limit holds only for the method that it was set for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.health.rules import LampState, Lane, Observation
from app.health.sources.base import Report, Watch
from app.health.sources.reading import named, remark_of

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


@dataclass(frozen=True, slots=True)
class Unread:
    """A report that can't be read, and whose it is, as far as that is said."""

    why: str  # a sentence
    model: str = ""
    kind: Lane | None = None


def nothing(
    watch: Watch, reports: Sequence[Report], unread: Sequence[Unread], *, now: datetime
) -> Observation:
    """What a panel shows that no report of a look speaks to: why that is."""
    return Observation(
        now, gap=LampState.NO_DATA, remark=remark_of(_why_nothing(watch, reports, unread))
    )


def _why_nothing(watch: Watch, reports: Sequence[Report], unread: Sequence[Unread]) -> str:
    mine = [one for one in unread if one.model == watch.model and one.kind in (watch.lane, None)]
    of_model = [report for report in reports if report.model == watch.model]
    if mine:
        return f"its report can't be read: {mine[0].why.rstrip('.')}"
    if any(report.kind is watch.lane for report in of_model):
        which = {"by": watch.spec.get("method"), "of version": watch.spec.get("version")}
        return " ".join(["no report", *(f"{how} {said}" for how, said in which.items() if said)])
    if of_model:
        kinds = sorted({report.kind.value.replace("_", " ") for report in of_model})
        return f"no report of its {watch.lane.value.replace('_', ' ')}, only of {named(kinds)}"
    if nobodys := [one for one in unread if not one.model]:
        return f"no report about {watch.model}: {nobodys[0].why.rstrip('.')}"
    if reports:
        others = sorted({report.model for report in reports})
        return f"no report about {watch.model}, only about {named(others)}"
    return "no report at the moment"


def _of_one(report: Report, spec: Mapping[str, Any]) -> Observation:
    seen = Observation(
        report.window_end,
        value=report.value,
        rows=report.rows,
        remark=report.remark,
        series=report.series,
    )
    if spec.get("verdict") == "limit":
        limit_of = spec.get("limit_of", report.method)
        if limit_of == report.method:
            return seen
        return _unjudged(seen, f"its limit was set for {limit_of}, not for {report.method}")
    if report.value is None and report.said_outside is None:
        return seen
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
    meant = [one for one in seen if one.gap is None]
    known = [one for one in meant if one.value is not None]
    if not known:
        return (meant or seen)[0]
    highest = max(known, key=lambda one: (one.value or 0.0, one.series))
    if len({one.value for one in meant}) == 1:
        return highest
    return Observation(
        highest.at,
        value=highest.value,
        rows=highest.rows,
        remark=f"{len(meant)} reports of one window differ",
        is_partial=True,
        series=highest.series,
    )
