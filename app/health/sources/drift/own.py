"""Baton's own small report: a method, a value, a threshold and the side on which it is outside.

For senders that compare by themselves. Without a value there is no verdict, without a side
neither.
"""

from typing import Any

from app.health.rules import Lane
from app.health.sources.base import Part, Report, UnreadableError
from app.health.sources.drift.reports import report
from app.health.sources.reading import Given, fields, flag, number, objects, rows_of, text

name = "baton"

SIDES = {"above": True, "below": False}


def fits(document: Any) -> bool:
    said = fields(document)
    return "method" in said and "value" in said


def parse(document: Any, *, given: Given) -> list[Report]:
    said = fields(document)
    if not (method := text(said.get("method"))):
        raise UnreadableError("A report names its method, as in jensenshannon.")
    value, threshold = number(said.get("value")), number(said.get("threshold"))
    if said.get("value") is not None and value is None:
        raise UnreadableError("The value of a report is a number, or null if there is none.")
    if (direction := said.get("direction")) is not None and text(direction) not in SIDES:
        raise UnreadableError("The direction of a report is above or below.")
    side = SIDES.get(text(direction))
    verdict = None
    if value is not None and threshold is not None and side is not None:
        verdict = value > threshold if side else value < threshold
    return [
        report(
            given,
            kind=Lane.INPUT_DRIFT,
            format=name,
            method=method,
            value=value,
            threshold=threshold,
            is_above=side,
            said_outside=verdict,
            parts=[
                Part(
                    text(part.get("name")) or "unnamed",
                    text(part.get("method")),
                    number(part.get("value")),
                    number(part.get("threshold")),
                    flag(part.get("outside")),
                )
                for part in objects(said.get("parts"))
            ],
            rows=rows_of(said.get("rows")),
        )
    ]
