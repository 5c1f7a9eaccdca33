"""The audit trail: what it keeps, its page and its API."""

import pytest
from sqlalchemy import select

from app.core.db import db, unit_of_work
from app.people import audit, queries, service, tokens
from app.people.queries import AuditFilter
from app.people.rules import BATON, COMMAND_LINE, Actor, Role
from app.people.tables import AuditEntry
from app.people.tokens import TokenWish

ADA = Actor("person", 7, "Ada Byron")


@pytest.fixture
def changed(app, at):
    def record(action="team.update", *, by=ADA, kind="team", target=3, name="Serving", **states):
        audit.record(
            action, target_kind=kind, target_id=target, target_name=name, by=by, at=at, **states
        )

    return record


@pytest.fixture
def administrator(used_by, person):
    return used_by(person("Ines Duarte", Role.ADMINISTRATOR))


def names(page):
    return [entry.target_name for entry in page.items]


def test_a_change_is_kept_with_who_what_before_and_after(changed, at):
    changed(before={"name": "Serving", "region": "us"}, after={"name": "Serving", "region": "eu"})

    entry = db.session.scalars(select(AuditEntry)).one()
    assert (entry.at, entry.actor_kind, entry.actor_id, entry.actor_name) == (
        at,
        "person",
        7,
        "Ada Byron",
    )
    assert (entry.action, entry.target_kind, entry.target_id) == ("team.update", "team", "3")
    assert (entry.before, entry.after) == ({"region": "us"}, {"region": "eu"})


def test_a_change_that_is_rolled_back_leaves_no_entry(changed):
    def change_that_fails():
        with unit_of_work():
            changed()
            raise RuntimeError("the change failed")

    with pytest.raises(RuntimeError, match="the change failed"):
        change_that_fails()

    assert db.session.scalars(select(AuditEntry)).all() == []


def test_a_conflict_names_whoever_changed_the_thing_last(changed):
    changed(by=ADA)
    changed(by=Actor("token", 1, "CI deploys"))
    changed(by=BATON, target=4)

    refused = audit.changed_meanwhile("team", 3, "Serving")

    assert refused.sentence == (
        "CI deploys changed Serving while you were editing. Reload to see the change."
    )
    assert "Somebody changed" in audit.changed_meanwhile("team", 5, "Search").sentence


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (AuditFilter(), ["recsys-home", "Search", "Serving"]),
        (AuditFilter(who="BYRON"), ["Serving"]),
        (AuditFilter(what="serv"), ["Serving"]),
        (AuditFilter(what="model.retire"), ["recsys-home"]),
        (AuditFilter(kind="team"), ["Search", "Serving"]),
        (AuditFilter(who="line", kind="team"), ["Search"]),
        (AuditFilter(what="%"), []),
    ],
)
def test_entries_are_found_by_who_what_and_kind(changed, wanted, found):
    changed()
    changed(by=COMMAND_LINE, target=4, name="Search")
    changed("model.retire", by=BATON, kind="model", target="9", name="recsys-home")

    assert names(queries.audit_entries(wanted)) == found


def test_the_newest_come_first_and_each_page_goes_on_where_the_last_ended(changed):
    for number in range(5):
        changed(name=f"team {number}")

    first = queries.audit_entries(AuditFilter(), size=2)
    changed(name="meanwhile")
    second = queries.audit_entries(AuditFilter(), cursor=first.next, size=2)
    third = queries.audit_entries(AuditFilter(), cursor=second.next, size=2)

    assert names(first) + names(second) + names(third) == [f"team {n}" for n in (4, 3, 2, 1, 0)]
    assert third.next is None


def test_every_kind_in_the_trail_can_be_chosen(changed):
    assert queries.audited_kinds() == []
    for kind in ("team", "model", "team", "incident"):
        changed(kind=kind)

    assert queries.audited_kinds() == ["incident", "model", "team"]


def test_the_page_shows_what_changed_field_by_field(changed, administrator):
    changed(
        before={"chat_url": None, "active": True, "tags": ["a"]},
        after={"chat_url": "https://chat.example/x", "active": False, "tags": ["a", "b"]},
    )

    page = administrator.get("/settings/audit?kind=team").text

    assert "chat url" in page
    assert "<del>nothing</del>" in page
    assert "<ins>https://chat.example/x</ins>" in page
    assert "<del>yes</del>" in page
    assert "<ins>a, b</ins>" in page


@pytest.mark.parametrize(
    ("kind", "target", "url"),
    [
        ("incident", 214, "/incidents/214"),
        ("delivery", 7, "/deliveries/7"),
        ("integration", 2, "/settings/integrations/2"),
        ("person", 1, "/settings/people/1"),
    ],
)
def test_a_change_leads_to_what_was_changed(changed, administrator, kind, target, url):
    changed(kind=kind, target=target, name="this one")

    page = administrator.get("/settings/audit").text

    assert f'<a href="{url}">this one</a>' in page


@pytest.mark.parametrize(
    ("kind", "target"), [("delivery", "dead"), ("team", 3), ("model", 3), ("token", 1)]
)
def test_what_has_no_page_of_its_own_is_named_only(changed, administrator, kind, target):
    changed(kind=kind, target=target, name="this one")

    page = administrator.get("/settings/audit").text

    assert '<th scope="row">this one<br>' in page


def test_names_in_the_trail_are_shown_as_text(changed, administrator):
    changed(name="<script>alert(1)</script>", after={"name": "<b>"})

    page = administrator.get("/settings/audit").text

    assert "<script>alert" not in page
    assert "<b></ins>" not in page


def test_a_filter_that_finds_nothing_says_so(changed, administrator):
    changed()

    assert "No change fits all of these." in administrator.get("/settings/audit?what=nobody").text


@pytest.mark.parametrize("asked", ["cursor=rubbish", "cursor=WyJ4Il0"])
def test_a_cursor_that_nobody_made_is_refused(administrator, asked):
    assert administrator.get(f"/settings/audit?{asked}").status_code == 400


def test_the_page_costs_the_same_for_one_entry_or_fifty(changed, administrator, cost):
    changed()
    one = cost(lambda: administrator.get("/settings/audit"))
    for _ in range(49):
        changed()

    assert cost(lambda: administrator.get("/settings/audit")) == one


def test_the_api_gives_the_trail_page_by_page(changed, browser, at):
    for number in range(3):
        changed(name=f"team {number}", after={"name": f"team {number}"})
    wish = TokenWish("auditor", ["audit:read"], None)
    _, secret = tokens.create(wish, by=COMMAND_LINE, at=at)
    headers = {"Authorization": f"Bearer {secret}"}

    first = browser.get("/api/v1/audit?kind=team&limit=2", headers=headers).json
    rest = browser.get(
        f"/api/v1/audit?kind=team&limit=2&cursor={first['next']}", headers=headers
    ).json

    assert [one["target_name"] for one in first["items"] + rest["items"]] == [
        "team 2",
        "team 1",
        "team 0",
    ]
    assert rest["next"] is None
    assert rest["items"][0]["after"] == {"name": "team 0"}
    assert rest["items"][0]["at"] == "2026-03-12T02:14:00Z"


def test_the_api_gives_people_without_their_secrets(browser, person, at):
    person("Ada Byron")
    wish = TokenWish("directory", ["people:read"], None)
    _, secret = tokens.create(wish, by=COMMAND_LINE, at=at)

    reply = browser.get("/api/v1/people?search=ada", headers={"Authorization": f"Bearer {secret}"})

    [ada] = reply.json["items"]
    assert (ada["email"], ada["role"], ada["active"]) == ("ada@example.com", "responder", True)
    assert "password_hash" not in ada
    assert "$argon2" not in reply.text


@pytest.mark.parametrize("query", ["unknown=1", "limit=0", "limit=201"])
def test_the_api_refuses_what_it_does_not_know(browser, at, query):
    wish = TokenWish("directory", ["people:read"], None)
    _, secret = tokens.create(wish, by=COMMAND_LINE, at=at)

    reply = browser.get(f"/api/v1/people?{query}", headers={"Authorization": f"Bearer {secret}"})

    assert reply.status_code == 422
    assert reply.mimetype == "application/problem+json"


def test_who_acted_is_the_person_of_the_session(used_by, person):
    ada = person("Ada Byron")
    browser = used_by(ada)

    browser.post("/profile/sign-out-everywhere")

    entry = db.session.scalars(select(AuditEntry)).one()
    assert (entry.actor_kind, entry.actor_id, entry.actor_name) == ("person", ada.id, "Ada Byron")
    assert entry.request_id


def test_acting_for_a_person_carries_their_name_as_it_was(person):
    assert service.acting(person("Ada Byron")).name == "Ada Byron"
