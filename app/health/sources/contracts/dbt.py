"""dbt: `target/sources.json`, versions 1 to 3.

A source whose check broke is left out or has a status of its own: neither is fresh.
"""

from collections.abc import Mapping
from typing import Any

from app.health.sources.base import DatasetReport, UnreadableError
from app.health.sources.contracts.checks import freshness_report, missing
from app.health.sources.reading import (
    AHEAD,
    Given,
    count,
    fields,
    moment,
    moment_or_none,
    objects,
    text,
)

name = "dbt"

SECONDS = {"minute": 60, "hour": 3_600, "day": 86_400}
KNOWN = ("pass", "warn", "error")


def fits(document: Any) -> bool:
    said = fields(document)
    schema = text(fields(said.get("metadata")).get("dbt_schema_version"), 200)
    return "/sources/" in schema and isinstance(said.get("results"), list)


def parse(document: Any, *, given: Given) -> list[DatasetReport]:
    said = fields(document)
    at = moment(fields(said.get("metadata")).get("generated_at"), given.zone, "generated_at")
    found = [_report(result, given, at) for result in objects(said.get("results"))]
    seen = {one.dataset for one in found}
    found += [missing(given, name_, name) for name_ in given.expected if name_ not in seen]
    if not found:
        raise UnreadableError("There is no source in this sources.json.")
    return found


def _report(said: Mapping[str, Any], given: Given, at: Any) -> DatasetReport:
    status = text(said.get("status"))
    criteria = fields(said.get("criteria"))
    error, warn = _seconds(criteria.get("error_after")), _seconds(criteria.get("warn_after"))
    loaded_at = moment_or_none(said.get("max_loaded_at"), given.zone)
    remark = ""
    if status == "warn" and warn is not None:
        remark = f"older than the {warn // 60:,} min at which it warns"
    if loaded_at is not None and loaded_at > given.received_at + AHEAD:
        # The clock of one database must not keep the others from being read.
        loaded_at, remark = None, "by its clock the last load is still to come"
    if status not in KNOWN:
        loaded_at, remark = None, "dbt could not check it"
    return freshness_report(
        given,
        dataset=_called(text(said.get("unique_id"), 400)),
        format=name,
        loaded_at=loaded_at,
        checked_at=moment_or_none(said.get("snapshotted_at"), given.zone) or at,
        fresh_within=error if error is not None else warn,
        remark=remark,
    )


def _called(unique_id: str) -> str:
    """source.project.schema.table is schema.table."""
    parts = unique_id.split(".")
    return ".".join(parts[2:]) if parts[0] == "source" and len(parts) > 3 else unique_id


def _seconds(said: Any) -> int | None:
    many, period = count(fields(said).get("count")), text(fields(said).get("period"))
    if not many or period not in SECONDS or many > 100_000:
        return None
    return int(many * SECONDS[period])
