import logging
import re

import pytest

from app.web.errors import Fallback, offer_fallback

HTMX = {"HX-Request": "true", "HX-Current-URL": "http://localhost/incidents?open=1"}
CASES = [
    ("conflict", 409, "Sam accepted this handoff while you were reading it."),
    ("refused", 422, "This incident is already resolved."),
    ("stale", 409, "Somebody else changed this at the same moment"),
    ("sign-in", 401, "Your session has ended."),
    ("tries", 429, "Try again in 90 s."),
    ("404", 404, "There is nothing at this address."),
    ("413", 413, "larger than Baton takes"),
    ("bug", 500, "Nothing of this request was saved."),
    ("database", 503, "Nothing of this request was saved."),
]


@pytest.mark.parametrize(("how", "status", "sentence"), CASES)
def test_an_error_is_a_page(browser, how, status, sentence):
    reply = browser.get(f"/fails/{how}")

    assert reply.status_code == status
    assert sentence in reply.text
    assert reply.text.startswith("<!doctype html>")
    assert reply.headers["X-Request-Id"] in reply.text


@pytest.mark.parametrize(("how", "status", "sentence"), CASES)
def test_an_error_for_htmx_stands_beside_the_form_and_not_in_its_place(
    browser, how, status, sentence
):
    reply = browser.post(f"/fails/{how}", headers=HTMX)

    assert reply.status_code == status
    assert sentence in reply.text
    assert "<html" not in reply.text
    assert reply.headers["HX-Retarget"] == "#banners"
    assert 'role="alert"' in reply.text


@pytest.mark.parametrize(("how", "status", "sentence"), CASES)
def test_an_error_for_a_program_is_problem_json(browser, how, status, sentence):
    for reply in (
        browser.get(f"/api/v1/fails/{how}"),
        browser.get(f"/fails/{how}", headers={"Accept": "application/json"}),
    ):
        assert reply.status_code == status
        assert reply.mimetype == "application/problem+json"
        problem = reply.get_json()
        assert problem["status"] == status
        assert sentence in problem["detail"]
        assert problem["request_id"] == reply.headers["X-Request-Id"]


@pytest.mark.parametrize("path", ["/api/nothing", "/in/nothing", "/v2/nothing"])
def test_paths_for_programs_answer_in_json_even_for_a_browser(browser, path):
    reply = browser.get(path, headers={"Accept": "text/html"})

    assert (reply.status_code, reply.mimetype) == (404, "application/problem+json")


def test_too_many_tries_say_when_to_try_again(browser):
    assert browser.get("/fails/tries").headers["Retry-After"] == "90"
    assert browser.get("/api/v1/fails/tries").headers["Retry-After"] == "90"


def test_a_wrong_method_names_the_right_ones(browser):
    reply = browser.get("/notes")

    assert reply.status_code == 405
    assert "POST" in reply.headers["Allow"]


def test_a_bug_is_logged_with_its_request_and_tells_nothing(browser, caplog):
    with caplog.at_level(logging.ERROR):
        reply = browser.get("/fails/bug", headers={"X-Request-Id": "request-0815"})

    assert "hunter2" not in reply.text
    assert "request-0815" in reply.text
    assert "hunter2" in caplog.text


@pytest.mark.parametrize("how", ["bug", "database"])
def test_the_page_of_a_failure_asks_no_feature_for_anything(shell, how):
    @shell.context_processor
    def away():
        raise AssertionError("the database is away")

    assert shell.test_client().get(f"/fails/{how}").status_code in (500, 503)


def test_what_somebody_wrote_is_on_the_page_that_refuses_it(browser):
    reply = browser.post(
        "/fails/refused",
        data={"note": "The index is slow", "password": "a secret phrase", "routing_key": "a b"},
    )

    assert re.search(r"<textarea[^>]*readonly>\s*The index is slow</textarea>", reply.text)
    assert "a secret phrase" not in reply.text
    assert ">a b<" not in reply.text


def test_a_failure_lists_only_what_is_set_up_and_works(shell):
    offer_fallback(shell, lambda: Fallback("Alerts", "They wait in files; 2 wait."))
    offer_fallback(shell, lambda: None)

    def broken():
        raise OSError

    offer_fallback(shell, broken)
    browser = shell.test_client()

    assert "They wait in files; 2 wait." in browser.get("/fails/database").text
    assert "What works meanwhile" not in browser.get("/fails/404").text


def test_a_form_from_another_session_is_refused_and_gets_the_token_to_repeat(make_shell):
    browser = make_shell(WTF_CSRF_ENABLED=True).test_client()

    refused = browser.post("/notes", data={"text": "hello"}, headers=HTMX)
    assert refused.status_code == 400
    assert "older than your session" in refused.text

    again = HTMX | {"X-CSRFToken": refused.headers["X-CSRF-Token"]}
    assert browser.post("/notes", data={"text": "hello"}, headers=again).status_code == 200


def test_a_form_from_another_session_is_shown_again_if_it_held_a_text(make_shell):
    browser = make_shell(WTF_CSRF_ENABLED=True).test_client()

    prose = browser.post("/notes", data={"text": "half a sentence"}).text
    assert "What you wrote is kept below." in prose
    assert "half a sentence" in prose
    assert "kept below" not in browser.post("/notes", data={"text": "hello"}).text


def test_a_conflict_leads_back_to_the_page_it_came_from_but_never_elsewhere(browser):
    ours = browser.post("/fails/conflict", headers=HTMX)
    foreign = HTMX | {"HX-Current-URL": "https://evil.example/incidents"}

    assert 'href="/incidents?open=1"' in ours.text
    assert "evil.example" not in browser.post("/fails/conflict", headers=foreign).text
