"""Where features above this one say what happened to a model: the ribbon under a chart.

    add_marks(app, changes_of)

A feature gives what it knows of one model between two moments; charts draw it as dotted verticals.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Flask, current_app


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened to a model, or to what serves it."""

    at: datetime
    text: str  # as in: Deploy feature-gateway 8.14.2
    kind: str  # change, incident, rollout or retrain
    url: str = ""
    until: datetime | None = None  # of what lasts, as an incident does


Marks = Callable[[int, datetime, datetime], Sequence[Mark]]  # of a model's id, between two moments


def add_marks(app: Flask, marks: Marks) -> None:
    app.extensions.setdefault("health_marks", []).append(marks)


def marks_of(model_id: int, since: datetime, until: datetime) -> list[Mark]:
    """What all features know of the model, oldest first."""
    sources: list[Marks] = current_app.extensions.get("health_marks", [])
    found = [mark for marks in sources for mark in marks(model_id, since, until)]
    return sorted(found, key=lambda mark: mark.at)
