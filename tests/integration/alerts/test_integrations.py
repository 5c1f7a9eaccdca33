"""Doors and their keys: made, shown once, replaced, closed; and the test that is a real delivery."""

import re
import threading
from datetime import timedelta

import pytest
from sqlalchemy import select
from werkzeug.serving import make_server

from app.alerts import queries, service
from app.alerts.service import IntegrationDraft
from app.alerts.sources import SOURCES
from app.alerts.tables import Integration
from app.alerts.trial import TRIALS
from app.core.clock import now
from app.core.db import db, end_read
from app.core.errors import ConflictError, NotFoundError, RefusedError, UpstreamError
from app.core.secrets import secret_hash
from app.integrations.own_door import own_address
from app.people.rules import COMMAND_LINE, Role
from app.people.tables import AuditEntry
from tests.integration.alerts.conftest import firing, webhook
from tests.support import factories

BY = COMMAND_LINE


def try_key(app, key, source="alertmanager"):
    document = webhook(firing(nonce=key[:4]))
    return app.test_client().post(
        f"/in/{source}", json=document, headers={"Authorization": f"Bearer {key}"}
    )


def only_integration():
    end_read()
    return db.session.scalars(select(Integration)).one()


# --- Keys


def test_a_new_integration_has_a_key_of_32_characters_that_opens_its_door(app):
    made, key = service.create_integration("Prod", "alertmanager", by=BY, at=now())

    assert re.fullmatch(r"[A-Za-z0-9]{32}", key)
    assert (made.key_hash, made.last_four) == (secret_hash(key), key[-4:])
    assert try_key(app, key).status_code == 200
    assert try_key(app, key, "generic").status_code == 401


def test_a_replaced_key_works_for_a_day_more(app, monkeypatch):
    made, old = service.create_integration("Prod", "alertmanager", by=BY, at=now())
    changed, new = service.replace_key(made.id, by=BY, at=now())
    assert try_key(app, new).status_code == 200
    assert try_key(app, old).status_code == 200

    tomorrow = now() + timedelta(hours=24, seconds=1)
    for lane in ("door", "express"):
        monkeypatch.setattr(f"app.alerts.{lane}.now", lambda: tomorrow)
    assert try_key(app, old).status_code == 401
    assert try_key(app, new).status_code == 200
    assert changed.last_four == new[-4:]


def test_a_closed_door_takes_nothing_until_it_is_opened_again(app):
    made, key = service.create_integration("Prod", "alertmanager", by=BY, at=now())
    service.close_integration(made.id, by=BY, at=now())
    assert try_key(app, key).status_code == 401

    service.reopen_integration(made.id, by=BY, at=now())
    assert try_key(app, key).status_code == 200


def test_an_old_key_does_not_come_back_with_a_reopened_door(app):
    made, old = service.create_integration("Prod", "alertmanager", by=BY, at=now())
    _changed, new = service.replace_key(made.id, by=BY, at=now())
    service.close_integration(made.id, by=BY, at=now())
    service.reopen_integration(made.id, by=BY, at=now())

    assert try_key(app, old).status_code == 401
    assert try_key(app, new).status_code == 200


def test_every_change_is_audited_and_none_tells_a_key(app):
    made, first = service.create_integration("Prod", "alertmanager", by=BY, at=now())
    _row, second = service.replace_key(made.id, by=BY, at=now())
    service.edit_integration(made.id, IntegrationDraft("Prod eu1"), by=BY, at=now())
    service.close_integration(made.id, by=BY, at=now())
    service.reopen_integration(made.id, by=BY, at=now())

    trail = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [entry.action for entry in trail] == [
        "integration.create",
        "integration.key",
        "integration.update",
        "integration.close",
        "integration.reopen",
    ]
    told = " ".join(f"{entry.before} {entry.after}" for entry in trail)
    for key in (first, second):
        assert key not in told
        assert secret_hash(key) not in told


@pytest.mark.parametrize(
    ("name", "source", "sentence"),
    [
        ("  ", "generic", "Give it a name"),
        ("x" * 121, "generic", "at most 120"),
        ("fine", "carrier_pigeon", "no source carrier_pigeon"),
    ],
)
def test_an_integration_needs_a_name_and_a_known_source(app, name, source, sentence):
    with pytest.raises(RefusedError, match=sentence):
        service.create_integration(name, source, by=BY, at=now())
    assert db.session.scalars(select(Integration)).all() == []


def test_two_open_integrations_have_two_names(app):
    made, _key = service.create_integration("Prod", "generic", by=BY, at=now())
    with pytest.raises(ConflictError, match="called prod already"):
        service.create_integration("prod", "generic", by=BY, at=now())

    service.close_integration(made.id, by=BY, at=now())
    service.create_integration("Prod", "generic", by=BY, at=now())
    with pytest.raises(ConflictError, match="already"):
        service.reopen_integration(made.id, by=BY, at=now())


@pytest.mark.parametrize(
    "act",
    [service.replace_key, service.close_integration],
    ids=["new key", "close"],
)
def test_who_saw_an_older_version_is_told_who_changed_it(app, act):
    made, _key = service.create_integration("Prod", "generic", by=BY, at=now())
    service.edit_integration(made.id, IntegrationDraft("Prod eu1"), seen_version=1, by=BY, at=now())

    with pytest.raises(ConflictError, match="Command line changed Prod eu1"):
        act(made.id, seen_version=1, by=BY, at=now())


# --- A test is a real delivery


@pytest.fixture
def served(app):
    """The app behind a real socket; its settings say that it listens there."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    kept = app.config["SETTINGS"]
    app.config["SETTINGS"] = kept.model_copy(update={"bind": f"127.0.0.1:{server.server_port}"})
    yield server
    app.config["SETTINGS"] = kept
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_source_has_a_test(app):
    assert set(TRIALS) == set(SOURCES)


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_a_test_opens_an_incident_of_its_model(app, served, source, work, incidents):
    factories.model("recsys-home")
    made, _key = service.create_integration("Prod", source, by=BY, at=now())

    answer = service.send_test(made.id, model="recsys-home", by=BY, at=now())

    assert answer.taken
    work()
    [incident] = incidents()
    assert incident.model.slug == "recsys-home"
    assert incident.severity == 4
    assert "A test that Command line sent" in incident.title


def test_the_key_of_a_test_is_worthless_after_it(app, served, monkeypatch):
    lent = []
    real = service.own_door.post
    monkeypatch.setattr(
        service.own_door,
        "post",
        lambda path, key, document: lent.append(key) or real(path, key, document),
    )
    made, key = service.create_integration("Prod", "generic", by=BY, at=now())

    service.send_test(made.id, by=BY, at=now())

    assert lent != [key]
    assert try_key(app, lent[0], "generic").status_code == 401
    assert try_key(app, key, "generic").status_code == 202
    assert only_integration().version == 1


def test_a_test_does_not_take_the_place_of_an_old_key(app, served):
    made, old = service.create_integration("Prod", "generic", by=BY, at=now())
    changed, new = service.replace_key(made.id, by=BY, at=now())

    with pytest.raises(ConflictError, match="works until"):
        service.send_test(made.id, by=BY, at=now())

    assert try_key(app, old, "generic").status_code == 202
    assert service.send_test(changed.id, key=new, by=BY, at=now()).taken


def test_a_test_with_a_key_that_was_replaced_is_refused(app, served):
    made, old = service.create_integration("Prod", "generic", by=BY, at=now())
    service.replace_key(made.id, by=BY, at=now())

    with pytest.raises(ConflictError, match="another key by now"):
        service.send_test(made.id, key=old, by=BY, at=now())


def test_a_test_says_when_nobody_listens(app):
    kept = app.config["SETTINGS"]
    app.config["SETTINGS"] = kept.model_copy(update={"bind": "127.0.0.1:9"})
    made, _key = service.create_integration("Prod", "generic", by=BY, at=now())
    try:
        with pytest.raises(UpstreamError, match="did not answer"):
            service.send_test(made.id, by=BY, at=now())
    finally:
        app.config["SETTINGS"] = kept
    assert only_integration().old_key_hash is None


@pytest.mark.parametrize(
    ("bind", "address"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        ("[::]:8080", "http://[::1]:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("baton.local:8080", "http://baton.local:8080"),
    ],
)
def test_a_test_goes_to_where_baton_listens(bind, address):
    assert own_address(bind) == address


# --- Pages


@pytest.fixture
def administrator(signed_in):
    return signed_in(Role.ADMINISTRATOR)


def test_without_integrations_the_page_says_what_will_be_there(administrator):
    page = administrator.get("/settings/integrations")
    assert "Nothing sends yet" in page.text
    assert "Nothing has come" in page.text
    assert 'href="/settings/integrations/new"' in page.text


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_a_key_is_shown_once_beside_what_to_put_into_the_sender(app, administrator, source):
    page = administrator.post(
        "/settings/integrations/new", data={"name": "Prod", "source": source, "team": "0"}
    )

    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    [key] = set(re.findall(r">([A-Za-z0-9]{32})</code>", page.text))
    assert secret_hash(key) == only_integration().key_hash
    assert "https://baton.test/" in page.text
    for url in ("/settings/integrations", f"/settings/integrations/{only_integration().id}"):
        assert key not in administrator.get(url).text


def test_a_form_that_does_not_fit_comes_back_with_what_was_typed(administrator):
    page = administrator.post(
        "/settings/integrations/new", data={"name": "", "source": "generic", "team": "0"}
    )
    assert page.status_code == 422
    assert "Give it a name." in page.text

    factories.integration("generic", name="Prod")
    page = administrator.post(
        "/settings/integrations/new", data={"name": "Prod", "source": "generic", "team": "0"}
    )
    assert page.status_code == 409
    assert "called Prod already" in page.text
    assert 'value="Prod"' in page.text


def test_a_stale_edit_keeps_the_text_and_says_who_was_first(app, administrator):
    made, _key = factories.integration("generic", name="Prod")
    service.edit_integration(made.id, IntegrationDraft("Prod eu1"), by=BY, at=now())

    page = administrator.post(
        f"/settings/integrations/{made.id}",
        data={"name": "Prod west", "team": "0", "version": "1"},
    )

    assert page.status_code == 409
    assert "Command line changed Prod eu1" in page.text
    assert 'value="Prod west"' in page.text
    assert only_integration().name == "Prod eu1"


def test_name_and_team_are_edited(administrator):
    serving = factories.team("serving")
    made, _key = factories.integration("generic", name="Prod")

    reply = administrator.post(
        f"/settings/integrations/{made.id}",
        data={"name": "Prod eu1", "team": str(serving.id), "version": "1"},
    )

    assert reply.status_code == 303
    assert (only_integration().name, only_integration().team_id) == ("Prod eu1", serving.id)


def test_a_new_key_is_shown_once_and_names_the_end_of_the_one_before(administrator):
    made, _key = factories.integration("generic", name="Prod")

    page = administrator.post(f"/settings/integrations/{made.id}/key", data={"version": "1"})

    [key] = set(re.findall(r">([A-Za-z0-9]{32})</code>", page.text))
    assert secret_hash(key) == only_integration().key_hash
    assert "The key before it works until" in page.text
    assert "old one ends" in administrator.get("/settings/integrations").text


def test_a_door_is_closed_and_opened_again_from_its_page(administrator):
    made, _key = factories.integration("generic", name="Prod")

    administrator.post(f"/settings/integrations/{made.id}/close", data={"version": "1"})
    assert "Closed" in administrator.get(f"/settings/integrations/{made.id}").text
    administrator.post(f"/settings/integrations/{made.id}/reopen", data={})

    assert only_integration().closed_at is None


@pytest.mark.parametrize("keyed", [True, False], ids=["beside its key", "later"])
def test_a_test_from_the_page_leads_to_its_delivery(app, served, administrator, work, keyed):
    made, key = factories.integration("alertmanager", name="Prod")

    reply = administrator.post(
        f"/settings/integrations/{made.id}/test", data={"model": "", "key": key if keyed else ""}
    )

    assert reply.status_code == 303
    assert reply.location == "/deliveries/1"
    work()
    page = administrator.get(reply.location)
    assert "Opened INC-" in page.text
    assert "In triage: no model claims these labels." in page.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/settings/integrations/new"),
        ("post", "/settings/integrations/new"),
        ("post", "/settings/integrations/1"),
        ("post", "/settings/integrations/1/key"),
        ("post", "/settings/integrations/1/close"),
        ("post", "/settings/integrations/1/reopen"),
    ],
)
def test_a_maintainer_sees_integrations_and_changes_none(signed_in, method, path):
    factories.integration("generic", name="Prod")
    maintainer = signed_in(Role.MAINTAINER)

    assert getattr(maintainer, method)(path).status_code == 403
    for url in ("/settings/integrations", "/settings/integrations/1"):
        page = maintainer.get(url)
        assert page.status_code == 200
        assert "New key" not in page.text
    assert only_integration().version == 1


def test_a_responder_sees_no_integrations(signed_in):
    assert signed_in(Role.RESPONDER).get("/settings/integrations").status_code == 403


# --- How each has been lately


def test_the_state_of_an_integration_says_what_is_wrong_with_it(app, sender, work, monkeypatch):
    fine, never, silent, faulty = (sender("generic") for _ in range(4))
    closed, _key = factories.integration("generic", name="closed", closed_at=now())
    silent.send({"name": "A"})
    row = db.session.get(Integration, silent.integration_id)
    delivery = queries.latest_deliveries(1, integration_id=row.id)[0].id
    with service.unit_of_work() as session:
        session.execute(
            service.update(service.Delivery)
            .where(service.Delivery.id == delivery)
            .values(received_at=now() - timedelta(hours=26))
        )
    fine.send({"name": "A"})
    faulty.send([None])
    work()

    states = {line.id: line for line in queries.integrations(at=now())}
    assert states[fine.integration_id].state == "ok"
    assert states[fine.integration_id].last_day == 1
    assert states[never.integration_id].state == "never"
    assert states[silent.integration_id].state == "silent"
    assert states[silent.integration_id].last_day == 0
    assert states[faulty.integration_id].state == "rejected"
    assert states[faulty.integration_id].dead == 1
    assert states[closed.id].state == "closed"


def test_the_page_costs_the_same_for_one_integration_or_thirty(administrator, sender, queries):
    first = sender("generic")
    first.send({"name": "A"})
    administrator.get("/settings/integrations")  # what every page remembers for a while
    one = queries(lambda: administrator.get("/settings/integrations"))
    for number in range(29):
        factories.integration("generic", name=f"sender {number}")
    assert queries(lambda: administrator.get("/settings/integrations")) == one


def test_a_part_that_did_not_change_is_not_sent_again(administrator):
    factories.integration("generic", name="Prod")
    first = administrator.get("/settings/integrations/part/inbound")
    again = administrator.get(
        "/settings/integrations/part/inbound", headers={"If-None-Match": first.headers["ETag"]}
    )
    assert (first.status_code, again.status_code) == (200, 304)
    assert "<html" not in first.text


# --- API


def test_the_api_opens_a_door_makes_a_new_key_and_closes_it(app, token):
    client, headers = app.test_client(), token("integrations:read", "integrations:write")

    made = client.post(
        "/api/v1/integrations", json={"name": "CI", "source": "generic"}, headers=headers
    )
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert try_key(app, made.json["key"], "generic").status_code == 202
    assert made.json["url"] == "https://baton.test/in/generic"

    path = f"/api/v1/integrations/{made.json['id']}"
    changed = client.post(f"{path}/key", headers=headers)
    assert try_key(app, changed.json["key"], "generic").status_code == 202
    [listed] = client.get("/api/v1/integrations", headers=headers).json["items"]
    assert (listed["name"], listed["key_ends_in"]) == ("CI", changed.json["key"][-4:])
    assert changed.json["key"] not in str(listed)

    assert client.delete(path, headers=headers).status_code == 204
    assert try_key(app, changed.json["key"], "generic").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "", "integrations:read"),
        ("POST", "", "integrations:write"),
        ("POST", "/1/key", "integrations:write"),
        ("DELETE", "/1", "integrations:write"),
    ],
)
def test_a_token_for_deliveries_opens_and_closes_no_door(app, token, method, path, scope):
    factories.integration("generic")
    reply = app.test_client().open(
        f"/api/v1/integrations{path}",
        method=method,
        json={"name": "CI", "source": "generic"},
        headers=token("deliveries:read", "deliveries:write"),
    )
    assert reply.status_code == 403
    assert f"lacks the scope {scope}" in reply.json["detail"]
    assert [row.closed_at for row in db.session.scalars(select(Integration))] == [None]


def test_who_may_send_is_for_an_administrator_to_grant(signed_in):
    wish = {"name": "CI", "days": "90"}
    refused = signed_in(Role.MAINTAINER).post(
        "/settings/tokens/new", data={**wish, "scopes": "integrations:write"}
    )
    granted = signed_in(Role.ADMINISTRATOR).post(
        "/settings/tokens/new", data={**wish, "scopes": "integrations:write"}
    )
    assert (refused.status_code, granted.status_code) == (422, 200)


def test_the_api_forbids_fields_it_does_not_know(app, token):
    body = {"name": "CI", "source": "generic", "colour": "red"}
    reply = app.test_client().post(
        "/api/v1/integrations", json=body, headers=token("integrations:write")
    )
    assert reply.status_code == 422
    assert "colour" in reply.json["detail"]


# --- Command line


@pytest.fixture
def baton(app):
    from app.alerts.cli import deliveries, key

    def run(*words):
        group = {"key": key, "deliveries": deliveries}[words[0]]
        return app.test_cli_runner().invoke(group, words[1:])

    return run


def test_the_last_line_of_key_create_is_the_key_alone(app, baton):
    done = baton("key", "create", "alertmanager")

    assert done.exit_code == 0
    key = done.output.splitlines()[-1]
    assert re.fullmatch(r"[A-Za-z0-9]{32}", key)
    assert try_key(app, key).status_code == 200
    assert only_integration().name == "alertmanager 1"


def test_keys_without_a_name_are_numbered(app, baton):
    for _ in range(2):
        baton("key", "create", "generic")
    baton("key", "create", "generic", "--name", "Airflow")

    listed = baton("key", "list").output
    assert [line.split("  ")[-1] for line in listed.splitlines()] == [
        "Airflow",
        "generic 1",
        "generic 2",
    ]


def test_key_close_closes_the_door(app, baton):
    key = baton("key", "create", "generic").output.splitlines()[-1]

    done = baton("key", "close", str(only_integration().id))

    assert done.output == "generic 1 is closed.\n"
    assert try_key(app, key, "generic").status_code == 401
    assert "closed" in baton("key", "list").output


def test_a_refusal_on_the_command_line_is_a_sentence(app, baton):
    done = baton("key", "close", "77")
    assert done.exit_code == 1
    assert "no such integration" in done.output
    assert baton("key", "create", "pigeon").exit_code == 2
    with pytest.raises(NotFoundError):
        queries.integration(77)
