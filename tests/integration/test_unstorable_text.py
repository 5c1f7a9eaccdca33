"""Text that no database takes: NUL, and half of a surrogate pair. It is refused, and breaks nothing.

Walks every route there is, so that none is forgotten.
"""

import base64
import inspect
import json

import pytest
from sqlalchemy import select

from app.alerts import processing
from app.core.clock import now
from app.core.db import db, end_read
from app.incidents.tables import Entry, Incident, Member
from app.people.access import access_to
from app.people.rules import SCOPES, Role
from app.web.texts import REFUSAL, Strict
from tests.support import factories

# What addresses are asked by, beside what the contract of the API names.
ASKED = (
    "after", "cursor", "failure_mode", "integration", "kind", "labels", "mode", "model", "models",
    "next", "owner", "q", "search", "severity", "show", "source", "state", "tag", "team", "tier",
    "what", "who",
)  # fmt: skip
BAD = "a\0b"
HALF = "half \ud83d"


@pytest.fixture
def rows(app):
    """One of each thing that an address can name."""
    serving = factories.team("serving")
    model = factories.model("recsys-home", owner=serving)
    factories.runbook("latency-regression")
    factories.integration("generic")
    return factories.incident(model_id=model.id, team_id=serving.id)


@pytest.fixture
def ask(app, signed_in, token):
    """Ask with all the rights there are: as an administrator, or as a token with every scope."""
    browser, program, bearer = signed_in(Role.ADMINISTRATOR), app.test_client(), token(*SCOPES)

    def send(path, method="GET", **more):
        if path.startswith("/api/"):
            return program.open(path, method=method, headers=bearer, **more)
        return browser.open(path, method=method, **more)

    return send


def addresses(app, instead="latency-regression"):
    """The address of every route that can be read, with `instead` for each text in it."""
    adapter = app.url_map.bind("baton.test")
    for rule in app.url_map.iter_rules():
        if "GET" in rule.methods and rule.endpoint != "static":
            texts = dict.fromkeys(rule.arguments, 1) | {
                name: instead
                for name, converter in rule._converters.items()
                if type(converter).__name__ == "Text"
            }
            yield rule, adapter.build(rule.endpoint, texts)


def cursors():
    for key in (["a\0"], [HALF, 1], [1, "a\0", 1]):
        yield base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def test_no_question_in_an_address_fails(app, ask, rows):
    documented = {
        one["name"]
        for path in app.api_doc["paths"].values()
        for one in path.get("get", {}).get("parameters", ())
        if one["in"] == "query"
    }
    assert documented > {"source", "q", "what"}
    for rule, path in addresses(app):
        # The same check stands before every route: one of them is asked all there is to ask.
        for name in {*ASKED, *documented} if rule.endpoint == "incidents.index" else ["q"]:
            reply = ask(f"{path}?{name}=%00")
            assert reply.status_code == 400, (rule.endpoint, name)
            assert "holds a character" in reply.text, (rule.endpoint, name)


def test_no_cursor_fails(app, ask, rows):
    for rule, path in addresses(app):
        if rule.endpoint in ("operations.ready", "operations.metrics"):
            continue
        for cursor in cursors():
            reply = ask(f"{path}?cursor={cursor}&after={cursor}")
            assert reply.status_code < 500, (rule.endpoint, cursor)


def test_an_address_that_no_database_holds_does_not_exist(app, ask, rows):
    walked = 0
    for rule, path in addresses(app, instead=BAD):
        if "%00" in path:
            walked += 1
            # 405 where such an address takes forms only.
            assert ask(path).status_code in (404, 405), rule.endpoint
    assert walked > 5


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/incidents/1/notes", {"text": BAD}),
        ("/incidents/1/resolve", {"resolve-reason": BAD}),
        ("/incidents/declare", {"title": BAD, "severity": "3", "model": "0", "failure_mode": ""}),
        ("/models/new", {"slug": "x", "team": "serving", "tier": "2", "purpose": BAD}),
        ("/models/import", {"text": f"teams: [{BAD}]"}),
        ("/teams/new", {"name": BAD}),
        ("/settings/integrations/new", {"name": BAD, "source": "generic", "team": "0"}),
        ("/settings/people/invite", {"email": "a@b.example", "name": BAD, "role": "viewer"}),
        ("/settings/tokens/new", {"name": BAD, "scopes": "incidents:read", "days": "90"}),
        ("/settings/people/1/role", {"role": BAD}),
        ("/profile", {"name": BAD, "time_zone": "UTC", "version": "1"}),
        ("/sign-in", {"email": f"{BAD}@b.example", "password": "x"}),
    ],
)
def test_a_form_is_refused_with_a_sentence(ask, rows, path, form):
    reply = ask(path, "POST", data=form)

    assert reply.status_code == 400
    assert "holds a character" in reply.text


DECLARED = {"title": "t", "failure_mode": "mode_a"}


@pytest.mark.parametrize("bad", [BAD, HALF], ids=["nul", "half a pair"])
@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/incidents", {**DECLARED, "title": ...}, "title"),
        ("POST", "/incidents", {**DECLARED, "note": ...}, "note"),
        ("POST", "/incidents", {**DECLARED, "model": ...}, "model"),
        ("POST", "/incidents/1/notes", {"text": ...}, "text"),
        ("POST", "/incidents/1/notes", {"text": "x", "key": ...}, "key"),
        ("POST", "/incidents/1/resolve", {"reason": ...}, "reason"),
        ("POST", "/incidents/1/reopen", {"reason": ...}, "reason"),
        ("POST", "/incidents/1/hand-over", {"person": ...}, "person"),
        ("POST", "/incidents/1/hand-over", {"person": "a@b.example", "note": ...}, "note"),
        ("POST", "/incidents/1/escalate", {"team": "serving", "note": ...}, "note"),
        ("POST", "/incidents/1/model", {"model": ...}, "model"),
        ("PATCH", "/models/recsys-home", {"purpose": ...}, "purpose"),
        ("PATCH", "/models/recsys-home", {"matchers": [{"model": ...}]}, "matchers"),
        ("PATCH", "/models/recsys-home", {"matchers": [{...: "x"}]}, ""),
        ("PATCH", "/models/recsys-home", {...: "x"}, ""),
        ("POST", "/teams", {"name": ...}, "name"),
        ("POST", "/integrations", {"name": ..., "source": "generic"}, "name"),
        ("POST", "/deliveries/replay", {"deliveries": [...]}, "deliveries"),
        ("POST", "/deliveries/replay", {"all_dead": True, "source": ...}, "source"),
    ],
)
def test_json_is_refused_by_field(ask, rows, method, path, body, field, bad):
    said = json.dumps(put_in(body, bad))

    reply = ask(f"/api/v1{path}", method, data=said, content_type="application/json")

    assert reply.status_code == 422
    [fault] = reply.json["errors"]
    assert fault["field"].split(".")[0] == field
    if bad == BAD or not field:
        assert fault["why"] == REFUSAL


def test_json_inside_of_json_is_refused_too(ask, rows):
    reply = ask("/api/v1/incidents/1/notes", "POST", json=json.dumps({"text": BAD}))

    assert reply.status_code == 422
    assert reply.json["errors"] == [{"field": "text", "why": REFUSAL}]


def put_in(value, bad):
    match value:
        case dict():
            return {put_in(name, bad): put_in(held, bad) for name, held in value.items()}
        case list():
            return [put_in(held, bad) for held in value]
    return bad if value is ... else value


def test_every_body_and_question_of_the_api_is_checked(app):
    bodies = set()
    for endpoint, view in app.view_functions.items():
        mark = access_to(view)
        if mark is None or not mark.token:
            continue
        for name, one in inspect.signature(inspect.unwrap(view)).parameters.items():
            if name in ("body", "query"):
                bodies.add(one.annotation)
                assert issubclass(one.annotation, Strict), endpoint

    assert len(bodies) > 15


def test_a_file_of_models_is_refused_with_a_sentence(ask, rows):
    document = {"teams": [{"name": f"Search {BAD}"}], "models": [{"slug": "x", "purpose": HALF}]}

    reply = ask("/api/v1/registry/import", "POST", json=document)

    assert reply.status_code == 422
    assert reply.json["detail"].count("can't be stored") >= 1


def test_a_door_takes_any_text(app, client, rows, at):
    _, key = factories.integration("generic", name="a second")
    alert = {"name": "Slow\0", "model": "recsys-home", "summary": HALF, "labels": {"a\0": "\0"}}

    # As curl sends it if nobody says that it is JSON.
    reply = client.post(
        "/in/generic?why=%00",
        data=json.dumps(alert),
        headers={"Authorization": f"Bearer {key}"},
        content_type="application/x-www-form-urlencoded",
    )

    assert reply.status_code == 202
    processing.process_next(at=now())
    end_read()
    assert db.session.scalars(select(Member.name)).all() == ["Slow\ufffd"]


def test_nothing_of_it_is_kept(ask, rows):
    ask("/api/v1/incidents/1/notes", "POST", json={"text": BAD})
    ask("/incidents/1/notes", "POST", data={"text": BAD})

    assert db.session.scalars(select(Entry)).all() == []
    assert len(db.session.scalars(select(Incident)).all()) == 1
