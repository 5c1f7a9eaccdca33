"""A step keeps its id, through edits, and no id is given twice."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runbooks.format import read
from app.runbooks.identity import matches, suggestions, unmoved, with_ids

SHIPPED = sorted((Path(__file__).parents[3] / "runbooks").glob("*.md"))


def ids(source):
    return [step.id for step in read(source).steps]


def steps(*pairs, section="Steps"):
    return "".join([f"## {section}\n", *(f"### {title}\n{body}\n" for title, body in pairs)])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_text_whose_steps_have_ids_comes_back_byte_for_byte(path):
    source = path.read_bytes()

    assert with_ids(source, None, ()) == source


def test_a_heading_gets_its_comment_on_the_next_line():
    marked = with_ids(b"## Steps\n### Look\nAt p99.\n### Act\r\nNow.", None, ())

    assert marked == (
        b"## Steps\n### Look\n<!-- step id=look -->\nAt p99.\n"
        b"### Act\r\n<!-- step id=act -->\r\nNow."
    )
    assert with_ids(marked, None, ()) == marked


def test_an_item_gets_its_comment_behind_its_words():
    source = b"## Mitigation\n\n1. Look at\n   p99\n\n   ```\n   up\n   ```\n2. Act"

    marked = with_ids(source, None, ())

    assert b"1. Look at\n   p99 <!-- step id=look-at-p99 -->\n" in marked
    assert marked.endswith(b"2. Act <!-- step id=act -->")
    assert [step.body for step in read(marked).steps] == [step.body for step in read(source).steps]


def test_an_item_that_begins_with_a_command_gets_its_comment_above():
    source = b"1. Look\n2. ```bash\n   up\n   ```\n"

    marked = with_ids(source, None, ())

    assert b"2. <!-- step id=step-2 -->\n   ```bash\n   up\n   ```\n" in marked
    assert [step.body for step in read(marked).steps] == ["", "```bash\nup\n```"]


def test_a_comment_that_names_no_id_gets_one_and_keeps_the_rest():
    source = b"## Steps\n### Look\n\n<!-- step kind=check\n  minutes=2 -->\n### B\n<!-- step -->\n"

    marked = with_ids(source, None, ())

    assert b"<!-- step id=look kind=check\n  minutes=2 -->" in marked
    assert b"<!-- step id=b -->" in marked
    assert read(marked).steps[0].minutes == 2


def test_front_matter_and_what_is_no_step_stay_as_they_are():
    source = b"\xef\xbb\xbf---\nid: x\nodd: {a: 1}   # why\n---\n# T\n\nWords.\n\n## Steps\n### A\n"

    assert with_ids(source, None, ()) == source + b"<!-- step id=a -->\n"


def test_a_step_of_the_same_text_keeps_its_id_under_a_new_name_and_place():
    long = "Compare the shards of the index by p99."
    before = read(steps(("Look", "One."), ("Compare", long)).encode())

    marked = with_ids(steps(("Hold the shards up", long), ("Look", "One.")).encode(), before, ())

    assert ids(marked) == ["compare", "look"]


def test_a_step_of_the_same_name_and_section_keeps_its_id_under_a_new_text():
    before = read(b"## Steps\n### Look\n<!-- step id=first -->\nAt p99 of the host.\n")

    assert ids(with_ids(steps(("Look", "At p50."), ("New", "")).encode(), before, ())) == [
        "first",
        "new",
    ]


def test_two_steps_of_one_name_are_not_guessed_at():
    before = read(steps(("Look", "One."), ("Look", "Two.")).encode())

    after = with_ids(steps(("Look", "Three."), ("Look", "Four.")).encode(), before, ())

    assert ids(after) == ["look-3", "look-4"]


def test_a_name_is_matched_only_between_the_same_neighbours():
    before = read(steps(("A", "a"), ("X", "old"), ("B", "b")).encode())

    after = read(steps(("A", "a"), ("B", "b"), ("X", "new")).encode())

    assert matches(before, after) == {"a": "a", "b": "b"}


def test_what_is_only_alike_is_suggested_and_not_taken():
    before = read(steps(("Restart the retrieval pool", "kubectl rollout restart pool")).encode())
    after = read(steps(("Restart the ranking pool", "kubectl -v rollout restart pool")).encode())

    assert matches(before, after) == {}
    (one,) = suggestions(before, after)
    assert (one.step_id, one.was) == ("restart-the-ranking-pool", "restart-the-retrieval-pool")
    assert one.likeness >= 0.72


def test_an_id_that_was_ever_used_is_not_used_again():
    before = read(b"## Steps\n### B\n<!-- step id=b -->\n")

    marked = with_ids(steps(("Look", ""), ("B", "")).encode(), before, {"look", "look-2", "b"})

    assert ids(marked) == ["look-3", "b"]


def test_a_text_that_is_not_utf_8_is_marked_too():
    marked = with_ids(b"## Steps\n### Caf\xe9\nx\n", None, ())

    assert marked == b"## Steps\n### Caf\xe9\n<!-- step id=caf -->\nx\n"


@given(st.lists(st.integers(0, 9), max_size=12, unique=True))
def test_what_did_not_move_is_in_order(positions):
    kept = [positions[index] for index in sorted(unmoved(positions))]

    assert kept == sorted(kept)
    assert bool(kept) is bool(positions)


WORDS = st.sampled_from(["Look", "Act", "Look at p99", "<b>", "`x", "*a", "é", "1.", "- [ ] do"])
LINES = st.lists(
    st.builds(
        lambda head, words: head + words,
        st.sampled_from(
            [
                "## Steps",
                "### ",
                "1. ",
                "2. ",
                "- [ ] ",
                "   ",
                "",
                "```",
                "<!-- step kind=check -->",
            ]
        ),
        WORDS,
    ),
    max_size=14,
)


@given(LINES, LINES)
def test_writing_ids_is_done_once_and_changes_no_step(lines, others):
    source, before = "\n".join(lines).encode(), read("\n".join(others).encode())

    marked = with_ids(source, before, {"look"})

    assert with_ids(marked, before, {"look"}) == marked
    assert [step.title for step in read(marked).steps] == [
        step.title for step in read(source).steps
    ]
    assert len(set(ids(marked))) == len(ids(marked))
