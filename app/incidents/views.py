"""Pages of incidents. A view translates; `service.py` decides."""

import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Blueprint, Flask, current_app, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from app.core.clock import now
from app.core.errors import BatonError, ConflictError, RefusedError
from app.core.markdown import render_note
from app.health.marks import add_marks
from app.incidents import evidence, following, queries, sensing, service
from app.incidents.forms import (
    AssignForm,
    DeclareForm,
    EscalateForm,
    FilterForm,
    HandOverForm,
    NoteForm,
    ReasonForm,
    ResolveForm,
    SeenForm,
    SeverityForm,
    StartForm,
)
from app.incidents.marks import incidents_of
from app.incidents.queries import Filter
from app.incidents.rules import NEXT_STATES, State
from app.incidents.tables import Incident
from app.integrations.pagerduty import outbox
from app.people.access import current_actor, current_person, person_if_any, requires
from app.people.rules import Role
from app.registry.queries import model_by_slug
from app.registry.sections import (
    ModelColumn,
    ModelSection,
    add_model_banner,
    add_model_column,
    add_model_section,
)
from app.runbooks.front_matter import facts
from app.runbooks.rules import failure_mode_title
from app.runbooks.runs import queries as runs
from app.runbooks.runs import views as run_views
from app.runbooks.runs.showing import tone_of
from app.web.parts import go, is_htmx, live, page
from app.web.toast import toast

bp = Blueprint("incidents", __name__, template_folder="templates")

WAITED_FOR = (State.TRIGGERED, State.ACKNOWLEDGED)  # while it is in one, escalating may be due
STATES = ("open", "mine", "triage", "resolved", "all")


@bp.app_context_processor
def sidebar() -> dict[str, Any]:
    """Open incidents beside every page; nothing for those who are not signed in."""
    if person_if_any() is None or is_htmx():
        return {}
    return {"open_incidents_in_sidebar": queries.in_sidebar()}


@bp.get("/incidents/", strict_slashes=False)
@requires(Role.VIEWER)
def index() -> ResponseReturnValue:
    return page("incidents/list.html", "list", **_list())


@bp.get("/incidents/part/list")
@requires(Role.VIEWER)
def index_part() -> ResponseReturnValue:
    return live("incidents/list.html", part="list", **_list())


def _list() -> dict[str, Any]:
    form = FilterForm(request.args)
    form.validate()
    asked = request.args.get("state", "open")
    person = current_person()
    wanted = Filter(
        state=asked if asked in STATES else "open",
        severity=form.severity.data if not form.severity.errors else None,
        team=form.team.data or None,
        model=form.model.data or None,
        words=(form.q.data or "")[:200],
        lead_id=person.id,
    )
    return {
        "wanted": wanted,
        "found": queries.page(wanted, request.args.get("after")),
        "how_many": queries.counts(person.id),
        "teams": queries.teams(),
        "arguments": {
            key: value for key, value in request.args.items() if value and key != "after"
        },
        "mode_title": failure_mode_title,
    }


@bp.get("/models/<slug>/incidents")
@requires(Role.VIEWER)
def of_model(slug: str) -> ResponseReturnValue:
    model = model_by_slug(slug)
    found = queries.page(Filter(state="all", model=model.slug), request.args.get("after"))
    return page(
        "incidents/of_model.html", "list", model=model, found=found, mode_title=failure_mode_title
    )


@bp.get("/incidents/<int:incident_id>")
@requires(Role.VIEWER)
def detail(incident_id: int) -> ResponseReturnValue:
    return page("incidents/detail.html", **_detail(incident_id))


@bp.get("/incidents/<int:incident_id>/part/<part>")
@requires(Role.VIEWER)
def detail_part(incident_id: int, part: str) -> ResponseReturnValue:
    """A live region of the page; forms stay outside of all of them."""
    if part == "readings":
        return live("incidents/_evidence.html", part=part, **_readings(incident_id))
    if part not in ("head", "actions", "alerts", "timeline", "facts"):
        part = "head"
    return live("incidents/detail.html", part=part, **_detail(incident_id))


@bp.get("/incidents/<int:incident_id>/alerts")
@requires(Role.VIEWER)
def members(incident_id: int) -> ResponseReturnValue:
    incident = queries.incident(incident_id)
    found = queries.members(incident_id, cursor=request.args.get("after"))
    return page("incidents/members.html", "list", incident=incident, found=found)


def _readings(incident_id: int) -> dict[str, Any]:
    """How the panels of its model stand now: asked every few seconds, so only what that takes."""
    incident = queries.incident(incident_id)
    known = queries.evidence(incident_id, incident.episode)
    standing = evidence.current(known.content if known else {}, incident, at=now())
    return {"incident": incident, "evidence": known, "standing": standing}


def _detail(incident_id: int, **changed: Any) -> dict[str, Any]:
    incident = queries.incident(incident_id)
    known = queries.evidence(incident_id, incident.episode)
    content = known.content if known else {}
    context = {
        "incident": incident,
        "may_move_to": NEXT_STATES[incident.state],
        "State": State,
        "failure_mode": failure_mode_title(incident.failure_mode),
        "found": queries.members(incident_id, size=12),
        "timeline": queries.timeline(incident_id),
        "evidence": known,
        "frozen": evidence.frozen(content, incident),
        "standing": evidence.current(content, incident, at=now()),
        "before": queries.seen_before(incident),
        "paging": outbox.sync_state(incident_id, at=now()),
        "may_respond": _may_respond(),
        "note_form": NoteForm(formdata=None, key=secrets.token_hex(16)),
        "note_html": render_note,
        "runbook": queries.runbook_of(incident.runbook_version),
    } | _followed(incident)
    if context["may_respond"]:
        seen = incident.version
        context |= {
            "resolve_form": ResolveForm(formdata=None, prefix="resolve-", seen=seen),
            "reopen_form": ReasonForm(formdata=None, prefix="reopen-", seen=seen),
            "severity_form": SeverityForm(
                formdata=None, prefix="severity-", seen=seen, severity=incident.severity
            ),
            "hand_over_form": HandOverForm(
                formdata=None, prefix="hand-over-", seen=seen, to=incident.lead_id
            ),
            "escalate_form": EscalateForm(formdata=None, prefix="escalate-", seen=seen),
            "assign_form": AssignForm(formdata=None, prefix="assign-", seen=seen)
            if incident.model_id is None
            else None,
        }
    return context | changed


def _followed(incident: Incident) -> dict[str, Any]:
    """The run in the centre of the page; before there is one, the time to escalation alone."""
    followed = runs.open_run_of(incident.id)
    if followed is not None:
        return run_views.context(
            followed.id,
            followed=runs.stand(followed, runs.events(followed.id)),
            opened_at=incident.opened_at if incident.episode == 1 else followed.started_at,
            change_url=url_for("incidents.choose_runbook", incident_id=incident.id),
        )
    at = now()
    version = incident.runbook_version
    after = facts(version.front_matter).escalate_after if version else None
    deadline = incident.opened_at + after if after and incident.state in WAITED_FOR else None
    return {
        "run": None,
        "at": at,
        "escalate_at": deadline,
        "escalate_tone": tone_of(deadline, at=at),
    }


def _may_respond() -> bool:
    person = person_if_any()
    return person is not None and person.role.covers(Role.RESPONDER)


@bp.get("/incidents/declare")
@requires(Role.RESPONDER)
def declare_form() -> ResponseReturnValue:
    return page("incidents/declare.html", form=DeclareForm(formdata=None))


@bp.post("/incidents/declare")
@requires(Role.RESPONDER)
def declare() -> ResponseReturnValue:
    form = DeclareForm()
    if not form.validate():
        return page("incidents/declare.html", "form", 422, form=form)
    try:
        incident = service.declare(form.as_declaration(), by=current_actor(), at=now())
    except ConflictError as conflict:
        return page("incidents/declare.html", "form", 409, form=form, conflict=conflict.sentence)
    toast(f"INC-{incident.id} is open.")
    return go(url_for("incidents.detail", incident_id=incident.id))


@bp.post("/incidents/<int:incident_id>/acknowledge")
@requires(Role.RESPONDER)
def acknowledge(incident_id: int) -> ResponseReturnValue:
    form = SeenForm()

    def act() -> str:
        service.acknowledge(incident_id, **_told(form))
        return f"You took INC-{incident_id} on."

    return _answer(incident_id, "acknowledge_form", form, act)


@bp.post("/incidents/<int:incident_id>/mitigate")
@requires(Role.RESPONDER)
def mitigate(incident_id: int) -> ResponseReturnValue:
    form = SeenForm()

    def act() -> str:
        service.mitigate(incident_id, **_told(form))
        return f"INC-{incident_id} is mitigated."

    return _answer(incident_id, "mitigate_form", form, act)


@bp.post("/incidents/<int:incident_id>/resolve")
@requires(Role.RESPONDER)
def resolve(incident_id: int) -> ResponseReturnValue:
    form = ResolveForm(prefix="resolve-")

    def act() -> str:
        reason, noise = (form.reason.data or "").strip(), form.noise.data
        service.resolve(incident_id, reason=reason, noise=noise, **_told(form))
        return f"INC-{incident_id} is resolved."

    return _answer(incident_id, "resolve_form", form, act)


@bp.post("/incidents/<int:incident_id>/reopen")
@requires(Role.RESPONDER)
def reopen(incident_id: int) -> ResponseReturnValue:
    form = ReasonForm(prefix="reopen-")

    def act() -> str:
        service.reopen(incident_id, reason=(form.reason.data or "").strip(), **_told(form))
        return f"INC-{incident_id} is open again."

    return _answer(incident_id, "reopen_form", form, act)


@bp.post("/incidents/<int:incident_id>/severity")
@requires(Role.RESPONDER)
def severity(incident_id: int) -> ResponseReturnValue:
    form = SeverityForm(prefix="severity-")

    def act() -> str:
        incident = service.set_severity(incident_id, form.severity.data, **_told(form))
        return f"INC-{incident_id} is SEV-{incident.severity} now."

    return _answer(incident_id, "severity_form", form, act)


@bp.post("/incidents/<int:incident_id>/hand-over")
@requires(Role.RESPONDER)
def hand_over(incident_id: int) -> ResponseReturnValue:
    form = HandOverForm(prefix="hand-over-")

    def act() -> str:
        note = (form.note.data or "").strip()
        incident = service.hand_over(incident_id, form.to.data, note=note, **_told(form))
        assert incident.lead is not None
        return f"{incident.lead.name} leads INC-{incident_id} now."

    return _answer(incident_id, "hand_over_form", form, act)


@bp.post("/incidents/<int:incident_id>/escalate")
@requires(Role.RESPONDER)
def escalate(incident_id: int) -> ResponseReturnValue:
    form = EscalateForm(prefix="escalate-")

    def act() -> str:
        note = (form.note.data or "").strip()
        incident = service.escalate(incident_id, form.team.data, note=note, **_told(form))
        to = dict(form.team_names)[form.team.data]
        following.note_escalation(incident.id, to, by=current_actor(), at=now())
        return "The page is on its way."

    return _answer(incident_id, "escalate_form", form, act)


@bp.get("/incidents/<int:incident_id>/runbooks")
@requires(Role.VIEWER)
def choose_runbook(incident_id: int) -> ResponseReturnValue:
    """The runbooks that could be followed, those that its alerts signal first."""
    incident = queries.incident(incident_id)
    return page(
        "incidents/runbooks.html",
        incident=incident,
        found=following.fitting(incident, at=now()),
        followed=runs.open_run_of(incident_id),
        may_respond=_may_respond(),
    )


@bp.post("/incidents/<int:incident_id>/runs")
@requires(Role.RESPONDER)
def start_run(incident_id: int) -> ResponseReturnValue:
    form = StartForm()
    if not form.validate():
        raise RefusedError("Say which runbook to follow.")
    run, replaced = following.start(
        incident_id, form.version_id.data or 0, by=current_actor(), at=now()
    )
    toast(
        f"The run of {replaced.title} is left as it is; you follow {run.runbook_version.title}."
        if replaced
        else "The run has begun."
    )
    # Above the first step, where what its commands need is asked.
    return go(url_for("incidents.detail", incident_id=incident_id, _anchor="run-ask"))


@bp.post("/incidents/<int:incident_id>/model")
@requires(Role.RESPONDER)
def assign_model(incident_id: int) -> ResponseReturnValue:
    form = AssignForm(prefix="assign-")

    def act() -> str:
        incident = service.assign_model(incident_id, form.model.data, **_told(form))
        return f"INC-{incident_id} went to {incident.team.name if incident.team else 'its owners'}."

    return _answer(incident_id, "assign_form", form, act)


@bp.post("/incidents/<int:incident_id>/notes")
@requires(Role.RESPONDER)
def add_note(incident_id: int) -> ResponseReturnValue:
    form = NoteForm()
    if not form.validate():
        return _again(incident_id, "note_form", form)
    service.add_note(
        incident_id, form.text.data or "", key=form.key.data or None, by=current_actor(), at=now()
    )
    toast("Your note is in the timeline.")
    return go(url_for("incidents.detail", incident_id=incident_id, _anchor="timeline"))


@bp.post("/incidents/<int:incident_id>/pages/<bigid:message_id>/retry")
@requires(Role.RESPONDER)
def retry_page(incident_id: int, message_id: int) -> ResponseReturnValue:
    service.retry_page(incident_id, message_id, by=current_actor(), at=now())
    toast("The page is on its way again.")
    return go(url_for("incidents.detail", incident_id=incident_id))


def _told(form: SeenForm) -> dict[str, Any]:
    """What every action tells the service: the version seen, who acts, and when."""
    return {"seen": form.seen.data, "by": current_actor(), "at": now()}


def _answer(
    incident_id: int, name: str, form: SeenForm, act: Callable[[], str]
) -> ResponseReturnValue:
    """Do it and go back to the page; or show the form again, with what stands in the way."""
    if not form.validate():
        return _again(incident_id, name, form)
    try:
        sentence = act()
    except (ConflictError, RefusedError) as error:
        return _again(incident_id, name, form, error)
    toast(sentence)
    return go(url_for("incidents.detail", incident_id=incident_id))


def _again(
    incident_id: int, name: str, form: SeenForm | NoteForm, error: BatonError | None = None
) -> ResponseReturnValue:
    context = _detail(incident_id, **{name: form})
    if error is not None and isinstance(form, SeenForm):
        # They read what changed above the form: the next press is about the incident as it is.
        form.seen.data, form.seen.raw_data = context["incident"].version, None
        context["obstacle"] = error
    context["asking"] = name
    return page("incidents/detail.html", status=error.status if error else 422, **context)


# What other pages say about incidents


def open_of_model(model_id: int) -> Markup:
    """The banner above the page of a model that has an open incident."""
    rows = queries.open_of_models([model_id])
    return _said("open_banner", rows) if rows else Markup()


def open_by_model(model_ids: Sequence[int]) -> Mapping[int, Markup]:
    """For the list of models: the worst open incident of each."""
    of_each: dict[int, list[Any]] = defaultdict(list)
    for row in queries.open_of_models(model_ids):
        of_each[row.model_id].append(row)
    return {model_id: _said("open_cell", rows) for model_id, rows in of_each.items()}


def _said(macro: str, rows: Sequence[Any]) -> Markup:
    written: Any = current_app.jinja_env.get_template("incidents/_open.html").module
    return Markup(getattr(written, macro)(rows))  # noqa: S704 macros escape


def register(app: Flask) -> None:
    """Tell the pages of lower features what this one knows."""
    app.extensions["alert_owners"] = queries.alert_owners
    app.extensions["alertnames_seen"] = queries.alertnames_seen
    app.extensions["incidents_to_try"] = following.to_try
    app.extensions["known_of_incident"] = following.known_of_id
    app.extensions["opened_at_of_run"] = queries.opened_at_of_run
    sensing.register(app)
    add_marks(app, incidents_of)
    add_model_section(app, ModelSection("Incidents", "incidents.of_model"))
    add_model_banner(app, open_of_model)
    add_model_column(app, ModelColumn("Open incidents", open_by_model))
