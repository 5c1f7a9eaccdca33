"""What is known around a runbook that its own text can't say."""

from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, slots=True)
class Surroundings:
    """None means that nothing is known, and the rules that would need it say nothing."""

    slugs: Collection[str] | None = None  # of the other runbooks
    # Steps of older versions that the newest one has no more, by id: their titles.
    former_steps: Mapping[str, str] = field(default_factory=dict)
    live_step_ids: Collection[str] = ()  # in which somebody who follows this runbook did something
    alertnames: Collection[str] | None = None  # in lower case, of alerts that were ever received
    metrics: Collection[str] | None = None
    files: Container[str] | None = None  # beside the runbook, by the path that a link would say
    people_of_teams: Mapping[str, int] | None = None  # how many can be called, by the team's slug
    last_verified: date | None = None  # by a drill or in an incident
    first_published: date | None = None
    today: date | None = None
