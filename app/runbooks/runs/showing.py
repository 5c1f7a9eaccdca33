"""A run as its page shows it: every step with what stands on it, in words.

Everything here is read once for the page and costs the same for one event or for fifty.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from flask import url_for
from markupsafe import Markup

from app.people.tables import User
from app.runbooks import service as runbooks
from app.runbooks.filling import fill_html
from app.runbooks.front_matter import Facts, Variable, facts
from app.runbooks.rules import MODEL_OWNER, whose
from app.runbooks.runs import queries, service
from app.runbooks.runs.commands import command
from app.runbooks.runs.newer import Newer, newer
from app.runbooks.runs.queries import Followed, Person
from app.runbooks.runs.rules import (
    CLAIM_LASTS,
    MOVES,
    EventKind,
    Mode,
    Option,
    Plan,
    PlanStep,
    RunStatus,
    Standing,
    StepState,
    steps_to_go,
    to_verify,
)
from app.runbooks.runs.sensor import Sensed, sensor
from app.runbooks.runs.tables import Run, RunEvent
from app.runbooks.runs.telling import WHAT, sentence_of
from app.runbooks.tables import RunbookVersion
from app.web.navigation import INCIDENT, url_if_there

VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}")
SOON = timedelta(minutes=5)
ANSWERABLE = (StepState.TODO, StepState.DOING, StepState.WAITING, StepState.FAILED)
FILLS = (EventKind.FILLED, EventKind.SWITCHED)
COUNTED = (
    StepState.DONE,
    StepState.FAILED,
    StepState.SKIPPED,
    StepState.NOT_TAKEN,
    StepState.DOING,
    StepState.WAITING,
    StepState.TODO,
)


@dataclass(frozen=True, slots=True)
class ShownStep:
    """A step with all that its row says."""

    plan: PlanStep
    parts: Mapping[str, Any]
    standing: Standing
    state: StepState
    is_current: bool
    is_next: bool
    undoes: PlanStep | None  # it is there only to take this one back
    on_fail: PlanStep | None
    undo: PlanStep | None
    why: str  # it stands as it stands, in a clause
    answer: Option | None
    notes: Sequence[RunEvent]
    claimed_by: Sequence[str]
    values: Sequence[tuple[str, str]]  # that are filled into its commands
    missing: Sequence[str]
    proven: str
    sensed: Sensed | None
    stamp: str  # changes whenever the row does
    run: "ShownRun" = field(repr=False)

    @property
    def id(self) -> str:
        return self.plan.id

    @property
    def number(self) -> int:
        return self.plan.number

    @property
    def open(self) -> bool:
        return self.is_current or self.is_next or self.state is StepState.WAITING

    @property
    def risky(self) -> bool:
        return self.plan.risk == "high"

    @property
    def closed(self) -> str:
        """Why a risky step can't be taken; nothing if it can."""
        if not self.risky:
            return ""
        if self.run.drill:
            return "In a drill nothing risky is done. Say what you would do, and go on."
        if self.undo is None:
            return "It stays closed: the runbook names no step that takes it back."
        return ""

    @property
    def answerable(self) -> bool:
        return self.state in ANSWERABLE and not self.run.over

    @property
    def has_timer(self) -> bool:
        return self.plan.kind in ("wait", "verify")

    @property
    def can_be_taken_back(self) -> bool:
        return bool(self.standing.by_seq) and not self.run.over

    @property
    def is_quiet(self) -> bool:
        """Whether its row holds no form, no clock and nobody's name but of who did it."""
        asks = self.plan.kind == "decision" or self.plan.options
        return not (self.open or self.sensed or self.claimed_by or (asks and self.answerable))

    @property
    def kept_by(self) -> Hashable:
        """All that a quiet row is made of."""
        notes = tuple(note.seq for note in self.notes)
        return (*self.run.kept_by, self.id, self.stamp, self.standing, self.proven, notes)

    @property
    def blocks(self) -> list[tuple[str, Any]]:
        """Its body in order: prose, commands, expectations, options."""
        found: list[tuple[str, Any]] = []
        values = self.run.values
        for index, block in enumerate(self.parts["blocks"]):
            kind = block["kind"]
            if kind == "command":
                found.append((kind, command(block, index, values, self.run.said.variables)))
            elif kind == "options":
                found.append((kind, self.options))
            else:
                found.append((kind, fill_html(block["html"], values)))
        return found

    @property
    def options(self) -> list[tuple[Option, Markup, PlanStep | None]]:
        htmls = [
            option["html"]
            for block in self.parts["blocks"]
            if block["kind"] == "options"
            for option in block["options"]
        ]
        return [
            (option, fill_html(html, self.run.values), self.run.plan.get(option.step))
            for option, html in zip(self.plan.options, htmls, strict=True)
        ]


def _undone_by(step: PlanStep, other: PlanStep | None) -> PlanStep | None:
    """The step that this one takes back. Of two that take each other back it is the later one."""
    return other if other is not None and other.number < step.number else None


@dataclass(frozen=True, slots=True)
class ShownSection:
    title: str
    anchor: str
    role: str
    flow: Sequence[ShownStep | Markup]


@dataclass(frozen=True)
class ShownRun:
    followed: Followed
    parts: Mapping[str, Any]
    said: Facts
    people: Sequence[Person]
    proofs: Mapping[str, str]
    newer: Newer | None
    at: datetime
    reader: User | None
    may_act: bool
    opened_at: datetime | None = None  # of the incident: the time to escalation runs from it

    @property
    def run(self) -> Run:
        return self.followed.run

    @property
    def id(self) -> int:
        return self.run.id

    @cached_property
    def url(self) -> str:
        return url_for("runs.detail", run_id=self.id)

    @property
    def plan(self) -> Plan:
        return self.followed.plan

    @cached_property
    def kept_by(self) -> Sequence[Hashable]:
        """What all rows are made of; its numbers alone may come again in another database."""
        run, reader = self.run, self.reader
        said = (self.version.sha256, run.mode, run.model_name, sorted(self.values.items()))
        zone = reader.time_zone if reader else None
        return run.id, run.started_at, zone, self.may_act, hash(repr((said, self.parts)))

    @property
    def version(self) -> RunbookVersion:
        return self.run.runbook_version

    @property
    def values(self) -> Mapping[str, str]:
        return self.run.variables

    @property
    def over(self) -> bool:
        return self.run.status is not RunStatus.OPEN

    @property
    def drill(self) -> bool:
        return self.run.mode is Mode.DRILL

    @property
    def seq(self) -> int:
        return self.run.last_seq

    @cached_property
    def confirm(self) -> str:
        return service.confirmation_target(self.run)

    @property
    def escalate_to(self) -> str:
        return whose(self.said.escalate_to or MODEL_OWNER)

    @cached_property
    def escalate_url(self) -> str | None:
        """Where somebody is paged: in the incident. A drill pages nobody."""
        if self.run.incident_id is None:
            return None
        page = url_if_there(INCIDENT, incident_id=self.run.incident_id)
        return f"{page}#escalate" if page else None

    @cached_property
    def escalate_at(self) -> datetime | None:
        """When it is time to escalate, unless somebody has."""
        if self.said.escalate_after is None or self.over or self.followed.state.escalated:
            return None
        return (self.opened_at or self.run.started_at) + self.said.escalate_after

    @property
    def escalate_tone(self) -> str | None:
        return tone_of(self.escalate_at, at=self.at)

    @cached_property
    def current(self) -> ShownStep | None:
        return next((step for step in self.steps if step.is_current), None)

    @cached_property
    def steps(self) -> tuple[ShownStep, ...]:
        return tuple(self._steps())

    @cached_property
    def sections(self) -> tuple[ShownSection, ...]:
        by_id = {step.id: step for step in self.steps}
        return tuple(
            ShownSection(
                section["title"],
                section["anchor"],
                section["role"],
                [
                    by_id[part["step"]] if "step" in part else fill_html(part["html"], self.values)
                    for part in section["flow"]
                    if "step" in part or part["html"]
                ],
            )
            for section in self.parts["sections"]
        )

    @property
    def stop(self) -> Markup | None:
        """When to stop and escalate."""
        for fact in self.parts["facts"]:
            if fact["role"] == "stop":
                return fill_html(fact["html"], self.values)
        return None

    @property
    def counts(self) -> str:
        """5 done, 1 failed, 4 to do."""
        found = Counter(step.state for step in self.steps)
        return ", ".join(
            f"{found[state]} {state.value.replace('_', ' ').replace('todo', 'to do')}"
            for state in COUNTED
            if found[state]
        )

    @cached_property
    def to_go(self) -> int:
        return steps_to_go(self.plan, self.followed.state)

    @cached_property
    def to_verify(self) -> tuple[PlanStep, ...]:
        return to_verify(self.plan, self.followed.state)

    @property
    def can_end(self) -> bool:
        """Whether nothing is left, or only what can be waived."""
        if self.over:
            return False
        waits = any(step.state is StepState.WAITING for step in self.steps)
        return self.current is None or (not self.to_verify and not waits)

    @cached_property
    def missing(self) -> tuple[Variable, ...]:
        """What has to be known before the first step."""
        return tuple(
            variable
            for variable in self.said.variables
            if variable.required and not variable.secret and not self.values.get(variable.name)
        )

    @cached_property
    def moved(self) -> bool:
        return any(event.kind in MOVES for event in self.followed.events)

    @cached_property
    def last(self) -> RunEvent | None:
        """What was done last."""
        quiet = (EventKind.STARTED, EventKind.FEEDBACK)
        return next((e for e in reversed(self.followed.events) if e.kind not in quiet), None)

    @property
    def last_sentence(self) -> str:
        return sentence_of(self.last, self.plan) if self.last else "Nothing is done yet."

    @cached_property
    def returning(self) -> bool:
        """Whether the reader has not looked for a while, and things have gone on."""
        if self.reader is None or self.over or self.last is None:
            return False
        here = {person.user_id for person in self.people}
        old = self.last.at < self.at - CLAIM_LASTS or self.last.actor_id != self.reader.id
        return self.reader.id not in here and old

    def with_state(self, *states: str) -> list[ShownStep]:
        return [step for step in self.steps if step.state in states]

    @cached_property
    def take_back(self) -> tuple[ShownStep, RunEvent] | None:
        """The last thing the reader did that still stands."""
        if self.reader is None or self.over:
            return None
        by_seq = {step.standing.by_seq: step for step in self.steps if step.standing.by_seq}
        for event in reversed(self.followed.events):
            if event.seq in by_seq and event.actor_id == self.reader.id:
                return by_seq[event.seq], event
        return None

    @property
    def handoff(self) -> str:
        """Where the run stands, as a text to hand on."""
        lines = [
            f"{self.version.title}, v{self.version.number}"
            + (f", INC-{self.run.incident_id}" if self.run.incident_id else ""),
            f"Last: {self.last_sentence}",
        ]
        if self.current:
            lines.append(f"Next: step {self.current.number}, {self.current.plan.title}")
        for state, word in (("failed", "Failed"), ("skipped", "Skipped"), ("waiting", "Waiting")):
            for step in self.with_state(state):
                note = f": {step.why}" if step.why else ""
                if step.standing.until:
                    note = f", until {step.standing.until:%H:%M} UTC"
                lines.append(f"{word}: step {step.number}, {step.plan.title}{note}")
        return "\n".join(lines)

    # --- Steps

    def _steps(self) -> Sequence[ShownStep]:
        state = self.followed.state
        events = {event.seq: event for event in self.followed.events}
        notes: dict[str, list[RunEvent]] = defaultdict(list)
        for event in self.followed.events:
            if event.kind is EventKind.NOTED and event.step_id:
                notes[event.step_id].append(event)
        claims: dict[str, list[str]] = defaultdict(list)
        for person in self.people:
            if person.claimed:
                claims[person.claimed].append(person.name)
        filled = max((e.seq for e in self.followed.events if e.kind in FILLS), default=0)
        next_id = self._next_after(state.current)
        undone = {step.undo: step for step in self.plan.steps if step.undo}
        found = []
        for step in self.plan.steps:
            standing = state.of(step.id)
            is_current, is_next = step.id == state.current, step.id == next_id
            parts = self.parts["steps"][step.id]
            values, missing = self._used(parts)
            sensed = self._sense(step, parts, standing, is_current)
            said = events.get(standing.by_seq)
            stamp = (
                f"{self.run.version_id}.{standing.seq}.{standing.state}.{int(is_current)}"
                f"{int(is_next)}.{filled}.{len(notes[step.id])}.{'/'.join(claims[step.id])}"
                f".{self.run.status}{self._time_is_up(standing)}"
                + (f".{sensed.reading}{sensed.holds}" if sensed else "")
            )
            found.append(
                ShownStep(
                    plan=step,
                    parts=parts,
                    standing=standing,
                    state=standing.state,
                    is_current=is_current,
                    is_next=is_next,
                    undoes=_undone_by(step, undone.get(step.id)),
                    on_fail=self.plan.get(step.on_fail),
                    undo=self.plan.get(step.undo),
                    why=self._why(step, standing, said),
                    answer=next((o for o in step.options if o.number == standing.answer), None),
                    notes=notes[step.id],
                    claimed_by=claims[step.id],
                    values=values,
                    missing=missing,
                    proven=self.proofs.get(step.id, ""),
                    sensed=sensed,
                    stamp=stamp,
                    run=self,
                )
            )
        return found

    def _time_is_up(self, standing: Standing) -> str:
        return ".up" if standing.until and standing.until <= self.at else ""

    def _next_after(self, current: str | None) -> str | None:
        """The step that can be read ahead: the next one in the same section."""
        ids = [step.id for step in self.plan.steps]
        if current not in ids or self.over:
            return None
        here = self.plan.get(current)
        state, undos = self.followed.state, self.plan.undos
        for step in self.plan.steps[ids.index(current) + 1 :]:
            if here and step.section != here.section:
                return None
            if state.of(step.id).state is StepState.TODO and step.id not in undos:
                return step.id
        return None

    def _why(self, step: PlanStep, standing: Standing, said: RunEvent | None) -> str:
        match standing.state:
            case StepState.FAILED:
                what = WHAT.get(str(said.detail.get("what")), "") if said else ""
                return ": ".join(part for part in (what, standing.note) if part)
            case StepState.SKIPPED:
                return f"Reason: {standing.note}"
            case StepState.NOT_TAKEN:
                return self._branch_of(step)
        return standing.note

    def _branch_of(self, step: PlanStep) -> str:
        for decision in self.plan.steps:
            for option in decision.options:
                if option.step == step.id:
                    return f"Belongs to answer {option.number} of step {decision.number}."
        return "On a branch that was not chosen."

    def _used(self, parts: Mapping[str, Any]) -> tuple[Sequence[tuple[str, str]], Sequence[str]]:
        names = dict.fromkeys(
            name
            for block in parts["blocks"]
            if block["kind"] == "command"
            for name in VARIABLE.findall(block["copied"])
        )
        values = [(name, self.values[name]) for name in names if self.values.get(name)]
        return values, [name for name in names if not self.values.get(name)]

    def _sense(
        self, step: PlanStep, parts: Mapping[str, Any], standing: Standing, is_current: bool
    ) -> Sensed | None:
        ask = sensor()
        if ask is None or self.over or not (is_current or standing.until):
            return None
        said = {**parts, "id": step.id, "since": standing.at, "at": self.at}
        return ask(self.run.model_name, said)


def shown(
    run_id: int,
    *,
    at: datetime,
    reader: User | None,
    may_act: bool,
    opened_at: datetime | None = None,
    followed: Followed | None = None,
) -> ShownRun:
    """The run for its page, or for the page of its incident."""
    followed = followed or queries.followed(run_id)
    version = followed.run.runbook_version
    return ShownRun(
        followed=followed,
        parts=runbooks.rendered(version),
        said=facts(version.front_matter),
        people=queries.people(run_id, at=at),
        proofs=queries.proofs(followed.run, followed.plan),
        newer=newer(followed),
        at=at,
        reader=reader,
        may_act=may_act,
        opened_at=opened_at,
    )


def tone_of(deadline: datetime | None, *, at: datetime) -> str | None:
    """Quiet, then amber with five minutes left, red at the end."""
    if deadline is None or deadline - at > SOON:
        return None
    return "bad" if deadline <= at else "warn"
