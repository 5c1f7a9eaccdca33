"""The two ways in which runbooks write Markdown.

`gfm` is Markdown as on GitHub, and what we write ourselves. `mkdocs` is for files that come from
MkDocs or TechDocs sites: Python-Markdown reads lists and quotes differently, and has admonitions,
tabs and folded blocks. A file says `dialect: mkdocs` in its front matter; one that says nothing
and clearly uses such blocks is taken for one. Either way, steps and commands are found in the
source, and the HTML passes the one policy of `core.markdown`.
"""

import re
from collections.abc import Mapping, MutableSet
from typing import Any, Protocol

from app.core import markdown
from app.core.errors import RefusedError
from app.core.markdown import MAX_BYTES, Policy, Stopwatch
from app.runbooks import isolated

GFM, MKDOCS = "gfm", "mkdocs"
DIALECTS = (GFM, MKDOCS)

# Opening lines that mean nothing on GitHub, each with the indented text that belongs to it.
MKDOCS_BLOCK = re.compile(
    r"""^[ ]{0,12}(?:
        (?:!!!|\?\?\?\+?)[ ]+[A-Za-z][\w-]*(?:[ ]+[\w-]+)*(?:[ ]+"[^"\n]*")?
        | ===[!+]?[ ]+"[^"\n]+"
    )[ \t]*\n(?:[ \t]*\n)?(?:[ ]{4}|\t)[ \t]*\S""",
    re.VERBOSE | re.MULTILINE,
)
FENCE = re.compile(r"^[ >]*(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)

# Texts that would use up their time for certain are not even tried.
MAX_BRACKETS = 1_500  # in one paragraph
MAX_QUOTES = 60  # one in another


class Renderer(Protocol):
    """Makes the HTML of texts that belong to one document."""

    def block(self, text: str) -> str: ...

    def line(self, text: str) -> str: ...


def dialect_of(front_matter: Mapping[str, Any], text: str) -> str:
    """The dialect of a file: what its front matter says, else what the blocks in its text show."""
    said = front_matter.get("dialect")
    if isinstance(said, str) and said.strip().lower() in DIALECTS:
        return said.strip().lower()
    return MKDOCS if _has_blocks_of_mkdocs(text) else GFM


def renderer(
    dialect: str,
    policy: Policy,
    *,
    references: Mapping[str, Any],
    anchors: MutableSet[str],
    stopwatch: Stopwatch,
) -> Renderer:
    made = MkDocs if dialect == MKDOCS else Gfm
    return made(policy, references, anchors, stopwatch)


class Gfm:
    def __init__(
        self,
        policy: Policy,
        references: Mapping[str, Any],
        anchors: MutableSet[str],
        stopwatch: Stopwatch,
    ) -> None:
        self.policy, self.references = policy, references
        self.anchors, self.stopwatch = anchors, stopwatch

    def block(self, text: str) -> str:
        return markdown.render(
            text,
            self.policy,
            references=self.references,
            anchors=self.anchors,
            stopwatch=self.stopwatch,
        )

    def line(self, text: str) -> str:
        return markdown.render_inline(
            text, self.policy, references=self.references, stopwatch=self.stopwatch
        )


class MkDocs:
    def __init__(
        self,
        policy: Policy,
        references: Mapping[str, Any],
        anchors: MutableSet[str],
        stopwatch: Stopwatch,
    ) -> None:
        self.policy, self.anchors, self.stopwatch = policy, anchors, stopwatch
        self.references = {
            label.lower(): [str(said.get("href", "")), str(said.get("title", ""))]
            for label, said in references.items()
        }

    def block(self, text: str) -> str:
        return self._html(text, inline=False)

    def line(self, text: str) -> str:
        return self._html(text, inline=True)

    def _html(self, text: str, *, inline: bool) -> str:
        markdown.check_size(text)
        _check_shape(text)
        try:
            html, seconds = isolated.html_of(
                text, self.references, inline=inline, seconds=self.stopwatch.left
            )
        except isolated.TooSlowError:
            raise markdown.too_slow() from None
        self.stopwatch.take(seconds)
        safe = markdown.made_safe(html, self.policy, anchors=self.anchors)
        self.stopwatch.check(now=True)
        return safe


def _check_shape(text: str) -> None:
    for paragraph in re.split(r"\n[ \t]*\n", _without_fences(text)):
        if paragraph.count("[") > MAX_BRACKETS:
            raise RefusedError(
                f"A paragraph of this text has more than {MAX_BRACKETS:,} brackets, which take "
                "too long to read as Markdown. Split it."
            )
        if re.search(rf"^[ \t]*(?:>[ \t]*){{{MAX_QUOTES}}}", paragraph, re.MULTILINE):
            raise RefusedError(
                f"This text has quotes in quotes, more than {MAX_QUOTES} deep, which take too "
                "long to read as Markdown. Make them flat."
            )


def _has_blocks_of_mkdocs(text: str) -> bool:
    if len(text) > MAX_BYTES or not re.search(r"^ *(?:!!!|\?\?\?|===)", text, re.MULTILINE):
        return False
    return MKDOCS_BLOCK.search(_without_fences(text)) is not None


def _without_fences(text: str) -> str:
    """The text without its code, where such blocks may be shown as examples."""
    kept: list[str] = []
    fence = ""
    for line in text.split("\n"):
        found = FENCE.match(line)
        if not fence:
            kept.append(line)
            fence = found[1] if found else ""
        elif found and found[1].startswith(fence) and not found[2].strip():
            fence = ""
    return "\n".join(kept)
