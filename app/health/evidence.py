"""What the panels of models say at one moment: kept as evidence, or shown as it is now.

A snapshot is plain JSON, of a bounded size, and complete in itself: it is read long after its
panels were changed or closed. Snapshots of many models cost as many statements as that of one.
"""

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import joinedload

from app.core.db import AnyRow, db
from app.health import levels
from app.health.drawing import Plot, Point, plot, thin
from app.health.rules import BLIND, DRIFT, WORST_FIRST, LampState
from app.health.showing import shown
from app.health.tables import Dataset, HealthSource, Lamp, Panel, Reading, Slo, StateChange
from app.registry.tables import MlModel

SPAN = timedelta(hours=1)  # of the lines that are kept
MOST_POINTS = 60  # of one line
MOST_LINES = 12  # of one model
MOST_LINES_AT_ONCE = 60  # of all models of one batch
MOST_PANELS = 200
MOST_BYTES = 64_000  # of one snapshot, as JSON

PANELS = (
    select(
        Panel.id, Panel.model_id, Panel.slug, Panel.title, Panel.lane, Panel.spec, Panel.unit,
        Panel.window, Panel.above, Panel.below, Panel.stale_after,
        HealthSource.name.label("source"), Dataset.slug.label("dataset"),
        Lamp.state, Lamp.since, Lamp.value, Lamp.rows, Lamp.newest_at, Lamp.looked_at, Lamp.remark,
        Lamp.series,
    )
    .outerjoin(Lamp, Lamp.panel_id == Panel.id)
    .outerjoin(HealthSource, HealthSource.id == Panel.source_id)
    .outerjoin(Dataset, Dataset.id == Panel.dataset_id)
    .where(Panel.closed_at.is_(None))
    .order_by(Panel.model_id, Panel.id)
)  # fmt: skip


def panels_of(model_id: int) -> Sequence[AnyRow]:
    """Where each panel of a model stands, as `showing.shown` reads it."""
    return db.session.execute(PANELS.where(Panel.model_id == model_id)).all()


def panels_of_named(model_slug: str) -> Sequence[AnyRow]:
    named: Select[Any] = PANELS.join(MlModel, MlModel.id == Panel.model_id)
    return db.session.execute(named.where(MlModel.slug == model_slug)).all()


def readings_of(
    panel_ids: Collection[int], since: datetime, until: datetime
) -> dict[int, list[AnyRow]]:
    """Readings of each panel between two moments, oldest first."""
    found: dict[int, list[AnyRow]] = {panel_id: [] for panel_id in panel_ids}
    for row in db.session.execute(
        select(Reading.panel_id, Reading.at, Reading.state, Reading.value, Reading.series)
        .where(Reading.panel_id.in_(list(panel_ids)), Reading.at > since, Reading.at <= until)
        .order_by(Reading.panel_id, Reading.at)
    ):
        found[row.panel_id].append(row)
    return found


def snapshots(model_ids: Iterable[int], *, at: datetime) -> dict[int, dict[str, Any]]:
    """What is known of each of these models at this moment. One without panels is missing."""
    wanted = set(model_ids)
    if not wanted:
        return {}
    of_each: dict[int, list[AnyRow]] = {}
    for row in db.session.execute(PANELS.where(Panel.model_id.in_(wanted))):
        of_each.setdefault(row.model_id, []).append(row)
    kept = {model_id: _levels(slos, at) for model_id, slos in _slos(wanted).items()}
    frames: dict[int, list[dict[str, Any]]] = {}
    for model_id, rows in of_each.items():
        frames[model_id] = sorted((_panel(row, at) for row in rows), key=_worst_first)
    _add_lines(frames, at)
    return {
        model_id: _bounded(frames.get(model_id, []), kept.get(model_id, []), at)
        for model_id in {*frames, *kept}
    }


def _panel(row: AnyRow, at: datetime) -> dict[str, Any]:
    seen = shown(row, at=at)
    is_low = row.above is None or (
        row.below is not None and seen.value is not None and seen.value < row.below
    )
    method, _, reference = (row.series or "").partition(" · ")
    panel = {
        "id": row.id,
        "slug": row.slug,
        "title": row.title,
        "lane": row.lane.value,
        "state": seen.state.value,
        "line": seen.line,  # as people read it: 612 / 250 ms
        "value": _number(seen.value),
        "limit": _number(row.below if is_low else row.above),
        "is_lower_limit": is_low and row.below is not None,
        "unit": row.unit,
        "rows": _number(row.rows),
        "stale_after": row.stale_after,
        "newest_at": _moment(row.newest_at),
        "since": _moment(row.since),
        "remark": row.remark or "",
        "source": row.source or "",
    }
    if row.dataset:
        panel["dataset"] = row.dataset
    if row.lane in DRIFT:
        panel |= {"method": method, "reference": reference}
    return panel


def _worst_first(panel: Mapping[str, Any]) -> tuple[int, int]:
    return WORST_FIRST.index(LampState(panel["state"])), panel["id"]


def _slos(model_ids: Collection[int]) -> dict[int, list[Slo]]:
    found: dict[int, list[Slo]] = {}
    for slo in db.session.scalars(
        select(Slo)
        .where(Slo.model_id.in_(model_ids), Slo.closed_at.is_(None))
        .options(joinedload(Slo.source))
        .order_by(Slo.id)
    ):
        found.setdefault(slo.model_id, []).append(slo)
    return found


def _levels(slos: Sequence[Slo], at: datetime) -> list[dict[str, Any]]:
    """Of each service level the budget that was left, and how fast it burned, by hours."""
    return [
        {
            "id": slo.id,
            "slug": slo.slug,
            "title": slo.title,
            "target": slo.target,
            "window_days": slo.window_days,
            "left": _number(level.left),
            "burning": slo.burning,
            "rates": {
                f"{window.total_seconds() / 3600:g}": _number(rate)
                for window, rate in level.rates.items()
                if rate is not None
            },
            "is_current": level.is_current,
            "looked_at": _moment(slo.looked_at),
        }
        for slo in slos
        for level in [levels.level(slo, at=at)]
    ]


def _add_lines(frames: Mapping[int, Sequence[dict[str, Any]]], at: datetime) -> None:
    """Give the panels that are not OK, and those of drift, the line of the hour before."""
    each = max(1, min(MOST_LINES, MOST_LINES_AT_ONCE // max(len(frames), 1)))
    chosen = [one for panels in frames.values() for one in _with_line(panels)[:each]]
    of_id = {panel["id"]: panel for panel in chosen[:MOST_LINES_AT_ONCE]}
    if of_id:
        for panel_id, readings in readings_of(of_id, at - SPAN, at).items():
            of_id[panel_id]["points"] = _points(readings)


def _with_line(panels: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    drift = {lane.value for lane in DRIFT}
    quiet = (LampState.OK, LampState.NOT_MEASURABLE)
    return [
        panel
        for panel in panels
        if panel["newest_at"] and (panel["state"] not in quiet or panel["lane"] in drift)
    ]


def _points(readings: Sequence[AnyRow]) -> list[Any]:
    """[seconds since 1970, value or null, whether nobody could see] of each reading; null where
    the line breaks, because its method or its reference changed."""
    found = [Point(one.at, one.value, one.state in BLIND, one.series) for one in readings]
    points: list[Any] = []
    before = None
    for point in thin(found, MOST_POINTS):
        if before is not None and point.series != before:
            points.append(None)
        before = point.series
        points.append([int(point.at.timestamp()), _number(point.value), point.is_blind])
    return points


def line_of(panel: Mapping[str, Any], *, until: datetime) -> Plot | None:
    """The line of a panel of a snapshot; none if it has none, or nothing in it."""
    points, series = [], 0
    for point in panel.get("points") or ():
        if point is None:
            series += 1
        else:
            at = datetime.fromtimestamp(point[0], UTC)
            points.append(Point(at, point[1], point[2], str(series)))
    drawn = plot(
        points,
        since=until - SPAN,
        until=until,
        limit=panel["limit"],
        silent_after=timedelta(seconds=panel["stale_after"]),
    )
    return drawn if drawn.high is not None else None


def _bounded(
    panels: Sequence[dict[str, Any]], kept: Sequence[dict[str, Any]], at: datetime
) -> dict[str, Any]:
    """The snapshot of a model. Where there is too much, what is least bad goes first."""
    panels, left_out = list(panels[:MOST_PANELS]), max(0, len(panels) - MOST_PANELS)
    sizes = [_size(panel) for panel in panels]
    total = sum(sizes) + _size(list(kept)) + 100
    for number in reversed(range(len(panels))):
        if total <= MOST_BYTES:
            break
        if panels[number].pop("points", None) is not None:
            total += _size(panels[number]) - sizes[number]
            sizes[number] = _size(panels[number])
    while total > MOST_BYTES and panels:
        total -= sizes.pop()
        panels.pop()
        left_out += 1
    return {
        "taken_at": at.isoformat(),
        "panels": panels,
        "levels": list(kept),
        "left_out": left_out,
    }


def _size(part: Any) -> int:
    return len(json.dumps(part, ensure_ascii=False).encode()) + 2


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


# --- For those who turn facts into alerts


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a panel is read, and how many clear windows end a breach of its own rule."""

    between: timedelta  # two windows
    k: int


def pace_of(panel_id: int) -> Pace | None:
    row = db.session.execute(
        select(Panel.window, Panel.k, Lamp.windows)
        .outerjoin(Lamp, Lamp.panel_id == Panel.id)
        .where(Panel.id == panel_id)
    ).first()
    if row is None:
        return None
    between = timedelta(seconds=row.window)
    if row.windows and len(row.windows) > 1:
        between = min(between, timedelta(seconds=row.windows[-1][0] - row.windows[-2][0]))
    return Pace(between, row.k)


def is_last_word(change_id: int) -> bool:
    """Whether nothing that is acted on was recorded of the same panel since this change."""
    change = db.session.get(StateChange, change_id)
    if change is None:
        return False
    later = (
        select(StateChange.id)
        .where(
            StateChange.panel_id == change.panel_id,
            StateChange.id > change_id,
            StateChange.fact.in_(("breach", "recovered")),
        )
        .limit(1)
    )
    return db.session.scalar(later) is None
