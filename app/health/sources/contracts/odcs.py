"""ODCS 3.1, the Open Data Contract Standard: what was promised. It has looked at nothing.

Baton joins the promise to what the checks of others find.
"""

from collections.abc import Mapping
from typing import Any

from app.health.sources.base import DatasetReport, UnreadableError
from app.health.sources.contracts.checks import dataset_of
from app.health.sources.reading import Given, fields, number_in, objects, remark_of, text

name = "odcs"

# What promises how old the data may be, the best first.
PROPERTIES = ("freshness", "latency", "ly", "frequency", "fy")
SECONDS = {
    "s": 1, "sec": 1, "second": 1, "seconds": 1, "m": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3_600, "hr": 3_600, "hour": 3_600, "hours": 3_600, "d": 86_400, "day": 86_400,
    "days": 86_400, "w": 604_800, "week": 604_800, "weeks": 604_800, "y": 31_536_000,
    "yr": 31_536_000, "year": 31_536_000, "years": 31_536_000,
}  # fmt: skip


def fits(document: Any) -> bool:
    said = fields(document)
    return said.get("kind") == "DataContract" and "apiVersion" in said


def parse(document: Any, *, given: Given) -> list[DatasetReport]:
    said = fields(document)
    tables = list(objects(said.get("schema")))
    if not tables:
        raise UnreadableError("The contract has no schema, so nothing says which data it is about.")
    if given.dataset and len(tables) > 1:
        raise UnreadableError("The contract is about several tables: leave the input's name out.")
    role = next(
        (one for one in objects(said.get("roles")) if text(one.get("access")) == "read"),
        next(objects(said.get("roles")), {}),
    )
    contract = " ".join(
        part for part in (text(said.get("name")) or text(said.get("id")), text(said.get("version")))
        if part
    )  # fmt: skip
    return [
        DatasetReport(
            dataset=dataset_of(
                given, text(table.get("physicalName"), 160) or text(table.get("name"), 160)
            ),
            checked_at=given.received_at,
            format=name,
            fresh_within=_promised(said, table),
            access_role=text(role.get("role")),
            access_approver=text(role.get("firstLevelApprovers")),
            contract=text(contract),
            remark=remark_of(text(said.get("status"))),
        )
        for table in tables
    ]


def _promised(said: Mapping[str, Any], table: Mapping[str, Any]) -> int | None:
    """The seconds that the data of a table may be old."""
    names = {text(table.get(key), 160) for key in ("name", "physicalName")} - {""}
    by_property: dict[str, int] = {}
    for one in objects(said.get("slaProperties")):
        element = text(one.get("element"), 400)
        if element and not any(
            element == known or element.startswith(f"{known}.") for known in names
        ):
            continue
        seconds = _seconds(one)
        if seconds is not None:
            by_property.setdefault(text(one.get("property")).lower(), seconds)
    return next((by_property[known] for known in PROPERTIES if known in by_property), None)


def _seconds(said: Mapping[str, Any]) -> int | None:
    many, unit = number_in(said.get("value")), SECONDS.get(text(said.get("unit")))
    if many is None or unit is None or not 0 < many * unit < 10 * 31_536_000:
        return None
    return int(many * unit) or None
