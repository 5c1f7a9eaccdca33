"""The pages of a run: alone at /runs/12, and as parts within the page of its incident.

Every form works by itself and leads back to the page. A script sends the same forms with
`HX-Request` and gets the changed column; what it could not send it keeps, and sends later with the
same `client_event_id`.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app, make_response, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import CombinedMultiDict

from app.core.clock import now
from app.core.db import unit_of_work
from app.core.errors import BatonError, RefusedError
from app.people.access import current_actor, current_person, person_if_any, public, requires
from app.people.rules import Role
from app.runbooks.runs import queries, service
from app.runbooks.runs.commands import command
from app.runbooks.runs.forms import (
    AnswerForm,
    EndForm,
    EventForm,
    HereForm,
    SwitchForm,
    faults_of,
    given,
    verdicts,
)
from app.runbooks.runs.queries import Followed
from app.runbooks.runs.rules import NONE_OF_THESE, SKIP_REASONS, EventKind, Mode, Said
from app.runbooks.runs.service import StepMovedError, Taken
from app.runbooks.runs.showing import ShownRun, ShownStep, shown
from app.runbooks.runs.telling import WHAT
from app.web.assets import FOLDER, content_hash
from app.web.kept import Kept
from app.web.navigation import INCIDENT, url_if_there
from app.web.parts import go, is_htmx, live, page
from app.web.toast import toast

bp = Blueprint("runs", __name__, template_folder="templates")

PARTS = ("live", "column", "people")
ROWS = Kept(4_000)
SAID = {
    EventKind.OPENED: "Step {} is open.",
    EventKind.DONE: "Step {} is done.",
    EventKind.FAILED: "Step {} is marked failed.",
    EventKind.SKIPPED: "Step {} is skipped.",
    EventKind.DECIDED: "Step {} is answered.",
    EventKind.WAITING: "The timer of step {} runs.",
    EventKind.TAKEN_BACK: "Step {} is taken back.",
    EventKind.NOTED: "Your note is in the timeline.",
}


# --- Reading


@bp.app_template_global("kept_row")
def kept_row(step: ShownStep, run: ShownRun, make: Callable[[ShownStep, ShownRun], str]) -> str:
    """The row of a step. Most rest, and are the same on the next page of the same run."""
    return ROWS.get(step.kept_by, lambda: make(step, run)) if step.is_quiet else make(step, run)


@bp.get("/runs/<int:run_id>")
@requires(Role.VIEWER)
def detail(run_id: int) -> ResponseReturnValue:
    return page("runs/detail.html", **context(run_id))


@bp.get("/runs/<int:run_id>/part/<part>")
@requires(Role.VIEWER)
def part(run_id: int, part: str) -> ResponseReturnValue:
    """A part of the page. `live` and `people` hold no field; the script takes `column` over."""
    found = context(run_id)
    if part == "column":
        found |= _news(found["run"])
    return live("runs/parts.html", part=part if part in PARTS else "live", **found)


@bp.get("/runs/<int:run_id>/print")
@requires(Role.VIEWER)
def printed(run_id: int) -> ResponseReturnValue:
    return page("runs/print.html", **context(run_id))


def context(run_id: int, followed: Followed | None = None, **more: Any) -> dict[str, Any]:
    """What the templates of a run need, on its own page or within another."""
    person = person_if_any()
    at = now()
    may_act = person is not None and person.role.covers(Role.RESPONDER)
    run = shown(run_id, at=at, reader=person, may_act=may_act, followed=followed,
                opened_at=_opened_at(run_id, more.pop("opened_at", None)))  # fmt: skip
    found: dict[str, Any] = {
        "run": run,
        "at": at,
        "what_happened": WHAT,
        "skip_reasons": SKIP_REASONS,
        "fresh_id": lambda: secrets.token_hex(12),
        "at_step": request.args.get("note", "")[:80],
    }
    return found | more


# Of what comes after one of these a page needs all anew.
TURNS = (EventKind.SWITCHED, EventKind.ENDED)


def _news(run: ShownRun) -> dict[str, Any]:
    """The steps that changed since what the script has: fifty pages ask for them after each tick.

    The script says what it has in `X-Known`; one that does not say gets all steps.
    """
    known = request.headers.get("X-Known", "")
    if not known.isdecimal():
        return {}
    events = run.followed.events
    if any(event.kind in TURNS for event in events if event.seq > int(known)):
        return {}
    then = queries.stand(run.run, [event for event in events if event.seq <= int(known)])
    before = {step.id: step.stamp for step in replace(run, followed=then).steps}
    return {"only": {step.id for step in run.steps if before.get(step.id) != step.stamp}}


def _opened_at(run_id: int, known: Any) -> Any:
    """From when on the time to escalation runs. Incidents belong to a feature above."""
    if known is not None:
        return known
    ask: Callable[[int], Any] | None = current_app.extensions.get("opened_at_of_run")
    return ask(run_id) if ask else None


# --- Answering


@bp.post("/runs/<int:run_id>/steps/<step_id>")
@requires(Role.RESPONDER)
def answer(run_id: int, step_id: str) -> ResponseReturnValue:
    # Buttons that share a form say in their address what they saw.
    form = AnswerForm(CombinedMultiDict([request.form, request.args]))
    if not form.validate():
        return _asked_again(run_id, step_id, form, RefusedError(_sentence(form)))
    if _asks_first(form):
        return _again(run_id, step_id, form, asking=form.wanted.value, status=422)
    try:
        taken = _take(run_id, step_id, form)
    except (StepMovedError, RefusedError) as error:
        return _asked_again(run_id, step_id, form, error)
    return _answered(run_id, taken)


def _asks_first(form: AnswerForm) -> bool:
    """Problem and Skip are asked about; a browser without a script sends the bare button first."""
    if form.wanted is EventKind.FAILED:
        return not form.what.data
    return form.wanted is EventKind.SKIPPED and not form.why


def _sentence(form: AnswerForm) -> str:
    if form.note.errors:
        return "A note has at most 4,000 characters. Shorten it; it is kept below."
    return "Baton could not read this answer. Press the button again."


def _take(run_id: int, step_id: str, form: AnswerForm) -> Taken:
    said = form.as_said(step_id)
    if said.kind is EventKind.NOTED and not form.text:
        raise RefusedError("A note needs words.")
    if said.kind is EventKind.COPIED:
        said = _copied(run_id, step_id, form)
    key = form.client_event_id.data or secrets.token_hex(12)
    who: Any = {"client_event_id": key, "by": current_actor(), "at": now(), "said_at": form.when}
    try:
        return service.add(run_id, said, **who)
    except StepMovedError as moved:
        if not _knew(run_id, moved.standing.seq, key):
            raise
        known = Said(said.kind, said.step_id, moved.standing.seq, said.detail)
        return service.add(run_id, known, **who)


def _knew(run_id: int, seq: int, key: str) -> bool:
    """Whether the same page of the same browser moved the step itself, further up its queue.

    Its ids are made of its own name, a dot and a number: what it said offline it knew, though it
    could not know the `seq` of it.
    """
    client, dot, number = key.rpartition(".")
    moved_by = queries.events(run_id, since=seq - 1)[:1]
    if not dot or not moved_by:
        return False
    other, _, earlier = moved_by[0].client_event_id.rpartition(".")
    in_order = number.isdecimal() and earlier.isdecimal() and int(earlier) < int(number)
    return other == client and in_order


def _copied(run_id: int, step_id: str, form: AnswerForm) -> Said:
    """What was copied, as the server fills it in: with secrets masked."""
    run = shown(run_id, at=now(), reader=None, may_act=True)
    step = next((one for one in run.steps if one.id == step_id), None)
    blocks = step.parts["blocks"] if step else []
    index = form.command.data if form.command.data is not None else -1
    if step is None or not 0 <= index < len(blocks) or blocks[index]["kind"] != "command":
        raise RefusedError("The version that is followed has no such command.")
    if step.closed:
        raise RefusedError(step.closed)
    if step.risky and (form.typed.data or "").strip() != run.confirm:
        raise RefusedError(f"Type {run.confirm} to copy it.")
    found = command(blocks[index], index, run.values, run.said.variables)
    detail = {"name": found.name, "text": found.filled.shown}
    return Said(EventKind.COPIED, step_id, detail=detail)


def _answered(run_id: int, taken: Taken) -> ResponseReturnValue:
    event, followed = taken.event, taken.followed
    step = followed.plan.get(event.step_id)
    number = step.number if step else "?"
    asks_for_help = event.kind is EventKind.DECIDED and event.detail["option"] == NONE_OF_THESE
    lost = event.kind is EventKind.FAILED and not event.detail.get("goes_to")
    if is_htmx() and request.headers.get("X-Quiet"):
        return Response(status=204)  # one of many, sent late: the page asks once for all of them
    if event.kind in SAID and not is_htmx():
        toast(SAID[event.kind].format(number))
    if (asks_for_help or lost) and followed.run.mode is Mode.DRILL:
        toast("Here somebody would be paged. In a drill nobody is.")
    then = "escalate" if (asks_for_help or lost) and followed.run.incident_id else ""
    if is_htmx():
        found = context(run_id, followed)
        response = page("runs/detail.html", "column", **found, **_news(found["run"]))
        if then:
            response.headers["X-Then"] = then
        if event.kind in SAID:
            response.headers["X-Said"] = SAID[event.kind].format(number)
        return response
    return go(_back(followed, then or (f"s{_where_to(followed, number)}")))


def _where_to(followed: Followed, otherwise: Any) -> Any:
    step = followed.plan.get(followed.state.current)
    return step.number if step else otherwise


def _back(followed: Followed, anchor: str | None = None) -> str:
    """The page that the person came from: the incident's, or the run's own."""
    run = followed.run
    alone = urlsplit(request.referrer or "").path.startswith("/runs/")
    if run.incident_id is not None and (not alone or anchor == "escalate"):
        page_of_it = url_if_there(INCIDENT, incident_id=run.incident_id, _anchor=anchor)
        if page_of_it:
            return page_of_it
    return url_for("runs.detail", run_id=run.id, _anchor=anchor)


def _asked_again(
    run_id: int, step_id: str, form: AnswerForm, error: BatonError
) -> ResponseReturnValue:
    """The step as it is now, with what stands in the way; what they typed stays."""
    return _again(run_id, step_id, form, obstacle=error, status=int(error.status))


def _again(
    run_id: int, step_id: str, form: AnswerForm, status: int, **more: Any
) -> ResponseReturnValue:
    found = context(run_id, **more)
    found |= {"at_step": step_id, "typed": form.text or form.why, "form": form}
    found["step_asked"] = _step(found["run"], step_id)
    return page("runs/detail.html", "column", status, **found)


def _step(run: ShownRun, step_id: str) -> ShownStep | None:
    return next((step for step in run.steps if step.id == step_id), None)


# --- Values


@bp.post("/runs/<int:run_id>/values")
@requires(Role.RESPONDER)
def values(run_id: int) -> ResponseReturnValue:
    form = EventForm()
    found = context(run_id)
    run: ShownRun = found["run"]
    typed = given(request.form, "value")
    faults = faults_of(typed, run.said.variables)
    if not form.validate() or faults or not typed:
        found |= {"faults": faults, "typed_values": typed, "asking": "values"}
        if not typed:
            found["faults"] = {one.name: "This is needed before step 1." for one in run.missing}
        return page("runs/detail.html", "column", 422, **found)
    key = form.client_event_id.data or secrets.token_hex(12)
    changed = {name: text for name, text in typed.items() if run.values.get(name) != text}
    with unit_of_work():
        for name, text in changed.items():
            service.fill(
                run_id, name, text,
                client_event_id=f"{key}-{name}"[:64], by=current_actor(), at=now(),
            )  # fmt: skip
    if not is_htmx():
        toast("The values are filled in.")
    return _changed(run_id)


def _changed(run_id: int, anchor: str | None = None) -> ResponseReturnValue:
    if is_htmx():
        return page("runs/detail.html", "column", **context(run_id))
    return go(_back(queries.followed(run_id), anchor))


# --- Another version, and the end


@bp.post("/runs/<int:run_id>/switch")
@requires(Role.RESPONDER)
def switch(run_id: int) -> ResponseReturnValue:
    form = SwitchForm()
    if not form.validate():
        raise RefusedError("Say which version to go on with.")
    taken = service.switch(
        run_id,
        form.version_id.data or 0,
        client_event_id=form.client_event_id.data or secrets.token_hex(12),
        by=current_actor(),
        at=now(),
    )
    again = taken.event.detail.get("check_again", [])
    checked = [step for step in again if taken.followed.state.of(step).check_again]
    more = f" {_steps(len(checked))} to check again." if checked else ""
    toast(f"This run follows v{taken.event.detail['to']} now.{more}")
    return _changed(run_id)


def _steps(count: int) -> str:
    return "1 step that was done is" if count == 1 else f"{count} steps that were done are"


@bp.post("/runs/<int:run_id>/end")
@requires(Role.RESPONDER)
def end(run_id: int) -> ResponseReturnValue:
    form = EndForm()
    form.validate()
    waived = given(request.form, "waive")
    try:
        service.end(
            run_id,
            {step_id: reason[:500] for step_id, reason in waived.items()},
            leave=bool(form.leave.data),
            client_event_id=form.client_event_id.data or secrets.token_hex(12),
            by=current_actor(),
            at=now(),
        )
    except RefusedError as error:
        found = context(run_id, obstacle=error, at_step="finish", waived=waived)
        return page("runs/detail.html", "column", int(error.status), **found)
    toast("The run is left as it is." if form.leave.data else "The run is finished.")
    return _changed(run_id, "run-finish")


@bp.post("/runs/<int:run_id>/feedback")
@requires(Role.RESPONDER)
def feedback(run_id: int) -> ResponseReturnValue:
    """What worked, what was wrong and what was unclear, per step. The last word counts."""
    form = EventForm()
    form.validate()
    key = form.client_event_id.data or secrets.token_hex(12)
    spoken = verdicts(request.form)
    with unit_of_work():
        for number, (step_id, verdict, note) in enumerate(spoken):
            detail = {"verdict": verdict, "note": note}
            service.add(
                run_id, Said(EventKind.FEEDBACK, step_id, detail=detail),
                client_event_id=f"{key}-{number}", by=current_actor(), at=now(),
            )  # fmt: skip
    toast("Thank you. Whoever edits the runbook next reads it." if spoken else "Nothing said.")
    return _changed(run_id, "run-finish")


# --- Presence


@bp.post("/runs/<int:run_id>/here")
@requires(Role.VIEWER)
def here(run_id: int) -> ResponseReturnValue:
    """Somebody looks at the run; or takes a step on for ten minutes, which stops nobody."""
    form = HereForm()
    form.validate()
    claim = {"yes": True, "no": False}.get(form.claim.data or "")
    if claim is not None and not current_person().role.covers(Role.RESPONDER):
        claim = None
    service.look(run_id, form.step.data or None, claim=claim, by=current_actor(), at=now())
    if claim is None:
        return Response(status=204)
    return _changed(run_id)


# --- The script that keeps runs for offline


@bp.get("/sw.js")
@public
def service_worker() -> ResponseReturnValue:
    """From the root, because it keeps pages of incidents and of runs alike.

    The hash of the static files stands in it, so that a new release is a new worker.
    """
    release = _release()
    script = (FOLDER / "sw.js").read_text().replace("__RELEASE__", release)
    response = make_response(script)
    response.mimetype = "text/javascript"
    response.headers["Cache-Control"] = "no-cache"
    return response


def _release() -> str:
    found = re.search(r"/v-([^/]+)/", url_for("static", filename="js/run.js"))
    return found[1] if found else content_hash(FOLDER)
