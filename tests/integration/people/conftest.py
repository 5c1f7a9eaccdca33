"""People with a password, and browsers of their own."""

from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient

from app.core.db import unit_of_work
from app.people import passwords, service
from app.people.rules import Role
from app.people.tables import User

PASSWORD = "a few plain words"
QUICK = PasswordHasher(1, 1024, 1)
PASSWORD_HASH = QUICK.hash(PASSWORD)


class Browser(FlaskClient):
    """A browser whose requests each have a context of their own, as on a real server."""

    def open(self, *args, **kwargs):
        with self.application.app_context():
            return super().open(*args, **kwargs)

    def sign_in(self, email, password=PASSWORD, **fields):
        return self.post("/sign-in", data={"email": email, "password": password, **fields})


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Checking a password takes a while on purpose; these tests need not wait for it."""
    monkeypatch.setattr(passwords, "HASHER", QUICK)
    passwords._decoy.cache_clear()
    yield
    passwords._decoy.cache_clear()


@pytest.fixture
def person(app: Flask, at: datetime) -> Callable[..., User]:
    def add(
        name: str = "Ada Byron", role: Role = Role.RESPONDER, *, has_password: bool = True
    ) -> User:
        email = f"{name.split()[0].lower()}@example.com"
        with unit_of_work() as session:
            user = User(email=email, name=name, role=role, created_at=at)
            user.password_hash = PASSWORD_HASH if has_password else None
            session.add(user)
        return user

    return add


@pytest.fixture
def actor(person) -> service.Actor:
    return service.acting(person("Grace Hopper", Role.ADMINISTRATOR))


@pytest.fixture
def browser(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Browser:
    """Nobody is signed in; no CSRF token is asked for."""
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)
    return Browser(app, app.response_class, use_cookies=True)


@pytest.fixture
def used_by(app: Flask, browser: Browser) -> Callable[[User], Browser]:
    """A browser in which this person has signed in."""

    def sign_in(user: User) -> Browser:
        own = Browser(app, app.response_class, use_cookies=True)
        assert own.sign_in(user.email).status_code == 303
        return own

    return sign_in


@pytest.fixture
def cost(app: Flask, queries: Callable[..., int]) -> Callable[[Callable[[], object]], int]:
    """How many statements a page sends when nothing is remembered from the page before."""

    def count(call: Callable[[], object]) -> int:
        for forget in app.extensions.get("forget", ()):
            forget()
        return queries(call)

    return count
