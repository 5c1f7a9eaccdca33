"""The alerts of several deliveries, judged in the order of their arrival and written in rounds.

A round ends where an alert that ended in it starts anew, so that both are seen. Each alert is
judged by `rules.judge`; what follows for incidents is written by `incidents.intake`.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.alerts.outcomes import Reading
from app.alerts.routing import Route, Router, title_of
from app.alerts.rules import Known, Verdict, judge, learned
from app.alerts.sources import SOURCES
from app.alerts.sources.base import Alert, AlertStatus
from app.config import settings
from app.incidents import intake
from app.incidents.sightings import Effects, Group, Identity, Key, Round, Sighting

MOST_IDENTITIES = 500  # incidents a round: a statement names them all


class Batch:
    """The alerts of several deliveries, judged in their order and written round by round."""

    def __init__(self, session: Session, known: dict[Key, Known], *, at: datetime) -> None:
        self._session, self._at = session, at
        self._reopen_window = timedelta(minutes=settings().reopen_minutes)
        self._round = Round()
        self._waiting: list[tuple[Reading, Key, Verdict]] = []  # whose incident the round will tell
        self._ending: list[tuple[Reading, Group]] = []  # likewise, of whole groups
        self._identities: set[Identity] = set()  # of the round's incidents
        self.known = known
        self.changed: set[Key] = set()

    def take(self, reading: Reading, route: Router) -> None:
        for alert in reading.parsed.alerts:
            key = (reading.integration_id, alert.fingerprint)
            if alert.status is AlertStatus.ACKNOWLEDGED:
                self._acknowledge(reading, key)
            else:
                self._judge(reading, key, alert, route)
        group = reading.parsed.resolved_group
        if group is not None:
            # Also the members that the sender cut off its message.
            whole = (reading.integration_id, group)
            self._round.groups_over[whole] = reading.received_at
            self._ending.append((reading, whole))

    def _acknowledge(self, reading: Reading, key: Key) -> None:
        reading.counts[Verdict.ACKNOWLEDGES] += 1
        if key not in self._round.over:
            self._round.acknowledged[key] = reading.sender
        self._waiting.append((reading, key, Verdict.ACKNOWLEDGES))

    def _judge(self, reading: Reading, key: Key, alert: Alert, route: Router) -> None:
        firing = alert.status is AlertStatus.FIRING
        if firing and self._round.ends_group(key, alert.group_key):
            # Whether it went along is known once the round is written.
            self.flush()
        known, seen_at = self.known.get(key), reading.received_at
        by_time = SOURCES[reading.source].times_tell_order
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
        if fires and (self._round.settles(key) or len(self._identities) >= MOST_IDENTITIES):
            self.flush()
            known = self.known.get(key)
        self._waiting.append((reading, key, verdict))
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
            along = effects.of_group.get(whole, Counter())
            reading.went_along.update(along)
            reading.hear(along, effects)

    def _tell(self, waiting: Sequence[tuple[Reading, Key, Verdict]], effects: Effects) -> None:
        """Let each delivery know what became of its alerts."""
        heard: dict[Reading, set[int]] = defaultdict(set)
        for reading, key, verdict in waiting:
            known = self.known.get(key)
            incident_id = known.incident_id if known is not None else None
            if incident_id is not None:
                reading.landed[verdict, incident_id] += 1
                heard[reading].add(incident_id)
        for reading, incident_ids in heard.items():
            reading.hear(incident_ids, effects)


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
