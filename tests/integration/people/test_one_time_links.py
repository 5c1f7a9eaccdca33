"""One-time links: for the first administrator, for invited people, for forgotten passwords."""

import logging
import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.core.clock import now
from app.core.db import db, unit_of_work
from app.core.errors import RefusedError
from app.people import links, queries, service
from app.people.links import LinkIsOverError
from app.people.rules import FIRST_ADMINISTRATOR, LINK_LASTS, Role
from app.people.service import Invitation, Welcome
from app.people.tables import AuditEntry, OneTimeLink, User
from app.web.logs import handler

PASSWORD = "some other plain words"
GIVEN = {"name": "Sam Okafor", "password": PASSWORD, "again": PASSWORD}


def path(link):
    return link.removeprefix("https://baton.test")


def secret(link):
    return link.rpartition("/")[2]


@pytest.fixture
def invited(actor):
    """A person without a password, and their link."""
    return service.invite(
        Invitation("sam@example.com", "Sam Okafor", Role.RESPONDER), by=actor, at=now()
    )


def test_the_first_start_makes_a_link_for_the_first_administrator(app, at):
    link = service.first_administrator_link(at)

    assert re.fullmatch(r"https://baton\.test/welcome/[A-Za-z0-9]{32}", link)
    [user] = db.session.scalars(select(User))
    assert (user.email, user.role, user.password_hash) == (
        FIRST_ADMINISTRATOR,
        Role.ADMINISTRATOR,
        None,
    )


def test_each_start_renews_the_link_until_somebody_has_a_password(app, at):
    first = service.first_administrator_link(at)
    second = service.first_administrator_link(at)

    with pytest.raises(LinkIsOverError):
        links.follow(secret(first), at=at)
    link = links.follow(secret(second), at=at)
    service.use_link(link.id, Welcome("Ada Byron", PASSWORD, "ada@example.com"), at=at)

    assert service.first_administrator_link(at) is None
    assert db.session.scalar(select(func.count()).select_from(User)) == 1


def test_an_administrator_added_by_command_line_is_the_first_one(app, actor, at):
    with unit_of_work() as session:
        session.query(User).delete()
    service.invite(Invitation("ada@example.com", "Ada Byron", Role.ADMINISTRATOR), by=actor, at=at)

    link = links.follow(secret(service.first_administrator_link(at)), at=at)

    assert link.user.email == "ada@example.com"


def test_the_first_administrator_says_who_they_are_and_is_signed_in(app, browser):
    browser.get(path(service.first_administrator_link(now())))
    page = browser.get("/welcome")
    assert 'name="email"' in page.text

    reply = browser.post("/welcome", data={**GIVEN, "email": "Sam@Example.com"})

    assert reply.location == "/"
    assert "Sam Okafor" in browser.get("/settings/people").text
    assert queries.user_by_email("sam@example.com").role is Role.ADMINISTRATOR


def test_the_first_administrator_has_to_give_an_address(app, browser):
    browser.get(path(service.first_administrator_link(now())))

    reply = browser.post("/welcome", data={**GIVEN, "email": ""})

    assert reply.status_code == 422
    assert "An email address looks like name@example.com." in reply.text
    assert 'value="Sam Okafor"' in reply.text


def test_the_secret_leaves_the_address_bar_at_once_and_reaches_no_referrer(browser, invited):
    reply = browser.get(path(invited[1]))

    assert (reply.status_code, reply.location) == (303, "/welcome")
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Cache-Control"] == "no-store"


def test_the_secret_reaches_no_log_and_no_table(app, browser, invited, capsys):
    root = logging.getLogger()
    written = handler()
    root.addHandler(written)
    level = root.level
    root.setLevel(logging.DEBUG)
    try:
        browser.get(path(invited[1]))
        browser.get(path(invited[1]) + "x")
    finally:
        root.setLevel(level)
        root.removeHandler(written)

    assert secret(invited[1]) not in capsys.readouterr().out
    assert secret(invited[1]) not in db.session.scalars(select(OneTimeLink.secret_hash)).all()


def test_looking_at_a_link_does_not_use_it_up(browser, invited):
    for _ in range(2):
        assert browser.get(path(invited[1])).status_code == 303
        assert "sam@example.com" in browser.get("/welcome").text


def test_an_invited_person_sets_a_password_and_is_signed_in(browser, invited):
    browser.get(path(invited[1]))

    assert browser.post("/welcome", data=GIVEN).location == "/"

    assert browser.get("/profile").status_code == 200
    db.session.expire_all()
    assert service.sign_in("sam@example.com", PASSWORD, address="::1", at=now())


def test_an_invited_person_cannot_choose_another_address(browser, invited):
    browser.get(path(invited[1]))

    browser.post("/welcome", data={**GIVEN, "email": "else@example.com"})

    db.session.expire_all()
    assert queries.user(invited[0].id).email == "sam@example.com"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"password": "short", "again": "short"}, "Use at least 12 characters."),
        ({"again": "other"}, "The two passwords differ."),
        ({"name": ""}, "What colleagues call you."),
    ],
)
def test_what_does_not_fit_is_said_and_the_link_still_works(browser, invited, given, sentence):
    browser.get(path(invited[1]))

    refused = browser.post("/welcome", data=GIVEN | given)

    assert refused.status_code == 422
    assert sentence in refused.text
    assert PASSWORD not in refused.text
    assert browser.post("/welcome", data=GIVEN).location == "/"


def test_a_link_works_once(app, browser, invited, used_by):
    browser.get(path(invited[1]))
    with browser.session_transaction() as session:
        opened = session["welcome"]
    browser.post("/welcome", data=GIVEN)

    again = browser.get(path(invited[1]))
    with browser.session_transaction() as session:
        session["welcome"] = opened
    from_before = browser.post("/welcome", data=GIVEN)

    for reply in (again, from_before):
        assert reply.status_code == 410
        assert "It was used already, or is too old." in reply.text


def test_a_link_ends_after_a_day(invited):
    [link] = db.session.scalars(select(OneTimeLink))
    links.follow(secret(invited[1]), at=link.created_at + LINK_LASTS - timedelta(seconds=1))

    with pytest.raises(LinkIsOverError):
        links.follow(secret(invited[1]), at=link.created_at + LINK_LASTS)
    with pytest.raises(LinkIsOverError):
        service.use_link(link.id, Welcome("Sam Okafor", PASSWORD), at=link.created_at + LINK_LASTS)


def test_a_new_link_ends_the_older_one(invited, actor):
    _, newer = service.new_link(invited[0].id, by=actor, at=now())

    with pytest.raises(LinkIsOverError):
        links.follow(secret(invited[1]), at=now())
    assert links.follow(secret(newer), at=now())


def test_a_link_that_was_never_made_opens_nothing(browser):
    assert browser.get("/welcome/guessed").status_code == 410
    assert browser.get("/welcome").status_code == 404


def test_a_reset_ends_the_sessions_of_whoever_knew_the_old_password(used_by, person, actor):
    user = person("Ada Byron")
    stolen = used_by(user)
    _, link = service.new_link(user.id, by=actor, at=now())

    opened = links.follow(secret(link), at=now())
    service.use_link(opened.id, Welcome("Ada Byron", PASSWORD), at=now())

    assert stolen.get("/profile").status_code == 303


def test_a_reset_ends_the_wait_after_too_many_tries(person, actor):
    user = person("Ada Byron")
    for _ in range(5):
        with pytest.raises(RefusedError):
            service.sign_in(user.email, "wrong", address="::1", at=now())
    _, link = service.new_link(user.id, by=actor, at=now())

    opened = links.follow(secret(link), at=now())
    service.use_link(opened.id, Welcome("Ada Byron", PASSWORD), at=now())

    assert service.sign_in(user.email, PASSWORD, address="::1", at=now())


def test_following_somebody_elses_link_ends_ones_own_session_only_on_saving(
    used_by, person, invited
):
    browser = used_by(person("Ada Byron"))
    browser.get(path(invited[1]))
    assert "Ada Byron" in browser.get("/profile").text

    browser.post("/welcome", data=GIVEN)

    assert "Sam Okafor" in browser.get("/profile").text


def test_setting_a_password_is_audited_without_it(browser, invited):
    browser.get(path(invited[1]))
    browser.post("/welcome", data={**GIVEN, "name": "Sam O."})

    entry = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc()).limit(1)).one()
    assert (entry.action, entry.actor_name) == ("person.password", "Sam O.")
    assert (entry.before, entry.after) == ({"name": "Sam Okafor"}, {"name": "Sam O."})


def test_links_that_ended_a_month_ago_are_purged(invited):
    created = db.session.scalars(select(OneTimeLink.created_at)).one()

    assert service.forget_old_tries_and_links(created + LINK_LASTS) == 0
    assert service.forget_old_tries_and_links(created + LINK_LASTS + timedelta(days=30)) == 1
