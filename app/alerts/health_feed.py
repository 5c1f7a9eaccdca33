"""Baton's own panels as a sender: their state changes become deliveries like any other's.

So a breach that Baton sees is routed, joined to an incident, listed and replayed as an alert from
outside is. The panels know nothing of it: they record facts, and this reads them with a cursor.
A breach is told at once. Its end waits where the failure mode comes back in waves
(`persistence`), in a job of its own that tells it if nothing happened meanwhile.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from flask import current_app
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.alerts.keys import keys
from app.alerts.persistence import rest
from app.alerts.rules import DeliveryState
from app.alerts.tables import Delivery, FeedCursor, Integration
from app.config import settings
from app.core.db import unit_of_work
from app.core.jobs import enqueue
from app.core.secrets import new_secret, secret_hash
from app.health import evidence
from app.health import queries as health
from app.health.queries import Fact
from app.people.rules import BATON
from app.registry.rules import OWN_LABEL

NAME = "Baton health"
SOURCE = "generic"
AT_ONCE = 200  # changes in a delivery
FIRES = {"breach", "blind", "burning"}
ENDS = {"recovered": "breach", "seeing": "blind", "burnt_out": "burning"}
BLIND_MODE = "monitoring_blind"
ALERTNAMES = {"breach": "HealthBreach", "blind": "HealthBlind", "burning": "ErrorBudgetBurn"}
SEVERITIES = {1: "critical", 2: "error", 3: "warning", 4: "info"}


def read_changes(*, at: datetime) -> int:
    """Hand on what changed since the last time. Returns how many changes there were."""
    read = 0
    while facts := _read_some(at):
        read += len(facts)
        if len(facts) < AT_ONCE:
            break
    return read


def _read_some(at: datetime) -> Sequence[Fact]:
    with unit_of_work() as session:
        cursor = session.get(FeedCursor, "health", with_for_update=True)
        if cursor is None:
            cursor = FeedCursor(name="health", position=0)
            session.add(cursor)
        facts = health.facts_after(cursor.position, limit=AT_ONCE)
        if not facts:
            return facts
        cursor.position = facts[-1].id
        told = [fact for fact in facts if _is_told(fact) and not _has_to_last(fact, at)]
        if told:
            _deliver(session, [_alert(fact) for fact in told], f"health-{facts[-1].id}", at)
    return facts


def tell_end(fact_id: int, *, at: datetime) -> bool:
    """Hand on that a breach is over, unless the panel was in breach again. Says whether it did."""
    with unit_of_work() as session:
        fact = next(iter(health.facts_after(fact_id - 1, limit=1)), None)
        if fact is None or fact.id != fact_id or not evidence.is_last_word(fact_id):
            return False
        name = f"health-end-{fact_id}"
        if session.scalar(select(Delivery.id).where(Delivery.sender_id == name)) is not None:
            return False  # the worker was stopped between the commit and the end of the job
        _deliver(session, [_alert(fact)], name, at)
    return True


def _is_told(fact: Fact) -> bool:
    """Whether a fact is one that alerts are made of: it begins or ends what has a failure mode.

    The mode may have been taken away meanwhile. What fired with one still ends.
    """
    if fact.fact not in {*FIRES, *ENDS}:
        return False
    if _failure_mode(fact) or fact.fact in FIRES:
        return bool(_failure_mode(fact))
    began = health.begin_of(fact, ENDS[fact.fact])
    return began is not None and bool(began.get("failure_mode"))


def _failure_mode(fact: Fact) -> str:
    if ENDS.get(fact.fact, fact.fact) == "blind":
        return BLIND_MODE
    return str(fact.detail.get("failure_mode") or "")


def _has_to_last(fact: Fact, at: datetime) -> bool:
    """Whether it is too early to tell that a breach is over; then a job is set to tell it."""
    if fact.fact != "recovered" or fact.panel_id is None:
        return False
    if not fact.detail.get("is_watched", True):
        return False  # nobody looks any more, so it can't come back
    pace = evidence.pace_of(fact.panel_id)
    wait = rest(_failure_mode(fact), pace) if pace else None
    if not wait:
        return False
    left = (fact.at + wait - at).total_seconds()
    enqueue("alerts.tell_end", fact.id, key=f"health-rest-{fact.id}", delay=max(left, 0.0))
    return True


def _alert(fact: Fact) -> dict[str, Any]:
    kind = ENDS.get(fact.fact, fact.fact)
    said = fact.detail
    subject = f"slo-{fact.slo_id}" if fact.slo_id else f"panel-{fact.panel_id}"
    moment = fact.at.isoformat()
    labels = {
        OWN_LABEL: said["model"],
        "model": said["model"],
        "failure_mode": _failure_mode(fact),
        "panel": said.get("panel") or said.get("slo", ""),
        "lane": said.get("lane", ""),
    }
    ends = fact.fact in ENDS
    return {
        "name": ALERTNAMES[kind],
        "fingerprint": f"{kind}-{subject}",
        "status": "resolved" if ends else "firing",
        "summary": fact.sentence,
        "severity": SEVERITIES.get(said.get("severity", 3), "warning"),
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": _annotations(said),
        "ends_at" if ends else "starts_at": moment,
        "links": [{"href": settings().url + _page_of(said), "text": str(said["title"])}],
    }


def _page_of(said: Mapping[str, Any]) -> str:
    """Where Baton shows the panel or the service level: no request is at hand to build it from."""
    model = f"/models/{quote(str(said['model']))}"
    pages = current_app.view_functions
    if said.get("slo") and "health.level" in pages:
        return f"{model}/health/levels/{quote(str(said['slo']))}"
    if said.get("panel") and "health.panel" in pages:
        return f"{model}/health/panels/{quote(str(said['panel']))}"
    return f"{model}/health" if "health.of_model" in pages else model


def _annotations(said: Mapping[str, Any]) -> dict[str, str]:
    names = ("value", "limit", "unit", "rows", "source", "remark", "rate", "factor", "left")
    return {name: str(said[name]) for name in names if said.get(name) not in (None, "")}


def _deliver(
    session: Session, alerts: Sequence[Mapping[str, Any]], name: str, at: datetime
) -> None:
    body = json.dumps({"alerts": alerts}).encode()
    session.execute(
        insert(Delivery),
        [
            {
                "receipt": uuid4().hex,
                "integration_id": _integration(session, at).id,
                "source": SOURCE,
                "received_at": at,
                "path": "/in/generic",
                "headers": {},
                "body": body,
                "size": len(body),
                "sha256": hashlib.sha256(body).hexdigest(),
                "sender_id": name,
                "state": DeliveryState.RECEIVED,
                "what": str(alerts[0]["summary"])
                if len(alerts) == 1
                else f"{len(alerts)} alerts, the first {alerts[0]['summary']}",
            }
        ],
    )
    enqueue("alerts.process_inbox", int(at.timestamp()), key=name)


def _integration(session: Session, at: datetime) -> Integration:
    """The door that stands for Baton's own panels. Nobody has its key."""
    found = session.scalars(
        select(Integration).where(Integration.name == NAME, Integration.created_by == BATON.name)
    ).first()
    if found is None:
        key = new_secret()
        found = Integration(
            name=NAME,
            source=SOURCE,
            key_hash=secret_hash(key),
            last_four=key[-4:],
            created_at=at,
            created_by=BATON.name,
        )
        session.add(found)
        session.flush()
        keys.forget()
    return found
