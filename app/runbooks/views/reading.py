"""Pages to read runbooks, and the page that an alert's `runbook_url` leads to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from flask import Response, current_app, redirect, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from app.core.clock import now
from app.core.errors import NotFoundError
from app.people.access import current_actor, requires
from app.people.rules import Role
from app.registry import queries as registry
from app.runbooks import queries, reviewing, service, tallies
from app.runbooks.front_matter import Facts, facts
from app.runbooks.rules import MODEL_OWNER, Status, failure_mode_title, whose
from app.runbooks.tables import RunbookVersion
from app.runbooks.views.blueprint import bp
from app.web.kept import Kept
from app.web.parts import page, part_or_redirect
from app.web.toast import toast

bp.add_app_template_filter(failure_mode_title)
bp.add_app_template_filter(whose)

PENDING = (Status.DRAFT, Status.IN_REVIEW)
KEPT = Kept(64)


@dataclass(frozen=True, slots=True)
class Reading:
    """A version as people read it. `parts` is as `rendering.render_document` describes it."""

    version: RunbookVersion
    parts: dict[str, Any]
    said: Facts

    @property
    def escalate_to(self) -> str:
        return whose(self.said.escalate_to or MODEL_OWNER)

    @property
    def outline(self) -> list[dict[str, Any]]:
        """The sections with their steps."""
        steps = self.parts["steps"]
        return [
            {
                "title": section["title"],
                "anchor": section["anchor"],
                "steps": [steps[part["step"]] for part in section["flow"] if "step" in part],
            }
            for section in self.parts["sections"]
        ]

    @property
    def review_due(self) -> datetime | None:
        """When it should be verified again."""
        if self.said.last_verified is None or self.said.review_every is None:
            return None
        verified = datetime.combine(self.said.last_verified, time(12), UTC)
        return verified + self.said.review_every


@bp.app_template_global("runbook_reading")
def reading(version: RunbookVersion) -> Reading:
    """For `runbooks/_reading.html`, on any page that shows a version."""
    front_matter = version.front_matter
    return Reading(version, service.rendered(version), facts(front_matter))


@bp.app_template_global("reading_part")
def reading_part(name: str, shown: Reading) -> Markup:
    """`runbooks/_reading.html` or `_outline.html` of a version; it is made once for all readers."""
    key = (name, shown.version.id, hash((repr(shown.parts), repr(shown.said))))
    # Not as a page of its own, which would ask for all that the sidebar shows.
    template = current_app.jinja_env.get_template(f"runbooks/_{name}.html")
    return KEPT.get(key, lambda: template.render(version=shown.version, shown=shown))


@bp.get("/runbooks/<slug>")
@requires(Role.VIEWER)
def detail(slug: str) -> ResponseReturnValue:
    return _page_of(queries.current(slug))


@bp.get("/runbooks/<slug>/v<int:number>")
@requires(Role.VIEWER)
def version(slug: str, number: int) -> ResponseReturnValue:
    return _page_of(queries.version(slug, number))


@bp.get("/runbooks/<slug>/v<int:number>/source")
@requires(Role.VIEWER)
def source(slug: str, number: int) -> ResponseReturnValue:
    """The file as it came, to the byte."""
    return Response(
        queries.source(slug, number),
        mimetype="text/markdown",
        headers={"Content-Disposition": f'attachment; filename="{slug}-v{number}.md"'},
    )


@bp.get("/runbooks/<slug>/lint")
@requires(Role.MAINTAINER)
def lint_line(slug: str) -> ResponseReturnValue:
    """How much there is to mend in the text in force: a line of its page."""
    found = queries.current(slug)
    tallied = tallies.of_versions({slug: found.number}, today=now().date())
    editor = url_for("runbooks.edit", slug=slug)
    return part_or_redirect(
        "runbooks/_lint.html", part="line", to=editor, editor_url=editor, tally=tallied[slug]
    )


@bp.get("/r/<alertname>")
@requires(Role.VIEWER)
def for_alert(alertname: str) -> ResponseReturnValue:
    """Where an alert's `runbook_url` leads: its runbook, or a page that says whom to ask.

    The page has status 200. It answers the reader's question, and tools that check the links in
    alert rules would call a rule broken whose runbook is only not written yet.
    """
    _check_name(alertname)
    if slug := queries.slug_for_alert(alertname):
        return redirect(url_for("runbooks.detail", slug=slug))
    return page(
        "runbooks/stub.html",
        alertname=alertname,
        draft=queries.draft_for_alert(alertname),
        owners=_owners_of(alertname),
        may_be_begun=service.STARTABLE.fullmatch(alertname) is not None,
    )


@bp.post("/r/<alertname>")
@requires(Role.MAINTAINER)
def begin(alertname: str) -> ResponseReturnValue:
    _check_name(alertname)
    if slug := queries.slug_for_alert(alertname):
        return redirect(url_for("runbooks.detail", slug=slug), 303)
    if slug := queries.draft_for_alert(alertname):
        return redirect(url_for("runbooks.edit", slug=slug), 303)
    draft = service.start_draft(alertname, by=current_actor(), at=now())
    toast("The draft is kept. Nobody is sent to it until it is published.")
    return redirect(url_for("runbooks.edit", slug=draft.runbook.slug), 303)


def _page_of(found: RunbookVersion) -> ResponseReturnValue:
    runbook = found.runbook
    shown = reading(found)
    lines = queries.versions(runbook.id)
    published = next((line for line in lines if line.status is Status.PUBLISHED), None)
    related = queries.existing(shown.said.related)
    return page(
        "runbooks/detail.html",
        at=now(),
        shown=shown,
        version=found,
        runbook=runbook,
        is_published=runbook.published_id == found.id,
        is_in_force=found.number == (published or lines[0]).number,
        published=published,
        versions=lines,
        event=queries.last_event(found.id),
        was_published=reviewing.was_published(found),
        is_emergency=reviewing.waits_as_emergency(found),
        pending=next((line for line in lines if line.status in PENDING), None),
        draft=reviewing.draft_of(runbook.id),
        teams=teams_by_name((shown.said.owner, shown.escalate_to)),
        related=[slug for slug in shown.said.related if slug in related],
        Status=Status,
    )


def teams_by_name(names: Any) -> dict[str, tuple[str, str]]:
    """Slug and name of the teams among these names; a file may name others."""
    wanted = {name for name in names if name}
    if not wanted:
        return {}
    found: dict[str, tuple[str, str]] = {}
    for team in registry.teams_called(wanted):
        found[team.slug] = found[team.name] = (team.slug, team.name)
    return found


def _owners_of(alertname: str) -> Sequence[str]:
    """Teams whose models had this alert. Alerts belong to a feature above, which says so here."""
    owners: Callable[[str], Sequence[str]] | None = current_app.extensions.get("alert_owners")
    return owners(alertname) if owners else ()


def _check_name(alertname: str) -> None:
    if len(alertname) > 200 or not alertname.isprintable():
        raise NotFoundError("No alert can have this name.")
