"""Data inputs: freshness counts on its own, promises join results, unknown is never good."""

from datetime import date, timedelta

import pytest
from sqlalchemy import delete, select

from app.core.db import db, unit_of_work
from app.core.errors import BadRequestError, ConflictError, NotFoundError
from app.health import datasets, queries, recording
from app.health.rules import LampState, Lane
from app.health.sources.base import DatasetReport
from app.health.sources.reading import Given
from app.health.tables import Dataset, DatasetModel, HealthSource, Lamp, Panel
from app.people.rules import Actor
from app.people.tables import AuditEntry
from tests.support import factories

KIM = Actor("person", 1, "Kim")
NAME = "shop.item_features"


@pytest.fixture
def model(app):
    return factories.model("recsys-home")


def take(*reports, at, source_id=None):
    with unit_of_work() as session:
        datasets.take(session, reports, source_id=source_id, at=at)


def fresh(at, loaded_at, **more):
    more = {"fresh_within": 3600} | more
    return DatasetReport(NAME, at, "baton", about=Lane.FRESHNESS, loaded_at=loaded_at,
                         is_unknown=loaded_at is None, **more)  # fmt: skip


def schema(at, ok, rows=12.0, **more):
    return DatasetReport(NAME, at, "pandera", about=Lane.SCHEMA, schema_ok=ok, schema_rows=rows,
                         **more)  # fmt: skip


def access(at, ok, **more):
    return DatasetReport(NAME, at, "baton", about=Lane.ACCESS, access_ok=ok, **more)


def dataset():
    db.session.expire_all()
    return db.session.scalars(select(Dataset)).one()


def states(at):
    recording.record(datasets.observe(at=at), at=at)
    db.session.expire_all()
    return {lamp.lane: lamp.state for lamp in db.session.scalars(select(Lamp))}


def source(failures=0):
    return factories.keep(
        HealthSource(slug="checks", name="checks", kind="contracts", url="https://x.test",
                     options={}, every=15, due_at=factories.NOON, failures=failures,
                     created_at=factories.NOON, created_by="Test")
    )  # fmt: skip


def test_a_link_makes_three_panels_and_without_a_check_none_is_good(model, at):
    take(fresh(at, at), at=at)
    panels = datasets.link(NAME, "recsys-home", by=KIM, at=at)

    assert [panel.lane for panel in panels] == [Lane.SCHEMA, Lane.FRESHNESS, Lane.ACCESS]
    assert [panel.failure_mode for panel in panels] == [
        "schema_break", "feature_stale", "access_revoked",
    ]  # fmt: skip
    assert panels[1].above == 3600
    assert states(at) == {
        Lane.SCHEMA: LampState.NO_DATA,
        Lane.FRESHNESS: LampState.OK,
        Lane.ACCESS: LampState.NO_DATA,
    }
    entry = db.session.scalars(select(AuditEntry)).one()
    assert (entry.action, entry.target_name, entry.after) == (
        "health.dataset.link", NAME, {"model": "recsys-home"},
    )  # fmt: skip


def test_freshness_counts_from_the_load_and_not_from_the_check(model, at):
    loaded_at = at - timedelta(minutes=50)
    take(fresh(at, loaded_at), at=at)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)

    assert states(at)[Lane.FRESHNESS] is LampState.OK
    assert states(at + timedelta(minutes=9))[Lane.FRESHNESS] is LampState.OK
    assert states(at + timedelta(minutes=11))[Lane.FRESHNESS] is LampState.BREACH
    lamp = db.session.scalars(select(Lamp).where(Lamp.lane == Lane.FRESHNESS)).one()
    assert lamp.value == 61 * 60


def test_a_load_that_nobody_knows_is_never_fresh(model, at):
    take(fresh(at, at), at=at)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)
    take(fresh(at + timedelta(minutes=1), None, remark="missing from the last check"), at=at)
    assert states(at + timedelta(minutes=1))[Lane.FRESHNESS] is LampState.NO_DATA


def test_freshness_that_nobody_promised_has_an_age_and_no_verdict(model, at):
    take(fresh(at, at, fresh_within=None), at=at)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)
    assert states(at)[Lane.FRESHNESS] is LampState.NOT_MEASURABLE


def test_an_input_that_its_source_leaves_out_is_unknown(model, at):
    checks = source()
    take(fresh(at, at), at=at, source_id=checks.id)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)
    assert states(at)[Lane.FRESHNESS] is LampState.OK

    take(at=at + timedelta(minutes=1), source_id=checks.id)

    assert states(at + timedelta(minutes=1))[Lane.FRESHNESS] is LampState.NO_DATA
    assert dataset().freshness_remark == "missing from the last check"


def test_an_input_whose_check_can_not_be_read_is_unknown_and_says_why(model, at):
    checks = source()
    take(fresh(at, at), schema(at, True), access(at, True), at=at, source_id=checks.id)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)
    later = at + timedelta(minutes=2)
    with unit_of_work() as session:
        why = {NAME: "A report of pandera has SCHEMA or DATA.", "never.heard_of": "It is odd."}
        datasets.take(session, (), why, source_id=checks.id, at=later)
    assert states(later) == {
        Lane.FRESHNESS: LampState.NO_DATA, Lane.SCHEMA: LampState.NO_DATA,
        Lane.ACCESS: LampState.OK,
    }  # fmt: skip
    lamps = db.session.scalars(select(Lamp).where(Lamp.lane != Lane.ACCESS))
    remark = "its last check can't be read: A report of pandera has SCHEMA or DATA"
    assert {lamp.remark for lamp in lamps} == {remark}
    assert db.session.scalars(select(Dataset.slug)).all() == [NAME]


def test_another_source_says_nothing_of_the_inputs_of_this_one(model, at):
    checks = source()
    take(fresh(at, at), at=at, source_id=checks.id)
    take(at=at + timedelta(minutes=1), source_id=checks.id + 1)
    assert dataset().loaded_at == at


def test_a_source_that_does_not_answer_leaves_checks_unknown_and_freshness_counting(model, at):
    checks = source(failures=3)
    take(fresh(at, at), schema(at, True), access(at, True), at=at, source_id=checks.id)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)

    assert states(at) == {
        Lane.SCHEMA: LampState.UNREACHABLE,
        Lane.FRESHNESS: LampState.PARTIAL,
        Lane.ACCESS: LampState.UNREACHABLE,
    }
    assert states(at + timedelta(hours=2))[Lane.FRESHNESS] is LampState.BREACH


def test_an_input_whose_source_answers_oddly_says_how_and_not_that_it_is_silent(model, at):
    checks = source(failures=3)
    take(schema(at, True), at=at, source_id=checks.id)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)
    for trouble, remark in (
        ("It answered with status 503.", "its source answered with status 503"),
        ("x.test did not answer in time.", "x.test did not answer in time"),
        ("", "its source does not answer"),
    ):
        with unit_of_work() as session:
            session.scalars(select(HealthSource)).one().trouble = trouble
        assert states(at + timedelta(minutes=2))[Lane.SCHEMA] is LampState.UNREACHABLE
        lamp = db.session.scalars(select(Lamp).where(Lamp.lane == Lane.SCHEMA)).one()
        assert lamp.remark == remark
        with unit_of_work() as session:
            session.execute(delete(Lamp))


def test_a_schema_that_breaks_is_a_breach_and_a_check_that_did_not_run_is_no_data(model, at):
    take(schema(at, True), at=at)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)
    assert states(at)[Lane.SCHEMA] is LampState.OK

    for minute, ok, expected in ((1, False, LampState.BREACH), (2, None, LampState.NO_DATA),
                                 (3, True, LampState.OK)):  # fmt: skip
        later = at + timedelta(minutes=minute)
        take(schema(later, ok), at=later)
        assert states(later)[Lane.SCHEMA] is expected


def test_a_schema_that_was_checked_on_no_row_proves_nothing(model, at):
    take(schema(at, True, rows=0.0), at=at)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)
    assert states(at)[Lane.SCHEMA] is LampState.NO_DATA


def test_a_check_grows_old_and_says_nothing_any_more(model, at):
    take(schema(at, True), access(at, True), at=at)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)
    later = at + datasets.STALE_AFTER + timedelta(minutes=1)
    assert states(later)[Lane.SCHEMA] is LampState.NO_DATA
    assert states(later)[Lane.ACCESS] is LampState.NO_DATA


def test_an_older_check_changes_nothing(model, at):
    take(schema(at, False), at=at)
    take(schema(at - timedelta(hours=1), True), at=at)
    assert dataset().schema_ok is False


def test_access_that_is_taken_away_is_a_breach_and_a_late_review_is_not_all_right(model, at):
    take(access(at, True, access_role="reader", access_approver="Ines"), at=at)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)
    assert states(at)[Lane.ACCESS] is LampState.OK

    datasets.attest_access(
        NAME, role="reader", approver="Ines", reviewed_on=date(2025, 3, 1),
        review_due=date(2026, 3, 1), ends_on=None, by=KIM, at=at,
    )  # fmt: skip
    assert states(at)[Lane.ACCESS] is LampState.PARTIAL

    later = at + timedelta(minutes=1)
    take(access(later, False, remark="reader may not read it"), at=later)
    assert states(later)[Lane.ACCESS] is LampState.BREACH


def attest(at, *, reviewed_on, review_due=None, ends_on=None):
    datasets.attest_access(
        NAME, role="reader", approver="Ines", reviewed_on=reviewed_on, review_due=review_due,
        ends_on=ends_on, by=KIM, at=at,
    )  # fmt: skip


@pytest.fixture
def unchecked(model, at):
    """An input that is promised to a role, and whose access no tool checks."""
    take(DatasetReport(NAME, at, "odcs", access_role="reader", access_approver="Ines"), at=at)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)


def access_lamp(at):
    states(at)
    return db.session.scalars(select(Lamp).where(Lamp.lane == Lane.ACCESS)).one()


def test_a_promise_alone_does_not_say_that_access_is_all_right(unchecked, at):
    assert access_lamp(at).state is LampState.NO_DATA


def test_access_that_somebody_reviewed_is_all_right_without_a_check(unchecked, at):
    attest(at, reviewed_on=at.date(), review_due=at.date() + timedelta(days=30))

    lamp = access_lamp(at)
    assert lamp.state is LampState.OK
    assert lamp.remark == f"attested by Ines on {at.date().isoformat()}"
    assert access_lamp(at + timedelta(days=30)).state is LampState.OK
    assert access_lamp(at + timedelta(days=31)).state is LampState.PARTIAL


def test_a_review_without_a_next_one_holds_for_a_year(unchecked, at):
    attest(at, reviewed_on=at.date())

    assert access_lamp(at + timedelta(days=365)).state is LampState.OK
    assert access_lamp(at + timedelta(days=366)).state is LampState.PARTIAL


def test_reviewed_access_that_has_ended_is_not_all_right(unchecked, at):
    day = at.date()
    attest(at, reviewed_on=day, review_due=day + timedelta(days=90), ends_on=day)

    lamp = access_lamp(at + timedelta(days=1))
    assert lamp.state is LampState.PARTIAL
    assert f"it was to end on {day.isoformat()}" in lamp.remark


@pytest.mark.parametrize(("ok", "state"), [(False, LampState.BREACH), (None, LampState.NO_DATA)])
def test_a_check_of_access_counts_for_more_than_a_review(unchecked, at, ok, state):
    attest(at, reviewed_on=at.date())
    take(access(at, ok), at=at)

    assert access_lamp(at).state is state


def test_what_nothing_ever_checked_is_unknown_and_wakes_nobody(unchecked, at):
    states(at)
    later = at + timedelta(minutes=11)
    states(later)

    assert recording.tell_blind(at=later) == 0


def test_an_input_that_is_unlinked_ends_the_breach_it_was_in(model, at):
    take(schema(at, False), at=at)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)
    assert states(at)[Lane.SCHEMA] is LampState.BREACH

    datasets.unlink(NAME, "recsys-home", by=KIM, at=at)

    last = queries.facts_after(0, limit=100)[-1]
    assert (last.fact, last.sentence) == (
        "recovered", f"Schema of {NAME} is no longer watched",
    )  # fmt: skip


def test_a_promise_is_joined_to_results_and_counts_for_more_than_the_check_says(model, at):
    promise = DatasetReport(NAME, at, "odcs", fresh_within=600, contract="item_features 1.2.0",
                            access_role="reader", access_approver="Ines")  # fmt: skip
    take(promise, at=at)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)
    assert set(states(at).values()) == {LampState.NO_DATA}  # it has looked at nothing

    take(fresh(at, at - timedelta(minutes=30)), at=at)

    assert states(at)[Lane.FRESHNESS] is LampState.BREACH
    row = dataset()
    assert (row.fresh_within, row.contract, row.access_approver) == (
        600, "item_features 1.2.0", "Ines",
    )  # fmt: skip


def test_a_new_promise_is_the_limit_of_the_panels_at_once(model, at):
    take(fresh(at, at), at=at)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)
    take(fresh(at, at, fresh_within=60), at=at)
    above = select(Panel.above).where(Panel.lane == Lane.FRESHNESS)
    assert db.session.scalar(above) == 60


def test_what_was_seen_is_no_edit(model, at):
    take(fresh(at, at), at=at)
    before = dataset().version
    take(fresh(at + timedelta(minutes=1), at), at=at)
    assert dataset().version == before


def test_a_link_can_be_taken_back_and_made_again(model, at):
    take(fresh(at, at), at=at)
    datasets.link(NAME, "recsys-home", by=KIM, at=at)
    with pytest.raises(ConflictError):
        datasets.link(NAME, "recsys-home", by=KIM, at=at)

    datasets.unlink(NAME, "recsys-home", by=KIM, at=at)
    assert states(at) == {}
    assert db.session.scalars(select(DatasetModel)).all() == []
    with pytest.raises(ConflictError):
        datasets.unlink(NAME, "recsys-home", by=KIM, at=at)

    datasets.link(NAME, "recsys-home", by=KIM, at=at)
    assert len(db.session.scalars(select(Panel)).all()) == 3
    assert states(at)[Lane.FRESHNESS] is LampState.OK


def test_only_what_is_there_can_be_linked(model, at):
    with pytest.raises(NotFoundError):
        datasets.link(NAME, "recsys-home", by=KIM, at=at)
    take(fresh(at, at), at=at)
    with pytest.raises(NotFoundError):
        datasets.link(NAME, "stranger", by=KIM, at=at)


def test_two_inputs_whose_names_look_alike_have_panels_of_their_own(model, at):
    names = ("shop.item_features", "shop-item-features")
    take(*(DatasetReport(name, at, "baton", about=Lane.ACCESS, access_ok=True) for name in names),
         at=at)  # fmt: skip
    for name in names:
        datasets.link(name, "recsys-home", by=KIM, at=at)
    assert len(db.session.scalars(select(Panel)).all()) == 6


def test_checks_can_be_pushed_and_are_refused_with_a_reason(model, at):
    given = Given(received_at=at)
    check = {"dataset": NAME, "checked_at": at.isoformat(), "format": "baton",
             "report": {"loaded_at": at.isoformat(), "expected_every_s": 3600}}  # fmt: skip
    assert datasets.push([check], given=given, by=KIM, at=at).datasets == (NAME,)
    assert dataset().fresh_within == 3600
    with pytest.raises(BadRequestError):
        datasets.push({"hello": 1}, given=given, by=KIM, at=at)


def test_observing_many_inputs_is_one_statement(model, at, queries):
    for number in range(5):
        name = f"d{number}"
        take(DatasetReport(name, at, "baton", about=Lane.ACCESS, access_ok=True), at=at)
        datasets.link(name, "recsys-home", by=KIM, at=at)
    assert queries(lambda: datasets.observe(at=at)) == 1
