"""What was seen when an incident opened, kept as it was, and how it stands now.

The snapshot is written with the incident, in one transaction (`placing`, `service`). Here it is
taken for what people open, and made ready for the page: which panels are shown with a line, which
are counted only, and what changed in the hour before, on the same axis.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.core.db import AnyRow
from app.health import evidence as health
from app.health.drawing import Plot
from app.health.evidence import SPAN, line_of
from app.health.marks import Mark, marks_of
from app.health.recording import figure
from app.health.rules import DRIFT, WORST_FIRST, LampState, Lane
from app.health.showing import Shown, shown
from app.incidents.tables import Evidence, Incident
from app.web.navigation import url_if_there

MOST_NOW = 12  # rows of what is not OK, or was not
CLOSE = timedelta(minutes=10)  # a change that is likely to have to do with it
CALM = frozenset({LampState.OK, LampState.NOT_MEASURABLE})
INPUTS = frozenset({Lane.SCHEMA, Lane.FRESHNESS, Lane.ACCESS})


def take(session: Session, incident: Incident, *, at: datetime) -> None:
    """Keep what the panels of its model say now. In the caller's unit of work."""
    if incident.model_id is None:
        return
    frame = health.snapshots([incident.model_id], at=at).get(incident.model_id)
    if frame is not None:
        session.add(
            Evidence(
                incident_id=incident.id,
                episode=incident.episode,
                kind="health",
                taken_at=at,
                content={"health": frame},
            )
        )


# --- For the page


@dataclass(frozen=True, slots=True)
class FrozenPanel:
    """A panel as it was."""

    slug: str
    title: str
    lane: Lane
    state: LampState
    text: str | None  # reading / limit
    remark: str  # what is to be known beside it: of drift, method and reference
    newest_at: datetime | None
    source: str
    plot: Plot | None
    words: str  # the same for those who don't see it


@dataclass(frozen=True, slots=True)
class FrozenLevel:
    """A service level as it was."""

    slug: str
    title: str
    state: LampState
    text: str


@dataclass(frozen=True, slots=True)
class Change:
    """A mark of the ribbon: where on the axis, and how long before."""

    mark: Mark
    x: float  # percent
    is_close: bool


@dataclass(frozen=True, slots=True)
class Frozen:
    """What was known at one moment."""

    taken_at: datetime
    panels: Sequence[FrozenPanel]  # that were neither, worst first
    drift: Sequence[FrozenPanel]  # each lane for itself, whatever it said
    inputs: Sequence[FrozenPanel]  # schema, freshness and access of the data
    calm: Sequence[FrozenPanel]  # OK, and last what can't be measured
    levels: Sequence[FrozenLevel]
    left_out: int
    changes: Sequence[Change]

    @property
    def calm_words(self) -> str:
        """As in: 3 more were OK, 1 was not measurable."""
        fine = sum(panel.state is LampState.OK for panel in self.calm)
        found = ((fine, "OK"), (len(self.calm) - fine, "not measurable"))
        return ", ".join(
            f"{count} more {'was' if count == 1 else 'were'} {word}"
            for count, word in found
            if count
        )


def frozen(content: Mapping[str, Any], incident: Incident) -> Frozen | None:
    """The snapshot in a piece of evidence, ready to be shown; none if there is none."""
    frame = content.get("health")
    if not frame:
        return None
    taken_at = datetime.fromisoformat(frame["taken_at"])
    panels = [_frozen_panel(panel, taken_at) for panel in frame["panels"]]
    drift = [panel for panel in panels if panel.lane in DRIFT]
    inputs = [panel for panel in panels if panel.lane in INPUTS]
    rest = [panel for panel in panels if panel.lane not in (*DRIFT, *INPUTS)]
    return Frozen(
        taken_at,
        panels=[panel for panel in rest if panel.state not in CALM],
        drift=sorted(drift, key=lambda panel: DRIFT.index(panel.lane)),
        inputs=inputs,
        calm=[panel for panel in rest if panel.state in CALM],
        levels=[_frozen_level(level) for level in frame["levels"]],
        left_out=frame["left_out"],
        changes=_changes(incident, taken_at),
    )


def _frozen_panel(panel: Mapping[str, Any], taken_at: datetime) -> FrozenPanel:
    lane = Lane(panel["lane"])
    drawn = line_of(panel, until=taken_at)
    remark, text = panel["remark"], _without(panel["remark"], panel["line"])
    if lane in DRIFT:
        said = (panel.get("method"), panel.get("reference") and f"against {panel['reference']}")
        remark = ", ".join(part for part in (*said, remark) if part)
    return FrozenPanel(
        panel["slug"],
        panel["title"] if not panel.get("dataset") else f"{panel['title']}, {panel['dataset']}",
        lane,
        LampState(panel["state"]),
        text or None,
        remark,
        _moment(panel["newest_at"]),
        panel["source"],
        drawn,
        _words(panel, drawn) if drawn else "",
    )


def _without(remark: str, line: str) -> str:
    """What a lamp says without the reason, which has a line of its own."""
    return line.removesuffix(remark).rstrip(", ") if remark else line


def _words(panel: Mapping[str, Any], drawn: Plot) -> str:
    unit, limit = panel["unit"], panel["limit"]
    said = f"{panel['title']} in the hour before: {panel['line']}"
    if limit is not None:
        said += f", limit {figure(limit, unit)}"
    if drawn.low is not None and drawn.high is not None:
        said += f"; between {figure(drawn.low, unit)} and {figure(drawn.high, unit)}"
    return said + ("; for part of it nobody could see." if drawn.bands else ".")


def _frozen_level(level: Mapping[str, Any]) -> FrozenLevel:
    left, rate = level["left"], level["rates"].get("1")
    if left is None or not level["is_current"]:
        return FrozenLevel(level["slug"], level["title"], LampState.NO_DATA, "not counted")
    state = {"page": LampState.BREACH, "ticket": LampState.PARTIAL}.get(level["burning"])
    text = f"{max(left, 0) * 100:.0f} % of the budget left"
    if rate is not None:
        text += f", burned {figure(float(f'{rate:.3g}'), '')} times as fast as it may"
    # Where nothing burns, what is spent is spent.
    spent = LampState.BREACH if left <= 0 else LampState.OK
    return FrozenLevel(level["slug"], level["title"], state or spent, text)


def _moment(said: str | None) -> datetime | None:
    return datetime.fromisoformat(said).astimezone(UTC) if said else None


def _changes(incident: Incident, taken_at: datetime) -> list[Change]:
    if incident.model_id is None:
        return []
    own = url_if_there("incidents.detail", incident_id=incident.id)
    since = taken_at - SPAN
    return [
        Change(mark, round(100 * (mark.at - since) / SPAN, 2), taken_at - mark.at <= CLOSE)
        for mark in marks_of(incident.model_id, since, taken_at)
        if mark.url != own and mark.at >= since
    ]


@dataclass(frozen=True, slots=True)
class NowPanel:
    """A panel as it stands, beside how it stood."""

    slug: str
    title: str
    lamp: Shown
    text: str | None  # reading / limit
    remark: str
    before: LampState | None  # at open; none: it was not there

    @property
    def has_changed(self) -> bool:
        return self.before is not None and self.before is not self.lamp.state


@dataclass(frozen=True, slots=True)
class Now:
    panels: Sequence[NowPanel]
    calm: int  # OK now as then, or not to be measured
    further: int  # not OK, and not shown


def current(content: Mapping[str, Any], incident: Incident, *, at: datetime) -> Now | None:
    """How the panels of the model stand, worst first: those that are not OK, or were not."""
    if incident.model_id is None:
        return None
    rows = health.panels_of(incident.model_id)
    if not rows:
        return None
    frame = content.get("health") or {"panels": ()}
    before = {panel["id"]: LampState(panel["state"]) for panel in frame["panels"]}
    panels = [_now_panel(row, shown(row, at=at), before.get(row.id)) for row in rows]
    loud = [
        panel
        for panel in panels
        if panel.lamp.state not in CALM or (panel.has_changed and panel.before not in CALM)
    ]
    loud.sort(key=lambda panel: WORST_FIRST.index(panel.lamp.state))
    return Now(loud[:MOST_NOW], len(panels) - len(loud), max(0, len(loud) - MOST_NOW))


def _now_panel(row: AnyRow, lamp: Shown, before: LampState | None) -> NowPanel:
    remark = row.remark or ""
    text = _without(remark, lamp.line)
    return NowPanel(row.slug, row.title, lamp, text or None, remark, before)
