"""Drills as JSON."""

from typing import Any

from flask import url_for
from flask_openapi3 import APIBlueprint, Tag
from pydantic import AwareDatetime, BaseModel, Field

from app.people.access import allows
from app.runbooks.runs.drills import queries
from app.runbooks.runs.drills.queries import Drilled, Due
from app.runbooks.runs.drills.rules import Remark as Said
from app.runbooks.runs.rules import RunStatus
from app.web.navigation import url_if_there
from app.web.texts import Strict

api = APIBlueprint("drills_api", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="Drills")])


class DrillQuery(Strict):
    cursor: str | None = Field(None, description="`next` of the page before.")
    limit: int = Field(50, ge=1, le=100)
    runbook: str = Field("", max_length=120, description="The slug of a runbook.")
    owner: str = Field("", max_length=120, description="The owner of runbooks, as they say it.")


class PlannedQuery(Strict):
    owner: str = Field("", max_length=120, description="The owner of runbooks, as they say it.")


class Remark(BaseModel):
    step: str
    number: int = Field(description="0 if the version has the step no more.")
    title: str
    sentence: str
    by: str
    at: AwareDatetime

    @classmethod
    def of(cls, said: Said) -> "Remark":
        return cls(
            step=said.step_id,
            number=said.number,
            title=said.title,
            sentence=said.sentence,
            by=said.by,
            at=said.at,
        )


class Drill(BaseModel):
    run: int
    runbook: str
    version: int
    model: str | None
    status: RunStatus
    driver: str
    started_at: AwareDatetime
    ended_at: AwareDatetime | None
    proven: bool = Field(description="It set when the runbook was last verified.")
    scenario: dict[str, Any]
    seconds_to_first_action: float | None
    seconds: float | None = Field(description="In all; null while it goes on.")
    wrong_branches: list[Remark]
    failed_expectations: list[Remark]
    skipped: list[Remark]
    risky_steps_played: list[Remark]
    url: str | None

    @classmethod
    def of(cls, one: Drilled) -> "Drill":
        run, report = one.run, one.report
        first, length = report.first_action, report.length
        return cls(
            run=run.id,
            runbook=run.runbook.slug,
            version=run.runbook_version.number,
            model=run.model_name,
            status=run.status,
            driver=run.started_by,
            started_at=run.started_at,
            ended_at=run.ended_at,
            proven=one.proven,
            scenario=run.scenario,
            seconds_to_first_action=first.total_seconds() if first is not None else None,
            seconds=length.total_seconds() if length is not None else None,
            wrong_branches=[Remark.of(said) for said in report.wrong_branches],
            failed_expectations=[Remark.of(said) for said in report.failed],
            skipped=[Remark.of(said) for said in report.skipped],
            risky_steps_played=[Remark.of(said) for said in report.played],
            url=url_if_there("runs.detail", run_id=run.id, _external=True),
        )


class Drills(BaseModel):
    items: list[Drill]
    next: str | None


class Planned(BaseModel):
    id: int
    runbook: str
    title: str
    owner: str | None
    due_at: AwareDatetime = Field(description="Noon of the day until whose end it may take place.")
    driver: str | None
    note: str
    planned_by: str
    last_verified_at: AwareDatetime | None
    url: str

    @classmethod
    def of(cls, one: Due) -> "Planned":
        assert one.planned_id is not None
        return cls(
            id=one.planned_id,
            runbook=one.slug,
            title=one.title,
            owner=one.owner,
            due_at=one.due_at,
            driver=one.driver,
            note=one.note,
            planned_by=one.planned_by,
            last_verified_at=one.proven_at,
            url=url_for("drills.begin", slug=one.slug, _external=True),
        )


class AllPlanned(BaseModel):
    items: list[Planned]
    next: str | None = Field(None, description="Always null: all of them are here.")


@api.get("/drills", summary="Drills, the newest first, and what they showed",
         responses={200: Drills})  # fmt: skip
@allows("runbooks:read")
def drills(query: DrillQuery) -> dict[str, Any]:
    found = queries.drill_page(query.runbook, query.owner, after=query.cursor, size=query.limit)
    items = [Drill.of(one) for one in found.items]
    return Drills(items=items, next=found.next).model_dump(mode="json")


@api.get("/drills/planned", summary="Drills that are planned, the next first",
         responses={200: AllPlanned})  # fmt: skip
@allows("runbooks:read")
def planned(query: PlannedQuery) -> dict[str, Any]:
    items = [Planned.of(one) for one in queries.planned_drills(query.owner)]
    return AllPlanned(items=items).model_dump(mode="json")
