"""Incidents, the alerts that belong to them, and what happened."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.db import BigId, Json, Table
from app.incidents.rules import State
from app.people.tables import User
from app.registry.tables import MlModel, Team
from app.runbooks.tables import RunbookVersion

OPEN = text("state <> 'resolved'")
FIRING = text("firing")


class Incident(Table):
    """One failure of one version of one model. Its number is its id: INC-214."""

    __tablename__ = "incidents"
    __table_args__ = (
        CheckConstraint("severity BETWEEN 1 AND 4", name="severity"),
        # What makes forty alerts one incident, whoever writes first.
        Index(
            "uq_incidents_open",
            "model_id",
            "failure_mode",
            "model_version",
            unique=True,
            postgresql_where=text("state <> 'resolved' AND model_id IS NOT NULL"),
            sqlite_where=text("state <> 'resolved' AND model_id IS NOT NULL"),
        ),
        Index(
            "uq_incidents_open_triage",
            "triage_key",
            unique=True,
            postgresql_where=text("state <> 'resolved' AND triage_key IS NOT NULL"),
            sqlite_where=text("state <> 'resolved' AND triage_key IS NOT NULL"),
        ),
        Index("ix_incidents_state", "state", "severity", "id"),
        Index("ix_incidents_model", "model_id", "failure_mode", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(String(32), unique=True)  # in keys that leave Baton
    title: Mapped[str] = mapped_column(String(300))
    state: Mapped[State]
    severity: Mapped[int]  # 1 is the worst
    severity_set_by_hand: Mapped[bool] = mapped_column(default=False)
    model_id: Mapped[int | None] = mapped_column(ForeignKey("ml_models.id"))  # none: in triage
    failure_mode: Mapped[str] = mapped_column(String(120))
    model_version: Mapped[str] = mapped_column(String(120), default="")  # "": the alerts name none
    triage_key: Mapped[str | None] = mapped_column(String(64))  # identity while no model claims it
    team_id: Mapped[int | None] = mapped_column(ForeignKey("teams.id"), index=True)
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    runbook_version_id: Mapped[int | None] = mapped_column(ForeignKey("runbook_versions.id"))
    previous_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"))  # same, seen before
    declared_by_hand: Mapped[bool] = mapped_column(default=False)  # alerts don't resolve it
    # How often it was opened. PagerDuty never reopens, so each episode is a page of its own.
    episode: Mapped[int] = mapped_column(default=1)
    member_count: Mapped[int] = mapped_column(default=0)
    firing_count: Mapped[int] = mapped_column(default=0)
    opened_at: Mapped[datetime] = mapped_column(index=True)
    last_alert_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]
    mitigated_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
    resolved_by_hand: Mapped[bool] = mapped_column(default=False)
    resolution: Mapped[str | None] = mapped_column(Text)  # why it is over
    noise: Mapped[bool] = mapped_column(default=False)
    version: Mapped[int] = mapped_column(default=1)  # raised by what people must not overwrite

    model: Mapped[MlModel | None] = relationship()
    team: Mapped[Team | None] = relationship()
    lead: Mapped[User | None] = relationship()
    runbook_version: Mapped[RunbookVersion | None] = relationship()
    previous: Mapped["Incident | None"] = relationship(remote_side=[id])

    __mapper_args__ = {"version_id_col": version}


class Member(Table):
    """An alert as part of an incident, as it was last told."""

    __tablename__ = "incident_members"
    __table_args__ = (
        UniqueConstraint("incident_id", "integration_id", "fingerprint"),
        # An alert is firing in one incident at a time.
        Index(
            "uq_incident_members_firing",
            "integration_id",
            "fingerprint",
            unique=True,
            postgresql_where=FIRING,
            sqlite_where=FIRING,
        ),
        Index(
            "ix_incident_members_group",
            "integration_id",
            "group_key",
            postgresql_where=FIRING,
            sqlite_where=FIRING,
        ),
        Index("ix_incident_members_name", text("lower(name)")),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"))
    integration_id: Mapped[int]  # the door it came by
    fingerprint: Mapped[str] = mapped_column(String(255))
    group_key: Mapped[str | None] = mapped_column(String(64))  # hash of the sender's group
    firing: Mapped[bool]
    name: Mapped[str] = mapped_column(String(300))
    summary: Mapped[str] = mapped_column(Text)
    severity: Mapped[int]
    labels: Mapped[dict[str, str]]
    annotations: Mapped[dict[str, str]]
    links: Mapped[list[Any]] = mapped_column(Json)  # [{"href": …, "text": …}]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    times_seen: Mapped[int] = mapped_column(default=1)


class Entry(Table):
    """A line of the timeline: append only."""

    __tablename__ = "incident_entries"
    __table_args__ = (Index("ix_incident_entries_incident_id", "incident_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"))
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(20))  # opened, acknowledged, note, severity, …
    actor_kind: Mapped[str] = mapped_column(
        String(20)
    )  # person | token | alert | pagerduty | baton
    actor_id: Mapped[int | None]
    actor_name: Mapped[str] = mapped_column(String(120))
    text: Mapped[str] = mapped_column(Text, default="")  # a note's Markdown, or the sentence shown
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    key: Mapped[str | None] = mapped_column(String(64), unique=True)  # of a form, against repeats


class Evidence(Table):
    """What was known when the incident opened. Stays as it was."""

    __tablename__ = "incident_evidence"

    id: Mapped[int] = mapped_column(primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"), index=True)
    episode: Mapped[int]
    kind: Mapped[str] = mapped_column(String(20))  # alert; health readings join it
    taken_at: Mapped[datetime]
    content: Mapped[dict[str, Any]]
