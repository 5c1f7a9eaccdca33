"""Reads, shaped for pages. Lists take columns, not objects, and cost the same for any length."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, func, or_, select, true
from sqlalchemy.orm import joinedload

from app.core.db import AnyRow, db, holds
from app.core.errors import NotFoundError, RefusedError
from app.incidents.rules import State
from app.incidents.tables import Entry, Evidence, Incident, Member
from app.integrations.pagerduty import outbox
from app.integrations.pagerduty.tables import Message
from app.people.tables import User
from app.registry.tables import MlModel, Team
from app.runbooks import queries as runbooks
from app.runbooks.rules import Matching
from app.runbooks.runs import queries as runs
from app.runbooks.runs.rules import EventKind
from app.runbooks.runs.tables import Run, RunEvent
from app.runbooks.runs.telling import LOOKS, note_of, sentence_of
from app.runbooks.tables import Runbook, RunbookVersion
from app.web.pagination import SIZE, Page, decode_cursor, page_of

# Not "is not resolved": an index finds what it is asked for, not what it is not.
OPEN = Incident.state.in_([state for state in State if state is not State.RESOLVED])
MEMBERS_SHOWN = 50
SIDEBAR_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list of incidents is narrowed to."""

    state: str = "open"  # open | resolved | triage | mine | all
    severity: int | None = None
    team: str | None = None  # slug
    model: str | None = None  # slug
    words: str = ""
    lead_id: int | None = None  # of whoever asks, for "mine"


def incident(incident_id: int) -> Incident:
    """One incident with all that its page shows in one row. Raises NotFoundError."""
    found = db.session.scalars(
        select(Incident)
        .where(Incident.id == incident_id)
        .options(
            joinedload(Incident.model).joinedload(MlModel.deputy),
            joinedload(Incident.team),
            joinedload(Incident.lead),
            joinedload(Incident.runbook_version).joinedload(RunbookVersion.runbook),
            joinedload(Incident.previous),
        )
    ).one_or_none()
    if found is None:
        raise NotFoundError(f"There is no INC-{incident_id}.")
    return found


def page(wanted: Filter, cursor: str | None = None, size: int = SIZE) -> Page[AnyRow]:
    """A page of the list, newest first."""
    query = _narrowed(_listed(), wanted).order_by(Incident.id.desc()).limit(size + 1)
    if cursor:
        (before,) = decode_cursor(cursor, int)
        query = query.where(Incident.id < before)
    rows = db.session.execute(query).all()
    return page_of(rows, size, key=lambda row: (row.id,))


def open_of_models(model_ids: Sequence[int]) -> Sequence[AnyRow]:
    """Open incidents of these models, the worst first."""
    listed = _listed().add_columns(Incident.model_id)
    return db.session.execute(
        listed.where(OPEN, Incident.model_id.in_(model_ids)).order_by(
            Incident.severity, Incident.id.desc()
        )
    ).all()


def _listed() -> Select[*tuple[Any, ...]]:
    return (
        select(
            Incident.id,
            Incident.title,
            Incident.state,
            Incident.severity,
            Incident.failure_mode,
            Incident.model_version,
            Incident.member_count,
            Incident.firing_count,
            Incident.opened_at,
            Incident.resolved_at,
            Incident.last_alert_at,
            Incident.noise,
            MlModel.slug.label("model_name"),
            Team.name.label("team_name"),
            User.name.label("lead_name"),
        )
        .outerjoin(MlModel, MlModel.id == Incident.model_id)
        .outerjoin(Team, Team.id == Incident.team_id)
        .outerjoin(User, User.id == Incident.lead_id)
    )


def _narrowed(query: Select[*tuple[Any, ...]], wanted: Filter) -> Select[*tuple[Any, ...]]:
    match wanted.state:
        case "open":
            query = query.where(OPEN)
        case "resolved":
            query = query.where(Incident.state == State.RESOLVED)
        case "triage":
            query = query.where(OPEN, Incident.model_id.is_(None))
        case "mine":
            query = query.where(OPEN, Incident.lead_id == wanted.lead_id)
    if wanted.severity:
        query = query.where(Incident.severity == wanted.severity)
    if wanted.team:
        query = query.where(Team.slug == wanted.team)
    if wanted.model:
        query = query.where(MlModel.slug == wanted.model)
    if number := _number(wanted.words):
        query = query.where(Incident.id == number)
    elif words := wanted.words.strip():
        columns = (Incident.title, MlModel.slug, Incident.failure_mode)
        query = query.where(or_(*(holds(column, words) for column in columns)))
    return query


def _number(words: str) -> int | None:
    """The number in INC-214, inc214 or 214; None if the words are no such thing."""
    digits = words.strip().lower().removeprefix("inc").lstrip("- ")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def counts(lead_id: int | None) -> dict[str, int]:
    """How many are open, in triage and led by this person."""
    row = db.session.execute(
        select(
            func.count().label("open"),
            func.count().filter(Incident.model_id.is_(None)).label("triage"),
            func.count().filter(Incident.lead_id == (lead_id or -1)).label("mine"),
        ).where(OPEN)
    ).one()
    return dict(row._mapping)


def in_sidebar() -> Sequence[AnyRow]:
    """The worst open incidents, for the side of every page."""
    worst = (
        select(Incident.id)
        .where(OPEN)
        .order_by(Incident.severity, Incident.id.desc())
        .limit(SIDEBAR_SHOWN)
    )
    return db.session.execute(
        select(
            Incident.id,
            Incident.title,
            Incident.severity,
            Incident.opened_at,
            MlModel.slug.label("model_name"),
        )
        .outerjoin(MlModel, MlModel.id == Incident.model_id)
        .where(Incident.id.in_(worst))
        .order_by(Incident.severity, Incident.id.desc())
    ).all()


def members(incident_id: int, *, size: int = MEMBERS_SHOWN, cursor: str | None = None) -> Page[Any]:
    """Alerts of an incident, the firing ones first."""
    query = (
        select(Member)
        .where(Member.incident_id == incident_id)
        .order_by(Member.firing.desc(), Member.id)
        .limit(size + 1)
    )
    if cursor:
        firing, after = decode_cursor(cursor, int, int)
        later = (Member.firing == bool(firing)) & (Member.id > after)
        query = query.where(later | (Member.firing.is_(False) if firing else later))
    rows = db.session.scalars(query).all()
    return page_of(rows, size, key=lambda member: (int(member.firing), member.id))


@dataclass(frozen=True, slots=True)
class Happening:
    """A line of the timeline, whether people, alerts or PagerDuty made it."""

    at: datetime
    kind: str
    actor_name: str
    text: str
    detail: dict[str, Any]
    by_person: bool = False
    message: Message | None = None


def timeline(incident_id: int) -> list[Happening]:
    """All that happened, newest first: our own entries, the runs, and what became of each page."""
    entries = db.session.scalars(
        select(Entry).where(Entry.incident_id == incident_id).order_by(Entry.id.desc()).limit(500)
    ).all()
    happenings = [
        Happening(
            entry.at, entry.kind, entry.actor_name, entry.text, entry.detail,
            by_person=entry.actor_kind in ("person", "token", "command line"),
        )
        for entry in entries
    ]  # fmt: skip
    happenings += [_of_message(message) for message in outbox.of_incident(incident_id)]
    happenings += [
        _of_run(run, event)
        for run, event in runs.events_of_incident(incident_id)
        if event.kind not in UNTOLD
    ]
    return sorted(happenings, key=lambda one: one.at, reverse=True)


# Steps are opened on the way to something; an escalation has an entry of its own.
UNTOLD = (EventKind.OPENED, EventKind.ESCALATED, EventKind.FEEDBACK)


def _of_run(run: Run, event: RunEvent) -> Happening:
    said = sentence_of(event, runs.plan_for(run.runbook_version), run.runbook_version.title)
    picture, tone = LOOKS.get(event.kind, ("dot", "idle"))
    detail = {
        "icon": picture, "tone": tone, "note": note_of(event), "run": run.id, "step": event.step_id,
    }  # fmt: skip
    return Happening(
        event.at, "run", event.actor, said, detail, by_person=event.actor_id is not None
    )


def opened_at_of_run(run_id: int) -> datetime | None:
    """When the incident of a run began: the time to escalation runs from then on."""
    return db.session.scalar(
        select(Incident.opened_at)
        .join(Run, Run.incident_id == Incident.id)
        .where(Run.id == run_id, Incident.episode == 1)
    )


WORDS = {"trigger": "Page", "acknowledge": "Acknowledgement", "resolve": "Resolve"}


def _of_message(message: Message) -> Happening:
    what = WORDS[message.action.value]
    where = "PagerDuty" if message.routing_key_encrypted else "the sandbox pager"
    said = {
        "waiting": f"{what} to {message.to} waits for {where}",
        "sent": f"{what} to {message.to} taken by {where}",
        "overtaken": f"{what} to {message.to} not sent: {message.answer or 'it was overtaken'}",
        "refused": f"{what} to {message.to} refused by {where}: {message.answer}",
    }[message.state.value]
    return Happening(
        message.settled_at or message.created_at,
        "page",
        message.to,
        said,
        {"state": message.state.value},
        message=message,
    )


@dataclass(frozen=True, slots=True)
class Known:
    """What was known when an episode opened; of one that was in triage, when it was routed."""

    taken_at: datetime
    content: Mapping[str, Any]  # what the alert said, and under `health` what the panels said


def evidence(incident_id: int, episode: int) -> Known | None:
    rows = db.session.execute(
        select(Evidence.taken_at, Evidence.content)
        .where(Evidence.incident_id == incident_id, Evidence.episode == episode)
        .order_by(Evidence.id)
        .limit(2)
    ).all()
    if not rows:
        return None
    content: dict[str, Any] = {}
    for row in rows:
        content = row.content | content
    return Known(rows[0].taken_at, content)


def seen_before(this: Incident, limit: int = 3) -> Sequence[AnyRow]:
    """Earlier incidents of the same model and failure mode."""
    if this.model_id is None:
        return []
    return db.session.execute(
        select(
            Incident.id,
            Incident.title,
            Incident.opened_at,
            Incident.resolved_at,
            Incident.resolution,
            Incident.model_version,
        )
        .where(
            Incident.model_id == this.model_id,
            Incident.failure_mode == this.failure_mode,
            Incident.id < this.id,
        )
        .order_by(Incident.id.desc())
        .limit(limit)
    ).all()


def open_twin(
    model_id: int | None, failure_mode: str, model_version: str = "", triage_key: str | None = None
) -> Incident | None:
    """The open incident that stands in the way of another of its kind."""
    kind = (
        Incident.triage_key == triage_key
        if model_id is None
        else and_(
            Incident.model_id == model_id,
            Incident.failure_mode == failure_mode,
            Incident.model_version == model_version,
        )
    )
    return db.session.scalars(select(Incident).where(OPEN, kind)).first()


def escalations(incident_id: int, episode: int) -> int:
    """How often the incident was escalated since it opened."""
    entries = db.session.scalars(
        select(Entry.detail).where(Entry.incident_id == incident_id, Entry.kind == "escalated")
    )
    return sum(1 for detail in entries if detail.get("episode") == episode)


def last_change(incident_id: int) -> Entry | None:
    """Who did what last, alerts included. Notes change nothing."""
    return db.session.scalars(
        select(Entry)
        .where(Entry.incident_id == incident_id, Entry.kind != "note")
        .order_by(Entry.id.desc())
        .limit(1)
    ).first()


def runbook_for(failure_mode: str, model: MlModel | None) -> int | None:
    """The published version for a failure mode that no alert told of."""
    found = Matching(tuple(runbooks.signals_index())).best(
        "",
        {"failure_mode": failure_mode},
        model.slug if model else None,
        model.tags if model else (),
    )
    return found.runbook.version_id if found else None


def triage_team() -> Team | None:
    return db.session.scalars(select(Team).where(Team.triages == true())).first()


def people() -> Sequence[AnyRow]:
    """Whom an incident can be handed over to."""
    return db.session.execute(
        select(User.id, User.name).where(User.active).order_by(User.name)
    ).all()


def teams() -> Sequence[AnyRow]:
    return db.session.execute(select(Team.id, Team.name, Team.slug).order_by(Team.name)).all()


def models() -> Sequence[AnyRow]:
    return db.session.execute(
        select(MlModel.id, MlModel.slug).where(MlModel.retired_at.is_(None)).order_by(MlModel.slug)
    ).all()


def model_id(slug: str) -> int:
    found = db.session.scalar(select(MlModel.id).where(MlModel.slug == slug))
    if found is None:
        raise RefusedError(f"There is no model {slug}.")
    return found


def team_id(slug: str) -> int:
    found = db.session.scalar(select(Team.id).where(Team.slug == slug))
    if found is None:
        raise RefusedError(f"There is no team {slug}.")
    return found


def person_id(email: str) -> int:
    found = db.session.scalar(select(User.id).where(User.email == email.strip().lower()))
    if found is None:
        raise RefusedError(f"Nobody here has the address {email}.")
    return found


def alert_owners(alert_name: str) -> list[str]:
    """The teams whose models had an alert of this name, the latest first."""
    rows = db.session.execute(
        select(Team.name, func.max(Member.last_seen_at).label("latest"))
        .select_from(Member)
        .join(Incident, Incident.id == Member.incident_id)
        .join(Team, Team.id == Incident.team_id)
        .where(func.lower(Member.name) == alert_name.lower())
        .group_by(Team.name)
        .order_by(func.max(Member.last_seen_at).desc())
        .limit(5)
    ).all()
    return [row.name for row in rows]


def alertnames_seen(names: Collection[str]) -> set[str]:
    """Those of the names, in lower case, that an alert ever had."""
    lower = func.lower(Member.name)
    return set(db.session.scalars(select(lower).where(lower.in_(names)).distinct()))


def runbook_of(version: RunbookVersion | None) -> Runbook | None:
    return version.runbook if version else None
