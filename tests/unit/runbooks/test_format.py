"""Any Markdown file is read as sections and steps, and nothing of it is lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import RefusedError
from app.runbooks.format import attributes_of, canonical_sha256, id_of, read, title_from
from app.runbooks.rendering import render_document
from app.runbooks.rules import StepKind

OURS = b"""\
---
schema: runbook/1
id: model-x
title: X is broken
---

# Another heading

Read this first.

## When to use
`X` fires.

## Steps

Before the first step.

### Look
<!-- step id=look kind=check minutes=2 -->
Look at it.

### Which one?
<!-- step id=which kind=decision -->
- **This** \xe2\x86\x92 [go: fix](#fix)

## Roll back
### Fix it <!-- step id=fix kind=action risk=high undo=unfix confirm="type the 'name'" -->
Do it.

#### A detail
More.

### Just a heading
Only text.

## Verify
- [ ] `p99` is fine <!-- step id=verify-p99 kind=verify minutes=15 -->
- [ ] not marked
1. Look again <!-- step id=again -->

   indented text
"""


def steps_of(text: str) -> list[tuple[str, str, str]]:
    return [(step.id, step.kind.value, step.title) for step in read(text.encode()).steps]


def test_a_file_of_ours_is_read_whole():
    document = read(OURS)

    assert document.title == "X is broken"
    assert document.facts.id == "model-x"
    assert document.intro == "Read this first."
    assert [section.title for section in document.sections] == [
        "When to use",
        "Steps",
        "Roll back",
        "Verify",
    ]
    assert [(step.id, step.kind, step.section) for step in document.steps] == [
        ("look", StepKind.CHECK, "Steps"),
        ("which", StepKind.DECISION, "Steps"),
        ("fix", StepKind.ACTION, "Roll back"),
        ("verify-p99", StepKind.VERIFY, "Verify"),
        ("again", StepKind.VERIFY, "Verify"),
    ]
    assert document.remarks == ()


def test_what_is_no_step_stays_between_the_steps():
    flows = {section.title: section.flow for section in read(OURS).sections}

    assert flows["Steps"][0] == "Before the first step."
    assert flows["Roll back"][1] == "### Just a heading\nOnly text."
    assert flows["Verify"][1] == "- [ ] not marked"


def test_a_step_holds_all_its_comment_says():
    fix = read(OURS).steps[2]

    assert (fix.title, fix.risk, fix.minutes) == ("Fix it", "high", None)
    assert fix.attributes == {
        "id": "fix",
        "kind": "action",
        "risk": "high",
        "undo": "unfix",
        "confirm": "type the 'name'",
    }
    assert fix.body == "Do it.\n\n#### A detail\nMore."


def test_the_body_of_a_list_item_has_no_indent():
    assert read(OURS).steps[4].body == "indented text"


@pytest.mark.parametrize(
    ("comment", "attributes"),
    [
        (" id=a kind=check ", {"id": "a", "kind": "check"}),
        (""" id="a b" why='c "d"' """, {"id": "a b", "why": 'c "d"'}),
        (" id = a\n kind=\ncheck", {"id": "a", "kind": "check"}),
        (" sensed id=a", {"sensed": "", "id": "a"}),
        (' id="never closed', {"id": "", "never": "", "closed": ""}),
        ("", {}),
    ],
)
def test_attributes_of_a_comment(comment, attributes):
    assert attributes_of(comment) == attributes


# --- Foreign files


def test_numbered_items_are_steps():
    assert steps_of("# T\n\n## Mitigation\n\n1. Look at the pods.\n2. Restart `it`.\n") == [
        ("look-at-the-pods", "action", "Look at the pods."),
        ("restart-it", "action", "Restart it."),
    ]


def test_a_section_says_what_kind_its_steps_are():
    text = "## Diagnosis\n1. a\n\n## Resolution\n1. b\n\n## Verification\n1. c\n\n## Rollback\n1. d"
    assert [kind for _, kind, _ in steps_of(text)] == ["check", "action", "verify", "action"]


def test_lists_in_sections_that_only_explain_are_no_steps():
    assert steps_of("## Meaning\n1. a\n2. b\n\n## Impact\n1. c\n\n## Steps\n1. d\n") == [
        ("d", "action", "d")
    ]


def test_task_items_are_steps_when_nothing_is_numbered():
    assert steps_of("## Contain\n- [ ] Cut it off\n- [x] Call\n- a remark\n") == [
        ("cut-it-off", "action", "Cut it off"),
        ("call", "action", "Call"),
    ]


def test_headings_are_steps_in_a_section_that_acts():
    text = "## Meaning\n### Not this\n\n## Mitigation\n### One\ntext\n#### detail\n### Two\n"
    assert [title for _, _, title in steps_of(text)] == ["One", "Two"]


def test_headings_are_no_steps_where_items_are_numbered():
    assert [title for _, _, title in steps_of("## Steps\n### A\n1. b\n### C\n")] == ["b"]


def test_one_marked_step_makes_all_others_prose():
    text = "## Steps\n1. not this\n\n### This\n<!-- step id=this -->\n"
    assert [title for _, _, title in steps_of(text)] == ["This"]


def test_an_example_of_a_comment_is_not_a_step():
    text = "Write `<!-- step id=x -->`.\n\n```\n### A\n<!-- step id=y -->\n```\n"
    assert read(text.encode()).steps == []


def test_a_page_without_steps_is_a_page_to_read():
    document = read(b"# Title\n\nProse.\n\n## More\n\nAnd more.\n", "some-page.md")

    assert (document.title, document.intro, document.steps) == ("Title", "Prose.", [])
    assert document.sections[0].flow == ("And more.",)


def test_a_list_that_is_interrupted_by_its_code_stays_whole():
    text = "## Steps\n1. First\n```sh\nls\n```\n2. Second\n"
    first, second = read(text.encode()).steps

    assert first.body == "```sh\nls\n```"
    assert second.title == "Second"


def test_a_fence_inside_an_item_comes_out_straight():
    text = "1. Look\n\n   ```sh\n   ls\n     -la\n   ```\n"
    assert read(text.encode()).steps[0].body == "```sh\nls\n  -la\n```"


def test_an_item_that_begins_with_code_gets_a_number_for_a_title():
    step = read(b"1. ```sh\n   ls\n   ```\n").steps[0]

    assert step.title == "Step 1"
    assert "ls" in step.body


def test_a_long_item_is_named_by_its_first_sentence_and_kept_whole():
    words = "Look at the queue first." + " Then go on and on about what else there is." * 5
    step = read(f"1. {words}\n2. b\n".encode()).steps[0]

    assert step.title == "Look at the queue first"
    assert step.body == words


def test_a_file_with_underlined_headings_is_read():
    text = "Title\n=====\n\nDiagnosis\n---------\n\n1. a\n"
    document = read(text.encode())

    assert (document.title, document.sections[0].role) == ("Title", "steps")


def test_steps_before_any_section_get_one():
    document = read(b"# T\n\nprose\n\n1. a\n")

    assert [section.title for section in document.sections] == ["Steps"]
    assert document.sections[0].flow[0] == "prose"


# --- Ids


def test_equal_steps_have_different_ids():
    assert [step_id for step_id, _, _ in steps_of("1. Look\n2. Look\n3. Look\n")] == [
        "look",
        "look-2",
        "look-3",
    ]


def test_an_id_that_is_taken_is_told_with_its_line():
    document = read(b"---\nid: x\n---\n### A\n<!-- step id=a -->\n\n### B\n<!-- step id=a -->\n")

    assert [step.id for step in document.steps] == ["a", "a-2"]
    assert document.remarks == ("Line 7: the step id `a` is taken; it became `a-2`.",)


@pytest.mark.parametrize(
    ("comment", "kind", "risk", "remark"),
    [
        ("kind=dance", StepKind.ACTION, None, "a step can't be of kind `dance`"),
        ("risk=medium", StepKind.ACTION, "high", "it is shown as high"),
        ("minutes=soon", StepKind.ACTION, None, "minutes is a whole number, not `soon`"),
        ("id=a_B", StepKind.ACTION, None, "it became `a-b`"),
    ],
)
def test_an_odd_attribute_is_told_and_does_not_stop_anything(comment, kind, risk, remark):
    document = read(f"## Steps\n### A\n<!-- step {comment} -->\n".encode())

    assert (document.steps[0].kind, document.steps[0].risk) == (kind, risk)
    assert remark in document.remarks[0]


# --- Titles, bytes, hashes


@pytest.mark.parametrize(
    ("source", "title"),
    [
        (b"---\ntitle: From the head\n---\n# From the text\n", "From the head"),
        (b"# From *the* `text`\n", "From the text"),
        (b"text\n", "Disk almost full"),
        (b"", "Disk almost full"),
    ],
)
def test_a_title_is_found_somewhere(source, title):
    assert read(source, "runbooks/disk_almost-full.md").title == title


def test_a_file_without_a_name_is_untitled():
    assert title_from(".md") in {"Untitled", ".md"}


@pytest.mark.parametrize(
    "other",
    [
        b"# A\r\n\r\ntext\r\n",
        b"\xef\xbb\xbf# A\n\ntext\n",
        b"# A  \n\t\ntext",
        b"# A\n\ntext\n\n\n",
        b"# A\r\rtext\r",
    ],
)
def test_line_ends_and_trailing_blanks_make_no_new_text(other):
    assert canonical_sha256(other) == canonical_sha256(b"# A\n\ntext\n")


def test_an_indent_makes_a_new_text():
    assert canonical_sha256(b"# A\n\n text\n") != canonical_sha256(b"# A\n\ntext\n")


def test_a_file_that_is_not_utf_8_is_read_and_told():
    document = read(b"# Caf\xe9\n\nline\n")

    assert document.title == "Caf\ufffd"
    assert document.remarks == ("Line 1 is not UTF-8; what can't be read shows as \ufffd.",)


def test_a_file_with_a_nul_is_read_and_told():
    document = read(b"# A\r\n\r\nb\x00c\r\n")

    assert document.intro == "b\ufffdc"
    assert document.remarks == ("Line 3 holds the character NUL; it shows as \ufffd.",)


def test_an_item_that_begins_with_its_comment_keeps_its_words():
    text = "## Steps\n\n1. <!-- step id=a kind=check --> Look at **it**\n   once\n\n   Then go.\n"

    (step,) = read(text.encode()).steps

    assert (step.id, step.kind, step.title) == ("a", StepKind.CHECK, "Look at it")
    assert step.title_source == "Look at **it**"
    assert step.body == "once\n\nThen go."


def test_a_section_is_known_by_its_words_and_not_by_its_attributes():
    text = (
        "## Diagnosis {#diagnosis}\n### Look\nAt it.\n\n## Resolution {: .wide }\n### Act\nNow.\n"
    )

    assert steps_of(text) == [("look", "check", "Look"), ("act", "action", "Act")]


def test_the_id_is_read_without_the_rest():
    assert id_of(OURS) == "model-x"
    assert id_of(b"# Nothing\n") is None


PIECES = (
    "---\n", "id: x\n", "title: [\n", "schema: runbook/1\n", "# A\n", "## Steps\n", "### B\n",
    "<!-- step id=a kind=check -->\n", "<!-- step", " -->\n", "- [ ] c <!-- step id=d -->\n",
    "1. e\n", "   f\n", "```bash {name=g}\n", "```\n", "**Expect:** h\n", "\n", "\t", "> i\n",
    "- **j** \u2192 [go: k](#a)\n", "| l |\n|---|\n", "{{m}}", "<n>\n", "\r\n", "\x00", "\ufeff", "&#0;",
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_any_mix_of_pieces_is_read_and_rendered(text):
    check(text.encode())


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_and_rendered(source):
    check(source)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_any_text_below_a_front_matter_is_read(text):
    check(
        b"---\nid: x\n" + text.encode(errors="replace") + b"\n---\n" + text.encode(errors="replace")
    )


def check(source: bytes) -> None:
    try:
        document = read(source, "some.md")
        parts = render_document(document)
    except RefusedError:
        return
    ids = [step.id for step in document.steps]
    assert len(ids) == len(set(ids))
    assert set(parts["steps"]) == set(ids)
    for step in document.steps:
        assert 0 < len(step.id) <= 80
        assert 0 < len(step.title) <= 300
        assert len(step.section) <= 120
    assert 0 < len(document.title) <= 300
    everything = str((document.front_matter, parts, document.steps))
    everything.encode()  # no half of a surrogate pair
    assert "\\x00" not in everything
