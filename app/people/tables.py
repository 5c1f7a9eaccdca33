"""Users, their one-time links and tokens, and the audit trail."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.db import BigId, Table
from app.people.rules import Role


class User(Table):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)  # kept in lower case
    name: Mapped[str] = mapped_column(String(120))
    role: Mapped[Role]
    password_hash: Mapped[str | None]  # argon2id; none until the first sign-in link is used
    active: Mapped[bool] = mapped_column(default=True)
    single_keys: Mapped[bool] = mapped_column(default=True)  # keyboard shortcuts without Ctrl
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")  # IANA name
    epoch: Mapped[int] = mapped_column(default=1)  # raised to end every session of this user
    created_at: Mapped[datetime]
    signed_in_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)

    __mapper_args__ = {"version_id_col": version}


class OneTimeLink(Table):
    """Sets the first password, or a new one. Only its hash is kept."""

    __tablename__ = "one_time_links"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]

    user: Mapped[User] = relationship()


class SignInAttempt(Table):
    """A failed sign-in, counted by account and by address."""

    __tablename__ = "sign_in_attempts"
    __table_args__ = (
        Index("ix_sign_in_attempts_account_at", "account", "at"),
        Index("ix_sign_in_attempts_address_at", "address", "at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(String(254))  # as typed, lower case; it may not exist
    address: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime]


class ApiToken(Table):
    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)  # sha256; 256 bits of chance
    last_four: Mapped[str] = mapped_column(String(4))
    scopes: Mapped[list[str]]
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))  # none: command line
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]

    created_by: Mapped[User | None] = relationship()


class AuditEntry(Table):
    """Who changed what, from what, to what. A database trigger refuses to change or delete one."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_target", "target_kind", "target_id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    actor_kind: Mapped[str] = mapped_column(String(20))  # person | token | command line | baton
    actor_id: Mapped[int | None]
    actor_name: Mapped[str] = mapped_column(String(120))
    action: Mapped[str] = mapped_column(String(60))  # as in team.update
    target_kind: Mapped[str] = mapped_column(String(40))
    target_id: Mapped[str] = mapped_column(String(80))
    target_name: Mapped[str] = mapped_column(Text)
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    request_id: Mapped[str | None] = mapped_column(String(64))
