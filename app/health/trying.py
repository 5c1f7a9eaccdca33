"""Asking a source once, for whoever set it up: what it says, and what of it can't be used.

Nothing is recorded: that is for the worker, which looks at once if the source answered after all.
"""

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from sqlalchemy import Table, update

from app.core.db import db, end_read, unit_of_work
from app.health import scrapes
from app.health.asking import Asking
from app.health.polling import counts_of, watches_of
from app.health.recording import figure
from app.health.reports import models_called
from app.health.rules import LampState
from app.health.source_queries import panels_on
from app.health.sources import SOURCES
from app.health.sources.base import Answer, CountWatch, Fetch, Page, UnreachableError, Watch
from app.health.sources.querying import api as querying
from app.health.tables import HealthSource

log = logging.getLogger(__name__)

WHOLE = 20.0  # seconds for all that one look asks; somebody waits for it
MAX_REMARKS, MAX_UNREAD = 10, 10
SAMPLE = re.compile(rb"^[^#\s]", re.MULTILINE)
FAMILY = re.compile(rb"^# TYPE ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Tried:
    """What one look brought. Nothing in it is secret."""

    at: datetime
    seconds: float
    trouble: str = ""  # a sentence; empty: it answered
    found: Sequence[tuple[str, str]] = ()  # what came: label and figure
    unread: Sequence[str] = ()  # panels that it has nothing for, and why
    remarks: Sequence[str] = ()


@dataclass(slots=True)
class _Listening:
    """Asks, within a time for all of it, and remembers the pages."""

    fetch: Fetch
    deadline: float
    pages: list[Page] = field(default_factory=list)

    def __call__(
        self,
        path: str = "",
        *,
        form: Mapping[str, str] | None = None,
        accept: str = "application/json",
    ) -> Page:
        if time.monotonic() > self.deadline:
            raise UnreachableError(f"It took more than {WHOLE:.0f} seconds for all of its answers.")
        page = self.fetch(path, form=form, accept=accept)
        self.pages.append(page)
        return page


def ask_now(source: HealthSource, *, at: datetime) -> Tried:
    """Ask the source as the worker would."""
    began = time.monotonic()
    asking = Asking.of(source)
    listening = _Listening(asking.fetch, began + WHOLE)
    watches = watches_of([source.id]).get(source.id, [])
    counts = counts_of([source.id]).get(source.id, [])
    titles = {row.id: f"{row.title} of {row.model}" for row in panels_on(source.id)}
    source_id, kind, options = source.id, source.kind, dict(source.options)
    was_in_trouble = bool(source.trouble)
    end_read()  # nothing is held in the database while others are waited for
    try:
        answer = SOURCES[kind].read(
            watches, counts, listening, scrapes.history_of(source_id), options=options, now=at
        )
        found = _found(kind, answer, listening, watches, counts)
    except UnreachableError as error:
        return Tried(at, time.monotonic() - began, trouble=str(error.args[0]))
    except Exception:
        # Ours, not theirs: the page says so rather than failing.
        log.exception("A source can't be read.", extra={"source": source_id})
        sentence = "Baton failed at reading it; the log says more."
        return Tried(at, time.monotonic() - began, trouble=sentence)
    if was_in_trouble:
        _look_soon(source_id, at)
    return Tried(
        at,
        time.monotonic() - began,
        found=found,
        unread=_unread(answer, titles),
        remarks=(*answer.remarks[:MAX_REMARKS], *_of_strangers(answer)),
    )


def _found(
    kind: str,
    answer: Answer,
    listening: _Listening,
    watches: Sequence[Watch],
    counts: Sequence[CountWatch],
) -> list[tuple[str, str]]:
    found = []
    if kind == "openmetrics":
        body = listening.pages[-1].body
        found += [
            ("Families", f"{len(FAMILY.findall(body)):,}"),
            ("Series", f"{len(SAMPLE.findall(body)):,}"),
        ]
    if kind == "prometheus":
        found += _of_prometheus(listening)
    if answer.reports or kind in ("drift", "evidently"):
        models = {report.model for report in answer.reports}
        found += [("Reports", str(len(answer.reports))), ("Models", _named(models))]
    if answer.datasets or kind == "contracts":
        names = {report.dataset for report in answer.datasets}
        found += [("Checks", str(len(answer.datasets))), ("Data inputs", _named(names))]
    size = sum(len(page.body) for page in listening.pages)
    found.append(("Size", figure(round(size / 1024, 1), "KB")))
    if watches:
        seen = sum(
            one.gap is not LampState.NO_DATA and one.gap is not LampState.NOT_MEASURABLE
            for one in answer.observations.values()
        )
        found.append(("Panels with a reading", f"{seen} of {len(watches)}"))
    if counts:
        found.append(("Service levels counted", f"{len(answer.counts)} of {len(counts)}"))
    return found


def _of_prometheus(listening: _Listening) -> list[tuple[str, str]]:
    """Whether it is one at all, also while no panel asks it anything."""
    try:
        series = querying.ask(listening, "count(up)").series
    except querying.RefusedQueryError as error:
        raise UnreachableError(f"It answers and refuses queries: {error.args[0]}.") from None
    except querying.BusyError as error:
        raise UnreachableError(f"It did not answer a query: {error.args[0]}.") from None
    value = series[0].points[-1][1] if series and series[0].points else None
    return [("Targets that it scrapes", f"{value:,.0f}" if value is not None else "none")]


def _named(names: set[str]) -> str:
    known = sorted(name for name in names if name)
    more = f" and {len(known) - 5} more" if len(known) > 5 else ""
    return ", ".join(known[:5]) + more if known else "none"


def _unread(answer: Answer, titles: Mapping[int, str]) -> list[str]:
    """Panels that the answer leaves without a reading, and why."""
    said = []
    for panel_id, title in titles.items():
        seen = answer.observations.get(panel_id)
        if seen is None:
            said.append(f"{title}: no such series")
        elif seen.gap is not None:
            said.append(f"{title}: {seen.remark or seen.gap.value.replace('_', ' ')}")
    more = len(said) - MAX_UNREAD
    return [*said[:MAX_UNREAD], f"and {more} more"] if more > 0 else said


def _of_strangers(answer: Answer) -> list[str]:
    """What becomes of reports about models that nobody registered: nobody will see them."""
    named = {report.model for report in answer.reports}
    strangers = named - set(models_called(db.session(), named)) if named else set()
    if not strangers:
        return []
    left_out = f"No model in production is called {_named(strangers)}: such reports are left out."
    return [f"{left_out} Register it, or correct the name."]


def _look_soon(source_id: int, at: datetime) -> None:
    """It answers again: the worker need not rest any longer."""
    rows = cast(Table, HealthSource.__table__)
    with unit_of_work() as session:
        session.execute(update(rows).where(rows.c.id == source_id).values(due_at=at))
