"""Teams with their pager wiring, and the machine-learning models they own."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.db import Table
from app.people.tables import User


class Team(Table):
    __tablename__ = "teams"
    __table_args__ = (
        Index(
            "uq_teams_triages",
            "triages",
            unique=True,
            postgresql_where=text("triages"),
            sqlite_where=text("triages"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(80), unique=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    # Takes the incidents that no model claims. At most one team has it.
    triages: Mapped[bool] = mapped_column(default=False)
    # PagerDuty, Events API v2. Without a key, pages go to the sandbox pager.
    routing_key_encrypted: Mapped[str | None] = mapped_column(Text)
    routing_key_last_four: Mapped[str | None] = mapped_column(String(4))
    region: Mapped[str] = mapped_column(String(2), default="us")  # us | eu
    pagerduty_service_id: Mapped[str | None] = mapped_column(String(40))
    chat_url: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime]
    version: Mapped[int] = mapped_column(default=1)

    members: Mapped[list[User]] = relationship(secondary="team_members", order_by=User.name)

    __mapper_args__ = {"version_id_col": version}


class TeamMember(Table):
    __tablename__ = "team_members"

    team_id: Mapped[int] = mapped_column(
        ForeignKey("teams.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class MlModel(Table):
    __tablename__ = "ml_models"
    __table_args__ = (CheckConstraint("tier BETWEEN 1 AND 4", name="tier"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(80), unique=True)  # the name people say aloud
    purpose: Mapped[str] = mapped_column(Text, default="")
    tier: Mapped[int]
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"), index=True)  # the owner
    deputy_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    tags: Mapped[list[str]] = mapped_column(default=list)
    created_at: Mapped[datetime]
    retired_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)

    team: Mapped[Team] = relationship()
    deputy: Mapped[User | None] = relationship()
    matchers: Mapped[list["ModelMatcher"]] = relationship(
        order_by="ModelMatcher.id", cascade="all, delete-orphan"
    )

    __mapper_args__ = {"version_id_col": version}


class ModelMatcher(Table):
    """Labels by which an alert is this model's: all of one matcher must fit, any matcher will do.

    A value may hold `*` for any run of characters. A model without a matcher is found by a label
    `model` or `model_name` that equals its slug.
    """

    __tablename__ = "model_matchers"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(
        ForeignKey("ml_models.id", ondelete="CASCADE"), index=True
    )
    labels: Mapped[dict[str, str]]
