"""What others send: drift reports, checks of data inputs, files of panels."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import request
from flask_openapi3 import RawModel

from app.core.clock import now
from app.core.errors import (
    BadRequestError,
    BatonError,
    ForbiddenError,
    RefusedError,
    TooLargeError,
)
from app.health import datasets, panel_imports, reports
from app.health.api.blueprint import api
from app.health.panel_files import read_file
from app.health.panel_imports import Plan, SourceStep
from app.health.schemas import (
    ContractQuery,
    ImportOut,
    ImportQuery,
    ProblemOut,
    PushedOut,
    ReportQuery,
    StepOut,
    TakenOut,
)
from app.health.sources.base import UnreadableError
from app.health.sources.drift import is_envelope, own
from app.health.sources.reading import MAX_BYTES, Given, bound, decode, fields, text
from app.people.access import allows, current_actor, current_token

VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
MEDIA = ("json", "yaml", "csv")
SOURCES_SCOPE = "integrations:write"


class UnsupportedMediaError(BatonError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    title = "Not understood"


class ReportBody(RawModel):
    mimetypes = ["application/json", "application/yaml", "text/csv"]


class PanelFileBody(RawModel):
    mimetypes = ["application/yaml", "application/json"]


@api.post("/reports", summary="Send drift or quality reports", responses={200: TakenOut})
@allows("health:write")
def push_reports(query: ReportQuery, raw: ReportBody) -> dict[str, Any]:
    """A document of a tool, one in an envelope, or a list of envelopes.

    All of it is taken, or none with the reason. The same report again changes nothing. The query
    says what the document does not say itself. Azure Event Grid's validation is answered.
    """
    document = _document()
    if code := _validation_code(document):
        return {"validationResponse": code}
    said = query.as_said()
    if direction := said.pop("direction", None):
        document = _with_direction(document, direction)
    taken = reports.push(document, given=_given(said), by=current_actor(), at=now())
    return TakenOut(
        reports=taken.reports,
        models=list(taken.models),
        panels=taken.panels,
        changes=taken.changes,
    ).model_dump(mode="json")


@api.post("/contracts", summary="Send checks of data inputs", responses={200: PushedOut})
@allows("health:write")
def push_contracts(query: ContractQuery, raw: ReportBody) -> dict[str, Any]:
    """The result of a check of a data contract, in the format of its tool or in Baton's own."""
    pushed = datasets.push(_document(), given=_given(query.as_said()), by=current_actor(), at=now())
    return PushedOut(reports=pushed.reports, datasets=list(pushed.datasets)).model_dump(mode="json")


@api.post("/import", summary="Import sources and panels", responses={200: ImportOut})
@allows("health:write")
def import_panels(query: ImportQuery, raw: PanelFileBody) -> dict[str, Any]:
    """Takes a file of the format health/1, as YAML or JSON: all of it, or nothing.

    The same file again changes nothing. With `dry_run=true` nothing is written, and the answer
    lists every problem with its line. A file that adds or changes sources needs a token with
    `integrations:write` too.
    """
    file, problems = read_file(request.get_data(), is_json=request.is_json)
    plan = panel_imports.plan_import(file, problems)
    if not query.dry_run:
        if plan.problems:
            raise RefusedError(" ".join(map(str, plan.problems[:5])))
        if any(step.does != "keep" for step in plan.sources) and not _may_write_sources():
            raise ForbiddenError(
                f"The token {current_token().name} lacks the scope {SOURCES_SCOPE}, which a file "
                "that adds or changes sources takes."
            )
        plan = panel_imports.import_file(file, seen=plan.fingerprint, by=current_actor(), at=now())
    return _planned(plan).model_dump(mode="json")


def _may_write_sources() -> bool:
    return SOURCES_SCOPE in current_token().scopes


def _planned(plan: Plan) -> ImportOut:
    return ImportOut(
        problems=[ProblemOut(line=one.line, sentence=one.sentence) for one in plan.problems],
        created=plan.count("create"),
        changed=plan.count("change"),
        kept=plan.count("keep"),
        steps=[
            StepOut(
                kind="source" if isinstance(step, SourceStep) else "panel",
                name=step.name,
                does=step.does,
                changes=list(step.changes),
            )
            for step in plan.steps
        ],
    )


def _given(said: Mapping[str, Any]) -> Given:
    try:
        return Given(received_at=now()).with_said(said)
    except UnreadableError as error:
        raise BadRequestError(str(error.args[0])) from None


def _document() -> Any:
    """The body, decoded and bounded, with nothing in it that is no number."""
    media = (request.mimetype or "application/json").lower()
    if not any(known in media for known in MEDIA):
        raise UnsupportedMediaError(
            "Send JSON or YAML, and say so: Content-Type: application/json."
        )
    request.max_content_length = MAX_BYTES
    if (request.content_length or 0) > MAX_BYTES:
        raise TooLargeError(f"A report has at most {MAX_BYTES >> 20} MB.")
    try:
        document = decode(request.get_data(), media)
        bound(document)
    except UnreadableError as error:
        raise BadRequestError(str(error.args[0])) from None
    _refuse_no_numbers(document)
    return document


def _refuse_no_numbers(document: Any) -> None:
    """NaN is no number: who means that there is no value has to say so."""
    left: list[tuple[str, Any]] = [("", document)]
    for place, one in left:  # which grows meanwhile
        if isinstance(one, float) and not math.isfinite(one):
            raise BadRequestError(
                f"{text(place) or 'The body'} is NaN or infinite. Send null where there is no value."
            )
        if isinstance(one, dict):
            left += [(str(name), value) for name, value in one.items()]
        elif isinstance(one, list):
            left += [(place, value) for value in one]


def _validation_code(document: Any) -> str | None:
    """The code that Azure Event Grid wants to hear back before it sends anything."""
    if not isinstance(document, list) or len(document) != 1:
        return None
    event = fields(document[0])
    if event.get("eventType") != VALIDATION:
        return None
    code = text(fields(event.get("data")).get("validationCode"))
    if not code:
        raise BadRequestError("Event Grid asks for validation and gives no validationCode.")
    return code


def _with_direction(document: Any, direction: str) -> Any:
    """The side that is outside, for small reports that do not say it. Tools know theirs."""
    if isinstance(document, list):
        return [_with_direction(one, direction) for one in document]
    if is_envelope(document):
        return {**document, "report": _with_direction(document["report"], direction)}
    if not own.fits(document):
        raise BadRequestError(
            "A direction is said only of reports with a method and a value. Those of tools are "
            "read by what the tool means."
        )
    return {"direction": direction, **document}
