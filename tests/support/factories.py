"""Rows for tests, each with what it needs and nothing that the test does not say."""

import itertools
import uuid
from datetime import UTC, datetime
from typing import Any

from flask import session
from flask.testing import FlaskClient

from app.alerts.keys import keys
from app.alerts.routing import forget_router
from app.alerts.tables import Integration
from app.config import settings
from app.core.clock import now
from app.core.db import unit_of_work
from app.core.secrets import encrypt, new_secret, secret_hash
from app.incidents.rules import State
from app.incidents.tables import Incident
from app.people import access
from app.people.rules import Role
from app.people.tables import ApiToken, User
from app.registry.tables import MlModel, ModelMatcher, Team
from app.runbooks.rules import Status
from app.runbooks.tables import Runbook, RunbookSignal, RunbookVersion, VersionEvent

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
_numbers = itertools.count(1)


def keep(row: Any) -> Any:
    with unit_of_work() as database:
        database.add(row)
    return row


def user(role: Role = Role.RESPONDER, *, name: str = "", email: str = "", **more: Any) -> User:
    number = next(_numbers)
    return keep(
        User(
            email=email or f"person{number}@example.com",
            name=name or f"Person {number}",
            role=role,
            created_at=NOON,
            **more,
        )
    )


def sign_in(client: FlaskClient, person: User) -> None:
    """Sign the browser in without the sign-in page."""
    with client.session_transaction() as kept, client.application.test_request_context():
        access.begin_session(person, at=now())
        kept.update(dict(session))


def token_headers(*scopes: str, **more: Any) -> dict[str, str]:
    secret = f"bt_{new_secret(40)}"
    keep(
        ApiToken(
            name=more.pop("name", "a token"),
            secret_hash=secret_hash(secret),
            last_four=secret[-4:],
            scopes=list(scopes),
            created_at=NOON,
            **more,
        )
    )
    return {"Authorization": f"Bearer {secret}"}


def team(slug: str = "serving", *, routing_key: str | None = None, **more: Any) -> Team:
    forget_router()
    return keep(
        Team(
            slug=slug,
            name=more.pop("name", slug.capitalize()),
            routing_key_encrypted=encrypt(routing_key, settings().key) if routing_key else None,
            routing_key_last_four=routing_key[-4:] if routing_key else None,
            created_at=NOON,
            **more,
        )
    )


def model(
    slug: str = "recsys-home",
    *,
    owner: Team | None = None,
    matchers: list[dict[str, str]] | None = None,
    **more: Any,
) -> MlModel:
    forget_router()
    owner = owner or team(f"team-of-{slug}")
    return keep(
        MlModel(
            slug=slug,
            tier=more.pop("tier", 1),
            team_id=owner.id,
            created_at=NOON,
            matchers=[ModelMatcher(labels=labels) for labels in matchers or []],
            **more,
        )
    )


def runbook(
    slug: str = "latency-regression",
    *,
    failure_mode: str = "latency_regression",
    alertname: str | None = None,
    source: bytes = b"# A runbook\n",
    **front_matter: Any,
) -> RunbookVersion:
    """A published runbook of one version."""
    forget_router()
    with unit_of_work() as database:
        book = Runbook(slug=slug, title=slug, failure_mode=failure_mode, created_at=NOON)
        database.add(book)
        database.flush()
        version = RunbookVersion(
            runbook_id=book.id,
            number=1,
            sha256=uuid.uuid4().hex * 2,
            source=source,
            front_matter={"id": slug, "failure_mode": failure_mode, **front_matter},
            title=slug,
            author="Test",
            origin={"kind": "folder"},
            created_at=NOON,
        )
        database.add(version)
        database.flush()
        database.add(
            VersionEvent(version_id=version.id, status=Status.PUBLISHED, at=NOON, by="Test")
        )
        if alertname:
            database.add(
                RunbookSignal(
                    version_id=version.id,
                    alertname=alertname.lower(),
                    condition={"alertname": alertname},
                )
            )
        book.published_id = version.id
    return version


def integration(
    source: str = "alertmanager", *, name: str = "", **more: Any
) -> tuple[Integration, str]:
    """An open door and its key."""
    key = new_secret()
    row = keep(
        Integration(
            name=name or source,
            source=source,
            key_hash=secret_hash(key),
            last_four=key[-4:],
            created_at=NOON,
            created_by="Test",
            **more,
        )
    )
    keys.forget()
    return row, key


def incident(**more: Any) -> Incident:
    """An open incident in triage, unless told otherwise."""
    values: dict[str, Any] = {
        "uuid": uuid.uuid4().hex,
        "title": "Something is wrong",
        "state": State.TRIGGERED,
        "severity": 3,
        "failure_mode": "latency_regression",
        "opened_at": NOON,
    }
    if "model_id" not in more and "model" not in more:
        values["triage_key"] = uuid.uuid4().hex
    return keep(Incident(**(values | more)))
