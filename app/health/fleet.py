"""How the lamps of many models stand at once: for the fleet, and for lists of models.

`lamps_of` reads what the rows of one page show. `places` is what rows are ordered and counted by:
one place a model, worked out by the database, with the same doubt as `showing.shown` has.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Integer,
    Subquery,
    and_,
    case,
    cast,
    extract,
    func,
    null,
    or_,
    select,
)

from app.core.db import db
from app.health.rules import BLIND, FLEET, WORST_FIRST, LampState, Lane, worst
from app.health.showing import GRACE, Shown, shown
from app.health.tables import Lamp, Panel

LANES = {
    Lane.LATENCY: "Latency",
    Lane.ERRORS: "Errors",
    Lane.THROUGHPUT: "Throughput",
    Lane.OUTPUT_QUALITY: "Output quality",
    Lane.LATENCY_DRIFT: "Latency drift",
    Lane.INPUT_DRIFT: "Input drift",
    Lane.FRESHNESS: "Data freshness",
    Lane.SCHEMA: "Schema",
    Lane.ACCESS: "Access",
    Lane.FALLBACK: "Fallback",
    Lane.QUEUE: "Queue",
    Lane.GPU: "GPU",
    Lane.OTHER: "Other",
}
PLACE = {state: place for place, state in enumerate(WORST_FIRST)}
NO_PANEL = len(WORST_FIRST)  # the place of what nobody watches: after all that somebody does
TROUBLE = WORST_FIRST[: PLACE[LampState.OK]]


@dataclass(frozen=True, slots=True)
class Cell:
    """One lane of a model: what its worst panel shows, and how many panels it has."""

    shown: Shown
    panel: str
    panels: int


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """The lamps of one model, as a row of the fleet shows them."""

    cells: Mapping[Lane, Cell] = field(default_factory=dict)
    states: Sequence[LampState] = ()  # of every panel, also where its lane has no column

    @property
    def panels(self) -> int:
        return len(self.states)

    @property
    def worst(self) -> LampState | None:
        return worst(self.states)

    @property
    def like_worst(self) -> int:
        return sum(state is self.worst for state in self.states)

    @property
    def fine(self) -> int:
        """How many lamps of the row are OK."""
        return sum(self.cells[lane].shown.state is LampState.OK for lane in self._of_row())

    @property
    def is_all_fine(self) -> bool:
        return bool(self._of_row()) and self.fine == len(self._of_row())

    @property
    def beside(self) -> "Beside | None":
        """Trouble in lanes that have no column in the fleet, so that none is invisible."""
        found = [
            (PLACE[cell.shown.state], LANES[lane], cell.shown)
            for lane, cell in self.cells.items()
            if lane not in FLEET and cell.shown.state in TROUBLE
        ]
        if not found:
            return None
        found.sort(key=lambda one: one[:2])
        names = [name for place, name, _ in found if place == found[0][0]]
        more = len(found) - len(names)
        return Beside(
            found[0][2].state,
            ", ".join([*names, *([f"{more} more"] if more else [])]),
            ". ".join(one.title for _, _, one in found),
        )

    def _of_row(self) -> list[Lane]:
        return [lane for lane in FLEET if lane in self.cells]


@dataclass(frozen=True, slots=True)
class Beside:
    """What a row says of lanes without a column: the worst state, whose it is, and all of it."""

    state: LampState
    line: str
    title: str


NOTHING = ModelHealth()


def lamps_of(model_ids: Sequence[int], *, at: datetime) -> Mapping[int, ModelHealth]:
    """The lamps of these models. One that has no panel is left out."""
    rows = db.session.execute(
        select(
            Panel.model_id, Panel.slug, Panel.title, Panel.lane, Panel.unit, Panel.above,
            Panel.below, Panel.stale_after, Panel.window, Lamp.state, Lamp.value, Lamp.newest_at,
            Lamp.looked_at, Lamp.since, Lamp.remark,
        )
        .outerjoin(Lamp, Lamp.panel_id == Panel.id)
        .where(Panel.model_id.in_(model_ids), Panel.closed_at.is_(None))
        .order_by(Panel.id)
    )  # fmt: skip
    found: dict[int, dict[Lane, list[tuple[str, Shown]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row.model_id][row.lane].append((row.slug, shown(row, at=at)))
    return {model_id: _health(lanes) for model_id, lanes in found.items()}


def _health(lanes: Mapping[Lane, Sequence[tuple[str, Shown]]]) -> ModelHealth:
    return ModelHealth(
        {lane: _cell(panels) for lane, panels in lanes.items()},
        [one.state for panels in lanes.values() for _, one in panels],
    )


def _cell(panels: Sequence[tuple[str, Shown]]) -> Cell:
    slug, first = min(panels, key=lambda one: PLACE[one[1].state])
    if len(panels) > 1:
        first = replace(first, title=f"{first.title}. The worst of {len(panels)}")
    return Cell(first, slug, len(panels))


def places(*, at: datetime, lane: Lane | None = None) -> Subquery:
    """For each model that has panels: `worst`, its place in `WORST_FIRST`; `is_blind`, 1 if
    something can't be seen; and `of_lane`, the place of that lane alone."""
    # Kept apart, or SQLite works the place out again for every aggregate below.
    lamps = (
        select(Panel.model_id, Panel.lane, _place(at).label("place"))
        .outerjoin(Lamp, Lamp.panel_id == Panel.id)
        .where(Panel.closed_at.is_(None))
        .cte("lamps")
        .prefix_with("MATERIALIZED")
    )
    place = lamps.c.place
    return (
        select(
            lamps.c.model_id,
            func.min(place).label("worst"),
            func.max(case((place.in_([PLACE[state] for state in BLIND]), 1), else_=0)).label(
                "is_blind"
            ),
            (func.min(place).filter(lamps.c.lane == lane) if lane else cast(null(), Integer)).label(
                "of_lane"
            ),
        )
        .group_by(lamps.c.model_id)
        .subquery("places")
    )


def _place(at: datetime) -> ColumnElement[int]:
    """The place of a lamp as it is shown at that moment."""
    recently, moment = at - GRACE, at.timestamp() - GRACE.total_seconds()
    sampled, looked = extract("epoch", Lamp.newest_at), extract("epoch", Lamp.looked_at)
    # A moment is compared as it is first: that says of nearly all lamps that they are not old.
    is_doubtful = or_(
        and_(
            Lamp.state.in_((LampState.OK, LampState.BREACH, LampState.PARTIAL)),
            Lamp.newest_at < recently,
            or_(
                sampled + Panel.stale_after < moment,
                and_(
                    Panel.lane == Lane.FRESHNESS,
                    Lamp.state == LampState.OK,
                    moment - sampled + Lamp.value > Panel.above,
                ),
            ),
        ),
        and_(
            Lamp.state == LampState.NO_TRAFFIC,
            Lamp.looked_at < recently,
            looked + Panel.stale_after < moment,
        ),
    )
    usual_first = sorted(PLACE, key=lambda state: state is not LampState.OK)
    return case(
        (is_doubtful, PLACE[LampState.NO_DATA]),
        *((Lamp.state == state, PLACE[state]) for state in usual_first),
        else_=PLACE[LampState.NO_DATA],  # not looked at yet
    )
