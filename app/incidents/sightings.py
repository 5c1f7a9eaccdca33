"""What alerts say on their way into incidents, and what became of them: the terms of the intake."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

Key = tuple[int, str]  # integration id, fingerprint
Group = tuple[int, str]  # integration id, hash of the sender's group


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two alerts the same incident: model, failure mode and version, or a triage key."""

    model_id: int | None
    failure_mode: str
    model_version: str = ""
    triage_key: str | None = None

    @property
    def comparable(self) -> "Identity":
        """In triage the key alone decides."""
        return Identity(None, "", "", self.triage_key) if self.model_id is None else self


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
    groups_over: dict[Group, datetime] = field(default_factory=dict)  # when told
    acknowledged: dict[Key, str] = field(default_factory=dict)  # by which sender

    def settles(self, key: Key) -> bool:
        """Whether the alert ended or was taken in this round, so that its next start is another."""
        return key in self.over or key in self.acknowledged

    def ends_group(self, key: Key, group_key: str | None) -> bool:
        """Whether the alert may have ended in this round with its group."""
        return (key[0], group_key or "") in self.groups_over

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
    """What a round did: the incident of each alert, and the incidents that changed."""

    incident_of: dict[Key, int] = field(default_factory=dict)
    went_along: dict[Key, datetime] = field(default_factory=dict)  # with their group; when told
    of_group: dict[Group, Counter[int]] = field(default_factory=dict)  # how many, by incident
    opened: set[int] = field(default_factory=set)
    reopened: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)
    resolved: set[int] = field(default_factory=set)
    still_firing: set[int] = field(default_factory=set)  # one of its alerts at least
    resting: set[int] = field(default_factory=set)  # resolved by a person, though alerts fire
