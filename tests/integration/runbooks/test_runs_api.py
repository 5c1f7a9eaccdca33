"""Runs over JSON: for chat bots, pipelines and whatever else follows along."""

import pytest

from app.people.rules import BATON
from app.runbooks.runs import service
from app.runbooks.runs.service import Beginning
from tests.support.following import LATENCY, publish


@pytest.fixture
def run(app, at):
    version = publish(LATENCY, at=at)
    known = {"incident.model": "recsys-home", "alert.cluster": "prod-eu1"}
    return service.start(Beginning(version.id, known=known), by=BATON, at=at).id


@pytest.fixture
def say(client, token, run):
    headers = token("incidents:read", "incidents:write")

    def post(step, kind, **more):
        body = {"kind": kind, "step": step, "client_event_id": more.pop("id", f"{step}-{kind}")}
        return client.post(f"/api/v1/runs/{run}/events", json=body | more, headers=headers)

    return post


def test_an_event_is_kept_once_and_says_where_the_run_stands(say):
    first = say("confirm", "done", note="612 ms")
    again = say("confirm", "done", note="612 ms")

    assert first.status_code == 200
    assert first.json["run"]["current"] == "which"
    assert first.json["event"]["detail"] == {"note": "612 ms"}
    assert (first.json["again"], again.json["again"]) == (False, True)
    assert again.json["event"]["seq"] == first.json["event"]["seq"]


def test_only_what_came_since_is_told(client, token, say, run):
    seq = say("confirm", "done").json["event"]["seq"]
    say("confirm", "noted", note="more")

    found = client.get(
        f"/api/v1/runs/{run}/events?since={seq}", headers=token("incidents:read")
    ).json

    assert [event["kind"] for event in found["events"]] == ["noted"]
    assert found["seq"] == seq + 1
    assert found["variables"] == {"model": "recsys-home", "cluster": "prod-eu1"}


def test_whoever_comes_second_hears_who_was_first(say):
    say("confirm", "done")

    late = say("confirm", "done", id="another")

    assert late.status_code == 409
    assert late.mimetype == "application/problem+json"
    assert "marked step 1 done" in late.json["detail"]
    assert late.json["standing"]["state"] == "done"


@pytest.mark.parametrize(
    ("step", "kind", "more", "status"),
    [
        ("confirm", "ended", {}, 422),
        ("confirm", "copied", {}, 422),
        ("confirm", "noted", {}, 422),
        ("confirm", "skipped", {}, 422),
        ("confirm", "failed", {"what": "exploded"}, 422),
        ("which", "decided", {"option": 7}, 422),
        ("back", "done", {"typed": "something"}, 422),
        ("nothing", "done", {}, 422),
        ("confirm", "done", {"colour": "blue"}, 422),
        ("back", "done", {"typed": "recsys-home"}, 200),
    ],
)
def test_what_can_be_said_is_checked(say, step, kind, more, status):
    assert say(step, kind, **more).status_code == status


def test_a_token_needs_the_scope(client, token, run):
    body = {"kind": "done", "step": "confirm", "client_event_id": "x"}
    headers = token("incidents:read")

    assert client.post(f"/api/v1/runs/{run}/events", json=body, headers=headers).status_code == 403
    assert client.post(f"/api/v1/runs/{run}/events", json=body).status_code == 401
    assert client.get("/api/v1/runs/999/events", headers=headers).status_code == 404
