"""HTTP to serving and drift APIs: only to hosts that an administrator allowed.

An address that people type must not lead Baton to where only Baton can go. So a host is asked
only if its name and port are on the list, a redirect is an answer like any other and is not
followed, addresses that clouds keep for their own secrets are refused whatever the list says, and
an answer has a size and a time.
"""

import ipaddress
import json
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import local
from urllib.parse import urljoin, urlsplit

import requests
from sqlalchemy import select

from app.config import settings
from app.core.db import db
from app.core.secrets import decrypt
from app.health.sources.base import Page, UnreachableError
from app.health.tables import AllowedHost, HealthSource

CONNECT, ANSWER = 1.0, 3.0  # seconds, the second until the next byte
WHOLE = 8.0  # seconds, for all of an answer
MAX_BYTES = 16 * 1024 * 1024
NEVER = tuple(
    ipaddress.ip_network(each)
    for each in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "100.100.100.200/32")
)
_sessions = local()


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
        _refuse_own_secrets(host)
        deadline = time.monotonic() + WHOLE
        address = urljoin(self.url.rstrip("/") + "/", path.lstrip("/")) if path else self.url
        headers = {"Accept": accept, "User-Agent": "Baton/1 (health)", **self._headers()}
        try:
            with _session().request(
                "GET" if form is None else "POST",
                address,
                data=form,
                headers=headers,
                auth=self._basic(),
                timeout=(CONNECT, ANSWER),
                allow_redirects=False,
                stream=True,
            ) as answer:
                body = _body(answer, host, deadline)
                kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                return Page(answer.status_code, kind, body)
        except requests.Timeout:
            raise UnreachableError(f"{host} did not answer in time.") from None
        except requests.RequestException:
            raise UnreachableError(f"{host} can't be reached.") from None

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


def allowed_hosts() -> list[str]:
    return list(db.session.scalars(select(AllowedHost.pattern).order_by(AllowedHost.pattern)))


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


def _refuse_own_secrets(netloc: str) -> None:
    """Clouds answer there with the secrets of the machine that asks."""
    parts = urlsplit(f"//{netloc}")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UnreachableError(f"{netloc} is a name that can't be looked up.") from None
    for *_, address in found:
        one = ipaddress.ip_address(str(address[0]).partition("%")[0])
        if getattr(one, "ipv4_mapped", None):
            one = one.ipv4_mapped  # type: ignore[union-attr,assignment]  # IPv6 only
        if any(one in network for network in NEVER if network.version == one.version):
            raise UnreachableError(f"{netloc} leads to an address that Baton never asks.")


def _session() -> requests.Session:
    """One for each thread, so that connections are kept. Neither proxies nor cookies."""
    session: requests.Session | None = getattr(_sessions, "session", None)
    if session is None:
        session = _sessions.session = requests.Session()
        session.trust_env = False
    session.cookies.clear()
    return session


def _body(answer: requests.Response, host: str, deadline: float) -> bytes:
    body = bytearray()
    for chunk in answer.iter_content(65_536):
        body += chunk
        if len(body) > MAX_BYTES:
            raise UnreachableError(f"{host} answered with more than {MAX_BYTES >> 20} MB.")
        if time.monotonic() > deadline:
            raise UnreachableError(f"{host} did not finish its answer in time.")
    return bytes(body)
