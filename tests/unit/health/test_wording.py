"""What a panel reads and when it is a breach, in words; and limits that move along."""

from datetime import timedelta

import pytest

from app.health.forms.panels import labels_in, labels_out
from app.health.offers import DRIFT, drafts, is_chosen, presets_for, with_limit
from app.health.presets import PRESETS, panels_of
from app.health.rules import Lane, Rule, why_no_rule
from app.health.wording import rule_in_words, spec_in_words


@pytest.mark.parametrize(
    ("rule", "spec", "lane", "words"),
    [
        (
            Rule(above=250, clear=240, k=3, n=5, min_rows=1000),
            {},
            Lane.LATENCY,
            [
                "A breach is 3 of 5 windows above 250 ms.",
                "A window counts from 1,000 rows or requests on.",
                "It ends with 3 windows inside, at 240 ms.",
            ],
        ),
        (
            Rule(below=5),
            {},
            Lane.THROUGHPUT,
            ["A breach is a window below 5 ms.", "It ends with 1 window inside, at the limit."],
        ),
        (
            Rule(above=0.1, k=2, n=2),
            {"verdict": "tool"},
            Lane.INPUT_DRIFT,
            [
                "A breach is 2 windows outside by the verdict of the tool, one after the other.",
                "It ends with 2 windows inside.",
            ],
        ),
        (
            Rule(above=1800, stale_after=timedelta(days=1)),
            {},
            Lane.FRESHNESS,
            ["A breach is a window above 30 min.", "It ends with 1 window inside, at the limit."],
        ),
        (
            Rule(above=0),
            {"not_measurable": "It has no metrics."},
            Lane.ERRORS,
            ["It can't be measured: It has no metrics."],
        ),
    ],
)
def test_a_rule_is_told_in_sentences(rule, spec, lane, words):
    assert rule_in_words(rule, spec, "ms", lane) == words


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", ["openmetrics", "prometheus"])
def test_what_every_preset_reads_can_be_told(preset, kind):
    for draft in panels_of(preset, "recsys-home", kind):
        told = spec_in_words(draft.spec)
        assert all(isinstance(text, str) and text for pair in told for text in pair)
        assert told or draft.not_measurable or "query" in draft.spec


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("limit", [7.0, 0.003, 12_000.0])
def test_another_limit_leaves_a_rule_that_holds(preset, limit):
    for draft in panels_of(preset, "recsys-home", "openmetrics"):
        if not draft.not_measurable:
            assert why_no_rule(with_limit(draft, limit).rule) is None


@pytest.mark.parametrize("preset", PRESETS)
def test_a_column_of_the_fleet_is_filled_by_every_preset_that_knows_of_it(preset):
    offered = drafts(preset, "recsys-home", "openmetrics")
    chosen = [draft for draft in offered if is_chosen(draft, offered)]

    assert {draft.lane for draft in offered if not draft.not_measurable} <= {
        draft.lane for draft in chosen
    }
    assert Lane.ERRORS in {draft.lane for draft in chosen}


@pytest.mark.parametrize(
    ("kind", "keys"),
    [("openmetrics", set(PRESETS)), ("prometheus", set(PRESETS)), ("drift", {"drift"}),
     ("evidently", {"drift"}), (None, {"drift"})],
)  # fmt: skip
def test_presets_fit_their_source(kind, keys):
    assert {preset.key for preset in presets_for(kind)} == keys
    assert drafts("nonsense", "recsys-home", kind) == []
    assert DRIFT.key not in PRESETS


@pytest.mark.parametrize(
    "labels", [{}, {"model": "a"}, {"outcome": ["error", "invalid"], "model": 'b "quoted"'}]
)
def test_labels_come_back_as_they_were_written(labels):
    assert labels_in(labels_out(labels)) == labels


def test_a_label_may_be_written_as_prometheus_writes_it():
    assert labels_in(' model = "recsys home" \n\noutcome=') == {
        "model": "recsys home",
        "outcome": "",
    }
