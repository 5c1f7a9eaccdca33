"""What a delivery became, or why nothing opened: as it is kept, and in a line for people."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.alerts.rules import DeliveryState, Verdict
from app.alerts.sources.base import Parsed
from app.incidents.sightings import Effects

MOST_REMARKS = 20


@dataclass(slots=True, eq=False)
class Reading:
    """A delivery on its way through, and what came of it."""

    id: int
    integration_id: int
    sender: str  # the name of its integration
    source: str
    received_at: datetime
    team_id: int | None  # of its sender
    parsed: Parsed
    counts: Counter[Verdict] = field(default_factory=Counter)
    landed: Counter[tuple[Verdict, int]] = field(default_factory=Counter)  # in which incident
    went_along: Counter[int] = field(default_factory=Counter)  # ended with their group, unnamed
    opened: set[int] = field(default_factory=set)
    reopened: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)
    resolved: set[int] = field(default_factory=set)
    still_firing: set[int] = field(default_factory=set)
    resting: set[int] = field(default_factory=set)
    reasons: dict[str, None] = field(default_factory=dict)  # a set that keeps its order

    @property
    def incidents(self) -> set[int]:
        return {incident_id for _, incident_id in self.landed} | self.went_along.keys()

    def hear(self, incident_ids: Collection[int], effects: Effects) -> None:
        """Keep what a round did to these incidents."""
        ids = set(incident_ids)
        self.opened |= ids & effects.opened
        self.reopened |= ids & effects.reopened
        self.acknowledged |= ids & effects.acknowledged
        self.resolved |= ids & effects.resolved
        self.still_firing |= ids & effects.still_firing
        self.resting |= ids & effects.resting


def outcome(reading: Reading, *, at: datetime) -> dict[str, Any]:
    """The columns of a delivery that is processed."""
    parsed = reading.parsed
    return {
        "id": reading.id,
        "state": _state(reading),
        "processed_at": at,
        "next_try_at": None,
        "why": sentence(reading),
        "outcome": {
            "counts": {verdict.value: count for verdict, count in reading.counts.items()},
            "incidents": sorted(reading.incidents),
            "opened": sorted(reading.opened | reading.reopened),
            "resolved": sorted(reading.resolved),
            "changes": len(parsed.changes),
            "faults": [{"where": fault.where, "why": fault.why} for fault in parsed.faults],
            "remarks": _remarks(parsed),
            "reasons": list(reading.reasons),
        },
    }


def _state(reading: Reading) -> DeliveryState:
    parsed, counts = reading.parsed, reading.counts
    if not parsed.alerts and not parsed.changes and parsed.faults:
        return DeliveryState.DEAD
    is_news = (
        counts[Verdict.FIRES]
        or counts[Verdict.RESOLVES]
        or reading.went_along
        or reading.acknowledged
        or reading.opened
        or reading.reopened
    )
    return DeliveryState.ACCEPTED if is_news or not parsed.alerts else DeliveryState.DUPLICATE


def _remarks(parsed: Parsed) -> list[str]:
    said = dict.fromkeys(remark for alert in parsed.alerts for remark in alert.remarks)
    return list(said)[:MOST_REMARKS]


def sentence(reading: Reading) -> str:
    """What a delivery became, or why nothing opened, in a line for people."""
    parsed, counts = reading.parsed, reading.counts
    said = [*_begun(reading), *_ended(reading)]
    if reading.acknowledged:
        said.append(f"acknowledged {_incidents(reading.acknowledged)}")
    elif counts[Verdict.ACKNOWLEDGES]:
        said.append("acknowledged at the sender, changed nothing")
    said += _firing_already(reading)
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


def _begun(reading: Reading) -> Iterable[str]:
    if reading.opened:
        yield f"opened {_incidents(reading.opened)}"
    if reading.reopened:
        yield f"opened {_incidents(reading.reopened)} again"
    joined = _of(Verdict.FIRES, reading, but=reading.opened | reading.reopened)
    if joined:
        yield f"{joined.total()} joined {_incidents(joined)}"


def _ended(reading: Reading) -> Iterable[str]:
    if reading.resolved:
        yield f"resolved {_incidents(reading.resolved)}"
    ended = _of(Verdict.RESOLVES, reading)
    ended.update(reading.went_along)
    for incident_id in reading.resolved:
        del ended[incident_id]
    part = Counter({i: count for i, count in ended.items() if i in reading.still_firing})
    if part:
        yield f"{part.total()} ended, others of {_incidents(part)} still fire"
    # The last of an incident that alerts don't end: people declared it, or resolved it before.
    if last := ended - part:
        yield f"{last.total()} ended in {_incidents(last)}"


def _firing_already(reading: Reading) -> Iterable[str]:
    known = _of(Verdict.REPEATS, reading, but=reading.opened | reading.reopened)
    left_alone = Counter({i: count for i, count in known.items() if i in reading.resting})
    if heard := known - left_alone:
        yield f"{heard.total()} already firing in {_incidents(heard)}"
    if left_alone:
        yield f"{left_alone.total()} still firing in {_incidents(left_alone)}, resolved by hand"


def _of(verdict: Verdict, reading: Reading, *, but: Collection[int] = ()) -> Counter[int]:
    """How many alerts of the verdict each incident got."""
    return Counter(
        {i: count for (one, i), count in reading.landed.items() if one is verdict and i not in but}
    )


def _incidents(ids: Iterable[int]) -> str:
    numbers = sorted(ids)
    named = ", ".join(f"INC-{number}" for number in numbers[:3])
    return named if len(numbers) <= 3 else f"{named} and {len(numbers) - 3} more"
