"""Baton scrapes a serving API's /metrics itself, and computes from its own samples.

Each scrape is kept as running totals, and what a panel shows is the difference of two of them: the
first scrape of a series shows nothing yet.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.health.rules import LampState, Observation
from app.health.slo_rules import bound_of
from app.health.sources.base import Answer, CountWatch, Fetch, History, Totals, Watch
from app.health.sources.scraping import exposition, histograms, running_totals
from app.health.sources.scraping.running_totals import (
    ONE_MORE,
    START,
    Found,
    Gap,
    Increase,
    Index,
    Look,
)
from app.health.sources.scraping.specs import (
    AGGREGATES,
    WEEK,
    Named,
    Plan,
    Selector,
    is_in,
    plan_of,
    why_not,
    why_not_counts,
)


def _observe(look: Look, spec: Mapping[str, Any], window: int) -> Observation:
    plan = plan_of(spec)
    at = min(look.found[selector].at(look.now) for selector in plan.all)
    try:
        seen = READERS[spec["stat"]](look, spec, plan, window)
        rows = seen.rows
        if plan.rows is not None:
            rows = look.increase(plan.rows, window).sum
    except Gap as gap:
        return Observation(at, gap=gap.state, remark=gap.remark)
    value = None if seen.value is None else seen.value * spec.get("scale", 1)
    return Observation(
        at, value, rows, remark=seen.trouble, is_partial=seen.is_partial, series=seen.series
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    value: float | None
    rows: float | None
    trouble: str = ""
    is_partial: bool = False
    series: str = ""


def _rate(look: Look, spec: Mapping[str, Any], plan: Plan, window: int) -> _Seen:
    grown = _grown(look, plan.main, lambda selector: look.increase_if_any(selector, window))
    trouble = _trouble(grown)
    value = sum(one.sum / one.span for one in grown)
    return _Seen(value, sum(one.sum for one in grown), trouble, bool(trouble), "rate")


def _grown(
    look: Look, selectors: Sequence[Selector], increase: Callable[[Selector], Increase | None]
) -> list[Increase]:
    """The increase of each. The first one has to be there; the others may not have begun yet."""
    look.series(selectors[0])
    return [one for selector in selectors if (one := increase(selector)) is not None]


def _trouble(grown: Sequence[Increase]) -> str:
    return next((one.trouble for one in grown if one.trouble), "")


def _ratio(look: Look, spec: Mapping[str, Any], plan: Plan, window: int) -> _Seen:
    bad, total, trouble = _bad_and_total(
        look, spec, plan, lambda selector: look.increase_if_any(selector, window)
    )
    value = bad / total if total > 0 else None
    return _Seen(value, total, trouble, bool(trouble), "ratio")


def _bad_and_total(
    look: Look,
    spec: Mapping[str, Any],
    plan: Plan,
    increase: Callable[[Selector], Increase | None],
) -> tuple[float, float, str]:
    grown = _grown(look, plan.main, increase)
    total = sum(one.sum for one in grown)
    if plan.bad:
        # Servers show a counter of errors only once there was one.
        bad = [one for selector in plan.bad if (one := increase(selector)) is not None]
        return sum(one.sum for one in bad), total, _trouble([*grown, *bad])
    series = [each for one in grown for each in one.series]
    named: Named = spec.get("bad") or spec["not_bad"]
    for label in named:
        if not any(label in labels for labels, _ in series):
            raise Gap(f"no series of {plan.main[0].names[0]} has the label {label}")
    return sum(amount for labels, amount in series if _is_bad(labels, spec)), total, _trouble(grown)


def _is_bad(labels: Mapping[str, str], spec: Mapping[str, Any]) -> bool:
    if spec.get("bad"):
        return is_in(labels, spec["bad"])
    return not is_in(labels, spec["not_bad"])


def _mean(look: Look, spec: Mapping[str, Any], plan: Plan, window: int) -> _Seen:
    total, count = look.increase(plan.main[0], window), look.increase(plan.bad[0], window)
    value = total.sum / count.sum if count.sum > 0 else None
    trouble = total.trouble or count.trouble
    return _Seen(value, count.sum, trouble, bool(trouble), "mean")


def _quantile(look: Look, spec: Mapping[str, Any], plan: Plan, window: int) -> _Seen:
    grown = look.increase(plan.main[0], window)
    buckets = grown.buckets()
    rows = histograms.total_of(buckets)
    series = f"p{spec['q'] * 100:g}"
    if not rows:
        return _Seen(None, rows, grown.trouble, bool(grown.trouble), series)
    found = histograms.quantile(buckets, spec["q"])
    if found is None:
        raise Gap("the histogram has no buckets with an end")
    trouble = grown.trouble
    if found.is_beyond:
        trouble = trouble or "at least this much: it lies above the last bucket"
    return _Seen(found.value, rows, trouble, bool(trouble), series)


def _share_over(look: Look, spec: Mapping[str, Any], plan: Plan, window: int) -> _Seen:
    grown = look.increase(plan.main[0], window)
    buckets = grown.buckets()
    rows, share = histograms.total_of(buckets), histograms.share_over(buckets, spec["over"])
    series = f"over {spec['over']:g}"
    if share is None:
        return _Seen(None, rows, grown.trouble, bool(grown.trouble), series)
    trouble = grown.trouble
    if not share.is_exact:
        # The least that it can be: a breach is certain then, and being inside is not.
        trouble = (
            f"between {share.least:.2%} and {share.most:.2%}: no bucket ends at {spec['over']:g}"
        )
    return _Seen(share.least, rows, trouble, bool(trouble), series)


def _gauge_now(look: Look, spec: Mapping[str, Any], plan: Plan, window: int) -> _Seen:
    found = look.series(plan.main[0])
    values = [value for _, value in found.series.values()]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        raise Gap("the value is not a number")
    trouble = found.trouble
    if len(finite) < len(values):
        trouble = trouble or f"{len(values) - len(finite)} of {len(values)} are not numbers"
    aggregate = AGGREGATES[spec.get("agg", "sum")]
    return _Seen(aggregate(finite), None, trouble, bool(trouble), "gauge")


def _distribution_gap(look: Look, spec: Mapping[str, Any], plan: Plan, window: int) -> _Seen:
    ago = int(spec.get("offset", WEEK))
    here = look.increase(plan.main[0], window)
    there = look.increase(plan.main[0], window, ago=ago)
    now, then = here.buckets(), there.buckets()
    rows = min(histograms.total_of(now) or 0.0, histograms.total_of(then) or 0.0)
    series = f"largest gap · {timedelta(seconds=ago)} before"
    trouble = here.trouble or there.trouble
    if not rows:
        return _Seen(None, 0.0, "no requests then or now", bool(trouble), series)
    gap = histograms.largest_gap(now, then)
    if gap is None:
        raise Gap("the buckets are others than then")
    return _Seen(gap, rows, trouble, bool(trouble), series)


READERS: Mapping[str, Callable[[Look, Mapping[str, Any], Plan, int], _Seen]] = {
    "rate": _rate,
    "ratio": _ratio,
    "mean": _mean,
    "quantile": _quantile,
    "share_over": _share_over,
    "gauge": _gauge_now,
    "distribution_gap": _distribution_gap,
}


# --- Service levels


def _count(look: Look, spec: Mapping[str, Any], earlier: Totals | None) -> tuple[float, float]:
    """Bad and total events since the scrape before. Raises `Gap`."""
    plan = plan_of(spec)
    for selector in plan.main[:1]:
        look.series(selector)
    if earlier is None:
        return 0.0, 0.0
    try:
        if "over" not in spec:
            bad, total, trouble = _bad_and_total(
                look, spec, plan, lambda selector: look.increase_since(selector, earlier)
            )
            return _unless(trouble, bad, total)
        grown = look.increase_since(plan.main[0], earlier)
        buckets = grown.buckets()
    except Gap as gap:
        if gap.remark == ONE_MORE:
            return 0.0, 0.0
        raise
    if not bound_of([end for end in buckets if math.isfinite(end)], spec["over"]):
        raise Gap(f"no bucket of {plan.main[0].names[0]} ends at {spec['over']:g}")
    share = histograms.share_over(buckets, spec["over"])
    total = histograms.total_of(buckets) or 0.0
    return _unless(grown.trouble, share.least * total if share else 0.0, total)


def _unless(trouble: str, bad: float, total: float) -> tuple[float, float]:
    if trouble:
        raise Gap(trouble)
    return bad, total


# --- The source


class OpenMetrics:
    name = "openmetrics"
    title = "OpenMetrics"
    what = "Baton reads a serving API's /metrics itself; nothing else is needed."
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
        page = fetch(accept=exposition.ACCEPT)
        refused = {watch.panel_id: _refusal(watch) for watch in watches}
        readable = [watch for watch in watches if refused[watch.panel_id] is None]
        countable = [count for count in counts if why_not_counts(count.spec) is None]
        specs = [*(watch.spec for watch in readable), *(count.spec for count in countable)]
        selectors = list(dict.fromkeys(each for spec in specs for each in plan_of(spec).all))
        index = Index(selectors)
        seen = exposition.read(page, {START, *index.by_name})
        found = running_totals.find(seen, index, selectors)
        earlier = running_totals.before(history, now)
        totals = running_totals.running(found, earlier, index, now)
        is_several = running_totals.note_process(totals, seen, earlier, now)
        look = Look(now, found, totals, history, is_several)
        observations = {
            panel: Observation(now, gap=LampState.NOT_MEASURABLE, remark=why)
            for panel, why in refused.items()
            if why is not None
        }
        for watch in readable:
            observations[watch.panel_id] = _observe(look, watch.spec, watch.window)
        counted, uncounted = _counted(look, countable, earlier)
        uncounted |= {
            count.slo_id: why for count in counts if (why := why_not_counts(count.spec)) is not None
        }
        return Answer(
            observations=observations,
            counts=counted,
            totals=Totals(now, totals),
            bounds=_bounds(found),
            remarks=[
                f"A service level of {count.model}: {uncounted[count.slo_id]}"
                for count in counts
                if count.slo_id in uncounted
            ],
            uncounted=uncounted,
        )


def _refusal(watch: Watch) -> str | None:
    if why := why_not(watch.spec):
        return why
    return watch.spec.get("not_measurable")


def _counted(
    look: Look, counts: Sequence[CountWatch], earlier: Totals | None
) -> tuple[dict[int, dict[int, tuple[float, float]]], dict[int, str]]:
    """The running totals of each service level, under the window 0, or why there are none."""
    old: Mapping[str, float] = earlier.samples if earlier else {}
    counted: dict[int, dict[int, tuple[float, float]]] = {}
    uncounted: dict[int, str] = {}
    for one in counts:
        keys = f"#slo {one.slo_id} bad", f"#slo {one.slo_id} total"
        bad, total = (old.get(key, 0.0) for key in keys)
        try:
            more_bad, more = _count(look, one.spec, earlier)
        except Gap as gap:
            uncounted[one.slo_id] = f"Its events can't be counted: {gap.remark}."
        else:
            bad, total = bad + more_bad, total + more
            counted[one.slo_id] = {0: (bad, total)}
        look.totals.update(zip(keys, (bad, total), strict=True))
    return counted, uncounted


def _bounds(found: Mapping[Selector, Found]) -> dict[str, Sequence[float]]:
    """Where the buckets of each histogram end, for the bucket lint."""
    bounds: dict[str, set[float]] = {}
    for one in found.values():
        if not one.name.endswith("_bucket"):
            continue
        ends = bounds.setdefault(one.name.removesuffix("_bucket"), set())
        for labels, _ in one.series.values():
            try:
                ends.add(float(labels.get("le", "nan")))
            except ValueError:
                continue
    return {
        metric: sorted(end for end in ends if math.isfinite(end))
        for metric, ends in bounds.items()
        if ends
    }
