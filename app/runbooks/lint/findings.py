"""What lint says of a file, and how to mend it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from app.runbooks.format import BOM

LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


class Level(StrEnum):
    ERROR = "error"  # keeps a text from being published
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Fix:
    """Lines of a file, counted from 1, and what they become: whole lines, each with its end.

    `end` is the first line that stays. Where it equals `start` the replacement is put before it.
    """

    label: str  # what a button says
    start: int
    end: int
    replacement: str


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    level: Level
    line: int  # of the file, counted from 1, with the front matter
    sentence: str  # to the author: what is wrong and what to do
    fix: Fix | None = None


def as_warnings(findings: Iterable[Finding]) -> list[Finding]:
    """For an import: a file from elsewhere comes in as it is."""
    return [replace(finding, level=Level.WARNING) for finding in findings]


def has_errors(findings: Iterable[Finding]) -> bool:
    return any(finding.level is Level.ERROR for finding in findings)


def apply(source: bytes, fixes: Iterable[Fix]) -> bytes:
    """The file with the fixes made, and every other byte as it was.

    Of fixes that touch the same lines only the first is made; lint finds the others again.
    """
    bom = BOM if source.startswith(BOM) else b""
    lines = LINE.findall(source.removeprefix(BOM))
    ending = (_ending(lines[0]) if lines else b"") or b"\n"
    ends_open = bool(lines) and not _ending(lines[-1])
    if ends_open:
        lines[-1] += ending
    parts: list[bytes] = []
    at = 1
    for fix in _apart(fixes):
        parts += lines[at - 1 : fix.start - 1]
        parts += [
            line.encode("utf-8", "replace") + ending for line in fix.replacement.split("\n")[:-1]
        ]
        at = fix.end
    found = b"".join([*parts, *lines[at - 1 :]])
    return bom + (found.removesuffix(ending) if ends_open else found)


def _apart(fixes: Iterable[Fix]) -> list[Fix]:
    """The fixes that can be made together, in the order of the file."""
    found: list[Fix] = []
    at = 1
    for fix in sorted(dict.fromkeys(fixes), key=lambda fix: (fix.start, fix.end)):
        if fix.start >= at:
            found.append(fix)
            at = max(at, fix.end)
    return found


def _ending(line: bytes) -> bytes:
    return line[len(line.rstrip(b"\r\n")) :]
