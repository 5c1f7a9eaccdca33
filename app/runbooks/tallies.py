"""How many errors and warnings lint finds in versions: for imports, lists and pages to read.

A file comes in as it is, and lint says how much there is to mend. One file takes some 20 ms, so
what was found is kept for as long as neither the text nor anything around it changes.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from datetime import date
from math import inf
from time import monotonic

from sqlalchemy import select, tuple_

from app.core.db import db
from app.runbooks.format import alertnames_in
from app.runbooks.lint import Level, Surroundings, lint
from app.runbooks.linting import surroundings
from app.runbooks.tables import Runbook, RunbookVersion

AT_ONCE = 50  # texts that are in memory together
MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Tally:
    errors: int
    warnings: int

    def __bool__(self) -> bool:
        return bool(self.errors or self.warnings)

    @property
    def words(self) -> str:
        """As in: 1 error, 2 warnings."""
        said = (_counted(self.errors, "error"), _counted(self.warnings, "warning"))
        return ", ".join(one for one in said if one) or "nothing found"


def of_versions(
    numbers: Mapping[str, int], *, today: date, seconds: float = inf
) -> dict[str, Tally]:
    """What lint finds in these versions: the number of one for each runbook, by slug.

    Those that are not reached in time are left out, and are there when somebody asks again.
    """
    end = monotonic() + seconds
    wanted = list(numbers.items())
    found: dict[str, Tally] = {}
    for start in range(0, len(wanted), AT_ONCE):
        if start and monotonic() >= end:
            break
        found |= _of_texts(_sources(wanted[start : start + AT_ONCE]), today, end)
    return found


def _sources(wanted: list[tuple[str, int]]) -> dict[str, bytes]:
    rows = db.session.execute(
        select(Runbook.slug, RunbookVersion.source)
        .join(RunbookVersion, RunbookVersion.runbook_id == Runbook.id)
        .where(tuple_(Runbook.slug, RunbookVersion.number).in_(wanted))
    )
    sources = {row.slug: row.source for row in rows}
    return {slug: sources[slug] for slug, _ in wanted if slug in sources}


_kept: dict[str, Tally] = {}


def _of_texts(sources: Mapping[str, bytes], today: date, end: float) -> dict[str, Tally]:
    names = {name for source in sources.values() for name in alertnames_in(source)}
    around = surroundings(list(sources), alertnames=names, today=today)
    found: dict[str, Tally] = {}
    for slug, source in sources.items():
        key = _key(slug, source, around[slug])
        if key not in _kept and monotonic() < end:
            if len(_kept) >= MOST_KEPT:
                _kept.clear()
            _kept[key] = _counted_by_lint(slug, source, around[slug])
        if (tally := _kept.get(key)) is not None:
            found[slug] = tally
    return found


def _key(slug: str, source: bytes, around: Surroundings) -> str:
    """All that findings follow from. The rules are those of this process."""
    known = [
        sorted(one.items() if isinstance(one, Mapping) else one)
        if isinstance(one, Mapping | set | frozenset)
        else one
        for one in astuple(around)
    ]
    digest = hashlib.sha256(repr((slug, known)).encode())
    digest.update(source)
    return digest.hexdigest()


def _counted_by_lint(slug: str, source: bytes, around: Surroundings) -> Tally:
    found = lint(source, slug=slug, surroundings=around)
    errors = sum(one.level is Level.ERROR for one in found)
    return Tally(errors, len(found) - errors)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}" if number else ""
