"""Service levels, OpenSLO, latency budgets and data inputs over JSON."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.core.clock import now
from app.core.db import db, unit_of_work
from app.health import levels, openslo, openslo_out
from app.health.slo_rules import WINDOWS
from app.health.tables import Dataset, LatencyBudget, Slo
from tests.support import factories

API = "/api/v1/health"
SLOS = f"{API}/models/recsys-home/slos"
COUNTED = {"metric": "requests_total", "bad": {"code": ["500"]}}
BODY = {"title": "No errors", "target": 0.99, "source": "serving", "spec": COUNTED}
BUDGET = {
    "percentile": 99, "budget_ms": 150, "stages": [{"name": "Features", "budget_ms": 20}],
    "ladder": [{"title": "Cached", "seconds": 1, "drilled_on": "2026-03-01"}],
}  # fmt: skip


@pytest.fixture
def model(app):
    return factories.model("recsys-home")


@pytest.fixture
def source(app):
    return factories.health_source("openmetrics", slug="serving", name="Serving API")


@pytest.fixture
def reads(token):
    return token("health:read")


@pytest.fixture
def writes(token):
    return token("health:write")


@pytest.fixture
def slo(model, source):
    return factories.slo(model, slug="within", source_id=source.id, spec=COUNTED)


def dataset(slug="shop.item_features", **more):
    values = {"schema_ok": True, "schema_checked_at": now(), "schema_rows": 12.0} | more
    return factories.keep(Dataset(slug=slug, created_at=factories.NOON, **values))


# --- Service levels


def test_a_level_is_made_read_changed_closed_and_reopened(client, model, source, reads, writes):
    made = client.post(SLOS, json=BODY | {"min_events": 50}, headers=writes)
    assert (made.status_code, made.headers["ETag"]) == (201, '"1"')
    assert made.json["slug"] == "no-errors"
    assert made.json["window_days"] == 28

    one = f"{SLOS}/no-errors"
    changed = client.patch(one, json={"target": 0.995}, headers=writes | {"If-Match": '"1"'})
    assert changed.json["target"] == 0.995
    assert changed.json["min_events"] == 50
    assert changed.json["spec"] == COUNTED

    closed = client.delete(one, headers=writes)
    assert closed.json["closed_at"] is not None
    assert client.get(SLOS, headers=reads).json["items"] == []
    assert len(client.get(f"{SLOS}?closed=true", headers=reads).json["items"]) == 1

    assert client.post(f"{one}/reopen", headers=writes).json["closed_at"] is None
    assert client.get(one, headers=reads).json["title"] == "No errors"


@pytest.mark.parametrize(
    ("kind", "spec", "fewest"),
    [
        ("openmetrics", COUNTED, 100),
        ("prometheus", {"recorded": "pyrra", "slo": "a"}, 0),
        ("prometheus", {"recorded": "pyrra", "slo": "a", "total": "increase(a[$w])"}, 100),
    ],
)
def test_an_alert_takes_as_many_events_as_in_the_form(client, model, writes, kind, spec, fewest):
    factories.health_source(kind, slug="there")

    made = client.post(SLOS, json=BODY | {"source": "there", "spec": spec}, headers=writes)

    assert made.json["min_events"] == fewest


def test_an_old_copy_is_not_written_over(client, slo, writes):
    client.patch(f"{SLOS}/within", json={"title": "Theirs"}, headers=writes)

    answer = client.patch(
        f"{SLOS}/within", json={"title": "Mine"}, headers=writes | {"If-Match": '"1"'}
    )

    assert answer.status_code == 412
    assert "changed Theirs while you were editing" in answer.json["detail"]
    assert client.delete(f"{SLOS}/within", headers=writes | {"If-Match": '"1"'}).status_code == 412


@pytest.mark.parametrize(
    "change",
    [
        {"target": 1}, {"target": 0}, {"window_days": 91}, {"title": " "}, {"colour": "red"},
        {"source": "nothing"}, {"spec": {}}, {"spec": {"metric": "a"}},
        {"spec": COUNTED | {"x": 1}}, {"spec": COUNTED | {"over": []}}, {"min_events": -1},
        {"spec": {"metric": {}, "bad": []}}, {"spec": {"recorded": []}}, {"failure_mode": "x" * 81},
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused(client, model, source, writes, change):
    answer = client.post(SLOS, json=BODY | change, headers=writes)

    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    assert db.session.scalars(select(Slo)).all() == []


def test_the_status_tells_budget_rates_and_alerts(client, slo, reads):
    pairs = {int(one.total_seconds()): (1_420, 10_000) for one in (*WINDOWS, timedelta(days=28))}
    with unit_of_work() as session:
        levels.take_counts(session, {slo.id: pairs}, at=now())

    said = client.get(f"{SLOS}/within/status", headers=reads).json

    assert said["left"] == pytest.approx(-13.2)
    assert (said["exhausted_in"], said["is_current"], said["burning"]) == (0, True, "page")
    assert said["windows"][2] == {
        "seconds": 3600, "bad": 1_420, "total": 10_000, "burn_rate": pytest.approx(14.2),
    }  # fmt: skip
    assert [one["factor"] for one in said["alerts"]] == pytest.approx(
        [13.44, 5.6, 2.8, 0.9333], 1e-4
    )
    assert {one["state"] for one in said["alerts"]} == {"fires"}


def test_what_was_never_counted_is_null_and_not_zero(client, slo, reads):
    said = client.get(f"{SLOS}/within/status", headers=reads).json

    assert said["left"] is None
    assert said["is_current"] is False
    assert {one["burn_rate"] for one in said["windows"]} == {None}
    assert {one["state"] for one in said["alerts"]} == {"unknown"}


def test_a_token_that_reads_does_not_write(client, slo, reads):
    assert client.post(SLOS, json=BODY, headers=reads).status_code == 403
    assert client.delete(f"{SLOS}/within", headers=reads).status_code == 403


# --- OpenSLO


def test_a_file_goes_out_and_comes_in_again(client, slo, reads, writes):
    place = f"{API}/models/recsys-home/openslo"
    headers = writes | {"Content-Type": "application/yaml"}

    out = client.get(place, headers=reads)
    text = out.text.replace("target: 0.99", "target: 0.95")
    tried = client.post(f"{place}?dry_run=true", data=text, headers=headers)
    done = client.post(place, data=text, headers=headers)

    assert out.headers["Content-Type"] == "application/yaml; charset=utf-8"
    assert openslo.read(out.data).problems == ()
    (step,) = tried.json["steps"]
    assert (step["slug"], step["does"], step["source"]) == ("within", "change", "serving")
    assert "objective: 99 % → 95 %" in step["changes"]
    assert done.status_code == 200
    assert client.get(f"{SLOS}/within", headers=reads).json["target"] == 0.95


def test_a_file_with_a_problem_writes_nothing(client, slo, writes):
    place = f"{API}/models/recsys-home/openslo"
    text = openslo_out.write("recsys-home", [slo]).replace("Occurrences", "Timeslices")
    headers = writes | {"Content-Type": "application/yaml"}

    answer = client.post(place, data=text, headers=headers)
    tried = client.post(f"{place}?dry_run=true", data=text, headers=headers)

    assert answer.status_code == 422
    assert "Baton counts events" in answer.json["detail"]
    assert "Baton counts events" in tried.json["problems"][0]


# --- Latency budgets


def test_a_latency_budget_is_put_and_read(client, model, reads, writes):
    place = f"{API}/models/recsys-home/latency-budget?route=GET%20/recommend"

    made = client.put(place, json=BUDGET, headers=writes)
    again = client.put(
        place, json=BUDGET | {"budget_ms": 200}, headers=writes | {"If-Match": made.headers["ETag"]}
    )
    stale = client.put(place, json=BUDGET, headers=writes | {"If-Match": made.headers["ETag"]})

    assert (made.status_code, again.status_code, stale.status_code) == (201, 200, 412)
    said = client.get(place, headers=reads).json
    assert (said["route"], said["budget_ms"], said["slack_ms"]) == ("GET /recommend", 200, 180)
    assert said["ladder"][0]["drilled_on"] == "2026-03-01"
    assert client.get(place.split("?")[0], headers=reads).status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"percentile": 100}, {"budget_ms": 0}, {"clock": "sun"}, {"panel": "nothing"},
        {"stages": [{"name": "A", "budget_ms": 1}, {"name": "a", "budget_ms": 1}]},
        {"stages": [{"name": "A"}]}, {"colour": "red"}, {"load_tested_on": "2999-01-01"},
    ],
)  # fmt: skip
def test_what_is_no_budget_is_refused(client, model, writes, change):
    answer = client.put(
        f"{API}/models/recsys-home/latency-budget", json=BUDGET | change, headers=writes
    )

    assert answer.status_code == 422
    assert db.session.scalars(select(LatencyBudget)).all() == []


# --- Data inputs


def test_inputs_are_listed_with_their_lamps(client, app, reads):
    dataset("a.good")
    dataset("b.bad", schema_ok=False)

    all_ = client.get(f"{API}/inputs?limit=1", headers=reads).json
    bad = client.get(f"{API}/inputs?state=breach", headers=reads).json
    rest = client.get(f"{API}/inputs?cursor={all_['next']}", headers=reads).json

    assert [one["name"] for one in all_["items"]] == ["a.good"]
    assert [one["name"] for one in rest["items"]] == ["b.bad"]
    assert [one["name"] for one in bad["items"]] == ["b.bad"]
    assert bad["items"][0]["schema"]["state"] == "breach"
    assert bad["items"][0]["freshness"]["state"] == "no_data"


def test_an_input_is_promised_attested_and_linked(client, model, reads, writes):
    name = dataset("s3://bucket/items").slug
    team = factories.team("data")
    place = f"{API}/inputs/s3%3A//bucket/items"

    said = client.patch(place, json={"team": "data", "fresh_within": 3600}, headers=writes)
    kept = client.patch(place, json={"contract": "v2"}, headers=writes)
    stale = client.patch(place, json={"contract": "v3"}, headers=writes | {"If-Match": '"1"'})
    attested = client.post(
        f"{API}/attestations/{name}",
        json={"role": "reader", "approver": "Ines", "reviewed_on": "2026-03-01"},
        headers=writes,
    )
    link = f"{API}/models/recsys-home/inputs/{name}"

    assert (said.json["team"], said.json["fresh_within"]) == (team.slug, 3600)
    assert (kept.json["team"], kept.json["contract"]) == ("data", "v2")
    assert stale.status_code == 412
    assert attested.json["access_approver"] == "Ines"
    assert [client.put(link, headers=writes).status_code for _ in range(2)] == [204, 204]
    assert client.get(place, headers=reads).json["models"] == 1
    assert client.delete(link, headers=writes).status_code == 204
    assert client.get(f"{API}/inputs/nothing", headers=reads).status_code == 404


def test_a_review_in_the_future_is_refused(client, app, writes):
    dataset("a")

    answer = client.post(
        f"{API}/attestations/a",
        json={"role": "reader", "approver": "Ines", "reviewed_on": "2999-03-01"},
        headers=writes,
    )

    assert answer.status_code == 422
    assert answer.json["detail"] == "The review is in the future."
