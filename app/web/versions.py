"""ETag and If-Match of the API: nobody writes over what they have not seen."""

from pydantic import BaseModel, Field

from app.core.errors import BadRequestError


class IfMatch(BaseModel):
    if_match: str | None = Field(
        None, alias="If-Match", description="ETag of the copy that the change was made on."
    )


def version_in(header: IfMatch, otherwise: int | None = None) -> int | None:
    """The version in If-Match, which proxies may have marked as weak; `otherwise` without one."""
    said = (header.if_match or "").strip()
    if not said or said == "*":
        return otherwise
    digits = said.removeprefix("W/").strip('"')
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise BadRequestError('If-Match takes the ETag of one copy, as in "7".')
    return int(digits)


def etag(version: int) -> dict[str, str]:
    """The header of an answer that holds this version."""
    return {"ETag": f'"{version}"'}
