"""`baton health`: sources, files of panels, and one look at all that is due."""

import sys
from pathlib import Path

import click
from flask.cli import AppGroup

from app.core.clock import now
from app.health import datasets, panel_imports, polling, recording, reports, service, source_queries
from app.health.panel_files import read_file
from app.health.panel_imports import Plan
from app.health.source_queries import SourceFilter
from app.health.source_showing import how_it_goes
from app.people.cli import in_plain_words
from app.people.rules import COMMAND_LINE, counted

health = AppGroup("health", help="Readings of models: sources, panels, one look now.")
commands: tuple[click.Command, ...] = (health,)

DOES = {"create": "new", "change": "changes", "keep": "stays"}


@health.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@in_plain_words
def import_panels(file: Path, dry_run: bool) -> None:
    """Import a file of sources and panels: all of it, or nothing with every problem listed.

    Exit code 1 if there are problems. The same file again changes nothing.
    """
    read, problems = read_file(file.read_bytes(), is_json=file.suffix == ".json")
    plan = panel_imports.plan_import(read, problems)
    if plan.problems:
        for problem in plan.problems:
            click.echo(f"{file}: {problem}", err=True)
        click.echo("Nothing was written.", err=True)
        sys.exit(1)
    if not dry_run:
        plan = panel_imports.import_file(read, seen=plan.fingerprint, by=COMMAND_LINE, at=now())
    _print(plan)
    summary = (
        f"{plan.count('create')} new, {plan.count('change')} changed, "
        f"{plan.count('keep')} as they were."
    )
    click.echo(f"{'Nothing was written. It would be: ' if dry_run else ''}{summary}")


def _print(plan: Plan) -> None:
    for step in plan.steps:
        if step.does != "keep":
            changes = f"  {'; '.join(step.changes)}" if step.changes else ""
            click.echo(f"{DOES[step.does]:>7}  {step.name}{changes}")


@health.command("export")
@click.option("--model", help="Only the panels of this model, and their sources.")
@in_plain_words
def export_panels(model: str | None) -> None:
    """Print sources and panels as a file that can be imported. Secrets are not in it."""
    click.echo(panel_imports.export(model), nl=False)


@health.command("sources")
@in_plain_words
def list_sources() -> None:
    """List the sources, and whether they answer. Exit code 1 if one does not."""
    at = now()
    cursor: str | None = None
    failed = False
    while True:
        page = source_queries.sources(SourceFilter(), cursor=cursor)
        for line in page.items:
            source = line.source
            how = how_it_goes(source, at=at)
            failed = failed or bool(source.trouble)
            said = source.trouble or how.line
            click.echo(
                f"{source.slug}  {source.kind}  {source.url}  "
                f"{counted(line.panels, 'panel')}  {how.state.value}: {said}"
            )
        cursor = page.next
        if cursor is None:
            break
    sys.exit(1 if failed else 0)


@health.command("look")
@in_plain_words
def look() -> None:
    """Ask all sources that are due, once, as the worker does."""
    tick = polling.tick(at=now())
    at = now()
    told = [
        recording.record(observe(at=at), at=at) for observe in (datasets.observe, reports.observe)
    ]
    panels = tick.panels + sum(one.panels for one in told)
    changes = tick.changes + sum(one.changes for one in told)
    silent = f", {tick.unreachable} without an answer" if tick.unreachable else ""
    click.echo(
        f"Asked {counted(tick.asked, 'source')}{silent}. "
        f"{counted(panels, 'panel')} looked at, {counted(changes, 'change')} of state."
    )


@health.command("allow")
@click.argument("pattern")
@click.option("--why", default="", help="What for; whoever reads the list next wants to know.")
@in_plain_words
def allow(pattern: str, why: str) -> None:
    """Let Baton ask a host, as in serving.example.com:9000."""
    service.allow_host(pattern, why, by=COMMAND_LINE, at=now())
    click.echo(f"Baton may ask {pattern.strip().lower()} now.")
