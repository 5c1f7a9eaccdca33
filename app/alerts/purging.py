"""Deleting what the inbox no longer needs, chunk by chunk, so that the doors never wait for long."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, or_, select, tuple_, update
from sqlalchemy.orm import InstrumentedAttribute

from app.alerts.queries import NOT_DROPPED
from app.alerts.rules import DeliveryState
from app.alerts.tables import AlertState, Change, Delivery, LastBody
from app.core.db import Table, unit_of_work

CHUNK = 500  # rows deleted in one transaction
LAST_BODIES_KEPT = timedelta(hours=1)
ALERT_STATES_KEPT = timedelta(days=30)
REFUSED_KEPT = timedelta(days=3)  # anybody can send what is refused; a weekend is enough to ask
PROCESSED = (DeliveryState.ACCEPTED, DeliveryState.DUPLICATE)


def purge(before: datetime, at: datetime) -> int:
    """Delete deliveries that came before then and need nobody any more. Returns how many.

    What still waits stays, and so do dead letters that nobody dropped. With them go what the
    doors remember to know a repeat by, and alerts that were over long ago.
    """
    purged = 0
    while (done := _purge_deliveries(before, refused_before=at - REFUSED_KEPT)) is not None:
        purged += done
    last_bodies = LastBody.received_at < at - LAST_BODIES_KEPT
    _delete_all(LastBody, (LastBody.integration_id, LastBody.subject), last_bodies)
    over = and_(
        AlertState.firing.is_(False), AlertState.seen_at < min(before, at - ALERT_STATES_KEPT)
    )
    _delete_all(AlertState, (AlertState.integration_id, AlertState.fingerprint), over)
    return purged


def _purge_deliveries(before: datetime, *, refused_before: datetime) -> int | None:
    """One chunk of them. Returns how many rows went; None: there was nothing left to do."""
    told_of_a_change = select(Change.id).where(Change.delivery_id == Delivery.id).exists()
    done = or_(
        Delivery.state.in_(PROCESSED), and_(Delivery.state == DeliveryState.DEAD, ~NOT_DROPPED)
    )
    with unit_of_work() as session:
        rows = session.execute(
            select(Delivery.id, told_of_a_change.label("told"))
            .where(
                or_(
                    and_(
                        Delivery.received_at < before,
                        done,
                        or_(Delivery.body.is_not(None), ~told_of_a_change),
                    ),
                    and_(
                        Delivery.received_at < refused_before,
                        Delivery.state == DeliveryState.REFUSED,
                    ),
                )
            )
            .limit(CHUNK)
            .with_for_update(of=Delivery, skip_locked=True)
        ).all()
        if not rows:
            return None
        # A change stays on its model's record, and says where it came from.
        kept = [row.id for row in rows if row.told]
        session.execute(update(Delivery).where(Delivery.id.in_(kept)).values(body=None, headers={}))
        gone = [row.id for row in rows if not row.told]
        session.execute(delete(Delivery).where(Delivery.id.in_(gone)))
    return len(gone)


def _delete_all(
    table: type[Table],
    key: tuple[InstrumentedAttribute[Any], ...],
    condition: ColumnElement[bool],
) -> None:
    """Delete rows chunk by chunk, leaving out those that somebody writes at the moment."""
    while True:
        with unit_of_work() as session:
            found = session.execute(
                select(*key).where(condition).limit(CHUNK).with_for_update(skip_locked=True)
            ).all()
            session.execute(delete(table).where(tuple_(*key).in_([tuple(row) for row in found])))
        if len(found) < CHUNK:
            return
