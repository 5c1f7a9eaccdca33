"""The list of runbooks, with its filters and its search."""

from flask import request, url_for
from flask.typing import ResponseReturnValue

from app.core.clock import now
from app.people.access import requires
from app.people.rules import Role
from app.runbooks import queries, reports
from app.runbooks.queries import RunbookFilter
from app.runbooks.rules import FAILURE_MODES, Status
from app.runbooks.views.blueprint import bp
from app.runbooks.views.reading import teams_by_name
from app.web.parts import page

FILTERS = ("search", "mode", "owner")


@bp.get("/runbooks")
@requires(Role.VIEWER)
def index() -> ResponseReturnValue:
    at = now()
    asked = {name: said(name) for name in FILTERS}
    wanted = RunbookFilter(asked["search"], asked["mode"], asked["owner"])
    cursor = request.args.get("cursor")
    found = queries.runbook_list(wanted, after=cursor)
    modes = queries.failure_modes_in_use()
    owners = queries.owners_in_use()
    return page(
        "runbooks/list.html",
        part="list",
        at=at,
        found=found,
        wanted=wanted,
        count=queries.runbook_count(wanted),
        modes=modes,
        owners=owners,
        teams=teams_by_name(owners),
        trust=reports.trust_of([line.id for line in found.items], at=at),
        uncovered=[mode for mode in FAILURE_MODES if mode not in modes],
        next_url=_this_page(cursor=found.next) if found.next else None,
        first_url=_this_page() if cursor else None,
        Status=Status,
    )


def said(name: str) -> str:
    """A word of the query string, as it may be looked for."""
    return request.args.get(name, "").strip()[:200]


def _this_page(**changed: str | None) -> str:
    kept = {name: value for name in FILTERS if (value := said(name))}
    return url_for("runbooks.index", **kept, **changed)  # type: ignore[arg-type]  # its options are not str
