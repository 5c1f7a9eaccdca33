"""Latency budgets: rows that move without scripts, sums that are told, no edit unseen."""

import re
from datetime import date, timedelta

import pytest
from sqlalchemy import select

from app.core.db import db
from app.core.errors import ConflictError, RefusedError
from app.health import budgets, level_lint
from app.health.budgets import BudgetDraft, Rung, Stage
from app.health.tables import LatencyBudget
from app.people.rules import Actor, Role
from app.people.tables import AuditEntry
from tests.support import factories

KIM = Actor("person", 1, "Kim")
BUDGET = "/models/recsys-home/health/budget"
DRAFT = BudgetDraft(
    "GET /recommend", 99, 150,
    stages=(Stage("Features", 20, "Data"), Stage("Ranking", 80, "Serving")),
    ladder=(Rung("Cached list", "the breaker opens", 1, "stale", date(2026, 3, 1)),
            Rung("Popular", "no cached list")),
    timeouts="Provider 60 ms, no retry", peak_rps=200, load_tested_rps=180,
    load_tested_on=date(2026, 2, 1), approved_by="Ines", review_on=date(2026, 2, 14),
)  # fmt: skip


@pytest.fixture(autouse=True)
def linted(monkeypatch):
    """What the bucket lint says, without a source to ask."""
    said = {"warnings": {}, "trouble": ""}
    monkeypatch.setattr(
        level_lint.offers, "lint", lambda *_args, **_more: level_lint.offers.Linted(**said)
    )
    return said


@pytest.fixture
def model(app):
    return factories.model("recsys-home", owner=factories.team())


@pytest.fixture
def row(model, at):
    return budgets.create("recsys-home", DRAFT, by=KIM, at=at)


def stored():
    db.session.expire_all()
    return db.session.scalars(select(LatencyBudget)).one()


def words(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def filled(**more):
    return {
        "route": "GET /recommend", "percentile": "99", "budget_ms": "150", "clock": "server",
        "panel": "0", "slo": "0", "stages-0-name": "Features", "stages-0-budget_ms": "20",
        "stages-0-owner": "Data", "stages-0-panel": "", "stages-1-name": "Ranking",
        "stages-1-budget_ms": "80", "stages-1-panel": "", "rungs-0-title": "Cached list",
        "rungs-0-seconds": "1", "rungs-0-drilled_on": "2026-03-01",
    } | more  # fmt: skip


def test_a_budget_is_written_down_and_shown(signed_in, model):
    answer = signed_in(Role.MAINTAINER).post(f"{BUDGET}/new", data=filled())

    held = stored()
    assert answer.status_code == 303
    assert (held.route, held.percentile, held.budget_ms) == ("GET /recommend", 99, 150)
    assert held.stages == [
        {"name": "Features", "budget_ms": 20.0, "owner": "Data", "panel": ""},
        {"name": "Ranking", "budget_ms": 80.0, "owner": "", "panel": ""},
    ]
    assert held.ladder == [
        {"title": "Cached list", "trigger": "", "seconds": 1.0, "cost": "",
         "drilled_on": "2026-03-01"}
    ]  # fmt: skip
    text = words(signed_in(Role.VIEWER).get(BUDGET).text)
    assert "GET /recommend: p99 within 150 ms" in text
    assert "Stages take 100 ms of 150 ms: 50 ms of slack." in text


def test_what_is_due_or_too_little_is_told(signed_in, row):
    text = words(signed_in(Role.VIEWER).get(BUDGET).text)

    assert "less than the peak target" in text
    assert re.search(r"14 February( 2026)? \d+ days over", text)
    assert "Never tested" in text


def test_a_rung_reads_on_the_record_as_on_the_page_of_health(signed_in, row):
    reader = signed_in(Role.VIEWER)

    record = words(reader.get(BUDGET).text)
    health = words(reader.get("/models/recsys-home/health").text)

    rungs = record[record.index("Failover ladder") :]
    assert "When: " in rungs
    said = rungs[rungs.index("1 ") : rungs.index("Never tested") + len("Never tested")]
    assert said in health


def test_stages_that_take_more_than_there_is_are_told(signed_in, model, at):
    draft = BudgetDraft("", 99, 100, stages=(Stage("A", 90), Stage("B", 30)))
    budgets.create("recsys-home", draft, by=KIM, at=at)

    assert "20 ms more than there is." in words(signed_in(Role.VIEWER).get(BUDGET).text)


def test_saving_stages_that_take_more_than_the_whole_says_so(signed_in, model):
    browser = signed_in(Role.MAINTAINER)
    said = "Its stages take 160 ms: 10 ms more than the budget of 150 ms."

    fits = browser.post(f"{BUDGET}/new", data=filled(), follow_redirects=True)
    assert "more than the budget" not in fits.text

    address, version = f"{BUDGET}/{stored().id}/edit", str(stored().version)
    changed = filled(**{"stages-1-budget_ms": "140", "version": version})
    page = browser.post(address, data=changed, follow_redirects=True)
    assert said in words(page.text)
    assert stored().stages[1]["budget_ms"] == 140

    other = filled(**{"stages-1-budget_ms": "140", "route": "GET /other"})
    assert said in words(browser.post(f"{BUDGET}/new", data=other, follow_redirects=True).text)


@pytest.mark.parametrize(
    ("press", "names"),
    [
        ("stages-add", ["Features", "Ranking", ""]),
        ("stages-1-up", ["Ranking", "Features"]),
        ("stages-0-down", ["Ranking", "Features"]),
        ("stages-0-remove", ["Ranking"]),
        ("stages-0-up", ["Features", "Ranking"]),
        ("stages-7-remove", ["Features", "Ranking"]),
    ],
)
def test_rows_are_added_removed_and_moved_without_saving(signed_in, model, press, names):
    answer = signed_in(Role.MAINTAINER).post(f"{BUDGET}/new", data=filled(do=press))

    found = re.findall(r'name="stages-\d+-name"[^>]*value="([^"]*)"', answer.text)
    assert answer.status_code == 200
    assert found == names
    assert 'value="Cached list"' in answer.text
    assert db.session.scalars(select(LatencyBudget)).all() == []


def test_a_row_moves_unless_it_is_at_that_end(signed_in, row):
    text = signed_in(Role.MAINTAINER).get(f"{BUDGET}/{row.id}/edit").text

    moves = re.findall(r'<button([^>]*) value="stages-(\d-(?:up|down))"', text)
    assert [(what, "disabled" in attributes) for attributes, what in moves] == [
        ("0-up", True), ("0-down", False), ("1-up", False), ("1-down", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"percentile": "100"}, "The percentile lies between 0 and 100"),
        ({"budget_ms": "0"}, "more than 0"),
        ({"budget_ms": "inf"}, "Give a number."),
        ({"stages-0-name": ""}, "Give each stage a name."),
        ({"stages-1-name": "features"}, "Two stages have the same name."),
        ({"stages-1-budget_ms": ""}, "Ranking: its budget is a time"),
        ({"stages-1-panel": "nothing"}, "the model has no panel nothing"),
        ({"rungs-0-title": ""}, "Say of each rung what it serves."),
        ({"rungs-0-drilled_on": "2999-01-01"}, "in the future"),
        ({"clock": "sun"}, "Not a valid choice"),
    ],
)
def test_what_is_no_budget_is_refused_and_the_text_stays(signed_in, model, change, why):
    answer = signed_in(Role.MAINTAINER).post(f"{BUDGET}/new", data=filled(**change))

    assert answer.status_code == 422
    assert why in words(answer.text)
    assert 'value="GET /recommend"' in answer.text


def test_a_route_has_one_budget(model, row, at):
    with pytest.raises(ConflictError, match="a budget of GET /recommend already"):
        budgets.create("recsys-home", DRAFT, by=KIM, at=at)


def test_a_panel_of_another_model_measures_nothing_here(model, at):
    panel = factories.panel(factories.model("other"))

    with pytest.raises(RefusedError, match="of another model"):
        budgets.create("recsys-home", BudgetDraft("", 99, 150, panel_id=panel.id), by=KIM, at=at)


def test_a_later_edit_does_not_overwrite_an_earlier_one_unseen(signed_in, row, at):
    budgets.edit(row.id, BudgetDraft("", 95, 200), seen_version=1, by=KIM, at=at)
    data = filled(version="1", budget_ms="175")
    writer = signed_in(Role.MAINTAINER)

    answer = writer.post(f"{BUDGET}/{row.id}/edit", data=data)

    assert answer.status_code == 409
    assert "Kim changed recsys-home: all requests while you were editing" in words(answer.text)
    assert 'value="175"' in answer.text
    assert stored().budget_ms == 200

    again = writer.post(f"{BUDGET}/{row.id}/edit", data=data | {"version": "2"})
    assert again.status_code == 303
    assert stored().budget_ms == 175


def test_a_form_opens_with_all_that_is_stored(signed_in, row):
    text = signed_in(Role.MAINTAINER).get(f"{BUDGET}/{row.id}/edit").text

    for value in ("Features", "Ranking", "Cached list", "2026-03-01", "the breaker opens", "Ines"):
        assert f'value="{value}"' in text
    assert "Provider 60 ms, no retry" in text


def test_each_change_is_audited_and_none_is_not(row, at):
    budgets.edit(row.id, DRAFT, seen_version=1, by=KIM, at=at + timedelta(days=1))
    budgets.edit(row.id, BudgetDraft("", 99, 150), seen_version=None, by=KIM, at=at)

    entries = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [entry.action for entry in entries] == ["health.budget.create", "health.budget.update"]
    assert entries[1].before["route"] == "GET /recommend"


@pytest.mark.parametrize(
    ("warnings", "trouble", "matched"),
    [
        ({}, "", True),
        ({"budget": ["No bucket of seconds ends at 150 ms."]}, "", False),
        ({}, "It did not answer.", None),
    ],
)
def test_whether_a_bucket_ends_at_the_budget_is_kept(
    signed_in, model, linted, warnings, trouble, matched
):
    linted.update(warnings=warnings, trouble=trouble)
    source = factories.health_source()
    spec = {"stat": "quantile", "metric": "seconds", "q": 0.99, "scale": 1000}
    panel = factories.panel(model, source_id=source.id, spec=spec)

    signed_in(Role.MAINTAINER).post(f"{BUDGET}/new", data=filled(panel=str(panel.id)))

    assert stored().bucket_matched is matched
    told = "No bucket ends at 150 ms" in signed_in(Role.VIEWER).get(BUDGET).text
    assert told is (matched is False)


def test_only_maintainers_write(signed_in, row):
    responder = signed_in(Role.RESPONDER)

    assert responder.post(f"{BUDGET}/new", data=filled()).status_code == 403
    assert responder.post(f"{BUDGET}/{row.id}/edit", data=filled()).status_code == 403


def test_the_budget_of_another_model_is_not_found_here(signed_in, row):
    factories.model("other", owner=factories.team("others"))

    assert signed_in(Role.MAINTAINER).get(
        f"/models/other/health/budget/{row.id}/edit"
    ).status_code == 404  # fmt: skip
