"""Lists in pages, by the key of the last row: as quick on page 900 as on page 1.

    rows = session.scalars(select(Incident).where(Incident.id < before).limit(SIZE + 1)).all()
    return page_of(rows, SIZE, key=lambda incident: (incident.id,))

`decode_cursor(cursor, int)` gives the key back, or refuses rubbish with a `BadRequestError`.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from app.core.errors import BadRequestError
from app.web.texts import UNSTORABLE

SIZE = 50

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: Sequence[T]
    next: str | None  # the cursor of the page after this one


def page_of(rows: Sequence[T], size: int, *, key: Callable[[T], Sequence[Any]]) -> Page[T]:
    """A page out of up to `size + 1` rows: the row too many only says that there is more."""
    items = rows[:size]
    more = len(rows) > size and items
    return Page(items, encode_cursor(*key(items[-1])) if more else None)


def encode_cursor(*key: int | str | datetime) -> str:
    """The key of a row as text that fits into a URL."""
    plain = [
        value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value for value in key
    ]
    text = json.dumps(plain, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """The key in a cursor, with values of these kinds: int, str or datetime."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        plain = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(plain, list) or len(plain) != len(kinds):
            raise ValueError
        return tuple(_read(value, kind) for value, kind in zip(plain, kinds, strict=True))
    except (ValueError, RecursionError, binascii.Error):
        raise BadRequestError(
            "This link to the next page can't be read. Start at the first page again."
        ) from None


def _read(value: object, kind: type) -> Any:
    if kind is datetime and isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError
        return moment
    if kind is int and type(value) is int and abs(value) < 2**63:
        return value
    if kind is str and isinstance(value, str) and not UNSTORABLE.search(value):
        return value
    raise ValueError
