"""The alerts of incidents: one row for each alert of each incident, written in sets."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import cast

from sqlalchemy import Table, case, func, select, update
from sqlalchemy.orm import Session

from app.core.bulk import Bulk, BulkRead, BulkUpdate
from app.incidents.sightings import Effects, Key, Round, Sighting
from app.incidents.tables import Incident, Member

MEMBERS = cast(Table, Member.__table__)  # sets of rows go past the ORM's bookkeeping

NEWS = (
    "group_key", "firing", "summary", "severity", "labels", "annotations", "links", "starts_at",
    "ends_at", "last_seen_at",
)  # fmt: skip
WRITE = Bulk(
    Member,
    (
        "incident_id",
        "integration_id",
        "fingerprint",
        "name",
        "first_seen_at",
        "times_seen",
        *NEWS,
    ),
    "ON CONFLICT (incident_id, integration_id, fingerprint) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in NEWS)
    + ", times_seen = incident_members.times_seen + excluded.times_seen",
)
ALERT = ("integration_id", "fingerprint")
ARE_FIRING = "AND incident_members.firing"
FIRING = BulkRead(Member, ALERT, ("incident_id", *ALERT), ARE_FIRING)
END = BulkUpdate(Member, ALERT, ("firing", "ends_at"), ARE_FIRING)
REST = BulkUpdate(Member, ALERT, ("firing",), ARE_FIRING)
COUNT = BulkUpdate(Incident, ("id",), ("member_count", "firing_count", "last_alert_at"))


def keep(session: Session, firing: Mapping[Key, Sighting], effects: Effects) -> set[int]:
    """Insert the alerts that fire, or bring them up to date.

    Returns the incidents whose members changed, those that lost one among them.
    """
    moved = {
        key: sighting.incident_id
        for key, sighting in firing.items()
        if sighting.incident_id and sighting.incident_id != effects.incident_of[key]
    }
    if moved:
        # A person closed the old incident; the alert fires in one at a time.
        REST.write(
            session.connection(),
            [{"integration_id": i, "fingerprint": f, "firing": False} for i, f in sorted(moved)],
        )
    WRITE.write(
        session.connection(),
        [
            {
                "incident_id": effects.incident_of[key],
                "integration_id": key[0],
                "fingerprint": key[1],
                "group_key": sighting.group_key,
                "firing": True,
                "name": sighting.name,
                "summary": sighting.summary,
                "severity": sighting.severity,
                "labels": sighting.labels,
                "annotations": sighting.annotations,
                "links": sighting.links,
                "starts_at": sighting.starts_at,
                "ends_at": None,
                "first_seen_at": sighting.seen_at,
                "last_seen_at": sighting.seen_at,
                "times_seen": sighting.times,
            }
            # In one order, so that two writers never wait for each other's rows.
            for key, sighting in sorted(firing.items())
        ],
    )
    return {*effects.incident_of.values(), *moved.values()}


def end(session: Session, round_: Round, effects: Effects) -> set[int]:
    """Mark alerts as over, and return the incidents they were in."""
    touched: set[int] = set()
    if round_.over:
        rows = FIRING.read(session.connection(), round_.over)
        touched.update(incident_id for incident_id, _, _ in rows)
        if rows:
            END.write(
                session.connection(),
                [
                    {
                        "integration_id": key[0],
                        "fingerprint": key[1],
                        "firing": False,
                        "ends_at": round_.over[key],
                    }
                    for key in sorted(
                        (integration_id, print_) for _, integration_id, print_ in rows
                    )
                ],
            )
    for group, told_at in round_.groups_over.items():
        taken = (
            session.connection()
            .execute(
                update(MEMBERS)
                .where(
                    MEMBERS.c.firing,
                    MEMBERS.c.integration_id == group[0],
                    MEMBERS.c.group_key == group[1],
                    # One that was told of since then does not end with what was said before.
                    MEMBERS.c.last_seen_at <= told_at,
                )
                .values(firing=False, ends_at=told_at)
                .returning(MEMBERS.c.incident_id, MEMBERS.c.integration_id, MEMBERS.c.fingerprint)
            )
            .all()
        )
        effects.of_group[group] = Counter(row.incident_id for row in taken)
        touched |= effects.of_group[group].keys()
        for row in taken:
            effects.went_along[(row.integration_id, row.fingerprint)] = told_at
    return touched


def recount(session: Session, incident_ids: set[int], effects: Effects, *, at: datetime) -> None:
    """Bring the counts of these incidents up to date."""
    counted = session.execute(
        select(
            Member.incident_id,
            func.count().label("members"),
            func.sum(case((Member.firing, 1), else_=0)).label("firing"),
        )
        .where(Member.incident_id.in_(incident_ids))
        .group_by(Member.incident_id)
    ).all()
    effects.still_firing.update(row.incident_id for row in counted if row.firing)
    COUNT.write(
        session.connection(),
        [
            {
                "id": row.incident_id,
                "member_count": row.members,
                "firing_count": row.firing,
                "last_alert_at": at,
            }
            for row in sorted(counted, key=lambda row: row.incident_id)
        ],
    )
