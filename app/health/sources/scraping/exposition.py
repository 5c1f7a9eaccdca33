"""Reads the metrics that a process exposes: OpenMetrics and the older text format.

prometheus-client's parsers read a page of 6,000 lines in 180 and 310 ms, and a host is asked twice
a minute. Here only the series that somebody asks for are read at all, each by one expression; a
line that is out of the ordinary still goes to prometheus-client.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from app.health.sources.base import Page, UnreachableError

OPENMETRICS = "application/openmetrics-text"
ACCEPT = f"{OPENMETRICS};version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
MAX_LINES = 400_000
MAX_ODD = 2_000  # lines that may be read the slow way

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
TEXT = r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
LABEL = re.compile(rf"([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+{TEXT}")
UNNAMED = TEXT.replace("(", "(?:", 1)
LABELS = rf"(?:[ \t,]*+[a-zA-Z_][a-zA-Z0-9_]*+[ \t]*+=[ \t]*+{UNNAMED}[ \t]*+(?=[,}}]))*+,?+[ \t]*+"
# Possessive all along, so that no line takes longer than its length.
LINE = re.compile(
    r"([a-zA-Z_:][a-zA-Z0-9_:]*+)[ \t]*+"
    rf"(?:\{{({LABELS})\}})?+[ \t]*+"
    r"([0-9.eE+-]++|[+-]?[Ii]nf|[Nn]a[Nn])"
    r"(?:[ \t]++([0-9.eE+-]++))?+"
    r"[ \t\r]*+(?:#.*+)?+"
)
ESCAPED = re.compile(r"\\(.)")
LOOKS_LIKE_HTML = re.compile(r"\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    labels: Mapping[str, str]
    value: float
    at: float | None = None  # seconds since 1970, if the page says so


@dataclass(frozen=True, slots=True)
class Exposition:
    """What a page says about the series that were asked for."""

    samples: list[Sample]
    broken: Counter[str] = field(default_factory=Counter)  # lines that can't be read, by name


def read(page: Page, names: Collection[str]) -> Exposition:
    """The samples of these names. Raises `UnreachableError` for what is no page of metrics."""
    text = _text(page)
    is_openmetrics = page.media_type == OPENMETRICS
    if is_openmetrics and not text.rstrip("\n").endswith("# EOF"):
        # Half of the counters would look as if the other half had vanished.
        raise UnreachableError("It answered with only a part of its metrics: the end is missing.")
    if text.count("\n") > MAX_LINES:
        raise UnreachableError(f"It answered with more than {MAX_LINES:,} lines of metrics.")
    exposition = Exposition([])
    odd = unlike = 0
    has_metrics = not text.strip()  # a process that has nothing to tell yet is not silent
    for line in text.split("\n"):
        found = NAME.match(line)
        if found is None:
            stripped = line.strip()
            if not stripped or stripped.startswith("#"):
                has_metrics = has_metrics or stripped.startswith(("# TYPE", "# HELP", "# EOF"))
                continue
            odd += 1
            # A name in quotes, or space before it.
            samples = _slowly(stripped, is_openmetrics) if odd <= MAX_ODD else []
            has_metrics = has_metrics or bool(samples)
            exposition.samples.extend(one for one in samples if one.name in names)
            continue
        name = found[0]
        if name not in names:
            if not has_metrics:
                has_metrics = _sample(line, is_openmetrics) is not None
                unlike += not has_metrics
                if unlike > MAX_ODD:
                    break
            continue
        sample = _sample(line, is_openmetrics)
        if sample is None:
            odd += 1
            slow = _slowly(line, is_openmetrics) if odd <= MAX_ODD else []
            sample = slow[0] if slow else None
        if sample is None:
            exposition.broken[name] += 1
            continue
        has_metrics = True
        exposition.samples.append(sample)
    if not has_metrics:
        raise UnreachableError("It answered with something that is not a page of metrics.")
    return exposition


def _text(page: Page) -> str:
    if page.status in (401, 403):
        raise UnreachableError(f"It refuses to answer Baton (status {page.status}).")
    if 300 <= page.status < 400:
        raise UnreachableError(
            f"It answered with a redirect (status {page.status}), which Baton does not follow."
        )
    if page.status != 200:
        raise UnreachableError(f"It answered with status {page.status}.")
    if page.media_type == "application/vnd.google.protobuf":
        raise UnreachableError("It answered in protocol buffers, which Baton does not read.")
    text = page.body.decode("utf-8-sig", "replace")
    if page.media_type in ("text/html", "application/xhtml+xml") or LOOKS_LIKE_HTML.match(text):
        raise UnreachableError("It answered with a web page and not with metrics.")
    return text


def _sample(line: str, is_openmetrics: bool) -> Sample | None:
    """The sample of an ordinary line; none if it is not one."""
    found = LINE.fullmatch(line)
    if found is None:
        return None
    name, written, value, at = found.groups()
    labels = labels_of(written) if written else {}
    if labels is None or "__name__" in labels:
        return None
    try:
        moment = None if at is None else float(at) / (1 if is_openmetrics else 1000)
        return Sample(name, labels, float(value), moment)
    except ValueError:
        return None


def labels_of(written: str) -> dict[str, str] | None:
    """The labels between the braces; none if one is there twice."""
    found = LABEL.findall(written)
    labels: dict[str, str] = dict(found)
    if len(labels) < len(found):
        return None
    if "\\" in written:
        return {name: ESCAPED.sub(_unescaped, value) for name, value in labels.items()}
    return labels


def _unescaped(found: re.Match[str]) -> str:
    return {"n": "\n", "\\": "\\", '"': '"'}.get(found[1], found[0])


def _slowly(line: str, is_openmetrics: bool) -> list[Sample]:
    unit = 1000 if is_openmetrics else 1  # that parser takes a time for milliseconds
    try:
        return [
            Sample(
                one.name,
                dict(one.labels),
                float(one.value),
                None if one.timestamp is None else float(one.timestamp) * unit,
            )
            for family in text_string_to_metric_families(line)
            for one in family.samples
        ]
    except Exception:  # it raises whatever its code runs into: IndexError, AttributeError, …
        return []


def key_of(name: str, labels: Mapping[str, str]) -> str:
    """A series in one line: its name and sorted labels, as in up{job="a"}."""
    if not labels:
        return name
    values = "".join(labels.values())
    if "\\" in values or '"' in values or "\n" in values:
        labels = {label: _escaped(value) for label, value in labels.items()}
    return name + "{" + ",".join([f'{one}="{labels[one]}"' for one in sorted(labels)]) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def series_of(key: str) -> tuple[str, dict[str, str]]:
    """Name and labels of a series, from what `key_of` wrote."""
    name, _, written = key.partition("{")
    return name, labels_of(written.removesuffix("}")) or {}
