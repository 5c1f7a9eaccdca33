"""Serving and drift APIs over HTTP: asked within limits of time and size, and led nowhere else.

Which hosts may be asked is for the caller to say. Whoever is asked, a redirect is an answer like
any other and is not followed, and addresses that clouds keep for their own secrets are refused.
"""

import ipaddress
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import local
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

CONNECT, ANSWER = 1.0, 3.0  # seconds, the second until the next byte
WHOLE = 8.0  # seconds, for all of an answer
MAX_BYTES = 16 * 1024 * 1024
NEVER = tuple(
    ipaddress.ip_network(each)
    for each in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "100.100.100.200/32")
)
_sessions = local()


class UnreachableError(Exception):
    """The source did not answer, or not in a way that can be read. `args[0]` is a sentence."""


class SilentHostError(UnreachableError):
    """Nobody answers there at all: whatever else is asked of this host will not be answered."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer over HTTP that came in time and was not too large."""

    status: int
    media_type: str  # without parameters, lower case
    body: bytes


def ask(
    address: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str],
    auth: tuple[str, str] | None = None,
) -> Page:
    """GET an address, or POST a form to it. Raises `UnreachableError` without any secret in it."""
    host = urlsplit(address).netloc
    _refuse_own_secrets(host)
    deadline = time.monotonic() + WHOLE
    try:
        with _session().request(
            "GET" if form is None else "POST",
            address,
            data=form,
            headers={"User-Agent": "Baton/1 (health)", **headers},
            auth=auth,
            timeout=(CONNECT, ANSWER),
            allow_redirects=False,
            stream=True,
        ) as answer:
            body = _body(answer, host, deadline)
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            return Page(answer.status_code, kind, body)
    except requests.Timeout:
        raise SilentHostError(f"{host} did not answer in time.") from None
    except requests.RequestException:
        raise SilentHostError(f"{host} can't be reached.") from None


def _refuse_own_secrets(netloc: str) -> None:
    """Clouds answer there with the secrets of the machine that asks."""
    parts = urlsplit(f"//{netloc}")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UnreachableError(f"{netloc} is a name that can't be looked up.") from None
    for *_, address in found:
        _refuse_if_never_asked(address, netloc)


def _refuse_if_never_asked(address: tuple[Any, ...], netloc: str) -> None:
    if is_never_asked(str(address[0]).partition("%")[0]):
        raise UnreachableError(f"{netloc} leads to an address that Baton never asks.")


def is_never_asked(name: str) -> bool:
    """Whether this is an address, and one that is never asked."""
    try:
        one = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    if getattr(one, "ipv4_mapped", None):
        one = one.ipv4_mapped  # type: ignore[union-attr,assignment]  # IPv6 only
    return any(one in network for network in NEVER if network.version == one.version)


# A name may lead elsewhere by the time it is looked up again, to connect. So each new connection is
# looked at before anything is sent over it.


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _looked_at(super()._new_conn(), self.host)


class _EncryptedConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _looked_at(super()._new_conn(), self.host)


def _looked_at(made: socket.socket, host: str) -> socket.socket:
    try:
        _refuse_if_never_asked(made.getpeername(), host)
    except BaseException:  # whatever it was, nobody else closes it
        made.close()
        raise
    return made


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _EncryptedPool(HTTPSConnectionPool):
    ConnectionCls = _EncryptedConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _EncryptedPool}


def _session() -> requests.Session:
    """One for each thread, so that connections are kept. Neither proxies nor cookies."""
    session: requests.Session | None = getattr(_sessions, "session", None)
    if session is None:
        session = _sessions.session = requests.Session()
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter())
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
