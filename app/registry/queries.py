"""Reads, shaped for pages, for the API and for routing."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, cast, func, or_, select, tuple_
from sqlalchemy.orm import contains_eager, joinedload, selectinload

from app.core.db import db, holds
from app.core.errors import NotFoundError
from app.people.tables import AuditEntry, User
from app.registry.rules import Match, Matcher, Routing, RoutingRow, slug_refusal
from app.registry.tables import MlModel, ModelMatcher, Team, TeamMember
from app.web.pagination import SIZE, Page, decode_cursor, page_of

NO_MODEL = "There is no model of that name."
NO_TEAM = "There is no team of that name."


@dataclass(frozen=True, slots=True)
class ModelFilter:
    text: str = ""
    team: str = ""  # slug
    tier: int | None = None
    tag: str = ""
    retired: bool = False  # those instead of the ones in production

    def __bool__(self) -> bool:
        return bool(self.text or self.team or self.tier or self.tag or self.retired)


@dataclass(frozen=True, slots=True)
class ModelLine:
    id: int
    slug: str
    purpose: str
    tier: int
    tags: list[str]
    retired_at: datetime | None
    team_slug: str
    team_name: str
    deputy: str | None
    deputy_active: bool | None


@dataclass(frozen=True, slots=True)
class TeamLine:
    id: int
    slug: str
    name: str
    triages: bool
    region: str
    key_ends: str | None  # none: the sandbox pager
    chat_url: str | None
    members: int
    models: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One option of a select: a team's slug or a person's address, and the name to show."""

    value: str
    name: str


@dataclass(frozen=True, slots=True)
class LastChange:
    by: str
    at: datetime


def model_list(
    wanted: ModelFilter, *, after: str | None = None, size: int = SIZE
) -> Page[ModelLine]:
    """One page of models by tier and name. `after` is the cursor of the page before."""
    found = _matching(wanted).add_columns(
        MlModel.id,
        MlModel.slug,
        MlModel.purpose,
        MlModel.tier,
        MlModel.tags,
        MlModel.retired_at,
        Team.slug,
        Team.name,
        User.name,
        User.active,
    )
    rows = db.session.execute(_after_model(found, after, size))
    return page_of([ModelLine(*row) for row in rows], size, key=_model_key)


def whole_models(
    wanted: ModelFilter, *, after: str | None = None, size: int = SIZE
) -> Page[MlModel]:
    """The same page with all that the API tells."""
    found = (
        _matching(wanted)
        .add_columns(MlModel)
        .options(
            contains_eager(MlModel.team),
            contains_eager(MlModel.deputy),
            selectinload(MlModel.matchers),
        )
    )
    rows = db.session.execute(_after_model(found, after, size)).scalars().all()
    return page_of(rows, size, key=_model_key)


def _after_model(found: Select[Any], after: str | None, size: int) -> Select[Any]:
    if after:
        tier, slug = decode_cursor(after, int, str)
        found = found.where(tuple_(MlModel.tier, MlModel.slug) > tuple_(tier, slug))
    return found.order_by(MlModel.tier, MlModel.slug).limit(size + 1)


def _model_key(model: ModelLine | MlModel) -> tuple[int, str]:
    return model.tier, model.slug


def model_count(wanted: ModelFilter) -> int:
    return db.session.scalar(_matching(wanted).add_columns(func.count())) or 0


def _matching(wanted: ModelFilter) -> Select[()]:
    """Models that pass the filter, joined with their team and deputy."""
    found = (
        select()
        .select_from(MlModel)
        .join(Team, Team.id == MlModel.team_id)
        .outerjoin(User, User.id == MlModel.deputy_id)
        .where(MlModel.retired_at.is_not(None) if wanted.retired else MlModel.retired_at.is_(None))
    )
    for word in wanted.text.split():
        found = found.where(
            or_(
                holds(MlModel.slug, word),
                holds(MlModel.purpose, word),
                holds(Team.name, word),
                holds(User.name, word),
            )
        )
    if wanted.team:
        found = found.where(Team.slug == wanted.team)
    if wanted.tier:
        found = found.where(MlModel.tier == wanted.tier)
    if wanted.tag:
        found = found.where(_tagged(wanted.tag))
    return found


def _tagged(tag: str) -> ColumnElement[bool]:
    # A tag holds no quote and nothing that JSON escapes, so its quoted text is there or it is not.
    return cast(MlModel.tags, Text).contains(f'"{tag}"', autoescape=True)


def model_by_slug(slug: str) -> MlModel:
    """The model with its team, deputy and matchers, or a `NotFoundError`."""
    found = (
        None
        if slug_refusal(slug)
        else db.session.scalars(
            select(MlModel)
            .where(MlModel.slug == slug)
            .options(
                joinedload(MlModel.team),
                joinedload(MlModel.deputy),
                selectinload(MlModel.matchers),
            )
        ).one_or_none()
    )
    if found is None:
        raise NotFoundError(NO_MODEL)
    return found


def tags_in_use() -> list[str]:
    """Every tag of a model in production."""
    lists = db.session.scalars(select(MlModel.tags).where(MlModel.retired_at.is_(None)).distinct())
    return sorted({tag for tags in lists for tag in tags})


def team_list(text: str = "", *, after: str | None = None, size: int = SIZE) -> Page[TeamLine]:
    """One page of teams by name. `after` is the cursor of the page before."""
    members = select(func.count()).where(TeamMember.team_id == Team.id).scalar_subquery()
    models = (
        select(func.count())
        .where(MlModel.team_id == Team.id, MlModel.retired_at.is_(None))
        .scalar_subquery()
    )
    found = select(
        Team.id,
        Team.slug,
        Team.name,
        Team.triages,
        Team.region,
        Team.routing_key_last_four,
        Team.chat_url,
        members,
        models,
    )
    rows = db.session.execute(_after_team(found, text, after, size))
    return page_of([TeamLine(*row) for row in rows], size, key=lambda line: (line.id,))


def whole_teams(text: str = "", *, after: str | None = None, size: int = SIZE) -> Page[Team]:
    """The same page with all that the API tells."""
    found = select(Team).options(selectinload(Team.members))
    rows = db.session.scalars(_after_team(found, text, after, size)).all()
    return page_of(rows, size, key=lambda team: (team.id,))


def _after_team(found: Select[Any], text: str, after: str | None, size: int) -> Select[Any]:
    name = func.lower(Team.name)
    for word in text.split():
        found = found.where(
            or_(
                holds(Team.name, word),
                holds(Team.slug, word),
            )
        )
    if after:
        (last,) = decode_cursor(after, int)
        last_name = select(func.lower(Team.name)).where(Team.id == last).scalar_subquery()
        found = found.where(tuple_(name, Team.id) > tuple_(last_name, last))
    return found.order_by(name, Team.id).limit(size + 1)


def team_count() -> int:
    return db.session.scalar(select(func.count()).select_from(Team)) or 0


def team_by_slug(slug: str) -> Team:
    """The team with its members, or a `NotFoundError`."""
    found = (
        None
        if slug_refusal(slug)
        else db.session.scalars(
            select(Team).where(Team.slug == slug).options(selectinload(Team.members))
        ).one_or_none()
    )
    if found is None:
        raise NotFoundError(NO_TEAM)
    return found


def triage_team() -> tuple[int, str] | None:
    """Id and name of the team that takes incidents which no model claims, if one does."""
    found = db.session.execute(
        select(Team.id, Team.name).where(Team.triages).order_by(Team.id).limit(1)
    ).one_or_none()
    return (found.id, found.name) if found else None


def team_names() -> dict[int, str]:
    return {row.id: row.name for row in db.session.execute(select(Team.id, Team.name))}


def slugs_of_team(team_id: int) -> list[str]:
    """Every model the team owns, in production or retired."""
    return list(
        db.session.scalars(
            select(MlModel.slug).where(MlModel.team_id == team_id).order_by(MlModel.slug)
        )
    )


def team_choices() -> list[Choice]:
    return [
        Choice(*row)
        for row in db.session.execute(select(Team.slug, Team.name).order_by(func.lower(Team.name)))
    ]


def people_choices() -> list[Choice]:
    """People who can be a deputy or a member: those who are active."""
    return [
        Choice(*row)
        for row in db.session.execute(
            select(User.email, User.name).where(User.active).order_by(func.lower(User.name))
        )
    ]


def teams_called(names: Collection[str]) -> Sequence[Team]:
    """Teams whose slug or name is among these, with their members."""
    return db.session.scalars(
        select(Team)
        .where(or_(Team.slug.in_(names), Team.name.in_(names)))
        .options(selectinload(Team.members))
    ).all()


def models_called(slugs: Collection[str]) -> Sequence[MlModel]:
    return db.session.scalars(
        select(MlModel)
        .where(MlModel.slug.in_(slugs))
        .options(
            joinedload(MlModel.team), joinedload(MlModel.deputy), selectinload(MlModel.matchers)
        )
    ).all()


def people_with(addresses: Collection[str]) -> Sequence[User]:
    return db.session.scalars(select(User).where(User.email.in_(addresses))).all()


def routing_rows() -> list[RoutingRow]:
    """Every model in production, as `rules.Routing` takes them."""
    matchers: dict[int, list[Matcher]] = defaultdict(list)
    for model_id, labels in db.session.execute(
        select(ModelMatcher.model_id, ModelMatcher.labels).order_by(ModelMatcher.id)
    ):
        matchers[model_id].append(labels)
    return [
        RoutingRow(model_id, slug, team_id, tier, tuple(matchers.get(model_id, ())))
        for model_id, slug, team_id, tier in db.session.execute(
            select(MlModel.id, MlModel.slug, MlModel.team_id, MlModel.tier)
            .where(MlModel.retired_at.is_(None))
            .order_by(MlModel.id)
        )
    ]


def routing_stamp() -> tuple[int, int]:
    """Differs whenever `routing_rows` would: models are never deleted, and each edit counts up."""
    count, versions = db.session.execute(
        select(func.count(), func.coalesce(func.sum(MlModel.version), 0)).select_from(MlModel)
    ).one()
    return int(count), int(versions)


def tags_by_model() -> dict[int, tuple[str, ...]]:
    """The tags of every model in production that has some."""
    return {
        model_id: tuple(tags)
        for model_id, tags in db.session.execute(
            select(MlModel.id, MlModel.tags).where(MlModel.retired_at.is_(None))
        )
        if tags
    }


def claimed_by(labels: Mapping[str, str], instead: RoutingRow | None = None) -> Match | None:
    """The model that an alert with these labels belongs to, if one model were as in `instead`."""
    rows = routing_rows()
    if instead is not None:
        rows = [row for row in rows if row.model_id != instead.model_id] + [instead]
    return Routing(rows).find(labels)


def last_change(kind: str, target_id: int) -> LastChange | None:
    """Who changed a model or a team last, by the audit trail."""
    row = db.session.execute(
        select(AuditEntry.actor_name, AuditEntry.at)
        .where(AuditEntry.target_kind == kind, AuditEntry.target_id == str(target_id))
        .order_by(AuditEntry.id.desc())
        .limit(1)
    ).one_or_none()
    return LastChange(*row) if row else None
