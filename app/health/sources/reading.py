"""What all readers of reports share: how a document is bounded, and how it is taken apart.

A report comes from outside: nothing in it has to be there, to be of its type or to be small. A
number that is not one is none, a time that can't be is refused, and no value of anybody's data
is kept.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic_core import from_json

from app.core import plain_yaml
from app.health.rules import Lane
from app.health.sources.base import UnreadableError

MAX_BYTES = 8 * 1024 * 1024
MAX_YAML_BYTES = 1024 * 1024
MAX_DEPTH = 40
MAX_NODES = 400_000
MAX_REPORTS = 500  # of one document
MAX_PARTS = 200  # of one report
MAX_NAME = 120
MAX_REMARK = 300
# A clock may be ahead a little. A window that ends later than that would stay the newest one.
AHEAD = timedelta(minutes=5)

# What no database takes as text: NUL, and half of a surrogate pair.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

KINDS = {
    "input": Lane.INPUT_DRIFT,
    "input_drift": Lane.INPUT_DRIFT,
    "output_quality": Lane.OUTPUT_QUALITY,
    "latency": Lane.LATENCY_DRIFT,
    "latency_drift": Lane.LATENCY_DRIFT,
}


@dataclass(frozen=True, slots=True)
class Given:
    """What is known of a document beside what it says: by its envelope, the request or the source.

    Tools name neither the model nor the window, and many tell the time without a zone.
    """

    received_at: datetime
    format: str = ""  # empty: found out
    model: str = ""
    version: str = ""
    kind: Lane | None = None
    window_start: datetime | None = None
    window_end: datetime | None = None
    reference_id: str = ""
    reference_at: datetime | None = None
    rows: float | None = None
    sender: str = ""
    zone: tzinfo = UTC  # of times that name none
    dataset: str = ""
    checked_at: datetime | None = None
    expected: tuple[str, ...] = ()  # data inputs that a check has to speak of

    def with_said(self, said: Mapping[str, Any]) -> "Given":
        """The same with what an envelope, a query or the options of a source say of it."""
        zone = zone_of(said.get("zone")) or self.zone
        kind = self.kind
        if name := text(said.get("kind")):
            kind = KINDS.get(name, kind)
            if name not in KINDS:
                raise UnreadableError(f"A kind is one of {', '.join(KINDS)}; “{name}” is none.")
        rows = said.get("rows")
        return replace(
            self,
            zone=zone,
            kind=kind,
            format=text(said.get("format")) or self.format,
            model=text(said.get("model")) or self.model,
            version=text(said.get("version")) or self.version,
            window_start=moment(said.get("window_start"), zone, "window_start")
            or self.window_start,
            window_end=moment(said.get("window_end"), zone, "window_end") or self.window_end,
            reference_id=text(said.get("reference_id")) or self.reference_id,
            reference_at=moment(said.get("reference_at"), zone, "reference_at")
            or self.reference_at,
            rows=self.rows if rows is None else rows_of(rows),
            sender=text(said.get("source")) or self.sender,
            dataset=text(said.get("dataset"), 160) or self.dataset,
            checked_at=moment(said.get("checked_at"), zone, "checked_at") or self.checked_at,
            expected=tuple(text(name, 160) for name in items(said.get("expected")))
            or self.expected,
        )


def decode(body: bytes, media_type: str = "") -> Any:
    """A body as JSON, YAML or, if it is CSV, as text."""
    if len(body) > MAX_BYTES:
        raise UnreadableError(f"A report has at most {MAX_BYTES >> 20} MB.")
    if "csv" in media_type:
        return body.decode("utf-8-sig", "replace")
    if "yaml" in media_type:
        return _yaml(body)
    try:
        return from_json(body, allow_inf_nan=True)
    except ValueError as error:
        why = str(error)
    try:
        return json.loads(body)  # slower, and takes a byte order mark or half an emoji
    except (ValueError, RecursionError):
        raise UnreadableError(f"This is not JSON: {why}.") from None


def _yaml(body: bytes) -> Any:
    if len(body) > MAX_YAML_BYTES:
        raise UnreadableError(f"A report in YAML has at most {MAX_YAML_BYTES >> 20} MB. Send JSON.")
    try:
        return plain_yaml.document(body)
    except plain_yaml.NotPlainError as error:
        raise UnreadableError(str(error)) from None


def bound(document: Any) -> None:
    """Refuse a document that is nested too deep or holds too much."""
    seen = 0
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        seen += len(level)
        if seen > MAX_NODES:
            raise UnreadableError(f"A report holds at most {MAX_NODES:,} values.")
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise UnreadableError(f"A report is nested at most {MAX_DEPTH} levels deep.")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def fields(said: Any) -> Mapping[str, Any]:
    """An object; empty if it is none."""
    return said if isinstance(said, dict) else {}


def items(said: Any) -> list[Any]:
    """A list; empty if it is none."""
    return said if isinstance(said, list) else []


def objects(said: Any) -> Iterator[Mapping[str, Any]]:
    """The objects in a list."""
    return (one for one in items(said) if isinstance(one, dict))


def text(said: Any, limit: int = MAX_NAME) -> str:
    """A text or a number on one line, as every database takes it; empty if it is neither."""
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        return ""
    try:
        line = " ".join(UNSTORABLE.sub("\ufffd", str(said)[: limit * 8]).split())
    except ValueError:  # an integer of more digits than Python prints
        return ""
    return line if len(line) <= limit else line[: limit - 1] + "…"


def number(said: Any) -> float | None:
    """A finite number. True is none, and neither is a text."""
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    try:
        found = float(said)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def number_in(said: Any) -> float | None:
    """A finite number that may be written as a text."""
    if not isinstance(said, str):
        return number(said)
    try:
        return number(float(said)) if len(said) <= 40 else None
    except ValueError:
        return None


def count(said: Any) -> float | None:
    """How many: not below zero."""
    found = number(said)
    return None if found is None or found < 0 else found


def rows_of(said: Any) -> float | None:
    """How many rows a sender of ours says there were. None if it says nothing."""
    found = count(said)
    if found is None and said is not None:
        raise UnreadableError(
            "The rows of a report are a number, 0 or more, or left out if nobody knows."
        )
    return found


def flag(said: Any) -> bool | None:
    """True or false, also as 1 and 0. All else says nothing."""
    if isinstance(said, bool):
        return said
    return bool(said) if isinstance(said, int | float) and said in (0, 1) else None


def moment(said: Any, zone: tzinfo = UTC, called: str = "time") -> datetime | None:
    """A time in UTC. None if there is none; one that can't be read is refused."""
    if said is None or said == "":
        return None
    found: datetime | None = None
    try:
        if isinstance(said, datetime):
            found = said
        elif isinstance(said, str) and len(said) <= 40:
            found = datetime.fromisoformat(said.strip())
        if found is not None:
            aware = found if found.tzinfo else found.replace(tzinfo=zone)
            found = aware.astimezone(UTC)
    except (ValueError, OverflowError):
        found = None
    if found is None or not 1970 < found.year < 2200:
        raise UnreadableError(f"{called}, “{text(said, 40)}”, is not a time that can be read.")
    return found


def moment_or_none(said: Any, zone: tzinfo = UTC) -> datetime | None:
    """A time in UTC; none if it can't be read."""
    try:
        return moment(said, zone)
    except UnreadableError:
        return None


def day(said: Any) -> date | None:
    found = moment_or_none(said)
    if found is None and isinstance(said, date):
        return said
    return found.date() if found else None


def zone_of(said: Any) -> tzinfo | None:
    """The zone of that name, as in Europe/Lisbon."""
    if not (name := text(said)):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UnreadableError(
            f"There is no time zone “{name}”. A name is like Europe/Lisbon or UTC."
        ) from None


def not_ahead(found: datetime, given: Given, called: str) -> datetime:
    """A time that is not later than it came; else it would stay the newest one for ever."""
    if found > given.received_at + AHEAD:
        raise UnreadableError(
            f"{called}, {found:%Y-%m-%d %H:%M} UTC, is still to come. Give times with their zone, "
            "or say which zone is meant."
        )
    return found


def remark_of(*clauses: str) -> str:
    """Clauses for people as one, cut to what is kept."""
    return text("; ".join(clause for clause in clauses if clause), MAX_REMARK)


def named(names: Iterable[str], most: int = 5) -> str:
    """Some of the names, and how many more there are."""
    known = list(names)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(text(name, 60) for name in known[:most]) + more
