"""`baton key` and `baton deliveries`. A key is printed once, alone on the last line."""

import click
from flask.cli import AppGroup

from app.alerts import queries, service
from app.alerts.queries import IntegrationLine
from app.alerts.sources import SOURCES
from app.config import settings
from app.core.clock import now
from app.people.cli import in_plain_words
from app.people.rules import COMMAND_LINE

key = AppGroup("key", help="Keys of inbound doors: create, list, close.")
deliveries = AppGroup("deliveries", help="What came to the doors: replay it.")
commands: tuple[click.Command, ...] = (key, deliveries)


@key.command("create")
@click.argument("source", type=click.Choice(sorted(SOURCES)))
@click.option("--name", help="How pages call this sender. Default: the source and a number.")
@in_plain_words
def create_key(source: str, name: str | None) -> None:
    """Open a door for a sender and print its key of 32 characters."""
    if name is None:
        made, secret = service.create_named_after_source(source, by=COMMAND_LINE, at=now())
    else:
        made, secret = service.create_integration(name, source, by=COMMAND_LINE, at=now())
    click.echo(f"{made.name} sends to {settings().url}/in/{source} with this key, shown once:")
    click.echo(secret)


@key.command("list")
@in_plain_words
def list_keys() -> None:
    """List all doors: number, source, end of the key, state, name."""
    for line in queries.integrations(at=now()):
        click.echo(
            f"{line.id:>5}  {line.source:<14}  …{line.last_four}  {_state(line):<8}  {line.name}"
        )


@key.command("close")
@click.argument("number", type=int)
@in_plain_words
def close_key(number: int) -> None:
    """Refuse whatever comes with the key of the door of this NUMBER."""
    closed = service.close_integration(number, by=COMMAND_LINE, at=now())
    click.echo(f"{closed.name} is closed.")


@deliveries.command("replay")
@click.argument("receipts", nargs=-1, required=True)
@in_plain_words
def replay(receipts: tuple[str, ...]) -> None:
    """Process deliveries again, in the order in which they came.

    RECEIPTS are what the door answered, or ids as in d-88213.
    """
    count = service.replay(
        [queries.delivery_id(receipt) for receipt in receipts], by=COMMAND_LINE, at=now()
    )
    said = "1 delivery waits" if count == 1 else f"{count} deliveries wait"
    click.echo(f"{said} for the worker.")


def _state(line: IntegrationLine) -> str:
    return "closed" if line.closed_at else "open"
