"""The health of one model: a tab of its pages, and the first card on its overview."""

from datetime import date, datetime
from typing import Any

from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from app.core.clock import now
from app.health import budgets, drift_lanes, input_lamps, standing
from app.health.views.blueprint import bp
from app.people.access import requires
from app.people.rules import Role
from app.registry.queries import model_by_slug
from app.registry.sections import ModelSection, add_model_section
from app.registry.tables import MlModel
from app.web.parts import is_htmx, live, page
from app.web.times import MONTHS, WEEKDAYS, page_time, time_of_day, viewer_zone

PARTS = ("levels", "drift", "stages", "inputs")


@bp.record_once
def _on_model_pages(state: BlueprintSetupState) -> None:
    add_model_section(state.app, ModelSection("Health", "health.of_model", ("health",)))


@bp.get("/models/<slug>/health")
@requires(Role.VIEWER)
def of_model(slug: str) -> ResponseReturnValue:
    at = now()
    model = model_by_slug(slug)
    if is_htmx():
        return page("health/_model_card.html", at=at, model=model, **_card(model, at))
    return page("health/of_model.html", at=at, model=model, **_page(model, at))


@bp.get("/models/<slug>/health/part/<part>")
@requires(Role.VIEWER)
def of_model_part(slug: str, part: str) -> ResponseReturnValue:
    """A live region of the page; each reads only what it shows."""
    at = now()
    part = part if part in PARTS else PARTS[0]
    model = model_by_slug(slug)
    found = _part(part, model, standing.watched(model.id, at=at), at)
    return live("health/of_model.html", part=part, at=at, model=model, **found)


def _card(model: MlModel, at: datetime) -> dict[str, Any]:
    panels = standing.watched(model.id, at=at)
    return {
        "lamps": standing.lamps(panels),
        "panels": len(panels),
        "slos": standing.slos_of(model.id, at=at),
    }


def _page(model: MlModel, at: datetime) -> dict[str, Any]:
    panels = standing.watched(model.id, at=at)
    found: dict[str, Any] = {"panels": panels}
    for part in PARTS:
        found |= _part(part, model, panels, at)
    return found | {
        "ladders": [
            (record, standing.ladder_of(record, at=at))
            for record in found["records"]
            if record.ladder
        ],
        "fallback": next((one for one in panels if one.lane == "fallback"), None),
    }


def _part(
    part: str, model: MlModel, panels: list[standing.Watched], at: datetime
) -> dict[str, Any]:
    match part:
        case "levels":
            records = budgets.of_model(model.id)
            return {
                "records": records,
                "levels": standing.levels_of(model.id, panels, records, at=at),
            }
        case "drift":
            return {"drift": drift_lanes.drift_of(model.id, panels, at=at)}
        case "stages":
            records = budgets.of_model(model.id)
            return {
                "records": records,
                "stages": standing.stages_of(panels, records),
                "others": standing.others(panels, records),
            }
        case _:
            return {"inputs": input_lamps.inputs_of(model.id, panels, at=at)}


# --- Words on charts


@bp.app_template_filter("chart_time")
def chart_time(moment: datetime, is_of_days: bool) -> str:
    """Under a chart: Wed 03:14, or 5 Mar where it shows days."""
    local = moment.astimezone(viewer_zone())
    if is_of_days:
        return f"{local.day} {MONTHS[local.month - 1][:3]}"
    return f"{WEEKDAYS[local.weekday()][:3]} {time_of_day(moment, viewer_zone())}"


@bp.app_template_filter("axis")
def axis(value: float) -> str:
    """A number beside a gridline: 250, 2k, 0.2."""
    size = abs(value)
    text = f"{size / 1000:g}k" if size >= 1000 else f"{size:g}"
    return f"−{text}" if value < 0 else text


@bp.app_template_filter("percent")
def percent(share: float) -> str:
    """A ratio as people say it: 99.9 %."""
    return f"{share * 100:.6g} %"


@bp.app_template_filter("plain_day")
def plain_day(day: date) -> str:
    return input_lamps.day_in_words(day, page_time().date())
