"""A runbook as HTML parts, made once per version and kept.

Text and pictures pass the policy of `core.markdown`. Commands, expectations and the options of a
decision are kept apart from the prose, so that the page, and later a run, can put buttons beside
them. Variables stay as they are written: values are filled in later, as text, never as Markdown
or HTML, because alert labels come from strangers (`filling.py`).

Pictures and files that stand beside the runbook are led to `FILES`, until it is known which
version this is: `placed` puts its address there.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from html import escape, unescape
from typing import Any
from unicodedata import normalize

from markdown_it.token import Token

from app.core import markdown
from app.core.markdown import Policy, Stopwatch
from app.runbooks import dialects
from app.runbooks.files import address_of, path_of, picture_type
from app.runbooks.format import ATTRIBUTE, GO_LINK, Document, Section, Step
from app.runbooks.quoting import SHELLS, VARIABLE
from app.runbooks.rules import kebab

RENDERER = "3"  # raise it when the same source gives other HTML
FILES = "/runbooks/-/files/"

TAG_OR_VARIABLE = re.compile(r"<[^<>]*>|" + VARIABLE.pattern)
EXPECT = re.compile(r"\s*\*\*Expect(?:ed)?(?: result)?:?\*\*:?\s*", re.IGNORECASE)
NOT_WHEN = re.compile(
    r"\s*(?:\*\*)?(?:Not this|Not when|Not for this|Don['’]t use this when):?(?:\*\*)?:?\s+",
    re.IGNORECASE,
)
ARROWS = ("→", "->", "=>", "⇒", ":", "–", "-")  # between a condition and where it leads
PROMPT = re.compile(
    r"^\s*[$#%>] (?=\S)|^\s*[\w.@:~/-]*[$#] (?=\S)|^\s*\[[\w.@~/ -]{1,200}\][$#] (?=\S)"
)
# A command inside of prose, as clean HTML has it: in a list, in a quote, or in a tab.
CODE = re.compile(r'<pre tabindex="0"><code(?: class="language-([^"<>]*)")?>([^<]*)</code></pre>')
FENCE_INFO = re.compile(r"\s*(?:\{\s*\.)?([^\s{}]*)\s*(?:\{?(.*?)\}?)\s*")
LONGEST_INFO = 300  # what people write behind a fence; the expression takes the square of more
OTHER_RUNBOOK = re.compile(r"/*(?:[\w.-]+/+)*([\w.-]+)\.md(?:#[\w-]*)?")
LANGUAGES = {
    "promql": "PromQL", "sql": "SQL", "json": "JSON", "yaml": "YAML", "yml": "YAML",
    "python": "Python", "py": "Python", "http": "HTTP", "text": "Text", "txt": "Text",
    "toml": "TOML", "ini": "INI", "hcl": "HCL", "powershell": "PowerShell", "diff": "Diff",
}  # fmt: skip

# Sections that tell whether this is the right runbook: shown as facts above the steps.
FACT_LABELS = {
    "when": "When to use",
    "not_when": "Not when",
    "impact": "Impact",
    "stop": "Stop and escalate if",
}
LONGEST_FACT = 900  # characters of Markdown


def render_document(document: Document, *, files: Collection[str] = ()) -> dict[str, Any]:
    """All parts: `intro`, `facts`, `sections` (in order, naming steps by id) and `steps`.

    `files` are the paths beside the runbook that are kept with its version (`assets.py`). Prose
    with commands in it has `parts` too: pieces of its `html`, and the commands between them.
    Raises `RefusedError` when all of it together takes too long.
    """
    page = _Page(document, files)
    facts, sections = page.facts(), page.sections()
    return {
        "intro": page.prose(document.intro),
        "facts": facts,
        "sections": sections,
        "steps": {step.id: page.step(step) for step in document.steps},
    }


def placed(parts: Any, slug: str, number: int) -> Any:
    """The same parts, with the address of a version's own files in them."""
    match parts:
        case str():
            return parts.replace(FILES, f"/runbooks/{slug}/v{number}/files/")
        case list():
            return [placed(part, slug, number) for part in parts]
        case dict():
            return {name: placed(part, slug, number) for name, part in parts.items()}
    return parts


def with_variables(html: str) -> str:
    """HTML in which every variable outside a tag is marked."""
    return TAG_OR_VARIABLE.sub(
        lambda found: (
            found[0] if found[0].startswith("<") else f'<span class="var">{found[0]}</span>'
        ),
        html,
    )


def to_copy(code: str, language: str) -> str:
    """What the copy button gives: no prompts, and of a recorded session the commands only."""
    lines = code.rstrip("\n").split("\n")
    if language not in SHELLS:
        return "\n".join(lines)
    if not any(PROMPT.match(line) and not line.lstrip().startswith("# ") for line in lines):
        return "\n".join(lines)
    kept: list[str] = []
    continued = False
    for line in lines:
        if continued:
            kept.append(re.sub(r"^> ", "", line))
        elif prompt := PROMPT.match(line):
            kept.append(line[prompt.end() :])
        else:
            continue
        continued = kept[-1].endswith("\\")
    return "\n".join(kept)


class _Page:
    def __init__(self, document: Document, files: Collection[str]) -> None:
        self.document = document
        self.files = files
        self.numbers = {step.id: number for number, step in enumerate(document.steps, start=1)}
        self.minutes = {step.id: step.minutes for step in document.steps}
        self.anchors: set[str] = set()
        self.copies: dict[str, int] = {}  # of an anchor that was wanted more than once
        self.in_facts = {id(section) for section in document.sections if _is_fact(section)}
        self.stopwatch = Stopwatch()
        self.renderer = dialects.renderer(
            document.dialect,
            Policy(link=self._link, images=FILES, picture=self._picture, top=4),
            references=document.references,
            anchors=self.anchors,
            stopwatch=self.stopwatch,
        )

    def prose(self, text: str) -> str:
        return with_variables(self.renderer.block(text)) if text.strip() else ""

    def prose_with_commands(self, text: str) -> dict[str, Any]:
        """Prose as a block: its HTML, and in `parts` the same cut at its commands."""
        html = self.renderer.block(text) if text.strip() else ""
        parts: list[str | dict[str, Any]] = []
        end = 0
        for code in CODE.finditer(html):
            parts.append(with_variables(html[end : code.start()]))
            parts.append(_command(unescape(code[2]), code[1] or ""))
            end = code.end()
        block: dict[str, Any] = {"html": with_variables(html)}
        if parts:
            block["parts"] = [*parts, with_variables(html[end:])]
        return block

    def line(self, text: str) -> str:
        return with_variables(self.renderer.line(text))

    def facts(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        for section in self.document.sections:
            if id(section) not in self.in_facts:
                continue
            text = "\n\n".join(map(str, section.flow))
            for role, part in _apart_from_not_when(section.role, text):
                if part.strip():
                    found.append(
                        {"role": role, "label": FACT_LABELS[role], "html": self.prose(part)}
                    )
        return found

    def sections(self) -> list[dict[str, Any]]:
        return [
            {
                "title": section.title,
                "anchor": self._anchor(section.title),
                "role": section.role,
                "flow": [
                    {"step": part.id} if isinstance(part, Step) else self.prose_with_commands(part)
                    for part in section.flow
                ],
            }
            for section in self.document.sections
            if id(section) not in self.in_facts
        ]

    def step(self, step: Step) -> dict[str, Any]:
        return {
            "id": step.id,
            "number": self.numbers[step.id],
            "title": self.line(step.title_source) if step.title_source else escape(step.title),
            "words": step.title,
            "kind": step.kind.value,
            "risk": step.risk or "",
            "minutes": step.minutes,
            "undo": self._pointed_at(step.attributes.get("undo", "")),
            "on_fail": self._pointed_at(step.attributes.get("on_fail", "")),
            "confirm": step.attributes.get("confirm", ""),
            "until": step.attributes.get("until", ""),
            "blocks": list(self._blocks(step.body)),
        }

    def _pointed_at(self, step_id: str) -> dict[str, Any] | None:
        """Another step of this runbook, by id."""
        if step_id not in self.numbers:
            return None
        number, minutes = self.numbers[step_id], self.minutes[step_id]
        return {"step": step_id, "number": number, "minutes": minutes}

    def _blocks(self, body: str) -> Iterable[dict[str, Any]]:
        if self.document.dialect == dialects.MKDOCS:
            body = _without_indent_of_item(body)
        tokens, _ = markdown.parse(body, stopwatch=self.stopwatch)
        lines = body.split("\n")
        waiting: list[str] = []  # lines of prose
        at = 0
        for index, token in enumerate(tokens):
            if token.level or token.map is None or token.nesting < 0:
                continue
            start, end = token.map
            own = self._own_block(tokens, index, lines[start:end])
            if own is None:
                continue
            waiting += lines[at:start]
            prose, block = own
            yield from self._prose([*waiting, *prose])
            waiting, at = [], end
            yield block
        yield from self._prose([*waiting, *lines[at:]])

    def _prose(self, lines: Sequence[str]) -> Iterable[dict[str, Any]]:
        if (block := self.prose_with_commands("\n".join(lines)))["html"]:
            yield {"kind": "prose"} | block

    def _own_block(
        self, tokens: Sequence[Token], index: int, lines: Sequence[str]
    ) -> tuple[Sequence[str], dict[str, Any]] | None:
        """A block that is more than prose, and the lines of prose that come before it."""
        token = tokens[index]
        match token.type:
            case "fence":
                return (), _fence(token)
            case "paragraph_open":
                for number, line in enumerate(lines):
                    if found := EXPECT.match(line):
                        text = "\n".join([line[found.end() :], *lines[number + 1 :]])
                        return lines[:number], {"kind": "expect", "html": self.line(text)}
            case "bullet_list_open" | "ordered_list_open":
                items = _first_lines_of_items(tokens, index)
                if items and all(GO_LINK.search(item) for item in items):
                    return (), {"kind": "options", "options": [self._option(i) for i in items]}
        return None

    def _option(self, item: str) -> dict[str, Any]:
        found = GO_LINK.search(item)
        assert found is not None
        condition = _without_arrow(item[: found.start()]) + " " + item[found.end() :].strip()
        target = found[2]
        html, label = self.line(condition.strip()), found[1]
        option: dict[str, Any] = {"html": html, "label": label, "step": "", "number": 0, "href": ""}
        if target.startswith("#") and target[1:] in self.numbers:
            option.update(step=target[1:], number=self.numbers[target[1:]])
        elif (href := self._link(target)) and href.startswith("/runbooks/"):
            option["href"] = href
        return option

    def _link(self, href: str) -> str | None:
        """Steps, headings, files kept with this version and other runbooks of ours. Other
        relative links lead nowhere."""
        if href.startswith("#") and href[1:] in self.numbers:
            return f"#s-{href[1:]}"
        if (path := path_of(href)) in self.files and path is not None:
            return FILES + address_of(path)
        if found := OTHER_RUNBOOK.fullmatch(href):
            return f"/runbooks/{kebab(found[1])}"
        return markdown.own_link(href)

    def _picture(self, source: str) -> str | None:
        path = path_of(source)
        if path is None or path not in self.files or not picture_type(path):
            return None
        return FILES + address_of(path)

    def _anchor(self, title: str) -> str:
        wanted = f"rb-{markdown.anchor(normalize('NFKC', title))}"
        found, copies = wanted, self.copies.get(wanted, 1)
        while found in self.anchors:
            copies += 1
            found = f"{wanted}-{copies}"
        self.copies[wanted] = copies
        self.anchors.add(found)
        return found


def _without_arrow(condition: str) -> str:
    words = condition.rstrip()
    arrow = next((arrow for arrow in ARROWS if words.endswith(arrow)), "")
    return words.removesuffix(arrow).rstrip()


def _fence(fence: Token) -> dict[str, Any]:
    """A fence as a command. What stands behind its language is written in several ways."""
    found = FENCE_INFO.fullmatch(fence.info[:LONGEST_INFO])
    language, rest = (found[1], found[2]) if found else ("", "")
    if "=" in language:
        language, rest = "", fence.info
    said = ATTRIBUTE.findall(rest)
    attributes = {name: double or single or bare for name, double, single, bare in said}
    return _command(fence.content, language.lower(), attributes.get("name", ""))


def _command(code: str, language: str, name: str = "") -> dict[str, Any]:
    if language in SHELLS:
        label = "Your terminal" if language else "Text"
    else:
        label = LANGUAGES.get(language, language)
    return {
        "kind": "command",
        "name": name,
        "language": language,
        "label": label,
        "html": with_variables(escape(code.rstrip("\n"), quote=False)),
        "copied": to_copy(code, language),
    }


def _without_indent_of_item(body: str) -> str:
    """The text of a list item, for Python-Markdown. It wants four blanks before what belongs to
    one, of which the width of the marker is gone; what is left would make code of a paragraph."""
    widths = [len(line) - len(line.lstrip(" ")) for line in body.split("\n") if line.strip()]
    left = min(widths if widths[:1] > [0] else widths[1:], default=0)
    return re.sub(rf"^ {{{left}}}", "", body, flags=re.MULTILINE) if 0 < left < 4 else body


def _is_fact(section: Section) -> bool:
    """Whether a section is short enough to stand as one line of a table of facts."""
    texts = [part for part in section.flow if isinstance(part, str)]
    return (
        section.role in FACT_LABELS
        and len(texts) == len(section.flow)
        and sum(map(len, texts)) <= LONGEST_FACT
        and not any(re.search(r"^\s*(?:```|~~~|#|\|)|<table", text, re.MULTILINE) for text in texts)
    )


def _apart_from_not_when(role: str, text: str) -> list[tuple[str, str]]:
    """What says when not to use this, apart from what says when."""
    if role != "when":
        return [(role, text)]
    when: list[str] = []
    not_when: list[str] = []
    taking = False
    for line in text.split("\n"):
        found = NOT_WHEN.match(line)
        taking = bool(found) or (taking and bool(line.strip()))
        (not_when if taking else when).append(line[found.end() :] if found else line)
    words = "\n".join(not_when)
    return [("when", "\n".join(when)), ("not_when", words[:1].upper() + words[1:])]


def _first_lines_of_items(tokens: Sequence[Token], index: int) -> list[str]:
    """The Markdown of each item of a list, if every item is one paragraph; else nothing."""
    found: list[str] = []
    for token in tokens[index + 1 :]:
        if token.level == 0:
            break
        if token.type == "list_item_open":
            found.append("")
        elif token.type == "inline" and token.level == 3 and found and not found[-1]:
            found[-1] = token.content
        elif token.type not in {"paragraph_open", "paragraph_close", "list_item_close"}:
            return []
    return found
