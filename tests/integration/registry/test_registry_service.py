"""Models, teams and pagers: what is written, what is refused, what the trail says."""

import pytest
from sqlalchemy import select

from app.config import settings
from app.core.db import db, unit_of_work
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.core.secrets import decrypt
from app.people.rules import Actor
from app.people.tables import AuditEntry
from app.registry import queries, service
from app.registry.drafts import ModelDraft, PagerDraft, TeamDraft
from app.registry.rules import RoutingRow
from tests.support import factories

PRIYA = Actor("person", 1, "Priya Raman")
INES = Actor("person", 2, "Ines Duarte")
KEY = "R0123456789abcdefghijklmnopQ1a2b"


def trail(kind):
    """What the audit trail holds about things of one kind, the oldest first."""
    return db.session.scalars(
        select(AuditEntry).where(AuditEntry.target_kind == kind).order_by(AuditEntry.id)
    ).all()


def draft(**more):
    return ModelDraft(**({"slug": "recsys-home", "team": "serving", "tier": 1} | more))


@pytest.fixture
def serving(app):
    return factories.team("serving", name="Serving Platform")


def test_a_model_is_added_with_all_that_was_written(serving, at):
    lena = factories.user(name="Lena Fischer", email="lena@example.com")
    matchers = ({"model_name": "recsys-home", "namespace": "prod-*"},)

    service.create_model(
        draft(purpose="Home feed", deputy=lena.email, tags=("feed",), matchers=matchers),
        by=PRIYA,
        at=at,
    )

    model = queries.model_by_slug("recsys-home")
    assert (model.team.name, model.deputy, model.tier) == ("Serving Platform", lena, 1)
    assert (model.purpose, model.tags, model.created_at) == ("Home feed", ["feed"], at)
    assert [held.labels for held in model.matchers] == list(matchers)
    (entry,) = trail("model")
    assert (entry.action, entry.actor_name, entry.target_name) == (
        "model.create",
        "Priya Raman",
        "recsys-home",
    )
    assert entry.after["deputy"] == "Lena Fischer"


def test_a_name_can_be_taken_once(serving, at):
    service.create_model(draft(), by=PRIYA, at=at)
    service.create_model(draft(slug="search-rank"), by=PRIYA, at=at)
    with pytest.raises(ConflictError, match="already a model recsys-home"):
        service.create_model(draft(), by=PRIYA, at=at)
    with pytest.raises(ConflictError, match="already a model recsys-home"):
        service.edit_model("search-rank", draft(), by=PRIYA, at=at)
    assert len(trail("model")) == 2


def test_a_model_needs_a_team_and_people_that_exist(serving, at):
    gone = factories.user(name="Kofi Mensah", active=False)
    for wrong, says in (
        (draft(team="nowhere"), "no team nowhere"),
        (draft(deputy="nobody@example.com"), "Nobody here has the address nobody@example.com"),
        (draft(deputy=gone.email), "Kofi Mensah no longer has an account"),
    ):
        with pytest.raises(RefusedError, match=says):
            service.create_model(wrong, by=PRIYA, at=at)


def test_a_deputy_who_left_may_stay_until_replaced(serving, at):
    kofi = factories.user(name="Kofi Mensah")
    service.create_model(draft(deputy=kofi.email), by=PRIYA, at=at)
    with unit_of_work():
        kofi.active = False
    saved = service.edit_model("recsys-home", draft(deputy=kofi.email, tier=2), by=PRIYA, at=at)
    assert (saved.tier, saved.deputy_id) == (2, kofi.id)


def test_an_edit_counts_up_and_the_trail_keeps_what_differs(serving, at):
    first = service.create_model(draft(tier=2), by=PRIYA, at=at).version
    matchers = ({"app": "home"},)
    saved = service.edit_model("recsys-home", draft(tier=2, matchers=matchers), by=INES, at=at)
    # Matchers are rows of their own, and yet another reader must notice.
    assert saved.version == first + 1
    entry = trail("model")[-1]
    assert (entry.action, entry.before, entry.after) == (
        "model.update",
        {"matchers": []},
        {"matchers": ['app="home"']},
    )


def test_an_edit_that_changes_nothing_leaves_no_trace(serving, at):
    matchers = ({"b": "2", "a": "1"},)
    model = service.create_model(draft(matchers=matchers), by=PRIYA, at=at)
    again = service.edit_model(
        "recsys-home",
        draft(matchers=matchers),
        seen_version=model.version,
        by=INES,
        at=at,
    )
    assert again.version == 1
    assert len(trail("model")) == 1


def test_a_stale_edit_is_refused_with_the_name_of_whoever_was_first(serving, at):
    seen = service.create_model(draft(), by=PRIYA, at=at).version
    service.edit_model("recsys-home", draft(tier=3), seen_version=seen, by=INES, at=at)
    with pytest.raises(ConflictError, match=r"^Ines Duarte changed recsys-home at 02:14 UTC"):
        service.edit_model("recsys-home", draft(tier=4), seen_version=seen, by=PRIYA, at=at)
    assert queries.model_by_slug("recsys-home").tier == 3


def test_a_retired_model_claims_no_alerts_until_it_is_restored(serving, at):
    service.create_model(draft(), by=PRIYA, at=at)
    before = queries.routing_stamp()
    service.retire_model("recsys-home", by=INES, at=at)
    assert queries.routing_rows() == []
    assert queries.routing_stamp() != before
    with pytest.raises(ConflictError, match="already retired"):
        service.retire_model("recsys-home", by=INES, at=at)

    service.restore_model("recsys-home", by=INES, at=at)
    assert [row.slug for row in queries.routing_rows()] == ["recsys-home"]
    with pytest.raises(ConflictError, match="not retired"):
        service.restore_model("recsys-home", by=INES, at=at)
    assert [entry.action for entry in trail("model")] == [
        "model.create",
        "model.retire",
        "model.restore",
    ]


def test_what_does_not_exist_is_not_found(app, at):
    with pytest.raises(NotFoundError):
        service.edit_model("nothing", draft(), by=PRIYA, at=at)
    with pytest.raises(NotFoundError):
        queries.model_by_slug("no\x00thing")
    with pytest.raises(NotFoundError):
        queries.team_by_slug("nothing")


def test_routing_rows_carry_matchers_and_leave_out_nothing_in_production(serving, at):
    two = ({"a": "1"}, {"b": "2*"})
    service.create_model(draft(matchers=two), by=PRIYA, at=at)
    service.create_model(draft(slug="search-rank", tier=2), by=PRIYA, at=at)
    assert queries.routing_rows() == [
        RoutingRow(1, "recsys-home", serving.id, 1, two),
        RoutingRow(2, "search-rank", serving.id, 2, ()),
    ]


# --- Teams


def test_a_team_is_added_with_its_members(app, at):
    people = [factories.user(name=name) for name in ("Priya Raman", "Ines Duarte")]
    addresses = tuple(person.email for person in people)
    service.create_team(
        TeamDraft("pricing", "Pricing", "https://chat.example.com", addresses), by=PRIYA, at=at
    )
    team = queries.team_by_slug("pricing")
    assert [member.name for member in team.members] == ["Ines Duarte", "Priya Raman"]
    assert trail("team")[0].after["members"] == ["Ines Duarte", "Priya Raman"]


def test_two_teams_share_neither_name_nor_address(serving, at):
    for taken in (TeamDraft("serving", "Other"), TeamDraft("other", "Serving Platform")):
        with pytest.raises(ConflictError, match="Choose another name or address"):
            service.create_team(taken, by=PRIYA, at=at)


def test_a_change_of_members_alone_counts_up(serving, at):
    ines = factories.user(name="Ines Duarte")
    draft = TeamDraft("serving", "Serving Platform", members=(ines.email,))
    saved = service.edit_team("serving", draft, seen_version=1, by=PRIYA, at=at)
    assert saved.version == 2
    with pytest.raises(ConflictError, match=r"^Priya Raman changed Serving Platform"):
        service.edit_team("serving", draft, seen_version=1, by=INES, at=at)


def test_the_triage_flag_moves_to_the_team_that_takes_it(serving, at):
    service.create_team(TeamDraft("first", "First", triages=True), by=PRIYA, at=at)
    assert queries.triage_team() == (2, "First")
    service.edit_team(
        "serving", TeamDraft("serving", "Serving Platform", triages=True), by=INES, at=at
    )
    assert queries.triage_team() == (serving.id, "Serving Platform")
    given_up = [entry for entry in trail("team") if entry.after == {"triage": False}]
    assert [(entry.target_name, entry.actor_name) for entry in given_up] == [
        ("First", "Ines Duarte")
    ]


def test_nobody_has_triage_after_it_was_given_up(serving, at):
    service.edit_team(
        "serving", TeamDraft("serving", "Serving Platform", triages=True), by=INES, at=at
    )
    service.edit_team("serving", TeamDraft("serving", "Serving Platform"), by=INES, at=at)
    assert queries.triage_team() is None


def test_a_team_that_owns_models_is_not_deleted(serving, at):
    for slug in ("a", "b", "c", "d"):
        factories.model(slug, owner=serving)
    with pytest.raises(RefusedError, match=r"owns 4 models: a, b, c and 1 more. Give them to"):
        service.delete_team("serving", by=PRIYA, at=at)


def test_a_team_that_incidents_refer_to_is_not_deleted(serving, at):
    factories.incident(team_id=serving.id)
    with pytest.raises(RefusedError, match="it has to stay"):
        service.delete_team("serving", by=PRIYA, at=at)
    assert queries.team_by_slug("serving")


def test_a_team_that_owns_nothing_is_deleted(app, at):
    ines = factories.user()
    service.create_team(TeamDraft("pricing", "Pricing", members=(ines.email,)), by=PRIYA, at=at)
    service.delete_team("pricing", by=INES, at=at)
    with pytest.raises(NotFoundError):
        queries.team_by_slug("pricing")
    entry = trail("team")[-1]
    assert (entry.action, entry.target_name, entry.after) == ("team.delete", "Pricing", None)


# --- Pagers


def test_a_routing_key_is_stored_encrypted_and_never_written_down(serving, at):
    wired = service.wire_pager("serving", PagerDraft("eu", "PABC123", KEY), by=PRIYA, at=at)
    assert wired.routing_key_encrypted is not None
    assert KEY not in wired.routing_key_encrypted
    assert decrypt(wired.routing_key_encrypted, settings().key) == KEY
    assert (wired.routing_key_last_four, wired.region) == ("1a2b", "eu")
    (entry,) = trail("team")
    assert entry.before == {"pager": "sandbox", "region": "us", "service": None}
    assert entry.after == {"pager": "key ending 1a2b", "region": "eu", "service": "PABC123"}
    assert KEY not in repr(PagerDraft("eu", None, KEY))


def test_a_key_stays_unless_another_is_given(serving, at):
    service.wire_pager("serving", PagerDraft("us", None, KEY), by=PRIYA, at=at)
    kept = service.wire_pager("serving", PagerDraft("eu", None, None), by=PRIYA, at=at)
    assert (kept.routing_key_last_four, kept.region) == ("1a2b", "eu")


def test_a_new_key_with_the_same_end_is_a_change(serving, at):
    other = KEY.replace("R", "S")
    service.wire_pager("serving", PagerDraft("us", None, KEY), by=PRIYA, at=at)
    wired = service.wire_pager("serving", PagerDraft("us", None, other), by=INES, at=at)
    assert decrypt(wired.routing_key_encrypted or "", settings().key) == other
    assert wired.version == 3
    assert [entry.actor_name for entry in trail("team")] == ["Priya Raman", "Ines Duarte"]


def test_without_its_key_a_team_is_paged_through_the_sandbox(serving, at):
    service.wire_pager("serving", PagerDraft("us", None, KEY), by=PRIYA, at=at)
    cleared = service.wire_pager("serving", PagerDraft("us", None, ""), by=PRIYA, at=at)
    assert cleared.routing_key_encrypted is None
    assert cleared.routing_key_last_four is None
    assert trail("team")[-1].after == {"pager": "sandbox"}


def test_a_stale_wiring_is_refused(serving, at):
    service.wire_pager("serving", PagerDraft("us", None, KEY), seen_version=1, by=PRIYA, at=at)
    with pytest.raises(ConflictError, match=r"^Priya Raman changed Serving Platform"):
        service.wire_pager("serving", PagerDraft("eu", None, ""), seen_version=1, by=INES, at=at)
