"""Models and teams as JSON."""

import json
from threading import Barrier, Thread

import pytest

from app.core.errors import ConflictError
from app.registry import queries, service
from tests.integration.registry.test_registry_service import INES, KEY, PRIYA, draft
from tests.support import factories

MODEL = {
    "slug": "recsys-home",
    "team": "serving",
    "tier": 1,
    "purpose": "Home feed",
    "deputy": "Lena@Example.com",
    "tags": ["Feed"],
    "matchers": [{"model_name": "recsys-home"}, 'ns="prod-*", app="home"'],
}


@pytest.fixture
def serving(app):
    factories.user(name="Lena Fischer", email="lena@example.com")
    return factories.team("serving", name="Serving Platform")


@pytest.fixture
def api(client, token):
    """Calls the API with a token that may write."""
    headers = token("registry:read", "registry:write")

    def call(method, path, body=None, **more):
        return client.open(
            f"/api/v1{path}", method=method, json=body, headers=headers | more.pop("headers", {})
        )

    return call


def test_a_model_is_added_read_changed_and_retired(api, serving):
    added = api("POST", "/models", MODEL)
    assert (added.status_code, added.headers["ETag"]) == (201, '"1"')
    expected = {
        "slug": "recsys-home",
        "team": "serving",
        "tier": 1,
        "purpose": "Home feed",
        "deputy": "lena@example.com",
        "tags": ["feed"],
        "matchers": [{"model_name": "recsys-home"}, {"app": "home", "ns": "prod-*"}],
        "retired_at": None,
        "version": 1,
    }
    assert expected.items() <= added.json.items()
    assert api("GET", "/models/recsys-home").json == added.json

    changed = api("PATCH", "/models/recsys-home", {"tier": 2, "deputy": ""})
    assert (changed.json["tier"], changed.json["deputy"]) == (2, None)
    assert changed.json["matchers"] == expected["matchers"]
    assert changed.headers["ETag"] == '"2"'

    retired = api("DELETE", "/models/recsys-home")
    assert retired.json["retired_at"] is not None
    assert api("GET", "/models").json == {"items": [], "next": None}
    assert [one["slug"] for one in api("GET", "/models?retired=true").json["items"]] == [
        "recsys-home"
    ]
    assert api("POST", "/models/recsys-home/restore").json["retired_at"] is None


def test_what_was_read_can_be_sent_back(api, serving):
    read = api("POST", "/models", MODEL).json
    writable = {name: read[name] for name in MODEL}
    assert api("PATCH", "/models/recsys-home", writable).json == read


def test_a_change_to_an_old_copy_is_refused_with_a_sentence(api, serving, at):
    service.create_model(draft(), by=PRIYA, at=at)
    service.edit_model("recsys-home", draft(tier=3), by=INES, at=at)
    for old in ('"1"', 'W/"1"', "1"):
        reply = api("PATCH", "/models/recsys-home", {"tier": 4}, headers={"If-Match": old})
        assert reply.status_code == 412
        assert "Ines Duarte changed recsys-home" in reply.json["detail"]
    for path in ("/models/recsys-home", "/teams/serving"):
        assert api("DELETE", path, headers={"If-Match": '"7"'}).status_code == 412
    for current in ('"2"', "*"):
        reply = api("PATCH", "/models/recsys-home", {"tier": 4}, headers={"If-Match": current})
        assert reply.status_code == 200
    reply = api("PATCH", "/models/recsys-home", {"tier": 4}, headers={"If-Match": "rubbish"})
    assert reply.status_code == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (MODEL | {"slug": "A b"}, "slug"),
        (MODEL | {"tier": 5}, "tier"),
        (MODEL | {"size": 1}, "size"),
        (MODEL | {"tags": ['"']}, "tags"),
        (MODEL | {"matchers": [{"a": ""}]}, "matchers.0"),
        (MODEL | {"matchers": ["a=~b"]}, "matchers.0"),
        (MODEL | {"purpose": "a\x00b"}, "purpose"),
        (MODEL | {"purpose": "\ud800"}, "purpose"),
        ({}, "slug"),
        ([], ""),
        (None, ""),
    ],
)
def test_a_body_that_does_not_fit_is_refused_by_field(api, serving, body, field):
    reply = api("POST", "/models", body)
    assert reply.status_code == 422
    assert reply.mimetype == "application/problem+json"
    assert field in [fault["field"] for fault in reply.json["errors"]]


def test_a_rule_of_ours_is_told_in_its_own_words(api, serving):
    reply = api("POST", "/models", MODEL | {"tier": 5})
    assert reply.json["errors"] == [{"field": "tier", "why": "A tier is 1, 2, 3 or 4."}]


def test_a_rule_that_needs_the_database_is_a_sentence(api, serving):
    assert api("POST", "/models", MODEL | {"team": "nowhere"}).json["detail"] == (
        "There is no team nowhere. Choose one that exists."
    )
    api("POST", "/models", MODEL)
    again = api("POST", "/models", MODEL)
    assert (again.status_code, again.json["title"]) == (409, "Changed meanwhile")
    assert api("GET", "/models/nothing").status_code == 404
    assert api("PATCH", "/models/nothing", {}).status_code == 404


def test_lists_are_read_page_by_page(api, serving, queries):
    for number in range(7):
        factories.model(f"model-{number}", owner=serving, matchers=[{"a": str(number)}])
        factories.team(f"team-{number}")
    for path, names in (
        ("/models", [f"model-{number}" for number in range(7)]),
        ("/teams", ["serving", *(f"team-{number}" for number in range(7))]),
    ):
        seen, cursor = [], ""
        while cursor is not None:
            page = api("GET", f"{path}?limit=3&cursor={cursor}").json
            seen += [item["slug"] for item in page["items"]]
            cursor = page["next"]
        assert seen == names
        assert queries(lambda path=path: api("GET", path)) <= 4
    assert api("GET", "/models?limit=0").status_code == 422
    assert api("GET", "/models?cursor=rubbish").status_code == 400
    assert [one["slug"] for one in api("GET", "/models?search=MODEL-3").json["items"]] == [
        "model-3"
    ]


def test_a_team_is_added_read_changed_and_deleted(api, serving):
    added = api("POST", "/teams", {"name": "Search Relevance", "members": ["LENA@example.com"]})
    assert (added.status_code, added.json["slug"]) == (201, "search-relevance")
    assert added.json["members"] == ["lena@example.com"]
    assert added.json["pager"] == {
        "connected": False,
        "key_ends": None,
        "region": "us",
        "service_id": None,
    }
    changed = api(
        "PATCH",
        "/teams/search-relevance",
        {"triages": True, "chat_url": "https://chat.example.com"},
        headers={"If-Match": added.headers["ETag"]},
    )
    assert (changed.json["triages"], changed.json["members"]) == (True, ["lena@example.com"])
    assert api("PATCH", "/teams/search-relevance", {"chat_url": ""}).json["chat_url"] is None
    gone = api("DELETE", "/teams/search-relevance")
    assert (gone.status_code, gone.data) == (204, b"")
    assert api("GET", "/teams/search-relevance").status_code == 404
    assert api("POST", "/teams", {"name": "東京"}).status_code == 422


def test_a_key_can_be_written_and_never_read(api, serving, caplog):
    wired = api(
        "PUT", "/teams/serving/pager", {"region": "eu", "service_id": "PABC123", "routing_key": KEY}
    )
    assert wired.json["pager"] == {
        "connected": True,
        "key_ends": "1a2b",
        "region": "eu",
        "service_id": "PABC123",
    }
    kept = api("PUT", "/teams/serving/pager", {"region": "us"})
    assert (kept.json["pager"]["connected"], kept.json["pager"]["service_id"]) == (True, None)
    everything = wired.text + kept.text + api("GET", "/teams").text + caplog.text
    assert KEY not in everything
    cleared = api("PUT", "/teams/serving/pager", {"region": "us", "routing_key": None})
    assert cleared.json["pager"]["connected"] is False


@pytest.mark.parametrize(
    "body",
    [
        {"region": "us", "routing_key": "short"},
        {"region": "us", "routing_key": KEY + "x"},
        {"region": "us", "routing_key": ""},
        {"region": "mars"},
        {"routing_key": KEY},
        {"region": "us", "service_id": "lower"},
    ],
)
def test_a_wrong_wiring_is_refused_without_repeating_the_key(api, serving, body):
    reply = api("PUT", "/teams/serving/pager", body)
    assert reply.status_code == 422
    assert KEY not in reply.text
    assert queries.team_by_slug("serving").version == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/models"),
        ("PATCH", "/models/recsys-home"),
        ("DELETE", "/models/recsys-home"),
        ("POST", "/models/recsys-home/restore"),
        ("POST", "/teams"),
        ("PATCH", "/teams/serving"),
        ("DELETE", "/teams/serving"),
        ("PUT", "/teams/serving/pager"),
    ],
)
def test_writing_takes_the_scope_for_it(client, token, serving, method, path):
    factories.model("recsys-home", owner=serving)
    for headers, status in (({}, 401), (token("registry:read", "incidents:write"), 403)):
        reply = client.open(f"/api/v1{path}", method=method, json={}, headers=headers)
        assert reply.status_code == status
    assert client.get("/api/v1/models", headers=token("registry:read")).status_code == 200


def test_the_contract_names_every_path(app):
    contract = json.dumps(app.api_doc)
    for path in ("/models/{slug}", "/teams/{slug}/pager", "/registry/import"):
        assert f'"/api/v1{path}"' in contract


def test_of_two_who_edit_at_once_one_is_told(app, serving, at):
    service.create_model(draft(), by=PRIYA, at=at)
    start, told = Barrier(2), []

    def edit(who, tier):
        with app.app_context():
            start.wait()
            try:
                service.edit_model("recsys-home", draft(tier=tier), seen_version=1, by=who, at=at)
            except ConflictError as error:
                told.append(error.sentence)

    both = [Thread(target=edit, args=args) for args in ((PRIYA, 2), (INES, 3))]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(told) == 1
    assert "changed recsys-home" in told[0]
