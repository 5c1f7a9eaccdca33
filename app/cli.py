"""The `baton` command."""

import os
import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import click
from flask.cli import FlaskGroup, with_appcontext
from psycopg.errors import UndefinedTable
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from app import ROOT, create_app, supervisor
from app import worker as background
from app.alerts.cli import commands as alerts_commands
from app.config import Settings, settings, wrong_settings
from app.core import jobs, migrations
from app.core.clock import now
from app.core.db import db
from app.core.errors import BatonError
from app.health.cli import commands as health_commands
from app.overview import operations
from app.overview.sample import service as sample
from app.overview.sample.cli import commands as sample_commands
from app.people import service as people
from app.people.cli import commands as people_commands
from app.registry.cli import commands as registry_commands
from app.runbooks import search
from app.runbooks import syncing as runbooks
from app.runbooks.cli import commands as runbooks_commands


class Baton(FlaskGroup):
    """Says in a sentence, without a traceback, what whoever types the command can mend."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BatonError as error:
            raise click.ClickException(error.sentence) from error
        except ValidationError as error:
            if error.title != Settings.__name__:
                raise
            raise click.ClickException(wrong_settings(error)) from None
        except DBAPIError as error:
            if _lacks_tables(error):
                raise click.ClickException("The database is not set up: baton migrate") from error
            if not isinstance(error, OperationalError | InterfaceError):
                raise
            raise click.ClickException(f"The database can't be used: {error.orig}") from error


def _lacks_tables(error: DBAPIError) -> bool:
    return isinstance(error.orig, UndefinedTable) or "no such table" in str(error.orig)


@click.group(cls=Baton, create_app=create_app, add_default_commands=False, add_version_option=False)
def main() -> None:
    """Baton: the operations portal for machine-learning models."""


for _command in (
    *people_commands,
    *alerts_commands,
    *runbooks_commands,
    *registry_commands,
    *health_commands,
    *sample_commands,
):
    main.add_command(_command)


@main.command()
@with_appcontext
def migrate() -> None:
    """Create or update the database."""
    migrations.migrate()
    click.echo("The database is up to date.")


@main.command()
@with_appcontext
def run() -> None:
    """Migrate, read the runbooks, and run the portal and its worker until Ctrl-C."""
    chosen = settings()
    if why := supervisor.refusal_to_bind(chosen.bind):
        raise click.ClickException(why)
    migrations.migrate()
    folder = ROOT / chosen.runbooks
    report = runbooks.import_folder(folder, at=now(), by=None)
    for line in report.lines():
        click.echo(line)
    search.catch_up()
    if not chosen.sample:
        sample.leave_out(at=now())
    link = people.first_administrator_link(at=now())
    db.session.remove()
    db.engine.dispose()

    def greet() -> None:
        click.echo(f"\nBaton runs at {chosen.url}")
        if link:
            click.echo("Sign in as the first administrator, once, within 24 hours:")
            click.echo(link)
        click.echo("Ctrl-C stops it.\n")

    group = supervisor.children(chosen)
    sys.exit(supervisor.supervise(group, ready=lambda: _answers(chosen), greet=greet))


def _answers(chosen: Settings) -> bool:
    try:
        with urlopen(f"http://{chosen.bind}/health/live", timeout=1):
            return True
    except (URLError, OSError):
        return False


@main.command()
def worker() -> None:
    """Run only a worker: for more hosts on the same PostgreSQL."""
    background.main()


@main.command()
@with_appcontext
def doctor() -> None:
    """Check the installation and say what is wrong with it."""
    failed = False
    for what, why in _complaints(settings()):
        failed = failed or why is not None
        mark = click.style("fails", fg="red") if why else click.style("ok", fg="green")
        click.echo(f"{mark:>5}  {what}{': ' + why if why else ''}")
    sys.exit(1 if failed else 0)


def _complaints(chosen: Settings) -> list[tuple[str, str | None]]:
    return [
        (f"The var folder {chosen.var} can be written", _unwritable(chosen.var)),
        ("The database answers and is up to date", _database_complaint()),
        ("A worker is alive", _worker_complaint()),
        *_source_complaints(),
        (f"The runbooks folder {chosen.runbooks} is there", _missing(ROOT / chosen.runbooks)),
        (
            "The secret key is kept outside the code",
            None if len(chosen.key) >= 32 else "it has less than 32 characters",
        ),
        (
            f"People and senders reach Baton at {chosen.url}",
            None
            if chosen.base_url or chosen.bind.startswith(("127.", "localhost"))
            else "BATON_BASE_URL is not set, so links in pages lead to the bind address",
        ),
    ]


def _unwritable(folder: Path) -> str | None:
    return None if os.access(folder, os.W_OK) else "nothing can be written there"


def _missing(folder: Path) -> str | None:
    return None if folder.is_dir() else "no such folder"


def _database_complaint() -> str | None:
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    try:
        with db.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            present = MigrationContext.configure(connection).get_current_revision()
    except Exception as error:  # whatever the driver says is what the reader needs
        return str(error).partition("\n")[0]
    newest = ScriptDirectory(str(ROOT / "migrations")).get_current_head()
    return None if present == newest else f"it is at {present}, not at {newest}: run baton migrate"


def _source_complaints() -> list[tuple[str, str | None]]:
    sentences = {
        "poller": "Health sources are asked when they are due",
        "sources": "Health sources answer",
    }
    try:
        checks = operations.source_checks(at=now())
    except Exception:
        # The doctor goes on: what it finds of the database itself is said by its own check.
        return [(sentence, "the database can't be asked") for sentence in sentences.values()]
    return [(sentences[check.name], check.why or None) for check in checks]


def _worker_complaint() -> str | None:
    from sqlalchemy import select

    try:
        seen = db.session.scalars(select(jobs.Worker.seen_at)).all()
    except Exception:
        return "the database can't be asked"
    alive = [moment for moment in seen if now() - moment < jobs.DEAD_AFTER]
    return None if alive else "none was seen in the last 10 s: baton run or baton worker starts one"
