"""What is covered, how far it can be trusted, and how it fares: for owners and for managers."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from flask import Response, request, url_for
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from app.core.clock import now
from app.people.access import requires
from app.people.rules import Role
from app.registry import queries as registry
from app.registry.queries import ModelFilter, ModelLine
from app.registry.sections import ModelSection, add_model_section
from app.runbooks import queries, reports
from app.runbooks.coverage import MEANINGS, WORDS, Cell, Cover, Matrix, Model, as_table
from app.runbooks.effectiveness import Use
from app.runbooks.freshness import Freshness, Proof
from app.runbooks.reports import Effect, Trust
from app.runbooks.rules import MODEL_OWNER, failure_mode_title, whose
from app.runbooks.tables import Runbook, RunbookVersion
from app.runbooks.views.blueprint import bp
from app.runbooks.views.finding import said
from app.runbooks.views.reading import teams_by_name
from app.web.pagination import decode_cursor, encode_cursor
from app.web.parts import is_htmx, page

ROWS = 20  # of the matrix at a time: a page of 60 KB
EVERY_MODEL = 100_000
FIRST = 10  # runbooks of an owner, while all owners are shown
FILTERS = ("search", "team", "tier", "tag")


# --- For pages that show one runbook


@bp.app_template_global("runbook_freshness")
def runbook_freshness(runbook: Runbook) -> Freshness | None:
    """For `runbooks/_freshness.html`."""
    found = reports.trust_of([runbook.id], at=now()).get(runbook.id)
    return found.freshness if found else None


@bp.app_template_global("runbook_effect")
def runbook_effect(version: RunbookVersion) -> Effect:
    """For `runbooks/_effectiveness.html`."""
    return reports.effect_of(version.runbook_id, version.id)


# --- Freshness


@dataclass(frozen=True, slots=True)
class Owner:
    """The runbooks of one owner, the stalest first."""

    said: str  # as the files say it; "" for those that name nobody
    slug: str | None  # of the team, if there is one
    name: str
    books: Sequence[Trust]

    @property
    def is_unknown(self) -> bool:
        """Whether the files name a team that there is not."""
        return self.slug is None and self.said not in ("", MODEL_OWNER)

    @property
    def shown(self) -> Sequence[Trust]:
        return self.books if said("owner") else self.books[:FIRST]

    @property
    def states(self) -> Counter[Proof]:
        return Counter(one.freshness.proof for one in self.books)

    @property
    def use(self) -> Use:
        """How all of them fared together."""
        uses = [one.use for one in self.books]
        return Use(
            runs=sum(use.runs for use in uses),
            drills=sum(use.drills for use in uses),
            finished=sum(use.finished for use in uses),
            incidents=sum(use.incidents for use in uses),
            closed=sum(use.closed for use in uses),
        )


@bp.get("/runbooks/freshness")
@requires(Role.VIEWER)
def freshness() -> ResponseReturnValue:
    at = now()
    every = reports.trust_of_all(at=at)
    owners = _by_owner(every)
    wanted = said("owner")
    shown = [one for one in owners if not wanted or wanted in (one.said or "none", one.slug)]
    return page(
        "runbooks/freshness.html",
        part="owners",
        at=at,
        wanted=wanted,
        owners=owners,
        shown=shown,
        states=Counter(one.freshness.proof for owner in shown for one in owner.books),
        count=sum(len(owner.books) for owner in shown),
        Proof=Proof,
    )


def _by_owner(every: Iterable[Trust]) -> list[Owner]:
    """Owners with the stalest runbook first."""
    every = list(every)
    teams = teams_by_name({one.book.owner for one in every})

    def key(one: Trust) -> tuple[str, str]:
        owner = one.book.owner or ""
        slug, name = teams.get(owner, ("", whose(owner)))
        return slug, name

    found = [
        Owner(books[0].book.owner or "", slug or None, name, books)
        for (slug, name), group in groupby(sorted(every, key=key), key)
        for books in [sorted(group, key=lambda one: -one.freshness.score)]
    ]
    return sorted(found, key=lambda one: (-one.books[0].freshness.score, one.name.lower()))


# --- Effectiveness


@bp.get("/runbooks/<slug>/effectiveness")
@requires(Role.VIEWER)
def effectiveness(slug: str) -> ResponseReturnValue:
    """Step by step. The page of the runbook asks for the part, so that it can be read at once."""
    version = queries.current(slug)
    return page(
        "runbooks/effectiveness.html",
        part="effect",
        at=now(),
        version=version,
        effect=runbook_effect(version),
        on_another_page=is_htmx(),
    )


# --- Coverage


@dataclass(frozen=True, slots=True)
class Row:
    line: ModelLine
    cells: Sequence[Cell]


@bp.get("/runbooks/coverage")
@requires(Role.VIEWER)
def coverage() -> ResponseReturnValue:
    at = now()
    wanted = _model_filter()
    lines = registry.model_list(wanted, size=EVERY_MODEL).items
    matrix = reports.matrix(at=at)
    cursor = request.args.get("cursor")
    start = max(0, decode_cursor(cursor, int)[0]) if cursor else 0
    rows = [Row(line, matrix.row(_model(line))) for line in lines[start : start + ROWS]]
    more = start + ROWS < len(lines)
    return page(
        "runbooks/coverage.html",
        part="rows" if cursor else "matrix",
        at=at,
        wanted=wanted,
        matrix=matrix,
        rows=rows,
        urls={slug: url_for("runbooks.detail", slug=slug) for slug in _slugs(rows)},
        start=start,
        count=len(lines),
        following=min(ROWS, len(lines) - start - len(rows)),
        totals=_totals(matrix, lines),
        next_url=_this_page(cursor=encode_cursor(start + ROWS)) if more else None,
        first_url=_this_page() if start else None,
        csv_url=_filtered("runbooks.coverage_csv"),
        teams=registry.team_choices(),
        tags=registry.tags_in_use(),
        words=WORDS,
        meanings=MEANINGS,
        Cover=Cover,
    )


@bp.get("/runbooks/coverage.csv")
@requires(Role.VIEWER)
def coverage_csv() -> ResponseReturnValue:
    """The same models as on the page, all of them."""
    lines = registry.model_list(_model_filter(), size=EVERY_MODEL).items
    matrix = reports.matrix(at=now())
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["Model", "Tier", "Team", *map(failure_mode_title, matrix.modes)])
    beside = ((_model(line), [str(line.tier), line.team_name]) for line in lines)
    for row in as_table(matrix, beside):
        writer.writerow(map(_harmless, row))
    return Response(
        file.getvalue(),
        mimetype="text/csv",
        headers={"Content-Disposition": 'attachment; filename="runbook-coverage.csv"'},
    )


@bp.record_once
def _on_model_pages(state: BlueprintSetupState) -> None:
    add_model_section(state.app, ModelSection("Runbooks", "runbooks.of_model"))


@bp.get("/models/<slug>/runbooks")
@requires(Role.VIEWER)
def of_model(slug: str) -> ResponseReturnValue:
    """One row of the matrix: the failures of one model, those with a runbook first."""
    at = now()
    model = registry.model_by_slug(slug)
    matrix = reports.matrix(at=at)
    cells = zip(matrix.modes, matrix.row(Model(model.slug, tuple(model.tags))), strict=True)
    order = list(Cover)
    rows = sorted(cells, key=lambda one: order.index(one[1].cover))
    return page(
        "runbooks/of_model.html",
        part="covered",
        at=at,
        model=model,
        rows=[one for one in rows if one[1].slug],
        missing=[mode for mode, cell in rows if not cell.slug],
        proven=sum(cell.cover is Cover.PROVEN for _, cell in rows),
        words=WORDS,
        on_another_page=is_htmx(),
    )


def _slugs(rows: Iterable[Row]) -> set[str]:
    return {cell.slug for row in rows for cell in row.cells if cell.slug}


def _harmless(said: str) -> str:
    # A spreadsheet would run a name such as =1+1.
    return f"'{said}" if said[:1] in ("=", "+", "-", "@", "\t", "\r") else said


def _totals(matrix: Matrix, lines: Sequence[ModelLine]) -> dict[str, int]:
    found = matrix.totals([_model(line) for line in lines])
    covered = sum(found.values()) - found[Cover.NONE]
    return {
        "pairs": sum(found.values()),
        "covered": covered,
        "signalled": covered - found[Cover.NO_SIGNAL],
        "proven": found[Cover.PROVEN],
    }


def _model(line: ModelLine) -> Model:
    return Model(line.slug, tuple(line.tags))


def _model_filter() -> ModelFilter:
    tier = said("tier")
    return ModelFilter(
        text=said("search"),
        team=said("team"),
        tier=int(tier) if tier in {"1", "2", "3", "4"} else None,
        tag=said("tag"),
    )


def _this_page(**changed: str | None) -> str:
    return _filtered("runbooks.coverage", **changed)


def _filtered(endpoint: str, **changed: str | None) -> str:
    kept = {name: value for name in FILTERS if (value := said(name))}
    return url_for(endpoint, **kept, **changed)  # type: ignore[arg-type]  # its options are not str
