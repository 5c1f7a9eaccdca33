"""The incident of each firing alert: found among the open ones, opened again, or opened.

What follows from its opening (timeline, evidence, page) is written with it.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, and_, case, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.core.db import AnyRow, is_sqlite
from app.health import evidence as health
from app.incidents import paging, timeline
from app.incidents.rules import Ended, State, reopens, still_fires
from app.incidents.sightings import Effects, Identity, Key, Sighting
from app.incidents.tables import Evidence, Incident

# Sets of rows go past the ORM's bookkeeping.
INCIDENTS = cast(Table, Incident.__table__)
EVIDENCE = cast(Table, Evidence.__table__)

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


def place(
    session: Session,
    firing: Mapping[Key, Sighting],
    effects: Effects,
    *,
    at: datetime,
    reopen_window: timedelta,
) -> None:
    """Find, reopen or open the incident of each firing alert."""
    placing = _Placing(session, firing, effects, at=at, reopen_window=reopen_window)
    if missing := placing.find():
        placing.open(missing)
    placing.raise_severity()


class _Placing:
    """One round of firing alerts, and the incidents it has to do with."""

    def __init__(
        self,
        session: Session,
        firing: Mapping[Key, Sighting],
        effects: Effects,
        *,
        at: datetime,
        reopen_window: timedelta,
    ) -> None:
        self._session, self._firing, self._effects = session, firing, effects
        self._at, self._reopen_window = at, reopen_window
        self._incidents: dict[int, AnyRow] = {}  # as they were found or made
        self._wanted: dict[Identity, list[Sighting]] = defaultdict(list)
        for sighting in firing.values():
            self._wanted[sighting.identity.comparable].append(sighting)

    def find(self) -> list[Identity]:
        """Put each alert where it fires already, or into what is open. Returns what is not."""
        stays = {sighting.incident_id for sighting in self._firing.values() if sighting.incident_id}
        # Locked in one order, so that people who act at the same time wait and nobody deadlocks.
        rows = self._session.execute(
            select(*INCIDENT)
            .where(
                or_(
                    Incident.id.in_(stays),
                    and_(Incident.state != State.RESOLVED, _matching(self._wanted)),
                )
            )
            .order_by(Incident.id)
            .with_for_update()
        ).all()
        self._incidents.update((row.id, row) for row in rows)
        open_for = {_identity_of(row): row for row in rows if row.state != State.RESOLVED}
        missing: dict[Identity, None] = {}  # a set that keeps its order
        for identity, sightings in self._wanted.items():
            for sighting in sightings:
                home = self._home_of(sighting) or open_for.get(identity)
                if home is None:
                    missing[identity] = None
                else:
                    self._effects.incident_of[sighting.key] = home.id
        return list(missing)

    def _home_of(self, sighting: Sighting) -> AnyRow | None:
        """The incident that the alert fires in already, unless that is over for it."""
        home = self._incidents.get(sighting.incident_id or 0)
        if home is None or home.state != State.RESOLVED:
            return home
        if not home.resolved_by_hand or still_fires(_ending(home, self._at), at=self._at):
            return None
        # A person closed it, and an alert that still fires is left alone.
        self._effects.resting.add(home.id)
        return home

    def open(self, missing: Sequence[Identity]) -> None:
        """Reopen what ended just now, open the rest."""
        last = self._last_of(missing)
        homes = {
            identity: row.id
            for identity in missing
            if (row := last.get(identity)) is not None and self._comes_back(row)
        }
        if homes:
            self._reopen(list(homes.values()))
        fresh = [identity for identity in missing if identity not in homes]
        if fresh:
            homes |= self._insert(fresh, last)
            if lost := [identity for identity in fresh if identity not in homes]:
                homes |= self._found_meanwhile(lost)
        for identity in missing:
            for sighting in self._wanted[identity]:
                self._effects.incident_of.setdefault(sighting.key, homes[identity])

    def _last_of(self, identities: Sequence[Identity]) -> dict[Identity, AnyRow]:
        """The newest incident of each identity, all of which are resolved."""
        newest = (
            select(func.max(Incident.id))
            .where(_matching(identities))
            .group_by(
                Incident.model_id,
                Incident.failure_mode,
                Incident.model_version,
                Incident.triage_key,
            )
        )
        rows = self._session.execute(
            select(*INCIDENT).where(Incident.id.in_(newest)).order_by(Incident.id)
        )
        return {_identity_of(row): row for row in rows}

    def _comes_back(self, last: AnyRow) -> bool:
        ended = _ending(last, self._at)
        if reopens(ended, at=self._at, window=self._reopen_window):
            return True
        sightings = self._wanted[_identity_of(last)]
        never_stopped = any(sighting.incident_id == last.id for sighting in sightings)
        return never_stopped and still_fires(ended, at=self._at)

    def _insert(
        self, identities: Sequence[Identity], last: Mapping[Identity, AnyRow]
    ) -> dict[Identity, int]:
        """Open incidents. Returns those that nobody else opened in this moment."""
        statement = (sqlite if is_sqlite() else postgresql).insert(INCIDENTS)
        created = (
            self._session.connection()
            .execute(
                statement.on_conflict_do_nothing().returning(*INCIDENT),
                [self._columns(identity, last.get(identity)) for identity in identities],
            )
            .all()
        )
        self._incidents.update((row.id, row) for row in created)
        self._effects.opened.update(row.id for row in created)
        self._announce(created, "opened")
        return {_identity_of(row): row.id for row in created}

    def _columns(self, identity: Identity, previous: AnyRow | None) -> dict[str, Any]:
        worst = self._worst_of(identity)
        return {
            "uuid": uuid.uuid4().hex,
            "title": worst.title,
            "state": State.TRIGGERED,
            "severity": worst.severity,
            "model_id": identity.model_id,
            "failure_mode": worst.identity.failure_mode,
            "model_version": worst.identity.model_version,
            "triage_key": identity.triage_key,
            "team_id": worst.attachment.team_id,
            "runbook_version_id": worst.attachment.runbook_version_id,
            "previous_id": previous.id if previous is not None else None,
            "opened_at": self._at,
            "last_alert_at": self._at,
            "version": 1,
        }

    def _found_meanwhile(self, lost: Sequence[Identity]) -> dict[Identity, int]:
        """Somebody declared the same by hand in this moment. Theirs it is."""
        rows = self._session.execute(
            select(*INCIDENT)
            .where(Incident.state != State.RESOLVED, _matching(lost))
            .with_for_update()
        ).all()
        self._incidents.update((row.id, row) for row in rows)
        return {_identity_of(row): row.id for row in rows}

    def _reopen(self, ids: Sequence[int]) -> None:
        reopened = self._session.scalars(
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
                last_alert_at=self._at,
                version=Incident.version + 1,
            )
            .returning(Incident.id)
            .execution_options(synchronize_session=False)
        ).all()
        rows = self._session.execute(select(*INCIDENT).where(Incident.id.in_(ids))).all()
        self._incidents.update((row.id, row) for row in rows)
        self._effects.reopened.update(reopened)
        self._announce([row for row in rows if row.id in reopened], "reopened")

    def _announce(self, rows: Sequence[AnyRow], kind: str) -> None:
        """Timeline, evidence and page of incidents that begin, or begin again."""
        if not rows:
            return
        lines, evidence, pages = [], [], []
        seen = health.snapshots((row.model_id for row in rows if row.model_id), at=self._at)
        for row in rows:
            identity = _identity_of(row)
            worst = self._worst_of(identity)
            if kind == "opened":
                said, why = "Opened", {"why": list(worst.attachment.reasons)}
            else:
                said, why = "Opened again", {}
            text = f"{said} by {worst.name}"
            lines.append(timeline.line(row.id, self._at, kind, text, by=worst.name, **why))
            count = len(self._wanted[identity])
            evidence.append(_evidence(row, worst, count, seen.get(row.model_id), self._at))
            pages.append(_page(row, worst, self._at))
        timeline.write(self._session, lines)
        self._session.connection().execute(insert(EVIDENCE), evidence)
        paging.page(pages, at=self._at)

    def raise_severity(self) -> None:
        """An incident is as severe as its worst alert, unless a person said otherwise."""
        worst: dict[int, Sighting] = {}
        for key, incident_id in self._effects.incident_of.items():
            sighting = self._firing[key]
            if incident_id not in worst or sighting.severity < worst[incident_id].severity:
                worst[incident_id] = sighting
        raised = [
            (row, sighting)
            for incident_id, sighting in worst.items()
            if (row := self._incidents.get(incident_id)) is not None
            and sighting.severity < row.severity
            and not row.severity_set_by_hand
        ]
        if not raised:
            return
        self._session.execute(
            update(Incident)
            .where(Incident.id.in_([row.id for row, _ in raised]))
            .values(
                severity=case({row.id: s.severity for row, s in raised}, value=Incident.id),
                version=Incident.version + 1,
            )
            .execution_options(synchronize_session=False)
        )
        lines = [
            timeline.line(
                row.id,
                self._at,
                "severity",
                f"Severity raised from SEV-{row.severity} to SEV-{sighting.severity} "
                f"by {sighting.name}",
                by=sighting.name,
            )
            for row, sighting in raised
        ]
        timeline.write(self._session, lines)

    def _worst_of(self, identity: Identity) -> Sighting:
        return min(self._wanted[identity], key=lambda sighting: sighting.severity)


def _identity_of(row: AnyRow) -> Identity:
    if row.model_id is None:
        return Identity(None, "", "", row.triage_key)
    return Identity(row.model_id, row.failure_mode, row.model_version)


def _matching(identities: Iterable[Identity]) -> Any:
    """The SQL condition for incidents of these identities."""
    of_models = [(i.model_id, i.failure_mode, i.model_version) for i in identities if i.model_id]
    in_triage = [i.triage_key for i in identities if i.model_id is None]
    return or_(
        tuple_(Incident.model_id, Incident.failure_mode, Incident.model_version).in_(of_models),
        and_(Incident.model_id.is_(None), Incident.triage_key.in_(in_triage)),
    )


def _ending(row: AnyRow, at: datetime) -> Ended:
    return Ended(row.resolved_at or at, row.resolved_by_hand, row.noise)


def _evidence(
    row: AnyRow, worst: Sighting, count: int, seen: Mapping[str, Any] | None, at: datetime
) -> dict[str, Any]:
    """What the alert said, and what the panels of its model said in that moment."""
    return {
        "incident_id": row.id,
        "episode": row.episode,
        "kind": "alert",
        "taken_at": at,
        "content": {
            "name": worst.name,
            "summary": worst.summary,
            "labels": dict(worst.labels),
            "annotations": dict(worst.annotations),
            "links": [dict(link) for link in worst.links],
            "starts_at": worst.starts_at.isoformat(),
            "alerts": count,
            **({"health": seen} if seen else {}),
        },
    }


def _page(row: AnyRow, worst: Sighting, at: datetime) -> paging.Page:
    return paging.Page(
        incident_id=row.id,
        uuid=row.uuid,
        episode=row.episode,
        team_id=worst.attachment.team_id if row.team_id is None else row.team_id,
        title=row.title,
        severity=row.severity,
        model_name=worst.attachment.model_name,
        failure_mode=row.failure_mode,
        opened_at=at,
        labels=dict(worst.labels),
        links=[dict(link) for link in worst.links],
        runbook_path=worst.attachment.runbook_path,
    )
