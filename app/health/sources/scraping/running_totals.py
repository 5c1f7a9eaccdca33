"""Counters as Baton scraped them: totals that never fall, and how much they grew in a window.

A counter that fell was reset, and goes on where it stood. A series that is new under a selector
that was watched before began at 0. What is watched for the first time has no difference yet.
Beside the totals a few notes are kept, with names that no series can have:

    #since NAME LABELS     since when these series are watched without a break
    #raw SERIES            the last raw value, where it is not the total
    #start, #several       when the process began, and when another one last answered instead
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product

from app.health.rules import LampState
from app.health.sources.base import History, Totals, UnreachableError
from app.health.sources.scraping import histograms
from app.health.sources.scraping.exposition import Exposition, key_of, series_of
from app.health.sources.scraping.specs import Selector

MAX_SERIES = 20_000  # that the panels of one source may need
MAX_COUNT = 1e100
MOMENT = timedelta(milliseconds=1)
LOOKING_BACK = [timedelta(minutes=minutes) for minutes in range(0, 60, 10)]
SEVERAL_FOR = 900.0  # seconds that it is remembered that several processes answer
START, RAW = "process_start_time_seconds", "#raw "
ONE_MORE = "one more look is needed"


class Gap(Exception):  # noqa: N818  not an error: the panel says so
    """There is no number, and this is why."""

    def __init__(self, remark: str, state: LampState = LampState.NO_DATA) -> None:
        super().__init__(remark)
        self.remark = remark
        self.state = state


# --- What a page has of the series that are wanted


class Index:
    """Which selectors want a series: two look-ups, however many panels there are."""

    def __init__(self, selectors: Sequence[Selector]) -> None:
        self.by_name: dict[str, dict[tuple[str, ...], dict[tuple[str, ...], list[Selector]]]] = {}
        for selector in selectors:
            names = tuple(label for label, _ in selector.labels)
            for name in selector.names:
                wanted = self.by_name.setdefault(name, {}).setdefault(names, {})
                for values in product(*(dict.fromkeys(said) for _, said in selector.labels)):
                    wanted.setdefault(values, []).append(selector)

    def of(self, name: str, labels: Mapping[str, str]) -> Iterator[Selector]:
        for names, wanted in self.by_name.get(name, {}).items():
            yield from wanted.get(tuple([labels.get(label, "") for label in names]), ())


@dataclass(slots=True)
class Found:
    """The series of a selector in this scrape, and those that were there before."""

    name: str
    series: dict[str, tuple[Mapping[str, str], float]] = field(default_factory=dict)
    gone: dict[str, Mapping[str, str]] = field(default_factory=dict)
    trouble: str = ""  # what is missing or odd: a clause
    moments: list[float | None] = field(default_factory=list)

    def at(self, now: datetime) -> datetime:
        """The time of the newest sample: now, unless the page says otherwise."""
        told = [moment for moment in self.moments if moment is not None]
        if not told or len(told) < len(self.moments):
            return now
        try:
            return min(now, datetime.fromtimestamp(max(told), UTC))
        except (ValueError, OverflowError, OSError):
            return now


def find(page: Exposition, index: Index, selectors: Sequence[Selector]) -> dict[Selector, Found]:
    found: dict[Selector, dict[str, Found]] = {}
    kept = 0
    for sample in page.samples:
        key = ""
        is_count = math.isfinite(sample.value) and 0 <= sample.value < MAX_COUNT
        for selector in index.of(sample.name, sample.labels):
            one = found.setdefault(selector, {}).setdefault(sample.name, Found(sample.name))
            key = key or key_of(sample.name, sample.labels)
            if key in one.series:
                if one.series[key][1] != sample.value:
                    one.trouble = "a series is there twice, with two values"
                continue
            one.moments.append(sample.at)
            if selector.is_counter and not is_count:
                one.trouble = "a counter is not a number"
                continue
            one.series[key] = sample.labels, sample.value
            kept += 1
    if kept > MAX_SERIES:
        raise UnreachableError(
            f"The panels of this source need more than {MAX_SERIES:,} of its series. Choose "
            "narrower labels."
        )
    return {selector: _chosen(selector, found.get(selector, {}), page) for selector in selectors}


def _chosen(selector: Selector, by_name: Mapping[str, Found], page: Exposition) -> Found:
    """The series under the first of the names that there is."""
    name = next((name for name in selector.names if name in by_name), "")
    one = by_name[name] if name else Found(selector.names[0])
    if broken := sum(page.broken[name] for name in selector.names):
        lines = "a line" if broken == 1 else f"{broken} lines"
        one.trouble = f"{lines} of {one.name} can't be read"
    return one


# --- Totals


def before(history: History, now: datetime) -> Totals | None:
    """The scrape before this one, up to an hour ago."""
    for back in LOOKING_BACK:
        if (totals := history(now - MOMENT - back)) is not None:
            return totals
    return None


def running(
    found: Mapping[Selector, Found], earlier: Totals | None, index: Index, now: datetime
) -> dict[str, float]:
    """The totals after this scrape: those of the one before, and what came since."""
    old: Mapping[str, float] = earlier.samples if earlier else {}
    totals: dict[str, float] = {}
    watched = {}
    for selector, one in found.items():
        if not selector.is_counter:
            continue
        watched[selector] = one
        # Absent ones are watched too: when they come, they come from 0.
        for name in [one.name] if one.series else selector.names:
            mark = selector.mark(name)
            totals[mark] = old.get(mark, now.timestamp())
        for key, (_, raw) in one.series.items():
            if key not in totals:
                _continue(totals, old, key, raw)
    for key, total in old.items():
        # A series that vanished may come back. Until then it stands still.
        if key.startswith("#") or key in totals:
            continue
        name, labels = series_of(key)
        for selector in index.of(name, labels):
            there = watched.get(selector)
            if there is None or (there.series and there.name != name):
                continue
            there.name = name
            there.gone[key] = labels
            totals[key] = total
            if RAW + key in old:
                totals[RAW + key] = old[RAW + key]
    return totals


def _continue(totals: dict[str, float], old: Mapping[str, float], key: str, raw: float) -> None:
    total = old.get(key)
    if total is None:
        totals[key] = raw
        return
    last = old.get(RAW + key, total)
    if last == total and raw >= last:
        totals[key] = raw
        return
    # One that fell began anew, at 0.
    totals[key] = total + (raw - last if raw >= last else raw)
    totals[RAW + key] = raw


def note_process(
    totals: dict[str, float], page: Exposition, earlier: Totals | None, now: datetime
) -> bool:
    """Whether several processes take turns to answer: then no counter can be followed.

    One that began earlier than the one that answered before is not that one after a restart.
    """
    old: Mapping[str, float] = earlier.samples if earlier else {}
    start = next((one.value for one in page.samples if one.name == START), math.nan)
    several = old.get("#several")
    if math.isfinite(start):
        totals["#start"] = start
        # Some clients reckon it from their uptime, a little different each time.
        if start < old.get("#start", start) - 1:
            several = now.timestamp()
    if several is None or now.timestamp() - several > SEVERAL_FOR:
        return False
    totals["#several"] = several
    return True


# --- How much they grew


@dataclass(frozen=True, slots=True)
class Increase:
    """How much each series grew, over how many seconds."""

    series: Sequence[tuple[Mapping[str, str], float]]
    span: float
    trouble: str = ""

    @property
    def sum(self) -> float:
        return sum(amount for _, amount in self.series)

    def buckets(self) -> dict[float, float]:
        """By end, over all series. Raises `Gap` for what is no histogram."""
        ends: dict[float, float] = {}
        layouts: dict[str, set[float]] = {}
        for labels, amount in self.series:
            try:
                end = float(labels["le"])
            except (KeyError, ValueError):
                end = math.nan
            if math.isnan(end):
                raise Gap("a bucket does not say where it ends")
            ends[end] = ends.get(end, 0.0) + amount
            rest = {name: value for name, value in labels.items() if name != "le"}
            layout = layouts.setdefault(key_of("", rest), set())
            if end in layout:  # as 1 and as 1.0: its events would count twice
                raise Gap("a bucket is there twice, its end written in two ways")
            layout.add(end)
        if any(layout != ends.keys() for layout in layouts.values()):
            raise Gap("its histograms do not have the same buckets")
        if math.inf not in ends:
            raise Gap("the bucket without an end is missing")
        if not histograms.is_cumulative(ends):
            raise Gap("its buckets do not hold the events of the ones before them")
        return ends


@dataclass(slots=True)
class Look:
    """One scrape, and what came before it."""

    now: datetime
    found: Mapping[Selector, Found]
    totals: dict[str, float]
    history: History
    is_several: bool = False
    _past: dict[datetime, Totals | None] = field(default_factory=dict)

    def past(self, moment: datetime) -> Totals | None:
        if moment not in self._past:
            self._past[moment] = self.history(moment)
        return self._past[moment]

    def series(self, selector: Selector) -> Found:
        one = self.found[selector]
        if not one.series:
            raise Gap(one.trouble or f"no such series: {one.name}")
        return one

    def increase(self, selector: Selector, window: int, *, ago: int = 0) -> Increase:
        """What the series grew by in a window that ended `ago` seconds before now."""
        self.series(selector)
        mark = self._mark(selector)
        end = Totals(self.now, self.totals)
        if ago:
            then = self.past(self.now - timedelta(seconds=ago))
            if self.now.timestamp() - self.totals[mark] < ago + window:
                raise Gap(f"it takes {_days(ago)} of samples", LampState.NOT_MEASURABLE)
            if then is None or mark not in then.samples:
                raise Gap("nothing was kept of the time to compare with")
            end = then
        start, trouble = self._start(mark, end, window)
        return self._grown(selector, start, end, trouble)

    def increase_if_any(self, selector: Selector, window: int) -> Increase | None:
        """The same; none if there is no such series, and was none in the window."""
        one = self.found[selector]
        if not one.series and not one.gone:
            if one.trouble:
                raise Gap(one.trouble)
            return None
        start, trouble = self._start(self._mark(selector), Totals(self.now, self.totals), window)
        return self._grown(selector, start, Totals(self.now, self.totals), trouble)

    def increase_since(self, selector: Selector, start: Totals) -> Increase:
        """What the series grew by since a scrape."""
        mark = self._mark(selector)
        if start.samples.get(mark) != self.totals[mark]:
            raise Gap(ONE_MORE)
        return self._grown(selector, start, Totals(self.now, self.totals), "")

    def _mark(self, selector: Selector) -> str:
        if self.is_several:
            raise Gap(
                "several processes take turns to answer here, each with counters of its own",
                LampState.NOT_MEASURABLE,
            )
        return selector.mark(self.found[selector].name)

    def _grown(self, selector: Selector, start: Totals, end: Totals, trouble: str) -> Increase:
        one = self.found[selector]
        series = [
            (labels, max(0.0, end.samples[key] - start.samples.get(key, 0.0)))
            for key, labels in self._series_of(selector, end)
        ]
        span = (end.at - start.at).total_seconds()
        return Increase(series, span, one.trouble or trouble)

    def _series_of(
        self, selector: Selector, totals: Totals
    ) -> Iterator[tuple[str, Mapping[str, str]]]:
        """The series in these totals, also those that vanished within the window."""
        one = self.found[selector]
        if totals.samples is self.totals:
            yield from ((key, labels) for key, (labels, _) in one.series.items())
            yield from one.gone.items()
            return
        for key in totals.samples:
            if key in one.series:
                yield key, one.series[key][0]
            elif key == one.name or key.startswith(f"{one.name}{{"):
                _, labels = series_of(key)
                if selector.wants(labels):
                    yield key, labels

    def _start(self, mark: str, end: Totals, window: int) -> tuple[Totals, str]:
        """The totals at the beginning of a window, and what they lack."""
        since = end.samples[mark]
        for part in (1.0, 0.75, 0.5, 0.25, 0.0):
            totals = self.past(end.at - max(MOMENT, timedelta(seconds=window * part)))
            if totals is None or totals.at >= end.at or totals.samples.get(mark) != since:
                continue
            span = (end.at - totals.at).total_seconds()
            if span > 2 * window + 60:
                if part > 0:
                    continue
                return totals, f"over {span:.0f} s and not {window}: Baton had not looked between"
            if span < 0.9 * window:
                return totals, f"only the last {span:.0f} s of {window} were seen"
            return totals, ""
        raise Gap(ONE_MORE)


def _days(seconds: int) -> str:
    if seconds < 86_400:
        return f"{seconds} s"
    days = f"{seconds / 86_400:g}"
    return f"{days} day" if days == "1" else f"{days} days"
