"""Panels: made, changed, closed and opened again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.db import unit_of_work
from app.core.errors import ConflictError, RefusedError
from app.health.panel_drafts import RULE, why_no_panel
from app.health.presets import PanelDraft
from app.health.recording import let_go, rule_of
from app.health.rules import Rule
from app.health.service.rows import free_slug, model_called, row_seen
from app.health.tables import HealthSource, Lamp, Panel
from app.people import audit
from app.people.rules import Actor
from app.registry.tables import MlModel

MOST_PANELS = 200  # of a model


def create_panels(
    model_slug: str,
    drafts: Sequence[PanelDraft],
    *,
    source_id: int | None,
    preset: str = "",
    by: Actor,
    at: datetime,
) -> list[Panel]:
    """All of them or none. Raises `RefusedError` with the first reason why one can't be."""
    with unit_of_work() as session:
        model = model_called(session, model_slug)
        source = None
        if source_id is not None:
            source = row_seen(session, HealthSource, source_id, None, "health_source")
        there = session.scalar(
            select(func.count()).where(Panel.model_id == model.id, Panel.closed_at.is_(None))
        )
        if (there or 0) + len(drafts) > MOST_PANELS:
            raise RefusedError(f"A model has {MOST_PANELS} panels at most.")
        panels = [_new_panel(session, model, source, draft, preset, by, at) for draft in drafts]
        if source is not None:
            source.due_at = at
        for panel in panels:
            audit.record(
                "health.panel.create",
                target_kind="health_panel",
                target_id=panel.id,
                target_name=_name(model, panel),
                before=None,
                after=panel_facts(panel),
                by=by,
                at=at,
            )
    return panels


def _new_panel(
    session: Session,
    model: MlModel,
    source: HealthSource | None,
    draft: PanelDraft,
    preset: str,
    by: Actor,
    at: datetime,
) -> Panel:
    _check_panel(draft, source)
    panel = Panel(
        model_id=model.id,
        slug=free_slug(session, Panel.slug, draft.key or draft.title, Panel.model_id == model.id),
        source_id=source.id if source else None,
        preset=preset,
        created_at=at,
        created_by=by.name,
    )
    _fill_panel(panel, draft)
    session.add(panel)
    session.flush()
    return panel


def edit_panel(
    panel_id: int, draft: PanelDraft, *, seen_version: int | None, by: Actor, at: datetime
) -> Panel:
    """Write the draft over the panel. What was seen so far stays; it is judged anew from now on."""
    with unit_of_work() as session:
        panel = row_seen(session, Panel, panel_id, seen_version, "health_panel")
        _check_panel(draft, panel.source)
        before = panel_facts(panel)
        _fill_panel(panel, draft)
        after = panel_facts(panel)
        if after != before:
            lamp = session.get(Lamp, panel.id)
            if lamp is not None and rule_of(panel) != _rule_in(before):
                lamp.windows = []
            if panel.source is not None:
                panel.source.due_at = at
            audit.record(
                "health.panel.update",
                target_kind="health_panel",
                target_id=panel.id,
                target_name=_name(panel.model, panel),
                before=before,
                after=after,
                by=by,
                at=at,
            )
    return panel


def close_panel(
    panel_id: int, *, seen_version: int | None = None, by: Actor, at: datetime
) -> Panel:
    """Stop watching. What it saw stays in the record, and a breach that was told of ends."""
    with unit_of_work() as session:
        panel = row_seen(session, Panel, panel_id, seen_version, "health_panel")
        if panel.closed_at is not None:
            raise ConflictError(f"{panel.title} is closed already.")
        panel.closed_at = at
        let_go(session, [panel.id], at=at)
        audit.record(
            "health.panel.close",
            target_kind="health_panel",
            target_id=panel.id,
            target_name=_name(panel.model, panel),
            before={"closed": False},
            after={"closed": True},
            by=by,
            at=at,
        )
    return panel


def reopen_panel(panel_id: int, *, by: Actor, at: datetime) -> Panel:
    with unit_of_work() as session:
        panel = row_seen(session, Panel, panel_id, None, "health_panel")
        if panel.closed_at is None:
            raise ConflictError(f"{panel.title} is open already.")
        panel.closed_at = None
        if panel.source is not None:
            panel.source.due_at = at
        audit.record(
            "health.panel.reopen",
            target_kind="health_panel",
            target_id=panel.id,
            target_name=_name(panel.model, panel),
            before={"closed": True},
            after={"closed": False},
            by=by,
            at=at,
        )
    return panel


def _check_panel(draft: PanelDraft, source: HealthSource | None) -> None:
    if why := why_no_panel(draft, source.kind if source else None):
        raise RefusedError(f"{draft.title.strip()[:120] or 'A panel'}: {why}")


def _fill_panel(panel: Panel, draft: PanelDraft) -> None:
    rule = draft.rule
    panel.title, panel.lane, panel.unit = draft.title.strip(), draft.lane, draft.unit
    panel.spec, panel.window = dict(draft.spec), draft.window
    panel.above, panel.below, panel.clear = rule.above, rule.below, rule.clear
    panel.k, panel.n, panel.min_rows = rule.k, rule.n, rule.min_rows
    panel.stale_after = int(rule.stale_after.total_seconds())
    panel.failure_mode, panel.severity = draft.failure_mode, draft.severity


def panel_facts(panel: Panel) -> dict[str, Any]:
    """A panel as the audit trail keeps it."""
    return {
        "title": panel.title,
        "lane": panel.lane.value,
        "unit": panel.unit,
        "spec": dict(panel.spec),
        "window": panel.window,
        **{name: getattr(panel, name) for name in RULE},
        "failure_mode": panel.failure_mode,
        "severity": panel.severity,
    }


@dataclass(frozen=True, slots=True)
class _Columns:
    above: float | None
    below: float | None
    clear: float | None
    k: int
    n: int
    min_rows: float
    stale_after: int


def _rule_in(facts: Mapping[str, Any]) -> Rule:
    return rule_of(_Columns(**{name: facts[name] for name in RULE}))


def _name(model: MlModel, panel: Panel) -> str:
    return f"{model.slug}: {panel.title}"
