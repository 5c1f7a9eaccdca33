"""Pages to review versions, and the buttons that move them."""

from flask import url_for
from flask.typing import ResponseReturnValue

from app.core.clock import now
from app.core.errors import RefusedError
from app.people.access import current_actor, current_person, requires
from app.people.rules import Role
from app.runbooks import checking, drafts, publishing, queries, reviewing
from app.runbooks.compare import line_diff
from app.runbooks.drafts import text_to_edit
from app.runbooks.forms import ReasonForm, ReviewForm
from app.runbooks.lint.findings import Level
from app.runbooks.rules import Status, Verdict, refusal_to_approve
from app.runbooks.tables import RunbookVersion
from app.runbooks.views.blueprint import bp
from app.web.parts import go, page
from app.web.toast import toast


@bp.get("/runbooks/reviews")
@requires(Role.VIEWER)
def reviews() -> ResponseReturnValue:
    """What waits for a second person, what waits for its author, and what is being written."""
    return page("runbooks/review_list.html", open=reviewing.open_reviews(), me=current_person())


@bp.get("/runbooks/<slug>/v<int:number>/review")
@requires(Role.VIEWER)
def review(slug: str, number: int) -> ResponseReturnValue:
    return _review_page(queries.version(slug, number), ReviewForm(formdata=None))


@bp.post("/runbooks/<slug>/v<int:number>/review")
@requires(Role.MAINTAINER)
def say(slug: str, number: int) -> ResponseReturnValue:
    """Approve, approve and publish, or ask for changes."""
    found, form = queries.version(slug, number), ReviewForm()
    said = form.verdict.data or ""
    if not form.validate() or said not in ("approved", "publish", "changes"):
        return _review_page(found, form, status=422)
    verdict = Verdict.CHANGES if said == "changes" else Verdict.APPROVED
    try:
        publishing.review(found.id, verdict, form.comment.data or "", by=current_actor(), at=now())
        if said == "publish":
            publishing.publish(found.id, by=current_actor(), at=now())
    except RefusedError as refused:
        form.form_errors = [*form.form_errors, refused.sentence]
        return _review_page(queries.version(slug, number), form, status=422)
    done = {
        "approved": f"v{number} is approved.",
        "publish": f"v{number} is approved and published.",
        "changes": f"v{number} is back with {found.author}.",
    }
    toast(done[said])
    return go(url_for("runbooks.reviews" if said != "publish" else "runbooks.detail", slug=slug))


@bp.post("/runbooks/<slug>/v<int:number>/publish")
@requires(Role.MAINTAINER)
def publish(slug: str, number: int) -> ResponseReturnValue:
    version = queries.version(slug, number)
    publishing.publish(
        version.id, emergency_reason=ReasonForm().words(), by=current_actor(), at=now()
    )
    toast(f"v{number} is published.")
    return go(url_for("runbooks.detail", slug=slug))


@bp.post("/runbooks/<slug>/v<int:number>/drop")
@requires(Role.MAINTAINER)
def drop(slug: str, number: int) -> ResponseReturnValue:
    version = queries.version(slug, number)
    publishing.drop(version.id, ReasonForm().words(), by=current_actor(), at=now())
    toast(f"v{number} is given up. It can still be read.")
    return go(url_for("runbooks.detail", slug=slug))


@bp.post("/runbooks/<slug>/v<int:number>/revert")
@requires(Role.MAINTAINER)
def revert(slug: str, number: int) -> ResponseReturnValue:
    older = queries.version(slug, number)
    made = publishing.revert_to(
        older.id, emergency_reason=ReasonForm().words(), by=current_actor(), at=now()
    )
    if made.runbook.published_id == made.id:
        toast(f"v{made.number} says what v{number} said, and is published.")
        return go(url_for("runbooks.detail", slug=slug))
    toast(f"v{made.number} says what v{number} said. A second person has to approve it.")
    return go(url_for("runbooks.review", slug=slug, number=made.number))


@bp.post("/runbooks/<slug>/retire")
@requires(Role.MAINTAINER)
def retire(slug: str) -> ResponseReturnValue:
    publishing.retire(slug, ReasonForm().words(), by=current_actor(), at=now())
    toast(f"{slug} is retired. No alert leads to it any more.")
    return go(url_for("runbooks.detail", slug=slug))


@bp.post("/runbooks/<slug>/bring-back")
@requires(Role.MAINTAINER)
def bring_back(slug: str) -> ResponseReturnValue:
    publishing.bring_back(slug, by=current_actor(), at=now())
    toast(f"{slug} is in use again.")
    return go(url_for("runbooks.detail", slug=slug))


def _review_page(
    version: RunbookVersion, form: ReviewForm, *, status: int = 200
) -> ResponseReturnValue:
    runbook, by = version.runbook, current_actor()
    before = reviewing.before(version)
    checked = checking.check(runbook.slug, version.source, before, today=now().date())
    event = queries.last_event(version.id)
    assert event is not None  # written with the version
    is_emergency = reviewing.waits_as_emergency(version)
    return page(
        "runbooks/review.html",
        status=status,
        version=version,
        runbook=runbook,
        before=before,
        checked=checked,
        hunks=line_diff(
            text_to_edit(before.source) if before else "", text_to_edit(version.source)
        ),
        event=event,
        events=reviewing.events_of(version.id),
        reviews=reviewing.reviews_of(version.id),
        is_emergency=is_emergency,
        is_open=is_emergency or event.status is Status.IN_REVIEW,
        why_not_mine=refusal_to_approve(
            writers=drafts.writers_of(version), actor_id=publishing.person(by)
        ),
        hurdle=reviewing.hurdle(version, checked, by),
        approved_hurdle=checking.refusal_by_findings(len(checked.errors)),
        form=form,
        Level=Level,
        Status=Status,
        Verdict=Verdict,
    )
