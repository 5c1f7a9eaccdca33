"""The registry has no commands of its own: it is written on pages, by API and by import."""

import click

commands: tuple[click.Command, ...] = ()
