"""What changed is told by step, and what matters most is told first."""

from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import markdown
from app.runbooks.compare import Change, Part, compare, line_diff
from app.runbooks.differences import Side, diff_of_lines, diff_of_words
from app.runbooks.format import read

SHIPPED = sorted((Path(__file__).parents[3] / "runbooks").glob("*.md"))
LOOK = "### Look\n<!-- step id=look kind=check minutes=2 -->\nAt the p99.\n\n```bash\nup\n```\n**Expect:** 80 ms.\n\n"
WHICH = "### Which?\n<!-- step id=which kind=decision -->\n- **Slow** → [go: back](#back)\n- **Not** → [go: look](#look)\n\n"
BACK = "### Go back\n<!-- step id=back kind=action risk=high -->\nNow.\n\n"


def text(*steps, head="title: T\n", above="Words."):
    return f"---\n{head}---\n\n{above}\n\n## Steps\n\n{''.join(steps)}".encode()


BASE = text(LOOK, WHICH, BACK)


def changes(after, before=BASE):
    return compare(read(before), read(after))


def step(after, step_id):
    return next(each for each in changes(after).steps if each.step_id == step_id)


def said(words, side):
    return "".join(word.text for word in words if word.side is side).strip()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_text_is_the_same_as_itself(path):
    document = read(path.read_bytes())

    found = compare(document, document)

    assert not found
    assert {each.change for each in found.steps} == {Change.SAME}
    assert len(found.steps) == len(document.steps)


def test_added_removed_moved_and_changed_steps_are_told_apart():
    new = "### New\n<!-- step id=new -->\n"

    found = changes(text(BACK, LOOK.replace("80", "60"), new))

    assert [
        (each.step_id, each.change, each.number_before, each.number_after) for each in found.steps
    ] == [
        ("back", Change.MOVED, 3, 1),
        ("look", Change.CHANGED, 1, 2),
        ("new", Change.ADDED, None, 3),
        ("which", Change.REMOVED, 2, None),
    ]
    assert not found.changes_a_risky_step


def test_a_step_that_only_got_another_number_did_not_move():
    assert [each.change for each in changes(text(WHICH, BACK)).steps] == [
        Change.REMOVED,
        Change.SAME,
        Change.SAME,
    ]


@pytest.mark.parametrize(
    ("before", "after", "part"),
    [
        ("up", "up -v", Part.COMMAND),
        ("```bash", "```promql", Part.COMMAND),
        ("80 ms", "60 ms", Part.EXPECTATION),
        ("At the p99.", "At the p50.", Part.TEXT),
        ("kind=check", "kind=verify", Part.KIND),
        ("minutes=2", "minutes=3", Part.SETTINGS),
        ("minutes=2", "minutes=2 risk=high", Part.RISK),
        ("### Look", "### See", Part.TITLE),
        ("**Slow**", "**Over 80 ms**", Part.OPTIONS),
    ],
)
def test_the_part_that_changed_is_named(before, after, part):
    found = changes(text(LOOK, WHICH, BACK).replace(before.encode(), after.encode()))

    (changed,) = [each for each in found.steps if each.change is Change.CHANGED]
    assert changed.parts == {part}
    assert [piece.part for piece in changed.pieces] == [part]


def test_lines_broken_elsewhere_are_no_change():
    assert not changes(BASE.replace(b"At the p99.", b"At\nthe p99. "))


def test_a_change_of_a_risky_step_is_marked_also_when_the_risk_is_taken_away():
    found = changes(text(LOOK, WHICH, BACK.replace("risk=high", "risk=low")))

    assert found.changes_a_risky_step
    assert step(text(LOOK, WHICH, BACK.replace("Now", "Then")), "back").risky


def test_words_that_changed_are_shown_among_those_that_did_not():
    (piece,) = step(text(LOOK.replace("80 ms", "60 ms and no less"), WHICH, BACK), "look").pieces

    assert said(piece.words, Side.BEFORE) == "80"
    assert said(piece.words, Side.AFTER) == "60 and no less"


def test_of_a_command_the_lines_that_changed_are_shown_with_their_numbers():
    long = LOOK.replace("up\n", "one\ntwo\nthree\nfour\nfive\n")
    found = compare(read(text(long)), read(text(long.replace("three", "3"))))

    (piece,) = found.steps[0].pieces
    assert [(line.side.value, line.number, line.text) for line in piece.lines] == [
        ("both", 3, "two"),
        ("before", 4, "three"),
        ("after", 4, "3"),
        ("both", 5, "four"),
    ]


def test_facts_and_words_outside_of_steps_are_told():
    after = text(
        LOOK, WHICH, BACK, head="title: U\nsignals: [{alertname: X}]\n", above="Other words."
    )

    found = changes(after)

    assert [(fact.key, fact.before, fact.after) for fact in found.facts] == [
        ("title", "T", "U"),
        ("signals", "", "[{alertname: X}]"),
    ]
    assert [section.title for section in found.sections] == ["Above the first section"]
    assert found


def test_a_renamed_section_moves_no_step():
    assert {each.change for each in changes(BASE.replace(b"## Steps", b"## Procedure")).steps} == {
        Change.SAME
    }


def test_a_foreign_file_is_compared_by_its_texts():
    before = read(b"## Mitigation\n1. Look at the shards of the index\n2. Act\n")
    after = read(b"## Mitigation\n1. Call\n2. Look at the shards of the index\n3. Act\n")

    assert [each.change for each in compare(before, after).steps] == [
        Change.ADDED,
        Change.SAME,
        Change.SAME,
    ]


def test_lines_that_differ_come_with_three_around_them_in_groups():
    before = "\n".join(str(number) for number in range(1, 31))

    hunks = line_diff(before, before.replace("\n5\n", "\nfive\n").replace("\n25\n", "\n"))

    assert [[line.text for line in hunk.lines] for hunk in hunks] == [
        ["2", "3", "4", "5", "five", "6", "7", "8"],
        ["22", "23", "24", "25", "26", "27", "28"],
    ]
    assert line_diff(before, before) == []


LINES = st.lists(st.sampled_from(["", "a", "b", "## Steps", "### A", "1. x", "```"]), max_size=12)


@given(LINES, LINES)
def test_both_texts_can_be_read_from_the_difference(before, after):
    lines = diff_of_lines(before, after)

    assert [line.text for line in lines if line.side is not Side.AFTER] == before
    assert [line.text for line in lines if line.side is not Side.BEFORE] == after
    assert bool(line_diff("\n".join(before), "\n".join(after))) is (
        "\n".join(before) != "\n".join(after)
    )


@given(st.text("ab .\n", max_size=30), st.text("ab .\n", max_size=30))
def test_the_later_words_can_be_read_from_the_difference(before, after):
    found = diff_of_words(before, after)

    assert "".join(word.text for word in found if word.side is not Side.BEFORE) == after


@given(LINES, LINES)
def test_any_two_texts_can_be_compared(before, after):
    left, right = (read("\n".join(lines).encode()) for lines in (before, after))

    found = compare(left, right)

    assert {each.number_after for each in found.steps} - {None} == set(
        range(1, len(right.steps) + 1)
    )
    assert {each.number_before for each in found.steps} - {None} == set(
        range(1, len(left.steps) + 1)
    )


def test_large_texts_are_compared_in_bearable_time(monkeypatch):
    monkeypatch.setattr(markdown, "MAX_SECONDS", 60)  # what is compared here has been read before
    one = "## Steps\n" + "".join(f"1. Step {n}\n\n   words {n}\n\n" for n in range(1_000))
    other = one.replace("7", "8")
    began = process_time()

    compare(read(one.encode()), read(other.encode()))
    line_diff(one, other)
    line_diff("\n" * 100_000, "a\n" * 100_000)

    assert process_time() - began < 10
