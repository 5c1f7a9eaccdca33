"""Storing and checking passwords: argon2id."""

import secrets
import unicodedata
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

HASHER = PasswordHasher()

# One check takes 64 MiB. A burst of sign-ins waits its turn rather than the memory of the host.
AT_ONCE = BoundedSemaphore(4)


def hashed(password: str) -> str:
    with AT_ONCE:
        return HASHER.hash(_composed(password))


def matches(password_hash: str | None, password: str) -> bool:
    """Whether the password is right. An account without one costs the same work, and has none."""
    against = password_hash or _decoy()
    with AT_ONCE:
        try:
            HASHER.verify(against, _composed(password))
        except (VerificationError, InvalidHashError):
            return False
    return password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Whether it was made with other parameters than those of today."""
    return HASHER.check_needs_rehash(password_hash)


def _composed(password: str) -> str:
    """One keyboard sends ä as one character, another as a and its dots."""
    return unicodedata.normalize("NFC", password)


@cache
def _decoy() -> str:
    return HASHER.hash(secrets.token_urlsafe())
