"""Two versions of a runbook, held against one another."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.core.clock import now
from app.core.errors import NotFoundError
from app.people.access import requires
from app.people.rules import Role
from app.runbooks import queries, reports, reviewing
from app.runbooks.compare import Change, StepChange, compare, line_diff
from app.runbooks.format import read, text_of
from app.runbooks.identity import suggestions
from app.runbooks.rules import Status, Verdict
from app.runbooks.tables import RunbookVersion
from app.runbooks.views.blueprint import bp
from app.web.parts import page

NUMBER = re.compile(r"v?(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Run:
    """Steps one after the other that are the same, or one that is not."""

    steps: tuple[StepChange, ...]

    @property
    def is_same(self) -> bool:
        return self.steps[0].change is Change.SAME


@bp.get("/runbooks/<slug>/diff/v<int:before>..v<int:after>")
@requires(Role.VIEWER)
def diff(slug: str, before: int, after: int) -> ResponseReturnValue:
    """What changed from one version to another, by step or, with `?by=line`, by line."""
    old, new = queries.version(slug, before), queries.version(slug, after)
    by_line = request.args.get("by") == "line"
    sources = [queries.source(slug, number) for number in (before, after)]
    left, right = (read(source, f"{slug}.md") for source in sources)
    comparison = compare(left, right)
    return page(
        "runbooks/compare.html",
        runbook=new.runbook,
        old=old,
        new=new,
        comparison=comparison,
        runs=runs(comparison.steps),
        likely={one.step_id: one for one in suggestions(left, right)},
        numbers={step.id: number for number, step in enumerate(left.steps, start=1)},
        hunks=line_diff(*(text_of(source)[0] for source in sources)) if by_line else None,
        by_line=by_line,
        versions=queries.versions(new.runbook_id, limit=200),
        event=queries.last_event(new.id),
        reviews=reviewing.reviews_of(new.id),
        at=now(),
        proof=reports.proof_of(new.id),
        was_drilled=reports.was_drilled(new),
        is_merge="merge" in new.origin,
        Change=Change,
        Status=Status,
        Verdict=Verdict,
    )


@bp.get("/runbooks/<slug>/diff")
@requires(Role.VIEWER)
def choose(slug: str) -> ResponseReturnValue:
    """Where the form with the two versions leads; without any, to what the newest one changed."""
    found = queries.current(slug)
    newest = queries.versions(found.runbook_id, limit=1)[0].number
    after = _number("to", newest)
    before = _number("from", _earlier(found, after))
    by = "line" if request.args.get("by") == "line" else None  # none is left out of the address
    return redirect(url_for("runbooks.diff", slug=slug, before=before, after=after, by=by))


def runs(steps: Sequence[StepChange]) -> list[Run]:
    found: list[Run] = []
    for step in steps:
        if found and found[-1].is_same and step.change is Change.SAME:
            found[-1] = Run((*found[-1].steps, step))
        else:
            found.append(Run((step,)))
    return found


def _earlier(current: RunbookVersion, after: int) -> int:
    return current.number if current.number != after else max(after - 1, 1)


def _number(name: str, otherwise: int) -> int:
    said = request.args.get(name, "")
    if not said:
        return otherwise
    found = NUMBER.fullmatch(said)
    if found is None:
        raise NotFoundError(queries.NO_VERSION)
    return int(found[1])
