"""Runbooks as JSON."""

import pytest


@pytest.fixture
def api(client, token):
    headers = token("runbooks:read")
    return lambda path: client.get(f"/api/v1{path}", headers=headers)


def test_runbooks_are_listed_page_by_page(api, write, bring_in):
    for number in range(5):
        write(f"r{number}.md", f"# Runbook {number}\n\n1. a\n")
    bring_in()

    first = api("/runbooks?limit=3").json
    second = api(f"/runbooks?limit=3&cursor={first['next']}").json

    assert [item["slug"] for item in first["items"] + second["items"]] == [
        "r0",
        "r1",
        "r2",
        "r3",
        "r4",
    ]
    assert second["next"] is None
    assert first["items"][0] | {"changed_at": None} == {
        "slug": "r0",
        "title": "Runbook 0",
        "failure_mode": None,
        "owner": None,
        "published": 1,
        "newest": 1,
        "newest_status": "published",
        "steps": 1,
        "changed_at": None,
        "changed_by": "Baton",
        "url": first["items"][0]["url"],
    }
    assert first["items"][0]["url"].endswith("/runbooks/r0")


def test_runbooks_are_found_by_failure_mode_and_owner(api, latency, write, bring_in):
    latency()
    write("other.md", "# Other\n")
    bring_in()

    for query in ("failure_mode=Latency-Regression", "owner=serving", "search=p99high"):
        assert [one["slug"] for one in api(f"/runbooks?{query}").json["items"]] == ["latency"]


def test_a_runbook_comes_with_its_versions_and_the_one_in_force(api, latency, bring_in):
    latency("one")
    bring_in()
    path = latency("two")
    bring_in()

    found = api("/runbooks/latency").json

    assert found["published"] == 2
    assert [(one["number"], one["status"]) for one in found["versions"]] == [
        (2, "published"),
        (1, "retired"),
    ]
    current = found["current"]
    assert current["source"] == path.read_text()
    assert [step["id"] for step in current["steps"]] == ["look", "which", "back"]
    assert current["steps"][2]["attributes"]["undo"] == "look"
    assert current["signals"] == [{"alertname": "RecsysHomeP99High"}]


def test_any_version_can_be_asked_for(api, latency, bring_in):
    latency("one")
    bring_in()
    latency("two")
    bring_in()

    found = api("/runbooks/latency/versions/1").json

    assert (found["number"], found["status"], found["steps"][0]["body"]) == (1, "retired", "one")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runbooks/none", 404),
        ("/runbooks/none/versions/1", 404),
        ("/runbooks?limit=9999", 422),
        ("/runbooks?colour=red", 422),
        ("/runbooks?cursor=rubbish", 400),
    ],
)
def test_what_cannot_be_given_is_told_as_a_problem(api, path, status):
    reply = api(path)

    assert reply.status_code == status
    assert reply.mimetype == "application/problem+json"


def test_another_scope_reads_nothing(client, token):
    reply = client.get("/api/v1/runbooks", headers=token("incidents:read"))

    assert reply.status_code == 403
