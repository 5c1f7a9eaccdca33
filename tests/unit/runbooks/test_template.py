"""The text that a new runbook starts from."""

import pytest

from app.runbooks.format import read
from app.runbooks.lint import Level, lint
from app.runbooks.rules import FAILURE_MODES
from app.runbooks.template import HINTS, for_alert, for_failure_mode


def begun(mode, **more):
    values = {"slug": "a-runbook", "title": "A model is slow", "owner": "serving"} | more
    return for_failure_mode(mode, **values)


def test_every_failure_mode_has_its_hints():
    assert set(HINTS) == set(FAILURE_MODES)


@pytest.mark.parametrize("mode", [*FAILURE_MODES, "of_our_own", ""])
def test_the_template_reads_without_a_remark_and_has_all_that_a_runbook_needs(mode):
    document = read(begun(mode).encode())

    assert document.remarks == ()
    assert document.facts.failure_mode == (mode or None)
    assert {section.role for section in document.sections} >= {
        "when", "impact", "stop", "steps", "roll_back", "verify", "afterwards",
    }  # fmt: skip


@pytest.mark.parametrize("mode", FAILURE_MODES)
def test_nothing_but_what_its_author_has_to_write_stands_against_a_template(mode):
    found = lint(begun(mode).encode(), slug="a-runbook")

    assert {one.rule for one in found if one.level is Level.ERROR} == {"RB20"}


@pytest.mark.parametrize(
    "title", ['He said "no": twice', "a # b", "- x", "{{model}}", "yes", "Ümlaut", "3.5", "x\ny"]
)
def test_any_title_is_kept(title):
    said = read(begun("input_drift", title=title).encode()).facts.title

    assert said == " ".join(title.split())


def test_the_patterns_of_models_are_kept():
    document = read(begun("input_drift", models=("reco-*", "ads")).encode())

    assert document.facts.models == ("reco-*", "ads")


def test_an_alert_becomes_the_signal():
    (signal,) = read(for_alert("Recsys: High", "recsys-high").encode()).facts.signals

    assert signal.condition == {"alertname": "Recsys: High"}
