"""`baton user` and `baton token`, as scripts use them."""

import re

import pytest

from app.core.clock import now
from app.core.db import db
from app.people import links, passwords, queries, tokens
from app.people.cli import commands
from app.people.rules import SCOPES, Role

PASSWORD = "a few plain words"


@pytest.fixture
def baton(app):
    """Runs a command, and gives its exit code and the lines it printed."""
    groups = {command.name: command for command in commands}

    def run(*words, typed=None):
        result = app.test_cli_runner().invoke(groups[words[0]], list(words[1:]), input=typed)
        db.session.expire_all()
        return result.exit_code, result.output.splitlines()

    return run


def test_a_person_is_added_and_the_last_line_is_their_link(baton):
    code, lines = baton("user", "add", "Ada@Example.com", "--name", "Ada Byron", "--role", "viewer")

    assert code == 0
    assert re.fullmatch(r"https://baton\.test/welcome/\w{32}", lines[-1])
    ada = queries.user_by_email("ada@example.com")
    assert (ada.name, ada.role) == ("Ada Byron", Role.VIEWER)
    assert links.follow(lines[-1].rpartition("/")[2], at=now()).user_id == ada.id


def test_a_person_with_a_password_needs_no_link(baton):
    code, lines = baton("user", "add", "ada@example.com", "--password-stdin", typed=f"{PASSWORD}\n")

    assert code == 0
    assert lines == ["ada@example.com can sign in as responder."]
    assert passwords.matches(queries.user_by_email("ada@example.com").password_hash, PASSWORD)


def test_a_weak_password_is_refused_and_not_repeated(baton):
    code, lines = baton("user", "add", "ada@example.com", "--password-stdin", typed="weak\n")

    assert code == 1
    assert lines == ["Error: Use at least 12 characters. A few words in a row are fine."]
    assert queries.user_by_email("ada@example.com") is None


def test_the_same_person_is_not_added_twice(baton, person):
    person("Ada Byron")

    code, lines = baton("user", "add", "ada@example.com")

    assert (code, lines) == (1, ["Error: ada@example.com has an account here already."])


def test_people_are_listed_with_role_and_state(baton, person):
    person("Ada Byron", Role.MAINTAINER)
    person("Sam Okafor", has_password=False)

    code, lines = baton("user", "list")

    assert code == 0
    assert lines == [
        "ada@example.com  Ada Byron   maintainer  active",
        "sam@example.com  Sam Okafor  responder   invited",
    ]


def test_nobody_is_an_empty_list(baton):
    assert baton("user", "list") == (0, [])


def test_a_new_link_is_the_last_line(baton, person):
    ada = person("Ada Byron")

    code, lines = baton("user", "link", "ADA@example.com")

    assert code == 0
    assert links.follow(lines[-1].rpartition("/")[2], at=now()).user_id == ada.id


def test_nobody_gets_no_link(baton):
    code, lines = baton("user", "link", "nobody@example.com")

    assert (code, lines) == (1, ["Error: There is nobody with the address nobody@example.com."])


def test_a_token_is_made_and_the_last_line_is_the_token(baton):
    code, lines = baton(
        "token", "create", "CI", "--scope", "registry:read", "--scope", "incidents:write",
        "--expires-days", "7",
    )  # fmt: skip

    assert code == 0
    token = tokens.check(lines[-1], at=now())
    assert token.scopes == ("incidents:write", "registry:read")
    assert token.expires_at is not None


def test_read_and_write_stand_for_all_scopes_of_their_kind(baton):
    _, lines = baton("token", "create", "CI", "--scope", "read")

    assert tokens.check(lines[-1], at=now()).scopes == tuple(
        scope for scope in sorted(SCOPES) if scope.endswith(":read")
    )


def test_an_unknown_scope_makes_no_token(baton):
    code, lines = baton("token", "create", "CI", "--scope", "everything")

    assert code == 1
    assert lines[0].startswith("Error: There is no scope everything. Known: read, write,")
    assert not queries.tokens()


def test_tokens_are_listed_without_their_secrets_and_revoked_by_name(baton):
    _, lines = baton("token", "create", "CI", "--scope", "registry:read")
    secret = lines[-1]

    _, listed = baton("token", "list")
    [token] = queries.tokens()
    assert listed == [f"{token.id}  CI  …{secret[-4:]}  never expires  registry:read"]

    assert baton("token", "revoke", "CI") == (0, ["CI is revoked."])
    assert "revoked" in baton("token", "list")[1][0]
    assert baton("token", "revoke", "CI") == (
        1,
        ["Error: There is no token called CI that still works."],
    )
