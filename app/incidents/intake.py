"""From alerts to incidents, many at a time.

This is the hot path: a storm of 100,000 alerts comes through here. It works on sets with Core
statements, inside the caller's unit of work. Where each alert belongs is in `placing.py`, the rows
of alerts are in `members.py`, and what one person does to one incident is in `service.py`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.incidents import members, paging, placing, timeline
from app.incidents.rules import State
from app.incidents.sightings import Effects, Key, Round
from app.incidents.tables import Incident


def apply(session: Session, round_: Round, *, at: datetime, reopen_window: timedelta) -> Effects:
    """Write what a round of alerts means. Inside the caller's unit of work."""
    effects = Effects()
    touched: set[int] = set()
    if round_.firing:
        placing.place(session, round_.firing, effects, at=at, reopen_window=reopen_window)
        touched |= members.keep(session, round_.firing, effects)
    if round_.acknowledged:
        _acknowledge(session, round_.acknowledged, effects, at=at)
    if round_.over or round_.groups_over:
        touched |= members.end(session, round_, effects)
    if touched:
        members.recount(session, touched, effects, at=at)
        _resolve_what_is_over(session, touched, effects, at=at)
    return effects


def _acknowledge(
    session: Session, acknowledged: Mapping[Key, str], effects: Effects, *, at: datetime
) -> None:
    """Somebody took these alerts in the sender's system: so did they their incidents."""
    homes = members.FIRING.read(session.connection(), acknowledged)
    by = {incident_id: acknowledged[(i, fingerprint)] for incident_id, i, fingerprint in homes}
    moved = session.scalars(
        update(Incident)
        .where(Incident.id.in_(by), Incident.state == State.TRIGGERED)
        .values(state=State.ACKNOWLEDGED, acknowledged_at=at, version=Incident.version + 1)
        .returning(Incident.id)
        .execution_options(synchronize_session=False)
    ).all()
    if not moved:
        return
    effects.acknowledged.update(moved)
    lines = [
        timeline.line(
            incident_id, at, "acknowledged", "Acknowledged at the sender", by=by[incident_id]
        )
        for incident_id in moved
    ]
    timeline.write(session, lines)
    paging.acknowledge(list(moved), at=at)


def _resolve_what_is_over(
    session: Session, incident_ids: set[int], effects: Effects, *, at: datetime
) -> None:
    """An incident whose last alert stopped is over, unless people declared it."""
    rows = session.execute(
        update(Incident)
        .where(
            Incident.id.in_(incident_ids),
            Incident.firing_count == 0,
            Incident.state != State.RESOLVED,
            Incident.declared_by_hand.is_(False),
        )
        .values(
            state=State.RESOLVED,
            resolved_at=at,
            resolved_by_hand=False,
            resolution="Its alerts stopped.",
            version=Incident.version + 1,
        )
        .returning(Incident.id, Incident.uuid, Incident.episode, Incident.member_count)
        .execution_options(synchronize_session=False)
    ).all()
    if not rows:
        return
    effects.resolved.update(row.id for row in rows)
    lines = [
        timeline.line(
            row.id,
            at,
            "resolved",
            "Resolved: its alert stopped"
            if row.member_count == 1
            else f"Resolved: all {row.member_count} alerts stopped",
        )
        for row in rows
    ]
    timeline.write(session, lines)
    paging.resolve([row.id for row in rows], at=at)
