"""Python-Markdown with the extensions of MkDocs sites, as a program of its own.

Its expressions take minutes for a few kilobytes of brackets, and nothing can interrupt them inside
a process. So this runs beside Baton, and the kernel ends it when a text has used up its processor
seconds: `dialects.py` starts it, writes one line of JSON for each text and reads one back. It
imports nothing of Baton, so that it starts in a fraction of a second.

What authors wrote as raw HTML comes back between two marks, for the caller to judge; nothing here
is safe to show. No extension is on that reads files or gives authors attributes.
"""

import json
import re
import resource
import signal
import sys
from contextlib import suppress
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from markdown import Markdown
from markdown.extensions import Extension
from markdown.postprocessors import RawHtmlPostprocessor
from markdown.treeprocessors import Treeprocessor

MEMORY = 1 << 30
REAL_SECONDS = 30  # for a process that gets no processor at all
RAW_BEGIN, RAW_END = "\x0e", "\x0f"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# Titles and options behind the language of a fence, for which some are no fences any more.
FENCE_INFO = re.compile(
    r"^([> ]*(?:`{3,}|~{3,})[ ]*[\w+#.-]+)[ \t]+(?:\{[^{}\n]*\}|\w+=[^`\n]*)$", re.MULTILINE
)
# `[site](address){ target=_blank }`: MkDocs readers never see it, and we give nobody attributes.
ATTRIBUTES = re.compile(
    r"\{:?[ ]*(?:(?:[.#][\w-]+|[\w-]+=(?:\"[^\"{}]*\"|'[^'{}]*'|[\w.-]+))[ ]*)+\}"
)
AT_END = re.compile(rf"\s*{ATTRIBUTES.pattern}\s*\Z")
HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
# What superfences and tasklist put aside by themselves, well formed by construction.
OWN_HTML = re.compile(
    r'<pre class="highlight"><code[^<>]*>[^<>]*</code></pre>'
    r'|<input type="checkbox" disabled(?: checked)?/> '
)
ALERTS = {
    "tip": ("tip", "hint", "success", "check", "done"),
    "important": ("important", "question", "help", "faq"),
    "warning": ("warning", "attention"),
    "caution": ("caution", "danger", "error", "failure", "fail", "missing", "bug"),
}
ALERT_OF = {kind: alert for alert, kinds in ALERTS.items() for kind in kinds}  # others: note

EXTENSIONS = (
    "admonition",
    "sane_lists",
    "tables",
    "toc",
    "pymdownx.details",
    "pymdownx.highlight",
    "pymdownx.superfences",
    "pymdownx.tabbed",
    "pymdownx.tasklist",
)
OPTIONS = {
    "tables": {"use_align_attribute": True},
    "pymdownx.highlight": {"use_pygments": False},
}


class PlainTree(Treeprocessor):
    """Admonitions, tabs and pictures as elements that our policy knows."""

    def run(self, root: Element) -> None:
        for element in root.iter():
            self._without_attribute_lists(element)
            classes = element.get("class", "").split()
            if element.tag == "div" and "admonition" in classes:
                _as_alert(element, classes)
            elif element.tag == "div" and "tabbed-set" in classes:
                _as_details(element)
            elif element.tag == "a":
                for picture in element.iter("img"):
                    picture.set("data-linked", "yes")

    def _without_attribute_lists(self, element: Element) -> None:
        for child in element:
            if child.tail and (found := ATTRIBUTES.match(child.tail)):
                child.tail = child.tail[found.end() :]
        if element.tag in HEADINGS and len(element) == 0:
            element.text = AT_END.sub("", element.text or "")


def _as_alert(element: Element, classes: list[str]) -> None:
    kind = next((ALERT_OF[name] for name in classes if name in ALERT_OF), "note")
    element.attrib = {"data-alert": kind}
    if len(element) and element[0].get("class") == "admonition-title":
        title = element[0]
        words = Element("strong")
        words.text, title.text = title.text, None
        words.extend(list(title))
        title[:] = [words]


def _as_details(element: Element) -> None:
    """Every tab stays open, under its name: what is hidden is not read at night."""
    names = [child for child in element if child.tag == "label"]
    bodies = [child for child in element if child.tag == "div"]
    element.attrib, element[:] = {}, []
    for name, body in zip(names, bodies, strict=False):
        details = SubElement(element, "details", {"open": "open"})
        summary = SubElement(details, "summary")
        summary.text = name.text
        summary.extend(list(name))
        body.attrib = {}
        details.append(body)


class MarkedRaw(RawHtmlPostprocessor):
    """Puts raw HTML back between marks."""

    def stash_to_string(self, text: Any) -> str:
        html = super().stash_to_string(text)
        return html if OWN_HTML.fullmatch(html) else RAW_BEGIN + html + RAW_END

    def isblocklevel(self, html: str) -> bool:
        return super().isblocklevel(html.lstrip(RAW_BEGIN))


class ForBaton(Extension):
    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 Python-Markdown calls it so
        md.treeprocessors.register(PlainTree(md), "baton_tree", -10)
        md.postprocessors.register(MarkedRaw(md), "raw_html", 30)


def parser() -> Markdown:
    return Markdown(
        extensions=[*EXTENSIONS, ForBaton()], extension_configs=OPTIONS, output_format="html"
    )


def html_of(md: Markdown, text: str, references: dict[str, list[str]], *, inline: bool) -> str:
    md.reset()
    md.references.update({name: (href, title) for name, (href, title) in references.items()})
    text = CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _inline(md, text) if inline else md.convert(FENCE_INFO.sub(r"\1", text))


def _inline(md: Markdown, text: str) -> str:
    """One paragraph, without looking for blocks in it."""
    root = Element(md.doc_tag)
    SubElement(root, "p").text = text
    for tree in md.treeprocessors:
        found = tree.run(root)
        root = root if found is None else found
    html = md.serializer(root).strip().removeprefix("<div>").removesuffix("</div>")
    for post in md.postprocessors:
        html = post.run(html)
    return html.strip().removeprefix("<p>").removesuffix("</p>")


def matches(pattern: str, value: str) -> bool:
    with suppress(re.error):
        return re.fullmatch(pattern, value) is not None
    return True


def main() -> None:
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    md = parser()
    for line in sys.stdin:
        asked = json.loads(line)
        # Both signals end the process: neither is handled.
        signal.setitimer(signal.ITIMER_PROF, asked["seconds"])
        signal.setitimer(signal.ITIMER_REAL, REAL_SECONDS)
        try:
            if "pattern" in asked:
                answer: dict[str, Any] = {"matches": matches(asked["pattern"], asked["value"])}
            else:
                found = html_of(md, asked["text"], asked["references"], inline=asked["inline"])
                answer = {"html": found}
        except (RecursionError, MemoryError):
            md = parser()
            answer = {"refused": True}
        left, _ = signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answer["seconds"] = asked["seconds"] - left
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
