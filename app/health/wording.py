"""A panel's rule and what it reads, in words."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from app.health.recording import figure
from app.health.rules import LampState, Lane, Rule
from app.web.times import duration

STATE_WORDS = {
    LampState.OK: "OK",
    LampState.BREACH: "Breach",
    LampState.PARTIAL: "Partial",
    LampState.NO_DATA: "No data",
    LampState.UNREACHABLE: "Unreachable",
    LampState.NO_TRAFFIC: "No traffic",
    LampState.NOT_MEASURABLE: "Not measurable",
}


def limits(rule: Any, unit: str, lane: Lane) -> str:
    """As in: above 250 ms."""
    said = [
        f"{word} {_limit(limit, unit, lane)}"
        for word, limit in (("above", rule.above), ("below", rule.below))
        if limit is not None
    ]
    return " or ".join(said)


def _limit(limit: float, unit: str, lane: Lane) -> str:
    if lane is Lane.FRESHNESS:
        return duration(timedelta(seconds=limit))
    return figure(limit, unit)


def rule_in_words(rule: Any, spec: Mapping[str, Any], unit: str, lane: Lane) -> list[str]:
    """When it is a breach and when that ends, a sentence each. `rule` has the columns of one."""
    if why := spec.get("not_measurable"):
        return [f"It can't be measured: {why}"]
    what = "outside by the verdict of the tool" if spec.get("verdict") == "tool" else ""
    if not what:
        what = limits(rule, unit, lane) or "outside by the verdict of the check"
    if rule.n == 1:
        said = [f"A breach is a window {what}."]
    elif rule.k == rule.n:
        said = [f"A breach is {rule.n} windows {what}, one after the other."]
    else:
        said = [f"A breach is {rule.k} of {rule.n} windows {what}."]
    if rule.min_rows:
        said.append(f"A window counts from {figure(rule.min_rows, '')} rows or requests on.")
    ends = f"at {_limit(rule.clear, unit, lane)}" if rule.clear is not None else "at the limit"
    count = "1 window" if rule.k == 1 else f"{rule.k} windows"
    if what.startswith("outside"):
        said.append(f"It ends with {count} inside.")
    else:
        said.append(f"It ends with {count} inside, {ends}.")
    return said


def brief_rule(rule: Rule, unit: str, lane: Lane) -> str:
    """For a cell of a table: 3 of 5 windows, from 50 rows on."""
    said = "1 window" if rule.n == 1 else f"{rule.k} of {rule.n} windows"
    return said + (f", from {figure(rule.min_rows, '')} rows on" if rule.min_rows else "")


def spec_in_words(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a panel reads, as terms and texts."""
    if "not_measurable" in spec:
        return []
    if "query" in spec:
        names = {"by": "Label", "value": "Its value", "scale": "Multiplied by"}
        return [(title, _plain(spec[name])) for name, title in names.items() if spec.get(name)]
    if "verdict" in spec:
        whose = "the tool’s own" if spec["verdict"] == "tool" else "this panel’s limit"
        more = {"method": "Method", "version": "Version", "limit_of": "Limit of"}
        return [
            ("Verdict", whose),
            *((title, _plain(spec[name])) for name, title in more.items() if spec.get(name)),
        ]
    if "stat" not in spec:
        return [(name, _plain(value)) for name, value in spec.items()]
    names = {
        "metric": "Metric", "labels": "Labels", "bad": "Bad are", "not_bad": "Good are",
        "bad_metric": "Bad ones", "per": "Divided by", "over": "Over", "agg": "Of several",
        "rows_metric": "Requests", "scale": "Multiplied by",
    }  # fmt: skip
    said = [("Computes", _computes(spec))]
    said += [(title, _plain(spec[name])) for name, title in names.items() if spec.get(name)]
    if offset := spec.get("offset"):
        said.append(("Against", f"{duration(offset)} before"))
    return said


def _computes(spec: Mapping[str, Any]) -> str:
    match spec["stat"]:
        case "quantile":
            return f"p{spec.get('q', 0) * 100:g} of the histogram"
        case "share_over":
            return "share of requests over a value"
        case "ratio":
            return "share of requests that are bad"
        case "rate":
            return "increase per second"
        case "mean":
            return "mean of the window"
        case "distribution_gap":
            return "largest gap between the distributions of two times"
    return "value now"


def _plain(said: Any) -> str:
    if isinstance(said, Mapping):
        return ", ".join(
            f"{name}={value}" if isinstance(value, str) else f"{name}={'|'.join(value)}"
            for name, value in said.items()
        )
    if isinstance(said, list | tuple):
        return ", ".join(map(str, said))
    if isinstance(said, float | int) and not isinstance(said, bool):
        return f"{said:,.12g}"
    return said if isinstance(said, str) else json.dumps(said)
