"""What the API takes and gives."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from app.people.rules import Role
from app.people.tables import AuditEntry, User
from app.people.tokens import TokenInUse
from app.web.pagination import SIZE
from app.web.texts import Strict

Text = Annotated[str, StringConstraints(strip_whitespace=True)]


class PageQuery(Strict):
    cursor: str = Field("", description="The `next` of the page before.")
    limit: int = Field(SIZE, ge=1, le=200)


class PeopleQuery(PageQuery):
    search: Text = Field("", max_length=120, description="Part of a name or an email address.")


class AuditQuery(PageQuery):
    who: Text = Field("", max_length=120, description="Part of the name of whoever acted.")
    what: Text = Field("", max_length=120, description="Part of the name of the target, or action.")
    kind: Text = Field("", max_length=40, description="The kind of target, as in team.")


class Person(BaseModel):
    id: int
    email: str
    name: str
    role: Role
    active: bool
    time_zone: str
    created_at: AwareDatetime
    signed_in_at: AwareDatetime | None

    @classmethod
    def of(cls, user: User) -> "Person":
        return cls.model_validate(user, from_attributes=True)


class People(BaseModel):
    items: list[Person]
    next: str | None


class Me(BaseModel):
    """The token that asks."""

    kind: str
    id: int
    name: str
    scopes: list[str]
    expires_at: datetime | None

    @classmethod
    def of(cls, token: TokenInUse) -> "Me":
        return cls(
            kind=token.actor.kind,
            id=token.id,
            name=token.name,
            scopes=list(token.scopes),
            expires_at=token.expires_at,
        )


class Change(BaseModel):
    """An entry of the audit trail."""

    id: int
    at: AwareDatetime
    actor_kind: str
    actor_id: int | None
    actor_name: str
    action: str
    target_kind: str
    target_id: str
    target_name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str | None

    @classmethod
    def of(cls, entry: AuditEntry) -> "Change":
        return cls.model_validate(entry, from_attributes=True)


class Changes(BaseModel):
    items: list[Change]
    next: str | None
