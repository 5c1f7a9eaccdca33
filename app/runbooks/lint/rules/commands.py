"""RB10, RB12, RB16 to RB18, RB22: the blocks of code."""

import re
from collections.abc import Iterator

from app.runbooks.lint.editing import attribute_fix, line_fix
from app.runbooks.lint.findings import Fix
from app.runbooks.lint.languages import PROMPT, SESSIONS, SHELLS, output_lines
from app.runbooks.lint.page import Code, Page
from app.runbooks.lint.rule import Problem, quoted

# How far a command is looked through for its dangerous word.
ON = r"[^\n|;&]{0,300}?"
IN_SHELLS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<![\w.-])rm\s{1,9}(?:-[\w-]{1,40}\s{1,9}){0,5}?-(?:[A-Za-z]{0,6}[rR]|-recursive\b)",
        rf"(?<![\w-])(?:kubectl|oc)\s{ON}(?<=\s)delete(?![\w-])",
        rf"(?<![\w-])helm\s{ON}(?<=\s)(?:delete|uninstall)(?![\w-])",
        r"(?<=\s)--force(?![\w=-])(?!-with)",
        r"(?<=\s)--force=true\b",
        rf"\bscale\s{ON}(?:--replicas[= ]|=)0(?!\d)",
        rf"\bterra(?:form|grunt)\s{ON}(?<=[\s-])destroy\b",
        r"\bp?kill(?:all)?\s{1,9}(?:-s\s{1,9})?-?(?:9|KILL|SIGKILL)\b",
        r"(?<=\s)drain(?=\s|\Z)",
        r"\bmkfs\.\w",
    )
)
ANYWHERE = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\bDROP\s{1,9}(?:TABLE|DATABASE|SCHEMA|INDEX|VIEW|COLLECTION|KEYSPACE|USER|ROLE|COLUMN)\b",
        r"\bTRUNCATE\s{1,9}TABLE\b",
        r"\bFLUSH(?:ALL|DB)\b",
    )
)
DELETE = re.compile(r"\bDELETE\s{1,9}FROM\b[^;]{0,2000}", re.IGNORECASE)
HARMLESS_LINE = re.compile(r"\s*(?:#|//|-- |echo\s)")
ONLY_TRIED = re.compile(r"--dry-run(?!=none)|\bcan-i\b|--what-if\b")

WARNED = re.compile(
    r"\[!(?:WARNING|CAUTION|IMPORTANT)\]|\b(?:warning|caution|careful|dangerous|destructive"
    r"|irreversible|can(?:not|'t|’t) be (?:undone|taken back|reverted)|data (?:loss|is lost)"
    r"|roll(?:ed|ing)? ?back|undo|revert)\b",
    re.IGNORECASE,
)


def prompts_are_left_out(page: Page) -> Iterator[Problem]:
    """RB10"""
    for code in page.codes:
        if not code.fenced or code.language in SESSIONS or code.language not in {*SHELLS, ""}:
            continue
        prompted = [number for number, text in enumerate(code.lines) if PROMPT.match(text)]
        if not prompted:
            continue
        recorded = any(output_lines(list(code.lines)))
        sentence = (
            "The prompt `$` is copied with the command and breaks it: leave it out"
            f"{', or call the block `console`, because it holds output as well' if recorded else ''}."
        )
        fix = _as_session(page, code) if recorded else _without_prompts(page, code)
        yield Problem(code.first + prompted[0], sentence, fix)


def _without_prompts(page: Page, code: Code) -> Fix | None:
    first, after = code.first, code.first + len(code.lines)
    found = []
    for line, text in zip(page.lines[first - 1 : after - 1], code.lines, strict=True):
        prompt = PROMPT.match(text)
        if prompt is None:
            found.append(line)
        elif line.endswith(text):
            # What stands before the block's own text is the indent of a list or a quotation.
            blank = text[: len(text) - len(text.lstrip())]
            found.append(line[: len(line) - len(text)] + blank + text[prompt.end() :])
        else:
            return None
    return Fix("Leave the prompts out", first, after, "".join(f"{line}\n" for line in found))


def _as_session(page: Page, code: Code) -> Fix | None:
    return _fence_fix("Call it console", page, code, "console")


def _fence_fix(label: str, page: Page, code: Code, language: str) -> Fix | None:
    line = page.lines[code.line - 1]
    found = re.match(r"(.*?(?:`{3,}|~{3,})\s*)([^\s{`]*)(.*)", line)
    if found is None or found[2].lower() != code.language:
        return None
    rest = f" {found[3].lstrip()}" if found[3].strip() else ""
    return line_fix(label, code.line, found[1].rstrip() + language + rest)


def languages_are_named(page: Page) -> Iterator[Problem]:
    """RB12"""
    for code in page.codes:
        if code.fenced and not code.language:
            fix = _fence_fix(f"Call it {code.spoken}", page, code, code.spoken)
            sentence = (
                f"The block names no language: write {quoted(code.spoken)} behind its fence, "
                "if that is what it is."
            )
            yield Problem(code.line, sentence, fix)


def output_stands_apart(page: Page) -> Iterator[Problem]:
    """RB16"""
    for code in page.codes:
        if not code.is_shell:
            continue
        printed = output_lines(list(code.lines))
        if True in printed:
            sentence = (
                "The block holds a command and what it printed: keep the command, and say under "
                "**Expect:** what to look for."
            )
            at = printed.index(True)
            yield Problem(code.first + at, sentence, _apart(page, code, printed))


def _apart(page: Page, code: Code, printed: list[bool]) -> Fix | None:
    """The output in a block of its own, where it all stands behind the last command."""
    at = printed.index(True)
    follows = not any(PROMPT.match(text) for text in code.lines[at:])
    fence = page.lines[code.line - 1]
    marks = re.match(r"([\s>]*)(`{3,}|~{3,})", fence)
    if not (follows and marks and code.closed and code.fenced):
        return None
    start, end = code.first + at, code.end - 1
    output = page.lines[start - 1 : end - 1]
    lines = [marks[0], "", f"{marks[0]}text", *output]
    return Fix("Move the output below", start, end, "".join(f"{line}\n" for line in lines))


def dangers_are_marked(page: Page) -> Iterator[Problem]:
    """RB17"""
    for code in page.codes:
        if code.step and code.step.risk == "high":
            continue
        for line, words in dangers(code):
            marked = code.step is not None and page.comment_of(code.step) is not None
            hint = "set `risk=high` on its step" if marked else "make it a step with `risk=high`"
            sentence = (
                f"{quoted(words)} can destroy something: {hint}, so that it is confirmed first."
            )
            fix = None
            if code.step:
                fix = attribute_fix("Set risk=high", page, code.step, "risk", "high")
            yield Problem(line, sentence, fix)
            break


def dangers_are_told(page: Page) -> Iterator[Problem]:
    """RB18"""
    if page.sections("roll_back") or any("undo" in step.attributes for step in page.steps):
        return
    if any(line not in page.in_code for line, _ in page.found(WARNED)):
        return
    for code in page.codes:
        for line, words in dangers(code):
            sentence = (
                f"{quoted(words)} can destroy something, and the file has neither a warning nor a "
                "way back: say what is lost, and how to undo it."
            )
            yield Problem(line, sentence)
            break


def dangers(code: Code) -> Iterator[tuple[int, str]]:
    """The commands in a block that destroy or stop something: their lines and words."""
    if not code.is_command:
        return
    # A command that goes on in the next line is one; it stays as long as it was.
    text = code.text.replace("\\\n", "  ")
    patterns = (*IN_SHELLS, *ANYWHERE) if code.is_shell else ANYWHERE
    found = [match for pattern in patterns for match in pattern.finditer(text)]
    found += [
        match
        for match in DELETE.finditer(text)
        if not re.search(r"\bWHERE\b", match[0], re.IGNORECASE)
    ]
    for match in sorted(found, key=lambda match: match.start()):
        begin = text.rfind("\n", 0, match.start()) + 1
        end = text.find("\n", match.end())
        command = text[begin : end if end >= 0 else len(text)][:2000]
        if not HARMLESS_LINE.match(command) and not ONLY_TRIED.search(command):
            yield code.first + code.text.count("\n", 0, match.start()), " ".join(match[0].split())


def fences_are_closed(page: Page) -> Iterator[Problem]:
    """RB22"""
    for code in page.codes:
        if not code.closed:
            sentence = (
                "The block of code that begins here never ends and swallows what follows: close "
                "it with a fence of its own."
            )
            yield Problem(code.line, sentence)
