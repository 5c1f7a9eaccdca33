"""One-time links, with which people set a password: made, opened, used, forgotten."""

from datetime import datetime, timedelta
from http import HTTPStatus

from sqlalchemy import CursorResult, delete, update

from app.config import settings
from app.core.db import unit_of_work
from app.core.errors import NotFoundError
from app.core.secrets import new_secret, secret_hash
from app.people import queries
from app.people.rules import LINK_LASTS
from app.people.tables import OneTimeLink, User

KEPT_AFTER_ITS_END = timedelta(days=30)


class LinkIsOverError(NotFoundError):
    """Whoever followed a one-time link needs another one."""

    status = HTTPStatus.GONE
    title = "This link has ended"

    def __init__(self) -> None:
        super().__init__("It was used already, or is too old. Ask an administrator for a new one.")


def make(user: User, at: datetime) -> str:
    """A link for this person. Any older one ends. Its secret is kept as a hash only."""
    secret = new_secret()
    with unit_of_work() as session:
        void(user)
        session.add(
            OneTimeLink(
                user_id=user.id,
                secret_hash=secret_hash(secret),
                created_at=at,
                expires_at=at + LINK_LASTS,
            )
        )
    return f"{settings().url}/welcome/{secret}"


def void(user: User) -> None:
    with unit_of_work() as session:
        session.execute(
            delete(OneTimeLink).where(OneTimeLink.user_id == user.id, OneTimeLink.used_at.is_(None))
        )


def follow(secret: str, *, at: datetime) -> OneTimeLink:
    """The link with this secret, if it still opens."""
    link = queries.open_link(secret_hash(secret), at=at)
    if link is None:
        raise LinkIsOverError
    return link


def followed(link_id: int, *, at: datetime) -> OneTimeLink:
    """The link that somebody followed a moment ago, if it still opens."""
    link = queries.open_link_by_id(link_id, at=at)
    if link is None:
        raise LinkIsOverError
    return link


def use_up(link_id: int, at: datetime) -> None:
    """End a link with its use. Of two who use it at once, one is told that it is over."""
    with unit_of_work() as session:
        used = session.execute(
            update(OneTimeLink)
            .where(OneTimeLink.id == link_id, OneTimeLink.used_at.is_(None))
            .values(used_at=at)
        )
        assert isinstance(used, CursorResult)
        if used.rowcount != 1:
            raise LinkIsOverError


def forget_old(at: datetime) -> int:
    """Drop links that ended a while ago, and say how many."""
    with unit_of_work() as session:
        dropped = session.execute(
            delete(OneTimeLink).where(OneTimeLink.expires_at <= at - KEPT_AFTER_ITS_END)
        )
    assert isinstance(dropped, CursorResult)
    return dropped.rowcount
