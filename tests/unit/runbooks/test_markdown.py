"""Markdown becomes HTML that is safe to show, and what people typed stays readable."""

import re
import time
from contextlib import suppress
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import RefusedError
from app.core.markdown import (
    ALERTS,
    LANGUAGE,
    MAX_BYTES,
    TAGS,
    Policy,
    anchor,
    plain,
    render,
    render_inline,
    render_note,
)
from app.runbooks.rendering import with_variables
from tests.unit.runbooks.hostile import SLOW, XSS

PICTURES = Policy(images="/assets/")
# Attributes that our own HTML may carry, with what each may hold. Nothing else passes.
ALLOWED = {
    "a": {"href": r"(https?://|mailto:|#rb-|#s-|/(?![/\\])).*", "rel": ".*", "target": "_blank"},
    "code": {"class": LANGUAGE.pattern},
    "details": {"open": ""},
    "div": {
        "data-alert": "|".join(ALERTS),
        "class": "table-wrap",
        "role": "region",
        "aria-label": "Table",
        "tabindex": "0",
    },
    "img": {"src": r"/assets/[\w/.~%-]+", "alt": "[^<>]*", "width": r"\d+", "height": r"\d+"},
    "input": {
        "type": "checkbox",
        "disabled": "",
        "checked": "",
        "aria-label": "Done|To do",
    },
    "ol": {"start": r"\d+"},
    "pre": {"tabindex": "0"},
    "span": {"class": "var", "data-filled": r"[A-Za-z_][\w.-]*"},
    "table": {"class": "table"},
    **{f"h{level}": {"id": r"rb-[\w-]*"} for level in range(3, 7)},
    **{
        cell: {"align": "left|center|right", "colspan": r"\d+", "rowspan": r"\d+"}
        for cell in ("td", "th")
    },
}


class Checked(HTMLParser):
    """Reads HTML as a browser would, and fails on whatever the policy does not know."""

    def handle_starttag(self, tag, attributes):
        assert tag in TAGS | {"span"}, tag
        for name, value in attributes:
            allowed = ALLOWED.get(tag, {}).get(name)
            assert allowed is not None, f"<{tag} {name}={value!r}>"
            assert re.fullmatch(allowed, value or "", re.DOTALL), f"<{tag} {name}={value!r}>"

    def handle_comment(self, text):
        raise AssertionError(f"a comment: {text}")

    handle_decl = unknown_decl = handle_pi = handle_comment


def assert_harmless(html):
    assert not re.search(
        r"<\s*(script|style|iframe|object|svg|form|base|meta|link)", html, re.IGNORECASE
    )
    checked = Checked()
    checked.feed(html)
    checked.close()


def test_the_corpus_holds_forty_vectors_and_more():
    assert len(set(XSS)) >= 40


@pytest.mark.parametrize("text", XSS)
def test_hostile_text_is_harmless(text):
    for policy in (Policy(), PICTURES):
        assert_harmless(with_variables(render(text, policy)))
        assert_harmless(with_variables(render_inline(text, policy)))
    assert_harmless(render_note(text))


@pytest.mark.parametrize("first", XSS[::3])
def test_hostile_texts_are_harmless_together(first):
    for second in XSS[::5]:
        assert_harmless(render(f"{first}{second}", PICTURES))
        assert_harmless(render(f"- {first}\n  - {second}\n\n> {first}", PICTURES))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*XSS, "\n\n", "\n", "> ", "- ", "`", "```\n", "**", "<b>", "</b>", '"', "<", "{{x}}"]
        ),
        max_size=8,
    ).map("".join)
)
def test_any_mix_of_hostile_text_is_harmless(text):
    assert_harmless(with_variables(render(text, PICTURES)))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_any_text_renders(text):
    assert_harmless(render(text))
    assert isinstance(plain(text.replace("\n", " ")), str)


@pytest.mark.parametrize("name", SLOW)
def test_slow_text_is_rendered_or_refused_in_time(name):
    began = time.thread_time()
    with suppress(RefusedError):
        render(SLOW[name])
    # A second to parse, and for what was parsed as long again to write and clean it.
    assert time.thread_time() - began < 4


def test_text_beyond_the_limit_is_refused_with_its_size():
    with pytest.raises(RefusedError, match="257 KB long; 256 KB"):
        render("a" * (MAX_BYTES + 1024))


def test_the_limit_counts_bytes_not_characters():
    with pytest.raises(RefusedError):
        render("ü" * (MAX_BYTES // 2 + 1))


def test_a_note_that_cannot_be_rendered_is_shown_as_typed():
    html = render_note("<b>" + "a" * MAX_BYTES)

    assert html.startswith('<pre tabindex="0">&lt;b&gt;aaa')


# --- The dialect


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("~~gone~~", "<p><s>gone</s></p>"),
        ("a <namespace> b", "<p>a &lt;namespace&gt; b</p>"),
        ("<pod-name>\n**b**", "<p>&lt;pod-name&gt;\n<strong>b</strong></p>"),
        ("a <!-- not shown --> b", "<p>a  b</p>"),
        ("<!-- step id=x -->\ntext", "<p>text</p>"),
        ("setup.py and node.sh", "<p>setup.py and node.sh</p>"),
        ("```bash {name=x}\nls\n```", '<pre tabindex="0"><code class="language-bash">ls\n</code></pre>'),
        ("{{model}}", "<p>{{model}}</p>"),
        ("# One", '<h3 id="rb-one">One</h3>'),
        ("##### Five", '<h5 id="rb-five">Five</h5>'),
        ("[v](#Verify)", '<p><a href="#rb-verify" rel="noopener noreferrer">v</a></p>'),
        ("[x](other/file.md)", '<p><a rel="noopener noreferrer">x</a></p>'),
        ("[x](/models/a)", '<p><a href="/models/a" rel="noopener noreferrer">x</a></p>'),
        ("![a dashboard](local.png)", "<p>a dashboard</p>"),
    ],
)  # fmt: skip
def test_text_renders_as_on_github(text, html):
    assert render(text).strip() == html


def test_a_comment_that_never_ends_swallows_nothing():
    html = render("<!-- oops\n\n## Still here\n\nand this")

    assert "&lt;!-- oops" in html
    assert "Still here</h3>" in html
    assert "and this" in html


def test_links_to_elsewhere_open_elsewhere_and_tell_nothing():
    html = render("[x](https://a.example/?b=1&c=2)")

    assert 'target="_blank" href="https://a.example/?b=1&amp;c=2"' in html
    assert 'rel="noopener noreferrer"' in html


def test_check_boxes_can_be_read_but_not_ticked():
    html = render("- [ ] one\n- [x] two\n")

    assert html.count("<input ") == html.count("disabled") == 2
    assert 'aria-label="To do"> one' in html
    assert 'aria-label="Done"> two' in html


@pytest.mark.parametrize("kind", sorted(ALERTS))
def test_alerts_of_github_are_marked(kind):
    html = render(f"> [!{kind.upper()}]\n> Careful.")

    assert f'<div data-alert="{kind}">' in html
    assert f"<strong>{kind.capitalize()}</strong>" in html


def test_columns_of_a_table_keep_their_side():
    html = render("| a | b |\n|:-|-:|\n| 1 | 2 |")

    assert '<th align="right">b</th>' in html
    assert 'aria-label="Table" tabindex="0"><table class="table">' in html


def test_a_picture_from_elsewhere_becomes_a_link():
    html = render("![p99](https://a.example/p99.png)", PICTURES)

    assert "<img" not in html
    assert 'href="https://a.example/p99.png"' in html
    assert ">p99</a>" in html


def test_a_picture_of_ours_is_shown():
    assert '<img src="/assets/a/b.png" alt="p99">' in render("![p99](/assets/a/b.png)", PICTURES)


def test_a_note_shows_no_pictures():
    assert "<img" not in render_note("![p99](/assets/a/b.png) <img src=/assets/a.png>")


def test_two_headings_of_one_name_have_two_anchors():
    taken: set[str] = set()
    html = render("# A\n# A\n", anchors=taken) + render("# A\n", anchors=taken)

    assert re.findall(r'id="([^"]+)"', html) == ["rb-a", "rb-a-2", "rb-a-3"]


def test_links_can_be_defined_in_another_part_of_the_document():
    html = render("see [docs]", references={"DOCS": {"href": "https://a.example", "title": ""}})

    assert 'href="https://a.example"' in html


def test_variables_are_marked_in_text_and_never_inside_a_tag():
    html = with_variables(
        render("`{{model}}` [x](https://a.example/{{model}}) {{ a.b }} {{no way}}")
    )

    assert html.count('<span class="var">') == 2
    assert '<code><span class="var">{{model}}</span></code>' in html
    assert '<span class="var">{{ a.b }}</span> {{no way}}' in html


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Use `psi` **now**", "Use psi now"),
        ("[Read](x) <ns> <!-- c --> on", "Read <ns> on"),
        ("a <b>b</b> c", "a b c"),
        ("", ""),
    ],
)
def test_a_title_has_plain_words(text, words):
    assert plain(text) == words


@pytest.mark.parametrize(
    ("heading", "name"),
    [("Roll back", "roll-back"), ("What's up?", "whats-up"), ("Überlast", "überlast"), ("", "")],
)
def test_anchors_read_like_headings(heading, name):
    assert anchor(heading) == name
