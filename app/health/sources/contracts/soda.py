"""Soda 3: the results of a scan. Freshness is counted in milliseconds.

A check without an outcome did not run. A scan that ended with errors leaves such checks out, so
that what is left proves nothing.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from app.health.sources.base import DatasetReport, UnreadableError
from app.health.sources.contracts.checks import Check, freshness_report, schema_report
from app.health.sources.reading import (
    Given,
    count,
    fields,
    flag,
    items,
    moment_or_none,
    objects,
    text,
)

name = "soda"

OUTCOMES = {"pass": True, "warn": False, "fail": False}
PROMISE = re.compile(r"freshness\([^)]{1,200}\) *< *((?:\d{1,6}[dhms] *){1,4})")
SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def fits(document: Any) -> bool:
    said = fields(document)
    return isinstance(said.get("checks"), list) and "hasFailures" in said


def parse(document: Any, *, given: Given) -> list[DatasetReport]:
    said = fields(document)
    at = moment_or_none(said.get("scanEndTimestamp") or said.get("dataTimestamp"), given.zone)
    is_complete = flag(said.get("hasErrors")) is False and _tells_all(said)
    tables: dict[str, list[Mapping[str, Any]]] = {}
    for check in objects(said.get("checks")):
        tables.setdefault(text(check.get("table"), 160), []).append(check)
    if not is_complete:
        for query in objects(said.get("queries")):
            if table := text(query.get("table"), 160):
                tables.setdefault(table, [])
    if not tables:
        raise UnreadableError("There is no check in this scan.")
    if given.dataset and len(tables) > 1:
        raise UnreadableError("This scan is of several tables: leave the name of the input out.")
    found = []
    for table, checks in tables.items():
        found += _of_table(table, checks, given, at, is_complete=is_complete)
    return found


def _tells_all(said: Mapping[str, Any]) -> bool:
    """Whether every check can be read, and one that failed is there if the scan speaks of one."""
    checks = list(objects(said.get("checks")))
    return len(checks) == len(items(said.get("checks"))) and (
        flag(said.get("hasFailures")) is False
        or any(text(check.get("outcome")) == "fail" for check in checks)
    )


def _of_table(
    table: str,
    checks: Sequence[Mapping[str, Any]],
    given: Given,
    at: datetime | None,
    *,
    is_complete: bool,
) -> list[DatasetReport]:
    of_freshness = [check for check in checks if _is_freshness(check)]
    others = [check for check in checks if not _is_freshness(check)]
    found = [_freshness(check, table, given, at) for check in of_freshness]
    if others or not of_freshness:
        found.append(
            schema_report(
                given,
                [_check(check) for check in others],
                dataset=table,
                format=name,
                checked_at=at,
                rows=_rows(others),
                is_complete=is_complete,
                remark="" if is_complete else "the scan did not tell of all its checks",
            )
        )
    return found


def _is_freshness(check: Mapping[str, Any]) -> bool:
    return text(check.get("name")).startswith("freshness(") or (
        text(fields(check.get("diagnostics")).get("measure")) == "time"
    )


def _check(said: Mapping[str, Any]) -> Check:
    outcome = text(said.get("outcome"))
    # Its name may hold a value that was typed into the check, as in values in (…).
    called = text(said.get("name"), 200).partition("(")[0].partition("=")[0].strip()[:60]
    column = text(said.get("column"), 60)
    return Check(
        (f"{called} on {column}" if column else called) or "check",
        OUTCOMES.get(outcome),
        is_warning=outcome == "warn",
    )


def _rows(checks: Sequence[Mapping[str, Any]]) -> float | None:
    for check in checks:
        if text(check.get("name")).startswith("row_count"):
            return count(fields(check.get("diagnostics")).get("value"))
    return None


def _freshness(
    said: Mapping[str, Any], table: str, given: Given, at: datetime | None
) -> DatasetReport:
    diagnostics = fields(said.get("diagnostics"))
    loaded_at = moment_or_none(diagnostics.get("maxColumnTimestampUtc"))
    milliseconds = count(diagnostics.get("value"))
    if loaded_at is None and milliseconds is not None and milliseconds < 1e14:
        loaded_at = (at or given.received_at) - timedelta(milliseconds=milliseconds)
    if text(said.get("outcome")) not in OUTCOMES:
        loaded_at = None
    return freshness_report(
        given,
        dataset=table,
        format=name,
        loaded_at=loaded_at,
        checked_at=at,
        fresh_within=_promised(text(said.get("name"), 300)),
    )


def _promised(words: str) -> int | None:
    """The seconds in freshness(updated_at) < 1d6h."""
    found = PROMISE.match(words)
    if found is None:
        return None
    parts = re.findall(r"(\d+)([dhms])", found[1])
    return sum(int(many) * SECONDS[unit] for many, unit in parts) or None
