"""The ten lines of the reliability contract of the inbound doors, in their order."""

import gzip
import json
import threading
from datetime import timedelta
from io import BytesIO

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, OperationalError

from app.alerts import committer, processing
from app.alerts.committer import spool_of, write_spooled
from app.alerts.rules import MAX_ATTEMPTS, DeliveryState
from app.alerts.spool import Spool
from app.alerts.tables import AlertState, Delivery
from app.core.clock import now
from app.core.db import db, end_read
from app.incidents.rules import State
from app.incidents.tables import Member
from tests.integration.alerts.conftest import firing, over, webhook
from tests.support import factories


@pytest.fixture(autouse=True)
def recsys(app):
    return factories.model("recsys-home")


# 1. Authenticate, cap the size, store, commit, then 2xx


def test_1_a_delivery_is_committed_before_its_2xx(app, sender, deliveries, monkeypatch):
    seen_by_others, answer_it = [], app.wsgi_app

    def look_first(environ, start_response):
        def start(*head):
            # Another connection, so only what is committed can be seen.
            with app.app_context(), db.engine.connect() as other:
                seen_by_others.append(
                    other.scalar(select(func.count()).select_from(Delivery.__table__))
                )
            return start_response(*head)

        return answer_it(environ, start)

    door = sender()
    monkeypatch.setattr(app, "wsgi_app", look_first)
    answer = door.send(webhook(firing()))

    assert answer.status_code == 200
    assert seen_by_others == [1]
    [kept] = deliveries()
    assert kept.receipt == answer.json["delivery"]
    assert kept.state is DeliveryState.RECEIVED
    assert b"ModelLatencyHigh" in kept.body
    assert len(kept.sha256) == 64


def test_1_no_key_reaches_the_row(sender, deliveries):
    door = sender()
    door.send(webhook(firing()), query_string={"key": door.key})

    [kept] = deliveries()
    assert door.key not in str(kept.headers) + kept.path


def test_1_a_key_inside_the_body_is_not_kept(sender, deliveries):
    door = sender("events_v2", "/v2/enqueue")
    answer = door.send(
        {
            "routing_key": door.key,
            "event_action": "trigger",
            "dedup_key": "k",
            "payload": {"summary": "s", "source": "x", "severity": "error"},
        }
    )

    assert answer.status_code == 202
    [kept] = deliveries()
    assert door.key.encode() not in kept.body
    assert b'"dedup_key": "k"' in kept.body


@pytest.mark.parametrize("way", ["bearer", "password", "user", "query"])
def test_1_a_key_may_come_in_each_documented_way(app, way):
    _row, key = factories.integration("alertmanager")
    more = {
        "bearer": {"headers": {"Authorization": f"Bearer {key}"}},
        "password": {"auth": ("baton", key)},
        "user": {"auth": (key, "")},
        "query": {"query_string": {"key": key}},
    }[way]

    answer = app.test_client().post("/in/alertmanager", json=webhook(firing()), **more)

    assert answer.status_code == 200


# 2. Never 4xx for an authentic and well-formed request


@pytest.mark.parametrize(
    "odd",
    [
        {"alerts": []},
        {"alerts": [], "status": "unheard of"},
        {"alerts": [None, 7, "x"]},
        {"alerts": [{"labels": {"a": "b"}}], "version": "9", "groupKey": 7},
    ],
)
def test_2_an_authentic_and_readable_delivery_gets_2xx_whatever_it_says(sender, work, odd):
    answer = sender().send(odd)

    assert answer.status_code == 200
    assert set(answer.json) >= {"delivery", "result"}
    assert work() == 1


def test_2_a_wrong_key_gets_401_and_leaves_a_row_without_a_body(app, deliveries):
    answer = app.test_client().post(
        "/in/alertmanager", json=webhook(firing()), headers={"Authorization": "Bearer wrong"}
    )

    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    [kept] = deliveries()
    assert (kept.state, kept.body) == (DeliveryState.REFUSED, None)
    assert kept.why.startswith("401")


def test_2_an_oversize_body_gets_413_and_leaves_a_row(app, sender, deliveries):
    answer = sender().send(b"x" * (app.config["MAX_CONTENT_LENGTH"] + 1))

    assert answer.status_code == 413
    assert "bytes at the most" in answer.json["detail"]
    assert [kept.state for kept in deliveries()] == [DeliveryState.REFUSED]


def in_chunks(door, body):
    """How a sender streams a body whose length it does not tell."""
    return door.client.post(
        door.path,
        input_stream=BytesIO(body),
        headers={"Authorization": f"Bearer {door.key}", "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
        content_type="application/json",
    )


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)])
def test_2_what_comes_in_chunks_may_be_as_large_and_no_larger(
    app, sender, deliveries, more, status
):
    body = json.dumps(webhook(firing())).encode()
    body += b" " * (app.config["MAX_CONTENT_LENGTH"] - len(body) + more)

    answer = in_chunks(sender(), body)

    assert answer.status_code == status
    assert [kept.state is DeliveryState.REFUSED for kept in deliveries()] == [status == 413]


def test_2_who_compresses_a_body_is_told_so(sender):
    answer = sender().send(gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})

    assert answer.status_code == 400
    assert answer.json["detail"] == "The body is compressed with gzip; send it as it is."


def test_2_a_sender_of_events_is_told_where_its_key_goes(app):
    def refused(path):
        return app.test_client().post(path, json={"event_action": "trigger"}).json["detail"]

    assert "as the routing_key of the event, as a bearer token" in refused("/v2/enqueue")
    assert "routing_key" not in refused("/in/generic")


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("alertmanager", "/in/alertmanager/"),
        ("alertmanager", "/in/alertmanager/api/v2/alerts/"),
        ("generic", "/in/generic/"),
        ("events_v2", "/v2/enqueue/"),
        ("events_v2", "/v2/change/enqueue/"),
    ],
)
def test_2_a_slash_too_many_loses_nothing(sender, deliveries, source, path):
    document = {"name": "A", "alerts": [firing()], "payload": {"summary": "s"}}

    answer = sender(source, path).send(document)

    assert answer.status_code in (200, 202)
    assert [kept.receipt for kept in deliveries()] == [answer.json["delivery"]]


def test_2_an_unreadable_body_gets_400_with_a_sentence_and_leaves_a_row(sender, deliveries):
    answer = sender().send(b'{"alerts": [')

    assert answer.status_code == 400
    assert answer.json["detail"].startswith("The body is not JSON")
    [kept] = deliveries()
    assert (kept.state, kept.body) == (DeliveryState.REFUSED, None)
    assert kept.integration_id is not None


# 3. Database down: spool and 202; spool full: 503; replay in order


@pytest.fixture
def database_away(app, monkeypatch):
    """The database refuses every transaction of the committer while this is set."""
    away = threading.Event()

    def connect(*args, **kwargs):
        if away.is_set():
            raise OperationalError("connect", {}, Exception("the database is away"))
        return real(*args, **kwargs)

    real = committer.Committer._write
    monkeypatch.setattr(committer.Committer, "_write", connect)
    monkeypatch.setattr(
        committer.Committer,
        "_replay",
        lambda self: None if away.is_set() else self.spool.replay(write_spooled),
    )
    yield away
    spool_of(app).path.unlink(missing_ok=True)


def test_3_while_the_database_is_away_deliveries_are_spooled_and_replayed_in_order(
    app, sender, database_away, deliveries, work, incidents
):
    door = sender()
    database_away.set()
    answers = [door.send(webhook(firing(feature=str(n)), group=str(n))) for n in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert {answer.json["result"] for answer in answers} == {"spooled"}
    assert deliveries() == []

    database_away.clear()
    last = door.send(webhook(firing(feature="3"), group="3"))

    assert last.status_code == 200
    receipts = [answer.json["delivery"] for answer in (*answers, last)]
    assert [kept.receipt for kept in deliveries()] == receipts
    work()
    assert [incident.member_count for incident in incidents()] == [4]


def test_3_a_full_spool_gets_503_never_429(app, sender, database_away, monkeypatch):
    door = sender()
    door.send(webhook(firing()))
    monkeypatch.setattr(committer.committer().spool, "limit", 10)
    database_away.set()

    answer = door.send(webhook(firing(feature="x")))

    assert answer.status_code == 503
    assert "send it again" in answer.json["detail"]


def test_3_replaying_a_spool_twice_keeps_each_delivery_once(app, sender, deliveries, tmp_path):
    door = sender()
    door.send(webhook(firing()))
    [kept] = deliveries()
    columns = {
        column.name: getattr(kept, column.name)
        for column in Delivery.__table__.columns
        if column.name != "id"
    }
    spool = Spool(tmp_path / "spool", 1_000_000)
    for _ in range(2):
        spool.append([columns])
        spool.replay(write_spooled)

    assert len(deliveries()) == 1


def test_3_a_line_that_a_crash_cut_short_is_left_out_of_the_replay(
    tmp_path, app, sender, deliveries
):
    spool = Spool(tmp_path / "spool", 1_000_000)
    spool.path.write_bytes(b'{"receipt": "half a li')
    written = []

    spool.replay(lambda entries: written.extend(entries) or [])

    assert written == []
    assert spool.size() == 0


def test_3_what_the_database_will_never_take_does_not_hold_up_the_spool(
    app, sender, deliveries, tmp_path
):
    door = sender()
    door.send(webhook(firing()))
    [kept] = deliveries()
    good = {
        column.name: getattr(kept, column.name)
        for column in Delivery.__table__.columns
        if column.name != "id"
    }
    spool = Spool(tmp_path / "spool.jsonl", 1_000_000)
    spool.append(
        [
            {**good, "receipt": "bad", "integration_id": 4711},  # there is no such door
            {**good, "receipt": "good"},
        ]
    )

    spool.replay(write_spooled)

    assert [delivery.receipt for delivery in deliveries()] == [kept.receipt, "good"]
    assert b'"bad"' in (tmp_path / "spool.unwritable").read_bytes()
    assert spool.size() == 0


# 4. One key among open incidents; delivery idempotency separately


def test_4_the_database_itself_keeps_one_open_incident_for_a_kind(app, recsys):
    facts = {"model_id": recsys.id, "failure_mode": "input_drift"}
    factories.incident(**facts)
    factories.incident(**facts, state=State.RESOLVED)

    with pytest.raises(IntegrityError):
        factories.incident(**facts)


def test_4_the_same_body_again_is_a_duplicate_with_the_first_receipt(sender, deliveries):
    door = sender()
    first = door.send(webhook(firing()))
    again = door.send(webhook(firing()))

    assert again.status_code == 200
    assert again.json == {"delivery": first.json["delivery"], "result": "duplicate"}
    assert [kept.repeats for kept in deliveries()] == [1]


def test_4_the_same_body_after_another_of_its_subject_is_no_duplicate(sender, work, incidents):
    door = sender("events_v2", "/v2/enqueue")
    trigger = {
        "routing_key": door.key,
        "event_action": "trigger",
        "dedup_key": "k",
        "payload": {"summary": "s", "source": "x", "severity": "error"},
    }
    answers = [
        door.send(trigger),
        door.send({**trigger, "event_action": "resolve"}),
        door.send(trigger),
    ]

    assert [answer.json["result"] for answer in answers] == ["accepted"] * 3
    work()
    assert [incident.state for incident in incidents()] == [State.TRIGGERED]
    assert incidents()[0].episode == 2


@pytest.mark.parametrize("header", ["X-Webhook-Id", "Request-ID", "X-Amz-Sns-Message-Id"])
def test_4_a_senders_own_id_is_taken_once(sender, deliveries, header):
    door = sender()
    first = door.send(webhook(firing()), headers={header: "17"})
    again = door.send(webhook(firing(feature="other")), headers={header: "17"})

    assert again.json == {"delivery": first.json["delivery"], "result": "duplicate"}
    assert len(deliveries()) == 1


# 5. Alert status beats group status; a resolved group closes every open member


def test_5_an_alerts_own_status_beats_its_groups(sender, work, incidents):
    door = sender()
    first, second = firing(feature="a"), firing(feature="b")
    door.send(webhook(first, second))
    work()

    door.send(webhook(over(first), second, status="firing"))
    work()

    [incident] = incidents()
    assert (incident.member_count, incident.firing_count) == (2, 1)
    assert incident.state is State.TRIGGERED


def test_5_a_resolved_group_closes_members_that_its_sender_cut_off(sender, work, incidents):
    door = sender()
    alerts = [firing(feature=str(number)) for number in range(8)]
    door.send(webhook(*alerts))
    work()

    door.send(webhook(*map(over, alerts[:3]), truncatedAlerts=5))
    work()

    [incident] = incidents()
    assert (incident.firing_count, incident.state) == (0, State.RESOLVED)
    end_read()
    assert not db.session.scalars(select(AlertState).where(AlertState.firing)).all()


def test_5_a_group_takes_only_its_own_members_along(sender, work, incidents):
    door = sender()
    here, elsewhere = firing(feature="a"), firing(feature="b")
    door.send(webhook(here, group="one"))
    door.send(webhook(elsewhere, group="two"))
    work()

    door.send(webhook(over(here), group="one"))
    work()

    [incident] = incidents()
    assert (incident.firing_count, incident.state) == (1, State.TRIGGERED)


# 6. Older news never reopens; a resolve before its trigger is kept as a tombstone


def test_6_a_late_trigger_does_not_undo_its_resolve(sender, work, incidents):
    door = sender()
    door.send(webhook(firing()))
    door.send(webhook(over(firing())))
    work()

    door.send(webhook(firing(), truncatedAlerts=1))
    work()

    assert [incident.state for incident in incidents()] == [State.RESOLVED]


def test_6_a_resolve_before_its_trigger_leaves_a_tombstone(sender, work, incidents, deliveries):
    door = sender()
    door.send(webhook(over(firing())))
    work()
    door.send(webhook(firing()))
    work()

    assert incidents() == []
    assert "nothing was open" in deliveries()[0].why
    assert "changed nothing" in deliveries()[1].why


def test_6_a_newer_start_does_open_again(sender, work, incidents):
    door = sender()
    door.send(webhook(firing()))
    door.send(webhook(over(firing())))
    work()

    door.send(webhook({**firing(), "startsAt": "2026-03-12T02:31:00Z"}))
    work()

    [incident] = incidents()
    assert (incident.state, incident.episode) == (State.TRIGGERED, 2)


# 7. Unknown keys are ignored


def test_7_unknown_keys_are_ignored(sender, work, incidents):
    alert = {**firing(), "notification_reason": "repeat", "colour": {"r": 1}}

    answer = sender().send(webhook(alert, routeLabels={"a": "b"}, notification_reason=[1]))

    assert answer.status_code == 200
    work()
    assert len(incidents()) == 1


# 8. One bad element fails alone and is visible


def test_8_one_bad_element_fails_alone_and_is_visible(sender, work, incidents, deliveries):
    sender().send(webhook(firing(feature="a"), 17, firing(feature="b")))
    work()

    assert [incident.member_count for incident in incidents()] == [2]
    [kept] = deliveries()
    assert kept.state is DeliveryState.ACCEPTED
    [fault] = kept.outcome["faults"]
    assert fault["where"] == "alerts[1]"
    assert "could not be read" in kept.why


# 9. Poison rows: capped attempts, then a dead letter that can be replayed


@pytest.fixture
def poison(monkeypatch):
    """A delivery whose text holds "poison" breaks the processing."""
    real = processing._read

    def read(session, ids):
        readings = real(session, ids)
        if any("poison" in a.summary for reading in readings for a in reading.parsed.alerts):
            raise ZeroDivisionError
        return readings

    monkeypatch.setattr(processing, "_read", read)


def test_9_a_poisonous_delivery_stops_no_other_and_ends_as_a_dead_letter(
    sender, work, incidents, deliveries, poison
):
    door = sender()
    bad = firing(feature="bad")
    bad["annotations"] = {"summary": "poison"}
    door.send(webhook(bad, group="bad"))
    door.send(webhook(firing(feature="good"), group="good"))
    for day in range(MAX_ATTEMPTS):
        work(now() + timedelta(days=day))

    dead, good = deliveries()
    assert (dead.state, dead.attempts) == (DeliveryState.DEAD, MAX_ATTEMPTS)
    assert "ZeroDivisionError" in dead.why
    assert good.state is DeliveryState.ACCEPTED
    assert [incident.member_count for incident in incidents()] == [1]


# 10. Readiness proves that a row can be written and that a worker has cycled


def test_10_readiness_asks_for_a_writable_inbox_and_a_worker_that_cycled(app, client):
    from app.core.jobs import Worker

    assert client.get("/health/ready").status_code == 503

    at = now()
    factories.keep(Worker(id="w", started_at=at, seen_at=at, cycled_at=at))
    assert client.get("/health/ready").status_code == 200
    end_read()
    assert db.session.scalar(select(func.count()).select_from(Delivery)) == 0


def test_forty_alerts_of_one_model_and_mode_are_one_incident_with_forty_members(
    sender, work, incidents
):
    factories.runbook("model-input-drift", failure_mode="input_drift", alertname="ModelInputDrift")
    alerts = [firing("modelinputdrift", feature=f"f{number}") for number in range(40)]
    sender().send(webhook(*alerts))
    work()

    [incident] = incidents()
    assert (incident.member_count, incident.firing_count) == (40, 40)
    assert incident.failure_mode == "input_drift"
    assert incident.runbook_version_id is not None
    assert incident.severity == 1


def test_an_alert_that_no_model_claims_opens_an_incident_in_triage(sender, work, incidents):
    triage = factories.team("night-shift", triages=True)

    sender().send(webhook(firing(model="nobodys")))
    work()

    [incident] = incidents()
    assert (incident.model_id, incident.team_id) == (None, triage.id)


def test_what_no_model_claims_is_its_senders_teams_if_it_has_one(app, work, incidents):
    ads = factories.team("ads")
    factories.team("night-shift", triages=True)
    _row, key = factories.integration("alertmanager", team_id=ads.id)

    app.test_client().post(
        "/in/alertmanager",
        json=webhook(firing(model="nobodys")),
        headers={"Authorization": f"Bearer {key}"},
    )
    work()

    assert [incident.team_id for incident in incidents()] == [ads.id]


def test_another_version_of_the_model_opens_another_incident(sender, work, incidents):
    door = sender()
    door.send(webhook(firing(model_version="v42"), group="a"))
    door.send(webhook(firing(model_version="v43"), group="b"))
    work()

    assert [incident.model_version for incident in incidents()] == ["v42", "v43"]


def test_nothing_fires_twice_in_the_database(app):
    first, second = factories.incident(), factories.incident()
    facts = {
        "integration_id": 1,
        "fingerprint": "f",
        "firing": True,
        "name": "a",
        "summary": "",
        "severity": 1,
        "labels": {},
        "annotations": {},
        "links": [],
        "starts_at": now(),
        "first_seen_at": now(),
        "last_seen_at": now(),
    }
    factories.keep(Member(incident_id=first.id, **facts))

    with pytest.raises(IntegrityError):
        factories.keep(Member(incident_id=second.id, **facts))


# Both lanes to a door are the same door


def test_what_is_sent_in_chunks_is_taken_like_everything_else(sender, deliveries):
    door = sender()
    answer = in_chunks(door, json.dumps(webhook(firing())).encode())

    assert answer.status_code == 200
    assert [one.receipt for one in deliveries()] == [answer.json["delivery"]]


@pytest.mark.parametrize("path", ["/in/nowhere", "/in/alertmanager/api/v2/alerts"])
def test_other_addresses_are_flasks(sender, path):
    door = sender()
    door.path = path

    assert door.send([firing()]).status_code == (200 if "alertmanager" in path else 404)
