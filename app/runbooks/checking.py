"""What stands between a text and its publication: findings, and who has to read it first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from app.runbooks.compare import Comparison, compare
from app.runbooks.format import Document, alertnames_in, read
from app.runbooks.lint import RULES, Finding, Level, lint
from app.runbooks.linting import surroundings_of
from app.runbooks.rules import why_second_person, worst_severity
from app.runbooks.tables import RunbookVersion


@dataclass(frozen=True, slots=True)
class Checked:
    """A text, held against the rules and against what is published."""

    document: Document
    findings: Sequence[Finding]
    comparison: Comparison | None  # with what is published
    severity: int | None  # the worse of before and after
    risky_change: bool

    @property
    def errors(self) -> list[Finding]:
        return [one for one in self.findings if one.level is Level.ERROR]

    @property
    def warnings(self) -> list[Finding]:
        return [one for one in self.findings if one.level is not Level.ERROR]

    @property
    def passed(self) -> int:
        """How many rules have nothing to say."""
        return len(RULES) - len({one.rule for one in self.findings})

    @property
    def second_person(self) -> str | None:
        """Why a second person has to approve it, in a clause."""
        return why_second_person(self.severity, self.risky_change)


def check(
    slug: str,
    source: bytes,
    published: RunbookVersion | None,
    *,
    today: date,
    document: Document | None = None,
) -> Checked:
    """Hold a text against the rules, and against the version that it would take the place of.

    `document` is the text as it was read, by whoever has done so already.
    """
    after = document or read(source, f"{slug}.md")
    before = document_of(slug, published.source) if published else None
    comparison = compare(before, after) if before else None
    if comparison is not None:
        risky = comparison.changes_a_risky_step
    else:
        risky = any(step.risk == "high" for step in after.steps)
    return Checked(
        document=after,
        findings=findings_of(slug, source, today=today),
        comparison=comparison,
        severity=worst_severity(after.facts.severity, before.facts.severity if before else None),
        risky_change=risky,
    )


@lru_cache(maxsize=64)
def document_of(slug: str, source: bytes) -> Document:
    """A text that stays the same while somebody types: it is read once, not at every pause."""
    return read(source, f"{slug}.md")


def findings_of(slug: str, source: bytes, *, today: date) -> Sequence[Finding]:
    around = surroundings_of(slug, alertnames=alertnames_in(source), today=today)
    return lint(source, slug=slug, surroundings=around)


def refusal_by_findings(errors: int) -> str | None:
    """Say that findings block publishing."""
    if not errors:
        return None
    return f"Publish opens when the {'error is' if errors == 1 else f'{errors} errors are'} fixed."
