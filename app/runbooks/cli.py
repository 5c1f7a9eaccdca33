"""`baton runbooks`: bring a folder in, write one out, compare the two, list what there is."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
from flask.cli import AppGroup

from app.config import settings
from app.core.clock import now
from app.core.errors import BatonError
from app.people.rules import COMMAND_LINE
from app.runbooks import exporting, queries, syncing, tallies
from app.runbooks.importing import ImportReport
from app.runbooks.lint.cli import command as lint
from app.runbooks.queries import RunbookFilter, RunbookLine
from app.runbooks.syncing import State, StatusLine

runbooks = AppGroup("runbooks", help="Runbooks: import, export, compare, check and list them.")
runbooks.add_command(lint)
commands: tuple[click.Command, ...] = (runbooks,)

LINT_SECONDS = 5.0  # for all files of an import together
FOLDER = click.Path(path_type=Path, file_okay=False)
STATES = {
    State.IN_SYNC: "in sync",
    State.CHANGED_HERE: "changed here",
    State.CHANGED_IN_FOLDER: "changed in the folder",
    State.CHANGED_IN_BOTH: "changed in both",
    State.NEW: "not imported yet",
    State.ONLY_HERE: "only here",
    State.MISSING: "missing in the folder",
}


@runbooks.command("import")
@click.argument("folder", required=False, type=FOLDER)
def import_folder(folder: Path | None) -> None:
    """Bring in what is new or changed in FOLDER; without it, the folder of BATON_RUNBOOKS.

    What only the folder changed is published. What was edited in Baton as well stays, with a
    draft that holds both. A runbook whose file is gone is retired. A file that can't be read is
    listed and does not stop the rest. What lint says of the rest only warns.
    """
    chosen = folder or syncing.home()
    name = syncing.name_of(chosen)
    try:
        report = syncing.import_folder(chosen, by=COMMAND_LINE, at=now(), name=name)
    except BatonError as error:
        raise click.ClickException(error.sentence) from error
    for line in report.lines():
        click.echo(line)
    for line in _lint_lines(report, chosen):
        click.echo(line)


def _lint_lines(report: ImportReport, folder: Path) -> Iterator[str]:
    """How much there is to mend in each file that came in, as far as there is time to look."""
    came = {one.slug: one for one in (*report.new, *report.changed)}
    numbers = {slug: one.number for slug, one in came.items()}
    found = tallies.of_versions(numbers, today=now().date(), seconds=LINT_SECONDS)
    for slug, tally in found.items():
        where = f" See {settings().url}/runbooks/{slug}/edit" if tally else ""
        yield f"  {came[slug].path}: lint says {tally.words}.{where}"
    if left := len(came) - len(found):
        files = "1 file was" if left == 1 else f"{left} files were"
        yield f"  {files} not linted, to save time. See: baton runbooks lint {shlex.quote(str(folder))}"


@runbooks.command("export")
@click.argument("folder", type=FOLDER)
@click.option("--force", is_flag=True, help="Also over files that were changed in FOLDER.")
@click.pass_context
def export_folder(context: click.Context, folder: Path, force: bool) -> None:
    """Write every published version to its file below FOLDER.

    A file that somebody changed there since it was last imported or exported is left alone, and
    the exit code is 1.
    """
    name = syncing.name_of(folder)
    try:
        report = exporting.export_folder(folder, name=name, force=force, by=COMMAND_LINE, at=now())
    except BatonError as error:
        raise click.ClickException(error.sentence) from error
    for line in report.lines():
        click.echo(line)
    if report.refused:
        context.exit(1)


@runbooks.command("status")
@click.argument("folder", required=False, type=FOLDER)
@click.pass_context
def status(context: click.Context, folder: Path | None) -> None:
    """Say for each runbook whether FOLDER and Baton agree; the exit code is 1 if one does not."""
    chosen = folder or syncing.home()
    try:
        found = syncing.status(chosen, name=syncing.name_of(chosen))
    except BatonError as error:
        raise click.ClickException(error.sentence) from error
    for line in found.lines:
        click.echo(f"{line.slug:<32}  {_state(line):<24}  {line.path or ''}".rstrip())
    for failure in found.failed:
        click.echo(f"{failure.path} can't be read: {failure.why}")
    if not found.is_in_sync:
        context.exit(1)


def _state(line: StatusLine) -> str:
    said = STATES[line.state] + (", a draft holds both" if line.is_waiting else "")
    return f"{said}: {', '.join(line.beside)}" if line.beside else said


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
