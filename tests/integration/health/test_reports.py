"""Drift reports: kept once, judged by the panels of their lane, and refused with a reason."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.core.db import db, unit_of_work
from app.core.errors import BadRequestError, RefusedError
from app.health import recording, reports
from app.health.rules import LampState, Lane
from app.health.sources.base import Report
from app.health.sources.reading import Given
from app.health.tables import DriftReport, HealthSource, Lamp, Panel, Reading, StateChange
from app.people.rules import Actor
from app.people.tables import AuditEntry
from tests.support import factories

ROBOT = Actor("token", 1, "nightly job")


@pytest.fixture
def model(app):
    return factories.model("recsys-home")


def envelope(at, value=0.1, *, minutes=1, **more):
    said = {
        "model": "recsys-home", "version": "v1", "kind": "input", "rows": 1200,
        "window_start": (at - timedelta(minutes=minutes)).isoformat(),
        "window_end": at.isoformat(), "reference_id": "training-1",
        "report": {"method": "psi", "value": value, "threshold": 0.2, "direction": "above"},
    }  # fmt: skip
    return said | more


def push(document, at, **given):
    return reports.push(document, given=Given(received_at=at, **given), by=ROBOT, at=at)


def panels():
    return list(db.session.scalars(select(Panel).order_by(Panel.id)))


def lamp(panel):
    db.session.expire_all()
    return db.session.get(Lamp, panel.id)


def source(slug="drift-api"):
    return factories.keep(
        HealthSource(slug=slug, name=slug, kind="drift", url="https://x.test", options={},
                     every=15, due_at=factories.NOON, created_at=factories.NOON,
                     created_by="Test")
    )  # fmt: skip


def test_the_first_report_of_a_lane_makes_its_panel(model, at):
    taken = push([envelope(at), envelope(at, kind="output_quality")], at)

    assert (taken.reports, taken.models, taken.panels) == (2, ("recsys-home",), 2)
    drift, quality = panels()
    assert (drift.lane, drift.slug, drift.min_rows, drift.above, drift.below) == (
        Lane.INPUT_DRIFT, "input-drift", 1000, 0.2, None,
    )  # fmt: skip
    assert (drift.window, drift.stale_after, drift.spec) == (60, 180, {"verdict": "tool"})
    assert (drift.failure_mode, quality.failure_mode) == ("input_drift", "output_drift")
    assert quality.min_rows == 1000
    assert lamp(drift).state is lamp(quality).state is LampState.OK
    assert lamp(drift).series == "psi · training-1"
    assert db.session.scalars(select(AuditEntry.action)).all() == ["health.panel.create"] * 2


def test_the_lanes_of_a_model_are_never_merged(model, at):
    push([envelope(at, 0.9), envelope(at, kind="output_quality"), envelope(at, kind="latency")], at)

    assert {one.lane: lamp(one).state for one in panels()} == {
        Lane.INPUT_DRIFT: LampState.BREACH,
        Lane.OUTPUT_QUALITY: LampState.OK,
        Lane.LATENCY_DRIFT: LampState.OK,
    }


def test_a_report_that_is_sent_again_is_the_same_row(model, at):
    push(envelope(at), at)
    push(envelope(at, 0.15), at + timedelta(seconds=5))

    (row,) = db.session.scalars(select(DriftReport))
    assert (row.value, row.sender, row.rows) == (0.15, "nightly job", 1200)
    assert db.session.scalar(select(func.count()).select_from(Reading)) == 1
    assert len(panels()) == 1


def test_a_worse_report_of_a_window_is_not_hidden_by_a_better_one(model, at):
    push(envelope(at, 0.9, version="v2"), at)
    push(envelope(at, 0.1, version="v1"), at)

    (panel,) = panels()
    assert lamp(panel).state is LampState.BREACH


def test_an_unknown_model_is_refused_and_nothing_is_kept(model, at):
    with pytest.raises(RefusedError, match="no model “recsys-hmoe” in production"):
        push([envelope(at), envelope(at, model="recsys-hmoe")], at)
    assert db.session.scalar(select(func.count()).select_from(DriftReport)) == 0
    assert panels() == []


def test_a_retired_model_takes_no_reports(app, at):
    factories.model("recsys-home", retired_at=at)
    with pytest.raises(RefusedError):
        push(envelope(at), at)


@pytest.mark.parametrize("document", [{}, [], "text", {"hello": 1}, None])
def test_what_can_not_be_read_is_a_bad_request(model, at, document):
    with pytest.raises(BadRequestError):
        push(document, at)


def test_a_report_without_a_model_is_a_bad_request_that_says_so(model, at):
    bare = envelope(at)["report"]
    with pytest.raises(BadRequestError, match="which model"):
        push(bare, at)
    assert push(bare, at, model="recsys-home").panels == 1


def test_a_small_window_is_partial_and_an_empty_one_has_no_traffic(model, at):
    push(envelope(at, rows=612), at)
    (panel,) = panels()
    assert lamp(panel).state is LampState.PARTIAL
    assert lamp(panel).remark == "612 of the 1,000 rows that it takes"

    push(envelope(at + timedelta(minutes=1), None, rows=0), at + timedelta(minutes=1))
    assert lamp(panel).state is LampState.NO_TRAFFIC


def test_a_method_without_a_direction_shows_its_number_and_no_verdict(model, at):
    report = {"method": "our own", "value": 0.4, "threshold": 0.2}
    push(envelope(at, report=report), at)

    (panel,) = panels()
    assert lamp(panel).state is LampState.NOT_MEASURABLE
    assert lamp(panel).value == 0.4
    assert (panel.above, panel.below) == (None, None)


def test_a_switch_of_the_method_is_another_series_of_the_same_panel(model, at):
    push(envelope(at), at)
    later = at + timedelta(minutes=1)
    report = {"method": "ks", "value": 0.01, "threshold": 0.05, "direction": "below"}
    push(envelope(later, report=report), later)

    (panel,) = panels()
    assert lamp(panel).state is LampState.BREACH
    series = select(Reading.series).where(Reading.panel_id == panel.id).order_by(Reading.at)
    assert db.session.scalars(series).all() == ["psi · training-1", "ks · training-1"]


def test_a_limit_is_bound_to_the_method_that_it_meets_first(model, at):
    push(envelope(at), at)
    with unit_of_work() as session:
        panel = session.scalars(select(Panel)).one()
        panel.spec, panel.above = {"verdict": "limit"}, 0.05
    push(envelope(at + timedelta(minutes=1)), at + timedelta(minutes=1))
    assert lamp(panel).state is LampState.BREACH
    assert db.session.get(Panel, panel.id).spec == {"verdict": "limit", "limit_of": "psi"}

    later = at + timedelta(minutes=2)
    report = {"method": "ks", "value": 0.01, "threshold": 0.05, "direction": "below"}
    push(envelope(later, report=report), later)
    assert lamp(panel).state is LampState.NOT_MEASURABLE
    assert "its limit was set for psi, not for ks" in lamp(panel).remark


def test_a_panel_that_somebody_closed_is_not_made_again(model, at):
    push(envelope(at), at)
    with unit_of_work() as session:
        session.scalars(select(Panel)).one().closed_at = at

    taken = push(envelope(at + timedelta(minutes=1)), at + timedelta(minutes=1))

    assert (taken.reports, taken.panels) == (1, 0)
    assert len(panels()) == 1


def test_a_slug_that_is_taken_is_not_taken_twice(model, at):
    push(envelope(at), at)
    other = source()
    with unit_of_work() as session:
        (report,) = reports.drift.parse(envelope(at), given=Given(received_at=at))
        reports.take(session, [report], source_id=other.id, at=at)
    assert [one.slug for one in panels()] == ["input-drift", "input-drift-2"]


def test_windows_that_come_together_are_each_judged(model, at):
    push(envelope(at), at)
    with unit_of_work() as session:
        panel = session.scalars(select(Panel)).one()
        panel.k, panel.n = 2, 3
    ends = [at + timedelta(minutes=minute) for minute in (1, 2)]

    push([envelope(end, 0.9) for end in reversed(ends)], ends[-1])

    assert lamp(panel).state is LampState.BREACH
    assert db.session.scalar(select(func.count()).select_from(Reading)) == 3


def test_an_older_window_changes_nothing(model, at):
    push(envelope(at), at)
    push(envelope(at - timedelta(minutes=5), 0.9), at)
    (panel,) = panels()
    assert lamp(panel).state is LampState.OK


def test_reports_that_stop_coming_are_no_longer_all_right(model, at):
    push(envelope(at), at)
    (panel,) = panels()
    soon, late = at + timedelta(minutes=2), at + timedelta(minutes=4)

    assert reports.observe(at=soon) == {}
    recording.record(reports.observe(at=late), at=late)

    assert lamp(panel).state is LampState.NO_DATA
    assert "nothing since" in lamp(panel).remark
    assert reports.observe(at=late) == {}


def test_silence_hides_a_breach_and_does_not_end_it(model, at):
    push(envelope(at, 0.9), at)
    (panel,) = panels()
    late = at + timedelta(minutes=4)
    recording.record(reports.observe(at=late), at=late)
    assert lamp(panel).in_breach

    push(envelope(late), late)
    assert not lamp(panel).in_breach
    facts = select(StateChange.fact).order_by(StateChange.id)
    assert [fact for fact in db.session.scalars(facts) if fact] == ["breach", "recovered"]


def test_a_pull_leaves_unknown_models_out_and_takes_the_rest(model, at):
    pulled = source()
    known = Report("recsys-home", Lane.INPUT_DRIFT, at, "baton", method="psi", value=0.1,
                   said_outside=False, rows=5000)  # fmt: skip
    with unit_of_work() as session:
        seen = reports.take(
            session, [known, replace(known, model="stranger")], source_id=pulled.id, at=at
        )
    (panel,) = panels()
    assert list(seen) == [panel.id]
    assert panel.source_id == pulled.id
    assert seen[panel.id].said_outside is False


def test_many_reports_cost_no_more_statements_than_few(model, at, queries):
    push(envelope(at), at)
    few = queries(lambda: push([envelope(at + timedelta(minutes=1))], at + timedelta(minutes=1)))
    later = at + timedelta(minutes=2)
    many = [envelope(later, reference_id=f"training-{n}") for n in range(40)]
    assert queries(lambda: push(many, later)) <= few + 1


def test_a_panel_of_a_closed_source_does_not_stay_all_right(model, at):
    pulled = source()
    (report,) = reports.drift.parse(envelope(at), given=Given(received_at=at))
    with unit_of_work() as session:
        recording.record(reports.take(session, [report], source_id=pulled.id, at=at), at=at)
    (panel,) = panels()
    late = at + timedelta(minutes=4)
    assert reports.observe(at=late) == {}  # the poller sees to it

    with unit_of_work() as session:
        session.get(HealthSource, pulled.id).closed_at = at

    recording.record(reports.observe(at=late), at=late)
    assert lamp(panel).state is LampState.NO_DATA
