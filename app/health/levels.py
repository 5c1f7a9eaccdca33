"""Service levels: what was counted, how fast the budget burns, and when that is news."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import Table, delete, func, select, update
from sqlalchemy.orm import Session, joinedload

from app.core.bulk import Bulk
from app.core.db import db, unit_of_work
from app.core.errors import NotFoundError
from app.health.recording import write_changes
from app.health.slo_rules import (
    BURN_ALERTS,
    WINDOWS,
    Burn,
    BurnAlert,
    Count,
    Objective,
    burn_rate,
    burning,
    dead_alerts,
    detection_delay,
    is_quiet,
    remaining,
    time_to_exhaustion,
)
from app.health.tables import Slo, SloCount, StateChange
from app.registry.tables import MlModel

NOTHING: Mapping[int, str] = {}
URGENCY = ("", Burn.TICKET.value, Burn.PAGE.value)
RUNNING = 0  # key of running totals, from which steps are made
MISSED = timedelta(minutes=5)  # without a look for longer, nothing is claimed about a burn
STEP = timedelta(minutes=1)  # sums are kept by the minute, as they were at its last look

WRITE_SUMS = Bulk(
    SloCount,
    ("slo_id", "at", "bad", "total"),
    "ON CONFLICT (slo_id, at) DO UPDATE SET bad = excluded.bad, total = excluded.total",
)


def objective_of(slo: Slo) -> Objective:
    return Objective(slo.target, timedelta(days=slo.window_days))


def counts_of(slo: Slo) -> dict[timedelta, Count]:
    """What is known of each window; a window that was not measured is missing."""
    return {
        timedelta(seconds=int(seconds)): Count(*pair)
        for seconds, pair in slo.counts.items()
        if int(seconds) != RUNNING
    }


def rate_of(slo: Slo, window: timedelta) -> float | None:
    """The burn rate over one window; none if it was not measured or had no event."""
    count = counts_of(slo).get(window)
    return None if count is None else burn_rate(count, objective_of(slo))


@dataclass(frozen=True, slots=True)
class Level:
    """A service level as it stands, for pages."""

    slo: Slo
    left: float | None  # share of the budget; none: not measured
    rates: Mapping[timedelta, float | None]  # burn rate by window
    exhausted_in: timedelta | None  # at the pace of the last hour
    is_current: bool  # looked at recently


def level(slo: Slo, *, at: datetime) -> Level:
    """Budget left, burn rates and the time until it is gone at the pace of the last hour."""
    objective, counts = objective_of(slo), counts_of(slo)
    whole = counts.get(objective.window)
    left = None if whole is None else remaining(whole, objective)
    rates = {
        window: burn_rate(counts[window], objective) if window in counts else None
        for window in WINDOWS
    }
    gone = None
    if left is not None:
        gone = time_to_exhaustion(left, rates[timedelta(hours=1)], objective)
    return Level(slo, left, rates, gone, is_current(slo, at=at))


def is_current(slo: Slo, *, at: datetime) -> bool:
    """Whether its events were counted recently."""
    return slo.looked_at is not None and at - slo.looked_at <= missed_after(slo)


def missed_after(slo: Slo) -> timedelta:
    """How long after a look its events count as missed: two looks of a source that looks seldom."""
    if slo.source is None:
        return MISSED
    return max(MISSED, 2 * timedelta(seconds=slo.source.every))


def take_counts(
    session: Session,
    counted: Mapping[int, Mapping[int, tuple[float, float]]],
    uncounted: Mapping[int, str] = NOTHING,
    *,
    at: datetime,
) -> None:
    """Keep what a source counted, by SLO and window, and judge it. In the caller's unit of work.

    A source that can't look back gives running totals under the key 0; windows are then summed
    from what they rose by since. `uncounted` says why some or all windows of an SLO are missing.
    """
    slos = session.scalars(
        select(Slo)
        .where(Slo.id.in_({*counted, *uncounted}), Slo.closed_at.is_(None))
        .options(joinedload(Slo.source))
    ).all()
    for slo in slos:
        trouble = uncounted.get(slo.id, "")
        found = counted.get(slo.id)
        if found is None:
            _note(session, slo, trouble)
            continue
        counts: dict[str, Any] = {str(window): list(pair) for window, pair in found.items()}
        if RUNNING in found:
            sums = _add(session, slo, found[RUNNING], at=at)
            counts |= _windows(session, slo, sums, at=at)
        _judge(session, slo, counts, trouble, at=at)


def _note(session: Session, slo: Slo, trouble: str) -> None:
    """Keep why nothing was counted. What was counted before stays, and grows old."""
    if slo.trouble == trouble:
        return
    rows = cast(Table, Slo.__table__)
    session.execute(update(rows).where(rows.c.id == slo.id).values(trouble=trouble))
    session.expire(slo)


def _add(session: Session, slo: Slo, running: tuple[float, float], *, at: datetime) -> Count:
    """Events since the service level began, with those since the last look added."""
    newest = session.execute(
        select(SloCount.bad, SloCount.total)
        .where(SloCount.slo_id == slo.id)
        .order_by(SloCount.at.desc())
        .limit(1)
    ).first()
    sums = Count(newest.bad, newest.total) if newest else Count(0, 0)
    before = slo.counts.get(str(RUNNING))
    if before is not None:
        bad, total = running[0] - before[0], running[1] - before[1]
        if bad >= 0 and total >= 0:  # else the totals began anew
            sums = Count(sums.bad + bad, sums.total + total)
    step = at.astimezone(UTC).replace(second=0, microsecond=0)
    row = {"slo_id": slo.id, "at": step, "bad": sums.bad, "total": sums.total}
    WRITE_SUMS.write(session.connection(), [row])
    return sums


def _windows(session: Session, slo: Slo, sums: Count, *, at: datetime) -> dict[str, Any]:
    """Events of every window: what the sums rose by since it began, and which share was seen.

    Where nobody counted as the window began (the level is new, or was closed, or its source did
    not answer), it is seen from the first look after that.
    """
    rows = select(SloCount.at, SloCount.bad, SloCount.total).where(SloCount.slo_id == slo.id)
    found = {}
    for window in (*WINDOWS, timedelta(days=slo.window_days)):
        begin = at - window
        before = session.execute(
            rows.where(SloCount.at <= begin).order_by(SloCount.at.desc()).limit(1)
        ).first()
        # At least the row of this look is there.
        after = session.execute(
            rows.where(SloCount.at > begin).order_by(SloCount.at).limit(1)
        ).one()
        if before is not None and after.at - before.at <= missed_after(slo) + STEP:
            then, seen = before, 1.0
        else:
            # Its sums are of any moment of its minute: of the last one, so that nothing is
            # claimed to be seen that was not.
            then, seen = after, max(0.0, (at - after.at - STEP) / window)
        count = [sums.bad - then.bad, sums.total - then.total, min(seen, 1.0)]
        found[str(int(window.total_seconds()))] = count
    return found


def _judge(
    session: Session, slo: Slo, counts: dict[str, Any], trouble: str, *, at: datetime
) -> None:
    before = slo.burning
    windows = {
        timedelta(seconds=int(seconds)): Count(*pair)
        for seconds, pair in counts.items()
        if int(seconds) != RUNNING
    }
    objective = objective_of(slo)
    found = burning(windows, objective, min_events=slo.min_events)
    after = found[0].alert.burn.value if found else ""
    if URGENCY.index(after) < URGENCY.index(before) and not _has_ended(slo, windows, objective):
        after = before
    since = slo.burning_since if after == before else (at if after else None)
    rows = cast(Table, Slo.__table__)
    session.execute(
        # Not through the version of the row: no person wrote this.
        update(rows)
        .where(rows.c.id == slo.id)
        .values(counts=counts, burning=after, burning_since=since, looked_at=at, trouble=trouble)
    )
    session.expire(slo)
    if after == before:
        return
    whole = windows.get(objective.window)
    left = remaining(whole, objective) if whole else None
    rate = found[0].long_rate if found else None
    factor = found[0].factor if found else None
    _tell(session, slo, after, _in_words(slo.title, rate, left),
          {"rate": rate, "factor": factor, "left": left}, before=before, at=at)  # fmt: skip


def _has_ended(slo: Slo, windows: Mapping[timedelta, Count], objective: Objective) -> bool:
    """Whether the alerts that fired are known to be quiet. A gap hides a burn and does not end it."""
    fired = {one.alert for one in burning(counts_of(slo), objective, min_events=slo.min_events)}
    told = next((one.detail.get("factor") for one in burns(slo) if one.fact == "burning"), None)
    of_level = [alert for alert in BURN_ALERTS if alert.burn == slo.burning]
    fired |= {one for one in of_level if one.factor(objective.window) == told}
    return all(
        is_quiet(alert, windows, objective, min_events=slo.min_events)
        for alert in fired or of_level
    )


def _tell(
    session: Session,
    slo: Slo,
    after: str,
    sentence: str,
    figures: Mapping[str, Any],
    *,
    before: str | None = None,
    at: datetime,
) -> None:
    """Record that the budget burns too fast, or no longer does."""
    before = slo.burning if before is None else before
    model = session.get_one(MlModel, slo.model_id)
    write_changes(
        session.connection(),
        [
            {
                "panel_id": None,
                "slo_id": slo.id,
                "model_id": slo.model_id,
                "at": at,
                "before": before or "even",
                "after": after or "even",
                "fact": "burning" if after else "burnt_out",
                "sentence": sentence,
                "detail": {
                    "slo": slo.slug,
                    "title": slo.title,
                    "model": model.slug,
                    "burn": after,
                    **figures,
                    "target": slo.target,
                    "failure_mode": slo.failure_mode,
                    "severity": 2 if after == Burn.PAGE else 3,
                },
            }
        ],
    )


def _in_words(title: str, rate: float | None, left: float | None) -> str:
    if rate is None:
        return f"{title}: the error budget burns no faster than it may"
    rest = "" if left is None else f", {max(left, 0) * 100:.0f} % of it is left"
    return f"{title}: the error budget burns {rate:.1f} times too fast{rest}"


def find(model_slug: str, slug: str, *, also_closed: bool = False) -> Slo:
    """A service level by the names in its address, with its source."""
    query = (
        select(Slo)
        .join(MlModel, MlModel.id == Slo.model_id)
        .where(MlModel.slug == model_slug, Slo.slug == slug)
        .options(joinedload(Slo.source))
    )
    if not also_closed:
        query = query.where(Slo.closed_at.is_(None))
    found = db.session.scalars(query).one_or_none()
    if found is None:
        raise NotFoundError(f"{model_slug} has no service level {slug}.")
    return found


def of_model(model_id: int, *, also_closed: bool = False) -> Sequence[Slo]:
    """The service levels of a model by title, each with its source."""
    query = select(Slo).where(Slo.model_id == model_id).options(joinedload(Slo.source))
    if not also_closed:
        query = query.where(Slo.closed_at.is_(None))
    return db.session.scalars(query.order_by(Slo.title, Slo.id)).all()


class Firing(StrEnum):
    """How a burn alert stands."""

    FIRES = "fires"
    QUIET = "quiet"
    FEW = "few"  # too few events to say
    UNKNOWN = "unknown"  # not measured
    NEVER = "never"  # at this objective it can't fire


@dataclass(frozen=True, slots=True)
class BurnLine:
    """One burn alert of a service level: when it fires, and where it stands."""

    alert: BurnAlert
    factor: float
    long_rate: float | None
    short_rate: float | None
    events: float | None  # in the long window
    delay: timedelta | None  # of a total outage, until it fires
    firing: Firing


def burn_lines(slo: Slo, *, at: datetime) -> list[BurnLine]:
    """Every burn alert of a service level, the most urgent first.

    Of one that nobody looked at lately, nobody knows whether it is quiet.
    """
    objective, counts = objective_of(slo), counts_of(slo)
    fire = {one.alert for one in burning(counts, objective, min_events=slo.min_events)}
    dead = dead_alerts(objective)
    lines = []
    for alert in BURN_ALERTS:
        long, short = counts.get(alert.long), counts.get(alert.short)
        if alert in dead:
            firing = Firing.NEVER
        elif not is_current(slo, at=at):
            firing = Firing.UNKNOWN
        elif alert in fire:
            firing = Firing.FIRES
        elif long is None or short is None or not short.is_whole:
            firing = Firing.UNKNOWN
        elif long.total < max(slo.min_events, 1):
            firing = Firing.FEW
        elif is_quiet(alert, counts, objective):
            firing = Firing.QUIET
        else:
            firing = Firing.UNKNOWN
        lines.append(
            BurnLine(
                alert,
                alert.factor(objective.window),
                burn_rate(long, objective) if long else None,
                burn_rate(short, objective) if short else None,
                long.total if long else None,
                detection_delay(alert, objective),
                firing,
            )
        )
    return lines


def burns(slo: Slo, *, limit: int = 20) -> Sequence[StateChange]:
    """When the budget began and ceased to burn too fast, newest first."""
    return db.session.scalars(
        select(StateChange)
        # The model is in the index, the service level is not.
        .where(StateChange.model_id == slo.model_id, StateChange.slo_id == slo.id)
        .order_by(StateChange.at.desc(), StateChange.id.desc())
        .limit(limit)
    ).all()


def begin_anew(session: Session, slo: Slo, *, at: datetime) -> None:
    """Forget what was counted: something else is from now on. In the caller's unit of work."""
    rows = cast(Table, SloCount.__table__)
    session.execute(delete(rows).where(rows.c.slo_id == slo.id))
    slo.counts, slo.looked_at, slo.trouble = {}, None, ""
    _end(session, slo, f"{slo.title}: something else is counted from now on", at=at)


def let_go(session: Session, slo: Slo, *, at: datetime) -> None:
    """End a burn that was told of: nobody counts any more. In the caller's unit of work."""
    why = "is closed" if slo.closed_at else "is of a retired model"
    _end(session, slo, f"{slo.title} {why}: nobody watches its error budget any more", at=at)


def _end(session: Session, slo: Slo, sentence: str, *, at: datetime) -> None:
    """End a burn that was told of, if there is one."""
    if slo.burning:
        _tell(session, slo, "", sentence, {}, at=at)
        slo.burning, slo.burning_since = "", None


def let_go_of_unwatched(*, at: datetime) -> int:
    """End burns of retired models, and those of closed service levels that a late look began.

    Returns how many.
    """
    unwatched = (
        select(Slo.id)
        .join(MlModel, MlModel.id == Slo.model_id)
        .where(Slo.burning != "", Slo.closed_at.is_not(None) | MlModel.retired_at.is_not(None))
    )
    found = db.session.scalars(unwatched).all()
    if found:
        with unit_of_work() as session:
            slos = select(Slo).where(Slo.id.in_(found)).order_by(Slo.id).with_for_update()
            for slo in session.scalars(slos.execution_options(populate_existing=True)):
                let_go(session, slo, at=at)
    return len(found)


def purge(*, at: datetime) -> None:
    """Drop counts that are older than any window needs."""
    with unit_of_work() as session:
        longest = session.scalar(select(func.max(Slo.window_days))) or 0
        rows = cast(Table, SloCount.__table__)
        session.execute(delete(rows).where(rows.c.at < at - timedelta(days=longest + 1)))
