"""Drift and quality reports: kept as they were read, and judged by the panels they speak to."""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.core.db import db, unit_of_work
from app.core.errors import BadRequestError, RefusedError
from app.health import recording
from app.health.rules import DRIFT, FAILURE_MODES, LampState, Lane, Observation
from app.health.sources import drift
from app.health.sources.base import Part, Report, UnreadableError
from app.health.sources.drift.observing import observation, takes
from app.health.sources.reading import Given
from app.health.tables import DriftReport, HealthSource, Lamp, Panel
from app.people import audit
from app.people.rules import BATON, Actor
from app.registry.tables import MlModel

log = logging.getLogger(__name__)

TITLES = {
    Lane.INPUT_DRIFT: "Input drift",
    Lane.OUTPUT_QUALITY: "Output quality",
    Lane.LATENCY_DRIFT: "Latency drift",
}
MIN_ROWS = 1_000  # of a window: in fewer, chance looks like drift
WINDOW = timedelta(days=1)  # of reports that do not say theirs
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=60)
WINDOWS_UNTIL_STALE = 3


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a document that was pushed."""

    reports: int
    models: tuple[str, ...]
    panels: int  # that were judged by it
    changes: int


def push(document: Any, *, given: Given, by: Actor, at: datetime) -> Taken:
    """Take a document that somebody sent. All of it is taken, or none with a reason."""
    try:
        found = drift.parse(document, given=given)
    except UnreadableError as error:
        raise BadRequestError(str(error.args[0])) from None
    if not all(report.model for report in found):
        raise BadRequestError("Say which model this is about: name it as model.")
    models = sorted({report.model for report in found})
    with unit_of_work() as session:
        known = models_called(session, models)
        for model in models:
            if model not in known:
                raise RefusedError(
                    f"There is no model “{model}” in production. Register it first, or correct "
                    "the name."
                )
        seen = take(session, found, source_id=None, at=at, sender=by.name)
        recorded = recording.record(seen, at=at)
    return Taken(len(found), tuple(models), recorded.panels, recorded.changes)


def take(
    session: Session,
    reports: Sequence[Report],
    *,
    source_id: int | None,
    at: datetime,
    sender: str = "",
) -> dict[int, Observation]:
    """Keep the reports, and return what the newest of them say, by panel.

    Windows that are new and older than the newest are judged here, so that a rule over several
    windows sees each of them. Reports about models that nobody registered are left out.
    """
    if not reports:
        return {}
    models = models_called(session, {report.model for report in reports})
    if strangers := sorted({report.model for report in reports} - set(models)):
        log.info("Reports about models that are not in production.", extra={"models": strangers})
    known = [report for report in reports if report.model in models and report.kind in DRIFT]
    if not known:
        return {}
    if source_id is not None:
        known = _as_first_seen(session, known, models, source_id)
    new = _keep(session, known, models, source_id=source_id, at=at, sender=sender)
    panels = _panels(session, known, models, source_id=source_id, at=at)
    of_windows = _of_same_windows(session, known, models, source_id)
    older: dict[datetime, dict[int, Observation]] = {}
    newest: dict[int, Observation] = {}
    for panel in panels:
        for end in sorted({one.window_end for one in known if _is_of(panel, one, models)}):
            seen = observation(of_windows[panel.model_id, panel.lane, end], panel.spec)
            if seen is None:
                continue
            if panel.id in newest:
                older.setdefault(newest[panel.id].at, {})[panel.id] = newest[panel.id]
            newest[panel.id] = seen
    for end in sorted(older):
        if end in new:
            recording.record(older[end], at=at)
    return newest


def observe(*, at: datetime) -> dict[int, Observation]:
    """Panels that nobody looks at and of which nothing came for too long.

    Their reports are pushed, or their source was closed.
    """
    rows = db.session.execute(
        select(Panel.id, Panel.stale_after, Lamp.newest_at)
        .join(MlModel, MlModel.id == Panel.model_id)
        .outerjoin(Lamp, Lamp.panel_id == Panel.id)
        .outerjoin(HealthSource, HealthSource.id == Panel.source_id)
        .where(
            or_(Panel.source_id.is_(None), HealthSource.closed_at.is_not(None)),
            Panel.dataset_id.is_(None),
            Panel.closed_at.is_(None),
            MlModel.retired_at.is_(None),
            Lamp.state.is_distinct_from(LampState.NO_DATA),
        )
    )
    return {
        row.id: Observation(at, gap=LampState.NO_DATA, remark=_silence(row.newest_at))
        for row in rows
        if row.newest_at is None or at - row.newest_at > timedelta(seconds=row.stale_after)
    }


def _silence(newest_at: datetime | None) -> str:
    if newest_at is None:
        return "nothing has come yet"
    return f"nothing since the window that ended {newest_at:%Y-%m-%d %H:%M} UTC"


def models_called(session: Session, slugs: Iterable[str]) -> dict[str, int]:
    """The ids of those models that are in production."""
    rows = session.execute(
        select(MlModel.slug, MlModel.id).where(
            MlModel.slug.in_(list(slugs)), MlModel.retired_at.is_(None)
        )
    )
    return {slug: model_id for slug, model_id in rows}  # noqa: C416 rows are no tuples to mypy


def identity_of(report: Report) -> str:
    """The same for a report that is sent again: version, window, method and reference."""
    start = report.window_start.astimezone(UTC).isoformat() if report.window_start else ""
    end = report.window_end.astimezone(UTC).isoformat()
    parts = (report.model_version, start, end, report.method, report.reference_id)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def _as_first_seen(
    session: Session, reports: Sequence[Report], models: Mapping[str, int], source_id: int
) -> list[Report]:
    """The reports, those without a time with that of the first look that found them as they are.

    A file that nobody writes any more is found at every look. It is not news each time.
    """
    found = []
    for report in reports:
        held = None if report.is_dated else _newest_of(session, report, models, source_id)
        if held is not None and _content(report_of(held, report.model)) == _content(report):
            report = replace(report, window_end=held.window_end)
        found.append(report)
    return found


def _newest_of(
    session: Session, report: Report, models: Mapping[str, int], source_id: int
) -> DriftReport | None:
    return session.scalars(
        select(DriftReport)
        .where(
            DriftReport.model_id == models[report.model],
            DriftReport.kind == report.kind,
            DriftReport.source_id == source_id,
            DriftReport.method == report.method,
            DriftReport.model_version == report.model_version,
        )
        .order_by(DriftReport.window_end.desc())
        .limit(1)
    ).first()


def _content(report: Report) -> Report:
    """What a report says, whenever it came and whatever is not kept of it."""
    never = datetime.min.replace(tzinfo=UTC)
    return replace(report, window_end=never, sender="", is_above=None, is_dated=True)


def _keep(
    session: Session,
    reports: Sequence[Report],
    models: Mapping[str, int],
    *,
    source_id: int | None,
    at: datetime,
    sender: str,
) -> set[datetime]:
    """Write the rows. Returns the ends of the windows that were not known before."""
    rows = {}
    for report in reports:
        row = _row(report, models[report.model], source_id, at, sender)
        rows[row["model_id"], row["kind"], row["identity"]] = row
    keys = tuple_(DriftReport.model_id, DriftReport.kind, DriftReport.identity)
    held = {
        (row.model_id, row.kind, row.identity)
        for row in session.execute(
            select(DriftReport.model_id, DriftReport.kind, DriftReport.identity).where(
                keys.in_(list(rows))
            )
        )
    }
    is_postgresql = session.connection().dialect.name == "postgresql"
    insert = (postgresql.insert if is_postgresql else sqlite.insert)(DriftReport)
    columns = [name for name in next(iter(rows.values())) if name not in KEY]
    session.execute(
        insert.on_conflict_do_update(
            index_elements=list(KEY),
            set_={name: insert.excluded[name] for name in columns},
        ),
        list(rows.values()),
    )
    return {row["window_end"] for key, row in rows.items() if key not in held}


KEY = ("model_id", "kind", "identity")


def _row(
    report: Report, model_id: int, source_id: int | None, at: datetime, sender: str
) -> dict[str, Any]:
    return {
        "model_id": model_id,
        "kind": report.kind,
        "identity": identity_of(report),
        "model_version": report.model_version,
        "format": report.format,
        "sender": (report.sender or sender)[:120],
        "window_start": report.window_start,
        "window_end": report.window_end,
        "reference_id": report.reference_id,
        "reference_at": report.reference_at,
        "rows": report.rows,
        "method": report.method,
        "value": report.value,
        "threshold": report.threshold,
        "said_outside": report.said_outside,
        "parts": [asdict(part) for part in report.parts],
        "remark": report.remark,
        "received_at": at,
        "source_id": source_id,
    }


def _of_same_windows(
    session: Session, reports: Sequence[Report], models: Mapping[str, int], source_id: int | None
) -> dict[tuple[int, Lane, datetime], list[Report]]:
    """All that is known of the windows of these reports: others may have told of them before."""
    found: dict[tuple[int, Lane, datetime], list[Report]] = {}
    slugs = {model_id: slug for slug, model_id in models.items()}
    rows = session.scalars(
        select(DriftReport).where(
            DriftReport.model_id.in_(list(models.values())),
            DriftReport.window_end.in_({report.window_end for report in reports}),
            DriftReport.source_id.is_(None)
            if source_id is None
            else DriftReport.source_id == source_id,
        )
    )
    for row in rows:
        found.setdefault((row.model_id, row.kind, row.window_end), []).append(
            report_of(row, slugs[row.model_id])
        )
    return found


def report_of(row: DriftReport, model: str) -> Report:
    """A kept report, as its reader made it."""
    return Report(
        model=model,
        kind=row.kind,
        window_end=row.window_end,
        format=row.format,
        model_version=row.model_version,
        window_start=row.window_start,
        reference_id=row.reference_id,
        reference_at=row.reference_at,
        rows=row.rows,
        method=row.method,
        value=row.value,
        threshold=row.threshold,
        said_outside=row.said_outside,
        parts=tuple(Part(**part) for part in row.parts),
        remark=row.remark,
        sender=row.sender,
    )


def _is_of(panel: Panel, report: Report, models: Mapping[str, int]) -> bool:
    return panel.model_id == models[report.model] and panel.lane is report.kind


def _panels(
    session: Session,
    reports: Sequence[Report],
    models: Mapping[str, int],
    *,
    source_id: int | None,
    at: datetime,
) -> list[Panel]:
    """The open panels of these models and lanes. The first report of a lane makes one."""
    held = _held(session, models, source_id)
    lacking = [one for one in reports if not _has_panel(held, one, models)]
    if lacking:
        # Two first reports at once: the second waits here, and finds the panel of the first.
        wanted = sorted({models[report.model] for report in lacking})
        session.execute(select(MlModel.id).where(MlModel.id.in_(wanted)).with_for_update()).all()
        held = _held(session, models, source_id)
        for report in sorted(lacking, key=lambda one: one.window_end, reverse=True):
            if not _has_panel(held, report, models):
                held.append(_make_panel(session, report, models[report.model], source_id, at))
    opened = [panel for panel in held if panel.closed_at is None]
    for panel in opened:
        _bind_limit(panel, [report for report in reports if _is_of(panel, report, models)])
    session.flush()
    return opened


def _held(session: Session, models: Mapping[str, int], source_id: int | None) -> list[Panel]:
    """Panels that take reports from there, closed ones too: those are not made anew."""
    return list(
        session.scalars(
            select(Panel)
            .where(
                Panel.model_id.in_(list(models.values())),
                Panel.lane.in_(DRIFT),
                Panel.dataset_id.is_(None),
                Panel.source_id.is_(None) if source_id is None else Panel.source_id == source_id,
            )
            .order_by(Panel.id)
            .execution_options(populate_existing=True)
        )
    )


def _has_panel(panels: Iterable[Panel], report: Report, models: Mapping[str, int]) -> bool:
    return any(_is_of(panel, report, models) and takes(panel.spec, report) for panel in panels)


def _make_panel(
    session: Session, report: Report, model_id: int, source_id: int | None, at: datetime
) -> Panel:
    """A panel for the first report of a lane. The tool's threshold is drawn as its limit."""
    taken = set(session.scalars(select(Panel.slug).where(Panel.model_id == model_id)))
    slug = base = report.kind.value.replace("_", "-")
    number = 2
    while slug in taken:
        slug, number = f"{base}-{number}", number + 1
    window = WINDOW
    if report.window_start is not None:
        window = min(max(report.window_end - report.window_start, SHORTEST), LONGEST)
    panel = Panel(
        model_id=model_id,
        slug=slug,
        title=TITLES[report.kind],
        lane=report.kind,
        source_id=source_id,
        spec={"verdict": "tool"},
        window=int(window.total_seconds()),
        above=report.threshold if report.is_above is True else None,
        below=report.threshold if report.is_above is False else None,
        min_rows=_min_rows(report),
        stale_after=int(window.total_seconds()) * WINDOWS_UNTIL_STALE,
        failure_mode=FAILURE_MODES[report.kind],
        created_at=at,
        created_by=BATON.name,
    )
    session.add(panel)
    session.flush()
    audit.record(
        "health.panel.create",
        target_kind="health_panel",
        target_id=panel.id,
        target_name=f"{report.model} · {panel.title}",
        after={"lane": panel.lane, "made_by": f"the first report of {report.format}"},
        by=BATON,
        at=at,
    )
    return panel


def _min_rows(report: Report) -> int:
    """What a window needs to be judged. Tools that judge quality often do not say how many rows."""
    if report.kind is Lane.INPUT_DRIFT:
        return MIN_ROWS
    return MIN_ROWS if report.kind is Lane.OUTPUT_QUALITY and report.rows is not None else 0


def _bind_limit(panel: Panel, reports: Sequence[Report]) -> None:
    """A limit is in the currency of a method: of the first one that is seen with it."""
    if panel.spec.get("verdict") != "limit" or "limit_of" in panel.spec:
        return
    about = [report for report in reports if takes(panel.spec, report)]
    if about and (panel.above is not None or panel.below is not None):
        newest = max(about, key=lambda one: one.window_end)
        panel.spec = {**panel.spec, "limit_of": newest.method}
