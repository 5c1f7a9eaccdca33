"""Freshness, coverage and effectiveness, as pages and as JSON."""

import csv
import io
import re
from datetime import timedelta

import pytest

from app.core.clock import now
from app.people.rules import Role
from app.runbooks import queries as runbooks
from app.runbooks.rules import FAILURE_MODES
from app.runbooks.runs.rules import EventKind, Mode, RunStatus
from tests.support import factories

DAY = timedelta(days=1)
HTMX = {"HX-Request": "true"}


@pytest.fixture
def reader(signed_in):
    return signed_in(Role.VIEWER)


def words(html):
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def book(slug="latency", **more):
    said = {"owner": "serving", "signals": [{"metric": "latency_p99"}]}
    return factories.runbook(slug, **(said | more))


def followed(version, *, days_ago=1, proves=True, **more):
    started = now() - days_ago * DAY
    run = factories.run(version, started_at=started, **more)
    if proves:
        factories.verification(run, at=started, how=str(run.mode).replace("live", "incident"))
    return run


# --- Freshness


def test_the_list_says_how_far_each_can_be_trusted(reader):
    followed(book())
    book("stale")

    said = words(reader.get("/runbooks").text)

    assert re.search(r"latency latency .* Proven incident, .* once 20 min", said)
    assert re.search(r"stale stale .* Never tested never", said)


def test_freshness_is_by_owner_the_stalest_first(reader):
    factories.team("serving", name="Serving Platform")
    followed(book("proven"))
    book("stale")
    book("orphan", owner="gone")

    page = reader.get("/runbooks/freshness").text

    said = words(page)
    assert said.index("gone") < said.index("Serving Platform 2 runbooks")
    assert page.index("/runbooks/stale") < page.index("/runbooks/proven")
    assert "There is no team gone, its owner." in said
    assert "Nothing speaks against it." in said
    assert "Proven 1 of 3" in said


def test_the_owner_of_the_model_is_a_known_owner_on_every_page(reader):
    book("shared", owner="model-owner")
    book("orphan", owner="gone")

    fresh, listed = (words(reader.get(path).text) for path in ("/runbooks/freshness", "/runbooks"))

    assert "the model’s owner 1 runbook " in fresh
    assert "gone 1 runbook, and no team of that name" in fresh
    assert fresh.count("no team of that name") == 1
    for said in (fresh, listed, words(reader.get("/runbooks/shared").text)):
        assert "the model’s owner" in said
        assert "model-owner" not in said


def test_freshness_of_one_owner(reader):
    factories.team("serving", name="Serving Platform")
    book("a")
    book("b", owner="gone")
    book("c", owner=None)

    def shown(owner):
        page = reader.get(f"/runbooks/freshness?owner={owner}", headers=HTMX).text
        return sorted(set(re.findall(r'href="/runbooks/(\w)"', page)))

    assert (shown("serving"), shown("gone"), shown("none"), shown("zzz")) == (
        ["a"],
        ["b"],
        ["c"],
        [],
    )


def test_an_owner_with_many_shows_the_stalest_and_the_way_to_the_rest(reader):
    for number in range(12):
        book(f"b{number}")

    page = reader.get("/runbooks/freshness").text

    assert len(set(re.findall(r'href="/runbooks/(b\d+)"', page))) == 10
    assert "All 12 of serving" in page
    rest = reader.get("/runbooks/freshness?owner=serving").text
    assert len(set(re.findall(r'href="/runbooks/(b\d+)"', rest))) == 12


def test_a_step_that_was_called_wrong_fails_the_runbook_until_it_is_proven_again(reader):
    version = book()
    run = followed(version, days_ago=2)
    factories.run_event(run, EventKind.FEEDBACK, "look", verdict="wrong")
    assert "Failed" in reader.get("/runbooks/freshness").text

    followed(version, days_ago=1)
    page = words(reader.get("/runbooks/freshness").text)

    assert "called wrong" not in page
    assert "Nothing speaks" not in page  # nobody owns it


def test_alerts_are_judged_only_when_somebody_knows_them(reader, app, monkeypatch):
    book(signals=[{"alertname": "LatencyHigh"}])
    monkeypatch.delitem(app.extensions, "alertnames_seen", raising=False)
    assert "LatencyHigh" not in reader.get("/runbooks/freshness").text

    monkeypatch.setitem(app.extensions, "alertnames_seen", lambda names: set())
    assert "No alert called LatencyHigh was ever seen." in reader.get("/runbooks/freshness").text

    monkeypatch.setitem(app.extensions, "alertnames_seen", lambda names: names)
    assert "ever seen" not in reader.get("/runbooks/freshness").text


def test_without_runbooks_freshness_says_what_will_be_here(reader):
    assert "No runbooks yet" in reader.get("/runbooks/freshness").text


# --- Effectiveness


def test_a_runbook_that_was_never_followed_says_so(reader):
    book()

    assert (
        "Nobody has followed it to an end yet" in reader.get("/runbooks/latency/effectiveness").text
    )


def test_effectiveness_tells_where_people_stop(reader, bring_in, latency):
    latency()
    bring_in()
    version = runbooks.current("latency")
    incident = factories.incident()
    begun = now() - DAY
    for number in range(3):
        status = RunStatus.FINISHED if number else RunStatus.LEFT
        run = factories.run(
            version, started_at=begun, status=status, incident_id=incident.id if number else None,
            mode=Mode.LIVE if number else Mode.DRILL,
        )  # fmt: skip
        factories.run_event(run, EventKind.DONE, "look", at=begun + timedelta(minutes=4))
        kind = EventKind.DONE if number else EventKind.FAILED
        factories.run_event(run, kind, "back", at=begun + timedelta(minutes=10))
    factories.run_event(run, EventKind.FEEDBACK, "look", verdict="unclear")

    page = reader.get("/runbooks/latency/effectiveness").text

    said = words(page)
    assert "Used 3 times, 1 drill among them" in said
    assert "Closed 1 of 1 incident" in said
    assert "Left once" in said
    assert "Step 3, Go back : stopped once, failed once" in said
    assert re.search(r"Step 1, Look 3 4 min 2 min called unclear once", said)
    part = reader.get("/runbooks/latency/effectiveness", headers=HTMX).text
    assert "<html" not in part
    assert "Used" in part


# --- Coverage


def cells(page):
    """The words of each row of the matrix, by model."""
    return {
        model: re.findall(r'data-c="(\w+)"', row)
        for model, row in re.findall(
            r'<tr><th scope="row"><a href="/models/([\w-]+)">(.*?)</tr>', page, re.DOTALL
        )
    }


def test_the_matrix_says_what_each_model_has(reader):
    owner = factories.team("serving")
    factories.model("reco-home", owner=owner, tags=["ranking"])
    factories.model("fraud", owner=owner)
    book(applies_to={"models": ["reco-*"]})
    factories.runbook("drift", failure_mode="input_drift")
    followed(book("push", failure_mode="bad_model_push"), mode=Mode.DRILL)
    modes = list(FAILURE_MODES)

    page = reader.get("/runbooks/coverage").text

    found = {model: dict(zip(modes, row, strict=True)) for model, row in cells(page).items()}
    assert found["reco-home"]["latency_regression"] == "unproven"
    assert found["fraud"]["latency_regression"] == "none"
    assert {row["input_drift"] for row in found.values()} == {"no_signal"}
    assert {row["bad_model_push"] for row in found.values()} == {"proven"}
    assert "Of 40 pairs, 5 have a runbook, 3 also a signal" in words(page)
    assert "2 also a proof" in words(page)


def test_another_failure_mode_in_use_is_a_column(reader):
    factories.model()
    factories.runbook("moon", failure_mode="moon_phase")

    assert "Moon phase" in reader.get("/runbooks/coverage").text


@pytest.mark.parametrize(
    ("query", "models"),
    [
        ("search=home", {"reco-home"}),
        ("tier=2", {"fraud"}),
        ("team=risk", {"fraud"}),
        ("tag=ranking", {"reco-home"}),
        ("tier=9", {"reco-home", "fraud"}),
        ("search=zzz", set()),
    ],
)
def test_the_matrix_is_filtered(reader, query, models):
    factories.model("reco-home", owner=factories.team("serving"), tags=["ranking"])
    factories.model("fraud", owner=factories.team("risk"), tier=2)

    page = reader.get(f"/runbooks/coverage?{query}").text

    assert set(cells(page)) == models
    assert ("No model fits" in page) is not bool(models)
    file = reader.get(f"/runbooks/coverage.csv?{query}").text
    assert {row[0] for row in list(csv.reader(io.StringIO(file)))[1:]} == models


def test_many_models_come_20_at_a_time(reader):
    owner = factories.team()
    for number in range(60):
        factories.model(f"model-{number:02}", owner=owner)
    seen, url = [], "/runbooks/coverage"
    while url:
        page = reader.get(url, headers=HTMX if "cursor" in url else {}).text
        assert ("<html" in page) is ("cursor" not in url)
        seen += cells(page)
        following = re.search(r'hx-get="([^"]*cursor[^"]*)"', page)
        url = following and following[1].replace("&amp;", "&")

    assert seen == [f"model-{number:02}" for number in range(60)]
    assert "The next 20 of 60 models" in reader.get("/runbooks/coverage?cursor=WzIwXQ").text
    assert reader.get("/runbooks/coverage?cursor=nonsense").status_code == 400


def test_without_models_coverage_says_what_will_be_here(reader):
    assert "No models yet" in reader.get("/runbooks/coverage").text


def test_the_csv_says_it_in_words_and_runs_nothing(reader):
    factories.model("fraud", owner=factories.team("risk", name="=1+1"))
    book()

    reply = reader.get("/runbooks/coverage.csv")
    head, row = csv.reader(io.StringIO(reply.text))

    assert head[:4] == ["Model", "Tier", "Team", "Inputs drift"]
    assert row[:4] == ["fraud", "1", "'=1+1", "None"]
    assert row[head.index("Latency above its limit")] == "Unproven"
    assert "attachment" in reply.headers["Content-Disposition"]


# --- JSON


def test_freshness_as_json(client, token):
    followed(book(), mode=Mode.DRILL)
    book("stale", owner="gone")
    headers = token("runbooks:read")

    items = client.get("/api/v1/runbooks/freshness", headers=headers).json["items"]

    assert [one["slug"] for one in items] == ["stale", "latency"]
    assert items[0]["state"] == "never_tested"
    assert (items[1]["verified_how"], items[1]["drills"], items[1]["median_minutes"]) == (
        "drill",
        1,
        20,
    )
    one = client.get("/api/v1/runbooks/freshness?owner=gone", headers=headers).json["items"]
    assert [each["slug"] for each in one] == ["stale"]


def test_coverage_as_json(client, token):
    factories.model("fraud")
    book()

    found = client.get("/api/v1/runbooks/coverage?tier=1", headers=token("runbooks:read")).json

    modes = found["items"][0]["failure_modes"]
    assert modes["latency_regression"] == {
        "state": "unproven", "runbook": "latency", "proven_at": None,
    }  # fmt: skip
    assert modes["input_drift"]["runbook"] is None
    assert found["next"] is None


# --- Costs


@pytest.mark.parametrize(
    "path",
    [
        "/runbooks",
        "/runbooks/freshness",
        "/runbooks/coverage",
        "/runbooks/coverage.csv",
        "/runbooks?search=latency",
    ],
)
def test_a_report_costs_the_same_for_one_or_many(reader, queries, path):
    def fill(name, count):
        owner = factories.team(f"team-{name}")
        for number in range(count):
            factories.model(f"{name}-{number}", owner=owner)
            version = book(f"{name}-{number}", owner=owner.slug, source=b"latency")
            run = followed(version)
            factories.run_event(run, EventKind.FEEDBACK, "look", verdict="wrong")

    fill("a", 1)
    reader.get(path)
    one = queries(lambda: reader.get(path))
    fill("b", 9)

    assert queries(lambda: reader.get(path)) == one
