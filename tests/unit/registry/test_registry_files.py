"""A file of teams and models."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.registry.drafts import ModelEntry, TeamEntry
from app.registry.files import EXAMPLE, read_file


def test_the_example_on_the_page_can_be_imported():
    file, problems = read_file(EXAMPLE)
    assert problems == []
    assert file.teams == (
        TeamEntry(
            None,
            "Serving Platform",
            "https://chat.example.com/serving",
            ("ines@example.com", "lena@example.com"),
            triages=True,
        ),
    )
    assert file.models == (
        ModelEntry(
            "recsys-home",
            "Serving Platform",
            1,
            "Home feed ranking",
            "lena@example.com",
            ("feed", "ranking"),
            ({"model_name": "recsys-home", "namespace": "prod-*"},),
        ),
    )


def test_a_matcher_may_be_written_as_labels():
    text = "models: [{slug: a, matchers: [{app: a, ns: 'p*'}]}]"
    file, problems = read_file(text)
    assert (file.models[0].matchers, problems) == (({"app": "a", "ns": "p*"},), [])


def test_json_is_read_as_json():
    content = json.dumps({"models": [{"slug": "a", "purpose": "\t😀"}]}, indent="\t").encode()
    file, problems = read_file(content, is_json=True)
    assert (file.models[0].purpose, problems) == ("😀", [])
    assert read_file(b"{", is_json=True)[1] == ["This is not JSON that can be read."]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "The file is empty"),
        ("just words", "The file is empty"),
        ("models: x", "models is not a list."),
        ("model: []", "model is not known. A file has teams and models."),
        ("models: [{slug: A b}]", "Model 1 (A b), slug: A name is made of lower case letters"),
        ("models: [{slug: a, tier: 5}]", "Model 1 (a), tier: A tier is 1, 2, 3 or 4."),
        ("models: [{slug: a, size: 5}]", "Model 1 (a), size: is not known here."),
        ("models: [{tier: 1}]", "Model 1, slug: is missing."),
        ("models: [{slug: a, matchers: ['a=~b']}]", "matchers: Line 1: =~ is not known here"),
        ('models: [{slug: a, matchers: ["a=b\\nc=d"]}]', "one matcher in each entry"),
        ("models: [7]", "Model 1: Input should be a valid dictionary"),
        ("teams: [{name: A, routing_key: x}]", "Team 1 (A), routing_key: is not known here."),
        ("teams: [{name: A, chat_url: 'http://x'}]", "starts with https://"),
        ("teams: [{name: A, name: B}]", "Line 1: this is not YAML: name stands there twice."),
        ("a: b: c", "Line 1: this is not YAML"),
        ("a: &x [1]\nmodels: *x", "Aliases, as in *x, are not taken."),
        ("models: [2026-13-45]", "This is not YAML that can be read."),
        ("? [a]\n: b", "Line 1: this is not YAML: found unhashable key."),
        ("a: \x00", "This is not YAML that can be read."),
        (b"\xff\xfe\x00", "The file is not UTF-8 text."),
        ("models:\n" + "- {slug: A}\n" * 60, "And maybe more. Put these right first."),
        ("models:\n" + "- {}\n" * 5001, "at most 5000 models; this one has 5001."),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, says):
    _, problems = read_file(text)
    assert any(says in problem for problem in problems), problems


def test_a_deep_file_is_refused():
    for text in ("[" * 5000, "models: " + "[" * 900 + "]" * 900):
        file, problems = read_file(text)
        assert problems
        assert file.models == ()


@given(st.text() | st.binary())
def test_any_file_is_read_or_refused(content):
    _, problems = read_file(content)
    assert all(problems)
