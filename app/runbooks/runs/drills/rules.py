"""What a drill plays, who may drive it, when the next is due, what it showed: pure functions."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from app.runbooks.front_matter import Facts, Signal
from app.runbooks.rules import fits
from app.runbooks.runs.rules import MOVES, EventKind, Happened, Plan, RunStatus, answer_said

REVIEW_EVERY = timedelta(days=90)  # of a runbook that says nothing of it
FIRST_WITHIN = timedelta(days=7)  # for one that was never drilled, or whose proof is too old
SOON = timedelta(days=14)


# --- What is played


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is played. Nothing of it happens now."""

    name: str  # of the alert
    story: str  # in a sentence
    labels: Mapping[str, str] = field(default_factory=dict)
    links: Sequence[Mapping[str, str]] = ()  # [{"href": …, "text": …}]
    model: str = ""
    delivery: int | None = None  # the kept delivery that is played again

    def known(self) -> dict[str, str]:
        """What variables are filled from, by their source."""
        found = {"incident.title": self.story, "alert.name": self.name}
        if self.model:
            found["incident.model"] = self.model
        for name, value in self.labels.items():
            found[f"incident.labels.{name}"] = found[f"alert.labels.{name}"] = value
            found.setdefault(f"alert.{name}", value)
        return found

    def as_kept(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "story": self.story,
            "labels": dict(self.labels),
            "links": [dict(link) for link in self.links],
            "delivery": self.delivery,
        }


def made_up(said: Facts, title: str, *, model: str = "", story: str = "") -> Scenario:
    """A scenario from a runbook's own signals and variables. `story` is told instead of ours."""
    alert = next((signal for signal in said.signals if signal.alertname), None)
    name = str(alert.condition.get("alertname") or alert.alertname) if alert else title
    labels = {"alertname": name} if alert else {}
    for variable in said.variables:
        source = variable.source or ""
        if source.startswith("incident.labels.") and not variable.secret:
            label = source.removeprefix("incident.labels.")
            first = variable.choices[0] if variable.choices else f"drill-{label.replace('_', '-')}"
            labels[label] = variable.default or first
    if model:
        labels["model"] = model
    return Scenario(name, story or _story(said, title, model), labels, model=model)


def _story(said: Facts, title: str, model: str) -> str:
    alert = next((signal for signal in said.signals if signal.alertname), None)
    reading = next((text for signal in said.signals if (text := _reading(signal))), "")
    on = f" for {model}" if model else ""
    if alert is None:
        return f"{title}{on}" + (f": {reading}." if reading else ".")
    name = alert.condition.get("alertname") or alert.alertname
    return f"{name} fires{on}: {reading or title}."


COMPARED = {">": "above", ">=": "at least", "<": "below", "<=": "at most", "==": "", "!=": "not"}


def _reading(signal: Signal) -> str:
    said = signal.condition
    if not signal.metric or said.get("value") in (None, ""):
        return ""
    compared = COMPARED.get(str(said.get("op", "")), str(said.get("op", "")))
    words = [signal.metric, "is", compared, str(said["value"])]
    if said.get("for"):
        words += ["for", str(said["for"])]
    return " ".join(word for word in words if word)


def is_for(said: Facts, slug: str, tags: Collection[str]) -> bool:
    """Whether a runbook is written for this model."""
    named = not said.models or any(fits(glob, slug) for glob in said.models)
    return named and (not said.tags or bool(set(said.tags) & set(tags)))


# --- Who drives, and when


def may_drive(person_id: int, author_id: int | None) -> bool:
    """A drill shows what a runbook says, not what its author meant: somebody else drives."""
    return person_id != author_id


def due_on(day: date) -> datetime:
    """How a day is kept: its noon is that day wherever it is read."""
    return datetime.combine(day, time(12), UTC)


def is_overdue(due_at: datetime, *, at: datetime) -> bool:
    """A drill may take place until the end of its day."""
    return due_at.astimezone(UTC).date() < at.astimezone(UTC).date()


def days_left(due_at: datetime, *, at: datetime) -> str:
    """How far off the day is, as in: 3 days left."""
    days = (due_at.astimezone(UTC).date() - at.astimezone(UTC).date()).days
    if days == 0:
        return "today"
    return f"{abs(days)} {'day' if abs(days) == 1 else 'days'} {'left' if days > 0 else 'over'}"


def proof_ends(proven_at: datetime, review_every: timedelta | None) -> datetime:
    """When a runbook should have been proven again."""
    return due_on((proven_at.astimezone(UTC) + (review_every or REVIEW_EVERY)).date())


def suggested_due(
    proven_at: datetime | None, review_every: timedelta | None, *, at: datetime
) -> datetime:
    """When the next drill is best: before the proof ends, within a week if there is none."""
    within_a_week = due_on((at + FIRST_WITHIN).date())
    if proven_at is None:
        return within_a_week
    ends = proof_ends(proven_at, review_every)
    return within_a_week if is_overdue(ends, at=at) else ends


# --- What it showed


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that a drill showed about a step. `number` is 0 if the version has it no more."""

    step_id: str
    number: int
    title: str
    sentence: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """What a drill showed."""

    first_action: timedelta | None  # from the start; None: nothing was done
    length: timedelta | None  # None: it goes on
    finished: bool
    wrong_branches: tuple[Remark, ...] = ()
    failed: tuple[Remark, ...] = ()  # expectations
    skipped: tuple[Remark, ...] = ()
    played: tuple[Remark, ...] = ()  # risky steps, done in words only

    @property
    def is_clean(self) -> bool:
        return not (self.wrong_branches or self.failed or self.skipped)


# Setting out, filling in and reading do not act on what is wrong.
ACTS = frozenset(
    {
        EventKind.DONE,
        EventKind.FAILED,
        EventKind.SKIPPED,
        EventKind.DECIDED,
        EventKind.WAITING,
        EventKind.COPIED,
        EventKind.ESCALATED,
    }
)
WHAT_FAILED = {"timed_out": "Time ran out", "cannot": "It could not be done"}
SAID_OF_IT = {"wrong": "Said to be wrong", "unclear": "Said to be unclear"}


def report_of(plan: Plan, events: Iterable[Happened]) -> Report:
    """What a drill showed, read from its events, which are in their order."""
    return _Reading(plan, list(events)).report()


class _Reading:
    def __init__(self, plan: Plan, events: list[Happened]) -> None:
        self.events = events
        self.steps = {step.id: step for step in plan.steps}
        self.order = {step.id: index for index, step in enumerate(plan.steps)}
        taken_back = {e.detail.get("seq") for e in events if e.kind is EventKind.TAKEN_BACK}
        self.taken_back = taken_back
        self.standing = [event for event in events if event.seq not in taken_back]

    def report(self) -> Report:
        started = next((e.at for e in self.events if e.kind is EventKind.STARTED), None)
        ended = next((e for e in reversed(self.events) if e.kind is EventKind.ENDED), None)
        acts = [e.at for e in self.events if e.kind in ACTS and e.actor_id is not None]
        return Report(
            first_action=max(min(acts) - started, timedelta(0)) if acts and started else None,
            length=ended.at - started if ended and started else None,
            finished=ended is not None and ended.detail.get("status") == RunStatus.FINISHED,
            wrong_branches=tuple(self.wrong_branches()),
            failed=tuple(self.failed()),
            skipped=tuple(self.skipped(ended)),
            played=tuple(
                self.remark(event, "Done in words only.")
                for event in self.standing
                if event.kind is EventKind.DONE and event.detail.get("played")
            ),
        )

    def wrong_branches(self) -> list[Remark]:
        """Decisions that were taken back, or that led back to where they were taken or before."""
        found: dict[int, Remark] = {}
        open_decisions: list[Happened] = []
        for event in self.events:
            if event.seq in self.taken_back:
                if event.kind is EventKind.DECIDED:
                    found[event.seq] = self.remark(event, f"{_answer(event)}, then taken back.")
                continue
            for decision in reversed(open_decisions):
                if led_to := self._back_from(decision, event):
                    found[decision.seq] = self.remark(decision, f"{_answer(decision)}, {led_to}.")
                    open_decisions.remove(decision)
                    break
            # An answer that goes back by itself, as "not yet" does, is no wrong turn.
            if event.kind is EventKind.DECIDED and event.step_id in self.order:
                leads_to = self.order.get(str(event.detail.get("goes_to") or ""), len(self.order))
                if leads_to > self.order[event.step_id]:
                    open_decisions.append(event)
        return [found[seq] for seq in sorted(found)]

    def _back_from(self, decision: Happened, event: Happened) -> str:
        """How an event led back from what a decision chose; "" if it did not."""
        last = self.order[decision.step_id or ""]
        if self.order.get(_leads_to(event), last + 1) <= last:
            return f"and led back to step {self.steps[_leads_to(event)].number}"
        if event.kind is EventKind.DECIDED and event.step_id == decision.step_id:
            return "and another answer after it"
        return ""

    def failed(self) -> list[Remark]:
        """Steps that did not go as the runbook says, and what people said of them afterwards."""
        found = [
            self.remark(event, _why(_what_failed(event), event.detail.get("note")))
            for event in self.standing
            if event.kind is EventKind.FAILED
            or (event.kind is EventKind.SENSED and not event.detail.get("holds"))
        ]
        # People may change their mind about a step: what they said last counts.
        said = {
            (event.step_id, event.actor_id): event
            for event in self.standing
            if event.kind is EventKind.FEEDBACK
        }
        return found + [
            self.remark(event, _why(SAID_OF_IT[verdict], event.detail.get("note")))
            for event in said.values()
            if (verdict := str(event.detail.get("verdict"))) in SAID_OF_IT
        ]

    def skipped(self, ended: Happened | None) -> list[Remark]:
        """Steps that were left out to the end, and verifications that were waived."""
        last = {
            event.step_id: event for event in self.standing if event.kind in MOVES and event.step_id
        }
        found = [
            self.remark(event, _why("Skipped", event.detail.get("reason")))
            for event in last.values()
            if event.kind is EventKind.SKIPPED
        ]
        waived: Mapping[str, str] = ended.detail.get("waived") or {} if ended else {}
        return found + [
            self.remark(ended, _why("Not verified", reason), step_id)
            for step_id, reason in waived.items()
            if ended and ended.detail.get("status") == RunStatus.FINISHED
        ]

    def remark(self, event: Happened, sentence: str, step_id: str | None = None) -> Remark:
        step_id = step_id or event.step_id or ""
        step = self.steps.get(step_id)
        number, title = (step.number, step.title) if step else (0, step_id)
        return Remark(step_id, number, title, sentence, event.actor, event.at)


def _leads_to(event: Happened) -> str:
    """The step that somebody went to on purpose with this event."""
    if event.kind is EventKind.OPENED:
        return event.step_id or ""
    if event.kind in (EventKind.FAILED, EventKind.DECIDED):
        return str(event.detail.get("goes_to") or "")
    return ""


def _answer(event: Happened) -> str:
    return f"“{answer_said(event.detail)}” was chosen"


def _what_failed(event: Happened) -> str:
    if event.kind is EventKind.SENSED:
        reading, target = event.detail.get("reading"), event.detail.get("target")
        seen = f"The reading was {reading}" if reading not in (None, "") else "The reading was off"
        return f"{seen}, its target {target}" if target not in (None, "") else seen
    return WHAT_FAILED.get(str(event.detail.get("what")), "Not as expected")


def _why(what: str, said: object) -> str:
    reason = str(said or "").strip()
    if not reason:
        return f"{what}."
    return f"{what}: {reason}" + ("" if reason[-1] in ".?!…" else ".")
