"""Which model is covered against which failure: pure functions.

A cell of the matrix is one model and one failure mode. It says whether a runbook fits, whether an
alert or a metric leads there, and whether it was proven in the last 90 days.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from app.runbooks.rules import FAILURE_MODES, Published, closest

RECENT = timedelta(days=90)


class Cover(StrEnum):
    """From the best to the worst."""

    PROVEN = "proven"
    UNPROVEN = "unproven"
    NO_SIGNAL = "no_signal"
    NONE = "none"


WORDS = {
    Cover.PROVEN: "Proven",
    Cover.UNPROVEN: "Unproven",
    Cover.NO_SIGNAL: "No signal",
    Cover.NONE: "None",
}
MEANINGS = {
    Cover.PROVEN: "A runbook fits, a signal leads to it, and a drill or an incident has proven it "
    "in the last 90 days.",
    Cover.UNPROVEN: "A runbook fits and a signal leads to it, but nothing has proven it in the "
    "last 90 days.",
    Cover.NO_SIGNAL: "A runbook fits, but no alert and no metric leads to it: people have to know "
    "of it.",
    Cover.NONE: "No published runbook fits this model and this failure.",
}


@dataclass(frozen=True, slots=True)
class Written:
    """A published runbook, as far as coverage needs it."""

    runbook: Published
    has_signal: bool
    proven_at: datetime | None  # by a drill or a real run


@dataclass(frozen=True, slots=True)
class Model:
    slug: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    cover: Cover
    slug: str = ""  # of the runbook
    proven_at: datetime | None = None


@dataclass(frozen=True)
class Matrix:
    written: tuple[Written, ...]
    at: datetime

    @cached_property
    def modes(self) -> list[str]:
        """The catalogue, and the other modes in use."""
        others = {one.runbook.failure_mode for one in self.written if one.runbook.failure_mode}
        return [*FAILURE_MODES, *sorted(others - set(FAILURE_MODES))]

    def row(self, model: Model) -> list[Cell]:
        return [self.cell(model, mode) for mode in self.modes]

    def cell(self, model: Model, mode: str) -> Cell:
        """What there is for a failure of a model: of several runbooks, the one it would open."""
        if (same := self._same_for_all.get(mode)) is not None:
            return same
        return self._judged(closest(self._candidates[mode], model.slug, model.tags))

    def totals(self, models: Sequence[Model]) -> Counter[Cover]:
        """How many cells of each kind these models have."""
        found: Counter[Cover] = Counter()
        for mode in self.modes:
            if (same := self._same_for_all.get(mode)) is not None:
                found[same.cover] += len(models)
            else:
                found.update(self.cell(model, mode).cover for model in models)
        return found

    @cached_property
    def _candidates(self) -> dict[str, list[Published]]:
        found: dict[str, list[Published]] = {mode: [] for mode in self.modes}
        for one in self.written:
            if one.runbook.failure_mode:
                found[one.runbook.failure_mode].append(one.runbook)
        return found

    @cached_property
    def _same_for_all(self) -> dict[str, Cell]:
        """Modes for which every runbook is written for every model, so that models don't differ."""
        return {
            mode: self._judged(closest(books, "", ()))
            for mode, books in self._candidates.items()
            if all(set(book.models) <= {"*"} and not book.tags for book in books)
        }

    @cached_property
    def _by_version(self) -> dict[int, Written]:
        return {one.runbook.version_id: one for one in self.written}

    def _judged(self, found: Published | None) -> Cell:
        if found is None:
            return Cell(Cover.NONE)
        one = self._by_version[found.version_id]
        return Cell(_cover(one, self.at), found.slug, one.proven_at)


def _cover(one: Written, at: datetime) -> Cover:
    if not one.has_signal:
        return Cover.NO_SIGNAL
    if one.proven_at is None or at - one.proven_at > RECENT:
        return Cover.UNPROVEN
    return Cover.PROVEN


def as_table(matrix: Matrix, models: Iterable[tuple[Model, Sequence[str]]]) -> list[list[str]]:
    """The whole matrix in words. With each model comes what stands beside its name."""
    return [
        [model.slug, *beside, *(WORDS[cell.cover] for cell in matrix.row(model))]
        for model, beside in models
    ]
