import json
import re
from datetime import timedelta

import pytest

from tests.integration.web.conftest import AT, shelf

HTMX = {"HX-Request": "true"}


def test_a_page_has_the_shell_and_a_part_has_not(browser):
    whole, part = browser.get("/incidents"), browser.get("/incidents", headers=HTMX)

    assert "<h1>Shelf</h1>" in whole.text
    assert part.text.strip() in whole.text
    assert part.text.strip().startswith('<section id="status"')
    assert "HX-Request" in whole.headers["Vary"]
    assert "HX-Request" in part.headers["Vary"]


def test_a_browser_that_restores_its_history_gets_the_page(browser):
    reply = browser.get("/incidents", headers=HTMX | {"HX-History-Restore-Request": "true"})

    assert "<h1>Shelf</h1>" in reply.text


def test_times_are_shown_in_the_readers_zone_with_both_in_the_title(browser):
    text = browser.get("/incidents").text

    assert 'datetime="2026-03-12T01:51:00Z"' in text
    assert 'title="Thu 12 Mar 2026, 02:51 CET · 01:51 UTC"' in text
    assert ">23 min ago</time>" in text


def test_after_a_write_htmx_gets_the_part_and_a_browser_a_redirect(browser):
    plain = browser.post("/notes", data={"text": "hello"})
    htmx = browser.post("/notes", data={"text": "hello"}, headers=HTMX)

    assert (plain.status_code, plain.headers["Location"]) == (303, "/incidents")
    assert htmx.status_code == 200
    assert "Open" in htmx.text


def test_a_toast_rides_on_the_answer_to_htmx(browser):
    reply = browser.post("/notes", data={"text": "hello"}, headers=HTMX)

    told = json.loads(reply.headers["HX-Trigger"])
    assert told == {"toast": {"toasts": [{"sentence": "Note kept.", "tone": "ok"}]}}


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_toast_waits_for_the_next_page_when_the_reader_is_sent_there(browser, headers):
    reply = browser.post("/leave", headers=headers)

    assert "/incidents" in (reply.headers.get("HX-Redirect") or reply.headers["Location"])
    assert "HX-Trigger" not in reply.headers
    assert "Done." in browser.get("/incidents").text
    assert "Done." not in browser.get("/incidents").text


def test_an_invalid_form_comes_back_with_what_was_typed_and_why_not(browser):
    page = browser.post("/notes", data={"text": ""})
    part = browser.post("/notes", data={"text": ""}, headers=HTMX)

    assert page.status_code == part.status_code == 422
    assert "<h1>Shelf</h1>" in page.text
    assert part.text.strip().startswith('<form id="note"')
    for text in (page.text, part.text):
        assert "1 field needs you." in text
        assert re.search(r'<input[^>]*aria-describedby="text-err text-hint"', text)
        assert re.search(r'<p class="err" id="text-err">.*Say something\.', text)


def test_a_live_region_is_not_sent_again_while_nothing_changed(make_shell):
    browser = make_shell(WTF_CSRF_ENABLED=True).test_client()
    first = browser.get("/status", headers=HTMX)
    # A minute later the text says 24 min ago, and the token of its form is another.
    shelf.at = AT + timedelta(minutes=1)
    known = HTMX | {"If-None-Match": first.headers["ETag"]}

    assert browser.get("/status", headers=known).status_code == 304

    shelf.state = "resolved"
    changed = browser.get("/status", headers=known)
    assert changed.status_code == 200
    assert "Resolved" in changed.text
    assert changed.headers["Cache-Control"] == "private, no-cache"


def test_the_sidebar_tells_what_features_provide(browser, person):
    text = browser.get("/incidents").text

    assert "Priya Raman" in text
    assert 'data-single-keys="off"' in text
    assert "Pages go to the sandbox pager: nobody is woken." in text
    assert "INC-214 p99 latency 612 ms &lt;limit&gt;" in text
    assert re.search(r'<a class="nav" href="/incidents"[^>]*aria-current="page"[^>]*data-dot', text)


def test_the_menu_shows_only_pages_that_exist(browser):
    text = browser.get("/incidents").text

    assert ">Incidents</span>" in text
    assert ">Runbooks</span>" not in text


def test_every_component_renders(make_shell):
    browser = make_shell().test_client()

    reply = browser.get("/_components")

    assert reply.status_code == 200
    assert "Undefined" not in reply.text
    assert ">None<" not in reply.text
    assert "style=" not in reply.text
    assert not re.search(r"\son\w+=", reply.text)


def test_the_components_are_not_shown_in_production(make_shell):
    browser = make_shell(development=False).test_client()

    assert browser.get("/_components").status_code == 404
