"""What happened to a model, for the ribbon under its charts."""

from datetime import timedelta

import pytest

from app.alerts.tables import Change, Delivery
from app.health.marks import marks_of
from app.incidents.rules import State
from tests.support import factories

HOUR = timedelta(hours=1)


@pytest.fixture
def model(app):
    return factories.model("recsys-home", owner=factories.team())


@pytest.fixture
def change(app, at):
    door, _ = factories.integration()
    delivery = factories.keep(
        Delivery(receipt="r", integration_id=door.id, source="generic", received_at=at, path="/",
                 headers={}, size=0, sha256="", state="accepted", what="")
    )  # fmt: skip

    def change(text, moment, model=None, links=()):
        return factories.keep(
            Change(integration_id=door.id, delivery_id=delivery.id, at=moment, summary=text,
                   model_id=model.id if model else None, links=list(links), detail={})
        )  # fmt: skip

    return change


@pytest.fixture
def marks(app, model, at):
    model_id = model.id

    def marks():
        with app.test_request_context():
            return marks_of(model_id, at - 2 * HOUR, at)

    return marks


def test_changes_of_the_model_and_of_no_model_are_marks(model, change, marks, at):
    other = factories.model("eta", owner=model.team)
    change("Deploy v43", at - HOUR, model, [{"href": "https://ci.example.com/43", "text": "CI"}])
    change("Network change", at - HOUR / 2)
    change("Deploy of another", at - HOUR, other)
    change("Too early", at - 3 * HOUR, model)
    change("Too late", at + HOUR, model)

    assert [(mark.text, mark.kind, mark.url) for mark in marks()] == [
        ("Deploy v43", "change", "https://ci.example.com/43"),
        ("Network change", "change", ""),
    ]


def test_incidents_last_from_their_begin_to_their_end(model, marks, at):
    over = factories.incident(
        model_id=model.id, title="Slow", state=State.RESOLVED, opened_at=at - 3 * HOUR,
        resolved_at=at - HOUR,
    )  # fmt: skip
    factories.incident(
        model_id=model.id, state=State.RESOLVED, failure_mode="schema_break",
        opened_at=at - 5 * HOUR, resolved_at=at - 4 * HOUR,
    )  # fmt: skip
    still = factories.incident(model_id=model.id, title="Drift", opened_at=at - HOUR / 2)

    assert [(mark.text, mark.at, mark.until, mark.url) for mark in marks()] == [
        (f"INC-{over.id} Slow", at - 3 * HOUR, at - HOUR, f"/incidents/{over.id}"),
        (f"INC-{still.id} Drift", at - HOUR / 2, None, f"/incidents/{still.id}"),
    ]


def test_a_ribbon_takes_as_many_statements_for_one_mark_as_for_fifty(
    model, change, marks, at, queries
):
    change("Deploy", at - HOUR, model)
    marks()
    one = queries(marks)
    for number in range(80):
        change(f"Deploy {number}", at - HOUR, model)

    assert queries(marks) == one
    assert len(marks()) == 50
