"""Fixes change their lines and no other byte."""

from hypothesis import given
from hypothesis import strategies as st

from app.runbooks.lint import Fix, apply, lint

LINES = st.lists(st.text(alphabet="ab ¶", max_size=4), min_size=1, max_size=6)


def fix(start: int, end: int, replacement: str) -> Fix:
    return Fix("Mend", start, end, replacement)


def test_lines_are_replaced_added_and_taken_away():
    fixes = [fix(1, 2, "A\n"), fix(2, 2, "new\nlines\n"), fix(3, 4, "")]

    assert apply(b"a\nb\nc\nd\n", fixes) == b"A\nnew\nlines\nb\nd\n"


def test_line_ends_and_a_byte_order_mark_stay():
    source = b"\xef\xbb\xbfa\r\nb\r\n\xff\r\n"

    assert apply(source, [fix(2, 3, "B\nmore\n")]) == b"\xef\xbb\xbfa\r\nB\r\nmore\r\n\xff\r\n"


def test_a_last_line_without_an_end_stays_without():
    assert apply(b"a\nb", [fix(2, 3, "B\n")]) == b"a\nB"
    assert apply(b"a\nb", [fix(3, 3, "c\n")]) == b"a\nb\nc"


def test_one_line_without_an_end_gets_lines_above_it():
    assert apply(b"# A", [fix(1, 1, "---\n---\n")]) == b"---\n---\n# A"


def test_of_two_fixes_for_the_same_lines_the_first_is_made():
    fixes = [fix(1, 3, "first\n"), fix(2, 3, "second\n")]

    assert apply(b"a\nb\nc\n", fixes) == b"first\nc\n"


def test_the_same_fix_of_two_findings_is_made_once():
    fixes = [fix(2, 2, "declared\n"), fix(2, 2, "declared\n")]

    assert apply(b"a\nb\n", fixes) == b"a\ndeclared\nb\n"


def test_no_fix_changes_nothing():
    for source in (b"", b"a", b"a\r\nb\rc\n\n", b"\xef\xbb\xbf"):
        assert apply(source, []) == source


@given(LINES, st.integers(1, 6), st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_replaced_line_leaves_the_others(lines, number, ending):
    number = min(number, len(lines))
    source = "".join(f"{line}{ending}" for line in lines).encode()

    found = apply(source, [fix(number, number + 1, "x\n")]).decode()

    assert found.split(ending)[:-1] == [*lines[: number - 1], "x", *lines[number:]]


def test_all_fixes_of_a_text_can_be_made_again_until_none_is_left():
    source = b"# A\r\n\r\n## Steps\r\n\r\n1. Go\r\n   ```\r\n   $ kubectl delete pod <name>\r\n   ```\r\n"

    for _ in range(6):
        source = apply(source, [one.fix for one in lint(source, slug="a") if one.fix])

    assert source.decode() == (
        "---\r\nschema: runbook/1\r\nid: a\r\n"
        "escalate_to: model-owner\r\n"
        "variables:\r\n"
        '  - {name: name, pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$", required: true}\r\n'
        "---\r\n\r\n# A\r\n\r\n## Steps\r\n\r\n1. Go\r\n"
        "   ```bash\r\n   kubectl delete pod {{name}}\r\n   ```\r\n"
    )
