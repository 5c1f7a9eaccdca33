"""Service levels: error budget, burn rates, and when a burn is news.

The windows and the share of the budget that each may spend are those of the SRE workbook, chapter
5, table 5-8. Factors are exact for the length of the SLO's own window: 2 % of a budget in an hour
is 14.4 times even spending over 30 days, and 13.44 times over 28.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

HOUR = timedelta(hours=1)
MIN_EVENTS = 100.0  # in an alert's long window, where nobody says otherwise


class Burn(StrEnum):
    """What a burn is worth: waking somebody, or a ticket for the day."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class BurnAlert:
    """Fires when the error ratio of both windows is above factor x (1 - objective)."""

    burn: Burn
    spent: float  # share of the budget that is gone when it fires
    long: timedelta
    short: timedelta

    def factor(self, window: timedelta) -> float:
        """How many times faster than even spending. Equals spent x window / long."""
        return self.spent * (window / self.long)


BURN_ALERTS = (
    BurnAlert(Burn.PAGE, 0.02, HOUR, timedelta(minutes=5)),
    BurnAlert(Burn.PAGE, 0.05, 6 * HOUR, timedelta(minutes=30)),
    BurnAlert(Burn.TICKET, 0.10, 24 * HOUR, 2 * HOUR),
    BurnAlert(Burn.TICKET, 0.10, 72 * HOUR, 6 * HOUR),
)
# Every length of window over which an error ratio is needed, shortest first.
WINDOWS = tuple(sorted({length for one in BURN_ALERTS for length in (one.long, one.short)}))


@dataclass(frozen=True, slots=True)
class Objective:
    """As in: 99 % of requests within 28 days."""

    target: float  # as a ratio, over 0 and under 1
    window: timedelta

    @property
    def budget(self) -> float:
        """The ratio of bad events that may be."""
        return 1 - self.target


@dataclass(frozen=True, slots=True)
class Count:
    """Events of a window, of which only a share may have been seen: the newest of it."""

    bad: float
    total: float
    seen: float = 1.0

    @property
    def is_whole(self) -> bool:
        """Whether the whole window was seen."""
        return self.seen >= 1

    @property
    def expected(self) -> float | None:
        """Events of the whole window at the traffic that was seen; none if none was."""
        return self.total / self.seen if self.total > 0 and self.seen > 0 else None

    @property
    def ratio(self) -> float | None:
        """The least error ratio of the window: what was not seen counts as good.

        None without an event: 0 of 0 is neither good nor bad.
        """
        return None if self.expected is None else self.bad / self.expected


def burn_rate(count: Count, objective: Objective) -> float | None:
    """How many times faster than even spending the budget goes; none without an event."""
    ratio = count.ratio
    return None if ratio is None else ratio / objective.budget


def remaining(count: Count, objective: Objective) -> float | None:
    """The share of the budget that is left, below 0 once it is overspent.

    `count` is that of the whole window.
    """
    rate = burn_rate(count, objective)
    return None if rate is None else 1 - rate


def time_to_exhaustion(left: float, rate: float | None, objective: Objective) -> timedelta | None:
    """Until the budget is gone at this burn rate; none if it never is. Zero if it is gone."""
    if left <= 0:
        return timedelta(0)
    if rate is None or rate <= 0:
        return None
    return objective.window * (left / rate)


@dataclass(frozen=True, slots=True)
class Burning:
    """A burn alert that fires."""

    alert: BurnAlert
    long_rate: float
    short_rate: float
    factor: float


def burning(
    counts: Mapping[timedelta, Count], objective: Objective, *, min_events: float = 0
) -> list[Burning]:
    """The burn alerts that fire, the most urgent first.

    A window that is missing from `counts` was not measured, and fires nothing; nor does a short
    window of which only a part was seen. Under `min_events` in the long window nothing fires
    either: one failed request of three at night is no page.
    """
    found = []
    for alert in BURN_ALERTS:
        long, short = counts.get(alert.long), counts.get(alert.short)
        if long is None or short is None or not short.is_whole:
            continue
        if long.total < max(min_events, 1):
            continue
        long_rate, short_rate = burn_rate(long, objective), burn_rate(short, objective)
        factor = alert.factor(objective.window)
        if long_rate is None or short_rate is None or min(long_rate, short_rate) <= factor:
            continue
        found.append(Burning(alert, long_rate, short_rate, factor))
    return found


def is_quiet(
    alert: BurnAlert,
    counts: Mapping[timedelta, Count],
    objective: Objective,
    *,
    min_events: float = 0,
) -> bool:
    """Whether it is known that an alert does not fire, and not only unknown that it does.

    One of its windows was seen whole and burns no faster than it may, or the long one holds too
    few events.
    """
    long = counts.get(alert.long)
    if long is not None and long.is_whole and long.total < max(min_events, 1):
        return True
    factor = alert.factor(objective.window)
    return any(
        (burn_rate(count, objective) or 0) <= factor
        for count in (long, counts.get(alert.short))
        if count is not None and count.is_whole
    )


def dead_alerts(objective: Objective) -> list[BurnAlert]:
    """The burn alerts that can never fire: even total failure burns no faster than their factor.

    Below an objective of 93.06 % over 30 days, the page for 2 % in an hour is dead.
    """
    return [one for one in BURN_ALERTS if one.factor(objective.window) * objective.budget >= 1]


def detection_delay(alert: BurnAlert, objective: Objective) -> timedelta | None:
    """How long a total outage lasts before the alert fires; none if it never does."""
    share = alert.factor(objective.window) * objective.budget
    return None if share >= 1 else alert.long * share


def bound_of(bounds: Sequence[float], budget: float) -> bool:
    """Whether a histogram has a bucket that ends at the latency budget (same unit).

    Without one, the share of requests within the budget is a guess between two bounds.
    """
    return any(abs(bound - budget) <= 1e-9 * max(1.0, abs(budget)) for bound in bounds)
