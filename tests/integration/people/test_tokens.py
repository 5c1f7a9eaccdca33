"""API tokens: what they open, how they end, and the pages that make them."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.core.clock import now
from app.core.db import db
from app.core.errors import ConflictError, NotSignedInError, RefusedError
from app.core.secrets import secret_hash
from app.people import queries, service, tokens
from app.people.rules import COMMAND_LINE, Actor, Role
from app.people.tables import ApiToken, AuditEntry
from app.people.tokens import TokenWish

SECRET = re.compile(r"bt_[A-Za-z0-9]{40}")


def create(name="CI deploys", scopes=("registry:read",), days=30, *, by=COMMAND_LINE, at=None):
    return tokens.create(TokenWish(name, list(scopes), days), by=by, at=at or now())


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def test_a_token_is_kept_as_a_hash_and_known_by_its_last_four(app, at):
    token, secret = create(at=at)

    assert SECRET.fullmatch(secret)
    assert (token.secret_hash, token.last_four) == (secret_hash(secret), secret[-4:])
    assert token.expires_at == at + timedelta(days=30)


def test_a_token_says_who_it_is(app, browser):
    _, secret = create(scopes=["registry:read", "incidents:read"])

    me = browser.get("/api/v1/me", headers=bearer(secret)).json

    assert (me["kind"], me["name"]) == ("token", "CI deploys")
    assert me["scopes"] == ["registry:read", "incidents:read"]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic YTpi"}, {"Authorization": "bt_x"}],
)
def test_without_a_token_the_answer_says_how_to_send_one(browser, headers):
    reply = browser.get("/api/v1/me", headers=headers)

    assert reply.status_code == 401
    assert reply.mimetype == "application/problem+json"
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="Baton"'
    assert "Authorization: Bearer" in reply.json["detail"]


@pytest.mark.parametrize("secret", ["bt_unknown", "\udcff", "ä"])
def test_an_unknown_token_opens_nothing(browser, secret):
    reply = browser.get("/api/v1/me", headers=bearer(secret.encode("utf-8", "replace").decode()))

    assert reply.status_code == 401
    assert reply.json["detail"] == "This token is not known here."
    assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]


def test_a_token_ends_when_it_expires(app, at):
    _, secret = create(days=30, at=at)

    assert tokens.check(secret, at=at + timedelta(days=30, seconds=-1)).name == "CI deploys"
    with pytest.raises(NotSignedInError, match=r"CI deploys expired on 11 April 2026\."):
        tokens.check(secret, at=at + timedelta(days=30))


def test_a_token_without_an_end_goes_on(app, at):
    _, secret = create(days=None, at=at)

    assert tokens.check(secret, at=at + timedelta(days=10_000))


def test_a_revoked_token_opens_nothing_and_says_when_it_was_revoked(app, at):
    token, secret = create(at=at)

    tokens.revoke(token.id, by=COMMAND_LINE, at=at)

    with pytest.raises(NotSignedInError, match=r"CI deploys was revoked on 12 March 2026\."):
        tokens.check(secret, at=at)


def test_a_token_without_the_scope_is_told_which_one_it_lacks(browser):
    _, secret = create(scopes=["registry:read"])

    reply = browser.get("/api/v1/people", headers=bearer(secret))

    assert reply.status_code == 403
    assert reply.json["detail"] == "The token CI deploys lacks the scope people:read."
    assert 'scope="people:read"' in reply.headers["WWW-Authenticate"]


def test_a_token_is_refused_before_its_request_is_read(browser):
    _, secret = create(scopes=["registry:read"])

    reply = browser.get("/api/v1/people?limit=many", headers=bearer(secret))

    assert reply.status_code == 403


def test_a_signed_in_browser_is_no_token(used_by, person):
    assert used_by(person(role=Role.ADMINISTRATOR)).get("/api/v1/me").status_code == 401


def test_a_token_is_no_signed_in_person(browser):
    _, secret = create(scopes=["people:write"])

    assert browser.get("/settings/people", headers=bearer(secret)).status_code == 303


def test_use_is_written_down_once_a_minute(app, at):
    token, secret = create(at=at)

    def used_at(moment):
        tokens.check(secret, at=moment)
        db.session.expire_all()
        return db.session.get(ApiToken, token.id).used_at

    assert used_at(at) == at
    assert used_at(at + timedelta(seconds=59)) == at
    assert used_at(at + timedelta(seconds=60)) == at + timedelta(seconds=60)


def test_two_working_tokens_cannot_share_a_name(app, at):
    token, _ = create(at=at)
    with pytest.raises(ConflictError, match="There is already a token called CI deploys"):
        create(at=at)

    tokens.revoke(token.id, by=COMMAND_LINE, at=at)

    assert create(at=at)
    assert create(at=at + timedelta(days=31))


def test_a_token_is_shown_once_on_its_page_and_audited_without_it(used_by, person):
    browser = used_by(person("Ada Byron", Role.MAINTAINER))

    reply = browser.post(
        "/settings/tokens/new",
        data={"name": "CI deploys", "scopes": ["registry:read", "runbooks:write"], "days": "90"},
    )

    secret = SECRET.search(reply.text)[0]
    assert reply.status_code == 200
    listed = browser.get("/settings/tokens").text
    assert secret not in listed
    assert f"bt_…{secret[-4:]}" in listed
    entry = db.session.scalars(select(AuditEntry)).one()
    assert (entry.action, entry.actor_name) == ("token.create", "Ada Byron")
    assert entry.after["scopes"] == ["registry:read", "runbooks:write"]
    assert secret not in str(entry.after)


@pytest.mark.parametrize(
    ("role", "sent", "sentence"),
    [
        (Role.MAINTAINER, {"scopes": ["people:read"]}, "not a valid choice"),
        (Role.MAINTAINER, {"days": "never"}, "Not a valid choice"),
        (Role.ADMINISTRATOR, {"days": "400"}, "Not a valid choice"),
        (Role.ADMINISTRATOR, {"scopes": []}, "Choose at least one scope."),
        (Role.ADMINISTRATOR, {"name": " "}, "What will use it?"),
    ],
)
def test_nobody_makes_a_token_that_may_do_more_than_they(used_by, person, role, sent, sentence):
    browser = used_by(person(role=role))
    form = {"name": "CI deploys", "scopes": ["registry:read"], "days": "90"} | sent

    reply = browser.post("/settings/tokens/new", data=form)

    assert reply.status_code == 422
    assert sentence in reply.text
    assert not queries.tokens()


def test_an_administrator_may_make_a_token_that_never_expires(used_by, person):
    browser = used_by(person(role=Role.ADMINISTRATOR))

    browser.post(
        "/settings/tokens/new",
        data={"name": "CI deploys", "scopes": ["people:read"], "days": "never"},
    )

    [token] = queries.tokens()
    assert token.expires_at is None


def test_a_taken_name_is_said_beside_the_name(used_by, person):
    create()
    browser = used_by(person(role=Role.MAINTAINER))

    reply = browser.post(
        "/settings/tokens/new",
        data={"name": "CI deploys", "scopes": ["registry:read"], "days": "30"},
    )

    assert reply.status_code == 409
    assert "There is already a token called CI deploys." in reply.text


@pytest.mark.parametrize(
    ("role", "own", "status"),
    [
        (Role.MAINTAINER, True, 303),
        (Role.MAINTAINER, False, 422),
        (Role.ADMINISTRATOR, False, 303),
    ],
)
def test_a_token_is_revoked_by_its_maker_or_an_administrator(used_by, person, role, own, status):
    ada = person("Ada Byron", role)
    token, _ = create(by=service.acting(ada) if own else Actor("person", None, "Somebody"))

    reply = used_by(ada).post(f"/settings/tokens/{token.id}/revoke")

    assert reply.status_code == status
    db.session.expire_all()
    assert (queries.token(token.id).revoked_at is not None) is (status == 303)


def test_what_a_token_changes_is_audited_as_its_doing(app, at):
    token, secret = create(at=at)

    assert tokens.check(secret, at=at).actor == Actor("token", token.id, "CI deploys")


def test_the_list_of_tokens_costs_the_same_for_one_or_thirty(used_by, person, cost):
    ada = person(role=Role.ADMINISTRATOR)
    browser = used_by(ada)
    create(by=service.acting(ada))
    one = cost(lambda: browser.get("/settings/tokens"))
    for number in range(29):
        create(f"token {number}", by=service.acting(ada))

    assert cost(lambda: browser.get("/settings/tokens")) == one


def test_a_name_that_no_column_can_hold_is_refused(app):
    with pytest.raises(RefusedError, match="A name has at most 120 characters"):
        create("x" * 121)
