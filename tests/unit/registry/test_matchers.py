"""Matchers as people write them."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.registry.rules import (
    glob_fits,
    matcher_refusal,
    matcher_text,
    matchers_text,
    parse_labels,
    parse_matchers,
)

storable = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_.]{0,12}", fullmatch=True)
values = st.text(storable, min_size=1, max_size=30)
matchers = st.lists(
    st.dictionaries(names, values, min_size=1, max_size=5),
    max_size=6,
    unique_by=matcher_text,
)


@pytest.mark.parametrize(
    "line",
    [
        'model_name="recsys-home", namespace="prod-*"',
        'model_name="recsys-home",namespace="prod-*"',
        '  model_name = "recsys-home" ,  namespace = "prod-*" , ',
        "model_name=recsys-home, namespace=prod-*",
        "model_name='recsys-home', namespace='prod-*'",
        '{model_name="recsys-home", namespace="prod-*"}',
        'model_name="recsys-home" namespace="prod-*"',
    ],
)
def test_spaces_quotes_and_braces_do_not_matter(line):
    assert parse_matchers(line) == ({"model_name": "recsys-home", "namespace": "prod-*"},)


def test_each_line_is_a_matcher_and_empty_or_repeated_lines_are_skipped():
    text = 'a="1"\r\n\r\n  \nb="2"\na=1\n'
    assert parse_matchers(text) == ({"a": "1"}, {"b": "2"})


def test_nothing_written_is_no_matcher():
    assert parse_matchers(" \n ") == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a=1\nmodel_name", "Line 2: an = is expected after model_name"),
        ('a=1\n\nb="x', "Line 3: the quote that opens after b= is not closed"),
        ('a=~"x.*"', "Line 1: =~ is not known here"),
        ('a!="x"', "Line 1: != is not known here"),
        ('a="1", a="2"', "Line 1: a stands there twice"),
        ('a=""', "Line 1: a has no value"),
        ("a=", "Line 1: a has no value"),
        ("{}", "Line 1: A matcher needs at least one label"),
        ('="x"', "Line 1: a label’s name is expected"),
        ("a=b c=d", "Line 1: put a comma between labels"),
        ("a=" + "x" * 1001, "Line 1: The value of a is longer than 1000"),
        ("x" * 201 + "=1", "can't be the name of a label"),
        (
            ", ".join(f"l{n}=1" for n in range(21)),
            "Line 1: A matcher has at most 20 labels",
        ),
        ("\n".join(f"l=v{n}" for n in range(51)), "at most 50 matchers; these are 51"),
    ],
)
def test_what_can_not_be_read_is_refused_with_its_line(text, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_matchers(text)


@given(matchers)
def test_matchers_survive_being_printed_and_read_again(written):
    assert list(parse_matchers(matchers_text(written))) == written


@given(st.text())
def test_any_text_is_read_or_refused(text):
    with suppress(ValueError):
        assert all(matcher_refusal(labels) is None for labels in parse_matchers(text))


@given(st.text())
def test_any_text_of_labels_is_read_or_refused(text):
    with suppress(ValueError):
        assert isinstance(parse_labels(text), dict)


@pytest.mark.parametrize(
    "text",
    [
        'model_name="recsys-home"\nseverity=page',
        "model_name=recsys-home, severity=page",
        '{"model_name": "recsys-home", "severity": "page"}',
        '{"status": "firing", "labels": {"model_name": "recsys-home", "severity": "page"}}',
        '{model_name="recsys-home", severity="page"}',
    ],
)
def test_labels_of_an_alert_are_read_however_they_were_copied(text):
    assert parse_labels(text) == {"model_name": "recsys-home", "severity": "page"}


@pytest.mark.parametrize(
    ("glob", "value", "fits"),
    [
        ("prod-*", "prod-eu", True),
        ("prod-*", "prod-", True),
        ("prod-*", "prod", False),
        ("*-eu", "prod-eu", True),
        ("*", "", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c", False),
        ("*x*", "axb", True),
        ("a**b", "ab", True),
        ("a.c*", "abc", False),
        ("prod-*", "prod-\n", True),
    ],
)
def test_a_star_stands_for_any_run_of_characters(glob, value, fits):
    assert glob_fits(glob.split("*"), value) is fits
