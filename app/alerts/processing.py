"""From waiting deliveries to incidents: the hot path behind the doors.

Many deliveries go through one transaction. Each alert is judged in the order of its arrival
(`rules.judge`), and what follows is written in sets (`incidents.intake`).
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, insert, select, text
from sqlalchemy.orm import Session

from app.alerts.routing import Route, Router, router, title_of
from app.alerts.rules import WAITING, DeliveryState, Known, Verdict, judge, learned, next_try
from app.alerts.sources import SOURCES
from app.alerts.sources.base import RECEIVED_AT, Alert, AlertStatus, Parsed, decode
from app.alerts.tables import AlertState, Change, Delivery, Integration
from app.config import settings
from app.core.bulk import Bulk, BulkRead, BulkUpdate
from app.core.db import db, is_sqlite, unit_of_work
from app.core.metrics import ALERTS, INBOX_LAG_SECONDS
from app.incidents import intake
from app.incidents.intake import Effects, Identity, Key, Round, Sighting

log = logging.getLogger(__name__)

DELIVERIES = cast(Table, Delivery.__table__)
CHANGES = cast(Table, Change.__table__)

ALERT = ("integration_id", "fingerprint")
STATE = ("firing", "starts_at", "event_at", "seen_at", "incident_id")
KNOWN = BulkRead(AlertState, ALERT, (*ALERT, *STATE))
REMEMBER = Bulk(
    AlertState,
    (*ALERT, *STATE),
    "ON CONFLICT (integration_id, fingerprint) DO UPDATE SET firing = excluded.firing, "
    "starts_at = excluded.starts_at, event_at = excluded.event_at, seen_at = excluded.seen_at, "
    "incident_id = excluded.incident_id",
)
RECORD_OUTCOMES = BulkUpdate(
    Delivery, ("id",), ("state", "processed_at", "next_try_at", "why", "outcome")
)

MOST_DELIVERIES = 200  # a transaction
ENOUGH_BYTES = 400_000  # of bodies a transaction, some 500 alerts: SQLite's other writers wait
MOST_IDENTITIES = 500  # incidents a round: a statement names them all
INBOX_LOCK = 7_313_001  # PostgreSQL's advisory lock: one worker at a time takes the inbox


@dataclass(slots=True)
class Reading:
    """A delivery on its way through, and what came of it."""

    id: int
    integration_id: int
    source: str
    received_at: datetime
    team_id: int | None  # of its sender
    parsed: Parsed
    counts: Counter[Verdict] = field(default_factory=Counter)
    incidents: set[int] = field(default_factory=set)
    opened: set[int] = field(default_factory=set)
    resolved: set[int] = field(default_factory=set)
    reasons: dict[str, None] = field(default_factory=dict)  # a set that keeps its order


def process_next(*, at: datetime) -> int:
    """Process the oldest waiting deliveries in one transaction. Returns how many it took.

    If they fail together they are tried one by one, so that a poisonous one fails alone.
    """
    ids = _next_in_line(at)
    if not ids:
        return 0
    try:
        _process(ids, at=at)
    except Exception:
        # Whatever it was, the row that brought it is found, counted and in the end laid aside.
        log.exception("a batch of deliveries failed", extra={"deliveries": len(ids)})
        for delivery_id in ids:
            _process_alone(delivery_id, at=at)
    return len(ids)


def _next_in_line(at: datetime) -> list[int]:
    """The next deliveries, oldest first, up to a number and a size."""
    rows = db.session.execute(
        select(Delivery.id, Delivery.size)
        .where(
            Delivery.state.in_(WAITING),
            Delivery.next_try_at.is_(None) | (Delivery.next_try_at <= at),
        )
        .order_by(Delivery.id)
        .limit(MOST_DELIVERIES)
    ).all()
    taken, size = [], 0
    for row in rows:
        taken.append(row.id)
        size += row.size
        if size >= ENOUGH_BYTES:
            break
    return taken


def _process(ids: Sequence[int], *, at: datetime) -> None:
    with unit_of_work() as session:
        if not is_sqlite():
            session.execute(text(f"SELECT pg_advisory_xact_lock({INBOX_LOCK})"))
        readings = _read(session, ids)
        if readings:
            batch = _Batch(session, _known(session, readings), at=at)
            route = router()
            for reading in readings:
                batch.take(reading, route)
            batch.flush()
            _remember(session, batch)
            _keep_changes(session, readings, route)
            _record_outcomes(session, readings, at=at)
    for reading in readings:
        INBOX_LAG_SECONDS.observe(max(0.0, (at - reading.received_at).total_seconds()))
        for verdict, count in reading.counts.items():
            ALERTS.labels(verdict.value).inc(count)


def _process_alone(delivery_id: int, *, at: datetime) -> None:
    try:
        _process([delivery_id], at=at)
    except Exception as error:
        log.exception("a delivery failed", extra={"delivery": delivery_id})
        with unit_of_work() as session:
            delivery = session.get_one(Delivery, delivery_id)
            delivery.attempts += 1
            delivery.next_try_at = next_try(delivery.attempts, at=at)
            dead = delivery.next_try_at is None
            delivery.state = DeliveryState.DEAD if dead else DeliveryState.RETRYING
            delivery.why = (
                f"Processing failed with {type(error).__name__}. It is our fault, not the "
                "sender's; the log says more."
            )


def _read(session: Session, ids: Sequence[int]) -> list[Reading]:
    rows = session.execute(
        select(
            DELIVERIES.c.id,
            DELIVERIES.c.integration_id,
            DELIVERIES.c.source,
            DELIVERIES.c.received_at,
            DELIVERIES.c.headers,
            DELIVERIES.c.body,
            Integration.team_id,
        )
        .join(Integration, Integration.id == DELIVERIES.c.integration_id)
        # Another worker may have been quicker.
        .where(DELIVERIES.c.id.in_(ids), DELIVERIES.c.state.in_(WAITING))
        .order_by(DELIVERIES.c.id)
    ).all()
    return [
        Reading(
            id=row.id,
            integration_id=row.integration_id,
            source=row.source,
            received_at=row.received_at,
            team_id=row.team_id,
            parsed=SOURCES[row.source].parse(
                decode(row.body), {**row.headers, RECEIVED_AT: row.received_at.isoformat()}
            ),
        )
        for row in rows
    ]


def _known(session: Session, readings: Iterable[Reading]) -> dict[Key, Known]:
    wanted = {
        (reading.integration_id, alert.fingerprint)
        for reading in readings
        for alert in reading.parsed.alerts
    }
    rows = KNOWN.read(session.connection(), wanted)
    return {(row[0], row[1]): Known(*row[2:]) for row in rows}


class _Batch:
    """The alerts of several deliveries, judged in their order and written round by round."""

    def __init__(self, session: Session, known: dict[Key, Known], *, at: datetime) -> None:
        self._session, self._at = session, at
        self._reopen_window = timedelta(minutes=settings().reopen_minutes)
        self._round = Round()
        self._waiting: list[tuple[Reading, Key]] = []  # whose incident the round will tell
        self._ending: list[tuple[Reading, tuple[int, str]]] = []  # likewise, of whole groups
        self._identities: set[Identity] = set()  # of the round's incidents
        self.known = known
        self.changed: set[Key] = set()

    def take(self, reading: Reading, route: Router) -> None:
        for alert in reading.parsed.alerts:
            key = (reading.integration_id, alert.fingerprint)
            if alert.status is AlertStatus.ACKNOWLEDGED:
                self._acknowledge(reading, key, alert)
            else:
                self._judge(reading, key, alert, route)
        group = reading.parsed.resolved_group
        if group is not None:
            # Also the members that the sender cut off its message.
            whole = (reading.integration_id, group)
            self._round.groups_over[whole] = reading.received_at
            self._ending.append((reading, whole))

    def _acknowledge(self, reading: Reading, key: Key, alert: Alert) -> None:
        reading.counts[Verdict.ACKNOWLEDGES] += 1
        self._round.acknowledged[key] = alert.name
        self._waiting.append((reading, key))

    def _judge(self, reading: Reading, key: Key, alert: Alert, route: Router) -> None:
        known, seen_at = self.known.get(key), reading.received_at
        by_time = SOURCES[reading.source].times_tell_order
        firing = alert.status is AlertStatus.FIRING
        starts_at = (alert.starts_at if by_time else None) or seen_at
        told_end = seen_at
        if known is not None and seen_at >= known.seen_at:
            # An end without a date is now, also where the sender's clock runs ahead of ours.
            told_end = max(seen_at, known.starts_at)
        ends_at = (alert.ends_at if by_time else None) or told_end
        event_at = starts_at if firing else ends_at
        verdict = judge(
            known, firing=firing, starts_at=starts_at, event_at=event_at, seen_at=seen_at
        )
        reading.counts[verdict] += 1
        fires = firing and verdict is not Verdict.LATE
        if fires and (
            self._round.settled(key, alert.group_key) or len(self._identities) >= MOST_IDENTITIES
        ):
            self.flush()
            known = self.known.get(key)
        self._waiting.append((reading, key))
        if fires:
            way = route.find(alert, reading.team_id)
            self._round.fire(_sighting(key, alert, way, known, seen_at))
            self._identities.add(way.identity)
            reading.reasons.update(dict.fromkeys(way.attachment.reasons))
        elif verdict is Verdict.RESOLVES:
            self._round.over[key] = event_at
        self.known[key] = learned(
            known, verdict, starts_at=starts_at, event_at=event_at, seen_at=seen_at
        )
        self.changed.add(key)

    def flush(self) -> None:
        """Write the round at hand and begin another."""
        round_, self._round = self._round, Round()
        waiting, self._waiting = self._waiting, []
        ending, self._ending = self._ending, []
        self._identities.clear()
        effects = intake.apply(
            self._session, round_, at=self._at, reopen_window=self._reopen_window
        )
        for key, incident_id in effects.incident_of.items():
            self.known[key] = replace(self.known[key], incident_id=incident_id)
        for key, told_at in effects.went_along.items():
            known = self.known.get(key) or Known(True, told_at, told_at, told_at)
            self.known[key] = replace(known, firing=False, event_at=told_at, seen_at=told_at)
            self.changed.add(key)
        self._tell(waiting, effects)
        for reading, whole in ending:
            touched = effects.of_group.get(whole, set())
            reading.incidents |= touched
            reading.resolved |= effects.resolved & touched

    def _tell(self, waiting: Sequence[tuple[Reading, Key]], effects: Effects) -> None:
        """Let each delivery know what became of its alerts."""
        for reading, key in waiting:
            known = self.known.get(key)
            incident_id = known.incident_id if known is not None else None
            if incident_id is None:
                continue
            reading.incidents.add(incident_id)
            if incident_id in effects.opened or incident_id in effects.reopened:
                reading.opened.add(incident_id)
            if incident_id in effects.resolved:
                reading.resolved.add(incident_id)


def _sighting(
    key: Key, alert: Alert, way: Route, known: Known | None, seen_at: datetime
) -> Sighting:
    return Sighting(
        key=key,
        identity=way.identity,
        attachment=way.attachment,
        name=alert.name,
        title=title_of(alert, way.attachment.model_name),
        summary=alert.summary,
        severity=way.severity,
        labels=alert.labels,
        annotations=alert.annotations,
        links=[{"href": link.href, "text": link.text} for link in alert.links],
        group_key=alert.group_key,
        starts_at=alert.starts_at or seen_at,
        seen_at=seen_at,
        incident_id=known.incident_id if known is not None and known.firing else None,
    )


def _remember(session: Session, batch: _Batch) -> None:
    if not batch.changed:
        return
    REMEMBER.write(
        session.connection(),
        [
            {
                "integration_id": key[0],
                "fingerprint": key[1],
                "firing": known.firing,
                "starts_at": known.starts_at,
                "event_at": known.event_at,
                "seen_at": known.seen_at,
                "incident_id": known.incident_id,
            }
            for key, known in ((key, batch.known[key]) for key in sorted(batch.changed))
        ],
    )


def _keep_changes(session: Session, readings: Sequence[Reading], route: Router) -> None:
    rows = [
        {
            "integration_id": reading.integration_id,
            "delivery_id": reading.id,
            "at": change.at or reading.received_at,
            "summary": change.summary,
            "source": change.source,
            "model_id": route.model_id(change.labels),
            "links": [{"href": link.href, "text": link.text} for link in change.links],
            "detail": dict(change.detail),
        }
        for reading in readings
        for change in reading.parsed.changes
    ]
    if rows:
        session.connection().execute(insert(CHANGES), rows)


def _record_outcomes(session: Session, readings: Sequence[Reading], *, at: datetime) -> None:
    RECORD_OUTCOMES.write(session.connection(), [_outcome(reading, at) for reading in readings])


def _outcome(reading: Reading, at: datetime) -> dict[str, Any]:
    parsed, counts = reading.parsed, reading.counts
    state = DeliveryState.ACCEPTED
    if not parsed.alerts and not parsed.changes and parsed.faults:
        state = DeliveryState.DEAD
    elif parsed.alerts and not reading.opened and not reading.resolved and not _is_news(counts):
        state = DeliveryState.DUPLICATE
    return {
        "id": reading.id,
        "state": state,
        "processed_at": at,
        "next_try_at": None,
        "why": sentence(reading),
        "outcome": {
            "counts": {verdict.value: count for verdict, count in counts.items()},
            "incidents": sorted(reading.incidents),
            "opened": sorted(reading.opened),
            "resolved": sorted(reading.resolved),
            "changes": len(parsed.changes),
            "faults": [{"where": fault.where, "why": fault.why} for fault in parsed.faults],
            "remarks": _remarks(parsed),
            "reasons": list(reading.reasons),
        },
    }


NEWS = (Verdict.FIRES, Verdict.RESOLVES, Verdict.ACKNOWLEDGES)


def _is_news(counts: Mapping[Verdict, int]) -> bool:
    return any(counts.get(verdict) for verdict in NEWS)


def _remarks(parsed: Parsed) -> list[str]:
    return list(dict.fromkeys(remark for alert in parsed.alerts for remark in alert.remarks))[:20]


def sentence(reading: Reading) -> str:
    """What a delivery became, or why nothing opened, in a line for people."""
    parsed, counts = reading.parsed, reading.counts
    said = []
    if reading.opened:
        said.append(f"opened {_incidents(reading.opened)}")
    joined = reading.incidents - reading.opened - reading.resolved
    if joined and counts[Verdict.FIRES]:
        said.append(f"{counts[Verdict.FIRES]} joined {_incidents(joined)}")
    if reading.resolved:
        said.append(f"resolved {_incidents(reading.resolved)}")
    elif counts[Verdict.RESOLVES]:
        said.append(f"{counts[Verdict.RESOLVES]} ended, others of the incident still fire")
    if counts[Verdict.ACKNOWLEDGES]:
        said.append("acknowledged at the sender")
    if counts[Verdict.REPEATS] and not reading.opened:
        said.append(f"{counts[Verdict.REPEATS]} already firing in {_incidents(reading.incidents)}")
    if counts[Verdict.OVER]:
        said.append(f"{counts[Verdict.OVER]} over already, nothing was open")
    if counts[Verdict.LATE]:
        said.append(f"{counts[Verdict.LATE]} older than what is known, changed nothing")
    if parsed.changes:
        said.append(f"{len(parsed.changes)} change kept")
    if parsed.faults:
        said.append(f"{len(parsed.faults)} could not be read: {parsed.faults[0].why}")
    if not said:
        return "It held no alert."
    line = "; ".join(said)
    return f"{line[0].upper()}{line[1:].rstrip('.')}."


def _incidents(ids: Iterable[int]) -> str:
    numbers = sorted(ids)
    named = ", ".join(f"INC-{number}" for number in numbers[:3])
    return named if len(numbers) <= 3 else f"{named} and {len(numbers) - 3} more"
