"""One's own profile: name, zone, keys, password, sessions."""

import pytest
from sqlalchemy import select

from app.core.db import db
from app.people import queries, service
from app.people.service import Profile
from app.people.tables import AuditEntry

PASSWORD = "a few plain words"
NEW = "some other plain words"
HTMX = {"HX-Request": "true", "HX-Current-URL": "https://localhost/profile"}


def form(user, **fields):
    shown = {"name": user.name, "time_zone": user.time_zone, "version": user.version}
    return shown | {"single_keys": "y"} | fields


def test_name_zone_and_keys_are_saved_and_audited(used_by, person):
    user = person("Ada Byron")
    browser = used_by(user)

    sent = form(user, name="Ada B.", time_zone="Europe/Berlin")
    del sent["single_keys"]
    reply = browser.post("/profile", data=sent)

    assert reply.location == "/profile"
    page = browser.get("/profile").text
    assert "Your profile is saved." in page
    assert 'data-single-keys="off"' in page
    assert '<option selected value="Europe/Berlin">' in page
    entry = db.session.scalars(select(AuditEntry)).one()
    assert entry.before == {"name": "Ada Byron", "time_zone": "UTC", "single_keys": True}
    assert entry.after == {"name": "Ada B.", "time_zone": "Europe/Berlin", "single_keys": False}


def test_what_does_not_fit_comes_back_as_the_part_with_the_text_kept(used_by, person):
    user = person("Ada Byron")

    reply = used_by(user).post(
        "/profile", data=form(user, name="x" * 121, time_zone="Mars/Olympus"), headers=HTMX
    )

    assert reply.status_code == 422
    assert reply.text.lstrip().startswith("<form")
    assert "x" * 121 in reply.text
    assert "Not a valid choice" in reply.text


def test_an_edit_of_what_changed_meanwhile_says_who_changed_it(used_by, person, at):
    user = person("Ada Byron")
    browser = used_by(user)
    service.update_profile(user.id, Profile("Ada B.", "UTC", True), version=user.version, at=at)

    reply = browser.post("/profile", data=form(user, version=1, name="Ada C."))

    assert reply.status_code == 409
    assert "Ada B. changed Ada B. while you were editing." in reply.text


def test_a_new_password_signs_out_the_other_devices_and_keeps_this_one(used_by, person):
    user = person("Ada Byron")
    here, elsewhere = used_by(user), used_by(user)

    reply = here.post(
        "/profile/password", data={"current": PASSWORD, "password": NEW, "again": NEW}
    )

    assert reply.location == "/profile"
    assert here.get("/profile").status_code == 200
    assert elsewhere.get("/profile").status_code == 303
    assert elsewhere.sign_in(user.email, NEW).status_code == 303


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"current": "wrong"}, "That is not your password so far. You have 4 tries left"),
        ({"password": "short", "again": "short"}, "Use at least 12 characters."),
        ({"again": "other"}, "The two passwords differ."),
    ],
)
def test_a_password_is_changed_only_by_somebody_who_knows_it(used_by, person, given, sentence):
    user = person("Ada Byron")
    browser = used_by(user)
    sent = {"current": PASSWORD, "password": NEW, "again": NEW} | given

    reply = browser.post("/profile/password", data=sent)

    assert reply.status_code == 422
    assert sentence in reply.text
    assert browser.sign_in(user.email, PASSWORD).status_code == 303


def test_guessing_the_password_in_the_profile_is_throttled_like_signing_in(used_by, person):
    browser = used_by(person("Ada Byron"))
    sent = {"current": "wrong", "password": NEW, "again": NEW}
    for _ in range(5):
        browser.post("/profile/password", data=sent)

    assert browser.post("/profile/password", data=sent | {"current": PASSWORD}).status_code == 429


def test_signing_out_everywhere_ends_every_session(used_by, person):
    user = person("Ada Byron")
    here, elsewhere = used_by(user), used_by(user)

    assert here.post("/profile/sign-out-everywhere").location == "/sign-in"

    assert here.get("/profile").status_code == 303
    assert elsewhere.get("/profile").status_code == 303
    db.session.expire_all()
    assert queries.user(user.id).epoch == 2


def test_the_profile_shows_no_other_secret_than_its_csrf_token(used_by, person):
    assert "$argon2" not in used_by(person("Ada Byron")).get("/profile").text
