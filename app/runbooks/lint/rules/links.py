"""RB13, RB14, RB21: where links lead."""

import re
from collections.abc import Iterator
from posixpath import normpath
from urllib.parse import unquote, urlsplit

from app.core import markdown
from app.runbooks.format import Step
from app.runbooks.lint.editing import attribute_fix, line_fix, nearest
from app.runbooks.lint.findings import Fix
from app.runbooks.lint.page import Link, Page
from app.runbooks.lint.rule import Problem, quoted
from app.runbooks.rules import kebab

LONGEST_LINK = 500
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}:|//")
# Hosts that are no host of the net, where http is what there is.
LOCAL = re.compile(
    r"(?:localhost|127\.|\[::1\]|10\.|192\.168\.|[^./]+(?:[:/]|$)"
    r"|[^/]*\.(?:svc|local|internal|localhost|test|example)\b)"
)
# What is written there opens for those who have an account, if they find it at night.
PRIVATE = re.compile(
    r"(?:[\w-]+\.)*(?:docs\.google\.com|drive\.google\.com|slack\.com|atlassian\.net|notion\.so"
    r"|notion\.site|sharepoint\.com|dropbox\.com|teams\.microsoft\.com|miro\.com|figma\.com"
    r"|quip\.com|coda\.io)"
)


def links_open(page: Page) -> Iterator[Problem]:
    """RB13"""
    for link in page.links:
        href = link.href[:LONGEST_LINK]
        if not href.lower().startswith(("http://", "https://")):
            continue
        host = href.partition("://")[2]
        if href.lower().startswith("http://") and not LOCAL.match(host.lower()):
            text = page.lines[link.line - 1]
            secure = re.sub(r"http://", "https://", text, flags=re.IGNORECASE)
            fix = line_fix("Use https", link.line, secure) if secure != text else None
            sentence = f"{quoted(href)} can be read and changed on its way: use https."
            yield Problem(link.line, sentence, fix)
        if PRIVATE.fullmatch(_host(href)):
            sentence = (
                f"{quoted(href)} opens only for people with an account there: write here what "
                "has to be known at night."
            )
            yield Problem(link.line, sentence)


def _host(href: str) -> str:
    try:
        return (urlsplit(href).hostname or "").lower()
    except ValueError:
        return ""


def relative_links_exist(page: Page) -> Iterator[Problem]:
    """RB14"""
    slugs, files = page.surroundings.slugs, page.surroundings.files
    for link in page.links:
        path = _path(link)
        if not path:
            continue
        slug = kebab(path.rpartition("/")[2].removesuffix(".md"))
        if path.endswith(".md") and not link.is_picture:
            if slugs is None and files is None:
                continue
            if slug == page.slug or slug in (slugs or ()) or (files is not None and path in files):
                continue
            yield _no_runbook(page, link, path, slug)
        elif files is not None and path not in files:
            what = "picture" if link.is_picture else "file"
            sentence = f"There is no {what} {quoted(path)} beside the runbook: add it, or correct the link."
            yield Problem(link.line, sentence)


def _path(link: Link) -> str:
    """The path of a relative link, or nothing."""
    href = link.href
    if len(href) > LONGEST_LINK or href.startswith(("#", "/", "?")) or SCHEME.match(href):
        return ""
    path = unquote(re.split(r"[?#]", href, maxsplit=1)[0])
    return normpath(path) if path and "\x00" not in path and "{{" not in path else ""


def _no_runbook(page: Page, link: Link, path: str, slug: str) -> Problem:
    meant = nearest(slug, page.surroundings.slugs or ())
    fix = None
    if meant:
        hint = f"write `{meant}.md`, if that is meant"
        name = link.href.rpartition("/")[2].partition("#")[0]
        fix = _link_fix(page, link, link.href.replace(name, f"{meant}.md", 1), f"Link to {meant}")
    else:
        hint = "correct the link, or write that runbook"
    return Problem(link.line, f"There is no runbook {quoted(path)}: {hint}.", fix)


def _link_fix(page: Page, link: Link, href: str, label: str) -> Fix | None:
    text = page.lines[link.line - 1]
    if f"]({link.href})" not in text:
        return None
    return line_fix(label, link.line, text.replace(f"]({link.href})", f"]({href})"))


def targets_exist(page: Page) -> Iterator[Problem]:
    """RB21"""
    for link in page.links:
        if not link.href.startswith("#") or len(link.href) < 2:
            continue
        target = unquote(link.href[1:])
        goes = link.goes
        if target in page.steps_by_id or (
            not goes and (target in page.anchors or markdown.anchor(target) in page.anchors)
        ):
            continue
        yield _no_target(page, link, target, goes=goes)
    for step in page.steps:
        for name in ("undo", "on_fail"):
            target = step.attributes.get(name, "")
            if name in step.attributes and target not in page.steps_by_id:
                yield _no_step(page, step, name, target)


def _no_target(page: Page, link: Link, target: str, *, goes: bool) -> Problem:
    meant = _first_step_below(page, target) if goes else None
    meant = meant or nearest(markdown.anchor(target), page.steps_by_id if goes else page.anchors)
    fix = _link_fix(page, link, f"#{meant}", f"Go to {meant}") if meant else None
    what = "step" if goes else "step or heading"
    hint = f"write `#{meant}`, if that is meant" if meant else f"name a {what} of this file"
    sentence = f"{quoted(link.href)} leads to no {what} of this runbook: {hint}."
    return Problem(link.line, sentence, fix)


def _first_step_below(page: Page, anchor: str) -> str | None:
    """Where a decision may go that names a heading."""
    for section in page.document.sections:
        if markdown.anchor(section.title) == anchor:
            steps = (part for part in section.flow if isinstance(part, Step))
            return next((step.id for step in steps), None)
    return None


def _no_step(page: Page, step: Step, name: str, target: str) -> Problem:
    meant = nearest(target, page.steps_by_id.keys() - {step.id})
    fix = attribute_fix(f"Write {meant}", page, step, name, meant) if meant else None
    hint = f"write `{name}={meant}`, if that is meant" if meant else "name a step, or add one"
    sentence = f"`{name}` names {quoted(target)}, and no step has that id: {hint}."
    return Problem(page.line_of(step), sentence, fix)
