"""ETag and If-Match: nobody writes over what they have not seen."""

from typing import Any

from app.core.errors import PreconditionFailedError
from app.health.tables import HealthSource, Panel
from app.people import audit
from app.web.versions import IfMatch, version_in

Reply = tuple[dict[str, Any], int, dict[str, str]]


def seen_version(header: IfMatch, row: HealthSource | Panel) -> int:
    """The version that the change was made on. Without If-Match it is the newest."""
    said = version_in(header, row.version)
    if said != row.version:
        kind, name = (
            ("health_panel", row.title) if isinstance(row, Panel) else ("health_source", row.name)
        )
        raise PreconditionFailedError(audit.changed_meanwhile(kind, row.id, name).sentence)
    return row.version
