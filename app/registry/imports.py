"""Importing a file of teams and models: first a plan that writes nothing, then all or nothing."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, TypeVar

from app.core.db import unit_of_work
from app.core.errors import ConflictError, RefusedError
from app.people.rules import Actor
from app.people.tables import User
from app.registry import queries, service
from app.registry.drafts import (
    FieldChange,
    ModelDraft,
    ModelEntry,
    RegistryFile,
    TeamDraft,
    TeamEntry,
    differences,
)
from app.registry.rules import slug_from, slug_refusal
from app.registry.tables import MlModel, Team

Draft = TypeVar("Draft", TeamDraft, ModelDraft)


@dataclass(frozen=True, slots=True)
class Step(Generic[Draft]):
    """What becomes of one entry. `before` is none if it is new, and equals `draft` if it stays."""

    draft: Draft
    before: Draft | None
    version: int | None

    @property
    def does(self) -> Literal["create", "change", "keep"]:
        if self.before is None:
            return "create"
        return "keep" if self.before == self.draft else "change"

    @property
    def changes(self) -> list[FieldChange]:
        """The fields that get another value; of a new entry those that get one at all."""
        return differences(self.before, self.draft)


@dataclass(frozen=True, slots=True)
class Plan:
    teams: tuple[Step[TeamDraft], ...]
    models: tuple[Step[ModelDraft], ...]
    problems: tuple[str, ...]

    def count(self, does: str) -> int:
        teams = sum(step.does == does for step in self.teams)
        return teams + sum(step.does == does for step in self.models)

    @property
    def fingerprint(self) -> str:
        """Two plans that would do the same have the same."""
        return hashlib.sha256(repr((self.teams, self.models)).encode()).hexdigest()


def plan_import(file: RegistryFile, problems: Iterable[str] = ()) -> Plan:
    """What importing the file would do, and what stands against it. Writes nothing."""
    return _Planner(file, problems).plan()


def import_file(file: RegistryFile, *, seen: str | None = None, by: Actor, at: datetime) -> Plan:
    """Import all of the file or nothing, if its plan is still the one that was `seen`."""
    with unit_of_work():
        plan = plan_import(file)
        if plan.problems:
            raise RefusedError(" ".join(plan.problems[:5]))
        if seen is not None and seen != plan.fingerprint:
            raise ConflictError(
                "Teams or models changed since you looked. Look again, then import."
            )
        for team in plan.teams:
            if team.before is None:
                service.create_team(team.draft, by=by, at=at)
            elif team.before != team.draft:
                slug, seen_version = team.before.slug, team.version
                service.edit_team(slug, team.draft, seen_version=seen_version, by=by, at=at)
        new = [step.draft for step in plan.models if step.before is None]
        service.create_models(new, by=by, at=at)
        for model in plan.models:
            if model.before is not None and model.before != model.draft:
                slug, seen_version = model.before.slug, model.version
                service.edit_model(slug, model.draft, seen_version=seen_version, by=by, at=at)
    return plan


class _Planner:
    """Holds the file against all that is stored about what it names, read at once."""

    def __init__(self, file: RegistryFile, problems: Iterable[str]) -> None:
        self.file = file
        self.problems = list(problems)
        names = {name for entry in file.teams for name in (entry.slug, entry.name) if name}
        names |= {entry.team for entry in file.models if entry.team}
        teams = queries.teams_called(names)
        self.team_by_slug: dict[str, Team] = {team.slug: team for team in teams}
        self.team_by_name: dict[str, Team] = {team.name: team for team in teams}
        self.models: dict[str, MlModel] = {
            model.slug: model
            for model in queries.models_called({entry.slug for entry in file.models})
        }
        addresses = {address for entry in file.teams for address in entry.members or ()}
        addresses |= {entry.deputy for entry in file.models if entry.deputy}
        self.people: dict[str, User] = {user.email: user for user in queries.people_with(addresses)}

    def plan(self) -> Plan:
        teams = [self._team(entry) for entry in self.file.teams]
        # What models may name as their team: what is stored, and what this file adds.
        self.known_teams = {team.name: team.slug for team in self.team_by_name.values()}
        self.known_teams |= {step.draft.name: step.draft.slug for step in teams}
        self.known_teams |= {slug: slug for slug in self.known_teams.values()}
        models = [self._model(entry) for entry in self.file.models]
        self._note_repeats("team", [step.draft.slug for step in teams])
        self._note_repeats("model", [step.draft.slug for step in models])
        if sum(step.draft.triages for step in teams) > 1:
            self.problems.append("Only one team can take the incidents that no model claims.")
        return Plan(tuple(teams), tuple(models), tuple(self.problems))

    def _team(self, entry: TeamEntry) -> Step[TeamDraft]:
        namesake = self.team_by_name.get(entry.name)
        if entry.slug is None and namesake is not None:
            team: Team | None = namesake
        else:
            team = self.team_by_slug.get(entry.slug or slug_from(entry.name))
        slug = team.slug if team else entry.slug or slug_from(entry.name)
        where = f"Team {entry.name}"
        if slug_refusal(slug):
            self.problems.append(f"{where}: no address can be made of the name. Give it a slug.")
        if namesake is not None and namesake is not team:
            self.problems.append(f"{where}: the team at /teams/{namesake.slug} has that name.")
        before = service.draft_of_team(team) if team else None
        now = before or TeamDraft(slug, entry.name)
        draft = TeamDraft(
            slug=slug,
            name=entry.name,
            chat_url=now.chat_url if entry.chat_url is None else entry.chat_url or None,
            members=now.members if entry.members is None else entry.members,
            triages=now.triages if entry.triages is None else entry.triages,
        )
        self._check_people(where, set(draft.members) - set(now.members))
        return Step(draft, before, team.version if team else None)

    def _model(self, entry: ModelEntry) -> Step[ModelDraft]:
        model = self.models.get(entry.slug)
        where = f"Model {entry.slug}"
        before = service.draft_of_model(model) if model else None
        now = before or ModelDraft(entry.slug, team="", tier=0)
        if entry.team is not None and entry.team not in self.known_teams:
            self.problems.append(f"{where}: there is no team {entry.team}.")
        draft = ModelDraft(
            slug=entry.slug,
            team=now.team if entry.team is None else self.known_teams.get(entry.team, entry.team),
            tier=entry.tier or now.tier,
            purpose=now.purpose if entry.purpose is None else entry.purpose,
            deputy=now.deputy if entry.deputy is None else entry.deputy or None,
            tags=now.tags if entry.tags is None else entry.tags,
            matchers=now.matchers if entry.matchers is None else entry.matchers,
        )
        if not draft.team:
            self.problems.append(f"{where}: a new model needs a team.")
        if not draft.tier:
            self.problems.append(f"{where}: a new model needs a tier.")
        if draft.deputy and draft.deputy != now.deputy:
            self._check_people(where, {draft.deputy})
        return Step(draft, before, model.version if model else None)

    def _check_people(self, where: str, newcomers: set[str]) -> None:
        for address in sorted(newcomers):
            user = self.people.get(address)
            if user is None:
                self.problems.append(f"{where}: nobody here has the address {address}.")
            elif not user.active:
                self.problems.append(f"{where}: {user.name} no longer has an account here.")

    def _note_repeats(self, kind: str, slugs: list[str]) -> None:
        for slug, times in Counter(slugs).items():
            if times > 1:
                self.problems.append(f"The {kind} {slug} stands there {times} times.")
