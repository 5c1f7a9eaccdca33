"""Service levels: from what a source counted to a budget, burn rates and facts."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.core.db import db, unit_of_work
from app.health import levels, queries, service
from app.health.slo_rules import WINDOWS
from app.health.tables import Slo
from app.people.rules import BATON
from app.registry import service as registry
from tests.support import factories

HOUR = timedelta(hours=1)


@pytest.fixture
def slo(app):
    return factories.slo(
        factories.model("recsys-home", owner=factories.team()), failure_mode="latency_regression"
    )


def take(slo, counts, at):
    with unit_of_work() as session:
        levels.take_counts(session, {slo.id: counts}, at=at)
    db.session.expire_all()
    return db.session.get_one(Slo, slo.id)


def everywhere(bad, total):
    return {int(window.total_seconds()): (bad, total) for window in (*WINDOWS, 672 * HOUR)}


def facts():
    return [(one.fact, one.sentence) for one in queries.facts_after(0, limit=100)]


def test_counts_of_a_source_that_looks_back_are_taken_as_they_are(slo, at):
    take(slo, everywhere(310, 50_000), at)

    level = levels.level(db.session.get_one(Slo, slo.id), at=at)

    assert level.left == pytest.approx(0.38)
    assert level.rates[HOUR] == pytest.approx(0.62)
    assert level.exhausted_in == pytest.approx(timedelta(days=28 * 0.38 / 0.62), rel=1e-9)
    assert level.is_current


def test_a_burn_is_a_fact_and_so_is_its_end(slo, at):
    take(slo, everywhere(1_420, 10_000), at)
    take(slo, everywhere(1_420, 10_000), at + timedelta(seconds=30))
    take(slo, everywhere(10, 10_000), at + timedelta(minutes=1))

    assert facts() == [
        (
            "burning",
            ("Requests within 250 ms: the error budget burns 14.2 times too fast, "
            "0 % of it is left"),
        ),
        ("burnt_out", "Requests within 250 ms: the error budget burns no faster than it may"),
    ]  # fmt: skip


def without(counts, *windows):
    gone = {int(window.total_seconds()) for window in windows}
    return {window: pair for window, pair in counts.items() if window not in gone}


def test_a_burn_does_not_end_because_a_window_was_not_measured(slo, at):
    bad, fine = everywhere(1_420, 10_000), everywhere(10, 10_000)
    short = timedelta(minutes=5)
    take(slo, bad, at)
    # The query of one window took too long, and the other one still burns.
    unknown = without(bad, short, timedelta(minutes=30), 2 * HOUR, 6 * HOUR)
    for minute in (1, 2):
        found = take(slo, unknown, at + timedelta(minutes=minute))
        assert (found.burning, found.burning_since) == ("page", at)
    assert [fact for fact, _ in facts()] == ["burning"]

    # One window that is known to burn no more is enough.
    known = without(fine, *(window for window in WINDOWS if window not in (short, 30 * short)))
    assert take(slo, known, at + timedelta(minutes=3)).burning == ""
    assert [fact for fact, _ in facts()] == ["burning", "burnt_out"]


def test_a_burn_outlasts_a_gap_in_what_was_counted(slo, at):
    assert run(slo, at, 12, bad=100, total=100)[-1] == "page"
    # Its source was silent for an hour. All is bad still, and nobody saw enough of it yet.
    later = at + timedelta(minutes=72)
    for minute in range(6):
        burning = take(slo, {0: (1_200 + minute * 100, 1_200 + minute * 100)},
                       later + timedelta(minutes=minute)).burning  # fmt: skip
        assert burning == "page"
    # Five minutes of good ones, and it is known to be over.
    for minute in range(6, 12):
        found = take(slo, {0: (1_700, 1_200 + minute * 100)}, later + timedelta(minutes=minute))
    assert found.burning == ""
    assert [fact for fact, _ in facts()] == ["burning", "burnt_out"]


def test_a_burn_ends_when_something_else_is_counted(slo, at):
    source = factories.health_source("openmetrics")
    with unit_of_work() as session:
        session.get_one(Slo, slo.id).source_id = source.id
    take(slo, everywhere(1_420, 10_000), at)
    draft = service.draft_of_slo(db.session.get_one(Slo, slo.id))
    spec = {"metric": "took_seconds", "over": 0.25}
    service.edit_slo(slo.id, replace(draft, spec=spec), seen_version=None, by=BATON, at=at)

    assert db.session.get_one(Slo, slo.id).burning == ""
    assert facts()[-1] == (
        "burnt_out", "Requests within 250 ms: something else is counted from now on"
    )  # fmt: skip


def test_a_burn_of_a_retired_model_ends(slo, at):
    take(slo, everywhere(1_420, 10_000), at)
    assert levels.let_go_of_unwatched(at=at) == 0
    registry.retire_model("recsys-home", by=BATON, at=at)

    assert levels.let_go_of_unwatched(at=at) == 1

    assert facts()[-1] == (
        "burnt_out",
        "Requests within 250 ms is of a retired model: nobody watches its error budget any more",
    )
    assert levels.let_go_of_unwatched(at=at) == 0


def test_little_traffic_is_no_burn(slo, at):
    with unit_of_work() as session:
        session.get_one(Slo, slo.id).min_events = 10_001

    assert take(slo, everywhere(10_000, 10_000), at).burning == ""


def test_running_totals_become_windows(slo, at):
    for minute in range(121):
        # A hundred requests a minute; in the second hour a tenth of them is bad.
        bad = max(0, minute - 60) * 10
        found = take(slo, {0: (bad, minute * 100)}, at + timedelta(minutes=minute))

    counts = levels.counts_of(found)
    assert (counts[HOUR].bad, counts[HOUR].total) == (600, 6_000)
    assert (counts[timedelta(minutes=5)].bad, counts[timedelta(minutes=5)].total) == (50, 500)
    # Counted for two hours only: as far back as it goes.
    assert (counts[6 * HOUR].bad, counts[6 * HOUR].total) == (600, 12_000)
    assert counts[HOUR].is_whole
    assert counts[6 * HOUR].seen == pytest.approx(119 / 360)


def run(slo, at, minutes, *, bad, total, step=1):
    """Looks with that many more events each minute; what burned after each."""
    burned = []
    for minute in range(0, minutes + 1, step):
        pair = (minute * bad, minute * total)
        burned.append(take(slo, {0: pair}, at + timedelta(minutes=minute)).burning)
    return burned


def test_a_new_level_pages_nobody_for_windows_that_it_has_not_seen(slo, at):
    # A fifth is bad for seven minutes: 20 times too fast, and 0.06 % of a budget of 28 days.
    assert set(run(slo, at, 7, bad=20, total=100)) == {""}

    found = db.session.get_one(Slo, slo.id)
    level = levels.level(found, at=at + timedelta(minutes=7))
    assert level.left == pytest.approx(1 - 20 * 6 / (28 * 24 * 60))
    assert level.rates[HOUR] == pytest.approx(20 * 6 / 60)
    assert levels.counts_of(found)[HOUR].bad == 140


def test_a_full_outage_of_a_new_level_pages_within_minutes(slo, at):
    burned = run(slo, at, 12, bad=100, total=100)

    # 13.44 of 100 times of an hour are 8.06 minutes, and the first minute is not sure.
    assert burned.index("page") == 10


def test_an_alert_waits_until_its_short_window_was_seen(slo, at):
    with unit_of_work() as session:
        session.get_one(Slo, slo.id).target = 0.9999
    burned = run(slo, at, 6, bad=100, total=100)

    assert burned == ["", "", "", "", "", "page", "page"]
    firings = [
        line.firing
        for line in levels.burn_lines(db.session.get_one(Slo, slo.id), at=at + timedelta(minutes=6))
    ]
    assert firings == ["fires", "unknown", "unknown", "unknown"]


def test_a_level_that_was_closed_for_days_is_as_new(slo, at):
    run(slo, at, 70, bad=0, total=100, step=10)
    later = at + timedelta(days=2)
    for minute in range(5):
        found = take(slo, {0: (minute * 50, 8_000 + minute * 100)}, later + minute * levels.STEP)

    assert found.burning == ""
    assert not levels.counts_of(found)[HOUR].is_whole
    # What was seen before the gap is in the window of 28 days, and the gap itself is too.
    assert levels.counts_of(found)[28 * 24 * HOUR].total > 7_000


def test_a_source_that_looks_seldom_is_not_late_between_two_looks(slo, at):
    source = factories.health_source("openmetrics", every=3_600)
    with unit_of_work() as session:
        session.get_one(Slo, slo.id).source_id = source.id
    burned = run(slo, at, 300, bad=50, total=100, step=60)
    found = db.session.get_one(Slo, slo.id)

    assert levels.is_current(found, at=at + timedelta(minutes=390))
    assert not levels.is_current(found, at=at + timedelta(minutes=430))
    assert burned[-1] == "page"


def test_a_level_says_why_it_is_not_counted_until_it_is(slo, at):
    def told(counts, uncounted, at):
        with unit_of_work() as session:
            levels.take_counts(session, counts, uncounted, at=at)
        db.session.expire_all()
        return db.session.get_one(Slo, slo.id)

    pair = {slo.id: everywhere(0, 10)}
    assert told({}, {slo.id: "No such series."}, at).trouble == "No such series."
    assert slo.looked_at is None
    assert told(pair, {slo.id: "Over 28d it took too long."}, at).trouble.startswith("Over 28d")
    assert told(pair, {}, at).trouble == ""


def test_totals_that_began_anew_are_not_counted_backwards(slo, at):
    for minute, pair in enumerate([(0, 0), (10, 1_000), (1, 50), (2, 150)]):
        found = take(slo, {0: pair}, at + timedelta(minutes=minute))

    assert levels.counts_of(found)[HOUR].total == 1_100
    assert levels.counts_of(found)[HOUR].bad == 11


def test_a_level_that_nobody_looked_at_is_not_current(slo, at):
    level = levels.level(slo, at=at)
    assert (level.left, level.exhausted_in, level.is_current) == (None, None, False)

    taken = take(slo, everywhere(0, 10), at)
    assert not levels.level(taken, at=at + timedelta(minutes=6)).is_current


def test_old_counts_are_dropped(slo, at):
    take(slo, {0: (0, 0)}, at - timedelta(days=40))
    take(slo, {0: (1, 10)}, at)

    levels.purge(at=at)

    taken = take(slo, {0: (2, 20)}, at + timedelta(minutes=1))
    assert levels.counts_of(taken)[HOUR].total == 10
