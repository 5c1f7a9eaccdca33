"""The events of a run in words, for timelines and for those who come later."""

from typing import Any

from app.runbooks.runs.rules import EventKind, Plan, RunStatus, answer_said
from app.runbooks.runs.tables import RunEvent

WHAT = {"failed": "It failed", "timed_out": "It timed out", "cannot": "It can't be done"}
PAST = {
    EventKind.STARTED: "Runbook {title} v{number} started",
    EventKind.OPENED: "Step {step} opened",
    EventKind.DONE: "Step {step} done",
    EventKind.FAILED: "Step {step} failed",
    EventKind.SKIPPED: "Step {step} skipped",
    EventKind.DECIDED: "Step {step} answered: {answer}",
    EventKind.WAITING: "Step {step} is waiting",
    EventKind.SENSED: "Step {step}: {reading}, sensed",
    EventKind.TAKEN_BACK: "Step {step} taken back",
    EventKind.COPIED: "Command of step {step} copied",
    EventKind.NOTED: "Note on step {step}",
    EventKind.FILLED: "{name} filled in: {value}",
    EventKind.SWITCHED: "Runbook switched from v{from} to v{to}",
    EventKind.ESCALATED: "Escalated to {to}",
    EventKind.ENDED: "Runbook {title} {status}",
    EventKind.FEEDBACK: "Feedback on step {step}",
}
LOOKS = {
    EventKind.STARTED: ("runbook", "idle"),
    EventKind.DONE: ("s-done", "ok"),
    EventKind.FAILED: ("s-failed", "bad"),
    EventKind.SKIPPED: ("s-skipped", "idle"),
    EventKind.DECIDED: ("s-done", "ok"),
    EventKind.WAITING: ("s-waiting", "info"),
    EventKind.SENSED: ("live", "info"),
    EventKind.TAKEN_BACK: ("undo", "idle"),
    EventKind.COPIED: ("copy", "idle"),
    EventKind.NOTED: ("note", "info"),
    EventKind.FILLED: ("edit", "idle"),
    EventKind.SWITCHED: ("pin", "info"),
    EventKind.ESCALATED: ("phone", "warn"),
    EventKind.ENDED: ("flag", "ok"),
}


class _Words(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def sentence_of(event: RunEvent, plan: Plan, title: str = "") -> str:
    """What happened, in a clause."""
    step = plan.get(event.step_id)
    name = f"{step.number} “{step.title}”" if step else event.step_id or "?"
    said = dict(event.detail)
    if event.kind is EventKind.DECIDED:
        said["answer"] = answer_said(event.detail)
    if event.kind is EventKind.ENDED:
        said["status"] = "finished" if said.get("status") == RunStatus.FINISHED else "left"
    if event.kind is EventKind.FILLED and not said.get("value"):
        said["value"] = "kept secret"
    words = _Words(said | {"step": name, "title": title})
    return " ".join(PAST[event.kind].format_map(words).split())


def note_of(event: RunEvent) -> str:
    """What the person wrote beside it."""
    detail = event.detail
    what = WHAT.get(str(detail.get("what")), "") if event.kind is EventKind.FAILED else ""
    keys = ("note", "reason", "text") if event.kind is not EventKind.COPIED else ()
    text = next((str(detail[key]) for key in keys if detail.get(key)), "")
    return ": ".join(part for part in (what, text) if part)
