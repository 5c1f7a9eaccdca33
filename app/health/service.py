"""What people change: allowed hosts, sources, panels and service levels. Each change is audited."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.config import settings
from app.core.db import unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.core.secrets import encrypt
from app.health import counting, levels
from app.health.asking import allowed_hosts, host_of, why_not_allowed
from app.health.panel_drafts import RULE, why_no_panel
from app.health.presets import PanelDraft
from app.health.recording import let_go, rule_of
from app.health.rules import Rule
from app.health.slo_rules import MIN_EVENTS
from app.health.source_options import ODD_IN_ADDRESS, why_not_options, why_not_secret
from app.health.sources import SOURCES
from app.health.tables import AllowedHost, HealthSource, Lamp, Panel, Slo
from app.integrations.apis import is_never_asked
from app.people import audit
from app.people.rules import Actor
from app.registry.rules import slug_from
from app.registry.tables import MlModel

HOST = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?")
ADDRESS = re.compile(r"\[[0-9a-f:.]+\]")
Row = TypeVar("Row", HealthSource, Panel, Slo)

MOST_PANELS = 200  # of a model
MOST_LEVELS = 50
NO_SLO_SLUGS = ("new", "import")  # pages beside those of service levels
SHORTEST, LONGEST = 5, 86_400  # seconds between two looks
MAX_ADDRESS = 500
MAX_SOURCE_NAME = 120


# --- Hosts ------------------------------------------------------------------------------------


def allow_host(pattern: str, why: str, *, by: Actor, at: datetime) -> AllowedHost:
    """Let Baton ask a host: `name:port`, where `*.` stands for one further name before it."""
    pattern = pattern.strip().lower()
    name, _, port = pattern.rpartition(":")
    if not port.isdigit() or not 0 < int(port) < 65_536:
        raise RefusedError("Give a host and a port, as in serving.example.com:9090.")
    if not (HOST.fullmatch(name) or ADDRESS.fullmatch(name)):
        raise RefusedError(f"{name or 'Nothing'} is no name of a host.")
    if name.startswith("*.") and name.count(".") < 2:
        raise RefusedError("A star stands for one name before two others, as in *.example.com:443.")
    if is_never_asked(name):
        raise RefusedError(f"Baton never asks {name}: clouds answer there with their own secrets.")
    if len(pattern) > 255:
        raise RefusedError("The name of a host has at most 255 letters.")
    with unit_of_work() as session:
        if session.scalar(select(AllowedHost.id).where(AllowedHost.pattern == pattern)):
            raise ConflictError(f"{pattern} is allowed already.")
        host = AllowedHost(
            pattern=pattern, why=why.strip()[:200], created_at=at, created_by=by.name
        )
        session.add(host)
        session.flush()
        _audit("health.host.allow", "health_host", host.id, pattern, None, {"why": host.why},
               by=by, at=at)  # fmt: skip
    return host


def forbid_host(host_id: int, *, by: Actor, at: datetime) -> AllowedHost:
    """Take a host off the list. Its sources say so at their next look, and keep their panels."""
    with unit_of_work() as session:
        host = session.get(AllowedHost, host_id)
        if host is None:
            raise NotFoundError("That host is not on the list any more.")
        session.delete(host)
        _audit("health.host.forbid", "health_host", host.id, host.pattern,
               {"allowed": True, "why": host.why}, {"allowed": False}, by=by, at=at)  # fmt: skip
    return host


# --- Sources ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceDraft:
    """What people say of a source. `secret` is none where it stays as it is."""

    name: str
    kind: str
    url: str = ""
    every: int = 30
    options: Mapping[str, Any] = field(default_factory=dict)
    secret: Mapping[str, str] | None = field(default=None, repr=False)


def create_source(
    draft: SourceDraft, *, slug: str = "", allow: str = "", by: Actor, at: datetime
) -> HealthSource:
    """`allow`: the host of its address, which goes onto the list with it."""
    with unit_of_work() as session:
        _allow_with(draft, allow, by, at)
        check_source(draft)
        source = HealthSource(
            slug=_free_slug(session, HealthSource.slug, slug or draft.name),
            kind=draft.kind,
            due_at=at,
            created_at=at,
            created_by=by.name,
        )
        _fill_source(source, draft)
        session.add(source)
        session.flush()
        _audit("health.source.create", "health_source", source.id, source.name, None,
               source_facts(source), by=by, at=at)  # fmt: skip
    return source


def edit_source(
    source_id: int,
    draft: SourceDraft,
    *,
    seen_version: int | None,
    allow: str = "",
    by: Actor,
    at: datetime,
) -> HealthSource:
    with unit_of_work() as session:
        source = _seen(session, HealthSource, source_id, seen_version, "health_source")
        if why := why_not_edit(source, draft):
            raise RefusedError(why)
        _allow_with(draft, allow, by, at)
        check_source(draft)
        before = source_facts(source)
        _fill_source(source, draft)
        source.due_at, source.failures, source.trouble = at, 0, ""
        _audit("health.source.update", "health_source", source.id, source.name, before,
               source_facts(source), by=by, at=at)  # fmt: skip
    return source


def close_source(
    source_id: int, *, seen_version: int | None = None, by: Actor, at: datetime
) -> HealthSource:
    """Stop asking a source. Its panels stay, without data, until somebody closes them."""
    with unit_of_work() as session:
        source = _seen(session, HealthSource, source_id, seen_version, "health_source")
        if source.closed_at is not None:
            raise ConflictError(f"{source.name} is closed already.")
        source.closed_at = at
        _audit("health.source.close", "health_source", source.id, source.name, {"closed": False},
               {"closed": True}, by=by, at=at)  # fmt: skip
    return source


def reopen_source(source_id: int, *, by: Actor, at: datetime) -> HealthSource:
    with unit_of_work() as session:
        source = _seen(session, HealthSource, source_id, None, "health_source")
        if source.closed_at is None:
            raise ConflictError(f"{source.name} is open already.")
        source.closed_at, source.due_at, source.failures = None, at, 0
        _audit("health.source.reopen", "health_source", source.id, source.name, {"closed": True},
               {"closed": False}, by=by, at=at)  # fmt: skip
    return source


def _allow_with(draft: SourceDraft, host: str, by: Actor, at: datetime) -> None:
    """Put the host of the address onto the list, if it is the one that somebody agreed to."""
    if host and host == host_of(draft.url.strip()) and why_not_allowed(draft.url, allowed_hosts()):
        allow_host(host, f"For {draft.name.strip()}", by=by, at=at)


def why_not_edit(source: HealthSource, draft: SourceDraft) -> str | None:
    """Say why this source can't become that."""
    if draft.kind != source.kind:
        return "The kind of a source can't change. Close it, and make another."
    if (
        draft.secret is None
        and source.secret_encrypted
        and _origin(draft.url) != _origin(source.url)
    ):
        # Or whoever may edit an address could read the secret there.
        return (
            "The address leads elsewhere now. Give its sign-in again, so that what was kept goes "
            "nowhere by mistake."
        )
    return None


def _origin(url: str) -> tuple[str | None, bool]:
    return host_of(url.strip()), url.strip().lower().startswith("https:")


def check_source(draft: SourceDraft) -> None:
    """Raises `RefusedError` with the first reason why this can't be a source."""
    if why := _why_no_source(draft) or why_not_allowed(draft.url.strip(), allowed_hosts()):
        raise RefusedError(why)


def _why_no_source(draft: SourceDraft) -> str | None:
    if draft.kind not in SOURCES:
        return f"There is no kind {draft.kind[:40]}. Known: {', '.join(sorted(SOURCES))}."
    if not draft.name.strip():
        return "Give the source a name."
    if len(draft.name.strip()) > MAX_SOURCE_NAME:
        return f"A name has at most {MAX_SOURCE_NAME} letters."
    if not SHORTEST <= draft.every <= LONGEST:
        return f"Look every {SHORTEST} seconds to every day."
    if len(draft.url) > MAX_ADDRESS or ODD_IN_ADDRESS.search(draft.url.strip()):
        return (
            f"An address has at most {MAX_ADDRESS} letters, and neither a space, a backslash nor #."
        )
    return why_not_options(draft.kind, draft.options) or why_not_secret(draft.secret or {})


def _fill_source(source: HealthSource, draft: SourceDraft) -> None:
    source.name, source.url, source.every = draft.name.strip(), draft.url.strip(), draft.every
    source.options = dict(draft.options)
    if draft.secret is not None:
        secret = {name: value for name, value in draft.secret.items() if value}
        source.secret_encrypted = encrypt(json.dumps(secret), settings().key) if secret else None
        source.secret_hint = _hint(secret)


def _hint(secret: Mapping[str, str]) -> str:
    if bearer := secret.get("bearer"):
        return f"bearer token that ends in {bearer[-4:]}" if len(bearer) >= 16 else "bearer token"
    if user := secret.get("user"):
        return f"as {user}"[:60]
    return f"header {secret['header']}"[:60] if secret.get("header") else ""


def source_facts(source: HealthSource) -> dict[str, Any]:
    """A source as the audit trail keeps it: without its secret."""
    return {
        "name": source.name,
        "kind": source.kind,
        "url": source.url,
        "every": source.every,
        "options": dict(source.options),
        "signs_in": source.secret_hint,
    }


# --- Panels -----------------------------------------------------------------------------------


def create_panels(
    model_slug: str,
    drafts: Sequence[PanelDraft],
    *,
    source_id: int | None,
    preset: str = "",
    by: Actor,
    at: datetime,
) -> list[Panel]:
    """All of them or none. Raises `RefusedError` with the first reason why one can't be."""
    with unit_of_work() as session:
        model = _model(session, model_slug)
        source = None
        if source_id is not None:
            source = _seen(session, HealthSource, source_id, None, "health_source")
        there = session.scalar(
            select(func.count()).where(Panel.model_id == model.id, Panel.closed_at.is_(None))
        )
        if (there or 0) + len(drafts) > MOST_PANELS:
            raise RefusedError(f"A model has {MOST_PANELS} panels at most.")
        panels = [_new_panel(session, model, source, draft, preset, by, at) for draft in drafts]
        if source is not None:
            source.due_at = at
        for panel in panels:
            _audit("health.panel.create", "health_panel", panel.id, _name(model, panel), None,
                   panel_facts(panel), by=by, at=at)  # fmt: skip
    return panels


def _new_panel(
    session: Session,
    model: MlModel,
    source: HealthSource | None,
    draft: PanelDraft,
    preset: str,
    by: Actor,
    at: datetime,
) -> Panel:
    _check_panel(draft, source)
    panel = Panel(
        model_id=model.id,
        slug=_free_slug(session, Panel.slug, draft.key or draft.title, Panel.model_id == model.id),
        source_id=source.id if source else None,
        preset=preset,
        created_at=at,
        created_by=by.name,
    )
    _fill_panel(panel, draft)
    session.add(panel)
    session.flush()
    return panel


def edit_panel(
    panel_id: int, draft: PanelDraft, *, seen_version: int | None, by: Actor, at: datetime
) -> Panel:
    """Write the draft over the panel. What was seen so far stays; it is judged anew from now on."""
    with unit_of_work() as session:
        panel = _seen(session, Panel, panel_id, seen_version, "health_panel")
        _check_panel(draft, panel.source)
        before = panel_facts(panel)
        _fill_panel(panel, draft)
        after = panel_facts(panel)
        if after != before:
            lamp = session.get(Lamp, panel.id)
            if lamp is not None and rule_of(panel) != _rule_in(before):
                lamp.windows = []
            if panel.source is not None:
                panel.source.due_at = at
            _audit("health.panel.update", "health_panel", panel.id, _name(panel.model, panel),
                   before, after, by=by, at=at)  # fmt: skip
    return panel


def close_panel(
    panel_id: int, *, seen_version: int | None = None, by: Actor, at: datetime
) -> Panel:
    """Stop watching. What it saw stays in the record, and a breach that was told of ends."""
    with unit_of_work() as session:
        panel = _seen(session, Panel, panel_id, seen_version, "health_panel")
        if panel.closed_at is not None:
            raise ConflictError(f"{panel.title} is closed already.")
        panel.closed_at = at
        let_go(session, [panel.id], at=at)
        _audit("health.panel.close", "health_panel", panel.id, _name(panel.model, panel),
               {"closed": False}, {"closed": True}, by=by, at=at)  # fmt: skip
    return panel


def reopen_panel(panel_id: int, *, by: Actor, at: datetime) -> Panel:
    with unit_of_work() as session:
        panel = _seen(session, Panel, panel_id, None, "health_panel")
        if panel.closed_at is None:
            raise ConflictError(f"{panel.title} is open already.")
        panel.closed_at = None
        if panel.source is not None:
            panel.source.due_at = at
        _audit("health.panel.reopen", "health_panel", panel.id, _name(panel.model, panel),
               {"closed": True}, {"closed": False}, by=by, at=at)  # fmt: skip
    return panel


def _check_panel(draft: PanelDraft, source: HealthSource | None) -> None:
    if why := why_no_panel(draft, source.kind if source else None):
        raise RefusedError(f"{draft.title.strip()[:120] or 'A panel'}: {why}")


def _fill_panel(panel: Panel, draft: PanelDraft) -> None:
    rule = draft.rule
    panel.title, panel.lane, panel.unit = draft.title.strip(), draft.lane, draft.unit
    panel.spec, panel.window = dict(draft.spec), draft.window
    panel.above, panel.below, panel.clear = rule.above, rule.below, rule.clear
    panel.k, panel.n, panel.min_rows = rule.k, rule.n, rule.min_rows
    panel.stale_after = int(rule.stale_after.total_seconds())
    panel.failure_mode, panel.severity = draft.failure_mode, draft.severity


def panel_facts(panel: Panel) -> dict[str, Any]:
    """A panel as the audit trail keeps it."""
    return {
        "title": panel.title,
        "lane": panel.lane.value,
        "unit": panel.unit,
        "spec": dict(panel.spec),
        "window": panel.window,
        **{name: getattr(panel, name) for name in RULE},
        "failure_mode": panel.failure_mode,
        "severity": panel.severity,
    }


@dataclass(frozen=True, slots=True)
class _Columns:
    above: float | None
    below: float | None
    clear: float | None
    k: int
    n: int
    min_rows: float
    stale_after: int


def _rule_in(facts: Mapping[str, Any]) -> Rule:
    return rule_of(_Columns(**{name: facts[name] for name in RULE}))


# --- Service levels ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SloDraft:
    """What people say of a service level. `target` is a ratio."""

    title: str
    target: float
    window_days: int
    spec: Mapping[str, Any]
    min_events: float = MIN_EVENTS
    failure_mode: str = ""
    slug: str = ""


def create_slo(
    model_slug: str, draft: SloDraft, *, source_id: int | None, by: Actor, at: datetime
) -> Slo:
    with unit_of_work() as session:
        model = _model(session, model_slug)
        there = session.scalar(
            select(func.count()).where(Slo.model_id == model.id, Slo.closed_at.is_(None))
        )
        if (there or 0) >= MOST_LEVELS:
            raise RefusedError(f"A model has {MOST_LEVELS} service levels at most.")
        source = _counting_source(session, source_id)
        _check_slo(draft, source)
        wanted = slo_slug(draft.slug or draft.title)
        slo = Slo(
            model_id=model.id,
            slug=_free_slug(session, Slo.slug, wanted, Slo.model_id == model.id),
            source_id=source_id,
            counts={},
            created_at=at,
            created_by=by.name,
        )
        _fill_slo(slo, draft)
        session.add(slo)
        session.flush()
        if source is not None:
            source.due_at = at
        _audit("health.slo.create", "health_slo", slo.id, f"{model.slug}: {slo.title}", None,
               slo_facts(slo), by=by, at=at)  # fmt: skip
    return slo


def edit_slo(
    slo_id: int,
    draft: SloDraft,
    *,
    seen_version: int | None,
    source_id: int | None = None,
    by: Actor,
    at: datetime,
) -> Slo:
    """Write the draft over the service level. Without a `source_id` its source stays.

    Once something else is counted, what was counted before says nothing any more.
    """
    with unit_of_work() as session:
        slo = _seen(session, Slo, slo_id, seen_version, "health_slo")
        before = slo_facts(slo)
        was = _counted(slo)
        if source_id is not None and source_id != slo.source_id:
            slo.source = _counting_source(session, source_id)
        _check_slo(draft, slo.source)
        _fill_slo(slo, draft)
        session.flush()
        if _counted(slo) != was:
            levels.begin_anew(session, slo)
            if slo.source is not None:
                slo.source.due_at = at
        if slo_facts(slo) != before:
            _audit("health.slo.update", "health_slo", slo.id, f"{slo.model.slug}: {slo.title}",
                   before, slo_facts(slo), by=by, at=at)  # fmt: skip
    return slo


def close_slo(slo_id: int, *, seen_version: int | None = None, by: Actor, at: datetime) -> Slo:
    """Stop counting. What it said stays in the record, and a burn that was told of ends."""
    with unit_of_work() as session:
        slo = _seen(session, Slo, slo_id, seen_version, "health_slo")
        if slo.closed_at is not None:
            raise ConflictError(f"{slo.title} is closed already.")
        slo.closed_at = at
        levels.let_go(session, slo, at=at)
        _audit("health.slo.close", "health_slo", slo.id, f"{slo.model.slug}: {slo.title}",
               {"closed": False}, {"closed": True}, by=by, at=at)  # fmt: skip
    return slo


def reopen_slo(slo_id: int, *, by: Actor, at: datetime) -> Slo:
    with unit_of_work() as session:
        slo = _seen(session, Slo, slo_id, None, "health_slo")
        if slo.closed_at is None:
            raise ConflictError(f"{slo.title} is open already.")
        slo.closed_at = None
        if slo.source is not None:
            slo.source.due_at = at
        _audit("health.slo.reopen", "health_slo", slo.id, f"{slo.model.slug}: {slo.title}",
               {"closed": True}, {"closed": False}, by=by, at=at)  # fmt: skip
    return slo


def slo_slug(said: str) -> str:
    """What a service level of that name is called in addresses."""
    slug = slug_from(said)[:70] or "unnamed"
    return f"level-{slug}" if slug in NO_SLO_SLUGS else slug


def _counting_source(session: Session, source_id: int | None) -> HealthSource | None:
    if source_id is None:
        return None
    source = session.get(HealthSource, source_id)
    if source is None or source.closed_at is not None:
        raise RefusedError("That source is closed, or gone. Choose another.")
    return source


def _check_slo(draft: SloDraft, source: HealthSource | None) -> None:
    if not draft.title.strip():
        raise RefusedError("Give the service level a title.")
    if len(draft.title.strip()) > 120:
        raise RefusedError("The title of a service level has at most 120 letters.")
    if len(draft.failure_mode) > 80:
        raise RefusedError("A failure mode has at most 80 letters.")
    if not 0 < draft.target < 1:
        raise RefusedError("The objective lies between 0 and 100 %, and is neither.")
    if not 1 <= draft.window_days <= 90:
        raise RefusedError("The window of a service level is 1 to 90 days.")
    if draft.min_events < 0:
        raise RefusedError("Events can't be fewer than none.")
    if source is not None and (why := counting.why_not_counts(source.kind, draft.spec)):
        raise RefusedError(f"{draft.title}: {why}")


def _fill_slo(slo: Slo, draft: SloDraft) -> None:
    slo.title, slo.target, slo.window_days = draft.title.strip(), draft.target, draft.window_days
    slo.spec, slo.min_events = dict(draft.spec), draft.min_events
    slo.failure_mode = draft.failure_mode


def draft_of_slo(slo: Slo) -> SloDraft:
    """The service level as a draft, to change some of it."""
    return SloDraft(
        title=slo.title,
        target=slo.target,
        window_days=slo.window_days,
        spec=dict(slo.spec),
        min_events=slo.min_events,
        failure_mode=slo.failure_mode,
        slug=slo.slug,
    )


def slo_facts(slo: Slo) -> dict[str, Any]:
    """A service level as the audit trail keeps it."""
    return {
        "title": slo.title,
        "target": slo.target,
        "window_days": slo.window_days,
        "source": slo.source.name if slo.source else None,
        "spec": dict(slo.spec),
        "min_events": slo.min_events,
        "failure_mode": slo.failure_mode,
    }


def _counted(slo: Slo) -> tuple[int | None, dict[str, Any]]:
    """What is counted, and where."""
    return slo.source_id, {name: said for name, said in slo.spec.items() if name != counting.KEPT}


# --- Shared -----------------------------------------------------------------------------------


def _model(session: Session, slug: str) -> MlModel:
    model = session.scalars(select(MlModel).where(MlModel.slug == slug)).one_or_none()
    if model is None:
        raise NotFoundError(f"There is no model {slug}.")
    return model


def _seen(
    session: Session, table: type[Row], row_id: int, seen_version: int | None, kind: str
) -> Row:
    row = session.get(table, row_id, with_for_update=True)
    if row is None:
        raise NotFoundError("It is gone: nothing here has that number.")
    if seen_version is not None and row.version != seen_version:
        name = row.name if isinstance(row, HealthSource) else row.title
        raise audit.changed_meanwhile(kind, row.id, name)
    return row


def _free_slug(session: Session, column: Any, said: str, *among: Any) -> str:
    """A slug that nothing else has, made from a name."""
    wanted = slug_from(said)[:70] or "unnamed"
    taken = set(session.scalars(select(column).where(column.startswith(wanted), *among)))
    taken.add("new")  # the address of the form
    return next(
        slug
        for slug in (wanted, *(f"{wanted}-{number}" for number in range(2, len(taken) + 3)))
        if slug not in taken
    )


def _name(model: MlModel, panel: Panel) -> str:
    return f"{model.slug}: {panel.title}"


def _audit(
    action: str,
    kind: str,
    target_id: int,
    name: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    *,
    by: Actor,
    at: datetime,
) -> None:
    audit.record(
        action,
        target_kind=kind,
        target_id=target_id,
        target_name=name,
        before=before,
        after=after,
        by=by,
        at=at,
    )
