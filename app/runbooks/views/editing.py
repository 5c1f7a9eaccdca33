"""Pages to write runbooks: the editor with its checks and preview, and beginning a new one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from flask import Response, jsonify, redirect, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from app.core.clock import now
from app.core.errors import BatonError, ConflictError, RefusedError
from app.people.access import current_actor, requires
from app.people.rules import Role
from app.registry import queries as registry
from app.runbooks import checking, drafts, previewing, publishing, queries, reviewing, service
from app.runbooks.checking import Checked
from app.runbooks.compare import Hunk, line_diff
from app.runbooks.drafts import EditedMeanwhileError, OpenDraft
from app.runbooks.forms import NewRunbookForm, ReasonForm, SeenForm, SourceForm
from app.runbooks.front_matter import facts
from app.runbooks.lint.findings import Finding, Level, apply
from app.runbooks.previewing import Choice
from app.runbooks.publishing import Hurdle
from app.runbooks.rules import Status, Verdict
from app.runbooks.runs import queries as runs
from app.runbooks.runs.queries import Remark
from app.runbooks.runs.rules import PlanStep
from app.runbooks.tables import Draft, Review
from app.runbooks.views.blueprint import bp
from app.runbooks.views.reading import Reading
from app.web.errors import Problem, problem_json, wants_json
from app.web.parts import go, is_htmx, page
from app.web.toast import toast

STILL_AT_IT = timedelta(minutes=5)  # since somebody saved: drafts are saved every few seconds
NOTHING_SAID = facts({})


@dataclass(frozen=True, slots=True)
class Conflict:
    """Somebody else saved first: both texts, and where they differ."""

    sentence: str
    theirs: OpenDraft
    hunks: list[Hunk]  # from theirs to mine


@dataclass(frozen=True, slots=True)
class Written:
    """The text in the editor, with all that is said of it."""

    checked: Checked | None
    preview: Reading | None
    unreadable: str | None  # why it can't be checked or shown
    hurdle: Hurdle | None  # why it can't be published
    fillings: Sequence[Choice]  # what the preview can be filled with
    empty: Sequence[str] = ()  # variables that have no value in the preview

    @property
    def findings(self) -> list[Finding]:
        """Errors first, then from the top."""
        found = self.checked.findings if self.checked else ()
        return sorted(found, key=lambda one: (one.level is not Level.ERROR, one.line))


# --- A new runbook


@bp.route("/runbooks/new", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def new() -> ResponseReturnValue:
    mode = request.args.get("mode", "")
    form = NewRunbookForm(failure_mode=mode, slug=mode.replace("_", "-"))
    form.offer(set(queries.failure_modes_in_use()), _teams())
    status = 200
    if form.validate_on_submit():
        try:
            begun = drafts.begin(form.as_new_runbook(), by=current_actor(), at=now())
        except (ConflictError, RefusedError) as error:
            form.form_errors = [*form.form_errors, error.sentence]
            status = int(error.status)
        else:
            toast("The draft is kept. Nobody is sent to it until it is published.")
            return go(url_for("runbooks.edit", slug=begun.runbook.slug))
    elif form.is_submitted():
        status = 422
    return page("runbooks/edit_new.html", part="form", status=status, form=form)


# --- The editor


@bp.get("/runbooks/<slug>/edit")
@requires(Role.MAINTAINER)
def edit(slug: str) -> ResponseReturnValue:
    start = request.args.get("from", type=int)
    opened = drafts.open_draft(slug, start=start)
    return _editor(opened, opened.source, opened.message)


@bp.post("/runbooks/<slug>/edit")
@requires(Role.MAINTAINER)
def save_draft(slug: str) -> ResponseReturnValue:
    """Save the draft; the browser's script asks for JSON and goes on typing."""
    form = SourceForm()
    by_script = wants_json()
    try:
        draft = _save(slug, form, write_ids="typing" not in request.args)
    except EditedMeanwhileError as error:
        return _told_of_conflict(error) if by_script else _conflict(form, error)
    except RefusedError as error:
        if by_script:
            raise
        return _again(slug, form, error)
    if by_script:
        return _saved(draft, form)
    toast("The draft is saved.")
    return redirect(url_for("runbooks.edit", slug=slug), 303)


@bp.post("/runbooks/<slug>/edit/preview")
@requires(Role.MAINTAINER)
def preview(slug: str) -> ResponseReturnValue:
    """Check and show the text at hand. Nothing is saved."""
    form = SourceForm()
    return _editor(drafts.open_draft(slug), form.text(), form.words(), form=form)


@bp.post("/runbooks/<slug>/edit/fix")
@requires(Role.MAINTAINER)
def fix(slug: str) -> ResponseReturnValue:
    """Apply one of the fixes that the checks offer. Nothing is saved."""
    form = SourceForm()
    source = form.text().encode()
    asked = request.form.get("fix", "")
    opened = drafts.open_draft(slug)
    found = next(
        (
            one.fix
            for one in checking.findings_of(slug, source, today=now().date())
            if one.fix and f"{one.rule}:{one.line}" == asked
        ),
        None,
    )
    if found is None:
        sentence = "The text has changed since it was checked. Look at the new findings."
        return _editor(opened, form.text(), form.words(), form=form, sentence=sentence, status=409)
    fixed = apply(source, [found]).decode()
    return _editor(opened, fixed, form.words(), form=form)


@bp.post("/runbooks/<slug>/edit/discard")
@requires(Role.MAINTAINER)
def discard(slug: str) -> ResponseReturnValue:
    drafts.discard(slug, SeenForm().seen_version(), by=current_actor(), at=now())
    toast("The draft is discarded.")
    return go(url_for("runbooks.detail", slug=slug))


@bp.post("/runbooks/<slug>/edit/catch-up")
@requires(Role.MAINTAINER)
def catch_up(slug: str) -> ResponseReturnValue:
    """Bring what was published meanwhile into the draft."""
    form = SourceForm()
    try:
        done = drafts.catch_up(
            slug, form.text(), form.words(), form.seen_version(), by=current_actor(), at=now()
        )
    except EditedMeanwhileError as error:
        return _conflict(form, error)
    except RefusedError as error:
        return _again(slug, form, error)
    if done.conflicts:
        where = " and ".join(done.conflicts[:3])
        toast(f"Both sides changed {where}. Choose between the two texts there.", "bad")
    else:
        toast("Its changes are in your draft.")
    return redirect(url_for("runbooks.edit", slug=slug), 303)


@bp.post("/runbooks/<slug>/edit/compare")
@requires(Role.MAINTAINER)
def save_and_compare(slug: str) -> ResponseReturnValue:
    return _after_saving(slug, url_for("runbooks.compare_draft", slug=slug))


@bp.get("/runbooks/<slug>/edit/compare")
@requires(Role.MAINTAINER)
def compare_draft(slug: str) -> ResponseReturnValue:
    """What the draft changes, by step and by line."""
    opened = drafts.open_draft(slug)
    base = drafts.text_to_edit((opened.published or opened.base).source)
    checked = checking.check(
        slug, opened.source.encode(), opened.published or opened.base, today=now().date()
    )
    return page(
        "runbooks/edit_compare.html",
        opened=opened,
        comparison=checked.comparison,
        hunks=line_diff(base, opened.source),
    )


# --- A draft becomes a version


@bp.post("/runbooks/<slug>/edit/review")
@requires(Role.MAINTAINER)
def ask_for_review(slug: str) -> ResponseReturnValue:
    form = SourceForm()
    try:
        draft = _save(slug, form)
        version = publishing.ask_for_review(slug, draft.version, by=current_actor(), at=now())
    except EditedMeanwhileError as error:
        return _conflict(form, error)
    except RefusedError as error:
        return _again(slug, form, error)
    toast(f"v{version.number} is in review. Whoever maintains runbooks finds it under Reviews.")
    return redirect(url_for("runbooks.review", slug=slug, number=version.number), 303)


@bp.post("/runbooks/<slug>/edit/publish")
@requires(Role.MAINTAINER)
def publish_draft(slug: str) -> ResponseReturnValue:
    form, reason = SourceForm(), ReasonForm()
    try:
        draft = _save(slug, form)
        version = publishing.publish_draft(
            slug, draft.version, emergency_reason=reason.words(), by=current_actor(), at=now()
        )
    except EditedMeanwhileError as error:
        return _conflict(form, error)
    except RefusedError as error:
        return _again(slug, form, error)
    toast(f"v{version.number} is published.")
    return redirect(url_for("runbooks.detail", slug=slug), 303)


# --- What the pages share


def _save(slug: str, form: SourceForm, *, write_ids: bool = True) -> Draft:
    return drafts.save(
        slug,
        form.text(),
        form.words(),
        form.seen_version(),
        base=form.base_number(),
        write_ids=write_ids,
        by=current_actor(),
        at=now(),
    )


def _after_saving(slug: str, to: str) -> ResponseReturnValue:
    form = SourceForm()
    try:
        _save(slug, form)
    except EditedMeanwhileError as error:
        return _conflict(form, error)
    except RefusedError as error:
        return _again(slug, form, error)
    return redirect(to, 303)


def _saved(draft: Draft, form: SourceForm) -> Response:
    changed = draft.source != form.text()  # ids were written into it
    return jsonify(
        version=draft.version,
        saved_at=draft.saved_at.isoformat(),
        source=draft.source if changed else None,
    )


def _told_of_conflict(error: EditedMeanwhileError) -> Response:
    problem = Problem(int(error.status), error.title, error.sentence)
    return problem_json(problem, theirs=error.theirs.source, version=error.theirs.version)


def _again(slug: str, form: SourceForm, error: BatonError) -> ResponseReturnValue:
    """The editor as it was, with the sentence that says why not."""
    opened = drafts.open_draft(slug)
    if opened.source == form.text():
        form.version.data = str(opened.version)  # it was saved before it was refused
    return _editor(
        opened,
        form.text(),
        form.words(),
        form=form,
        sentence=error.sentence,
        status=int(error.status),
    )


def _conflict(form: SourceForm, error: EditedMeanwhileError) -> ResponseReturnValue:
    """Both texts side by side. To save once more, having read theirs, is on purpose."""
    theirs = error.theirs
    form.version.data = str(theirs.version)
    conflict = Conflict(error.sentence, theirs, line_diff(theirs.source, form.text()))
    return _editor(theirs, form.text(), form.words(), form=form, conflict=conflict, status=409)


def _editor(
    opened: OpenDraft,
    source: str,
    message: str,
    *,
    form: SourceForm | None = None,
    sentence: str | None = None,
    conflict: Conflict | None = None,
    status: int = 200,
) -> ResponseReturnValue:
    if form is None:
        form = SourceForm(version=opened.version, base=opened.base.number)
    at = now()
    form.source.data, form.message.data = source, message
    written = _written(opened, form, at)
    return page(
        "runbooks/edit.html",
        part="checked",
        status=status,
        form=form,
        opened=opened,
        written=written,
        shown=written.preview,
        conflict=conflict,
        sentence=sentence,
        changes_wanted=_changes_wanted(opened),
        also_writing=_also_writing(opened, at),
        remarks=[] if is_htmx() else _remarks(opened),
        followed_by=runs.readers_of(opened.runbook.id, at=at),
        refreshed=is_htmx(),
        Level=Level,
        Status=Status,
    )


def _written(opened: OpenDraft, form: SourceForm, at: datetime) -> Written:
    slug, by, source = opened.runbook.slug, current_actor(), str(form.source.data)
    try:
        text = service.read_text(slug, source.encode(), publishing.BROWSER)
        checked = checking.check(
            slug, source.encode(), opened.published, today=at.date(), document=text.document
        )
    except RefusedError as error:
        fillings = previewing.choices(NOTHING_SAID)
        return Written(None, None, error.sentence, Hurdle(error.sentence), fillings)
    if source != opened.source or not opened.is_saved:
        # Whoever types is one of its writers, also before it is saved.
        me = publishing.person(by)
        writers = opened.writers if me is None else tuple({*opened.writers, me})
        opened = replace(opened, source=source, writers=writers)
    hurdle = publishing.hurdle_of_draft(opened, checked, by)
    said = text.document.facts
    fillings = previewing.choices(said)
    chosen = form.fill.data = form.fill.data or fillings[0].value
    values = previewing.values_as(chosen, said)
    parts = previewing.filled(text.parts, values, said.variables)
    empty = previewing.without_value(said, values) if values else []
    return Written(checked, Reading(opened.base, parts, said), None, hurdle, fillings, empty)


def _also_writing(opened: OpenDraft, at: datetime) -> str | None:
    """Somebody else who saved this draft a moment ago, and may be at it still."""
    if opened.saved_at is None or opened.saved_by_id == current_actor().id:
        return None
    return opened.saved_by if at - opened.saved_at < STILL_AT_IT else None


def _remarks(opened: OpenDraft) -> list[tuple[Remark, PlanStep | None]]:
    """What those who followed the text in force called wrong or unclear, with its steps."""
    version = opened.published or opened.base
    if not (said := runs.remarks_on(version.id)):
        return []
    plan = runs.plan_for(version)
    return [(remark, plan.get(remark.step_id)) for remark in said]


def _changes_wanted(opened: OpenDraft) -> Review | None:
    """What the reviewer of the version that is being edited asked for."""
    if opened.base_status is not Status.DRAFT:
        return None
    reviews = reviewing.reviews_of(opened.base.id)
    last = reviews[-1] if reviews else None
    return last if last is not None and last.verdict is Verdict.CHANGES else None


def _teams() -> list[tuple[str, str]]:
    return [(team.value, team.name) for team in registry.team_choices()]


@bp.app_template_filter("code_in")
def code_in(sentence: str) -> Markup:
    """A sentence in which what stands between backticks is code."""
    parts = sentence.split("`")
    if len(parts) % 2 == 0:
        return Markup.escape(sentence)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else Markup.escape(part)
        for index, part in enumerate(parts)
    )
