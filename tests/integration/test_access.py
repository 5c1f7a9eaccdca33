"""Who may use which route. Walks every route there is, so that none is forgotten.

Each view is replaced by one that lets in, so only the gate answers, and nothing is changed.
"""

import pytest
from flask import url_for
from werkzeug.routing import IntegerConverter, UUIDConverter

from app.core.clock import now
from app.core.secrets import new_secret
from app.people import access, tokens
from app.people.access import Access, access_to
from app.people.rules import COMMAND_LINE, SCOPES, Role, article
from app.people.tokens import TokenWish

LET_IN = "let in"
HTMX = {"HX-Request": "true"}


def dummy(converter):
    """A value that fits the route and names nothing."""
    if isinstance(converter, IntegerConverter):
        return 2_000_000_000
    if isinstance(converter, UUIDConverter):
        return "00000000-0000-4000-8000-000000000000"
    return "nothing-of-that-name"


@pytest.fixture
def routes(app, monkeypatch):
    """Every route as (method, path, endpoint, who may use it)."""
    marks = {endpoint: access_to(view) for endpoint, view in app.view_functions.items()}
    for endpoint, mark in marks.items():

        def let_in(**_values):
            return LET_IN

        let_in.access = mark
        monkeypatch.setitem(app.view_functions, endpoint, let_in)
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)
    found = []
    with app.test_request_context():
        for rule in app.url_map.iter_rules():
            values = {name: dummy(rule._converters[name]) for name in rule.arguments}
            path = url_for(rule.endpoint, **values)
            found += [
                (method, path, rule.endpoint, marks[rule.endpoint])
                for method in sorted(rule.methods - {"HEAD", "OPTIONS"})
            ]
    return found


def answer(client, method, path, **headers):
    return client.open(path, method=method, headers=headers)


def leads_to_sign_in(reply):
    return reply.status_code == 303 and reply.location.startswith("/sign-in")


@pytest.fixture
def secret_with(app):
    """The secret of a token with these scopes."""

    def make(*scopes):
        wish = TokenWish(new_secret(8), list(scopes), None)
        return tokens.create(wish, by=COMMAND_LINE, at=now())[1]

    return make


def test_every_route_says_who_may_use_it(app):
    unmarked = [endpoint for endpoint, view in app.view_functions.items() if not access_to(view)]

    assert unmarked == []


def test_every_scope_that_a_route_asks_for_can_be_granted(routes):
    asked = {mark.scope for *_, mark in routes if mark.scope is not None}

    assert asked <= set(SCOPES)


def test_a_route_that_does_not_say_who_may_use_it_serves_nobody(app, client, monkeypatch):
    monkeypatch.setitem(app.view_functions, "people.sign_in", lambda: LET_IN)

    reply = client.get("/sign-in")

    assert reply.status_code == 500
    assert LET_IN not in reply.text


def test_signed_out_only_public_routes_answer(routes, client):
    for method, path, endpoint, mark in routes:
        reply = answer(client, method, path)
        if mark == access.ANYONE:
            assert reply.text == LET_IN, endpoint
        elif mark.token:
            assert reply.status_code == 401, endpoint
            assert reply.mimetype == "application/problem+json", endpoint
            assert reply.headers["WWW-Authenticate"].startswith("Bearer"), endpoint
        else:
            assert leads_to_sign_in(reply), endpoint


def test_signed_out_a_part_of_a_page_is_refused_where_it_stands(routes, client):
    for method, path, endpoint, mark in routes:
        if mark.role is not None:
            reply = answer(client, method, path, **HTMX)
            assert reply.status_code == 401, endpoint
            assert "/sign-in" in reply.text, endpoint


@pytest.mark.parametrize("role", Role)
def test_a_role_opens_its_own_routes_and_those_below(routes, signed_in, role):
    browser = signed_in(role)
    for method, path, endpoint, mark in routes:
        reply = answer(browser, method, path)
        if mark.token:
            assert reply.status_code == 401, endpoint
        elif mark.role is None or role.covers(mark.role):
            assert reply.text == LET_IN, endpoint
        else:
            assert reply.status_code == 403, endpoint
            assert f"This takes {article(mark.role)}" in reply.text, endpoint


def test_a_token_opens_what_its_scope_allows_and_no_page(routes, client, secret_with):
    bearers = {scope: {"Authorization": f"Bearer {secret_with(scope)}"} for scope in SCOPES}
    for method, path, endpoint, mark in routes:
        reply = answer(client, method, path, **bearers[mark.scope or "incidents:read"])
        if mark.role is None:
            assert reply.text == LET_IN, endpoint
        else:
            assert leads_to_sign_in(reply), endpoint


def test_a_token_with_every_scope_but_the_right_one_is_told_which_it_lacks(
    routes, client, secret_with
):
    bearers = {
        scope: {"Authorization": f"Bearer {secret_with(*(SCOPES.keys() - {scope}))}"}
        for scope in SCOPES
    }
    for method, path, endpoint, mark in routes:
        if mark.scope is not None:
            reply = answer(client, method, path, **bearers[mark.scope])
            assert reply.status_code == 403, endpoint
            assert f"lacks the scope {mark.scope}" in reply.json["detail"], endpoint


def test_a_token_without_scopes_opens_only_what_any_token_may(routes, client, secret_with):
    bearer = {"Authorization": f"Bearer {secret_with()}"}
    for method, path, endpoint, mark in routes:
        if mark.token:
            reply = answer(client, method, path, **bearer)
            assert reply.status_code == (200 if mark.scope is None else 403), endpoint


def test_a_refusal_asks_the_database_only_who_is_there(routes, client, signed_in, queries):
    viewer = signed_in(Role.VIEWER)
    for method, path, endpoint, mark in routes:
        if mark.role not in {None, Role.VIEWER}:
            assert queries(lambda at=(method, path): answer(client, *at)) == 0, endpoint
            assert queries(lambda at=(method, path): answer(viewer, *at)) <= 1, endpoint


def test_the_gate_has_routes_of_every_kind_to_guard(routes):
    marks = {mark for *_, mark in routes}

    assert access.ANYONE in marks
    assert Access(token=True) in marks
    assert {mark.role for mark in marks} >= {Role.VIEWER, Role.MAINTAINER, Role.ADMINISTRATOR}
