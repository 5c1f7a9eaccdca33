"""How far a runbook can be trusted: a score, a word and the reasons. Pure functions.

Freshness blocks nothing, because a stale runbook is better than none. Only a drill or a real run
proves a runbook; what its file says of itself counts until one of them has.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from app.runbooks.front_matter import Facts
from app.runbooks.rules import MODEL_OWNER, fits

REVIEW_EVERY = timedelta(days=90)  # unless the file says another
DUE_SOON = timedelta(days=14)
BY_FILE = "file"  # beside `drill` and `incident`

# What adds to the score, which ends at 100.
NEVER_PROVEN = 40
OVERDUE = 25  # and as much again at a whole period over
SAID_WRONG = 35
OWNER_GONE = 15
NO_MODEL = 15
ALERT_UNSEEN = 10
NEVER_RUN = 10


class Proof(StrEnum):
    PROVEN = "proven"
    DUE = "due"
    TOO_OLD = "too_old"
    FAILED = "failed"
    NEVER_TESTED = "never_tested"


WORDS = {
    Proof.PROVEN: "Proven",
    Proof.TOO_OLD: "Too old",
    Proof.FAILED: "Failed",
    Proof.NEVER_TESTED: "Never tested",
}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a runbook, beside what its file says."""

    said: Facts
    verified_at: datetime | None = None  # by a drill or a real run
    verified_how: str | None = None
    runs: int = 0  # that have ended
    wrong_steps: tuple[str, ...] = ()  # by what people said after the last run
    wrong_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Around:
    """What there is for a runbook to name."""

    teams: Collection[str] = ()  # slugs and names
    models: Collection[str] = ()  # in production
    alerts_seen: Collection[str] | None = None  # lower case; None: nobody can say


@dataclass(frozen=True, slots=True)
class Freshness:
    score: int  # 0 is fresh, 100 is as stale as can be
    proof: Proof
    reasons: tuple[str, ...]
    verified_at: datetime | None
    verified_how: str | None  # drill | incident | file
    due_at: datetime | None
    due_in: int | None  # days, while that is soon

    @property
    def word(self) -> str:
        if self.due_in is not None:
            return f"Due in {_days(self.due_in)}" if self.due_in else "Due today"
        return WORDS.get(self.proof, "Due")


def freshness(known: Known, around: Around, *, at: datetime) -> Freshness:
    """Judge one runbook as it stands at that moment."""
    verified_at, how = _verified(known)
    due_at = verified_at + (known.said.review_every or REVIEW_EVERY) if verified_at else None
    found = [
        *_about_feedback(known, verified_at),
        *_about_proof(known, verified_at, due_at, at),
        *_about_runs(known),
        *_about_surroundings(known.said, around),
    ]
    proof = _proof(known, verified_at, due_at, at)
    return Freshness(
        score=min(100, sum(points for points, _ in found)),
        proof=proof,
        reasons=tuple(sentence for _, sentence in found),
        verified_at=verified_at,
        verified_how=how,
        due_at=due_at,
        due_in=(due_at - at).days if proof is Proof.DUE and due_at else None,
    )


def _verified(known: Known) -> tuple[datetime | None, str | None]:
    if known.verified_at is not None:
        return known.verified_at, known.verified_how
    if known.said.last_verified is not None:
        return _noon(known.said.last_verified), BY_FILE
    return None, None


def _noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


def _proof(
    known: Known, verified_at: datetime | None, due_at: datetime | None, at: datetime
) -> Proof:
    if _still_wrong(known, verified_at):
        return Proof.FAILED
    if due_at is None:
        return Proof.NEVER_TESTED
    if due_at < at:
        return Proof.TOO_OLD
    return Proof.DUE if due_at - at < DUE_SOON else Proof.PROVEN


def _still_wrong(known: Known, verified_at: datetime | None) -> bool:
    """Whether the last word on it is `wrong`: of the run that proved it, or of a later one."""
    if not known.wrong_steps:
        return False
    return known.wrong_at is None or verified_at is None or known.wrong_at >= verified_at


def _about_proof(
    known: Known, verified_at: datetime | None, due_at: datetime | None, at: datetime
) -> Iterable[tuple[int, str]]:
    if verified_at is None or due_at is None:
        yield NEVER_PROVEN, "No drill and no incident has proven it."
    elif due_at < at:
        period, over = due_at - verified_at, at - due_at
        more = round(OVERDUE * min(1.0, over / max(period, timedelta(days=1))))
        since = f"{_days(over.days)} ago" if over.days else "today"
        yield OVERDUE + more, f"Its review was due {since}."


def _about_feedback(known: Known, verified_at: datetime | None) -> Iterable[tuple[int, str]]:
    if _still_wrong(known, verified_at):
        steps = known.wrong_steps
        which = "A step was" if len(steps) == 1 else f"{len(steps)} steps were"
        yield SAID_WRONG, f"{which} called wrong after its last run: {_listed(steps)}."


def _about_runs(known: Known) -> Iterable[tuple[int, str]]:
    if not known.runs:
        yield NEVER_RUN, "Nobody has followed it here yet."


def _about_surroundings(said: Facts, around: Around) -> Iterable[tuple[int, str]]:
    if said.owner is None:
        yield OWNER_GONE, "It names no owner."
    elif said.owner not in around.teams and said.owner != MODEL_OWNER:
        yield OWNER_GONE, f"There is no team {said.owner}, its owner."
    missing = [glob for glob in said.models if not any(fits(glob, one) for one in around.models)]
    if missing and len(missing) == len(said.models) and missing != ["*"]:
        yield NO_MODEL, f"No model in production is called {_listed(missing, 'or')}."
    names = {one.alertname: one for one in said.signals if one.alertname}
    if around.alerts_seen is not None and names and not set(names) & set(around.alerts_seen):
        shown = [str(one.condition.get("alertname") or name) for name, one in names.items()]
        yield ALERT_UNSEEN, f"No alert called {_listed(shown, 'or')} was ever seen."


def _listed(words: Collection[str], last: str = "and") -> str:
    """Up to three, and how many more there are."""
    shown = list(words)[:3]
    if len(words) > 3:
        return f"{', '.join(shown)} {last} {len(words) - 3} more"
    return f" {last} ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count:,} days"
