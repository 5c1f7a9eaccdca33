"""RB01, RB02, RB26 to RB28: what the file says of itself."""

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from app.runbooks.format import STEP_COMMENT
from app.runbooks.front_matter import SCHEMA, facts
from app.runbooks.lint.editing import attribute_fix, front_matter_fix, line_fix, nearest
from app.runbooks.lint.findings import Fix
from app.runbooks.lint.page import Page
from app.runbooks.lint.rule import Problem, quoted
from app.runbooks.rules import MODEL_OWNER, RESERVED, kebab

KEYS = frozenset({
    "schema", "id", "title", "failure_mode", "severity", "applies_to", "signals", "owner",
    "escalate_to", "escalate_after", "est_minutes", "last_verified", "verified_by",
    "verified_how", "review_every", "requires", "variables", "related", "supersedes", "dialect",
})  # fmt: skip
KEYS_OF_VARIABLES = frozenset(
    {"name", "from", "default", "pattern", "choices", "required", "secret"}
)
ATTRIBUTES = frozenset({"id", "kind", "risk", "minutes", "undo", "on_fail", "confirm", "until"})
MOST_KEYS = 200  # that are looked at for a slip of the keyboard
EXPIRES = re.compile(r"<!--\s{0,9}expires:?\s{1,9}(\d{4}-\d\d-\d\d)\s{0,9}-->", re.IGNORECASE)
SOON = timedelta(days=14)


def readable(page: Page) -> Iterator[Problem]:
    """RB01"""
    yield from _not_read(page)
    yield from _values(page)
    yield from _unknown_keys(page)
    yield from _step_comments(page)


def _not_read(page: Page) -> Iterator[Problem]:
    front = page.front
    for remark in page.parsed.remarks:
        if line := re.match(r"Line (\d+) is not UTF-8", remark):
            yield Problem(int(line[1]), f"Line {line[1]} is not UTF-8: save the file as UTF-8.")
        elif line := re.match(r"Line (\d+) holds the character NUL", remark):
            sentence = f"{line[0]}: remove it, because a file with one is not taken for a text."
            yield Problem(int(line[1]), sentence)
    if front.why_not:
        sentence = f"The front matter can't be read: {front.why_not}."
        yield Problem(front.why_line, sentence)
    elif not front.close:
        name = _name(page)
        said = f"id: {name}\n" if name else ""
        begin = f"---\nschema: {SCHEMA}\n{said}---\n\n"
        fix: Fix | None = Fix("Begin with a front matter", 1, 1, begin)
        yield Problem(1, f"The file has no front matter: begin it with `schema: {SCHEMA}`.", fix)
    elif "schema" not in page.parsed.front_matter:
        fix = front_matter_fix("Name the schema", page, [f"schema: {SCHEMA}"])
        yield Problem(1, f"The front matter names no schema: add `schema: {SCHEMA}`.", fix)


def _values(page: Page) -> Iterator[Problem]:
    """Each key and each item read by itself, so that what can't be used has a line."""
    for key, value in page.parsed.front_matter.items():
        if key in {"signals", "variables"} and isinstance(value, list):
            for number, item in enumerate(value):
                line = page.front.item_line(key, number)
                for remark in facts({key: [item]}).remarks:
                    yield Problem(line, remark)
                if key == "variables" and isinstance(item, dict):
                    yield from _variable(line, item)
        else:
            for remark in facts({key: value}).remarks:
                yield Problem(page.front.line(key), remark)


def _variable(line: int, item: Mapping[str, Any]) -> Iterator[Problem]:
    found = facts({"variables": [item]}).variables
    for variable in found:
        if variable.pattern and not _compiles(variable.pattern):
            sentence = (
                f"The pattern of {quoted(variable.name)} is no regular expression: "
                "correct it, because no value can be held against it."
            )
            yield Problem(line, sentence)
        if variable.default and variable.choices and variable.default not in variable.choices:
            sentence = (
                f"The default of {quoted(variable.name)} is none of its choices: "
                "add it to them, or take one of them."
            )
            yield Problem(line, sentence)


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    except Warning:  # where warnings are errors
        return True
    return True


def _unknown_keys(page: Page) -> Iterator[Problem]:
    said = page.parsed.front_matter
    for key in list(said)[:MOST_KEYS]:
        # A key of another tool is kept, so that only what looks like a slip is told.
        if key not in KEYS and (meant := nearest(key, KEYS - said.keys())):
            line = page.front.line(key)
            text = page.lines[line - 1]
            fix = None
            if text.startswith(f"{key}:"):
                fix = line_fix(f"Call it {meant}", line, meant + text[len(key) :])
            sentence = (
                f"{quoted(key)} is not a key of the format: write `{meant}`, if that is meant."
            )
            yield Problem(line, sentence, fix, is_minor=True)
    variables = said.get("variables")
    for number, item in enumerate(variables[:MOST_KEYS] if isinstance(variables, list) else ()):
        for key in item if isinstance(item, dict) else ():
            meant = None if key in KEYS_OF_VARIABLES else nearest(key, KEYS_OF_VARIABLES)
            if meant:
                line = page.front.item_line("variables", number)
                sentence = (
                    f"A variable has no key {quoted(key)}: write `{meant}`, if that is meant."
                )
                yield Problem(line, sentence, is_minor=True)


def _step_comments(page: Page) -> Iterator[Problem]:
    above = re.compile(r"Line (\d+): (?!the step id)(.*)", re.DOTALL)
    steps = {step.place.start: step for step in page.steps}
    for remark in page.document.remarks:
        found = above.fullmatch(remark)
        step = steps.get(int(found[1])) if found else None
        if found and step:
            sentence = found[2].strip()
            yield Problem(page.line_of(step), sentence[:1].upper() + sentence[1:])
    yield from _unknown_attributes(page)
    yield from _stray_comments(page)


def _unknown_attributes(page: Page) -> Iterator[Problem]:
    unknown = {name for step in page.steps for name in step.attributes} - ATTRIBUTES
    slips = {name: nearest(name, ATTRIBUTES) for name in sorted(unknown)[:MOST_KEYS]}
    for step in page.steps:
        for name in step.attributes:
            if (meant := slips.get(name)) and meant not in step.attributes:
                sentence = (
                    f"A step has no attribute {quoted(name)}: write `{meant}`, if that is meant."
                )
                yield Problem(page.line_of(step), sentence, is_minor=True)


def _stray_comments(page: Page) -> Iterator[Problem]:
    own = {comment.line for step in page.steps if (comment := page.comment_of(step))}
    for comment in page.comments:
        if comment.line not in own and STEP_COMMENT.match(comment.text):
            sentence = (
                "This step comment marks nothing: put it on the line below a heading, "
                "or into the first paragraph of a list item."
            )
            yield Problem(comment.line, sentence)


def identity(page: Page) -> Iterator[Problem]:
    """RB02"""
    front, said = page.front, page.document.facts.id
    if front.is_readable:
        if said is None:
            yield _no_id(page)
        elif said in RESERVED:
            sentence = f"The id {quoted(said)} is the address of a page: choose another."
            yield Problem(front.line("id"), sentence)
        elif said != (_name(page) or said):
            sentence = (
                f"The id {quoted(said)} is not the runbook's name: write `id: {page.slug}`, "
                "or rename the file, because links and alerts go by the id."
            )
            yield Problem(front.line("id"), sentence, _id_fix(page))
    if said is not None and said in (page.surroundings.slugs or ()):
        sentence = f"Another runbook has the id {quoted(said)} already: choose one of its own."
        yield Problem(front.line("id"), sentence)
    yield from _step_ids(page)


def _name(page: Page) -> str:
    """The id that the name of the file gives; nothing if that can't be one."""
    return "" if page.slug in RESERVED else page.slug


def _no_id(page: Page) -> Problem:
    line, name = page.front.line("id"), _name(page)
    if name:
        return Problem(line, f"The front matter has no id: add `id: {name}`.", _id_fix(page))
    sentence = "The front matter has no id, and the name of the file gives none: add one."
    return Problem(line, sentence)


def _id_fix(page: Page) -> Fix | None:
    label = f"Set the id to {page.slug}"
    if "id" not in page.front.keys:
        return front_matter_fix(label, page, [f"id: {page.slug}"])
    lines = page.front.keys["id"]
    if lines.end - lines.start != 1:
        return None
    return line_fix(label, lines.start, f"id: {page.slug}")


def _step_ids(page: Page) -> Iterator[Problem]:
    former = page.surroundings.former_steps
    for step in page.steps:
        comment = page.comment_of(step)
        if comment is None or not STEP_COMMENT.match(comment.text):
            continue
        said = step.attributes.get("id")
        if not said:
            fix = attribute_fix(f"Name it {step.id}", page, step, "id", step.id)
            sentence = f"The step has no id: add `id={step.id}`, or ticks and links lose it."
            yield Problem(comment.line, sentence, fix, is_minor=True)
        elif said != step.id:
            taken = kebab(said)[:72].strip("-") == said
            why = "is that of another step" if taken else "has characters other than a-z, 0-9 and -"
            fix = attribute_fix(f"Name it {step.id}", page, step, "id", step.id)
            yield Problem(
                comment.line, f"The step id {quoted(said)} {why}: write `{step.id}`.", fix
            )
        elif said in former and kebab(former[said]) != kebab(step.title):
            sentence = (
                f"The step id {quoted(said)} was that of {quoted(former[said])}, which is gone: "
                "choose one that was never used, or the records of two steps become one."
            )
            yield Problem(comment.line, sentence)


def known_signals(page: Page) -> Iterator[Problem]:
    """RB26"""
    around = page.surroundings
    said = page.parsed.front_matter.get("signals")
    items = said if isinstance(said, list) else [said]
    for number, item in enumerate(items):
        line = page.front.item_line("signals", number)
        for signal in facts({"signals": [item]}).signals if item is not None else ():
            # Names of alerts are compared in lower case, and told as they are written.
            alert = str(signal.condition.get("alertname")).strip()
            for what, written, name, known in (
                ("alert", alert, signal.alertname, around.alertnames),
                ("metric", signal.metric, signal.metric, around.metrics),
            ):
                if name and known is not None and name not in known:
                    yield _unknown(line, what, written, nearest(name, known))


def _unknown(line: int, what: str, name: str | None, meant: str | None) -> Problem:
    hint = f"write {quoted(meant)}, if that is meant" if meant else "check its name at the sender"
    return Problem(line, f"Baton has never seen the {what} {quoted(name)}: {hint}.")


def reachable_people(page: Page) -> Iterator[Problem]:
    """RB27"""
    people = page.surroundings.people_of_teams
    if people is None:
        return
    said = page.document.facts
    for key, name in (("owner", said.owner), ("escalate_to", said.escalate_to)):
        if name is None or name == MODEL_OWNER or people.get(name, 0) > 0:
            continue
        if name in people:
            sentence = f"Nobody is in the team {quoted(name)}: add a person, or name another team."
        else:
            meant = nearest(name, people)
            hint = (
                f"write {quoted(meant)}, if that is meant" if meant else "add it, or name another"
            )
            sentence = f"Baton knows no team {quoted(name)}: {hint}."
        yield Problem(page.front.line(key), sentence)


def fresh(page: Page) -> Iterator[Problem]:
    """RB28"""
    today = page.surroundings.today
    if today is None:
        return
    yield from _overdue(page, today)
    for line, said in page.found(EXPIRES):
        try:
            day = date.fromisoformat(said[1])
        except ValueError:
            continue
        if day < today + SOON:
            when = "expired" if day < today else "expires"
            sentence = f"What stands here {when} on {day}: check it, and set a later day."
            yield Problem(line, sentence)


def _overdue(page: Page, today: date) -> Iterator[Problem]:
    said, around = page.document.facts, page.surroundings
    seen = max((day for day in (around.last_verified, said.last_verified) if day), default=None)
    since = seen or around.first_published
    if said.review_every is None or since is None:
        return
    try:
        due = since + said.review_every
    except OverflowError:
        return
    if due < today:
        what = f"was last verified on {seen}" if seen else f"was never verified since {since}"
        sentence = f"The runbook {what} and its review was due on {due}: plan a drill."
        yield Problem(page.front.line("review_every"), sentence)
