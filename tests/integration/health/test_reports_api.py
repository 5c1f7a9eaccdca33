"""What others push: taken once, in the words of the tool, or refused with a sentence."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from app.core.db import db, end_read
from app.health.rules import LampState, Lane
from app.health.tables import Dataset, DriftReport, Lamp, Panel, Reading, StateChange
from tests.support import factories

RECORDED = Path(__file__).parents[2] / "support/payloads/health"
NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)
END = (NOW - timedelta(minutes=5)).isoformat().replace("+00:00", "Z")
ENVELOPE = {
    "model": "recsys-home", "version": "v1", "kind": "input", "rows": 1200,
    "window_start": "2026-11-24T05:50:00Z", "window_end": END, "reference_id": "training-1",
    "report": {"method": "psi", "value": 0.3, "threshold": 0.2, "direction": "above"},
}  # fmt: skip
EVENT = {
    "id": "2d1781af", "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
    "subject": "", "eventTime": "2026-11-24T05:59:00Z", "dataVersion": "1",
    "data": {"validationCode": "512d38b6-c7b8-40c8", "validationUrl": "https://example.com/v"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def noon(monkeypatch):
    monkeypatch.setattr("app.health.api.reports.now", lambda: NOW)


@pytest.fixture
def model(app):
    return factories.model("recsys-home", owner=factories.team())


@pytest.fixture
def push(client, token):
    bearer = token("health:write")

    def send(document, to="reports", media="application/json", **query):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return client.post(
            f"/api/v1/health/{to}", data=body, query_string=query,
            headers=bearer | {"Content-Type": media, "aeg-event-type": "Notification"},
        )  # fmt: skip

    return send


def count(table):
    end_read()
    return db.session.scalar(select(func.count()).select_from(table))


def lamps():
    end_read()
    return {lamp.lane: lamp.state for lamp in db.session.scalars(select(Lamp))}


def test_an_envelope_is_taken_and_judged(push, model):
    reply = push([ENVELOPE, ENVELOPE | {"kind": "output_quality"}])

    assert reply.status_code == 200
    assert reply.json == {"reports": 2, "models": ["recsys-home"], "panels": 2, "changes": 2}
    assert lamps() == {
        Lane.INPUT_DRIFT: LampState.BREACH,
        Lane.OUTPUT_QUALITY: LampState.BREACH,
    }


def test_the_same_report_again_changes_nothing(push, model):
    push(ENVELOPE)
    before = [count(table) for table in (DriftReport, Panel, Reading, StateChange)]

    again = push(ENVELOPE)

    assert again.json["changes"] == 0
    assert [count(table) for table in (DriftReport, Panel, Reading, StateChange)] == before


@pytest.mark.parametrize(
    ("file", "query"),
    [
        ("evidently/drifted-with-tests.json", {"window_end": END}),
        ("evidently_old/report-drifted.json", {}),
        ("alibi/ks-batch-drifted.json", {"window_end": END, "format": "alibi"}),
        ("nannyml/univariate.json", {"zone": "Europe/Lisbon"}),
        ("nannyml/univariate.csv", {"media": "text/csv"}),
    ],
)
def test_what_a_tool_wrote_is_taken_with_what_the_query_says(push, model, file, query):
    body = (RECORDED / file).read_bytes()

    reply = push(body, model="recsys-home", version="v7", rows="1500", **query)

    assert reply.status_code == 200, reply.text
    assert reply.json["reports"] >= 1
    end_read()
    kept = db.session.scalars(select(DriftReport)).all()
    assert {row.model_version for row in kept} == {"v7"}


def test_yaml_is_taken(push, model):
    body = (
        f"model: recsys-home\nkind: input\nwindow_end: {END}\nrows: 1200\n"
        "report: {method: psi, value: 0.1, threshold: 0.2, direction: above}\n"
    )

    reply = push(body.encode(), media="application/yaml")

    assert reply.status_code == 200, reply.text
    assert lamps() == {Lane.INPUT_DRIFT: LampState.OK}


def test_without_a_direction_nobody_guesses_and_the_query_may_say_it(push, model):
    report = {"method": "psi", "value": 0.1, "threshold": 0.2}
    mute = ENVELOPE | {"report": report}
    push(mute)
    assert lamps() == {Lane.INPUT_DRIFT: LampState.NOT_MEASURABLE}

    later = mute | {"window_end": "2026-11-24T05:58:00Z"}
    assert push(later, direction="above").status_code == 200
    assert lamps() == {Lane.INPUT_DRIFT: LampState.OK}


def test_a_direction_is_not_said_of_what_a_tool_wrote(push, model):
    body = (RECORDED / "evidently/steady-with-tests.json").read_bytes()

    reply = push(body, model="recsys-home", direction="above")

    assert reply.status_code == 400
    assert "A direction is said only of reports" in reply.json["detail"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused_with_a_sentence(push, model, number):
    body = json.dumps(ENVELOPE).replace("0.3", number).encode()

    reply = push(body)

    assert reply.status_code == 400
    assert reply.json["detail"] == "value is NaN or infinite. Send null where there is no value."
    assert count(DriftReport) == 0


def test_not_a_number_in_yaml_is_refused_too(push, model):
    reply = push(b"report: {method: psi, value: .nan}", media="application/yaml", model="m")

    assert reply.status_code == 400


def test_null_is_no_value_and_never_all_right(push, model):
    report = {"method": "psi", "value": None, "threshold": 0.2, "direction": "above"}

    assert push(ENVELOPE | {"report": report}).status_code == 200

    assert LampState.OK not in lamps().values()


@pytest.mark.parametrize(
    ("document", "query", "status", "why"),
    [
        (ENVELOPE | {"model": "nobody"}, {}, 422, "no model “nobody” in production"),
        (ENVELOPE | {"window_end": "2031-01-01T00:00:00Z"}, {}, 400, "still to come"),
        (ENVELOPE["report"], {}, 400, "Say which model"),
        ([], {}, 400, "empty"),
        ({"a": 1}, {"model": "recsys-home"}, 400, "no report that Baton knows"),
        (ENVELOPE, {"format": "tea leaves"}, 400, "no format"),
        (ENVELOPE, {"colour": "red"}, 422, "colour"),
        (ENVELOPE, {"kind": "luck"}, 422, "kind"),
        (b"{", {}, 400, "not JSON"),
        (b"a: &a [1]\nb: *a", {"media": "application/yaml"}, 400, "Aliases"),
        (b"a: [", {"media": "application/yaml"}, 400, "not YAML"),
        (b"{}", {"media": "image/png"}, 415, "Send JSON or YAML"),
        (b"[" * 100_000, {}, 400, "."),
    ],
)
def test_what_can_t_be_taken_is_refused_with_a_sentence(push, model, document, query, status, why):
    reply = push(document, **query)

    assert reply.status_code == status, reply.text
    assert reply.mimetype == "application/problem+json"
    assert why in reply.json["detail"]
    assert count(DriftReport) == 0


def test_a_report_may_be_larger_than_a_delivery_and_not_endless(push, model):
    parts = [{"name": f"feature {n}", "value": 0.1, "note": "x" * 60} for n in range(15_000)]
    large = ENVELOPE | {"report": ENVELOPE["report"] | {"parts": parts}}
    assert len(json.dumps(large)) > 1_048_576

    assert push(large).status_code == 200
    assert push(b" " * (8 * 1024 * 1024 + 1)).status_code == 413


def test_without_the_scope_nothing_is_taken(client, token):
    reply = client.post("/api/v1/health/reports", json=ENVELOPE, headers=token("health:read"))

    assert reply.status_code == 403


# --- Azure Event Grid


def test_event_grid_hears_its_code_back(push, model):
    reply = push([EVENT], model="recsys-home")

    assert reply.status_code == 200
    assert reply.json == {"validationResponse": "512d38b6-c7b8-40c8"}
    assert count(DriftReport) == 0


def test_event_grid_is_not_validated_without_a_token(client):
    assert client.post("/api/v1/health/reports", json=[EVENT]).status_code == 401


def test_a_validation_without_a_code_is_refused(push):
    reply = push([EVENT | {"data": {}}])

    assert reply.status_code == 400
    assert "validationCode" in reply.json["detail"]


def test_drift_that_event_grid_brings_is_taken(push, model):
    event = EVENT | {
        "eventType": "Microsoft.MachineLearningServices.DatasetDriftDetected",
        "data": {
            "DriftCoefficient": 0.83,
            "StartTime": "2026-11-23T00:00:00Z",
            "EndTime": "2026-11-24T00:00:00Z",
        },
    }

    reply = push([event], model="recsys-home", rows=1500)

    assert reply.json["reports"] == 1
    assert lamps() == {Lane.INPUT_DRIFT: LampState.BREACH}


# --- Checks of data inputs


def test_checks_of_data_are_taken(push):
    body = (RECORDED / "dbt/sources.json").read_bytes()

    reply = push(body, to="contracts", expected=["shop.gone"])

    assert reply.status_code == 200, reply.text
    assert reply.json["reports"] >= 1
    assert count(Dataset) == len(set(reply.json["datasets"]))


@pytest.mark.parametrize(
    ("file", "query"),
    [
        ("great_expectations/validation-failed.json", {"dataset": "clicks"}),
        ("pandera/data-errors.json", {"dataset": "clicks", "checked_at": END}),
        ("soda/scan-failed.json", {}),
    ],
)
def test_what_a_checker_wrote_is_taken(push, file, query):
    reply = push((RECORDED / file).read_bytes(), to="contracts", **query)

    assert reply.status_code == 200, reply.text
    assert reply.json["datasets"]


def test_a_check_names_its_input(push):
    check = {"dataset": "events.clicks_v3", "kind": "access", "format": "baton",
             "checked_at": END, "report": {"role": "reader", "granted": False}}  # fmt: skip

    assert push(check, to="contracts").json == {"reports": 1, "datasets": ["events.clicks_v3"]}
    end_read()
    assert db.session.scalars(select(Dataset)).one().access_ok is False
    assert push({"a": 1}, to="contracts").status_code == 400


# --- Whatever comes

ODD = ("", "0", "NaN", "\x00", "\ud83d", "9999-12-31T23:59:59-14:00", END, "pass", "above",
       "x" * 400, "recsys-home", "input", "baton", "psi", "1e999")  # fmt: skip
NAMES = ("model", "kind", "report", "rows", "window_end", "window_start", "format", "dataset",
         "method", "value", "threshold", "direction", "parts", "name", "zone", "data", "is_drift",
         "checked_at", "eventType", "validationCode", "metrics", "tests", "results")  # fmt: skip
texts = st.sampled_from(ODD) | st.text(st.characters(exclude_categories=()), max_size=9)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | texts, inner, max_size=5)
    ),
    max_leaves=10,
)
near = st.builds(
    lambda outer, inner: ENVELOPE | outer | {"report": ENVELOPE["report"] | inner},
    st.dictionaries(st.sampled_from([*ENVELOPE]), junk, max_size=2),
    st.dictionaries(st.sampled_from([*ENVELOPE["report"], "parts"]), junk, max_size=2),
)


@settings(
    deadline=None, max_examples=120, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(
    document=near | st.lists(near, max_size=2) | junk,
    to=st.sampled_from(["reports", "reports", "contracts"]),
    media=st.sampled_from(["application/json", "application/json", "application/yaml"]),
)
def test_no_document_makes_a_500_or_says_all_is_well_without_a_number(
    app, push, model, document, to, media
):
    for table in (Lamp, Reading, DriftReport):
        db.session.query(table).delete()
    db.session.commit()

    reply = push(json.dumps(document).encode(), to=to, media=media, model="recsys-home")

    assert reply.status_code in (200, 400, 422), reply.text
    if reply.status_code != 200:
        assert reply.json["detail"].endswith(".")
    end_read()
    for lamp in db.session.scalars(select(Lamp).where(Lamp.state == LampState.OK)):
        assert lamp.value is not None
        inside = db.session.scalars(
            select(DriftReport).where(DriftReport.said_outside.is_(False))
        ).all()
        assert any(row.value == lamp.value and row.threshold is not None for row in inside)
