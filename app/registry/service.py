"""Writes: models, teams, and how teams are paged. Each is audited, none overwrites unseen."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified

from app.config import settings
from app.core.db import unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.core.secrets import encrypt
from app.people import audit
from app.people.rules import Actor
from app.people.tables import User
from app.registry import queries
from app.registry.drafts import ModelDraft, PagerDraft, TeamDraft
from app.registry.rules import matchers_text
from app.registry.tables import MlModel, ModelMatcher, Team

Row = TypeVar("Row", MlModel, Team)


class EditedMeanwhileError(ConflictError):
    """The row is no longer as its editor saw it. Nothing was written."""


# --- Models -----------------------------------------------------------------------------------


def create_model(draft: ModelDraft, *, by: Actor, at: datetime) -> MlModel:
    (model,) = create_models([draft], by=by, at=at)
    return model


def create_models(drafts: Sequence[ModelDraft], *, by: Actor, at: datetime) -> list[MlModel]:
    """All of them or none, in a handful of statements however many they are."""
    with unit_of_work() as session:
        teams = _teams(session, {draft.team for draft in drafts})
        people = _people(session, {draft.deputy for draft in drafts if draft.deputy})
        models = []
        for draft in drafts:
            model = MlModel(created_at=at)
            deputy = people[draft.deputy] if draft.deputy else None
            fill_model(model, draft, team=teams[draft.team], deputy=deputy)
            models.append(model)
        session.add_all(models)
        _flush(session, _taken_model([draft.slug for draft in drafts]))
        for model in models:
            _audit("model.create", model, None, model_facts(model), by=by, at=at)
    return models


def edit_model(
    slug: str,
    draft: ModelDraft,
    *,
    seen_version: int | None = None,
    by: Actor,
    at: datetime,
) -> MlModel:
    """Write the draft over the model, unless it changed since its reader saw `seen_version`."""
    with unit_of_work() as session:
        model = _locked(session, MlModel, slug, seen_version)
        before = model_facts(model)
        team = _teams(session, {draft.team})[draft.team]
        people = _people(session, {draft.deputy} if draft.deputy else set(), stay=[model.deputy])
        deputy = people[draft.deputy] if draft.deputy else None
        fill_model(model, draft, team=team, deputy=deputy)
        after = model_facts(model)
        if after != before:
            _count_up(model)
            _flush(session, _taken_model([draft.slug]))
            _audit("model.update", model, before, after, by=by, at=at)
    return model


def retire_model(slug: str, *, seen_version: int | None = None, by: Actor, at: datetime) -> MlModel:
    """Take a model out of production: its alerts go to triage from now on, its past stays."""
    with unit_of_work() as session:
        model = _locked(session, MlModel, slug, seen_version)
        if model.retired_at is not None:
            raise ConflictError(f"{slug} is already retired.")
        model.retired_at = at
        _audit("model.retire", model, {"retired": False}, {"retired": True}, by=by, at=at)
    return model


def restore_model(
    slug: str, *, seen_version: int | None = None, by: Actor, at: datetime
) -> MlModel:
    with unit_of_work() as session:
        model = _locked(session, MlModel, slug, seen_version)
        if model.retired_at is None:
            raise ConflictError(f"{slug} is not retired.")
        model.retired_at = None
        _audit("model.restore", model, {"retired": True}, {"retired": False}, by=by, at=at)
    return model


def fill_model(model: MlModel, draft: ModelDraft, *, team: Team, deputy: User | None) -> None:
    model.slug, model.purpose, model.tier = draft.slug, draft.purpose, draft.tier
    model.team, model.deputy, model.tags = team, deputy, list(draft.tags)
    if matchers_text(held.labels for held in model.matchers) != matchers_text(draft.matchers):
        model.matchers = [ModelMatcher(labels=dict(labels)) for labels in draft.matchers]


def model_facts(model: MlModel) -> dict[str, Any]:
    """A model as the audit trail keeps it and as an import compares it."""
    return {
        "name": model.slug,
        "purpose": model.purpose,
        "tier": model.tier,
        "team": model.team.name,
        "deputy": model.deputy.name if model.deputy else None,
        "tags": list(model.tags),
        "matchers": matchers_text(held.labels for held in model.matchers).splitlines(),
    }


def draft_of_model(model: MlModel) -> ModelDraft:
    """The model as a draft, to change some of it."""
    return ModelDraft(
        slug=model.slug,
        team=model.team.slug,
        tier=model.tier,
        purpose=model.purpose,
        deputy=model.deputy.email if model.deputy else None,
        tags=tuple(model.tags),
        matchers=tuple(dict(held.labels) for held in model.matchers),
    )


# --- Teams ------------------------------------------------------------------------------------


def create_team(draft: TeamDraft, *, by: Actor, at: datetime) -> Team:
    with unit_of_work() as session:
        if draft.triages:
            _end_triage_of_others(session, by=by, at=at)
        team = Team(region="us", created_at=at)
        fill_team(team, draft, members=_people(session, set(draft.members)).values())
        session.add(team)
        _flush(session, _taken_team(draft))
        _audit("team.create", team, None, team_facts(team), by=by, at=at)
    return team


def edit_team(
    slug: str,
    draft: TeamDraft,
    *,
    seen_version: int | None = None,
    by: Actor,
    at: datetime,
) -> Team:
    """Write the draft over the team, unless it changed since its reader saw `seen_version`."""
    with unit_of_work() as session:
        team = _locked(session, Team, slug, seen_version)
        before = team_facts(team)
        if draft.triages and not team.triages:
            _end_triage_of_others(session, by=by, at=at)
        members = _people(session, set(draft.members), stay=team.members)
        fill_team(team, draft, members=members.values())
        after = team_facts(team)
        if after != before:
            _count_up(team)
            _flush(session, _taken_team(draft))
            _audit("team.update", team, before, after, by=by, at=at)
    return team


def delete_team(slug: str, *, seen_version: int | None = None, by: Actor, at: datetime) -> None:
    """Delete a team that nothing refers to."""
    with unit_of_work() as session:
        team = _locked(session, Team, slug, seen_version)
        owned = queries.slugs_of_team(team.id)
        if owned:
            raise RefusedError(
                f"{team.name} owns {_named(owned)}. Give {'it' if len(owned) == 1 else 'them'} "
                "to another team first."
            )
        facts = team_facts(team) | pager_facts(team)
        session.delete(team)
        # Whatever else refers to a team belongs to features above this one.
        _flush(
            session,
            RefusedError(
                f"Incidents or integrations refer to {team.name}, so it has to stay. "
                "You can rename it, and take away its members and its pager."
            ),
        )
        _audit("team.delete", team, facts, None, by=by, at=at)


def wire_pager(
    slug: str,
    draft: PagerDraft,
    *,
    seen_version: int | None = None,
    by: Actor,
    at: datetime,
) -> Team:
    """Say how a team is paged. The key is stored encrypted and never shown again."""
    with unit_of_work() as session:
        team = _locked(session, Team, slug, seen_version)
        before = pager_facts(team)
        team.region, team.pagerduty_service_id = draft.region, draft.service_id
        if draft.routing_key == "":
            team.routing_key_encrypted = team.routing_key_last_four = None
        elif draft.routing_key is not None:
            team.routing_key_encrypted = encrypt(draft.routing_key, settings().key)
            team.routing_key_last_four = draft.routing_key[-4:]
        # A new key is a change even if it ends like the old one.
        if pager_facts(team) != before or draft.routing_key:
            _count_up(team)
            _audit("team.pager", team, before, pager_facts(team), by=by, at=at)
    return team


def fill_team(team: Team, draft: TeamDraft, *, members: Iterable[User]) -> None:
    team.slug, team.name, team.chat_url = draft.slug, draft.name, draft.chat_url
    team.triages = draft.triages
    team.members = sorted(members, key=lambda user: (user.name, user.id))


def team_facts(team: Team) -> dict[str, Any]:
    """A team as the audit trail keeps it and as an import compares it."""
    return {
        "name": team.name,
        "address": team.slug,
        "chat": team.chat_url,
        "triage": team.triages,
        "members": sorted(user.name for user in team.members),
    }


def pager_facts(team: Team) -> dict[str, Any]:
    """How a team is paged, without the key."""
    return {
        "pager": f"key ending {team.routing_key_last_four}"
        if team.routing_key_encrypted
        else "sandbox",
        "region": team.region,
        "service": team.pagerduty_service_id,
    }


def draft_of_team(team: Team) -> TeamDraft:
    """The team as a draft, to change some of it."""
    return TeamDraft(
        slug=team.slug,
        name=team.name,
        chat_url=team.chat_url,
        members=tuple(sorted(user.email for user in team.members)),
        triages=team.triages,
    )


# --- What both need ---------------------------------------------------------------------------


def _locked(session: Session, table: type[Row], slug: str, seen_version: int | None) -> Row:
    """The row, held against other writers until the unit of work ends."""
    row = session.scalars(
        select(table)
        .where(table.slug == slug)
        .with_for_update()
        # What this unit of work has read before may have been changed since.
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise NotFoundError(queries.NO_MODEL if table is MlModel else queries.NO_TEAM)
    if seen_version is not None and row.version != seen_version:
        change = queries.last_change(_kind(row), row.id)
        who, when = (change.by, f" at {change.at:%H:%M} UTC") if change else ("Somebody", "")
        raise EditedMeanwhileError(
            f"{who} changed {_name(row)}{when}, after you opened it. Nothing of yours was saved."
        )
    return row


def _count_up(row: MlModel | Team) -> None:
    # The version counts up when a column of the row itself changes; matchers, members and
    # encrypted keys that look the same must count, too.
    flag_modified(row, "slug")


def _flush(session: Session, refusal: ConflictError | RefusedError) -> None:
    try:
        session.flush()
    except IntegrityError:
        raise refusal from None


def _audit(
    action: str,
    row: MlModel | Team,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    *,
    by: Actor,
    at: datetime,
) -> None:
    audit.record(
        action,
        target_kind=_kind(row),
        target_id=row.id,
        target_name=_name(row),
        before=before,
        after=after,
        by=by,
        at=at,
    )


def _kind(row: MlModel | Team) -> str:
    return "model" if isinstance(row, MlModel) else "team"


def _name(row: MlModel | Team) -> str:
    return row.slug if isinstance(row, MlModel) else row.name


def _taken_model(slugs: Sequence[str]) -> ConflictError:
    if len(slugs) == 1:
        return ConflictError(f"There is already a model {slugs[0]}. Choose another name.")
    return ConflictError("There is already a model with one of these names. Look again.")


def _taken_team(draft: TeamDraft) -> ConflictError:
    return ConflictError(
        f"There is already a team {draft.name}, or one at /teams/{draft.slug}. "
        "Choose another name or address."
    )


def _teams(session: Session, slugs: Collection[str]) -> dict[str, Team]:
    teams = {team.slug: team for team in session.scalars(select(Team).where(Team.slug.in_(slugs)))}
    if missing := set(slugs) - set(teams):
        raise RefusedError(f"There is no team {min(missing)}. Choose one that exists.")
    return teams


def _people(
    session: Session, addresses: Collection[str], stay: Iterable[User | None] = ()
) -> dict[str, User]:
    """The people with these addresses. Whoever has left may `stay` in, but not come in."""
    if not addresses:
        return {}
    found = session.scalars(select(User).where(User.email.in_(addresses)))
    people = {user.email: user for user in found}
    staying = {user.id for user in stay if user}
    for user in people.values():
        if not user.active and user.id not in staying:
            raise RefusedError(f"{user.name} no longer has an account here.")
    if missing := set(addresses) - set(people):
        raise RefusedError(f"Nobody here has the address {min(missing)}.")
    return people


def _end_triage_of_others(session: Session, *, by: Actor, at: datetime) -> None:
    triaging = select(Team).where(Team.triages).with_for_update()
    for other in session.scalars(triaging.execution_options(populate_existing=True)).all():
        other.triages = False
        _audit("team.update", other, {"triage": True}, {"triage": False}, by=by, at=at)
    session.flush()  # before another team has the flag


def _named(slugs: list[str]) -> str:
    if len(slugs) == 1:
        return f"the model {slugs[0]}"
    shown = ", ".join(slugs[:3])
    more = f" and {len(slugs) - 3} more" if len(slugs) > 3 else ""
    return f"{len(slugs)} models: {shown}{more}"
