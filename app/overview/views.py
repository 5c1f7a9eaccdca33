"""Now, search, and the settings of the whole installation."""

from datetime import datetime
from typing import Any

from flask import Blueprint, current_app, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup, escape
from sqlalchemy.exc import SQLAlchemyError

from app.alerts import queries as alerts
from app.config import settings as configured
from app.core.clock import now as clock_now
from app.core.db import is_sqlite
from app.health.fleet import LANES
from app.health.rules import FLEET
from app.overview import operations, queries, readings, set_up
from app.overview.queries import (
    MODELS_AT_ONCE,
    MODELS_SHOWN,
    FleetFilter,
    FleetPage,
)
from app.overview.rules import what_is_left, what_is_open, where_pages_go
from app.overview.sample import plan as sample
from app.overview.sandbox import pages_received
from app.overview.search import LONGEST, commands, search
from app.people.access import current_person, may_open, person_if_any, requires
from app.people.rules import Role
from app.web.parts import is_htmx, live, page

bp = Blueprint("overview", __name__, template_folder="templates")


# Now


@bp.get("/")
@requires(Role.VIEWER)
def now() -> ResponseReturnValue:
    at = clock_now()
    return page("overview/now.html", at=at, **_urgent(at), **_fleet(at), **_lately(at))


@bp.get("/now/urgent")
@requires(Role.VIEWER)
def urgent() -> ResponseReturnValue:
    at = clock_now()
    return live("overview/now.html", part="urgent", at=at, alone=True, **_urgent(at))


@bp.get("/now/fleet")
@requires(Role.VIEWER)
def fleet() -> ResponseReturnValue:
    at = clock_now()
    return live("overview/now.html", part="fleet", at=at, **_fleet(at))


@bp.get("/now/fleet/more")
@requires(Role.VIEWER)
def more_fleet() -> ResponseReturnValue:
    """The next rows, to be added to those that are there. `rows` says how many that are."""
    at, wanted = clock_now(), _wanted()
    there = _rows()
    found = queries.fleet(
        wanted,
        current_person().id,
        at=at,
        after=request.args.get("after"),
        size=min(MODELS_SHOWN, MODELS_AT_ONCE - there) or MODELS_SHOWN,
    )
    around = _around(wanted, found, there + len(found.items), later="later" in request.args)
    return page("overview/fleet_more.html", at=at, fleet=found, **around)


@bp.get("/now/lately")
@requires(Role.VIEWER)
def lately() -> ResponseReturnValue:
    at = clock_now()
    return live("overview/now.html", part="lately", at=at, **_lately(at))


def _urgent(at: datetime) -> dict[str, Any]:
    person = current_person()
    maintains = person.role.covers(Role.MAINTAINER)
    found = queries.open_incidents(person.id)
    incidents, refused = queries.waiting_incidents(person.id), queries.refused_pages()
    stuck = queries.stuck_pages(at=at)
    dead = alerts.dead_count() if maintains else 0
    sources = readings.sources(at=at) if maintains else None
    steps = set_up.so_far() if maintains else None
    being_set_up = steps is not None and not steps.small and not found.count
    return {
        "me": person,
        "may_respond": person.role.covers(Role.RESPONDER),
        "found": found,
        "incidents": incidents,
        "refused": refused,
        "stuck": stuck,
        "dead": dead,
        "sources": sources,
        # Incidents and refusals each by themselves; what is told in one row counts as one.
        "needs": sum(rows[0].of for rows in (incidents, refused) if rows)
        + sum(map(bool, (stuck, found.triage, dead, sources and sources.silent))),
        "workers": readings.workers(at=at),
        "set_up": steps,
        "summary": what_is_left(set_up.STEPS - steps.done)
        if steps and being_set_up
        else what_is_open(found.count, found.mine),
    }


def _fleet(at: datetime) -> dict[str, Any]:
    person, wanted = current_person(), _wanted()
    found = queries.fleet(
        wanted,
        person.id,
        at=at,
        after=request.args.get("after"),
        before=request.args.get("before"),
        size=_rows(),
    )
    return {
        "wanted": wanted,
        "fleet": found,
        **_around(wanted, found, len(found.items), later=bool(found.after)),
    }


def _wanted() -> FleetFilter:
    show, sort = request.args.get("show", ""), request.args.get("sort", "")
    return FleetFilter(
        words=_typed("models"),
        show=show if show in queries.SHOWS else "all",
        sort=sort if sort in queries.SORTS else "worst",
    )


def _rows() -> int:
    """How many rows are there already: those of a first page, and what was added to it."""
    rows = request.args.get("rows", MODELS_SHOWN, int)
    return min(max(rows, MODELS_SHOWN), MODELS_AT_ONCE)


def _around(wanted: FleetFilter, found: FleetPage, rows: int, *, later: bool) -> dict[str, Any]:
    """What stands around the rows of the fleet. `later`: the first ones of all are not there."""
    counted = not wanted.words and not later
    return {
        "here": {
            "show": wanted.show if wanted.show != "all" else None,
            "sort": wanted.sort if wanted.sort != "worst" else None,
            "models": wanted.words or None,
        },
        "lanes": [(lane, LANES[lane]) for lane in FLEET],
        "foot": {
            "rows": rows,
            "more": min(MODELS_SHOWN, MODELS_AT_ONCE - rows) if found.next else 0,
            "of": getattr(found.counts, wanted.show) if counted else None,
            "later": True if later else None,
        },
    }


def _lately(at: datetime) -> dict[str, Any]:
    return {
        "changes": queries.changes(at=at),
        "deliveries": queries.deliveries(at=at),
    }


def _typed(name: str) -> str:
    return request.args.get(name, "").strip()[:LONGEST]


# Search


@bp.get("/search", endpoint="search")
@requires(Role.VIEWER)
def find() -> ResponseReturnValue:
    text = _typed("q")
    return page(
        "overview/search.html",
        part="found",
        text=text,
        groups=search(text, current_person()),
        commands=[] if text or is_htmx() else commands(),
    )


# Settings


@bp.get("/settings/general")
@requires(Role.MAINTAINER)
def settings() -> ResponseReturnValue:
    at = clock_now()
    return page(
        "overview/settings.html",
        at=at,
        settings=configured(),
        database="SQLite" if is_sqlite() else "PostgreSQL",
        checks=operations.run_checks(at=at),
        workers=readings.workers(at=at),
        inbox=readings.inbox(at=at),
        outbox=readings.outbox(at=at),
        sources=readings.sources(at=at),
        spool=operations.spool_bytes(),
        found=queries.everywhere(),
    )


@bp.get("/settings/sandbox-pager")
@requires(Role.VIEWER)
def sandbox_pager() -> ResponseReturnValue:
    found = queries.everywhere()
    return page("overview/sandbox_pager.html", at=clock_now(), found=found, **_received())


@bp.get("/settings/sandbox-pager/part")
@requires(Role.VIEWER)
def sandbox_pager_part() -> ResponseReturnValue:
    return live("overview/sandbox_pager.html", part="received", at=clock_now(), **_received())


def _received() -> dict[str, Any]:
    return {"pages": pages_received(current_app.extensions["gateways"].sandbox)}


# Every page


@bp.app_context_processor
def on_every_page() -> dict[str, Any]:
    """For the layout. Parts of pages have none, and a page that says what failed needs none."""
    try:
        if is_htmx() or person_if_any() is None:
            return {}
        found = queries.everywhere()
    except SQLAlchemyError:
        return {}
    sentence = where_pages_go(found.named, found.unconnected, found.teams)
    if found.teams > 1 and list(found.named) == [sample.TEAM.name]:
        sentence = None  # nobody expects to be woken by the sample
    return {
        "sandbox_notice": sentence and _with_link(sentence, found.teams),
        "nav_counts": {"incidents.index": found.incidents, "registry.models": found.models},
    }


def _with_link(sentence: str, teams: int) -> Markup:
    """The sentence, and where to go on."""
    if teams:
        words, url = "What it received", url_for("overview.sandbox_pager")
    elif may_open("registry.new_team"):
        words, url = "Add a team", url_for("registry.new_team")
    else:
        return escape(sentence)
    return Markup('{} <a href="{}">{}</a>').format(sentence, url, words)
