"""Search across features: for the palette, and for a page of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import url_for
from markupsafe import Markup
from sqlalchemy import ColumnElement, and_, case, func, or_, select

from app.core.db import db, holds
from app.health.fleet import LANES
from app.health.tables import Dataset, Panel
from app.incidents.rules import State
from app.incidents.tables import Incident
from app.people.access import may_open
from app.people.rules import Role
from app.people.tables import User
from app.registry.tables import MlModel, Team
from app.runbooks import search as runbooks
from app.web.navigation import MENU, url_if_there

MOST = 8  # of each kind
LONGEST = 200  # characters of what is looked for


@dataclass(frozen=True, slots=True)
class Hit:
    icon: str
    label: str
    url: str
    meta: str = ""  # what tells it from others like it
    snippet: Markup | None = None  # where in its text the words stand


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    hits: Sequence[Hit]


@dataclass(frozen=True, slots=True)
class Command:
    """A page to go to, or something to do, by the words people may call it."""

    label: str
    icon: str
    endpoint: str
    also: str = ""


COMMANDS = (
    Command("Declare incident", "incident", "incidents.declare_form", "new open create outage"),
    Command("Add a model", "model", "registry.new_model", "new create register"),
    Command("Add a team", "owners", "registry.new_team", "new create"),
    Command("Import models from a file", "download", "registry.import_file", "yaml"),
    *(Command(f"Go to {entry.label}", entry.icon, entry.endpoint) for entry in MENU),
    Command("Go to Deliveries", "inbox", "alerts.deliveries", "inbox dead letters replay"),
    Command("Go to Integrations", "plug", "alerts.integrations", "keys doors alertmanager"),
    Command("Go to Data inputs", "db", "health.inputs", "datasets schema freshness access"),
    Command("Go to Health sources", "gauge", "health.sources", "prometheus scrape drift apis"),
    Command("Go to Sandbox pager", "phone", "overview.sandbox_pager", "pagerduty pages"),
    Command("Go to People", "user", "people.people", "users invite"),
    Command("Go to API tokens", "key", "people.tokens"),
    Command("Go to Audit log", "history", "people.audit_log", "who changed"),
    Command("Go to Your profile", "user", "people.profile", "password time zone keys"),
)


def search(text: str, reader: User) -> list[Group]:
    """What fits, by kind. Every kind costs one query, however much fits."""
    words = text[:LONGEST].split()
    if not words:
        return []
    finders: list[tuple[str, Callable[[list[str]], list[Hit]]]] = [
        ("Incidents", _incidents),
        ("Models", _models),
        ("Runbooks", _runbooks),
        ("Health", _health),
        ("Teams", _teams),
    ]
    if reader.role.covers(Role.ADMINISTRATOR):
        finders.append(("People", _people))
    finders.append(("Do", commands))
    groups = [Group(title, find(words)) for title, find in finders]
    return [group for group in groups if group.hits]


def commands(words: Sequence[str] = ()) -> list[Hit]:
    """Commands that this person may give; all of them without words."""
    return [
        Hit(command.icon, command.label, url_for(command.endpoint))
        for command in COMMANDS
        if may_open(command.endpoint)
        and all(_begins(word, f"{command.label} {command.also}") for word in words)
    ]


def _begins(word: str, text: str) -> bool:
    return any(one.startswith(word.lower()) for one in text.lower().split())


def _incidents(words: list[str]) -> list[Hit]:
    number = _number(words)
    title = _holds_all(words, Incident.title)
    rows = db.session.execute(
        select(Incident.id, Incident.title, Incident.severity, Incident.state, MlModel.slug)
        .outerjoin(MlModel, MlModel.id == Incident.model_id)
        .where(title if number is None else or_(Incident.id == number, title))
        .order_by(
            *([case((Incident.id == number, 0), else_=1)] if number is not None else []),
            case((Incident.state == State.RESOLVED, 1), else_=0),
            Incident.id.desc(),
        )
        .limit(MOST)
    )
    return [
        Hit(
            "incident",
            f"INC-{row.id} {row.title}",
            url_for("incidents.detail", incident_id=row.id),
            f"SEV-{row.severity}, {'open' if row.state is State.TRIGGERED else row.state}",
        )
        for row in rows
    ]


def _number(words: list[str]) -> int | None:
    """The number in INC-214, inc 214 or 214."""
    digits = "".join(words).lower().removeprefix("inc").removeprefix("-")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def _models(words: list[str]) -> list[Hit]:
    rows = db.session.execute(
        select(MlModel.slug, MlModel.tier, MlModel.retired_at, Team.name)
        .join(Team, Team.id == MlModel.team_id)
        .where(_holds_all(words, MlModel.slug, MlModel.purpose))
        .order_by(MlModel.retired_at.is_not(None), *_best_first(MlModel.slug, words), MlModel.slug)
        .limit(MOST)
    )
    return [
        Hit(
            "model",
            row.slug,
            url_for("registry.model", slug=row.slug),
            "retired" if row.retired_at else f"Tier {row.tier}, {row.name}",
        )
        for row in rows
    ]


def _health(words: list[str]) -> list[Hit]:
    """Panels, by the words of their title and of their model, then data inputs."""
    # Each title once: most models have panels of the same presets.
    titles = select(Panel.title).distinct().cte("titles").prefix_with("MATERIALIZED")
    panels = db.session.execute(
        select(Panel.slug, Panel.title, Panel.lane, MlModel.slug.label("model"))
        .join(MlModel, MlModel.id == Panel.model_id)
        .where(
            Panel.closed_at.is_(None),
            MlModel.retired_at.is_(None),
            *(
                or_(
                    Panel.title.in_(select(titles.c.title).where(holds(titles.c.title, word))),
                    Panel.model_id.in_(select(MlModel.id).where(holds(MlModel.slug, word))),
                )
                for word in words
            ),
        )
        # In the order of an index: a word that all models have in common is found at once.
        .order_by(MlModel.slug, Panel.slug)
        .limit(MOST)
    )
    inputs = db.session.execute(
        select(Dataset.slug, Dataset.contract)
        .where(_holds_all(words, Dataset.slug, Dataset.contract))
        .order_by(*_best_first(Dataset.slug, words), Dataset.slug)
        .limit(MOST)
    )
    return [
        Hit("gauge", f"{row.model} · {row.title}", url, LANES[row.lane])
        for row in panels
        if (url := url_if_there("health.panel", slug=row.model, panel=row.slug))
    ] + [
        Hit("db", row.slug, url, row.contract or "Data input")
        for row in inputs
        if (url := url_if_there("health.input", dataset=row.slug))
    ]


def _runbooks(words: list[str]) -> list[Hit]:
    return [
        Hit(
            "runbook",
            found.title,
            url,
            "retired" if found.retired else f"v{found.number}" if found.number else "not published",
            found.snippet,
        )
        for found in runbooks.find(" ".join(words), MOST)
        if (url := url_if_there("runbooks.detail", slug=found.slug))
    ]


def _teams(words: list[str]) -> list[Hit]:
    rows = db.session.execute(
        select(Team.slug, Team.name)
        .where(_holds_all(words, Team.name, Team.slug))
        .order_by(*_best_first(Team.name, words), Team.name)
        .limit(MOST)
    )
    return [Hit("owners", row.name, url_for("registry.team", slug=row.slug)) for row in rows]


def _people(words: list[str]) -> list[Hit]:
    rows = db.session.execute(
        select(User.id, User.name, User.email, User.active)
        .where(_holds_all(words, User.name, User.email))
        .order_by(User.active.desc(), *_best_first(User.name, words), User.name)
        .limit(MOST)
    )
    return [
        Hit(
            "user",
            row.name,
            url_for("people.person", user_id=row.id),
            row.email if row.active else "deactivated",
        )
        for row in rows
    ]


def _holds_all(words: list[str], *columns: Any) -> ColumnElement[bool]:
    """Every word is somewhere in these columns, in any case."""
    return and_(*(or_(*(holds(column, word) for column in columns)) for word in words))


def _best_first(column: Any, words: list[str]) -> list[ColumnElement[int]]:
    """Names that are what was typed come first, then those that begin with it."""
    text = " ".join(words)
    return [
        case(
            (func.lower(column) == text.lower(), 0),
            (func.lower(column).startswith(text.lower(), autoescape=True), 1),
            else_=2,
        )
    ]
