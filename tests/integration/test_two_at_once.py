"""Two who change the same thing at once: the second is told who was first, and nothing is lost."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from app.alerts import service as alerts
from app.alerts.service import IntegrationDraft
from app.core.clock import now
from app.core.db import db, end_read, is_sqlite, unit_of_work
from app.core.errors import ConflictError
from app.incidents import service as incidents
from app.people import queries
from app.people import service as people
from app.people.rules import Actor, Role
from app.people.service import Profile
from app.registry import service as registry
from app.registry.drafts import ModelDraft, PagerDraft, TeamDraft
from tests.support import factories

INES, PRIYA = Actor("person", 1, "Ines Duarte"), Actor("person", 2, "Priya Raman")
PASSWORD = "a few plain words"


def at_once(app, first, second):
    """What `second` gets, begun while `first` is done but not yet committed."""
    with ThreadPoolExecutor(1) as other:
        with unit_of_work() as session:
            first()
            session.flush()
            asked = other.submit(elsewhere, app, second)
            wait_until_it_waits(asked)
        return asked.result(20)


def elsewhere(app, act):
    with app.app_context():
        try:
            return act()
        except ConflictError as conflict:
            return conflict.sentence
        finally:
            db.session.remove()


def wait_until_it_waits(asked):
    """For a row that is held. On SQLite the second waits for its turn, and has read nothing."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    give_up = time.monotonic() + 20
    while not is_sqlite() and not asked.done():
        with db.engine.connect() as watcher:
            if watcher.scalar(waiting):
                return
        assert time.monotonic() < give_up
        time.sleep(0.01)


def person():
    user = factories.user(name="Sam Okafor")
    factories.user(Role.ADMINISTRATOR, password_hash="x")
    return user.id


def change_role(user_id, by, at):
    role = Role.VIEWER if by is INES else Role.MAINTAINER
    people.change_role(user_id, role, version=1, by=by, at=at)


def deactivate(user_id, by, at):
    people.deactivate(user_id, revoke_tokens=True, version=1, by=by, at=at)


def model():
    return factories.model("recsys-home", owner=factories.team("serving")).slug


def edit_model(slug, by, at):
    draft = ModelDraft(slug, "serving", 2 if by is INES else 3)
    registry.edit_model(slug, draft, seen_version=1, by=by, at=at)


def retire_model(slug, by, at):
    registry.retire_model(slug, seen_version=1, by=by, at=at)


def team():
    return factories.team("serving").slug


def edit_team(slug, by, at):
    draft = TeamDraft(slug, f"The team of {by.name}", triages=True)
    registry.edit_team(slug, draft, seen_version=1, by=by, at=at)


def wire_pager(slug, by, at):
    registry.wire_pager(slug, PagerDraft("eu", by.name[:4]), seen_version=1, by=by, at=at)


def incident():
    return factories.incident().id


def acknowledge(incident_id, by, at):
    incidents.acknowledge(incident_id, seen=1, by=Actor("token", 1, by.name), at=at)


def set_severity(incident_id, by, at):
    severity = 1 if by is INES else 2
    incidents.set_severity(incident_id, severity, seen=1, by=by, at=at)


def integration():
    return factories.integration("generic")[0].id


def edit_integration(integration_id, by, at):
    draft = IntegrationDraft(f"That of {by.name}")
    alerts.edit_integration(integration_id, draft, seen_version=1, by=by, at=at)


def close_integration(integration_id, by, at):
    alerts.close_integration(integration_id, seen_version=1, by=by, at=at)


@pytest.mark.parametrize(
    ("thing", "change"),
    [
        (person, change_role),
        (person, deactivate),
        (model, edit_model),
        (model, retire_model),
        (team, edit_team),
        (team, wire_pager),
        (incident, acknowledge),
        (incident, set_severity),
        (integration, edit_integration),
        (integration, close_integration),
    ],
    ids=lambda one: one.__name__,
)
def test_the_second_hears_who_was_first(app, at, thing, change):
    one = thing()

    told = at_once(app, lambda: change(one, INES, at), lambda: change(one, PRIYA, at))

    assert told is not None
    assert "Ines Duarte" in told


def test_a_profile_that_an_administrator_changed_meanwhile_is_not_overwritten(app, at):
    user_id, profile = person(), Profile("Sam", "UTC", single_keys=True)

    told = at_once(
        app,
        lambda: change_role(user_id, INES, at),
        lambda: people.update_profile(user_id, profile, version=1, at=at),
    )

    assert "Ines Duarte changed Sam Okafor" in told


@pytest.mark.parametrize("second", ["out", "password", "link"])
def test_what_needs_no_version_is_done_after_the_first(app, at, second):
    user_id, at = person(), now()
    people.new_link(user_id, by=INES, at=at)
    link = queries.open_link_of(user_id, at=at).id
    if second == "password":
        people.use_link(link, people.Welcome("Sam Okafor", PASSWORD), at=at)

    def act():
        match second:
            case "out":
                return people.sign_out_everywhere(user_id, by=PRIYA, at=at).epoch
            case "password":
                new = "a few other words"
                return people.change_password(user_id, PASSWORD, new, address="", at=at).epoch
            case "link":
                return people.use_link(link, people.Welcome("Sam Okafor", PASSWORD), at=at).epoch

    before = queries.user(user_id).epoch

    epoch = at_once(app, lambda: people.sign_out_everywhere(user_id, by=INES, at=at), act)

    end_read()
    assert epoch == queries.user(user_id).epoch == before + 2


def test_a_link_and_a_deactivation_do_not_wait_for_each_other(app, at):
    at = now()
    user_id = person()

    at_once(
        app,
        lambda: people.new_link(user_id, by=INES, at=at),
        lambda: deactivate(user_id, PRIYA, at),
    )

    end_read()
    assert not queries.user(user_id).active
    assert queries.open_link_of(user_id, at=at) is None
