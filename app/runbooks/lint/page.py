"""A runbook as the rules look at it: its parts with their lines in the file."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from markdown_it.token import Token

from app.core import markdown
from app.runbooks.dialects import FENCE, MKDOCS
from app.runbooks.format import (
    STEP_COMMENT,
    Document,
    Parsed,
    Section,
    Step,
    attributes_of,
    document,
    parse,
)
from app.runbooks.lint.front import Front
from app.runbooks.lint.languages import NOT_COMMANDS, SHELLS, language_of
from app.runbooks.lint.surroundings import Surroundings
from app.runbooks.rules import StepKind

# A link can stand some lines below where it is counted to, when code before it spans lines.
LINES_TO_SEARCH = 8


@dataclass(frozen=True)
class Code:
    """A fenced or an indented block."""

    line: int  # of the fence, or its first
    end: int  # the first line after it
    lines: tuple[str, ...]  # what it holds, without the indent of a list
    language: str  # as the fence says
    fenced: bool
    closed: bool
    step: Step | None

    @property
    def first(self) -> int:
        """The line of its first line of code."""
        return self.line + 1 if self.fenced else self.line

    @cached_property
    def text(self) -> str:
        return "\n".join(self.lines)

    @cached_property
    def spoken(self) -> str:
        """Its language, guessed where none is said."""
        return self.language or language_of(self.text)

    @property
    def is_shell(self) -> bool:
        return self.spoken in SHELLS

    @property
    def is_command(self) -> bool:
        return self.spoken not in NOT_COMMANDS


@dataclass(frozen=True, slots=True)
class Heading:
    line: int
    level: int
    words: str  # Markdown

    @property
    def plain(self) -> str:
        words = STEP_COMMENT.sub("", self.words)
        # Most have no marks, and to read Markdown takes a hundred times as long.
        return markdown.plain(words) if re.search(r"[\[\]<>_*`\\&~!]", words) else words.strip()


@dataclass(frozen=True, slots=True)
class Link:
    line: int
    href: str
    words: str
    is_picture: bool

    @property
    def goes(self) -> bool:
        """Whether it is an option of a decision."""
        return self.words.lower().startswith("go:")


@dataclass(frozen=True, slots=True)
class Comment:
    line: int
    text: str  # with its marks


@dataclass(frozen=True)
class Page:
    slug: str
    surroundings: Surroundings
    parsed: Parsed
    document: Document

    @cached_property
    def lines(self) -> list[str]:
        return self.parsed.text.split("\n")

    @cached_property
    def front(self) -> Front:
        return Front.of(self.parsed.text, self.parsed.above)

    @cached_property
    def steps(self) -> list[Step]:
        return self.document.steps

    @cached_property
    def steps_by_id(self) -> dict[str, Step]:
        return {step.id: step for step in self.steps}

    @cached_property
    def codes(self) -> list[Code]:
        found = [
            self._code(token, *token.map)
            for token in self.parsed.tokens
            if token.type in {"fence", "code_block"} and token.map
        ]
        if self.document.dialect != MKDOCS:
            return found
        # In tabs and admonitions fences stand so deep that on GitHub they would be none.
        fences = list(self._fences_at_any_depth())
        inside = {line for code in fences for line in range(code.line, code.end)}
        found = [one for one in found if inside.isdisjoint(range(one.line, one.end))]
        return sorted([*found, *fences], key=lambda code: code.line)

    @cached_property
    def headings(self) -> list[Heading]:
        tokens = self.parsed.tokens
        return [
            Heading(self._line(token), int(token.tag[1]), tokens[at + 1].content)
            for at, token in enumerate(tokens)
            if token.type == "heading_open" and token.level == 0
        ]

    @cached_property
    def links(self) -> list[Link]:
        return [link for token in self._inlines() for link in self._links(token)]

    @cached_property
    def comments(self) -> list[Comment]:
        return list(self._comments())

    @cached_property
    def raw_html(self) -> list[tuple[int, str]]:
        """HTML as it stands in the text, with the line where it begins."""
        found: list[tuple[int, str]] = []
        for token in self.parsed.tokens:
            if token.type == "html_block":
                found.append((self._line(token), token.content))
            elif token.type == "inline" and token.map:
                found += [
                    (line, child.content)
                    for line, child in self._pieces(token)
                    if child.type == "html_inline"
                ]
        return found

    @cached_property
    def anchors(self) -> set[str]:
        """Where a link that begins with # can lead: steps, and headings as GitHub names them."""
        found = set(self.steps_by_id)
        copies: dict[str, int] = {}
        for heading in self.headings:
            words = markdown.anchor(heading.plain)
            if number := copies.get(words, 0):
                # GitHub counts from 1, and we from 2.
                found |= {f"{words}-{number}", f"{words}-{number + 1}"}
            copies[words] = number + 1
            found.add(words)
        return found

    @property
    def top(self) -> int:
        """The line to name for what is missing: that of the title."""
        title = next((heading.line for heading in self.headings if heading.level == 1), None)
        return title or self.parsed.above + 1

    @cached_property
    def in_code(self) -> set[int]:
        """The lines of all blocks of code, with their fences."""
        return {line for code in self.codes for line in range(code.line, code.end)}

    def text_lines(self) -> Iterator[tuple[int, str]]:
        """The lines below the front matter, with their numbers."""
        above = self.parsed.above
        return enumerate(self.lines[above:], start=above + 1)

    def prose(self) -> Iterator[tuple[int, str]]:
        """The same without blocks of code."""
        return ((line, text) for line, text in self.text_lines() if line not in self.in_code)

    def found(
        self, pattern: re.Pattern[str], *, everywhere: bool = False
    ) -> Iterator[tuple[int, re.Match[str]]]:
        """What fits a pattern below the front matter, or everywhere, with its line."""
        text = self.parsed.text
        start = 0 if everywhere else len(text) - len(self.parsed.body)
        return ((self.line_at(match.start()), match) for match in pattern.finditer(text, start))

    def line_at(self, offset: int) -> int:
        """The line in which a character of the text stands."""
        return bisect_right(self._begins, offset)

    def step_at(self, line: int) -> Step | None:
        at = bisect_right(self._starts, line) - 1
        return self.steps[at] if at >= 0 and line < self.steps[at].place.end else None

    def sections(self, role: str) -> list[Section]:
        return [section for section in self.document.sections if section.role == role]

    def has_kind(self, *kinds: StepKind) -> bool:
        return any(step.kind in kinds for step in self.steps)

    def comment_of(self, step: Step) -> Comment | None:
        """The step's own comment; none in a file that marks no steps."""
        at = bisect_right(self._comment_lines, step.place.start - 1)
        for comment in self.comments[at : at + LINES_TO_SEARCH]:
            if comment.line >= step.place.end:
                return None
            found = STEP_COMMENT.match(comment.text)
            if found and attributes_of(found[1]) == step.attributes:
                return comment
        return None

    def line_of(self, step: Step) -> int:
        """Where to look for what a step says of itself."""
        comment = self.comment_of(step)
        return comment.line if comment else step.place.start

    def links_of(self, step: Step) -> list[Link]:
        start = bisect_left(self._link_lines, step.place.start)
        return self.links[start : bisect_left(self._link_lines, step.place.end)]

    def goes_of(self, step: Step) -> list[Link]:
        """The ways out of a decision."""
        return [link for link in self.links_of(step) if link.goes]

    def items_that_go_nowhere(self) -> list[int]:
        """The lines of the options of decisions that name no step."""
        goes = {link.line for link in self.links if link.goes}
        return [
            start
            for items in self._lists
            if any(goes.intersection(range(*item)) for item in items)
            for start, end in items
            if not goes.intersection(range(start, end))
            and (step := self.step_at(start))
            and step.kind is StepKind.DECISION
        ]

    def codes_of(self, step: Step) -> list[Code]:
        return self._codes_by_step.get(step.id, [])

    def text_of(self, step: Step) -> list[tuple[int, str]]:
        """The lines of a step that are not code, with their numbers."""
        lines = range(step.place.start, step.place.end)
        return [(line, self.lines[line - 1]) for line in lines if line not in self.in_code]

    @cached_property
    def _codes_by_step(self) -> dict[str, list[Code]]:
        found: dict[str, list[Code]] = {}
        for code in self.codes:
            if code.step:
                found.setdefault(code.step.id, []).append(code)
        return found

    @cached_property
    def _begins(self) -> list[int]:
        """Where in the text each line begins."""
        return [0, *(found.end() for found in re.finditer("\n", self.parsed.text))]

    @cached_property
    def _lists(self) -> list[list[tuple[int, int]]]:
        """All lists, with the lines of their items."""
        found: list[list[tuple[int, int]]] = []
        open_lists: list[list[tuple[int, int]]] = []
        for token in self.parsed.tokens:
            if token.type in {"bullet_list_open", "ordered_list_open"}:
                open_lists.append([])
                found.append(open_lists[-1])
            elif token.type in {"bullet_list_close", "ordered_list_close"}:
                open_lists.pop()
            elif token.type == "list_item_open" and token.map:
                start = self._line(token)
                open_lists[-1].append((start, start + token.map[1] - token.map[0]))
        return found

    @cached_property
    def _link_lines(self) -> list[int]:
        return [link.line for link in self.links]

    @cached_property
    def _starts(self) -> list[int]:
        return [step.place.start for step in self.steps]

    @cached_property
    def _comment_lines(self) -> list[int]:
        return [comment.line for comment in self.comments]

    def _line(self, token: Token, within: int = 0) -> int:
        start = token.map[0] if token.map else 0
        return self.parsed.above + start + within + 1

    def _code(self, token: Token, start: int, end: int) -> Code:
        above, fenced = self.parsed.above, token.type == "fence"
        return Code(
            line=above + start + 1,
            end=above + end + 1,
            lines=tuple(token.content.removesuffix("\n").split("\n")),
            language=re.split(r"[\s{]", token.info.strip(), maxsplit=1)[0].lower()
            if fenced
            else "",
            fenced=fenced,
            closed=not fenced or _is_closed(token.markup, self.lines[above + start : above + end]),
            step=self.step_at(above + start + 1),
        )

    def _fences_at_any_depth(self) -> Iterator[Code]:
        begin, opening = 0, None
        for line, text in self.text_lines():
            found = FENCE.match(text)
            if found is None:
                continue
            if opening is None:
                if "`" not in found[2]:
                    begin, opening = line, found
            elif found[1].startswith(opening[1]) and not found[2].strip():
                yield self._deep_code(begin, line + 1, opening, closed=True)
                opening = None
        if opening is not None:
            yield self._deep_code(begin, len(self.lines) + 1, opening, closed=False)

    def _deep_code(self, line: int, end: int, opening: re.Match[str], *, closed: bool) -> Code:
        width = opening.start(1)
        lines = self.lines[line : end - 2 if closed else end - 1]
        return Code(
            line=line,
            end=end,
            lines=tuple(
                text[width:] if not text[:width].strip("> ") else text.lstrip() for text in lines
            ),
            language=re.split(r"[\s{]", opening[2].strip(), maxsplit=1)[0].lower(),
            fenced=True,
            closed=closed,
            step=self.step_at(line),
        )

    def _inlines(self) -> Iterator[Token]:
        return (token for token in self.parsed.tokens if token.type == "inline" and token.map)

    def _links(self, inline: Token) -> Iterator[Link]:
        children = inline.children or []
        for at, (line, child) in enumerate(self._pieces(inline)):
            if child.type == "link_open":
                words = "".join(_words_of_link(children, at + 1))
                yield Link(line, str(child.attrs["href"]), words, is_picture=False)
            elif child.type == "image":
                yield Link(line, str(child.attrs["src"]), child.content, is_picture=True)

    def _pieces(self, inline: Token) -> Iterator[tuple[int, Token]]:
        """What a paragraph is made of, with the line of each."""
        line = self._line(inline)
        for child in inline.children or ():
            if child.type in {"link_open", "image"}:
                line = self._found(str(child.attrs.get("href") or child.attrs["src"]), line)
            yield line, child
            if child.type in {"softbreak", "hardbreak"}:
                line += 1
            elif child.type == "html_inline":
                line += child.content.count("\n")

    def _found(self, href: str, line: int) -> int:
        for at in range(line - 1, min(line - 1 + LINES_TO_SEARCH, len(self.lines))):
            if href in self.lines[at] or unquote(href) in self.lines[at]:
                return at + 1
        return line

    def _comments(self) -> Iterator[Comment]:
        for token in self.parsed.tokens:
            if token.type == "html_block" and token.map:
                for within, text in _comments_in(token.content):
                    yield Comment(self._line(token, within), text)
            elif token.type == "inline" and token.map:
                for line, child in self._pieces(token):
                    if child.type == "html_inline" and child.content.startswith("<!--"):
                        yield Comment(line, child.content)


def page_of(source: bytes, slug: str, surroundings: Surroundings) -> Page:
    """Raises `RefusedError` for a file that is too large or takes too long."""
    parsed = parse(source)
    return Page(slug, surroundings, parsed, document(parsed, f"{slug}.md"))


def _words_of_link(children: Sequence[Token], at: int) -> Iterator[str]:
    for index in range(at, len(children)):
        if children[index].type == "link_close":
            return
        yield children[index].content


def _comments_in(html: str) -> Iterator[tuple[int, str]]:
    """Each comment, and how many lines stand above it."""
    end = line = 0
    while (start := html.find("<!--", end)) >= 0 and (close := html.find("-->", start)) >= 0:
        line += html.count("\n", end, start)
        yield line, html[start : close + 3]
        line += html.count("\n", start, close)
        end = close + 3


def _is_closed(fence: str, lines: list[str]) -> bool:
    last = lines[-1].lstrip("> \t").rstrip()
    return len(lines) > 1 and len(last) >= len(fence) and not last.strip(fence[0])
