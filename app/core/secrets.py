"""Making, hashing and encrypting secrets."""

import base64
import hashlib
import secrets
import string

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ALPHABET = string.ascii_letters + string.digits


def new_secret(length: int = 32) -> str:
    """Letters and digits only, so that it pastes whole: 32 of them carry 190 bits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def secret_hash(secret: str) -> str:
    """How a random secret is stored. Unlike a password it needs no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def encrypt(text: str, key: str) -> str:
    return _fernet(key).encrypt(text.encode()).decode()


def decrypt(token: str, key: str) -> str:
    """Raises ValueError with a sentence when the key is not the one it was encrypted with."""
    try:
        return _fernet(key).decrypt(token.encode()).decode()
    except InvalidToken:
        raise ValueError(
            "A stored secret can't be read: BATON_SECRET_KEY is not the one it was stored with."
        ) from None


def installation_id(key: str) -> str:
    """Eight characters that tell this installation's keys at PagerDuty from another's."""
    return hashlib.sha256(b"installation" + key.encode()).hexdigest()[:8]


def _fernet(key: str) -> Fernet:
    derived = HKDF(SHA256(), length=32, salt=None, info=b"baton stored secrets").derive(
        key.encode()
    )
    return Fernet(base64.urlsafe_b64encode(derived))
