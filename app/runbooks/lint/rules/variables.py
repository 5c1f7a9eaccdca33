"""RB11, RB24: the blanks in the text."""

import re
from collections.abc import Iterator
from functools import partial

from app.runbooks.lint.editing import front_matter_fix, line_fix, nearest
from app.runbooks.lint.findings import Fix
from app.runbooks.lint.page import Code, Page
from app.runbooks.lint.rule import Problem, quoted
from app.runbooks.quoting import VARIABLE
from app.runbooks.rules import squeezed

PLACEHOLDER = re.compile(
    r"(?<![<\w])<([A-Za-z][A-Za-z0-9_.:/ -]{0,58}[A-Za-z0-9]|[A-Za-z])>"
    r"|\b((?:YOUR|MY)[_-][A-Z][A-Z0-9_-]{0,58})\b|\b((?:REPLACE|CHANGE)[_-]?ME)\b"
)
SAFE = '"^[A-Za-z0-9][A-Za-z0-9._-]*$"'
MOST_NAMES = 50


def blanks_are_variables(page: Page) -> Iterator[Problem]:
    """RB11"""
    for code in page.codes:
        if not code.is_command:
            continue
        for number, text in enumerate(code.lines):
            found = next(_placeholders(code, text), None)
            if found is None:
                continue
            line = code.first + number
            words = next(filter(None, found.groups()))
            name = _name_for(page, words)
            sentence = (
                f"{quoted(found[0])} has to be edited by hand in the middle of an incident: "
                f"write {{{{{name}}}}} and declare it, so that it is filled in once."
            )
            yield Problem(line, sentence, _as_variables(page, code, line))


def _placeholders(code: Code, text: str) -> Iterator[re.Match[str]]:
    if text.lstrip().startswith(("#", "//")):
        return
    for found in PLACEHOLDER.finditer(text):
        # With its end tag it is markup that somebody sends.
        if not (found[1] and f"</{found[1].split()[0]}>" in code.text):
            yield found


def _name_for(page: Page, words: str) -> str:
    """The variable that is declared for it already, or a new name."""
    for variable in page.document.facts.variables:
        if squeezed(variable.name) == squeezed(words):
            return variable.name
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def _as_variables(page: Page, code: Code, line: int) -> Fix:
    text = page.lines[line - 1]
    for found in reversed(list(_placeholders(code, text))):
        name = _name_for(page, next(filter(None, found.groups())))
        text = text[: found.start()] + f"{{{{{name}}}}}" + text[found.end() :]
    return line_fix("Make it a variable", line, text)


def variables_are_declared(page: Page) -> Iterator[Problem]:
    """RB24"""
    used = [(line, found[1]) for line, found in page.found(VARIABLE)]
    yield from _undeclared(page, used)
    yield from _unused(page, {name for _, name in used})
    yield from _unguarded(page)


def _undeclared(page: Page, used: list[tuple[int, str]]) -> Iterator[Problem]:
    declared = {variable.name for variable in page.document.facts.variables}
    unknown = [use for use in dict.fromkeys(used) if use[1] not in declared]
    names = list(dict.fromkeys(name for _, name in unknown))[:MOST_NAMES]
    meant = {name: nearest(name, declared) for name in names}
    declaration = _declaration(page, [name for name in names if not meant[name]])
    for line, name in unknown:
        if known := meant.get(name):
            fix: Fix | None = line_fix(f"Write {known}", line, _renamed(page, line, name, known))
            hint = f"write {{{{{known}}}}}, if that is meant"
        else:
            fix = declaration if name in meant else None
            hint = "add it to `variables`"
        sentence = (
            f"The variable {quoted(name)} is declared nowhere, so nobody can fill it in: {hint}."
        )
        yield Problem(line, sentence, fix)


def _renamed(page: Page, line: int, name: str, known: str) -> str:
    rename = partial(re.sub, re.escape(name) + r"(?=\s*\}\})", known)
    return VARIABLE.sub(
        lambda found: rename(found[0]) if found[1] == name else found[0], page.lines[line - 1]
    )


def _declaration(page: Page, names: list[str]) -> Fix | None:
    """All that are missing at once: a second key `variables` would replace the first."""
    if not names:
        return None
    label = f"Declare {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
    items = [f"- {{name: {name}, pattern: {SAFE}, required: true}}" for name in names]
    front = page.front
    if "variables" not in front.keys:
        return front_matter_fix(label, page, ["variables:", *(f"  {item}" for item in items)])
    placed = front.items.get("variables", ())
    if not placed:
        return None
    last = page.lines[placed[-1].start - 1]
    bullet = re.match(r"[ \t]*(?=- \{.*\}\s*(?:#.*)?$)", last)
    if bullet is None:  # a list in brackets, or one whose items have many lines
        return None
    line = placed[-1].start + 1
    return Fix(label, line, line, "".join(f"{bullet[0]}{item}\n" for item in items))


def _unused(page: Page, used: set[str]) -> Iterator[Problem]:
    for line, name in _declarations(page):
        if name not in used:
            text = page.lines[line - 1]
            fix = None
            if re.match(r"[ \t]*- \{.*\}\s*(?:#.*)?$", text):
                fix = Fix(f"Remove {name}", line, line + 1, "")
            sentence = (
                f"The variable {quoted(name)} is asked for and never used: remove it, or use it."
            )
            yield Problem(line, sentence, fix, is_minor=True)


def _unguarded(page: Page) -> Iterator[Problem]:
    in_shells = {
        found[1] for code in page.codes if code.is_shell for found in VARIABLE.finditer(code.text)
    }
    guarded = {
        variable.name
        for variable in page.document.facts.variables
        if variable.pattern or variable.choices
    }
    for line, name in _declarations(page):
        if name in in_shells and name not in guarded:
            sentence = (
                f"The value of {quoted(name)} reaches a shell and may be anything: give it a "
                "`pattern` or `choices`."
            )
            yield Problem(line, sentence, is_minor=True)


def _declarations(page: Page) -> Iterator[tuple[int, str]]:
    """Each variable that is declared, with the line."""
    names = {variable.name for variable in page.document.facts.variables}
    said = page.parsed.front_matter.get("variables")
    for number, item in enumerate(said if isinstance(said, list) else [said]):
        name = item.get("name") if isinstance(item, dict) else item
        if isinstance(name, str) and (name := " ".join(name.split())) in names:
            names.discard(name)
            yield page.front.item_line("variables", number), name
