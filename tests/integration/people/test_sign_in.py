"""The sign-in page, its throttle, and the session that it begins."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select

from app.config import settings
from app.core.clock import now
from app.core.db import db, unit_of_work
from app.core.errors import RefusedError, TooManyTriesError
from app.people import access, jobs, passwords, queries, service
from app.people.rules import TRIES_BY_ACCOUNT, TRIES_BY_ADDRESS, WINDOW
from app.people.tables import SignInAttempt, User

ADDRESS = "192.0.2.7"
PASSWORD = "a few plain words"  # what `person` gives everybody


def try_to_sign_in(email, password="wrong", *, address=ADDRESS, at):
    return service.sign_in(email, password, address=address, at=at)


def fail(times, email, *, address=ADDRESS, at):
    for _ in range(times):
        with pytest.raises(RefusedError):
            try_to_sign_in(email, address=address, at=at)


def cookie(reply):
    return reply.headers["Set-Cookie"]


def test_a_page_leads_to_the_sign_in_page_and_back(browser, person):
    person("Ada Byron")

    asked = browser.get("/profile?tab=keys")
    assert asked.status_code == 303
    assert asked.location == "/sign-in?next=/profile?tab%3Dkeys"

    page = browser.get(asked.location)
    assert "After signing in you go on to <b>Profile</b>." in page.text

    reply = browser.sign_in("ada@example.com", next="/profile?tab=keys")
    assert reply.location == "/profile?tab=keys"
    assert browser.get("/profile").status_code == 200


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example"]
)
def test_signing_in_never_leads_to_another_site(browser, person, elsewhere):
    person("Ada Byron")

    assert browser.sign_in("ada@example.com", next=elsewhere).location == "/"


def test_somebody_signed_in_is_sent_on_from_the_sign_in_page(used_by, person):
    browser = used_by(person())

    assert browser.get("/sign-in?next=/profile").location == "/profile"


def test_the_cursor_waits_in_one_field_the_first_that_is_empty(browser, person):
    person("Ada Byron")

    def waits_in(page):
        return re.findall(r"<input[^>]* autofocus[^>]* id=\"(\w+)\"", page.text)

    assert waits_in(browser.get("/sign-in")) == ["email"]
    assert waits_in(browser.sign_in("ada@example.com", "wrong")) == ["password"]
    assert waits_in(browser.sign_in("", "wrong")) == ["email"]


def test_the_address_may_be_typed_in_capitals(browser, person):
    person("Ada Byron")

    assert browser.sign_in(" Ada@Example.com").status_code == 303


def test_a_wrong_password_says_how_many_tries_are_left_and_keeps_the_address(browser, person):
    person("Ada Byron")

    reply = browser.sign_in("ada@example.com", "wrong and secret", next="/profile")

    assert reply.status_code == 422
    assert "do not match. You have 4 tries left, then wait 15 minutes." in reply.text
    assert 'value="ada@example.com"' in reply.text
    assert 'value="/profile"' in reply.text
    assert "wrong and secret" not in reply.text


def test_an_unknown_account_gets_the_same_answer_as_a_wrong_password(browser, person, monkeypatch):
    person("Ada Byron")
    checks = []
    monkeypatch.setattr(passwords, "matches", lambda *given: checks.append(given) or False)

    known = browser.sign_in("ada@example.com", "wrong")
    unknown = browser.sign_in("nob@example.com", "wrong")

    # The token against forgery is signed with the second it was made in.
    token = re.compile(r'name="csrf[-_]token"[^>]*>|content="[^"]*" name="csrf-token"')
    first, second = (token.sub("", one.text) for one in (known, unknown))
    assert first.replace("ada@", "nob@") == second
    assert known.status_code == unknown.status_code
    assert len(checks) == 2


def test_an_invited_person_without_a_password_cannot_sign_in(browser, person):
    person("Ada Byron", has_password=False)

    assert browser.sign_in("ada@example.com", "").status_code == 422
    assert "do not match" in browser.sign_in("ada@example.com").text


def test_a_deactivated_person_is_told_so_only_with_the_right_password(browser, person):
    with unit_of_work():
        person("Ada Byron").active = False

    assert "deactivated" not in browser.sign_in("ada@example.com", "wrong").text
    assert "deactivated" in browser.sign_in("ada@example.com").text


def test_after_five_failures_an_account_waits_even_with_the_right_password(browser, person):
    person("Ada Byron")
    for _ in range(TRIES_BY_ACCOUNT):
        browser.sign_in("ada@example.com", "wrong")

    reply = browser.sign_in("ada@example.com")

    assert reply.status_code == 429
    assert "The next one is possible in 15 minutes." in reply.text
    assert 0 < int(reply.headers["Retry-After"]) <= WINDOW.total_seconds() + 1


def test_the_wait_ends_by_itself(person, at):
    person("Ada Byron")
    fail(TRIES_BY_ACCOUNT, "ada@example.com", at=at)

    with pytest.raises(TooManyTriesError) as refused:
        try_to_sign_in("ada@example.com", PASSWORD, at=at + timedelta(minutes=5))

    later = at + timedelta(minutes=5, seconds=refused.value.retry_after)
    assert try_to_sign_in("ada@example.com", PASSWORD, at=later).email == "ada@example.com"


def test_tries_during_the_wait_do_not_make_it_longer(person, at):
    person("Ada Byron")
    fail(TRIES_BY_ACCOUNT, "ada@example.com", at=at)
    for minute in range(14):
        with pytest.raises(TooManyTriesError):
            try_to_sign_in("ada@example.com", at=at + timedelta(minutes=minute))

    assert try_to_sign_in("ada@example.com", PASSWORD, at=at + WINDOW)


def test_the_right_password_gives_all_tries_back(person, at):
    person("Ada Byron")
    fail(TRIES_BY_ACCOUNT - 1, "ada@example.com", at=at)
    try_to_sign_in("ada@example.com", PASSWORD, at=at)

    with pytest.raises(RefusedError, match="You have 4 tries left"):
        try_to_sign_in("ada@example.com", at=at)


def test_one_address_cannot_try_account_after_account(person, at, monkeypatch):
    monkeypatch.setattr(passwords, "matches", lambda *_: False)
    for number in range(TRIES_BY_ADDRESS):
        fail(1, f"{number}@example.com", address=f"2001:db8::{number:x}", at=at)

    with pytest.raises(TooManyTriesError):
        try_to_sign_in("next@example.com", address="2001:db8::ffff", at=at)
    fail(1, "next@example.com", address="2001:db8:1::1", at=at)


def test_of_a_burst_of_tries_only_five_are_checked(app, person, at, monkeypatch):
    person("Ada Byron")
    db.session.remove()
    monkeypatch.setattr(passwords, "matches", lambda *_: False)

    def attempt(_number):
        with app.app_context():
            try:
                try_to_sign_in("ada@example.com", at=at)
            except (RefusedError, TooManyTriesError) as refused:
                return type(refused)

    with ThreadPoolExecutor(12) as burst:
        refusals = list(burst.map(attempt, range(12)))

    assert refusals.count(RefusedError) == TRIES_BY_ACCOUNT
    assert refusals.count(TooManyTriesError) == 12 - TRIES_BY_ACCOUNT


def test_signing_in_renews_a_hash_of_older_parameters(person, at):
    weaker = PasswordHasher(time_cost=1, memory_cost=512, parallelism=1).hash(PASSWORD)
    with unit_of_work():
        person("Ada Byron").password_hash = weaker

    try_to_sign_in("ada@example.com", PASSWORD, at=at)

    db.session.expire_all()
    renewed = db.session.scalars(select(User.password_hash)).one()
    assert renewed != weaker
    assert passwords.matches(renewed, PASSWORD)
    assert not passwords.is_outdated(renewed)


def test_signing_in_disturbs_no_edit_of_the_person(person, at):
    version = person("Ada Byron").version

    user = try_to_sign_in("ada@example.com", PASSWORD, at=at)

    db.session.expire_all()
    assert (user.version, user.signed_in_at) == (version, at)


def test_old_failures_are_purged_and_counting_ones_kept(person, at):
    long_ago = now() - WINDOW - timedelta(seconds=1)
    fail(2, "ada@example.com", at=long_ago)
    fail(1, "ada@example.com", at=now())

    jobs.purge_sign_in_attempts()

    assert db.session.scalar(select(func.count()).select_from(SignInAttempt)) == 1


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(browser, person):
    person("Ada Byron")

    said = cookie(browser.sign_in("ada@example.com", keep="y"))

    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(said.split("; "))
    assert "Expires=" in said


def test_a_session_that_is_not_kept_ends_with_the_browser(browser, person):
    person("Ada Byron")

    assert "Expires=" not in cookie(browser.sign_in("ada@example.com"))


def test_nothing_planted_in_the_session_survives_signing_in(browser, person):
    person("Ada Byron")
    with browser.session_transaction() as planted:
        planted["csrf_token"] = planted["welcome"] = planted["mine"] = "planted"

    browser.sign_in("ada@example.com")

    with browser.session_transaction() as session:
        assert "planted" not in session.values()


def test_a_session_ends_after_its_hours_however_busy_it_was(used_by, person, monkeypatch):
    browser = used_by(person())
    hours = timedelta(hours=settings().session_hours)
    assert browser.get("/profile").status_code == 200

    monkeypatch.setattr(access, "now", lambda: now() + hours)

    assert browser.get("/profile").status_code == 303


def test_signing_out_ends_the_session_and_takes_a_post(used_by, person):
    browser = used_by(person())

    assert browser.get("/sign-out").status_code == 405
    assert browser.post("/sign-out").location == "/sign-in"
    assert browser.get("/profile").status_code == 303


def test_a_part_of_a_page_gets_401_and_a_link_instead_of_a_redirect(browser):
    here = {"HX-Request": "true", "HX-Current-URL": "https://localhost/profile"}

    reply = browser.post("/profile", data={"name": "typed"}, headers=here)

    assert reply.status_code == 401
    assert "Location" not in reply.headers
    assert "HX-Redirect" not in reply.headers
    assert '/sign-in?next=/profile"' in reply.text


def test_a_script_that_fetches_gets_401_not_a_page(browser):
    reply = browser.get(
        "/profile", headers={"Sec-Fetch-Dest": "empty", "Accept": "application/json"}
    )

    assert reply.status_code == 401
    assert reply.mimetype == "application/problem+json"


def test_a_form_that_was_sent_too_late_leads_back_to_its_page(browser):
    reply = browser.post("/profile/password", headers={"Referer": "https://localhost/profile"})

    assert reply.location == "/sign-in?next=/profile"


def test_signing_in_takes_a_csrf_token(app, browser, person, monkeypatch):
    person("Ada Byron")
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", True)
    browser.environ_base["HTTP_REFERER"] = "https://localhost/sign-in"

    assert browser.sign_in("ada@example.com").status_code == 400

    token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get("/sign-in").text)
    assert browser.sign_in("ada@example.com", csrf_token=token[1]).status_code == 303


def test_the_sign_in_page_asks_the_database_nothing(browser, cost):
    assert cost(lambda: browser.get("/sign-in?next=/incidents/214")) == 0


def test_a_page_asks_for_its_person_once_however_often_it_names_them(used_by, person, monkeypatch):
    browser = used_by(person())
    asked = []
    ask = queries.user_in_session
    monkeypatch.setattr(
        queries, "user_in_session", lambda *session: asked.append(session) or ask(*session)
    )

    assert "Ada Byron" in browser.get("/profile").text

    assert len(asked) == 1
