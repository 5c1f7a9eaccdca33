"""The forms of an incident's page, sent as a browser sends them."""

import re

import pytest

from app.people.rules import Role
from tests.support import factories


@pytest.fixture
def browser(signed_in):
    return signed_in(Role.RESPONDER)


def fields_of(page: str, form: str) -> dict[str, str]:
    """The hidden fields of the form that posts there; of two with one name, the first counts."""
    markup = page.split(f'action="{form}"')[1].split("</form>")[0]
    found: dict[str, str] = {}
    for field in re.findall(r"<input[^>]*type=\"hidden\"[^>]*>", markup):
        name, value = (re.search(rf'{key}="([^"]*)"', field) for key in ("name", "value"))
        found.setdefault(name[1], value[1] if value else "")
    return found


@pytest.mark.parametrize(
    ("action", "typed"),
    [
        ("resolve", {"resolve-reason": "It is over."}),
        ("escalate", {"escalate-team": "1", "escalate-note": "Look."}),
        ("hand-over", {"hand-over-to": "1", "hand-over-note": "Look."}),
        ("severity", {"severity-severity": "1"}),
    ],
)
def test_a_form_knows_which_version_its_reader_saw(browser, signed_in, action, typed):
    factories.team("platform")
    url = f"/incidents/{factories.incident().id}"
    sent = fields_of(browser.get(url).text, f"{url}/{action}") | typed
    signed_in(Role.RESPONDER).post(f"{url}/acknowledge", data={})

    conflict = browser.post(f"{url}/{action}", data=sent)
    again = fields_of(conflict.text, f"{url}/{action}") | typed

    assert conflict.status_code == 409
    assert "Acknowledged, while you were reading" in conflict.text
    assert browser.post(f"{url}/{action}", data=again).status_code == 303


@pytest.mark.parametrize(
    ("action", "field", "sentence"),
    [
        ("resolve", "resolve-reason", "Say why it is over."),
        ("notes", "text", "A note needs words."),
    ],
)
def test_spaces_are_no_words(browser, action, field, sentence):
    url = f"/incidents/{factories.incident().id}"

    reply = browser.post(f"{url}/{action}", data={field: "  "})

    assert reply.status_code == 422
    assert sentence in reply.text
