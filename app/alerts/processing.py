"""From waiting deliveries to incidents: the hot path behind the doors.

Many deliveries go through one transaction: they are read, their alerts judged and written
(`batch.py`), and what became of each is kept (`outcomes.py`).
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import cast

from sqlalchemy import Table, insert, select, text
from sqlalchemy.orm import Session

from app.alerts.batch import Batch
from app.alerts.outcomes import Reading, outcome
from app.alerts.routing import Router, router
from app.alerts.rules import WAITING, DeliveryState, Known, next_try
from app.alerts.sources import SOURCES
from app.alerts.sources.base import RECEIVED_AT, decode
from app.alerts.tables import AlertState, Change, Delivery, Integration
from app.core.bulk import Bulk, BulkRead, BulkUpdate
from app.core.db import db, is_sqlite, unit_of_work
from app.core.metrics import ALERTS, INBOX_LAG_SECONDS
from app.incidents.sightings import Key

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
INBOX_LOCK = 7_313_001  # PostgreSQL's advisory lock: one worker at a time takes the inbox


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
            batch = Batch(session, _known(session, readings), at=at)
            route = router()
            for reading in readings:
                batch.take(reading, route)
            batch.flush()
            _remember(session, batch)
            _keep_changes(session, readings, route)
            RECORD_OUTCOMES.write(
                session.connection(), [outcome(reading, at=at) for reading in readings]
            )
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
            Integration.name.label("sender"),
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
            sender=row.sender,
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


def _remember(session: Session, batch: Batch) -> None:
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
