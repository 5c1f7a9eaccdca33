"""What changed between two texts of a runbook: by step, and by line.

Steps are the same by their ids (`identity`), so a step that moved is one that moved, and not one
that went and another that came. Of a step that changed it is told which part: what people type
and what they expect to see weigh more than the words around them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import yaml

from app.core import markdown
from app.runbooks.differences import (
    Hunk,
    Line,
    Side,
    Word,
    diff_of_lines,
    diff_of_words,
    line_diff,
    opcodes,
)
from app.runbooks.format import GO_LINK, Document, Section, Step
from app.runbooks.identity import matches, unmoved
from app.runbooks.rendering import EXPECT

__all__ = ["Change", "Comparison", "Hunk", "Part", "StepChange", "compare", "line_diff"]

# Shown by itself, so it is no setting.
NO_SETTINGS = frozenset({"id", "kind", "risk"})


class Change(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"
    CHANGED = "changed"
    SAME = "same"


class Part(StrEnum):
    """What of a step changed."""

    TITLE = "title"
    KIND = "kind"
    RISK = "risk"
    SETTINGS = "settings"  # whatever else its comment says: minutes, undo, until
    TEXT = "text"
    OPTIONS = "options"
    COMMAND = "command"
    EXPECTATION = "expectation"


# Shown line by line, because every character counts; the rest word by word.
AS_LINES = frozenset({Part.SETTINGS, Part.OPTIONS, Part.COMMAND})


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a step that changed, to be shown."""

    part: Part
    words: tuple[Word, ...] = ()
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class StepChange:
    step_id: str
    change: Change
    number_before: int | None
    number_after: int | None
    title: str
    title_before: str
    parts: frozenset[Part]
    pieces: tuple[Piece, ...]
    moved: bool  # also of a step that changed besides
    risky: bool  # before or after


@dataclass(frozen=True, slots=True)
class SectionChange:
    """Words of a section, outside of its steps, that changed."""

    title: str
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class FactChange:
    """A key of the front matter that changed; nothing on the side where it is missing."""

    key: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Comparison:
    steps: tuple[StepChange, ...]  # in the order of the later text, removed ones where they stood
    sections: tuple[SectionChange, ...]
    facts: tuple[FactChange, ...]

    def count(self, change: Change) -> int:
        return sum(each.change is change for each in self.steps)

    @property
    def changes_a_risky_step(self) -> bool:
        """Whether more than the place of a risky step changed."""
        unharmed = (Change.SAME, Change.MOVED)
        return any(each.risky and each.change not in unharmed for each in self.steps)

    def __bool__(self) -> bool:
        changed = any(each.change is not Change.SAME for each in self.steps)
        return changed or bool(self.sections or self.facts)


def compare(before: Document, after: Document) -> Comparison:
    return Comparison(
        tuple(_steps(before, after)),
        tuple(_sections(before, after)),
        tuple(_facts(before.front_matter, after.front_matter)),
    )


# --- Steps


def _steps(before: Document, after: Document) -> Iterator[StepChange]:
    old, new = before.steps, after.steps
    was = matches(before, after)
    positions = {step.id: position for position, step in enumerate(old)}
    pairs = {step.id: positions[was[step.id]] for step in new if step.id in was}
    kept = [step_id for step_id in (step.id for step in new) if step_id in pairs]
    still = {kept[index] for index in unmoved([pairs[step_id] for step_id in kept])}
    kept_positions = set(pairs.values())
    gone = [position for position in range(len(old)) if position not in kept_positions]
    sections = {section.title for section in before.sections}
    for number, step in enumerate(new, start=1):
        position = pairs.get(step.id)
        if position is None:
            yield _whole_step(step, Change.ADDED, None, number)
            continue
        if step.id in still:
            while gone and gone[0] < position:
                yield _removed(old, gone.pop(0))
        was_there = old[position]
        # In a section of a new name a step need not have moved: the section may have been renamed.
        elsewhere = step.section != was_there.section and step.section in sections
        moved = step.id not in still or elsewhere
        yield _step(was_there, step, position + 1, number, moved=moved)
    for position in gone:
        yield _removed(old, position)


def _removed(old: Sequence[Step], position: int) -> StepChange:
    return _whole_step(old[position], Change.REMOVED, position + 1, None)


def _whole_step(step: Step, change: Change, before: int | None, after: int | None) -> StepChange:
    side = Side.AFTER if change is Change.ADDED else Side.BEFORE
    pieces = tuple(
        _piece(part, *(("", text) if change is Change.ADDED else (text, "")))
        for part, text in _parts(step).items()
        if text and part is not Part.TITLE and (part is not Part.RISK or text != "none")
    )
    parts = frozenset(piece.part for piece in pieces)
    title = step.title
    called = title if side is Side.BEFORE else ""
    risky = step.risk == "high"
    return StepChange(
        step.id, change, before, after, title, called, parts, pieces, moved=False, risky=risky
    )


def _step(old: Step, new: Step, before: int, after: int, *, moved: bool) -> StepChange:
    # Most steps are the same to the letter, and taking one apart takes time.
    left, right = ({}, {}) if _letters(old) == _letters(new) else (_parts(old), _parts(new))
    parts = [part for part in left if _plain(part, left[part]) != _plain(part, right[part])]
    change = Change.CHANGED if parts else Change.MOVED if moved else Change.SAME
    return StepChange(
        step_id=new.id,
        change=change,
        number_before=before,
        number_after=after,
        title=new.title,
        title_before=old.title,
        parts=frozenset(parts),
        pieces=tuple(_piece(part, left[part], right[part]) for part in parts),
        moved=moved,
        risky="high" in (old.risk, new.risk),
    )


def _letters(step: Step) -> tuple[object, ...]:
    return (step.title, step.kind, step.risk, step.attributes, step.body)


def _plain(part: Part, text: str) -> str:
    """A part so far as it counts: prose may break its lines elsewhere."""
    if part in AS_LINES:
        return "\n".join(line.rstrip() for line in text.split("\n"))
    return " ".join(text.split())


def _piece(part: Part, before: str, after: str) -> Piece:
    if part in AS_LINES:
        sides = [text.split("\n") if text else [] for text in (before, after)]
        return Piece(part, lines=_around_changes(diff_of_lines(*sides)))
    if part is Part.TEXT:
        return Piece(part, words=_changed_paragraphs(before, after))
    return Piece(part, words=diff_of_words(before, after))


def _around_changes(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The lines that changed, and one above and below."""
    changed = {index for index, line in enumerate(lines) if line.side is not Side.BOTH}
    near = {index + one for index in changed for one in (-1, 0, 1)}
    return tuple(line for index, line in enumerate(lines) if index in near)


def _changed_paragraphs(before: str, after: str) -> tuple[Word, ...]:
    left, right = before.split("\n\n"), after.split("\n\n")
    found: list[Word] = []
    for tag, i1, i2, j1, j2 in opcodes(left, right):
        if tag != "equal":
            if found:
                found.append(Word(Side.BOTH, "\n\n"))
            found += diff_of_words("\n\n".join(left[i1:i2]), "\n\n".join(right[j1:j2]))
    return tuple(found)


def _parts(step: Step) -> dict[Part, str]:
    """A step taken apart."""
    body = _body_parts(step.body)
    settings = {name: said for name, said in step.attributes.items() if name not in NO_SETTINGS}
    return {
        Part.TITLE: step.title,
        Part.KIND: step.kind.value,
        Part.RISK: step.risk or "none",
        Part.SETTINGS: "\n".join(f"{name}={said}" for name, said in sorted(settings.items())),
        **{part: "\n\n".join(body[part]) for part in body},
    }


def _body_parts(body: str) -> dict[Part, list[str]]:
    found: dict[Part, list[str]] = {
        part: [] for part in (Part.TEXT, Part.OPTIONS, Part.COMMAND, Part.EXPECTATION)
    }
    tokens, _ = markdown.parse(body)
    lines = body.split("\n")
    for token in tokens:
        if token.level or token.map is None or token.nesting < 0:
            continue
        part, text = _part_of(token.type, lines[token.map[0] : token.map[1]])
        if part is Part.TEXT:
            words, expected = _apart_from_expected(text)
            if expected:
                found[Part.EXPECTATION].append(expected)
            text = words
        if text.strip():
            found[part].append(text)
    return found


def _part_of(kind: str, lines: Sequence[str]) -> tuple[Part, str]:
    text = "\n".join(lines).rstrip("\n")
    if kind == "fence":
        return Part.COMMAND, text
    if kind == "code_block":
        return Part.COMMAND, text
    if kind.endswith("_list_open") and GO_LINK.search(text):
        return Part.OPTIONS, text
    return Part.TEXT, text


def _apart_from_expected(text: str) -> tuple[str, str]:
    """The words of a paragraph before `**Expect:**`, and those behind it."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if found := EXPECT.match(line):
            expected = "\n".join([line[found.end() :], *lines[number + 1 :]])
            return "\n".join(lines[:number]), expected
    return text, ""


# --- Sections and facts


def _sections(before: Document, after: Document) -> Iterator[SectionChange]:
    if _squeezed(before.intro) != _squeezed(after.intro):
        words = _changed_paragraphs(before.intro, after.intro)
        yield SectionChange("Above the first section", words)
    left, right = _prose(before.sections), _prose(after.sections)
    for title in [*right, *(title for title in left if title not in right)]:
        old, new = left.get(title, ""), right.get(title, "")
        if _squeezed(old) != _squeezed(new):
            yield SectionChange(title, _changed_paragraphs(old, new))


def _prose(sections: Sequence[Section]) -> dict[str, str]:
    found: dict[str, str] = {}
    for section in sections:
        text = "\n\n".join(part for part in section.flow if isinstance(part, str))
        found[section.title] = "\n\n".join(
            each for each in (found.get(section.title), text) if each
        )
    return found


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _facts(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[FactChange]:
    for key in [*after, *(key for key in before if key not in after)]:
        if before.get(key) != after.get(key) or (key in before) != (key in after):
            yield FactChange(key, _written(before, key), _written(after, key))


def _written(front_matter: Mapping[str, Any], key: str) -> str:
    """A value as it would stand in a file."""
    if key not in front_matter:
        return ""
    value = front_matter[key]
    if isinstance(value, str):
        return value
    dumped = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10**9
    )
    return str(dumped).removesuffix("...\n").strip()
