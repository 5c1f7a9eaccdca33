"""From alerts to incidents, many at a time.

This is the hot path: a storm of 100,000 alerts comes through here. It works on sets with Core
statements, inside the caller's unit of work. What one person does to one incident is in
`service.py`.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    Table,
    and_,
    case,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.core.bulk import Bulk, BulkRead, BulkUpdate
from app.core.db import AnyRow, is_sqlite
from app.health import evidence as health
from app.incidents import paging
from app.incidents.rules import Ended, State, reopens, still_fires
from app.incidents.tables import Entry, Evidence, Incident, Member

Key = tuple[int, str]  # integration id, fingerprint

# Sets of rows go past the ORM's bookkeeping.
INCIDENTS = cast(Table, Incident.__table__)
MEMBERS = cast(Table, Member.__table__)
ENTRIES = cast(Table, Entry.__table__)
EVIDENCE = cast(Table, Evidence.__table__)

MEMBER_NEWS = (
    "group_key", "firing", "summary", "severity", "labels", "annotations", "links", "starts_at",
    "ends_at", "last_seen_at",
)  # fmt: skip
WRITE_MEMBERS = Bulk(
    Member,
    (
        "incident_id",
        "integration_id",
        "fingerprint",
        "name",
        "first_seen_at",
        "times_seen",
        *MEMBER_NEWS,
    ),
    "ON CONFLICT (incident_id, integration_id, fingerprint) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in MEMBER_NEWS)
    + ", times_seen = incident_members.times_seen + excluded.times_seen",
)
ALERT = ("integration_id", "fingerprint")
FIRING = "AND incident_members.firing"
FIRING_MEMBERS = BulkRead(Member, ALERT, ("incident_id", *ALERT), FIRING)
END_MEMBERS = BulkUpdate(Member, ALERT, ("firing", "ends_at"), FIRING)
REST_MEMBERS = BulkUpdate(Member, ALERT, ("firing",), FIRING)
COUNT_MEMBERS = BulkUpdate(Incident, ("id",), ("member_count", "firing_count", "last_alert_at"))


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two alerts the same incident: model, failure mode and version, or a triage key."""

    model_id: int | None
    failure_mode: str
    model_version: str = ""
    triage_key: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """What an incident gets when it opens: who owns it, what to follow, and why."""

    team_id: int | None
    model_name: str | None
    runbook_version_id: int | None
    runbook_path: str | None = None  # where to read it
    reasons: tuple[str, ...] = ()  # why this model and this runbook, a sentence each


@dataclass(frozen=True, slots=True)
class Sighting:
    """A firing alert on its way into an incident."""

    key: Key
    identity: Identity
    attachment: Attachment
    name: str
    title: str
    summary: str
    severity: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    links: Sequence[Mapping[str, str]]
    group_key: str | None
    starts_at: datetime
    seen_at: datetime
    incident_id: int | None = None  # where it fires already; then it stays there
    times: int = 1


@dataclass(slots=True)
class Round:
    """What a batch of alerts says, each alert firing first and ending after, if it does both."""

    firing: dict[Key, Sighting] = field(default_factory=dict)
    over: dict[Key, datetime] = field(default_factory=dict)
    groups_over: dict[tuple[int, str], datetime] = field(default_factory=dict)  # when told
    acknowledged: dict[Key, str] = field(default_factory=dict)  # by whom, as the sender says

    def settled(self, key: Key, group_key: str | None) -> bool:
        """Whether the alert ended or was taken in this round, so that its next start is another."""
        return (
            key in self.over
            or key in self.acknowledged
            or (key[0], group_key or "") in self.groups_over
        )

    def fire(self, sighting: Sighting) -> None:
        before = self.firing.get(sighting.key)
        if before is not None:
            sighting = replace(
                sighting,
                times=before.times + 1,
                starts_at=before.starts_at,
                incident_id=before.incident_id,
            )
        self.firing[sighting.key] = sighting


@dataclass(slots=True)
class Effects:
    """What a round did."""

    incident_of: dict[Key, int] = field(default_factory=dict)
    ended: set[Key] = field(default_factory=set)  # told by name
    went_along: dict[Key, datetime] = field(default_factory=dict)  # with their group; when told
    of_group: dict[tuple[int, str], set[int]] = field(default_factory=dict)  # its incidents
    opened: set[int] = field(default_factory=set)
    reopened: set[int] = field(default_factory=set)
    resolved: set[int] = field(default_factory=set)


def apply(session: Session, round_: Round, *, at: datetime, reopen_window: timedelta) -> Effects:
    """Write what a round of alerts means. Inside the caller's unit of work."""
    effects = Effects()
    incidents: dict[int, AnyRow] = {}
    touched: set[int] = set()
    if round_.firing:
        _place(session, round_.firing, effects, incidents, at=at, window=reopen_window)
        touched |= _write_members(session, round_.firing, effects)
    if round_.acknowledged:
        _acknowledge(session, round_.acknowledged, at=at)
    if round_.over or round_.groups_over:
        touched |= _end_members(session, round_, effects)
    if touched:
        _recount(session, touched, at=at)
        _resolve_what_is_over(session, touched, effects, at=at)
    return effects


INCIDENT = (
    Incident.id,
    Incident.uuid,
    Incident.model_id,
    Incident.failure_mode,
    Incident.model_version,
    Incident.triage_key,
    Incident.state,
    Incident.severity,
    Incident.severity_set_by_hand,
    Incident.episode,
    Incident.team_id,
    Incident.title,
    Incident.resolved_at,
    Incident.resolved_by_hand,
    Incident.noise,
)


def _identity_of(row: AnyRow) -> Identity:
    if row.model_id is None:
        return Identity(None, "", "", row.triage_key)
    return Identity(row.model_id, row.failure_mode, row.model_version)


def _comparable(identity: Identity) -> Identity:
    """In triage the key alone decides."""
    return Identity(None, "", "", identity.triage_key) if identity.model_id is None else identity


def _matching(identities: Iterable[Identity]) -> Any:
    """The SQL condition for incidents of these identities."""
    of_models = [(i.model_id, i.failure_mode, i.model_version) for i in identities if i.model_id]
    in_triage = [i.triage_key for i in identities if i.model_id is None]
    return or_(
        tuple_(Incident.model_id, Incident.failure_mode, Incident.model_version).in_(of_models),
        and_(Incident.model_id.is_(None), Incident.triage_key.in_(in_triage)),
    )


def _place(
    session: Session,
    firing: Mapping[Key, Sighting],
    effects: Effects,
    incidents: dict[int, AnyRow],
    *,
    at: datetime,
    window: timedelta,
) -> None:
    """Find, reopen or open the incident of each firing alert."""
    wanted: dict[Identity, list[Sighting]] = defaultdict(list)
    for sighting in firing.values():
        wanted[_comparable(sighting.identity)].append(sighting)
    stays = {sighting.incident_id for sighting in firing.values() if sighting.incident_id}

    # Locked in one order, so that people who act at the same time wait and nobody deadlocks.
    lock = select(*INCIDENT).order_by(Incident.id).with_for_update()
    rows = session.execute(
        lock.where(
            or_(
                Incident.id.in_(stays),
                and_(Incident.state != State.RESOLVED, _matching(wanted)),
            )
        )
    ).all()
    incidents.update((row.id, row) for row in rows)
    open_for = {_identity_of(row): row for row in rows if row.state != State.RESOLVED}

    missing = []
    for identity, sightings in wanted.items():
        for sighting in sightings:
            home = incidents.get(sighting.incident_id or 0)
            if home is not None and home.state == State.RESOLVED and not _rests(home, at):
                home = None
            home = home or open_for.get(identity)
            if home is None:
                missing.append(identity)
            else:
                effects.incident_of[sighting.key] = home.id
    missing = list(dict.fromkeys(missing))
    if missing:
        homes = _open(session, missing, wanted, incidents, effects, at=at, window=window)
        for identity in missing:
            for sighting in wanted[identity]:
                effects.incident_of.setdefault(sighting.key, homes[identity])
    _raise_severity(session, firing, effects, incidents, at=at)


def _open(
    session: Session,
    identities: Sequence[Identity],
    wanted: Mapping[Identity, Sequence[Sighting]],
    incidents: dict[int, AnyRow],
    effects: Effects,
    *,
    at: datetime,
    window: timedelta,
) -> dict[Identity, int]:
    """Reopen what ended just now, open the rest. Returns the incident of each identity."""
    newest = (
        select(func.max(Incident.id))
        .where(_matching(identities))
        .group_by(
            Incident.model_id, Incident.failure_mode, Incident.model_version, Incident.triage_key
        )
    )
    last = {
        _identity_of(row): row
        for row in session.execute(
            select(*INCIDENT).where(Incident.id.in_(newest)).order_by(Incident.id)
        )
    }
    homes: dict[Identity, int] = {}
    fresh: list[dict[str, Any]] = []
    for identity in identities:
        sighting = min(wanted[identity], key=lambda s: s.severity)
        before = last.get(identity)
        if before is not None and _comes_back(before, wanted[identity], at=at, window=window):
            homes[identity] = before.id
            effects.reopened.add(before.id)
            continue
        fresh.append(
            {
                "uuid": uuid.uuid4().hex,
                "title": sighting.title,
                "state": State.TRIGGERED,
                "severity": sighting.severity,
                "model_id": identity.model_id,
                "failure_mode": sighting.identity.failure_mode,
                "model_version": sighting.identity.model_version,
                "triage_key": identity.triage_key,
                "team_id": sighting.attachment.team_id,
                "runbook_version_id": sighting.attachment.runbook_version_id,
                "previous_id": before.id if before is not None else None,
                "opened_at": at,
                "last_alert_at": at,
                "version": 1,
            }
        )
    if effects.reopened:
        _reopen(session, effects.reopened, wanted, last, incidents, at=at)
    if fresh:
        opening = upsert()(INCIDENTS).on_conflict_do_nothing()
        created = session.connection().execute(opening.returning(*INCIDENT), fresh).all()
        for row in created:
            incidents[row.id] = row
            identity = _identity_of(row)
            homes[identity] = row.id
            effects.opened.add(row.id)
        _record_opening(session, created, wanted, at=at)
        lost = [identity for identity in identities if identity not in homes]
        if lost:
            # Somebody declared the same by hand in this moment. Theirs it is.
            for row in session.execute(
                select(*INCIDENT)
                .where(Incident.state != State.RESOLVED, _matching(lost))
                .with_for_update()
            ):
                incidents[row.id] = row
                homes[_identity_of(row)] = row.id
    return homes


def _rests(home: AnyRow, at: datetime) -> bool:
    """Whether a person closed the incident, and its alert that still fires is to be left alone."""
    return home.resolved_by_hand and not still_fires(_ending(home, at), at=at)


def _ending(row: AnyRow, at: datetime) -> Ended:
    return Ended(row.resolved_at or at, row.resolved_by_hand, row.noise)


def _comes_back(
    before: AnyRow, sightings: Sequence[Sighting], *, at: datetime, window: timedelta
) -> bool:
    ended = _ending(before, at)
    never_stopped = any(sighting.incident_id == before.id for sighting in sightings)
    return reopens(ended, at=at, window=window) or (never_stopped and still_fires(ended, at=at))


def upsert() -> Any:
    """The INSERT of the database at hand; both spell ON CONFLICT the same."""
    return sqlite.insert if is_sqlite() else postgresql.insert


def _entry(incident_id: int, at: datetime, kind: str, text: str, **detail: Any) -> dict[str, Any]:
    return {
        "incident_id": incident_id,
        "at": at,
        "kind": kind,
        "actor_kind": "alert",
        "actor_id": None,
        "actor_name": str(detail.pop("by", "Alert"))[:120],
        "text": text,
        "detail": detail,
    }


def _record_opening(
    session: Session,
    created: Sequence[AnyRow],
    wanted: Mapping[Identity, Sequence[Sighting]],
    *,
    at: datetime,
) -> None:
    """Timeline, evidence and page of new incidents."""
    if not created:
        return
    entries, evidence, pages = [], [], []
    seen = health.snapshots((row.model_id for row in created if row.model_id), at=at)
    for row in created:
        sightings = wanted[_identity_of(row)]
        first = min(sightings, key=lambda s: s.severity)
        reasons = list(first.attachment.reasons)
        entries.append(
            _entry(row.id, at, "opened", f"Opened by {first.name}", by=first.name, why=reasons)
        )
        evidence.append(_evidence(row, first, len(sightings), seen.get(row.model_id), at))
        pages.append(_page(row, first, at))
    session.connection().execute(insert(ENTRIES), entries)
    session.connection().execute(insert(EVIDENCE), evidence)
    paging.page(pages, at=at)


def _evidence(
    row: AnyRow, first: Sighting, count: int, seen: Mapping[str, Any] | None, at: datetime
) -> dict[str, Any]:
    """What the alert said, and what the panels of its model said in that moment."""
    return {
        "incident_id": row.id,
        "episode": row.episode,
        "kind": "alert",
        "taken_at": at,
        "content": {
            "name": first.name,
            "summary": first.summary,
            "labels": dict(first.labels),
            "annotations": dict(first.annotations),
            "links": [dict(link) for link in first.links],
            "starts_at": first.starts_at.isoformat(),
            "alerts": count,
            **({"health": seen} if seen else {}),
        },
    }


def _page(row: AnyRow, first: Sighting, at: datetime) -> paging.Page:
    return paging.Page(
        incident_id=row.id,
        uuid=row.uuid,
        episode=row.episode,
        team_id=first.attachment.team_id if row.team_id is None else row.team_id,
        title=row.title,
        severity=row.severity,
        model_name=first.attachment.model_name,
        failure_mode=row.failure_mode,
        opened_at=at,
        labels=dict(first.labels),
        links=[dict(link) for link in first.links],
        runbook_path=first.attachment.runbook_path,
    )


def _reopen(
    session: Session,
    ids: Iterable[int],
    wanted: Mapping[Identity, Sequence[Sighting]],
    last: Mapping[Identity, AnyRow],
    incidents: dict[int, AnyRow],
    *,
    at: datetime,
) -> None:
    reopened = session.scalars(
        update(Incident)
        # Unless a person was quicker: then it is open, in an episode of its own.
        .where(Incident.id.in_(ids), Incident.state == State.RESOLVED)
        .values(
            state=State.TRIGGERED,
            episode=Incident.episode + 1,
            resolved_at=None,
            resolved_by_hand=False,
            resolution=None,
            noise=False,
            acknowledged_at=None,
            mitigated_at=None,
            last_alert_at=at,
            version=Incident.version + 1,
        )
        .returning(Incident.id)
        .execution_options(synchronize_session=False)
    ).all()
    by_id = {row.id: identity for identity, row in last.items()}
    rows = session.execute(select(*INCIDENT).where(Incident.id.in_(ids))).all()
    entries, evidence, pages = [], [], []
    models = (row.model_id for row in rows if row.model_id and row.id in reopened)
    seen = health.snapshots(models, at=at)
    for row in rows:
        incidents[row.id] = row
        if row.id not in reopened:
            continue
        sightings = wanted[by_id[row.id]]
        first = min(sightings, key=lambda s: s.severity)
        entries.append(
            _entry(row.id, at, "reopened", f"Opened again by {first.name}", by=first.name)
        )
        evidence.append(_evidence(row, first, len(sightings), seen.get(row.model_id), at))
        pages.append(_page(row, first, at))
    if not entries:
        return
    session.connection().execute(insert(ENTRIES), entries)
    session.connection().execute(insert(EVIDENCE), evidence)
    paging.page(pages, at=at)


def _raise_severity(
    session: Session,
    firing: Mapping[Key, Sighting],
    effects: Effects,
    incidents: Mapping[int, AnyRow],
    *,
    at: datetime,
) -> None:
    """An incident is as severe as its worst alert, unless a person said otherwise."""
    worst: dict[int, Sighting] = {}
    for key, incident_id in effects.incident_of.items():
        sighting = firing[key]
        if incident_id not in worst or sighting.severity < worst[incident_id].severity:
            worst[incident_id] = sighting
    raised = [
        (incident_id, sighting)
        for incident_id, sighting in worst.items()
        if (row := incidents.get(incident_id)) is not None
        and sighting.severity < row.severity
        and not row.severity_set_by_hand
    ]
    if not raised:
        return
    session.execute(
        update(Incident)
        .where(Incident.id.in_([incident_id for incident_id, _ in raised]))
        .values(
            severity=case({i: s.severity for i, s in raised}, value=Incident.id),
            version=Incident.version + 1,
        )
        .execution_options(synchronize_session=False)
    )
    session.connection().execute(
        insert(ENTRIES),
        [
            _entry(
                incident_id,
                at,
                "severity",
                f"Severity raised from SEV-{incidents[incident_id].severity} "
                f"to SEV-{sighting.severity} by {sighting.name}",
                by=sighting.name,
            )
            for incident_id, sighting in raised
        ],
    )


def _write_members(session: Session, firing: Mapping[Key, Sighting], effects: Effects) -> set[int]:
    """One row for each alert of each incident, inserted or brought up to date.

    Returns the incidents whose members changed, those that lost one among them.
    """
    moved = {
        key: sighting.incident_id
        for key, sighting in firing.items()
        if sighting.incident_id and sighting.incident_id != effects.incident_of[key]
    }
    if moved:
        # A person closed the old incident; the alert fires in one at a time.
        REST_MEMBERS.write(
            session.connection(),
            [{"integration_id": i, "fingerprint": f, "firing": False} for i, f in sorted(moved)],
        )
    WRITE_MEMBERS.write(
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


def _end_members(session: Session, round_: Round, effects: Effects) -> set[int]:
    """Mark alerts as over, and return the incidents they were in."""
    touched: set[int] = set()
    if round_.over:
        rows = FIRING_MEMBERS.read(session.connection(), round_.over)
        touched.update(incident_id for incident_id, _, _ in rows)
        effects.ended.update((integration_id, print_) for _, integration_id, print_ in rows)
        if rows:
            END_MEMBERS.write(
                session.connection(),
                [
                    {
                        "integration_id": key[0],
                        "fingerprint": key[1],
                        "firing": False,
                        "ends_at": round_.over[key],
                    }
                    for key in sorted(effects.ended)
                ],
            )
    for group, told_at in round_.groups_over.items():
        closed = session.connection().execute(
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
        taken = closed.all()
        effects.of_group[group] = {row.incident_id for row in taken}
        touched |= effects.of_group[group]
        for row in taken:
            effects.went_along[(row.integration_id, row.fingerprint)] = told_at
    return touched


def _recount(session: Session, incident_ids: set[int], *, at: datetime) -> None:
    counted = session.execute(
        select(
            Member.incident_id,
            func.count().label("members"),
            func.sum(case((Member.firing, 1), else_=0)).label("firing"),
        )
        .where(Member.incident_id.in_(incident_ids))
        .group_by(Member.incident_id)
    ).all()
    COUNT_MEMBERS.write(
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
    session.connection().execute(
        insert(ENTRIES),
        [
            _entry(
                row.id,
                at,
                "resolved",
                "Resolved: its alert stopped"
                if row.member_count == 1
                else f"Resolved: all {row.member_count} alerts stopped",
            )
            for row in rows
        ],
    )
    paging.resolve([row.id for row in rows], at=at)


def _acknowledge(session: Session, acknowledged: Mapping[Key, str], *, at: datetime) -> None:
    """Somebody took these alerts in the sender's system: so did they their incidents."""
    homes = FIRING_MEMBERS.read(session.connection(), acknowledged)
    by = {incident_id: acknowledged[(i, fingerprint)] for incident_id, i, fingerprint in homes}
    moved = session.scalars(
        update(Incident)
        .where(Incident.id.in_(by), Incident.state == State.TRIGGERED)
        .values(state=State.ACKNOWLEDGED, acknowledged_at=at, version=Incident.version + 1)
        .returning(Incident.id)
        .execution_options(synchronize_session=False)
    ).all()
    if moved:
        session.connection().execute(
            insert(ENTRIES),
            [
                _entry(
                    incident_id,
                    at,
                    "acknowledged",
                    "Acknowledged at the sender",
                    by=by[incident_id],
                )
                for incident_id in moved
            ],
        )
        paging.acknowledge(list(moved), at=at)
