"""Accounts: signing in, inviting people, roles, profiles. Each change is audited."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from app.core.db import unit_of_work
from app.core.errors import ConflictError, RefusedError
from app.people import audit, links, passwords, queries, tokens, tries
from app.people.rules import (
    BATON,
    FIRST_ADMINISTRATOR,
    Actor,
    Role,
    refusal_of_email,
    refusal_of_name,
    refusal_of_password,
    refusal_to_step_down,
)
from app.people.tables import User


def acting(user: User) -> Actor:
    return Actor("person", user.id, user.name)


# --- Signing in


def sign_in(email: str, password: str, *, address: str, at: datetime) -> User:
    """The person behind this email address and password."""
    account = email.strip().lower()[:254]
    user = tries.try_password(
        account, password, address=address, refusal="Email and password do not match.", at=at
    )
    if not user.active:
        raise RefusedError("This account is deactivated. An administrator can activate it again.")
    # Not through the object: signing in is no edit of the person, and must not disturb one.
    values: dict[str, Any] = {"signed_in_at": at}
    if passwords.is_outdated(user.password_hash or ""):
        values["password_hash"] = passwords.hashed(password)
    with unit_of_work() as session:
        session.execute(update(User).where(User.id == user.id).values(values))
    return user


def forget_old_tries_and_links(at: datetime) -> int:
    """Drop what throttling no longer counts, and links that ended; say how many rows."""
    with unit_of_work():
        return tries.forget_old(at) + links.forget_old(at)


# --- New people and one-time links


@dataclass(frozen=True, slots=True)
class Invitation:
    email: str
    name: str
    role: Role


def invite(invitation: Invitation, *, by: Actor, at: datetime) -> tuple[User, str]:
    """A new person, and the link with which they set their password. It is shown once."""
    with unit_of_work():
        user = _add(invitation, password_hash=None, action="person.invite", by=by, at=at)
        return user, links.make(user, at)


def add_with_password(invitation: Invitation, password: str, *, by: Actor, at: datetime) -> User:
    """A new person who can sign in at once."""
    if why := refusal_of_password(password, email=invitation.email):
        raise RefusedError(why)
    password_hash = passwords.hashed(password)
    return _add(invitation, password_hash=password_hash, action="person.add", by=by, at=at)


def _add(
    invitation: Invitation, *, password_hash: str | None, action: str, by: Actor, at: datetime
) -> User:
    email = invitation.email.strip().lower()
    name = invitation.name.strip() or email[:120]
    if why := refusal_of_email(email) or refusal_of_name(name):
        raise RefusedError(why)
    with _one_account_each(email), unit_of_work() as session:
        user = User(
            email=email,
            name=name,
            role=invitation.role,
            password_hash=password_hash,
            created_at=at,
        )
        session.add(user)
        session.flush()
        made = {"email": user.email, "name": user.name, "role": user.role}
        _record(action, user, after=made, by=by, at=at)
    return user


def first_administrator_link(at: datetime) -> str | None:
    """The link for whoever sets Baton up, new at every call; None once somebody has a password."""
    with unit_of_work():
        if queries.someone_has_a_password():
            return None
        user = queries.administrator_without_password()
        if user is None:
            first = Invitation(FIRST_ADMINISTRATOR, "First administrator", Role.ADMINISTRATOR)
            user = _add(first, password_hash=None, action="person.add", by=BATON, at=at)
        return links.make(user, at)


def new_link(user_id: int, *, by: Actor, at: datetime) -> tuple[User, str]:
    """A link with which somebody sets a new password. Any older link ends."""
    with unit_of_work():
        user = queries.user(user_id)
        if not user.active:
            raise RefusedError(f"{user.name} is deactivated. Activate the account first.")
        link = links.make(user, at)
        _record("person.link", user, by=by, at=at)
        return user, link


@dataclass(frozen=True, slots=True)
class Welcome:
    name: str
    password: str
    email: str | None = None  # asked of the first administrator only


def use_link(link_id: int, given: Welcome, *, at: datetime) -> User:
    """Set name and password with a link, which ends with it. All older sessions end too."""
    user = links.followed(link_id, at=at).user
    email = user.email
    if user.email == FIRST_ADMINISTRATOR:
        email = (given.email or "").strip().lower()
        if why := refusal_of_email(email):
            raise RefusedError(why)
    if why := refusal_of_password(given.password, email=email):
        raise RefusedError(why)
    password_hash = passwords.hashed(given.password)
    with _one_account_each(email), unit_of_work() as session:
        user = queries.locked_user(user.id)
        links.use_up(link_id, at)
        before = _state(user)
        user.email, user.name = email, given.name.strip() or user.name
        user.password_hash = password_hash
        user.epoch += 1
        user.signed_in_at = at
        session.flush()
        tries.forget(email)
        _record("person.password", user, before=before, after=_state(user), by=acting(user), at=at)
    return user


# --- Administration


def change_role(user_id: int, role: Role, *, version: int, by: Actor, at: datetime) -> User:
    with unit_of_work():
        others = queries.other_administrators(user_id)
        user = _as_seen(user_id, version)
        if role is not Role.ADMINISTRATOR:
            _keep_an_administrator(user, others)
        before = _state(user)
        user.role = role
        _record("person.role", user, before=before, after=_state(user), by=by, at=at)
    return user


def deactivate(
    user_id: int, *, revoke_tokens: bool, version: int, by: Actor, at: datetime
) -> tuple[User, int]:
    """End a person's access at once; sessions and links end, and their tokens if asked."""
    with unit_of_work():
        others = queries.other_administrators(user_id)
        user = _as_seen(user_id, version)
        _keep_an_administrator(user, others)
        before = _state(user)
        user.active = False
        user.epoch += 1
        links.void(user)
        revoked = tokens.revoke_all_made_by(user.id, by=by, at=at) if revoke_tokens else 0
        _record("person.deactivate", user, before=before, after=_state(user), by=by, at=at)
    return user, revoked


def activate(user_id: int, *, version: int, by: Actor, at: datetime) -> User:
    with unit_of_work():
        user = _as_seen(user_id, version)
        before = _state(user)
        user.active = True
        _record("person.activate", user, before=before, after=_state(user), by=by, at=at)
    return user


def _keep_an_administrator(user: User, others: int) -> None:
    if user.role is not Role.ADMINISTRATOR:
        return
    if why := refusal_to_step_down(user.name, other_administrators=others):
        raise RefusedError(why)


# --- One's own account


@dataclass(frozen=True, slots=True)
class Profile:
    name: str
    time_zone: str
    single_keys: bool


def update_profile(user_id: int, profile: Profile, *, version: int, at: datetime) -> User:
    with unit_of_work():
        user = _as_seen(user_id, version)
        before = _state(user)
        user.name = profile.name
        user.time_zone = profile.time_zone
        user.single_keys = profile.single_keys
        _record("person.profile", user, before=before, after=_state(user), by=acting(user), at=at)
    return user


def change_password(user_id: int, current: str, new: str, *, address: str, at: datetime) -> User:
    """Set a new password. Whoever is signed in elsewhere with the old one is signed out."""
    email = queries.user(user_id).email
    if why := refusal_of_password(new, email=email):
        raise RefusedError(why)
    tries.try_password(
        email, current, address=address, refusal="That is not your password so far.", at=at
    )
    password_hash = passwords.hashed(new)
    with unit_of_work():
        user = queries.locked_user(user_id)
        user.password_hash = password_hash
        user.epoch += 1
        _record("person.password", user, by=acting(user), at=at)
    return user


def sign_out_everywhere(user_id: int, *, by: Actor, at: datetime) -> User:
    """End every session of this person, on every device."""
    with unit_of_work():
        user = queries.locked_user(user_id)
        user.epoch += 1
        _record("person.sign_out", user, by=by, at=at)
    return user


# --- What the above have in common


def _as_seen(user_id: int, version: int) -> User:
    """The person, unless somebody changed them since the reader looked."""
    user = queries.locked_user(user_id)
    if user.version != version:
        raise audit.changed_meanwhile("person", user.id, user.name)
    return user


def _state(user: User) -> dict[str, Any]:
    return {
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "active": user.active,
        "time_zone": user.time_zone,
        "single_keys": user.single_keys,
    }


def _record(
    action: str,
    user: User,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    by: Actor,
    at: datetime,
) -> None:
    if before is not None and before == after and action != "person.password":
        return  # saved as it was
    audit.record(
        action,
        target_kind="person",
        target_id=user.id,
        target_name=user.name,
        before=before,
        after=after,
        by=by,
        at=at,
    )


@contextmanager
def _one_account_each(email: str) -> Iterator[None]:
    """Turn the refusal of the database to store an address twice into a sentence."""
    try:
        yield
    except IntegrityError as error:
        raise ConflictError(f"{email} has an account here already.") from error
