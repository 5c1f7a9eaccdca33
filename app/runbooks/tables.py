"""Runbooks and their immutable versions.

A version row, its steps and its signals are written once and never changed; where a version
stands (draft, in review, published, retired) is the last of its `VersionEvent`s, and the runbook
points at the one that is published. An incident pins a version, so that what people followed can
be read for ever.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.db import Table
from app.runbooks.rules import Status, StepKind, Verdict


class Runbook(Table):
    __tablename__ = "runbooks"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(120), unique=True)  # the file's id; never used again
    title: Mapped[str] = mapped_column(String(300))  # of the published version, else the newest
    failure_mode: Mapped[str | None] = mapped_column(String(80), index=True)
    owner: Mapped[str | None] = mapped_column(String(120))  # a team's slug, as the file says
    published_id: Mapped[int | None] = mapped_column(
        ForeignKey("runbook_versions.id", use_alter=True)
    )
    source_path: Mapped[str | None] = mapped_column(String(500))  # below the runbooks folder
    # The text that file and database last agreed on; what differs from it has changed since.
    synced_sha256: Mapped[str | None] = mapped_column(String(64))
    synced_id: Mapped[int | None]  # the version that it was
    created_at: Mapped[datetime]
    retired_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)  # of this row, not of the text

    published: Mapped["RunbookVersion | None"] = relationship(foreign_keys=[published_id])

    __mapper_args__ = {"version_id_col": version}


class RunbookVersion(Table):
    __tablename__ = "runbook_versions"
    __table_args__ = (
        UniqueConstraint("runbook_id", "number"),
        # The same text may come back after another (a revert), so this is no unique key.
        Index("ix_runbook_versions_sha256", "runbook_id", "sha256"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    runbook_id: Mapped[int] = mapped_column(ForeignKey("runbooks.id"))
    number: Mapped[int]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("runbook_versions.id"))
    sha256: Mapped[str] = mapped_column(String(64))  # of the canonical text
    source: Mapped[bytes] = mapped_column(LargeBinary)  # as it came, byte for byte
    front_matter: Mapped[dict[str, Any]]
    title: Mapped[str] = mapped_column(String(300))
    dialect: Mapped[str] = mapped_column(String(10), default="gfm")
    author: Mapped[str] = mapped_column(String(120))
    author_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    message: Mapped[str] = mapped_column(Text, default="")
    origin: Mapped[
        dict[str, Any]
    ]  # {"kind": "folder", "path": …, "commit": …} or {"kind": "browser"}
    created_at: Mapped[datetime]

    runbook: Mapped[Runbook] = relationship(foreign_keys=[runbook_id])
    steps: Mapped[list["RunbookStep"]] = relationship(order_by="RunbookStep.position")
    signals: Mapped[list["RunbookSignal"]] = relationship(order_by="RunbookSignal.id")


class VersionEvent(Table):
    """A version moved: append only."""

    __tablename__ = "runbook_version_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("runbook_versions.id"), index=True)
    status: Mapped[Status]
    at: Mapped[datetime]
    by: Mapped[str] = mapped_column(String(120))
    by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    reason: Mapped[str] = mapped_column(Text, default="")
    emergency: Mapped[bool] = mapped_column(default=False)


class Review(Table):
    """What a second person said of a version: append only."""

    __tablename__ = "runbook_reviews"

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("runbook_versions.id"), index=True)
    verdict: Mapped[Verdict]
    comment: Mapped[str] = mapped_column(Text, default="")
    at: Mapped[datetime]
    by: Mapped[str] = mapped_column(String(120))
    by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


class Draft(Table):
    """The text that is being edited: one for each runbook, until it becomes a version."""

    __tablename__ = "runbook_drafts"

    runbook_id: Mapped[int] = mapped_column(ForeignKey("runbooks.id"), primary_key=True)
    base_id: Mapped[int | None] = mapped_column(ForeignKey("runbook_versions.id"))
    source: Mapped[str] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text, default="")
    saved_at: Mapped[datetime]
    saved_by: Mapped[str] = mapped_column(String(120))
    saved_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    writers: Mapped[list[Any]]  # ids of all who saved it: none of them is a second person
    version: Mapped[int] = mapped_column(default=1)  # of this row

    runbook: Mapped[Runbook] = relationship()
    base: Mapped[RunbookVersion | None] = relationship()

    __mapper_args__ = {"version_id_col": version}


class Asset(Table):
    """A picture or another file beside a runbook, by the hash of its bytes."""

    __tablename__ = "runbook_assets"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(80))
    content: Mapped[bytes] = mapped_column(LargeBinary)


class VersionAsset(Table):
    """Which asset a version means by a relative path."""

    __tablename__ = "runbook_version_assets"

    version_id: Mapped[int] = mapped_column(ForeignKey("runbook_versions.id"), primary_key=True)
    path: Mapped[str] = mapped_column(String(500), primary_key=True)  # as the text says it
    sha256: Mapped[str] = mapped_column(ForeignKey("runbook_assets.sha256"))


class RunbookStep(Table):
    __tablename__ = "runbook_steps"
    __table_args__ = (UniqueConstraint("version_id", "step_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("runbook_versions.id"))
    position: Mapped[int]  # from 1
    step_id: Mapped[str] = mapped_column(
        String(80)
    )  # in the file's comment; stays through versions
    section: Mapped[str] = mapped_column(String(120))  # the heading above it
    kind: Mapped[StepKind]
    title: Mapped[str] = mapped_column(String(300))
    body: Mapped[str] = mapped_column(Text)  # Markdown, as written
    risk: Mapped[str | None] = mapped_column(String(10))  # none | low | high
    minutes: Mapped[int | None]
    attributes: Mapped[dict[str, str]]  # all the comment says, unknown keys too


class RunbookSignal(Table):
    """What attaches this version to an incident."""

    __tablename__ = "runbook_signals"

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("runbook_versions.id"), index=True)
    alertname: Mapped[str | None] = mapped_column(String(200), index=True)  # lower case
    metric: Mapped[str | None] = mapped_column(String(200))
    condition: Mapped[dict[str, Any]]  # the signal as the file says it


class RunbookRendering(Table):
    """HTML of a version, kept because a version never changes."""

    __tablename__ = "runbook_renderings"

    version_id: Mapped[int] = mapped_column(ForeignKey("runbook_versions.id"), primary_key=True)
    renderer: Mapped[str] = mapped_column(String(20), primary_key=True)  # its release
    parts: Mapped[dict[str, Any]]  # {"intro": html, "steps": {step_id: html}, …}
