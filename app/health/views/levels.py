"""Pages of service levels, of OpenSLO files and of latency budgets."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm

from app.core.clock import now
from app.core.errors import BatonError, ConflictError, RefusedError
from app.health import (
    budgets,
    counting,
    level_imports,
    level_lint,
    levels,
    openslo_out,
    service,
    standing,
)
from app.health.forms.levels import BudgetForm, LevelForm, OpenSloForm, SeenForm, seen_version
from app.health.level_imports import sources_that_count
from app.health.limit_lint import lint_objective
from app.health.rules import FAILURE_MODES
from app.health.service import SloDraft
from app.health.tables import LatencyBudget, Panel, Slo
from app.health.views.blueprint import bp
from app.people.access import current_actor, requires
from app.people.rules import Role
from app.registry import queries as registry
from app.registry.tables import MlModel
from app.web.parts import go, live, page
from app.web.toast import toast

LEVELS = "/models/<slug>/health/levels"
YAML = "application/yaml"

EXAMPLE = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: within-250-ms
  displayName: Requests within 250 ms
spec:
  service: recsys-home
  indicator:
    metadata:
      name: slow-requests
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource:
            type: Prometheus
            spec:
              query: sum(increase(http_seconds_bucket{le="0.25"}[{{.window}}]))
        total:
          metricSource:
            type: Prometheus
            spec:
              query: sum(increase(http_seconds_count[{{.window}}]))
  timeWindow:
    - duration: 28d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - target: 0.99
"""


# --- Service levels ---------------------------------------------------------------------------


@bp.get(LEVELS, endpoint="levels")
@requires(Role.VIEWER)
def all_levels(slug: str) -> ResponseReturnValue:
    model, at = registry.model_by_slug(slug), now()
    found = levels.of_model(model.id, also_closed=True)
    return page(
        "health/levels.html",
        model=model,
        levels=[levels.level(one, at=at) for one in found if one.closed_at is None],
        closed=[one for one in found if one.closed_at is not None],
    )


@bp.get(f"{LEVELS}/<slo>")
@requires(Role.VIEWER)
def level(slug: str, slo: str) -> ResponseReturnValue:
    model, found = _level(slug, slo)
    return page("health/level.html", **_shown(model, found, at=now()))


@bp.get(f"{LEVELS}/<slo>/now")
@requires(Role.VIEWER)
def level_now(slug: str, slo: str) -> ResponseReturnValue:
    """The figures of a service level, for its page to ask for again."""
    model, found = _level(slug, slo)
    return live("health/level.html", part="figures", **_shown(model, found, at=now()))


def _shown(model: MlModel, slo: Slo, *, at: datetime) -> dict[str, Any]:
    return {
        "model": model,
        "slo": slo,
        "level": levels.level(slo, at=at),
        "whole": levels.counts_of(slo).get(levels.objective_of(slo).window),
        "lines": levels.burn_lines(slo, at=at),
        "counted": counting.in_words(slo.spec),
        "tells_events": counting.tells_events(slo.spec),
        "burns": levels.burns(slo),
        "warnings": lint_objective(levels.objective_of(slo)),
        "kept": slo.spec.get(counting.KEPT) or {},
        "form": SeenForm(version=str(slo.version)),
    }


@bp.route(f"{LEVELS}/new", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def new_level(slug: str) -> ResponseReturnValue:
    model, form = registry.model_by_slug(slug), LevelForm()
    _offer(form, model, None)
    if not form.is_submitted():
        form.suggest(request.args.get("panel", ""))
        return _level_form(form, model, None)
    if not form.validate():
        return _level_form(form, model, None, status=422)
    source_id = form.source_id()
    try:
        draft = form.as_draft()
        if warnings := _unseen(form, draft, source_id, model):
            return _level_form(form, model, None, warnings=warnings)
        made = service.create_slo(slug, draft, source_id=source_id, by=current_actor(), at=now())
    except (ConflictError, RefusedError) as error:
        return _level_form(form, model, None, status=_say(form, error))
    toast(f"{made.title} is made. Its first counts come with the next look.")
    return go(url_for("health.level", slug=slug, slo=made.slug))


@bp.route(f"{LEVELS}/<slo>/edit", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def edit_level(slug: str, slo: str) -> ResponseReturnValue:
    model, found = _level(slug, slo)
    form = LevelForm()
    _offer(form, model, found)
    if not form.is_submitted():
        form.fill(found)
        return _level_form(form, model, found)
    if not form.validate():
        return _level_form(form, model, found, status=422)
    seen, source_id = seen_version(form.version), form.source_id()
    try:
        draft = form.as_draft()
        if found.version == seen and (warnings := _unseen(form, draft, source_id, model)):
            return _level_form(form, model, found, warnings=warnings)
        saved = service.edit_slo(
            found.id, draft, seen_version=seen, source_id=source_id, by=current_actor(), at=now()
        )
    except ConflictError as error:
        newest = levels.find(slug, slo, also_closed=True)
        conflict = error.sentence
        differs = level_imports.differences(service.draft_of_slo(newest), draft)
        # The reader's text stays. To save it once more, having read this, is on purpose.
        form.version.data = str(newest.version)
        return _level_form(form, model, newest, status=409, conflict=conflict, differences=differs)
    except RefusedError as error:
        return _level_form(form, model, found, status=_say(form, error))
    toast(f"{saved.title} is saved.")
    return go(url_for("health.level", slug=slug, slo=saved.slug))


@bp.post(f"{LEVELS}/<slo>/close")
@requires(Role.MAINTAINER)
def close_level(slug: str, slo: str) -> ResponseReturnValue:
    _, found = _level(slug, slo)
    version = seen_version(SeenForm().version) or None
    closed = service.close_slo(found.id, seen_version=version, by=current_actor(), at=now())
    toast(f"{closed.title} is closed. Reopen it at any time.")
    return go(url_for("health.level", slug=slug, slo=slo))


@bp.post(f"{LEVELS}/<slo>/reopen")
@requires(Role.MAINTAINER)
def reopen_level(slug: str, slo: str) -> ResponseReturnValue:
    _, found = _level(slug, slo)
    service.reopen_slo(found.id, by=current_actor(), at=now())
    toast(f"{found.title} is counted again.")
    return go(url_for("health.level", slug=slug, slo=slo))


def _level(slug: str, slo: str) -> tuple[MlModel, Slo]:
    return registry.model_by_slug(slug), levels.find(slug, slo, also_closed=True)


def _offer(form: LevelForm, model: MlModel, slo: Slo | None) -> None:
    panels = [
        (panel, spec)
        for panel in budgets.panels_for(model.id)
        if panel.source is not None
        and panel.source.closed_at is None
        and (spec := counting.of_panel(panel.source.kind, panel)) is not None
    ]
    form.offer(panels, sources_that_count(), slo)


def _unseen(
    form: LevelForm, draft: SloDraft, source_id: int | None, model: MlModel
) -> Sequence[str]:
    """Warnings that its reader has not seen yet: to press again, having read them, is on purpose."""
    source = next((one for one in sources_that_count() if one.id == source_id), None)
    if source is not None and (why := counting.why_not_counts(source.kind, draft.spec)):
        raise RefusedError(why)
    found = level_lint.warnings_of(draft, source, model.slug, at=now())
    print_of_them = hashlib.sha256("\n".join(found).encode()).hexdigest()[:16] if found else ""
    if form.seen.data == print_of_them:
        return ()
    form.seen.data = print_of_them
    return found


def _level_form(
    form: LevelForm,
    model: MlModel,
    slo: Slo | None,
    *,
    status: int = 200,
    warnings: Sequence[str] = (),
    conflict: str = "",
    differences: Sequence[str] = (),
) -> ResponseReturnValue:
    return page(
        "health/level_form.html",
        part="form",
        status=status,
        form=form,
        model=model,
        slo=slo,
        counted=counting.in_words(slo.spec) if slo else [],
        modes=sorted(set(FAILURE_MODES.values())),
        warnings=warnings,
        conflict=conflict,
        differences=differences,
    )


# --- OpenSLO ----------------------------------------------------------------------------------


@bp.get(f"{LEVELS}.yaml")
@requires(Role.VIEWER)
def export_levels(slug: str) -> ResponseReturnValue:
    """All service levels of a model as one OpenSLO file."""
    model = registry.model_by_slug(slug)
    return _download(openslo_out.write(slug, levels.of_model(model.id)), f"{slug}.yaml")


@bp.get(f"{LEVELS}/<slo>.yaml")
@requires(Role.VIEWER)
def export_level(slug: str, slo: str) -> ResponseReturnValue:
    _, found = _level(slug, slo)
    return _download(openslo_out.write(slug, [found]), f"{slug}-{slo}.yaml")


def _download(text: str, name: str) -> Response:
    answer = Response(text, content_type=f"{YAML}; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


@bp.route(f"{LEVELS}/import", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def import_levels(slug: str) -> ResponseReturnValue:
    """Show what an OpenSLO file would do; with the fingerprint of what was shown, do it."""
    model, form = registry.model_by_slug(slug), OpenSloForm()
    form.offer(sources_that_count())
    if not form.validate_on_submit():
        return page("health/level_import.html", model=model, form=form, example=EXAMPLE, plan=None)
    content = form.content()
    source_id = form.source.data or None
    status, sentence = 200, None
    if form.seen.data:
        try:
            done = level_imports.import_levels(
                slug, content, source_id=source_id, seen=form.seen.data, by=current_actor(),
                at=now(),
            )  # fmt: skip
        except (ConflictError, RefusedError) as error:
            status, sentence = int(error.status), error.sentence
        else:
            toast(_done(done))
            return go(url_for("health.levels", slug=slug))
    plan = level_imports.plan_import(slug, content, source_id=source_id)
    form.text.data = content if isinstance(content, str) else content.decode("utf-8-sig", "replace")
    return page(
        "health/level_import.html",
        part="form",
        status=422 if plan.problems else status,
        model=model,
        form=form,
        example=EXAMPLE,
        plan=plan,
        sentence=sentence,
    )


def _done(plan: level_imports.Plan) -> str:
    numbers = {
        "made": plan.count("create"),
        "changed": plan.count("change"),
        "reopened": plan.count("reopen"),
        "as before": plan.count("keep"),
    }
    said = ", ".join(f"{number} {what}" for what, number in numbers.items() if number)
    return f"Service levels: {said}."


# --- Latency budgets --------------------------------------------------------------------------


@bp.get("/models/<slug>/health/budget")
@requires(Role.VIEWER)
def budget(slug: str) -> ResponseReturnValue:
    model = registry.model_by_slug(slug)
    at = now()
    panels = {one.id: one for one in budgets.panels_for(model.id)}
    return page(
        "health/budget.html",
        model=model,
        budgets=[(row, budgets.draft_of(row)) for row in budgets.of_model(model.id)],
        panels=panels,
        by_slug={one.slug: one for one in panels.values()},
        slos={one.id: one for one in levels.of_model(model.id)},
        slack_of=budgets.slack_of,
        ladder_of=partial(standing.ladder_of, at=at),
        clocks=budgets.CLOCKS,
        today=at.date(),
    )


@bp.route("/models/<slug>/health/budget/new", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def new_budget(slug: str) -> ResponseReturnValue:
    model, form = registry.model_by_slug(slug), BudgetForm()
    if not form.is_submitted():
        for rows in (form.stages, form.rungs):
            rows.append_entry()
    if form.is_submitted() and form.arrange(request.form.get("do", "")):
        return _budget_form(form, model, None)
    _offer_budget(form, model)
    if not form.is_submitted():
        return _budget_form(form, model, None)
    if not form.validate():
        return _budget_form(form, model, None, status=422)
    draft = form.as_draft()
    try:
        _refuse(draft)
        made = budgets.create(
            slug, draft, bucket_matched=_matched(draft, model), by=current_actor(), at=now()
        )
    except (ConflictError, RefusedError) as error:
        return _budget_form(form, model, None, status=_say(form, error))
    toast(f"The latency budget of {made.route or 'all requests'} is written down.")
    _warn_of_stages(draft)
    return go(url_for("health.budget", slug=slug))


@bp.route("/models/<slug>/health/budget/<int:budget_id>/edit", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def edit_budget(slug: str, budget_id: int) -> ResponseReturnValue:
    model = registry.model_by_slug(slug)
    held, form = budgets.find(model.id, budget_id), BudgetForm()
    if not form.is_submitted():
        form.fill(held)
        return _budget_form(form, model, held)
    if form.arrange(request.form.get("do", "")):
        return _budget_form(form, model, held)
    _offer_budget(form, model)
    if not form.validate():
        return _budget_form(form, model, held, status=422)
    draft = form.as_draft()
    try:
        _refuse(draft)
        saved = budgets.edit(
            held.id, draft, seen_version=seen_version(form.version),
            bucket_matched=_matched(draft, model), by=current_actor(), at=now(),
        )  # fmt: skip
    except ConflictError as error:
        newest = budgets.find(model.id, budget_id)
        form.version.data = str(newest.version)
        return _budget_form(form, model, newest, status=409, conflict=error.sentence)
    except RefusedError as error:
        return _budget_form(form, model, held, status=_say(form, error))
    toast(f"The latency budget of {saved.route or 'all requests'} is saved.")
    _warn_of_stages(draft)
    return go(url_for("health.budget", slug=slug))


def _refuse(draft: budgets.BudgetDraft) -> None:
    """Before a source is asked about its buckets, which takes a while."""
    if why := budgets.why_not(draft, at=now()):
        raise RefusedError(why)


def _warn_of_stages(draft: budgets.BudgetDraft) -> None:
    """Stages that take more than the whole are kept, as what is true today may be just that."""
    over = -budgets.slack_of(draft.budget_ms, draft.stages)
    if over > 0:
        toast(
            f"Its stages take {draft.budget_ms + over:,g} ms: {over:,g} ms more than the budget of "
            f"{draft.budget_ms:,g} ms.",
            tone="bad",
        )


def _matched(draft: budgets.BudgetDraft, model: MlModel) -> bool | None:
    panel = next((one for one in budgets.panels_for(model.id) if one.id == draft.panel_id), None)
    return level_lint.bucket_matched(panel, draft.budget_ms, model.slug, at=now())


def _offer_budget(form: BudgetForm, model: MlModel) -> Sequence[Panel]:
    panels = budgets.panels_for(model.id)
    form.offer(panels, levels.of_model(model.id))
    return panels


def _budget_form(
    form: BudgetForm,
    model: MlModel,
    held: LatencyBudget | None,
    *,
    status: int = 200,
    conflict: str = "",
) -> ResponseReturnValue:
    _offer_budget(form, model)
    stages = [row.data for row in form.stages]
    taken = sum(one["budget_ms"] or 0 for one in stages)
    return page(
        "health/budget_form.html",
        part="form",
        status=status,
        form=form,
        model=model,
        held=held,
        conflict=conflict,
        taken=taken,
        slack=None if form.budget_ms.data is None else form.budget_ms.data - taken,
        most_rows=budgets.MOST_ROWS,
    )


def _say(form: FlaskForm, error: BatonError) -> int:
    """Show the sentence above the form."""
    form.form_errors = [*form.form_errors, error.sentence]
    return int(error.status)
