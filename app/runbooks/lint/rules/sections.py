"""RB03 to RB09, RB15, RB19, RB34: whether the parts are there, and in bearable order."""

import re
from collections.abc import Iterator

from app.runbooks.format import CHECKS, STEPS, Section, role_of
from app.runbooks.lint.editing import front_matter_fix
from app.runbooks.lint.page import Page
from app.runbooks.lint.rule import Problem, quoted
from app.runbooks.rules import MODEL_OWNER, StepKind

MOST_WORDS = 1_200
MOST_STEPS = 9

GRAVE = re.compile(
    r"\b(?:outage|data loss|all (?:users|customers|requests|traffic)|for everybody"
    r"|(?:service|site|everything|model) is down|completely (?:down|unavailable))\b",
    re.IGNORECASE,
)
SLIGHT = re.compile(
    r"\b(?:no (?:user |customer )?impact|nobody notices|no one notices|cosmetic"
    r"|nothing is (?:down|lost|broken)|(?:users|customers) (?:do not|don't) notice)\b",
    re.IGNORECASE,
)


def says_who_is_next(page: Page) -> Iterator[Problem]:
    """RB03"""
    if page.document.facts.escalate_to or page.sections("stop"):
        return
    if page.has_kind(StepKind.ESCALATE):
        return
    label = "Escalate to the owner of the model"
    fix = None
    if "escalate_to" not in page.front.keys:
        fix = front_matter_fix(label, page, [f"escalate_to: {MODEL_OWNER}"])
    sentence = (
        "Nobody is named who helps when this does not: add `escalate_to` or a section "
        "Stop and escalate if."
    )
    yield Problem(page.top, sentence, fix)


def says_when_it_is_over(page: Page) -> Iterator[Problem]:
    """RB04"""
    if not page.sections("verify") and not page.has_kind(StepKind.VERIFY):
        sentence = "Nothing says when it is over: add a section Verify with what must hold again."
        yield Problem(page.top, sentence)


def says_who_suffers(page: Page) -> Iterator[Problem]:
    """RB06"""
    if not page.sections("impact"):
        sentence = "Nothing says who notices what: add a section Impact of a line or two."
        yield Problem(page.top, sentence)


def acts(page: Page) -> Iterator[Problem]:
    """RB07"""
    if page.has_kind(StepKind.ACTION) or _has_section(page, STEPS.kind):
        return
    sentence = "Nothing says what to do about it: add a section Steps or Mitigation with actions."
    yield Problem(page.top, sentence)


def looks_first(page: Page) -> Iterator[Problem]:
    """RB08"""
    if not page.has_kind(StepKind.CHECK, StepKind.DECISION) and not _has_section(page, CHECKS.kind):
        sentence = (
            "Nothing says how to find the cause: add checks that change nothing, before acting."
        )
        yield Problem(page.top, sentence)


def _has_section(page: Page, kind: StepKind) -> bool:
    return any(
        role_of(section.title).name == STEPS.name and role_of(section.title).kind is kind
        for section in page.document.sections
    )


def can_be_followed(page: Page) -> Iterator[Problem]:
    """RB09"""
    if not page.steps and not page.codes:
        sentence = (
            "There is no step and no command, so this is a page to read: number what has to be "
            "done, or mark headings as steps."
        )
        yield Problem(page.top, sentence)


def is_short(page: Page) -> Iterator[Problem]:
    """RB15"""
    words = 0
    too_long = len(page.parsed.body.split()) > MOST_WORDS
    for line, text in page.text_lines() if too_long else ():
        words += len(text.split())
        if words > MOST_WORDS:
            sentence = (
                f"The text has more than {MOST_WORDS:,} words from here on: cut it, or split it "
                "into two runbooks, because nobody reads more at night."
            )
            yield Problem(line, sentence)
            break
    for section in page.document.sections:
        steps = [part for part in section.flow if not isinstance(part, str)]
        if len(steps) > MOST_STEPS:
            sentence = (
                f"{quoted(section.title)} has {len(steps)} steps: split it after the ninth at most, "
                "because more are not kept in mind."
            )
            yield Problem(steps[MOST_STEPS].place.start, sentence)


def headings_nest(page: Page) -> Iterator[Problem]:
    """RB19"""
    level, first_title = 1, 0
    seen: dict[str, int] = {}
    for heading in page.headings:
        words = " ".join(heading.plain.split()).casefold()
        if heading.level == 1 and first_title:
            sentence = (
                f"A second title stands here, after that of line {first_title}: make it a heading "
                "of level 2."
            )
            yield Problem(heading.line, sentence)
        elif heading.level > level + 1:
            sentence = (
                f"The heading goes from level {level} to {heading.level}: make it level "
                f"{level + 1}, or add the one between."
            )
            yield Problem(heading.line, sentence)
        if words and words in seen:
            sentence = (
                f"{quoted(heading.plain)} is a heading in line {seen[words]} as well: tell them "
                "apart, because links find only the first."
            )
            yield Problem(heading.line, sentence)
        seen.setdefault(words, heading.line)
        level = heading.level
        first_title = first_title or (heading.line if level == 1 else 0)


def severity_fits_impact(page: Page) -> Iterator[Problem]:
    """RB34: words that are seldom meant together. Whether the texts agree is for a reviewer."""
    severity = page.document.facts.severity
    for section in page.sections("impact"):
        line, text = section.line, _words_of(section)
        if severity in (1, 2) and (found := SLIGHT.search(text)) and not GRAVE.search(text):
            sentence = (
                f"The severity is sev{severity} and Impact says {quoted(found[0])}: lower the one "
                "or correct the other."
            )
            yield Problem(line, sentence)
        elif severity in (3, 4) and (found := GRAVE.search(text)) and not SLIGHT.search(text):
            sentence = (
                f"The severity is sev{severity} and Impact says {quoted(found[0])}: raise the one "
                "or correct the other."
            )
            yield Problem(line, sentence)
        meaning = " ".join(_words_of(section) for section in page.sections("when"))
        if (grave := GRAVE.search(meaning)) and SLIGHT.search(text) and not GRAVE.search(text):
            sentence = (
                f"Impact says that little happens and the sections above say {quoted(grave[0])}: "
                "correct one of them."
            )
            yield Problem(line, sentence)


def _words_of(section: Section) -> str:
    return " ".join(part for part in section.flow if isinstance(part, str))
