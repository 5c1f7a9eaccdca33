"""What was seen when an incident opened, kept as it was, and how it stands now."""

import json
import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from app.alerts import processing
from app.core.db import db, end_read, unit_of_work
from app.health import evidence as health
from app.health import recording
from app.health.rules import LampState, Lane, Observation
from app.incidents import intake, queries, service
from app.incidents.service import Declaration
from app.incidents.sightings import Attachment, Identity, Round, Sighting
from app.incidents.tables import Evidence, Incident
from app.people.rules import BATON, Role
from app.web.assets import FOLDER
from tests.support import factories

MINUTE = timedelta(minutes=1)
WINDOW = timedelta(minutes=30)


@pytest.fixture
def model(app):
    return plain(factories.model("recsys-home", owner=factories.team()))


def plain(row):
    """What is left of a row when its session is gone."""
    return SimpleNamespace(id=row.id)


@pytest.fixture
def panels(model, at):
    """A latency panel in breach, a drift panel that is OK, a panel of errors that is OK."""
    source = factories.health_source(name="Serving API")
    p99 = factories.panel(model, slug="p99", source_id=source.id)
    drift = factories.panel(
        model, Lane.INPUT_DRIFT, slug="inputs", title="Inputs", unit="", above=0.2
    )
    errors = factories.panel(model, Lane.ERRORS, slug="errors", title="Errors", unit="%", above=1.0)
    for minute in range(10, -1, -1):
        look(p99, 612.0 if minute < 3 else 96.0, at - minute * MINUTE)
    look(drift, 0.08, at, series="Jensen-Shannon distance · train-2026-02")
    look(errors, 0.02, at)
    return plain(p99), plain(drift), plain(errors)


def look(panel, value, moment, **more):
    rows = more.pop("rows", 1210.0)
    recording.record({panel.id: Observation(moment, value, rows, **more)}, at=moment)
    db.session.expire_all()


def open_by_alert(*model_ids, at, number=1):
    round_ = Round()
    for model_id in model_ids:
        for each in range(number):
            round_.fire(
                Sighting(
                    key=(1, f"{model_id}-{each}"),
                    identity=Identity(model_id, "latency_regression"),
                    attachment=Attachment(None, "recsys-home", None),
                    name="P99High", title="p99 latency 612 ms", summary="p99 latency 612 ms",
                    severity=2, labels={}, annotations={}, links=[], group_key=None,
                    starts_at=at, seen_at=at,
                )
            )  # fmt: skip
    with unit_of_work() as session:
        return intake.apply(session, round_, at=at, reopen_window=WINDOW)


def end_alerts(*model_ids, at):
    round_ = Round(over={(1, f"{model_id}-0"): at for model_id in model_ids})
    with unit_of_work() as session:
        intake.apply(session, round_, at=at, reopen_window=WINDOW)


def kept(incident_id):
    end_read()
    return list(
        db.session.scalars(
            select(Evidence).where(Evidence.incident_id == incident_id).order_by(Evidence.id)
        )
    )


def states(frame):
    return {panel["slug"]: panel["state"] for panel in frame["panels"]}


def test_an_alert_that_opens_an_incident_freezes_what_the_panels_say(model, panels, at):
    (incident_id,) = open_by_alert(model.id, at=at).opened

    (row,) = kept(incident_id)
    frame = row.content["health"]
    assert row.content["summary"] == "p99 latency 612 ms"
    assert frame["taken_at"] == at.isoformat()
    assert states(frame) == {"p99": "breach", "inputs": "ok", "errors": "ok"}
    p99 = frame["panels"][0]
    assert p99 | {
        "title": "p99 latency", "lane": "latency", "line": "612 / 250 ms", "value": 612,
        "limit": 250, "unit": "ms", "rows": 1210, "source": "Serving API", "remark": "",
        "newest_at": at.isoformat(), "since": (at - 2 * MINUTE).isoformat(),
    } == p99  # fmt: skip
    assert len(p99["points"]) == 11
    assert p99["points"][-1] == [int(at.timestamp()), 612, False]


def test_drift_is_kept_with_its_method_and_its_reference(model, panels, at):
    (incident_id,) = open_by_alert(model.id, at=at).opened

    frame = kept(incident_id)[0].content["health"]
    inputs = next(panel for panel in frame["panels"] if panel["slug"] == "inputs")
    assert (inputs["method"], inputs["reference"]) == ("Jensen-Shannon distance", "train-2026-02")
    assert inputs["points"]
    errors = next(panel for panel in frame["panels"] if panel["slug"] == "errors")
    assert "points" not in errors


def test_what_was_seen_stays_whatever_comes_later(model, panels, at):
    (incident_id,) = open_by_alert(model.id, at=at).opened
    before = kept(incident_id)[0].content["health"]

    look(panels[0], 90.0, at + MINUTE)

    assert kept(incident_id)[0].content["health"] == before


def test_an_incident_that_opens_again_has_evidence_of_its_own(model, panels, at):
    (incident_id,) = open_by_alert(model.id, at=at).opened
    look(panels[0], 90.0, at + MINUTE)
    end_alerts(model.id, at=at + MINUTE)
    look(panels[0], 700.0, at + 2 * MINUTE)

    assert open_by_alert(model.id, at=at + 3 * MINUTE).reopened == {incident_id}

    first, second = kept(incident_id)
    assert (first.episode, second.episode) == (1, 2)
    assert second.content["health"]["panels"][0]["value"] == 700
    shown = queries.evidence(incident_id, 2)
    assert shown.content["health"]["taken_at"] == (at + 3 * MINUTE).isoformat()


def test_one_that_people_declare_has_evidence_too(model, panels, at):
    declared = Declaration("Slow", 2, model.id, "latency_regression")
    incident = service.declare(declared, by=BATON, at=at)

    (row,) = kept(incident.id)
    assert (row.kind, row.taken_at) == ("health", at)
    assert states(row.content["health"])["p99"] == "breach"


def test_so_has_one_that_people_open_again(model, panels, at):
    incident = service.declare(
        Declaration("Slow", 2, model.id, "latency_regression"), by=BATON, at=at
    )
    service.resolve(incident.id, reason="x", noise=False, seen=None, by=BATON, at=at)
    service.reopen(incident.id, reason="not over", seen=None, by=BATON, at=at + MINUTE)

    assert [row.episode for row in kept(incident.id)] == [1, 2]


def test_one_from_triage_is_seen_when_it_gets_its_model(model, panels, at):
    incident = service.declare(Declaration("Slow", 2, None, "latency_regression"), by=BATON, at=at)
    assert queries.evidence(incident.id, 1) is None

    later = at + MINUTE
    service.assign_model(incident.id, model.id, seen=None, by=BATON, at=later)

    assert queries.evidence(incident.id, 1).content["health"]["taken_at"] == later.isoformat()


def test_a_model_without_panels_keeps_what_the_alert_said(model, at):
    (incident_id,) = open_by_alert(model.id, at=at).opened

    assert "health" not in kept(incident_id)[0].content


def test_a_lamp_that_the_worker_left_behind_is_kept_as_unknown(model, panels, at):
    frame = health.snapshots([model.id], at=at + timedelta(hours=2))[model.id]

    assert set(states(frame).values()) == {"no_data"}


def test_a_panel_that_was_never_looked_at_is_kept_as_unknown(model, at):
    factories.panel(model, slug="new")

    frame = health.snapshots([model.id], at=at)[model.id]

    assert [(one["state"], one["line"]) for one in frame["panels"]] == [
        ("no_data", "not looked yet")
    ]


def test_service_levels_are_kept_with_their_budget(model, at):
    slo = factories.slo(model, slug="within")
    hour = 3600
    with unit_of_work():
        row = db.session.get_one(type(slo), slo.id)
        row.counts = {str(hour): [200, 1000], str(28 * 24 * hour): [300, 100_000]}
        row.looked_at, row.burning = at, "page"

    (level,) = health.snapshots([model.id], at=at)[model.id]["levels"]

    assert (level["slug"], level["burning"], level["is_current"]) == ("within", "page", True)
    assert level["left"] == pytest.approx(0.7)
    assert level["rates"]["1"] == pytest.approx(20)


def test_many_incidents_cost_as_many_statements_as_one(app, queries, at):
    owner = factories.team()
    one, *many = [plain(factories.model(f"m-{n}", owner=owner)) for n in range(13)]
    for model in (one, *many):
        for number in range(3):
            look(factories.panel(model, slug=f"p{number}"), 612.0, at)
    alone = queries(lambda: open_by_alert(one.id, at=at))

    assert queries(lambda: open_by_alert(*[m.id for m in many], at=at, number=5)) == alone
    assert len(list(db.session.scalars(select(Incident)))) == 13


def test_a_snapshot_takes_three_statements(model, panels, at, queries):
    assert queries(lambda: health.snapshots([model.id], at=at)) == 3
    assert queries(lambda: health.snapshots([], at=at)) == 0


def test_alerts_that_open_nothing_look_at_no_panel(model, panels, at, queries):
    open_by_alert(model.id, at=at)

    open_by_alert(model.id, at=at + MINUTE)  # what a process remembers is read now
    queries(lambda: open_by_alert(model.id, at=at + 2 * MINUTE))

    assert not [one for one in queries.statements if "health_" in one]


def test_a_snapshot_is_bounded(model, at):
    for number in range(220):
        panel = factories.panel(model, title="p99 latency " + "of a long name " * 6)
        if number < 15:
            for second in range(0, 3600, 30):
                look(panel, 612.0, at - timedelta(seconds=second))

    frame = health.snapshots([model.id], at=at)[model.id]

    assert len(json.dumps(frame, ensure_ascii=False).encode()) <= health.MOST_BYTES
    assert len(frame["panels"]) + frame["left_out"] == 220
    assert frame["panels"][0]["state"] == "breach"
    assert all(len(panel.get("points", ())) <= health.MOST_POINTS for panel in frame["panels"])


def test_a_change_of_method_breaks_the_kept_line(model, at):
    panel = factories.panel(model, Lane.INPUT_DRIFT, unit="", above=0.2)
    for minute, series in ((2, "PSI · a"), (1, "PSI · a"), (0, "K-S · a")):
        look(panel, 0.3, at - minute * MINUTE, series=series)

    (kept_panel,) = health.snapshots([model.id], at=at)[model.id]["panels"]

    assert [point and point[1] for point in kept_panel["points"]] == [0.3, 0.3, None, 0.3]
    assert len(health.line_of(kept_panel, until=at).paths) == 2


# --- The page


@pytest.fixture
def opened(model, panels, at):
    (incident_id,) = open_by_alert(model.id, at=at).opened
    db.session.remove()
    return incident_id


def test_the_page_shows_what_was_seen_beside_what_is_seen(opened, panels, at, signed_in):
    from app.core.clock import now

    look(panels[0], 90.0, now())

    page = signed_in(Role.VIEWER).get(f"/incidents/{opened}").text

    then, _, since = page.partition('data-seen="now"')
    assert "612 / 250 ms" in then
    assert "Jensen-Shannon distance, against train-2026-02" in then
    assert 'class="ln"' in then
    assert "p99 latency in the hour before: 612 / 250 ms, limit 250 ms" in then
    assert "1 more was OK" in then
    assert "90 / 250 ms" in since
    assert re.search(r"Was breach at open", since)
    assert "style=" not in page.split("<body", 1)[1].split("</head>")[-1]


def test_changes_stand_on_the_axis_of_the_lines(opened, model, at, signed_in):
    from app.alerts.tables import Change, Delivery

    door, _ = factories.integration()
    delivery = factories.keep(
        Delivery(receipt="r", integration_id=door.id, source="generic", received_at=at, path="/",
                 headers={}, size=0, sha256="", state="accepted", what="")
    )  # fmt: skip
    for minutes, text in ((30, "Deploy feature-gateway 8.14.2"), (90, "Too long ago")):
        factories.keep(
            Change(integration_id=door.id, delivery_id=delivery.id, at=at - minutes * MINUTE,
                   summary=text, model_id=model.id, links=[], detail={})
        )  # fmt: skip

    page = signed_in(Role.VIEWER).get(f"/incidents/{opened}").text

    assert "Deploy feature-gateway 8.14.2" in page
    assert "30 min before" in page
    assert 'x1="50.0%"' in page
    assert "Too long ago" not in page


def test_the_live_region_is_small_and_holds_no_field(opened, panels, signed_in):
    from app.core.clock import now

    look(panels[0], 612.0, now())
    client = signed_in(Role.RESPONDER)
    answer = client.get(f"/incidents/{opened}/part/readings", headers={"HX-Request": "true"})

    assert answer.status_code == 200
    assert len(answer.data) < 6000
    assert not re.search(r"<(input|textarea|select|form|button)", answer.text)
    same = {"HX-Request": "true", "If-None-Match": answer.headers["ETag"]}
    assert client.get(f"/incidents/{opened}/part/readings", headers=same).status_code == 304


def test_an_incident_of_a_model_without_panels_shows_what_the_alert_said(model, at, signed_in):
    (incident_id,) = open_by_alert(model.id, at=at).opened

    page = signed_in(Role.VIEWER).get(f"/incidents/{incident_id}").text

    assert "What the alert said when the incident opened" in page
    assert 'data-seen="now"' not in page


def test_the_page_costs_the_same_for_one_panel_or_fifty(opened, model, at, signed_in, queries):
    client = signed_in(Role.VIEWER)
    client.get(f"/incidents/{opened}")
    few = queries(lambda: client.get(f"/incidents/{opened}"))
    for _ in range(40):
        look(factories.panel(model), 612.0, at)

    assert queries(lambda: client.get(f"/incidents/{opened}")) == few


def test_the_api_tells_the_evidence(opened, client, token):
    said = client.get(f"/api/v1/incidents/{opened}", headers=token("incidents:read")).json

    assert states(said["evidence"]["health"])["p99"] == "breach"


def test_the_page_of_a_run_with_evidence_loads_no_more_css_than_it_may(
    opened, model, at, signed_in
):
    from app.runbooks.runs import service as runs
    from tests.support import runbooks

    version = runbooks.published(runbooks.latency(), slug="latency")
    runs.start(runs.Beginning(version.id, incident_id=opened), by=BATON, at=at)

    page = signed_in(Role.RESPONDER).get(f"/incidents/{opened}").text

    sheets = re.findall(r'<link rel="stylesheet" href="/static/v-[^/]+/([^"]+)"', page)
    assert "css/pages/evidence.css" in sheets
    assert sum((FOLDER / sheet).stat().st_size for sheet in sheets) <= 40_960


def test_a_breach_that_baton_sees_comes_with_what_it_saw(model, panels, at):
    from app.alerts import health_feed

    look(panels[0], 612.0, at + MINUTE)
    health_feed.read_changes(at=at + MINUTE)
    processing.process_next(at=at + MINUTE)

    (incident,) = db.session.scalars(select(Incident)).all()
    assert states(kept(incident.id)[0].content["health"])["p99"] == LampState.BREACH
