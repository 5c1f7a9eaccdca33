"""A file of teams and models, as YAML or JSON, read into entries."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from app.core import plain_yaml
from app.registry.drafts import ModelEntry, RegistryFile, TeamEntry, each_once, matchers_once
from app.registry.schemas import (
    Address,
    ChatUrl,
    Matchers,
    Members,
    Purpose,
    Slug,
    Tags,
    TeamName,
    Tier,
)
from app.web.texts import Strict

MAX_TEAMS = 1000
MAX_MODELS = 5000
MAX_PROBLEMS = 50

EXAMPLE = """\
teams:
  - name: Serving Platform
    chat_url: https://chat.example.com/serving
    members: [ines@example.com, lena@example.com]
    triages: true        # takes the incidents that no model claims
models:
  - slug: recsys-home
    purpose: Home feed ranking
    tier: 1
    team: Serving Platform
    deputy: lena@example.com
    tags: [ranking, feed]
    matchers:
      - model_name="recsys-home", namespace="prod-*"
"""


class TeamInFile(Strict):
    name: TeamName
    slug: Slug | None = None
    chat_url: ChatUrl | None = None
    members: Members | None = None
    triages: bool | None = None

    def as_entry(self) -> TeamEntry:
        return TeamEntry(
            slug=self.slug,
            name=self.name,
            chat_url=self.chat_url,
            members=None if self.members is None else each_once(self.members),
            triages=self.triages,
        )


class ModelInFile(Strict):
    slug: Slug
    team: TeamName | None = None  # by slug or by name
    tier: Tier | None = None
    purpose: Purpose | None = None
    deputy: Address | None = None
    tags: Tags | None = None
    matchers: Matchers | None = None

    def as_entry(self) -> ModelEntry:
        return ModelEntry(
            slug=self.slug,
            team=self.team,
            tier=self.tier,
            purpose=self.purpose,
            deputy=self.deputy,
            tags=None if self.tags is None else each_once(self.tags),
            matchers=None if self.matchers is None else matchers_once(self.matchers),
        )


Entry = TypeVar("Entry", TeamInFile, ModelInFile)


def read_file(content: bytes | str, *, is_json: bool = False) -> tuple[RegistryFile, list[str]]:
    """What the file says, and what is wrong with it, a sentence each."""
    try:
        document = _load_json(content) if is_json else plain_yaml.document(content)
    except (ValueError, plain_yaml.NotPlainError) as error:
        return RegistryFile(), [str(error)]
    if not isinstance(document, dict) or not document:
        return RegistryFile(), ["The file is empty. It needs a list of teams, of models, or both."]
    problems = [
        f"{str(key)[:40]} is not known. A file has teams and models."
        for key in document
        if key not in {"teams", "models"}
    ]
    teams = [
        team.as_entry() for team in _entries(document, "teams", TeamInFile, MAX_TEAMS, problems)
    ]
    models = [
        model.as_entry()
        for model in _entries(document, "models", ModelInFile, MAX_MODELS, problems)
    ]
    return RegistryFile(tuple(teams), tuple(models)), problems


def _load_json(content: bytes | str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("This is not JSON that can be read.") from None


def _entries(
    document: Mapping[str, Any], key: str, schema: type[Entry], limit: int, problems: list[str]
) -> list[Entry]:
    found = document.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        problems.append(f"{key} is not a list.")
        return []
    if len(found) > limit:
        problems.append(f"A file has at most {limit} {key}; this one has {len(found)}.")
        return []
    entries = []
    for number, entry in enumerate(found, start=1):
        try:
            entries.append(schema.model_validate(entry))
        except ValidationError as error:
            problems += _sentences(error, key.removesuffix("s").capitalize(), number, entry)
        if len(problems) >= MAX_PROBLEMS:
            problems.append("And maybe more. Put these right first.")
            break
    return entries


def _sentences(error: ValidationError, kind: str, number: int, entry: object) -> list[str]:
    name = (entry.get("slug") or entry.get("name")) if isinstance(entry, dict) else None
    called = f"{kind} {number} ({name})" if isinstance(name, str) else f"{kind} {number}"
    return [
        f"{', '.join([called[:120], *map(str, fault['loc'][:1])])}: {_sentence(fault['msg'])}"
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _sentence(said: str) -> str:
    said = said.removeprefix("Value error, ")
    plain = {
        "Extra inputs are not permitted": "is not known here.",
        "Field required": "is missing.",
    }
    return plain.get(said, said if said.endswith(".") else f"{said}.")
