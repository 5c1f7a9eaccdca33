"""A text in the editor as it will be read: with the values of an incident, of a model, or made up.

Incidents belong to a feature above. It says which there are to try, and what is known of one,
through `app.extensions["incidents_to_try"]` and `app.extensions["known_of_incident"]`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flask import current_app

from app.registry import queries as registry
from app.runbooks.filling import check_value, fill_html, values_at_start
from app.runbooks.front_matter import Facts, Variable
from app.runbooks.runs.commands import command
from app.runbooks.runs.drills.queries import models_for

NAMES = "names"  # nothing is filled in
EXAMPLE = "example"
MOST_MODELS = 5

IncidentsToTry = Callable[[str | None], Sequence[tuple[int, str]]]
KnownOfIncident = Callable[[int], Mapping[str, str] | None]

# Of variables that nothing else is known of: by where they come from, and by the end of it.
EXAMPLES = {
    "incident.id": "214",
    "incident.model": "recsys-home",
    "incident.severity": "sev2",
    "incident.team": "serving",
    "incident.title": "p99 latency is above its limit",
    "cluster": "prod-eu1",
    "instance": "10.0.0.7",
    "model": "recsys-home",
    "model_version": "v42",
    "namespace": "serving",
    "node": "node-7",
    "pod": "recsys-home-7d9f",
    "region": "eu1",
    "service": "recsys-home",
    "version": "v42",
    "window": "10m",
}
PLAIN = ("example", "v42", "10m", "10", "0.5", "2026-01-31", "https://example.com")


@dataclass(frozen=True, slots=True)
class Choice:
    """What the variables can be filled with, as a field offers it."""

    value: str
    label: str


def choices(said: Facts) -> list[Choice]:
    """What fits the runbook best comes first."""
    to_try: IncidentsToTry | None = current_app.extensions.get("incidents_to_try")
    incidents = to_try(said.failure_mode) if to_try else ()
    return [
        *(Choice(f"incident:{number}", label) for number, label in incidents),
        *(Choice(f"model:{slug}", slug) for slug in models_for(said)[:MOST_MODELS]),
        Choice(EXAMPLE, "Example values"),
        Choice(NAMES, "Nothing, show the names"),
    ]


def values_as(chosen: str, said: Facts) -> dict[str, str]:
    """The values of a choice. What is made up is only there where no incident speaks."""
    kind, _, what = chosen.partition(":")
    if kind == NAMES:
        return {}
    if kind == "incident" and (known := _known_of_incident(what)) is not None:
        return values_at_start(said.variables, known)
    known = _known_of_model(what) if kind == "model" else {}
    return _examples(said) | values_at_start(said.variables, known)


def _known_of_incident(number: str) -> Mapping[str, str] | None:
    known_of: KnownOfIncident | None = current_app.extensions.get("known_of_incident")
    if known_of is None or not (number.isascii() and number.isdigit() and len(number) < 10):
        return None
    return known_of(int(number))


def _known_of_model(slug: str) -> Mapping[str, str]:
    return {
        name: value
        for model in registry.models_called([slug])
        for name, value in (("incident.model", model.slug), ("incident.team", model.team.slug))
    }


def _examples(said: Facts) -> dict[str, str]:
    found = {one.name: _example(one, said) for one in said.variables if not one.secret}
    return {name: value for name, value in found.items() if value}


def _example(variable: Variable, said: Facts) -> str | None:
    """A value that the variable can have; none where its pattern is too special to guess."""
    source = variable.source or variable.name
    likely = (
        variable.default,
        *variable.choices[:1],
        said.failure_mode if source == "incident.failure_mode" else None,
        EXAMPLES.get(source) or EXAMPLES.get(source.rpartition(".")[2]),
        EXAMPLES.get(variable.name),
        *PLAIN,
    )
    return next((one for one in likely if one and _fits(variable, one)), None)


@lru_cache(maxsize=2048)
def _fits(variable: Variable, value: str) -> bool:
    # Asked again at every pause of somebody who writes.
    return check_value(variable, value) is None


def without_value(said: Facts, values: Mapping[str, str]) -> list[str]:
    """The variables that stay as they are. A secret one is asked for when it is needed."""
    return [one.name for one in said.variables if not one.secret and one.name not in values]


def filled(parts: Any, values: Mapping[str, str], variables: Sequence[Variable]) -> Any:
    """The parts of a rendered text with the values in them, its commands as they are copied."""
    match parts:
        case {"kind": "command"}:
            shown = command(parts, 0, values, variables)
            return parts | {"html": shown.html, "copied": shown.filled.text or parts["copied"]}
        case str():
            return fill_html(parts, values)
        case list():
            return [filled(part, values, variables) for part in parts]
        case dict():
            # The title of a step is HTML, that of a section plain text.
            html = {"html", "intro", "title"} if "blocks" in parts else {"html", "intro"}
            return {
                name: filled(part, values, variables)
                if name in html or isinstance(part, list | dict)
                else part
                for name, part in parts.items()
            }
    return parts
