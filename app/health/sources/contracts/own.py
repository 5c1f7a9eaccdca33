"""Baton's own small reports: of freshness, of access, and of a schema.

They are for data steps that look for themselves: when was it loaded, may this role read it, and
is it shaped as agreed. What goes wrong is named by a check and a column, not quoted.
"""

from typing import Any

from app.health.rules import Lane
from app.health.sources.base import DatasetReport, UnreadableError
from app.health.sources.contracts.checks import (
    Check,
    checked_at_of,
    dataset_of,
    freshness_report,
    schema_report,
)
from app.health.sources.reading import (
    Given,
    count,
    day,
    fields,
    moment,
    objects,
    text,
)

name = "baton"

MAX_PROMISE = 10 * 31_536_000  # seconds


def fits(document: Any) -> bool:
    said = fields(document)
    return "loaded_at" in said or "granted" in said or "ok" in said


def parse(document: Any, *, given: Given) -> list[DatasetReport]:
    said = fields(document)
    if "loaded_at" in said:
        promised = count(said.get("expected_every_s"))
        return [
            freshness_report(
                given,
                dataset="",
                format=name,
                loaded_at=moment(said.get("loaded_at"), given.zone, "loaded_at"),
                fresh_within=int(promised) if promised and 1 <= promised < MAX_PROMISE else None,
            )
        ]
    if "granted" in said:
        return [_access(said, given)]
    if "ok" in said:
        return [_schema(said, given)]
    raise UnreadableError(
        "A report of an input has loaded_at (freshness), granted (access) or ok (schema)."
    )


def _access(said: Any, given: Given) -> DatasetReport:
    granted = said.get("granted") if isinstance(said.get("granted"), bool) else None
    role = text(said.get("role"))
    remark = "" if granted else f"{role or 'the reader'} may not read it"
    return DatasetReport(
        dataset=dataset_of(given, ""),
        checked_at=checked_at_of(given, None),
        format=name,
        about=Lane.ACCESS,
        access_ok=granted,
        access_role=role,
        access_approver=text(said.get("approver")),
        access_reviewed_on=day(said.get("reviewed_on")),
        remark="it does not say whether access is granted" if granted is None else remark,
    )


def _schema(said: Any, given: Given) -> DatasetReport:
    ok = said.get("ok") if isinstance(said.get("ok"), bool) else None
    broken = [
        Check(f"{text(one.get('check'), 60) or 'check'} on {text(one.get('column'), 60)}", False)
        for one in objects(said.get("errors"))
    ]
    checks = broken or [Check("all", None)]
    if ok is True and not said.get("errors"):
        checks = [Check("all", True)]
    elif ok is False and not broken:
        checks = [Check("schema", False)]
    return schema_report(given, checks, dataset="", format=name, rows=count(said.get("rows")))
