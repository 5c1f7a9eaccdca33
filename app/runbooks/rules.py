"""What a runbook is made of: pure functions and vocabularies."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from unicodedata import normalize


class Status(StrEnum):
    DRAFT = "draft"
    IN_REVIEW = "in_review"
    PUBLISHED = "published"
    RETIRED = "retired"


class Verdict(StrEnum):
    """What a reviewer says of a version."""

    APPROVED = "approved"
    CHANGES = "changes"  # wants some first


class StepKind(StrEnum):
    CHECK = "check"
    DECISION = "decision"
    ACTION = "action"
    WAIT = "wait"
    VERIFY = "verify"
    ESCALATE = "escalate"


# The ways a served model fails, and how people say them. Other names are taken as they come.
FAILURE_MODES: dict[str, str] = {
    "input_drift": "Inputs drift",
    "output_drift": "Output quality drifts",
    "latency_regression": "Latency above its limit",
    "feature_stale": "Features are stale",
    "schema_break": "Schema breaks",
    "provider_degraded": "A provider is degraded",
    "cold_start_users": "Too many new users",
    "replica_cold_start": "Replicas start cold",
    "feedback_loop": "Popularity feedback loop",
    "train_serve_skew": "Training and serving differ",
    "bad_model_push": "A bad version went out",
    "cache_stampede": "Misses flood the origin",
    "index_corrupt": "The index is wrong",
    "traffic_over_target": "Traffic above its target",
    "experiment_srm": "Experiment sample ratio is off",
    "access_revoked": "Access is revoked",
    "cost_runaway": "Cost runs away",
    "fallback_stuck": "Fallback is stuck",
    "monitoring_blind": "Monitoring is blind",
    "unsafe_or_ineligible_output": "Unsafe or ineligible output",
}


# Addresses of pages below /runbooks, which no runbook can have.
RESERVED = frozenset(
    {"new", "reviews", "coverage", "freshness", "sync", "search", "drills", "runs"}
)

# In `owner` and `escalate_to`: the team that owns the model of the incident, whichever that is.
MODEL_OWNER = "model-owner"


def whose(said: str) -> str:
    """An owner as people say it; a team's name stays as it is."""
    return "the model’s owner" if said == MODEL_OWNER else said


def failure_mode_title(mode: str) -> str:
    """How people say a failure mode; a name outside the catalogue reads as its words."""
    return FAILURE_MODES.get(mode) or mode.replace("_", " ").capitalize()


def failure_mode_key(said: str) -> str:
    """A failure mode as it is stored, however it is written: input-drift is input_drift."""
    return re.sub(r"[^a-z0-9]+", "_", said.lower()).strip("_")[:80]


# Names and short notations in a file


SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def kebab(name: str) -> str:
    """A name as part of an address: KubeAPIDown, kube_api_down and Kube API down are one."""
    plain = normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"([A-Z]+)([A-Z][a-z])|([a-z0-9])([A-Z])", r"\1\3-\2\4", plain)
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:120].strip("-")


def squeezed(name: str) -> str:
    """A name without its spelling: CamelCase, snake_case and kebab-case come out equal."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def duration(said: str) -> timedelta | None:
    """The time that 90s, 15m, 1h30m, 7d or 2w stands for; None for anything else."""
    if not re.fullmatch(r"(?:\d{1,6}[smhdw])+", said):
        return None
    parts = re.findall(r"(\d+)([smhdw])", said)
    return timedelta(seconds=sum(int(number) * UNITS[unit] for number, unit in parts))


def severity_number(said: str) -> int | None:
    """1 (the worst) to 4, from sev1, SEV-2 or a bare number."""
    found = re.fullmatch(r"(?:sev[- ]?)?([1-4])", said.strip().lower())
    return int(found[1]) if found else None


# Where a version may go, and who may publish it


NEXT: dict[Status, tuple[Status, ...]] = {
    Status.DRAFT: (Status.IN_REVIEW, Status.PUBLISHED, Status.RETIRED),
    Status.IN_REVIEW: (Status.DRAFT, Status.PUBLISHED, Status.RETIRED),
    Status.PUBLISHED: (Status.RETIRED,),
    Status.RETIRED: (Status.PUBLISHED,),  # brought back
}
STATUS_WORDS = {
    Status.DRAFT: "a draft",
    Status.IN_REVIEW: "in review",
    Status.PUBLISHED: "published",
    Status.RETIRED: "retired",
}
SEVERE = 2  # a mistake in a runbook for SEV-1 or SEV-2 costs more than the wait for a reader


def refusal_to_move(number: int, current: Status, to: Status) -> str | None:
    """Say why version `number` may not go from `current` to `to`."""
    if to in NEXT[current]:
        return None
    if to is current:
        return f"v{number} is already {STATUS_WORDS[current]}."
    return f"v{number} is {STATUS_WORDS[current]}, so it can't become {STATUS_WORDS[to]}."


def worst_severity(*severities: int | None) -> int | None:
    """Of the text before and the text after, so that no change can lower its own bar."""
    return min((one for one in severities if one is not None), default=None)


def why_second_person(severity: int | None, risky_change: bool) -> str | None:
    """Why a second person reads a change before it is published; None if nobody has to."""
    if risky_change:
        return "it changes a risky step"
    if severity is not None and severity <= SEVERE:
        return f"the runbook is for SEV-{severity} incidents"
    return None


def refusal_to_publish(
    *,
    writers: Collection[int],
    actor_id: int | None,
    severity: int | None,
    risky_change: bool,
    approved_by: Collection[int],
) -> str | None:
    """Say why this person may not publish this change now.

    A second person is anybody who did not write it: whoever approved it, or else whoever publishes
    it.
    The ids are those of people; a token or Baton itself has none, and is no second person.
    """
    why = why_second_person(severity, risky_change)
    if why is None or any(one not in writers for one in approved_by):
        return None
    if actor_id is not None and actor_id not in writers:
        return None
    return f"A second person has to approve this, because {why}."


def refusal_to_approve(*, writers: Collection[int], actor_id: int | None) -> str | None:
    """Say why this person's word on a version does not count as a second one."""
    if actor_id is None:
        return "Approving takes a person, and a token is none."
    if actor_id in writers:
        return "You wrote this version. Somebody else has to review it."
    return None


# Which runbook an alert calls for


@dataclass(frozen=True, slots=True)
class Published:
    """A published version, as far as matching needs it."""

    version_id: int
    slug: str
    number: int
    title: str
    failure_mode: str | None
    severity: int | None  # unless the alert says another
    alertnames: frozenset[str]  # lower case
    models: tuple[str, ...]  # globs; empty: every model
    tags: tuple[str, ...]  # any of them; empty: whatever the tags
    owner: str | None
    escalate_to: str | None
    escalate_after: timedelta | None


@dataclass(frozen=True, slots=True)
class Match:
    """The runbook that an alert calls for, and why it is this one."""

    runbook: Published
    why: str  # as in: alertname is ModelInputDrift


@dataclass(frozen=True)
class Matching:
    """All published runbooks, to be asked many times. Rebuild it when one is published."""

    published: tuple[Published, ...]

    def best(
        self,
        alertname: str,
        labels: Mapping[str, str],
        model: str | None,
        tags: Collection[str] = (),
    ) -> Match | None:
        """The runbook for an alert: by its name, else by its label `failure_mode`, else none.

        Of several that fit the model, the one that was written for the fewest others wins. An
        alert whose model is unknown fits those that were written for every model.
        """
        by_name = self._by_alertname.get(alertname.lower(), ())
        if found := closest(by_name, model, tags):
            return Match(found, f"alertname is {alertname}")
        mode = failure_mode_key(labels.get("failure_mode", ""))
        if found := closest(self._by_failure_mode.get(mode, ()), model, tags):
            return Match(found, f"failure_mode is {mode}")
        return None

    @cached_property
    def _by_alertname(self) -> dict[str, list[Published]]:
        found: dict[str, list[Published]] = {}
        for each in self.published:
            for name in each.alertnames:
                found.setdefault(name, []).append(each)
        return found

    @cached_property
    def _by_failure_mode(self) -> dict[str, list[Published]]:
        found: dict[str, list[Published]] = {}
        for each in self.published:
            if each.failure_mode:
                found.setdefault(each.failure_mode, []).append(each)
        return found


def closest(
    candidates: Iterable[Published], model: str | None, tags: Collection[str]
) -> Published | None:
    """Of the runbooks that apply to a model, the one that says so most closely."""
    fitting = [
        (fit, each) for each in candidates if (fit := closeness(each, model, tags)) is not None
    ]
    if not fitting:
        return None
    # The slug decides between equals, so that two deliveries never differ.
    return min(fitting, key=lambda one: (*(-part for part in one[0]), one[1].slug))[1]


def closeness(
    runbook: Published, model: str | None, tags: Collection[str]
) -> tuple[int, int, int] | None:
    """How closely a runbook is written for a model, larger is closer; None if it is for others.

    A name counts more than a pattern, a longer pattern more than a short one, and any of them
    more than tags.
    """
    patterns = [glob for glob in runbook.models if model is not None and fits(glob, model)]
    for_all = not runbook.models or "*" in runbook.models
    if not (patterns or for_all):
        return None
    shared = len(set(runbook.tags) & set(tags))
    if runbook.tags and not shared:
        return None
    named = any(glob == model for glob in patterns)
    return (int(named), max((len(glob.replace("*", "")) for glob in patterns), default=0), shared)


def fits(glob: str, name: str) -> bool:
    """Whether a name fits a pattern in which `*` stands for any run of characters."""
    first, *others = glob.split("*")
    if not others:
        return glob == name
    *middle, last = others
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    position, end = len(first), len(name) - len(last)
    for part in middle:
        position = name.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True
