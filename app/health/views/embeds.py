"""Links for other dashboards: making and revoking them, and the page that they show."""

from datetime import datetime, timedelta
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue

from app.config import settings
from app.core.clock import now
from app.core.errors import RefusedError
from app.health import charting, embeds, panels
from app.health.charting import Range
from app.health.drawing import Point, plot, thin
from app.health.forms.panels import LANES, EmbedForm
from app.health.recording import figure
from app.health.rules import BLIND
from app.health.showing import GRACE, shown
from app.health.tables import Panel
from app.health.views.blueprint import bp
from app.health.views.panels import panel_page
from app.health.wording import limits
from app.people.access import current_actor, public, requires
from app.people.rules import Role
from app.web.parts import go, live, page
from app.web.requests import may_be_framed_by
from app.web.toast import toast

SHOWN = timedelta(hours=6)
THEMES = ("light", "dark")


@bp.post("/models/<slug>/health/panels/<panel>/embeds")
@requires(Role.MAINTAINER)
def make_embed(slug: str, panel: str) -> ResponseReturnValue:
    found = panels.panel(slug, panel)
    form = EmbedForm()
    if not form.validate():
        return panel_page(found, embed_form=form, status=422)
    try:
        link, token = embeds.make(found.id, form.name.data or "", by=current_actor(), at=now())
    except RefusedError as error:
        form.name.errors = [error.sentence]
        return panel_page(found, embed_form=form, status=int(error.status))
    response = page(
        "health/embed_link.html",
        model=found.model,
        panel=found,
        link=link,
        address=f"{settings().url}{url_for('health.embedded', token=token)}",
        origins=settings().embed_origins.split(),
    )
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.post("/models/<slug>/health/panels/<panel>/embeds/<int:link_id>/revoke")
@requires(Role.MAINTAINER)
def revoke_embed(slug: str, panel: str, link_id: int) -> ResponseReturnValue:
    found = panels.panel(slug, panel)
    link = embeds.revoke(found.id, link_id, by=current_actor(), at=now())
    toast(f"The link for {link.name} is revoked. It leads nowhere from now on.")
    return go(url_for("health.panel", slug=slug, panel=panel, _anchor="embeds"))


@bp.get("/embed/panels/<token>")
@public
def embedded(token: str) -> ResponseReturnValue:
    """One panel, for whoever has the link. It refreshes itself."""
    may_be_framed_by(settings().embed_origins)
    at = now()
    found = embeds.panel_at(token, at=at)
    row = panels.lamp_row(found)
    theme = request.args.get("theme", "")
    context: dict[str, Any] = {
        "at": at,
        "token": token,
        "panel": found,
        "model": found.model,
        "row": row,
        "lane": LANES[found.lane],
        "lamp_now": shown(row, at=at),
        "limit": limits(found, found.unit, found.lane),
        "theme": theme if theme in THEMES else "",
        "panel_url": settings().url
        + url_for("health.panel", slug=found.model.slug, panel=found.slug),
    }
    if "part" in request.args:
        response = live("health/embed.html", part="now", **context, **_drawn(found, at))
    else:
        response = page("health/embed.html", **context, **_drawn(found, at))
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _drawn(found: Panel, at: datetime) -> dict[str, Any]:
    """The last hours as a small chart."""
    span = Range(max(at - SHOWN, min(found.created_at, at - timedelta(minutes=1))), at)
    seen = charting.read(found.id, span, at=at, days=settings().reading_days)
    points = [
        Point(charting.moment(one.at), one.value, one.state in BLIND, one.series) for one in seen
    ]
    silent_after = min(
        timedelta(seconds=found.stale_after) + GRACE, max(span.length / 20, timedelta(minutes=2))
    )
    drawn = [
        limit
        for limit in (found.below, found.above)
        if limit is not None and found.spec.get("verdict") != "tool"
    ]
    drawing = plot(
        thin(points) if points else [],
        since=span.start,
        until=at,
        silent_after=silent_after,
        also=drawn,
    )
    said = " and ".join(figure(limit, found.unit) for limit in drawn)
    return {
        "plot": drawing,
        "limits": [drawing.y(limit) for limit in drawn],
        "limit_label": f"limit{'s' if len(drawn) > 1 else ''} {said}" if drawn else "",
        "hours": span.length,
        "sentence": charting.sentence(
            charting.chart_of(seen, span, since=found.created_at, panel=found), found
        ),
    }
