"""Which step of one text is which step of another, and the ids that say so from then on.

A step whose comment names an id is that step, wherever it stands. Of those without one the same
text is the same step, and so is one of the same name in the same section, where nothing else
could be meant. What is only alike is suggested and never taken: a tick that moves to another step
is worse than a step that has to be ticked again. Ids are never used twice.
"""

import hashlib
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from app.runbooks.format import MARKER, Document, Step, read
from app.runbooks.rules import kebab

LIKELY = 0.72  # of 1; below it two texts are two steps
LONGEST_TEXT = 4_000  # characters that are held against one another
MOST_PAIRS = 400
LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
STEP_COMMENT_START = re.compile(rb"<!--\s*step(?=\s|-->)")

Key = Callable[[Step], Hashable]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A step that may be a former one under another name and text."""

    step_id: str
    was: str  # the id of the former one
    likeness: float


def with_ids(source: bytes, before: Document | None = None, used: Collection[str] = ()) -> bytes:
    """The text with a comment that names its id for each step that has none.

    `before` is the text that this one was made from; its steps keep their ids. `used` are all ids
    that steps of this runbook ever had. A text that misses nothing comes back byte for byte, and
    so does one in which comments would change what is read.
    """
    document = read(source)
    steps = document.steps
    missing = [step for step in steps if not has_own_id(step)]
    if not missing:
        return source
    ids = ids_for(document, before, used)
    lines = LINE.findall(source)
    # From the end, so that what is added above moves nothing that is still to be changed.
    for step in reversed(missing):
        _mark(lines, step, ids[step.id])
    marked = b"".join(lines)
    found = read(marked).steps
    wanted = [(ids[step.id], step.title, step.kind) for step in steps]
    return marked if [(step.id, step.title, step.kind) for step in found] == wanted else source


def has_own_id(step: Step) -> bool:
    """Whether the file names the id, so that it is no guess from the title."""
    return bool(step.attributes.get("id"))


def ids_for(
    document: Document, before: Document | None = None, used: Collection[str] = ()
) -> dict[str, str]:
    """The id of each step, by the one that it was read with."""
    same = matches(before, document) if before else {}
    taken = {step.id for step in document.steps if has_own_id(step)} | set(same.values())
    taken |= set(used) | ({step.id for step in before.steps} if before else set())
    ids: dict[str, str] = {}
    copies: dict[str, int] = {}  # of an id that was wanted more than once
    for step in document.steps:
        if has_own_id(step):
            ids[step.id] = step.id
        else:
            ids[step.id] = same.get(step.id) or _new_id(step, taken, copies)
    return ids


def matches(before: Document, after: Document) -> dict[str, str]:
    """The former id of each step of `after` that was in `before`, by its id in `after`."""
    old, new = before.steps, after.steps
    positions = {step.id: position for position, step in enumerate(old)}
    found = {
        index: positions[step.id]
        for index, step in enumerate(new)
        if has_own_id(step) and step.id in positions
    }
    # A step that names its id is new when `before` has no such id: it is not to be matched by text.
    open_ = [index for index, step in enumerate(new) if not has_own_id(step)]
    for key in (_whole, _body):
        _match_unique(found, open_, old, new, key)
    _match_in_gaps(found, open_, old, new)
    return {new[index].id: old[position].id for index, position in found.items()}


def suggestions(before: Document, after: Document) -> list[Suggestion]:
    """Steps without a former one that are much like one that is gone, the most alike first."""
    same = matches(before, after)
    kept = set(same.values())
    gone = [step for step in before.steps if step.id not in kept]
    come = [step for step in after.steps if step.id not in same]
    if len(gone) * len(come) > MOST_PAIRS:
        return []
    pairs = sorted(
        (
            Suggestion(new.id, old.id, round(likeness, 2))
            for new in come
            for old in gone
            if (likeness := _likeness(old, new)) >= LIKELY
        ),
        key=lambda one: (-one.likeness, one.step_id, one.was),
    )
    found: list[Suggestion] = []
    for one in pairs:
        if all(one.step_id != each.step_id and one.was != each.was for each in found):
            found.append(one)
    return found


def unmoved(positions: Sequence[int]) -> set[int]:
    """Indexes of a longest run of these numbers that rises: what did not move."""
    ends: list[int] = []  # the smallest number that a run of each length ends with
    at: list[int] = []
    before: list[int | None] = []
    for index, position in enumerate(positions):
        length = bisect_right(ends, position)
        before.append(at[length - 1] if length else None)
        ends[length : length + 1] = [position]
        at[length : length + 1] = [index]
    found: set[int] = set()
    last = at[-1] if at else None
    while last is not None:
        found.add(last)
        last = before[last]
    return found


# --- Matching


def _whole(step: Step) -> Hashable:
    return (kebab(step.section), kebab(step.title), _hash(step.body))


def _body(step: Step) -> Hashable:
    return _hash(step.body) if len(_plain(step.body)) > 20 else None


def _path(step: Step) -> Hashable:
    return (kebab(step.section), kebab(step.title))


def _hash(text: str) -> str:
    return hashlib.sha256(_plain(text).encode()).hexdigest()


def _plain(text: str) -> str:
    return " ".join(text.split())


def _match_unique(
    found: dict[int, int], open_: Sequence[int], old: Sequence[Step], new: Sequence[Step], key: Key
) -> None:
    """Match what has the same key, where one of either side has it."""
    left = [index for index in open_ if index not in found]
    taken = set(found.values())
    right = [position for position in range(len(old)) if position not in taken]
    _pair(found, left, right, old, new, key)


def _match_in_gaps(
    found: dict[int, int], open_: Sequence[int], old: Sequence[Step], new: Sequence[Step]
) -> None:
    """Match by section and name, between the nearest steps above and below that are matched."""
    may_match, taken = set(open_), set(found.values())
    sure = [(index, found[index]) for index in sorted(found)]
    above = (-1, -1)
    for below in [*sure, (len(new), len(old))]:
        left = [index for index in range(above[0] + 1, below[0]) if index in may_match]
        right = [one for one in range(above[1] + 1, below[1]) if one not in taken]
        if left and right:
            _pair(found, left, right, old, new, _path)
            taken |= {found[index] for index in left if index in found}
        above = below


def _pair(
    found: dict[int, int],
    left: Sequence[int],
    right: Sequence[int],
    old: Sequence[Step],
    new: Sequence[Step],
    key: Key,
) -> None:
    left_count = Counter(key(new[index]) for index in left)
    right_count = Counter(key(old[position]) for position in right)
    by_key = {key(old[position]): position for position in right}
    for index in left:
        wanted = key(new[index])
        if wanted is not None and left_count[wanted] == right_count[wanted] == 1:
            found[index] = by_key[wanted]


def _likeness(old: Step, new: Step) -> float:
    texts = [_plain(f"{step.title}\n{step.body}")[:LONGEST_TEXT] for step in (old, new)]
    matcher = SequenceMatcher(a=texts[0], b=texts[1], autojunk=False)
    if matcher.real_quick_ratio() < LIKELY or matcher.quick_ratio() < LIKELY:
        return 0.0
    return float(matcher.ratio())


# --- Writing ids into a text


def _new_id(step: Step, taken: set[str], seen: dict[str, int]) -> str:
    wanted = kebab(step.title)[:72].strip("-") or "step"
    found, copies = wanted, seen.get(wanted, 1)
    while found in taken:
        copies += 1
        found = f"{wanted}-{copies}"
    seen[wanted] = copies
    taken.add(found)
    return found


def _mark(lines: list[bytes], step: Step, step_id: str) -> None:
    """Write an id into the comment of a step, or a comment with it."""
    place, named = step.place, b"<!-- step id=" + step_id.encode()
    for number in _lines_of_comment(lines, step):
        if STEP_COMMENT_START.search(lines[number]):
            lines[number] = STEP_COMMENT_START.sub(named, lines[number], count=1)
            return
    comment = named + b" -->"
    if not place.is_item:
        _add_line(lines, place.words_end - 1, comment)
    elif place.words_end > place.start:
        words, end = _apart(lines[place.words_end - 2])
        lines[place.words_end - 2] = words.rstrip(b" \t") + b" " + comment + end
    else:
        _open_item(lines, place.start - 1, comment)


def _lines_of_comment(lines: Sequence[bytes], step: Step) -> range:
    """Indexes of the lines in which the comment of a step stands, if it has one."""
    place = step.place
    end, last = place.words_end - 1, min(place.end - 1, len(lines))
    if not place.is_item:
        while end < last and not lines[end].strip():
            end += 1
        end += 1
    return range(place.start - 1, min(end, last))


def _add_line(lines: list[bytes], index: int, text: bytes) -> None:
    above, end = _apart(lines[index - 1])
    lines[index - 1] = above + (end or b"\n")
    lines.insert(index, text + (end or b"\n"))


def _open_item(lines: list[bytes], index: int, comment: bytes) -> None:
    """Put a comment first in an item that begins with no words, and what it began with below."""
    line, end = _apart(lines[index])
    found = MARKER.match(line.decode("latin-1"))
    if found is None:
        return
    marker, rest = line[: found.end()], line[found.end() :]
    lines[index] = marker.rstrip() + b" " + comment + (end or b"\n")
    if rest.strip():
        lines.insert(index + 1, b" " * (len(marker.rstrip()) + 1) + rest + (end or b"\n"))


def _apart(line: bytes) -> tuple[bytes, bytes]:
    """A line and its end."""
    words = line.rstrip(b"\r\n")
    return words, line[len(words) :]
