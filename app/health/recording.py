"""What was seen becomes readings, lamps and changes of state: many panels in one transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text, update
from sqlalchemy.orm import Session

from app.core.bulk import Bulk
from app.core.db import AnyRow, db, unit_of_work
from app.health.rules import (
    BLIND,
    Judged,
    LampState,
    Observation,
    Rule,
    Settled,
    Verdict,
    judge,
    settle,
)
from app.health.tables import HealthSource, Lamp, Panel, Reading, StateChange
from app.registry.tables import MlModel
from app.web.times import duration

MAX_WINDOWS = 60  # `rules.why_no_rule` allows no longer memory
CHANGES_LOCK = 7_313_002  # PostgreSQL's advisory lock
BLIND_AFTER = timedelta(minutes=10)  # then it is a failure by itself that nobody can see

LAMP = (
    "panel_id", "model_id", "lane", "state", "in_breach", "since", "value", "rows", "newest_at",
    "looked_at", "remark", "series", "windows", "blind_since", "told_blind",
)  # fmt: skip
WRITE_LAMPS = Bulk(
    Lamp,
    LAMP,
    "ON CONFLICT (panel_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in LAMP[1:]),
)
WRITE_READINGS = Bulk(
    Reading,
    ("panel_id", "at", "state", "value", "rows", "series"),
    "ON CONFLICT (panel_id, at) DO UPDATE SET state = excluded.state, value = excluded.value, "
    "rows = excluded.rows, series = excluded.series",
)

PANELS = (
    select(
        Panel.id.label("panel_id"), Panel.model_id, Panel.lane, Panel.title, Panel.unit,
        Panel.above, Panel.below, Panel.clear, Panel.k, Panel.n, Panel.min_rows,
        Panel.stale_after, Panel.failure_mode, Panel.severity, Panel.slug.label("panel"),
        MlModel.slug.label("model"), HealthSource.name.label("source"),
        Lamp.state, Lamp.in_breach, Lamp.since, Lamp.windows, Lamp.newest_at,
        Lamp.blind_since, Lamp.told_blind, Lamp.value, Lamp.rows, Lamp.series,
    )
    .join(MlModel, MlModel.id == Panel.model_id)
    .outerjoin(HealthSource, HealthSource.id == Panel.source_id)
    .outerjoin(Lamp, Lamp.panel_id == Panel.id)
)  # fmt: skip
WATCHED = PANELS.where(Panel.closed_at.is_(None), MlModel.retired_at.is_(None))


def rule_of(panel: Any) -> Rule:
    """The rule in the columns of a panel."""
    return Rule(
        above=panel.above,
        below=panel.below,
        clear=panel.clear,
        k=panel.k,
        n=panel.n,
        min_rows=panel.min_rows,
        stale_after=timedelta(seconds=panel.stale_after),
    )


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many panels were written, and how many of them changed their state."""

    panels: int
    changes: int


def record(seen: Mapping[int, Observation], *, at: datetime) -> Recorded:
    """Judge what was seen of each panel, by its id, and keep it.

    A window that is older than the newest one known changes nothing; the same window again
    replaces what it said.
    """
    if not seen:
        return Recorded(0, 0)
    with unit_of_work() as session:
        rows = session.execute(WATCHED.where(Panel.id.in_(list(seen))).order_by(Panel.id)).all()
        written = [
            one for row in rows if (one := _Written.of(row, seen[row.panel_id], at)) is not None
        ]
        changes = [change for one in written for change in one.changes]
        connection = session.connection()
        if written:
            WRITE_LAMPS.write(connection, [one.lamp for one in written])
            WRITE_READINGS.write(connection, [one.reading for one in written])
        write_changes(connection, changes)
    return Recorded(len(written), len(changes))


@dataclass(frozen=True, slots=True)
class _Written:
    """The rows that one observation makes."""

    lamp: Mapping[str, Any]
    reading: Mapping[str, Any]
    changes: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, row: AnyRow, seen: Observation, at: datetime) -> "_Written | None":
        # A number that nobody may judge is news all the same.
        has_news = seen.gap is None or seen.value is not None
        if row.newest_at is not None and has_news and seen.at < row.newest_at:
            return None
        rule = rule_of(row)
        judged = judge(seen, rule, now=at, lane=row.lane)
        windows = _with(row.windows or [], seen.at, judged)
        settled = settle(bool(row.in_breach), _judged(windows, judged), rule)
        value = seen.value if has_news else row.value
        rows = seen.rows if has_news else row.rows
        series = seen.series if has_news else row.series or ""
        is_blind = settled.state in BLIND
        lamp = {
            "panel_id": row.panel_id,
            "model_id": row.model_id,
            "lane": row.lane,
            "state": settled.state,
            "in_breach": settled.in_breach,
            "since": row.since if row.state is settled.state else at,
            "value": value,
            "rows": rows,
            "newest_at": seen.at if has_news else row.newest_at,
            "looked_at": at,
            "remark": settled.remark[:300],
            "series": series,
            "windows": windows,
            "blind_since": (row.blind_since or at) if is_blind else None,
            "told_blind": bool(row.told_blind) and is_blind,
        }
        reading = {
            "panel_id": row.panel_id,
            "at": seen.at,
            "state": settled.state,
            "value": seen.value,
            "rows": seen.rows,
            "series": seen.series,
        }
        return cls(lamp, reading, _changes(row, settled, seen, at))


def _with(windows: Sequence[Any], at: datetime, judged: Judged) -> list[Any]:
    """The windows with the newest one at the end. The same window again replaces itself."""
    moment = round(at.timestamp(), 3)
    kept = [one for one in windows if one[0] < moment]
    return [*kept, [moment, judged.verdict.value]][-MAX_WINDOWS:]


def _judged(windows: Sequence[Any], newest: Judged) -> list[Judged]:
    earlier = [Judged(Verdict(verdict), LampState.OK, "") for _, verdict in windows[:-1]]
    return [*earlier, newest]


def _changes(
    row: AnyRow, settled: Settled, seen: Observation, at: datetime
) -> list[Mapping[str, Any]]:
    facts = []
    if settled.in_breach != bool(row.in_breach):
        facts.append("breach" if settled.in_breach else "recovered")
    if row.told_blind and settled.state not in BLIND:
        facts.append("seeing")
    if not facts and row.state is settled.state:
        return []
    return [
        _change(row, settled.state, fact, seen.value, seen.rows, settled.remark, at)
        for fact in facts or [""]
    ]


def _change(
    row: AnyRow,
    after: LampState,
    fact: str,
    value: float | None,
    rows: float | None,
    remark: str,
    at: datetime,
) -> Mapping[str, Any]:
    limit = limit_of(row, value)
    return {
        "panel_id": row.panel_id,
        "slo_id": None,
        "model_id": row.model_id,
        "at": at,
        "before": row.state.value if row.state else None,
        "after": after.value,
        "fact": fact,
        "sentence": in_words(row.title, after, value, limit, row.unit, remark),
        "detail": {
            "panel": row.panel,
            "title": row.title,
            "model": row.model,
            "lane": row.lane.value,
            "value": value,
            "rows": rows,
            "limit": limit,
            "is_lower_limit": limit is not None and limit == row.below,
            "unit": row.unit,
            "source": row.source or "",
            "failure_mode": row.failure_mode,
            "severity": row.severity,
            "remark": remark,
        },
    }


def limit_of(row: Any, value: float | None) -> float | None:
    """The upper limit, or the lower one where it is the only one or the one that was passed."""
    is_below = row.below is not None and value is not None and value < row.below
    return row.below if row.above is None or is_below else row.above  # type: ignore[no-any-return]  # of a row


WORDS = {
    LampState.OK: "inside its limit",
    LampState.BREACH: "outside its limit",
    LampState.NO_TRAFFIC: "without traffic",
    LampState.NO_DATA: "without data",
    LampState.PARTIAL: "only partly known",
    LampState.UNREACHABLE: "not to be reached",
    LampState.NOT_MEASURABLE: "not measurable here",
}


def in_words(
    title: str,
    state: LampState,
    value: float | None,
    limit: float | None,
    unit: str,
    remark: str = "",
) -> str:
    """As in: p99 latency 612 ms, limit 250 ms."""
    if value is not None and limit is not None and state in (LampState.OK, LampState.BREACH):
        return f"{title} {figure(value, unit)}, limit {figure(limit, unit)}"
    return f"{title} is {WORDS[state]}" + (f": {remark}" if remark else "")


def figure(value: float, unit: str) -> str:
    """A number as people read it: 612 ms, 0.21 %, 1,210 rows, −4.4 %, 3 h 10 min."""
    size = abs(value)
    if unit == "s" and size >= 120:
        return f"{'−' if value < 0 else ''}{duration(size)}"
    if value == int(value) and size < 1e15:
        text = f"{int(size):,}"
    else:
        text = f"{size:,.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 4}f}"
    return f"{'−' if value < 0 else ''}{text}" + (f" {unit}" if unit else "")


def tell_blind(*, at: datetime) -> int:
    """Record a fact for each panel that nobody could see for too long. Returns how many.

    Only what was seen once can go blind: a panel in whose record stands no other state than blind
    ones is shown as unknown and wakes nobody. It is new, has a wrong name, or nothing ever checked
    its data input. A source that never answered is shown on the page Now all the same.
    """
    was_seen = (
        select(StateChange.id)
        .where(
            StateChange.panel_id == Panel.id,
            StateChange.after.not_in([state.value for state in BLIND]),
        )
        .exists()
    )
    with unit_of_work() as session:
        rows = session.execute(
            WATCHED.where(
                Lamp.blind_since <= at - BLIND_AFTER, Lamp.told_blind.is_(False), was_seen
            ).order_by(Panel.id)
        ).all()
        if not rows:
            return 0
        session.execute(
            update(Lamp)
            .where(Lamp.panel_id.in_([row.panel_id for row in rows]))
            .values(told_blind=True)
        )
        write_changes(
            session.connection(),
            [
                _change(row, row.state, "blind", None, None, _for_how_long(row, at), at)
                for row in rows
            ],
        )
    return len(rows)


def _for_how_long(row: AnyRow, at: datetime) -> str:
    minutes = int((at - row.blind_since.astimezone(UTC)).total_seconds() // 60)
    return f"for {minutes} min"


def let_go(session: Session, panels: Collection[int], *, at: datetime) -> None:
    """Drop the lamps of panels that nobody watches any more. In the caller's unit of work.

    What was told of them, a breach or that they can't be seen, ends with a fact of its own: no
    look would ever find its end.
    """
    if not panels:
        return
    lamps = Lamp.panel_id.in_(list(panels))
    # Whoever records a look at this moment comes first, and so does another worker that lets go.
    session.execute(
        select(Lamp.panel_id).where(lamps).order_by(Lamp.panel_id).with_for_update()
    ).all()
    rows = session.execute(PANELS.where(lamps).order_by(Panel.id)).all()
    write_changes(
        session.connection(),
        [
            _end(row, fact, at)
            for row in rows
            for fact, stands in (("recovered", row.in_breach), ("seeing", row.told_blind))
            if stands
        ],
    )
    session.execute(delete(Lamp).where(lamps))


def let_go_of_unwatched(*, at: datetime) -> int:
    """Let go of panels of retired models, and of closed ones that a late look lit again.

    Returns how many. Models are retired below health, which is not told of it and has to look.
    """
    retired = select(MlModel.id).where(MlModel.retired_at.is_not(None))
    closed = select(Panel.id).where(Panel.closed_at.is_not(None))
    found = db.session.scalars(
        select(Lamp.panel_id).where(Lamp.model_id.in_(retired) | Lamp.panel_id.in_(closed))
    ).all()
    if found:
        with unit_of_work() as session:
            let_go(session, found, at=at)
    return len(found)


def _end(row: AnyRow, fact: str, at: datetime) -> Mapping[str, Any]:
    change = _change(row, LampState.NO_DATA, fact, None, None, "no longer watched", at)
    return {
        **change,
        "sentence": f"{row.title} is no longer watched",
        "detail": {**change["detail"], "is_watched": False},
    }


def write_changes(connection: Connection, changes: Sequence[Mapping[str, Any]]) -> None:
    """Write facts, in the order of their ids: a cursor that has passed an id never finds a lower
    one that was committed later."""
    if changes:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({CHANGES_LOCK})"))
        connection.execute(insert(StateChange), list(changes))
