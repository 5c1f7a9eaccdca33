"""Inviting people, their roles, and letting them go."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from app.core.clock import now
from app.core.db import db
from app.core.errors import BatonError, ConflictError, RefusedError
from app.people import queries, service, tokens
from app.people.rules import Role
from app.people.service import Invitation
from app.people.tables import AuditEntry, User
from app.people.tokens import TokenWish

LINK = re.compile(r"https://baton\.test/welcome/\w{32}")


@pytest.fixture
def administrator(person):
    return person("Ines Duarte", Role.ADMINISTRATOR)


@pytest.fixture
def settings(used_by, administrator):
    return used_by(administrator)


def audited():
    return db.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()


def test_an_invitation_makes_a_person_and_shows_their_link_once(settings):
    reply = settings.post(
        "/settings/people/invite",
        data={"email": "Sam@Example.com", "name": "Sam Okafor", "role": "maintainer"},
    )

    assert reply.status_code == 200
    assert LINK.search(reply.text)
    sam = queries.user_by_email("sam@example.com")
    assert (sam.name, sam.role, sam.password_hash) == ("Sam Okafor", Role.MAINTAINER, None)
    assert not LINK.search(settings.get(f"/settings/people/{sam.id}").text)
    assert audited() == ["person.invite"]


def test_an_address_that_has_an_account_is_not_invited_again(settings, person):
    person("Sam Okafor")

    reply = settings.post(
        "/settings/people/invite",
        data={"email": "sam@example.com", "name": "Samuel", "role": "viewer"},
    )

    assert reply.status_code == 409
    assert "sam@example.com has an account here already." in reply.text
    assert 'value="Samuel"' in reply.text


def test_two_invitations_at_the_same_time_make_one_account(app, actor, at):
    db.session.remove()

    def invite(_number):
        with app.app_context():
            try:
                invitation = Invitation("sam@example.com", "Sam Okafor", Role.VIEWER)
                return service.invite(invitation, by=actor, at=at)[0].email
            except ConflictError as refused:
                return type(refused)

    with ThreadPoolExecutor(4) as together:
        made = list(together.map(invite, range(4)))

    assert sorted(map(str, made)) == ["<class 'app.core.errors.ConflictError'>"] * 3 + [
        "sam@example.com"
    ]


def test_people_are_found_by_name_and_address_in_any_case(settings, person):
    person("Ada Byron")
    person("Sam Okafor")

    assert "Sam Okafor" not in settings.get("/settings/people?search=BYRON").text
    assert "Ada Byron" in settings.get("/settings/people?search=ada@ex").text
    assert "Nobody found" in settings.get("/settings/people?search=%25").text


def test_the_list_goes_on_where_its_page_ended(app, actor, at):
    for name in ("bea", "Álvaro", "Ada", "ada", "Zoe", "Émile"):
        service.invite(
            Invitation(f"{name}{ord(name[0])}@x.example", name, Role.VIEWER), by=actor, at=at
        )

    seen, cursor = [], ""
    while cursor is not None:
        page = queries.people(cursor=cursor, size=2)
        seen += [one.id for one in page.items]
        cursor = page.next

    assert seen == [one.id for one in queries.people().items]
    assert len(seen) == 7


def test_the_list_costs_the_same_for_one_or_forty(settings, person, cost):
    one = cost(lambda: settings.get("/settings/people"))
    for number in range(40):
        person(f"P{number} Person")

    assert cost(lambda: settings.get("/settings/people")) == one


def test_a_role_is_changed_at_once_and_audited(settings, used_by, person):
    ada = person("Ada Byron", Role.VIEWER)
    browser = used_by(ada)
    assert browser.get("/settings/tokens").status_code == 403

    reply = settings.post(
        f"/settings/people/{ada.id}/role", data={"role": "maintainer", "version": ada.version}
    )

    assert "Ada Byron is now maintainer." in settings.get(reply.location).text
    assert browser.get("/settings/tokens").status_code == 200
    entry = db.session.scalars(select(AuditEntry)).one()
    assert (entry.action, entry.actor_name, entry.target_name) == (
        "person.role",
        "Ines Duarte",
        "Ada Byron",
    )
    assert (entry.before, entry.after) == ({"role": "viewer"}, {"role": "maintainer"})


def test_who_loses_a_role_is_shown_with_the_tokens_that_keep_theirs(settings, person):
    ada = person("Ada Byron", Role.MAINTAINER)
    wish = TokenWish("deploys", ["registry:write"], None)
    tokens.create(wish, by=service.acting(ada), at=now())

    reply = settings.post(
        f"/settings/people/{ada.id}/role", data={"role": "viewer", "version": ada.version}
    )

    assert "Tokens they made keep their scopes: 1." in settings.get(reply.location).text


def test_a_role_that_stays_the_same_is_no_change(settings, person):
    ada = person("Ada Byron", Role.VIEWER)

    settings.post(f"/settings/people/{ada.id}/role", data={"role": "viewer", "version": 1})

    assert audited() == []


def test_a_role_that_does_not_exist_is_refused(settings, person):
    ada = person("Ada Byron")

    reply = settings.post(f"/settings/people/{ada.id}/role", data={"role": "king", "version": 1})

    assert reply.status_code == 422


def test_two_administrators_at_once_get_a_sentence_not_a_lost_change(
    settings, person, actor_of, at
):
    ada = person("Ada Byron", Role.VIEWER)
    boss = actor_of("Alan Turing")
    service.change_role(ada.id, Role.RESPONDER, version=ada.version, by=boss, at=at)

    reply = settings.post(
        f"/settings/people/{ada.id}/role", data={"role": "maintainer", "version": 1}
    )

    assert reply.status_code == 409
    assert "Alan Turing changed Ada Byron while you were editing." in reply.text


@pytest.fixture
def actor_of(person):
    return lambda name: service.acting(person(name, Role.ADMINISTRATOR))


@pytest.mark.parametrize("way", ["role", "deactivate"])
def test_the_last_administrator_can_neither_step_down_nor_leave(settings, administrator, way):
    sent = {"version": administrator.version, "role": "viewer"}

    reply = settings.post(f"/settings/people/{administrator.id}/{way}", data=sent)

    assert reply.status_code == 422
    assert "Ines Duarte is the only administrator who can sign in." in reply.text
    assert settings.get("/settings/people").status_code == 200


def test_an_administrator_who_was_only_invited_does_not_count(administrator, at):
    actor = service.acting(administrator)
    service.invite(Invitation("ada@x.example", "Ada", Role.ADMINISTRATOR), by=actor, at=at)

    with pytest.raises(RefusedError):
        service.change_role(administrator.id, Role.VIEWER, version=1, by=actor, at=at)


def test_two_administrators_who_demote_each_other_leave_one(app, person, at):
    pair = [person("Ada Byron", Role.ADMINISTRATOR), person("Sam Okafor", Role.ADMINISTRATOR)]
    by = [service.acting(user) for user in pair]
    ids = [user.id for user in pair]
    db.session.remove()

    def demote(number):
        with app.app_context():
            try:
                service.change_role(ids[1 - number], Role.VIEWER, version=1, by=by[number], at=at)
            except BatonError as refused:
                return refused

    with ThreadPoolExecutor(2) as together:
        refusals = list(together.map(demote, range(2)))

    assert sum(refusal is None for refusal in refusals) == 1
    assert len(db.session.scalars(select(User).where(User.role == Role.ADMINISTRATOR)).all()) == 1


def test_deactivating_ends_sessions_and_links_at_once(settings, used_by, person, actor_of):
    ada = person("Ada Byron")
    browser = used_by(ada)
    _, link = service.new_link(ada.id, by=actor_of("Alan Turing"), at=now())

    reply = settings.post(f"/settings/people/{ada.id}/deactivate", data={"version": ada.version})

    assert "Ada Byron is deactivated and signed out." in settings.get(reply.location).text
    assert browser.get("/profile").status_code == 303
    assert browser.get(link.removeprefix("https://baton.test")).status_code == 410
    assert settings.post(f"/settings/people/{ada.id}/link").status_code == 422


def test_somebody_who_comes_back_signs_in_again_but_no_old_session_does(settings, used_by, person):
    ada = person("Ada Byron")
    browser = used_by(ada)
    settings.post(f"/settings/people/{ada.id}/deactivate", data={"version": 1})
    settings.post(f"/settings/people/{ada.id}/activate", data={"version": 2})

    assert browser.get("/profile").status_code == 303
    assert browser.sign_in("ada@example.com").status_code == 303


@pytest.mark.parametrize(("asked", "working"), [({"revoke_tokens": "y"}, 0), ({}, 1)])
def test_tokens_of_somebody_who_leaves_are_revoked_if_asked(settings, person, at, asked, working):
    ada = person("Ada Byron", Role.MAINTAINER)
    tokens.create(TokenWish("deploys", ["registry:read"], None), by=service.acting(ada), at=at)
    assert "deploys" in settings.get(f"/settings/people/{ada.id}").text

    settings.post(f"/settings/people/{ada.id}/deactivate", data={"version": 1, **asked})

    assert len(queries.working_tokens(at=at, made_by=ada.id)) == working


def test_a_new_link_is_shown_once_and_audited_without_it(settings, person):
    ada = person("Ada Byron")

    reply = settings.post(f"/settings/people/{ada.id}/link")

    assert LINK.search(reply.text)
    entry = db.session.scalars(select(AuditEntry)).one()
    assert (entry.action, entry.before, entry.after) == ("person.link", None, None)


@pytest.mark.parametrize("role", Role)
def test_the_settings_lead_to_the_first_page_one_may_open(used_by, person, role):
    assert used_by(person(role=role)).get("/settings", follow_redirects=True).status_code == 200


def test_the_settings_show_the_tabs_that_one_may_open(settings, used_by, person):
    maintainer = used_by(person("Ada Byron", Role.MAINTAINER))

    assert "Audit log" in settings.get("/settings/tokens").text
    assert "Audit log" not in maintainer.get("/settings/tokens").text


def test_nobody_is_found_under_a_number_that_is_nobodys(settings):
    assert settings.get("/settings/people/999").status_code == 404
    assert settings.post("/settings/people/999/link").status_code == 404


def test_a_form_without_its_version_changes_nothing(settings, person):
    ada = person("Ada Byron")

    assert settings.post(f"/settings/people/{ada.id}/deactivate").status_code == 422
    db.session.expire_all()
    assert db.session.get(User, ada.id).active
