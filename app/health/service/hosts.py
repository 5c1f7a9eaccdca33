"""The list of hosts that Baton may ask."""

import re
from datetime import datetime

from sqlalchemy import select

from app.core.db import unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.health.tables import AllowedHost
from app.integrations.apis import is_never_asked
from app.people import audit
from app.people.rules import Actor

HOST = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?")
ADDRESS = re.compile(r"\[[0-9a-f:.]+\]")
PORT = re.compile(r"[0-9]{1,5}")


def allow_host(pattern: str, why: str, *, by: Actor, at: datetime) -> AllowedHost:
    """Let Baton ask a host: `name:port`, where `*.` stands for one further name before it."""
    pattern = pattern.strip().lower()
    name, _, port = pattern.rpartition(":")
    if not PORT.fullmatch(port) or not 0 < int(port) < 65_536:
        raise RefusedError("Give a host and a port, as in serving.example.com:9090.")
    if not (HOST.fullmatch(name) or ADDRESS.fullmatch(name)):
        raise RefusedError(f"{name or 'Nothing'} is no name of a host.")
    if name.startswith("*.") and name.count(".") < 2:
        raise RefusedError("A star stands for one name before two others, as in *.example.com:443.")
    if is_never_asked(name):
        raise RefusedError(f"Baton never asks {name}: clouds answer there with their own secrets.")
    if len(pattern) > 255:
        raise RefusedError("The name of a host has at most 255 letters.")
    with unit_of_work() as session:
        if session.scalar(select(AllowedHost.id).where(AllowedHost.pattern == pattern)):
            raise ConflictError(f"{pattern} is allowed already.")
        host = AllowedHost(
            pattern=pattern, why=why.strip()[:200], created_at=at, created_by=by.name
        )
        session.add(host)
        session.flush()
        audit.record(
            "health.host.allow",
            target_kind="health_host",
            target_id=host.id,
            target_name=pattern,
            before=None,
            after={"why": host.why},
            by=by,
            at=at,
        )
    return host


def forbid_host(host_id: int, *, by: Actor, at: datetime) -> AllowedHost:
    """Take a host off the list. Its sources say so at their next look, and keep their panels."""
    with unit_of_work() as session:
        host = session.get(AllowedHost, host_id)
        if host is None:
            raise NotFoundError("That host is not on the list any more.")
        session.delete(host)
        audit.record(
            "health.host.forbid",
            target_kind="health_host",
            target_id=host.id,
            target_name=host.pattern,
            before={"allowed": True, "why": host.why},
            after={"allowed": False},
            by=by,
            at=at,
        )
    return host
