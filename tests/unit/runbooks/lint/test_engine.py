"""Lint as a whole: it takes any file, in a short time."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.markdown import MAX_BYTES
from app.runbooks.lint import (
    MOST_OF_ONE_RULE,
    RULES,
    Level,
    Surroundings,
    apply,
    as_warnings,
    has_errors,
    lint,
)
from app.runbooks.template import for_alert
from tests.unit.runbooks.lint.examples import GOOD, findings

FOLDER = Path(__file__).parents[4] / "runbooks"
FILES = sorted(FOLDER.glob("*.md"))
FRAGMENTS = (
    "```", "```bash\n", "~~~", "\n", "\n\n", " ", "    ", "# ", "### Step\n", "## Steps\n", "- ",
    "1. ", "> ", "| a | b |\n|---|---|\n", "|", "<!-- step id=a kind=decision -->", "<!-- step ",
    "-->", "[go: a](#a)", "[a](b.md)", "![a](../b.png)", "](", "[", "http://a.b", "{{a}}", "{{",
    "<pod>", "<script>", "$ ls", "rm -rf /", "DELETE FROM a", "\\", "'", '"', "<<EOF", "TODO",
    "\u202e", "\x00", "\r", "---\n", "id: a\n", "variables: [{name: a}]\n", "signals:\n - x\n",
    "schema: runbook/1\n", "password=abc123def456", "undo=b ", "risk=high ", ": ", "&a *a", "é",
)  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_is_found_in_the_runbooks_that_we_ship(path):
    others = {other.stem for other in FILES} - {path.stem}

    assert lint(path.read_bytes(), slug=path.stem, surroundings=Surroundings(slugs=others)) == []


def test_what_a_new_runbook_starts_from_has_only_to_be_written():
    found = findings(for_alert("ModelIsLate", "model-is-late"), slug="model-is-late")

    assert {one.rule for one in found if one.level is Level.ERROR} == {"RB20"}


def test_a_file_that_is_too_large_is_one_finding():
    found = lint(b"a" * (MAX_BYTES + 1), slug="a")

    assert [(one.rule, one.level, one.line) for one in found] == [("RB01", Level.ERROR, 1)]


def test_a_nul_is_found_in_its_line():
    found = lint(GOOD.encode().replace(b"Scores", b"Sc\x00res"), slug="drift")

    assert [(one.rule, one.line) for one in found] == [("RB01", 23)]


def test_a_file_whose_name_gives_no_id_needs_one_of_its_own():
    without = lint(b"# A\n", slug="")
    no_id = lint(GOOD.replace("id: drift\n", "").encode(), slug="new")

    assert [one.fix.replacement for one in without if one.fix and one.rule == "RB01"] == [
        "---\nschema: runbook/1\n---\n\n"
    ]
    assert [(one.rule, one.line, one.fix) for one in no_id] == [("RB02", 1, None)]
    assert lint(GOOD.encode(), slug="") == []


def test_what_is_wrong_twice_in_a_line_is_said_once():
    text = GOOD.replace("Write the cause", "[a](no.md) and [b](no.md)")

    found = lint(text.encode(), slug="drift", surroundings=Surroundings(slugs={"latency"}))

    assert [one.rule for one in found] == ["RB14"]


def test_a_byte_that_is_no_text_is_found_in_its_line():
    found = lint(GOOD.encode().replace(b"Scores", b"Sc\xffres"), slug="drift")

    assert [(one.rule, one.line) for one in found] == [("RB01", 23)]


def test_lines_are_counted_alike_whatever_ends_them():
    lines = [(one.rule, one.line) for one in findings("---\nid: a\n---\n# A\n\nTODO\n")]

    for ending in ("\r\n", "\r"):
        text = "---\nid: a\n---\n# A\n\nTODO\n".replace("\n", ending)
        assert [(one.rule, one.line) for one in findings(text)] == lines


def test_findings_are_in_the_order_of_the_file():
    found = findings("# A\n\n```\n$ ls\n```\n\nTODO\n")

    assert [one.line for one in found] == sorted(one.line for one in found)


def test_of_one_rule_only_so_many_are_told():
    assert len(findings("# A\n" + "TODO\n" * 1000, "RB20")) == MOST_OF_ONE_RULE


def test_on_import_nothing_is_worse_than_a_warning():
    found = findings("# A\n\nTODO\n")

    assert has_errors(found)
    assert not has_errors(as_warnings(found))
    assert [one.sentence for one in as_warnings(found)] == [one.sentence for one in found]


def test_rules_that_know_nothing_of_the_surroundings_say_nothing():
    text = GOOD.replace("## Afterwards", "<!-- expires 2020-01-01 -->\n\n## Afterwards")

    assert findings(text) == []


def test_rules_have_their_numbers_in_order():
    assert [rule.id for rule in RULES] == [f"RB{number:02}" for number in range(1, 35)]


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=5))).map("".join),
        st.text(),
    )
)
def test_no_text_is_too_odd(text):
    source = text.encode("utf-8", "surrogatepass")
    around = Surroundings(slugs={"b"}, files=frozenset(), people_of_teams={}, live_step_ids={"q"})

    found = lint(source, slug="a", surroundings=around)

    lines = text.count("\n") + text.count("\r") + 1
    assert all(1 <= one.line <= lines for one in found)
    apply(source, [one.fix for one in found if one.fix])


@settings(max_examples=100, deadline=None)
@given(st.binary())
def test_no_bytes_are_too_odd(source):
    lint(source, slug="a")


SLOW = (
    "```\n", "$ a\n", "<a ", "<!-- step ", "`[go: ` ", "kubectl ", "rm -", "scale ", "a@", "a:",
    "://a:", "Bearer ", "eyJa.", "|", "{{ ", "- ", "\n", "DELETE FROM a ", "../", "[a](../",
    "### a\n<!-- step id=a -->\n",
)  # fmt: skip


@pytest.mark.parametrize("part", SLOW)
def test_no_text_takes_long(part):
    # An eighth of the largest is enough to find what grows with the square.
    source = (part * (MAX_BYTES // 8 // len(part))).encode()
    begin = time.thread_time()

    lint(source, slug="a", surroundings=Surroundings(slugs={"b"}, files=frozenset()))

    assert time.thread_time() - begin < 4  # the parser alone gives up after one


def test_all_runbooks_that_we_ship_are_read_in_a_moment():
    sources = [path.read_bytes() for path in FILES]
    begin = time.thread_time()

    for source in sources:
        lint(source, slug="a")

    assert time.thread_time() - begin < 4  # half a second, where nothing else runs
