"""Great Expectations 1.x and 0.x: a validation result, or a checkpoint's result with several.

An expectation that raised an exception was not checked, whatever `success` says. Lists of
unexpected values are the data itself: only counts are read.
"""

from collections.abc import Mapping
from typing import Any

from app.health.sources.base import DatasetReport, UnreadableError
from app.health.sources.contracts.checks import Check, schema_report
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

name = "great_expectations"


def fits(document: Any) -> bool:
    said = fields(document)
    if isinstance(said.get("run_results"), dict):
        return True
    results = objects(said.get("results"))
    return "success" in said and any("expectation_config" in one for one in results)


def parse(document: Any, *, given: Given) -> list[DatasetReport]:
    said = fields(document)
    results = [said]
    if isinstance(said.get("run_results"), dict):
        runs = [fields(run) for run in said["run_results"].values()]
        results = [fields(run.get("validation_result", run)) for run in runs]
    if not any(isinstance(one.get("results"), list) for one in results):
        raise UnreadableError("There is no list of results in this validation.")
    return [_report(one, given) for one in results]


def _report(said: Mapping[str, Any], given: Given) -> DatasetReport:
    results = list(objects(said.get("results")))
    meta = fields(said.get("meta"))
    batch = fields(meta.get("active_batch_definition")) or fields(meta.get("batch_kwargs"))
    sizes = [count(fields(one.get("result")).get("element_count")) for one in results]
    is_whole = len(results) == len(items(said.get("results"))) and (
        flag(said.get("success")) is True or any(one.get("success") is False for one in results)
    )
    return schema_report(
        given,
        [_check(one) for one in results],
        dataset=text(batch.get("data_asset_name") or batch.get("table"), 160)
        or text(said.get("suite_name") or meta.get("expectation_suite_name"), 160),
        format=name,
        checked_at=moment_or_none(
            meta.get("validation_time")
            or fields(meta.get("run_id")).get("run_time")
            or fields(meta.get("batch_markers")).get("ge_load_time"),
            given.zone,
        ),
        rows=max((size for size in sizes if size is not None), default=None),
        is_complete=is_whole,
    )


def _check(said: Mapping[str, Any]) -> Check:
    config = fields(said.get("expectation_config"))
    expected = text(config.get("type") or config.get("expectation_type"), 60) or "expectation"
    column = text(fields(config.get("kwargs")).get("column"), 60)
    passed = said.get("success") if isinstance(said.get("success"), bool) else None
    if _raised(said.get("exception_info")):
        passed = None
    return Check(
        f"{expected} on {column}" if column else expected,
        passed,
        is_warning=text(config.get("severity")) in ("warning", "info"),
    )


def _raised(said: Any) -> bool:
    """1.x has one object with the flag, or one such object for each metric that broke."""
    info = fields(said)
    flags = [one.get("raised_exception", False) for one in (info, *map(fields, info.values()))]
    return any(flag(one) is not False for one in flags)
