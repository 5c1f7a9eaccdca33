"""Incidents as JSON: what the API takes and gives."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from app.incidents.service import LONGEST_NOTE
from app.web.texts import Strict

Words = Annotated[str, StringConstraints(strip_whitespace=True)]  # blanks say nothing


class IncidentPath(BaseModel):
    incident_id: int


class ListQuery(Strict):
    state: Literal["open", "resolved", "triage", "all"] = "open"
    severity: int | None = Field(None, ge=1, le=4)
    team: str | None = Field(None, max_length=80, description="A team's slug.")
    model: str | None = Field(None, max_length=80, description="A model's slug.")
    q: str = Field("", max_length=200, description="Words of the title, or INC-214.")
    cursor: str | None = Field(None, max_length=200)
    limit: int = Field(50, ge=1, le=200)


class SeenBody(Strict):
    version: int | None = Field(
        None,
        description="The version you saw. If it changed since, you get 409 and who changed it.",
    )


class ResolveBody(SeenBody):
    reason: Words = Field(min_length=1, max_length=2000)
    noise: bool = False


class ReopenBody(SeenBody):
    reason: Words = Field(min_length=1, max_length=2000)


class SeverityBody(SeenBody):
    severity: int = Field(ge=1, le=4)


class HandOverBody(SeenBody):
    person: str = Field(description="Their e-mail address.", max_length=254)
    note: Words = Field("", max_length=2000)


class EscalateBody(SeenBody):
    team: str = Field(description="The slug of the team to page.", max_length=80)
    note: Words = Field("", max_length=2000)


class AssignBody(SeenBody):
    model: str = Field(description="The model's slug.", max_length=80)


class NoteBody(Strict):
    text: str = Field(min_length=1, max_length=LONGEST_NOTE, description="Markdown.")
    key: str | None = Field(
        None, max_length=64, description="The same key again writes nothing new."
    )


class DeclareBody(Strict):
    title: Words = Field(min_length=1, max_length=300)
    severity: int = Field(3, ge=1, le=4)
    model: str | None = Field(None, max_length=80, description="The model's slug.")
    failure_mode: str = Field("declared_by_hand", pattern=r"^[a-z0-9_]{1,80}$")
    note: Words = Field("", max_length=LONGEST_NOTE)


class IncidentInList(BaseModel):
    id: int
    url: str
    title: str
    state: str
    severity: int
    model: str | None
    failure_mode: str
    model_version: str
    team: str | None
    lead: str | None
    alerts: int
    firing: int
    opened_at: datetime
    resolved_at: datetime | None


class Incidents(BaseModel):
    items: list[IncidentInList]
    next: str | None


class MemberOut(BaseModel):
    name: str
    summary: str
    firing: bool
    severity: int
    labels: dict[str, str]
    annotations: dict[str, str]
    links: list[dict[str, str]]
    starts_at: datetime
    ends_at: datetime | None
    last_seen_at: datetime
    times_seen: int


class RunbookOut(BaseModel):
    id: str
    version: int
    url: str


class HappeningOut(BaseModel):
    at: datetime
    kind: str
    by: str
    text: str
    detail: dict[str, Any]


class IncidentOut(IncidentInList):
    version: int
    episode: int
    noise: bool
    resolution: str | None
    acknowledged_at: datetime | None
    mitigated_at: datetime | None
    runbook: RunbookOut | None
    previous: int | None
    paging: str
    members: list[MemberOut]
    timeline: list[HappeningOut]
    evidence: dict[str, Any] | None = Field(
        description="What was known when it opened, as it was: `name`, `summary`, `labels`, "
        "`annotations`, `links` and `starts_at` of the alert, unless people declared it; and under "
        "`health` the readings of all panels of the model (`taken_at`, `panels`, `levels`, "
        "`left_out`), unless it has none. A panel that was not OK, or is one of drift, has the "
        "`points` of the hour before: [seconds since 1970, value or null, whether nobody could "
        "see], and null where its method or reference changed."
    )
