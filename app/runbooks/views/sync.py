"""The page on which the runbooks folder and Baton are compared, and brought together."""

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue

from app.core.clock import now
from app.core.errors import NotFoundError
from app.people.access import current_actor, requires
from app.people.rules import Role
from app.runbooks import exporting, syncing, tallies
from app.runbooks.exporting import EXPORTED
from app.runbooks.importing import ImportReport
from app.runbooks.syncing import FolderStatus, State
from app.runbooks.views.blueprint import bp
from app.web.pagination import decode_cursor, encode_cursor
from app.web.parts import go, page
from app.web.toast import toast

ROWS = 50
LINT_SECONDS = 0.4  # the page asks again for what is left
# What needs somebody comes first.
ORDER = (
    State.CHANGED_IN_BOTH,
    State.MISSING,
    State.CHANGED_IN_FOLDER,
    State.NEW,
    State.CHANGED_HERE,
    State.ONLY_HERE,
    State.IN_SYNC,
)


@bp.get("/runbooks/sync")
@requires(Role.MAINTAINER)
def sync() -> ResponseReturnValue:
    found, why = _status()
    lines = sorted(found.lines, key=lambda line: ORDER.index(line.state)) if found else []
    cursor = request.args.get("cursor")
    start = max(0, decode_cursor(cursor, int)[0]) if cursor else 0
    rows = lines[start : start + ROWS]
    published = {line.slug: line.number for line in rows if line.number}
    tallied = tallies.of_versions(published, today=now().date(), seconds=LINT_SECONDS)
    more = start + ROWS < len(lines)
    return page(
        "runbooks/sync.html",
        part="files",
        folder=str(syncing.home()),
        found=found,
        why=why,
        lines=lines,
        rows=rows,
        start=start,
        tallied=tallied,
        still_to_lint=len(published) - len(tallied),
        here=url_for("runbooks.sync", cursor=cursor),
        first_url=url_for("runbooks.sync") if start else None,
        next_url=url_for("runbooks.sync", cursor=encode_cursor(start + ROWS)) if more else None,
        State=State,
        exported=[line for line in lines if line.state in EXPORTED],
        waiting=[line for line in lines if line.state in IMPORTED or line.beside],
    )


IMPORTED = (State.CHANGED_IN_BOTH, State.MISSING, State.CHANGED_IN_FOLDER, State.NEW)


@bp.post("/runbooks/sync/import")
@requires(Role.MAINTAINER)
def import_now() -> ResponseReturnValue:
    report = syncing.import_folder(syncing.home(), by=current_actor(), at=now())
    toast(_said(report), tone="bad" if report.failed else "ok")
    return go(url_for("runbooks.sync"))


@bp.get("/runbooks/sync/export.zip")
@requires(Role.MAINTAINER)
def export_archive() -> ResponseReturnValue:
    """The files that the folder lacks, or has in an older state."""
    return Response(
        exporting.archive(syncing.look_at(syncing.home())),
        mimetype="application/zip",
        headers={"Content-Disposition": 'attachment; filename="runbooks.zip"'},
    )


@bp.get("/runbooks/<slug>/sync.patch")
@requires(Role.MAINTAINER)
def export_patch(slug: str) -> ResponseReturnValue:
    """What `git apply` needs to bring one file up to date."""
    return Response(
        exporting.patch(syncing.look_at(syncing.home()), slug),
        mimetype="text/x-diff",
        headers={"Content-Disposition": f'attachment; filename="{slug}.patch"'},
    )


def _status() -> tuple[FolderStatus | None, str]:
    try:
        return syncing.status(syncing.home()), ""
    except NotFoundError as error:
        return None, error.sentence


def _said(report: ImportReport) -> str:
    drafts = [one for one in report.changed if not one.published]
    parts = [
        (len(report.new), "new"),
        (len(report.changed) - len(drafts), "changed"),
        (len(drafts), "kept as a draft"),
        (len(report.retired), "retired"),
        (len(report.failed), "failed"),
    ]
    said = ", ".join(f"{number} {what}" for number, what in parts if number)
    return f"Imported: {said}." if said else "Nothing to import: nothing changed in the folder."
