"""One tick: every source that is due is asked, in threads, and what it says is recorded.

A source is claimed by moving its next look into the future, so that two workers never ask the
same one. A look that takes long is not waited for: its answer is recorded by a later tick. After
three failures in a row a source is left alone for longer and longer, up to five minutes, and so is
a host with all its sources: their panels say unreachable meanwhile, and hold up no other.
"""

import logging
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import urlsplit

from flask import Flask, current_app
from sqlalchemy import Table, select, update

from app.core.clock import now
from app.core.db import db, unit_of_work
from app.core.metrics import HEALTH_LAG_SECONDS, HEALTH_LOOKS
from app.health import intake, recording, scrapes
from app.health.asking import Asking, why_unreachable
from app.health.breaker import Breaker
from app.health.rules import LampState, Observation
from app.health.sources import SOURCES
from app.health.sources.base import (
    Answer,
    CountWatch,
    SilentHostError,
    UnreachableError,
    Watch,
)
from app.health.tables import HealthSource, Panel, Slo
from app.registry.tables import MlModel

log = logging.getLogger(__name__)

SOURCE_ROWS = cast(Table, HealthSource.__table__)  # written past the version of the row

SHARDS = 32  # sources that are asked at once
AT_ONCE = 400  # sources of one tick; the rest are due in the next one
FAILURES = 3  # in a row, until a source is left alone
LONGEST_REST = timedelta(minutes=5)
JITTER = 0.1  # of the interval, so that a restart does not make all of them due together


@dataclass(frozen=True, slots=True)
class Due:
    """A source that is to be asked now, and all that is to be asked of it."""

    id: int
    name: str
    kind: str
    asking: Asking
    options: Mapping[str, object]
    every: int
    failures: int
    was_due_at: datetime
    watches: Sequence[Watch]
    counts: Sequence[CountWatch]

    @property
    def host(self) -> str:
        return urlsplit(self.asking.url).netloc


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of one look."""

    due: Due
    answer: Answer | None
    trouble: str
    at: datetime
    was_silent: bool = False  # nobody answered at its host
    was_asked: bool = True  # else its host is known to be silent


@dataclass(frozen=True, slots=True)
class Tick:
    asked: int  # sources that were due
    unreachable: int
    panels: int
    changes: int


class Poller:
    """Looks at sources, tick by tick. One for each worker; two of them share the work."""

    def __init__(self) -> None:
        self._shards = ThreadPoolExecutor(
            SHARDS, "health"
        )  # starts no thread before the first look
        self._out: dict[Future[Looked], int] = {}  # looks that have not come back, by their source
        self._breaker = Breaker()

    def tick(self, *, at: datetime, patience: float | None = None) -> Tick:
        """Ask what is due, and record what is back. Returns what was done.

        Waits for at most `patience` seconds for looks that take long, and for all of them if none
        is given.
        """
        due = claim(at=at)
        panels = changes = unreachable = 0
        for looked in self._back(due, patience):
            recorded = _record(looked)
            panels += recorded.panels
            changes += recorded.changes
            unreachable += looked.answer is None
        return Tick(len(due), unreachable, panels, changes)

    def close(self) -> None:
        self._shards.shutdown()

    def _back(self, due: Sequence[Due], patience: float | None) -> Iterator[Looked]:
        """What sources said, as soon as they say it."""
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # of the proxy
        for one in due:
            if one.id in self._out.values():
                continue  # it takes longer than its interval; its last look comes first
            if self._breaker.lets(one.host, at=now()):
                self._out[self._shards.submit(_look, app, one)] = one.id
            else:
                trouble = f"{one.host} does not answer, and is left alone for a while."
                yield Looked(one, None, trouble, now(), was_asked=False)
        deadline = None if patience is None else time.monotonic() + patience
        while self._out:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            back = wait(self._out, left, FIRST_COMPLETED).done
            if not back:
                return
            for look in back:
                del self._out[look]
                looked = look.result()
                if looked.was_silent:
                    self._breaker.was_silent(looked.due.host, at=looked.at)
                else:
                    self._breaker.answered(looked.due.host)
                yield looked


def tick(*, at: datetime) -> Tick:
    """One tick by itself, to its end."""
    poller = Poller()
    try:
        return poller.tick(at=at)
    finally:
        poller.close()


def _record(looked: Looked) -> recording.Recorded:
    """Keep what a source said, and how the look went."""
    seen = _observations(looked)
    if looked.answer is not None:
        # What it said in several reports counts for more than what one look could see of it.
        seen |= intake.take(looked.due.id, looked.answer, at=looked.at)
    recorded = recording.record(seen, at=looked.at)
    _note(looked)
    HEALTH_LOOKS.labels(looked.due.kind, "unreachable" if looked.trouble else "answered").inc()
    if looked.answer is not None:
        # How late Baton is, not how late they are: a source that hangs has no record to be late.
        HEALTH_LAG_SECONDS.observe(max(0.0, (now() - looked.due.was_due_at).total_seconds()))
    return recorded


def claim(*, at: datetime) -> list[Due]:
    """Take the sources that are due. Nobody else takes them until they are due again."""
    with unit_of_work() as session:
        query = (
            select(HealthSource)
            .where(
                HealthSource.closed_at.is_(None), HealthSource.url != "", HealthSource.due_at <= at
            )
            .order_by(HealthSource.due_at)
            .limit(AT_ONCE)
        )
        if session.connection().dialect.name == "postgresql":
            query = query.with_for_update(skip_locked=True)
        sources = list(session.scalars(query))
        was_due = {source.id: source.due_at for source in sources}
        for source in sources:
            # Not through the version of the row: no person edits when it is due.
            session.execute(
                update(SOURCE_ROWS)
                .where(SOURCE_ROWS.c.id == source.id)
                .values(due_at=at + _pause(source.every, source.failures))
            )
        ids = list(was_due)
        watches = watches_of(ids)
        counts = counts_of(ids)
    return [
        Due(
            source.id, source.name, source.kind, Asking.of(source), source.options, source.every,
            source.failures, was_due[source.id], watches.get(source.id, ()),
            counts.get(source.id, ()),
        )
        for source in sources
    ]  # fmt: skip


def _pause(every: int, failures: int) -> timedelta:
    """Until the next look: the interval, and longer after failures."""
    pause = timedelta(seconds=every)
    if failures >= FAILURES:
        pause = max(pause, min(LONGEST_REST, pause * 2 ** min(failures - FAILURES + 1, 10)))
    return pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 a spread, not a secret


def watches_of(ids: Sequence[int]) -> dict[int, list[Watch]]:
    rows = db.session.execute(
        select(Panel.source_id, Panel.id, MlModel.slug, Panel.lane, Panel.spec, Panel.window)
        .join(MlModel, MlModel.id == Panel.model_id)
        .where(Panel.source_id.in_(ids), Panel.closed_at.is_(None), MlModel.retired_at.is_(None))
    )
    found: dict[int, list[Watch]] = {}
    for source_id, *rest in rows:
        found.setdefault(source_id, []).append(Watch(*rest))
    return found


def counts_of(ids: Sequence[int]) -> dict[int, list[CountWatch]]:
    rows = db.session.execute(
        select(Slo.source_id, Slo.id, MlModel.slug, Slo.spec, Slo.window_days)
        .join(MlModel, MlModel.id == Slo.model_id)
        .where(Slo.source_id.in_(ids), Slo.closed_at.is_(None), MlModel.retired_at.is_(None))
    )
    found: dict[int, list[CountWatch]] = {}
    for source_id, slo_id, model, spec, days in rows:
        found.setdefault(source_id, []).append(
            CountWatch(slo_id, model, spec, scrapes.windows_of(days))
        )
    return found


def _look(app: Flask, due: Due) -> Looked:
    with app.app_context():
        try:
            answer = SOURCES[due.kind].read(
                due.watches,
                due.counts,
                due.asking.fetch,
                scrapes.history_of(due.id),
                options=due.options,
                now=now(),
            )
        except UnreachableError as error:
            silent = isinstance(error, SilentHostError)
            return Looked(due, None, str(error.args[0]), now(), was_silent=silent)
        except Exception:
            # Ours, not theirs. The others go on, and this one says that it can't be read.
            log.exception("A source can't be read.", extra={"source": due.name})
            return Looked(due, None, "Baton failed at reading it; the log says more.", now())
        finally:
            # What was asked is answered; a connection that can't be given back spoils nothing.
            with suppress(Exception):
                db.session.remove()
    return Looked(due, answer, "", now())


def _observations(looked: Looked) -> dict[int, Observation]:
    """One observation for each panel of the source: what is left out has no data."""
    if looked.answer is None:
        remark = why_unreachable(looked.trouble, looked.due.host)
        gone = Observation(looked.at, gap=LampState.UNREACHABLE, remark=remark)
        return {watch.panel_id: gone for watch in looked.due.watches}
    nothing = Observation(looked.at, gap=LampState.NO_DATA, remark="its source says nothing of it")
    return {
        watch.panel_id: looked.answer.observations.get(watch.panel_id, nothing)
        for watch in looked.due.watches
    }


def _note(looked: Looked) -> None:
    """Keep how the look went."""
    if not looked.was_asked:
        values: dict[str, Any] = {"trouble": looked.trouble}
    elif looked.answer is None:
        failures = looked.due.failures + 1
        values = {"asked_at": looked.at, "failures": failures, "trouble": looked.trouble}
        if failures >= FAILURES:
            values["due_at"] = looked.at + _pause(looked.due.every, failures)
    else:
        values = {"asked_at": looked.at, "answered_at": looked.at, "failures": 0, "trouble": ""}
    with unit_of_work() as session:
        session.execute(
            update(SOURCE_ROWS).where(SOURCE_ROWS.c.id == looked.due.id).values(**values)
        )
