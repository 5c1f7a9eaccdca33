"""Latency budgets: what a request may take, stage by stage, and what happens when it can't."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.db import db, unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.health.rules import Lane
from app.health.tables import LatencyBudget, Panel, Slo
from app.people import audit
from app.people.rules import Actor
from app.registry.tables import MlModel

CLOCKS = {
    "client": "The client",
    "edge": "The edge",
    "server": "The server",
    "model": "The model alone",
}
MOST_ROWS = 30
MOST_ROUTES = 20
LARGEST = 1e9


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a request, and what it may take of the whole."""

    name: str
    budget_ms: float
    owner: str = ""
    panel: str = ""  # slug of the panel that observes it


@dataclass(frozen=True, slots=True)
class Rung:
    """What is served when the rung above can't be."""

    title: str
    trigger: str = ""
    seconds: float | None = None  # to switch
    cost: str = ""  # in quality
    drilled_on: date | None = None

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Rung":
        """As it is stored."""
        day = said.get("drilled_on")
        return cls(
            str(said.get("title", "")),
            str(said.get("trigger") or ""),
            said.get("seconds"),
            str(said.get("cost") or ""),
            date.fromisoformat(day) if day else None,
        )

    def stored(self) -> dict[str, Any]:
        day = self.drilled_on
        return {**asdict(self), "drilled_on": day.isoformat() if day else None}


@dataclass(frozen=True, slots=True)
class BudgetDraft:
    """What people say of the latency of one route."""

    route: str
    percentile: float
    budget_ms: float
    clock: str = "server"
    panel_id: int | None = None
    slo_id: int | None = None
    stages: Sequence[Stage] = field(default=())
    timeouts: str = ""
    peak_rps: float | None = None
    load_tested_rps: float | None = None
    load_tested_on: date | None = None
    ladder: Sequence[Rung] = field(default=())
    approved_by: str = ""
    review_on: date | None = None


def why_not(draft: BudgetDraft, *, at: datetime) -> str | None:
    """Say why this is no latency budget."""
    if not 0 < draft.percentile < 100:
        return "The percentile lies between 0 and 100, as in 99."
    if not 0 < draft.budget_ms < LARGEST:
        return "The budget is a time in milliseconds, more than 0."
    if draft.clock not in CLOCKS:
        return f"The clock is one of {', '.join(CLOCKS)}."
    if len(draft.stages) > MOST_ROWS or len(draft.ladder) > MOST_ROWS:
        return f"At most {MOST_ROWS} stages and {MOST_ROWS} rungs."
    for stage in draft.stages:
        if not stage.name:
            return "Give each stage a name."
        if not 0 < stage.budget_ms < LARGEST:
            return f"{stage.name}: its budget is a time in milliseconds, more than 0."
    names = [stage.name.casefold() for stage in draft.stages]
    if len(set(names)) < len(names):
        return "Two stages have the same name."
    if any(not rung.title for rung in draft.ladder):
        return "Say of each rung what it serves."
    figures = [draft.peak_rps, draft.load_tested_rps, *(rung.seconds for rung in draft.ladder)]
    if any(figure is not None and not 0 <= figure < LARGEST for figure in figures):
        return "Requests a second and seconds are numbers, not below 0."
    today = at.date()
    if draft.load_tested_on is not None and draft.load_tested_on > today:
        return "The load test is in the future."
    if any(rung.drilled_on is not None and rung.drilled_on > today for rung in draft.ladder):
        return "The last drill of a rung is in the future."
    return None


def of_model(model_id: int) -> Sequence[LatencyBudget]:
    """The latency budgets of a model by route."""
    return db.session.scalars(
        select(LatencyBudget)
        .where(LatencyBudget.model_id == model_id)
        .order_by(LatencyBudget.route, LatencyBudget.id)
    ).all()


def find(model_id: int, budget_id: int) -> LatencyBudget:
    found = db.session.get(LatencyBudget, budget_id)
    if found is None or found.model_id != model_id:
        raise NotFoundError("There is no such latency budget.")
    return found


def find_route(model_id: int, route: str) -> LatencyBudget | None:
    return db.session.scalars(
        select(LatencyBudget).where(
            LatencyBudget.model_id == model_id, LatencyBudget.route == route
        )
    ).one_or_none()


def named(row: LatencyBudget) -> tuple[str | None, str | None]:
    """Slugs of the panel that measures a budget and of its service level."""
    panel = db.session.get(Panel, row.panel_id) if row.panel_id else None
    slo = db.session.get(Slo, row.slo_id) if row.slo_id else None
    return panel.slug if panel else None, slo.slug if slo else None


def panels_for(model_id: int) -> Sequence[Panel]:
    """Panels that can measure a budget or a stage, latencies first."""
    panels = db.session.scalars(
        select(Panel)
        .where(Panel.model_id == model_id, Panel.closed_at.is_(None), Panel.dataset_id.is_(None))
        .order_by(Panel.title, Panel.id)
    ).all()
    return sorted(panels, key=lambda one: one.lane is not Lane.LATENCY)


def create(
    model_slug: str,
    draft: BudgetDraft,
    *,
    bucket_matched: bool | None = None,
    by: Actor,
    at: datetime,
) -> LatencyBudget:
    with unit_of_work() as session:
        model = session.scalars(select(MlModel).where(MlModel.slug == model_slug)).one_or_none()
        if model is None:
            raise NotFoundError(f"There is no model {model_slug}.")
        if len(of_model(model.id)) >= MOST_ROUTES:
            raise RefusedError(f"A model has {MOST_ROUTES} latency budgets at most.")
        row = LatencyBudget(model_id=model.id, model=model)
        with session.no_autoflush:
            _fill(session, row, draft, bucket_matched, by, at)
        session.add(row)
        session.flush()
        _audit("health.budget.create", row, None, by=by, at=at)
    return row


def edit(
    budget_id: int,
    draft: BudgetDraft,
    *,
    seen_version: int | None,
    bucket_matched: bool | None = None,
    by: Actor,
    at: datetime,
) -> LatencyBudget:
    """Write the draft over the budget, unless it changed since its reader saw `seen_version`."""
    with unit_of_work() as session:
        row = session.get(LatencyBudget, budget_id, with_for_update=True)
        if row is None:
            raise NotFoundError("That latency budget is gone.")
        if seen_version is not None and row.version != seen_version:
            raise audit.changed_meanwhile("health_budget", row.id, _name(row))
        before = facts(row)
        with session.no_autoflush:
            _fill(session, row, draft, bucket_matched, by, at)
        if facts(row) != before:
            _audit("health.budget.update", row, before, by=by, at=at)
    return row


def _fill(
    session: Session,
    row: LatencyBudget,
    draft: BudgetDraft,
    bucket_matched: bool | None,
    by: Actor,
    at: datetime,
) -> None:
    if why := why_not(draft, at=at):
        raise RefusedError(why)
    other = session.scalar(
        select(LatencyBudget.id).where(
            LatencyBudget.model_id == row.model_id,
            LatencyBudget.route == draft.route,
            LatencyBudget.id != (row.id or 0),
        )
    )
    if other is not None:
        raise ConflictError(f"There is a budget of {draft.route or 'all requests'} already.")
    _check_panels(session, row.model_id, draft)
    was = (row.panel_id, row.budget_ms)
    row.route, row.percentile, row.budget_ms = draft.route, draft.percentile, draft.budget_ms
    row.clock, row.panel_id, row.slo_id = draft.clock, draft.panel_id, draft.slo_id
    if bucket_matched is not None or was != (row.panel_id, row.budget_ms):
        row.bucket_matched = bucket_matched
    row.stages = [asdict(stage) for stage in draft.stages]
    row.ladder = [rung.stored() for rung in draft.ladder]
    row.timeouts, row.approved_by, row.review_on = (
        draft.timeouts,
        draft.approved_by,
        draft.review_on,
    )
    row.peak_rps, row.load_tested_rps = draft.peak_rps, draft.load_tested_rps
    row.load_tested_on = draft.load_tested_on
    row.updated_at, row.updated_by = at, by.name


def _check_panels(session: Session, model_id: int, draft: BudgetDraft) -> None:
    slugs = set(session.scalars(select(Panel.slug).where(Panel.model_id == model_id)))
    for stage in draft.stages:
        if stage.panel and stage.panel not in slugs:
            raise RefusedError(f"{stage.name}: the model has no panel {stage.panel}.")
    if draft.panel_id is not None:
        panel = session.get(Panel, draft.panel_id)
        if panel is None or panel.model_id != model_id:
            raise RefusedError("The panel that measures it is of another model, or gone.")
    if draft.slo_id is not None:
        slo = session.get(Slo, draft.slo_id)
        if slo is None or slo.model_id != model_id:
            raise RefusedError("The service level is of another model, or gone.")


def draft_of(row: LatencyBudget) -> BudgetDraft:
    """The budget as a draft, to change some of it or to compare."""
    return BudgetDraft(
        route=row.route,
        percentile=row.percentile,
        budget_ms=row.budget_ms,
        clock=row.clock,
        panel_id=row.panel_id,
        slo_id=row.slo_id,
        stages=tuple(Stage(**{name: one.get(name) or "" for name in ("name", "owner", "panel")},
                           budget_ms=one.get("budget_ms") or 0) for one in row.stages),
        timeouts=row.timeouts,
        peak_rps=row.peak_rps,
        load_tested_rps=row.load_tested_rps,
        load_tested_on=row.load_tested_on,
        ladder=tuple(Rung.of(one) for one in row.ladder),
        approved_by=row.approved_by,
        review_on=row.review_on,
    )  # fmt: skip


def slack_of(budget_ms: float, stages: Sequence[Stage]) -> float:
    """What the stages leave of the whole; below 0 they take more than there is."""
    return budget_ms - sum(stage.budget_ms for stage in stages)


def facts(row: LatencyBudget) -> dict[str, Any]:
    """A latency budget as the audit trail keeps it."""
    days = {"load_tested_on": row.load_tested_on, "review_on": row.review_on}
    return {
        **{name: getattr(row, name) for name in FACTS},
        **{name: day.isoformat() if day else None for name, day in days.items()},
        "stages": list(row.stages),
        "ladder": list(row.ladder),
    }


FACTS = (
    "route", "percentile", "budget_ms", "clock", "panel_id", "slo_id", "timeouts", "peak_rps",
    "load_tested_rps", "approved_by",
)  # fmt: skip


def _name(row: LatencyBudget) -> str:
    return f"{row.model.slug}: {row.route or 'all requests'}"


def _audit(
    action: str, row: LatencyBudget, before: Mapping[str, Any] | None, *, by: Actor, at: datetime
) -> None:
    audit.record(
        action,
        target_kind="health_budget",
        target_id=row.id,
        target_name=_name(row),
        before=before,
        after=facts(row),
        by=by,
        at=at,
    )
