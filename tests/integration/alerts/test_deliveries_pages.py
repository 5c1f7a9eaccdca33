"""What came, what became of it; and what people do with it: replay, drop, and at last forget."""

import json
import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from app.alerts import processing, purging, queries, service
from app.alerts.bodies import SHOWN, readable, without_key
from app.alerts.queries import DeliveryFilter
from app.alerts.rules import MAX_ATTEMPTS, DeliveryState
from app.alerts.tables import AlertState, Change, Delivery, LastBody
from app.core.clock import now
from app.core.db import db, end_read, unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.incidents.rules import State
from app.people.rules import COMMAND_LINE, Role
from app.people.tables import AuditEntry
from tests.integration.alerts.conftest import firing, over, webhook
from tests.support import factories

BY = COMMAND_LINE


@pytest.fixture(autouse=True)
def recsys(app):
    return factories.model("recsys-home")


@pytest.fixture
def maintainer(signed_in):
    return signed_in(Role.MAINTAINER)


@pytest.fixture
def broken(monkeypatch):
    """While its list holds anything, no delivery can be processed."""
    faults = ["ZeroDivisionError"]
    real = processing._read

    def read(session, ids):
        if faults:
            raise ZeroDivisionError
        return real(session, ids)

    monkeypatch.setattr(processing, "_read", read)
    return faults


@pytest.fixture
def dead_letter(sender, work, deliveries, broken):
    """Deliveries that were tried too often; processing works again."""

    def make(count=1, door=None):
        door = door or sender()
        broken[:] = ["ZeroDivisionError"]
        for number in range(count):
            door.send(webhook(firing(feature=f"f{number}"), group=f"g{number}"))
        for day in range(MAX_ATTEMPTS):
            work(now() + timedelta(days=day))
        broken.clear()
        return [one for one in deliveries() if one.state is DeliveryState.DEAD]

    return make


def age(by, *conditions):
    """Make deliveries older than they are."""
    with unit_of_work() as session:
        for row in session.scalars(select(Delivery).where(*conditions)):
            row.received_at -= by


# --- The list


def test_an_empty_inbox_says_what_will_be_there(maintainer):
    assert "Nothing has come" in maintainer.get("/deliveries").text
    for state, words in (
        ("dead", "No dead letters"),
        ("retrying", "None is tried again"),
        ("refused", "None refused"),
        ("duplicate", "No duplicates"),
    ):
        assert words in maintainer.get(f"/deliveries?state={state}").text


def test_the_list_says_what_came_and_what_became_of_it(app, maintainer, sender, work):
    door = sender()
    door.send(webhook(firing()))
    door.send(webhook(firing()))
    app.test_client().post("/in/generic", json={"name": "A"})
    work()

    text = maintainer.get("/deliveries").text

    assert "Opened INC-1" in text
    assert "came 2 times" in text
    assert "Accepted" in text
    assert "Unknown" in text
    assert "401: No key" in text


def test_segments_and_filters_narrow_the_list(app, maintainer, sender, work, dead_letter):
    dead_letter()
    alertmanager, generic = sender(), sender("generic")
    for _ in range(2):
        generic.send({"name": "NightlyRetrainFailed"})
        work()
    alertmanager.send(webhook(firing(), group="CheckoutSlow"))
    app.test_client().post("/in/generic", json={"name": "A"})
    work()

    def found(query):
        text = maintainer.get(f"/deliveries?{query}").text
        return re.findall(r'<th scope="row"><a href="/deliveries/\d+">([^<]*)<', text)

    assert len(found("")) == 5
    assert found("state=dead") == ["g0 firing, 1 alert"]
    assert found("state=duplicate") == ["NightlyRetrainFailed firing"]
    assert found("state=refused") == ["POST /in/generic"]
    assert found("state=retrying") == []
    assert len(found(f"integration={generic.integration_id}")) == 2
    assert found(f"integration={generic.integration_id}&state=duplicate&q=retrain") == [
        "NightlyRetrainFailed firing"
    ]
    assert found("q=slow+checkout") == ["CheckoutSlow firing, 1 alert"]
    assert found("q=%25") == []
    assert len(found("state=unheard-of&integration=x")) == 5


def test_a_delivery_is_found_by_its_receipt_and_by_its_number(sender, deliveries):
    door = sender("generic")
    receipt = door.send({"name": "A"}).json["delivery"]
    door.send({"name": "B"})
    wanted = deliveries()[0].id

    for words in (receipt, receipt.upper(), f"d-{wanted}", f"D-{wanted}", str(wanted)):
        found = queries.deliveries(DeliveryFilter(words=words)).items
        assert [row.id for row in found] == [wanted]
    assert queries.deliveries(DeliveryFilter(words="d-" + "9" * 18)).items == []


def test_pages_follow_each_other_without_gap_or_repeat(maintainer, sender, monkeypatch):
    monkeypatch.setattr("app.alerts.views.SIZE", 3)
    door = sender("generic")
    for number in range(8):
        door.send({"name": f"alert-{number}"})

    url, seen = "/deliveries", []
    while url:
        text = maintainer.get(url).text
        seen += re.findall(r">(alert-\d) firing<", text)
        link = re.search(r'href="([^"]+)" rel="next"', text)
        url = link[1].replace("&amp;", "&") if link else None

    assert seen == [f"alert-{number}" for number in reversed(range(8))]


def test_a_search_looks_through_a_part_at_a_time(maintainer, sender, monkeypatch):
    monkeypatch.setattr("app.alerts.queries.SEARCHED", 4)
    door = sender("generic")
    for number in range(10):
        door.send({"name": f"alert-{number}"})

    wanted = DeliveryFilter(words="alert-1")
    first = queries.deliveries(wanted)
    second = queries.deliveries(wanted, cursor=first.next)
    third = queries.deliveries(wanted, cursor=second.next)

    assert [len(found.items) for found in (first, second, third)] == [0, 0, 1]
    assert (first.searched, second.searched, third.searched) == (4, 4, None)
    assert third.next is None
    text = maintainer.get("/deliveries?q=alert-1").text
    assert "Older ones may" in text
    assert 'rel="next"' in text


def test_the_list_costs_the_same_for_one_delivery_or_forty(maintainer, sender, queries):
    door = sender("generic")
    door.send({"name": "A"})
    maintainer.get("/deliveries")  # what every page remembers for a while
    one = queries(lambda: maintainer.get("/deliveries"))
    for number in range(39):
        door.send({"name": f"alert-{number}"})
    assert queries(lambda: maintainer.get("/deliveries")) == one


def test_the_list_is_sent_again_only_when_it_changed(maintainer, sender):
    door = sender("generic")
    door.send({"name": "A"})
    first = maintainer.get("/deliveries/part/list")
    same = {"If-None-Match": first.headers["ETag"]}
    assert maintainer.get("/deliveries/part/list", headers=same).status_code == 304
    door.send({"name": "B"})
    end_read()
    assert maintainer.get("/deliveries/part/list", headers=same).status_code == 200


# --- One delivery


def test_a_delivery_shows_its_body_and_what_became_of_each_alert(
    maintainer, sender, work, deliveries
):
    sender().send(webhook(firing(feature="<b>bold</b>"), 17, firing(feature="b")))
    work()

    text = maintainer.get(f"/deliveries/{deliveries()[0].id}").text

    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    assert "<b>bold" not in text
    assert '<a href="/incidents/1">INC-1</a>' in text
    assert "opened by this" in text
    assert "Model recsys-home" in text
    assert "<code>alerts[1]</code>" in text
    assert deliveries()[0].receipt in text


def test_a_refused_request_says_why_and_that_its_body_is_not_kept(app, maintainer, deliveries):
    app.test_client().post("/in/generic", data=b"secret stuff")
    text = maintainer.get(f"/deliveries/{deliveries()[0].id}").text
    assert "401: No key" in text
    assert "without its body" in text
    assert "secret stuff" not in text
    assert "It came from 127.0.0.1" in text
    assert maintainer.get(f"/deliveries/{deliveries()[0].id}/body").status_code == 404


def test_no_page_tells_the_key_that_a_body_holds(app, maintainer, sender, token, deliveries):
    door = sender("events_v2", "/v2/enqueue")
    payload = {"summary": "s", "source": "x", "severity": "error"}
    door.send({"routing_key": door.key, "event_action": "trigger", "payload": payload}, headers={})
    wanted = deliveries()[0].id

    assert door.key.encode() not in deliveries()[0].body
    shown = [
        maintainer.get(f"/deliveries/{wanted}").text,
        maintainer.get(f"/deliveries/{wanted}/body").text,
        app.test_client()
        .get(f"/api/v1/deliveries/{wanted}", headers=token("deliveries:read"))
        .text,
    ]
    for said in shown:
        assert door.key not in said
        assert door.key[-4:] in said


def test_a_body_is_downloaded_and_never_shown_by_the_browser(maintainer, sender, deliveries):
    document = {"name": "<script>", "labels": {"é": "ü"}}
    sender("generic").send(document)
    wanted = deliveries()[0].id

    reply = maintainer.get(f"/deliveries/{wanted}/body")

    assert json.loads(reply.data) == document
    assert reply.mimetype == "application/octet-stream"
    assert reply.headers["Content-Disposition"] == f'attachment; filename="d-{wanted}.json"'


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"a":[1,2]}', '{\n  "a": [\n    1,\n    2\n  ]\n}'),
        ('{"a":"é"}'.encode(), '{\n  "a": "é"\n}'),
        (b'{"a":"\\ud800"}', '{\n  "a": "?"\n}'),
        (b"[" * 5000 + b"]" * 5000, "[" * 5000 + "]" * 5000),
        (b'{"a": ' + b"9" * 5000 + b"}", '{"a": ' + "9" * 5000 + "}"),
        (b"\xff\x00", "\ufffd\x00"),
    ],
    ids=["json", "letters", "surrogate", "deep", "long number", "no text"],
)
def test_any_body_can_be_shown(body, shown):
    assert readable(body).text == shown


def test_a_long_body_is_cut_on_the_page():
    shown = readable(json.dumps(["x" * 100] * 2000).encode())
    assert (len(shown.text), shown.cut) == (SHOWN, True)


def test_a_key_is_taken_out_of_a_body_wherever_it_stands():
    body = b'{"payload": {}, "routing_key" : "abc\\"defghijkl", "x": "routing_key"}'
    assert json.loads(without_key(body)) == {
        "payload": {},
        "routing_key": "…ijkl",
        "x": "routing_key",
    }


def test_deliveries_are_for_responders_and_what_changes_them_for_maintainers(
    signed_in, dead_letter
):
    [dead] = dead_letter()
    viewer, responder = signed_in(Role.VIEWER), signed_in(Role.RESPONDER)
    pages = ("/deliveries", f"/deliveries/{dead.id}", f"/deliveries/{dead.id}/body")
    assert [viewer.get(path).status_code for path in pages] == [403, 403, 403]
    assert [responder.get(path).status_code for path in pages] == [200, 200, 200]
    assert "Replay" not in responder.get("/deliveries?state=dead").text
    for path in (f"/deliveries/{dead.id}/replay", f"/deliveries/{dead.id}/drop"):
        assert responder.post(path).status_code == 403
    assert responder.post("/deliveries/replay-dead").status_code == 403


def test_a_delivery_that_never_was_is_not_found(maintainer):
    page = maintainer.get("/deliveries/77")
    assert page.status_code == 404
    assert "There is no such delivery" in page.text


# --- Replay


def test_a_replayed_dead_letter_becomes_its_incident(maintainer, dead_letter, work, incidents):
    [dead] = dead_letter()
    assert incidents() == []

    reply = maintainer.post(f"/deliveries/{dead.id}/replay")
    assert "Replayed by" in maintainer.get(reply.location).text
    work()

    text = maintainer.get(reply.location).text
    assert "Opened INC-1" in text
    assert "replayed it" in text
    assert [one.model.slug for one in incidents()] == ["recsys-home"]


def test_a_replay_wakes_the_worker(app, dead_letter):
    [dead] = dead_letter()
    before = woken()
    service.replay([dead.id], by=BY, at=now())
    assert woken() == before + 1


def woken():
    end_read()
    schema = "dbos." if db.engine.dialect.name == "postgresql" else ""
    return db.session.scalar(
        select(func.count())
        .select_from(text(f"{schema}workflow_status"))
        .where(text("name = 'alerts.process_inbox'"))
    )


def test_replayed_deliveries_keep_their_order_and_their_first_time(
    sender, dead_letter, deliveries, monkeypatch, work
):
    dead = dead_letter(3)
    times = [one.received_at for one in dead]
    taken = []
    real = processing._process
    monkeypatch.setattr(
        processing, "_process", lambda ids, at: taken.extend(ids) or real(ids, at=at)
    )

    service.replay([one.id for one in reversed(dead)], by=BY, at=now())
    work()

    assert taken == [one.id for one in dead]
    assert [one.received_at for one in deliveries()] == times
    assert {one.state for one in deliveries()} == {DeliveryState.ACCEPTED}


def test_a_replay_does_not_open_again_what_is_over(sender, work, deliveries, incidents):
    door = sender()
    door.send(webhook(firing()))
    door.send(webhook(over(firing())))
    work()

    service.replay([deliveries()[0].id], by=BY, at=now())
    work()

    [incident] = incidents()
    assert (incident.state, incident.episode) == (State.RESOLVED, 1)
    assert "changed nothing" in deliveries()[0].why


def test_a_replayed_change_is_kept_once(sender, work, deliveries):
    door = sender("events_v2", "/v2/change/enqueue")
    door.send({"routing_key": door.key, "payload": {"summary": "v43 to 50 %"}})
    work()

    service.replay([deliveries()[0].id], by=BY, at=now())
    work()

    end_read()
    assert db.session.scalar(select(func.count()).select_from(Change)) == 1


def test_what_was_refused_or_still_waits_can_not_be_replayed(app, sender, deliveries):
    app.test_client().post("/in/generic", json={"name": "A"})
    sender("generic").send({"name": "A"})
    refused, waiting = deliveries()

    with pytest.raises(RefusedError, match="refused at the door"):
        service.replay([refused.id], by=BY, at=now())
    with pytest.raises(RefusedError, match="waits to be processed already"):
        service.replay([waiting.id], by=BY, at=now())
    with pytest.raises(RefusedError, match="no delivery d-77"):
        service.replay([77], by=BY, at=now())
    with pytest.raises(RefusedError, match="at least one"):
        service.replay([], by=BY, at=now())


def test_one_that_can_not_be_replayed_stops_all_of_them(app, dead_letter, deliveries):
    app.test_client().post("/in/generic", json={"name": "A"})
    [dead] = dead_letter()

    with pytest.raises(RefusedError):
        service.replay([one.id for one in deliveries()], by=BY, at=now())

    assert deliveries()[-1].state is DeliveryState.DEAD
    assert dead.id == deliveries()[-1].id


def test_all_dead_letters_are_replayed_at_once(maintainer, dead_letter, work, incidents):
    dead_letter(3)

    reply = maintainer.post("/deliveries/replay-dead")

    assert reply.status_code == 303
    assert "3 dead letters are processed again." in maintainer.get(reply.location).text
    work()
    assert [one.member_count for one in incidents()] == [3]
    again = maintainer.post("/deliveries/replay-dead")
    assert "no dead letter left" in maintainer.get(again.location).text
    [entry] = trail("delivery.replay_dead")
    assert entry.target_name == "3 dead letters"


def test_dead_letters_of_one_source_are_replayed_without_the_others(
    sender, dead_letter, deliveries, work
):
    dead_letter(1, sender("alertmanager"))
    generic = sender("generic")
    generic.send([None])
    work()

    assert service.replay_all_dead("generic", by=BY, at=now()) == 1

    by_source = {one.source: one.state for one in deliveries()}
    assert by_source == {
        "alertmanager": DeliveryState.DEAD,
        "generic": DeliveryState.RECEIVED,
    }


def trail(action):
    end_read()
    return db.session.scalars(select(AuditEntry).where(AuditEntry.action == action)).all()


def test_each_replay_is_audited_with_its_delivery(dead_letter):
    dead = dead_letter(2)
    service.replay([one.id for one in dead], by=BY, at=now())
    assert [entry.target_id for entry in trail("delivery.replay")] == [str(one.id) for one in dead]


# --- Drop


def test_a_dropped_dead_letter_is_no_longer_counted_and_says_who_dropped_it(
    maintainer, dead_letter
):
    [dead] = dead_letter()
    assert queries.dead_count() == 1

    maintainer.post(f"/deliveries/{dead.id}/drop", data={"drop-reason": "A typo in a test"})

    end_read()
    assert queries.dead_count() == 0
    assert "No dead letters" in maintainer.get("/deliveries?state=dead").text
    text = maintainer.get(f"/deliveries/{dead.id}").text
    assert re.search(r"Dropped by Person \d+: A typo in a test", text)
    assert "ZeroDivisionError" in text
    assert service.replay_all_dead(by=BY, at=now()) == 0


def test_a_drop_wants_a_reason(maintainer, dead_letter, deliveries):
    [dead] = dead_letter()
    page = maintainer.post(f"/deliveries/{dead.id}/drop", data={"drop-reason": "  "})
    assert page.status_code == 422
    assert "Say why" in page.text
    assert queries.dead_count() == 1


def test_only_a_dead_letter_can_be_dropped_and_only_once(dead_letter, sender, work, deliveries):
    [dead] = dead_letter()
    service.drop(dead.id, "why", by=BY, at=now())
    with pytest.raises(ConflictError, match="dropped already"):
        service.drop(dead.id, "why", by=BY, at=now())
    sender("generic").send({"name": "A"})
    work()
    with pytest.raises(RefusedError, match="Only a dead letter"):
        service.drop(deliveries()[-1].id, "why", by=BY, at=now())
    with pytest.raises(NotFoundError):
        service.drop(77, "why", by=BY, at=now())


def test_a_dropped_dead_letter_can_still_be_replayed_by_name(dead_letter, work, incidents):
    [dead] = dead_letter()
    service.drop(dead.id, "why", by=BY, at=now())
    service.replay([dead.id], by=BY, at=now())
    work()
    assert len(incidents()) == 1


# --- Purge


def test_old_deliveries_go_and_those_that_somebody_needs_stay(
    app, sender, work, deliveries, dead_letter
):
    dead, dropped = dead_letter(2)
    service.drop(dropped.id, "why", by=BY, at=now())
    door = sender("generic")
    for name in ("A", "A", "B"):
        door.send({"name": name})
    app.test_client().post("/in/generic", json={"name": "A"})
    work()
    door.send({"name": "new"})
    waiting = deliveries()[-1].id
    age(timedelta(days=40), Delivery.id > 0)
    door.send({"name": "young"})
    waits = queries.readings(at=now())

    purged = purging.purge(before=now() - timedelta(days=30), at=now())

    assert purged == 5
    assert [one.id for one in deliveries()] == [dead.id, waiting, waiting + 1]
    assert (waits.waiting, waits.oldest_age > 39 * 86400) == (2, True)


def test_the_delivery_of_a_change_loses_its_body_and_stays(sender, work, deliveries):
    door = sender("events_v2", "/v2/change/enqueue")
    door.send({"routing_key": door.key, "payload": {"summary": "v43 to 50 %"}})
    work()
    age(timedelta(days=40), Delivery.id > 0)

    for _ in range(2):
        assert purging.purge(before=now() - timedelta(days=30), at=now()) == 0

    [kept] = deliveries()
    assert (kept.body, kept.what) == (None, "Change: v43 to 50 %")
    with pytest.raises(RefusedError, match="no longer kept"):
        service.replay([kept.id], by=BY, at=now())


def test_a_purge_goes_on_until_nothing_is_left_to_purge(sender, work, deliveries, monkeypatch):
    monkeypatch.setattr(purging, "CHUNK", 2)
    door = sender("generic")
    for number in range(7):
        door.send({"name": f"alert-{number}"})
    work()
    age(timedelta(days=40), Delivery.id > 0)

    assert purging.purge(before=now() - timedelta(days=30), at=now()) == 7
    assert deliveries() == []


def test_with_deliveries_go_old_bodies_and_alerts_that_are_long_over(sender, work):
    door = sender()
    still, ended = firing(feature="a"), firing(feature="b")
    door.send(webhook(still, group="a"))
    door.send(webhook(over(ended), group="b"))
    work()

    purging.purge(before=now(), at=now())
    assert counted(LastBody, AlertState) == [2, 2]
    purging.purge(before=now(), at=now() + timedelta(days=31))
    assert counted(LastBody, AlertState) == [0, 1]
    end_read()
    assert db.session.scalars(select(AlertState)).one().firing


def counted(*tables):
    end_read()
    return [db.session.scalar(select(func.count()).select_from(table)) for table in tables]


# --- API and command line


def test_the_api_lists_deliveries_page_by_page(app, sender, work, token):
    door = sender("generic")
    for number in range(5):
        door.send({"name": f"alert-{number}"})
    work()
    client, headers = app.test_client(), token("deliveries:read")

    seen, cursor = [], ""
    while cursor is not None:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        reply = client.get("/api/v1/deliveries", query_string=query, headers=headers).json
        seen += [one["what"] for one in reply["items"]]
        cursor = reply["next"]

    assert seen == [f"alert-{number} firing" for number in reversed(range(5))]
    filtered = client.get("/api/v1/deliveries?q=alert-3&state=accepted", headers=headers)
    assert filtered.status_code == 422
    found = client.get("/api/v1/deliveries?q=alert-3", headers=headers).json["items"]
    assert [one["state"] for one in found] == ["accepted"]


def test_the_api_tells_of_a_delivery_by_receipt_or_number(app, sender, work, deliveries, token):
    receipt = sender("generic").send({"name": "A"}).json["delivery"]
    work()
    client, headers = app.test_client(), token("deliveries:read")

    by_receipt = client.get(f"/api/v1/deliveries/{receipt}", headers=headers)
    by_number = client.get(f"/api/v1/deliveries/d-{deliveries()[0].id}", headers=headers)

    assert by_receipt.json == by_number.json
    assert json.loads(by_receipt.json["body"]) == {"name": "A"}
    assert by_receipt.json["outcome"]["opened"] == [1]
    assert by_receipt.json["url"].startswith("https://baton.test/deliveries/")
    assert client.get("/api/v1/deliveries/nonsense", headers=headers).status_code == 404


def test_the_api_replays_one_several_and_all(app, dead_letter, token, work, deliveries):
    dead = dead_letter(4)
    client = app.test_client()
    headers = token("deliveries:read", "deliveries:write")

    one = client.post(f"/api/v1/deliveries/{dead[0].receipt}/replay", headers=headers)
    assert (one.status_code, one.json["state"]) == (200, "received")
    two = client.post(
        "/api/v1/deliveries/replay",
        json={"deliveries": [dead[1].receipt, f"d-{dead[2].id}"]},
        headers=headers,
    )
    assert two.json == {"replayed": 2}
    rest = client.post("/api/v1/deliveries/replay", json={"all_dead": True}, headers=headers)
    assert rest.json == {"replayed": 1}
    work()
    assert {one.state for one in deliveries()} == {DeliveryState.ACCEPTED}
    for body in (
        {},
        {"all_dead": True, "deliveries": ["d-1"]},
        {"deliveries": ["d-1"], "source": "x"},
    ):
        assert (
            client.post("/api/v1/deliveries/replay", json=body, headers=headers).status_code == 422
        )


def test_the_api_asks_for_the_scope_to_replay(app, dead_letter, token):
    [dead] = dead_letter()
    path = f"/api/v1/deliveries/{dead.id}/replay"
    assert app.test_client().post(path, headers=token("deliveries:read")).status_code == 403


def test_the_command_line_replays_by_receipt(app, dead_letter, deliveries):
    from app.alerts.cli import deliveries as group

    dead = dead_letter(2)
    run = app.test_cli_runner().invoke
    done = run(group, ["replay", dead[0].receipt, f"d-{dead[1].id}"])

    assert done.output == "2 deliveries wait for the worker.\n"
    db.session.expire_all()
    assert {one.state for one in deliveries()} == {DeliveryState.RECEIVED}
    assert run(group, ["replay", "0" * 32]).exit_code == 1
