"""Each rule finds what breaks it, in the right line, and its fix mends that and nothing else."""

import re

import pytest

from app.runbooks.lint import RULES, Level
from tests.unit.runbooks.lint.cases import CASES, Case
from tests.unit.runbooks.lint.examples import GOOD, findings, mended, unmarked

LEVELS = {rule.id: rule.level for rule in RULES}


@pytest.fixture(params=CASES, ids=lambda case: f"{case.rule}-{CASES.index(case)}")
def case(request):
    return request.param


def test_nothing_is_found_in_a_good_runbook():
    assert findings(GOOD) == []


def test_every_rule_has_a_text_that_breaks_it():
    assert {case.rule for case in CASES} == set(LEVELS)


def test_a_rule_finds_what_breaks_it_in_its_line(case: Case):
    text, lines = unmarked(case.bad)

    found = findings(text, case.rule, **case.around)

    assert [one.line for one in found] == lines
    assert lines


def test_a_rule_finds_nothing_in_a_text_that_keeps_it(case: Case):
    assert findings(case.good, case.rule, **case.around) == []


def test_a_fix_mends_what_was_found_and_nothing_else(case: Case):
    text, _ = unmarked(case.bad)
    found = findings(text, case.rule, **case.around)

    if case.mended is None:
        assert [one.fix for one in found] == [None] * len(found)
    else:
        assert mended(text, found) == case.mended
        assert findings(case.mended, case.rule, **case.around) == []


def test_a_finding_speaks_to_the_author_in_one_sentence(case: Case):
    text, _ = unmarked(case.bad)

    for one in findings(text, **case.around):
        assert re.fullmatch(r"[^\n]{20,260}\.", one.sentence), one.sentence
        assert one.sentence[0].isupper() or one.sentence[0] == "`"
        assert one.level in (LEVELS[one.rule], Level.WARNING)


def test_a_rule_that_mends_has_a_text_that_shows_it():
    mends = {case.rule for case in CASES if case.mended is not None}

    assert mends == {rule.id for rule in RULES if rule.mends}
