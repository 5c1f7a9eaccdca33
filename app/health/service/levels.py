"""Service levels: promised, changed, closed and opened again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.db import unit_of_work
from app.core.errors import ConflictError, RefusedError
from app.health import counting, levels
from app.health.service.rows import free_slug, model_called, row_seen
from app.health.slo_rules import MIN_EVENTS
from app.health.tables import HealthSource, Slo
from app.people import audit
from app.people.rules import Actor
from app.registry.rules import slug_from

MOST_LEVELS = 50  # of a model
NO_SLO_SLUGS = ("new", "import")  # pages beside those of service levels


@dataclass(frozen=True, slots=True)
class SloDraft:
    """What people say of a service level. `target` is a ratio."""

    title: str
    target: float
    window_days: int
    spec: Mapping[str, Any]
    min_events: float = MIN_EVENTS
    failure_mode: str = ""
    slug: str = ""


def create_slo(
    model_slug: str, draft: SloDraft, *, source_id: int | None, by: Actor, at: datetime
) -> Slo:
    with unit_of_work() as session:
        model = model_called(session, model_slug)
        there = session.scalar(
            select(func.count()).where(Slo.model_id == model.id, Slo.closed_at.is_(None))
        )
        if (there or 0) >= MOST_LEVELS:
            raise RefusedError(f"A model has {MOST_LEVELS} service levels at most.")
        source = _counting_source(session, source_id)
        _check_slo(draft, source)
        wanted = slo_slug(draft.slug or draft.title)
        slo = Slo(
            model_id=model.id,
            slug=free_slug(session, Slo.slug, wanted, Slo.model_id == model.id),
            source_id=source_id,
            counts={},
            created_at=at,
            created_by=by.name,
        )
        _fill_slo(slo, draft)
        session.add(slo)
        session.flush()
        if source is not None:
            source.due_at = at
        audit.record(
            "health.slo.create",
            target_kind="health_slo",
            target_id=slo.id,
            target_name=f"{model.slug}: {slo.title}",
            before=None,
            after=slo_facts(slo),
            by=by,
            at=at,
        )
    return slo


def edit_slo(
    slo_id: int,
    draft: SloDraft,
    *,
    seen_version: int | None,
    source_id: int | None = None,
    by: Actor,
    at: datetime,
) -> Slo:
    """Write the draft over the service level. Without a `source_id` its source stays.

    Once something else is counted, what was counted before says nothing any more.
    """
    with unit_of_work() as session:
        slo = row_seen(session, Slo, slo_id, seen_version, "health_slo")
        before = slo_facts(slo)
        was = _counted(slo)
        if source_id is not None and source_id != slo.source_id:
            slo.source = _counting_source(session, source_id)
        _check_slo(draft, slo.source)
        _fill_slo(slo, draft)
        session.flush()
        if _counted(slo) != was:
            levels.begin_anew(session, slo, at=at)
            if slo.source is not None:
                slo.source.due_at = at
        if slo_facts(slo) != before:
            audit.record(
                "health.slo.update",
                target_kind="health_slo",
                target_id=slo.id,
                target_name=f"{slo.model.slug}: {slo.title}",
                before=before,
                after=slo_facts(slo),
                by=by,
                at=at,
            )
    return slo


def close_slo(slo_id: int, *, seen_version: int | None = None, by: Actor, at: datetime) -> Slo:
    """Stop counting. What it said stays in the record, and a burn that was told of ends."""
    with unit_of_work() as session:
        slo = row_seen(session, Slo, slo_id, seen_version, "health_slo")
        if slo.closed_at is not None:
            raise ConflictError(f"{slo.title} is closed already.")
        slo.closed_at = at
        levels.let_go(session, slo, at=at)
        audit.record(
            "health.slo.close",
            target_kind="health_slo",
            target_id=slo.id,
            target_name=f"{slo.model.slug}: {slo.title}",
            before={"closed": False},
            after={"closed": True},
            by=by,
            at=at,
        )
    return slo


def reopen_slo(slo_id: int, *, by: Actor, at: datetime) -> Slo:
    with unit_of_work() as session:
        slo = row_seen(session, Slo, slo_id, None, "health_slo")
        if slo.closed_at is None:
            raise ConflictError(f"{slo.title} is open already.")
        slo.closed_at = None
        if slo.source is not None:
            slo.source.due_at = at
        audit.record(
            "health.slo.reopen",
            target_kind="health_slo",
            target_id=slo.id,
            target_name=f"{slo.model.slug}: {slo.title}",
            before={"closed": True},
            after={"closed": False},
            by=by,
            at=at,
        )
    return slo


def slo_slug(said: str) -> str:
    """What a service level of that name is called in addresses."""
    slug = slug_from(said)[:70] or "unnamed"
    return f"level-{slug}" if slug in NO_SLO_SLUGS else slug


def _counting_source(session: Session, source_id: int | None) -> HealthSource | None:
    if source_id is None:
        return None
    source = session.get(HealthSource, source_id)
    if source is None or source.closed_at is not None:
        raise RefusedError("That source is closed, or gone. Choose another.")
    return source


def _check_slo(draft: SloDraft, source: HealthSource | None) -> None:
    if not draft.title.strip():
        raise RefusedError("Give the service level a title.")
    if len(draft.title.strip()) > 120:
        raise RefusedError("The title of a service level has at most 120 letters.")
    if len(draft.failure_mode) > 80:
        raise RefusedError("A failure mode has at most 80 letters.")
    if not 0 < draft.target < 1:
        raise RefusedError("The objective lies between 0 and 100 %, and is neither.")
    if not 1 <= draft.window_days <= 90:
        raise RefusedError("The window of a service level is 1 to 90 days.")
    if draft.min_events < 0:
        raise RefusedError("Events can't be fewer than none.")
    if source is not None and (why := counting.why_not_counts(source.kind, draft.spec)):
        raise RefusedError(f"{draft.title}: {why}")


def _fill_slo(slo: Slo, draft: SloDraft) -> None:
    slo.title, slo.target, slo.window_days = draft.title.strip(), draft.target, draft.window_days
    slo.spec, slo.min_events = dict(draft.spec), draft.min_events
    slo.failure_mode = draft.failure_mode


def draft_of_slo(slo: Slo) -> SloDraft:
    """The service level as a draft, to change some of it."""
    return SloDraft(
        title=slo.title,
        target=slo.target,
        window_days=slo.window_days,
        spec=dict(slo.spec),
        min_events=slo.min_events,
        failure_mode=slo.failure_mode,
        slug=slo.slug,
    )


def slo_facts(slo: Slo) -> dict[str, Any]:
    """A service level as the audit trail keeps it."""
    return {
        "title": slo.title,
        "target": slo.target,
        "window_days": slo.window_days,
        "source": slo.source.name if slo.source else None,
        "spec": dict(slo.spec),
        "min_events": slo.min_events,
        "failure_mode": slo.failure_mode,
    }


def _counted(slo: Slo) -> tuple[int | None, dict[str, Any]]:
    """What is counted, and where."""
    return slo.source_id, {name: said for name, said in slo.spec.items() if name != counting.KEPT}
