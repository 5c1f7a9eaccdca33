"""How a source is asked: only at hosts that an administrator allowed, with its own secret.

An address that people type must not lead Baton to where only Baton can go. So a host is asked
only if its name and port are on the list.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from sqlalchemy import select

from app.config import settings
from app.core.db import db
from app.core.secrets import decrypt
from app.health.sources.base import Page, UnreachableError
from app.health.tables import AllowedHost, HealthSource
from app.integrations.apis import ask


@dataclass(frozen=True, slots=True)
class Asking:
    """How one source is asked."""

    url: str
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_allowed: bool = False

    @classmethod
    def of(cls, source: HealthSource) -> "Asking":
        secret = {}
        if source.secret_encrypted:
            secret = json.loads(decrypt(source.secret_encrypted, settings().key))
        return cls(source.url, secret, why_not_allowed(source.url, allowed_hosts()) is None)

    def fetch(
        self,
        path: str = "",
        *,
        form: Mapping[str, str] | None = None,
        accept: str = "application/json",
    ) -> Page:
        """Ask the source. Raises `UnreachableError` with a sentence that holds no secret."""
        host = urlsplit(self.url).netloc
        if not self.is_allowed:
            raise UnreachableError(
                f"{host} is not on the list of hosts that Baton may ask. An administrator can "
                "add it."
            )
        address = urljoin(self.url.rstrip("/") + "/", path.lstrip("/")) if path else self.url
        if urlsplit(address)[:2] != urlsplit(self.url)[:2]:
            raise UnreachableError(f"Its path leads away from {host}. Give a path of that host.")
        return ask(
            address,
            form=form,
            headers={"Accept": accept, **self._headers()},
            auth=self._basic(),
        )

    def _headers(self) -> dict[str, str]:
        if bearer := self.secret.get("bearer"):
            return {"Authorization": f"Bearer {bearer}"}
        if name := self.secret.get("header"):
            return {name: self.secret.get("value", "")}
        return {}

    def _basic(self) -> tuple[str, str] | None:
        if user := self.secret.get("user"):
            return user, self.secret.get("password", "")
        return None


def why_unreachable(trouble: str, who: str) -> str:
    """Why a source told nothing, as a clause. It may well have answered: with status 401, say."""
    sentence = trouble.rstrip(".") or "It does not answer"
    return f"{who} {sentence[3:]}" if sentence.startswith("It ") else sentence


def allowed_hosts() -> list[str]:
    return list(db.session.scalars(select(AllowedHost.pattern).order_by(AllowedHost.pattern)))


def host_of(url: str) -> str | None:
    """The pattern that allows this address and no other host; none if it is no address."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    host = (parts.hostname or "").lower()
    if not host or parts.username or parts.password:
        return None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def opens(pattern: str, host: str) -> bool:
    """Whether a pattern of the list opens a host, as `host_of` writes it."""
    return why_not_allowed(f"http://{host}/", [pattern]) is None


def why_not_allowed(url: str, patterns: Iterable[str]) -> str | None:
    """Say why this address may not be asked. A pattern is host:port; `*.` stands for one name."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return "The address has to begin with http:// or https:// and a host."
    host = (parts.hostname or "").lower()
    if not host:
        return "The address has no host."
    if parts.username or parts.password:
        return "Keep the password out of the address; there is a field for it."
    for pattern in patterns:
        name, _, allowed_port = pattern.rpartition(":")
        if str(port) != allowed_port:
            continue
        name = name.strip("[]").lower()
        if name == host or (
            name.startswith("*.") and host.partition(".")[2] == name[2:] and host.partition(".")[0]
        ):
            return None
    return f"{host}:{port} is not on the list of hosts that Baton may ask."
