"""Where readings come from, what they said, and where each panel stands now."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.db import BigId, Table
from app.health.rules import LampState, Lane
from app.registry.tables import MlModel, Team


class AllowedHost(Table):
    """A host that Baton may ask: an administrator put it there."""

    __tablename__ = "health_hosts"

    id: Mapped[int] = mapped_column(primary_key=True)
    pattern: Mapped[str] = mapped_column(String(255), unique=True)  # host:port, *.host:port
    why: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(120))


class HealthSource(Table):
    """An API that is asked, or a sender that pushes."""

    __tablename__ = "health_sources"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(80), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    kind: Mapped[str] = mapped_column(String(40))  # a name in `sources.SOURCES`
    url: Mapped[str] = mapped_column(String(500), default="")  # empty: it pushes
    # How Baton signs in there: {"bearer": …} or {"user": …, "password": …} or {"header": …}.
    secret_encrypted: Mapped[str | None] = mapped_column(Text)
    secret_hint: Mapped[str] = mapped_column(String(60), default="")  # as in: bearer, ends in 3f9a
    options: Mapped[dict[str, Any]]  # of its kind
    every: Mapped[int]  # seconds between two looks
    # How it went, written by the poller.
    due_at: Mapped[datetime]
    asked_at: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]  # the last answer that could be read
    trouble: Mapped[str] = mapped_column(Text, default="")  # a sentence, empty while all is well
    failures: Mapped[int] = mapped_column(default=0)  # in a row
    closed_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(120))
    version: Mapped[int] = mapped_column(default=1)

    __mapper_args__ = {"version_id_col": version}
    __table_args__ = (
        Index(
            "ix_health_sources_due",
            "due_at",
            postgresql_where=text("closed_at IS NULL AND url <> ''"),
            sqlite_where=text("closed_at IS NULL AND url <> ''"),
        ),
    )


class Panel(Table):
    """One thing that is watched of one model: where it is read, and its rule."""

    __tablename__ = "health_panels"
    __table_args__ = (
        UniqueConstraint("model_id", "slug"),
        Index("ix_health_panels_source", "source_id"),
        Index("ix_health_panels_dataset", "dataset_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("ml_models.id"))
    slug: Mapped[str] = mapped_column(String(80))
    title: Mapped[str] = mapped_column(String(120))
    lane: Mapped[Lane]
    source_id: Mapped[int | None] = mapped_column(ForeignKey("health_sources.id"))
    # A panel of a data input has no source of its own: reports about the input come from any.
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("health_datasets.id"))
    preset: Mapped[str] = mapped_column(String(60), default="")  # that it was made from
    spec: Mapped[dict[str, Any]]  # what its kind of source reads
    unit: Mapped[str] = mapped_column(String(20), default="")  # as shown: ms, %, rps, rows
    window: Mapped[int]  # seconds that one reading looks back over
    # The rule, as in `rules.Rule`; limits in the panel's unit.
    above: Mapped[float | None] = mapped_column(Float(53))
    below: Mapped[float | None] = mapped_column(Float(53))
    clear: Mapped[float | None] = mapped_column(Float(53))
    k: Mapped[int] = mapped_column(default=1)
    n: Mapped[int] = mapped_column(default=1)
    min_rows: Mapped[float] = mapped_column(Float(53), default=0)
    stale_after: Mapped[int]  # seconds
    failure_mode: Mapped[str] = mapped_column(String(80), default="")  # empty: opens no incident
    severity: Mapped[int] = mapped_column(default=3)
    closed_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(120))
    version: Mapped[int] = mapped_column(default=1)

    model: Mapped[MlModel] = relationship()
    source: Mapped[HealthSource | None] = relationship()

    __mapper_args__ = {"version_id_col": version}


class EmbedLink(Table):
    """Lets somebody's own dashboard show one panel: whoever has the link reads this panel only."""

    __tablename__ = "health_embeds"
    __table_args__ = (Index("ix_health_embeds_panel", "panel_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    panel_id: Mapped[int] = mapped_column(ForeignKey("health_panels.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(120))  # of the dashboard it is for
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(120))
    used_on: Mapped[date | None]  # the last day that somebody looked
    closed_at: Mapped[datetime | None]


class Lamp(Table):
    """Where a panel stands now. One row a panel, written with each reading."""

    __tablename__ = "health_lamps"
    __table_args__ = (
        Index("ix_health_lamps_model", "model_id", "lane"),
        Index("ix_health_lamps_state", "state", "model_id"),
    )

    panel_id: Mapped[int] = mapped_column(
        ForeignKey("health_panels.id", ondelete="CASCADE"), primary_key=True
    )
    model_id: Mapped[int] = mapped_column(ForeignKey("ml_models.id"))
    lane: Mapped[Lane]
    state: Mapped[LampState]
    in_breach: Mapped[bool] = mapped_column(default=False)  # also while a gap hides it
    since: Mapped[datetime]  # of the state
    value: Mapped[float | None] = mapped_column(Float(53))
    rows: Mapped[float | None] = mapped_column(Float(53))
    newest_at: Mapped[datetime | None]  # time of the newest sample
    looked_at: Mapped[datetime]
    remark: Mapped[str] = mapped_column(String(300), default="")
    series: Mapped[str] = mapped_column(String(200), default="")  # method and reference
    # The last windows, oldest first: [[seconds since 1970, verdict], …], at most 60.
    windows: Mapped[list[Any]]
    blind_since: Mapped[datetime | None]  # unreachable or without data; none while it can be seen
    told_blind: Mapped[bool] = mapped_column(default=False)


class Reading(Table):
    """What one window said. Kept for some days, then as `ReadingHour`."""

    __tablename__ = "health_readings"
    __table_args__ = (Index("ix_health_readings_at", "at"),)

    panel_id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)  # end of the window
    state: Mapped[LampState]  # of the panel after this window
    value: Mapped[float | None] = mapped_column(Float(53))
    rows: Mapped[float | None] = mapped_column(Float(53))
    series: Mapped[str] = mapped_column(String(200), default="")


class ReadingHour(Table):
    """An hour of readings of one panel, for charts of weeks."""

    __tablename__ = "health_hours"

    panel_id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)  # the hour's begin
    state: Mapped[LampState]  # the worst
    count: Mapped[int]
    low: Mapped[float | None] = mapped_column(Float(53))
    mean: Mapped[float | None] = mapped_column(Float(53))
    high: Mapped[float | None] = mapped_column(Float(53))
    rows: Mapped[float | None] = mapped_column(Float(53))
    series: Mapped[str] = mapped_column(String(200), default="")


class Counter(Table):
    """What Baton has counted of a counter or a bucket that it scrapes, and its last raw value.

    A counter that fell was reset: its process began anew, and what it shows now is the increase.
    """

    __tablename__ = "health_counters"

    source_id: Mapped[int] = mapped_column(
        ForeignKey("health_sources.id", ondelete="CASCADE"), primary_key=True
    )
    # sha256 of the name and the sorted labels of the series
    series: Mapped[str] = mapped_column(String(64), primary_key=True)
    raw: Mapped[float] = mapped_column(Float(53))
    total: Mapped[float] = mapped_column(Float(53))  # without resets
    seen_at: Mapped[datetime]


class Scrape(Table):
    """The running totals of one scrape, from which rates and quantiles are computed."""

    __tablename__ = "health_scrapes"
    __table_args__ = (Index("ix_health_scrapes_at", "at"),)

    source_id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    samples: Mapped[bytes] = mapped_column(LargeBinary)  # compressed JSON: series -> total


class StateChange(Table):
    """A recorded fact: a panel or a service level went from one state to another.

    Append only. Higher features read it with a cursor on `id`.
    """

    __tablename__ = "health_changes"
    __table_args__ = (
        Index("ix_health_changes_panel", "panel_id", "id"),
        Index("ix_health_changes_model", "model_id", "at"),
        CheckConstraint("(panel_id IS NULL) <> (slo_id IS NULL)", name="subject"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    panel_id: Mapped[int | None]
    slo_id: Mapped[int | None]
    model_id: Mapped[int] = mapped_column(ForeignKey("ml_models.id"))
    at: Mapped[datetime]
    before: Mapped[str | None] = mapped_column(String(20))  # none: it is new
    after: Mapped[str] = mapped_column(String(20))
    # What a higher feature acts on: breach, recovered, blind, seeing, burning, burnt_out or empty.
    fact: Mapped[str] = mapped_column(String(20), default="")
    sentence: Mapped[str] = mapped_column(Text)
    detail: Mapped[dict[str, Any]]  # title, lane, value, limit, unit, source, failure_mode …


class DriftReport(Table):
    """A drift or quality report, as it came, and what Baton read from it."""

    __tablename__ = "health_reports"
    __table_args__ = (
        Index("ix_health_reports_model", "model_id", "kind", "window_end"),
        UniqueConstraint("model_id", "kind", "identity"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("ml_models.id"))
    model_version: Mapped[str] = mapped_column(String(120), default="")
    kind: Mapped[Lane]
    identity: Mapped[str] = mapped_column(String(64))  # of window, method and reference: sent again
    format: Mapped[str] = mapped_column(String(40))
    sender: Mapped[str] = mapped_column(String(120), default="")
    window_start: Mapped[datetime | None]
    window_end: Mapped[datetime]
    reference_id: Mapped[str] = mapped_column(String(200), default="")
    reference_at: Mapped[datetime | None]  # when the reference was taken, if it is known
    rows: Mapped[float | None] = mapped_column(Float(53))
    method: Mapped[str] = mapped_column(String(120), default="")
    value: Mapped[float | None] = mapped_column(Float(53))
    threshold: Mapped[float | None] = mapped_column(Float(53))  # the tool's own
    said_outside: Mapped[bool | None]  # the tool's own verdict; none: it gave none that we trust
    parts: Mapped[list[Any]]  # by column or feature: name, method, value, threshold, outside
    remark: Mapped[str] = mapped_column(Text, default="")
    received_at: Mapped[datetime]
    source_id: Mapped[int | None] = mapped_column(ForeignKey("health_sources.id"))


class Slo(Table):
    """A service level objective, with the record of the latency budget behind it."""

    __tablename__ = "health_slos"
    __table_args__ = (UniqueConstraint("model_id", "slug"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("ml_models.id"))
    slug: Mapped[str] = mapped_column(String(80))
    title: Mapped[str] = mapped_column(String(120))
    target: Mapped[float] = mapped_column(Float(53))  # as a ratio
    window_days: Mapped[int]
    source_id: Mapped[int | None] = mapped_column(ForeignKey("health_sources.id"))
    spec: Mapped[dict[str, Any]]  # how bad and total events are read
    min_events: Mapped[float] = mapped_column(Float(53), default=0)
    failure_mode: Mapped[str] = mapped_column(String(80), default="")
    # Where it stands: counts by window in seconds, {"3600": [bad, total], …}, and what burns.
    counts: Mapped[dict[str, Any]]
    burning: Mapped[str] = mapped_column(String(20), default="")  # page, ticket or empty
    burning_since: Mapped[datetime | None]
    looked_at: Mapped[datetime | None]
    trouble: Mapped[str] = mapped_column(Text, default="")
    closed_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(120))
    version: Mapped[int] = mapped_column(default=1)

    model: Mapped[MlModel] = relationship()
    source: Mapped[HealthSource | None] = relationship()

    __mapper_args__ = {"version_id_col": version}


class SloCount(Table):
    """Events of one SLO from its begin to that minute. A window is the difference of two rows."""

    __tablename__ = "health_slo_counts"

    slo_id: Mapped[int] = mapped_column(
        ForeignKey("health_slos.id", ondelete="CASCADE"), primary_key=True
    )
    at: Mapped[datetime] = mapped_column(primary_key=True)
    bad: Mapped[float] = mapped_column(Float(53))
    total: Mapped[float] = mapped_column(Float(53))


class LatencyBudget(Table):
    """What a request of a model may take, stage by stage, and what happens when it can't."""

    __tablename__ = "health_latency_budgets"
    __table_args__ = (UniqueConstraint("model_id", "route"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("ml_models.id"))
    route: Mapped[str] = mapped_column(String(120), default="")
    percentile: Mapped[float] = mapped_column(Float(53))
    budget_ms: Mapped[float] = mapped_column(Float(53))
    clock: Mapped[str] = mapped_column(String(20))  # client, edge, server, model
    panel_id: Mapped[int | None] = mapped_column(ForeignKey("health_panels.id"))  # measured by
    bucket_matched: Mapped[bool | None]  # a bucket ends at the budget; none: not looked yet
    stages: Mapped[list[Any]]  # name, budget_ms, owner, panel: observed by
    timeouts: Mapped[str] = mapped_column(Text, default="")  # timeout and retry policy, in words
    peak_rps: Mapped[float | None] = mapped_column(Float(53))
    load_tested_rps: Mapped[float | None] = mapped_column(Float(53))
    load_tested_on: Mapped[date | None]
    ladder: Mapped[list[Any]]  # rungs: title, trigger, seconds to switch, cost, last drill
    slo_id: Mapped[int | None] = mapped_column(ForeignKey("health_slos.id"))
    approved_by: Mapped[str] = mapped_column(String(120), default="")
    review_on: Mapped[date | None]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str] = mapped_column(String(120))
    version: Mapped[int] = mapped_column(default=1)

    model: Mapped[MlModel] = relationship()

    __mapper_args__ = {"version_id_col": version}


class Dataset(Table):
    """An input of models: what was promised of it, and what was last seen."""

    __tablename__ = "health_datasets"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(160), unique=True)  # as in events.clicks_v3
    team_id: Mapped[int | None] = mapped_column(ForeignKey("teams.id"))
    source_id: Mapped[int | None] = mapped_column(ForeignKey("health_sources.id"))
    # Promised.
    contract: Mapped[str] = mapped_column(String(120), default="")  # its name and version
    fresh_within: Mapped[int | None]  # seconds; none: nobody promised it
    # Schema, as last checked. None: never.
    schema_ok: Mapped[bool | None]
    schema_checked_at: Mapped[datetime | None]
    schema_rows: Mapped[float | None] = mapped_column(Float(53))
    schema_remark: Mapped[str] = mapped_column(String(300), default="")
    # Freshness counts from the last load, not from the check that saw it.
    loaded_at: Mapped[datetime | None]
    freshness_checked_at: Mapped[datetime | None]
    freshness_remark: Mapped[str] = mapped_column(String(300), default="")
    # Access.
    access_ok: Mapped[bool | None]
    access_role: Mapped[str] = mapped_column(String(120), default="")
    access_approver: Mapped[str] = mapped_column(String(120), default="")
    access_checked_at: Mapped[datetime | None]
    access_reviewed_on: Mapped[date | None]
    access_review_due: Mapped[date | None]
    access_ends_on: Mapped[date | None]
    break_glass: Mapped[int] = mapped_column(default=0)  # uses since the last review
    access_remark: Mapped[str] = mapped_column(String(300), default="")
    created_at: Mapped[datetime]
    version: Mapped[int] = mapped_column(default=1)

    team: Mapped[Team | None] = relationship()
    models: Mapped[list[MlModel]] = relationship(
        secondary="health_dataset_models", order_by=MlModel.slug
    )

    __mapper_args__ = {"version_id_col": version}


class DatasetModel(Table):
    __tablename__ = "health_dataset_models"

    dataset_id: Mapped[int] = mapped_column(
        ForeignKey("health_datasets.id", ondelete="CASCADE"), primary_key=True
    )
    model_id: Mapped[int] = mapped_column(
        ForeignKey("ml_models.id", ondelete="CASCADE"), primary_key=True, index=True
    )
