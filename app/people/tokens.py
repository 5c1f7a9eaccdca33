"""API tokens: made, checked, revoked. A token is shown once and kept as a hash."""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, update

from app.core.db import unit_of_work
from app.core.errors import ConflictError, NotSignedInError, RefusedError
from app.core.secrets import new_secret, secret_hash
from app.people import audit, queries
from app.people.rules import COMMAND_LINE, Actor, Role, refusal_of_name
from app.people.tables import ApiToken

PREFIX = "bt_"
WRITTEN_DOWN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class TokenWish:
    name: str
    scopes: list[str]
    days: int | None  # none: never expires


@dataclass(frozen=True, slots=True)
class TokenInUse:
    """What a request needs to know of the token it came with."""

    id: int
    name: str
    scopes: tuple[str, ...]
    expires_at: datetime | None

    @property
    def actor(self) -> Actor:
        return Actor("token", self.id, self.name)


def create(wish: TokenWish, *, by: Actor, at: datetime) -> tuple[ApiToken, str]:
    """A new token, and its secret, which nobody can show again."""
    if why := refusal_of_name(wish.name):
        raise RefusedError(why)
    secret = PREFIX + new_secret(40)
    with unit_of_work() as session:
        if queries.working_tokens(at=at, name=wish.name):
            raise ConflictError(f"There is already a token called {wish.name}. Revoke it first.")
        token = ApiToken(
            name=wish.name,
            secret_hash=secret_hash(secret),
            last_four=secret[-4:],
            scopes=wish.scopes,
            created_by_id=by.id if by.kind == "person" else None,
            created_at=at,
            expires_at=at + timedelta(days=wish.days) if wish.days is not None else None,
        )
        session.add(token)
        session.flush()
        audit.record(
            "token.create",
            target_kind="token",
            target_id=token.id,
            target_name=token.name,
            after={"name": token.name, "scopes": token.scopes, "expires_at": token.expires_at},
            by=by,
            at=at,
        )
    return token, secret


def revoke(token_id: int, *, by: Actor, role: Role | None = None, at: datetime) -> ApiToken:
    """Make a token worthless at once. `role` is that of the person who asks, if it is one."""
    with unit_of_work():
        token = queries.token(token_id)
        if by != COMMAND_LINE and role is not Role.ADMINISTRATOR and token.created_by_id != by.id:
            raise RefusedError("Only its maker or an administrator can revoke this token.")
        if token.revoked_at is None:
            token.revoked_at = at
            audit.record(
                "token.revoke",
                target_kind="token",
                target_id=token.id,
                target_name=token.name,
                by=by,
                at=at,
            )
    return token


def revoke_all_made_by(user_id: int, *, by: Actor, at: datetime) -> int:
    """Revoke what somebody who leaves has made, and say how many."""
    with unit_of_work():
        tokens = queries.working_tokens(at=at, made_by=user_id)
        for token in tokens:
            revoke(token.id, by=by, role=Role.ADMINISTRATOR, at=at)
    return len(tokens)


def check(secret: str, *, at: datetime) -> TokenInUse:
    """The token that this secret belongs to, or a `NotSignedInError` that says what is wrong."""
    wanted = secret_hash(secret)
    token = queries.token_by_hash(wanted)
    if token is None or not hmac.compare_digest(token.secret_hash, wanted):
        raise NotSignedInError("This token is not known here.")
    if token.revoked_at is not None:
        raise NotSignedInError(f"The token {token.name} was revoked on {_day(token.revoked_at)}.")
    if token.expires_at is not None and token.expires_at <= at:
        raise NotSignedInError(f"The token {token.name} expired on {_day(token.expires_at)}.")
    in_use = TokenInUse(token.id, token.name, tuple(token.scopes), token.expires_at)
    if token.used_at is None or at - token.used_at >= WRITTEN_DOWN_EVERY:
        _write_down_use(token.id, at)
    return in_use


def _write_down_use(token_id: int, at: datetime) -> None:
    """Once a minute is enough to see whether a token is in use, and spares the others a write."""
    unwritten = or_(ApiToken.used_at.is_(None), ApiToken.used_at <= at - WRITTEN_DOWN_EVERY)
    with unit_of_work() as session:
        session.execute(
            update(ApiToken).where(ApiToken.id == token_id, unwritten).values(used_at=at)
        )


def _day(at: datetime) -> str:
    return f"{at.day} {at:%B %Y}"
