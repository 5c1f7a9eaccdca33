"""Readers of data contracts: unknown is never good, and no value of the data is kept."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from app.health.rules import Lane
from app.health.sources import contracts
from app.health.sources.base import UnreadableError
from app.health.sources.reading import Given, decode

RECORDED = Path(__file__).parents[2] / "support/payloads/health"
NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)


def recorded(name):
    return decode((RECORDED / name).read_bytes())


def read(document, **given):
    return contracts.parse(document, given=replace(Given(received_at=NOW), **given))


def only(document, **given):
    (found,) = read(document, **given)
    return found


def test_dbt_says_when_each_source_was_loaded_and_what_was_promised():
    found = {one.dataset: one for one in read(recorded("dbt/sources.json"))}

    assert sorted(found) == ["shop.clicks", "shop.item_features", "shop.orders"]
    features = found["shop.item_features"]
    assert features.about is Lane.FRESHNESS
    assert features.fresh_within == 12 * 3600
    assert features.checked_at - features.loaded_at < timedelta(hours=2)
    assert "warns" in found["shop.clicks"].remark


def test_a_source_that_dbt_could_not_check_is_unknown_if_it_was_expected():
    # It broke on shop.gone, and left it out.
    found = read(recorded("dbt/sources.json"), expected=("shop.gone", "shop.orders"))
    gone = found[-1]
    assert (gone.dataset, gone.is_unknown, gone.loaded_at) == ("shop.gone", True, None)
    assert len(found) == 4


def test_a_clock_of_dbt_s_that_is_ahead_hides_no_other_source():
    document = recorded("dbt/sources.json")
    document["results"][1]["max_loaded_at"] = "2026-11-24T09:00:00Z"
    ahead = read(document)[1]
    assert (ahead.loaded_at, ahead.is_unknown) == (None, True)
    assert ahead.remark == "by its clock the last load is still to come"
    assert [one.is_unknown for one in read(document)] == [False, True, False]


def test_a_status_that_is_not_one_of_dbt_s_is_unknown_however_fresh_it_looks():
    document = recorded("dbt/sources.json")
    document["results"][1]["status"] = "runtime error"
    report = read(document)[1]
    assert (report.loaded_at, report.is_unknown) == (None, True)


def test_great_expectations_says_what_failed_and_not_with_which_values():
    report = only(recorded("great_expectations/validation-failed.json"))

    assert (report.dataset, report.about, report.schema_ok) == (
        "item_features", Lane.SCHEMA, False,
    )  # fmt: skip
    assert report.schema_rows == 50
    assert "expect_column_values_to_be_between on price" in report.remark
    assert "kim" not in repr(report)
    assert "3.25" not in repr(report)


def test_an_expectation_that_raised_was_not_run_and_did_not_fail():
    report = only(recorded("great_expectations/validation-raised.json"))
    assert report.schema_ok is None
    assert report.remark == "1 of 2 checks did not run"


def test_great_expectations_0_x_has_other_names_for_the_same():
    document = {
        "success": True,
        "results": [
            {
                "success": True,
                "expectation_config": {
                    "expectation_type": "expect_column_to_exist",
                    "kwargs": {"column": "item"},
                },
                "result": {"element_count": 12},
                "exception_info": {"raised_exception": False},
            }
        ],
        "statistics": {},
        "meta": {
            "expectation_suite_name": "shop.item_features",
            "validation_time": "20260312T021400.000000Z",
        },
    }
    report = only(document)
    assert (report.dataset, report.schema_ok, report.schema_rows) == (
        "shop.item_features", True, 12,
    )  # fmt: skip
    assert report.checked_at == datetime(2026, 3, 12, 2, 14, tzinfo=UTC)
    assert only({"run_results": {"a": {"validation_result": document}}}) == report


def test_a_validation_that_passed_holds_only_if_it_checked_something():
    document = recorded("great_expectations/validation-passed.json")
    assert only(document).schema_ok is True
    assert only({**document, "success": False}).schema_ok is None
    document["results"] = [{"expectation_config": {}}]
    assert only(document).schema_ok is None
    with pytest.raises(UnreadableError):
        read({**document, "results": []})


@pytest.mark.parametrize("said", [None, "False", 0, [], {}])
def test_a_validation_that_does_not_say_it_passed_has_not(said):
    document = recorded("great_expectations/validation-passed.json")
    assert only({**document, "success": said}).schema_ok is None


@pytest.mark.parametrize("said", ["true", None, 1, {}])
def test_an_exception_that_is_told_oddly_is_one(said):
    document = recorded("great_expectations/validation-passed.json")
    document["results"][0]["exception_info"] = {"raised_exception": said}
    assert only(document).schema_ok is None


@pytest.mark.parametrize("name", ["schema-errors", "data-errors"])
def test_messages_of_pandera_hold_values_and_are_dropped(name):
    report = only(recorded(f"pandera/{name}.json"))
    assert (report.dataset, report.schema_ok) == ("item_features", False)
    for value in ("kim@", "3.25", "5000", "Traceback", "float64", "example.org"):
        assert value not in repr(report)
    assert "on price" in report.remark


@pytest.mark.parametrize(
    ("document", "ok"),
    [
        ({"SCHEMA": {}, "DATA": {}, "rows": 12}, True),
        ({"SCHEMA": {}}, None),
        ({"SCHEMA": {}, "DATA": {"CHECK_ERROR": [{"check": "gt", "column": "a"}]}}, None),
        ({"SCHEMA": {}, "DATA": {"DATAFRAME_CHECK": "gt"}}, None),
        ({"SCHEMA": {}, "DATA": {"DATAFRAME_CHECK": [{}]}}, False),
    ],
)
def test_pandera_is_whole_only_if_both_of_its_levels_say_so(document, ok):
    assert only(document, dataset="d").schema_ok is ok


def test_soda_counts_freshness_in_milliseconds():
    document = recorded("soda/scan-failed.json")
    fresh, schema = read(document)

    assert (fresh.about, schema.about) == (Lane.FRESHNESS, Lane.SCHEMA)
    assert fresh.fresh_within == 6 * 3600
    assert fresh.loaded_at == datetime(2026, 11, 23, 0, 10, 50, 341000, tzinfo=UTC)
    for check in document["checks"]:
        check["diagnostics"].pop("maxColumnTimestampUtc", None)
    by_milliseconds = read(document)[0].loaded_at
    assert abs(by_milliseconds - fresh.loaded_at) < timedelta(seconds=15)


def test_soda_says_which_checks_failed():
    schema = read(recorded("soda/scan-failed.json"))[1]
    assert (schema.schema_ok, schema.schema_rows) == (False, 51)
    assert schema.remark == (
        "3 of 4 checks failed: Schema Check, missing_count on email, invalid_count on price"
    )


def test_a_scan_of_soda_that_broke_proves_nothing():
    report = only(recorded("soda/scan-not-run.json"))
    assert (report.dataset, report.schema_ok) == ("item_features", None)
    document = recorded("soda/scan-stale.json")
    assert read(document)[1].schema_ok is True
    assert read({**document, "hasErrors": True})[1].schema_ok is None
    document["checks"][0]["outcome"] = None
    assert [one.schema_ok for one in read(document) if one.about is Lane.SCHEMA] == [None]


@pytest.mark.parametrize(
    "said",
    [
        {"hasFailures": True},
        {"hasFailures": None},
        {"hasFailures": "false"},
        {"checks": [{"name": "row_count > 0", "table": "t", "outcome": "pass"}, None]},
        {"checks": [{"name": "row_count > 0", "table": "t", "outcome": "pass"}, "a check"]},
    ],
)
def test_a_scan_of_soda_that_speaks_of_more_than_it_shows_proves_nothing(said):
    check = {"name": "row_count > 0", "table": "t", "outcome": "pass"}
    document = {"hasErrors": False, "hasFailures": False, "checks": [check]}
    assert only(document).schema_ok is True
    assert only({**document, **said}).schema_ok is None


OPENLINEAGE = {
    "eventType": "COMPLETE", "eventTime": "2026-03-12T02:14:00Z", "job": {"name": "features"},
    "inputs": [{
        "namespace": "shop", "name": "shop.item_features",
        "inputFacets": {
            "dataQualityAssertions": {"assertions": [
                {"assertion": "not_null", "success": True, "column": "price"},
                {"assertion": "unique", "success": False, "column": "item", "severity": "warn"},
            ]},
            "dataQualityMetrics": {
                "rowCount": 1200, "lastUpdated": "2026-03-12T01:10:00Z",
                "columnMetrics": {"email": {"min": "kim@example.com"}},
            },
        },
    }],
}  # fmt: skip


def test_facets_of_openlineage_say_schema_and_freshness():
    schema, fresh = read(OPENLINEAGE)
    assert (schema.dataset, schema.schema_ok, schema.schema_rows) == (
        "shop.item_features", True, 1200,
    )  # fmt: skip
    assert schema.remark == "a warning: unique on item"
    assert fresh.loaded_at == datetime(2026, 3, 12, 1, 10, tzinfo=UTC)
    assert "kim" not in repr((schema, fresh))
    with pytest.raises(UnreadableError):
        read({**OPENLINEAGE, "inputs": []})


ODCS = """
apiVersion: v3.1.0
kind: DataContract
id: 53581432-6c55-4ba2-a65f-72344a91553a
name: item_features
version: 1.2.0
status: active
schema:
  - name: item_features
    physicalName: shop.item_features
    properties: [{name: price, logicalType: number}]
slaProperties:
  - {property: retention, value: 3, unit: y}
  - {property: frequency, value: 1, unit: d}
  - {property: latency, value: 4, unit: h, element: item_features.updated_at}
  - {property: latency, value: 1, unit: h, element: other.updated_at}
roles:
  - {role: features_admin, access: write, firstLevelApprovers: Lena}
  - {role: features_reader, access: read, firstLevelApprovers: Ines Costa}
team: {members: [{username: kim, role: owner, dateIn: 2025-01-01}]}
"""


def test_a_contract_promises_and_has_looked_at_nothing():
    report = only(decode(ODCS.encode(), "application/yaml"))

    assert report.dataset == "shop.item_features"
    assert (report.about, report.schema_ok, report.loaded_at, report.access_ok) == (None,) * 4
    assert report.fresh_within == 4 * 3600
    assert (report.access_role, report.access_approver) == ("features_reader", "Ines Costa")
    assert report.contract == "item_features 1.2.0"


def test_aliases_in_yaml_do_not_make_a_document_endless():
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{one}: &{one} [{','.join([f'*{before}'] * 9)}]\n"
        for before, one in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(UnreadableError, match="Aliases"):
        read(decode(bomb.encode(), "application/yaml"))
    assert yaml.safe_load(ODCS)


def check(report, **more):
    return {"dataset": "shop.item_features", "checked_at": "2026-03-12T02:14:00Z",
            "format": "baton", "report": report, **more}  # fmt: skip


def test_our_own_reports_say_freshness_access_and_schema():
    fresh, access, schema = read(
        [
            check({"loaded_at": "2026-03-12T02:00:00Z", "expected_every_s": 3600}),
            check({"role": "reader", "granted": True, "approver": "Ines", "reviewed_on":
                   "2026-03-01"}),
            check({"ok": False, "rows": 12, "errors": [{"check": "gt", "column": "price"}]}),
        ]
    )  # fmt: skip
    assert (fresh.fresh_within, fresh.is_unknown) == (3600, False)
    assert (access.access_ok, access.access_role) == (True, "reader")
    assert access.access_reviewed_on == date(2026, 3, 1)
    assert (schema.schema_ok, schema.schema_rows) == (False, 12)
    assert {one.checked_at for one in (fresh, access, schema)} == {
        datetime(2026, 3, 12, 2, 14, tzinfo=UTC)
    }


@pytest.mark.parametrize("granted", [None, "yes", 1, 0, []])
def test_access_is_granted_only_by_a_plain_true(granted):
    assert only(check({"granted": granted})).access_ok is None


@pytest.mark.parametrize("errors", ["price is gone", ["price is gone"], {"price": "gone"}])
def test_a_schema_with_errors_that_can_not_be_read_is_not_whole(errors):
    assert only(check({"ok": True, "errors": []})).schema_ok is True
    assert only(check({"ok": True, "errors": errors})).schema_ok is None


@pytest.mark.parametrize("ok", [None, "yes", 1])
def test_a_schema_is_whole_only_by_a_plain_true(ok):
    assert only(check({"ok": ok})).schema_ok is None


def test_a_load_that_is_missing_is_unknown_and_one_still_to_come_is_refused():
    assert only(check({"loaded_at": None})).is_unknown
    with pytest.raises(UnreadableError, match="still to come"):
        read(check({"loaded_at": "2026-11-24T07:00:00Z"}))
    with pytest.raises(UnreadableError, match="still to come"):
        read(check({"ok": True}, checked_at="2026-11-24T07:00:00Z"))
    with pytest.raises(UnreadableError, match="which data input"):
        read({"ok": True})
