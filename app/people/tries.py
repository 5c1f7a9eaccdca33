"""Passwords that are tried: counted, throttled, and forgotten when one was right."""

from datetime import datetime

from sqlalchemy import CursorResult, delete

from app.core.db import unit_of_work
from app.core.errors import RefusedError, TooManyTriesError
from app.people import passwords, queries
from app.people.rules import WINDOW, in_minutes, throttled_address, tries_left, wait_before_next_try
from app.people.tables import SignInAttempt, User


def try_password(account: str, password: str, *, address: str, refusal: str, at: datetime) -> User:
    """Check a password, outside any transaction because that takes a while on purpose.

    So the try is written down before, and forgotten when the password was right.
    """
    address = throttled_address(address)
    _count_a_try(account, address, at)
    user = queries.user_by_email(account)
    right = passwords.matches(user.password_hash if user else None, password)
    if user is None or not right:
        failed, _ = queries.failures(account, address, at=at)
        raise RefusedError(f"{refusal} {tries_left(len(failed))}")
    forget(account)
    return user


def _count_a_try(account: str, address: str, at: datetime) -> None:
    """Write a try down as failed, or raise when there were too many."""
    with unit_of_work() as session:
        # In turns, so that of a burst of tries not every one can be the fifth.
        queries.lock_account(account)
        wait = wait_before_next_try(*queries.failures(account, address, at=at), at=at)
        if wait:
            raise TooManyTriesError(
                f"Too many tries. The next one is possible in {in_minutes(wait)}.",
                retry_after=wait,
            )
        session.add(SignInAttempt(account=account, address=address, at=at))


def forget(account: str) -> None:
    with unit_of_work() as session:
        session.execute(delete(SignInAttempt).where(SignInAttempt.account == account))


def forget_old(at: datetime) -> int:
    """Drop tries that no longer count, and say how many."""
    with unit_of_work() as session:
        dropped = session.execute(delete(SignInAttempt).where(SignInAttempt.at <= at - WINDOW))
    assert isinstance(dropped, CursorResult)
    return dropped.rowcount
