"""RB20, RB23, RB31, RB32: what must not be left in the text."""

import re
from collections.abc import Iterator

from app.core import markdown
from app.runbooks.lint.editing import line_fix
from app.runbooks.lint.page import Page
from app.runbooks.lint.rule import Problem, quoted

LEFT_OVER = re.compile(
    r"\b(?:TODO|TBD|FIXME|XXX)\b|<(?:insert|INSERT)\b"
    r"|(?P<conflict>^(?:<{7}|>{7})(?=\s|\Z)|<!--\s{0,9}conflict\b)",
    re.MULTILINE,
)

# Both first look at one character, which most of a text fails: that halves the time they take.
SECRET = re.compile(
    r"(?=[-Aeghnpsx])(?:"
    + "|".join(
        (
            r"-----BEGIN (?:[A-Z]{1,12} ){0,3}PRIVATE KEY",
            r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
            r"\bgh[pousr]_[A-Za-z0-9]{36}",
            r"\bgithub_pat_[A-Za-z0-9_]{50}",
            r"\bglpat-[A-Za-z0-9_-]{20}",
            r"\bxox[abeoprs]-[A-Za-z0-9-]{10}",
            r"\bhooks\.slack\.com/services/T[A-Z0-9]{5,20}/B",
            r"\bAIza[A-Za-z0-9_-]{35}",
            r"\bsk_live_[A-Za-z0-9]{16}",
            r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32}",
            r"\beyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10}",
            r"\bnpm_[A-Za-z0-9]{36}",
            r"\bpypi-[A-Za-z0-9_-]{40}",
        )
    )
    + ")"
)
SAID = re.compile(
    r"(?=[parstb:])(?:(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|routing[_-]?key)"
    r"[\"']?\s{0,3}(?:=|:|\s)\s{0,3}[\"']?(?P<value>[A-Za-z0-9+/_.~!@#%^&*-]{12,200})"
    r"|\bBearer\s(?P<bearer>[A-Za-z0-9._~+/-]{16,200})"
    r"|://[^\s/:@{}$<>]{1,60}:(?P<login>[^\s/@{}$<>*]{6,100})@)",
    re.IGNORECASE,
)
EXAMPLE = re.compile(
    r"example|changeme|placeholder|xxx|\*\*\*|\.\.\.|123456|password", re.IGNORECASE
)

CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
TAG = re.compile(r"<([A-Za-z][A-Za-z0-9-]{0,40})(?=[\s/>])([^<>]{0,2000})")
HANDLER = re.compile(r"\s(?:on[a-z]{3,20}|style|srcdoc)\s{0,9}=", re.IGNORECASE)
# Elements of HTML that we don't show. Other names in angle brackets are blanks, shown as typed.
ELEMENTS = frozenset({
    "applet", "article", "aside", "audio", "base", "body", "button", "canvas", "center", "embed",
    "fieldset", "figcaption", "figure", "font", "footer", "form", "frame", "frameset", "head",
    "header", "html", "iframe", "label", "legend", "link", "main", "marquee", "math", "meta",
    "nav", "noscript", "object", "option", "param", "picture", "script", "section", "select",
    "source", "span", "style", "svg", "template", "textarea", "title", "video",
})  # fmt: skip

DELIMITER_CELL = re.compile(r"\s{0,99}:?-+:?\s{0,99}")


def nothing_is_left_over(page: Page) -> Iterator[Problem]:
    """RB20"""
    told = 0
    for line, found in page.found(LEFT_OVER, everywhere=True):
        if line == told:
            continue
        told = line
        if found["conflict"]:
            sentence = (
                f"{quoted(found[0])} marks two texts that have to become one: keep what is right "
                "and remove the mark."
            )
        else:
            sentence = f"{quoted(found[0])} is left here: write what is missing."
        yield Problem(line, sentence)


def no_secrets(page: Page) -> Iterator[Problem]:
    """RB23"""
    found = {line for line, _ in page.found(SECRET, everywhere=True)}
    found |= {
        line
        for line, match in page.found(SAID, everywhere=True)
        if _is_random(next(filter(None, match.groups())))
    }
    for line in sorted(found):
        sentence = (
            "This looks like a secret, which everybody can read here: replace it by a variable "
            "with `secret: true`, and have it changed."
        )
        yield Problem(line, sentence)


def _is_random(value: str) -> bool:
    """Whether somebody made it up by chance, and not of words."""
    if EXAMPLE.search(value) or "{{" in value or "$" in value:
        return False
    letters, digits = sum(map(str.isalpha, value)), sum(map(str.isdigit, value))
    # A name, a path or a date has few digits among its letters, or few letters among its digits.
    return (
        digits >= 2
        and letters >= 2
        and len(set(value)) >= 6
        and not re.search(r"[/.]\w+[/.]", value)
    )


def tables_are_even(page: Page) -> Iterator[Problem]:
    """RB31"""
    width = 0
    for token in page.parsed.tokens:
        if token.type == "thead_open":
            width = 0
        elif token.type == "tr_open" and token.map:
            line = page.parsed.above + token.map[0] + 1
            cells = _cells(page.lines[line - 1])
            width = width or cells
            if cells != width:
                sentence = (
                    f"The row has {_counted(cells)} and the table {width}: add what is missing, "
                    "write `\\|` for a bar that is text, or leave a line free below the table."
                )
                yield Problem(line, sentence)
    yield from _not_tables(page)


def _counted(cells: int) -> str:
    return "1 column" if cells == 1 else f"{cells} columns"


def _not_tables(page: Page) -> Iterator[Problem]:
    """Tables whose second line does not fit the first, so that they are shown as text."""
    head = ""
    for line, text in page.prose():
        if "|" in text and "|" in head and all(map(DELIMITER_CELL.fullmatch, _split(text))):
            wanted, there = _cells(head), _cells(text)
            if wanted != there:
                sentence = (
                    f"The table's first row has {_counted(wanted)} and the line below it {there}, "
                    "so that it is no table: make them equal."
                )
                yield Problem(line, sentence)
        head = text


def _cells(text: str) -> int:
    return len(_split(text))


def _split(text: str) -> list[str]:
    bare = text.lstrip("> \t").rstrip()
    bare = bare.removeprefix("|")
    if bare.endswith("|") and not bare.endswith("\\|"):
        bare = bare[:-1]
    return re.split(r"(?<!\\)\|", bare)


def no_hidden_marks(page: Page) -> Iterator[Problem]:
    """RB32"""
    told = 0
    for line, found in page.found(CONTROL, everywhere=True):
        if line != told:
            told = line
            sentence = (
                f"The invisible character U+{ord(found[0]):04X} stands here, which can make a "
                "command read as another one: remove it."
            )
            fix = line_fix("Remove it", line, CONTROL.sub("", page.lines[line - 1]))
            yield Problem(line, sentence, fix)
    for line, text in page.raw_html:
        for tag in TAG.finditer(text):
            name = tag[1].lower()
            if name in ELEMENTS:
                sentence = f"{quoted(f'<{name}>')} is shown as it is typed: write it in Markdown."
                yield Problem(_line_of(tag, line), sentence)
            elif name in markdown.TAGS and (said := HANDLER.search(tag[2])):
                attribute = said[0].strip(" \t\n=")
                sentence = f"The attribute {quoted(attribute)} has no effect here: remove it."
                yield Problem(_line_of(tag, line), sentence)


def _line_of(tag: re.Match[str], first: int) -> int:
    # Only of what is told: in a long text that counts for seconds.
    return first + tag.string.count("\n", 0, tag.start())
