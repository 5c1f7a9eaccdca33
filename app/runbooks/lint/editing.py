"""Making fixes out of small edits."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from app.runbooks.format import Step
from app.runbooks.lint.findings import Fix
from app.runbooks.lint.page import Page

# Lines from the first up to the second, which stays, and what they become.
Edit = tuple[int, int, Sequence[str]]


def line_fix(label: str, line: int, text: str) -> Fix:
    """One line becomes another."""
    return Fix(label, line, line + 1, text + "\n")


def fix_of(label: str, page: Page, edits: Iterable[Edit]) -> Fix:
    """Edits in several places as one: from the first to the last, with all that lies between."""
    ordered = sorted(edits, key=lambda edit: edit[:2])
    start, end = ordered[0][0], max(edit[1] for edit in ordered)
    found: list[str] = []
    at = start
    for first, after, lines in ordered:
        found += [*page.lines[at - 1 : first - 1], *lines]
        at = after
    return Fix(label, start, end, "".join(f"{line}\n" for line in found))


def front_matter_fix(label: str, page: Page, keys: Sequence[str]) -> Fix | None:
    """Adds lines to the front matter; none where there is no front matter to add to."""
    front = page.front
    if not front.is_readable:
        return None
    return Fix(label, front.close, front.close, "".join(f"{key}\n" for key in keys))


def attribute_edit(page: Page, step: Step, name: str, value: str) -> Edit | None:
    """An attribute in the comment of a step. None if it has no comment, or one of many lines."""
    comment = page.comment_of(step)
    if comment is None or "\n" in comment.text:
        return None
    written = f'{name}="{value}"' if re.search(r"\s", value) else f"{name}={value}"
    there = re.search(rf"(?<![\w-]){name}\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"']+)", comment.text)
    if there:
        text = comment.text[: there.start()] + written + comment.text[there.end() :]
    else:
        text = f"{comment.text[:-3].rstrip()} {written} -->"
    line = page.lines[comment.line - 1]
    return comment.line, comment.line + 1, [line.replace(comment.text, text, 1)]


def attribute_fix(label: str, page: Page, step: Step, name: str, value: str) -> Fix | None:
    edit = attribute_edit(page, step, name, value)
    return fix_of(label, page, [edit]) if edit else None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    # The words are held against one another letter by letter.
    found = get_close_matches(name[:80], sorted(known)[:500], n=1, cutoff=0.7)
    return found[0] if found else None
