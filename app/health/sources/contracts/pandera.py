"""pandera: the report of `SchemaErrors`, by level and reason.

Its messages quote failing values, so that only columns and the names of checks are read. A pass
has no report; whoever sends one says SCHEMA and DATA, both empty.
"""

from typing import Any

from app.health.sources.base import DatasetReport, UnreadableError
from app.health.sources.contracts.checks import Check, schema_report
from app.health.sources.reading import Given, count, fields, items, text

name = "pandera"

LEVELS = ("SCHEMA", "DATA")
NOT_RUN = ("CHECK_ERROR",)  # the check itself broke


def fits(document: Any) -> bool:
    said = fields(document)
    return any(isinstance(said.get(level), dict) for level in LEVELS)


def parse(document: Any, *, given: Given) -> list[DatasetReport]:
    said = fields(document)
    if not fits(said):
        raise UnreadableError("A report of pandera has SCHEMA or DATA.")
    checks, schema = [], ""
    for level in LEVELS:
        for reason, errors in fields(said.get(level)).items():
            passed = None if reason in NOT_RUN else False
            for error in items(errors):
                schema = schema or text(fields(error).get("schema"), 160)
                checks.append(Check(_called(fields(error), text(reason, 60)), passed))
            if not items(errors):
                checks.append(Check(text(reason, 60), None))
    is_complete = all(isinstance(said.get(level), dict) for level in LEVELS)
    if not checks and is_complete:
        checks = [Check("all", passed=True)]
    return [
        schema_report(
            given,
            checks,
            dataset=schema,
            format=name,
            rows=count(said.get("rows")),
            is_complete=is_complete,
        )
    ]


def _called(error: Any, reason: str) -> str:
    """As in: greater_than on price. What stands in brackets may be anything."""
    check = text(error.get("check"), 200).partition("(")[0][:60] or reason
    column = text(error.get("column"), 60)
    return f"{check} on {column}" if column else check
