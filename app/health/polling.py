"""One tick: every source that is due is asked, in threads, and what it says is recorded.

A source is claimed by moving its next look into the future, so that two workers never ask the
same one. After three failures in a row a host is left alone for longer and longer, up to five
minutes: its panels say unreachable meanwhile, and one hanging host holds up no other.
"""

import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from urllib.parse import urlsplit

from flask import Flask, current_app
from sqlalchemy import Table, select, update

from app.core.clock import now
from app.core.db import db, unit_of_work
from app.core.metrics import HEALTH_LAG_SECONDS, HEALTH_LOOKS
from app.health import intake, recording, scrapes
from app.health.asking import Asking
from app.health.rules import LampState, Observation
from app.health.sources import SOURCES
from app.health.sources.base import Answer, CountWatch, UnreachableError, Watch
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


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of one look."""

    due: Due
    answer: Answer | None
    trouble: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Tick:
    asked: int
    unreachable: int
    panels: int
    changes: int


def tick(*, at: datetime) -> Tick:
    """Ask what is due, and record what it says. Returns what was done."""
    due = claim(at=at)
    panels = changes = unreachable = 0
    for looked in _look_at_all(due):
        seen = _observations(looked)
        if looked.answer is None:
            unreachable += 1
        else:
            intake.take(looked.due.id, looked.answer, at=looked.at)
        recorded = recording.record(seen, at=looked.at)
        panels += recorded.panels
        changes += recorded.changes
        _note(looked)
        HEALTH_LOOKS.labels(looked.due.kind, "unreachable" if looked.trouble else "answered").inc()
        HEALTH_LAG_SECONDS.observe(max(0.0, (now() - looked.due.was_due_at).total_seconds()))
    return Tick(len(due), unreachable, panels, changes)


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
        watches = _watches(ids)
        counts = _counts(ids)
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


def _watches(ids: Sequence[int]) -> dict[int, list[Watch]]:
    rows = db.session.execute(
        select(Panel.source_id, Panel.id, MlModel.slug, Panel.lane, Panel.spec, Panel.window)
        .join(MlModel, MlModel.id == Panel.model_id)
        .where(Panel.source_id.in_(ids), Panel.closed_at.is_(None), MlModel.retired_at.is_(None))
    )
    found: dict[int, list[Watch]] = {}
    for source_id, *rest in rows:
        found.setdefault(source_id, []).append(Watch(*rest))
    return found


def _counts(ids: Sequence[int]) -> dict[int, list[CountWatch]]:
    rows = db.session.execute(
        select(Slo.source_id, Slo.id, MlModel.slug, Slo.spec, Slo.window_days)
        .join(MlModel, MlModel.id == Slo.model_id)
        .where(Slo.source_id.in_(ids), Slo.closed_at.is_(None))
    )
    found: dict[int, list[CountWatch]] = {}
    for source_id, slo_id, model, spec, days in rows:
        found.setdefault(source_id, []).append(
            CountWatch(slo_id, model, spec, scrapes.windows_of(days))
        )
    return found


def _look_at_all(due: Sequence[Due]) -> Iterator[Looked]:
    """What each source says, as soon as it says it."""
    if not due:
        return
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # of the proxy
    with ThreadPoolExecutor(min(SHARDS, len(due)), "health") as shards:
        looks: list[Future[Looked]] = [shards.submit(_look, app, one) for one in due]
        for look in as_completed(looks):
            yield look.result()


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
            return Looked(due, None, str(error.args[0]), now())
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
        host = urlsplit(looked.due.asking.url).netloc
        gone = Observation(looked.at, gap=LampState.UNREACHABLE, remark=f"{host} does not answer")
        return {watch.panel_id: gone for watch in looked.due.watches}
    nothing = Observation(looked.at, gap=LampState.NO_DATA, remark="no such series")
    return {
        watch.panel_id: looked.answer.observations.get(watch.panel_id, nothing)
        for watch in looked.due.watches
    }


def _note(looked: Looked) -> None:
    """Keep how the look went."""
    if looked.answer is None:
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
