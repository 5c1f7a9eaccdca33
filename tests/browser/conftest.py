"""A real Chromium, and a real installation with people and models in it."""

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from app import create_app
from app.config import Settings
from app.core.clock import now
from app.core.db import db
from app.people.rules import COMMAND_LINE, Role
from app.people.service import Invitation, add_with_password
from tests.support import factories, programs
from tests.support.processes import Api, Baton, wait_for

HERE = Path(__file__).parent
PASSWORD = "correct horse battery"
PEOPLE = {
    "Priya Raman": Role.ADMINISTRATOR,
    "Lena Fischer": Role.MAINTAINER,
    "Ines Duarte": Role.RESPONDER,
    "Vera Lind": Role.VIEWER,
}
# A page that says no is a page; its status is no fault of ours.
REFUSAL = re.compile(r"Failed to load resource: .* status of (400|401|403|404|409|422) ")

expect.set_options(timeout=20_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


# --- Chromium


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    program = programs.require(programs.CHROMIUM)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a browser of its own on an installation; none of its pages may complain."""
    contexts = []
    complaints: list[str] = []

    def listen(page: Page) -> None:
        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not REFUSAL.match(message.text):
            complaints.append(f"{message.location['url']}: {message.text}")

    def open_on(url: str, *, complains: bool = False, **options: Any) -> Page:
        size = options.pop("viewport", {"width": 1440, "height": 900})
        context = chromium.new_context(
            base_url=url, locale="en-GB", reduced_motion="reduce", viewport=size, **options
        )
        context.set_default_timeout(20_000)
        if not complains:
            context.on("page", listen)
        contexts.append(context)
        return context.new_page()

    yield open_on
    for context in contexts:
        context.close()
    assert complaints == []


# --- Installations


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Baton]:
    """An installation that nobody has started yet."""
    baton = Baton(tmp_path / "var")
    try:
        yield baton
    finally:
        baton.end()


class Site:
    """An installation at work: two teams, three models, an Alertmanager's door."""

    def __init__(self, baton: Baton, api: Api, key: str) -> None:
        self.url = baton.url
        self.api = api
        self._baton = baton
        self._key = key
        self._versions = count(1)
        self._kept: dict[str, Any] = {}

    @cached_property
    def incident(self) -> int:
        """One for those who only look."""
        return self.alert()

    @cached_property
    def in_triage(self) -> int:
        return self.alert(model="nobody-knows", alertname="SomethingOdd")

    def alert(self, **labels: str) -> int:
        """Let an alert fire; the number of the incident that it opens."""
        version = f"v{next(self._versions)}"
        labels = {"alertname": "ModelLatencyHigh", "severity": "warning", "model": "recsys-home",
                  "model_version": version, **labels}  # fmt: skip
        alert = {
            "status": "firing",
            "labels": labels,
            "annotations": {"summary": f"{labels['model']} {version}: p99 612 ms, limit 250 ms"},
            "startsAt": now().isoformat(),
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example.com/graph?g0.expr=p99",
            "fingerprint": version,
        }
        message = {"version": "4", "status": "firing", "groupKey": version, "alerts": [alert]}
        assert self.deliver(message) == 200
        return wait_for(lambda: self._of_version(version), f"an incident of {version}")

    def _of_version(self, version: str) -> int | None:
        found = self.api.get("/incidents", q=f"{version}:")["items"]
        return found[0]["id"] if found else None

    def deliver(self, message: Any) -> int:
        with self._baton.browser() as sender:
            headers = {"Authorization": f"Bearer {self._key}"}
            url = f"{self.url}/in/alertmanager"
            return sender.post(url, json=message, headers=headers).status_code

    def sign_in(self, page: Page, name: str = "Priya Raman") -> None:
        page.goto("/sign-in")
        page.get_by_label("Work email").fill(address(name))
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("heading", name="Now")).to_be_visible()

    def signed_in(self, visit: Callable[..., Page], name: str = "Priya Raman", **more: Any) -> Page:
        """A browser in which that person signed in earlier."""
        if name not in self._kept:
            page = visit(self.url)
            self.sign_in(page, name)
            self._kept[name] = page.context.storage_state()
        return visit(self.url, storage_state=self._kept[name], **more)


def address(name: str) -> str:
    return f"{name.lower().replace(' ', '.')}@example.com"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    programs.require(programs.CHROMIUM)
    baton = Baton(tmp_path_factory.mktemp("site") / "var")
    try:
        baton.start()
        key, token = _settle(baton)
        baton.wait_until_ready()
        yield Site(baton, baton.api(token), key)
        assert baton.interrupt() == 0
    finally:
        baton.end()


def _settle(baton: Baton) -> tuple[str, str]:
    """Write what an installation has after its first weeks. Returns a door's key and a token."""
    app = create_app(Settings(var=baton.var, bind=baton.bind))
    with app.app_context():
        for name, role in PEOPLE.items():
            invitation = Invitation(address(name), name, role)
            add_with_password(invitation, PASSWORD, by=COMMAND_LINE, at=now())
        serving = factories.team("serving-platform", name="Serving Platform")
        logistics = factories.team("logistics", name="Logistics", triages=True)
        factories.model("recsys-home", owner=serving, purpose="Ranks the home feed", tags=["feed"])
        factories.model("fraud-card", owner=serving, purpose="Card fraud")
        factories.model("eta-courier", owner=logistics, tier=2, purpose="Arrival estimates")
        _, key = factories.integration("alertmanager", name="Alertmanager prod-eu1")
        authorization = factories.token_headers("incidents:read", "incidents:write")[
            "Authorization"
        ]
        db.session.remove()
        db.engine.dispose()
    return key, authorization.removeprefix("Bearer ")
