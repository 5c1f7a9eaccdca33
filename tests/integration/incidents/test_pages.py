"""The pages and the API of incidents."""

from collections.abc import Callable

import pytest
from flask import url_for

from app.core.db import db, end_read
from app.incidents.rules import State
from app.incidents.tables import Incident
from app.people.rules import Role
from tests.support import factories


@pytest.fixture
def browser(signed_in):
    return signed_in(Role.RESPONDER)


def state_of(incident_id):
    end_read()
    return db.session.get(Incident, incident_id).state


def test_the_list_costs_the_same_for_one_or_fifty(browser, queries: Callable[..., int]):
    factories.incident()
    browser.get("/incidents")  # what a process remembers for a while is read now
    one = queries(lambda: browser.get("/incidents"))
    for _ in range(49):
        factories.incident()

    assert queries(lambda: browser.get("/incidents")) == one


def test_a_page_of_an_incident_costs_the_same_however_many_alerts_it_has(browser, queries, at):
    from app.incidents.tables import Entry, Member

    incident_id = factories.incident().id
    browser.get(f"/incidents/{incident_id}")
    bare = queries(lambda: browser.get(f"/incidents/{incident_id}"))
    for number in range(40):
        factories.keep(
            Member(
                incident_id=incident_id, integration_id=1, fingerprint=str(number), firing=True,
                name="a", summary="s", severity=2, labels={"n": str(number)}, annotations={},
                links=[], starts_at=at, first_seen_at=at, last_seen_at=at,
            )
        )  # fmt: skip
        factories.keep(
            Entry(incident_id=incident_id, at=at, kind="note", actor_kind="person",
                  actor_name="P", text="x", detail={})
        )  # fmt: skip

    assert queries(lambda: browser.get(f"/incidents/{incident_id}")) == bare


def test_a_list_is_paged_by_key(browser):
    for number in range(51):
        factories.incident(title=f"number {number}")

    first = browser.get("/incidents").text
    assert "number 50" in first
    assert "number 0<" not in first
    link = first.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    assert "number 0" in browser.get(link).text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=INC-1", ["recsys"]),
        ("q=2", ["eta"]),
        ("q=LATENCY%25", []),
        ("q=recs", ["recsys"]),
        ("severity=1", ["recsys"]),
        ("state=resolved", ["old"]),
        ("state=all", ["recsys", "eta", "old"]),
        ("state=triage&severity=4", ["eta"]),
        ("severity=nonsense", ["recsys", "eta"]),
    ],
)
def test_a_list_is_narrowed(browser, query, found):
    factories.incident(title="recsys is slow", severity=1)
    factories.incident(title="eta is off", severity=4)
    factories.incident(title="old news", state=State.RESOLVED)

    text = browser.get(f"/incidents/part/list?{query}").text

    assert {word for word in ("recsys", "eta", "old") if f"{word} " in text} == set(found)


def test_acknowledging_in_the_browser_leads_back_to_the_page(browser):
    incident = factories.incident()

    reply = browser.post(f"/incidents/{incident.id}/acknowledge", data={"seen": incident.version})

    assert reply.status_code == 303
    assert state_of(incident.id) is State.ACKNOWLEDGED
    assert "You took INC-" in browser.get(reply.location).text


def test_a_resolved_incident_cannot_be_acknowledged(browser):
    incident = factories.incident(state=State.RESOLVED)

    reply = browser.post(f"/incidents/{incident.id}/acknowledge", data={})

    assert reply.status_code == 422
    assert "already resolved" in reply.text


def test_a_conflict_says_who_was_first_and_keeps_the_text(browser, signed_in):
    incident = factories.incident()
    seen = incident.version
    signed_in(Role.RESPONDER).post(f"/incidents/{incident.id}/acknowledge", data={"seen": seen})

    reply = browser.post(
        f"/incidents/{incident.id}/resolve",
        data={"resolve-seen": seen, "resolve-reason": "rolled back to v42"},
    )

    assert reply.status_code == 409
    assert "Acknowledged, while you were reading" in reply.text
    assert "rolled back to v42" in reply.text
    assert state_of(incident.id) is State.ACKNOWLEDGED


def test_resolving_asks_for_a_reason(browser):
    incident = factories.incident()

    reply = browser.post(f"/incidents/{incident.id}/resolve", data={"resolve-seen": 1})

    assert reply.status_code == 422
    assert "Say why it is over" in reply.text


def test_a_note_is_markdown_and_harmless(browser):
    incident = factories.incident()
    browser.post(
        f"/incidents/{incident.id}/notes",
        data={"text": "**bold** <script>alert(1)</script> [x](javascript:alert(1))", "key": "k"},
    )

    text = browser.get(f"/incidents/{incident.id}").text

    assert "<strong>bold</strong>" in text
    assert "<script>alert" not in text
    assert 'href="javascript' not in text


def test_labels_of_an_alert_are_escaped(browser, at):
    from app.incidents.tables import Member

    incident = factories.incident(title="<img src=x onerror=alert(1)>")
    factories.keep(
        Member(
            incident_id=incident.id, integration_id=1, fingerprint="f", firing=True, name="<b>",
            summary="<i>", severity=2, labels={"<u>": "{{ config }}"}, annotations={}, links=[],
            starts_at=at, first_seen_at=at, last_seen_at=at,
        )
    )  # fmt: skip

    text = browser.get(f"/incidents/{incident.id}").text

    assert "<img src=x" not in text
    assert "<u>" not in text
    assert "{{ config }}" in text


def test_a_live_part_is_304_until_something_happens(browser):
    incident = factories.incident()
    url = f"/incidents/{incident.id}/part/timeline"
    first = browser.get(url)
    again = browser.get(url, headers={"If-None-Match": first.headers["ETag"]})
    browser.post(f"/incidents/{incident.id}/notes", data={"text": "news", "key": "k"})
    after = browser.get(url, headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status_code, again.status_code, after.status_code) == (200, 304, 200)
    assert again.data == b""
    assert "news" in after.text


def test_a_live_part_holds_no_field(browser):
    incident = factories.incident()

    for part in ("head", "facts", "alerts", "timeline"):
        text = browser.get(f"/incidents/{incident.id}/part/{part}").text
        assert "<textarea" not in text
        assert '<input class="input' not in text


def test_a_viewer_reads_but_is_offered_nothing_to_press(signed_in):
    incident = factories.incident()
    viewer = signed_in(Role.VIEWER)

    text = viewer.get(f"/incidents/{incident.id}").text

    assert "Acknowledge" not in text
    assert viewer.post(f"/incidents/{incident.id}/acknowledge").status_code == 403


def test_declaring_in_the_browser_opens_an_incident(browser):
    model = factories.model()

    reply = browser.post(
        "/incidents/declare",
        data={
            "title": "empty shelves",
            "severity": 2,
            "model": model.id,
            "failure_mode": "output_drift",
        },
    )

    assert reply.status_code == 303
    page = browser.get(reply.location).text
    assert "empty shelves" in page
    assert "Declared by" in page


def test_an_incident_that_does_not_exist_is_a_404_with_a_sentence(browser):
    reply = browser.get("/incidents/999")

    assert reply.status_code == 404
    assert "There is no INC-999" in reply.text


# The API


@pytest.fixture
def api(app, client, token):
    headers = token("incidents:read", "incidents:write")

    def call(method, path, **more):
        return client.open(f"/api/v1/incidents{path}", method=method, headers=headers, **more)

    return call


def test_the_api_does_what_the_browser_does(api):
    incident = factories.incident()
    platform = factories.team("platform")
    other = factories.user(Role.RESPONDER, email="ines@example.com")
    path = f"/{incident.id}"
    calls = [
        ("acknowledge", {}),
        ("severity", {"severity": 1}),
        ("hand-over", {"person": other.email}),
        ("escalate", {"team": platform.slug, "note": "look"}),
        ("mitigate", {}),
        ("resolve", {"reason": "rolled back", "noise": True}),
        ("reopen", {"reason": "it is back"}),
    ]
    for action, body in calls:
        reply = api("POST", f"{path}/{action}", json=body)
        assert reply.status_code == 200, (action, reply.json)
    assert api("POST", f"{path}/notes", json={"text": "a note"}).status_code == 201

    whole = api("GET", path).json

    assert (whole["state"], whole["severity"], whole["lead"]) == ("triggered", 1, other.name)
    assert [one["by"] for one in whole["timeline"] if one["kind"] == "acknowledged"] == ["a token"]
    assert any("Escalated to Platform" in one["text"] for one in whole["timeline"])


def test_the_api_refuses_a_stale_version_with_a_sentence(api):
    incident = factories.incident()
    api("POST", f"/{incident.id}/acknowledge", json={})

    reply = api("POST", f"/{incident.id}/resolve", json={"reason": "x", "version": 1})

    assert reply.status_code == 409
    assert "while you were reading" in reply.json["detail"]


def test_the_api_refuses_unknown_fields(api):
    incident = factories.incident()

    reply = api("POST", f"/{incident.id}/acknowledge", json={"colour": "red"})

    assert reply.status_code == 422
    assert "colour" in str(reply.json)


def test_the_api_lists_in_pages(api):
    for _ in range(5):
        factories.incident()

    first = api("GET", "?limit=3").json
    rest = api("GET", f"?limit=3&cursor={first['next']}").json

    assert [one["id"] for one in first["items"] + rest["items"]] == [5, 4, 3, 2, 1]
    assert rest["next"] is None


def test_the_api_declares(api):
    model = factories.model()

    reply = api("POST", "", json={"title": "empty shelves", "model": model.slug, "severity": 2})

    assert reply.status_code == 201
    assert reply.headers["Location"].endswith(f"/api/v1/incidents/{reply.json['id']}")
    assert reply.json["model"] == model.slug


def test_a_twin_is_told_of_its_first_and_only_a_page_keeps_the_text(api, browser):
    model = factories.model()
    facts = {"title": "empty shelves", "model": model.slug, "failure_mode": "output_drift"}
    first = api("POST", "", json=facts).json["id"]

    said = api("POST", "", json=facts).json["detail"]
    shown = browser.post("/incidents/declare", data={**facts, "model": model.id, "severity": 2})

    assert said == f"INC-{first} is open for the same model and failure mode. Work on that one."
    assert shown.status_code == 409
    assert f"{said} Your text is kept here." in shown.text


@pytest.mark.parametrize(
    ("action", "body"), [("/1/resolve", {"reason": "  "}), ("", {"title": "\t"})]
)
def test_the_api_takes_no_blanks_for_a_reason_or_a_title(api, action, body):
    factories.incident()

    reply = api("POST", action, json=body)

    assert reply.status_code == 422
    assert reply.json["detail"] in ("These do not fit: reason.", "These do not fit: title.")


def test_an_action_without_a_body_is_told_what_is_needed(api):
    factories.incident()

    reply = api("POST", "/1/acknowledge")

    assert reply.status_code == 422
    assert [fault["why"] for fault in reply.json["errors"]] == [
        "A JSON object is needed here, if only {}."
    ]


def test_every_action_of_the_api_is_in_its_description(app, client):
    paths = client.get("/api/v1/openapi.json").json["paths"]

    with app.test_request_context():
        assert url_for("incidents_api.detail", incident_id=1).endswith("/incidents/1")
    assert any(path.endswith("/acknowledge") for path in paths)
    assert any(path.endswith("/escalate") for path in paths)


@pytest.mark.parametrize("number", [2**31, 2**63, 10**30])
def test_a_number_that_no_row_can_have_is_an_address_that_does_not_exist(browser, number):
    assert browser.get(f"/incidents/{number}").status_code == 404
    assert browser.get(f"/deliveries/{number}").status_code == 404
