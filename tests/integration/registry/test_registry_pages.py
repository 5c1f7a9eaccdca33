"""The pages of models and teams."""

import re

import pytest
from markupsafe import Markup

from app.core.db import unit_of_work
from app.people.rules import Role
from app.registry import queries, service
from app.registry.drafts import PagerDraft
from app.registry.sections import (
    ModelColumn,
    ModelSection,
    add_model_banner,
    add_model_column,
    add_model_section,
)
from tests.integration.registry.test_registry_service import INES, KEY, PRIYA, draft
from tests.support import factories

HTMX = {"HX-Request": "true"}


@pytest.fixture
def maintainer(signed_in):
    return signed_in(Role.MAINTAINER)


@pytest.fixture
def serving(app):
    return factories.team("serving", name="Serving Platform")


@pytest.fixture
def without_additions(app):
    """Other features' additions to the pages of models are set aside, then put back."""
    names = ("model_page_sections", "model_list_columns", "model_page_banners")
    kept = {name: app.extensions.pop(name) for name in names if name in app.extensions}
    yield
    for name in names:
        app.extensions.pop(name, None)
    app.extensions.update(kept)


def version_in(page):
    return re.search(r'name="version"[^>]*value="(\d+)"', page.text)[1]


def model_fields(**more):
    required = {"slug": "recsys-home", "team": "serving", "tier": "1", "deputy": ""}
    return required | {"version": "1"} | more


# --- Who may


@pytest.mark.parametrize(
    "path",
    ["/models", "/models/recsys-home", "/models/try", "/models/recsys-home/try", "/teams"],
)
def test_a_viewer_reads_and_is_offered_no_changes(signed_in, path):
    factories.model("recsys-home")
    page = signed_in(Role.VIEWER).get(path)
    assert page.status_code == 200
    for change in ("/new", "/edit", "/import", "/retire"):
        assert change not in page.text


@pytest.mark.parametrize(
    "path",
    [
        "/models/new",
        "/models/recsys-home/edit",
        "/models/recsys-home/retire",
        "/models/recsys-home/restore",
        "/models/import",
        "/teams/new",
        "/teams/serving/edit",
        "/teams/serving/delete",
        "/teams/serving/pager",
    ],
)
def test_a_responder_changes_nothing(signed_in, serving, path):
    factories.model("recsys-home", owner=serving)
    reply = signed_in(Role.RESPONDER).post(path, data=model_fields())
    assert reply.status_code == 403
    assert queries.model_by_slug("recsys-home").version == 1


def test_without_signing_in_there_is_nothing_to_see(client):
    assert client.get("/models").status_code == 303


# --- Lists


def test_an_empty_list_says_what_will_be_there_and_begins_with_a_team(maintainer):
    page = maintainer.get("/models")
    assert "No models yet" in page.text
    assert 'href="/teams/new"' in page.text


def test_models_are_found_by_text_team_tier_and_tag(maintainer, serving):
    lena = factories.user(name="Lena Fischer")
    pricing = factories.team("pricing")
    factories.model("recsys-home", owner=serving, tags=["feed"], deputy_id=lena.id)
    factories.model("fraud-score", owner=pricing, tier=2, purpose="Card fraud", tags=["feeder"])
    factories.model("old-model", owner=pricing, retired_at=factories.NOON)

    def found(query):
        page = maintainer.get(f"/models?{query}").text
        return [slug for slug in ("recsys-home", "fraud-score", "old-model") if f">{slug}<" in page]

    assert found("") == ["recsys-home", "fraud-score"]
    assert found("search=HOME") == ["recsys-home"]
    assert found("search=card+fraud") == ["fraud-score"]
    assert found("search=lena") == ["recsys-home"]
    assert found("team=pricing") == ["fraud-score"]
    assert found("tier=1") == ["recsys-home"]
    assert found("tag=feed") == ["recsys-home"]
    assert found("show=retired") == ["old-model"]
    assert found("tier=9&search=%25") == []


def test_what_is_typed_into_the_search_is_no_pattern(maintainer):
    factories.model("recsys-home")
    assert "No model fits" in maintainer.get("/models?search=%25").text
    assert "No model fits" in maintainer.get("/models?search=_ecsys").text


def test_pages_follow_each_other_without_gap_or_repeat(maintainer, serving):
    slugs = [f"model-{number:03}" for number in range(120)]
    for number, slug in enumerate(slugs):
        factories.model(slug, owner=serving, tier=number % 4 + 1)
    url, seen = "/models?search=model", []
    while url:
        page = maintainer.get(url).text
        seen += re.findall(r'href="/models/(model-\d+)"', page)
        link = re.search(r'href="([^"]+)" rel="next"', page)
        url = link[1].replace("&amp;", "&") if link else None
    assert sorted(seen) == slugs
    assert len(seen) == 120


def test_a_broken_cursor_is_refused_with_a_sentence(maintainer):
    reply = maintainer.get("/models?cursor=rubbish")
    assert reply.status_code == 400
    assert "Start at the first page again" in reply.text


@pytest.mark.parametrize("path", ["/models", "/models/model-0", "/teams", "/teams/serving"])
def test_pages_cost_the_same_for_one_or_fifty(maintainer, serving, queries, path):
    def add(number):
        owner = factories.team(f"team-{number}")
        deputy = factories.user()
        with unit_of_work():
            owner.members = [deputy]
            serving.members = [*serving.members, deputy]
        matchers = [{"app": f"app-{number}"}]
        for slug, team in ((f"model-{number}", serving), (f"other-{number}", owner)):
            factories.model(slug, owner=team, deputy_id=deputy.id, matchers=matchers)

    def cost():
        maintainer.get(path)  # what the shell keeps for a few seconds is read before
        return queries(lambda: maintainer.get(path))

    add(0)
    one = cost()
    for number in range(1, 50):
        add(number)
    assert cost() == one
    assert one <= 12


def test_other_features_add_a_column_a_section_and_a_banner(
    app, maintainer, serving, without_additions
):
    one = factories.model("recsys-home", owner=serving)
    factories.model("search-rank", owner=serving)
    add_model_column(app, ModelColumn("Incidents", lambda ids: {one.id: Markup("<b>2 open</b>")}))
    add_model_section(app, ModelSection("Trials", "registry.try_labels"))
    add_model_banner(app, lambda model_id: Markup("<p>INC-214 is open</p>"))

    assert maintainer.get("/models").text.count("<b>2 open</b>") == 1
    page = maintainer.get("/models/recsys-home").text
    assert "<p>INC-214 is open</p>" in page
    assert 'hx-get="/models/recsys-home/try" hx-trigger="load"' in page
    assert 'aria-current="page">Overview' in page


# --- Models


def test_a_model_is_added_in_the_browser(maintainer, serving):
    reply = maintainer.post(
        "/models/new",
        data=model_fields(tags="Feed, ranking", matchers="app=home\n\nns=prod-*, app=h", tier="3"),
        follow_redirects=True,
    )
    assert "recsys-home is added" in reply.text
    model = queries.model_by_slug("recsys-home")
    assert (model.tier, model.tags) == (3, ["feed", "ranking"])
    assert [held.labels for held in model.matchers] == [
        {"app": "home"},
        {"app": "h", "ns": "prod-*"},
    ]


def test_a_wrong_form_comes_back_with_its_text_and_a_sentence_for_each_field(maintainer, serving):
    reply = maintainer.post(
        "/models/new",
        data=model_fields(slug="Recsys Home", tags='a"b', matchers='a="1"\nb=~"2"', tier="9"),
    )
    assert reply.status_code == 422
    for sentence in (
        "“recsys-home” would do",
        "can&#39;t be a tag",
        "Line 2: =~ is not known here",
        "4 fields need you",
    ):
        assert sentence in reply.text
    assert 'value="Recsys Home"' in reply.text


def test_a_taken_name_keeps_what_was_typed(maintainer, serving):
    factories.model("recsys-home", owner=serving)
    reply = maintainer.post("/models/new", data=model_fields(purpose="My long text"), headers=HTMX)
    assert reply.status_code == 409
    assert "already a model recsys-home" in reply.text
    assert "My long text" in reply.text
    assert "<html" not in reply.text


def test_a_stale_edit_shows_both_sides_and_can_be_saved_on_purpose(maintainer, serving, at):
    service.create_model(draft(purpose="Old"), by=PRIYA, at=at)
    form = maintainer.get("/models/recsys-home/edit")
    service.edit_model("recsys-home", draft(purpose="Theirs"), by=INES, at=at)

    mine = model_fields(purpose="Mine", version=version_in(form))
    reply = maintainer.post("/models/recsys-home/edit", data=mine)
    assert reply.status_code == 409
    for shown in ("Ines Duarte changed recsys-home", "Theirs", "Mine"):
        assert shown in reply.text
    assert queries.model_by_slug("recsys-home").purpose == "Theirs"

    mine["version"] = version_in(reply)
    assert maintainer.post("/models/recsys-home/edit", data=mine).status_code == 303
    assert queries.model_by_slug("recsys-home").purpose == "Mine"


def test_an_edit_form_without_a_version_overwrites_nothing(maintainer, serving):
    factories.model("recsys-home", owner=serving)
    for version in ("", "x", "99999999999"):
        reply = maintainer.post(
            "/models/recsys-home/edit", data=model_fields(tier="4", version=version)
        )
        assert reply.status_code == 409
    assert queries.model_by_slug("recsys-home").tier == 1


def test_a_model_is_retired_and_restored_in_the_browser(maintainer, serving):
    factories.model("recsys-home", owner=serving)
    page = maintainer.post("/models/recsys-home/retire", follow_redirects=True)
    assert "Retired since" in page.text
    assert "No models yet" in maintainer.get("/models").text
    page = maintainer.post("/models/recsys-home/restore", follow_redirects=True)
    assert "Retired since" not in page.text
    assert maintainer.post("/models/recsys-home/restore").status_code == 409


# --- Trying labels


def test_labels_can_be_tried(maintainer, serving):
    factories.model("recsys-home", owner=serving, matchers=[{"ns": "prod-*"}])
    page = maintainer.get("/models/try?labels=ns%3Dprod-eu")
    assert "<b>recsys-home</b>, because label ns is prod-eu, which fits prod-*." in page.text
    assert "No model claims these labels" in maintainer.get("/models/try?labels=ns%3Dx").text
    assert "Not understood" in maintainer.get("/models/try?labels=ns~x").text
    assert "Write at least one label" in maintainer.get("/models/try?labels=").text


def test_labels_of_another_model_are_said_to_be_another_ones(maintainer, serving):
    factories.model("recsys-home", owner=serving)
    factories.model("search-rank", owner=serving)
    page = maintainer.get("/models/search-rank/try?labels=model%3Drecsys-home")
    assert "That is not search-rank" in page.text
    assert "model_name=search-rank" in maintainer.get("/models/search-rank/try").text


def test_triage_names_the_team_that_would_take_it(maintainer):
    factories.team("duty", name="On Duty", triages=True)
    assert "with On Duty" in maintainer.get("/models/try?labels=a%3Db").text


def test_labels_are_tried_on_the_form_before_anything_is_saved(maintainer, serving):
    factories.model("recsys-home", owner=serving)
    asked = model_fields(matchers="app=home", labels="app=home", **{"try": "y"})
    part = maintainer.post("/models/recsys-home/edit", data=asked, headers=HTMX)
    assert part.status_code == 200
    assert "<b>recsys-home</b>, because label app is home" in part.text
    assert "<form" not in part.text
    whole = maintainer.post("/models/new", data=asked | {"slug": "brand-new"})
    assert "<b>brand-new</b>" in whole.text
    assert "app=home" in whole.text
    broken = maintainer.post("/models/new", data=asked | {"matchers": "app"}, headers=HTMX)
    assert "Matchers, Line 1" in broken.text
    assert queries.model_by_slug("recsys-home").matchers == []


# --- Teams


def test_a_team_is_added_edited_and_deleted_in_the_browser(maintainer):
    ines = factories.user(name="Ines Duarte")
    page = maintainer.post(
        "/teams/new",
        data={"name": "Search Relevance", "members": [ines.email], "triages": "y"},
        follow_redirects=True,
    )
    assert "Ines Duarte" in page.text
    assert "takes the incidents that no model claims" in page.text
    form = maintainer.get("/teams/search-relevance/edit")
    reply = maintainer.post(
        "/teams/search-relevance/edit",
        data={"name": "Search", "slug": "search", "version": version_in(form)},
    )
    assert reply.location == "/teams/search"
    assert queries.team_by_slug("search").members == []
    assert maintainer.post("/teams/search/delete").location == "/teams"
    assert "No teams yet" in maintainer.get("/teams").text


def test_a_team_needs_a_name_that_makes_an_address_and_a_https_chat(maintainer):
    reply = maintainer.post("/teams/new", data={"name": "東京", "chat_url": "http://chat"})
    assert reply.status_code == 422
    assert "No address can be made of the name" in reply.text
    assert "starts with https://" in reply.text


def test_a_stale_team_form_is_a_conflict(maintainer, serving, at):
    service.wire_pager("serving", PagerDraft("eu", None, KEY), by=INES, at=at)
    reply = maintainer.post("/teams/serving/edit", data={"name": "Mine", "version": "1"})
    assert reply.status_code == 409
    assert "Ines Duarte changed Serving Platform" in reply.text
    assert 'value="Mine"' in reply.text


def test_the_key_of_a_pager_goes_in_and_never_comes_out(maintainer, serving):
    form = maintainer.get("/teams/serving/pager")
    fields = {"region": "eu", "routing_key": KEY, "version": version_in(form)}
    page = maintainer.post("/teams/serving/pager", data=fields, follow_redirects=True)
    assert "key ending 1a2b" in page.text
    for path in ("/teams/serving", "/teams/serving/pager", "/teams", "/teams/serving/edit"):
        assert KEY not in maintainer.get(path).text
    stored = queries.team_by_slug("serving").routing_key_encrypted
    assert stored is not None
    assert stored not in maintainer.get("/teams/serving/pager").text


def test_a_wrong_key_is_refused_and_not_shown_again(maintainer, serving):
    wrong = KEY + "x"
    reply = maintainer.post(
        "/teams/serving/pager", data={"region": "us", "routing_key": wrong, "version": "1"}
    )
    assert reply.status_code == 422
    assert "exactly 32 letters and digits" in reply.text
    assert wrong not in reply.text


def test_a_key_is_taken_away_with_a_tick(maintainer, serving, at):
    service.wire_pager("serving", PagerDraft("us", None, KEY), by=INES, at=at)
    both = {"region": "us", "version": "2", "remove_key": "y", "routing_key": KEY}
    assert "Either a new key, or none" in maintainer.post("/teams/serving/pager", data=both).text
    page = maintainer.post(
        "/teams/serving/pager", data=both | {"routing_key": ""}, follow_redirects=True
    )
    assert "Sandbox pager" in page.text


def test_a_stale_pager_form_is_a_conflict(maintainer, serving, at):
    service.wire_pager("serving", PagerDraft("us", None, KEY), by=INES, at=at)
    reply = maintainer.post("/teams/serving/pager", data={"region": "eu", "version": "1"})
    assert reply.status_code == 409
    assert queries.team_by_slug("serving").region == "us"
