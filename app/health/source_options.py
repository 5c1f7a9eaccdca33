"""What can be set of a source beside its address, by its kind, and how it signs in there."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from app.health.sources import contracts, drift
from app.health.sources.base import UnreadableError
from app.health.sources.reading import Given, fields, items

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "openmetrics": (),
    "prometheus": (),
    "drift": (
        "path", "model", "version", "kind", "format", "reference_id", "reference_at", "zone",
    ),
    "evidently": ("projects", "model", "kind", "zone"),
    "contracts": ("path", "dataset", "format", "zone", "expected"),
}  # fmt: skip
FORMATS = {"drift": tuple(drift.FORMATS), "contracts": tuple(contracts.FORMATS)}
MAX_OPTIONS = 20_000  # letters, as JSON
MAX_NAMED = 500  # projects or data inputs

SIGN_INS = ({"bearer"}, {"user", "password"}, {"user"}, {"header", "value"})
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,60}")
# What the connection itself says, which no source may say otherwise.
NOT_TO_BE_SENT = {
    "accept", "connection", "content-length", "content-type", "cookie", "host", "te", "trailer",
    "transfer-encoding", "upgrade", "user-agent",
}  # fmt: skip
SENDABLE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,3998}[\x21-\x7e])?")
# What two programs may read differently has no place in an address.
ODD_IN_ADDRESS = re.compile(r"[\s\\\x00-\x1f\x7f#]")


def why_not_options(kind: str, options: Mapping[str, Any]) -> str | None:
    """Say why a source of this kind can't be set up so."""
    known = OPTIONS.get(kind, ())
    for name in options:
        if name not in known:
            may = f"It has {', '.join(known)}." if known else "It has none."
            return f"A source of kind {kind} has no option {str(name)[:40]}. {may}"
    for name, said in options.items():
        if why := _why_not_option(name, said, kind):
            return why
    if len(json.dumps(dict(options))) > MAX_OPTIONS:
        return "Its options are too long."
    try:
        Given(received_at=datetime.now(UTC)).with_said(options)
    except UnreadableError as error:
        return str(error.args[0])
    return None


def _why_not_option(name: str, said: Any, kind: str) -> str | None:
    match name:
        case "projects":
            pairs = fields(said)
            if not isinstance(said, dict) or not _are_texts([*pairs, *pairs.values()]):
                return "Projects are an object: the name or id of each project, and its model."
            return f"At most {MAX_NAMED} projects are named." if len(pairs) > MAX_NAMED else None
        case "expected":
            names = items(said)
            if not isinstance(said, list) or not _are_texts(names):
                return "Expected is a list of the names of data inputs."
            return f"At most {MAX_NAMED} inputs are named." if len(names) > MAX_NAMED else None
    if not isinstance(said, str):
        return f"The option {name} is a text."
    if name == "path" and not _is_path(said):
        return "The path is one of the source's own host, as in /drift."
    if name == "format" and said and said not in FORMATS[kind]:
        return f"There is no format {said[:40]}. There are {', '.join(FORMATS[kind])}."
    return None


def _are_texts(said: Iterable[Any]) -> bool:
    return all(isinstance(one, str) and one for one in said)


def _is_path(said: str) -> bool:
    if ODD_IN_ADDRESS.search(said):
        return False
    try:
        parts = urlsplit(said.lstrip("/"))
    except ValueError:
        return False
    return not parts.scheme and not parts.netloc


def why_not_secret(secret: Mapping[str, str]) -> str | None:
    """Say why Baton can't sign in with this."""
    given = {name for name, value in secret.items() if value}
    if not given:
        return None
    if given not in SIGN_INS:
        return "Sign in with a bearer token, with a user and a password, or with one header."
    if "header" in given and (
        not HEADER.fullmatch(secret["header"]) or secret["header"].lower() in NOT_TO_BE_SENT
    ):
        return f"{secret['header'][:40]} is no header to sign in with. One is like X-Api-Key."
    if ":" in secret.get("user", ""):
        return "A user has no colon in the name."
    for name in given - {"header"}:
        if not SENDABLE.fullmatch(secret[name]):
            return f"The {name} holds what can't be sent: letters beyond ASCII, or a line break."
    return None
