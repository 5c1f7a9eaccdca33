"""Runbooks from MkDocs sites read as they do there, and are as harmless as others."""

import os
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core import markdown
from app.core.errors import RefusedError
from app.core.markdown import Policy, Stopwatch
from app.runbooks import isolated
from app.runbooks.dialects import GFM, MKDOCS, dialect_of, renderer
from app.runbooks.filling import fill_html
from app.runbooks.format import read
from app.runbooks.rendering import render_document, with_variables
from tests.unit.runbooks.hostile import SLOW, SLOW_MKDOCS, XSS, XSS_MKDOCS
from tests.unit.runbooks.test_markdown import assert_harmless

PICTURES = Policy(images="/assets/")
HOSTILE_VALUES = dict.fromkeys(("x", "y", "config"), '"><script>alert(1)</script>{{y}}')


def in_mkdocs(policy=PICTURES, references=None, stopwatch=None):
    return renderer(
        MKDOCS,
        policy,
        references=references or {},
        anchors=set(),
        stopwatch=stopwatch or Stopwatch(),
    )


def render(text, **more):
    return in_mkdocs(**more).block(text).strip()


# --- Which dialect a file has


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("# Plain\n\ntext", GFM),
        ("!!! note\n    Indented.", MKDOCS),
        ('!!! warning "Careful"\n\n    Indented.', MKDOCS),
        ("??? note\n    Folded.", MKDOCS),
        ('=== "Linux"\n\n    ls', MKDOCS),
        ("1. a\n\n    !!! tip inline end\n        b", MKDOCS),
        ("!!! note\nNot indented, so nothing belongs to it.", GFM),
        ("Title\n=====\n\n    code", GFM),
        ("Really!!!\n\n    code", GFM),
        ("=== a ===\n\n    code", GFM),
        ("```\n!!! note\n    an example\n```", GFM),
        ('````md\n```\n=== "a"\n\n    b\n```\n````', GFM),
    ],
)
def test_a_file_shows_its_dialect(text, dialect):
    assert dialect_of({}, text) == dialect
    assert read(text.encode()).dialect == dialect


def test_what_the_front_matter_says_decides():
    assert dialect_of({"dialect": "mkdocs"}, "text") == MKDOCS
    assert dialect_of({"dialect": " MkDocs "}, "text") == MKDOCS
    assert dialect_of({"dialect": "gfm"}, "!!! note\n    a") == GFM
    assert dialect_of({"dialect": ["x"]}, "!!! note\n    a") == MKDOCS
    assert read(b"---\ndialect: mkdocs\n---\ntext").dialect == MKDOCS


# --- What it can do


def test_admonitions_become_alerts():
    html = render('!!! danger "Mind *this*"\n    It burns.\n\n!!! abstract\n    Quiet.')

    assert '<div data-alert="caution">' in html
    assert "<strong>Mind <em>this</em></strong>" in html
    assert "<p>It burns.</p>" in html
    assert '<div data-alert="note">' in html


def test_tabs_all_stay_readable():
    html = render('=== "Linux"\n\n    apt\n\n=== "Mac"\n\n    brew\n')

    assert html.count('<details open="">') == 2
    assert "<summary>Linux</summary>" in html
    assert "<p>brew</p>" in html


def test_folded_blocks_fold():
    html = render('??? note "Why"\n    Because.\n\n???+ tip\n    Open.')

    assert "<details>\n<summary>Why</summary>" in html
    assert '<details open="">' in html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a <namespace> b", "<p>a &lt;namespace&gt; b</p>"),
        ("a <!-- not shown --> b", "<p>a  b</p>"),
        ("a <b>bold</b> word", "<p>a <b>bold</b> word</p>"),
        ("<%= erb %> {{< hugo >}} {{% x %}}", "<p>&lt;%= erb %&gt; {{&lt; hugo &gt;}} {{% x %}}</p>"),
        ("{{model}}", "<p>{{model}}</p>"),
        ("# One { #one .x }", '<h3 id="rb-one">One</h3>'),
        ("[x](https://a.example){ target=_blank }", '<p><a target="_blank" href="https://a.example" rel="noopener noreferrer">x</a></p>'),
        ("![p99](https://a.example/p.png)", '<p><a target="_blank" href="https://a.example/p.png" rel="noopener noreferrer">p99</a></p>'),
        ("![p99](/assets/p.png)", '<p><img src="/assets/p.png" alt="p99"></p>'),
        ("- [x] done", '<ul>\n<li><input type="checkbox" disabled="" checked="" aria-label="Done"> done</li>\n</ul>'),
        ('```yaml title="a" hl_lines="1"\na: <b>\n```', '<pre tabindex="0"><code class="language-yaml">a: &lt;b&gt;</code></pre>'),
        ("``` { .yaml .annotate }\na\n```", '<pre tabindex="0"><code class="language-yaml">a</code></pre>'),
    ],
)  # fmt: skip
def test_text_renders_as_on_an_mkdocs_site(text, html):
    assert render(text) == html


def test_a_fence_in_a_list_is_code():
    html = render("1. a\n\n    ```bash\n    ls <x>\n    ```\n\n2. b")

    assert html.count("<ol>") == 1
    assert '<code class="language-bash">ls &lt;x&gt;</code>' in html


def test_links_can_be_defined_in_another_part_of_the_document():
    references = {"DOCS": {"href": "https://a.example", "title": ""}}

    assert 'href="https://a.example"' in render("see [docs][]", references=references)


def test_a_line_has_no_blocks():
    assert in_mkdocs().line("1. Use `psi` **now** <ns>") == (
        "1. Use <code>psi</code> <strong>now</strong> &lt;ns&gt;"
    )


def test_nothing_of_one_text_is_left_for_the_next():
    shared = in_mkdocs()
    shared.block("[a]: https://a.example\n\n# Same")

    assert "<a" not in shared.block("[a]")
    assert 'id="rb-same-2"' in shared.block("# Same")


def test_steps_and_commands_are_found_as_in_the_other_dialect():
    parts = render_document(
        read(
            b"---\ndialect: mkdocs\n---\n## Steps\n\n### Look\n<!-- step id=look kind=check -->\n"
            b'!!! warning\n    Careful.\n\n```bash title="x"\n$ kubectl get pods -l m={{model}}\n```\n'
            b"**Expect:** `Running`.\n\n"
            b'=== "Linux"\n\n    ```bash\n    $ top\n    ```\n'
        )
    )
    blocks = parts["steps"]["look"]["blocks"]

    assert [block["kind"] for block in blocks] == ["prose", "command", "expect", "prose"]
    assert 'data-alert="warning"' in blocks[0]["html"]
    assert blocks[1]["copied"] == "kubectl get pods -l m={{model}}"
    assert blocks[3]["parts"][1]["copied"] == "top"


def test_what_belongs_to_a_numbered_step_is_no_code():
    parts = render_document(
        read(b"---\ndialect: mkdocs\n---\n## Steps\n1. Look\n\n    !!! note\n        Closely.\n")
    )

    (block,) = parts["steps"]["look"]["blocks"]
    assert '<div data-alert="note">' in block["html"]
    assert "<p>Closely.</p>" in block["html"]


# --- What it can't do


def test_the_corpus_of_this_dialect_holds_forty_vectors():
    assert len(set(XSS_MKDOCS)) >= 40


@pytest.mark.parametrize("text", [*XSS, *XSS_MKDOCS])
def test_hostile_text_is_harmless_in_this_dialect(text):
    for policy in (Policy(), PICTURES):
        shared = in_mkdocs(policy)
        for html in (shared.block(text), shared.line(text)):
            assert_harmless(with_variables(html))
            assert_harmless(fill_html(with_variables(html), HOSTILE_VALUES))


@pytest.mark.parametrize("text", XSS_MKDOCS)
def test_hostile_text_for_one_dialect_is_harmless_in_the_other(text):
    html = with_variables(markdown.render(text, PICTURES))

    assert_harmless(html)
    assert_harmless(fill_html(html, HOSTILE_VALUES))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *XSS_MKDOCS,
                *XSS[::3],
                "\n\n",
                "\n",
                "\n    ",
                "> ",
                "- ",
                "`",
                "```\n",
                "**",
                '"',
                "<",
            ]
        ),
        max_size=6,
    ).map("".join)
)
def test_any_mix_of_hostile_text_is_harmless_in_this_dialect(text):
    with suppress(RefusedError):
        assert_harmless(with_variables(render(text)))


@pytest.mark.parametrize("text", XSS_MKDOCS)
def test_hostile_text_is_harmless_in_every_part(text):
    one_line = text.replace("\n", " ")
    source = (
        f"---\ndialect: mkdocs\n---\n{text}\n\n## {one_line}\n{text}\n\n## Steps\n"
        f"### {one_line}\n<!-- step id=a -->\n{text}\n\n**Expect:** {one_line}\n\n"
        f"1. a\n\n    {text}\n\n- {one_line} → [go: {one_line}](#a)\n"
    )
    for html in _html_in(render_document(read(source.encode()))):
        assert_harmless(html)
        assert_harmless(fill_html(html, HOSTILE_VALUES))


def _html_in(part):
    if isinstance(part, dict):
        for name, value in part.items():
            if isinstance(value, str) and name in {"html", "intro"}:
                yield value
            elif name == "parts":
                # Pieces are open at their cuts; the commands between them are whole.
                yield from (piece["html"] for piece in value if isinstance(piece, dict))
            else:
                yield from _html_in(value)
    elif isinstance(part, list):
        for value in part:
            yield from _html_in(value)


def test_a_file_can_not_be_read_through_a_runbook():
    assert "root:" not in render('--8<-- "/etc/passwd"')


# --- How long it may take


@pytest.mark.parametrize("name", [*SLOW, *SLOW_MKDOCS])
def test_slow_text_is_rendered_or_refused_in_time(name, monkeypatch):
    monkeypatch.setattr(markdown, "MAX_SECONDS", 0.2)
    text = {**SLOW, **SLOW_MKDOCS}[name]
    began = time.monotonic()

    with suppress(RefusedError):
        render(text, stopwatch=Stopwatch())

    assert time.monotonic() - began < 10  # of a busy machine; 0.2 s of its processor


def test_what_is_refused_says_why():
    with pytest.raises(RefusedError, match="brackets, which take too long"):
        render("[" * 50_000)
    with pytest.raises(RefusedError, match="quotes in quotes"):
        render("> " * 500 + "a")
    with pytest.raises(RefusedError, match="257 KB long"):
        render("a" * (257 * 1024))


def test_many_short_texts_share_one_second(monkeypatch):
    monkeypatch.setattr(markdown, "MAX_SECONDS", 0.3)
    steps = "".join(f"### s{n}\n<!-- step id=s{n} -->\n{'*a_ ' * 3000}\n\n" for n in range(15))

    for dialect in (GFM, MKDOCS):
        document = read(f"---\ndialect: {dialect}\n---\nx".encode())
        assert document.dialect == dialect
        with pytest.raises(RefusedError, match="too long"):
            render_document(read(f"---\ndialect: {dialect}\n---\n## Steps\n{steps}".encode()))


def test_after_a_text_that_was_too_slow_the_next_one_renders(monkeypatch):
    with pytest.raises(isolated.TooSlowError):
        isolated.html_of("**a *" * 50_000, {}, inline=False, seconds=0.05)

    assert render("*fine*") == "<p><em>fine</em></p>"


def test_a_process_that_has_died_is_started_again():
    render("a")
    isolated._process.running.kill()
    isolated._process.running.wait()

    assert render("b") == "<p>b</p>"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_starts_one_of_its_own():
    render("a")
    mine = isolated._process.running
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        theirs = render("*b*")
        isolated._process.stop()
        os.write(writing, theirs.encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reading, 100) == b"<p><em>b</em></p>"
    assert render("*c*") == "<p><em>c</em></p>"
    assert isolated._process.running is mine
    os.close(reading)
    os.close(writing)


def test_a_hundred_steps_render_within_a_second():
    step = (
        "### Step {n}\n<!-- step id=s{n} kind=check -->\nLook at *this* `{{{{model}}}}`.\n\n"
        "```bash\nkubectl get pods -l model={{{{model}}}}\n```\n**Expect:** all `Running`.\n\n"
    )
    text = "## Steps\n" + "".join(step.format(n=n) for n in range(100))

    for dialect in (GFM, MKDOCS):
        parts = render_document(read(f"---\ndialect: {dialect}\n---\n{text}".encode()))
        assert len(parts["steps"]) == 100
