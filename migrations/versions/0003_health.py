"""Health: sources, panels, readings, service levels, data inputs."""

import sqlalchemy as sa
from alembic import op

from app.core.db import BigId, Json, UtcDateTime

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('feed_cursors',
    sa.Column('name', sa.String(length=40), nullable=False),
    sa.Column('position', BigId, nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_feed_cursors'))
    )
    op.create_table('health_hosts',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('pattern', sa.String(length=255), nullable=False),
    sa.Column('why', sa.String(length=200), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('created_by', sa.String(length=120), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_health_hosts')),
    sa.UniqueConstraint('pattern', name=op.f('uq_health_hosts_pattern'))
    )
    op.create_table('health_hours',
    sa.Column('panel_id', sa.Integer(), nullable=False),
    sa.Column('at', UtcDateTime(), nullable=False),
    sa.Column('state', sa.String(20), nullable=False),
    sa.Column('count', sa.Integer(), nullable=False),
    sa.Column('low', sa.Float(precision=53), nullable=True),
    sa.Column('mean', sa.Float(precision=53), nullable=True),
    sa.Column('high', sa.Float(precision=53), nullable=True),
    sa.Column('rows', sa.Float(precision=53), nullable=True),
    sa.Column('series', sa.String(length=200), nullable=False),
    sa.PrimaryKeyConstraint('panel_id', 'at', name=op.f('pk_health_hours'))
    )
    op.create_table('health_readings',
    sa.Column('panel_id', sa.Integer(), nullable=False),
    sa.Column('at', UtcDateTime(), nullable=False),
    sa.Column('state', sa.String(20), nullable=False),
    sa.Column('value', sa.Float(precision=53), nullable=True),
    sa.Column('rows', sa.Float(precision=53), nullable=True),
    sa.Column('series', sa.String(length=200), nullable=False),
    sa.PrimaryKeyConstraint('panel_id', 'at', name=op.f('pk_health_readings'))
    )
    with op.batch_alter_table('health_readings', schema=None) as batch_op:
        batch_op.create_index('ix_health_readings_at', ['at'], unique=False)

    op.create_table('health_scrapes',
    sa.Column('source_id', sa.Integer(), nullable=False),
    sa.Column('at', UtcDateTime(), nullable=False),
    sa.Column('samples', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('source_id', 'at', name=op.f('pk_health_scrapes'))
    )
    with op.batch_alter_table('health_scrapes', schema=None) as batch_op:
        batch_op.create_index('ix_health_scrapes_at', ['at'], unique=False)

    op.create_table('health_sources',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('slug', sa.String(length=80), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('kind', sa.String(length=40), nullable=False),
    sa.Column('url', sa.String(length=500), nullable=False),
    sa.Column('secret_encrypted', sa.Text(), nullable=True),
    sa.Column('secret_hint', sa.String(length=60), nullable=False),
    sa.Column('options', Json, nullable=False),
    sa.Column('every', sa.Integer(), nullable=False),
    sa.Column('due_at', UtcDateTime(), nullable=False),
    sa.Column('asked_at', UtcDateTime(), nullable=True),
    sa.Column('answered_at', UtcDateTime(), nullable=True),
    sa.Column('trouble', sa.Text(), nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('closed_at', UtcDateTime(), nullable=True),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('created_by', sa.String(length=120), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_health_sources')),
    sa.UniqueConstraint('slug', name=op.f('uq_health_sources_slug'))
    )
    with op.batch_alter_table('health_sources', schema=None) as batch_op:
        batch_op.create_index('ix_health_sources_due', ['due_at'], unique=False, postgresql_where=sa.text("closed_at IS NULL AND url <> ''"), sqlite_where=sa.text("closed_at IS NULL AND url <> ''"))

    op.create_table('health_counters',
    sa.Column('source_id', sa.Integer(), nullable=False),
    sa.Column('series', sa.String(length=64), nullable=False),
    sa.Column('raw', sa.Float(precision=53), nullable=False),
    sa.Column('total', sa.Float(precision=53), nullable=False),
    sa.Column('seen_at', UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['source_id'], ['health_sources.id'], name=op.f('fk_health_counters_source_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('source_id', 'series', name=op.f('pk_health_counters'))
    )
    op.create_table('health_datasets',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('slug', sa.String(length=160), nullable=False),
    sa.Column('team_id', sa.Integer(), nullable=True),
    sa.Column('source_id', sa.Integer(), nullable=True),
    sa.Column('contract', sa.String(length=120), nullable=False),
    sa.Column('fresh_within', sa.Integer(), nullable=True),
    sa.Column('schema_ok', sa.Boolean(), nullable=True),
    sa.Column('schema_checked_at', UtcDateTime(), nullable=True),
    sa.Column('schema_rows', sa.Float(precision=53), nullable=True),
    sa.Column('schema_remark', sa.String(length=300), nullable=False),
    sa.Column('loaded_at', UtcDateTime(), nullable=True),
    sa.Column('freshness_checked_at', UtcDateTime(), nullable=True),
    sa.Column('freshness_remark', sa.String(length=300), nullable=False),
    sa.Column('access_ok', sa.Boolean(), nullable=True),
    sa.Column('access_role', sa.String(length=120), nullable=False),
    sa.Column('access_approver', sa.String(length=120), nullable=False),
    sa.Column('access_checked_at', UtcDateTime(), nullable=True),
    sa.Column('access_reviewed_on', sa.Date(), nullable=True),
    sa.Column('access_review_due', sa.Date(), nullable=True),
    sa.Column('access_ends_on', sa.Date(), nullable=True),
    sa.Column('break_glass', sa.Integer(), nullable=False),
    sa.Column('access_remark', sa.String(length=300), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['source_id'], ['health_sources.id'], name=op.f('fk_health_datasets_source_id')),
    sa.ForeignKeyConstraint(['team_id'], ['teams.id'], name=op.f('fk_health_datasets_team_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_health_datasets')),
    sa.UniqueConstraint('slug', name=op.f('uq_health_datasets_slug'))
    )
    op.create_table('health_changes',
    sa.Column('id', BigId, nullable=False),
    sa.Column('panel_id', sa.Integer(), nullable=True),
    sa.Column('slo_id', sa.Integer(), nullable=True),
    sa.Column('model_id', sa.Integer(), nullable=False),
    sa.Column('at', UtcDateTime(), nullable=False),
    sa.Column('before', sa.String(length=20), nullable=True),
    sa.Column('after', sa.String(length=20), nullable=False),
    sa.Column('fact', sa.String(length=20), nullable=False),
    sa.Column('sentence', sa.Text(), nullable=False),
    sa.Column('detail', Json, nullable=False),
    sa.CheckConstraint('(panel_id IS NULL) <> (slo_id IS NULL)', name=op.f('ck_health_changes_subject')),
    sa.ForeignKeyConstraint(['model_id'], ['ml_models.id'], name=op.f('fk_health_changes_model_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_health_changes'))
    )
    with op.batch_alter_table('health_changes', schema=None) as batch_op:
        batch_op.create_index('ix_health_changes_model', ['model_id', 'at'], unique=False)
        batch_op.create_index('ix_health_changes_panel', ['panel_id', 'id'], unique=False)

    op.create_table('health_dataset_models',
    sa.Column('dataset_id', sa.Integer(), nullable=False),
    sa.Column('model_id', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['dataset_id'], ['health_datasets.id'], name=op.f('fk_health_dataset_models_dataset_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['model_id'], ['ml_models.id'], name=op.f('fk_health_dataset_models_model_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('dataset_id', 'model_id', name=op.f('pk_health_dataset_models'))
    )
    with op.batch_alter_table('health_dataset_models', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_health_dataset_models_model_id'), ['model_id'], unique=False)

    op.create_table('health_panels',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('model_id', sa.Integer(), nullable=False),
    sa.Column('slug', sa.String(length=80), nullable=False),
    sa.Column('title', sa.String(length=120), nullable=False),
    sa.Column('lane', sa.String(20), nullable=False),
    sa.Column('source_id', sa.Integer(), nullable=True),
    sa.Column('dataset_id', sa.Integer(), nullable=True),
    sa.Column('preset', sa.String(length=60), nullable=False),
    sa.Column('spec', Json, nullable=False),
    sa.Column('unit', sa.String(length=20), nullable=False),
    sa.Column('window', sa.Integer(), nullable=False),
    sa.Column('above', sa.Float(precision=53), nullable=True),
    sa.Column('below', sa.Float(precision=53), nullable=True),
    sa.Column('clear', sa.Float(precision=53), nullable=True),
    sa.Column('k', sa.Integer(), nullable=False),
    sa.Column('n', sa.Integer(), nullable=False),
    sa.Column('min_rows', sa.Float(precision=53), nullable=False),
    sa.Column('stale_after', sa.Integer(), nullable=False),
    sa.Column('failure_mode', sa.String(length=80), nullable=False),
    sa.Column('severity', sa.Integer(), nullable=False),
    sa.Column('closed_at', UtcDateTime(), nullable=True),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('created_by', sa.String(length=120), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['dataset_id'], ['health_datasets.id'], name=op.f('fk_health_panels_dataset_id')),
    sa.ForeignKeyConstraint(['model_id'], ['ml_models.id'], name=op.f('fk_health_panels_model_id')),
    sa.ForeignKeyConstraint(['source_id'], ['health_sources.id'], name=op.f('fk_health_panels_source_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_health_panels')),
    sa.UniqueConstraint('model_id', 'slug', name=op.f('uq_health_panels_model_id_slug'))
    )
    with op.batch_alter_table('health_panels', schema=None) as batch_op:
        batch_op.create_index('ix_health_panels_dataset', ['dataset_id'], unique=False)
        batch_op.create_index('ix_health_panels_source', ['source_id'], unique=False)

    op.create_table('health_reports',
    sa.Column('id', BigId, nullable=False),
    sa.Column('model_id', sa.Integer(), nullable=False),
    sa.Column('model_version', sa.String(length=120), nullable=False),
    sa.Column('kind', sa.String(20), nullable=False),
    sa.Column('identity', sa.String(length=64), nullable=False),
    sa.Column('format', sa.String(length=40), nullable=False),
    sa.Column('sender', sa.String(length=120), nullable=False),
    sa.Column('window_start', UtcDateTime(), nullable=True),
    sa.Column('window_end', UtcDateTime(), nullable=False),
    sa.Column('reference_id', sa.String(length=200), nullable=False),
    sa.Column('reference_at', UtcDateTime(), nullable=True),
    sa.Column('rows', sa.Float(precision=53), nullable=True),
    sa.Column('method', sa.String(length=120), nullable=False),
    sa.Column('value', sa.Float(precision=53), nullable=True),
    sa.Column('threshold', sa.Float(precision=53), nullable=True),
    sa.Column('said_outside', sa.Boolean(), nullable=True),
    sa.Column('parts', Json, nullable=False),
    sa.Column('remark', sa.Text(), nullable=False),
    sa.Column('received_at', UtcDateTime(), nullable=False),
    sa.Column('source_id', sa.Integer(), nullable=True),
    sa.ForeignKeyConstraint(['model_id'], ['ml_models.id'], name=op.f('fk_health_reports_model_id')),
    sa.ForeignKeyConstraint(['source_id'], ['health_sources.id'], name=op.f('fk_health_reports_source_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_health_reports')),
    sa.UniqueConstraint('model_id', 'kind', 'identity', name=op.f('uq_health_reports_model_id_kind_identity'))
    )
    with op.batch_alter_table('health_reports', schema=None) as batch_op:
        batch_op.create_index('ix_health_reports_model', ['model_id', 'kind', 'window_end'], unique=False)

    op.create_table('health_slos',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('model_id', sa.Integer(), nullable=False),
    sa.Column('slug', sa.String(length=80), nullable=False),
    sa.Column('title', sa.String(length=120), nullable=False),
    sa.Column('target', sa.Float(precision=53), nullable=False),
    sa.Column('window_days', sa.Integer(), nullable=False),
    sa.Column('source_id', sa.Integer(), nullable=True),
    sa.Column('spec', Json, nullable=False),
    sa.Column('min_events', sa.Float(precision=53), nullable=False),
    sa.Column('failure_mode', sa.String(length=80), nullable=False),
    sa.Column('counts', Json, nullable=False),
    sa.Column('burning', sa.String(length=20), nullable=False),
    sa.Column('burning_since', UtcDateTime(), nullable=True),
    sa.Column('looked_at', UtcDateTime(), nullable=True),
    sa.Column('trouble', sa.Text(), nullable=False),
    sa.Column('closed_at', UtcDateTime(), nullable=True),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('created_by', sa.String(length=120), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['model_id'], ['ml_models.id'], name=op.f('fk_health_slos_model_id')),
    sa.ForeignKeyConstraint(['source_id'], ['health_sources.id'], name=op.f('fk_health_slos_source_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_health_slos')),
    sa.UniqueConstraint('model_id', 'slug', name=op.f('uq_health_slos_model_id_slug'))
    )
    op.create_table('health_lamps',
    sa.Column('panel_id', sa.Integer(), nullable=False),
    sa.Column('model_id', sa.Integer(), nullable=False),
    sa.Column('lane', sa.String(20), nullable=False),
    sa.Column('state', sa.String(20), nullable=False),
    sa.Column('in_breach', sa.Boolean(), nullable=False),
    sa.Column('since', UtcDateTime(), nullable=False),
    sa.Column('value', sa.Float(precision=53), nullable=True),
    sa.Column('rows', sa.Float(precision=53), nullable=True),
    sa.Column('newest_at', UtcDateTime(), nullable=True),
    sa.Column('looked_at', UtcDateTime(), nullable=False),
    sa.Column('remark', sa.String(length=300), nullable=False),
    sa.Column('series', sa.String(length=200), nullable=False),
    sa.Column('windows', Json, nullable=False),
    sa.Column('blind_since', UtcDateTime(), nullable=True),
    sa.Column('told_blind', sa.Boolean(), nullable=False),
    sa.ForeignKeyConstraint(['model_id'], ['ml_models.id'], name=op.f('fk_health_lamps_model_id')),
    sa.ForeignKeyConstraint(['panel_id'], ['health_panels.id'], name=op.f('fk_health_lamps_panel_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('panel_id', name=op.f('pk_health_lamps'))
    )
    with op.batch_alter_table('health_lamps', schema=None) as batch_op:
        batch_op.create_index('ix_health_lamps_model', ['model_id', 'lane'], unique=False)
        batch_op.create_index('ix_health_lamps_state', ['state', 'model_id'], unique=False)

    op.create_table('health_latency_budgets',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('model_id', sa.Integer(), nullable=False),
    sa.Column('route', sa.String(length=120), nullable=False),
    sa.Column('percentile', sa.Float(precision=53), nullable=False),
    sa.Column('budget_ms', sa.Float(precision=53), nullable=False),
    sa.Column('clock', sa.String(length=20), nullable=False),
    sa.Column('panel_id', sa.Integer(), nullable=True),
    sa.Column('bucket_matched', sa.Boolean(), nullable=True),
    sa.Column('stages', Json, nullable=False),
    sa.Column('timeouts', sa.Text(), nullable=False),
    sa.Column('peak_rps', sa.Float(precision=53), nullable=True),
    sa.Column('load_tested_rps', sa.Float(precision=53), nullable=True),
    sa.Column('load_tested_on', sa.Date(), nullable=True),
    sa.Column('ladder', Json, nullable=False),
    sa.Column('slo_id', sa.Integer(), nullable=True),
    sa.Column('approved_by', sa.String(length=120), nullable=False),
    sa.Column('review_on', sa.Date(), nullable=True),
    sa.Column('updated_at', UtcDateTime(), nullable=False),
    sa.Column('updated_by', sa.String(length=120), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['model_id'], ['ml_models.id'], name=op.f('fk_health_latency_budgets_model_id')),
    sa.ForeignKeyConstraint(['panel_id'], ['health_panels.id'], name=op.f('fk_health_latency_budgets_panel_id')),
    sa.ForeignKeyConstraint(['slo_id'], ['health_slos.id'], name=op.f('fk_health_latency_budgets_slo_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_health_latency_budgets')),
    sa.UniqueConstraint('model_id', 'route', name=op.f('uq_health_latency_budgets_model_id_route'))
    )
    op.create_table('health_slo_counts',
    sa.Column('slo_id', sa.Integer(), nullable=False),
    sa.Column('at', UtcDateTime(), nullable=False),
    sa.Column('bad', sa.Float(precision=53), nullable=False),
    sa.Column('total', sa.Float(precision=53), nullable=False),
    sa.ForeignKeyConstraint(['slo_id'], ['health_slos.id'], name=op.f('fk_health_slo_counts_slo_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('slo_id', 'at', name=op.f('pk_health_slo_counts'))
    )

    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER health_changes_no_{change.lower()} BEFORE {change} "
                "ON health_changes "
                "BEGIN SELECT RAISE(ABORT, 'rows of health_changes are never changed'); END"
            )
    else:
        op.execute(
            "CREATE TRIGGER health_changes_append_only BEFORE UPDATE OR DELETE ON health_changes "
            "FOR EACH ROW EXECUTE FUNCTION baton_append_only()"
        )


def downgrade() -> None:
    raise NotImplementedError("To go back, restore the backup.")
