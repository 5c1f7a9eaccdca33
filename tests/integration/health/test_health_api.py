"""Sources, hosts, panels, readings and states over JSON."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from app.core.clock import now
from app.core.db import db, end_read
from app.health import datasets, recording, service
from app.health.asking import Asking
from app.health.presets import PRESETS
from app.health.rules import LampState, Lane, Observation
from app.health.sources.reading import Given
from app.health.tables import AllowedHost, HealthSource, Panel
from app.people.rules import COMMAND_LINE as BY
from tests.support import factories

HOST = "serving.example.com:9000"
URL = f"http://{HOST}/metrics"
SECRET = "s3cret-token-of-20-ch"
SOURCE = {"name": "Serving", "kind": "openmetrics", "url": URL}
SPEC = {"stat": "quantile", "metric": "request_seconds", "q": 0.99, "scale": 1000}
PANEL = {
    "title": "p99 latency",
    "lane": "latency",
    "source": "serving",
    "unit": "ms",
    "spec": SPEC,
    "rule": {"above": 250, "k": 2, "n": 3},
}


class Api:
    """The API as somebody with these scopes sees it."""

    def __init__(self, client, headers):
        self.client, self.headers = client, headers

    def __call__(self, method, path, json=None, **headers):
        return self.client.open(
            f"/api/v1/health{path}", method=method, json=json, headers=self.headers | headers
        )

    def get(self, path):
        reply = self("GET", path)
        assert reply.status_code == 200, reply.text
        return reply.json


@pytest.fixture
def api(client, token):
    return Api(
        client, token("health:read", "health:write", "integrations:read", "integrations:write")
    )


@pytest.fixture
def reader(client, token):
    return Api(client, token("health:read"))


@pytest.fixture
def source(api):
    service.allow_host(HOST, "", by=BY, at=now())
    reply = api("POST", "/sources", SOURCE | {"sign_in": {"bearer": SECRET}})
    assert reply.status_code == 201, reply.text
    return reply


@pytest.fixture
def model(app):
    return factories.model("recsys-home", owner=factories.team())


def kept(table):
    end_read()
    return db.session.scalars(select(table)).all()


# --- Sources and hosts


def test_a_secret_goes_in_and_never_comes_out(api, reader, source):
    assert SECRET not in source.text
    assert source.json["signs_in"] == "bearer token that ends in 0-ch"
    assert SECRET not in reader("GET", "/sources").text
    (row,) = kept(HealthSource)
    assert Asking.of(row).secret == {"bearer": SECRET}


def test_a_source_is_read_changed_closed_and_opened(api, source):
    assert source.headers["ETag"] == '"1"'
    changed = api("PATCH", "/sources/serving", {"every": 60}, **{"If-Match": '"1"'})
    assert (changed.status_code, changed.json["every"]) == (200, 60)
    assert Asking.of(kept(HealthSource)[0]).secret == {"bearer": SECRET}

    stale = api("PATCH", "/sources/serving", {"every": 90}, **{"If-Match": '"1"'})
    assert stale.status_code == 412

    assert api("POST", "/sources/serving/close").json["closed_at"] is not None
    assert api("POST", "/sources/serving/close").status_code == 409
    assert [one["slug"] for one in api.get("/sources?which=closed")["items"]] == ["serving"]
    assert api("POST", "/sources/serving/reopen").json["closed_at"] is None


def test_null_takes_the_sign_in_away(api, source):
    reply = api("PATCH", "/sources/serving", {"sign_in": None})

    assert reply.json["signs_in"] == ""


def test_a_kept_secret_does_not_go_along_to_another_host(api, source):
    reply = api("PATCH", "/sources/serving", {"url": "http://a.example.com/", "allow_host": True})

    assert reply.status_code == 422
    assert "Give its sign-in again" in reply.json["detail"]
    assert [row.pattern for row in kept(AllowedHost)] == [HOST]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"url": "http://elsewhere.example.com/"}, "not on the list"),
        ({"kind": "carrier pigeon"}, "no kind"),
        ({"every": 1}, "every"),
        ({"every": 10**30}, "every"),
        ({"options": {"path": "/x"}}, "no option path"),
        ({"kind": "drift", "options": {"path": "http://elsewhere/"}}, "own host"),
        ({"kind": "drift", "options": {"path": "//elsewhere/\\"}}, "own host"),
        ({"kind": "drift", "options": {"zone": "Nowhere"}}, "no time zone"),
        ({"kind": "drift", "options": {"format": "tea leaves"}}, "no format"),
        ({"kind": "evidently", "options": {"projects": ["a"]}}, "an object"),
        ({"sign_in": {"bearer": "a", "user": "b"}}, "Sign in with"),
        ({"sign_in": {"header": "X-Key", "value": "a\r\nHost: b"}}, "what can't be sent"),
        ({"password": "x"}, "password"),
        ({"slug": "Not A Slug"}, "slug"),
    ],
)
def test_a_source_that_can_t_be_is_refused(api, change, why):
    service.allow_host(HOST, "", by=BY, at=now())

    reply = api("POST", "/sources", SOURCE | change)

    assert reply.status_code == 422
    assert reply.mimetype == "application/problem+json"
    assert why in reply.json["detail"] or why in str(reply.json.get("errors"))
    assert kept(HealthSource) == []


def test_a_host_is_allowed_with_its_source_if_that_is_said(api):
    reply = api("POST", "/sources", SOURCE | {"allow_host": True})

    assert reply.status_code == 201
    assert [row.pattern for row in kept(AllowedHost)] == [HOST]


def test_hosts_are_added_listed_and_taken_off(api):
    added = api("POST", "/hosts", {"pattern": "*.example.com:443", "why": "Serving"})

    assert added.status_code == 201
    assert [one["pattern"] for one in api.get("/hosts")["items"]] == ["*.example.com:443"]
    assert api("POST", "/hosts", {"pattern": "*.example.com:443"}).status_code == 409
    assert api("POST", "/hosts", {"pattern": "[fe80::1]:80"}).status_code == 422
    assert api("DELETE", f"/hosts/{added.json['id']}").status_code == 204
    assert api("DELETE", f"/hosts/{added.json['id']}").status_code == 404


def test_who_may_read_health_writes_neither_sources_nor_hosts(reader, client, token):
    panels_only = Api(client, token("health:write"))

    for api in (reader, panels_only):
        assert api("POST", "/sources", SOURCE).status_code == 403
        assert api("POST", "/hosts", {"pattern": "a:80"}).status_code == 403
    assert reader("POST", "/models/recsys-home/panels", PANEL).status_code == 403


# --- Panels


def test_presets_say_what_they_can_t_tell(reader):
    found = {one["key"]: one for one in reader.get("/presets")["items"]}

    assert set(found) == set(PRESETS)
    for key, preset in PRESETS.items():
        assert found[key]["cannot"] == list(preset.cannot)
    mlflow = found["mlflow"]["panels"]
    assert all(panel["not_measurable"] for panel in mlflow)


def test_a_panel_is_made_read_changed_and_closed(api, source, model):
    made = api("POST", "/models/recsys-home/panels", PANEL)
    assert made.status_code == 201, made.text
    assert made.json["slug"] == "p99-latency"
    assert made.json["failure_mode"] == "latency_regression"
    assert made.json["lamp"]["state"] == "no_data"
    there = "/models/recsys-home/panels/p99-latency"

    changed = api("PATCH", there, {"rule": {"above": 300}}, **{"If-Match": '"1"'})
    assert changed.json["rule"] == made.json["rule"] | {"above": 300.0}
    assert changed.headers["ETag"] == '"2"'
    assert api("PATCH", there, {"unit": "s"}, **{"If-Match": '"1"'}).status_code == 412
    assert api("PATCH", there, {"unit": "s"}, **{"If-Match": "seven"}).status_code == 400

    assert api("POST", f"{there}/close").json["lamp"] is None
    assert api.get("/models/recsys-home/panels")["items"] == []
    assert len(api.get("/models/recsys-home/panels?closed=true")["items"]) == 1
    assert api("POST", f"{there}/reopen").json["closed_at"] is None


def test_a_null_limit_is_taken_away_and_one_has_to_stay(api, source, model):
    api("POST", "/models/recsys-home/panels", PANEL)

    reply = api("PATCH", "/models/recsys-home/panels/p99-latency", {"rule": {"above": None}})

    assert reply.status_code == 422
    assert "Give a limit" in reply.json["detail"]


def test_a_panel_of_a_data_input_takes_another_severity_and_nothing_else(api, model):
    check = {"dataset": "clicks", "checked_at": now().isoformat(), "kind": "schema",
             "format": "baton", "report": {"ok": True, "rows": 9}}  # fmt: skip
    datasets.push(check, given=Given(received_at=now()), by=BY, at=now())
    datasets.link("clicks", "recsys-home", by=BY, at=now())
    there = "/models/recsys-home/panels/schema-clicks"

    assert api("PATCH", there, {"severity": 1}).json["severity"] == 1
    assert api("PATCH", there, {"lane": "errors"}).status_code == 422


def test_panels_of_a_preset_are_made_together(api, source, model):
    reply = api(
        "POST",
        "/models/recsys-home/presets",
        {"preset": "recommender", "source": "serving", "name": "shop-similar",
         "panels": ["p99", "errors"]},
    )  # fmt: skip

    assert reply.status_code == 201
    assert [one["slug"] for one in reply.json["items"]] == ["errors", "p99"]
    assert all(one["preset"] == "recommender" for one in reply.json["items"])
    assert "shop-similar" in str(reply.json["items"][0]["spec"])


@pytest.mark.parametrize(
    ("change", "status", "why"),
    [
        ({"source": "nobody"}, 404, "no source"),
        ({"spec": {"stat": "tea leaves"}}, 422, "p99 latency: "),
        ({"spec": {"stat": ["a"]}}, 422, ""),
        ({"rule": {}}, 422, "Give a limit"),
        ({"rule": {"above": 250, "k": 5, "n": 3}}, 422, "windows"),
        ({"lane": "luck"}, 422, "lane"),
        ({"severity": 5}, 422, "severity"),
        ({"window": 0}, 422, "window"),
        ({"source": None}, 422, "Name a source"),
        ({"source": None, "lane": "input_drift", "spec": {}}, 422, "whose verdict"),
        ({"colour": "red"}, 422, "colour"),
        ({"title": "x" * 121}, 422, "title"),
        ({"title": "a\x00b"}, 422, "title"),
        ({"spec": {"stat": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}}}, 422, "spec"),
    ],
)
def test_a_panel_that_can_t_be_is_refused(api, source, model, change, status, why):
    reply = api("POST", "/models/recsys-home/panels", PANEL | change)

    assert reply.status_code == status, reply.text
    assert why in reply.json["detail"] or why in str(reply.json.get("errors"))
    assert kept(Panel) == []


def test_not_a_number_is_no_limit(api, source, model, client):
    body = b'{"title": "a", "lane": "latency", "spec": {}, "rule": {"above": NaN}}'

    reply = client.post(
        "/api/v1/health/models/recsys-home/panels",
        data=body,
        headers=api.headers | {"Content-Type": "application/json"},
    )

    assert reply.status_code == 422
    assert "finite number" in reply.text


def test_a_model_that_is_not_there_has_no_panels(api):
    assert api("GET", "/models/nobody/panels").status_code == 404
    assert api("POST", "/models/nobody/panels", PANEL | {"source": None}).status_code in (404, 422)


# --- What they said


def test_readings_come_in_order_and_in_pages(reader, model, at):
    panel = factories.panel(model, slug="p99")
    for minute in range(5):
        moment = at + timedelta(minutes=minute)
        recording.record({panel.id: Observation(moment, 200.0 + minute, 9)}, at=moment)

    first = reader.get("/models/recsys-home/panels/p99/readings?limit=3")
    second = reader.get(f"/models/recsys-home/panels/p99/readings?limit=3&cursor={first['next']}")
    some = reader.get(
        "/models/recsys-home/panels/p99/readings?from=2026-03-12T02:15:00Z&to=2026-03-12T02:17:00Z"
    )

    assert [one["value"] for one in first["items"] + second["items"]] == [
        200.0, 201.0, 202.0, 203.0, 204.0,
    ]  # fmt: skip
    assert second["next"] is None
    assert [one["value"] for one in some["items"]] == [201.0, 202.0]
    assert reader.get("/models/recsys-home/panels/p99/readings?by=hour")["items"] == []
    assert reader("GET", "/models/recsys-home/panels/p99/readings?from=noon").status_code == 422


def test_a_time_that_utc_does_not_know_is_refused(reader, model):
    factories.panel(model, slug="p99")
    readings = "/models/recsys-home/panels/p99/readings"

    late = reader("GET", f"{readings}?from=9999-12-31T23:59:59-14:00")
    early = reader("GET", f"{readings}?to=0001-01-01T00:00:00%2B14:00")

    assert late.status_code == early.status_code == 422
    assert "No such time exists in UTC." in late.text


def test_states_of_models_are_told_with_their_age(reader, model):
    at = now()
    panel = factories.panel(model, slug="p99")
    recording.record({panel.id: Observation(at, 612.0, 9)}, at=at)
    factories.model("search", owner=factories.team("search"))

    first = reader.get("/models?limit=1")
    second = reader.get(f"/models?limit=1&cursor={first['next']}")

    (home,) = first["items"]
    assert (home["model"], home["worst"]) == ("recsys-home", "breach")
    assert home["lanes"]["latency"]["panel"] == "p99"
    assert 0 <= home["lanes"]["latency"]["age"] < 60
    assert second["items"] == [{"model": "search", "worst": None, "lanes": {}}]


def test_a_lamp_that_nobody_writes_any_more_is_not_ok(reader, model, at):
    panel = factories.panel(model, slug="p99")
    recording.record({panel.id: Observation(at, 200.0, 9)}, at=at)

    (listed,) = reader.get("/models/recsys-home/panels")["items"]

    assert listed["lamp"]["state"] == "no_data"
    assert reader.get("/models")["items"][0]["worst"] == "no_data"


def test_changes_are_a_feed(reader, model, at):
    panel = factories.panel(model, slug="p99")
    for minute, value in enumerate((200.0, 612.0, 200.0)):
        moment = at + timedelta(minutes=minute)
        recording.record({panel.id: Observation(moment, value, 9)}, at=moment)

    first = reader.get("/changes?limit=2")
    rest = reader.get(f"/changes?after={first['next']}")

    assert [one["after"] for one in first["items"]] == ["ok", "breach"]
    assert [one["fact"] for one in rest["items"]] == ["recovered"]
    assert rest["next"] is None
    assert {one["panel"] for one in rest["items"]} == {"p99"}
    assert reader.get(f"/changes?after={rest['items'][-1]['id']}")["items"] == []
    assert reader("GET", "/changes?model=nobody").status_code == 404
    assert reader("GET", "/changes?after=99999999999999999999").status_code == 422


def test_lists_cost_the_same_for_one_or_thirty(reader, model, queries):
    def add(number):
        source = factories.health_source()
        other = factories.model(f"model-{number}", owner=model.team)
        for owner in (model, other):
            panel = factories.panel(owner, source_id=source.id)
            recording.record({panel.id: Observation(now(), 612.0, 9)}, at=now())

    paths = ("/sources", "/models", "/models/recsys-home/panels", "/changes")
    add(0)
    reader.get("/sources")  # the first use of a token is noted
    before = [queries(lambda path=path: reader.get(path)) for path in paths]
    for number in range(1, 12):
        add(number)

    assert [queries(lambda path=path: reader.get(path)) for path in paths] == before


# --- Whatever comes

texts = st.sampled_from(["", "rate", "x", "/", "\x00", "\ud83d", "*", "NaN"]) | st.text(max_size=9)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
SPEC_KEYS = ("metric", "labels", "bad", "not_bad", "q", "over", "agg", "scale", "offset",
             "rows_metric", "query", "rows", "by", "value", "verdict", "not_measurable")  # fmt: skip
STATS = st.sampled_from(["rate", "ratio", "quantile", "share_over", "gauge", "mean"])
specs = st.fixed_dictionaries({"stat": STATS | junk}, optional=dict.fromkeys(SPEC_KEYS, junk))
bodies = st.fixed_dictionaries(
    {},
    optional={
        "title": junk | st.just("a"),
        "lane": junk | st.sampled_from(list(Lane)),
        "source": st.sampled_from(["serving", "prom", None]) | junk,
        "spec": specs | junk,
        "rule": st.fixed_dictionaries({"above": junk | st.floats(0, 9)}) | junk,
        "window": junk | st.integers(1, 900),
        "unit": texts,
    },
)


@settings(
    deadline=None, max_examples=120, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(body=st.builds(lambda a: PANEL | a, bodies) | junk, patch=bodies | junk)
def test_no_body_makes_a_500_or_a_panel_that_says_ok(app, api, source, model, body, patch):
    if not db.session.scalar(select(HealthSource.id).where(HealthSource.slug == "prom")):
        factories.health_source("prometheus", slug="prom")
    made = api("POST", "/models/recsys-home/panels", body)
    assert made.status_code in (201, 404, 422), made.text
    if made.status_code == 201:
        there = f"/models/recsys-home/panels/{made.json['slug']}"
        changed = api("PATCH", there, patch)
        assert changed.status_code in (200, 422), changed.text
        assert api.get(there)["lamp"]["state"] != LampState.OK
        assert api("POST", f"{there}/close").status_code == 200
