"""RB05, RB25, RB29, RB30, RB33: the steps, one by one and as a whole."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from app.core import markdown
from app.runbooks.format import Step
from app.runbooks.lint.editing import Edit, attribute_edit, fix_of
from app.runbooks.lint.findings import Fix
from app.runbooks.lint.page import Link, Page
from app.runbooks.lint.rule import Problem, quoted
from app.runbooks.rendering import EXPECT
from app.runbooks.rules import StepKind

ENDS = frozenset({"verify", "afterwards", "stop"})  # sections that are come to by themselves
LAST = ("verify", "afterwards")
ENTRIES = ENDS | {"roll_back"}

VAGUE = re.compile(
    r"\b(?:investigate|look into|as appropriate|as needed|if necessary|when appropriate"
    r"|(?:fix|resolve|solve|address) (?:the |this |any )?(?:issue|problem|cause|error)s?"
    r"|take (?:the )?(?:appropriate|necessary|corrective) (?:action|step|measure)s?"
    r"|check (?:the )?(?:logs?|metrics|dashboards?)|do the needful)\b",
    re.IGNORECASE,
)


def changes_can_be_undone(page: Page) -> Iterator[Problem]:
    """RB05"""
    actions = [step for step in page.steps if step.kind is StepKind.ACTION and step.risk != "none"]
    risky = [step for step in page.steps if step.risk == "high" and "undo" not in step.attributes]
    for step in risky:
        sentence = (
            "A step of high risk names no `undo`: add the step that takes it back, because "
            "it can't be started without."
        )
        yield Problem(page.line_of(step), sentence, _undo_fix(page, step))
    if risky or not actions or page.sections("roll_back"):
        return
    if any("undo" in step.attributes for step in page.steps):
        return
    sentence = (
        "Steps change something and nothing says how to go back: add a section Roll back, or "
        "`undo=` with the id of the step that does."
    )
    yield Problem(page.line_of(actions[0]), sentence, _undo_fix(page, actions[0]))


def _undo_fix(page: Page, step: Step) -> Fix | None:
    """Adds a step that takes this one back, for its author to write."""
    undo = _free_id(page, f"undo-{step.id}"[:72].strip("-"))
    named = attribute_edit(page, step, "undo", undo)
    if named is None:
        return None
    begin = step.title[:2]
    title = (begin.lower() if begin.istitle() else begin) + step.title[2:]
    risk = step.risk or "low"
    stub = [
        f"### Undo: {title}",
        f"<!-- step id={undo} kind=action risk={risk} undo={step.id} minutes=5 -->",
        "TODO: the command that takes it back.",
        "",
        "**Expect:** TODO: what shows that it is as before.",
        "",
    ]
    return fix_of("Add a step that undoes it", page, [named, _placed(page, stub)])


def _free_id(page: Page, wanted: str) -> str:
    found, copies = wanted, 1
    while found in page.steps_by_id:
        copies += 1
        found = f"{wanted}-{copies}"
    return found


def _placed(page: Page, stub: list[str]) -> Edit:
    """At the end of the section Roll back; without one, a new section before what comes last."""
    sections = page.document.sections
    roll_back = next((n for n, one in enumerate(sections) if one.role == "roll_back"), None)
    if roll_back is not None:
        line = _begin(page, roll_back + 1)
    else:
        stub = ["## Roll back", "", *stub]
        line = _begin(page, next((n for n, one in enumerate(sections) if one.role in LAST), None))
    if page.lines[line - 2].strip():
        stub = ["", *stub]
    return line, line, stub


def _begin(page: Page, section: int | None) -> int:
    """The line of a section's heading; behind the last one, that after the end of the file."""
    sections = page.document.sections
    if section is not None and section < len(sections):
        return sections[section].line
    return len(page.lines) + (page.lines[-1] != "")


def steps_say_what_to_expect(page: Page) -> Iterator[Problem]:
    """RB25"""
    for step in page.steps:
        said = any(EXPECT.match(text) for _, text in page.text_of(step))
        if not said and step.kind in {StepKind.CHECK, StepKind.ACTION, StepKind.WAIT}:
            sentence = (
                "The step does not say what success looks like: add a line that begins with "
                "**Expect:**."
            )
            yield Problem(page.line_of(step), sentence)
        commands = [code for code in page.codes_of(step) if code.is_command]
        if len(commands) > 1:
            sentence = "The step has more than one command: make this one a step of its own."
            yield Problem(commands[1].line, sentence)


# RB29: where one can get to


def every_way_leads_out(page: Page) -> Iterator[Problem]:
    """RB29"""
    if not any(step.kind is StepKind.DECISION for step in page.steps):
        return
    yield from _dead_decisions(page)
    ways = _Ways(page)
    above = {below.id: step for step, below in pairwise(page.steps)}
    for step in ways.unreachable():
        if above[step.id].kind is not StepKind.DECISION:
            continue  # it follows one that is told already
        sentence = (
            "Nothing leads to this step, because the one above decides where to go: name it in a "
            "decision, or move it."
        )
        yield Problem(page.line_of(step), sentence)
    for step in ways.trapped():
        sentence = (
            "From this decision every way leads back to it: add an option that ends, such as one "
            "to a verification or to another runbook."
        )
        yield Problem(page.line_of(step), sentence)


def _dead_decisions(page: Page) -> Iterator[Problem]:
    for step in page.steps:
        if step.kind is StepKind.DECISION and not page.goes_of(step):
            sentence = (
                "The decision has no options: write a list with `[go: label](#step)` in each item."
            )
            yield Problem(page.line_of(step), sentence)
    for line in page.items_that_go_nowhere():
        sentence = "The option says not where to go: add `[go: label](#step)` to it."
        yield Problem(line, sentence)


class _Ways:
    """From each step to the next: to the one below, and wherever its links lead."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.sections = {
            part.id: section
            for section in page.document.sections
            for part in section.flow
            if isinstance(part, Step)
        }
        self.first_of = _first_steps(page)
        self.forward: dict[str, set[str]] = {}
        self.ends: set[str] = set()
        for step, below in zip(page.steps, [*page.steps[1:], None], strict=True):
            targets = {target for link in page.links_of(step) if (target := self._target(link))}
            targets |= {step.attributes.get("on_fail", "")} & page.steps_by_id.keys()
            if step.kind is not StepKind.DECISION and below:
                targets.add(below.id)
            self.forward[step.id] = targets
            if self._is_end(step, is_last=below is None):
                self.ends.add(step.id)

    def _target(self, link: Link) -> str | None:
        if not link.href.startswith("#"):
            return None
        return self.first_of.get(link.href[1:])

    def _is_end(self, step: Step, *, is_last: bool) -> bool:
        if step.kind in {StepKind.ESCALATE, StepKind.VERIFY}:
            return True
        if self.sections[step.id].role in ENDS or (is_last and step.kind is not StepKind.DECISION):
            return True
        # Another runbook, a page, or a heading without steps.
        return any(self._target(link) is None for link in self.page.goes_of(step))

    def unreachable(self) -> list[Step]:
        steps = self.page.steps
        begin = {steps[0].id} | {
            step.id
            for number, step in enumerate(steps)
            if self.sections[step.id].role in ENTRIES
            and self.sections[steps[number - 1].id] is not self.sections[step.id]
        }
        undos = {
            step.id: {step.attributes.get("undo", "")} & self.page.steps_by_id.keys()
            for step in steps
        }
        everywhere = {name: self.forward[name] | undos[name] for name in self.forward}
        reached = _reached(begin, everywhere)
        return [step for step in steps if step.id not in reached]

    def trapped(self) -> list[Step]:
        back: dict[str, set[str]] = {}
        for name, targets in self.forward.items():
            for target in targets:
                back.setdefault(target, set()).add(name)
        free = _reached(self.ends, back)
        return [
            step
            for step in self.page.steps
            if step.kind is StepKind.DECISION and self.page.goes_of(step) and step.id not in free
        ]


def _first_steps(page: Page) -> dict[str, str]:
    """Which step a link leads to, by what stands behind its #."""
    found = {step.id: step.id for step in page.steps}
    for section in page.document.sections:
        first = next((part.id for part in section.flow if isinstance(part, Step)), None)
        if first:
            found.setdefault(markdown.anchor(section.title), first)
    return found


def _reached(begin: Iterable[str], ways: Mapping[str, Iterable[str]]) -> set[str]:
    found = set(begin)
    waiting = list(found)
    while waiting:
        for target in ways.get(waiting.pop(), ()):
            if target not in found:
                found.add(target)
                waiting.append(target)
    return found


def live_steps_stay(page: Page) -> Iterator[Problem]:
    """RB30"""
    for step_id in sorted(set(page.surroundings.live_step_ids) - page.steps_by_id.keys()):
        sentence = (
            f"Somebody follows this runbook now and has done something in the step "
            f"{quoted(step_id)}, which is gone: keep its id until they have finished."
        )
        yield Problem(page.top, sentence)


def words_are_exact(page: Page) -> Iterator[Problem]:
    """RB33"""
    for step in page.steps:
        if step.kind in {StepKind.DECISION, StepKind.ESCALATE}:
            continue
        lines = page.text_of(step)
        found = next(((line, said) for line, text in lines if (said := VAGUE.search(text))), None)
        if found is None or page.codes_of(step) or page.links_of(step):
            continue
        if any("`" in text for _, text in lines):
            continue
        sentence = (
            f"{quoted(found[1][0])} does not say how: add the command, or a link to where to look."
        )
        yield Problem(found[0], sentence)
