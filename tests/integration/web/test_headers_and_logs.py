import json
import logging
import re

import pytest

from app.web import assets, logs


def test_pages_forbid_foreign_and_inline_code(browser):
    policy = browser.get("/incidents").headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_no_page_holds_code_or_style_of_its_own(browser, person):
    text = browser.get("/incidents").text

    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert "<style" not in text
    assert "style=" not in text


@pytest.mark.parametrize("path", ["/incidents", "/fails/bug", "/fails/404", "/api/nothing"])
def test_every_answer_is_hardened_and_not_kept(browser, path):
    headers = browser.get(path).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" not in headers


def test_https_is_asked_for_again(browser):
    reply = browser.get("/incidents", base_url="https://baton.test")

    assert reply.headers["Strict-Transport-Security"].startswith("max-age=")


def test_a_sane_request_id_is_kept_and_another_replaced(browser):
    def answered(said):
        return browser.get("/incidents", headers={"X-Request-Id": said}).headers["X-Request-Id"]

    assert answered("7f3c-91ab") == "7f3c-91ab"
    for rubbish in ("short", "x" * 65, "a b c d e f g", "<script>x"):
        assert re.fullmatch(r"[0-9a-f]{16}", answered(rubbish))


def test_static_files_are_kept_for_a_year_under_their_hash_only(make_shell):
    app = make_shell(development=False)
    browser = app.test_client()
    with app.test_request_context():
        url = app.jinja_env.globals["static"]("css/base.css")

    def kept(path):
        with browser.get(path) as reply:
            return reply.headers["Cache-Control"]

    assert re.fullmatch(r"/static/v-[0-9a-f]{12}/css/base\.css", url)
    assert "immutable" in kept(url)
    for other in ("/static/v-000000000000/css/base.css", "/static/css/base.css"):
        assert kept(other) == "no-cache"
    assert browser.get("/static/../app/config.py").status_code == 404


def test_the_hash_follows_the_files(tmp_path):
    (tmp_path / "a.css").write_text("a")
    before = assets.content_hash(tmp_path)
    (tmp_path / "a.css").write_text("b")

    assert assets.content_hash(tmp_path) != before


def test_a_page_loads_less_than_40_kb_of_css():
    def size(*names):
        return sum((assets.FOLDER / "css" / f"{name}.css").stat().st_size for name in names)

    common = size("tokens", "base", "components")
    for further in (["pages/run", "pages/runbook"], ["pages/plan", "pages/health"], ["pages/solo"]):
        assert common + size(*further) <= 40 * 1024


def test_a_request_is_one_line_with_no_query(shell, person, capsys):
    log = logging.getLogger("app.web.requests")
    handler = logs.handler()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        shell.test_client().get("/incidents?search=private", headers={"X-Request-Id": "7f3c-91ab"})
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)

    line = json.loads(capsys.readouterr().out)
    assert line["request_id"] == "7f3c-91ab"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/incidents", 200)
    assert line["actor"] == "person 7"
    assert line["duration_ms"] >= 0
    assert "private" not in json.dumps(line)
