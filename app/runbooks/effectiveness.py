"""What runs say of a runbook: how often, how long, where people stop. Pure functions."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

from app.runbooks.runs.rules import EventKind, Mode, RunStatus, answer_said

CLOSING = (EventKind.DONE, EventKind.FAILED, EventKind.SKIPPED, EventKind.DECIDED)


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run that has ended."""

    id: int
    mode: Mode
    status: RunStatus
    incident_id: int | None
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class EventLine:
    run_id: int
    seq: int
    step_id: str | None
    kind: EventKind
    said_at: datetime
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Use:
    """How a runbook fared as a whole."""

    runs: int = 0  # that have ended
    drills: int = 0  # of them
    finished: int = 0
    minutes: float | None = None  # the median of those that were finished
    incidents: int = 0  # in which it was followed to an end
    closed: int = 0  # of them: its verification held, or was waived with a reason
    last_at: datetime | None = None

    @property
    def left(self) -> int:
        return self.runs - self.finished


@dataclass(slots=True)
class StepUse:
    """How one step fared."""

    times: int = 0  # it was answered
    failed: int = 0
    skipped: int = 0
    stopped: int = 0  # runs that were left here
    wrong: int = 0  # by what people said afterwards
    unclear: int = 0
    minutes: float | None = None  # the median since the answer before
    took: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)  # of a decision: how often each

    @property
    def trouble(self) -> int:
        return self.failed + self.skipped + self.stopped + self.wrong + self.unclear


def use_of(runs: Sequence[RunLine]) -> Use:
    if not runs:
        return Use()
    finished = [run for run in runs if run.status is RunStatus.FINISHED]
    live = {run.incident_id for run in runs if run.mode is Mode.LIVE and run.incident_id}
    closed = {run.incident_id for run in finished if run.mode is Mode.LIVE and run.incident_id}
    return Use(
        runs=len(runs),
        drills=sum(run.mode is Mode.DRILL for run in runs),
        finished=len(finished),
        minutes=median(_minutes(run.started_at, run.ended_at) for run in finished)
        if finished
        else None,
        incidents=len(live),
        closed=len(closed),
        last_at=max(run.ended_at for run in runs),
    )


def uses_of_steps(runs: Iterable[RunLine], events: Iterable[EventLine]) -> dict[str, StepUse]:
    """By step id. Answers that were taken back count as not given."""
    by_run: dict[int, list[EventLine]] = defaultdict(list)
    for event in events:
        by_run[event.run_id].append(event)
    found: dict[str, StepUse] = defaultdict(StepUse)
    for run in runs:
        _add_run(found, run, sorted(by_run[run.id], key=lambda event: event.seq))
    for use in found.values():
        use.minutes = median(use.took) if use.took else None
    return dict(found)


def _add_run(found: dict[str, StepUse], run: RunLine, events: Sequence[EventLine]) -> None:
    taken_back = {event.detail.get("seq") for event in events if event.kind is EventKind.TAKEN_BACK}
    valid = [event for event in events if event.seq not in taken_back and event.step_id]
    before, last = run.started_at, None
    for event in valid:
        assert event.step_id is not None
        if event.kind is EventKind.OPENED:
            last = event.step_id
        if not _answers(event):
            continue
        use = found[event.step_id]
        use.times += 1
        use.failed += event.kind is EventKind.FAILED
        use.skipped += event.kind is EventKind.SKIPPED
        if event.kind is EventKind.DECIDED:
            use.answers[answer_said(event.detail)] += 1
        if event.kind is not EventKind.SKIPPED:
            use.took.append(_minutes(before, event.said_at))
        before, last = event.said_at, event.step_id
    if run.status is RunStatus.LEFT and last is not None:
        found[last].stopped += 1
    for step_id, verdict in _verdicts(valid).items():
        found[step_id].wrong += verdict == "wrong"
        found[step_id].unclear += verdict == "unclear"


def _answers(event: EventLine) -> bool:
    sensed = event.kind is EventKind.SENSED and event.detail.get("holds") is True
    return sensed or event.kind in CLOSING


def _verdicts(events: Iterable[EventLine]) -> dict[str, str]:
    """What people said last of each step."""
    return {
        event.step_id: str(event.detail.get("verdict"))
        for event in events
        if event.kind is EventKind.FEEDBACK and event.step_id
    }


def wrong_steps(events: Iterable[EventLine]) -> list[str]:
    """The steps of one run that people called wrong, in the order in which they did."""
    said = _verdicts(sorted(events, key=lambda event: event.seq))
    return [step_id for step_id, verdict in said.items() if verdict == "wrong"]


def worst_first(steps: dict[str, StepUse]) -> list[tuple[str, StepUse]]:
    """The steps that gave trouble."""
    troubled = Counter({step_id: use.trouble for step_id, use in steps.items() if use.trouble})
    return [(step_id, steps[step_id]) for step_id, _ in troubled.most_common()]


def _minutes(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds() / 60)
