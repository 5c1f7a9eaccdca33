"""People and the audit trail as JSON."""

from typing import Any

from flask_openapi3 import APIBlueprint, Tag

from app.people import queries
from app.people.access import allows, current_token
from app.people.queries import AuditFilter
from app.people.schemas import AuditQuery, Change, Changes, Me, People, PeopleQuery, Person

api = APIBlueprint("people_api", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="People")])


@api.get("/me", summary="Who this token is", responses={200: Me})
@allows()
def me() -> dict[str, Any]:
    return Me.of(current_token()).model_dump(mode="json")


@api.get("/people", summary="People by name", responses={200: People})
@allows("people:read")
def people(query: PeopleQuery) -> dict[str, Any]:
    found = queries.people(query.search, cursor=query.cursor, size=query.limit)
    return People(items=[Person.of(user) for user in found.items], next=found.next).model_dump(
        mode="json"
    )


@api.get("/audit", summary="Who changed what, the newest first", responses={200: Changes})
@allows("audit:read")
def audit(query: AuditQuery) -> dict[str, Any]:
    wanted = AuditFilter(query.who, query.what, query.kind)
    found = queries.audit_entries(wanted, cursor=query.cursor, size=query.limit)
    return Changes(items=[Change.of(entry) for entry in found.items], next=found.next).model_dump(
        mode="json"
    )
