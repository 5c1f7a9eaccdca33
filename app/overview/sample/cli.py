"""`baton sample`: break it, heal it, say how it is, take it away and bring it back."""

from collections.abc import Sequence

import click
from flask.cli import AppGroup

from app.config import settings
from app.core.clock import now
from app.core.errors import RefusedError, UpstreamError
from app.integrations.sample import AwayError, Fault
from app.overview.sample import service
from app.people.cli import in_plain_words
from app.people.rules import COMMAND_LINE

sample = AppGroup("sample", help="The sample recommender beside Baton: break it, heal it.")
commands: tuple[click.Command, ...] = (sample,)


@sample.command("status")
@in_plain_words
def status() -> None:
    """List its faults, and which are on."""
    try:
        faults = service.here().faults()
    except AwayError as error:
        raise UpstreamError(str(error.args[0])) from None
    width = max((len(fault.name) for fault in faults), default=0)
    for fault in faults:
        mark = f"on since {fault.since:%H:%M:%S} UTC" if fault.since else "off"
        click.echo(f"{fault.name:<{width}}  {mark:<22}  moves {fault.moves}: {fault.does}")


@sample.command("break")
@click.argument("fault")
@in_plain_words
def break_(fault: str) -> None:
    """Switch a fault on."""
    _say(service.inject(fault, by=COMMAND_LINE, at=now()))


@sample.command("heal")
@click.argument("fault", required=False)
@in_plain_words
def heal(fault: str | None) -> None:
    """Switch one fault off, or all."""
    _say(service.heal(fault, by=COMMAND_LINE, at=now()))


@sample.command("add")
@in_plain_words
def add() -> None:
    """Set the sample up in Baton, or bring it back after `remove`."""
    address = service.here().address
    if not settings().sample or address is None:
        raise RefusedError("The sample does not run. Start it first: make run")
    service.add(address, by=COMMAND_LINE, at=now())
    click.echo("The sample is watched.")


@sample.command("remove")
@in_plain_words
def remove() -> None:
    """Retire its model, and close its panels and sources. `add` brings them back."""
    service.remove(by=COMMAND_LINE, at=now())
    click.echo("The sample is no longer watched. BATON_SAMPLE=off also leaves its processes out.")


def _say(faults: Sequence[Fault]) -> None:
    on = [fault.name for fault in faults if fault.since]
    click.echo(f"On now: {', '.join(on)}." if on else "Everything is healed.")
