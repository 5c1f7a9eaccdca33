"""Allowed hosts, sources, panels and service levels: what people may change, and what they can't."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.core.db import db
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.health import recording, service
from app.health.asking import Asking
from app.health.presets import PanelDraft
from app.health.rules import Lane, Observation, Rule
from app.health.service import SloDraft, SourceDraft
from app.health.tables import HealthSource, Lamp, Panel
from app.people.rules import COMMAND_LINE as BY
from app.people.tables import AuditEntry
from tests.support import factories

SECRET = "s3cret-token-of-20-ch"
DRAFT = SourceDraft(
    "Serving", "openmetrics", "http://serving.example.com:9000/metrics", secret={"bearer": SECRET}
)
PANEL = PanelDraft(
    key="p99",
    lane=Lane.LATENCY,
    title="p99 latency",
    unit="ms",
    spec={"stat": "quantile", "metric": "request_seconds", "q": 0.99, "scale": 1000},
    rule=Rule(above=250.0, k=2, n=3),
    window=300,
    failure_mode="latency_regression",
    severity=2,
)


@pytest.fixture
def allowed(app, at):
    return service.allow_host("serving.example.com:9000", "Serving", by=BY, at=at)


@pytest.fixture
def source(allowed, at):
    return service.create_source(DRAFT, by=BY, at=at)


@pytest.fixture
def model(app):
    return factories.model("recsys-home")


def actions():
    return list(db.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


@pytest.mark.parametrize(
    "pattern", ["", "serving.example.com", ":9000", "a b:80", "http://a:80", "*.com:80", "a:0",
                "a:99999", "*:80", "a/b:80", "a:\u00b2", "a:" + "9" * 5_000],
)  # fmt: skip
def test_a_host_is_a_name_and_a_port(app, at, pattern):
    with pytest.raises(RefusedError):
        service.allow_host(pattern, "", by=BY, at=at)


def test_a_host_is_allowed_once_and_can_be_taken_off(allowed, at):
    with pytest.raises(ConflictError, match="allowed already"):
        service.allow_host(" Serving.example.com:9000", "", by=BY, at=at)

    service.forbid_host(allowed.id, by=BY, at=at)
    with pytest.raises(NotFoundError):
        service.forbid_host(allowed.id, by=BY, at=at)
    assert actions() == ["health.host.allow", "health.host.forbid"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"url": "http://elsewhere.example.com:9000/"}, "not on the list"),
        ({"url": "http://serving.example.com:9001/"}, "not on the list"),
        ({"url": "http://me:pw@serving.example.com:9000/"}, "password out of the address"),
        ({"url": "file:///etc/passwd"}, "http://"),
        ({"url": "http://"}, "host"),
        ({"kind": "carrier pigeon"}, "no kind"),
        ({"every": 1}, "Look every"),
        ({"name": " "}, "a name"),
    ],
)
def test_a_source_that_can_t_be_asked_is_refused(allowed, at, change, why):
    with pytest.raises(RefusedError, match=why):
        service.create_source(replace(DRAFT, **change), by=BY, at=at)

    assert db.session.query(HealthSource).count() == 0


def test_a_secret_is_encrypted_used_and_never_written_down(source, at):
    assert SECRET not in (source.secret_encrypted or "")
    assert source.secret_hint == "bearer token that ends in 0-ch"
    assert Asking.of(source)._headers() == {"Authorization": f"Bearer {SECRET}"}
    assert SECRET not in repr(Asking.of(source))
    trail = db.session.scalars(select(AuditEntry)).all()
    assert SECRET not in str([(one.before, one.after) for one in trail])


def test_an_edit_keeps_the_secret_unless_it_is_given_anew(source, at):
    before = source.secret_encrypted
    service.edit_source(
        source.id, replace(DRAFT, every=60, secret=None), seen_version=1, by=BY, at=at
    )
    assert source.secret_encrypted == before
    service.edit_source(source.id, replace(DRAFT, secret={}), seen_version=2, by=BY, at=at)
    assert (source.secret_encrypted, source.secret_hint) == (None, "")


def test_two_edits_of_one_source_are_not_both_taken(source, at):
    service.edit_source(source.id, replace(DRAFT, every=60), seen_version=1, by=BY, at=at)

    with pytest.raises(ConflictError):
        service.edit_source(source.id, replace(DRAFT, every=90), seen_version=1, by=BY, at=at)


def test_a_source_is_closed_and_opened_again(source, at):
    service.close_source(source.id, by=BY, at=at)
    with pytest.raises(ConflictError, match="closed already"):
        service.close_source(source.id, by=BY, at=at)
    later = at + timedelta(hours=1)

    service.reopen_source(source.id, by=BY, at=later)

    assert (source.closed_at, source.due_at) == (None, later)


def test_panels_are_made_together_or_not_at_all(model, source, at):
    drafts = [PANEL, replace(PANEL, key="p95", rule=Rule())]

    with pytest.raises(RefusedError, match="Give a limit"):
        service.create_panels("recsys-home", drafts, source_id=source.id, by=BY, at=at)

    assert db.session.query(Panel).count() == 0


def test_a_panel_that_its_source_can_t_read_is_refused(model, source, at):
    draft = replace(PANEL, spec={"stat": "tea leaves"})

    with pytest.raises(RefusedError, match="p99 latency"):
        service.create_panels("recsys-home", [draft], source_id=source.id, by=BY, at=at)


def test_a_second_panel_of_a_name_gets_a_number(model, source, at):
    found = service.create_panels("recsys-home", [PANEL, PANEL], source_id=source.id, by=BY, at=at)

    assert [one.slug for one in found] == ["p99", "p99-2"]
    assert source.due_at == at


def test_another_rule_begins_to_count_anew(model, source, at):
    (panel,) = service.create_panels("recsys-home", [PANEL], source_id=source.id, by=BY, at=at)
    recording.record({panel.id: Observation(at, 612.0, 9.0)}, at=at)

    service.edit_panel(panel.id, replace(PANEL, title="p99"), seen_version=1, by=BY, at=at)
    db.session.expire_all()
    assert len(db.session.get_one(Lamp, panel.id).windows) == 1

    changed = replace(PANEL, rule=Rule(above=700.0))
    service.edit_panel(panel.id, changed, seen_version=2, by=BY, at=at)
    db.session.expire_all()
    assert db.session.get_one(Lamp, panel.id).windows == []


def test_a_closed_panel_has_no_lamp(model, source, at):
    (panel,) = service.create_panels("recsys-home", [PANEL], source_id=source.id, by=BY, at=at)
    recording.record({panel.id: Observation(at, 612.0, 9.0)}, at=at)

    service.close_panel(panel.id, seen_version=1, by=BY, at=at)

    assert db.session.query(Lamp).count() == 0
    service.reopen_panel(panel.id, by=BY, at=at)
    assert panel.closed_at is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"target": 1.0}, "between 0 and 100"),
        ({"target": 0.0}, "between 0 and 100"),
        ({"window_days": 0}, "1 to 90 days"),
        ({"window_days": 91}, "1 to 90 days"),
        ({"title": ""}, "a title"),
        ({"min_events": -1}, "fewer than none"),
    ],
)
def test_a_service_level_that_means_nothing_is_refused(model, at, change, why):
    draft = SloDraft("Within 250 ms", 0.99, 28, {})

    with pytest.raises(RefusedError, match=why):
        service.create_slo("recsys-home", replace(draft, **change), source_id=None, by=BY, at=at)


def test_a_service_level_is_made_edited_and_closed(model, at):
    draft = SloDraft("Within 250 ms", 0.99, 28, {})
    slo = service.create_slo("recsys-home", draft, source_id=None, by=BY, at=at)

    service.edit_slo(slo.id, replace(draft, target=0.995), seen_version=1, by=BY, at=at)
    service.close_slo(slo.id, seen_version=2, by=BY, at=at)

    assert (slo.slug, slo.target, slo.closed_at) == ("within-250-ms", 0.995, at)
    assert actions() == ["health.slo.create", "health.slo.update", "health.slo.close"]
