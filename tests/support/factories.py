"""Rows for tests, each with what it needs and nothing that the test does not say."""

import itertools
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
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
from app.health.rules import LampState, Lane
from app.health.tables import (
    Dataset,
    DatasetModel,
    DriftReport,
    HealthSource,
    Lamp,
    LatencyBudget,
    Panel,
    Reading,
    Slo,
)
from app.incidents.rules import State
from app.incidents.tables import Incident
from app.people import access
from app.people.rules import Role
from app.people.tables import ApiToken, User
from app.registry.tables import MlModel, ModelMatcher, Team
from app.runbooks import search
from app.runbooks.rules import Status
from app.runbooks.runs.rules import EventKind, Mode, RunStatus
from app.runbooks.runs.tables import Run, RunEvent, Verification
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
        book = Runbook(
            slug=slug,
            title=slug,
            failure_mode=failure_mode,
            owner=front_matter.get("owner"),
            created_at=NOON,
        )
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
        search.index(database, book.id)
    return version


def run(version: RunbookVersion, **more: Any) -> Run:
    """A real run that was finished in 20 minutes, unless told otherwise."""
    started = more.pop("started_at", NOON)
    status = more.pop("status", RunStatus.FINISHED)
    ended = None if status is RunStatus.OPEN else started + timedelta(minutes=20)
    values: dict[str, Any] = {
        "mode": Mode.LIVE,
        "runbook_id": version.runbook_id,
        "version_id": version.id,
        "variables": {},
        "scenario": {},
        "started_by": "Test",
        "ended_at": ended,
    }
    return keep(Run(started_at=started, status=status, **(values | more)))


def run_event(of: Run, kind: EventKind, step_id: str | None = None, **more: Any) -> RunEvent:
    """The next event of a run."""
    with unit_of_work() as database:
        row = database.get_one(Run, of.id)
        row.last_seq += 1
        at = more.pop("at", NOON)
        event = RunEvent(
            run_id=of.id,
            seq=row.last_seq,
            step_id=step_id,
            kind=kind,
            at=at,
            said_at=at,
            actor="Test",
            client_event_id=uuid.uuid4().hex,
            detail=more,
        )
        database.add(event)
    return event


def verification(of: Run, *, at: datetime = NOON, how: str = "drill") -> Verification:
    """A run that proved its runbook."""
    return keep(
        Verification(
            runbook_id=of.runbook_id,
            version_id=of.version_id,
            run_id=of.id,
            how=how,
            at=at,
            by="Test",
        )
    )


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


def health_source(kind: str = "openmetrics", **more: Any) -> HealthSource:
    number = next(_numbers)
    return keep(
        HealthSource(
            slug=more.pop("slug", f"source-{number}"),
            name=more.pop("name", f"Source {number}"),
            kind=kind,
            url=more.pop("url", "http://serving.example.com:9000/metrics"),
            options=more.pop("options", {}),
            every=more.pop("every", 30),
            due_at=more.pop("due_at", NOON),
            created_at=NOON,
            created_by="Baton",
            **more,
        )
    )


def panel(model: MlModel, lane: Lane = Lane.LATENCY, **more: Any) -> Panel:
    number = next(_numbers)
    return keep(
        Panel(
            model_id=model.id,
            slug=more.pop("slug", f"panel-{number}"),
            title=more.pop("title", "p99 latency"),
            lane=lane,
            spec=more.pop("spec", {}),
            unit=more.pop("unit", "ms"),
            window=more.pop("window", 300),
            above=more.pop("above", 250.0),
            stale_after=more.pop("stale_after", 300),
            failure_mode=more.pop("failure_mode", "latency_regression"),
            created_at=more.pop("created_at", NOON),
            created_by="Baton",
            **more,
        )
    )


def slo(model: MlModel, **more: Any) -> Slo:
    number = next(_numbers)
    return keep(
        Slo(
            model_id=model.id,
            slug=more.pop("slug", f"slo-{number}"),
            title=more.pop("title", "Requests within 250 ms"),
            target=more.pop("target", 0.99),
            window_days=more.pop("window_days", 28),
            spec=more.pop("spec", {}),
            counts=more.pop("counts", {}),
            created_at=NOON,
            created_by="Baton",
            **more,
        )
    )


def lamp(panel: Panel, state: LampState = LampState.OK, **more: Any) -> Lamp:
    """Where a panel stands, seen a moment ago."""
    at = more.pop("at", NOON)
    return keep(
        Lamp(
            panel_id=panel.id,
            model_id=panel.model_id,
            lane=panel.lane,
            state=state,
            in_breach=state is LampState.BREACH,
            since=more.pop("since", at),
            value=more.pop("value", 200.0),
            newest_at=more.pop("newest_at", at),
            looked_at=at,
            windows=[],
            **more,
        )
    )


def readings(
    panel: Panel,
    values: Sequence[float | LampState],
    *,
    until: datetime = NOON,
    every: timedelta = timedelta(minutes=1),
    series: str = "",
) -> None:
    """A reading each minute, the last one at `until`: a value, or why there is none."""
    with unit_of_work() as database:
        for number, value in enumerate(reversed(values)):
            is_gap = isinstance(value, LampState)
            database.add(
                Reading(
                    panel_id=panel.id,
                    at=until - number * every,
                    state=value if is_gap else LampState.OK,
                    value=None if is_gap else value,
                    series=series,
                )
            )


def drift_report(model: MlModel, kind: Lane = Lane.INPUT_DRIFT, **more: Any) -> DriftReport:
    at = more.pop("window_end", NOON)
    return keep(
        DriftReport(
            model_id=model.id,
            kind=kind,
            identity=uuid.uuid4().hex,
            format="baton",
            window_end=at,
            window_start=more.pop("window_start", at - timedelta(hours=1)),
            parts=more.pop("parts", []),
            received_at=at,
            **more,
        )
    )


def latency_budget(model: MlModel, **more: Any) -> LatencyBudget:
    return keep(
        LatencyBudget(
            model_id=model.id,
            percentile=more.pop("percentile", 99),
            budget_ms=more.pop("budget_ms", 250.0),
            clock=more.pop("clock", "server"),
            stages=more.pop("stages", []),
            ladder=more.pop("ladder", []),
            updated_at=NOON,
            updated_by="Baton",
            **more,
        )
    )


def dataset(slug: str = "events.clicks_v3", *models: MlModel, **more: Any) -> Dataset:
    """A data input, and the models that rely on it. Its panels are `panel(…, dataset_id=…)`."""
    row = keep(Dataset(slug=slug, created_at=NOON, **more))
    for model in models:
        keep(DatasetModel(dataset_id=row.id, model_id=model.id))
    return row
