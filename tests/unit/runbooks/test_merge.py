"""Two edits become one text, and nothing of either is lost."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.runbooks.format import read
from app.runbooks.merge import CONFLICT, Names, merge

EXAMPLE = (Path(__file__).parents[3] / "runbooks" / "latency-regression.md").read_text()
A = "### A\n<!-- step id=a -->\nLook at a.\n\nThen at b.\n"
B = "### B\n<!-- step id=b -->\nDo b.\n"
C = "### C\n<!-- step id=c -->\nDo c.\n"


def text(*steps, head="id: t\n", end=""):
    return f"---\n{head}---\n\n# T\n\nWords.\n\n## Steps\n\n" + "\n".join(steps) + end


def ids(source):
    return [step.id for step in read(source.encode()).steps]


BASE = text(A, B, C)


def test_what_two_people_changed_in_two_steps_is_in_both():
    merged = merge(BASE, BASE.replace("Do b", "Do 2"), BASE.replace("Do c", "Do 3"))

    assert merged.text == BASE.replace("Do b", "Do 2").replace("Do c", "Do 3")
    assert merged.conflicts == ()


def test_two_paragraphs_of_one_step_are_two_places():
    merged = merge(BASE, BASE.replace("at a.", "at 1."), BASE.replace("at b.", "at 2."))

    assert merged.text == BASE.replace("at a.", "at 1.").replace("at b.", "at 2.")


def test_a_step_that_one_side_moved_has_the_words_that_the_other_wrote():
    merged = merge(BASE, text(C, A, B), BASE.replace("Do c", "Do 3"))

    assert ids(merged.text) == ["c", "a", "b"]
    assert "Do 3." in merged.text
    assert merged.conflicts == ()


def test_steps_that_both_sides_added_are_both_there():
    new, other = "### N\n<!-- step id=n -->\n", "### O\n<!-- step id=o -->\n"

    merged = merge(BASE, text(A, new, B, C), text(A, B, C, other))

    assert ids(merged.text) == ["a", "n", "b", "c", "o"]
    assert merged.conflicts == ()


def test_a_step_that_one_side_deleted_and_the_other_left_alone_is_gone():
    assert ids(merge(BASE, text(A, C), BASE.replace("Do c", "Do 3")).text) == ["a", "c"]


def test_a_step_that_one_side_deleted_and_the_other_changed_is_a_conflict():
    merged = merge(BASE, text(A, C), BASE.replace("Do b", "Do 2"))

    assert merged.conflicts == ("the step B",)
    assert "Do 2." in merged.text


def test_one_line_that_both_changed_is_kept_twice_between_comments():
    merged = merge(
        BASE,
        BASE.replace("Do b", "Do 2"),
        BASE.replace("Do b", "Do zwei"),
        Names("yours", "from Ana"),
    )

    assert merged.conflicts == ("the step B",)
    assert (
        "<!-- conflict: yours -->\nDo 2.\n<!-- conflict: from Ana -->\nDo zwei.\n"
        "<!-- conflict: end -->\n"
    ) in merged.text
    assert CONFLICT.findall(merged.text) == ["yours", "from Ana", "end"]


def test_the_same_change_on_both_sides_is_made_once():
    changed = BASE.replace("Do b", "Do 2")

    assert merge(BASE, changed, changed.replace("Words", "More words")).text == changed.replace(
        "Words", "More words"
    )


def test_a_conflict_in_the_front_matter_leaves_it_readable():
    merged = merge(
        BASE, text(A, B, C, head="id: t\nseverity: sev2\n"), text(A, B, C, head="id: t\nowner: x\n")
    )

    assert merged.conflicts == ("the front matter",)
    assert "# <!-- conflict: published here -->\nseverity: sev2\n" in merged.text
    assert read(merged.text.encode()).front_matter == {"id": "t", "severity": "sev2", "owner": "x"}


def test_ids_that_the_portal_wrote_do_not_disturb_a_foreign_file():
    base = "## Mitigation\n\n1. Look at the shards\n2. Act now\n"
    ours = "## Mitigation\n\n1. Look at the shards <!-- step id=look-at-the-shards -->\n2. Act now <!-- step id=act-now -->\n"

    merged = merge(base, ours, base.replace("2. Act now", "2. Act now\n   quickly"))

    assert next(iter(ids(merged.text))) == "look-at-the-shards"
    assert "quickly" in merged.text


SHIPPED_LINES = EXAMPLE.split("\n")


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_edits_of_lines_that_are_far_apart_never_conflict(data):
    half = len(SHIPPED_LINES) // 2
    one = data.draw(st.integers(30, half - 6))
    other = data.draw(st.integers(half + 6, len(SHIPPED_LINES) - 2))
    ours, theirs, both = list(SHIPPED_LINES), list(SHIPPED_LINES), list(SHIPPED_LINES)
    ours[one] = both[one] = "One wrote this."
    theirs[other] = both[other] = "The other wrote that."

    merged = merge(EXAMPLE, "\n".join(ours), "\n".join(theirs))

    assert {"One wrote this.", "The other wrote that."} <= set(merged.text.split("\n"))


LINES = st.lists(
    st.sampled_from(
        [
            "",
            "---",
            "id: x",
            "# T",
            "## Steps",
            "## Impact",
            "### A",
            "### B",
            "1. x",
            "2. y",
            "- [ ] z",
            "<!-- step id=a -->",
            "<!-- step id=b kind=check -->",
            "```",
            "words",
            "more",
            "  more",
        ]
    ),
    max_size=16,
)


@st.composite
def edits(draw, of):
    """A text that somebody made from another: some lines gone, some new."""
    kept = [line for line in of if draw(st.integers(0, 5))]
    for number in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(kept)))
        new = draw(st.sampled_from(["### New", "new words", "id: new", "3. new"])) + str(number)
        kept.insert(at, new)
    return kept


@given(LINES, LINES)
def test_against_a_side_that_changed_nothing_the_other_side_wins(base, other):
    base, other = "\n".join(base), "\n".join(other)

    assert merge(base, other, base).text == other
    assert merge(base, base, other).text == other
    assert merge(base, other, other).text == other


@given(st.data())
def test_no_line_that_either_side_wrote_is_lost(data):
    base = data.draw(LINES)
    ours, theirs = data.draw(edits(base)), data.draw(edits(base))

    merged = merge("\n".join(base), "\n".join(ours), "\n".join(theirs))

    lines = {line.strip() for line in merged.text.split("\n")}
    written = {line.strip() for line in [*ours, *theirs] if line not in base}
    kept = {line.strip() for line in base if line in ours and line in theirs}
    assert written <= lines
    # What all three have stays, unless it stood twice and each side took away another one.
    assert {line for line in kept if line and base.count(line) == 1} <= lines


@pytest.mark.parametrize("side", [0, 1])
def test_a_merge_of_texts_that_have_nothing_in_common_holds_both(side):
    texts = ["# One\n\nwords of one\n", "# Other\n\nwords of another\n"]

    merged = merge("", texts[side], texts[1 - side])

    assert {"words of one", "words of another"} <= set(merged.text.split("\n"))
    assert merged.conflicts
