"""Freshness and coverage as JSON, on the blueprint of `api`."""

from typing import Any

from flask import url_for
from pydantic import AwareDatetime, BaseModel, Field

from app.core.clock import now
from app.people.access import allows
from app.registry import queries as registry
from app.registry.queries import ModelFilter
from app.runbooks import reports
from app.runbooks.api import api as api  # with the routes below
from app.runbooks.coverage import Cell, Cover, Model
from app.runbooks.freshness import Proof
from app.runbooks.reports import Trust
from app.web.texts import Strict


class FreshnessQuery(Strict):
    owner: str = Field("", max_length=120, description="As the files say it.")


class Staleness(BaseModel):
    slug: str
    title: str
    owner: str | None
    published: bool
    score: int = Field(description="0 is fresh, 100 is as stale as can be.")
    state: Proof
    reasons: list[str]
    verified_at: AwareDatetime | None
    verified_how: str | None = Field(description="drill, incident, or file: said by the file.")
    due_at: AwareDatetime | None
    runs: int = Field(description="That have ended.")
    drills: int = Field(description="Of the runs.")
    median_minutes: float | None = Field(description="Of the runs that were finished.")
    incidents: int = Field(description="In which it was followed to an end.")
    incidents_closed: int = Field(description="Of them: its run was finished, not left.")
    url: str

    @classmethod
    def of(cls, one: Trust) -> "Staleness":
        book, found, use = one.book, one.freshness, one.use
        return cls(
            slug=book.slug,
            title=book.title,
            owner=book.owner,
            published=book.is_published,
            score=found.score,
            state=found.proof,
            reasons=list(found.reasons),
            verified_at=found.verified_at,
            verified_how=found.verified_how,
            due_at=found.due_at,
            runs=use.runs,
            drills=use.drills,
            median_minutes=use.minutes,
            incidents=use.incidents,
            incidents_closed=use.closed,
            url=url_for("runbooks.detail", slug=book.slug, _external=True),
        )


class FreshnessReport(BaseModel):
    items: list[Staleness] = Field(description="The stalest first.")


class CoverageQuery(Strict):
    cursor: str | None = Field(None, description="`next` of the page before.")
    limit: int = Field(50, ge=1, le=200)
    search: str = Field("", max_length=200)
    team: str = Field("", max_length=120, description="Its slug.")
    tier: int | None = Field(None, ge=1, le=4)
    tag: str = Field("", max_length=120)


class Covered(BaseModel):
    state: Cover = Field(description="proven, unproven, no_signal, or none: no runbook.")
    runbook: str | None = Field(description="The slug of the one that fits best.")
    proven_at: AwareDatetime | None

    @classmethod
    def of(cls, cell: Cell) -> "Covered":
        return cls(state=cell.cover, runbook=cell.slug or None, proven_at=cell.proven_at)


class CoverageLine(BaseModel):
    model: str
    tier: int
    team: str
    failure_modes: dict[str, Covered]


class CoverageReport(BaseModel):
    items: list[CoverageLine]
    next: str | None


@api.get(
    "/runbooks/freshness",
    summary="How far each runbook can be trusted",
    responses={200: FreshnessReport},
)
@allows("runbooks:read")
def freshness(query: FreshnessQuery) -> dict[str, Any]:
    items = [
        Staleness.of(one)
        for one in reports.trust_of_all(at=now())
        if not query.owner or one.book.owner == query.owner
    ]
    return FreshnessReport(items=items).model_dump(mode="json")


@api.get(
    "/runbooks/coverage",
    summary="Models against failure modes: is there a runbook, a signal, a proof?",
    responses={200: CoverageReport},
)
@allows("runbooks:read")
def coverage(query: CoverageQuery) -> dict[str, Any]:
    wanted = ModelFilter(query.search, query.team, query.tier, query.tag)
    found = registry.model_list(wanted, after=query.cursor, size=query.limit)
    matrix = reports.matrix(at=now())
    items = []
    for line in found.items:
        cells = matrix.row(Model(line.slug, tuple(line.tags)))
        modes = {mode: Covered.of(cell) for mode, cell in zip(matrix.modes, cells, strict=True)}
        items.append(
            CoverageLine(model=line.slug, tier=line.tier, team=line.team_slug, failure_modes=modes)
        )
    return CoverageReport(items=items, next=found.next).model_dump(mode="json")
