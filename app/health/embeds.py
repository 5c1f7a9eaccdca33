"""Links by which somebody's own dashboard shows one panel, without an account in Baton."""

import hmac
from datetime import UTC, datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import joinedload

from app.core.db import db, unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.core.secrets import new_secret, secret_hash
from app.health.tables import EmbedLink, Panel
from app.people import audit
from app.people.rules import Actor

MOST = 50  # that work, of one panel
NOTHING = "There is nothing at this address. Its link may have been revoked."


def make(panel_id: int, name: str, *, by: Actor, at: datetime) -> tuple[EmbedLink, str]:
    """A link for the dashboard of this name, and its token: it is told once and kept as a hash."""
    name = " ".join(name.split())
    if not name:
        raise RefusedError("Say which dashboard it is for.")
    if len(name) > 120:
        raise RefusedError("A name has at most 120 characters.")
    token = new_secret(40)
    with unit_of_work() as session:
        panel = session.get(Panel, panel_id, with_for_update=True)
        if panel is None or panel.closed_at is not None:
            raise RefusedError("Only an open panel can be shown elsewhere.")
        there = session.scalar(
            select(func.count()).where(
                EmbedLink.panel_id == panel_id, EmbedLink.closed_at.is_(None)
            )
        )
        if (there or 0) >= MOST:
            raise RefusedError(f"A panel has at most {MOST} links. Revoke one that nobody needs.")
        link = EmbedLink(
            panel_id=panel_id,
            name=name,
            token_hash=secret_hash(token),
            created_at=at,
            created_by=by.name,
        )
        session.add(link)
        session.flush()
        _audit("health.embed.create", link, panel, None, {"name": name}, by=by, at=at)
    return link, token


def revoke(panel_id: int, link_id: int, *, by: Actor, at: datetime) -> EmbedLink:
    """Let a link lead nowhere. What is revoked stays so: make another."""
    with unit_of_work() as session:
        link = session.get(EmbedLink, link_id, with_for_update=True)
        if link is None or link.panel_id != panel_id:
            raise NotFoundError("That link is not here.")
        if link.closed_at is not None:
            raise ConflictError(f"The link for {link.name} is revoked already.")
        link.closed_at = at
        panel = session.get_one(Panel, panel_id)
        _audit("health.embed.revoke", link, panel, {"revoked": False}, {"revoked": True},
               by=by, at=at)  # fmt: skip
    return link


def panel_at(token: str, *, at: datetime) -> Panel:
    """The panel that a token shows. Notes the day, so that people see which links are in use."""
    wanted = secret_hash(token)
    # By its hash: how long the database takes says nothing about the token.
    row = db.session.execute(
        select(EmbedLink, Panel)
        .join(Panel, Panel.id == EmbedLink.panel_id)
        .where(
            EmbedLink.token_hash == wanted,
            EmbedLink.closed_at.is_(None),
            Panel.closed_at.is_(None),
        )
        .options(joinedload(Panel.model), joinedload(Panel.source))
    ).first()
    if row is None or not hmac.compare_digest(row.EmbedLink.token_hash, wanted):
        raise NotFoundError(NOTHING)
    today = at.astimezone(UTC).date()
    if row.EmbedLink.used_on != today:
        with unit_of_work() as session:
            session.execute(
                update(EmbedLink).where(EmbedLink.id == row.EmbedLink.id).values(used_on=today)
            )
    found: Panel = row.Panel
    return found


def _audit(
    action: str,
    link: EmbedLink,
    panel: Panel,
    before: dict[str, object] | None,
    after: dict[str, object],
    *,
    by: Actor,
    at: datetime,
) -> None:
    audit.record(
        action,
        target_kind="health_embed",
        target_id=link.id,
        target_name=f"{panel.model.slug}: {panel.title}, for {link.name}",
        before=before,
        after=after,
        by=by,
        at=at,
    )
