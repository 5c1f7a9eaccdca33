"""States and decisions of incidents: pure functions."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class State(StrEnum):
    TRIGGERED = "triggered"
    ACKNOWLEDGED = "acknowledged"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"


NEXT_STATES: dict[State, frozenset[State]] = {
    State.TRIGGERED: frozenset({State.ACKNOWLEDGED, State.MITIGATED, State.RESOLVED}),
    State.ACKNOWLEDGED: frozenset({State.MITIGATED, State.RESOLVED}),
    State.MITIGATED: frozenset({State.ACKNOWLEDGED, State.RESOLVED}),  # it was not, after all
    State.RESOLVED: frozenset({State.TRIGGERED}),  # reopened
}


def refusal_to_move(current: State, to: State) -> str | None:
    """Say why an incident may not move from `current` to `to`; None if it may."""
    if to in NEXT_STATES[current]:
        return None
    if current == to:
        return f"This incident is already {current}."
    if current is State.RESOLVED:
        return "This incident is already resolved. Open it again first."
    return f"This incident is {current}; it can't become {to}."


LEAST_SEVERE = 4
DEFAULT_SEVERITY = 3

# What senders write, and the severity it stands for (1 is the worst).
SEVERITIES: dict[str, int] = {
    "sev1": 1, "sev-1": 1, "s1": 1, "critical": 1, "page": 1, "emergency": 1, "fatal": 1,
    "sev2": 2, "sev-2": 2, "s2": 2, "error": 2, "high": 2, "major": 2,
    "sev3": 3, "sev-3": 3, "s3": 3, "warning": 3, "warn": 3, "medium": 3, "minor": 3, "ticket": 3,
    "sev4": 4, "sev-4": 4, "s4": 4, "info": 4, "informational": 4, "low": 4, "none": 4,
}  # fmt: skip

PAGERDUTY_SEVERITY = {1: "critical", 2: "error", 3: "warning", 4: "info"}


def severity_of(said: str) -> int | None:
    """The severity (1 to 4) that a sender's word stands for; None for a word we don't know."""
    return SEVERITIES.get(said.strip().lower())


def mode_from_name(alert_name: str) -> str:
    """A failure mode for an alert that no runbook knows: its own name, in snake case."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", alert_name)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:120] or "unnamed"


# After a person resolved an incident, an alert that still fires is left alone this long: the
# sender may not have noticed yet, and a late copy of what was known must not undo a decision.
STILL_FIRING_AFTER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Ended:
    """How the last incident of the same identity ended."""

    resolved_at: datetime
    by_hand: bool
    noise: bool


def reopens(ended: Ended, *, at: datetime, window: timedelta) -> bool:
    """Whether an alert that fires anew opens the old incident again, rather than a new one.

    One that ended by itself flaps. One that a person closed got a reason, which stays.
    """
    return not ended.by_hand and at - ended.resolved_at <= window


def still_fires(ended: Ended, *, at: datetime) -> bool:
    """Whether a repeat of an alert that never stopped speaks against a person's resolve."""
    return ended.by_hand and not ended.noise and at - ended.resolved_at >= STILL_FIRING_AFTER


def dedup_key(installation: str, uuid: str, episode: int) -> str:
    """The key of an incident's page at PagerDuty: the same for trigger, acknowledge and resolve."""
    return f"portal:{installation}:{uuid}:{episode}"
