"""Two edits of one text brought together: by step, and inside of a step by line.

By step, because then one side may move a step while the other rewrites it. Where both changed the
same lines, both stay, between comments that lint reports, so that nothing is lost and nothing is
published before somebody has chosen.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from app.runbooks import front_matter
from app.runbooks.differences import opcodes
from app.runbooks.format import Document, read, text_of
from app.runbooks.identity import matches
from app.runbooks.rules import kebab

MARK = "<!-- conflict: {} -->"
CONFLICT = re.compile(r"<!--\s*conflict:\s*(.*?)\s*-->")

Key = tuple[str, str]
Lines = tuple[str, ...]
HEAD: Key = ("head", "")


@dataclass(frozen=True, slots=True)
class Merged:
    text: str
    conflicts: tuple[str, ...]  # where both changed the same: "the step Look"


@dataclass(frozen=True, slots=True)
class Names:
    """What the two sides are called in the comments around a conflict."""

    ours: str
    theirs: str


FROM_FOLDER = Names("published here", "from the folder")


def merge(base: str, ours: str, theirs: str, names: Names = FROM_FOLDER) -> Merged:
    """What both sides made of `base`, in one text."""
    if ours == theirs or theirs == base:
        return Merged(ours, ())
    if ours == base:
        return Merged(theirs, ())
    was = _parts(base, None)
    first = read(base.encode())
    one, other = _parts(ours, first), _parts(theirs, first)
    found: list[_Part] = []
    conflicts: list[str] = []
    for key in _order(list(was), list(one), list(other)):
        marks = _Marks(names, in_yaml=key == HEAD)
        part, is_conflict = _merge_part(was.get(key), one.get(key), other.get(key), marks)
        if part is not None:
            found.append(part)
        if is_conflict:
            conflicts.append((one.get(key) or other[key]).name)
    return Merged(_joined(found), tuple(conflicts))


# --- A text as parts: its front matter, its steps, and what stands between


@dataclass(frozen=True, slots=True)
class _Part:
    name: str = field(compare=False)
    lines: Lines  # without the blank ones at its end
    blanks: int = field(compare=False)


def _parts(text: str, base: Document | None) -> dict[Key, _Part]:
    """All of a text in order. Steps that were in `base` have the id that they had there."""
    text, _ = text_of(text.encode())
    document = read(text.encode())
    lines = text.split("\n")
    begins = sorted(_begins(text, document, base), key=lambda each: each[0])
    ends = [start for start, _, _ in begins[1:]] + [len(lines)]
    found: dict[Key, _Part] = {}
    for (start, key, name), end in zip(begins, ends, strict=True):
        if start == end:
            continue
        copies = 1
        while key in found:
            copies += 1
            key = (key[0], f"{key[1]} {copies}")
        kept = lines[start:end]
        while kept and not kept[-1].strip():
            kept.pop()
        found[key] = _Part(name, tuple(kept), end - start - len(kept))
    return found


def _begins(text: str, document: Document, base: Document | None) -> Iterator[tuple[int, Key, str]]:
    """Where each part begins (a line from 0), by which key it is known, and how it is called."""
    _, _, above, _ = front_matter.split(text)
    yield 0, HEAD, "the front matter"
    yield above, ("text", ""), "the words at the top"
    for section in document.sections:
        if section.line > above + 1:
            yield (
                section.line - 1,
                ("section", kebab(section.title)),
                f"the section {section.title}",
            )
    same = matches(base, document) if base else {step.id: step.id for step in document.steps}
    for step in document.steps:
        key = ("step", same[step.id]) if step.id in same else ("new", step.id)
        yield step.place.start - 1, key, f"the step {step.title}"
    steps = {step.place.start for step in document.steps}
    sections = {section.line for section in document.sections}
    for step in document.steps:
        end = step.place.end
        if end not in steps | sections:
            yield end - 1, ("after", same.get(step.id, step.id)), f"the words below {step.title}"


def _joined(parts: Sequence[_Part]) -> str:
    lines: list[str] = []
    for index, part in enumerate(parts):
        is_last = index == len(parts) - 1
        lines += part.lines
        if not is_last:
            lines += [""] * part.blanks
    return "\n".join(lines) + "\n"


# --- Order


def _order(base: list[Key], ours: list[Key], theirs: list[Key]) -> list[Key]:
    """The parts of both sides in the order of the side that changed it, ours if both did."""
    if _in_common(theirs, base) == _in_common(base, theirs):
        return _inserted(ours, theirs)
    if _in_common(ours, base) == _in_common(base, ours):
        return _inserted(theirs, ours)
    return _inserted(ours, theirs)


def _in_common(keys: list[Key], others: list[Key]) -> list[Key]:
    among = set(others)
    return [key for key in keys if key in among]


def _inserted(into: list[Key], others: list[Key]) -> list[Key]:
    """Keys with those of another list that they lack, each behind the one that it stood behind."""
    have = set(into)
    behind: dict[Key | None, list[Key]] = {}
    last: Key | None = None
    for key in others:
        if key in have:
            last = key
        else:
            behind.setdefault(last, []).append(key)
    found = behind.get(None, [])
    for key in into:
        found += [key, *behind.get(key, [])]
    return found


# --- One part


def _merge_part(
    base: _Part | None, ours: _Part | None, theirs: _Part | None, marks: "_Marks"
) -> tuple[_Part | None, bool]:
    """A part as both sides want it, and whether they want different things."""
    if ours == theirs or (base is not None and theirs == base):
        return ours, False
    if base is not None and ours == base:
        return theirs, False
    if base is None and (ours is None or theirs is None):
        return ours or theirs, False
    if ours is None or theirs is None:  # one side deleted what the other changed
        kept = ours or theirs
        assert kept is not None
        lines = marks.around(ours.lines if ours else (), theirs.lines if theirs else ())
        return _Part(kept.name, tuple(lines), max(kept.blanks, 1)), True
    found = list(_merged_lines(base.lines if base else (), ours.lines, theirs.lines))
    lines = []
    for each in found:
        lines += marks.around(*each) if isinstance(each, tuple) else each
    is_conflict = any(isinstance(each, tuple) for each in found)
    return _Part(ours.name, tuple(lines), max(ours.blanks, int(is_conflict))), is_conflict


@dataclass(frozen=True, slots=True)
class _Marks:
    """The comments around a conflict, as the place takes them."""

    names: Names
    in_yaml: bool

    def around(self, ours: Lines, theirs: Lines) -> list[str]:
        sides = (self.names.ours, ours), (self.names.theirs, theirs)
        found = [line for name, lines in sides for line in (self._mark(name), *lines)]
        return [*found, self._mark("end")]

    def _mark(self, name: str) -> str:
        name = name.replace("\n", " ").replace("--", "–")  # which would end the comment
        return ("# " if self.in_yaml else "") + MARK.format(name)


def _merged_lines(
    base: Lines, ours: Lines, theirs: Lines
) -> Iterator[list[str] | tuple[Lines, Lines]]:
    """Runs of lines in order; where both sides changed the same, a pair of what each has."""
    edits = sorted([*_edits(base, ours, 0), *_edits(base, theirs, 1)])
    at = 0
    while edits:
        group = [edits.pop(0)]
        start, end = group[0].start, group[0].end
        while edits and _touches(edits[0], start, end):
            group.append(edits.pop(0))
            end = max(end, group[-1].end)
        yield list(base[at:start])
        sides = [_with(base, start, end, [e for e in group if e.side == side]) for side in (0, 1)]
        changed = {edit.side for edit in group}
        if len(changed) == 2 and sides[0] != sides[1]:
            yield sides[0], sides[1]
        else:
            yield list(sides[min(changed)])
        at = end
    yield list(base[at:])


@dataclass(frozen=True, slots=True, order=True)
class _Edit:
    """Lines of the base, and what one side has in their place."""

    start: int
    end: int
    side: int
    lines: Lines


def _edits(base: Lines, side: Lines, number: int) -> Iterator[_Edit]:
    for tag, i1, i2, j1, j2 in opcodes(base, side):
        if tag != "equal":
            yield _Edit(i1, i2, number, tuple(side[j1:j2]))


def _touches(edit: _Edit, start: int, end: int) -> bool:
    """Whether an edit is about the same lines; two that both add at one place are as well."""
    return edit.start < end or edit.start == edit.end == start == end


def _with(base: Lines, start: int, end: int, edits: Sequence[_Edit]) -> Lines:
    """Lines of the base with the edits of one side."""
    found: list[str] = []
    at = start
    for edit in edits:
        found += [*base[at : edit.start], *edit.lines]
        at = edit.end
    return (*found, *base[at:end])
