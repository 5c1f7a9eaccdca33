"""What a runbook says under `until`, held against the panels of the model."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.core.db import db
from app.health import presets, recording
from app.health.rules import LampState, Lane, Observation
from app.incidents.sensing import sense, wanted
from app.people.rules import BATON, Role
from app.runbooks.format import read
from app.runbooks.runs import queries, service
from app.runbooks.runs.rules import EventKind, Said, StepState
from app.runbooks.runs.sensing import sense_waiting
from app.runbooks.runs.service import Beginning
from tests.support import factories
from tests.support.following import LATENCY, publish

MINUTE = timedelta(minutes=1)


@pytest.fixture
def model(app):
    return factories.model("recsys-home", owner=factories.team())


@pytest.fixture
def p99(model):
    source = factories.health_source(name="Serving API")
    return factories.panel(model, slug="p99", source_id=source.id)


@pytest.fixture
def see(at):
    """Record what a panel showed, minute by minute, the last value at `at`."""

    def see(panel, *values, **more):
        for number, value in enumerate(values):
            moment = at - MINUTE * (len(values) - 1 - number)
            gap = value if isinstance(value, LampState) else None
            seen = Observation(moment, None if gap else value, more.get("rows", 500.0), gap=gap)
            recording.record({panel.id: seen}, at=moment)
        db.session.expire_all()

    return see


def ask(until, at, **more):
    return sense("recsys-home", {"until": until, "at": at, "minutes": 30, **more})


@pytest.mark.parametrize(
    ("until", "subjects", "sign", "number", "unit", "minutes"),
    [
        ("p99 below its limit for 15 min", ("p99",), "", 0, "", 15),
        ("p99 is back inside its limit", ("p99",), "", 0, "", 0),
        ("input drift inside its limit for 2 h", ("input drift",), "", 0, "", 120),
        ("p99 and errors inside their limits", ("p99", "errors"), "", 0, "", 0),
        ("error ratio below 0.1 % for 10 min", ("error ratio",), "<", 0.1, "%", 10),
        ("max(feature_psi) < 0.1 for 30 min", ("max(feature_psi)",), "<", 0.1, "", 30),
        ("p99 under 250 ms", ("p99",), "<", 250, "ms", 0),
        ("rate at least 1,200 rps for 5 min", ("rate",), ">=", 1200, "rps", 5),
        ("schema_reject_ratio = 0 for 15 min", ("schema_reject_ratio",), "=", 0, "", 15),
        ("saves ≥ −4.4 % for 3 d", ("saves",), ">=", -4.4, "%", 4320),
    ],
)
def test_what_stands_under_until_is_read(until, subjects, sign, number, unit, minutes):
    goal = wanted(until)

    assert (goal.subjects, goal.sign, goal.number, goal.unit) == (subjects, sign, number, unit)
    assert goal.span == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    "until",
    ["", "15 min", "no 401 or 403 for 15 min", "all targets up for 15 min",
     "cache_hit_ratio at its usual value for 15 min", "CTR of new users in its band for 60 min",
     "exploration share >= its floor for 60 min"],
)  # fmt: skip
def test_words_for_people_are_left_to_people(until):
    assert wanted(until) is None


def test_a_model_that_nobody_watches_senses_nothing(model, at):
    assert ask("p99 below its limit", at) is None
    assert sense(None, {"until": "p99 below its limit", "at": at}) is None


def test_a_reading_inside_its_limit_for_long_enough_holds(p99, see, at):
    see(p99, *[96.0] * 20)

    found = ask("p99 below its limit for 15 min", at)

    assert found.holds is True
    assert (found.reading, found.target) == ("96 ms", "at most 250 ms for 15 min")
    assert found.source == "p99 latency, Serving API"
    assert found.at == at


def test_one_window_outside_begins_the_wait_anew(p99, see, at):
    see(p99, *[96.0] * 10, 612.0, *[96.0] * 6)

    found = ask("p99 below its limit for 15 min", at)

    assert found.holds is False
    assert found.reading == "96 ms for 6 min"
    assert ask("p99 below its limit for 5 min", at).holds is True


def test_a_timer_counts_from_its_own_begin(p99, see, at):
    see(p99, *[96.0] * 40)

    early = ask("p99 below its limit for 15 min", at, since=at - 6 * MINUTE)
    late = ask("p99 below its limit for 15 min", at, since=at - 16 * MINUTE)

    assert (early.holds, early.reading) == (False, "96 ms for 6 min")
    assert late.holds is True


def test_a_breach_does_not_hold(p99, see, at):
    see(p99, 612.0)

    found = ask("p99 below its limit", at)

    assert (found.holds, found.reading) == (False, "612 ms")


@pytest.mark.parametrize("gap", [LampState.UNREACHABLE, LampState.NO_DATA, LampState.NO_TRAFFIC])
def test_what_nobody_sees_is_never_said_to_hold(p99, see, at, gap):
    see(p99, *[96.0] * 20, gap)

    assert ask("p99 below its limit for 15 min", at).holds is None
    assert ask("p99 below its limit", at).holds is None


def test_a_hole_in_the_window_leaves_it_to_people(p99, see, at):
    see(p99, *[96.0] * 5, LampState.UNREACHABLE, *[96.0] * 10)

    found = ask("p99 below its limit for 12 min", at)

    assert found.holds is None
    assert "not seen all the time" in found.reading
    assert ask("p99 below its limit for 8 min", at).holds is True


def test_readings_that_nobody_took_are_a_hole_too(p99, see, at):
    for minutes in (20, 2, 1, 0):
        moment = at - minutes * MINUTE
        recording.record({p99.id: Observation(moment, 96.0, 500.0)}, at=moment)

    assert ask("p99 below its limit for 15 min", at).holds is None


def test_a_lamp_that_the_worker_left_behind_is_doubted(p99, see, at):
    see(p99, *[96.0] * 20)

    assert ask("p99 below its limit", at + timedelta(minutes=10)).holds is None


def test_a_panel_that_was_never_looked_at_says_nothing(p99, at):
    assert ask("p99 below its limit", at).holds is None


def test_few_rows_are_no_proof(model, see, at):
    panel = factories.panel(model, slug="p99", min_rows=1000)
    see(panel, 96.0, rows=12.0)

    assert ask("p99 below its limit", at).holds is None
    assert ask("p99 below 250 ms", at).holds is None
    assert ask("p99 below 50 ms", at).holds is False


def test_a_reading_from_before_the_timer_proves_nothing(p99, see, at):
    see(p99, 96.0)

    assert ask("p99 below its limit", at + MINUTE, since=at).holds is None
    assert ask("p99 below its limit", at + MINUTE, since=at - MINUTE).holds is True


def test_a_panel_that_is_not_there_is_named(p99, see, at):
    see(p99, 96.0)

    found = ask("feature_psi < 0.1 for 30 min", at)

    assert (found.holds, found.reading) == (None, "not seen")
    assert found.source == "no panel of recsys-home tells feature_psi"


def test_a_lane_holds_when_all_of_its_panels_do(model, p99, see, at):
    p50 = factories.panel(model, slug="p50", title="p50 latency", above=50.0)
    see(p99, 96.0)
    see(p50, 61.0)

    found = ask("latency inside its limit", at)
    assert (found.holds, found.reading) == (False, "61 ms")
    assert found.target == "all inside their limits"

    see(p50, 20.0)
    assert ask("latency inside its limit", at).holds is True


def test_what_can_not_be_measured_does_not_hold_up_what_can(model, p99, see, at):
    mean = factories.panel(model, slug="mean")
    see(p99, 96.0)
    see(mean, LampState.NOT_MEASURABLE)

    assert ask("latency inside its limit", at).holds is True
    assert ask("mean inside its limit", at).holds is None


@pytest.mark.parametrize("subject", ["input drift", "input_drift", "Input drift"])
def test_lanes_go_by_their_names(model, see, at, subject):
    panel = factories.panel(model, Lane.INPUT_DRIFT, slug="drift-of-inputs", unit="", above=0.2)
    see(panel, 0.08)

    assert ask(f"{subject} inside its limit", at).holds is True


def test_a_metric_names_the_panel_that_reads_it(model, see, at):
    spec = {"query": "sum by ($by) (rate(http_errors_total[$w]))"}
    panel = factories.panel(model, Lane.OTHER, title="Failures", unit="%", above=1.0, spec=spec)
    see(panel, 0.02)

    assert ask("http_errors_total below 0.1 %", at).holds is True


@pytest.mark.parametrize(
    ("until", "holds"),
    [("p99 below 100 ms", True), ("p99 < 0.1 s", True), ("p99 below 90 ms", False),
     ("p99 below 100", None), ("p99 below 100 %", None)],
)  # fmt: skip
def test_a_number_is_compared_in_the_unit_of_the_panel_or_not_at_all(p99, see, at, until, holds):
    see(p99, 96.0)

    assert ask(until, at).holds is holds


def test_a_window_of_days_is_for_people(p99, see, at):
    see(p99, *[96.0] * 20)

    found = ask("p99 below its limit for 3 d", at, minutes=4320)

    assert (found.holds, found.reading) == (None, "96 ms")


@pytest.fixture
def run(app, at, p99):
    version = publish(LATENCY, at=at)
    began = at - 16 * MINUTE
    begun = service.start(Beginning(version.id, model_name="recsys-home"), by=BATON, at=began)
    said = Said(EventKind.WAITING, "soak")
    service.add(begun.id, said, client_event_id="w", by=BATON, at=began)
    return begun.id


def test_the_panels_of_the_model_tick_a_step(run, p99, see, at, signed_in):
    see(p99, *[96.0] * 20)

    assert sense_waiting(at=at) == 1

    standing = queries.followed(run).state.of("soak")
    assert (standing.state, standing.sensed) == (StepState.DONE, True)
    assert "96 ms" in signed_in(Role.RESPONDER).get(f"/runs/{run}").text


def test_a_step_whose_panel_nobody_sees_waits_for_people(run, p99, see, at):
    see(p99, LampState.UNREACHABLE)

    assert sense_waiting(at=at + timedelta(hours=1)) == 0
    assert queries.followed(run).state.of("soak").state is StepState.WAITING


# --- The runbooks that we ship, and the panels that our recommender gets

SHIPPED = Path(__file__).parents[3] / "runbooks"
TICK = {
    "access-revoked": {"verify-access"},
    "bad-model-push": {"verify-errors"},
    "cache-stampede": {"verify-p99"},
    "fallback-stuck": {"verify-share", "verify-p99"},
    "feature-stale": {"verify-age"},
    "latency-regression": {"verify-p99", "verify-errors", "verify-fallback"},
    "model-input-drift": {"verify-psi"},
    "output-drift": {"verify-scores"},
    "provider-degraded": {"verify-fallback", "verify-p99"},
    "schema-break": {"verify-rejects"},
    "traffic-over-target": {"verify-p99"},
}


@pytest.fixture
def watched(model, at):
    """A model with the panels of the recommender, all of which have been well for an hour."""
    drafts = presets.panels_of("recommender", "recsys-home", presets.OPENMETRICS)
    panels = [
        factories.panel(
            model, draft.lane, slug=draft.key, title=draft.title, unit=draft.unit,
            above=draft.rule.above, spec=draft.spec,
        )
        for draft in drafts
        if not draft.not_measurable
    ]  # fmt: skip
    panels += [
        factories.panel(model, lane, slug=lane.value, title=lane.value, unit="", above=5.0)
        for lane in (Lane.INPUT_DRIFT, Lane.OUTPUT_QUALITY, Lane.FRESHNESS, Lane.SCHEMA,
                     Lane.ACCESS)
    ]  # fmt: skip
    ids = [panel.id for panel in panels]
    for minute in range(65, -1, -1):
        moment = at - minute * MINUTE
        seen = Observation(moment, 0.02, 5000.0)
        recording.record(dict.fromkeys(ids, seen), at=moment)


def test_the_shipped_runbooks_tick_themselves_with_our_recommender(watched, at):
    ticked = {}
    for path in SHIPPED.glob("*.md"):
        for step in read(path.read_bytes(), path.name).steps:
            said = {"until": step.attributes.get("until", ""), "at": at, "minutes": step.minutes}
            found = sense("recsys-home", said | {"since": at - timedelta(minutes=61)})
            if found is not None and found.holds:
                ticked.setdefault(path.stem, set()).add(step.id)

    assert ticked == TICK


def test_a_timer_of_theirs_is_longer_than_what_it_waits_for():
    for path in SHIPPED.glob("*.md"):
        for step in read(path.read_bytes(), path.name).steps:
            goal = wanted(step.attributes.get("until", ""))
            if step.id in TICK.get(path.stem, ()):
                assert goal.span * 2 <= timedelta(minutes=step.minutes), (path.stem, step.id)
