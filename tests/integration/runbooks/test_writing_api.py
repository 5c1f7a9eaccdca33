"""Writing runbooks over JSON."""

import pytest

from app.core.clock import now
from app.people.rules import Role
from app.runbooks import publishing
from app.runbooks.rules import Verdict
from tests.support import factories
from tests.support.runbooks import actor, latency, published


@pytest.fixture
def runbook(app):
    return published()


@pytest.fixture
def call(client, token):
    headers = token("runbooks:read", "runbooks:write")

    def send(method, path, **body):
        more = {"json": body} if method != "delete" else {"query_string": body}
        return getattr(client, method)(f"/api/v1/runbooks{path}", headers=headers, **more)

    return send


def test_a_draft_is_read_saved_and_published(call, app):
    published(at=now())
    opened = call("get", "/latency/draft").json
    assert (opened["version"], opened["base"], opened["number"]) == (0, 1, 2)
    assert opened["source"] == latency()
    assert opened["findings"] == []

    saved = call("put", "/latency/draft", source=latency("p95"), message="p95", version=0)
    assert (saved.status_code, saved.json["version"]) == (200, 1)

    made = call("post", "/latency/draft/publish", version=1)
    assert made.status_code == 201
    assert made.headers["Location"].endswith("/runbooks/latency/versions/2")
    assert (made.json["status"], made.json["message"]) == ("published", "p95")


def test_a_conflict_comes_with_their_text(call, runbook):
    call("put", "/latency/draft", source=latency("p95"), version=0)

    reply = call("put", "/latency/draft", source=latency("p90"), version=0)

    assert reply.status_code == 409
    assert reply.mimetype == "application/problem+json"
    assert reply.json["theirs"] == latency("p95")
    assert reply.json["version"] == 1


def test_a_token_can_t_publish_a_risky_change_without_a_person(call, runbook, app, at):
    call("put", "/latency/draft", source=latency(back="restart"), version=0)
    refused = call("post", "/latency/draft/publish", version=1)
    assert refused.status_code == 422
    assert "second person" in refused.json["detail"]

    asked = call("post", "/latency/draft/review", version=1).json
    assert asked["status"] == "in_review"
    approve = call("post", "/latency/versions/2/review", verdict="approved")
    assert approve.status_code == 422
    assert call("post", "/latency/versions/2/publish").status_code == 422

    ana = actor(factories.user(Role.MAINTAINER))
    version = publishing.db.session.get(publishing.RunbookVersion, 2)
    publishing.review(version.id, Verdict.APPROVED, "", by=ana, at=at)
    assert call("post", "/latency/versions/2/publish").json["status"] == "published"


def test_an_emergency_goes_out_at_once(call, runbook):
    call("put", "/latency/draft", source=latency(back="restart"), version=0)

    made = call("post", "/latency/draft/publish", version=1, emergency_reason="INC-7")

    assert made.json["status"] == "published"


def test_changes_are_asked_for(call, runbook):
    call("put", "/latency/draft", source=latency(back="restart"), version=0)
    call("post", "/latency/draft/review", version=1)

    said = call("post", "/latency/versions/2/review", verdict="changes", comment="A dead link.")

    assert (said.json["status"], said.json["comment"]) == ("draft", "A dead link.")


def test_a_version_is_given_up_and_another_gone_back_to(call, runbook):
    call("put", "/latency/draft", source=latency("p95"), version=0)
    call("post", "/latency/draft/publish", version=1)

    back = call("post", "/latency/versions/1/revert")
    assert (back.status_code, back.json["number"], back.json["status"]) == (201, 3, "published")

    call("put", "/latency/draft", source=latency("p90"), version=0)
    call("post", "/latency/draft/review", version=1)
    assert call("post", "/latency/versions/4/drop", reason="No").json["status"] == "retired"


def test_a_draft_is_discarded(call, runbook):
    call("put", "/latency/draft", source=latency("p95"), version=0)

    assert call("delete", "/latency/draft", version=2).status_code == 409
    assert call("delete", "/latency/draft", version=1).status_code == 204
    assert call("get", "/latency/draft").json["version"] == 0


def test_a_runbook_is_begun_retired_and_brought_back(call, app):
    begun = call(
        "post", "", slug="slow-model", title="It is slow", failure_mode="Latency-Regression"
    )
    assert begun.status_code == 201
    assert "failure_mode: latency_regression" in begun.json["source"]
    assert {one["rule"] for one in begun.json["findings"]} >= {"RB20"}

    published()
    retired = call("post", "/latency/retire", reason="Use slow-model")
    assert (retired.json["published"], retired.json["retired_at"] is None) == (None, False)
    back = call("post", "/latency/bring-back")
    assert (back.json["published"], back.json["retired_at"]) == (1, None)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", ""),
        ("put", "/latency/draft"),
        ("delete", "/latency/draft"),
        ("post", "/latency/draft/review"),
        ("post", "/latency/draft/publish"),
        ("post", "/latency/versions/1/review"),
        ("post", "/latency/versions/1/publish"),
        ("post", "/latency/versions/1/drop"),
        ("post", "/latency/versions/1/revert"),
        ("post", "/latency/retire"),
        ("post", "/latency/bring-back"),
    ],
)
def test_reading_is_not_writing(client, token, runbook, method, path):
    headers = token("runbooks:read")

    reply = getattr(client, method)(f"/api/v1/runbooks{path}", headers=headers, json={})

    assert reply.status_code == 403


def test_unknown_fields_are_refused(call, runbook):
    reply = call("put", "/latency/draft", source="x", version=0, sauce="y")

    assert reply.status_code == 422
