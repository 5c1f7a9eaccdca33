"""Runs and their events.

What happened in a run is the list of its events, which is only added to; where the run stands is
read from it (`rules.fold`). A run is pinned to a version, and changes to another by an event.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.db import Table
from app.runbooks.runs.rules import EventKind, Mode, RunStatus
from app.runbooks.tables import Runbook, RunbookVersion


class Run(Table):
    """Somebody follows a version of a runbook, for an incident or as a drill."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("ix_runs_incident", "incident_id", "id"),
        Index("ix_runs_runbook", "runbook_id", "id"),
        Index(
            "ix_runs_open",
            "id",
            postgresql_where=text("status = 'open'"),
            sqlite_where=text("status = 'open'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    mode: Mapped[Mode]
    status: Mapped[RunStatus]
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"))  # none: a drill
    runbook_id: Mapped[int] = mapped_column(ForeignKey("runbooks.id"))
    version_id: Mapped[int] = mapped_column(ForeignKey("runbook_versions.id"))  # followed now
    model_name: Mapped[str | None] = mapped_column(String(120))
    variables: Mapped[dict[str, str]]  # as filled in now; none of them secret
    scenario: Mapped[dict[str, Any]]  # of a drill: what is played, {} for a real run
    started_at: Mapped[datetime]
    started_by: Mapped[str] = mapped_column(String(120))
    started_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    ended_at: Mapped[datetime | None]
    last_seq: Mapped[int] = mapped_column(default=0)  # of its newest event

    runbook: Mapped[Runbook] = relationship()
    runbook_version: Mapped[RunbookVersion] = relationship()


class RunEvent(Table):
    """Something that happened in a run: append only."""

    __tablename__ = "run_events"
    __table_args__ = (
        UniqueConstraint("run_id", "seq"),
        # A client that heard no answer sends the same again.
        UniqueConstraint("run_id", "client_event_id"),
        Index("ix_run_events_step", "step_id", "kind"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    seq: Mapped[int]  # from 1, without gaps
    step_id: Mapped[str | None] = mapped_column(String(80))
    kind: Mapped[EventKind]
    at: Mapped[datetime]  # when the server took it
    said_at: Mapped[datetime]  # when the person did it: earlier, if they were offline
    actor: Mapped[str] = mapped_column(String(120))
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))  # none: Baton itself
    client_event_id: Mapped[str] = mapped_column(String(64))
    detail: Mapped[dict[str, Any]]


class Presence(Table):
    """Who looks at a run, at which step, and which one they have taken on. Rows are replaced."""

    __tablename__ = "run_presence"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    step_id: Mapped[str | None] = mapped_column(String(80))  # read now
    claimed_step_id: Mapped[str | None] = mapped_column(String(80))
    claimed_at: Mapped[datetime | None]
    seen_at: Mapped[datetime]


class Verification(Table):
    """A drill or a real run that proved a version: append only. Nothing else sets `last verified`."""

    __tablename__ = "runbook_verifications"
    __table_args__ = (Index("ix_runbook_verifications_runbook", "runbook_id", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    runbook_id: Mapped[int] = mapped_column(ForeignKey("runbooks.id"))
    version_id: Mapped[int] = mapped_column(ForeignKey("runbook_versions.id"))
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), unique=True)
    how: Mapped[str] = mapped_column(String(20))  # drill | incident
    at: Mapped[datetime]
    by: Mapped[str] = mapped_column(String(120))


class PlannedDrill(Table):
    """A drill that is to take place."""

    __tablename__ = "planned_drills"
    __table_args__ = (Index("ix_planned_drills_due", "due_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    runbook_id: Mapped[int] = mapped_column(ForeignKey("runbooks.id"))
    due_at: Mapped[datetime]
    driver_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    note: Mapped[str] = mapped_column(Text, default="")
    planned_by: Mapped[str] = mapped_column(String(120))
    planned_at: Mapped[datetime]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))  # that it became
    called_off_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)

    runbook: Mapped[Runbook] = relationship()

    __mapper_args__ = {"version_id_col": version}
