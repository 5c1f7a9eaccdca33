"""Pages of panels: one with its past, all of a model, and closing and opening them."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import jsonify, request, url_for
from flask.typing import ResponseReturnValue

from app.config import settings
from app.core.clock import now
from app.health import charting, panels, service
from app.health.charting import Chart
from app.health.forms.panels import (
    LANES,
    RANGES,
    ChosenRange,
    EmbedForm,
    SeenForm,
    chosen_range,
    usual_range,
)
from app.health.marks import marks_of
from app.health.recording import figure
from app.health.rules import BLIND, WORST_FIRST
from app.health.showing import shown
from app.health.sources.base import UnreachableError
from app.health.tables import Panel
from app.health.views.blueprint import bp
from app.health.wording import STATE_WORDS, brief_rule, limits, rule_in_words, spec_in_words
from app.people.access import current_actor, person_if_any, requires
from app.people.rules import Role
from app.registry import queries as registry
from app.web.parts import go, live, page
from app.web.times import zone_named
from app.web.toast import toast

MARKS_LISTED = 12

bp.add_app_template_filter(figure, "figure")


# --- One panel --------------------------------------------------------------------------------


@bp.get("/models/<slug>/health/panels/<panel>")
@requires(Role.VIEWER)
def panel(slug: str, panel: str) -> ResponseReturnValue:
    return panel_page(panels.panel(slug, panel))


def panel_page(
    found: Panel, *, embed_form: EmbedForm | None = None, status: int = 200
) -> ResponseReturnValue:
    at = now()
    chosen = _chosen(found, at)
    return page(
        "health/panel.html",
        status=422 if chosen.error else status,
        ranges=[
            (title, _here(found, range=name), name == chosen.name)
            for name, (title, _) in RANGES.items()
        ],
        embeds=panels.embeds_of(found.id),
        embed_form=embed_form or EmbedForm(formdata=None),
        asks_for_embed=embed_form is not None,
        framed=bool(settings().embed_origins),
        rule=rule_in_words(found, found.spec, found.unit, found.lane),
        reads=spec_in_words(found.spec),
        may_ask=_may_be_asked(found),
        asks="ask" in request.args,
        **_now(found, at),
        **_history(found, chosen, at),
        **_changes(found),
    )


@bp.get("/models/<slug>/health/panels/<panel>/part/now")
@requires(Role.VIEWER)
def panel_now(slug: str, panel: str) -> ResponseReturnValue:
    found = panels.panel(slug, panel)
    return live("health/panel.html", part="now", **_now(found, now()))


@bp.get("/models/<slug>/health/panels/<panel>/part/changes")
@requires(Role.VIEWER)
def panel_changes(slug: str, panel: str) -> ResponseReturnValue:
    found = panels.panel(slug, panel)
    return live(
        "health/panel.html",
        part="changes",
        panel=found,
        model=found.model,
        at=now(),
        **_changes(found),
    )


@bp.get("/models/<slug>/health/panels/<panel>/points")
@requires(Role.VIEWER)
def points(slug: str, panel: str) -> ResponseReturnValue:
    """What a chart draws, by column."""
    at = now()
    found = panels.panel(slug, panel)
    chosen = _chosen(found, at)
    response = jsonify(chart_data(found, chosen, at, asks="ask" in request.args))
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def chart_data(
    found: Panel, chosen: ChosenRange, at: datetime, *, asks: bool = False
) -> dict[str, Any]:
    chart = _chart(found, chosen, at)
    columns, trouble = charting.columns(chart), chosen.error
    marks = marks_of(found.model_id, chosen.span.start, chosen.span.end)
    said = {
        "sentence": charting.sentence(chart, found),
        "unit": found.unit,
        "limits": [
            {"value": limit, "label": f"limit {figure(limit, found.unit)}"}
            for limit in (found.above, found.below)
            if limit is not None and found.spec.get("verdict") != "tool"
        ],
        "gaps": [[gap.start, gap.end, gap.state in BLIND] for gap in chart.gaps],
        "states": [
            [run.start, run.end, run.state.value, STATE_WORDS[run.state]] for run in chart.runs
        ],
        "strip": [[one.x, one.width, one.state.value] for one in charting.strip(chart)],
        "breaks": [[one.at, one.before, one.after] for one in chart.breaks],
        "marks": [[mark.at.timestamp(), mark.text, mark.kind] for mark in marks],
    }
    if asks:
        try:
            columns = charting.by_column(charting.asked(found, chosen.span))
        except UnreachableError as error:
            trouble = f"{error.args[0]} The line is of Baton’s own readings."
    return {
        "from": chart.start, "to": chart.end, "columns": columns, "trouble": trouble, **said
    }  # fmt: skip


def _chosen(panel: Panel, at: datetime) -> ChosenRange:
    usual = usual_range(at - panel.created_at)
    return chosen_range(request.args, zone=_zone(), at=at, usual_name=usual)


def _zone() -> ZoneInfo:
    person = person_if_any()
    return zone_named(person.time_zone if person else None)


def _chart(found: Panel, chosen: ChosenRange, at: datetime) -> Chart:
    seen = charting.read(found.id, chosen.span, at=at, days=settings().reading_days)
    return charting.chart_of(
        seen, chosen.span, since=found.created_at, until=found.closed_at, panel=found
    )


def _now(found: Panel, at: datetime) -> dict[str, Any]:
    row = panels.lamp_row(found)
    return {
        "panel": found,
        "model": found.model,
        "at": at,
        "row": row,
        "lamp_now": shown(row, at=at),
        "lane": LANES[found.lane],
        "limit": limits(found, found.unit, found.lane),
        "is_old": panels.is_old(row.newest_at, at=at, seconds=2 * found.window),
    }


def _history(found: Panel, chosen: ChosenRange, at: datetime) -> dict[str, Any]:
    chart = _chart(found, chosen, at)
    span = chosen.span
    marks = marks_of(found.model_id, span.start, span.end)
    return {
        "chosen": chosen,
        "chart": chart,
        "sentence": charting.sentence(chart, found),
        "strip": charting.strip(chart),
        "states_seen": sorted({run.state for run in chart.runs}, key=WORST_FIRST.index),
        "steps": charting.steps(chart),
        "is_stepped": len(chart.seen) > charting.STEPS,
        "marks": marks[-MARKS_LISTED:][::-1],
        "more_marks": max(0, len(marks) - MARKS_LISTED),
        "dots": [
            round((mark.at - span.start) / span.length * 100, 2)
            for mark in marks
            if span.start <= mark.at <= span.end
        ],
        "breaks": [
            (charting.moment(one.at), one.before, one.after) for one in chart.breaks[-MARKS_LISTED:]
        ],
        "points_url": _points_url(found, chosen),
        "shown_from": _local(span.start),
        "shown_to": _local(span.end),
        "zone": str(_zone()),
    }


def _local(moment: datetime) -> str:
    """For a field, in the reader's zone."""
    return moment.astimezone(_zone()).strftime("%Y-%m-%dT%H:%M")


def _points_url(found: Panel, chosen: ChosenRange) -> str:
    more: dict[str, Any] = dict(chosen.arguments)
    if "ask" in request.args:
        more["ask"] = "1"
    return url_for("health.points", slug=found.model.slug, panel=found.slug, **more)


def _changes(found: Panel) -> dict[str, Any]:
    after = request.args.get("after")
    changes = panels.changes_of(found.id, after=after)
    return {
        "changes": changes,
        "next_url": _here(found, after=changes.next) if changes.next else None,
        "first_url": _here(found) if after else None,
    }


def _here(found: Panel, **arguments: Any) -> str:
    anchor = "changes" if "after" in arguments else None
    return url_for(
        "health.panel", slug=found.model.slug, panel=found.slug, _anchor=anchor, **arguments
    )


def _may_be_asked(found: Panel) -> bool:
    return (
        found.source is not None
        and found.source.kind == "prometheus"
        and found.source.closed_at is None
        and "query" in found.spec
    )


# --- All panels of a model --------------------------------------------------------------------


@bp.get("/models/<slug>/health/panels")
@requires(Role.VIEWER)
def panel_list(slug: str) -> ResponseReturnValue:
    at = now()
    model = registry.model_by_slug(slug)
    shows_closed = request.args.get("show") == "closed"
    rows = panels.of_model(model.id, closed=shows_closed)
    here = url_for("health.panel_list", slug=slug)
    return page(
        "health/panels.html",
        at=at,
        model=model,
        rows=[(row, shown(row, at=at)) for row in rows],
        lanes=LANES,
        limits=limits,
        brief_rule=brief_rule,
        shows_closed=shows_closed,
        shows=[
            ("Watching", here, not shows_closed),
            ("Closed", f"{here}?show=closed", shows_closed),
        ],
    )


# --- Closing and opening ----------------------------------------------------------------------


@bp.post("/models/<slug>/health/panels/<panel>/close")
@requires(Role.MAINTAINER)
def close_panel(slug: str, panel: str) -> ResponseReturnValue:
    found = panels.panel(slug, panel)
    form = SeenForm()
    form.validate()
    closed = service.close_panel(
        found.id, seen_version=form.version.data, by=current_actor(), at=now()
    )
    toast(f"{closed.title} is closed. Nothing is asked for it any more; its past is kept.")
    return go(url_for("health.panel", slug=slug, panel=panel))


@bp.post("/models/<slug>/health/panels/<panel>/reopen")
@requires(Role.MAINTAINER)
def reopen_panel(slug: str, panel: str) -> ResponseReturnValue:
    found = panels.panel(slug, panel)
    opened = service.reopen_panel(found.id, by=current_actor(), at=now())
    toast(f"{opened.title} is watched again.")
    return go(url_for("health.panel", slug=slug, panel=panel))
