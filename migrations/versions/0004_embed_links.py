"""Links by which other dashboards show a panel."""

import sqlalchemy as sa
from alembic import op

from app.core.db import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "health_embeds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("panel_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.String(length=120), nullable=False),
        sa.Column("used_on", sa.Date(), nullable=True),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["panel_id"],
            ["health_panels.id"],
            name=op.f("fk_health_embeds_panel_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_health_embeds")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_health_embeds_token_hash")),
    )
    op.create_index("ix_health_embeds_panel", "health_embeds", ["panel_id"])


def downgrade() -> None:
    raise NotImplementedError("To go back, restore the backup.")
