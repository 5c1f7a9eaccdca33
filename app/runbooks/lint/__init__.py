"""What is wrong with a runbook, line by line, and how to mend it.

Pure: what the text alone can't say comes in as `Surroundings`. For the database there is
`app.runbooks.linting`, for files the command `baton runbooks lint`.
"""

from itertools import islice

from app.core.errors import RefusedError
from app.runbooks.lint.findings import Finding, Fix, Level, apply, as_warnings, has_errors
from app.runbooks.lint.page import page_of
from app.runbooks.lint.rules import RULES
from app.runbooks.lint.surroundings import Surroundings

MOST_OF_ONE_RULE = 50
NOTHING_KNOWN = Surroundings()


def lint(source: bytes, *, slug: str, surroundings: Surroundings = NOTHING_KNOWN) -> list[Finding]:
    """All findings in the order of the file. Never raises."""
    try:
        page = page_of(source, slug, surroundings)
    except RefusedError as error:
        return [Finding("RB01", Level.ERROR, 1, error.sentence)]
    found = [
        Finding(
            rule.id,
            Level.WARNING if problem.is_minor else rule.level,
            problem.line,
            problem.sentence,
            problem.fix,
        )
        for rule in RULES
        for problem in islice(rule.check(page), MOST_OF_ONE_RULE)
    ]
    # What is wrong twice in one line is said once.
    return sorted(dict.fromkeys(found), key=lambda finding: (finding.line, finding.rule))


__all__ = [
    "NOTHING_KNOWN",
    "RULES",
    "Finding",
    "Fix",
    "Level",
    "Surroundings",
    "apply",
    "as_warnings",
    "has_errors",
    "lint",
]
