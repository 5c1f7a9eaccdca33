"""`baton runbooks`: import a folder, list what there is."""

from pathlib import Path

import click
from flask import current_app
from flask.cli import AppGroup

from app.config import settings
from app.core.clock import now
from app.core.errors import BatonError
from app.people.rules import COMMAND_LINE
from app.runbooks import queries, service
from app.runbooks.queries import RunbookFilter, RunbookLine

runbooks = AppGroup("runbooks", help="Runbooks: import a folder, list them.")
commands: tuple[click.Command, ...] = (runbooks,)


@runbooks.command("import")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def import_folder(folder: Path | None) -> None:
    """Read all Markdown files below FOLDER; what is new or changed becomes a published version.

    Without FOLDER, the folder of BATON_RUNBOOKS. A file that can't be read is listed and does not
    stop the rest.
    """
    chosen = folder or Path(current_app.root_path).parent / settings().runbooks
    try:
        report = service.import_folder(chosen, by=COMMAND_LINE, at=now())
    except BatonError as error:
        raise click.ClickException(error.sentence) from error
    for line in report.lines():
        click.echo(line)


@runbooks.command("list")
def list_runbooks() -> None:
    """List all runbooks, by title."""
    cursor: str | None = None
    while True:
        page = queries.runbook_list(RunbookFilter(), after=cursor)
        for line in page.items:
            click.echo(f"{line.slug:<32}  {_version(line):<14}  {line.title}")
        cursor = page.next
        if cursor is None:
            break


def _version(line: RunbookLine) -> str:
    if line.published is None:
        return f"v{line.newest} {line.newest_status}"
    return f"v{line.published}"
