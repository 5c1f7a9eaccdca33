"""Who may do what: pure functions."""

import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit


class Role(StrEnum):
    """Each role may do all that the one before it may."""

    VIEWER = "viewer"
    RESPONDER = "responder"
    MAINTAINER = "maintainer"
    ADMINISTRATOR = "administrator"

    def covers(self, needed: "Role") -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


# What a token may be allowed, and the role that a person needs to do (or to grant) the same.
SCOPES: dict[str, Role] = {
    "incidents:read": Role.VIEWER,
    "incidents:write": Role.RESPONDER,
    "registry:read": Role.VIEWER,
    "registry:write": Role.MAINTAINER,
    "runbooks:read": Role.VIEWER,
    "runbooks:write": Role.MAINTAINER,
    "deliveries:read": Role.RESPONDER,
    "deliveries:write": Role.MAINTAINER,
    "health:read": Role.VIEWER,
    "health:write": Role.MAINTAINER,
    "integrations:read": Role.MAINTAINER,
    "integrations:write": Role.ADMINISTRATOR,
    "people:read": Role.ADMINISTRATOR,
    "people:write": Role.ADMINISTRATOR,
    "audit:read": Role.ADMINISTRATOR,
}


def expand_scopes(asked: list[str]) -> list[str]:
    """The scopes meant by what was asked for: `read` and `write` stand for every feature's.

    Raises ValueError with a sentence for a scope that does not exist.
    """
    found: set[str] = set()
    for scope in asked:
        if scope == "write":
            found.update(SCOPES)
        elif scope == "read":
            found.update(known for known in SCOPES if known.endswith(":read"))
        elif scope in SCOPES:
            found.add(scope)
        else:
            raise ValueError(
                f"There is no scope {scope}. Known: read, write, {', '.join(sorted(SCOPES))}."
            )
    return sorted(found)


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever does something: a person, a token, the command line or Baton itself."""

    kind: str  # person | token | command line | baton
    id: int | None
    name: str


BATON = Actor("baton", None, "Baton")
COMMAND_LINE = Actor("command line", None, "Command line")

WINDOW = timedelta(minutes=15)
TRIES_BY_ACCOUNT = 5
TRIES_BY_ADDRESS = 30


def wait_before_next_try(
    failed_for_account: list[datetime], failed_from_address: list[datetime], *, at: datetime
) -> int:
    """Seconds until another sign-in may be tried; 0 if now. Takes failures inside the window.

    The address gets more tries than the account, because an office shares one.
    """
    waits = [
        (sorted(failures)[-limit] + WINDOW - at).total_seconds()
        for failures, limit in (
            (failed_for_account, TRIES_BY_ACCOUNT),
            (failed_from_address, TRIES_BY_ADDRESS),
        )
        if len(failures) >= limit
    ]
    return max(0, *(int(wait) + 1 for wait in waits)) if waits else 0


def throttled_address(address: str) -> str:
    """What counts as one address: with IPv6 the whole /64 that a single line is given."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))


def tries_left(failures: int) -> str:
    """What to say after a failed sign-in, the last one included in `failures`."""
    left = TRIES_BY_ACCOUNT - failures
    minutes = int(WINDOW.total_seconds() // 60)
    if left <= 0:
        return f"Wait {minutes} minutes before the next try."
    tries = counted(left, "try", "tries")
    return f"You have {tries} left, then wait {minutes} minutes."


def counted(number: int, one: str, many: str = "") -> str:
    """1 token, 2 tokens."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def in_minutes(seconds: int) -> str:
    """A waiting time as people say it."""
    if seconds <= 90:
        return counted(seconds, "second")
    return f"{-(-seconds // 60)} minutes"


# Stands for the first administrator until that person says who they are.
FIRST_ADMINISTRATOR = "admin@localhost"
LINK_LASTS = timedelta(hours=24)

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 200


def refusal_of_password(password: str, *, email: str) -> str | None:
    """Say why this can't be a password; None if it can. Length beats required punctuation."""
    if len(password) < SHORTEST_PASSWORD:
        return f"Use at least {SHORTEST_PASSWORD} characters. A few words in a row are fine."
    if len(password) > LONGEST_PASSWORD:
        return f"Use at most {LONGEST_PASSWORD} characters."
    if len(set(password)) < 5:
        return "Use at least 5 different characters."
    if password.strip().lower() == email.lower():
        return "Your email address is the first thing anyone would try."
    return None


def refusal_of_email(email: str) -> str | None:
    """Say why this can't be an email address. Internal names such as ops@corp are fine."""
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
        return "An email address looks like name@example.com."
    if len(email) > 254:
        return "An email address has at most 254 characters."
    return None


def refusal_of_name(name: str) -> str | None:
    """Say why a person or a token can't be called this; None if they can."""
    if not name:
        return "A name is needed."
    if len(name) > 120:
        return "A name has at most 120 characters."
    return None


def refusal_to_step_down(name: str, *, other_administrators: int) -> str | None:
    """Say why an administrator can't lose the role or the account; None if they can."""
    if other_administrators > 0:
        return None
    return (
        f"{name} is the only administrator who can sign in. Make someone else administrator first."
    )


TOKEN_DAYS = (30, 90, 365)


def refusal_of_token(role: Role, scopes: list[str], days: int | None) -> str | None:
    """Say why a person of this role can't make such a token; None if they can."""
    if not scopes:
        return "Choose at least one scope. A token without any can do nothing."
    for scope in scopes:
        if not role.covers(SCOPES[scope]):
            return f"Only {article(SCOPES[scope])} can grant {scope}."
    if days is None and role is not Role.ADMINISTRATOR:
        return "Only an administrator can make a token that never expires."
    return None


def article(role: Role) -> str:
    """A viewer, an administrator."""
    return f"an {role}" if role is Role.ADMINISTRATOR else f"a {role}"


def safe_path(wanted: str | None) -> str:
    """Where to go on to after signing in: a path of this site, or / for anything else."""
    if not wanted or not wanted.startswith("/") or wanted.startswith("//"):
        return "/"
    # Browsers read a backslash as a slash and drop control characters, so both could hide a host.
    if "\\" in wanted or any(ord(letter) < 33 or ord(letter) == 127 for letter in wanted):
        return "/"
    if urlsplit(wanted).path.split("/")[1] in {"sign-in", "sign-out", "welcome"}:
        return "/"
    return wanted


def said_aloud(path: str) -> str | None:
    """A path as people say it: INC-214 for /incidents/214. None for the front page."""
    first, *rest = urlsplit(path).path.strip("/").split("/")
    if not first:
        return None
    if first == "incidents" and rest and rest[0].isdigit():
        return f"INC-{rest[0]}"
    if not rest:
        return first.replace("-", " ").capitalize()
    return rest[-1] if first != "settings" else f"Settings, {rest[0].replace('-', ' ')}"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One line of what an entry of the audit trail changed. None: there was nothing."""

    field: str
    before: str | None
    after: str | None


def field_changes(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[FieldChange]:
    """What changed, field by field, as people read it."""
    before, after = before or {}, after or {}
    changes = [
        FieldChange(
            field.replace("_", " "), _readable(before.get(field)), _readable(after.get(field))
        )
        for field in dict.fromkeys([*before, *after])
    ]
    return [one for one in changes if one.before is not None or one.after is not None]


MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)\S*\+00:00")


def _readable(value: Any) -> str | None:
    if value in (None, "", [], {}):
        return None
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(
                f"{key}: {_readable(held) or 'nothing'}" for key, held in value.items()
            )
        case list():
            return ", ".join(_readable(held) or "nothing" for held in value)
    return MOMENT.sub(r"\1 \2 UTC", str(value))
