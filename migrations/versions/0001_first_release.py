"""First release

Revision: 0001, after 
"""

import sqlalchemy as sa
from alembic import op

from app.core.db import BigId, Json, UtcDateTime

APPEND_ONLY = (
    "audit_entries",
    "incident_entries",
    "incident_evidence",
    "runbook_signals",
    "runbook_steps",
    "runbook_version_events",
    "runbook_versions",
)

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('audit_entries',
    sa.Column('id', BigId, nullable=False),
    sa.Column('at', UtcDateTime(), nullable=False),
    sa.Column('actor_kind', sa.String(length=20), nullable=False),
    sa.Column('actor_id', sa.Integer(), nullable=True),
    sa.Column('actor_name', sa.String(length=120), nullable=False),
    sa.Column('action', sa.String(length=60), nullable=False),
    sa.Column('target_kind', sa.String(length=40), nullable=False),
    sa.Column('target_id', sa.String(length=80), nullable=False),
    sa.Column('target_name', sa.Text(), nullable=False),
    sa.Column('before', Json, nullable=True),
    sa.Column('after', Json, nullable=True),
    sa.Column('request_id', sa.String(length=64), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_entries'))
    )
    with op.batch_alter_table('audit_entries', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_audit_entries_at'), ['at'], unique=False)
        batch_op.create_index('ix_audit_entries_target', ['target_kind', 'target_id'], unique=False)

    op.create_table('delivery_last_bodies',
    sa.Column('integration_id', sa.Integer(), nullable=False),
    sa.Column('subject', sa.String(length=64), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('receipt', sa.String(length=32), nullable=False),
    sa.Column('received_at', UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('integration_id', 'subject', name=op.f('pk_delivery_last_bodies'))
    )
    with op.batch_alter_table('delivery_last_bodies', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_delivery_last_bodies_received_at'), ['received_at'], unique=False)

    op.create_table('pagerduty_outbox',
    sa.Column('id', BigId, nullable=False),
    sa.Column('lane', sa.String(length=64), nullable=False),
    sa.Column('incident_id', sa.Integer(), nullable=True),
    sa.Column('to', sa.String(length=120), nullable=False),
    sa.Column('routing_key_encrypted', sa.Text(), nullable=True),
    sa.Column('key_hash', sa.String(length=64), nullable=False),
    sa.Column('region', sa.String(length=2), nullable=False),
    sa.Column('dedup_key', sa.String(length=255), nullable=False),
    sa.Column('action', sa.String(20), nullable=False),
    sa.Column('event', Json, nullable=False),
    sa.Column('state', sa.String(20), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('next_try_at', UtcDateTime(), nullable=False),
    sa.Column('claimed_until', UtcDateTime(), nullable=True),
    sa.Column('tried_at', UtcDateTime(), nullable=True),
    sa.Column('settled_at', UtcDateTime(), nullable=True),
    sa.Column('answer', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_pagerduty_outbox'))
    )
    with op.batch_alter_table('pagerduty_outbox', schema=None) as batch_op:
        batch_op.create_index('ix_pagerduty_outbox_due', ['next_try_at'], unique=False, postgresql_where=sa.text("state = 'waiting'"), sqlite_where=sa.text("state = 'waiting'"))
        batch_op.create_index('ix_pagerduty_outbox_incident_id', ['incident_id', 'id'], unique=False)
        batch_op.create_index('ix_pagerduty_outbox_lane', ['lane', 'id'], unique=False)
        batch_op.create_index('ix_pagerduty_outbox_rate', ['key_hash', 'tried_at'], unique=False)
        batch_op.create_index('ix_pagerduty_outbox_refused', ['incident_id'], unique=False, postgresql_where=sa.text("state = 'refused'"), sqlite_where=sa.text("state = 'refused'"))

    op.create_table('runbooks',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('slug', sa.String(length=120), nullable=False),
    sa.Column('title', sa.String(length=300), nullable=False),
    sa.Column('failure_mode', sa.String(length=80), nullable=True),
    sa.Column('owner', sa.String(length=120), nullable=True),
    sa.Column('published_id', sa.Integer(), nullable=True),
    sa.Column('source_path', sa.String(length=500), nullable=True),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('retired_at', UtcDateTime(), nullable=True),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['published_id'], ['runbook_versions.id'], name=op.f('fk_runbooks_published_id'), use_alter=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_runbooks')),
    sa.UniqueConstraint('slug', name=op.f('uq_runbooks_slug'))
    )
    with op.batch_alter_table('runbooks', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_runbooks_failure_mode'), ['failure_mode'], unique=False)

    op.create_table('sign_in_attempts',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('account', sa.String(length=254), nullable=False),
    sa.Column('address', sa.String(length=64), nullable=False),
    sa.Column('at', UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_sign_in_attempts'))
    )
    with op.batch_alter_table('sign_in_attempts', schema=None) as batch_op:
        batch_op.create_index('ix_sign_in_attempts_account_at', ['account', 'at'], unique=False)
        batch_op.create_index('ix_sign_in_attempts_address_at', ['address', 'at'], unique=False)

    op.create_table('teams',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('slug', sa.String(length=80), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('triages', sa.Boolean(), nullable=False),
    sa.Column('routing_key_encrypted', sa.Text(), nullable=True),
    sa.Column('routing_key_last_four', sa.String(length=4), nullable=True),
    sa.Column('region', sa.String(length=2), nullable=False),
    sa.Column('pagerduty_service_id', sa.String(length=40), nullable=True),
    sa.Column('chat_url', sa.String(length=500), nullable=True),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_teams')),
    sa.UniqueConstraint('name', name=op.f('uq_teams_name')),
    sa.UniqueConstraint('slug', name=op.f('uq_teams_slug'))
    )
    with op.batch_alter_table('teams', schema=None) as batch_op:
        batch_op.create_index('uq_teams_triages', ['triages'], unique=True, postgresql_where=sa.text('triages'), sqlite_where=sa.text('triages'))

    op.create_table('users',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('email', sa.String(length=254), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('role', sa.String(20), nullable=False),
    sa.Column('password_hash', sa.String(), nullable=True),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.Column('single_keys', sa.Boolean(), nullable=False),
    sa.Column('time_zone', sa.String(length=64), nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('signed_in_at', UtcDateTime(), nullable=True),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_users')),
    sa.UniqueConstraint('email', name=op.f('uq_users_email'))
    )
    op.create_table('workers',
    sa.Column('id', sa.String(length=120), nullable=False),
    sa.Column('started_at', UtcDateTime(), nullable=False),
    sa.Column('seen_at', UtcDateTime(), nullable=False),
    sa.Column('cycled_at', UtcDateTime(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_workers'))
    )
    op.create_table('api_tokens',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('secret_hash', sa.String(length=64), nullable=False),
    sa.Column('last_four', sa.String(length=4), nullable=False),
    sa.Column('scopes', Json, nullable=False),
    sa.Column('created_by_id', sa.Integer(), nullable=True),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('expires_at', UtcDateTime(), nullable=True),
    sa.Column('revoked_at', UtcDateTime(), nullable=True),
    sa.Column('used_at', UtcDateTime(), nullable=True),
    sa.ForeignKeyConstraint(['created_by_id'], ['users.id'], name=op.f('fk_api_tokens_created_by_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_api_tokens')),
    sa.UniqueConstraint('secret_hash', name=op.f('uq_api_tokens_secret_hash'))
    )
    op.create_table('integrations',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('source', sa.String(length=40), nullable=False),
    sa.Column('key_hash', sa.String(length=64), nullable=False),
    sa.Column('last_four', sa.String(length=4), nullable=False),
    sa.Column('old_key_hash', sa.String(length=64), nullable=True),
    sa.Column('old_key_until', UtcDateTime(), nullable=True),
    sa.Column('team_id', sa.Integer(), nullable=True),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('created_by', sa.String(length=120), nullable=False),
    sa.Column('closed_at', UtcDateTime(), nullable=True),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['team_id'], ['teams.id'], name=op.f('fk_integrations_team_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_integrations')),
    sa.UniqueConstraint('key_hash', name=op.f('uq_integrations_key_hash')),
    sa.UniqueConstraint('old_key_hash', name=op.f('uq_integrations_old_key_hash'))
    )
    op.create_table('ml_models',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('slug', sa.String(length=80), nullable=False),
    sa.Column('purpose', sa.Text(), nullable=False),
    sa.Column('tier', sa.Integer(), nullable=False),
    sa.Column('team_id', sa.Integer(), nullable=False),
    sa.Column('deputy_id', sa.Integer(), nullable=True),
    sa.Column('tags', Json, nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('retired_at', UtcDateTime(), nullable=True),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.CheckConstraint('tier BETWEEN 1 AND 4', name=op.f('ck_ml_models_tier')),
    sa.ForeignKeyConstraint(['deputy_id'], ['users.id'], name=op.f('fk_ml_models_deputy_id')),
    sa.ForeignKeyConstraint(['team_id'], ['teams.id'], name=op.f('fk_ml_models_team_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_ml_models')),
    sa.UniqueConstraint('slug', name=op.f('uq_ml_models_slug'))
    )
    with op.batch_alter_table('ml_models', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_ml_models_team_id'), ['team_id'], unique=False)

    op.create_table('one_time_links',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('secret_hash', sa.String(length=64), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('expires_at', UtcDateTime(), nullable=False),
    sa.Column('used_at', UtcDateTime(), nullable=True),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_one_time_links_user_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_one_time_links')),
    sa.UniqueConstraint('secret_hash', name=op.f('uq_one_time_links_secret_hash'))
    )
    with op.batch_alter_table('one_time_links', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_one_time_links_user_id'), ['user_id'], unique=False)

    op.create_table('runbook_versions',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('runbook_id', sa.Integer(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('parent_id', sa.Integer(), nullable=True),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('source', sa.LargeBinary(), nullable=False),
    sa.Column('front_matter', Json, nullable=False),
    sa.Column('title', sa.String(length=300), nullable=False),
    sa.Column('dialect', sa.String(length=10), nullable=False),
    sa.Column('author', sa.String(length=120), nullable=False),
    sa.Column('author_id', sa.Integer(), nullable=True),
    sa.Column('message', sa.Text(), nullable=False),
    sa.Column('origin', Json, nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['author_id'], ['users.id'], name=op.f('fk_runbook_versions_author_id')),
    sa.ForeignKeyConstraint(['parent_id'], ['runbook_versions.id'], name=op.f('fk_runbook_versions_parent_id')),
    sa.ForeignKeyConstraint(['runbook_id'], ['runbooks.id'], name=op.f('fk_runbook_versions_runbook_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_runbook_versions')),
    sa.UniqueConstraint('runbook_id', 'number', name=op.f('uq_runbook_versions_runbook_id_number'))
    )
    with op.batch_alter_table('runbook_versions', schema=None) as batch_op:
        batch_op.create_index('ix_runbook_versions_sha256', ['runbook_id', 'sha256'], unique=False)

    op.create_table('team_members',
    sa.Column('team_id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['team_id'], ['teams.id'], name=op.f('fk_team_members_team_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_team_members_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('team_id', 'user_id', name=op.f('pk_team_members'))
    )
    with op.batch_alter_table('team_members', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_team_members_user_id'), ['user_id'], unique=False)

    op.create_table('deliveries',
    sa.Column('id', BigId, nullable=False),
    sa.Column('receipt', sa.String(length=32), nullable=False),
    sa.Column('integration_id', sa.Integer(), nullable=True),
    sa.Column('source', sa.String(length=40), nullable=False),
    sa.Column('received_at', UtcDateTime(), nullable=False),
    sa.Column('path', sa.String(length=200), nullable=False),
    sa.Column('headers', Json, nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=True),
    sa.Column('size', sa.Integer(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=True),
    sa.Column('sender_id', sa.String(length=200), nullable=True),
    sa.Column('state', sa.String(20), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('next_try_at', UtcDateTime(), nullable=True),
    sa.Column('processed_at', UtcDateTime(), nullable=True),
    sa.Column('repeats', sa.Integer(), nullable=False),
    sa.Column('what', sa.Text(), nullable=False),
    sa.Column('why', sa.Text(), nullable=False),
    sa.Column('outcome', Json, nullable=False),
    sa.ForeignKeyConstraint(['integration_id'], ['integrations.id'], name=op.f('fk_deliveries_integration_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_deliveries')),
    sa.UniqueConstraint('receipt', name=op.f('uq_deliveries_receipt'))
    )
    with op.batch_alter_table('deliveries', schema=None) as batch_op:
        batch_op.create_index('ix_deliveries_integration', ['integration_id', 'id'], unique=False)
        batch_op.create_index('ix_deliveries_received_at', ['received_at'], unique=False)
        batch_op.create_index('ix_deliveries_state', ['state', 'id'], unique=False)
        batch_op.create_index('ix_deliveries_waiting', ['id'], unique=False, postgresql_where=sa.text("state IN ('received', 'retrying')"), sqlite_where=sa.text("state IN ('received', 'retrying')"))
        batch_op.create_index('uq_deliveries_sender_id', ['integration_id', 'sender_id'], unique=True, postgresql_where=sa.text('sender_id IS NOT NULL'), sqlite_where=sa.text('sender_id IS NOT NULL'))

    op.create_table('incidents',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('uuid', sa.String(length=32), nullable=False),
    sa.Column('title', sa.String(length=300), nullable=False),
    sa.Column('state', sa.String(20), nullable=False),
    sa.Column('severity', sa.Integer(), nullable=False),
    sa.Column('severity_set_by_hand', sa.Boolean(), nullable=False),
    sa.Column('model_id', sa.Integer(), nullable=True),
    sa.Column('failure_mode', sa.String(length=120), nullable=False),
    sa.Column('model_version', sa.String(length=120), nullable=False),
    sa.Column('triage_key', sa.String(length=64), nullable=True),
    sa.Column('team_id', sa.Integer(), nullable=True),
    sa.Column('lead_id', sa.Integer(), nullable=True),
    sa.Column('runbook_version_id', sa.Integer(), nullable=True),
    sa.Column('previous_id', sa.Integer(), nullable=True),
    sa.Column('declared_by_hand', sa.Boolean(), nullable=False),
    sa.Column('episode', sa.Integer(), nullable=False),
    sa.Column('member_count', sa.Integer(), nullable=False),
    sa.Column('firing_count', sa.Integer(), nullable=False),
    sa.Column('opened_at', UtcDateTime(), nullable=False),
    sa.Column('last_alert_at', UtcDateTime(), nullable=True),
    sa.Column('acknowledged_at', UtcDateTime(), nullable=True),
    sa.Column('mitigated_at', UtcDateTime(), nullable=True),
    sa.Column('resolved_at', UtcDateTime(), nullable=True),
    sa.Column('resolved_by_hand', sa.Boolean(), nullable=False),
    sa.Column('resolution', sa.Text(), nullable=True),
    sa.Column('noise', sa.Boolean(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.CheckConstraint('severity BETWEEN 1 AND 4', name=op.f('ck_incidents_severity')),
    sa.ForeignKeyConstraint(['lead_id'], ['users.id'], name=op.f('fk_incidents_lead_id')),
    sa.ForeignKeyConstraint(['model_id'], ['ml_models.id'], name=op.f('fk_incidents_model_id')),
    sa.ForeignKeyConstraint(['previous_id'], ['incidents.id'], name=op.f('fk_incidents_previous_id')),
    sa.ForeignKeyConstraint(['runbook_version_id'], ['runbook_versions.id'], name=op.f('fk_incidents_runbook_version_id')),
    sa.ForeignKeyConstraint(['team_id'], ['teams.id'], name=op.f('fk_incidents_team_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_incidents')),
    sa.UniqueConstraint('uuid', name=op.f('uq_incidents_uuid'))
    )
    with op.batch_alter_table('incidents', schema=None) as batch_op:
        batch_op.create_index('ix_incidents_model', ['model_id', 'failure_mode', 'id'], unique=False)
        batch_op.create_index(batch_op.f('ix_incidents_opened_at'), ['opened_at'], unique=False)
        batch_op.create_index('ix_incidents_state', ['state', 'severity', 'id'], unique=False)
        batch_op.create_index(batch_op.f('ix_incidents_team_id'), ['team_id'], unique=False)
        batch_op.create_index('uq_incidents_open', ['model_id', 'failure_mode', 'model_version'], unique=True, postgresql_where=sa.text("state <> 'resolved' AND model_id IS NOT NULL"), sqlite_where=sa.text("state <> 'resolved' AND model_id IS NOT NULL"))
        batch_op.create_index('uq_incidents_open_triage', ['triage_key'], unique=True, postgresql_where=sa.text("state <> 'resolved' AND triage_key IS NOT NULL"), sqlite_where=sa.text("state <> 'resolved' AND triage_key IS NOT NULL"))

    op.create_table('model_matchers',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('model_id', sa.Integer(), nullable=False),
    sa.Column('labels', Json, nullable=False),
    sa.ForeignKeyConstraint(['model_id'], ['ml_models.id'], name=op.f('fk_model_matchers_model_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_model_matchers'))
    )
    with op.batch_alter_table('model_matchers', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_model_matchers_model_id'), ['model_id'], unique=False)

    op.create_table('runbook_renderings',
    sa.Column('version_id', sa.Integer(), nullable=False),
    sa.Column('renderer', sa.String(length=20), nullable=False),
    sa.Column('parts', Json, nullable=False),
    sa.ForeignKeyConstraint(['version_id'], ['runbook_versions.id'], name=op.f('fk_runbook_renderings_version_id')),
    sa.PrimaryKeyConstraint('version_id', 'renderer', name=op.f('pk_runbook_renderings'))
    )
    op.create_table('runbook_signals',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('version_id', sa.Integer(), nullable=False),
    sa.Column('alertname', sa.String(length=200), nullable=True),
    sa.Column('metric', sa.String(length=200), nullable=True),
    sa.Column('condition', Json, nullable=False),
    sa.ForeignKeyConstraint(['version_id'], ['runbook_versions.id'], name=op.f('fk_runbook_signals_version_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_runbook_signals'))
    )
    with op.batch_alter_table('runbook_signals', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_runbook_signals_alertname'), ['alertname'], unique=False)
        batch_op.create_index(batch_op.f('ix_runbook_signals_version_id'), ['version_id'], unique=False)

    op.create_table('runbook_steps',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('version_id', sa.Integer(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('step_id', sa.String(length=80), nullable=False),
    sa.Column('section', sa.String(length=120), nullable=False),
    sa.Column('kind', sa.String(20), nullable=False),
    sa.Column('title', sa.String(length=300), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('risk', sa.String(length=10), nullable=True),
    sa.Column('minutes', sa.Integer(), nullable=True),
    sa.Column('attributes', Json, nullable=False),
    sa.ForeignKeyConstraint(['version_id'], ['runbook_versions.id'], name=op.f('fk_runbook_steps_version_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_runbook_steps')),
    sa.UniqueConstraint('version_id', 'step_id', name=op.f('uq_runbook_steps_version_id_step_id'))
    )
    op.create_table('runbook_version_events',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('version_id', sa.Integer(), nullable=False),
    sa.Column('status', sa.String(20), nullable=False),
    sa.Column('at', UtcDateTime(), nullable=False),
    sa.Column('by', sa.String(length=120), nullable=False),
    sa.Column('by_id', sa.Integer(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('emergency', sa.Boolean(), nullable=False),
    sa.ForeignKeyConstraint(['by_id'], ['users.id'], name=op.f('fk_runbook_version_events_by_id')),
    sa.ForeignKeyConstraint(['version_id'], ['runbook_versions.id'], name=op.f('fk_runbook_version_events_version_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_runbook_version_events'))
    )
    with op.batch_alter_table('runbook_version_events', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_runbook_version_events_version_id'), ['version_id'], unique=False)

    op.create_table('alert_states',
    sa.Column('integration_id', sa.Integer(), nullable=False),
    sa.Column('fingerprint', sa.String(length=255), nullable=False),
    sa.Column('firing', sa.Boolean(), nullable=False),
    sa.Column('starts_at', UtcDateTime(), nullable=False),
    sa.Column('event_at', UtcDateTime(), nullable=False),
    sa.Column('seen_at', UtcDateTime(), nullable=False),
    sa.Column('incident_id', sa.Integer(), nullable=True),
    sa.ForeignKeyConstraint(['incident_id'], ['incidents.id'], name=op.f('fk_alert_states_incident_id')),
    sa.PrimaryKeyConstraint('integration_id', 'fingerprint', name=op.f('pk_alert_states'))
    )
    with op.batch_alter_table('alert_states', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_alert_states_seen_at'), ['seen_at'], unique=False)

    op.create_table('changes',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('integration_id', sa.Integer(), nullable=False),
    sa.Column('delivery_id', BigId, nullable=False),
    sa.Column('at', UtcDateTime(), nullable=False),
    sa.Column('summary', sa.Text(), nullable=False),
    sa.Column('source', sa.String(length=300), nullable=False),
    sa.Column('model_id', sa.Integer(), nullable=True),
    sa.Column('links', Json, nullable=False),
    sa.Column('detail', Json, nullable=False),
    sa.ForeignKeyConstraint(['delivery_id'], ['deliveries.id'], name=op.f('fk_changes_delivery_id')),
    sa.ForeignKeyConstraint(['integration_id'], ['integrations.id'], name=op.f('fk_changes_integration_id')),
    sa.ForeignKeyConstraint(['model_id'], ['ml_models.id'], name=op.f('fk_changes_model_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_changes'))
    )
    with op.batch_alter_table('changes', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_changes_at'), ['at'], unique=False)
        batch_op.create_index(batch_op.f('ix_changes_delivery_id'), ['delivery_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_changes_model_id'), ['model_id'], unique=False)

    op.create_table('incident_entries',
    sa.Column('id', BigId, nullable=False),
    sa.Column('incident_id', sa.Integer(), nullable=False),
    sa.Column('at', UtcDateTime(), nullable=False),
    sa.Column('kind', sa.String(length=20), nullable=False),
    sa.Column('actor_kind', sa.String(length=20), nullable=False),
    sa.Column('actor_id', sa.Integer(), nullable=True),
    sa.Column('actor_name', sa.String(length=120), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('detail', Json, nullable=False),
    sa.Column('key', sa.String(length=64), nullable=True),
    sa.ForeignKeyConstraint(['incident_id'], ['incidents.id'], name=op.f('fk_incident_entries_incident_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_incident_entries')),
    sa.UniqueConstraint('key', name=op.f('uq_incident_entries_key'))
    )
    with op.batch_alter_table('incident_entries', schema=None) as batch_op:
        batch_op.create_index('ix_incident_entries_incident_id', ['incident_id', 'id'], unique=False)

    op.create_table('incident_evidence',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('incident_id', sa.Integer(), nullable=False),
    sa.Column('episode', sa.Integer(), nullable=False),
    sa.Column('kind', sa.String(length=20), nullable=False),
    sa.Column('taken_at', UtcDateTime(), nullable=False),
    sa.Column('content', Json, nullable=False),
    sa.ForeignKeyConstraint(['incident_id'], ['incidents.id'], name=op.f('fk_incident_evidence_incident_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_incident_evidence'))
    )
    with op.batch_alter_table('incident_evidence', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_incident_evidence_incident_id'), ['incident_id'], unique=False)

    op.create_table('incident_members',
    sa.Column('id', BigId, nullable=False),
    sa.Column('incident_id', sa.Integer(), nullable=False),
    sa.Column('integration_id', sa.Integer(), nullable=False),
    sa.Column('fingerprint', sa.String(length=255), nullable=False),
    sa.Column('group_key', sa.String(length=64), nullable=True),
    sa.Column('firing', sa.Boolean(), nullable=False),
    sa.Column('name', sa.String(length=300), nullable=False),
    sa.Column('summary', sa.Text(), nullable=False),
    sa.Column('severity', sa.Integer(), nullable=False),
    sa.Column('labels', Json, nullable=False),
    sa.Column('annotations', Json, nullable=False),
    sa.Column('links', Json, nullable=False),
    sa.Column('starts_at', UtcDateTime(), nullable=False),
    sa.Column('ends_at', UtcDateTime(), nullable=True),
    sa.Column('first_seen_at', UtcDateTime(), nullable=False),
    sa.Column('last_seen_at', UtcDateTime(), nullable=False),
    sa.Column('times_seen', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['incident_id'], ['incidents.id'], name=op.f('fk_incident_members_incident_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_incident_members')),
    sa.UniqueConstraint('incident_id', 'integration_id', 'fingerprint', name=op.f('uq_incident_members_incident_id_integration_id_fingerprint'))
    )
    with op.batch_alter_table('incident_members', schema=None) as batch_op:
        batch_op.create_index('ix_incident_members_group', ['integration_id', 'group_key'], unique=False, postgresql_where=sa.text('firing'), sqlite_where=sa.text('firing'))
        batch_op.create_index('uq_incident_members_firing', ['integration_id', 'fingerprint'], unique=True, postgresql_where=sa.text('firing'), sqlite_where=sa.text('firing'))


    op.create_index("ix_incident_members_name", "incident_members", [sa.text("lower(name)")])
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    if not on_sqlite:
        op.execute(
            "CREATE FUNCTION baton_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME; END $$"
        )
    for table in APPEND_ONLY:
        if on_sqlite:
            for change in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
                )
        else:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION baton_append_only()"
            )


def downgrade() -> None:
    raise NotImplementedError("The first release has nothing before it.")
