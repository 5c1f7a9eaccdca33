"""Where readings come from: what people say of a source, and what of it is kept as a secret."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.config import settings
from app.core.db import unit_of_work
from app.core.errors import ConflictError, RefusedError
from app.core.secrets import encrypt
from app.health.asking import allowed_hosts, host_of, why_not_allowed
from app.health.service.hosts import allow_host
from app.health.service.rows import free_slug, row_seen
from app.health.source_options import ODD_IN_ADDRESS, why_not_options, why_not_secret
from app.health.sources import SOURCES
from app.health.tables import HealthSource
from app.people import audit
from app.people.rules import Actor

SHORTEST, LONGEST = 5, 86_400  # seconds between two looks
MAX_ADDRESS = 500
MAX_SOURCE_NAME = 120


@dataclass(frozen=True, slots=True)
class SourceDraft:
    """What people say of a source. `secret` is none where it stays as it is."""

    name: str
    kind: str
    url: str = ""
    every: int = 30
    options: Mapping[str, Any] = field(default_factory=dict)
    secret: Mapping[str, str] | None = field(default=None, repr=False)


def create_source(
    draft: SourceDraft, *, slug: str = "", allow: str = "", by: Actor, at: datetime
) -> HealthSource:
    """`allow`: the host of its address, which goes onto the list with it."""
    with unit_of_work() as session:
        _allow_with(draft, allow, by, at)
        check_source(draft)
        source = HealthSource(
            slug=free_slug(session, HealthSource.slug, slug or draft.name),
            kind=draft.kind,
            due_at=at,
            created_at=at,
            created_by=by.name,
        )
        _fill_source(source, draft)
        session.add(source)
        session.flush()
        audit.record(
            "health.source.create",
            target_kind="health_source",
            target_id=source.id,
            target_name=source.name,
            before=None,
            after=source_facts(source),
            by=by,
            at=at,
        )
    return source


def edit_source(
    source_id: int,
    draft: SourceDraft,
    *,
    seen_version: int | None,
    allow: str = "",
    by: Actor,
    at: datetime,
) -> HealthSource:
    with unit_of_work() as session:
        source = row_seen(session, HealthSource, source_id, seen_version, "health_source")
        if why := why_not_edit(source, draft):
            raise RefusedError(why)
        _allow_with(draft, allow, by, at)
        check_source(draft)
        before = source_facts(source)
        _fill_source(source, draft)
        source.due_at, source.failures, source.trouble = at, 0, ""
        audit.record(
            "health.source.update",
            target_kind="health_source",
            target_id=source.id,
            target_name=source.name,
            before=before,
            after=source_facts(source),
            by=by,
            at=at,
        )
    return source


def close_source(
    source_id: int, *, seen_version: int | None = None, by: Actor, at: datetime
) -> HealthSource:
    """Stop asking a source. Its panels stay, without data, until somebody closes them."""
    with unit_of_work() as session:
        source = row_seen(session, HealthSource, source_id, seen_version, "health_source")
        if source.closed_at is not None:
            raise ConflictError(f"{source.name} is closed already.")
        source.closed_at = at
        audit.record(
            "health.source.close",
            target_kind="health_source",
            target_id=source.id,
            target_name=source.name,
            before={"closed": False},
            after={"closed": True},
            by=by,
            at=at,
        )
    return source


def reopen_source(source_id: int, *, by: Actor, at: datetime) -> HealthSource:
    with unit_of_work() as session:
        source = row_seen(session, HealthSource, source_id, None, "health_source")
        if source.closed_at is None:
            raise ConflictError(f"{source.name} is open already.")
        source.closed_at, source.due_at, source.failures = None, at, 0
        audit.record(
            "health.source.reopen",
            target_kind="health_source",
            target_id=source.id,
            target_name=source.name,
            before={"closed": True},
            after={"closed": False},
            by=by,
            at=at,
        )
    return source


def _allow_with(draft: SourceDraft, host: str, by: Actor, at: datetime) -> None:
    """Put the host of the address onto the list, if it is the one that somebody agreed to."""
    if host and host == host_of(draft.url.strip()) and why_not_allowed(draft.url, allowed_hosts()):
        allow_host(host, f"For {draft.name.strip()}", by=by, at=at)


def why_not_edit(source: HealthSource, draft: SourceDraft) -> str | None:
    """Say why this source can't become that."""
    if draft.kind != source.kind:
        return "The kind of a source can't change. Close it, and make another."
    if (
        draft.secret is None
        and source.secret_encrypted
        and _origin(draft.url) != _origin(source.url)
    ):
        # Or whoever may edit an address could read the secret there.
        return (
            "The address leads elsewhere now. Give its sign-in again, so that what was kept goes "
            "nowhere by mistake."
        )
    return None


def _origin(url: str) -> tuple[str | None, bool]:
    return host_of(url.strip()), url.strip().lower().startswith("https:")


def check_source(draft: SourceDraft) -> None:
    """Raises `RefusedError` with the first reason why this can't be a source."""
    if why := _why_no_source(draft) or why_not_allowed(draft.url.strip(), allowed_hosts()):
        raise RefusedError(why)


def _why_no_source(draft: SourceDraft) -> str | None:
    if draft.kind not in SOURCES:
        return f"There is no kind {draft.kind[:40]}. Known: {', '.join(sorted(SOURCES))}."
    if not draft.name.strip():
        return "Give the source a name."
    if len(draft.name.strip()) > MAX_SOURCE_NAME:
        return f"A name has at most {MAX_SOURCE_NAME} letters."
    if not SHORTEST <= draft.every <= LONGEST:
        return f"Look every {SHORTEST} seconds to every day."
    if len(draft.url) > MAX_ADDRESS or ODD_IN_ADDRESS.search(draft.url.strip()):
        return (
            f"An address has at most {MAX_ADDRESS} letters, and neither a space, a backslash nor #."
        )
    return why_not_options(draft.kind, draft.options) or why_not_secret(draft.secret or {})


def _fill_source(source: HealthSource, draft: SourceDraft) -> None:
    source.name, source.url, source.every = draft.name.strip(), draft.url.strip(), draft.every
    source.options = dict(draft.options)
    if draft.secret is not None:
        secret = {name: value for name, value in draft.secret.items() if value}
        source.secret_encrypted = encrypt(json.dumps(secret), settings().key) if secret else None
        source.secret_hint = _hint(secret)


def _hint(secret: Mapping[str, str]) -> str:
    if bearer := secret.get("bearer"):
        return f"bearer token that ends in {bearer[-4:]}" if len(bearer) >= 16 else "bearer token"
    if user := secret.get("user"):
        return f"as {user}"[:60]
    return f"header {secret['header']}"[:60] if secret.get("header") else ""


def source_facts(source: HealthSource) -> dict[str, Any]:
    """A source as the audit trail keeps it: without its secret."""
    return {
        "name": source.name,
        "kind": source.kind,
        "url": source.url,
        "every": source.every,
        "options": dict(source.options),
        "signs_in": source.secret_hint,
    }
