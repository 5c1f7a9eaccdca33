"""The page of the sample: break it on purpose, see where it shows, mend it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import Blueprint, current_app, url_for
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from app.core.clock import now
from app.core.errors import NotFoundError
from app.integrations.sample import AwayError, Fault
from app.overview.sample import plan, queries, service
from app.people.access import current_actor, requires
from app.people.rules import Role
from app.registry.sections import add_model_banner
from app.web.parts import go, live
from app.web.parts import page as whole_page
from app.web.toast import toast

bp = Blueprint("sample", __name__, template_folder="templates", url_prefix="/sample")


@bp.get("")
@requires(Role.VIEWER)
def page() -> ResponseReturnValue:
    return whole_page("sample/page.html", **_seen(now()))


@bp.get("/part")
@requires(Role.VIEWER)
def part() -> ResponseReturnValue:
    return live("sample/page.html", part="faults", **_seen(now()))


@bp.post("/faults/<name>/break")
@requires(Role.MAINTAINER)
def inject(name: str) -> ResponseReturnValue:
    service.inject(name, by=current_actor(), at=now())
    toast(f"{name} is on. Give its lamp a minute or two.")
    return go(url_for("sample.page"))


@bp.post("/faults/<name>/heal")
@requires(Role.MAINTAINER)
def heal(name: str) -> ResponseReturnValue:
    service.heal(name, by=current_actor(), at=now())
    toast(f"{name} is healed. Its lamp follows when it has seen so for long enough.")
    return go(url_for("sample.page"))


@bp.post("/heal")
@requires(Role.MAINTAINER)
def heal_all() -> ResponseReturnValue:
    service.heal(by=current_actor(), at=now())
    toast("Everything is healed. The lamps follow when they have seen so for long enough.")
    return go(url_for("sample.page"))


def _seen(at: datetime) -> dict[str, Any]:
    sample = service.here()
    if not sample.is_here:
        raise NotFoundError("The sample does not run on this host.")
    faults: Sequence[Fault] = ()
    why_away = ""
    try:
        faults = sample.faults()
    except AwayError as error:
        why_away = str(error.args[0])
    return {
        "at": at,
        "faults": faults,
        "why_away": why_away,
        "signals": queries.signals(at=at),
        "model": plan.MODEL,
    }


def sample_is_here() -> bool:
    """For links to this page."""
    return service.here().is_here


def _banner(model_id: int) -> Markup:
    if not sample_is_here() or not queries.is_sample(model_id):
        return Markup()
    written: Any = current_app.jinja_env.get_template("sample/_links.html").module
    return Markup(written.model_banner())  # noqa: S704 macros escape


@bp.record_once
def _on_other_pages(state: BlueprintSetupState) -> None:
    add_model_banner(state.app, _banner)
    state.app.jinja_env.globals["sample_is_here"] = sample_is_here
