"""Pages of integrations and deliveries. A view translates; `service.py` decides."""

from datetime import datetime
from typing import Any

from flask import Blueprint, Flask, Response, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from app.alerts import queries, service
from app.alerts.bodies import readable, without_key
from app.alerts.forms import (
    NOBODY,
    DropForm,
    FilterForm,
    IntegrationForm,
    NewIntegrationForm,
    SeenForm,
    TestForm,
)
from app.alerts.marks import changes_of
from app.alerts.queries import COUNTED, DeliveryFilter
from app.alerts.rules import WAITING, DeliveryState
from app.alerts.service import REPLAYABLE, DoorAnswer
from app.alerts.sources import SOURCES
from app.alerts.tables import Delivery, Integration
from app.config import settings
from app.core.clock import now
from app.core.errors import ConflictError, NotFoundError, RefusedError, UpstreamError
from app.health.marks import add_marks
from app.people.access import current_actor, requires
from app.people.rules import Role
from app.web.pagination import SIZE
from app.web.parts import go, live, page
from app.web.toast import toast

bp = Blueprint("alerts", __name__, template_folder="templates")

DEAD_SHOWN, LATEST_SHOWN = 5, 8
# PagerDuty's own path, so that what can send to PagerDuty needs another host only.
DOORS = {"events_v2": "/v2/enqueue"}


@bp.app_template_filter("counted")
def counted(count: int) -> str:
    """1,210; and 2,000+ where counting ended."""
    return f"{count:,}{'+' if count >= COUNTED else ''}"


# --- Integrations


@bp.get("/settings/integrations")
@requires(Role.MAINTAINER)
def integrations() -> ResponseReturnValue:
    at = now()
    return page("alerts/integrations.html", at=at, **_inbound(at), **_lately(at))


@bp.get("/settings/integrations/part/inbound")
@requires(Role.MAINTAINER)
def inbound_part() -> ResponseReturnValue:
    at = now()
    return live("alerts/integrations.html", part="inbound", at=at, **_inbound(at))


@bp.get("/settings/integrations/part/lately")
@requires(Role.MAINTAINER)
def lately_part() -> ResponseReturnValue:
    at = now()
    return live("alerts/integrations.html", part="lately", at=at, **_lately(at))


def _inbound(at: datetime) -> dict[str, Any]:
    return {
        "integrations": queries.integrations(at=at),
        "sources": SOURCES,
        "days": settings().delivery_days,
    }


def _lately(at: datetime) -> dict[str, Any]:
    return {
        "totals": queries.counts(at=at),
        "dead": queries.latest_dead(DEAD_SHOWN),
        "latest": queries.latest_deliveries(LATEST_SHOWN),
        "outbound": queries.outbound(),
    }


@bp.route("/settings/integrations/new", methods=["GET", "POST"])
@requires(Role.ADMINISTRATOR)
def create_integration() -> ResponseReturnValue:
    form = NewIntegrationForm(source=next(iter(SOURCES)))
    form.offer()
    status = 200
    if form.validate_on_submit():
        draft = form.as_draft()
        try:
            made, key = service.create_integration(
                draft.name, form.source.data, draft.team_id, by=current_actor(), at=now()
            )
        except (RefusedError, ConflictError) as error:
            form.name.errors = [error.sentence]
            status = int(error.status)
        else:
            return _key_page(made, key, is_new=True)
    elif form.is_submitted():
        status = 422
    return page("alerts/create_integration.html", status=status, form=form, sources=SOURCES)


@bp.get("/settings/integrations/<int:integration_id>")
@requires(Role.MAINTAINER)
def integration(integration_id: int) -> ResponseReturnValue:
    return _integration_page(queries.integration(integration_id))


@bp.post("/settings/integrations/<int:integration_id>")
@requires(Role.ADMINISTRATOR)
def edit_integration(integration_id: int) -> ResponseReturnValue:
    found = queries.integration(integration_id)
    form = IntegrationForm()
    form.offer()
    if not form.validate():
        return _integration_page(found, form, status=422)
    try:
        saved = service.edit_integration(
            integration_id,
            form.as_draft(),
            seen_version=form.version.data,
            by=current_actor(),
            at=now(),
        )
    except (RefusedError, ConflictError) as error:
        newest = queries.integration(integration_id)
        form.name.errors = [error.sentence]
        # The reader's text stays. To save it once more, having read this, is on purpose.
        form.version.data = newest.version
        return _integration_page(newest, form, status=int(error.status))
    toast(f"{saved.name} is saved.")
    return go(url_for("alerts.integration", integration_id=integration_id))


@bp.post("/settings/integrations/<int:integration_id>/key")
@requires(Role.ADMINISTRATOR)
def new_key(integration_id: int) -> ResponseReturnValue:
    changed, key = service.replace_key(integration_id, **_told())
    return _key_page(changed, key, is_new=False)


@bp.post("/settings/integrations/<int:integration_id>/close")
@requires(Role.ADMINISTRATOR)
def close_integration(integration_id: int) -> ResponseReturnValue:
    closed = service.close_integration(integration_id, **_told())
    toast(f"{closed.name} is closed. Its key is refused from now on.")
    return go(url_for("alerts.integrations"))


@bp.post("/settings/integrations/<int:integration_id>/reopen")
@requires(Role.ADMINISTRATOR)
def reopen_integration(integration_id: int) -> ResponseReturnValue:
    opened = service.reopen_integration(integration_id, **_told())
    toast(f"{opened.name} is open again, with the key that ends in {opened.last_four}.")
    return go(url_for("alerts.integrations"))


@bp.post("/settings/integrations/<int:integration_id>/test")
@requires(Role.MAINTAINER)
def send_test(integration_id: int) -> ResponseReturnValue:
    form = TestForm()
    back = url_for("alerts.integration", integration_id=integration_id)
    if not form.validate():
        toast("A model's name has at most 120 characters.", "bad")
        return go(back)
    try:
        answer = service.send_test(
            integration_id,
            model=form.model.data or "",
            key=form.key.data or None,
            by=current_actor(),
            at=now(),
        )
    except (ConflictError, RefusedError, UpstreamError) as error:
        toast(error.sentence, "bad")
        return go(back)
    if not answer.taken:
        toast(f"The door answered {answer.status}. {answer.sentence}", "bad")
        return go(back)
    toast("The door took the test. This is what became of it.")
    return go(_page_of_test(answer) or url_for("alerts.deliveries"))


def _page_of_test(answer: DoorAnswer) -> str | None:
    """None while it waits on the disk because the database is away."""
    try:
        found = queries.delivery_id(answer.receipt or "")
    except NotFoundError:
        return None
    return url_for("alerts.delivery", delivery_id=found)


def _told() -> dict[str, Any]:
    """What every press tells the service: the version seen, who acts, and when."""
    form = SeenForm()
    form.validate()
    return {"seen_version": form.version.data, "by": current_actor(), "at": now()}


def _key_page(integration: Integration, key: str, *, is_new: bool) -> ResponseReturnValue:
    response = page(
        "alerts/key.html",
        integration=integration,
        key=key,
        is_new=is_new,
        test_form=TestForm(formdata=None, key=key),
        **_receiver(integration),
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _receiver(integration: Integration) -> dict[str, Any]:
    source = SOURCES.get(integration.source)
    path = DOORS.get(integration.source, f"/in/{integration.source}")
    url = f"{settings().url}{path}"
    return {
        "door": path,
        "door_url": url,
        "source": source,
        "example": source.receiver_example(url) if source else None,
    }


def _integration_page(
    found: Integration, form: IntegrationForm | None = None, *, status: int = 200
) -> ResponseReturnValue:
    at = now()
    if form is None:
        form = IntegrationForm(
            formdata=None, name=found.name, team=found.team_id or NOBODY, version=found.version
        )
        form.offer()
    return page(
        "alerts/integration.html",
        status=status,
        at=at,
        integration=found,
        old_key_works=found.old_key_until is not None and found.old_key_until > at,
        form=form,
        test_form=TestForm(formdata=None),
        latest=queries.latest_deliveries(LATEST_SHOWN, integration_id=found.id),
        **_receiver(found),
    )


# --- Deliveries


@bp.get("/deliveries")
@requires(Role.RESPONDER)
def deliveries() -> ResponseReturnValue:
    wanted = _wanted()
    return page(
        "alerts/deliveries.html",
        "list",
        integrations=queries.integration_choices(),
        days=settings().delivery_days,
        **_list(wanted),
    )


@bp.get("/deliveries/part/list")
@requires(Role.RESPONDER)
def deliveries_part() -> ResponseReturnValue:
    return live("alerts/deliveries.html", part="list", **_list(_wanted()))


def _wanted() -> DeliveryFilter:
    return FilterForm(MultiDict(request.args)).as_filter()


def _list(wanted: DeliveryFilter) -> dict[str, Any]:
    at = now()
    return {
        "at": at,
        "wanted": wanted,
        "arguments": {
            key: value
            for key, value in (
                ("state", wanted.state if wanted.state != "all" else None),
                ("integration", wanted.integration_id),
                ("q", wanted.words or None),
            )
            if value is not None
        },
        "after": request.args.get("after"),
        "found": queries.deliveries(wanted, cursor=request.args.get("after"), size=SIZE),
        "totals": queries.counts(at=at),
    }


@bp.get("/deliveries/<bigid:delivery_id>")
@requires(Role.RESPONDER)
def delivery(delivery_id: int) -> ResponseReturnValue:
    return _delivery_page(queries.delivery(delivery_id))


@bp.get("/deliveries/<bigid:delivery_id>/part/outcome")
@requires(Role.RESPONDER)
def outcome_part(delivery_id: int) -> ResponseReturnValue:
    return live("alerts/delivery.html", part="outcome", **_outcome(queries.delivery(delivery_id)))


@bp.get("/deliveries/<bigid:delivery_id>/body")
@requires(Role.RESPONDER)
def body(delivery_id: int) -> ResponseReturnValue:
    """The body as it came, but for the key that it may hold. Never shown by the browser itself."""
    found = queries.delivery(delivery_id)
    if found.body is None:
        raise NotFoundError(f"The body of d-{delivery_id} is not kept.")
    response = Response(without_key(found.body), mimetype="application/octet-stream")
    response.headers["Content-Disposition"] = f'attachment; filename="d-{delivery_id}.json"'
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.post("/deliveries/<bigid:delivery_id>/replay")
@requires(Role.MAINTAINER)
def replay(delivery_id: int) -> ResponseReturnValue:
    service.replay([delivery_id], by=current_actor(), at=now())
    toast(f"d-{delivery_id} is processed again.")
    return go(url_for("alerts.delivery", delivery_id=delivery_id))


@bp.post("/deliveries/replay-dead")
@requires(Role.MAINTAINER)
def replay_all_dead() -> ResponseReturnValue:
    count = service.replay_all_dead(by=current_actor(), at=now())
    said = "1 dead letter is" if count == 1 else f"{count:,} dead letters are"
    toast(f"{said} processed again." if count else "There was no dead letter left to replay.")
    return go(url_for("alerts.deliveries"))


@bp.post("/deliveries/<bigid:delivery_id>/drop")
@requires(Role.MAINTAINER)
def drop(delivery_id: int) -> ResponseReturnValue:
    form = DropForm(prefix="drop-")
    found = queries.delivery(delivery_id)
    if not form.validate():
        return _delivery_page(found, form, status=422)
    try:
        service.drop(delivery_id, form.reason.data or "", by=current_actor(), at=now())
    except (RefusedError, ConflictError) as error:
        form.reason.errors = [error.sentence]
        return _delivery_page(queries.delivery(delivery_id), form, status=int(error.status))
    toast(f"d-{delivery_id} is dropped.")
    return go(url_for("alerts.delivery", delivery_id=delivery_id))


def _outcome(found: Delivery) -> dict[str, Any]:
    return {
        "at": now(),
        "delivery": found,
        "dropped": bool(found.outcome.get("dropped")),
        "waits": found.state in WAITING,
        "incidents": queries.incidents_of(found),
        "history": queries.history(found.id),
    }


def _delivery_page(
    found: Delivery, drop_form: DropForm | None = None, *, status: int = 200
) -> ResponseReturnValue:
    return page(
        "alerts/delivery.html",
        status=status,
        body=readable(found.body) if found.body is not None else None,
        replayable=found.state in REPLAYABLE and found.body is not None,
        is_dead=found.state is DeliveryState.DEAD,
        drop_form=drop_form or DropForm(formdata=None, prefix="drop-"),
        asks_to_drop=drop_form is not None,
        days=settings().delivery_days,
        **_outcome(found),
    )


def register(app: Flask) -> None:
    """Tell the pages of lower features what this one knows."""
    app.extensions["delivery_for_drill"] = queries.for_drill
    add_marks(app, changes_of)
