"""`baton user` and `baton token`. A secret is printed once, alone on the last line."""

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

import click
from flask.cli import AppGroup

from app.core.clock import now
from app.core.errors import BatonError, NotFoundError
from app.people import queries, service, tokens
from app.people.rules import COMMAND_LINE, Role, expand_scopes
from app.people.service import Invitation
from app.people.tables import ApiToken, User
from app.people.tokens import TokenWish

Command = TypeVar("Command", bound=Callable[..., None])

user = AppGroup("user", help="People: add, list, and let them in again.")
token = AppGroup("token", help="API tokens: create, list, revoke.")
commands: tuple[click.Command, ...] = (user, token)


def in_plain_words(command: Command) -> Command:
    """Show a refusal as its sentence instead of a traceback."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (BatonError, ValueError) as error:
            raise click.ClickException(str(error)) from error

    return run  # type: ignore[return-value]


@user.command("add")
@click.argument("email")
@click.option("--name", default="", help="How pages call this person. Default: the email address.")
@click.option(
    "--role", type=click.Choice([role.value for role in Role]), default=Role.RESPONDER.value
)
@click.option("--password-stdin", is_flag=True, help="Read a password from standard input.")
@in_plain_words
def add_user(email: str, name: str, role: str, password_stdin: bool) -> None:
    """Add a person. Without a password, print the one-time link with which they set one."""
    invitation = Invitation(email, name, Role(role))
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        added = service.add_with_password(invitation, password, by=COMMAND_LINE, at=now())
        click.echo(f"{added.name} can sign in as {added.role}.")
        return
    added, link = service.invite(invitation, by=COMMAND_LINE, at=now())
    click.echo(f"{added.name} becomes {added.role} with this link. It works once, for 24 hours:")
    click.echo(link)


@user.command("list")
@in_plain_words
def list_users() -> None:
    """List everybody, by name."""
    cursor: str | None = ""
    while cursor is not None:
        page = queries.people(cursor=cursor)
        _print_columns([(one.email, one.name, one.role, _state(one)) for one in page.items])
        cursor = page.next


@user.command("link")
@click.argument("email")
@in_plain_words
def link_user(email: str) -> None:
    """Print a new one-time link with which this person sets a new password."""
    found = queries.user_by_email(email)
    if found is None:
        raise NotFoundError(f"There is nobody with the address {email}.")
    found, link = service.new_link(found.id, by=COMMAND_LINE, at=now())
    click.echo(f"{found.name} sets a new password with this link. It works once, for 24 hours:")
    click.echo(link)


@token.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, help="May be given repeatedly.")
@click.option("--expires-days", type=click.IntRange(1, 3650), help="Default: it never expires.")
@in_plain_words
def create_token(name: str, scopes: tuple[str, ...], expires_days: int | None) -> None:
    """Make an API token and print it. `--scope read` and `--scope write` stand for all of a kind."""
    wish = TokenWish(name, expand_scopes(list(scopes)), expires_days)
    made, secret = tokens.create(wish, by=COMMAND_LINE, at=now())
    click.echo(f"{made.name} may {', '.join(made.scopes)}. This is shown once:")
    click.echo(secret)


@token.command("list")
@in_plain_words
def list_tokens() -> None:
    """List all tokens, by the end of each."""
    _print_columns(
        [
            (str(one.id), one.name, f"…{one.last_four}", _end(one), ",".join(one.scopes))
            for one in queries.tokens()
        ]
    )


@token.command("revoke")
@click.argument("name")
@in_plain_words
def revoke_token(name: str) -> None:
    """Make the token of this name worthless at once."""
    found = queries.working_tokens(at=now(), name=name)
    if not found:
        raise NotFoundError(f"There is no token called {name} that still works.")
    for one in found:
        tokens.revoke(one.id, by=COMMAND_LINE, at=now())
    click.echo(f"{name} is revoked.")


def _state(one: User) -> str:
    if not one.active:
        return "deactivated"
    return "active" if one.password_hash else "invited"


def _end(one: ApiToken) -> str:
    if one.revoked_at is not None:
        return f"revoked {one.revoked_at:%Y-%m-%d}"
    return f"until {one.expires_at:%Y-%m-%d}" if one.expires_at else "never expires"


def _print_columns(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())
