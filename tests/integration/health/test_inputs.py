"""Pages of data inputs: what was promised, what was last seen, and who relies on it."""

import re
from datetime import date, timedelta

import pytest
from sqlalchemy import select

from app.core.clock import now
from app.core.db import db
from app.core.errors import RefusedError
from app.health import datasets, inputs
from app.health.datasets import Promise
from app.health.inputs import InputFilter
from app.health.rules import LampState, Lane
from app.health.tables import Dataset, DatasetModel, Panel
from app.people.rules import Actor, Role
from app.people.tables import AuditEntry
from tests.support import factories

KIM = Actor("person", 1, "Kim")
NAME = "shop.item_features"


def dataset(slug=NAME, **more):
    values = {
        "schema_ok": True, "schema_checked_at": now(), "schema_rows": 12.0,
        "loaded_at": now() - timedelta(minutes=6), "freshness_checked_at": now(),
        "fresh_within": 1800, "access_ok": True, "access_checked_at": now(),
        "access_role": "reader", "contract": "features v8", "created_at": factories.NOON,
    }  # fmt: skip
    return factories.keep(Dataset(slug=slug, **(values | more)))


def stored():
    db.session.expire_all()
    return db.session.scalars(select(Dataset)).one()


def words(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def lamps_in(text):
    return re.findall(r'class="lamp[^"]*" data-state="(\w+)"', text)


def names_in(text):
    return re.findall(r'<code><a href="/inputs/[^"]+">([^<]+)</a>', text)


# --- The list


def test_each_input_has_three_lamps_that_count_at_this_moment(signed_in, app):
    dataset("a.fresh")
    dataset("b.old", loaded_at=now() - timedelta(hours=1))
    dataset("c.unseen", schema_checked_at=None, loaded_at=None, access_ok=False)

    page = signed_in(Role.VIEWER).get("/inputs")

    assert lamps_in(page.text) == [
        "ok", "ok", "ok", "ok", "breach", "ok", "no_data", "no_data", "breach",
    ]  # fmt: skip
    assert "6 min / 30 min" in words(page.text)
    assert "3 data inputs" in page.text


def test_without_a_promise_no_load_is_fresh(signed_in, app):
    dataset(fresh_within=None)

    assert lamps_in(signed_in(Role.VIEWER).get("/inputs").text) == ["ok", "not_measurable", "ok"]


def test_an_input_whose_source_does_not_answer_is_never_ok(signed_in, app):
    source = factories.health_source("contracts", failures=3)
    dataset(source_id=source.id)

    assert lamps_in(signed_in(Role.VIEWER).get("/inputs").text) == [
        "unreachable", "partial", "unreachable",
    ]  # fmt: skip


def test_a_list_is_searched_and_narrowed_to_a_state(signed_in, app):
    dataset("events.clicks")
    dataset("events.views", schema_ok=False)
    dataset("catalog.items", team_id=factories.team(name="Events and more").id)
    reader = signed_in(Role.VIEWER)

    assert names_in(reader.get("/inputs?search=events").text) == [
        "catalog.items", "events.clicks", "events.views",
    ]  # fmt: skip
    assert names_in(reader.get("/inputs?state=breach").text) == ["events.views"]
    assert names_in(reader.get("/inputs?state=ok&search=clicks").text) == ["events.clicks"]
    assert "No data input fits" in reader.get("/inputs?search=nothing").text
    assert len(names_in(reader.get("/inputs?state=purple").text)) == 3


def test_pages_go_on_where_the_last_one_ended_also_within_a_state(app, at):
    for number in range(7):
        dataset(f"input-{number}", schema_ok=number % 2 == 0)

    wanted = InputFilter(state=LampState.BREACH)
    first = inputs.input_list(wanted, size=2, at=now())
    second = inputs.input_list(wanted, after=first.next, size=2, at=now())

    assert [one.dataset.slug for one in first.items] == ["input-1", "input-3"]
    assert [one.dataset.slug for one in second.items] == ["input-5"]
    assert second.next is None


@pytest.mark.parametrize("query", ["", "?state=ok"])
def test_the_list_costs_the_same_for_one_or_forty(signed_in, app, queries, query):
    dataset("input-0")
    reader = signed_in(Role.VIEWER)
    one = queries(lambda: reader.get(f"/inputs{query}"))

    team = factories.team()
    for number in range(1, 40):
        dataset(f"input-{number}", team_id=team.id)

    assert queries(lambda: reader.get(f"/inputs{query}")) == one


def test_the_inputs_of_a_model_are_a_page_of_their_own(signed_in, app, at):
    factories.model("recsys-home")
    dataset("a.linked")
    dataset("b.other")
    datasets.link("a.linked", "recsys-home", by=KIM, at=at)

    page = signed_in(Role.VIEWER).get("/models/recsys-home/health/inputs")

    assert names_in(page.text) == ["a.linked"]
    assert "Data inputs of recsys-home" in page.text


def test_the_list_of_models_leads_to_the_inputs(signed_in, app):
    factories.model("recsys-home")

    assert 'href="/inputs"' in signed_in(Role.VIEWER).get("/models").text


# --- One input


def test_an_input_says_what_was_promised_seen_and_reviewed(signed_in, app, at):
    factories.model("recsys-home", purpose="Home feed")
    dataset(team_id=factories.team(name="Data Platform").id, access_approver="Ines",
            access_reviewed_on=date(2026, 2, 12), access_review_due=date(2026, 3, 1))  # fmt: skip
    datasets.link(NAME, "recsys-home", by=KIM, at=at)

    page = signed_in(Role.VIEWER).get(f"/inputs/{NAME}")

    text = words(page.text)
    assert "Data Platform" in text
    assert "Promised within 30 min" in text
    assert "Approved by Ines" in text
    assert re.search(r"Next review 1 March( 2026)? \d+ days over", text)
    assert "recsys-home" in text
    assert "Kim linked recsys-home" in text
    assert "Unlink" not in text
    assert lamps_in(page.text) == ["ok", "ok", "partial"]


@pytest.mark.parametrize("name", ["s3://bucket/path with space", "a/b/edit", "ä.ö", "a?b#c%20"])
def test_any_name_of_an_input_has_a_page(signed_in, app, name):
    dataset(name)
    reader = signed_in(Role.VIEWER)

    link = re.search(r'<code><a href="(/inputs/[^"]+)">', reader.get("/inputs").text)[1]

    assert reader.get(link).status_code == 200


def test_what_is_no_input_is_not_found(signed_in, app):
    reader = signed_in(Role.VIEWER)

    assert reader.get("/inputs/nothing").status_code == 404
    assert reader.get("/inputs/a%00b").status_code == 404
    assert signed_in(Role.MAINTAINER).get("/input/77/promise").status_code == 404


def test_a_promise_is_the_limit_of_its_panels(signed_in, app, at):
    factories.model("recsys-home")
    team = factories.team("data", name="Data Platform")
    row = dataset()
    datasets.link(NAME, "recsys-home", by=KIM, at=at)
    writer = signed_in(Role.MAINTAINER)
    form = writer.get(f"/input/{row.id}/promise").text
    data = {"team": "data", "contract": "features v9", "fresh": "2", "unit": "3600", "version": "1"}

    answer = writer.post(f"/input/{row.id}/promise", data=data)

    assert re.search(r'name="fresh"[^>]*value="30"', form)
    assert answer.location == f"/inputs/{NAME}"
    saved = stored()
    assert (saved.team_id, saved.contract, saved.fresh_within) == (team.id, "features v9", 7200)
    freshness = db.session.scalars(select(Panel).where(Panel.lane == Lane.FRESHNESS)).one()
    assert freshness.above == 7200
    entry = db.session.scalars(
        select(AuditEntry).where(AuditEntry.action == "health.dataset.promise")
    ).one()
    assert entry.before == {"team": None, "contract": "features v8", "fresh_within": 1800}
    assert "contract: features v8 → features v9" in words(writer.get(f"/inputs/{NAME}").text)


def test_a_promise_that_is_taken_back_leaves_no_limit(app, at):
    factories.model("recsys-home")
    dataset()
    datasets.link(NAME, "recsys-home", by=KIM, at=at)

    datasets.edit_promise(NAME, Promise(None, "", None), seen_version=1, by=KIM, at=at)

    freshness = db.session.scalars(select(Panel).where(Panel.lane == Lane.FRESHNESS)).one()
    assert freshness.above is None


def test_a_later_edit_does_not_overwrite_an_earlier_one_unseen(signed_in, app, at):
    row = dataset()
    datasets.edit_promise(NAME, Promise(None, "theirs", 60), seen_version=1, by=KIM, at=at)
    data = {"team": "", "contract": "mine", "fresh": "", "unit": "60", "version": "1"}
    writer = signed_in(Role.MAINTAINER)

    answer = writer.post(f"/input/{row.id}/promise", data=data)

    assert answer.status_code == 409
    assert f"Kim changed {NAME} while you were editing" in words(answer.text)
    assert 'value="mine"' in answer.text
    assert stored().contract == "theirs"
    assert writer.post(f"/input/{row.id}/promise", data=data | {"version": "2"}).status_code == 303


@pytest.mark.parametrize("within", [59, 366 * 86_400 + 1])
def test_a_promise_of_no_use_is_refused(app, at, within):
    dataset()

    with pytest.raises(RefusedError, match="a minute to a year"):
        datasets.edit_promise(NAME, Promise(None, "", within), seen_version=1, by=KIM, at=at)


def test_a_review_is_recorded_and_says_when_it_is_due(signed_in, app):
    row = dataset()
    today = now().date()
    data = {
        "role": "reader", "approver": "Ines", "reviewed_on": today.isoformat(),
        "review_due": (today + timedelta(days=90)).isoformat(), "ends_on": "",
    }  # fmt: skip

    answer = signed_in(Role.MAINTAINER).post(f"/input/{row.id}/access", data=data)

    saved = stored()
    assert answer.status_code == 303
    assert (saved.access_approver, saved.access_reviewed_on) == ("Ines", today)
    assert saved.access_review_due == today + timedelta(days=90)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"approver": ""}, "Who approved it?"),
        ({"reviewed_on": "2999-01-01"}, "The review is in the future."),
        ({"review_due": "2026-03-01"}, "due after this one"),
        ({"ends_on": "2020-01-01"}, "ended before it was reviewed"),
        ({"reviewed_on": "yesterday"}, "Not a valid date"),
    ],
)
def test_a_review_that_cannot_be_is_refused(signed_in, app, change, why):
    row = dataset()
    data = {"role": "reader", "approver": "Ines", "reviewed_on": "2026-03-01"} | change

    answer = signed_in(Role.MAINTAINER).post(f"/input/{row.id}/access", data=data)

    assert answer.status_code == 422
    assert why in words(answer.text)
    assert stored().access_approver == ""


def test_models_are_linked_and_unlinked(signed_in, app):
    factories.model("recsys-home")
    row = dataset()
    writer = signed_in(Role.MAINTAINER)

    assert writer.post(f"/input/{row.id}/models", data={"model": "recsys-home"}).status_code == 303
    assert len(db.session.scalars(select(Panel).where(Panel.closed_at.is_(None))).all()) == 3
    again = writer.post(f"/input/{row.id}/models", data={"model": "recsys-home"})
    assert again.status_code == 409
    assert "linked to shop.item_features already" in words(again.text)
    unknown = writer.post(f"/input/{row.id}/models", data={"model": "nothing"})
    assert unknown.status_code == 422
    assert 'value="nothing"' in unknown.text

    assert writer.post(f"/input/{row.id}/models/recsys-home/remove").status_code == 303
    assert db.session.scalars(select(DatasetModel)).all() == []


def test_only_maintainers_write(signed_in, app):
    row = dataset()
    responder = signed_in(Role.RESPONDER)

    for path in ("promise", "access", "models", "models/recsys-home/remove"):
        assert responder.post(f"/input/{row.id}/{path}").status_code == 403
