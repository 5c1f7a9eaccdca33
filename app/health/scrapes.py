"""Running totals that Baton scraped itself, and how far it can look back with them."""

import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

from sqlalchemy import Table, delete, insert, select
from sqlalchemy.orm import Session

from app.core.db import db
from app.health.slo_rules import WINDOWS
from app.health.sources.base import History, Totals
from app.health.tables import Scrape

# Every scrape for some hours, then one in five minutes, for latency drift against a week ago.
KEPT_WHOLE = timedelta(hours=3)
KEPT = timedelta(days=8)
THINNED_TO = timedelta(minutes=5)
NEAR = timedelta(minutes=10)  # totals that are older than asked for by more than this are no help


def history_of(source_id: int) -> History:
    """Looks back at the totals of a source."""

    def totals_at(moment: datetime) -> Totals | None:
        row = db.session.execute(
            select(Scrape.at, Scrape.samples)
            .where(Scrape.source_id == source_id, Scrape.at <= moment, Scrape.at > moment - NEAR)
            .order_by(Scrape.at.desc())
            .limit(1)
        ).first()
        return None if row is None else Totals(row.at, json.loads(zlib.decompress(row.samples)))

    return totals_at


def keep(session: Session, source_id: int, totals: Totals) -> None:
    """Keep the totals of a scrape, in the caller's unit of work."""
    packed = zlib.compress(json.dumps(dict(totals.samples), separators=(",", ":")).encode(), 1)
    session.execute(
        insert(Scrape),
        [{"source_id": source_id, "at": totals.at, "samples": packed}],
    )


def thin(session: Session, *, at: datetime) -> None:
    """Drop what is too old, and all but one scrape of each five minutes of what is older."""
    rows = cast(Table, Scrape.__table__)
    session.execute(delete(rows).where(rows.c.at < at - KEPT))
    older = session.execute(
        select(Scrape.source_id, Scrape.at).where(Scrape.at < at - KEPT_WHOLE).order_by(Scrape.at)
    )
    seen: set[tuple[int, int]] = set()
    for source_id, moment in older.all():
        step = (source_id, int(moment.astimezone(UTC).timestamp() // THINNED_TO.total_seconds()))
        if step in seen:
            session.execute(delete(rows).where(rows.c.source_id == source_id, rows.c.at == moment))
        seen.add(step)


def windows_of(days: int) -> Sequence[int]:
    """The windows in seconds over which an SLO counts, its own last."""
    return [*(int(window.total_seconds()) for window in WINDOWS), days * 86_400]
