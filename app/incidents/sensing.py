"""Steps that tick themselves: what a runbook says under `until`, held against the panels.

    p99 below its limit for 15 min
    input drift inside its limit for 30 min
    errors below 0.1 % for 10 min
    p99 and errors inside their limits

Before the comparison stands what is meant: the slug of a panel, a lane, words of a title, or the
name of a metric. Whatever else is written there is for people. An answer is given only where
nothing is in doubt: a window that nobody saw, or a number in another unit, is a person's to judge.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any

from flask import Flask

from app.core.clock import now
from app.core.db import AnyRow
from app.health import evidence
from app.health.recording import figure
from app.health.rules import LampState, Lane
from app.health.showing import GRACE, is_doubtful, shown
from app.runbooks.runs.sensor import Sensed
from app.runbooks.runs.service import DEFAULT_WAIT
from app.web.times import duration

LONGEST = timedelta(hours=6)  # of a window that is looked through; what takes longer is for people
LONGEST_TEXT = 200  # characters that are read
UNTIL = re.compile(
    r"""(?P<what>.+?)\s+
    (?:(?:is|are|stays?|back)\s+)*
    (?:(?P<inside>ok|(?:inside|within|below|under|above|over|in)\s+(?:its|their|the)\s+limits?)
      |(?P<how>below|under|above|over|at\s+most|at\s+least|<=|>=|[<>=≤≥])\s*
       (?P<number>[-−]?[\d,]*\.?\d+)\s*(?P<unit>[^\s\d]\S*)??)
    (?:\s+for\s+(?P<span>\d+)\s*(?P<of>s|min|h|d))?""",
    re.IGNORECASE | re.VERBOSE,
)
SPANS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
SIGNS = {
    "below": "<", "under": "<", "above": ">", "over": ">", "at most": "<=", "at least": ">=",
    "≤": "<=", "≥": ">=",
}  # fmt: skip
WORDS = {
    "<": "under", ">": "over", "<=": "at most", ">=": "at least", "=": "exactly",
}  # fmt: skip
LANES = {
    "error ratio": Lane.ERRORS,
    "error rate": Lane.ERRORS,
    "quality": Lane.OUTPUT_QUALITY,
    "output drift": Lane.OUTPUT_QUALITY,
    "traffic": Lane.THROUGHPUT,
    "fallback share": Lane.FALLBACK,
} | {lane.value.replace("_", " "): lane for lane in Lane if lane is not Lane.OTHER}
TO_SECONDS = {"ms": 0.001, "s": 1.0}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a step waits for, as panels can tell it."""

    subjects: tuple[str, ...]
    sign: str = ""  # empty: inside the panel's own limit
    number: float = 0.0
    unit: str = ""
    span: timedelta = timedelta(0)  # that it has to hold for


def register(app: Flask) -> None:
    app.extensions["sensor"] = sense


@lru_cache(1024)
def wanted(until: str) -> Wanted | None:
    """Read what stands under `until`; none where it is written for people only."""
    said_so = " ".join(until[:LONGEST_TEXT].split()).rstrip(".")
    found = UNTIL.fullmatch(said_so)
    if found is None:
        return None
    said = found.groupdict()
    sign = " ".join((said["how"] or "").lower().split())
    return Wanted(
        tuple(re.split(r"\s+and\s+|\s*,\s*", said["what"].lower())),
        SIGNS.get(sign, sign),
        float((said["number"] or "0").replace(",", "").replace("−", "-")),
        said["unit"] or "",
        timedelta(seconds=int(said["span"] or 0) * SPANS[(said["of"] or "s").lower()]),
    )


def sense(model_name: str | None, step: Mapping[str, Any]) -> Sensed | None:
    """What the panels of the model say of a step; none where there is nothing to ask."""
    goal = wanted(step.get("until") or "")
    if goal is None or model_name is None:
        return None
    at: datetime = step.get("at") or now()
    panels = evidence.panels_of_named(model_name)
    if not panels:
        return None
    chosen: dict[int, AnyRow] = {}
    for subject in goal.subjects:
        found = about(subject, panels)
        if not found:
            return Sensed(
                None,
                "not seen",
                in_words(goal, ()),
                f"no panel of {model_name} tells {subject}",
                at,
            )
        chosen |= {row.id: row for row in found}
    return _answer(list(chosen.values()), goal, step, at)


def about(subject: str, panels: Sequence[AnyRow]) -> list[AnyRow]:
    """The panels that are meant. What can't be measured is left out if something else can be."""
    slug = subject.replace(" ", "-").replace("_", "-")
    lane = LANES.get(subject.replace("_", " ").removesuffix(" drift lane"))
    metric = re.sub(r"^\w+\((.*)\)$", r"\1", subject)
    found = (
        [row for row in panels if row.slug == slug]
        or [row for row in panels if row.lane is lane]
        or [row for row in panels if _is_titled(row, subject)]
        or [row for row in panels if _reads(row.spec, metric)]
    )
    return [row for row in found if row.state is not LampState.NOT_MEASURABLE] or found


def _is_titled(row: AnyRow, subject: str) -> bool:
    """Whether all words of the subject are words of the panel's name."""
    words = re.findall(r"[\w%]+", f"{row.title} {row.slug}".lower().replace("-", " "))
    return bool(subject.split()) and set(subject.split()) <= set(words)


def _reads(spec: Mapping[str, Any], metric: str) -> bool:
    said = spec.get("metric", "")
    names = [said] if isinstance(said, str) else said
    query = str(spec.get("query", ""))
    return metric in [str(name).lower() for name in names] or (
        re.search(rf"\b{re.escape(metric)}\b", query.lower()) is not None
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one panel says."""

    holds: bool | None
    reading: str
    row: AnyRow


def _answer(
    rows: Sequence[AnyRow], goal: Wanted, step: Mapping[str, Any], at: datetime
) -> Sensed | None:
    begin = at - goal.span
    readings: Mapping[int, Sequence[AnyRow]] = {}
    if timedelta(0) < goal.span <= LONGEST:
        slack = max(timedelta(seconds=row.stale_after) for row in rows) + GRACE
        readings = evidence.readings_of([row.id for row in rows], begin - slack, at)
    since = _counted_from(goal, step)
    answers = [_of_panel(row, goal, readings.get(row.id, ()), since, at) for row in rows]
    # One that speaks against it decides; then one that nobody can see.
    worst = min(answers, key=lambda one: {False: 0, None: 1, True: 2}[one.holds])
    row = worst.row
    source = ", ".join(part for part in (row.title, row.source) if part)
    return Sensed(worst.holds, worst.reading, in_words(goal, rows), source, row.newest_at or at)


def _counted_from(goal: Wanted, step: Mapping[str, Any]) -> datetime | None:
    """Since when it counts: a timer that is long enough counts from its own begin."""
    since: datetime | None = step.get("since")
    return since if goal.span <= timedelta(minutes=step.get("minutes") or DEFAULT_WAIT) else None


def _of_panel(
    row: AnyRow, goal: Wanted, readings: Sequence[AnyRow], since: datetime | None, at: datetime
) -> _Answer:
    seen = shown(row, at=at)
    reading = seen.line if row.value is None or seen.state in UNSEEN else _figure(row)
    if row.state is None or is_doubtful(row, at=at) or seen.state in UNSEEN:
        return _Answer(None, reading, row)
    if goal.sign and _in_unit_of(row, goal) is None:
        doubt = f"{reading}, not to be compared with {goal.number:g} {goal.unit}".rstrip()
        return _Answer(None, doubt, row)
    holds = _holds(row, row.state, row.value, goal)
    if not holds:
        return _Answer(holds, reading, row)
    if not goal.span:
        if since is not None and (row.newest_at is None or row.newest_at <= since):
            return _Answer(None, f"{reading}, from before the timer began", row)
        return _Answer(True, reading, row)
    if goal.span > LONGEST:
        return _Answer(None, reading, row)
    return _over_the_span(row, goal, readings, since, at, reading)


def _over_the_span(
    row: AnyRow,
    goal: Wanted,
    readings: Sequence[AnyRow],
    since: datetime | None,
    at: datetime,
    reading: str,
) -> _Answer:
    """It holds now. Whether it did for as long as it has to."""
    begin = at - goal.span
    counted = max(begin, since) if since else begin
    inside = [one for one in readings if one.at > counted]
    said = [_holds(row, one.state, one.value, goal) for one in inside]
    if False in said:
        last = max(one.at for one, holds in zip(inside, said, strict=True) if holds is False)
        return _Answer(False, f"{reading} for {duration(at - last)}", row)
    if counted > begin:
        return _Answer(False, f"{reading} for {duration(at - counted)}", row)
    before = [one for one in readings if one.at <= begin][-1:] if since is None else []
    said += [_holds(row, one.state, one.value, goal) for one in before]
    moments = [*([one.at for one in before] or [begin]), *(one.at for one in inside), at]
    slack = timedelta(seconds=row.stale_after) + GRACE
    is_seen = all(after - earlier <= slack for earlier, after in pairwise(moments))
    if not said or not all(said) or not is_seen:
        return _Answer(None, f"{reading}, not seen all the time", row)
    return _Answer(True, reading, row)


UNSEEN = (
    LampState.NO_DATA,
    LampState.UNREACHABLE,
    LampState.NO_TRAFFIC,
    LampState.NOT_MEASURABLE,
)


def _holds(row: AnyRow, state: LampState, value: float | None, goal: Wanted) -> bool | None:
    """What one reading says: what can be seen to be wrong is wrong, however much is missing."""
    if state in UNSEEN:
        return None
    if not goal.sign:
        if state is LampState.BREACH or (value is not None and _is_outside(row, value)):
            return False
        return True if state is LampState.OK else None
    limit = _in_unit_of(row, goal)
    if value is None or limit is None:
        return None
    if not _compares(value, goal.sign, limit):
        return False
    return None if state is LampState.PARTIAL else True


def _is_outside(row: AnyRow, value: float) -> bool:
    # Where the tool's own verdict counts, the limit is only shown.
    if row.spec.get("verdict") == "tool":
        return False
    above: float | None = row.above
    below: float | None = row.below
    return (above is not None and value > above) or (below is not None and value < below)


def _compares(value: float, sign: str, limit: float) -> bool:
    return {
        "<": value < limit,
        ">": value > limit,
        "<=": value <= limit,
        ">=": value >= limit,
        "=": value == limit,
    }[sign]


def _in_unit_of(row: AnyRow, goal: Wanted) -> float | None:
    """The number in the panel's unit; none where nobody can say what it stands for."""
    if goal.unit == row.unit:
        return goal.number
    if goal.unit in TO_SECONDS and row.unit in TO_SECONDS:
        return goal.number * TO_SECONDS[goal.unit] / TO_SECONDS[row.unit]
    return None


def _figure(row: AnyRow) -> str:
    if row.lane is Lane.FRESHNESS:
        return duration(timedelta(seconds=max(row.value, 0)))
    return figure(row.value, row.unit)


def in_words(goal: Wanted, rows: Sequence[AnyRow]) -> str:
    """What it takes, as in: under 250 ms for 15 min."""
    if goal.sign:
        said = f"{WORDS[goal.sign]} {figure(goal.number, goal.unit)}"
    elif len(rows) == 1 and rows[0].above is not None and rows[0].lane is not Lane.FRESHNESS:
        said = f"at most {figure(rows[0].above, rows[0].unit)}"
    elif len(rows) == 1 and rows[0].below is not None:
        said = f"at least {figure(rows[0].below, rows[0].unit)}"
    else:
        said = "inside the limit" if len(rows) < 2 else "all inside their limits"
    return f"{said} for {duration(goal.span)}" if goal.span else said
