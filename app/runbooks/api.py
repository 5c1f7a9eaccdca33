"""Runbooks as JSON."""

from typing import Any

from flask import url_for
from flask_openapi3 import APIBlueprint, Tag

from app.core.clock import now
from app.people.access import allows, current_actor
from app.runbooks import checking, drafts, publishing, queries, schemas, tables
from app.runbooks.drafts import EditedMeanwhileError
from app.runbooks.queries import RunbookFilter
from app.runbooks.rules import Status, failure_mode_key
from app.web.errors import Problem, problem_json

api = APIBlueprint("runbooks_api", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="Runbooks")])


@api.get("/runbooks", summary="Runbooks by title", responses={200: schemas.Runbooks})
@allows("runbooks:read")
def runbooks(query: schemas.RunbookQuery) -> dict[str, Any]:
    wanted = RunbookFilter(query.search, failure_mode_key(query.failure_mode), query.owner)
    found = queries.runbook_list(wanted, after=query.cursor, size=query.limit)
    items = [schemas.Runbook.of(line) for line in found.items]
    return schemas.Runbooks(items=items, next=found.next).model_dump(mode="json")


@api.get(
    "/runbooks/<slug>",
    summary="One runbook, its versions, and in full the one in force",
    responses={200: schemas.WholeRunbook},
)
@allows("runbooks:read")
def runbook(path: schemas.BySlug) -> dict[str, Any]:
    version = queries.current(path.slug)
    lines = queries.versions(version.runbook_id, limit=1000)
    source = queries.source(path.slug, version.number)
    return schemas.WholeRunbook.of(version, lines, source).model_dump(mode="json")


@api.get(
    "/runbooks/<slug>/versions/<int:number>",
    summary="One version of a runbook",
    responses={200: schemas.Version},
)
@allows("runbooks:read")
def version(path: schemas.ByNumber) -> dict[str, Any]:
    found = queries.version(path.slug, path.number)
    event = queries.last_event(found.id)
    assert event is not None  # written with the version
    source = queries.source(path.slug, path.number)
    return schemas.Version.of(found, event.status, source).model_dump(mode="json")


# --- Writing


@api.post("/runbooks", summary="Begin a runbook from a template", responses={201: schemas.Draft})
@allows("runbooks:write")
def begin(body: schemas.NewRunbook) -> Any:
    new = drafts.NewRunbook(
        body.slug, body.title, failure_mode_key(body.failure_mode), body.owner, tuple(body.models)
    )
    begun = drafts.begin(new, by=current_actor(), at=now())
    url = url_for("runbooks_api.runbook", slug=begun.runbook.slug)
    return _draft(begun.runbook.slug), 201, {"Location": url}


@api.get(
    "/runbooks/<slug>/draft",
    summary="The draft, or the text that one begins from",
    responses={200: schemas.Draft},
)
@allows("runbooks:read")
def draft(path: schemas.BySlug) -> dict[str, Any]:
    return _draft(path.slug)


@api.put(
    "/runbooks/<slug>/draft",
    summary="Save the draft; 409 with their text if somebody else did meanwhile",
    responses={200: schemas.Draft},
)
@allows("runbooks:write")
def save_draft(path: schemas.BySlug, body: schemas.DraftBody) -> Any:
    try:
        drafts.save(
            path.slug,
            body.source,
            body.message,
            body.version,
            base=body.base,
            by=current_actor(),
            at=now(),
        )
    except EditedMeanwhileError as error:
        return _conflict(error)
    return _draft(path.slug)


@api.delete("/runbooks/<slug>/draft", summary="Discard the draft", responses={204: None})
@allows("runbooks:write")
def discard_draft(path: schemas.BySlug, query: schemas.SeenDraft) -> Any:
    drafts.discard(path.slug, query.version, by=current_actor(), at=now())
    return "", 204


@api.post(
    "/runbooks/<slug>/draft/review",
    summary="Make a version of the draft and ask for a review",
    responses={201: schemas.Version},
)
@allows("runbooks:write")
def ask_for_review(path: schemas.BySlug, body: schemas.SeenDraft) -> Any:
    try:
        made = publishing.ask_for_review(path.slug, body.version, by=current_actor(), at=now())
    except EditedMeanwhileError as error:
        return _conflict(error)
    return _made(made)


@api.post(
    "/runbooks/<slug>/draft/publish",
    summary="Make a version of the draft and publish it",
    responses={201: schemas.Version},
)
@allows("runbooks:write")
def publish_draft(path: schemas.BySlug, body: schemas.PublishDraft) -> Any:
    try:
        made = publishing.publish_draft(
            path.slug,
            body.version,
            emergency_reason=body.emergency_reason,
            by=current_actor(),
            at=now(),
        )
    except EditedMeanwhileError as error:
        return _conflict(error)
    return _made(made)


@api.post(
    "/runbooks/<slug>/versions/<int:number>/review",
    summary="Ask for changes; approving takes a person",
    responses={200: schemas.Review},
)
@allows("runbooks:write")
def review(path: schemas.ByNumber, body: schemas.ReviewBody) -> dict[str, Any]:
    found = queries.version(path.slug, path.number)
    said = publishing.review(found.id, body.verdict, body.comment, by=current_actor(), at=now())
    return schemas.Review(
        version=path.number,
        verdict=said.verdict,
        comment=said.comment,
        by=said.by,
        at=said.at,
        status=_status(found.id),
    ).model_dump(mode="json")


@api.post(
    "/runbooks/<slug>/versions/<int:number>/publish",
    summary="Publish a version that waits",
    responses={200: schemas.Version},
)
@allows("runbooks:write")
def publish(path: schemas.ByNumber, body: schemas.PublishBody) -> dict[str, Any]:
    found = queries.version(path.slug, path.number)
    publishing.publish(
        found.id, emergency_reason=body.emergency_reason, by=current_actor(), at=now()
    )
    return _version(path.slug, path.number)


@api.post(
    "/runbooks/<slug>/versions/<int:number>/drop",
    summary="Give up a version that was never published",
    responses={200: schemas.Version},
)
@allows("runbooks:write")
def drop(path: schemas.ByNumber, body: schemas.ReasonBody) -> dict[str, Any]:
    found = queries.version(path.slug, path.number)
    publishing.drop(found.id, body.reason, by=current_actor(), at=now())
    return _version(path.slug, path.number)


@api.post(
    "/runbooks/<slug>/versions/<int:number>/revert",
    summary="Make a new version of an older text",
    responses={201: schemas.Version},
)
@allows("runbooks:write")
def revert(path: schemas.ByNumber, body: schemas.PublishBody) -> Any:
    older = queries.version(path.slug, path.number)
    return _made(
        publishing.revert_to(
            older.id, emergency_reason=body.emergency_reason, by=current_actor(), at=now()
        )
    )


@api.post("/runbooks/<slug>/retire", summary="Take it out of use", responses={200: schemas.Retired})
@allows("runbooks:write")
def retire(path: schemas.BySlug, body: schemas.ReasonBody) -> dict[str, Any]:
    return _retired(publishing.retire(path.slug, body.reason, by=current_actor(), at=now()))


@api.post(
    "/runbooks/<slug>/bring-back",
    summary="Put a retired runbook into use again",
    responses={200: schemas.Retired},
)
@allows("runbooks:write")
def bring_back(path: schemas.BySlug) -> dict[str, Any]:
    return _retired(publishing.bring_back(path.slug, by=current_actor(), at=now()))


def _draft(slug: str) -> dict[str, Any]:
    opened = drafts.open_draft(slug)
    findings = checking.findings_of(slug, opened.source.encode(), today=now().date())
    return schemas.Draft.of(opened, findings).model_dump(mode="json")


def _conflict(error: EditedMeanwhileError) -> Any:
    """Their text comes with the refusal; whoever asked still has their own."""
    problem = Problem(int(error.status), error.title, error.sentence)
    return problem_json(problem, theirs=error.theirs.source, version=error.theirs.version)


def _version(slug: str, number: int) -> dict[str, Any]:
    found = queries.version(slug, number)
    source = queries.source(slug, number)
    return schemas.Version.of(found, _status(found.id), source).model_dump(mode="json")


def _made(version: tables.RunbookVersion) -> Any:
    slug, number = version.runbook.slug, version.number
    url = url_for("runbooks_api.version", slug=slug, number=number)
    return _version(slug, number), 201, {"Location": url}


def _status(version_id: int) -> Status:
    event = queries.last_event(version_id)
    assert event is not None  # written with the version
    return event.status


def _retired(runbook: tables.Runbook) -> dict[str, Any]:
    published = runbook.published
    return schemas.Retired(
        slug=runbook.slug,
        retired_at=runbook.retired_at,
        published=published.number if published else None,
    ).model_dump(mode="json")
