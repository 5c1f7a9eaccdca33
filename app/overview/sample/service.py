"""Setting the sample up, taking it away, following its address, and breaking it.

It is set up once, as people set up a model of theirs: through the same services, and audited. What
somebody changes, closes or retires afterwards stays so. The audit trail is what remembers how far
it is; nothing else is kept of it.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.config import settings
from app.core.db import db, unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError, UpstreamError
from app.health import budgets, datasets
from app.health import service as health
from app.health.presets import OPENMETRICS
from app.health.service import SourceDraft
from app.health.tables import AllowedHost, Dataset, HealthSource, Panel
from app.integrations.sample import ADDRESS, AwayError, Fault, Sample
from app.overview.sample import plan
from app.overview.sample.plan import Pace
from app.people import audit
from app.people.rules import BATON, Actor
from app.people.tables import AuditEntry
from app.registry import queries as registry
from app.registry import service as registering

log = logging.getLogger(__name__)

KIND = "sample"  # of targets in the audit trail
WHY = "The sample beside Baton"
METRICS, DRIFT, CONTRACTS = "/metrics", "/drift", "/contracts"


class Step(StrEnum):
    """What was last done with the sample, as the audit trail calls it."""

    ADDED = "sample.add"
    REMOVED = "sample.remove"  # by somebody, for good
    LEFT_OUT = "sample.leave_out"  # by BATON_SAMPLE=off, for as long as it says so
    SKIPPED = "sample.skip"  # it could not be set up


def here() -> Sample:
    """The sample of this host."""
    return Sample(settings().var.resolve() / "sample")


def last_step() -> AuditEntry | None:
    """What was last done; none if it was never set up."""
    return db.session.scalars(
        select(AuditEntry)
        .where(AuditEntry.target_kind == KIND, AuditEntry.action.in_(list(Step)))
        .order_by(AuditEntry.id.desc())
        .limit(1)
    ).first()


# --- Following


def follow(*, at: datetime) -> None:
    """Set the sample up when it first runs, and ask it where it answers now."""
    address = here().address
    if not settings().sample or address is None:
        return
    last = last_step()
    if last is not None and last.action == Step.ADDED:
        _move(_sources(last), address, at=at)
    elif last is None or last.action == Step.LEFT_OUT:
        try:
            add(address, by=BATON, at=at)
        except (RefusedError, ConflictError) as error:
            # Said once, and not tried again: `baton sample add` does when it can be.
            log.warning("The sample is not set up: %s", error.sentence)
            _note(Step.SKIPPED, {"why": error.sentence}, by=BATON, at=at)


def _why_not() -> str | None:
    if registry.models_called([plan.MODEL.slug]):
        return f"There is a model {plan.MODEL.slug} already."
    return None


def _move(sources: Sequence[HealthSource], address: str, *, at: datetime) -> None:
    """Ask at the new address. What people wrote into a source themselves stays."""
    moved = [
        source
        for source in sources
        if source.closed_at is None
        and ADDRESS.match(source.url)
        and _origin(source.url) != address
        and _allowed(_origin(source.url))
    ]
    if not moved:
        return
    with unit_of_work():
        before = {_origin(source.url) for source in moved}
        _allow(address, by=BATON, at=at)
        for source in moved:
            _edit_address(source, address, at=at)
        for origin in before:
            _forbid(origin, by=BATON, at=at)


def _edit_address(source: HealthSource, address: str, *, at: datetime) -> None:
    draft = SourceDraft(
        name=source.name,
        kind=source.kind,
        url=address + urlsplit(source.url).path,
        every=source.every,
        options=source.options,
    )
    health.edit_source(source.id, draft, seen_version=None, by=BATON, at=at)


# --- Setting up


def add(
    address: str,
    *,
    metrics: tuple[str, str] | None = None,
    pace: Pace | None = None,
    by: Actor,
    at: datetime,
) -> None:
    """Set the sample up, or bring back what was taken away.

    `metrics` is a kind of source and an address for its metrics, if Baton is not to scrape them
    itself.
    """
    with unit_of_work() as session:
        last, added = last_step(), _last_added(session)
        if last is not None and last.action == Step.ADDED:
            raise ConflictError("The sample is set up already.")
        if added is None:
            if why := _why_not():
                raise RefusedError(why)
            sources = _set_up(session, address, metrics, pace or Pace(), at=at)
        else:
            sources = _sources(added)
            _bring_back(session, address, sources, _taken_away_at(session, added), by=by, at=at)
        ids = [source.id for source in sources]
        _note(Step.ADDED, {"model": plan.MODEL.slug, "sources": ids}, by=by, at=at)


def _last_added(session: Session) -> AuditEntry | None:
    return session.scalars(
        select(AuditEntry)
        .where(AuditEntry.target_kind == KIND, AuditEntry.action == Step.ADDED)
        .order_by(AuditEntry.id.desc())
        .limit(1)
    ).first()


def _taken_away_at(session: Session, added: AuditEntry) -> datetime | None:
    return session.scalar(
        select(AuditEntry.at)
        .where(
            AuditEntry.target_kind == KIND,
            AuditEntry.action.in_((Step.REMOVED, Step.LEFT_OUT)),
            AuditEntry.id > added.id,
        )
        .order_by(AuditEntry.id)
        .limit(1)
    )


def _set_up(
    session: Session, address: str, metrics: tuple[str, str] | None, pace: Pace, *, at: datetime
) -> list[HealthSource]:
    """Returns the sources."""
    kind, url = metrics or (OPENMETRICS, address + METRICS)
    if not registry.teams_called([plan.TEAM.slug]):
        registering.create_team(plan.TEAM, by=BATON, at=at)
    registering.create_model(plan.MODEL, by=BATON, at=at)
    for origin in dict.fromkeys((address, _origin(url))):
        _allow(origin, by=BATON, at=at)

    def source(name: str, kind: str, url: str) -> HealthSource:
        draft = SourceDraft(name=name, kind=kind, url=url, every=pace.every)
        return health.create_source(draft, by=BATON, at=at)

    serving = source("Sample metrics", kind, url)
    drift = source("Sample drift reports", "drift", address + DRIFT)
    contracts = source("Sample data contracts", "contracts", address + CONTRACTS)
    made = health.create_panels(
        plan.MODEL.slug,
        plan.panels(kind, pace),
        source_id=serving.id,
        preset=plan.PRESET,
        by=BATON,
        at=at,
    )
    health.create_panels(plan.MODEL.slug, plan.drift_panels(), source_id=drift.id, by=BATON, at=at)
    slo = health.create_slo(
        plan.MODEL.slug, plan.service_level(kind), source_id=serving.id, by=BATON, at=at
    )
    whole = next(panel for panel in made if panel.slug == "p99")
    budgets.create(
        plan.MODEL.slug,
        plan.budget(panel_id=whole.id, slo_id=slo.id),
        bucket_matched=True,
        by=BATON,
        at=at,
    )
    _set_up_input(session, contracts, at=at)
    return [serving, drift, contracts]


def _set_up_input(session: Session, source: HealthSource, *, at: datetime) -> None:
    """The data input, before its first check comes in."""
    known = session.scalars(select(Dataset).where(Dataset.slug == plan.DATASET)).one_or_none()
    if known is None:
        session.add(
            Dataset(
                slug=plan.DATASET,
                team_id=registry.team_by_slug(plan.TEAM.slug).id,
                source_id=source.id,
                fresh_within=plan.FRESH_WITHIN,
                created_at=at,
            )
        )
        session.flush()
    datasets.link(plan.DATASET, plan.MODEL.slug, by=BATON, at=at)
    today = at.date()
    datasets.attest_access(
        plan.DATASET,
        role=plan.READER,
        approver=plan.APPROVER,
        reviewed_on=today,
        review_due=today + plan.REVIEW_EVERY,
        ends_on=None,
        by=BATON,
        at=at,
    )


def _bring_back(
    session: Session,
    address: str,
    sources: Sequence[HealthSource],
    removed_at: datetime | None,
    *,
    by: Actor,
    at: datetime,
) -> None:
    """Undo the removal: what people had closed before it stays closed."""
    model = _model(session)
    if model.retired_at is not None:
        registering.restore_model(model.slug, by=by, at=at)
    _allow(address, by=by, at=at)
    for source in sources:
        if source.closed_at is not None and source.closed_at == removed_at:
            health.reopen_source(source.id, by=by, at=at)
            if ADDRESS.match(source.url) and _origin(source.url) != address:
                _edit_address(source, address, at=at)
    for panel in _panels(session, model.id):
        if panel.closed_at is not None and panel.closed_at == removed_at:
            health.reopen_panel(panel.id, by=by, at=at)


# --- Taking away


def remove(*, by: Actor, at: datetime) -> None:
    """Take the sample out of what is watched. Its past stays, and `add` brings it back."""
    _take_away(Step.REMOVED, by=by, at=at)


def leave_out(*, at: datetime) -> None:
    """Stop watching what BATON_SAMPLE=off no longer starts, if this host had it before."""
    last = last_step() if here().is_here else None
    if last is not None and last.action == Step.ADDED:
        with unit_of_work() as session:
            is_gone = _model(session).retired_at is not None
        if not is_gone:
            _take_away(Step.LEFT_OUT, by=BATON, at=at)


def _take_away(step: Step, *, by: Actor, at: datetime) -> None:
    last = last_step()
    if last is None or last.action == Step.SKIPPED:
        raise NotFoundError("The sample is not set up here.")
    if last.action == Step.REMOVED:
        raise ConflictError("The sample was removed already.")
    if last.action == Step.LEFT_OUT:
        # It is away; now it is to stay so, too.
        _note(step, {"model": plan.MODEL.slug}, by=by, at=at)
        return
    with unit_of_work() as session:
        model = _model(session)
        if model.retired_at is None:
            registering.retire_model(model.slug, by=by, at=at)
        for panel in _panels(session, model.id):
            if panel.closed_at is None:
                health.close_panel(panel.id, by=by, at=at)
        sources = _sources(last)
        for source in sources:
            if source.closed_at is None:
                health.close_source(source.id, by=by, at=at)
        for origin in dict.fromkeys(_origin(source.url) for source in sources):
            _forbid(origin, by=by, at=at)
        _note(step, {"model": model.slug}, by=by, at=at)


# --- Breaking


def inject(fault: str, *, by: Actor, at: datetime) -> Sequence[Fault]:
    """Break the sample in one way."""
    return _switch("sample.break", fault, by=by, at=at)


def heal(fault: str | None = None, *, by: Actor, at: datetime) -> Sequence[Fault]:
    """Mend one fault, or all."""
    return _switch("sample.heal", fault, by=by, at=at)


def _switch(action: str, fault: str | None, *, by: Actor, at: datetime) -> Sequence[Fault]:
    sample = here()
    try:
        if fault is not None and fault not in {one.name for one in sample.faults()}:
            raise NotFoundError(f"The sample has no fault {fault[:40]}.")
        if action == "sample.heal":
            found = sample.heal(fault)
        else:
            assert fault is not None
            found = sample.inject(fault)
    except AwayError as error:
        raise UpstreamError(str(error.args[0])) from None
    with unit_of_work():
        audit.record(
            action, target_kind=KIND, target_id=fault or "all",
            target_name=fault or "All faults of the sample", by=by, at=at,
        )  # fmt: skip
    return found


# --- Shared


def _note(step: Step, after: dict[str, Any], *, by: Actor, at: datetime) -> None:
    with unit_of_work():
        audit.record(
            step, target_kind=KIND, target_id=KIND, target_name="The sample", after=after,
            by=by, at=at,
        )  # fmt: skip


def _model(session: Session) -> Any:
    """By the name that it was set up with. Renamed, it is somebody's own."""
    found = registry.models_called([plan.MODEL.slug])
    if not found:
        raise NotFoundError(f"There is no model {plan.MODEL.slug} any more: it has another name.")
    return found[0]


def _panels(session: Session, model_id: int) -> Sequence[Panel]:
    return session.scalars(
        select(Panel)
        .where(Panel.model_id == model_id, Panel.created_by == BATON.name)
        .order_by(Panel.id)
    ).all()


def _sources(step: AuditEntry) -> list[HealthSource]:
    ids = (step.after or {}).get("sources", [])
    return list(
        db.session.scalars(
            select(HealthSource).where(HealthSource.id.in_(ids)).order_by(HealthSource.id)
        )
    )


def _origin(url: str) -> str:
    return url.removesuffix(urlsplit(url).path)


def _host(origin: str) -> str:
    return urlsplit(origin).netloc


def _allowed(origin: str) -> AllowedHost | None:
    return db.session.scalars(
        select(AllowedHost).where(AllowedHost.pattern == _host(origin))
    ).one_or_none()


def _allow(origin: str, *, by: Actor, at: datetime) -> None:
    if _allowed(origin) is None:
        health.allow_host(_host(origin), WHY, by=by, at=at)


def _forbid(origin: str, *, by: Actor, at: datetime) -> None:
    """Take a host off the list that came there with the sample."""
    host = _allowed(origin)
    if host is not None and host.why == WHY:
        health.forbid_host(host.id, by=by, at=at)
