"""Pages of drills: the schedule, and where one begins. The run itself has its own page."""

from functools import partial

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from app.core.clock import now
from app.core.errors import BatonError, ConflictError, ForbiddenError, NotFoundError, RefusedError
from app.people.access import current_actor, current_person, requires
from app.people.rules import Role
from app.registry import queries as registry
from app.runbooks import queries as books
from app.runbooks.front_matter import facts
from app.runbooks.runs.drills import queries, service
from app.runbooks.runs.drills.forms import PlanForm, SeenForm, StartForm
from app.runbooks.runs.drills.queries import Drilled
from app.runbooks.runs.drills.rules import REVIEW_EVERY, days_left, may_drive, suggested_due
from app.runbooks.runs.rules import Mode, RunStatus
from app.runbooks.runs.tables import Run
from app.runbooks.tables import RunbookVersion
from app.web.navigation import url_if_there
from app.web.pagination import SIZE
from app.web.parts import go, page
from app.web.toast import toast

bp = Blueprint("drills", __name__, template_folder="../templates")

DONE_SHOWN = 10
NAMED = 6  # people who may drive, before the rest is counted


@bp.app_template_global("drill_report")
def drill_report(run: Run) -> Drilled | None:
    """What a drill showed, once it is over: for `runs/_drill_report.html`."""
    if run.mode is not Mode.DRILL or run.status is RunStatus.OPEN:
        return None
    return queries.drilled([run])[0]


@bp.app_template_global("run_url")
def run_url(run_id: int) -> str | None:
    return url_if_there("runs.detail", run_id=run_id)


# --- The schedule


@bp.get("/drills")
@requires(Role.VIEWER)
def index() -> ResponseReturnValue:
    at = now()
    owner = request.args.get("owner", "").strip()[:120]
    cursor = request.args.get("cursor")
    found = queries.never_drilled(owner, after=cursor, size=SIZE)
    return page(
        "runs/drills.html",
        part="list",
        at=at,
        days_left=partial(days_left, at=at),
        owner=owner,
        owners=books.owners_in_use(),
        teams={team.value: team.name for team in registry.team_choices()},
        schedule=queries.schedule(owner, at=at),
        driven=queries.driven_now(owner),
        never=found,
        never_count=queries.how_many_never_drilled(owner),
        done=queries.done_lately(owner, limit=DONE_SHOWN),
        next_url=_this_page(owner, found.next) if found.next else None,
        first_url=_this_page(owner) if cursor else None,
    )


def _this_page(owner: str, cursor: str | None = None) -> str:
    kept = {name: value for name, value in (("owner", owner), ("cursor", cursor)) if value}
    return url_for("drills.index", **kept, _anchor="never")  # type: ignore[arg-type]  # its options are not str


@bp.post("/drills/<int:planned_id>/call-off")
@requires(Role.MAINTAINER)
def call_off(planned_id: int) -> ResponseReturnValue:
    seen = SeenForm().version.data
    drill = service.call_off(planned_id, seen_version=seen, by=current_actor(), at=now())
    toast(f"The drill of {drill.runbook.title} is called off.")
    return go(url_for("drills.index"))


# --- Where one begins


@bp.get("/runbooks/<slug>/drill")
@requires(Role.RESPONDER)
def begin(slug: str) -> ResponseReturnValue:
    return _page_to_begin(service.drillable(slug))


@bp.post("/runbooks/<slug>/drill")
@requires(Role.RESPONDER)
def start(slug: str) -> ResponseReturnValue:
    version, at = service.drillable(slug), now()
    form = StartForm()
    form.offer(queries.models_for(facts(version.front_matter)))
    if not form.validate():
        return _page_to_begin(version, start_form=form, status=422)
    model = form.model.data or ""
    try:
        played = service.scenario(version, model=model, story=form.said)
        if form.delivery_id is not None:
            played = service.replayed(form.delivery_id, model=model, story=form.said)
        run = service.start_drill(
            slug, played, planned_id=form.planned_id, by=current_actor(), at=at
        )
    except NotFoundError as error:  # of the delivery; the runbook was there
        form.delivery.errors = [error.sentence]
        return _page_to_begin(version, start_form=form, status=422)
    except (RefusedError, ConflictError, ForbiddenError) as error:
        return _page_to_begin(version, start_form=form, error=error, status=int(error.status))
    return go(run_url(run.id) or url_for("drills.index"))


@bp.post("/runbooks/<slug>/drill/plan")
@requires(Role.MAINTAINER)
def plan(slug: str) -> ResponseReturnValue:
    version = service.drillable(slug)
    form = PlanForm()
    form.offer(queries.drivers(version.author_id))
    if not form.validate():
        return _page_to_begin(version, plan_form=form, status=422)
    try:
        service.plan_drill(slug, form.as_wish(), by=current_actor(), at=now())
    except RefusedError as error:
        form.due.errors = [error.sentence]
        return _page_to_begin(version, plan_form=form, status=422)
    toast(f"The drill of {version.title} is planned.")
    return go(url_for("drills.index"))


def _page_to_begin(
    version: RunbookVersion,
    *,
    start_form: StartForm | None = None,
    plan_form: PlanForm | None = None,
    error: BatonError | None = None,
    status: int = 200,
) -> ResponseReturnValue:
    at, said = now(), facts(version.front_matter)
    proven_at = queries.proven_at(version.runbook_id)
    planned = queries.next_planned(version.runbook_id)
    people = queries.drivers(version.author_id)
    models = queries.models_for(said)
    if start_form is None:
        start_form = StartForm(formdata=None)
        start_form.offer(models)
        start_form.planned.data = planned[0].id if planned else None
        start_form.as_planned.data = bool(planned)
    if plan_form is None:
        plan_form = PlanForm(formdata=None)
        plan_form.offer(people)
        plan_form.propose(suggested_due(proven_at, said.review_every, at=at))
    return page(
        "runs/drill_begin.html",
        status=status,
        at=at,
        version=version,
        runbook=version.runbook,
        played=service.scenario(version, model=models[0] if models else ""),
        may_drive=may_drive(current_person().id, version.author_id),
        who_else=_names(people),
        driven=queries.driven_now(runbook_id=version.runbook_id),
        planned=planned,
        proven_at=proven_at,
        every=said.review_every or REVIEW_EVERY,
        start_form=start_form,
        plan_form=plan_form,
        can_replay=service.can_replay(),
        error=error,
    )


def _names(people: list[tuple[int, str]]) -> str:
    names = [name for _, name in people]
    if len(names) > NAMED:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    return " or ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
