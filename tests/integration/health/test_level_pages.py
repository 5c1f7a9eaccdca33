"""Pages of service levels: read by all, written by maintainers, and nothing is lost on the way."""

import re
from datetime import timedelta
from io import BytesIO

import pytest
from sqlalchemy import select

from app.core.clock import now
from app.core.db import db, unit_of_work
from app.health import level_lint, levels, openslo, openslo_out, queries, service
from app.health.rules import Lane
from app.health.service import SloDraft
from app.health.slo_rules import WINDOWS
from app.health.tables import Slo, SloCount
from app.people.rules import Actor, Role
from app.people.tables import AuditEntry
from tests.support import factories

KIM = Actor("person", 1, "Kim")
HOUR = timedelta(hours=1)
COUNTED = {"metric": "requests_total", "labels": {"model": "m"}, "bad": {"code": "500"}}
LEVELS = "/models/recsys-home/health/levels"
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _asks_nobody(monkeypatch):
    """Bucket lint has tests of its own."""
    monkeypatch.setattr(
        level_lint.offers, "lint", lambda *_args, **_more: level_lint.offers.Linted()
    )


@pytest.fixture
def model(app):
    return factories.model("recsys-home", owner=factories.team())


@pytest.fixture
def source(app):
    return factories.health_source("openmetrics", slug="serving", name="Serving API")


@pytest.fixture
def prometheus(app):
    return factories.health_source("prometheus", slug="main", name="Main Prometheus")


@pytest.fixture
def slo(model, source):
    return factories.slo(model, slug="within", source_id=source.id, spec=COUNTED, min_events=100,
                         failure_mode="latency_regression")  # fmt: skip


def stored(slug="within"):
    db.session.expire_all()
    return db.session.scalars(select(Slo).where(Slo.slug == slug)).one()


def count(slo, bad, total, at=None):
    pairs = {int(window.total_seconds()): (bad, total) for window in (*WINDOWS, 28 * 24 * HOUR)}
    with unit_of_work() as session:
        levels.take_counts(session, {slo.id: pairs}, at=at or now())


def words(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def filled(source, /, **more):
    return {
        "title": "No errors", "target": "99", "window_days": "28", "min_events": "100",
        "counted": "spec", "source": str(source.id), "failure_mode": "bad_model_push",
        "spec": "metric: requests_total\nbad: {code: ['500']}",
    } | more  # fmt: skip


# --- Reading


def test_a_level_shows_its_budget_its_alerts_and_which_of_them_fires(signed_in, slo):
    count(slo, 1_420, 10_000)

    page = signed_in(Role.VIEWER).get(f"{LEVELS}/within")

    text = words(page.text)
    assert page.status_code == 200
    assert "Error budget left −1,320.0 %" in text
    assert "13.44×" in text
    assert "14.2×" in text
    assert text.count("Fires") == 4
    assert "1,420 of 10,000" in text
    assert "the error budget burns 14.2 times too fast" in text
    assert f"{LEVELS}/within/edit" not in page.text


def test_what_was_never_counted_is_not_within_its_budget(signed_in, slo):
    text = words(signed_in(Role.VIEWER).get(f"{LEVELS}/within").text)

    assert "Not counted yet" in text
    assert "Within its budget" not in text
    assert text.count("Not measured") == 4


def test_what_is_counted_no_more_says_since_when(signed_in, slo):
    count(slo, 0, 10_000, at=now() - timedelta(minutes=20))

    text = words(signed_in(Role.VIEWER).get(f"{LEVELS}/within").text)

    assert "Not counted since 20 min ago" in text
    assert "Spent at the last hour’s pace not known" in text
    assert text.count("Not measured") == 4
    assert "Within its budget" not in text


def test_an_alert_whose_windows_were_not_seen_whole_says_why_nothing_is_claimed(signed_in, slo):
    at = now()
    for ago, total in ((10, 0), (0, 10_000)):
        with unit_of_work() as session:
            moment = at - timedelta(minutes=ago)
            levels.take_counts(session, {slo.id: {0: (0, total)}}, at=moment)
    reader = signed_in(Role.VIEWER)

    text = words(reader.get(f"{LEVELS}/within").text)

    assert "Not measured" in text
    assert "What is not measured has windows that were not seen whole yet" in text

    count(slo, 0, 10_000)
    assert "not measured" not in words(reader.get(f"{LEVELS}/within").text).lower()


def test_a_level_that_can_not_be_counted_says_why(signed_in, slo):
    with unit_of_work() as session:
        levels.take_counts(session, {}, {slo.id: "No bucket ends at 0.12."}, at=now())
    reader = signed_in(Role.VIEWER)

    assert "No bucket ends at 0.12." in words(reader.get(f"{LEVELS}/within").text)

    count(slo, 0, 10_000)
    assert "No bucket ends" not in reader.get(f"{LEVELS}/within").text


def test_too_few_events_are_told_and_fire_nothing(signed_in, slo):
    count(slo, 50, 99)

    text = words(signed_in(Role.VIEWER).get(f"{LEVELS}/within").text)

    assert text.count("Too few events") == 4
    assert "Fires" not in text


def test_the_figures_come_again_without_the_page(signed_in, slo):
    reader = signed_in(Role.VIEWER)

    first = reader.get(f"{LEVELS}/within/now", headers=HTMX)
    same = reader.get(
        f"{LEVELS}/within/now", headers={**HTMX, "If-None-Match": first.headers["ETag"]}
    )

    assert first.text.strip().startswith('<div id="figures"')
    assert same.status_code == 304


def test_the_list_costs_the_same_for_one_or_twenty(signed_in, model, source, slo, queries):
    reader = signed_in(Role.VIEWER)
    one = queries(lambda: reader.get(LEVELS))

    for _ in range(19):
        factories.slo(model, source_id=source.id, spec=COUNTED)

    assert queries(lambda: reader.get(LEVELS)) == one


def test_a_model_without_levels_says_what_they_are(signed_in, model):
    text = signed_in(Role.MAINTAINER).get(LEVELS).text

    assert "No service levels yet" in text
    assert f'href="{LEVELS}/new"' in text


# --- Making and changing


def test_a_level_is_made_from_what_a_person_writes(signed_in, model, source):
    answer = signed_in(Role.MAINTAINER).post(f"{LEVELS}/new", data=filled(source))

    made = stored("no-errors")
    assert answer.status_code == 303
    assert (made.target, made.window_days, made.source_id) == (0.99, 28, source.id)
    assert made.spec == {"metric": "requests_total", "bad": {"code": ["500"]}}
    assert (made.min_events, made.failure_mode) == (100, "bad_model_push")


def test_a_panel_offers_its_limit_as_a_level(signed_in, model, source):
    spec = {"stat": "quantile", "metric": "seconds", "labels": {"model": "m"}, "q": 0.99,
            "scale": 1000}  # fmt: skip
    panel = factories.panel(model, source_id=source.id, spec=spec, title="p99 latency")
    unfit = factories.panel(model, Lane.QUEUE, source_id=source.id, title="Queue",
                            spec={"stat": "gauge", "metric": "queue"})  # fmt: skip
    writer = signed_in(Role.MAINTAINER)

    page = writer.get(f"{LEVELS}/new?panel={panel.id}")
    writer.post(f"{LEVELS}/new", data=filled(source, counted=f"panel:{panel.id}", source="0"))

    assert re.search(rf'checked[^>]*value="panel:{panel.id}"', page.text)
    assert f"panel:{unfit.id}" not in page.text
    made = stored("no-errors")
    assert made.spec == {"metric": "seconds", "labels": {"model": "m"}, "over": 0.25}
    assert made.source_id == source.id


def test_what_sloth_records_needs_only_two_names(signed_in, model, prometheus):
    data = filled(prometheus, counted="sloth", service="shop", sloth="requests")

    signed_in(Role.MAINTAINER).post(f"{LEVELS}/new", data=data | {"min_events": "0"})

    assert stored("no-errors").spec == {"recorded": "sloth", "service": "shop", "slo": "requests"}


def test_alerts_that_can_never_fire_are_told_before_it_is_saved(signed_in, model, source):
    writer = signed_in(Role.MAINTAINER)
    data = filled(source, target="90")

    asked = writer.post(f"{LEVELS}/new", data=data)
    seen = re.search(r'name="seen"[^>]*value="(\w+)"', asked.text)[1]

    assert asked.status_code == 200
    assert "Not saved yet" in asked.text
    assert "can never fire" in asked.text
    assert db.session.scalars(select(Slo)).all() == []

    assert writer.post(f"{LEVELS}/new", data=data | {"seen": seen}).status_code == 303
    assert stored("no-errors").target == 0.9


def test_a_floor_that_a_recorded_ratio_can_never_reach_is_told(signed_in, model, prometheus):
    data = filled(prometheus, counted="pyrra", pyrra="shop")

    page = signed_in(Role.MAINTAINER).post(f"{LEVELS}/new", data=data)

    assert "Only a ratio is recorded" in page.text


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"title": ""}, "What does it promise?"),
        ({"target": "100"}, "It lies between 0 and 100 %"),
        ({"target": "nan"}, "Give a number."),
        ({"window_days": "91"}, "1 to 90 days."),
        ({"min_events": "-1"}, "fewer than none"),
        ({"source": "0"}, "Choose where the events are counted."),
        ({"spec": "metric: ["}, "not YAML"),
        ({"spec": "a: &x [1]\nb: *x"}, "Aliases, as in *x, are not taken"),
        ({"spec": "metric: requests_total"}, "Say which requests are bad"),
        ({"spec": "metric: requests_total\nbad: {a: b}\ncolour: red"}, "colour says nothing"),
        ({"spec": "metric: requests_total\nbad: {a: b}\nover: 2026-01-01"}, "something other"),
        ({"counted": "queries", "bad": "sum(x)"}, "Name a metric."),
    ],
)
def test_what_means_nothing_is_refused_and_the_text_stays(signed_in, model, source, change, why):
    answer = signed_in(Role.MAINTAINER).post(f"{LEVELS}/new", data=filled(source, **change))

    assert answer.status_code == 422
    assert why in words(answer.text).replace("&#39;", "'")
    assert "bad_model_push" in answer.text
    assert db.session.scalars(select(Slo)).all() == []


def test_an_edit_keeps_what_it_does_not_name_and_counts_on(signed_in, slo):
    count(slo, 10, 1_000)
    data = {
        "version": "1", "title": "Renamed", "target": "99.5", "window_days": "28",
        "min_events": "50", "failure_mode": "", "counted": "kept", "source": "0",
    }  # fmt: skip

    answer = signed_in(Role.MAINTAINER).post(f"{LEVELS}/within/edit", data=data)

    saved = stored()
    assert answer.status_code == 303
    assert (saved.title, saved.target, saved.min_events) == ("Renamed", 0.995, 50)
    assert saved.spec == COUNTED
    assert saved.counts != {}


def test_what_counts_something_else_begins_anew(slo, at):
    with unit_of_work() as session:
        levels.take_counts(session, {slo.id: {0: (0.0, 0.0)}}, at=at)
    changed = {**COUNTED, "bad": {"code": "503"}}
    draft = SloDraft("Within", 0.99, 28, changed)

    service.edit_slo(slo.id, draft, seen_version=None, by=KIM, at=at)

    assert stored().counts == {}
    assert db.session.scalars(select(SloCount)).all() == []


def test_a_later_edit_does_not_overwrite_an_earlier_one_unseen(signed_in, slo, at):
    draft = service.draft_of_slo(slo)
    service.edit_slo(
        slo.id, SloDraft("Theirs", 0.98, 28, draft.spec), seen_version=1, by=KIM, at=at
    )
    data = {
        "version": "1", "title": "Mine", "target": "99.5", "window_days": "28",
        "min_events": "0", "counted": "kept", "source": "0",
    }  # fmt: skip
    writer = signed_in(Role.MAINTAINER)

    answer = writer.post(f"{LEVELS}/within/edit", data=data)

    assert answer.status_code == 409
    assert "Kim changed Theirs while you were editing" in words(answer.text)
    assert "title: Theirs → Mine" in words(answer.text)
    assert 'value="Mine"' in answer.text
    assert stored().title == "Theirs"

    version = re.search(r'name="version"[^>]*value="(\d+)"', answer.text)[1]
    assert writer.post(f"{LEVELS}/within/edit", data=data | {"version": version}).status_code == 303
    assert stored().title == "Mine"


def test_a_level_is_closed_and_reopened_and_a_burn_ends_with_it(signed_in, slo):
    count(slo, 1_420, 10_000)
    writer = signed_in(Role.MAINTAINER)

    assert writer.post(f"{LEVELS}/within/close", data={"version": "1"}).status_code == 303
    assert stored().closed_at is not None
    facts = queries.facts_after(0, limit=10)
    assert [one.fact for one in facts] == ["burning", "burnt_out"]
    assert "nobody watches its error budget" in facts[1].sentence
    assert "Closed since" in writer.get(f"{LEVELS}/within").text
    assert "Reopen" in writer.get(LEVELS).text

    assert writer.post(f"{LEVELS}/within/reopen").status_code == 303
    assert stored().closed_at is None
    actions = set(db.session.scalars(select(AuditEntry.action)))
    assert actions >= {"health.slo.close", "health.slo.reopen"}


def test_a_level_called_like_a_page_gets_another_address(model, source, at):
    made = service.create_slo(
        "recsys-home", SloDraft("New", 0.9, 28, COUNTED), source_id=source.id, by=KIM, at=at
    )

    assert made.slug == "level-new"


def test_unknown_levels_are_not_found(signed_in, model):
    reader = signed_in(Role.VIEWER)

    assert reader.get(f"{LEVELS}/nothing").status_code == 404
    assert reader.get("/models/nothing/health/levels").status_code == 404


# --- OpenSLO


def file_of(*slos):
    return openslo_out.write("recsys-home", slos)


def test_a_level_is_downloaded_as_openslo(signed_in, slo):
    reader = signed_in(Role.VIEWER)

    one, all_ = reader.get(f"{LEVELS}/within.yaml"), reader.get(f"{LEVELS}.yaml")

    assert one.headers["Content-Type"] == "application/yaml; charset=utf-8"
    assert one.headers["Content-Disposition"] == 'attachment; filename="recsys-home-within.yaml"'
    assert one.text == all_.text
    (level,) = openslo.read(one.data).levels
    assert (level.draft.title, level.draft.min_events) == (slo.title, 100)
    assert level.source == "serving"


def test_a_file_is_shown_first_and_then_taken_as_a_whole(signed_in, model, source, slo):
    text = file_of(slo).replace("target: 0.99", "target: 0.95")
    writer = signed_in(Role.MAINTAINER)

    shown = writer.post(f"{LEVELS}/import", data={"text": text, "source": "0"})
    seen = re.search(r'name="seen"[^>]*value="(\w+)"', shown.text)[1]

    assert "objective: 99 % → 95 %" in words(shown.text)
    assert stored().target == 0.99

    done = writer.post(f"{LEVELS}/import", data={"text": text, "source": "0", "seen": seen})
    assert done.status_code == 303
    assert stored().target == 0.95

    again = writer.post(f"{LEVELS}/import", data={"text": text, "source": "0"})
    assert "Nothing to do." in again.text


def test_an_upload_makes_levels_and_reopens_closed_ones(signed_in, model, source, slo, at):
    text = file_of(slo)
    other = text.replace("name: within\n", "name: other\n")
    service.close_slo(slo.id, by=KIM, at=at)
    writer = signed_in(Role.MAINTAINER)
    both = text + other

    shown = writer.post(
        f"{LEVELS}/import",
        data={"file": (BytesIO(both.encode()), "levels.yaml"), "source": "0", "text": ""},
    )
    seen = re.search(r'name="seen"[^>]*value="(\w+)"', shown.text)[1]
    writer.post(f"{LEVELS}/import", data={"text": both, "source": "0", "seen": seen})

    assert stored().closed_at is None
    assert stored("other").source_id == source.id


def test_with_one_problem_nothing_of_a_file_is_written(signed_in, model, source, slo):
    text = file_of(slo).replace("name: within\n", "name: other\n")
    text += file_of(slo).replace("Occurrences", "Timeslices")
    writer = signed_in(Role.MAINTAINER)

    answer = writer.post(f"{LEVELS}/import", data={"text": text, "source": "0", "seen": "x"})

    assert answer.status_code == 422
    assert "Baton counts events, not minutes that were good" in words(answer.text)
    assert [one.slug for one in db.session.scalars(select(Slo))] == ["within"]


def test_a_file_that_changed_since_it_was_shown_is_shown_again(signed_in, model, source, slo):
    text = file_of(slo).replace("target: 0.99", "target: 0.95")

    answer = signed_in(Role.MAINTAINER).post(
        f"{LEVELS}/import", data={"text": text, "source": "0", "seen": "0" * 32}
    )

    assert answer.status_code == 409
    assert "changed since it was shown" in answer.text
    assert stored().target == 0.99


@pytest.mark.parametrize(
    "nested", ["[" * 5_000, "{a: " * 5_000, "metric: " + "[" * 9_000 + "]" * 9_000]
)
def test_yaml_that_is_nested_without_end_is_refused(signed_in, model, source, nested):
    answer = signed_in(Role.MAINTAINER).post(f"{LEVELS}/new", data=filled(source, spec=nested))

    assert answer.status_code == 422


def test_which_of_two_sources_is_asked_has_to_be_said(signed_in, model, source, slo):
    other = factories.health_source("openmetrics", name="Other")
    text = file_of(slo).replace("metricSourceRef: serving", "metricSourceRef: elsewhere")
    writer = signed_in(Role.MAINTAINER)

    asked = writer.post(f"{LEVELS}/import", data={"text": text, "source": "0"})
    said = writer.post(f"{LEVELS}/import", data={"text": text, "source": str(other.id)})

    assert "choose which source of the kind OpenMetrics is asked" in words(asked.text)
    assert "elsewhere is not known here; Other is asked" in words(said.text)


def test_a_chosen_source_of_another_kind_is_not_passed_over_in_silence(
    signed_in, model, source, prometheus, slo
):
    text = file_of(slo).replace("metricSourceRef: serving", "metricSourceRef: ''")
    writer = signed_in(Role.MAINTAINER)
    data = {"text": text, "source": str(prometheus.id)}
    why = "Main Prometheus is of another kind than OpenMetrics, which the file counts with;"

    said = words(writer.post(f"{LEVELS}/import", data=data).text)
    assert f"{why} Serving API is asked" in said
    assert "the file names no source" not in said

    factories.health_source("openmetrics", name="Other")
    asked = words(writer.post(f"{LEVELS}/import", data=data).text)
    assert f"{why} choose which source of the kind OpenMetrics" in asked


def test_only_maintainers_write(signed_in, slo, source):
    responder = signed_in(Role.RESPONDER)

    for path in ("new", "within/edit", "within/close", "within/reopen", "import"):
        assert responder.post(f"{LEVELS}/{path}", data=filled(source)).status_code == 403
