"""What the API of runs takes and gives."""

from typing import Any

from pydantic import AwareDatetime, BaseModel, Field

from app.runbooks.runs.queries import Followed
from app.runbooks.runs.rules import Mode, RunStatus, Standing, StepState
from app.runbooks.runs.tables import RunEvent
from app.web.texts import Strict


class RunPath(Strict):
    run_id: int = Field(ge=1, lt=2**31)


class EventsQuery(Strict):
    since: int = Field(0, ge=0, lt=2**31, description="Only events after this `seq`.")


class EventBody(Strict):
    kind: str = Field(
        description="opened, done, failed, skipped, decided, waiting, taken_back or noted."
    )
    step: str = Field(max_length=80, description="Id of the step.")
    seen: int = Field(0, ge=0, lt=2**31, description="The `seq` of the step as you saw it.")
    client_event_id: str = Field(
        min_length=1, max_length=64, description="Yours; sending it again changes nothing."
    )
    said_at: AwareDatetime | None = Field(None, description="When it was done, if earlier.")
    note: str = Field("", max_length=4000)
    what: str = Field("", description="Of a failure: failed, timed_out or cannot.")
    reason: str = Field("", max_length=500, description="Of a skipped step.")
    option: int | None = Field(None, description="Of a decision; 0 is none of these.")
    typed: str = Field("", max_length=200, description="The confirmation of a risky step.")
    taken_back: int | None = Field(None, description="The `seq` of the event to take back.")

    def detail(self) -> dict[str, Any]:
        of_kind: dict[str, dict[str, Any]] = {
            "done": {"note": self.note, "typed": self.typed},
            "failed": {"what": self.what, "note": self.note},
            "skipped": {"reason": self.reason},
            "decided": {"option": self.option, "note": self.note},
            "taken_back": {"seq": self.taken_back},
            "noted": {"text": self.note},
        }
        return of_kind.get(self.kind, {})


class EventOut(BaseModel):
    seq: int
    kind: str
    step: str | None
    at: AwareDatetime
    said_at: AwareDatetime
    actor: str
    client_event_id: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, event: RunEvent) -> "EventOut":
        return cls(
            seq=event.seq,
            kind=event.kind.value,
            step=event.step_id,
            at=event.at,
            said_at=event.said_at,
            actor=event.actor,
            client_event_id=event.client_event_id,
            detail=event.detail,
        )


class StandingOut(BaseModel):
    """Where a step stands. Whoever moves it says `seq` as `seen`."""

    id: str
    number: int
    title: str
    state: StepState
    seq: int
    by: str
    at: AwareDatetime | None
    until: AwareDatetime | None

    @classmethod
    def of(cls, step_id: str, number: int, title: str, standing: Standing) -> "StandingOut":
        return cls(
            id=step_id,
            number=number,
            title=title,
            state=standing.state,
            seq=standing.seq,
            by=standing.actor,
            at=standing.at,
            until=standing.until,
        )


class RunOut(BaseModel):
    id: int
    mode: Mode
    status: RunStatus
    runbook: str
    version: int
    incident: int | None
    variables: dict[str, str]
    started_at: AwareDatetime
    started_by: str
    ended_at: AwareDatetime | None
    seq: int
    current: str | None
    steps: list[StandingOut]
    events: list[EventOut]

    @classmethod
    def of(cls, followed: Followed, since: int = 0) -> "RunOut":
        run = followed.run
        return cls(
            id=run.id,
            mode=run.mode,
            status=run.status,
            runbook=run.runbook.slug,
            version=run.runbook_version.number,
            incident=run.incident_id,
            variables=run.variables,
            started_at=run.started_at,
            started_by=run.started_by,
            ended_at=run.ended_at,
            seq=run.last_seq,
            current=followed.state.current,
            steps=[
                StandingOut.of(step.id, step.number, step.title, followed.state.of(step.id))
                for step in followed.plan.steps
            ],
            events=[EventOut.of(event) for event in followed.events if event.seq > since],
        )


class Taken(BaseModel):
    event: EventOut
    again: bool = Field(description="It had been kept before.")
    run: RunOut
