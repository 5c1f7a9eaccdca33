from datetime import timedelta

import numpy as np
import pytest
from recommender.drift import MINIMUM_ROWS, features_of, input_report, output_report
from recommender.visits import Visitors
from recommender.windows import WAITS_AT_MOST, Windows

from tests.conftest import NOON

MINUTE = timedelta(minutes=1)


def asked(shop, count, *, campaign=False):
    visits = Visitors(shop, np.random.default_rng(5)).draw(count, campaign=campaign)
    return [features_of(visit, shop.tenure_days, shop) for visit in visits]


def shown(shop, model, *, campaign=False):
    visits = Visitors(shop, np.random.default_rng(5)).draw(MINIMUM_ROWS, campaign=campaign)
    return [item for visit in visits for item in model.neighbours[visit.item, :10].tolist()]


@pytest.mark.parametrize(("campaign", "drifted"), [(False, False), (True, True)])
def test_a_campaign_moves_the_inputs(shop, reference, campaign, drifted):
    report = input_report(asked(shop, MINIMUM_ROWS, campaign=campaign), reference)
    assert (report["value"] > report["threshold"]) is drifted


def test_a_campaign_does_not_move_the_output(shop, model, reference):
    report = output_report(shown(shop, model, campaign=True), reference)
    assert report["value"] < report["threshold"] - 0.05


def test_showing_best_sellers_alone_moves_the_output(reference):
    report = output_report(reference.best_sellers * 10, reference)
    assert report["value"] == 1 > report["threshold"]


def test_the_worst_feature_speaks_for_the_window(shop, reference):
    report = input_report(asked(shop, MINIMUM_ROWS, campaign=True), reference)
    assert report["value"] == max(part["value"] for part in report["parts"])


@pytest.fixture
def windows(reference) -> Windows:
    return Windows(reference, length=MINUTE, at=NOON)


def test_a_full_window_closes_on_time_and_the_next_begins_where_it_ended(windows, shop, model):
    for minute in (1, 2):
        for request in asked(shop, MINIMUM_ROWS):
            windows.asked(request)
        assert not windows.close_if_due("v1", at=NOON + minute * MINUTE - timedelta(seconds=1))
        assert windows.close_if_due("v1", at=NOON + minute * MINUTE)

    first, second = (one for one in windows.as_json() if one["kind"] == "input")
    assert first["rows"] == MINIMUM_ROWS
    assert first["window_end"] == second["window_start"]
    assert first["reference_at"] == model.trained_at


@pytest.mark.parametrize("rows", [0, 1, MINIMUM_ROWS - 1])
def test_too_small_a_window_is_told_late_with_its_rows_and_without_a_value(windows, shop, rows):
    for request in asked(shop, rows):
        windows.asked(request)
    assert not windows.close_if_due("v1", at=NOON + 2 * MINUTE)
    assert windows.close_if_due("v1", at=NOON + WAITS_AT_MOST * MINUTE)

    inputs, output = windows.as_json()
    assert (inputs["rows"], output["rows"]) == (rows, 0)
    for envelope in (inputs, output):
        assert envelope["report"]["value"] is None
        assert envelope["report"]["parts"] == []
