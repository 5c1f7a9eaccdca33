"""A file of sources and panels, as YAML or JSON: read into entries, and written from what is kept.

A file holds no secrets. Every problem is told with the line that it is in.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from app.core import plain_yaml
from app.health.panel_drafts import RULE
from app.health.rules import Lane
from app.health.schemas import (
    Address,
    Every,
    FailureMode,
    Plain,
    RulePatch,
    Seconds,
    Severity,
    Slug,
    SourceName,
    Title,
    Unit,
)
from app.health.tables import HealthSource, Panel
from app.web.texts import Strict

FORMAT = "health/1"
MAX_BYTES = 2 * 1024 * 1024
MAX_SOURCES, MAX_PANELS, MAX_PROBLEMS = 1_000, 10_000, 50

EXAMPLE = """\
format: health/1
sources:
  serving-prod:                 # its slug; the sign-in is set on its page, never in a file
    name: Serving prod
    kind: openmetrics
    url: http://serving.example.com:9000/metrics
    every: 30
models:
  shop-similar:
    presets:                    # all panels of a preset, but for some
      - use: recommender
        source: serving-prod
        without: [gpu]
    panels:
      p99:                      # changes what the preset says
        rule: {above: 120, clear: 110}
      checkout-p95:             # or a panel in full
        title: p95 latency of the checkout
        lane: latency
        source: serving-prod
        unit: ms
        window: 300             # seconds
        spec: {stat: quantile, metric: checkout_seconds, q: 0.95, scale: 1000}
        rule: {above: 250, clear: 225, k: 3, n: 5, min_rows: 50, stale_after: 300}
        failure_mode: latency_regression
        severity: 3
"""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and in which line of the file."""

    sentence: str
    line: int | None = None

    def __str__(self) -> str:
        return self.sentence if self.line is None else f"Line {self.line}: {self.sentence}"


class SourceInFile(Strict):
    name: SourceName
    kind: str = Field(max_length=40)
    url: Address
    every: Every = 30
    options: Plain = {}


class PanelInFile(Strict):
    """What is left out is what its preset says, or what the panel is now."""

    preset: str | None = Field(None, max_length=60)
    made_from: str | None = Field(None, max_length=60)  # the preset that it once was
    name: str = Field("", max_length=200)  # of the model at its server, for the preset
    source: Slug | None = None
    title: Title | None = None
    lane: Lane | None = None
    unit: Unit | None = None
    window: Seconds | None = None
    spec: Plain | None = None
    rule: RulePatch | None = None
    failure_mode: FailureMode | None = None
    severity: Severity | None = None


class PresetInFile(Strict):
    use: str = Field(max_length=60)
    source: Slug
    name: str = Field("", max_length=200)
    without: list[str] = Field([], max_length=50)


class ModelInFile(Strict):
    presets: list[PresetInFile] = Field([], max_length=10)
    panels: dict[Slug, PanelInFile] = {}

    @field_validator("panels")
    @classmethod
    def _have_addresses(cls, panels: dict[str, PanelInFile]) -> dict[str, PanelInFile]:
        if "new" in panels:
            raise ValueError("new is the address of a form. Give the panel another slug.")
        return panels


class FileIn(Strict):
    format: Literal["health/1"]
    sources: dict[Slug, SourceInFile] = Field({}, max_length=MAX_SOURCES)
    models: dict[str, ModelInFile] = Field({}, max_length=MAX_PANELS)


@dataclass(frozen=True, slots=True)
class PanelFile:
    """What a file says, and where it says it."""

    sources: Mapping[str, SourceInFile] = field(default_factory=dict)
    models: Mapping[str, ModelInFile] = field(default_factory=dict)
    lines: "Lines | None" = None

    def line(self, *path: str | int) -> int | None:
        return self.lines.of(path) if self.lines else None


@dataclass(frozen=True, slots=True)
class Lines:
    """The line of each place in a YAML document."""

    root: yaml.Node

    def of(self, path: Iterable[Any]) -> int:
        """The line of the key or element at the end of the path, as far as there is one."""
        node, line = self.root, self.root.start_mark.line + 1
        for step in path:
            found = _step(node, step)
            if found is None:
                break
            line, node = found
        return line


def _step(node: yaml.Node, step: Any) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        found = node.value[step]
        return found.start_mark.line + 1, found
    return None


def read_file(content: bytes | str, *, is_json: bool = False) -> tuple[PanelFile, list[Problem]]:
    """What the file says, and all that is wrong with its form."""
    raw = content.encode() if isinstance(content, str) else content
    if len(raw) > MAX_BYTES:
        return PanelFile(), [Problem(f"A file has at most {MAX_BYTES >> 20} MB.")]
    try:
        document, root = (_json(raw), None) if is_json else plain_yaml.document_and_tree(raw)
    except plain_yaml.NotPlainError as error:
        return PanelFile(), [Problem(error.sentence, error.line)]
    lines = None if root is None else Lines(root)
    if not isinstance(document, dict) or not document:
        return PanelFile(), [Problem(f"The file is empty. It begins with format: {FORMAT}.")]
    try:
        said = FileIn.model_validate(document)
    except ValidationError as error:
        return PanelFile(), _problems(error, lines)
    return PanelFile(said.sources, said.models, lines), []


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise plain_yaml.NotPlainError("This is not JSON that can be read.") from None


def _problems(error: ValidationError, lines: Lines | None) -> list[Problem]:
    found = []
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        place = [step for step in fault["loc"] if step != "[key]"]
        called = ", ".join(str(step)[:60] for step in place)
        sentence = f"{called or 'The file'}: {_sentence(fault['msg'])}"
        found.append(Problem(sentence, lines.of(place) if lines else None))
    if len(found) > MAX_PROBLEMS:
        found = [*found[:MAX_PROBLEMS], Problem("And more. Put these right first.")]
    return found


PLAIN_WORDS = {
    "Extra inputs are not permitted": "is not known here.",
    "Field required": "is missing.",
    f"Input should be '{FORMAT}'": f"write format: {FORMAT}.",
}


def _sentence(said: str) -> str:
    said = said.removeprefix("Value error, ")
    return PLAIN_WORDS.get(said, said if said.endswith(".") else f"{said}.")


# --- Writing ----------------------------------------------------------------------------------


def written(
    sources: Sequence[HealthSource], panels: Sequence[tuple[str, str | None, Panel]]
) -> str:
    """The file that says this. `panels` are model, source and panel, in their order."""
    models: dict[str, Any] = {}
    for model, source, panel in panels:
        models.setdefault(model, {"panels": {}})["panels"][panel.slug] = _panel(panel, source)
    document = {
        "format": FORMAT,
        "sources": {source.slug: _source(source) for source in sources},
        "models": models,
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def _source(source: HealthSource) -> dict[str, Any]:
    said = {"name": source.name, "kind": source.kind, "url": source.url, "every": source.every}
    return said | ({"options": dict(source.options)} if source.options else {})


def _panel(panel: Panel, source: str | None) -> dict[str, Any]:
    rule = {name: getattr(panel, name) for name in RULE}
    said = {
        "source": source,
        "made_from": panel.preset or None,
        "title": panel.title,
        "lane": panel.lane.value,
        "unit": panel.unit,
        "window": panel.window,
        "spec": dict(panel.spec),
        "rule": {name: value for name, value in rule.items() if value is not None},
        "failure_mode": panel.failure_mode,
        "severity": panel.severity,
    }
    return {name: value for name, value in said.items() if value is not None}
