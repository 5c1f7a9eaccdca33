"""Making panels, from a preset or one by one, and editing them."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue

from app.core.clock import now
from app.core.errors import ConflictError, RefusedError
from app.health import offers, panels, service
from app.health.forms.panels import LANES, Offer, PanelForm, new_panel, offer
from app.health.offers import REPORTING, SERVING
from app.health.presets import PanelDraft
from app.health.rules import FAILURE_MODES
from app.health.tables import HealthSource, Panel
from app.health.views.blueprint import bp
from app.health.wording import brief_rule
from app.people.access import current_actor, requires
from app.people.rules import Role
from app.registry import queries as registry
from app.registry.tables import MlModel
from app.web.parts import go, page
from app.web.toast import toast

PUSHED = "push"  # stands for no source: reports are sent


# --- From a preset ----------------------------------------------------------------------------


@bp.get("/models/<slug>/health/panels/new")
@requires(Role.MAINTAINER)
def new_panels(slug: str) -> ResponseReturnValue:
    model = registry.model_by_slug(slug)
    there = panels.of_model(model.id)
    return _offer_page(model, _choice(model, there, request.args))


@bp.post("/models/<slug>/health/panels/new")
@requires(Role.MAINTAINER)
def make_panels(slug: str) -> ResponseReturnValue:
    model = registry.model_by_slug(slug)
    there = panels.of_model(model.id)
    made = _choice(model, there, request.form, request.form.getlist("take"))
    if not made.chosen:
        return _offer_page(model, made, status=422, error="Check at least one panel.")
    if made.has_errors:
        return _offer_page(model, made, status=422, error="A limit is missing.")
    at = now()
    made.warn(offers.lint(made.chosen, made.source, slug, at=at))
    if made.fingerprint and made.fingerprint != request.form.get("seen"):
        return _offer_page(model, made, status=422)
    try:
        added = service.create_panels(
            slug,
            made.chosen,
            source_id=made.source.id if made.source else None,
            preset=made.preset,
            by=current_actor(),
            at=at,
        )
    except (RefusedError, ConflictError) as error:
        return _offer_page(model, made, status=int(error.status), error=error.sentence)
    count = "1 panel is" if len(added) == 1 else f"{len(added)} panels are"
    toast(f"{count} made. The first readings come within a minute. {made.trouble}".strip())
    return go(_home(slug))


def _home(slug: str) -> str:
    return url_for("health.panel_list", slug=slug)


def _choice(
    model: MlModel,
    there: Sequence[Any],
    said: Mapping[str, str],
    checked: Sequence[str] | None = None,
) -> Offer:
    """What was chosen, and the most likely of what was not."""
    known = panels.sources([*SERVING, *REPORTING])
    source = _source(known, said.get("source"), there)
    kind = source.kind if source else None
    offered = [one.key for one in offers.presets_for(kind)]
    preset = said.get("preset", "")
    if preset not in offered:
        used = [one.preset for one in there if source and one.source_id == source.id]
        likely = [*(one for one in used if one in offered), *(offered if len(offered) == 1 else [])]
        preset = likely[0] if likely else ""
    name = " ".join(said.get("name", "").split())[:200] or model.slug
    is_sent = checked is not None
    return offer(preset, source, model.slug, name, there, said if is_sent else None, checked or ())


def _source(
    known: Sequence[HealthSource], said: str | None, there: Sequence[Any]
) -> HealthSource | None:
    if said == PUSHED:
        return None
    by_id = {str(one.id): one for one in known}
    if said in by_id:
        return by_id[said]
    used = [by_id[str(one.source_id)] for one in there if str(one.source_id) in by_id]
    serving = [one for one in known if one.kind in SERVING]
    return next(iter([*used, *serving, *known]), None)


def _offer_page(
    model: MlModel, made: Offer, *, status: int = 200, error: str = ""
) -> ResponseReturnValue:
    kind = made.source.kind if made.source else None
    presets = offers.presets_for(kind)
    return page(
        "health/new_panels.html",
        part="choose",
        status=status,
        model=model,
        made=made,
        error=error,
        presets=presets,
        preset=next((one for one in presets if one.key == made.preset), None),
        sources=panels.sources([*SERVING, *REPORTING]),
        pushed=PUSHED,
        lanes=LANES,
        brief_rule=brief_rule,
    )


# --- One by one -------------------------------------------------------------------------------


@bp.route("/models/<slug>/health/panels/new/custom", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def new_panel_of_own(slug: str) -> ResponseReturnValue:
    model = registry.model_by_slug(slug)
    known = panels.sources([*SERVING, *REPORTING])
    source = _source(known, request.values.get("source"), panels.of_model(model.id))
    kind = source.kind if source else None
    form = PanelForm(formdata=request.form if request.method == "POST" else None, **new_panel(kind))
    form.offer(kind, {})
    if not form.is_submitted() or "show" in request.form:
        return _form_page(model, form, source)
    if not form.validate():
        return _form_page(model, form, source, status=422)
    draft = form.as_draft()
    if warnings := _unseen_warnings(form, draft, source, slug):
        return _form_page(model, form, source, status=422, warnings=warnings)
    try:
        (added,) = service.create_panels(
            slug,
            [draft],
            source_id=source.id if source else None,
            by=current_actor(),
            at=now(),
        )
    except (RefusedError, ConflictError) as error:
        form.form_errors = [*form.form_errors, error.sentence]
        return _form_page(model, form, source, status=int(error.status))
    toast(f"{added.title} is made. Its first reading comes within a minute.")
    return go(url_for("health.panel", slug=slug, panel=added.slug))


@bp.route("/models/<slug>/health/panels/<panel>/edit", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def edit_panel(slug: str, panel: str) -> ResponseReturnValue:
    found = panels.panel(slug, panel)
    kind = found.source.kind if found.source else None
    if request.method == "GET":
        form = PanelForm(formdata=None)
        form.fill(found)
        form.offer(kind, found.spec)
        return _form_page(found.model, form, found.source, panel=found)
    form = PanelForm()
    form.offer(kind, found.spec)
    if "show" in request.form:
        return _form_page(found.model, form, found.source, panel=found)
    if not form.validate():
        return _form_page(found.model, form, found.source, panel=found, status=422)
    draft = form.as_draft()
    if warnings := _unseen_warnings(form, draft, found.source, slug):
        return _form_page(
            found.model, form, found.source, panel=found, status=422, warnings=warnings
        )
    try:
        saved = service.edit_panel(
            found.id, draft, seen_version=form.version.data or 0, by=current_actor(), at=now()
        )
    except ConflictError as error:
        newest = panels.panel(slug, panel)
        # The reader's text stays. To save it once more, having read this, is on purpose.
        form.version.data = newest.version
        return _form_page(
            newest.model, form, newest.source, panel=newest, status=409, conflict=error.sentence
        )
    except RefusedError as error:
        form.form_errors = [*form.form_errors, error.sentence]
        return _form_page(found.model, form, found.source, panel=found, status=int(error.status))
    toast(f"{saved.title} is saved.")
    return go(url_for("health.panel", slug=slug, panel=panel))


def _unseen_warnings(
    form: PanelForm, draft: PanelDraft, source: HealthSource | None, slug: str
) -> Sequence[str]:
    """What is odd about the panel, unless its reader was told so and presses again."""
    seen, form.seen.data = form.seen.data, ""
    kind = source.kind if source else None
    if kind is None or draft.not_measurable or offers.why_not(draft, kind):
        return ()
    warnings = offers.lint([draft], source, slug, at=now()).warnings.get(draft.key, ())
    if not warnings:
        return ()
    form.seen.data = offers.fingerprint(warnings)
    return () if seen == form.seen.data else warnings


def _form_page(
    model: MlModel,
    form: PanelForm,
    source: HealthSource | None,
    *,
    panel: Panel | None = None,
    status: int = 200,
    warnings: Sequence[str] = (),
    conflict: str = "",
) -> ResponseReturnValue:
    return page(
        "health/panel_form.html",
        part="form",
        status=status,
        model=model,
        form=form,
        source=source,
        panel=panel,
        sources=panels.sources([*SERVING, *REPORTING]),
        pushed=PUSHED,
        warnings=warnings,
        conflict=conflict,
        modes=sorted(set(FAILURE_MODES.values())),
    )
