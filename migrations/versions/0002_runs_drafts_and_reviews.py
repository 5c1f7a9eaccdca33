"""Runs, drafts and reviews

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

from app.core.db import Json, UtcDateTime

APPEND_ONLY = ("run_events", "runbook_reviews", "runbook_verifications")

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('runbook_assets',
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('media_type', sa.String(length=80), nullable=False),
    sa.Column('content', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('sha256', name=op.f('pk_runbook_assets'))
    )
    op.create_table('runbook_drafts',
    sa.Column('runbook_id', sa.Integer(), nullable=False),
    sa.Column('base_id', sa.Integer(), nullable=True),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('message', sa.Text(), nullable=False),
    sa.Column('saved_at', UtcDateTime(), nullable=False),
    sa.Column('saved_by', sa.String(length=120), nullable=False),
    sa.Column('saved_by_id', sa.Integer(), nullable=True),
    sa.Column('writers', Json, nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['base_id'], ['runbook_versions.id'], name=op.f('fk_runbook_drafts_base_id')),
    sa.ForeignKeyConstraint(['runbook_id'], ['runbooks.id'], name=op.f('fk_runbook_drafts_runbook_id')),
    sa.ForeignKeyConstraint(['saved_by_id'], ['users.id'], name=op.f('fk_runbook_drafts_saved_by_id')),
    sa.PrimaryKeyConstraint('runbook_id', name=op.f('pk_runbook_drafts'))
    )
    op.create_table('runbook_reviews',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('version_id', sa.Integer(), nullable=False),
    sa.Column('verdict', sa.String(20), nullable=False),
    sa.Column('comment', sa.Text(), nullable=False),
    sa.Column('at', UtcDateTime(), nullable=False),
    sa.Column('by', sa.String(length=120), nullable=False),
    sa.Column('by_id', sa.Integer(), nullable=True),
    sa.ForeignKeyConstraint(['by_id'], ['users.id'], name=op.f('fk_runbook_reviews_by_id')),
    sa.ForeignKeyConstraint(['version_id'], ['runbook_versions.id'], name=op.f('fk_runbook_reviews_version_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_runbook_reviews'))
    )
    with op.batch_alter_table('runbook_reviews', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_runbook_reviews_version_id'), ['version_id'], unique=False)

    op.create_table('runbook_version_assets',
    sa.Column('version_id', sa.Integer(), nullable=False),
    sa.Column('path', sa.String(length=500), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['sha256'], ['runbook_assets.sha256'], name=op.f('fk_runbook_version_assets_sha256')),
    sa.ForeignKeyConstraint(['version_id'], ['runbook_versions.id'], name=op.f('fk_runbook_version_assets_version_id')),
    sa.PrimaryKeyConstraint('version_id', 'path', name=op.f('pk_runbook_version_assets'))
    )
    op.create_table('runs',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('mode', sa.String(20), nullable=False),
    sa.Column('status', sa.String(20), nullable=False),
    sa.Column('incident_id', sa.Integer(), nullable=True),
    sa.Column('runbook_id', sa.Integer(), nullable=False),
    sa.Column('version_id', sa.Integer(), nullable=False),
    sa.Column('model_name', sa.String(length=120), nullable=True),
    sa.Column('variables', Json, nullable=False),
    sa.Column('scenario', Json, nullable=False),
    sa.Column('started_at', UtcDateTime(), nullable=False),
    sa.Column('started_by', sa.String(length=120), nullable=False),
    sa.Column('started_by_id', sa.Integer(), nullable=True),
    sa.Column('ended_at', UtcDateTime(), nullable=True),
    sa.Column('last_seq', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['incident_id'], ['incidents.id'], name=op.f('fk_runs_incident_id')),
    sa.ForeignKeyConstraint(['runbook_id'], ['runbooks.id'], name=op.f('fk_runs_runbook_id')),
    sa.ForeignKeyConstraint(['started_by_id'], ['users.id'], name=op.f('fk_runs_started_by_id')),
    sa.ForeignKeyConstraint(['version_id'], ['runbook_versions.id'], name=op.f('fk_runs_version_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_runs'))
    )
    with op.batch_alter_table('runs', schema=None) as batch_op:
        batch_op.create_index('ix_runs_incident', ['incident_id', 'id'], unique=False)
        batch_op.create_index('ix_runs_open', ['id'], unique=False, postgresql_where=sa.text("status = 'open'"), sqlite_where=sa.text("status = 'open'"))
        batch_op.create_index('ix_runs_runbook', ['runbook_id', 'id'], unique=False)

    op.create_table('planned_drills',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('runbook_id', sa.Integer(), nullable=False),
    sa.Column('due_at', UtcDateTime(), nullable=False),
    sa.Column('driver_id', sa.Integer(), nullable=True),
    sa.Column('note', sa.Text(), nullable=False),
    sa.Column('planned_by', sa.String(length=120), nullable=False),
    sa.Column('planned_at', UtcDateTime(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=True),
    sa.Column('called_off_at', UtcDateTime(), nullable=True),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['driver_id'], ['users.id'], name=op.f('fk_planned_drills_driver_id')),
    sa.ForeignKeyConstraint(['run_id'], ['runs.id'], name=op.f('fk_planned_drills_run_id')),
    sa.ForeignKeyConstraint(['runbook_id'], ['runbooks.id'], name=op.f('fk_planned_drills_runbook_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_planned_drills'))
    )
    with op.batch_alter_table('planned_drills', schema=None) as batch_op:
        batch_op.create_index('ix_planned_drills_due', ['due_at'], unique=False)

    op.create_table('run_events',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('seq', sa.Integer(), nullable=False),
    sa.Column('step_id', sa.String(length=80), nullable=True),
    sa.Column('kind', sa.String(20), nullable=False),
    sa.Column('at', UtcDateTime(), nullable=False),
    sa.Column('said_at', UtcDateTime(), nullable=False),
    sa.Column('actor', sa.String(length=120), nullable=False),
    sa.Column('actor_id', sa.Integer(), nullable=True),
    sa.Column('client_event_id', sa.String(length=64), nullable=False),
    sa.Column('detail', Json, nullable=False),
    sa.ForeignKeyConstraint(['actor_id'], ['users.id'], name=op.f('fk_run_events_actor_id')),
    sa.ForeignKeyConstraint(['run_id'], ['runs.id'], name=op.f('fk_run_events_run_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_run_events')),
    sa.UniqueConstraint('run_id', 'client_event_id', name=op.f('uq_run_events_run_id_client_event_id')),
    sa.UniqueConstraint('run_id', 'seq', name=op.f('uq_run_events_run_id_seq'))
    )
    with op.batch_alter_table('run_events', schema=None) as batch_op:
        batch_op.create_index('ix_run_events_step', ['step_id', 'kind'], unique=False)

    op.create_table('run_presence',
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('step_id', sa.String(length=80), nullable=True),
    sa.Column('claimed_step_id', sa.String(length=80), nullable=True),
    sa.Column('claimed_at', UtcDateTime(), nullable=True),
    sa.Column('seen_at', UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['run_id'], ['runs.id'], name=op.f('fk_run_presence_run_id')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_run_presence_user_id')),
    sa.PrimaryKeyConstraint('run_id', 'user_id', name=op.f('pk_run_presence'))
    )
    op.create_table('runbook_verifications',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('runbook_id', sa.Integer(), nullable=False),
    sa.Column('version_id', sa.Integer(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('how', sa.String(length=20), nullable=False),
    sa.Column('at', UtcDateTime(), nullable=False),
    sa.Column('by', sa.String(length=120), nullable=False),
    sa.ForeignKeyConstraint(['run_id'], ['runs.id'], name=op.f('fk_runbook_verifications_run_id')),
    sa.ForeignKeyConstraint(['runbook_id'], ['runbooks.id'], name=op.f('fk_runbook_verifications_runbook_id')),
    sa.ForeignKeyConstraint(['version_id'], ['runbook_versions.id'], name=op.f('fk_runbook_verifications_version_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_runbook_verifications')),
    sa.UniqueConstraint('run_id', name=op.f('uq_runbook_verifications_run_id'))
    )
    with op.batch_alter_table('runbook_verifications', schema=None) as batch_op:
        batch_op.create_index('ix_runbook_verifications_runbook', ['runbook_id', 'at'], unique=False)

    op.add_column("runbooks", sa.Column("synced_sha256", sa.String(length=64), nullable=True))
    op.add_column("runbooks", sa.Column("synced_id", sa.Integer(), nullable=True))

    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE VIRTUAL TABLE runbook_search USING fts5("
            "title, failure_mode, signals, body, tokenize='porter unicode61')"
        )
        for table in APPEND_ONLY:
            for change in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
                )
    else:
        op.execute(
            "CREATE TABLE runbook_search (runbook_id integer PRIMARY KEY REFERENCES runbooks (id), "
            "words tsvector NOT NULL)"
        )
        op.execute("CREATE INDEX ix_runbook_search_words ON runbook_search USING gin (words)")
        for table in APPEND_ONLY:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION baton_append_only()"
            )


def downgrade() -> None:
    raise NotImplementedError("To go back, restore the backup.")
