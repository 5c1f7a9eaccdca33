"""Reads, shaped for pages and for the API."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import contains_eager, joinedload

from app.core.db import db, get_or_404
from app.core.errors import NotFoundError
from app.people.rules import WINDOW, Role
from app.people.tables import ApiToken, AuditEntry, OneTimeLink, SignInAttempt, User
from app.web.pagination import SIZE, Page, decode_cursor, page_of

NOBODY = "There is no such person here."


def user(user_id: int) -> User:
    return get_or_404(User, user_id, User.id, NOBODY)


def locked_user(user_id: int) -> User:
    """The person as they are now, held against other writers until the unit of work ends."""
    found = db.session.scalars(_held(select(User).where(User.id == user_id))).one_or_none()
    if found is None:
        raise NotFoundError(NOBODY)
    return found


def _held(wanted: Select[User]) -> Select[User]:
    # Rows that only refer to a person, such as a link, may be written meanwhile. What was read
    # before is read again, because somebody may have changed it before we held it.
    return wanted.with_for_update(key_share=True).execution_options(populate_existing=True)


def user_by_email(email: str) -> User | None:
    return db.session.scalars(select(User).where(User.email == email.strip().lower())).first()


def lock_account(email: str) -> None:
    """Make units of work on this account take turns. SQLite's writers do so anyway."""
    db.session.execute(select(User.id).where(User.email == email).with_for_update())


def user_in_session(user_id: int, epoch: int) -> User | None:
    """The person whose session this is, unless the session was ended or the person deactivated."""
    return db.session.scalars(
        select(User).where(User.id == user_id, User.epoch == epoch, User.active)
    ).first()


def people(search: str = "", *, cursor: str = "", size: int = SIZE) -> Page[User]:
    """People by name."""
    name = func.lower(User.name)
    found = select(User).order_by(name, User.id).limit(size + 1)
    if search:
        found = found.where(_contains(User.name, search) | _contains(User.email, search))
    if cursor:
        last_name, last_id = decode_cursor(cursor, str, int)
        found = found.where(or_(name > last_name, and_(name == last_name, User.id > last_id)))
    # The database makes the cursor's name small, because it and Python differ in some letters.
    rows = db.session.execute(found.add_columns(name)).all()
    page = page_of(rows, size, key=lambda row: (row[1], row[0].id))
    return Page([row[0] for row in page.items], page.next)


@dataclass(frozen=True, slots=True)
class Headcount:
    active: int
    deactivated: int
    invited: int


def headcount() -> Headcount:
    active, deactivated, invited = db.session.execute(
        select(
            func.count().filter(User.active),
            func.count().filter(~User.active),
            func.count().filter(User.active, User.password_hash.is_(None)),
        ).select_from(User)
    ).one()
    return Headcount(active, deactivated, invited)


def other_administrators(user_id: int) -> int:
    """How many others could administrate. Holds their rows: two who demote each other must meet.

    Whoever holds one person as well asks this first, so that nobody waits in a circle.
    """
    able = (User.role == Role.ADMINISTRATOR, User.active, User.password_hash.is_not(None))
    found = db.session.scalars(_held(select(User).where(*able).order_by(User.id))).all()
    return sum(other.id != user_id for other in found)


def someone_has_a_password() -> bool:
    return bool(
        db.session.scalar(select(select(User.id).where(User.password_hash.is_not(None)).exists()))
    )


def administrator_without_password() -> User | None:
    return db.session.scalars(
        select(User)
        .where(User.role == Role.ADMINISTRATOR, User.active, User.password_hash.is_(None))
        .order_by(User.id)
        .limit(1)
    ).first()


def open_link(secret_hash: str, *, at: datetime) -> OneTimeLink | None:
    """The link with its person, unless it was used or has ended."""
    return db.session.scalars(_open_links(at).where(OneTimeLink.secret_hash == secret_hash)).first()


def open_link_by_id(link_id: int, *, at: datetime) -> OneTimeLink | None:
    return db.session.scalars(_open_links(at).where(OneTimeLink.id == link_id)).first()


def open_link_of(user_id: int, *, at: datetime) -> OneTimeLink | None:
    return db.session.scalars(
        _open_links(at).where(OneTimeLink.user_id == user_id).order_by(OneTimeLink.id.desc())
    ).first()


def _open_links(at: datetime) -> Any:
    return (
        select(OneTimeLink)
        .join(OneTimeLink.user)
        .where(OneTimeLink.used_at.is_(None), OneTimeLink.expires_at > at, User.active)
        .options(contains_eager(OneTimeLink.user))
    )


def failures(account: str, address: str, *, at: datetime) -> tuple[list[datetime], list[datetime]]:
    """Failed sign-ins inside the window: for the account, and from the address."""
    recent = db.session.execute(
        select(SignInAttempt.account, SignInAttempt.address, SignInAttempt.at).where(
            SignInAttempt.at > at - WINDOW,
            or_(SignInAttempt.account == account, SignInAttempt.address == address),
        )
    ).all()
    return (
        [attempt.at for attempt in recent if attempt.account == account],
        [attempt.at for attempt in recent if attempt.address == address],
    )


def token(token_id: int) -> ApiToken:
    return get_or_404(ApiToken, token_id, ApiToken.id, "There is no such token.")


def token_by_hash(secret_hash: str) -> ApiToken | None:
    return db.session.scalars(select(ApiToken).where(ApiToken.secret_hash == secret_hash)).first()


def tokens() -> Sequence[ApiToken]:
    """All tokens with their makers: those that work first, then the newest first."""
    return db.session.scalars(
        select(ApiToken)
        .options(joinedload(ApiToken.created_by))
        .order_by(ApiToken.revoked_at.is_not(None), ApiToken.id.desc())
    ).all()


def working_tokens(
    *, at: datetime, name: str | None = None, made_by: int | None = None
) -> list[ApiToken]:
    """Tokens that are accepted now."""
    wanted = select(ApiToken).where(
        ApiToken.revoked_at.is_(None), or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > at)
    )
    if name is not None:
        wanted = wanted.where(ApiToken.name == name)
    if made_by is not None:
        wanted = wanted.where(ApiToken.created_by_id == made_by)
    return list(db.session.scalars(wanted.order_by(ApiToken.id)))


@dataclass(frozen=True, slots=True)
class AuditFilter:
    who: str = ""
    what: str = ""
    kind: str = ""

    def __bool__(self) -> bool:
        return bool(self.who or self.what or self.kind)


def audit_entries(wanted: AuditFilter, *, cursor: str = "", size: int = SIZE) -> Page[AuditEntry]:
    """The newest first."""
    found = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(size + 1)
    if wanted.who:
        found = found.where(_contains(AuditEntry.actor_name, wanted.who))
    if wanted.what:
        found = found.where(
            _contains(AuditEntry.target_name, wanted.what)
            | _contains(AuditEntry.action, wanted.what)
        )
    if wanted.kind:
        found = found.where(AuditEntry.target_kind == wanted.kind)
    if cursor:
        found = found.where(AuditEntry.id < decode_cursor(cursor, int)[0])
    return page_of(db.session.scalars(found).all(), size, key=lambda entry: (entry.id,))


def audited_kinds() -> list[str]:
    """Every kind of thing the trail knows, by jumping through the index from one to the next.

    SELECT DISTINCT would read the whole index, and the trail only grows.
    """
    first = select(func.min(AuditEntry.target_kind).label("kind")).cte("kinds", recursive=True)
    following = (
        select(func.min(AuditEntry.target_kind))
        .where(AuditEntry.target_kind > first.c.kind)
        .scalar_subquery()
    )
    kinds = first.union_all(select(following).where(first.c.kind.is_not(None)))
    return [
        kind
        for kind in db.session.scalars(select(kinds.c.kind).where(kinds.c.kind.is_not(None)))
        if kind is not None
    ]


def _contains(column: Any, text: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = column.icontains(text.strip(), autoescape=True)
    return found
