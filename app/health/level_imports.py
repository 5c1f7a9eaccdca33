"""An OpenSLO file becomes service levels of one model: shown first, then all of it or nothing.

A level of the same name is changed, so the same file may be taken again; what a file leaves out
stays as it is.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import select

from app.core.db import db, unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.health import counting, levels, openslo, service
from app.health.limit_lint import lint_objective
from app.health.openslo import Imported
from app.health.service import MOST_LEVELS, SloDraft
from app.health.slo_rules import Objective
from app.health.tables import HealthSource, Slo
from app.people.rules import Actor
from app.registry.tables import MlModel

Does = Literal["create", "change", "reopen", "keep"]


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one service level of the file."""

    does: Does
    draft: SloDraft
    source: HealthSource
    changes: Sequence[str]  # what differs, a clause each
    warnings: Sequence[str]  # alerts that can never fire
    slo: Slo | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    steps: Sequence[Step]
    notes: Sequence[str]
    problems: Sequence[str]

    def count(self, does: Does) -> int:
        return sum(step.does == does for step in self.steps)

    @property
    def fingerprint(self) -> str:
        """Of what would be done: of another file, or of levels that changed, it is another."""
        said = [
            [step.does, step.draft.slug, _facts(step.draft), step.source.id,
             step.slo.version if step.slo else 0]
            for step in self.steps
        ]  # fmt: skip
        text = json.dumps(said, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def plan_import(model_slug: str, content: bytes | str, *, source_id: int | None) -> Plan:
    """What the file would do. `source_id`: where to count what names no source known here."""
    found = openslo.read(content)
    model = db.session.scalars(select(MlModel).where(MlModel.slug == model_slug)).one_or_none()
    if model is None:
        raise NotFoundError(f"There is no model {model_slug}.")
    notes, problems = list(found.notes), list(found.problems)
    held = {slo.slug: slo for slo in levels.of_model(model.id, also_closed=True)}
    sources = sources_that_count()
    steps = []
    for one in found.levels:
        source = _source_of(one, sources, source_id, notes, problems)
        if source is not None:
            steps.append(_step(one.draft, source, held.get(one.draft.slug)))
    notes += [
        f"Its service is {name}; the levels become those of {model_slug}."
        for name in sorted({_service(one) for one in found.levels} - {"", model_slug})
    ]
    is_open = sum(slo.closed_at is None for slo in held.values())
    if is_open + sum(step.does in ("create", "reopen") for step in steps) > MOST_LEVELS:
        problems.append(f"A model has {MOST_LEVELS} service levels at most.")
    return Plan(steps, notes, problems)


def import_levels(
    model_slug: str,
    content: bytes | str,
    *,
    source_id: int | None,
    seen: str | None = None,
    by: Actor,
    at: datetime,
) -> Plan:
    """Do it. `seen`: the fingerprint of the plan that was shown to whoever agreed to it."""
    with unit_of_work():
        plan = plan_import(model_slug, content, source_id=source_id)
        if plan.problems:
            raise RefusedError(" ".join(plan.problems[:5]))
        if seen is not None and seen != plan.fingerprint:
            raise ConflictError("The service levels or the file changed since it was shown.")
        for step in plan.steps:
            _do(step, model_slug, by=by, at=at)
    return plan


def _do(step: Step, model_slug: str, *, by: Actor, at: datetime) -> None:
    if step.slo is None:
        service.create_slo(model_slug, step.draft, source_id=step.source.id, by=by, at=at)
        return
    if step.does == "reopen":
        service.reopen_slo(step.slo.id, by=by, at=at)
    if step.changes:
        service.edit_slo(
            step.slo.id, step.draft, seen_version=None, source_id=step.source.id, by=by, at=at
        )


def sources_that_count() -> Sequence[HealthSource]:
    """Open sources of the kinds that can count events, by name."""
    return db.session.scalars(
        select(HealthSource)
        .where(HealthSource.closed_at.is_(None), HealthSource.kind.in_(counting.kinds_that_count()))
        .order_by(HealthSource.name, HealthSource.id)
    ).all()


def _source_of(
    one: Imported,
    sources: Sequence[HealthSource],
    chosen: int | None,
    notes: list[str],
    problems: list[str],
) -> HealthSource | None:
    fitting = [source for source in sources if source.kind == one.kind]
    for source in fitting:
        if one.source and one.source in (source.slug, source.name):
            return source
    name = one.draft.title
    title = openslo.TYPE_NAMES[one.kind]
    wanted = next((source for source in sources if source.id == chosen), None)
    picked = next((source for source in fitting if source is wanted), None)
    if picked is None and len(fitting) == 1:
        picked = fitting[0]
    if wanted is not None and wanted is not picked:
        called = f"{wanted.name} is of another kind than {title}, which the file counts with"
    else:
        called = f"{one.source} is not known here" if one.source else "the file names no source"
    if picked is not None:
        notes.append(f"{name}: {called}; {picked.name} is asked.")
        return picked
    if fitting:
        why = f"{called}; " if wanted is not None else ""
        problems.append(f"{name}: {why}choose which source of the kind {title} is asked.")
    else:
        problems.append(f"{name}: there is no source of the kind {title}. Add one first.")
    return None


def _service(one: Imported) -> str:
    return str(one.draft.spec.get(counting.KEPT, {}).get("service", ""))


def _step(draft: SloDraft, source: HealthSource, slo: Slo | None) -> Step:
    warnings = lint_objective(Objective(draft.target, timedelta(days=draft.window_days)))
    if slo is None:
        return Step("create", draft, source, (), warnings)
    changes = differences(service.draft_of_slo(slo), draft)
    if slo.source_id != source.id:
        before = slo.source.name if slo.source else "no source"
        changes = [*changes, f"source: {before} → {source.name}"]
    does: Does = "reopen" if slo.closed_at else "change" if changes else "keep"
    return Step(does, draft, source, changes, warnings, slo)


def differences(before: SloDraft, after: SloDraft) -> list[str]:
    """Where two drafts differ, a clause each."""
    old, new = _facts(before), _facts(after)
    return [
        f"{name}: {_short(old[name])} → {_short(new[name])}"
        for name in new
        if old[name] != new[name]
    ]


def _facts(draft: SloDraft) -> Mapping[str, Any]:
    spec = {name: said for name, said in draft.spec.items() if name != counting.KEPT}
    return {
        "title": draft.title,
        "objective": f"{draft.target * 100:.10g} %",
        "window": f"{draft.window_days} days",
        "counted": spec,
        "minimum of events": f"{draft.min_events:g}",
        "failure mode": draft.failure_mode,
        "labels and notes": draft.spec.get(counting.KEPT) or {},
    }


def _short(said: Any) -> str:
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return (text if len(text) <= 200 else f"{text[:199]}…") or "none"
