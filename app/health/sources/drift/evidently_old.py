"""Evidently 0.4 to 0.6: `Report.save_json()` and `TestSuite.save_json()`.

There is much of it about still. Both say the time, without a zone, and hold the distributions of
the columns, which are left behind.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.health.rules import Lane
from app.health.sources.base import Part, Report, UnreadableError
from app.health.sources.drift.reports import (
    SHARE,
    all_of,
    in_columns,
    methods_of,
    of_parts,
    report,
    share_in,
    worst_of,
)
from app.health.sources.reading import Given, count, fields, flag, moment, number, objects, text

name = "evidently_old"

STATUSES = {"FAIL": True, "SUCCESS": False}
SHARE_TESTS = ("Share of Drifted Columns", "Number of Drifted Features")


def fits(document: Any) -> bool:
    said = fields(document)
    return any("metric" in one and "result" in one for one in objects(said.get("metrics"))) or any(
        "status" in one and "parameters" in one for one in objects(said.get("tests"))
    )


def parse(document: Any, *, given: Given) -> list[Report]:
    said = fields(document)
    end = None
    if given.window_end is None:
        end = moment(said.get("timestamp"), given.zone, "timestamp")
    metrics = list(objects(said.get("metrics")))
    tests = list(objects(said.get("tests")))
    found = _of_report(metrics, given, end) or _of_test_suite(tests, given, end)
    if found is None:
        raise UnreadableError(
            "This report of Evidently holds no drift: it needs DataDriftTable, DatasetDriftMetric, "
            "ColumnDriftMetric or a test of drift."
        )
    return [found]


def _results(metrics: Sequence[Mapping[str, Any]], metric: str) -> list[Mapping[str, Any]]:
    return [fields(one.get("result")) for one in metrics if one.get("metric") == metric]


def _of_report(metrics: Sequence[Mapping[str, Any]], given: Given, end: Any) -> Report | None:
    tables = _results(metrics, "DataDriftTable")
    wholes = [*_results(metrics, "DatasetDriftMetric"), *tables]
    columns: list[Any] = [*_results(metrics, "ColumnDriftMetric")]
    for table in tables:
        columns.extend(fields(table.get("drift_by_columns")).values())
    parts = [_column(fields(column)) for column in columns]
    rows = _rows(metrics)
    if not wholes:
        if not parts:
            return None
        return of_parts(given, parts, kind=Lane.INPUT_DRIFT, format=name, rows=rows, window_end=end)
    whole = worst_of(wholes, lambda one: flag(one.get("dataset_drift")))
    return report(
        given,
        kind=Lane.INPUT_DRIFT,
        format=name,
        method=f"{SHARE} ({methods_of(parts)})" if methods_of(parts) else SHARE,
        value=share_in(whole.get("share_of_drifted_columns")),
        threshold=number(whole.get("drift_share")),
        is_above=True,
        said_outside=flag(whole.get("dataset_drift")),
        parts=parts,
        rows=rows,
        window_end=end,
        remark=in_columns(parts),
    )


def _rows(metrics: Sequence[Mapping[str, Any]]) -> float | None:
    for result in _results(metrics, "DatasetSummaryMetric"):
        return count(fields(result.get("current")).get("number_of_rows"))
    return None


def _column(said: Mapping[str, Any]) -> Part:
    value = number(said.get("drift_score", said.get("score")))
    detected = flag(said.get("drift_detected", said.get("detected")))
    return Part(
        text(said.get("column_name")) or "unnamed",
        text(said.get("stattest_name", said.get("stattest"))),
        value,
        number(said.get("stattest_threshold", said.get("threshold"))),
        None if value is None and detected is False else detected,
    )


def _of_test_suite(tests: Sequence[Mapping[str, Any]], given: Given, end: Any) -> Report | None:
    wholes = [test for test in tests if test.get("name") in SHARE_TESTS]
    if not wholes:
        columns = [fields(test.get("parameters")) for test in tests if _is_of_drift(test)]
        if not columns:
            return None
        parts = [_column(column) for column in columns]
        return of_parts(given, parts, kind=Lane.INPUT_DRIFT, format=name, window_end=end)
    whole = worst_of(wholes, lambda one: STATUSES.get(text(one.get("status"))))
    parameters = fields(whole.get("parameters"))
    parts = [
        _column({"column_name": column, **fields(said)})
        for column, said in fields(parameters.get("features")).items()
    ]
    detected = [part.is_outside for part in parts]
    is_share = whole.get("name") == SHARE_TESTS[0]
    drifted = None if None in detected or not detected else float(detected.count(True))
    if drifted is not None and is_share:
        drifted /= len(parts)
    condition = fields(parameters.get("condition"))
    what = SHARE if is_share else "number of drifted columns"
    return report(
        given,
        kind=Lane.INPUT_DRIFT,
        format=name,
        method=f"{what} ({methods_of(parts)})" if methods_of(parts) else what,
        value=drifted,
        threshold=number(condition.get("lt")),
        is_above=True if "lt" in condition else None,
        said_outside=all_of([STATUSES.get(text(whole.get("status")))]),
        parts=parts,
        window_end=end,
        remark=in_columns(parts),
    )


def _is_of_drift(test: Mapping[str, Any]) -> bool:
    parameters = fields(test.get("parameters"))
    return "stattest" in parameters and "detected" in parameters
