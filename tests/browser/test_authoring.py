"""Writing a runbook in a real browser, with a review, while somebody follows it."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from app import create_app
from app.config import Settings
from app.core.clock import now
from app.core.db import db
from tests.browser.conftest import Site
from tests.browser.looks import PHONE, faults
from tests.support.runbooks import latency, published


@pytest.fixture
def runbook(site: Site) -> str:
    """The slug of a published runbook of which every change needs a second person."""
    text = latency(severity="sev2").replace("id: latency", "id: authored")
    text = text.replace("RecsysHomeP99High", "AuthorMe").replace("Latency is high", "Home is slow")
    app = create_app(Settings(var=site._baton.var, bind=site._baton.bind))
    with app.app_context():
        published(
            text.replace("owner: serving", "owner: serving-platform"), slug="authored", at=now()
        )
        db.session.remove()
        db.engine.dispose()
    return "authored"


def follow(site: Site, page: Page) -> None:
    """Begin to follow the runbook in an incident of its own."""
    page.goto(f"/incidents/{site.alert(alertname='AuthorMe')}")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#s1")).to_have_attribute("data-state", "doing")


def put_cursor_behind(page: Page, words: str) -> None:
    page.locator("#source").evaluate(
        """(field, words) => {
            const at = field.value.indexOf(words) + words.length;
            field.focus();
            field.setSelectionRange(at, at);
        }""",
        words,
    )


def test_a_change_is_written_reviewed_published_and_reaches_who_follows(
    site: Site, runbook: str, visit: Callable[..., Page]
) -> None:
    ines = site.signed_in(visit, "Ines Duarte")
    follow(site, ines)

    priya = site.signed_in(visit)
    priya.goto(f"/runbooks/{runbook}/edit")
    checks, preview = priya.locator("#checks"), priya.locator("#preview")
    expect(checks).to_contain_text("1 warning")  # nobody is in the team yet
    put_cursor_behind(priya, "Look at p99.")
    priya.keyboard.type(" TODO p95")
    expect(checks).to_contain_text("RB20")
    expect(preview).to_contain_text("Look at p99. TODO p95")
    expect(priya.get_by_text("Publish opens when the error is fixed.")).to_be_visible()
    for _ in " TODO p95":
        priya.keyboard.press("Backspace")
    priya.keyboard.type(" Then look at p95.")
    expect(checks).not_to_contain_text("RB20")
    expect(preview).to_contain_text("Then look at p95.")
    priya.get_by_label("Fill variables as").select_option("Nothing, show the names")
    expect(preview).to_contain_text("app={{model}}")
    priya.get_by_label("Fill variables as").select_option("fraud-card")
    expect(preview).to_contain_text("app=fraud-card")
    priya.locator("#source").press("Control+s")
    expect(priya.locator("#saved")).to_contain_text("saved")
    assert faults(priya) == []
    priya.get_by_label("What changed, and why").fill("p95 tells a slow host apart")
    priya.get_by_role("button", name="Ask for review").click()
    expect(priya.get_by_role("heading", name="Review of v2")).to_be_visible()
    expect(priya.get_by_text("A second person has to approve this,")).to_be_visible()
    assert priya.get_by_role("button", name="Approve").count() == 0

    lena = site.signed_in(visit, "Lena Fischer")
    lena.goto("/runbooks/reviews")
    lena.get_by_role("link", name="Home is slow").first.click()
    expect(lena.get_by_role("heading", name="Review of v2")).to_be_visible()
    expect(lena.locator("ins", has_text="p95").first).to_be_visible()
    assert faults(lena) == []
    lena.get_by_role("button", name="Approve and publish").click()
    expect(lena.get_by_text("v2, published")).to_be_visible()
    lena.goto(f"/runbooks/{runbook}/diff/v1..v2")
    expect(lena.get_by_text("No drill has run v2 yet.")).to_be_visible()
    assert faults(lena) == []

    banner = ines.locator("#run-live .banner")
    expect(banner).to_contain_text("this run stays on v1")
    expect(banner).to_contain_text("1 of your remaining steps changed")
    expect(ines.locator("#s1")).not_to_contain_text("p95")
    expect(banner.get_by_role("link")).to_have_attribute("href", re.compile(r"diff/v1\.\.v2$"))
    banner.get_by_role("button", name="Switch to v2").click()
    expect(ines.locator("#s1")).to_contain_text("Then look at p95.")
    expect(banner).to_have_count(0)


def test_on_a_phone_the_list_leads_to_reviews_and_to_the_folder(
    site: Site, visit: Callable[..., Page]
) -> None:
    page = site.signed_in(visit, viewport=PHONE)
    for link, heading in (("Reviews", "Reviews"), ("Folder", "Runbooks folder")):
        page.goto("/runbooks")
        page.get_by_role("main").get_by_role("link", name=link, exact=True).click()
        expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
