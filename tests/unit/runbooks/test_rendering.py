"""A runbook as the parts that a page puts together."""

import time
from html import unescape

import pytest

from app.core import markdown
from app.runbooks.format import read
from app.runbooks.rendering import render_document, to_copy
from tests.unit.runbooks.hostile import XSS
from tests.unit.runbooks.test_markdown import assert_harmless


def parts_of(text):
    return render_document(read(text.encode()))


def blocks_of(body):
    return parts_of(f"## Steps\n### A\n<!-- step id=a -->\n{body}\n")["steps"]["a"]["blocks"]


def test_short_sections_before_the_steps_become_facts():
    parts = parts_of(
        "## When to use\n`X` fires.\nNot this: y is down.\n\n"
        "## Impact\nNone.\n\n## Stop and escalate if\n- it burns\n\n## Steps\n1. a\n"
    )

    assert [(fact["role"], fact["label"]) for fact in parts["facts"]] == [
        ("when", "When to use"),
        ("not_when", "Not when"),
        ("impact", "Impact"),
        ("stop", "Stop and escalate if"),
    ]
    assert parts["facts"][1]["html"] == "<p>Y is down.</p>\n"
    assert [section["title"] for section in parts["sections"]] == ["Steps"]


@pytest.mark.parametrize("text", ["```\ncode\n```", "| a |\n|---|", "word " * 300, "1. a\n"])
def test_a_long_section_stays_a_section(text):
    parts = parts_of(f"## Escalation\n{text}\n")

    assert parts["facts"] == []
    assert parts["sections"][0]["title"] == "Escalation"


def test_commands_stand_apart_from_prose_with_what_is_copied():
    blocks = blocks_of(
        "Before.\n```bash {name=psi}\n$ drift --model {{model}} <x>\nPSI 0.3\n```\nAfter."
    )

    assert [block["kind"] for block in blocks] == ["prose", "command", "prose"]
    command = blocks[1]
    assert (command["name"], command["label"]) == ("psi", "Your terminal")
    assert command["html"] == (
        '$ drift --model <span class="var">{{model}}</span> &lt;x&gt;\nPSI 0.3'
    )
    assert command["copied"] == "drift --model {{model}} <x>"


@pytest.mark.parametrize(
    ("info", "label"),
    [
        ("sh", "Your terminal"),
        ("promql", "PromQL"),
        ("", "Text"),
        ("{name=x}", "Text"),
        ("go", "go"),
    ],
)
def test_a_command_says_where_it_belongs(info, label):
    assert blocks_of(f"```{info}\nx\n```")[0]["label"] == label


@pytest.mark.parametrize(
    ("code", "copied"),
    [
        ("ls\n", "ls"),
        ("$ ls\n", "ls"),
        ("$ ls\nfile\n$ pwd\n", "ls\npwd"),
        ("$ ls \\\n>   -la\nfile\n", "ls \\\n  -la"),
        ("root@host:~# ls\nfile", "ls"),
        ("# a comment\nls\n", "# a comment\nls"),
        ("echo $ x\n", "echo $ x"),
        ("cat <<EOF\n$x\nEOF", "cat <<EOF\n$x\nEOF"),
    ],
)
def test_a_copy_has_no_prompt_and_no_output(code, copied):
    assert to_copy(code, "bash") == copied


def test_a_query_is_copied_as_it_is():
    assert to_copy("> 5\n$ x\n", "promql") == "> 5\n$ x"


@pytest.mark.parametrize(
    "body",
    [
        "Do it.\n\n**Expect:** `done` within 2 minutes.",
        "Do it.\n**Expect:** `done` within 2 minutes.",
        "Do it.\n\n**Expected:** `done`\nwithin 2 minutes.",
    ],
)
def test_an_expectation_stands_apart(body):
    prose, expect = blocks_of(body)

    assert prose == {"kind": "prose", "html": "<p>Do it.</p>\n"}
    assert expect["kind"] == "expect"
    assert "".join(expect["html"].split()).startswith("<code>done</code>within2")


def test_a_decision_has_options_that_lead_somewhere():
    parts = parts_of(
        "## Steps\n### Which?\n<!-- step id=which -->\n"
        "- **One** → [go: first](#b)\n"
        "- Two -> [go: elsewhere](feature-stale.md)\n"
        "- Three: [go: nowhere](#missing)\n\n"
        "### B\n<!-- step id=b kind=action -->\n"
    )

    step = parts["steps"]["which"]
    assert step["kind"] == "decision"
    assert [
        (one["html"], one["label"], one["step"], one["number"], one["href"])
        for one in step["blocks"][0]["options"]
    ] == [
        ("<strong>One</strong>", "first", "b", 2, ""),
        ("Two", "elsewhere", "", 0, "/runbooks/feature-stale"),
        ("Three", "nowhere", "", 0, ""),
    ]


def test_a_list_that_only_mentions_a_step_is_prose():
    blocks = blocks_of("- [go: there](#a)\n- and a remark\n")

    assert [block["kind"] for block in blocks] == ["prose"]


def test_steps_point_at_their_undo_with_its_number():
    parts = parts_of(
        "### Do\n<!-- step id=do undo=undo on_fail=gone -->\n\n### Undo\n<!-- step id=undo minutes=4 -->\n"
    )

    assert parts["steps"]["do"]["undo"] == {"step": "undo", "number": 2, "minutes": 4}
    assert parts["steps"]["do"]["on_fail"] is None


def test_links_lead_to_steps_sections_and_other_runbooks():
    parts = parts_of(
        "## Steps\n[step](#a) [section](#roll-back) [file](../x/Feature_Stale.md#y) "
        "[else](docs/x.txt)\n\n### A\n<!-- step id=a -->\n\n## Roll back\ntext\n"
    )
    html = parts["sections"][0]["flow"][0]["html"]

    assert 'href="#s-a"' in html
    assert 'href="#rb-roll-back"' in html
    assert 'href="/runbooks/feature-stale"' in html
    assert "docs/x.txt" not in html


def test_sections_of_one_name_have_two_anchors():
    sections = parts_of("## A\nx\n\n## A\ny\n")["sections"]

    assert [section["anchor"] for section in sections] == ["rb-a", "rb-a-2"]


def test_references_reach_the_parts_they_are_used_in():
    parts = parts_of("## Steps\n1. See [docs]\n\n## More\n[docs]: https://a.example\n")

    assert 'href="https://a.example"' in parts["steps"]["see-docs"]["title"]


@pytest.mark.parametrize("text", XSS)
def test_hostile_text_is_harmless_in_every_part(text):
    one_line = text.replace("\n", " ")
    parts = parts_of(
        f"{text}\n\n## {one_line}\n{text}\n\n## Impact\n{text}\n\n"
        f"### {one_line}\n<!-- step id=a undo={one_line.split()[0]} confirm='{one_line}' -->\n"
        f"**Expect:** {text}\n\n- {one_line} → [go: {one_line}](#a)\n\n"
        f"```bash {{name='{one_line}'}}\n{text}\n```\n"
    )

    for html in _html_in(parts):
        assert_harmless(html)


def _html_in(part):
    match part:
        case dict():
            for name, value in part.items():
                if (
                    name in {"html", "title", "intro"}
                    and isinstance(value, str)
                    and "flow" not in part
                ):
                    yield value
                else:
                    yield from _html_in(value)
        case list():
            for value in part:
                yield from _html_in(value)


@pytest.mark.parametrize(
    "body",
    [
        "1. Before\n   ```bash\n   $ logs {{model}} <x>\n   ```\n2. After",
        "> Before\n> ```sh\n> $ logs {{model}} <x>\n> ```\n>\n> After",
        "- Before\n\n  - Deeper\n\n    ```console\n    $ logs {{model}} <x>\n    ```\n- After",
    ],
)
def test_a_command_inside_of_prose_can_be_copied_too(body):
    (block,) = blocks_of(body)
    before, command, after = block["parts"]

    assert command["copied"] == "logs {{model}} <x>"
    assert command["label"] == "Your terminal"
    assert command["html"] == '$ logs <span class="var">{{model}}</span> &lt;x&gt;'
    assert "Before" in before
    assert "After" in after
    assert block["html"].startswith(before)
    assert block["html"].endswith(after)


def test_prose_without_commands_has_no_parts():
    (block,) = blocks_of("Only `code` in a line.")

    assert "parts" not in block


def test_commands_in_a_section_without_steps_can_be_copied():
    part = parts_of("## Notes\nText.\n\n```sh\nls\n```\n")["sections"][0]["flow"][0]

    assert part["parts"][1]["copied"] == "ls"


@pytest.mark.parametrize(
    ("info", "language", "name"),
    [
        ("bash {name=psi}", "bash", "psi"),
        ("{name=psi}", "", "psi"),
        ("{ .yaml .annotate }", "yaml", ""),
        ('yaml title="values.yaml" hl_lines="1 2"', "yaml", ""),
        ('title="x"', "", ""),
        ("C++", "c++", ""),
    ],
)
def test_a_fence_says_its_language_in_several_ways(info, language, name):
    (block,) = blocks_of(f"```{info}\nx\n```")

    assert (block["language"], block["name"]) == (language, name)


@pytest.mark.parametrize(
    "text",
    [
        "<%= @namespace %>",
        '{{< relref "other" >}}',
        "{{% notice %}}",
        '{% include "x" %}',
        "{{ .Values.model }}",
        "{{ $labels.pod }}",
    ],
)
def test_what_other_templates_would_fill_in_is_shown_as_text(text):
    (block,) = blocks_of(f"Look at {text} now.")

    assert unescape(block["html"]) == f"<p>Look at {text} now.</p>\n"


MANY = 20_000
STEP = "# A\n\n## Steps\n\n### B\n<!-- step id=b kind={} -->\n"


@pytest.mark.parametrize(
    "text",
    [
        STEP.format("check") + "```a b" + " " * MANY + "c\nls\n```\n",
        STEP.format("decision") + "- a" + " " * MANY + "b [go: x](#b)\n",
        STEP.format("check") + "[a](" + "../" * MANY + "b)\n",
        "# A\n" + "## B\n" * 8_000,
        "# A\n\n## Notes\n" + "### B\n" * 8_000,
    ],
    ids=["behind a fence", "in an option", "a long path", "same sections", "same headings"],
)
def test_what_is_long_or_often_the_same_is_rendered_in_time(text, monkeypatch):
    # Else a slow machine refuses what grows with the square just as what is only long.
    monkeypatch.setattr(markdown, "MAX_SECONDS", 60)
    document = read(text.encode())
    began = time.process_time()

    render_document(document)

    assert time.process_time() - began < 5  # a second, on a machine that does nothing else


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("**It is late** \u2192", "<strong>It is late</strong>"),
        ("It is late ->  ", "It is late"),
        ("It is late:", "It is late"),
        ("a - b", "a - b"),
    ],
)
def test_an_option_is_shown_without_its_arrow(words, shown):
    document = read(f"{STEP.format('decision')}- {words} [go: on](#b)\n".encode())

    (block,) = render_document(document)["steps"]["b"]["blocks"]

    assert block["options"][0]["html"] == shown
