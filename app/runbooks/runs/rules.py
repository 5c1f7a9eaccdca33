"""What a run is, what may happen in it, and how its events add up: pure functions.

A run is a list of events. `fold` reads from it where every step stands and which one comes next;
`check` says whether one more event may be added. Both see only the events, never a clock, so that
any client that has the same events sees the same run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any

from markupsafe import Markup


class Mode(StrEnum):
    LIVE = "live"
    DRILL = "drill"


class RunStatus(StrEnum):
    OPEN = "open"
    FINISHED = "finished"
    LEFT = "left"  # ended before its verification


class StepState(StrEnum):
    TODO = "todo"
    DOING = "doing"
    WAITING = "waiting"  # its timer runs; others may go on
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_TAKEN = "not_taken"  # on a branch that was not chosen


class EventKind(StrEnum):
    STARTED = "started"  # the run
    OPENED = "opened"  # a step, by hand
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    DECIDED = "decided"
    WAITING = "waiting"
    SENSED = "sensed"  # a reading answered for a person
    TAKEN_BACK = "taken_back"
    COPIED = "copied"
    NOTED = "noted"
    FILLED = "filled"  # a variable
    SWITCHED = "switched"  # to another version
    ESCALATED = "escalated"
    FEEDBACK = "feedback"
    ENDED = "ended"


# What moves a step. Whoever sends one says which state of the step they saw.
MOVES = frozenset(
    {
        EventKind.OPENED,
        EventKind.DONE,
        EventKind.FAILED,
        EventKind.SKIPPED,
        EventKind.DECIDED,
        EventKind.WAITING,
        EventKind.SENSED,
        EventKind.TAKEN_BACK,
    }
)
SETTLED = frozenset({StepState.DONE, StepState.SKIPPED, StepState.NOT_TAKEN})

SKIP_REASONS = (
    "Does not apply here",
    "Done before",
    "Not possible now",
    "Takes too long",
)
MAX_CONDITION = 300  # of what an event keeps; nobody reads further in a list
NONE_OF_THESE = 0  # the option that every decision has
CLAIM_LASTS = timedelta(minutes=10)
VERDICTS = ("worked", "wrong", "unclear")


# What is followed


@dataclass(frozen=True, slots=True)
class Option:
    number: int  # from 1; 0 is "none of these"
    label: str  # of its link: what to do then
    step: str = ""  # to go on with
    runbook: str = ""  # to go on with instead: a slug
    condition: str = ""  # when to choose it, in plain words


@dataclass(frozen=True, slots=True)
class PlanStep:
    id: str
    number: int
    title: str
    kind: str
    role: str  # of its section: steps, roll_back, verify, afterwards or ""
    section: str
    risk: str = ""
    minutes: int | None = None
    undo: str = ""
    on_fail: str = ""
    confirm: str = ""
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The steps of a version, as a run follows them."""

    steps: tuple[PlanStep, ...]

    def get(self, step_id: str | None) -> PlanStep | None:
        return self._by_id.get(step_id)

    @cached_property
    def _by_id(self) -> Mapping[str | None, PlanStep]:
        return {step.id: step for step in reversed(self.steps)}  # of two, the first

    @cached_property
    def undos(self) -> frozenset[str]:
        """Steps that are there only to take an earlier one back."""
        order = {step.id: step.number for step in self.steps}
        return frozenset(step.undo for step in self.steps if order.get(step.undo, 0) > step.number)

    @property
    def verifications(self) -> tuple[PlanStep, ...]:
        return tuple(step for step in self.steps if step.kind == "verify")


def plan_of(parts: Mapping[str, Any]) -> Plan:
    """The plan in the parts of a rendered version."""
    found: list[PlanStep] = []
    for section in parts["sections"]:
        for part in section["flow"]:
            if "step" not in part:
                continue
            step = parts["steps"][part["step"]]
            options = [
                option
                for block in step["blocks"]
                if block["kind"] == "options"
                for option in block["options"]
            ]
            found.append(
                PlanStep(
                    id=step["id"],
                    number=step["number"],
                    title=step["words"],
                    kind=step["kind"],
                    role=section["role"],
                    section=section["title"],
                    risk=step["risk"],
                    minutes=step["minutes"],
                    undo=(step["undo"] or {}).get("step", ""),
                    on_fail=(step["on_fail"] or {}).get("step", ""),
                    confirm=step["confirm"],
                    options=tuple(
                        Option(
                            number,
                            option["label"],
                            option["step"],
                            option["href"].removeprefix("/runbooks/"),
                            Markup(option["html"]).striptags(),  # noqa: S704 only its words are kept
                        )
                        for number, option in enumerate(options, start=1)
                    ),
                )
            )
    return Plan(tuple(found))


# What happened


@dataclass(frozen=True, slots=True)
class Happened:
    """An event as the rules see it."""

    seq: int
    kind: EventKind
    step_id: str | None
    at: datetime
    actor: str
    actor_id: int | None
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one step stands."""

    state: StepState = StepState.TODO
    seq: int = 0  # of the last event that moved it; what a client says it saw
    by_seq: int = 0  # of the event that put it where it stands; what can be taken back
    at: datetime | None = None
    actor: str = ""
    note: str = ""
    answer: int | None = None  # of a decision
    until: datetime | None = None  # of a timer
    visits: int = 0
    sensed: bool = False
    overridden: bool = False  # a person said otherwise than the reading
    check_again: bool = False  # it was done, and has changed since with the version


@dataclass(frozen=True, slots=True)
class RunState:
    """Where a run stands."""

    steps: Mapping[str, Standing] = field(default_factory=dict)
    current: str | None = None  # the step that comes next
    status: RunStatus = RunStatus.OPEN
    escalated: bool = False

    def of(self, step_id: str) -> Standing:
        return self.steps.get(step_id, TODO)


TODO = Standing()


def fold(plan: Plan, events: Iterable[Happened]) -> RunState:
    """Where the run stands after these events, which are in their order."""
    events = list(events)
    void = {event.detail.get("seq") for event in events if event.kind is EventKind.TAKEN_BACK}
    folding = _Folding(plan)
    for event in events:
        if event.seq not in void:
            folding.take(event)
        elif event.step_id:
            folding.touch(event)
    return folding.state()


class _Folding:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.order = {step.id: index for index, step in enumerate(plan.steps)}
        self.steps: dict[str, Standing] = {}
        self.target: str | None = None  # where somebody went on purpose
        self.after: str | None = None  # else the next one after this
        self.status = RunStatus.OPEN
        self.escalated = False

    def touch(self, event: Happened) -> None:
        """It no longer counts, but clients must notice that something happened here."""
        assert event.step_id
        self.steps[event.step_id] = replace(self._of(event.step_id), seq=event.seq)

    def take(self, event: Happened) -> None:
        match event.kind:
            case EventKind.TAKEN_BACK if event.step_id:
                self.touch(event)
                self.target, self.after = event.step_id, None
            case EventKind.SWITCHED:
                self._switch(event)
            case EventKind.ESCALATED:
                self.escalated = True
            case EventKind.ENDED:
                self.status = RunStatus(event.detail.get("status", RunStatus.LEFT))
            case kind if kind in MOVES and event.step_id:
                self._move(event, event.step_id)

    def _move(self, event: Happened, step_id: str) -> None:
        before, said = self._of(step_id), event.detail
        goes_to = str(said.get("goes_to") or "")
        state = STATE_AFTER.get(event.kind, StepState.DONE)
        if event.kind is EventKind.SENSED:
            state = StepState.DONE if said.get("holds") else StepState.FAILED
        by_hand = event.kind is not EventKind.SENSED
        self.steps[step_id] = Standing(
            state=state,
            seq=event.seq,
            by_seq=event.seq,
            at=event.at,
            actor=event.actor,
            note=str(said.get("note") or said.get("reason") or ""),
            answer=said.get("option") if event.kind is EventKind.DECIDED else None,
            until=_moment(said.get("until")),
            visits=before.visits + (event.kind is EventKind.OPENED or before.visits == 0),
            sensed=not by_hand,
            overridden=by_hand and before.sensed,
        )
        if event.kind is EventKind.OPENED:
            self.target, self.after = step_id, None
        elif event.kind is EventKind.DECIDED:
            self._leave_other_branches(step_id, goes_to, event)
            self.target, self.after = goes_to or None, None if goes_to else step_id
        else:
            self.target, self.after = goes_to or None, step_id
        if goes_to and goes_to in self.order:
            self._visit(goes_to, event)

    def _visit(self, step_id: str, event: Happened) -> None:
        """A jump opens a step, also one that was settled or left out before."""
        was = self._of(step_id)
        if was.state is not StepState.TODO:
            self.steps[step_id] = replace(was, state=StepState.TODO, seq=event.seq)

    def _leave_other_branches(self, step_id: str, chosen: str, event: Happened) -> None:
        step = self.plan.get(step_id)
        if step is None:
            return
        taken = set(self._branch(step, chosen)) if chosen else set()
        for option in step.options:
            if not option.step or option.step == chosen:
                continue
            for each in self._branch(step, option.step):
                if each not in taken and self._of(each).state in (StepState.TODO, StepState.DOING):
                    self.steps[each] = replace(
                        self._of(each), state=StepState.NOT_TAKEN, at=event.at
                    )

    def _branch(self, decision: PlanStep, first: str) -> list[str]:
        """The steps of a branch: from its first to the next branch's, within the section."""
        start = self.order.get(first)
        if start is None or start <= self.order[decision.id]:
            return []
        others = {option.step for option in decision.options} - {first}
        found: list[str] = []
        for step in self.plan.steps[start:]:
            if step.id in others or step.section != self.plan.steps[start].section:
                break
            found.append(step.id)
        return found

    def _switch(self, event: Happened) -> None:
        again = set(event.detail.get("check_again") or ())
        for step_id, standing in self.steps.items():
            if step_id in again and standing.state is StepState.DONE:
                self.steps[step_id] = replace(standing, check_again=True, seq=event.seq)

    def _of(self, step_id: str) -> Standing:
        return self.steps.get(step_id, TODO)

    def state(self) -> RunState:
        current = None if self.status is not RunStatus.OPEN else self._current()
        steps = {step_id: s for step_id, s in self.steps.items() if step_id in self.order}
        if current is not None and self._of(current).state in (StepState.TODO, StepState.DOING):
            steps[current] = replace(self._of(current), state=StepState.DOING)
        for step_id, standing in steps.items():
            if standing.state is StepState.DOING and step_id != current:
                steps[step_id] = replace(standing, state=StepState.TODO)
        return RunState(steps, current, self.status, self.escalated)

    def _current(self) -> str | None:
        if self.target in self.order and not self._is_settled(self.target):
            return self.target
        start = self.order.get(self.target or self.after or "", -1)
        following = self.plan.steps[start + 1 :]
        section = self.plan.steps[start].role if start >= 0 else ""
        undos = self.plan.undos
        for step in (*following, *self.plan.steps[: start + 1]):
            if self._is_settled(step.id) or step.id in undos:
                continue
            if step.role == "roll_back" and section != "roll_back":
                continue  # entered by a decision or by hand only
            standing = self._of(step.id).state
            if standing in (StepState.WAITING, StepState.FAILED):
                continue
            return step.id
        return None

    def _is_settled(self, step_id: str | None) -> bool:
        return step_id is not None and self._of(step_id).state in SETTLED


STATE_AFTER = {
    EventKind.OPENED: StepState.DOING,
    EventKind.DONE: StepState.DONE,
    EventKind.DECIDED: StepState.DONE,
    EventKind.FAILED: StepState.FAILED,
    EventKind.SKIPPED: StepState.SKIPPED,
    EventKind.WAITING: StepState.WAITING,
}


def _moment(said: object) -> datetime | None:
    return datetime.fromisoformat(said) if isinstance(said, str) else None


# What may happen


@dataclass(frozen=True, slots=True)
class Said:
    """What a client wants to add."""

    kind: EventKind
    step_id: str | None = None
    seen: int = 0  # the step's `seq` that the client saw
    detail: Mapping[str, Any] = field(default_factory=dict)


class StaleStepError(Exception):
    """Somebody else moved the step meanwhile. `args[0]` is how it stands now."""


def check(plan: Plan, state: RunState, mode: Mode, said: Said, *, target: str = "") -> str | None:
    """Why an event can't be added, in a sentence; None: it can. Raises `StaleStepError`.

    `target` is what a risky step asks to be typed.
    """
    if state.status is not RunStatus.OPEN and said.kind is not EventKind.FEEDBACK:
        return "This run is over. Start another to go on."
    if said.step_id is None:
        return None if said.kind not in MOVES else "Which step it is about is missing."
    step = plan.get(said.step_id)
    if step is None:
        return f"The version that is followed has no step {said.step_id}."
    standing = state.of(step.id)
    if said.kind in MOVES and standing.seq != said.seen:
        raise StaleStepError(standing)
    return _why_not(step, standing, mode, said, target)


def _why_not(step: PlanStep, standing: Standing, mode: Mode, said: Said, target: str) -> str | None:
    detail = said.detail
    match said.kind:
        case EventKind.DONE if step.kind == "decision":
            return "A decision is answered with one of its options."
        case EventKind.DONE if step.risk == "high" and mode is Mode.LIVE:
            if not step.undo:
                return "This risky step names no step that takes it back, so it stays closed."
            if str(detail.get("typed", "")).strip() != target:
                return f"Type {target} to confirm it."
        case EventKind.DECIDED:
            numbers = {option.number for option in step.options} | {NONE_OF_THESE}
            if step.kind != "decision" and not step.options:
                return "This step is no decision."
            if detail.get("option") not in numbers:
                return "The decision has no such option."
        case EventKind.SKIPPED if not str(detail.get("reason", "")).strip():
            return "Say why it is skipped."
        case EventKind.FAILED if detail.get("what") not in ("failed", "timed_out", "cannot"):
            return "Say what happened: it failed, timed out or can't be done."
        case EventKind.SENSED if mode is Mode.DRILL:
            return "In a drill a person answers: nothing is played on the model that was read."
        case EventKind.WAITING if step.kind not in ("wait", "verify"):
            return "Only a wait or a verification has a timer."
        case EventKind.TAKEN_BACK if detail.get("seq") != standing.by_seq or not standing.by_seq:
            return "There is nothing to take back here."
        case EventKind.FEEDBACK if detail.get("verdict") not in VERDICTS:
            return "Say whether it worked, was wrong or was unclear."
    return None


def goes_on_with(step: PlanStep, said: Said) -> dict[str, Any]:
    """What the server adds to an event: where the runbook goes on from it."""
    if said.kind is EventKind.FAILED:
        return {"goes_to": step.on_fail}
    if said.kind is EventKind.DECIDED:
        chosen = next((o for o in step.options if o.number == said.detail["option"]), None)
        if chosen is None:
            return {"label": "None of these", "condition": "", "goes_to": "", "runbook": ""}
        return {
            "label": chosen.label,
            "condition": chosen.condition[:MAX_CONDITION],
            "goes_to": chosen.step,
            "runbook": chosen.runbook,
        }
    return {}


def answer_said(decided: Mapping[str, Any]) -> str:
    """What was answered to a decision: its condition; of older events the words of its link."""
    return str(decided.get("condition") or decided.get("label") or "None of these")


def to_verify(plan: Plan, state: RunState) -> tuple[PlanStep, ...]:
    """The verifications that are neither done nor waived by being skipped."""
    return tuple(
        step
        for step in plan.verifications
        if state.of(step.id).state not in SETTLED and step.id not in plan.undos
    )


def steps_to_go(plan: Plan, state: RunState) -> int:
    """At most so many steps are left."""
    return sum(
        1
        for step in plan.steps
        if state.of(step.id).state not in SETTLED
        and step.id not in plan.undos
        and (step.role != "roll_back" or state.of(step.id).state is not StepState.TODO)
    )


def proves(plan: Plan, state: RunState) -> bool:
    """Whether a run that came to its end verified its version. Skipping a verification does not."""
    wanted = [step for step in plan.verifications if step.id not in plan.undos]
    asked = [step for step in wanted if state.of(step.id).state is not StepState.NOT_TAKEN]
    if asked:
        return all(state.of(step.id).state is StepState.DONE for step in asked)
    done = any(standing.state is StepState.DONE for standing in state.steps.values())
    return done and not steps_to_go(plan, state)
