"""What a rule is, and what a rule says."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.runbooks.lint.findings import Fix, Level
from app.runbooks.lint.page import Page


@dataclass(frozen=True, slots=True)
class Problem:
    line: int
    sentence: str
    fix: Fix | None = None
    is_minor: bool = False  # a warning, of a rule whose other problems are errors


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    level: Level
    title: str  # what a good file has
    check: Callable[[Page], Iterable[Problem]]
    mends: bool = False  # whether some of its problems come with a fix


def quoted(words: object) -> str:
    """Words of the author in a sentence: short, and on one line."""
    said = " ".join(str(words).replace("`", "'").split())
    return f"`{said if len(said) <= 60 else said[:59] + '…'}`"
