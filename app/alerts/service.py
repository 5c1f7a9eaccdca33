"""Writes: the doors and their keys, and what people do with deliveries. Each is audited.

Nothing here processes a delivery or deletes one: that is for jobs (`processing.py`, `purging.py`).
"""

import hmac
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Result,
    and_,
    delete,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session, defer

from app.alerts import queries
from app.alerts.keys import PATIENCE, keys
from app.alerts.queries import DEAD_LETTER
from app.alerts.rules import DeliveryState
from app.alerts.sources import SOURCES
from app.alerts.tables import Change, Delivery, Integration
from app.alerts.trial import TRIALS, Trial
from app.config import settings
from app.core.db import end_read, unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.core.jobs import enqueue
from app.core.secrets import new_secret, secret_hash
from app.integrations import own_door
from app.people import audit
from app.people.rules import Actor
from app.registry.tables import Team

OLD_KEY_LASTS = timedelta(hours=24)
TEST_KEY_LASTS = timedelta(minutes=2)
MOST_REPLAYED = 500  # named deliveries in one call

REPLAYABLE = (DeliveryState.DEAD, DeliveryState.ACCEPTED, DeliveryState.DUPLICATE)


# --- Integrations


@dataclass(frozen=True, slots=True)
class IntegrationDraft:
    """What people say of an integration."""

    name: str
    team_id: int | None = None  # whose sender it is


def create_integration(
    name: str, source: str, team_id: int | None = None, *, by: Actor, at: datetime
) -> tuple[Integration, str]:
    """A new door, and its key, which nobody can show again."""
    if source not in SOURCES:
        raise RefusedError(f"There is no source {source}. Known: {', '.join(sorted(SOURCES))}.")
    key = new_secret()
    with unit_of_work() as session:
        draft = _checked(session, IntegrationDraft(name, team_id))
        integration = Integration(
            name=draft.name,
            source=source,
            key_hash=secret_hash(key),
            last_four=key[-4:],
            team_id=draft.team_id,
            created_at=at,
            created_by=by.name,
        )
        session.add(integration)
        session.flush()
        _record("integration.create", integration, None, by=by, at=at)
    keys.forget()
    return integration, key


def create_named_after_source(source: str, *, by: Actor, at: datetime) -> tuple[Integration, str]:
    """`create_integration` for somebody who gives no name: `alertmanager 2`."""
    taken = queries.names_in_use()
    number = next(n for n in range(1, len(taken) + 2) if f"{source} {n}".lower() not in taken)
    return create_integration(f"{source} {number}", source, by=by, at=at)


def edit_integration(
    integration_id: int,
    draft: IntegrationDraft,
    *,
    seen_version: int | None = None,
    by: Actor,
    at: datetime,
) -> Integration:
    with unit_of_work() as session:
        integration = _as_seen(session, integration_id, seen_version)
        draft = _checked(session, draft, but=integration_id)
        before = _facts(integration)
        integration.name, integration.team_id = draft.name, draft.team_id
        if _facts(integration) != before:
            _record("integration.update", integration, before, by=by, at=at)
    keys.forget()
    return integration


def replace_key(
    integration_id: int, *, seen_version: int | None = None, by: Actor, at: datetime
) -> tuple[Integration, str]:
    """A new key. The one so far works for a day more, so that no delivery is lost meanwhile."""
    key = new_secret()
    with unit_of_work() as session:
        integration = _as_seen(session, integration_id, seen_version)
        if integration.closed_at is not None:
            raise RefusedError(f"{integration.name} is closed. Open it again first.")
        before = _facts(integration)
        integration.old_key_hash = integration.key_hash
        integration.old_key_until = at + OLD_KEY_LASTS
        integration.key_hash, integration.last_four = secret_hash(key), key[-4:]
        _record("integration.key", integration, before, by=by, at=at)
    keys.forget()
    return integration, key


def close_integration(
    integration_id: int, *, seen_version: int | None = None, by: Actor, at: datetime
) -> Integration:
    """Refuse whatever comes with its keys from now on. What has come stays."""
    with unit_of_work() as session:
        integration = _as_seen(session, integration_id, seen_version)
        if integration.closed_at is not None:
            raise ConflictError(f"{integration.name} is closed already.")
        before = _facts(integration)
        integration.closed_at = at
        _record("integration.close", integration, before, by=by, at=at)
    keys.forget()
    return integration


def reopen_integration(
    integration_id: int, *, seen_version: int | None = None, by: Actor, at: datetime
) -> Integration:
    """Take deliveries again. The key is the same; an old one that was still good is not."""
    with unit_of_work() as session:
        integration = _as_seen(session, integration_id, seen_version)
        if integration.closed_at is None:
            raise ConflictError(f"{integration.name} is open already.")
        _checked(session, IntegrationDraft(integration.name), but=integration_id)
        before = _facts(integration)
        integration.closed_at = None
        integration.old_key_hash = integration.old_key_until = None
        _record("integration.reopen", integration, before, by=by, at=at)
    keys.forget()
    return integration


def _checked(
    session: Session, draft: IntegrationDraft, *, but: int | None = None
) -> IntegrationDraft:
    """The draft as it is stored, or why it can't be."""
    name = " ".join(draft.name.replace("\0", "").split())
    if not name:
        raise RefusedError("Give it a name, so that people know which sender it is.")
    if len(name) > 120:
        raise RefusedError("A name has at most 120 characters.")
    if name.lower() in queries.names_in_use(but=but):
        raise ConflictError(f"There is an open integration called {name} already.")
    if draft.team_id is not None and session.get(Team, draft.team_id) is None:
        raise RefusedError("There is no such team any more. Choose another.")
    return IntegrationDraft(name, draft.team_id)


def _as_seen(session: Session, integration_id: int, seen_version: int | None) -> Integration:
    integration = queries.integration(integration_id)
    session.refresh(integration, with_for_update=True)
    if seen_version is not None and integration.version != seen_version:
        raise audit.changed_meanwhile("integration", integration.id, integration.name)
    return integration


def _facts(integration: Integration) -> dict[str, Any]:
    return {
        "name": integration.name,
        "source": integration.source,
        "team_id": integration.team_id,
        "open": integration.closed_at is None,
        "key_ends_in": integration.last_four,
    }


def _record(
    action: str, integration: Integration, before: dict[str, Any] | None, *, by: Actor, at: datetime
) -> None:
    audit.record(
        action,
        target_kind="integration",
        target_id=integration.id,
        target_name=integration.name,
        before=before,
        after=_facts(integration),
        by=by,
        at=at,
    )


# --- A test


@dataclass(frozen=True, slots=True)
class DoorAnswer:
    """What our own door said to a test."""

    status: int
    receipt: str | None
    sentence: str

    @property
    def taken(self) -> bool:
        return 200 <= self.status < 300


def send_test(
    integration_id: int, *, model: str = "", key: str | None = None, by: Actor, at: datetime
) -> DoorAnswer:
    """Send an alert to the door over HTTP, as its sender would, and say what it answered.

    With the `key` that was just made and is still on the reader's page, the test proves that very
    key. Later nobody can show it any more: then the door is lent a key for the length of the test,
    in the place of an old one.
    """
    integration = queries.integration(integration_id)
    if integration.closed_at is not None:
        raise RefusedError(f"{integration.name} is closed. Open it again first.")
    if integration.source not in TRIALS:
        raise RefusedError(f"There is no test for {SOURCES[integration.source].title}.")
    if key is not None and not hmac.compare_digest(secret_hash(key), integration.key_hash):
        raise ConflictError(f"{integration.name} has another key by now. Test it with that one.")
    trial = Trial(secrets.token_hex(8), model.strip()[:120], by.name, settings().url, at)
    path, document = f"/in/{integration.source}", TRIALS[integration.source](trial)
    _record_test(integration, trial, by=by)
    if key is not None:
        reply = own_door.post(path, key, document)
    else:
        lent = _lend_key(integration_id, at)
        try:
            reply = own_door.post(path, lent, document)
        finally:
            _take_back(integration_id, lent)
    end_read()  # whoever looks for the delivery now must not look into the past
    receipt = reply.body.get("delivery")
    return DoorAnswer(
        reply.status,
        receipt if isinstance(receipt, str) else None,
        str(reply.body.get("detail") or f"The door answered {reply.status}."),
    )


def _lend_key(integration_id: int, at: datetime) -> str:
    lent = new_secret()
    with unit_of_work() as session:
        # Not through the object: this is no edit, and must not disturb one.
        found = session.execute(
            update(Integration)
            .where(
                Integration.id == integration_id,
                or_(Integration.old_key_hash.is_(None), Integration.old_key_until <= at),
            )
            .values(old_key_hash=secret_hash(lent), old_key_until=at + TEST_KEY_LASTS)
        )
        if _rows(found) != 1:
            until = queries.integration(integration_id).old_key_until
            raise ConflictError(
                "Another key of this integration works until "
                f"{f'{until:%H:%M} UTC' if until else 'a little later'}, and a test needs its "
                "place. Send the test after that."
            )
    keys.forget()
    # No process takes longer to see a key that is new to it.
    time.sleep(PATIENCE + 0.05)
    return lent


def _take_back(integration_id: int, lent: str) -> None:
    with unit_of_work() as session:
        session.execute(
            update(Integration)
            .where(Integration.id == integration_id, Integration.old_key_hash == secret_hash(lent))
            .values(old_key_hash=None, old_key_until=None)
        )
    keys.forget()


def _record_test(integration: Integration, trial: Trial, *, by: Actor) -> None:
    audit.record(
        "integration.test",
        target_kind="integration",
        target_id=integration.id,
        target_name=integration.name,
        after={"test": trial.id, "model": trial.model},
        by=by,
        at=trial.at,
    )


# --- Deliveries


def replay(delivery_ids: Iterable[int], *, by: Actor, at: datetime) -> int:
    """Process these again, in the order in which they came. Returns how many.

    They keep their first time, so what they say is judged as old as it is: an alert that ended
    since is not opened again.
    """
    wanted = sorted(set(delivery_ids))
    if not wanted:
        raise RefusedError("Name at least one delivery.")
    if len(wanted) > MOST_REPLAYED:
        raise RefusedError(f"Replay up to {MOST_REPLAYED} deliveries at once.")
    with unit_of_work() as session:
        found = _locked(session, wanted)
        bodiless = queries.without_body(wanted)
        for delivery_id in wanted:
            delivery = found.get(delivery_id)
            if why := _refusal_to_replay(
                delivery_id, delivery, has_body=delivery_id not in bodiless
            ):
                raise RefusedError(why)
        # Processing tells of its changes anew.
        session.execute(delete(Change).where(Change.delivery_id.in_(wanted)))
        _put_back(session, Delivery.id.in_(wanted), by=by, at=at)
        for delivery_id in wanted:
            _record_delivery("delivery.replay", found[delivery_id], by=by, at=at)
    return len(wanted)


def replay_all_dead(source: str | None = None, *, by: Actor, at: datetime) -> int:
    """Process all dead letters again, or those of one source. Returns how many."""
    wanted = and_(DEAD_LETTER, Delivery.body.is_not(None))
    if source is not None:
        wanted = and_(wanted, Delivery.source == source)
    with unit_of_work() as session:
        count = _put_back(session, wanted, by=by, at=at)
        if count:
            said = "1 dead letter" if count == 1 else f"{count:,} dead letters"
            audit.record(
                "delivery.replay_dead",
                target_kind="delivery",
                target_id="dead",
                target_name=said if source is None else f"{said} of {source}",
                by=by,
                at=at,
            )
    return count


def drop(delivery_id: int, reason: str, *, by: Actor, at: datetime) -> None:
    """Lay a dead letter aside. It stays to be read until it is purged, and can be replayed."""
    reason = " ".join(reason.replace("\0", "").split())[:500]
    if not reason:
        raise RefusedError("Say why, for whoever looks for it later.")
    with unit_of_work() as session:
        delivery = _locked(session, [delivery_id]).get(delivery_id)
        if delivery is None:
            raise NotFoundError(f"There is no delivery d-{delivery_id} any more.")
        if delivery.state is not DeliveryState.DEAD:
            raise RefusedError(f"Only a dead letter can be dropped; this one is {delivery.state}.")
        if delivery.outcome.get("dropped"):
            raise ConflictError("It is dropped already. Reload to see by whom.")
        before = {"why": delivery.why}
        delivery.outcome = {**delivery.outcome, "dropped": True, "died_of": delivery.why}
        delivery.why = f"Dropped by {by.name}: {reason}"
        _record_delivery("delivery.drop", delivery, before, {"why": delivery.why}, by=by, at=at)


def _locked(session: Session, ids: Sequence[int]) -> dict[int, Delivery]:
    rows = session.scalars(
        select(Delivery)
        .where(Delivery.id.in_(ids))
        .options(defer(Delivery.body))
        .order_by(Delivery.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {row.id: row for row in rows}


def _refusal_to_replay(
    delivery_id: int, delivery: Delivery | None, *, has_body: bool
) -> str | None:
    if delivery is None:
        return f"There is no delivery d-{delivery_id} any more."
    if delivery.state is DeliveryState.REFUSED:
        return f"d-{delivery_id} was refused at the door, and its body was not kept."
    if delivery.state not in REPLAYABLE:
        return f"d-{delivery_id} waits to be processed already."
    if not has_body:
        return f"The body of d-{delivery_id} is no longer kept."
    return None


def _put_back(session: Session, wanted: ColumnElement[bool], *, by: Actor, at: datetime) -> int:
    """Let deliveries wait again, as they did when they came, and wake the worker."""
    found = session.execute(
        update(Delivery)
        .where(wanted)
        .values(
            state=DeliveryState.RECEIVED,
            attempts=0,
            next_try_at=None,
            processed_at=None,
            why=f"Replayed by {by.name}, waits for the worker.",
            outcome={},
        )
        .execution_options(synchronize_session=False)
    )
    enqueue("alerts.process_inbox", int(at.timestamp()))
    return _rows(found)


def _record_delivery(
    action: str,
    delivery: Delivery,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    *,
    by: Actor,
    at: datetime,
) -> None:
    audit.record(
        action,
        target_kind="delivery",
        target_id=delivery.id,
        target_name=f"d-{delivery.id} {delivery.what}".strip(),
        before=before,
        after=after,
        by=by,
        at=at,
    )


def _rows(result: Result[Any]) -> int:
    assert isinstance(result, CursorResult)
    return result.rowcount
