"""Pages of data inputs: what was promised of each, what was last seen, who relies on it."""

from flask import request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm

from app.core.clock import now
from app.core.errors import BatonError, ConflictError, NotFoundError, RefusedError
from app.health import datasets, inputs
from app.health.forms.inputs import STATES, AccessForm, LinkForm, PromiseForm
from app.health.forms.levels import seen_version
from app.health.inputs import InputFilter, InputLine
from app.health.rules import LampState
from app.health.views.blueprint import bp
from app.people.access import current_actor, requires
from app.people.rules import Role
from app.registry import queries as registry
from app.web.parts import go, page
from app.web.toast import toast

FILTERS = ("search", "state", "model")


@bp.get("/inputs", endpoint="inputs")
@bp.get("/models/<slug>/health/inputs", endpoint="inputs")
@requires(Role.VIEWER)
def all_inputs(slug: str = "") -> ResponseReturnValue:
    model = registry.model_by_slug(slug) if slug else None
    said = _plain("state")
    state = LampState(said) if said in set(STATES) else None
    wanted = InputFilter(_plain("search"), state, slug or _plain("model"))
    cursor = request.args.get("cursor")
    found = inputs.input_list(wanted, after=cursor, at=now())
    return page(
        "health/inputs.html",
        part="list",
        model=model,
        found=found,
        wanted=wanted,
        count=inputs.input_count(wanted),
        states=STATES,
        next_url=_this_page(slug, found.next) if found.next else None,
        first_url=_this_page(slug, None) if cursor else None,
    )


@bp.get("/inputs/<path:dataset>", endpoint="input")
@bp.get("/models/<slug>/health/inputs/<path:dataset>", endpoint="input")
@requires(Role.VIEWER)
def one_input(dataset: str, slug: str = "") -> ResponseReturnValue:
    if slug:
        registry.model_by_slug(slug)
    return _input_page(inputs.find(dataset, at=now()), LinkForm(formdata=None), slug=slug)


@bp.route("/input/<int:dataset_id>/promise", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def edit_input(dataset_id: int) -> ResponseReturnValue:
    """Who answers for an input, by which contract, and how old it may get."""
    found, form = inputs.find_id(dataset_id, at=now()), PromiseForm()
    form.offer(registry.team_choices())
    if not form.is_submitted():
        form.fill(found.dataset)
        return _form_page("health/input_form.html", form, found)
    if not form.validate():
        return _form_page("health/input_form.html", form, found, status=422)
    try:
        datasets.edit_promise(
            found.dataset.slug, form.as_promise(), seen_version=seen_version(form.version),
            by=current_actor(), at=now(),
        )  # fmt: skip
    except ConflictError as error:
        newest = inputs.find_id(dataset_id, at=now())
        form.version.data = str(newest.dataset.version)
        return _form_page(
            "health/input_form.html", form, newest, status=409, conflict=error.sentence
        )
    except RefusedError as error:
        return _form_page("health/input_form.html", form, found, status=_say(form, error))
    toast(f"The promise of {found.dataset.slug} is saved.")
    return go(_url(found))


@bp.route("/input/<int:dataset_id>/access", methods=["GET", "POST"])
@requires(Role.MAINTAINER)
def attest_input(dataset_id: int) -> ResponseReturnValue:
    """Record a review of who may read an input."""
    found, form = inputs.find_id(dataset_id, at=now()), AccessForm()
    row = found.dataset
    if not form.is_submitted():
        form.role.data, form.approver.data = row.access_role, row.access_approver
        form.reviewed_on.data, form.ends_on.data = now().date(), row.access_ends_on
        return _form_page("health/input_access.html", form, found)
    if not form.validate():
        return _form_page("health/input_access.html", form, found, status=422)
    assert form.reviewed_on.data is not None
    try:
        datasets.attest_access(
            row.slug,
            role=form.role.data or "",
            approver=form.approver.data or "",
            reviewed_on=form.reviewed_on.data,
            review_due=form.review_due.data,
            ends_on=form.ends_on.data,
            by=current_actor(),
            at=now(),
        )
    except (ConflictError, RefusedError) as error:
        return _form_page("health/input_access.html", form, found, status=_say(form, error))
    toast(f"The review of {row.slug} is recorded.")
    return go(_url(found))


@bp.post("/input/<int:dataset_id>/models")
@requires(Role.MAINTAINER)
def link_input(dataset_id: int) -> ResponseReturnValue:
    found, form = inputs.find_id(dataset_id, at=now()), LinkForm()
    if not form.validate():
        return _input_page(found, form, status=422)
    name = form.model.data or ""
    try:
        datasets.link(found.dataset.slug, name, by=current_actor(), at=now())
    except (ConflictError, NotFoundError, RefusedError) as error:
        form.model.errors = [*form.model.errors, error.sentence]
        return _input_page(found, form, status=409 if isinstance(error, ConflictError) else 422)
    toast(f"{name} relies on {found.dataset.slug}. It has three panels more.")
    return go(_url(found))


@bp.post("/input/<int:dataset_id>/models/<slug>/remove")
@requires(Role.MAINTAINER)
def unlink_input(dataset_id: int, slug: str) -> ResponseReturnValue:
    found = inputs.find_id(dataset_id, at=now())
    datasets.unlink(found.dataset.slug, slug, by=current_actor(), at=now())
    toast(f"{slug} no longer relies on {found.dataset.slug}. Link it again to reopen its panels.")
    return go(_url(found))


def _url(found: InputLine) -> str:
    return url_for("health.input", dataset=found.dataset.slug)


def _input_page(
    found: InputLine, form: LinkForm, *, slug: str = "", status: int = 200
) -> ResponseReturnValue:
    at = now()
    return page(
        "health/input.html",
        status=status,
        found=found,
        dataset=found.dataset,
        reliants=inputs.reliants(found.dataset),
        history=inputs.history(found.dataset),
        is_due=inputs.is_due(found.dataset, at=at),
        today=at.date(),
        form=form,
        slug=slug,
    )


def _form_page(
    template: str, form: FlaskForm, found: InputLine, *, status: int = 200, conflict: str = ""
) -> ResponseReturnValue:
    return page(
        template,
        part="form",
        status=status,
        form=form,
        dataset=found.dataset,
        back=_url(found),
        conflict=conflict,
    )


def _say(form: FlaskForm, error: BatonError) -> int:
    """Show the sentence above the form."""
    form.form_errors = [*form.form_errors, error.sentence]
    return int(error.status)


def _plain(name: str) -> str:
    return request.args.get(name, "").strip()[:200]


def _this_page(slug: str, cursor: str | None) -> str:
    """The list at hand with the same filter, at another place."""
    kept = {name: value for name in FILTERS if (value := _plain(name))}
    if slug:
        kept["slug"] = slug
    return url_for("health.inputs", **kept, cursor=cursor)  # type: ignore[arg-type]  # by name
