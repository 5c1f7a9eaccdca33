"""What every source of readings has in common.

A source knows one API or one format. It gets a `Fetch` to ask with and a `History` to look back
with, and reads no database and no clock of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol

from app.health.rules import Lane, Observation
from app.integrations.apis import Page as Page
from app.integrations.apis import SilentHostError as SilentHostError
from app.integrations.apis import UnreachableError as UnreachableError


class UnreadableError(Exception):
    """A report that was sent can't be read. `args[0]` is a sentence for its sender."""


class Fetch(Protocol):
    """Asks the source's own address. Raises `UnreachableError`; never follows a redirect."""

    def __call__(
        self,
        path: str = "",
        *,
        form: Mapping[str, str] | None = None,  # sent with POST
        accept: str = "application/json",
    ) -> Page: ...


@dataclass(frozen=True, slots=True)
class Totals:
    """The running totals of one scrape: series -> total, without resets of counters."""

    at: datetime
    samples: Mapping[str, float]


# The newest totals at or before a moment; none if there are none near enough.
History = Callable[[datetime], Totals | None]


@dataclass(frozen=True, slots=True)
class Watch:
    """A panel, as its source sees it."""

    panel_id: int
    model: str  # its slug
    lane: Lane
    spec: Mapping[str, Any]
    window: int  # seconds


@dataclass(frozen=True, slots=True)
class CountWatch:
    """A service level, as its source sees it: bad and total events of some windows."""

    slo_id: int
    model: str
    spec: Mapping[str, Any]
    windows: Sequence[int]  # seconds


@dataclass(frozen=True, slots=True)
class Part:
    """One column or feature of a drift report."""

    name: str
    method: str = ""
    value: float | None = None
    threshold: float | None = None
    is_outside: bool | None = None  # none: no verdict that can be trusted


@dataclass(frozen=True, slots=True)
class Report:
    """What a drift or quality tool found in one window, in our own words.

    `value` is what is drawn and judged; `said_outside` the tool's own verdict, none where it gave
    none or where the direction of its method is not known: then nobody guesses.
    """

    model: str  # a slug; empty: whoever sent it says
    kind: Lane  # one of the drift lanes
    window_end: datetime
    format: str
    model_version: str = ""
    window_start: datetime | None = None
    reference_id: str = ""
    reference_at: datetime | None = None
    rows: float | None = None
    method: str = ""
    value: float | None = None
    threshold: float | None = None
    is_above: bool | None = None  # whether more than the threshold is outside; none: not known
    said_outside: bool | None = None
    parts: tuple[Part, ...] = ()
    remark: str = ""
    sender: str = ""
    is_dated: bool = True  # else nothing says when its window ended, and that is when it was read

    @property
    def series(self) -> str:
        """Method and reference: where it changes, a line may not be joined."""
        return f"{self.method} · {self.reference_id}"[:200]


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """What a contract check says about one data input. What it does not say stays as it was."""

    dataset: str  # its name, as in events.clicks_v3
    checked_at: datetime
    format: str
    # What was looked at: schema, freshness or access. Empty: it promises and has looked at nothing.
    about: Lane | None = None
    schema_ok: bool | None = None
    schema_rows: float | None = None
    loaded_at: datetime | None = None
    is_unknown: bool = False  # was expected and is missing: unknown, not fresh
    fresh_within: int | None = None  # seconds, if the check says what was promised
    access_ok: bool | None = None
    access_role: str = ""
    access_approver: str = ""
    access_reviewed_on: date | None = None
    contract: str = ""
    remark: str = ""  # holds no value of the data


@dataclass(frozen=True, slots=True)
class Answer:
    """What one look at a source brought."""

    observations: Mapping[int, Observation] = field(default_factory=dict)  # by panel
    counts: Mapping[int, Mapping[int, tuple[float, float]]] = field(
        default_factory=dict
    )  # by SLO, by window in seconds: bad and total events
    uncounted: Mapping[int, str] = field(
        default_factory=dict
    )  # by SLO: why some or all of its windows are missing, a sentence
    reports: Sequence[Report] = ()
    datasets: Sequence[DatasetReport] = ()
    unread: Mapping[str, str] = field(
        default_factory=dict
    )  # by data input: why its check can't be read, a sentence
    totals: Totals | None = None  # to be kept, for the rates of later looks
    bounds: Mapping[str, Sequence[float]] = field(default_factory=dict)  # histogram -> bucket ends
    remarks: Sequence[str] = ()  # what was odd, a sentence each


class HealthSource(Protocol):
    """One kind of source.

    `read` raises `UnreachableError` when the source as a whole did not answer; then every panel
    of it is unreachable. A panel that it leaves out of its answer has no data.
    """

    name: str
    title: str  # as in: Prometheus
    what: str  # one sentence for the form
    pulls: bool  # whether Baton asks; else reports are sent
    counts: bool  # whether it counts events, for service levels

    def why_not(self, spec: Mapping[str, Any]) -> str | None:
        """Say why a panel can't be read by this spec."""
        ...

    def why_not_counts(self, spec: Mapping[str, Any]) -> str | None:
        """Say why the events of a service level can't be counted by this spec."""
        ...

    def read(
        self,
        watches: Sequence[Watch],
        counts: Sequence[CountWatch],
        fetch: Fetch,
        history: History,
        *,
        options: Mapping[str, Any],
        now: datetime,
    ) -> Answer: ...
