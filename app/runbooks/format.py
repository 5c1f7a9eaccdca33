"""Reading a runbook file: sections and steps, from any Markdown.

A step is a heading or a list item with a comment `<!-- step id=… -->`, which GitHub hides and we
drop. A file that has none is foreign: its steps are looked for where such files keep them, in
numbered lists, in task lists, or under the headings of a section that says what to do. If there
is nothing of the kind it is a page to read. Nothing here fails, except on text that is too large
or made to be slow (`RefusedError`, from the Markdown parser).
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from textwrap import shorten
from typing import Any

from markdown_it.token import Token

from app.core import markdown
from app.runbooks.dialects import GFM, dialect_of
from app.runbooks.front_matter import Facts, facts, split
from app.runbooks.rules import StepKind, kebab

BOM = b"\xef\xbb\xbf"
MAX_TITLE = 120

# What these two may skip is limited, so that many that never end are not each read to the end.
STEP_COMMENT = re.compile(r"<!--\s*step(?=\s|-->)(.{0,1000}?)-->", re.DOTALL)
ATTRIBUTE = re.compile(r"([A-Za-z_][\w-]*)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"']+)))?")
GO_LINK = re.compile(
    r"\[go:\s{0,9}([^\[\]]*?)\s{0,9}\]\(\s{0,9}<?([^)>\[\s]+)>?\s{0,9}\)", re.IGNORECASE
)
MARKER = re.compile(r"(\s*)(?:[-*+]|\d{1,9}[.)])(?:[ \t]{1,4}(?=\S)|[ \t]|$)")
TASK = re.compile(r"\[[ xX]\][ \t]+")
HEADING_ATTRIBUTES = re.compile(
    r"\s*\{:?\s*[#.][^{}]*\}\s*\Z"
)  # as sites of Hugo and MkDocs have them
RISKS = ("none", "low", "high")


@dataclass(frozen=True, slots=True)
class Place:
    """Lines of a file, counted from 1; `end` is the first line after them."""

    start: int = 0
    words_end: int = 0  # the first line after the heading, or after the first words of an item
    end: int = 0
    is_item: bool = False  # of a list


@dataclass(frozen=True, slots=True)
class Step:
    id: str
    section: str
    kind: StepKind
    title: str  # words only
    title_source: str  # Markdown
    body: str  # Markdown
    risk: str | None
    minutes: int | None
    attributes: dict[str, str]
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    role: str  # one of ROLES, or "" for a heading that we don't know
    flow: tuple[str | Step, ...]  # in the order of the file: Markdown, and steps
    line: int = field(default=0, compare=False)  # of its heading in the file, from 1


@dataclass(frozen=True, slots=True)
class Document:
    """A file, read."""

    front_matter: dict[str, Any]
    facts: Facts
    title: str
    intro: str  # Markdown between the title and the first section
    sections: tuple[Section, ...]
    references: Mapping[str, Any]  # link definitions, for the parts that are rendered one by one
    remarks: tuple[str, ...]  # sentences: what could not be read
    dialect: str = GFM  # how its texts are rendered; steps are found the same way in both

    @property
    def steps(self) -> list[Step]:
        return [
            each for section in self.sections for each in section.flow if isinstance(each, Step)
        ]


@dataclass(frozen=True, slots=True)
class Role:
    """What a section is for, and the kind of a step in it that names none."""

    name: str
    kind: StepKind = StepKind.ACTION
    acts: bool = False  # its headings are steps, in a file that marks none


WHEN, NOT_WHEN, IMPACT, STOP = Role("when"), Role("not_when"), Role("impact"), Role("stop")
CHECKS = Role("steps", StepKind.CHECK, acts=True)
STEPS = Role("steps", StepKind.ACTION, acts=True)
ROLL_BACK = Role("roll_back", StepKind.ACTION, acts=True)
VERIFY = Role("verify", StepKind.VERIFY, acts=True)
AFTERWARDS = Role("afterwards", StepKind.ACTION, acts=True)
ESCALATE = Role("stop", StepKind.ESCALATE)
UNKNOWN = Role("")

NEVER_STEPS = (WHEN, NOT_WHEN, IMPACT, STOP)

# Headings, ours and those that 1,400 public runbooks use for the same.
ROLES: dict[str, Role] = {
    "when to use": WHEN, "when to use this": WHEN, "when to use it": WHEN, "meaning": WHEN,
    "symptoms": WHEN, "symptom": WHEN, "description": WHEN,
    "when to use and when not": WHEN,
    "when not to use": NOT_WHEN, "not when": NOT_WHEN, "when not to use this": NOT_WHEN,
    "impact": IMPACT,
    "stop and escalate if": STOP, "stop and escalate": STOP, "escalate if": STOP,
    "escalation": ESCALATE, "escalate": ESCALATE, "escalation path": ESCALATE,
    "steps": STEPS, "procedure": STEPS, "instructions": STEPS, "actions": STEPS, "action": STEPS,
    "mitigation": STEPS, "resolution": STEPS, "remediation": STEPS, "fix": STEPS, "contain": STEPS,
    "eradicate": STEPS, "recover": STEPS, "recovery": STEPS, "how to fix": STEPS,
    "mitigation/resolution": STEPS, "repair": STEPS, "solution": STEPS,
    "diagnosis": CHECKS, "possible checks": CHECKS, "troubleshooting": CHECKS, "checks": CHECKS,
    "investigate": CHECKS, "investigation": CHECKS, "diagnostics": CHECKS, "triage": CHECKS,
    "troubleshooting pointers": CHECKS, "detect": CHECKS,
    "roll back": ROLL_BACK, "rollback": ROLL_BACK, "rolling back": ROLL_BACK, "undo": ROLL_BACK,
    "verify": VERIFY, "verification": VERIFY, "validate": VERIFY, "validation": VERIFY,
    "afterwards": AFTERWARDS, "follow-up": AFTERWARDS, "follow up": AFTERWARDS,
    "post-incident": AFTERWARDS, "clean up": AFTERWARDS, "cleanup": AFTERWARDS,
}  # fmt: skip


def role_of(heading: str) -> Role:
    heading = HEADING_ATTRIBUTES.sub("", heading)
    words = re.sub(r"[^a-z0-9/ -]", "", heading.lower()).strip()
    return ROLES.get(words) or ROLES.get(re.sub(r"^\d+[ -]*", "", words)) or UNKNOWN


def canonical_sha256(source: bytes) -> str:
    """The hash by which two files are the same text: line ends and trailing blanks don't count."""
    lines = source.removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    text = b"\n".join(line.rstrip(b" \t") for line in lines).rstrip(b"\n") + b"\n"
    return hashlib.sha256(text).hexdigest()


def text_of(source: bytes) -> tuple[str, tuple[str, ...]]:
    """The text of a file with line feeds only, and remarks."""
    source = source.removeprefix(BOM)
    remarks: tuple[str, ...] = ()
    try:
        text = source.decode()
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        text = source.decode(errors="replace")
        remarks = (f"Line {line} is not UTF-8; what can't be read shows as \ufffd.",)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if (nul := text.find("\x00")) >= 0:
        line = text.count("\n", 0, nul) + 1
        remarks += (f"Line {line} holds the character NUL; it shows as \ufffd.",)
        text = text.replace("\x00", "\ufffd")
    return text, remarks


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file as the parsers leave it, for whoever needs its lines."""

    text: str
    front_matter: dict[str, Any]
    body: str
    above: int  # lines of front matter: line 0 of a token is line `above + 1` of the file
    tokens: Sequence[Token]
    references: Mapping[str, Any]
    remarks: tuple[str, ...]


def parse(source: bytes) -> Parsed:
    """The text, the front matter and the Markdown tokens of a file."""
    text, remarks = text_of(source)
    front_matter, body, above, more = split(text)
    tokens, references = markdown.parse(body)
    return Parsed(text, front_matter, body, above, tokens, references, remarks + more)


def read(source: bytes, path: str = "runbook.md") -> Document:
    """A file as sections and steps. `path` gives the title of one that has none."""
    return document(parse(source), path)


def document(parsed: Parsed, path: str = "runbook.md") -> Document:
    """The same for a file that is parsed already."""
    said = facts(parsed.front_matter)
    blocks = _blocks(parsed.tokens)
    heading = next((b for b in blocks if b.kind == "heading" and b.level == 1), None)
    title = said.title or (markdown.plain(heading.words) if heading else "") or title_from(path)
    steps = _Steps(parsed.above, [*parsed.remarks, *said.remarks])
    intro, sections = _sections(_cuts(blocks, heading), parsed.body.split("\n"), steps)
    return Document(
        front_matter=parsed.front_matter,
        facts=said,
        title=title[:300],
        intro=intro,
        sections=sections,
        references=parsed.references,
        remarks=tuple(steps.remarks),
        dialect=dialect_of(parsed.front_matter, parsed.body),
    )


def id_of(source: bytes) -> str | None:
    """The id in the front matter, without reading the rest."""
    return facts(split(text_of(source)[0])[0]).id


def alertnames_in(source: bytes) -> set[str]:
    """The alerts that the front matter names, in lower case, without reading the rest."""
    signals = facts(split(text_of(source)[0])[0]).signals
    return {signal.alertname for signal in signals if signal.alertname}


def title_from(path: str) -> str:
    words = re.sub(r"[_-]+", " ", PurePath(path).stem).strip()
    return (words[:1].upper() + words[1:]) or "Untitled"


# The file as blocks: what stands at its top level, with lines


@dataclass(frozen=True, slots=True)
class _Item:
    """One item of a list."""

    start: int
    words: str  # Markdown of its first paragraph, if it starts with one
    words_end: int
    task: bool
    comment: str | None  # inside of a step comment


@dataclass(frozen=True, slots=True)
class _Block:
    kind: str  # heading | bullets | numbers | comment | other
    start: int
    end: int
    level: int = 0  # of a heading
    words: str = ""  # Markdown of a heading
    comment: str | None = None  # inside of a step comment
    first_number: int = 1
    items: tuple[_Item, ...] = ()


def _blocks(tokens: Sequence[Token]) -> list[_Block]:
    found: list[_Block] = []
    for at, token in enumerate(tokens):
        if token.level or token.map is None or token.nesting < 0:
            continue
        block = _block(tokens, at, *token.map)
        last = found[-1] if found else None
        if block.kind == "comment" and last and last.kind == "heading" and last.comment is None:
            found[-1] = replace(last, comment=block.comment)
        else:
            found.append(block)
    return found


def _block(tokens: Sequence[Token], at: int, start: int, end: int) -> _Block:
    token = tokens[at]
    match token.type:
        case "heading_open":
            inline = tokens[at + 1]
            words = STEP_COMMENT.sub("", inline.content).strip()
            comment = _comment_in(inline)
            return _Block("heading", start, end, int(token.tag[1]), words, comment)
        case "bullet_list_open":
            return _Block("bullets", start, end, items=tuple(_items(tokens, at)))
        case "ordered_list_open":
            number = int(token.attrs.get("start", 1))
            items = tuple(_items(tokens, at))
            return _Block("numbers", start, end, first_number=number, items=items)
        case "html_block" if found := STEP_COMMENT.match(token.content.lstrip()):
            return _Block("comment", start, end, comment=found[1])
    return _Block("other", start, end)


def _items(tokens: Sequence[Token], at: int) -> Iterable[_Item]:
    for index in range(at + 1, len(tokens)):
        token = tokens[index]
        if token.level == 0:
            return
        if token.type == "list_item_open" and token.level == 1 and token.map:
            yield _item(token.map[0], "checked" in token.meta, *tokens[index + 1 : index + 3])


def _item(start: int, task: bool, opening: Token, inline: Token | None = None) -> _Item:
    if opening.type == "paragraph_open" and inline is not None:
        end = opening.map[1] if opening.map else start
        words = STEP_COMMENT.sub("", inline.content).strip()
        return _Item(start, words, end, task, _comment_in(inline))
    if opening.type == "html_block" and (found := STEP_COMMENT.match(opening.content.lstrip())):
        # A comment at the very beginning takes its whole line along, with the words behind it.
        words = opening.content.lstrip()[found.end() :].strip()
        return _Item(start, words, opening.map[1] if opening.map else start, task, found[1])
    return _Item(start, "", start, task, None)


def _comment_in(inline: Token) -> str | None:
    # Only a real comment: one in backticks is an example.
    for child in inline.children or ():
        if child.type == "html_inline" and (found := STEP_COMMENT.fullmatch(child.content)):
            return found[1]
    return None


# Where the file is cut: each part ends where the next begins


@dataclass(frozen=True, slots=True)
class _Cut:
    begin: int  # its first line
    body: int  # the first line of its text
    section: str | None = None  # a section begins here
    title: str | None = None  # a step begins here: Markdown of its title
    comment: str = ""  # inside of its step comment
    from_item: bool = False


def _cuts(blocks: Sequence[_Block], title: _Block | None) -> list[_Cut]:
    """One pass over the file, which takes for steps what `_kind_of_steps` says."""
    wanted = _kind_of_steps(blocks)
    cuts: list[_Cut] = [_Cut(0, 0)]
    role, level, numbered, listed = UNKNOWN, 0, 0, False
    for block in blocks:
        if block is title and block.comment is None:
            cuts.append(_Cut(block.start, block.end))
            level = 0
        elif _begins_section(block):
            name = markdown.plain(block.words)[:120] or "Untitled"
            cuts.append(_Cut(block.start, block.end, section=name))
            role, level, numbered = role_of(name), 0, 0
        elif block.kind == "heading" and (not level or block.level <= level or block.comment):
            if block.comment is not None or (wanted == "headings" and role.acts):
                comment = block.comment or ""
                cuts.append(_Cut(block.start, block.end, title=block.words, comment=comment))
                level = block.level
            elif level or listed:
                cuts.append(_Cut(block.start, block.start))
                level = 0
        elif _lists_steps(block, wanted, role):
            if numbered and block.first_number == numbered + 1 and cuts[-1].title is None:
                cuts.pop()  # what stood between two halves of one list belongs to the step above
            cuts += _cuts_of_items(block, wanted)
            numbered = block.first_number + len(block.items) - 1
            level, listed = 0, True
            continue
        elif listed:
            cuts.append(_Cut(block.start, block.start))
        listed = False
    return cuts


def _begins_section(block: _Block) -> bool:
    return block.kind == "heading" and block.level <= 2 and block.comment is None


def _kind_of_steps(blocks: Sequence[_Block]) -> str:
    """Where this file keeps its steps: marked, numbered, tasks or headings."""
    found, role = set(), UNKNOWN
    for block in blocks:
        if block.kind == "heading" and block.comment is not None:
            found.add("marked")
        elif _begins_section(block):
            role = role_of(markdown.plain(block.words))
        elif block.kind == "heading" and role.acts:
            found.add("headings")
        found |= {
            kind for kind in ("marked", "numbered", "tasks") if _lists_steps(block, kind, role)
        }
    return next((kind for kind in ("marked", "numbered", "tasks") if kind in found), "headings")


def _lists_steps(block: _Block, wanted: str, role: Role) -> bool:
    match wanted:
        case "marked":
            return any(item.comment is not None for item in block.items)
        case "numbered":
            return block.kind == "numbers" and role not in NEVER_STEPS
        case "tasks":
            return role not in NEVER_STEPS and any(item.task for item in block.items)
    return False


def _cuts_of_items(block: _Block, wanted: str) -> Iterable[_Cut]:
    for item in block.items:
        if wanted == "numbered" or item.comment is not None or (wanted == "tasks" and item.task):
            comment = item.comment or ""
            yield _Cut(item.start, item.words_end, None, item.words, comment, from_item=True)
        else:
            yield _Cut(item.start, item.start)


# Parts as sections and steps


def _sections(
    cuts: Sequence[_Cut], lines: Sequence[str], steps: "_Steps"
) -> tuple[str, tuple[Section, ...]]:
    """The text above the first section, and the sections."""
    names: list[str] = [""]
    begins: list[int] = [steps.above + 1]
    flows: list[list[str | Step]] = [[]]
    for index, cut in enumerate(cuts):
        end = cuts[index + 1].begin if index + 1 < len(cuts) else len(lines)
        if cut.section is not None:
            names.append(cut.section)
            begins.append(steps.above + cut.begin + 1)
            flows.append([])
        if cut.title is not None:
            flows[-1].append(steps.read(cut, lines[cut.begin : end], names[-1] or "Steps"))
        elif text := "\n".join(lines[cut.body : end]).strip("\n"):
            flows[-1].append(text)
    sections = [
        Section(name, role_of(name).name, tuple(flow), line)
        for name, flow, line in zip(names, flows, begins, strict=True)
    ]
    if any(isinstance(part, Step) for part in sections[0].flow):
        return "", (replace(sections[0], title="Steps", role=STEPS.name), *sections[1:])
    return "\n\n".join(map(str, sections[0].flow)), tuple(sections[1:])


class _Steps:
    """Turns parts of the file into steps, each with an id of its own."""

    def __init__(self, above: int, remarks: list[str]) -> None:
        self.above = above  # lines of front matter, so that remarks name lines of the file
        self.remarks = remarks
        self.ids: set[str] = set()
        self.copies: dict[str, int] = {}  # of an id that was wanted more than once

    def read(self, cut: _Cut, lines: Sequence[str], section: str) -> Step:
        line = self.above + cut.begin + 1
        where = f"Line {line}"
        attributes = attributes_of(cut.comment)
        title_source = (cut.title or "").rstrip().removesuffix(":")
        title, complete = _title(title_source)
        if cut.from_item:
            body = _dedented(lines, cut.body - cut.begin if complete else 0)
        else:
            body = "\n".join(lines[cut.body - cut.begin :])
        body = STEP_COMMENT.sub("", body, count=1).strip("\n")
        return Step(
            id=self._id(attributes.get("id", ""), title, where),
            section=section,
            kind=self._kind(attributes.get("kind"), body, role_of(section), where),
            title=title or f"Step {len(self.ids)}",
            title_source=title_source if complete else "",
            body=body,
            risk=self._risk(attributes.get("risk"), where),
            minutes=self._minutes(attributes.get("minutes"), where),
            attributes=attributes,
            place=Place(
                line, line + cut.body - cut.begin, line + len(lines), is_item=cut.from_item
            ),
        )

    def _id(self, said: str, title: str, where: str) -> str:
        wanted = kebab(said or title)[:72].strip("-") or f"step-{len(self.ids) + 1}"
        found, copies = wanted, self.copies.get(wanted, 1)
        while found in self.ids:
            copies += 1
            found = f"{wanted}-{copies}"
        self.copies[wanted] = copies
        self.ids.add(found)
        if said and found != said:
            why = "is taken" if found != wanted else "has characters other than a-z, 0-9 and -"
            self.remarks.append(f"{where}: the step id `{said[:80]}` {why}; it became `{found}`.")
        return found

    def _kind(self, said: str | None, body: str, role: Role, where: str) -> StepKind:
        if said in set(StepKind):
            return StepKind(said)
        if said is not None:
            self.remarks.append(
                f"{where}: a step can't be of kind `{said[:40]}`, only {', '.join(StepKind)}."
            )
        return StepKind.DECISION if GO_LINK.search(body) else role.kind

    def _risk(self, said: str | None, where: str) -> str | None:
        if said is None or said in RISKS:
            return said
        self.remarks.append(
            f"{where}: risk is none, low or high, not `{said[:40]}`; it is shown as high."
        )
        return "high"

    def _minutes(self, said: str | None, where: str) -> int | None:
        if said is None:
            return None
        if re.fullmatch(r"[1-9]\d{0,4}", said):
            return int(said)
        self.remarks.append(f"{where}: minutes is a whole number, not `{said[:40]}`.")
        return None


def attributes_of(comment: str) -> dict[str, str]:
    """What a step comment says: id=confirm kind=check confirm="type the name"."""
    return {
        name: double or single or bare
        for name, double, single, bare in ATTRIBUTE.findall(" ".join(comment.split()))
    }


def _title(words: str) -> tuple[str, bool]:
    """A title of a bearable length, and whether it is all of the words."""
    plain = markdown.plain(words)
    if len(plain) <= MAX_TITLE:
        return plain, True
    sentence = re.split(r"(?<=[.:;!?])\s", plain, maxsplit=1)[0].rstrip(".:;")
    return shorten(sentence, MAX_TITLE, placeholder="…"), False


def _dedented(lines: Sequence[str], skipped: int) -> str:
    """The text of a list item without its marker and its indent, from the line `skipped` on."""
    marker = MARKER.match(lines[0])
    width = len(marker[0].expandtabs(4)) if marker else 0
    first = TASK.sub("", lines[0][len(marker[0]) if marker else 0 :], count=1)
    rest = [_without_indent(line, width) for line in lines[1:]]
    return "\n".join([first, *rest][skipped:])


def _without_indent(line: str, width: int) -> str:
    blank = len(line) - len(line.lstrip(" \t"))
    indent = line[:blank].expandtabs(4)
    return indent[min(width, len(indent)) :] + line[blank:]
