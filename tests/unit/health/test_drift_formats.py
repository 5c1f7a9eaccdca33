"""Readers of drift reports, on what the real tools wrote and on what they got wrong."""

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from app.health.rules import Lane
from app.health.sources import drift
from app.health.sources.base import UnreadableError
from app.health.sources.drift.methods import has_drifted
from app.health.sources.reading import Given, decode

RECORDED = Path(__file__).parents[2] / "support/payloads/health"
NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)
GIVEN = Given(received_at=NOW, model="recsys-home")


def recorded(name):
    path = RECORDED / name
    return decode(path.read_bytes(), "text/csv" if path.suffix == ".csv" else "")


def read(document, **given):
    return drift.parse(document, given=replace(GIVEN, **given))


def only(document, **given):
    (found,) = read(document, **given)
    return found


@pytest.mark.parametrize(
    ("name", "format_", "kind", "value", "outside"),
    [
        ("evidently/drifted-with-tests.json", "evidently", Lane.INPUT_DRIFT, 0.75, True),
        ("evidently/steady-with-tests.json", "evidently", Lane.INPUT_DRIFT, 0.0, False),
        ("evidently/drifted-without-tests.json", "evidently", Lane.INPUT_DRIFT, 0.75, True),
        ("evidently/p-values-without-tests.json", "evidently", Lane.INPUT_DRIFT, 0.0, False),
        ("evidently/mixed-methods.json", "evidently", Lane.INPUT_DRIFT, 0.0, False),
        ("evidently/recommender.json", "evidently", Lane.OUTPUT_QUALITY, 0.6268, True),
        ("evidently_service/download.json", "evidently", Lane.INPUT_DRIFT, 1.0, True),
        ("evidently_old/report-drifted.json", "evidently_old", Lane.INPUT_DRIFT, 0.75, True),
        ("evidently_old/report-steady.json", "evidently_old", Lane.INPUT_DRIFT, 0.0, False),
        ("evidently_old/test-suite-drifted.json", "evidently_old", Lane.INPUT_DRIFT, 0.75, True),
        ("evidently_old/test-suite-steady.json", "evidently_old", Lane.INPUT_DRIFT, 0.0, False),
        ("alibi/ks-batch-drifted.json", "alibi", Lane.INPUT_DRIFT, 0.0, True),
        ("alibi/ks-batch-steady.json", "alibi", Lane.INPUT_DRIFT, 0.0679, False),
        ("alibi/ks-feature.json", "alibi", Lane.INPUT_DRIFT, 0.3333, True),
    ],
)
def test_what_a_tool_wrote_is_found_out_and_read(name, format_, kind, value, outside):
    report = only(recorded(name))

    assert (report.format, report.kind, report.said_outside) == (format_, kind, outside)
    assert report.value == pytest.approx(value, abs=1e-4)
    assert report.model == "recsys-home"


@pytest.mark.parametrize("name", ["univariate", "cbpe", "performance"])
def test_nannyml_says_the_same_as_csv_and_as_json(name):
    as_csv, as_json = read(recorded(f"nannyml/{name}.csv")), read(recorded(f"nannyml/{name}.json"))

    assert [one.said_outside for one in as_csv] == [one.said_outside for one in as_json]
    assert [one.value for one in as_csv] == pytest.approx([one.value for one in as_json], abs=1e-8)
    assert [one.rows for one in as_csv] == [720.0] * 4


def test_nannyml_tells_of_the_analysis_period_only():
    reports = read(recorded("nannyml/univariate.csv"))

    assert [one.said_outside for one in reports] == [False, False, True, True]
    assert min(one.window_start for one in reports) == datetime(2026, 3, 1, tzinfo=UTC)
    assert reports[-1].remark == "2 of 2 columns drifted: price_seen, device"


def test_an_estimate_of_nannyml_is_output_quality_and_told_from_a_realized_one():
    estimated, realized = (read(recorded(f"nannyml/{name}.csv"))[0] for name in
                           ("cbpe", "performance"))  # fmt: skip
    assert estimated.kind is realized.kind is Lane.OUTPUT_QUALITY
    assert (estimated.method, realized.method) == ("roc_auc, estimated", "roc_auc, realized")
    assert estimated.series != realized.series


def test_an_alert_of_nannyml_without_a_threshold_or_a_value_is_no_verdict():
    row = recorded("nannyml/cbpe.json")[-1]
    bare = {**row, "roc_auc_upper_threshold": None, "roc_auc_lower_threshold": None}

    assert only([row]).said_outside is False
    assert only([bare]).said_outside is None
    assert only([{**row, "roc_auc_value": None}]).said_outside is None
    assert only([{**row, "roc_auc_alert": True}]).said_outside is True


def test_a_chunk_that_has_not_ended_is_not_told():
    rows = recorded("nannyml/cbpe.json")
    reports = read(rows, received_at=datetime(2026, 3, 4, 12, tzinfo=UTC))
    assert max(one.window_end for one in reports).day == 3


def test_the_rows_of_evidently_come_from_its_row_count():
    assert only(recorded("evidently/steady-with-tests.json")).rows == 1200
    assert only(recorded("evidently_old/report-steady.json")).rows == 1200
    assert only(recorded("alibi/ks-batch-steady.json")).rows is None


def test_a_failed_test_of_the_number_of_rows_is_no_drift():
    document = recorded("evidently/steady-with-tests.json")
    assert document["tests"][0]["status"] == "FAIL"
    assert only(document).said_outside is False


def test_a_test_counts_for_more_than_a_comparison():
    document = recorded("evidently/steady-with-tests.json")
    for test in document["tests"]:
        if test["id"] == "lt":
            test["status"] = "FAIL"
    assert only(document).said_outside is True
    for test in document["tests"]:
        test["status"] = "ERROR"
    assert only(document).said_outside is None


def count_of_drifted(metric_id, share, **config):
    config = {"type": "evidently:metric_v2:DriftedColumnsCount", "drift_share": 0.5, **config}
    return {"id": metric_id, "config": config, "value": {"count": 1, "share": share}}


def test_of_several_groups_of_columns_the_one_that_drifted_counts():
    fine, bad = count_of_drifted("a", 0.0), count_of_drifted("b", 0.75)
    report = only({"metrics": [fine, bad], "tests": []})
    assert (report.said_outside, report.value) == (True, 0.75)
    unknown = count_of_drifted("b", None)
    assert only({"metrics": [fine, unknown], "tests": []}).said_outside is None


def test_of_several_groups_of_an_older_evidently_the_one_that_drifted_counts():
    fine, bad = ({"metric": "DatasetDriftMetric", "result": {
        "dataset_drift": drifted, "share_of_drifted_columns": share, "drift_share": 0.5}}
        for drifted, share in ((False, 0.0), (True, 0.75)))  # fmt: skip
    report = only({"metrics": [fine, bad]})
    assert (report.said_outside, report.value) == (True, 0.75)

    suite = recorded("evidently_old/test-suite-steady.json")
    failed = {**suite["tests"][0], "status": "FAIL"}
    assert only({"tests": [*suite["tests"], failed]}).said_outside is True


@pytest.mark.parametrize("share", [-1, 1.5, "0.1", None, True])
def test_a_share_that_is_none_is_no_verdict(share):
    report = only({"metrics": [count_of_drifted("a", share)], "tests": []})
    assert (report.value, report.said_outside) == (None, None)


def value_drift(method, value, threshold=0.1):
    config = {
        "type": "evidently:metric_v2:ValueDrift", "column": "price", "method": method,
        "threshold": threshold,
    }  # fmt: skip
    return {"metrics": [{"id": "1", "config": config, "value": value}], "tests": []}


@pytest.mark.parametrize(
    ("method", "low", "high"),
    [
        ("ks", True, False),
        ("K-S p_value", True, False),
        ("TVD", True, False),
        ("Total-Variation-Distance", True, False),
        ("wasserstein", False, True),
        ("Wasserstein distance (normed)", False, True),
        ("PSI", False, True),
        ("a method of our own", None, None),
        ("", None, None),
    ],
)
def test_the_direction_of_a_method_is_known_or_there_is_no_verdict(method, low, high):
    assert only(value_drift(method, 0.01)).said_outside is low
    assert only(value_drift(method, 0.9)).said_outside is high
    assert only(value_drift(method, 0.9)).value == 0.9


@pytest.mark.parametrize(
    ("method", "outside"), [("ks", True), ("t_test", False), ("psi", True), ("ed", False)]
)
def test_a_value_on_its_threshold_is_read_as_the_tool_reads_it(method, outside):
    assert has_drifted(method, 0.1, 0.1) is outside


def test_one_column_of_unknown_direction_keeps_the_others_from_being_all_right():
    document = value_drift("psi", 0.01)
    document["metrics"] += value_drift("a method of our own", 0.01)["metrics"]
    report = only(document)
    assert report.said_outside is None
    assert report.remark == "no verdict for price"
    document["metrics"] += value_drift("psi", 5.0)["metrics"]
    assert only(document).said_outside is True


def test_a_switch_of_methods_is_another_series():
    first, second = (only(recorded(f"evidently/drifted-{how}-tests.json"))
                     for how in ("with", "without"))  # fmt: skip
    assert first.series != second.series


def test_metrics_of_a_recommender_are_output_quality_beside_its_input_drift():
    document = recorded("evidently/recommender.json")
    document["metrics"] += recorded("evidently/steady-with-tests.json")["metrics"]

    reports = read(document, kind=Lane.INPUT_DRIFT)

    assert [one.kind for one in reports] == [Lane.INPUT_DRIFT, Lane.OUTPUT_QUALITY]
    quality = reports[1]
    assert (quality.method, quality.threshold, quality.is_above) == ("NDCG@10", 0.9, False)
    assert quality.remark == "its test fails for NDCG@10, PopularityBiasMetric arp@10"
    assert len(quality.parts) == 7


def test_quality_without_a_test_has_a_value_and_no_verdict():
    report = only({**recorded("evidently/recommender.json"), "tests": []})
    assert report.value == pytest.approx(0.6268, abs=1e-4)
    assert report.said_outside is None


def test_alibi_in_feature_mode_names_no_feature_and_loses_none():
    report = only(recorded("alibi/ks-feature.json"))
    assert [(part.name, part.is_outside) for part in report.parts] == [
        ("feature 0", True), ("feature 1", False), ("feature 2", False),
    ]  # fmt: skip
    document = recorded("alibi/ks-feature.json")
    document["data"]["is_drift"] = [0, None, 0]
    assert only(document).said_outside is None


@pytest.mark.parametrize("said", ["0", None, 2, [], [7], {}])
def test_a_verdict_that_is_neither_0_nor_1_is_refused(said):
    document = recorded("alibi/ks-batch-steady.json")
    document["data"]["is_drift"] = said
    with pytest.raises(UnreadableError, match="is_drift"):
        read(document)


SELDON = {
    "model_name": "shop-drift-detector", "model_version": "1",
    "outputs": [
        {"name": "is_drift", "datatype": "INT64", "shape": ["1", "1"],
         "contents": {"int64Contents": ["1"]}},
        {"name": "distance", "datatype": "FP32", "shape": ["1", "1"],
         "contents": {"fp32Contents": [0.31]}},
        {"name": "p_val", "datatype": "FP32", "shape": ["1", "1"],
         "contents": {"fp32Contents": ["0.001"]}},
        {"name": "threshold", "datatype": "FP32", "shape": ["1", "1"],
         "contents": {"fp32Contents": [0.05]}},
    ],
}  # fmt: skip


def test_the_numbers_of_seldon_may_be_texts_and_its_model_is_the_detector():
    report = only(SELDON)
    assert (report.said_outside, report.value, report.threshold) == (True, 0.001, 0.05)
    assert (report.model, report.model_version) == ("recsys-home", "")
    alone = only(SELDON["outputs"][0])
    assert (alone.said_outside, alone.value) == (True, 1.0)
    assert only({"name": "is_drift", "shape": [1, 1], "data": [[0]]}).said_outside is False


def test_seldon_without_a_number_in_its_tensor_is_refused():
    for contents in ({}, {"int64Contents": []}, {"int64Contents": ["yes"]}):
        with pytest.raises(UnreadableError):
            read({"name": "is_drift", "contents": contents})


def test_a_second_answer_of_seldon_hides_no_first_one():
    drifted, steady = ({"name": "is_drift", "datatype": "INT64", "data": [said]} for said in (1, 0))
    assert only({"outputs": [drifted, steady]}).said_outside is True


def violation(check="baseline_drift_check", description="", **more):
    return {"feature_name": "price", "constraint_check_type": check, "description": description,
            **more}  # fmt: skip


def test_sagemaker_says_numbers_in_a_sentence_and_no_more_of_it_is_kept():
    sentence = "Baseline drift distance: 0.49 exceeds threshold: 0.1 for kim@example.com"
    report = only({"violations": [violation(description=sentence)]})

    (part,) = report.parts
    assert (report.value, report.said_outside) == (1.0, True)
    assert (part.name, part.value, part.threshold) == ("price", 0.49, 0.1)
    assert "kim" not in repr(report)


def test_sagemaker_without_violations_is_inside_and_with_others_is_unknown():
    assert only({"violations": []}).said_outside is False
    report = only({"violations": [violation("data_type_check")]})
    assert (report.said_outside, report.remark) == (None, "also violated: data_type_check")
    assert only({"violations": ["?"]}).said_outside is None


def test_sagemaker_on_the_quality_of_a_model_is_output_quality():
    said = violation("LessThanThreshold", "Metric auc with 0.61 was LessThanThreshold 0.7")
    report = only({"violations": [{**said, "metric_name": "auc"}]})
    assert (report.kind, report.said_outside) == (Lane.OUTPUT_QUALITY, True)
    assert (report.parts[0].name, report.parts[0].value) == ("auc", 0.61)


def vertex(deviation, threshold=0.3, **more):
    seen = {"distributionDeviation": deviation, "anomalyDetectionThreshold": threshold,
            "startTime": "2026-03-11T00:00:00Z", "endTime": "2026-03-12T00:00:00Z"}  # fmt: skip
    stats = [{"featureDisplayName": "price", "predictionStats": [seen]}]
    return {"monitoringStats": [{"objective": "RAW_FEATURE_DRIFT", "featureStats": stats}], **more}


def test_vertex_compares_a_deviation_with_its_threshold():
    assert only(vertex(0.4)).said_outside is True
    assert only(vertex(0.2)).said_outside is False
    assert only(vertex(0.2)).window_end == datetime(2026, 3, 12, tzinfo=UTC)
    assert only(vertex(0.2)).method == "raw feature drift of price"
    assert only(vertex(0.2, threshold=None)).said_outside is None


def test_a_page_of_vertex_is_not_the_whole():
    assert only(vertex(0.2, nextPageToken="x")).said_outside is None
    assert only(vertex(0.4, nextPageToken="x")).said_outside is True


def test_a_feature_that_vertex_compared_with_nothing_is_not_inside():
    document = vertex(0.2)
    stats = document["monitoringStats"][0]["featureStats"]
    stats.append({"featureDisplayName": "device", "predictionStats": []})
    report = only(document)
    assert (report.said_outside, report.remark) == (None, "no verdict for device")
    stats[0]["predictionStats"][0]["distributionDeviation"] = 0.4
    assert only(document).said_outside is True


def test_azure_sends_a_list_of_events_and_never_says_that_all_is_well():
    event = {
        "eventType": "Microsoft.MachineLearningServices.DatasetDriftDetected",
        "data": {"DriftCoefficient": 0.83, "StartTime": "2026-03-11T00:00:00+00:00",
                 "EndTime": "2026-03-12T00:00:00+00:00"},
    }  # fmt: skip
    report = only([event, {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent"}])
    assert (report.format, report.value, report.said_outside) == ("azureml", 0.83, True)
    assert only([{**event, "data": {"DriftCoefficient": 0.0}}]).said_outside is True


ENVELOPE = {
    "model": "shop-similar", "version": "v1", "kind": "output_quality",
    "window_start": "2026-03-12T02:00:00Z", "window_end": "2026-03-12T02:01:00Z",
    "reference_id": "v1-training-2026-03-01", "rows": 1210, "source": "recommender",
    "report": {"method": "popularity_share", "value": 0.41, "threshold": 0.3, "direction": "above",
               "parts": [{"name": "catalogue_coverage", "value": 0.12}]},
}  # fmt: skip


def test_an_envelope_says_what_tools_leave_out():
    report = only([ENVELOPE], kind=None)

    assert (report.model, report.model_version, report.kind) == (
        "shop-similar", "v1", Lane.OUTPUT_QUALITY,
    )  # fmt: skip
    assert report.window_end - report.window_start == timedelta(minutes=1)
    assert (report.rows, report.sender) == (1210, "recommender")
    assert report.series == "popularity_share · v1-training-2026-03-01"
    assert (report.said_outside, report.is_above) == (True, True)


def test_an_envelope_may_be_around_the_report_of_any_tool():
    for name in ("evidently/steady-with-tests.json", "evidently_old/report-steady.json",
                 "alibi/ks-batch-steady.json"):  # fmt: skip
        report = only({**ENVELOPE, "kind": "input", "report": recorded(name)})
        assert report.window_end == datetime(2026, 3, 12, 2, 1, tzinfo=UTC)
        assert (report.rows, report.said_outside) == (1210, False)


@pytest.mark.parametrize(
    ("change", "outside"),
    [
        ({"direction": None}, None),
        ({"threshold": None}, None),
        ({"value": None}, None),
        ({"direction": "below"}, False),
        ({"direction": "below", "value": 0.1}, True),
        ({"value": 0.3}, False),
    ],
)
def test_our_own_report_has_a_verdict_only_with_value_threshold_and_direction(change, outside):
    said = {**ENVELOPE, "report": {**ENVELOPE["report"], **change}}
    assert only(said).said_outside is outside


@pytest.mark.parametrize("rows", ["5210", -4, True, [1], float("nan")])
@pytest.mark.parametrize("place", ["envelope", "report"])
def test_rows_that_are_no_number_are_refused(rows, place):
    inner = {**ENVELOPE["report"], "rows": rows} if place == "report" else ENVELOPE["report"]
    outer = {} if place == "report" else {"rows": rows}

    with pytest.raises(UnreadableError, match="The rows of a report are a number, 0 or more"):
        read({**ENVELOPE, **outer, "report": inner})


def test_a_window_that_was_too_small_is_told_with_its_rows():
    report = only({**ENVELOPE, "rows": 612, "report": {"method": "psi", "value": None}})
    assert (report.value, report.rows) == (None, 612)
    assert report.remark == "no value was given for its 612 rows"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"window_end": "2026-11-24T06:06:00Z"}, "still to come"),
        ({"window_end": "yesterday"}, "not a time"),
        ({"window_end": "2026-03-12T01:00:00Z"}, "ends before it starts"),
        ({"kind": "vibes"}, "A kind is one of"),
        ({"format": "vibes"}, "no format"),
        ({"zone": "Europe/Nowhere"}, "no time zone"),
        ({"report": {}}, "no report that Baton knows"),
        ({"report": {"method": "psi", "value": "0.2"}}, "is a number"),
        ({"report": {"method": "psi", "value": 1, "direction": "up"}}, "above or below"),
        ({"report": ENVELOPE}, "no report that Baton knows"),
    ],
)
def test_an_envelope_that_can_not_be_meant_is_refused_with_a_sentence(change, sentence):
    with pytest.raises(UnreadableError, match=sentence) as refusal:
        read({**ENVELOPE, **change})
    assert refusal.value.args[0].endswith(".")


def test_times_without_a_zone_are_in_the_zone_that_is_given():
    document = {**recorded("evidently_old/report-steady.json"), "timestamp": "2026-03-12 02:00:00"}
    assert only(document).window_end.hour == 2
    assert only(document, zone=ZoneInfo("Asia/Tokyo")).window_end == datetime(
        2026, 3, 11, 17, tzinfo=UTC
    )


def test_no_distribution_of_the_data_is_kept():
    report = only(recorded("evidently_old/report-drifted.json"))
    assert "2.0132" not in repr(report)
    assert "distribution" not in repr(report)


def test_what_is_too_deep_or_too_much_is_refused():
    deep = current = {}
    for _ in range(50):
        current["report"] = {}
        current = current["report"]
    for document in (deep, [0] * 500_000):
        with pytest.raises(UnreadableError, match="at most"):
            read(document)
    with pytest.raises(UnreadableError, match="at most"):
        decode(b" " * (9 << 20))


def test_the_recordings_are_read_the_same_after_a_round_trip():
    document = recorded("evidently/drifted-with-tests.json")
    assert read(json.loads(json.dumps(document))) == read(copy.deepcopy(document))
