"""Two texts held against one another, by line and by word."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

CONTEXT = 3  # lines that are shown around a change
WORD = re.compile(r"\w+(?:[.-]\w+)*\s*|[^\w\s]\s*|\s+")  # with the blank behind it
MOST_WORDS = 3_000  # in a text that is compared word by word
# Above it lines that stand everywhere, such as blank ones, no longer count as the same: to try
# each of them with each takes time that grows with the square.
MANY_LINES = 500

Opcode = tuple[str, int, int, int, int]


class Side(StrEnum):
    """Where a line or a word stands."""

    BOTH = "both"
    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Line:
    side: Side
    number: int  # in the text that it stands in; of both, in the later one
    text: str


@dataclass(frozen=True, slots=True)
class Word:
    """A run of words."""

    side: Side
    text: str


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines that changed, with some around them."""

    lines: tuple[Line, ...]


def opcodes(before: Sequence[str], after: Sequence[str]) -> Iterator[Opcode]:
    """How to make one list from another, in the terms of `difflib`."""
    start, ends = _common(before, after)
    end_before, end_after = len(before) - ends, len(after) - ends
    if start:
        yield "equal", 0, start, 0, start
    left, right = before[start:end_before], after[start:end_after]
    matcher = SequenceMatcher(a=left, b=right, autojunk=len(right) > MANY_LINES)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        yield tag, i1 + start, i2 + start, j1 + start, j2 + start
    if ends:
        yield "equal", end_before, len(before), end_after, len(after)


def _common(before: Sequence[str], after: Sequence[str]) -> tuple[int, int]:
    """How many are the same at the start of both, and at the end."""
    shorter = min(len(before), len(after))
    start = 0
    while start < shorter and before[start] == after[start]:
        start += 1
    end = 0
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return start, end


def diff_of_lines(before: Sequence[str], after: Sequence[str]) -> list[Line]:
    """All lines of both; where they differ, those before come first."""
    found: list[Line] = []
    for tag, i1, i2, j1, j2 in opcodes(before, after):
        if tag == "equal":
            found += [Line(Side.BOTH, j + 1, after[j]) for j in range(j1, j2)]
        else:
            found += [Line(Side.BEFORE, i + 1, before[i]) for i in range(i1, i2)]
            found += [Line(Side.AFTER, j + 1, after[j]) for j in range(j1, j2)]
    return found


def line_diff(before: str, after: str) -> list[Hunk]:
    """The lines that differ, in groups with a few lines around each."""
    lines = diff_of_lines(before.split("\n"), after.split("\n"))
    groups: list[tuple[int, int]] = []
    for index, line in enumerate(lines):
        if line.side is Side.BOTH:
            continue
        first, end = max(0, index - CONTEXT), min(len(lines), index + CONTEXT + 1)
        if groups and first <= groups[-1][1]:
            groups[-1] = (groups[-1][0], end)
        else:
            groups.append((first, end))
    return [Hunk(tuple(lines[first:end])) for first, end in groups]


def diff_of_words(before: str, after: str) -> tuple[Word, ...]:
    """Both texts in one, the words that differ marked. Where lines break does not count."""
    left, right = WORD.findall(before), WORD.findall(after)
    if len(left) > MOST_WORDS or len(right) > MOST_WORDS:
        sides = (Word(Side.BEFORE, before), Word(Side.AFTER, after))
        return tuple(word for word in sides if word.text)
    found: list[Word] = []
    for tag, i1, i2, j1, j2 in opcodes([word.strip() for word in left], [w.strip() for w in right]):
        if tag == "equal":
            found.append(Word(Side.BOTH, "".join(right[j1:j2])))
        else:
            found.append(Word(Side.BEFORE, "".join(left[i1:i2])))
            found.append(Word(Side.AFTER, "".join(right[j1:j2])))
    return tuple(word for word in found if word.text)
