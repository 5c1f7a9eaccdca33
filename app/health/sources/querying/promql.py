"""Templates of PromQL queries, and what can be seen to be wrong with them."""

import re
from collections.abc import Iterator
from typing import Any

VARIABLE = re.compile(r"\$(\w+)")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
WORD = re.compile(r'"(?:[^"\\]|\\.)*+"|\'(?:[^\'\\]|\\.)*+\'|`[^`]*+`|[a-zA-Z_:][\w:]*+|[(){}\[\]]')
AVERAGES = {"avg", "sum", "avg_over_time", "sum_over_time", "stddev"}
GROUPINGS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
PAIRS = {"(": ")", "{": "}", "[": "]"}
VARIABLES = {"w", "by", "m"}
LABELS = r"\{(?:\"(?:[^\"\\]|\\.)*+\"|'(?:[^'\\]|\\.)*+'|`[^`]*+`|[^{}\"'`])*+\}"
SELECTOR = re.compile(rf"\s*[a-zA-Z_:][\w:]*+\s*(?:{LABELS})?\s*")
AGGREGATED = re.compile(
    rf"\s*(?:sum|avg|min|max)\s*(?P<by>by\s*\([^()]*\))?\s*\((?P<selector>{SELECTOR.pattern})\)\s*"
)
MAX_QUERY = 8_000
UNITS = (("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def why_not(query: Any) -> str | None:
    """Say why a query can't be asked."""
    if not isinstance(query, str) or not query.strip():
        return "Give a query."
    if len(query) > MAX_QUERY:
        return f"A query has at most {MAX_QUERY:,} characters."
    unknown = set(VARIABLE.findall(query)) - VARIABLES
    if unknown:
        return f"${min(unknown)} stands for nothing here: $w is the window, $by the label, $m the model."
    if {"by", "m"} <= set(VARIABLE.findall(query)):
        return "Use $by, for one query for all models, or $m, for one query for each; not both."
    if not _is_balanced(query):
        return "A bracket or a quote of the query is not closed."
    if any(AVERAGES & set(around) for around in _around_quantiles(query)):
        return (
            "Quantiles can't be averaged or added up. Add up the buckets within "
            "histogram_quantile, or take the worst with max."
        )
    return None


def filled(query: str, *, window: int, by: str = "", model: str = "") -> str:
    """The query to send."""
    said = {"w": f"{window}s", "by": by, "m": model.replace("\\", "\\\\").replace('"', '\\"')}
    return VARIABLE.sub(lambda found: said.get(found[1], found[0]), query)


def is_shared(query: str) -> bool:
    """Whether one query answers for all models."""
    return "by" in VARIABLE.findall(query)


def when_sampled(query: str) -> str | None:
    """The query for the time of the newest sample behind a query that reads samples as they are.

    None for rates and for all else that computes over a window.
    """
    if SELECTOR.fullmatch(query):
        return f"timestamp({query.strip()})"
    if found := AGGREGATED.fullmatch(query):
        by = f" {found['by']}" if found["by"] else ""
        return f"max{by} (timestamp({found['selector'].strip()}))"
    return None


def duration(seconds: int) -> str:
    """As Prometheus writes it in names of recorded series: 5m, 1h, 30d, 4w."""
    said = ""
    for unit, size in UNITS:
        # Weeks only where nothing is left: 30 days are 30d.
        if unit == "w" and seconds % size:
            continue
        said += f"{seconds // size}{unit}" if seconds >= size else ""
        seconds %= size
    return said or "0s"


def _is_balanced(query: str) -> bool:
    opened = []
    for word in _words(query):
        if word in PAIRS:
            opened.append(PAIRS[word])
        elif word in PAIRS.values() and (not opened or opened.pop() != word):
            return False
    return not opened and not re.search(r"[\"'`]", WORD.sub("", query))


def _words(query: str) -> Iterator[str]:
    return (found[0] for found in WORD.finditer(query))


def _around_quantiles(query: str) -> Iterator[list[str]]:
    """For each quantile in a query, the functions and aggregations that it is inside of."""
    opened: list[str] = []
    name = before = ""
    for word in _words(query):
        if word == "(":
            opened.append(name)
            if name in GROUPINGS:
                name = before  # sum by (le) (…): the next bracket is sum's
            continue
        if word == ")":
            closed = opened.pop() if opened else ""
            name = name if closed in GROUPINGS else ""
            continue
        if word in ("histogram_quantile", "quantile"):
            yield list(opened)
        if word in GROUPINGS:
            before = name
        if LABEL.match(word) and not (opened and opened[-1] in GROUPINGS):
            name = word
