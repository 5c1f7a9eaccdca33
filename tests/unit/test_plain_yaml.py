"""YAML from people and tools: what surprises is refused with a sentence, and nothing breaks it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.plain_yaml import NotPlainError, document, document_and_tree, documents


def test_a_document_is_read_with_the_lines_of_its_nodes():
    said, root = document_and_tree(b"\xef\xbb\xbfa: 1\nb: [x, y]\n")
    assert said == document("a: 1\nb: [x, y]") == {"a": 1, "b": ["x", "y"]}
    assert [key.start_mark.line for key, _ in root.value] == [0, 1]
    assert documents("a: 1\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]
    assert document_and_tree("") == (None, None)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a: 1\na: 2", "Line 2: this is not YAML: a stands there twice."),
        ("a: {b: 1, b: 2}", "Line 1: this is not YAML: b stands there twice."),
        ("a: &x [1]\nb: *x", "Line 2: Aliases, as in *x, are not taken. Write it out."),
        ("a: [", "Line 2: this is not YAML: "),
        ("[" * 50, "Line 1: It is nested too deep."),
        ("? [a]\n: 1", "Line 1: this is not YAML: found unhashable key."),
        ("a: 1\n---\nb: 2", "Line 2: this is not YAML: but found another document."),
        ("9" * 6_000, "This is not YAML that can be read."),
        ("a: \x00", "This is not YAML that can be read."),
        (b"\xff\xfe\xfd", "The file is not UTF-8 text."),
        ("!!python/object:os.system x", "Line 1: this is not YAML: could not determine"),
    ],
)
def test_what_is_not_plain_is_refused_with_a_sentence(content, says):
    with pytest.raises(NotPlainError) as refusal:
        document(content)
    assert str(refusal.value).startswith(says)


@given(st.text(st.sampled_from("ab:-?[]{}&*!|>'\"# \n\t%@`,0.~"), max_size=40))
def test_nothing_that_is_written_breaks_it(text):
    refusal = "."
    try:
        document_and_tree(text)
    except NotPlainError as error:
        refusal = str(error)
    assert refusal.endswith(".")
