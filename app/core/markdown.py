"""Markdown to HTML that is safe to show, for runbooks and for notes.

The dialect is GitHub's: CommonMark with tables, strikethrough, task lists, links and alerts. Raw
HTML passes through the parser, and then everything passes one strict policy: a short list of
elements, no `id`, no `class` but a fence's language, links to http, https and mail only, pictures
only from our own assets. What the policy has no element for, such as a `<placeholder>`, is shown
as it was typed, because a reader who can't see it types the wrong command. `made_safe` does the
same for the HTML of another parser.
"""

import re
import time
from collections.abc import Callable, Mapping, MutableSet, Sequence
from dataclasses import dataclass
from html import escape, unescape
from typing import Any
from unicodedata import normalize
from urllib.parse import unquote

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, html_block
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from app.core.errors import RefusedError

MAX_BYTES = 256 * 1024
# Processor seconds, so that a busy machine refuses nothing. The slowest of 1,400 real runbooks
# took 41 ms; only text made to be slow gets here.
MAX_SECONDS = 0.7

ATTRIBUTES: dict[str, set[str]] = {
    "a": {"href"},
    "code": {"class"},
    "details": {"open"},
    "div": {"data-alert"},
    "img": {"src", "alt", "width", "height"},
    "input": {"checked"},
    "ol": {"start"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan"},
}
# fmt: off
TAGS = frozenset({
    "a", "abbr", "b", "blockquote", "br", "caption", "code", "dd", "del", "details", "div", "dl",
    "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "input", "ins", "kbd", "li",
    "mark", "ol", "p", "pre", "q", "s", "samp", "small", "strong", "sub", "summary", "sup", "table",
    "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul", "var",
})
# fmt: on
FORCED = {"input": {"type": "checkbox", "disabled": ""}}
WRITTEN_BY_SANITISER = {"input": {"type", "disabled"}, "a": {"rel"}}
# Under an element of many thousand others the sanitiser takes time that grows with the square.
MAX_RAW_TAGS = 2_000

ALERTS = frozenset({"note", "tip", "important", "warning", "caution"})
LANGUAGE = re.compile(r"language-[A-Za-z0-9_+#.-]{1,40}")
NUMBER = re.compile(r"\d{1,5}")
# What browsers ignore in an address, so that `java\tscript:` can't pass for a path.
IGNORED_IN_HREF = re.compile(r"[\x00-\x1f\x7f]")
IGNORED_AROUND_HREF = " \xa0\u200b\u200c\u200d\u2028\u2029\u2060\ufeff"
SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
COMMENT = re.compile(r"<!--(?:>|->|.*?-->)", re.DOTALL)
RAW_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9-]*)(?:[^<>\"']|\"[^\"]*\"|'[^']*')*>")
RAW_IMG = re.compile(r"\b(src|alt)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)

WRITTEN_IMG = re.compile(r"<img ([^<>]*)>")

# The sanitiser leaves these as they are inside attributes, where `_finish` must not find a tag.
IN_ADDRESSES = str.maketrans({"<": "%3C", ">": "%3E", '"': "%22"})
IN_WORDS = str.maketrans({"<": "‹", ">": "›", '"': "”"})

# Marks that another parser puts around what it took over from the text as raw HTML.
RAW_BEGIN, RAW_END = "\x0e", "\x0f"

# A link that names no scheme, as the policy has it: None takes the link away and leaves its words.
Link = Callable[[str], str | None]


def own_link(href: str) -> str | None:
    """Links inside a text go to our own anchors; paths of this site stay; others lead nowhere."""
    if href.startswith("#"):
        return f"#rb-{anchor(unquote(href[1:]))}"
    return href if href.startswith("/") else None


def no_picture(source: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Policy:
    """Where links and pictures may lead, and how deep headings start."""

    link: Link = own_link
    images: str | None = None  # the path that pictures must start with; None: no pictures
    picture: Link = no_picture  # where a picture of ours is found that the text says otherwise
    top: int = 3  # no heading is shown larger than this


PAGE = Policy()
NOTE = Policy(top=4)


def too_slow() -> RefusedError:
    return RefusedError(
        "This text takes too long to read as Markdown. Simplify its brackets, quotes and nested "
        "lists."
    )


class Stopwatch:
    """How long a text may keep us. Texts that are parts of one share one."""

    def __init__(self) -> None:
        self.until = time.thread_time() + MAX_SECONDS
        self.calls = 0

    @property
    def left(self) -> float:
        return self.until - time.thread_time()

    def take(self, seconds: float) -> None:
        """Count what another process spent for us."""
        self.until -= seconds

    def check(self, *, now: bool = False) -> None:
        self.calls += 1
        # The clock costs more than most rules do.
        if (now or self.calls % 32 == 0) and self.left < 0:
            raise too_slow()


def render(
    markdown: str,
    policy: Policy = PAGE,
    *,
    references: Mapping[str, Any] | None = None,
    anchors: MutableSet[str] | None = None,
    stopwatch: Stopwatch | None = None,
) -> str:
    """The HTML of a text. Raises `RefusedError` when it is too large or takes too long.

    `references` are the link definitions of the document that the text was cut from. `anchors`
    are taken already, on the same page; what this text adds is added to them.
    """
    env = _env(markdown, policy, references, stopwatch)
    html = _dialect().render(markdown, env)
    env["stopwatch"].check(now=True)
    return _finish(_clean(html, policy), policy, set() if anchors is None else anchors)


def render_inline(
    markdown: str,
    policy: Policy = PAGE,
    *,
    references: Mapping[str, Any] | None = None,
    stopwatch: Stopwatch | None = None,
) -> str:
    """The HTML of a title or of one line: no paragraphs, no lists."""
    env = _env(markdown, policy, references, stopwatch)
    return _finish(_clean(_dialect().renderInline(markdown, env), policy), policy, set())


def render_note(markdown: str) -> str:
    """The HTML of a note. A note that can't be rendered is shown as it was typed."""
    try:
        return render(markdown, NOTE)
    except RefusedError:
        return f'<pre tabindex="0">{escape(markdown)}</pre>'


def made_safe(html: str, policy: Policy = PAGE, *, anchors: MutableSet[str] | None = None) -> str:
    """HTML that another parser of Markdown wrote, under the same policy.

    What it took over as raw HTML stands between `RAW_BEGIN` and `RAW_END`.
    """
    env = {"policy": policy, "raw_tags": 0}
    kept: list[str] = []
    depth = 0
    for part in re.split(f"([{RAW_BEGIN}{RAW_END}])", html):
        if part in (RAW_BEGIN, RAW_END):
            depth += 1 if part == RAW_BEGIN else -1
        else:
            kept.append(_raw(part, env) if depth > 0 else _with_own_pictures(part, policy))
    return _finish(_clean("".join(kept), policy), policy, set() if anchors is None else anchors)


def parse(
    markdown: str, *, stopwatch: Stopwatch | None = None
) -> tuple[list[Token], dict[str, Any]]:
    """The tokens of a text, with their lines, and the link definitions found in it."""
    env = _env(markdown, PAGE, None, stopwatch)
    tokens = _dialect().parse(markdown, env)
    return tokens, env.get("references", {})


def plain(markdown: str) -> str:
    """The words of one line of Markdown, without marks, tags and comments."""
    inline = _dialect().parseInline(markdown, _env(markdown, PAGE, None))
    return " ".join("".join(map(_words, inline[0].children or ())).split())


def anchor(words: str) -> str:
    """A heading as the part of an address behind `#`, much as GitHub writes it."""
    kept = re.sub(r"[^\w\s-]", "", normalize("NFKC", words).lower())
    return re.sub(r"[\s-]+", "-", kept).strip("-")[:80]


# Parsing


def check_size(markdown: str) -> None:
    size = len(markdown.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise RefusedError(
            f"This text is {-(-size // 1024)} KB long; {MAX_BYTES // 1024} KB can be shown at most."
        )


def _env(
    markdown: str,
    policy: Policy,
    references: Mapping[str, Any] | None,
    stopwatch: Stopwatch | None = None,
) -> dict[str, Any]:
    check_size(markdown)
    return {
        "references": dict(references or {}),
        "policy": policy,
        "stopwatch": stopwatch or Stopwatch(),
        "raw_tags": 0,
        "in_link": False,
    }


def _check_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    state.env["stopwatch"].check()
    return False


def _check_inline(state: StateInline, silent: bool) -> bool:
    state.env["stopwatch"].check()
    return False


def _known_html_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """HTML blocks of elements that we show. Others are text, and the Markdown in them is read."""
    begin = state.bMarks[start] + state.tShift[start]
    line = state.src[begin : state.eMarks[start]]
    if line.startswith("<!--"):
        if "last_comment_end" not in state.env:
            state.env["last_comment_end"] = state.src.rfind("-->")
        # One that never ends would swallow the rest of the page.
        known = state.env["last_comment_end"] > begin
    else:
        tag = re.match(r"</?([A-Za-z][A-Za-z0-9-]*)", line)
        known = tag is not None and tag[1].lower() in TAGS
    return known and html_block(state, start, end, silent)


def _dialect() -> MarkdownIt:
    return _DIALECT


def _build() -> MarkdownIt:
    dialect = MarkdownIt("gfm-like2", renderer_cls=_Renderer)
    # As on GitHub: `setup.py` and `node.sh` are file names, not addresses in Paraguay.
    assert dialect.linkify is not None
    dialect.linkify.set({"fuzzy_link": False, "fuzzy_email": False})
    dialect.linkify.add("//", None).add("ftp:", None)
    dialect.block.ruler.at(
        "html_block",
        _known_html_block,
        {"alt": ["paragraph", "reference", "blockquote"]},
    )
    # Inside of paragraphs, too: thousands of lines may be one.
    dialect.block.ruler.before(
        "table",
        "stopwatch",
        _check_block,
        {"alt": ["paragraph", "reference", "blockquote", "list"]},
    )
    dialect.inline.ruler.before("text", "stopwatch", _check_inline)
    return dialect


def _words(token: Token) -> str:
    match token.type:
        case "text" | "code_inline":
            return token.content
        case "html_inline":
            return _words_of_tag(token.content)
        case "image":
            return token.content
        case "softbreak" | "hardbreak":
            return " "
    return ""


def _words_of_tag(content: str) -> str:
    tag = RAW_TAG.fullmatch(content)
    return content if tag is not None and tag[1].lower() not in TAGS else ""


# Rendering


class _Renderer(RendererHTML):
    """Markdown-it's own, with raw HTML, pictures, alerts and table cells as our policy has them."""

    def html_inline(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        return _raw(tokens[idx].content, env)

    def html_block(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        return _raw(tokens[idx].content, env)

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        words = self.renderInlineAsText(token.children, options, env)
        return _picture(str(token.attrs["src"]), words, env["policy"], linked=env["in_link"])

    def link_open(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        env["in_link"] = True
        return self.renderToken(tokens, idx, options, env)

    def link_close(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        env["in_link"] = False
        return "</a>"

    def alert_open(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        return f'<div data-alert="{tokens[idx].info.lower()}">\n'

    def alert_title_open(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        return "<p><strong>"

    def alert_title_close(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        return "</strong></p>\n"

    def th_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<th{_alignment(tokens[idx])}>"

    def td_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<td{_alignment(tokens[idx])}>"


def _alignment(token: Token) -> str:
    # Our pages allow no style attributes.
    side = str(token.attrs.get("style", "")).removeprefix("text-align:")
    return f' align="{side}"' if side else ""


def _raw(html: str, env: EnvType) -> str:
    """Raw HTML without comments, in which every tag that we don't know is text."""
    kept: list[str] = []
    end = 0
    html = COMMENT.sub("", html)
    for tag in RAW_TAG.finditer(html):
        kept += _text(html[end : tag.start()]), _tag(tag[0], tag[1].lower(), env)
        end = tag.end()
    return "".join(kept) + _text(html[end:])


def _text(html: str) -> str:
    return html.replace("<", "&lt;").replace(">", "&gt;")


def _tag(tag: str, name: str, env: EnvType) -> str:
    env["raw_tags"] += 1
    if name not in TAGS or env["raw_tags"] > MAX_RAW_TAGS:
        return escape(tag, quote=False)
    if name == "img":
        said = {key.lower(): a or b or c for key, a, b, c in RAW_IMG.findall(tag)}
        source, words = unescape(said.get("src", "")), unescape(said.get("alt", ""))
        return _picture(source, words, env["policy"], linked=True)
    return tag


def _with_own_pictures(html: str, policy: Policy) -> str:
    """HTML that a parser wrote by itself, with its pictures as the policy has them."""
    return WRITTEN_IMG.sub(lambda found: _written_picture(found[1], policy), html)


def _written_picture(attributes: str, policy: Policy) -> str:
    said = {name: unescape(value) for name, value in re.findall(r'([a-z-]+)="([^"]*)"', attributes)}
    linked = "data-linked" in said
    return _picture(said.get("src", ""), said.get("alt", ""), policy, linked=linked)


def _picture(source: str, words: str, policy: Policy, *, linked: bool) -> str:
    """A picture of ours, else a link to it; inside a link only its words."""
    source = policy.picture(source) or source
    if _own_picture(source, policy):
        return f'<img src="{escape(source)}" alt="{escape(words)}">'
    words = escape(words or "Picture", quote=False)
    if linked or source.startswith(("/", "#")) or not _href(source, policy):
        return words
    return f'<a href="{escape(source)}">{words}</a>'


def _own_picture(source: str, policy: Policy) -> bool:
    return (
        policy.images is not None
        and source.startswith(policy.images)
        and re.fullmatch(r"[A-Za-z0-9/_.~%-]+", source) is not None
        and ".." not in unquote(source)
    )


# Cleaning


def _clean(html: str, policy: Policy) -> str:
    def keep(tag: str, attribute: str, value: str) -> str | None:
        return _attribute(tag, attribute, value, policy)

    return nh3.clean(
        html,
        tags=set(TAGS),
        clean_content_tags=set(),
        attributes=ATTRIBUTES,
        attribute_filter=keep,
        url_schemes={"http", "https", "mailto"},
        set_tag_attribute_values=FORCED,
        link_rel="noopener noreferrer",
    )


def _attribute(tag: str, attribute: str, value: str, policy: Policy) -> str | None:
    if attribute in WRITTEN_BY_SANITISER.get(tag, ()):
        return value
    if attribute not in ATTRIBUTES.get(tag, ()):
        return None  # by itself, the sanitiser lets `title` and `lang` through
    match tag, attribute:
        case "a", "href":
            href = _href(value, policy)
            return href and href.translate(IN_ADDRESSES)
        case "img", "alt":
            return value.translate(IN_WORDS)
        case "img", "src":
            return value if _own_picture(value, policy) else None
        case "code", "class":
            return next((word for word in value.split() if LANGUAGE.fullmatch(word)), None)
        case "div", "data-alert":
            return value if value in ALERTS else None
        case (("td" | "th"), "align"):
            return value if value in {"left", "center", "right"} else None
        case _, ("start" | "colspan" | "rowspan" | "width" | "height"):
            return value if NUMBER.fullmatch(value) else None
    return value


def _href(href: str, policy: Policy) -> str | None:
    href = IGNORED_IN_HREF.sub("", href).strip(IGNORED_AROUND_HREF)
    if SCHEME.match(href):
        return href if href.lower().startswith(("http://", "https://", "mailto:")) else None
    if re.match(r"[/\\]{2}|/?\\", href):
        return None  # another host, without saying so
    return policy.link(href)


BOX = '<input type="checkbox" disabled=""{} aria-label="{}">'
BOXES = {False: BOX.format("", "To do"), True: BOX.format(' checked=""', "Done")}

# What we add to clean HTML. The sanitiser writes every tag in one way: lower case, attributes in
# double quotes, no attributes but those above. So text can hold none of these.
HEADING = re.compile(r"<h([1-6])>(.*?)</h\1>", re.DOTALL)
ANY_TAG = re.compile(r"<[^<>]*>")


def _finish(html: str, policy: Policy, anchors: MutableSet[str]) -> str:
    html = re.sub(r'<a href="(https?:)', r'<a target="_blank" href="\1', html)
    # The sanitiser writes attributes that it forces in any order; the same text gives one HTML.
    html = re.sub(r"<input ([^<>]*)>", lambda box: BOXES["checked=" in box[1]], html)
    html = html.replace("<pre>", '<pre tabindex="0">')
    html = html.replace(
        "<table>",
        '<div class="table-wrap" role="region" aria-label="Table" tabindex="0">'
        '<table class="table">',
    ).replace("</table>", "</table></div>")
    copies: dict[str, int] = {}  # of an anchor that is wanted more than once
    return HEADING.sub(lambda found: _heading(found, policy.top, anchors, copies), html)


def _heading(found: re.Match[str], top: int, anchors: MutableSet[str], seen: dict[str, int]) -> str:
    level = max(int(found[1]), top)
    wanted = "rb-" + anchor(unescape(ANY_TAG.sub("", found[2])))
    name, copies = wanted, seen.get(wanted, 1)
    while name in anchors:
        copies += 1
        name = f"{wanted}-{copies}"
    seen[wanted] = copies
    anchors.add(name)
    return f'<h{level} id="{name}">{found[2]}</h{level}>'


_DIALECT = _build()
