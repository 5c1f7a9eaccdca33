"""The table in docs/runbook-lint.md says what the code does."""

import re
from pathlib import Path

from app.runbooks.lint import MOST_OF_ONE_RULE, RULES
from app.runbooks.lint.cli import SHAPES

PAGE = (Path(__file__).parents[4] / "docs" / "runbook-lint.md").read_text()


def rows():
    lines = re.findall(r"^\| (RB\d\d \|.*) \|$", PAGE, re.MULTILINE)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]


def test_every_rule_has_its_row_with_level_and_title():
    told = [(name, level, title) for name, level, title, _, _ in rows()]

    assert told == [(rule.id, rule.level.value, rule.title) for rule in RULES]


def test_every_rule_has_an_example():
    assert all(example for _, _, _, example, _ in rows())


def test_fixes_are_told_where_there_are_any():
    assert [bool(fix) for *_, fix in rows()] == [rule.mends for rule in RULES]


def test_every_format_and_the_limit_are_told():
    assert set(re.findall(r"`--format (\w+)`", PAGE)) == set(SHAPES)
    assert f"at most {MOST_OF_ONE_RULE} findings are told" in PAGE
