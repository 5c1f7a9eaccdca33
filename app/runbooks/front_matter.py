"""The YAML at the head of a runbook: read with patience, kept whole.

Nothing here fails. What can't be read is told in a remark, and the rest is used. Unknown keys are
kept, because other tools have their own.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import yaml

from app.runbooks.rules import (
    SLUG,
    duration,
    failure_mode_key,
    severity_number,
)

SCHEMA = "runbook/1"
MAX_BYTES = 64 * 1024
MAX_DEPTH = 20
# Ten times as quick, where PyYAML was built with it.
PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

FENCED = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
# Without it, the first two lines `---` of a text are rules across the page.
LOOKS_LIKE_KEYS = re.compile(r"(?:[ \t]*(?:#.*)?\n)*[\"']?[A-Za-z_][\w .-]*[\"']?[ \t]*:(?:\s|\Z)")


@dataclass(frozen=True, slots=True)
class Signal:
    """What attaches a runbook to an incident. `condition` is the whole of it, as written."""

    alertname: str | None
    metric: str | None
    condition: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Variable:
    """A blank in the commands, and where its value comes from."""

    name: str
    source: str | None = None  # `from` in the file, as in incident.model
    default: str | None = None
    pattern: str | None = None
    choices: tuple[str, ...] = ()
    required: bool = False
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What the front matter says, as far as we know its keys."""

    id: str | None = None
    title: str | None = None
    failure_mode: str | None = None
    severity: int | None = None
    models: tuple[str, ...] = ()  # globs; empty: every model
    tags: tuple[str, ...] = ()  # any of them; empty: whatever the tags
    signals: tuple[Signal, ...] = ()
    owner: str | None = None
    escalate_to: str | None = None
    escalate_after: timedelta | None = None
    est_minutes: int | None = None
    last_verified: date | None = None
    verified_by: str | None = None
    verified_how: str | None = None
    review_every: timedelta | None = None
    requires: tuple[str, ...] = ()
    variables: tuple[Variable, ...] = ()
    related: tuple[str, ...] = ()
    remarks: tuple[str, ...] = field(default=(), compare=False)


class UnreadableError(Exception):
    """The YAML can't be read. `args[0]` says why, in a clause."""


def split(text: str) -> tuple[dict[str, Any], str, int, tuple[str, ...]]:
    """The front matter, the text below it, the number of lines above that, and remarks."""
    fenced = FENCED.match(text)
    if fenced is None or not LOOKS_LIKE_KEYS.match(fenced[1]):
        return {}, text, 0, ()
    body, lines = text[fenced.end() :], fenced[0].count("\n")
    try:
        return load(fenced[1]), body, lines, ()
    except UnreadableError as error:
        return {}, body, lines, (f"The front matter can't be read: {error}. It was left out.",)


def load(text: str) -> dict[str, Any]:
    """The mapping in a YAML text, of strings, numbers, truth values, lists and mappings only.

    Built from the parser's events: tags construct nothing, dates stay text, and there are no
    aliases, of which a few lines can unfold into gigabytes.
    """
    if len(text) > MAX_BYTES:
        raise UnreadableError(f"it is longer than {MAX_BYTES // 1024} KB")
    try:
        events = iter(yaml.parse(text, Loader=PARSER))
        next(events), next(events)  # the start of the stream and of the document
        found = _node(next(events), events, 0)
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 2}" if error.problem_mark else ""
        raise UnreadableError(f"{error.problem or 'no YAML'}{line}") from None
    except (yaml.YAMLError, StopIteration) as error:
        raise UnreadableError(str(error).splitlines()[0] if str(error) else "no YAML") from None
    if not isinstance(found, dict):
        raise UnreadableError("it holds no keys")
    return found


def _node(event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise UnreadableError(f"it is nested deeper than {MAX_DEPTH} levels")
    match event:
        case yaml.ScalarEvent():
            return _scalar(event)
        case yaml.SequenceStartEvent():
            items: list[Any] = []
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                items.append(_node(item, events, depth + 1))
            return items
        case yaml.MappingStartEvent():
            pairs: dict[str, Any] = {}
            while not isinstance(key := next(events), yaml.MappingEndEvent):
                if not isinstance(key, yaml.ScalarEvent):
                    raise UnreadableError("a key is not a word")
                pairs[_clean(key.value)] = _node(next(events), events, depth + 1)
            return pairs
        case yaml.AliasEvent():
            raise UnreadableError("it refers to itself with * and &, which is not supported")
    raise UnreadableError("no YAML")


def _scalar(event: yaml.ScalarEvent) -> str | int | float | bool | None:
    said = _clean(event.value)
    if not event.implicit[0]:  # quoted, or tagged
        return said
    if said in {"", "~", "null", "Null", "NULL"}:
        return None
    if said in {"true", "True", "false", "False"}:
        return said in {"true", "True"}
    if re.fullmatch(r"[-+]?(?:0|[1-9]\d{0,14})", said):
        return int(said)
    if re.fullmatch(r"[-+]?\d{1,15}\.\d{1,15}", said):
        return float(said)
    return said


def _clean(text: str) -> str:
    """Text that every database takes: YAML can write NUL and half of a surrogate pair."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def facts(front_matter: Mapping[str, Any]) -> Facts:
    """The keys that we know, each read by itself."""
    read = _Reader(front_matter)
    schema = front_matter.get("schema")
    if schema not in (None, SCHEMA):
        read.remark(f"`schema: {_short(schema)}` is unknown; it was read as {SCHEMA}.")
    applies_to = read.mapping("applies_to")
    below = _Reader(applies_to, read.remarks)
    return Facts(
        id=read.slug("id"),
        title=read.text("title", 300),
        failure_mode=read.failure_mode("failure_mode"),
        severity=read.severity("severity"),
        models=below.words("models"),
        tags=below.words("tags"),
        signals=read.signals("signals"),
        owner=read.text("owner", 120),
        escalate_to=read.text("escalate_to", 120),
        escalate_after=read.duration("escalate_after"),
        est_minutes=read.number("est_minutes"),
        last_verified=read.day("last_verified"),
        verified_by=read.text("verified_by", 120),
        verified_how=read.text("verified_how", 40),
        review_every=read.duration("review_every"),
        requires=read.words("requires"),
        variables=read.variables("variables"),
        related=read.words("related"),
        remarks=tuple(read.remarks),
    )


@dataclass
class _Reader:
    """Reads one key at a time, and remembers what it could not use."""

    said: Mapping[str, Any]
    remarks: list[str] = field(default_factory=list)

    def remark(self, sentence: str) -> None:
        self.remarks.append(sentence)

    def _odd(self, key: str, wanted: str) -> None:
        self.remark(f"`{key}: {_short(self.said.get(key))}` is not {wanted}; it was left out.")

    def text(self, key: str, limit: int) -> str | None:
        said = self.said.get(key)
        if isinstance(said, dict | list):
            self._odd(key, "a text")
            return None
        words = " ".join(_written(said).split())
        return words[:limit] or None

    def words(self, key: str) -> tuple[str, ...]:
        """A list of words; a single one may stand without brackets."""
        said = self.said.get(key)
        listed = said if isinstance(said, list) else [said]
        if any(isinstance(word, dict | list) for word in listed):
            self._odd(key, "a list of words")
            return ()
        return tuple(word for word in (_written(word).strip() for word in listed) if word)

    def mapping(self, key: str) -> dict[str, Any]:
        said = self.said.get(key)
        if said is not None and not isinstance(said, dict):
            self._odd(key, "a mapping")
        return said if isinstance(said, dict) else {}

    def slug(self, key: str) -> str | None:
        said = self.text(key, 200)
        if said is not None and (not SLUG.fullmatch(said) or len(said) > 120):
            self._odd(key, "made of lower-case letters, digits and hyphens")
            return None
        return said

    def failure_mode(self, key: str) -> str | None:
        said = self.text(key, 200)
        return (failure_mode_key(said) or None) if said else None

    def severity(self, key: str) -> int | None:
        said = self.text(key, 40)
        found = severity_number(said) if said else None
        if said and found is None:
            self._odd(key, "one of sev1 to sev4")
        return found

    def duration(self, key: str) -> timedelta | None:
        said = self.text(key, 40)
        found = duration(said) if said else None
        if said and found is None:
            self._odd(key, "a duration such as 15m, 6h or 90d")
        return found

    def number(self, key: str) -> int | None:
        said = self.said.get(key)
        if isinstance(said, int | float) and not isinstance(said, bool) and 0 < said < 100_000:
            return round(said)
        if said is not None:
            self._odd(key, "a number of minutes")
        return None

    def day(self, key: str) -> date | None:
        said = self.text(key, 40)
        try:
            return date.fromisoformat(said[:10]) if said else None
        except ValueError:
            self._odd(key, "a date such as 2026-08-01")
            return None

    def signals(self, key: str) -> tuple[Signal, ...]:
        """Matchers: mappings with an alertname or a metric; a bare word is an alertname."""
        said = self.said.get(key)
        found: list[Signal] = []
        for each in said if isinstance(said, list) else [said]:
            if each is None:
                continue
            condition = each if isinstance(each, dict) else {"alertname": each}
            name, metric = condition.get("alertname"), condition.get("metric")
            if isinstance(name, dict | list) or isinstance(metric, dict | list):
                name = metric = None
            name, metric = _written(name).strip()[:200], _written(metric).strip()[:200]
            if name or metric:
                found.append(Signal(name.lower()[:200] or None, metric or None, condition))
            else:
                self.remark(f"The signal `{_short(each)}` names no alertname and no metric.")
        return tuple(found)

    def variables(self, key: str) -> tuple[Variable, ...]:
        said = self.said.get(key)
        found: dict[str, Variable] = {}
        for each in said if isinstance(said, list) else [said]:
            if each is None:
                continue
            below = _Reader(each if isinstance(each, dict) else {"name": each}, self.remarks)
            name = below.text("name", 80)
            if name is None or not re.fullmatch(r"[A-Za-z_][\w.-]*", name):
                self.remark(f"The variable `{_short(each)}` has no usable name.")
                continue
            found[name] = Variable(
                name,
                source=below.text("from", 120),
                default=below.text("default", 300),
                pattern=below.text("pattern", 300),
                choices=below.words("choices"),
                required=below.said.get("required") is True,
                secret=below.said.get("secret") is True,
            )
        return tuple(found.values())


def _written(value: Any) -> str:
    """A scalar as somebody would have written it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _short(value: Any) -> str:
    said = " ".join(str(value).split())
    return said if len(said) <= 60 else said[:59] + "…"
