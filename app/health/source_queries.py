"""Reads of sources and of the hosts that may be asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select

from app.core.db import AnyRow, db, get_or_404
from app.health.asking import host_of, opens
from app.health.tables import AllowedHost, HealthSource, Lamp, Panel, Slo
from app.people.tables import AuditEntry
from app.registry.tables import MlModel
from app.web.pagination import SIZE, Page, decode_cursor, page_of

WHICH = ("open", "trouble", "closed")
MAX_PANELS = 200  # shown of one source
LATELY = timedelta(days=1)
NO_SOURCE = "There is no source of that name."


@dataclass(frozen=True, slots=True)
class SourceFilter:
    words: str = ""
    which: str = "open"  # one of WHICH


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A source, and how many panels and service levels hang on it."""

    source: HealthSource
    panels: int
    levels: int


def sources(
    wanted: SourceFilter, *, cursor: str | None = None, size: int = SIZE
) -> Page[SourceLine]:
    """Sources by name."""
    name = func.lower(HealthSource.name)
    found = (
        select(HealthSource, _panels(), _levels(), name)
        .where(*_conditions(wanted))
        .order_by(name, HealthSource.id)
        .limit(size + 1)
    )
    if cursor:
        last, last_id = decode_cursor(cursor, str, int)
        found = found.where(or_(name > last, and_(name == last, HealthSource.id > last_id)))
    page = page_of(db.session.execute(found).all(), size, key=lambda row: (row[3], row[0].id))
    return Page([SourceLine(*row[:3]) for row in page.items], page.next)


def _conditions(wanted: SourceFilter) -> list[ColumnElement[bool]]:
    is_closed = wanted.which == "closed"
    closed_at = HealthSource.closed_at
    found: list[ColumnElement[bool]] = [
        closed_at.is_not(None) if is_closed else closed_at.is_(None)
    ]
    if wanted.which == "trouble":
        found.append(HealthSource.trouble != "")
    if wanted.words:
        found.append(
            or_(
                *(
                    func.lower(column).contains(wanted.words.lower(), autoescape=True)
                    for column in (HealthSource.name, HealthSource.url, HealthSource.slug)
                )
            )
        )
    return found


def _panels() -> Any:
    return (
        select(func.count())
        .where(Panel.source_id == HealthSource.id, Panel.closed_at.is_(None))
        .correlate(HealthSource)
        .scalar_subquery()
    )


def _levels() -> Any:
    return (
        select(func.count())
        .where(Slo.source_id == HealthSource.id, Slo.closed_at.is_(None))
        .correlate(HealthSource)
        .scalar_subquery()
    )


@dataclass(frozen=True, slots=True)
class Totals:
    """How many sources there are."""

    open: int
    trouble: int
    closed: int

    @property
    def all(self) -> int:
        return self.open + self.closed


def totals() -> Totals:
    is_open = HealthSource.closed_at.is_(None)
    row = db.session.execute(
        select(
            func.count().filter(is_open),
            func.count().filter(is_open, HealthSource.trouble != ""),
            func.count().filter(~is_open),
        ).select_from(HealthSource)
    ).one()
    return Totals(*row)


def source(source_id: int) -> HealthSource:
    return get_or_404(HealthSource, source_id, HealthSource.id, NO_SOURCE)


def source_by_slug(slug: str) -> HealthSource:
    return get_or_404(HealthSource, slug, HealthSource.slug, NO_SOURCE)


def line_of(found: HealthSource) -> SourceLine:
    """The source, with what hangs on it."""
    panels, levels = db.session.execute(
        select(_panels(), _levels()).select_from(HealthSource).where(HealthSource.id == found.id)
    ).one()
    return SourceLine(found, panels, levels)


def panels_on(source_id: int) -> Sequence[AnyRow]:
    """The open panels of a source with the columns that `showing.shown` reads."""
    return db.session.execute(
        select(
            Panel.id, Panel.slug, Panel.title, Panel.lane, Panel.unit, Panel.above, Panel.below,
            Panel.stale_after, Panel.window, MlModel.slug.label("model"),
            Lamp.state, Lamp.value, Lamp.newest_at, Lamp.looked_at, Lamp.since, Lamp.remark,
        )
        .join(MlModel, MlModel.id == Panel.model_id)
        .outerjoin(Lamp, Lamp.panel_id == Panel.id)
        .where(Panel.source_id == source_id, Panel.closed_at.is_(None))
        .order_by(MlModel.slug, Panel.lane, Panel.title)
        .limit(MAX_PANELS)
    ).all()  # fmt: skip


# --- Hosts ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HostLine:
    """A host on the list, and the open sources that are asked because of it."""

    host: AllowedHost
    sources: Sequence[AnyRow]  # id, name
    more: int  # sources beyond those that are named


NAMED = 3


def hosts(*, cursor: str | None = None, size: int = SIZE) -> Page[HostLine]:
    """Hosts by name."""
    found = select(AllowedHost).order_by(AllowedHost.pattern).limit(size + 1)
    if cursor:
        (last,) = decode_cursor(cursor, str)
        found = found.where(AllowedHost.pattern > last)
    page = page_of(db.session.scalars(found).all(), size, key=lambda host: (host.pattern,))
    by_host: dict[str, list[AnyRow]] = {}
    for row in _addresses():
        by_host.setdefault(host_of(row.url) or "", []).append(row)
    return Page([_host_line(host, by_host) for host in page.items], page.next)


def _host_line(host: AllowedHost, by_host: dict[str, list[AnyRow]]) -> HostLine:
    if host.pattern.startswith("*."):
        fitting = [one for one in by_host if one and opens(host.pattern, one)]
    else:
        fitting = [host.pattern]
    used = [row for one in fitting for row in by_host.get(one, ())]
    return HostLine(host, used[:NAMED], max(0, len(used) - NAMED))


def _addresses() -> Sequence[AnyRow]:
    return db.session.execute(
        select(HealthSource.id, HealthSource.name, HealthSource.url)
        .where(HealthSource.closed_at.is_(None), HealthSource.url != "")
        .order_by(func.lower(HealthSource.name), HealthSource.id)
    ).all()


def all_hosts() -> Sequence[AllowedHost]:
    return db.session.scalars(select(AllowedHost).order_by(AllowedHost.pattern)).all()


def host(host_id: int) -> AllowedHost:
    return get_or_404(
        AllowedHost, host_id, AllowedHost.id, "That host is not on the list any more."
    )


@dataclass(frozen=True, slots=True)
class Removed:
    """A host that was taken off the list."""

    pattern: str
    why: str
    by: str
    at: datetime


def removed_lately(*, at: datetime, limit: int = 3) -> list[Removed]:
    """Hosts that were taken off a short while ago and are not on the list again, newest first."""
    rows = db.session.scalars(
        select(AuditEntry)
        .where(
            AuditEntry.action == "health.host.forbid",
            AuditEntry.at > at - LATELY,
            AuditEntry.target_name.not_in(select(AllowedHost.pattern)),
        )
        .order_by(AuditEntry.id.desc())
        .limit(limit * 3)
    )
    found: dict[str, Removed] = {}
    for row in rows:
        why = str((row.before or {}).get("why", ""))
        found.setdefault(row.target_name, Removed(row.target_name, why, row.actor_name, row.at))
    return list(found.values())[:limit]


def opened_by(pattern: str) -> str:
    """What a pattern opens, in words."""
    name, _, port = pattern.rpartition(":")
    if name.startswith("*."):
        inner = name[2:]
        return f"Any one name before {inner}, as in a.{inner}, at port {port}; not {inner} itself"
    return f"Only {name} at port {port}"
