"""Runs over JSON, for tokens with the scopes incidents:read and incidents:write."""

from typing import Any

from flask import Response
from flask_openapi3 import APIBlueprint, Tag

from app.core.clock import now
from app.core.errors import RefusedError
from app.people.access import allows, current_actor
from app.runbooks.runs import queries, schemas, service
from app.runbooks.runs.forms import SAYABLE
from app.runbooks.runs.rules import EventKind, Said
from app.runbooks.runs.service import StepMovedError
from app.web.errors import Problem, problem_json

api = APIBlueprint("runs_api", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="Runs")])

BY_NAME = {kind.value: kind for kind in SAYABLE if kind is not EventKind.COPIED}


@api.get(
    "/runs/<int:run_id>/events",
    summary="Where a run stands, and what happened in it",
    responses={200: schemas.RunOut},
)
@allows("incidents:read")
def events(path: schemas.RunPath, query: schemas.EventsQuery) -> dict[str, Any]:
    followed = queries.followed(path.run_id)
    return schemas.RunOut.of(followed, query.since).model_dump(mode="json")


@api.post(
    "/runs/<int:run_id>/events",
    summary="Say what happened at a step",
    responses={200: schemas.Taken},
)
@allows("incidents:write")
def add(path: schemas.RunPath, body: schemas.EventBody) -> Any:
    """Kept once. 409 if somebody moved the step since `seen`: `standing` says how it stands."""
    kind = BY_NAME.get(body.kind)
    if kind is None:
        raise RefusedError(f"The kind is one of {', '.join(BY_NAME)}.")
    if kind is EventKind.NOTED and not body.note.strip():
        raise RefusedError("A note needs words.")
    try:
        taken = service.add(
            path.run_id,
            Said(kind, body.step, body.seen, body.detail()),
            client_event_id=body.client_event_id,
            by=current_actor(),
            at=now(),
            said_at=body.said_at,
        )
    except StepMovedError as moved:
        return _moved(path.run_id, body.step, moved)
    return schemas.Taken(
        event=schemas.EventOut.of(taken.event),
        again=taken.again,
        run=schemas.RunOut.of(taken.followed, taken.event.seq),
    ).model_dump(mode="json")


def _moved(run_id: int, step_id: str, moved: StepMovedError) -> Response:
    step = queries.followed(run_id).plan.get(step_id)
    number, title = (step.number, step.title) if step else (0, "")
    standing = schemas.StandingOut.of(step_id, number, title, moved.standing)
    problem = Problem(int(moved.status), moved.title, moved.sentence)
    return problem_json(problem, standing=standing.model_dump(mode="json"))
