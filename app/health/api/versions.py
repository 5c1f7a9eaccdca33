"""ETag and If-Match: nobody writes over what they have not seen."""

from typing import Any

from pydantic import BaseModel, Field

from app.core.errors import BadRequestError, ConflictError
from app.health.tables import HealthSource, Panel
from app.people import audit

Reply = tuple[dict[str, Any], int, dict[str, str]]


class PreconditionFailedError(ConflictError):
    """The copy that If-Match names is not the newest."""

    status = 412  # type: ignore[assignment]


class IfMatch(BaseModel):
    if_match: str | None = Field(
        None, alias="If-Match", description="ETag of the copy that the change was made on."
    )


def seen_version(header: IfMatch, row: HealthSource | Panel) -> int:
    """The version that the change was made on. Without If-Match it is the newest."""
    said = (header.if_match or "").strip()
    if not said or said == "*":
        return row.version
    digits = said.removeprefix("W/").strip('"')
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise BadRequestError('If-Match takes the ETag of one copy, as in "7".')
    if int(digits) != row.version:
        kind, name = (
            ("health_panel", row.title) if isinstance(row, Panel) else ("health_source", row.name)
        )
        raise PreconditionFailedError(audit.changed_meanwhile(kind, row.id, name).sentence)
    return int(digits)


def etag(version: int) -> dict[str, str]:
    return {"ETag": f'"{version}"'}
