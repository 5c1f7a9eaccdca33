"""What Baton asks of whoever can measure a step. Readings belong to a feature above."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import current_app


@dataclass(frozen=True, slots=True)
class Sensed:
    """What a sensor says of a step. Whoever registers a sensor gives this."""

    holds: bool | None  # None: the source does not answer
    reading: str  # as in: 441 ms
    target: str  # as in: under 60 ms for 3 min
    source: str
    at: datetime


# app.extensions["sensor"]: takes the model's name and what the step says; None: can't be measured.
Sensor = Callable[[str | None, Mapping[str, Any]], Sensed | None]


def sensor() -> Sensor | None:
    """The one that is registered."""
    found: Sensor | None = current_app.extensions.get("sensor")
    return found
