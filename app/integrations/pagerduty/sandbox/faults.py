"""Faults on request: what a pager in trouble does to those who call it."""

import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import httpx2

from app.integrations.pagerduty.sandbox.store import Store

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Trouble(StrEnum):
    STATUS = "status"  # answers with a status and does nothing
    DROP = "drop"  # closes the connection and does nothing
    LOSE_ANSWER = "lose answer"  # does what was asked, then closes the connection
    HANG = "hang"  # says nothing for some seconds, then closes the connection
    SLOW = "slow"  # does what was asked after some seconds


@dataclass(frozen=True, slots=True)
class Fault:
    """The next `times` calls of paths that start with `path` run into this trouble."""

    trouble: Trouble
    path: str = "/"
    times: int = 1
    status: int = 503
    seconds: float = 0.0
    retry_after: str | None = None


def inject(store: Store, fault: Fault) -> None:
    with store.transaction() as connection:
        connection.execute(
            "INSERT INTO faults (path, trouble, times, status, seconds, retry_after) "
            "VALUES (:path, :trouble, :times, :status, :seconds, :retry_after)",
            asdict(fault),
        )


def clear(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute("DELETE FROM faults")


class Faults:
    """WSGI middleware, because a broken connection is below what Flask can express."""

    def __init__(self, app: "WSGIApplication", store: Store) -> None:
        self.app = app
        self.store = store

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        fault = self._next(environ.get("PATH_INFO", "/"))
        if fault is None:
            return self.app(environ, start_response)
        match fault.trouble:
            case Trouble.STATUS:
                return _answer(fault, start_response)
            case Trouble.SLOW:
                _wait(fault.seconds)
                return self.app(environ, start_response)
            case Trouble.LOSE_ANSWER:
                b"".join(self.app(environ, _ignore))
            case Trouble.HANG:
                _hang(environ, fault.seconds)
            case Trouble.DROP:
                pass
        return _drop(environ, start_response)

    def _next(self, path: str) -> Fault | None:
        if path.startswith("/control/"):
            return None
        due = "SELECT * FROM faults WHERE times > 0 AND substr(?, 1, length(path)) = path"
        if self.store.row(due, path) is None:
            return None
        with self.store.transaction() as connection:
            row = connection.execute(f"{due} ORDER BY id LIMIT 1", (path,)).fetchone()
            if row is None:
                return None
            connection.execute("UPDATE faults SET times = times - 1 WHERE id = ?", (row["id"],))
        return Fault(
            trouble=Trouble(row["trouble"]),
            path=row["path"],
            status=row["status"],
            seconds=row["seconds"],
            retry_after=row["retry_after"],
        )


def _answer(fault: Fault, start_response: "StartResponse") -> Iterable[bytes]:
    headers = [("Content-Type", "text/plain")]
    if fault.retry_after is not None:
        headers.append(("Retry-After", fault.retry_after))
    start_response(f"{fault.status} Trouble", headers)
    return [b"The sandbox pager was asked to be in trouble."]


def _connection(environ: "WSGIEnvironment") -> Any:
    return environ.get("werkzeug.socket") or environ.get("gunicorn.socket")


def _hang(environ: "WSGIEnvironment", seconds: float) -> None:
    if _connection(environ) is None:
        # Without a socket nobody would end the wait: say at once what a client's clock would say.
        raise httpx2.ReadTimeout("The sandbox pager was asked to hang.")
    _wait(seconds)


def _drop(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    connection = _connection(environ)
    if connection is None:
        raise httpx2.RemoteProtocolError("The sandbox pager was asked to close the connection.")
    with suppress(OSError):  # the caller was quicker
        connection.shutdown(socket.SHUT_RDWR)
    start_response("503 Closed", [])
    return []


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def _ignore(*_args: object) -> Any:
    return lambda _: None
