"""Importing teams and models from a file."""

import re

import pytest
import yaml

from app.core.db import db
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.people.rules import Role
from app.registry import imports, queries, service
from app.registry.files import EXAMPLE, read_file
from tests.integration.registry.test_registry_service import INES, PRIYA, draft, trail
from tests.support import factories


@pytest.fixture
def people(app):
    factories.user(name="Ines Duarte", email="ines@example.com")
    factories.user(name="Lena Fischer", email="lena@example.com")


def imported(text, at):
    file, problems = read_file(text)
    assert problems == []
    return imports.import_file(file, by=PRIYA, at=at)


def problems_of(text):
    return imports.plan_import(*read_file(text)).problems


def counts(plan):
    return tuple(plan.count(does) for does in ("create", "change", "keep"))


def test_a_plan_writes_nothing(people):
    plan = imports.plan_import(*read_file(EXAMPLE))
    assert counts(plan) == (2, 0, 0)
    assert plan.problems == ()
    assert queries.team_count() == 0


def test_a_file_adds_teams_and_their_models(people, at):
    imported(EXAMPLE, at)
    model = queries.model_by_slug("recsys-home")
    assert (model.team.name, model.deputy.name) == ("Serving Platform", "Lena Fischer")
    assert queries.triage_team() == (model.team_id, "Serving Platform")
    assert [entry.action for entry in trail("team") + trail("model")] == [
        "team.create",
        "model.create",
    ]


def test_the_same_file_again_changes_nothing(people, at):
    imported(EXAMPLE, at)
    assert counts(imported(EXAMPLE, at)) == (0, 0, 2)
    assert len(trail("team") + trail("model")) == 2
    assert queries.model_by_slug("recsys-home").version == 1


def test_what_a_file_leaves_out_stays(people, at):
    imported(EXAMPLE, at)
    plan = imported("teams: [{name: Serving Platform}]\nmodels: [{slug: recsys-home, tier: 2}]", at)
    (step,) = plan.models
    assert [(change.field, change.before, change.after) for change in step.changes] == [
        ("Tier", "1", "2")
    ]
    model = queries.model_by_slug("recsys-home")
    assert (model.tier, model.purpose, model.deputy.name) == (
        2,
        "Home feed ranking",
        "Lena Fischer",
    )
    assert len(queries.team_by_slug("serving-platform").members) == 2


def test_empty_values_take_away(people, at):
    imported(EXAMPLE, at)
    imported("models: [{slug: recsys-home, deputy: '', tags: [], matchers: []}]", at)
    model = queries.model_by_slug("recsys-home")
    assert (model.deputy, model.tags, model.matchers) == (None, [], [])


def test_a_team_is_known_by_its_name_wherever_its_address_is(app, at):
    factories.team("sp", name="Serving Platform")
    assert counts(imported("teams: [{name: Serving Platform, triages: true}]", at)) == (0, 1, 0)
    imported("models: [{slug: a, tier: 1, team: Serving Platform}]", at)
    imported("models: [{slug: b, tier: 1, team: sp}]", at)
    assert queries.model_by_slug("a").team_id == queries.model_by_slug("b").team_id


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models: [{slug: a}]", "Model a: a new model needs a team."),
        ("models: [{slug: a}]", "Model a: a new model needs a tier."),
        ("models: [{slug: a, tier: 1, team: nowhere}]", "Model a: there is no team nowhere."),
        (
            "models: [{slug: a, tier: 1, team: taken, deputy: x@example.com}]",
            "Model a: nobody here has the address x@example.com.",
        ),
        (
            "teams: [{name: New, members: [gone@example.com]}]",
            "Team New: Kofi Mensah no longer has an account here.",
        ),
        ("teams: [{name: Taken, slug: other}]", "Team Taken: the team at /teams/taken has"),
        ("teams: [{name: 東京}]", "Team 東京: no address can be made of the name"),
        ("teams: [{name: A}, {name: a}]", "The team a stands there 2 times."),
        ("models: [{slug: a}, {slug: a}]", "The model a stands there 2 times."),
        (
            "teams: [{name: A, triages: true}, {name: B, triages: true}]",
            "Only one team can take the incidents",
        ),
    ],
)
def test_what_stands_against_a_file_is_said_and_nothing_is_written(app, at, text, says):
    factories.team("taken", name="Taken")
    factories.user(name="Kofi Mensah", email="gone@example.com", active=False)
    assert any(problem.startswith(says) for problem in problems_of(text))
    with pytest.raises(RefusedError):
        imported(text, at)
    assert queries.team_count() == 1


def test_a_failure_half_way_leaves_nothing(people, at, monkeypatch):
    def fail(*_args, **_more):
        raise RuntimeError("The disk is full.")

    monkeypatch.setattr(service, "create_models", fail)
    with pytest.raises(RuntimeError, match="full"):
        imported(EXAMPLE, at)
    with pytest.raises(NotFoundError):
        queries.team_by_slug("serving-platform")


def test_a_plan_that_is_no_longer_true_is_not_carried_out(app, at):
    factories.team("serving")
    service.create_model(draft(), by=PRIYA, at=at)
    file, _ = read_file("models: [{slug: recsys-home, tier: 2}]")
    seen = imports.plan_import(file).fingerprint
    service.edit_model("recsys-home", draft(purpose="Another"), by=INES, at=at)
    with pytest.raises(ConflictError, match="changed since you looked"):
        imports.import_file(file, seen=seen, by=PRIYA, at=at)


def test_many_new_models_are_written_in_few_statements(app, at, queries):
    models = [
        {"slug": f"model-{n}", "team": "Big", "tier": n % 4 + 1, "matchers": [f"app=m{n}"]}
        for n in range(300)
    ]
    text = yaml.safe_dump({"teams": [{"name": "Big"}], "models": models}, sort_keys=False)
    # SQLite, in the same process, writes row by row: a model, a matcher, a line of the trail.
    rows = 0 if db.engine.dialect.name == "postgresql" else 3 * 300
    assert queries(lambda: imported(text, at)) < 30 + rows
    assert counts(imported(text, at)) == (0, 0, 301)


# --- In the browser and by API


def test_the_page_shows_what_would_happen_and_then_does_it(signed_in, people):
    browser = signed_in(Role.MAINTAINER)
    shown = browser.post("/models/import", data={"text": EXAMPLE})
    assert "Nothing is written yet" in shown.text
    assert "2 would be added, 0 changed, 0 stay as they are" in shown.text
    assert queries.team_count() == 0

    seen = re.search(r'name="seen" value="(\w+)"', shown.text)[1]
    done = browser.post(
        "/models/import", data={"text": EXAMPLE, "seen": seen}, follow_redirects=True
    )
    assert "2 entries added, 0 changed" in done.text
    assert "recsys-home" in done.text
    assert "Nothing to do" in browser.post("/models/import", data={"text": EXAMPLE}).text


def test_the_page_takes_a_file_as_well(signed_in, people, tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text(EXAMPLE)
    with path.open("rb") as upload:
        reply = signed_in(Role.MAINTAINER).post("/models/import", data={"file": upload})
    assert "2 would be added" in reply.text
    assert "slug: recsys-home" in reply.text


def test_the_page_says_what_is_wrong_and_keeps_the_text(signed_in, app):
    reply = signed_in(Role.MAINTAINER).post(
        "/models/import", data={"text": "models: [{slug: keep-me, tier: 7}]", "seen": "x"}
    )
    assert reply.status_code == 422
    assert "Nothing was written. 1 thing needs you" in reply.text
    assert "keep-me" in reply.text


def test_the_page_shows_a_plan_anew_when_it_is_no_longer_true(signed_in, people):
    reply = signed_in(Role.MAINTAINER).post(
        "/models/import", data={"text": EXAMPLE, "seen": "of another plan"}
    )
    assert reply.status_code == 409
    assert "Look again, then import" in reply.text
    assert "2 would be added" in reply.text
    assert queries.team_count() == 0


def test_the_api_imports_yaml_and_json(client, token, people):
    headers = token("registry:write")
    url = "/api/v1/registry/import"
    dry = client.post(f"{url}?dry_run=true", data=EXAMPLE, headers=headers)
    assert (dry.status_code, dry.json["created"], queries.team_count()) == (200, 2, 0)
    assert dry.json["steps"][1]["slug"] == "recsys-home"

    done = client.post(url, json=yaml.safe_load(EXAMPLE), headers=headers)
    assert (done.json["created"], queries.team_count()) == (2, 1)
    again = client.post(url, data=EXAMPLE, content_type="application/yaml", headers=headers)
    assert (again.json["created"], again.json["kept"]) == (0, 2)


def test_the_api_refuses_a_wrong_file_with_sentences(client, token):
    headers = token("registry:write")
    url = "/api/v1/registry/import"
    reply = client.post(url, data="models: [{slug: A}]", headers=headers)
    assert reply.status_code == 422
    assert reply.mimetype == "application/problem+json"
    assert "Model 1 (A), slug" in reply.json["detail"]
    reply = client.post(f"{url}?dry_run=true", data="models: [{slug: a}]", headers=headers)
    assert len(reply.json["problems"]) == 2
    assert client.post(url, data=EXAMPLE, headers=token("registry:read")).status_code == 403
