"""What the pages of models say about incidents."""

import pytest

from app.incidents.rules import State
from app.people.rules import Role
from tests.support import factories


@pytest.fixture
def browser(signed_in):
    return signed_in(Role.RESPONDER)


def test_the_page_of_a_model_says_that_an_incident_is_open(browser):
    model = factories.model("recsys-home")
    assert "nobody leads" not in browser.get("/models/recsys-home").text
    factories.incident(model_id=model.id, title="recsys-home is slow <b>", severity=2)

    text = browser.get("/models/recsys-home").text

    assert "recsys-home is slow &lt;b&gt;" in text
    assert "nobody leads" in text


def test_a_model_lists_its_incidents_and_no_others(browser):
    model, other = factories.model("recsys-home"), factories.model("fraud-card")
    factories.incident(model_id=model.id, title="the one before", state=State.RESOLVED)
    factories.incident(model_id=other.id, title="another model's")

    text = browser.get("/models/recsys-home/incidents").text

    assert "the one before" in text
    assert "another model's" not in text.split("<main")[1]


def test_the_list_of_models_costs_the_same_however_many_have_incidents(browser, queries):
    for number in range(2):
        factories.model(f"model-{number}")
    browser.get("/models")
    before = queries(lambda: browser.get("/models"))
    for severity, model_id in ((1, 1), (2, 1), (3, 2)):
        mode = f"mode_{severity}"
        factories.incident(model_id=model_id, failure_mode=mode, severity=severity)

    text = browser.get("/models").text

    assert queries(lambda: browser.get("/models")) == before
    assert "and 1 more" in text


def test_the_incidents_of_a_model_that_does_not_exist_are_a_404(browser):
    assert browser.get("/models/nothing/incidents").status_code == 404
