"""What was seen becomes lamps, readings and facts."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.core.db import db, unit_of_work
from app.health import queries, recording
from app.health.recording import figure, in_words
from app.health.rules import LampState, Lane, Observation
from app.health.tables import Lamp, Panel, Reading, StateChange
from app.people.rules import BATON
from app.registry import service as registry
from tests.support import factories

GONE = LampState.UNREACHABLE


@pytest.fixture
def model(app):
    return factories.model("recsys-home", owner=factories.team())


@pytest.fixture
def look(at):
    """Record what one look saw of a panel, so many seconds after the first."""

    def look(panel, value=None, *, after=0, **more):
        moment = at + timedelta(seconds=after)
        seen = Observation(more.pop("of", moment), value, more.pop("rows", 500.0), **more)
        recording.record({panel.id: seen}, at=moment)
        db.session.expire_all()
        return db.session.get_one(Lamp, panel.id)

    return look


def facts():
    return [(one.fact, one.sentence) for one in queries.facts_after(0, limit=100)]


def test_a_throughput_of_nought_is_a_breach_of_its_lower_limit(model, look):
    panel = factories.panel(
        model, slug="rps", lane=Lane.THROUGHPUT, unit="rps", above=None, clear=None, below=1.0,
        min_rows=50,
    )  # fmt: skip

    assert look(panel, 0.01, rows=3.0).state is LampState.BREACH
    assert look(panel, 0.0, rows=0.0, after=30).state is LampState.BREACH


def test_a_fact_names_the_limit_that_was_passed(model, look):
    panel = factories.panel(
        model, lane=Lane.THROUGHPUT, title="Requests", unit="rps", below=1.0, above=900.0
    )
    look(panel, 0.5, rows=100)

    fact = db.session.scalars(select(StateChange)).one()
    assert fact.sentence == "Requests 0.50 rps, limit 1 rps"
    assert (fact.detail["limit"], fact.detail["is_lower_limit"]) == (1.0, True)


def test_a_panel_has_a_lamp_and_a_reading_after_its_first_window(model, look, at):
    panel = factories.panel(model)

    lamp = look(panel, 96.0)

    assert (lamp.state, lamp.value, lamp.rows) == (LampState.OK, 96.0, 500)
    assert (lamp.since, lamp.newest_at, lamp.looked_at) == (at, at, at)
    reading = db.session.scalars(select(Reading)).one()
    assert (reading.panel_id, reading.at, reading.value) == (panel.id, at, 96.0)
    assert facts() == [("", "p99 latency 96 ms, limit 250 ms")]


def test_a_breach_is_a_fact_and_so_is_its_end(model, look):
    panel = factories.panel(model, k=2, n=3)

    states = [
        look(panel, value, after=30 * number).state.value
        for number, value in enumerate([96, 612, 612, 90, 90])
    ]

    assert states == ["ok", "partial", "breach", "breach", "ok"]
    assert facts() == [
        ("", "p99 latency 96 ms, limit 250 ms"),
        (
            "",
            ("p99 latency is only partly known: outside its limit in 1 of the 2 windows "
            "that make a breach"),
        ),
        ("breach", "p99 latency 612 ms, limit 250 ms"),
        ("recovered", "p99 latency 90 ms, limit 250 ms"),
    ]  # fmt: skip


def test_a_fact_holds_what_a_higher_feature_needs(model, look):
    panel = factories.panel(model, slug="p99", severity=2)
    look(panel, 612.0)

    (fact,) = queries.facts_after(0, limit=10)

    assert (fact.panel_id, fact.slo_id) == (panel.id, None)
    assert (
        fact.detail.items()
        >= {
            "panel": "p99",
            "model": "recsys-home",
            "lane": "latency",
            "value": 612.0,
            "limit": 250.0,
            "unit": "ms",
            "failure_mode": "latency_regression",
            "severity": 2,
        }.items()
    )


def test_an_unchanged_state_keeps_its_since_and_is_no_fact(model, look, at):
    panel = factories.panel(model)
    look(panel, 96.0)

    lamp = look(panel, 97.0, after=30)

    assert lamp.since == at
    assert len(facts()) == 1


def test_the_same_window_again_replaces_what_it_said(model, look, at):
    panel = factories.panel(model, k=2, n=2)
    look(panel, 612.0)

    lamp = look(panel, 612.0, after=10, of=at)

    assert lamp.state is LampState.PARTIAL
    assert len(lamp.windows) == 1
    assert db.session.query(Reading).count() == 1


def test_an_older_window_changes_nothing(model, look, at):
    panel = factories.panel(model)
    look(panel, 96.0, after=60)

    lamp = look(panel, 612.0, after=90, of=at)

    assert (lamp.state, lamp.value) == (LampState.OK, 96.0)


def test_a_source_that_is_gone_hides_a_breach_and_does_not_end_it(model, look):
    panel = factories.panel(model)
    look(panel, 612.0)

    lamp = look(panel, after=30, gap=GONE, remark="serving does not answer")

    assert (lamp.state, lamp.in_breach) == (GONE, True)
    assert (lamp.value, lamp.remark) == (612.0, "serving does not answer")
    assert [fact for fact, _ in facts()] == ["breach", ""]
    assert look(panel, 612.0, after=60).state is LampState.BREACH
    assert [fact for fact, _ in facts()] == ["breach", "", ""]


def test_nobody_seeing_it_for_ten_minutes_is_a_fact_once(model, look, at):
    panel = factories.panel(model)
    look(panel, 96.0)
    look(panel, after=30, gap=GONE)

    assert recording.tell_blind(at=at + timedelta(minutes=9)) == 0
    assert recording.tell_blind(at=at + timedelta(minutes=11)) == 1
    assert recording.tell_blind(at=at + timedelta(minutes=12)) == 0
    look(panel, after=700, gap=GONE)
    assert recording.tell_blind(at=at + timedelta(minutes=13)) == 0

    look(panel, 96.0, after=730)
    assert [fact for fact, _ in facts()] == ["", "", "blind", "seeing"]
    assert facts()[2][1] == "p99 latency is not to be reached: for 10 min"


def test_a_panel_that_was_never_seen_wakes_nobody(model, look, at):
    panel = factories.panel(model)
    look(panel, gap=LampState.NO_DATA, remark="no such series")
    look(panel, gap=GONE, after=60)
    assert recording.tell_blind(at=at + timedelta(hours=9)) == 0

    look(panel, 96.0, after=9 * 3600)
    look(panel, gap=GONE, after=9 * 3600 + 60)
    assert recording.tell_blind(at=at + timedelta(hours=10)) == 1


def test_a_panel_that_only_ever_had_no_traffic_was_seen(model, look, at):
    panel = factories.panel(model)
    look(panel, gap=LampState.NO_TRAFFIC, rows=None)
    look(panel, gap=GONE, after=60)

    assert recording.tell_blind(at=at + timedelta(minutes=12)) == 1


@pytest.fixture
def retire(model, at):
    def retire(after):
        moment = at + timedelta(minutes=after)
        registry.retire_model("recsys-home", by=BATON, at=moment)
        return recording.let_go_of_unwatched(at=moment)

    return retire


def test_a_retired_model_has_no_lamps_and_what_was_told_of_it_ends(model, look, retire, at):
    broken, blind, well = (factories.panel(model, title=name) for name in ("Slow", "Dark", "Well"))
    for panel, value in ((broken, 612.0), (blind, 96.0), (well, 96.0)):
        look(panel, value)
    look(blind, gap=GONE, after=60)
    recording.tell_blind(at=at + timedelta(minutes=12))
    before = len(facts())

    assert retire(after=13) == 3

    assert facts()[before:] == [
        ("recovered", "Slow is no longer watched"),
        ("seeing", "Dark is no longer watched"),
    ]
    assert db.session.query(Lamp).count() == 0
    assert recording.let_go_of_unwatched(at=at + timedelta(minutes=14)) == 0


def test_a_late_look_at_a_retired_model_lights_no_lamp(model, look, retire, at):
    panel = factories.panel(model)
    retire(after=0)

    seen = {panel.id: Observation(at + timedelta(minutes=1), 612.0, 500.0)}
    assert recording.record(seen, at=at + timedelta(minutes=1)).panels == 0


def test_a_breach_that_nobody_could_see_ends_with_both_facts(model, look, retire, at):
    panel = factories.panel(model)
    look(panel, 612.0)
    look(panel, gap=GONE, after=60)
    recording.tell_blind(at=at + timedelta(minutes=12))

    retire(after=13)

    assert [fact for fact, _ in facts()][-2:] == ["recovered", "seeing"]


def test_a_lamp_that_a_late_look_left_on_a_closed_panel_goes(model, look, at):
    panel = factories.panel(model)
    look(panel, 612.0)
    with unit_of_work() as session:
        session.get_one(Panel, panel.id).closed_at = at

    assert recording.let_go_of_unwatched(at=at) == 1
    assert facts()[-1] == ("recovered", "p99 latency is no longer watched")


def test_no_traffic_is_not_blindness(model, look, at):
    panel = factories.panel(model)
    lamp = look(panel, None, rows=0.0)

    assert lamp.state is LampState.NO_TRAFFIC
    assert recording.tell_blind(at=at + timedelta(hours=9)) == 0


def test_a_closed_panel_is_not_written(model, look, at):
    panel = factories.panel(model, closed_at=at)

    recorded = recording.record({panel.id: Observation(at, 612.0, 500.0)}, at=at)

    assert recorded == recording.Recorded(0, 0)


def test_two_hundred_panels_cost_as_many_statements_as_one(model, queries, at):
    panels = [factories.panel(model) for _ in range(200)]

    def record(some, minute):
        moment = at + timedelta(minutes=minute)
        recording.record({one.id: Observation(moment, 612.0, 9.0) for one in some}, at=moment)

    one = queries(lambda: record(panels[:1], 0))
    all_of_them = queries(lambda: record(panels, 1))

    assert all_of_them == one


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (612.0, "ms", "612 ms"),
        (0.21, "%", "0.21 %"),
        (1210.0, "rows", "1,210 rows"),
        (-4.4, "%", "−4.40 %"),
        (58.25, "ms", "58.2 ms"),
        (0.0, "", "0"),
        (0.0312, "", "0.0312"),
    ],
)  # fmt: skip
def test_figures_are_as_people_read_them(value, unit, shown):
    assert figure(value, unit) == shown


def test_a_state_without_a_figure_is_said_in_words():
    assert in_words("Errors", LampState.NO_DATA, None, 1.0, "%") == "Errors is without data"
