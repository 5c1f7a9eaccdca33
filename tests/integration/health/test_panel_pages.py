"""Pages of panels: from a preset in three presses, seen, edited, closed and opened again."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import insert, select

from app.core.clock import now
from app.core.db import db, unit_of_work
from app.health import asking, offers, service
from app.health.marks import Mark
from app.health.offers import Linted
from app.health.presets import panels_of
from app.health.rules import LampState, Lane
from app.health.sources.base import Page
from app.health.tables import Lamp, Panel, Reading, StateChange
from app.people.rules import Actor, Role
from tests.support import factories

BY = Actor("system", None, "Baton")
HTMX = {"HX-Request": "true"}
HERE = "/models/recsys-home/health/panels"


@pytest.fixture
def model(app):
    return factories.model("recsys-home", owner=factories.team("serving"))


@pytest.fixture
def source(app):
    return factories.health_source(name="Serving eu-1")


@pytest.fixture
def panel(model, source):
    return factories.panel(
        model,
        slug="p99",
        source_id=source.id,
        k=3,
        n=5,
        min_rows=50,
        clear=240,
        spec={"stat": "quantile", "metric": "request_seconds", "q": 0.99, "scale": 1000},
        created_at=now() - timedelta(days=2),
    )


@pytest.fixture
def maintainer(signed_in):
    return signed_in(Role.MAINTAINER)


@pytest.fixture
def said(monkeypatch):
    """What the source says to a form: nothing odd, unless a test changes it."""
    answer = {"linted": Linted()}
    monkeypatch.setattr(offers, "lint", lambda *_rest, **_more: answer["linted"])
    return answer


def panels():
    db.session.expire_all()
    return db.session.scalars(select(Panel).order_by(Panel.id)).all()


def read(panel, values, *, state=LampState.OK, every=30, series="p99"):
    """Readings that end now."""
    at = now()
    rows = [
        {
            "panel_id": panel.id,
            "at": at - timedelta(seconds=(len(values) - 1 - number) * every),
            "state": state if value is not None else LampState.UNREACHABLE,
            "value": value,
            "rows": 1_000.0,
            "series": series,
        }
        for number, value in enumerate(values)
    ]
    with unit_of_work() as session:
        session.execute(insert(Reading), rows)


# --- From a preset ----------------------------------------------------------------------------


def test_the_source_that_there_is_is_chosen_already(maintainer, model, source):
    page = maintainer.get(f"{HERE}/new").text

    assert f'<option value="{source.id}" selected>Serving eu-1</option>' in page
    assert "Choose what serves recsys-home" in page


def test_a_preset_shows_what_it_offers_with_units_and_limits_and_what_it_cannot_tell(
    maintainer, model, source
):
    page = maintainer.get(f"{HERE}/new?preset=seldon-v2").text

    assert 'name="limit-mean" value="100"' in page
    assert "What this server cannot tell you" in page
    assert "does not say which model" in page
    assert "Make 3 panels" in page


def test_the_checked_panels_are_made_with_the_limits_in_the_form(maintainer, model, source, said):
    reply = maintainer.post(
        f"{HERE}/new",
        data={
            "preset": "kserve", "source": source.id, "name": "home-v2",
            "take": ["p99", "rate"], "limit-p99": "300", "limit-rate": "1,000",
        },
    )  # fmt: skip

    assert reply.status_code == 303
    rate, p99 = panels()
    assert (p99.title, p99.above, p99.clear, p99.preset) == ("p99 latency", 300, 270, "kserve")
    assert p99.spec["labels"] == {"model_name": "home-v2"}
    assert (rate.above, rate.source_id) == (1_000, source.id)
    assert "2 panels are made" in maintainer.get(reply.location).text


def test_a_warning_is_shown_beside_its_panel_and_saving_anyway_takes_a_second_press(
    maintainer, model, source, said
):
    said["linted"] = Linted({"p99": ["No bucket of x ends at 250 ms."]})
    form = {"preset": "kserve", "source": source.id, "take": "p99", "limit-p99": "250"}

    first = maintainer.post(f"{HERE}/new", data=form, headers=HTMX)
    assert first.status_code == 422
    assert "No bucket of x ends at 250 ms." in first.text
    assert "Make 1 panel as they are" not in first.text
    assert "Make 1 panel as it is" in first.text
    assert panels() == []

    seen = first.text.split('name="seen" value="')[1].split('"')[0]
    assert maintainer.post(f"{HERE}/new", data={**form, "seen": seen}).status_code == 303
    assert len(panels()) == 1


def test_other_warnings_than_those_that_were_seen_are_shown_again(maintainer, model, source, said):
    said["linted"] = Linted({"p99": ["Another."]})
    form = {"preset": "kserve", "source": source.id, "take": "p99", "seen": "0" * 16}

    assert maintainer.post(f"{HERE}/new", data=form).status_code == 422
    assert panels() == []


def test_a_source_that_does_not_answer_stops_nobody(maintainer, model):
    gone = factories.health_source(url="http://not-allowed.example.com/metrics")

    reply = maintainer.post(
        f"{HERE}/new", data={"preset": "kserve", "source": gone.id, "take": "p99"}
    )

    assert reply.status_code == 303
    page = maintainer.get(reply.location).text
    assert "not on the list of hosts" in page
    assert "p99 latency" in page


def test_a_limit_that_is_no_number_keeps_everything_else(maintainer, model, source, said):
    form = {"preset": "kserve", "source": source.id, "take": ["p99", "p50"], "limit-p99": "fast",
            "limit-p50": "80"}  # fmt: skip

    reply = maintainer.post(f"{HERE}/new", data=form)

    assert reply.status_code == 422
    assert "A limit is a number" in reply.text
    assert 'value="fast"' in reply.text
    assert 'name="limit-p50" value="80"' in reply.text
    assert panels() == []


def test_nothing_is_made_of_nothing(maintainer, model, source, said):
    reply = maintainer.post(f"{HERE}/new", data={"preset": "kserve", "source": source.id})

    assert reply.status_code == 422
    assert "Check at least one panel." in reply.text


def test_panels_that_are_there_already_are_not_checked(maintainer, model, source):
    drafts = panels_of("kserve", "recsys-home", "openmetrics")
    service.create_panels("recsys-home", drafts[:1], source_id=source.id, preset="kserve",
                          by=BY, at=now())  # fmt: skip

    page = maintainer.get(f"{HERE}/new").text

    assert "there already" in page
    assert 'name="take" value="rate" checked' not in page
    assert 'name="take" value="p99" checked' in page


def test_without_a_source_the_page_says_why_one_comes_first(maintainer, model):
    page = maintainer.get(f"{HERE}/new").text

    assert "No serving API is asked yet." in page
    assert "Drift reports" in page


def test_panels_for_reports_that_are_sent_need_no_source(maintainer, model):
    reply = maintainer.post(
        f"{HERE}/new",
        data={"preset": "drift", "source": "push", "take": ["input-drift", "output-quality"]},
    )

    assert reply.status_code == 303
    assert [(one.lane, one.source_id) for one in panels()] == [
        (Lane.INPUT_DRIFT, None),
        (Lane.OUTPUT_QUALITY, None),
    ]


def test_viewers_make_no_panels(signed_in, model):
    assert signed_in(Role.RESPONDER).get(f"{HERE}/new").status_code == 403


# --- One of one's own -------------------------------------------------------------------------

OWN = {
    "title": "Cache misses", "lane": "other", "unit": "%", "window": "300", "above": "40",
    "k": "3", "n": "5", "min_rows": "50", "stale_after": "300", "severity": "3",
    "failure_mode": "cache_stampede",
}  # fmt: skip


def test_a_panel_of_ones_own_reads_what_the_form_says(maintainer, model, source, said):
    reply = maintainer.post(
        f"{HERE}/new/custom",
        data={
            **OWN, "source": source.id, "stat": "ratio", "metric": "cache_requests_total",
            "labels": "model=recsys-home", "bad_is": "bad", "bad": "outcome=miss\noutcome=late",
            "scale": "100",
        },
    )  # fmt: skip

    assert reply.status_code == 303
    (made,) = panels()
    assert made.spec == {
        "stat": "ratio",
        "metric": "cache_requests_total",
        "labels": {"model": "recsys-home"},
        "bad": {"outcome": ["miss", "late"]},
        "scale": 100,
    }
    assert (made.title, made.above, made.failure_mode) == ("Cache misses", 40, "cache_stampede")


def test_a_panel_of_ones_own_may_ask_a_query(maintainer, model, said):
    prometheus = factories.health_source(kind="prometheus", url="http://prometheus:9090")

    maintainer.post(
        f"{HERE}/new/custom",
        data={**OWN, "source": prometheus.id, "query": 'sum(rate(x{m="$m"}[$w]))'},
    )

    (made,) = panels()
    assert made.spec == {"query": 'sum(rate(x{m="$m"}[$w]))'}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"title": ""}, "Give the panel a title."),
        ({"above": ""}, "Give a limit"),
        ({"above": "nan"}, "Give a number."),
        ({"metric": "no metric"}, "not the name of a metric"),
        ({"labels": "model"}, "is no label"),
        ({"k": "9"}, "how many windows of how many"),
        ({"q": "2"}, "between 0 and 1"),
    ],
)
def test_what_can_t_be_read_comes_back_with_its_reason(
    maintainer, model, source, said, change, why
):
    form = {**OWN, "source": source.id, "stat": "quantile", "metric": "x_seconds", "q": "0.99"}

    reply = maintainer.post(f"{HERE}/new/custom", data={**form, **change})

    assert reply.status_code == 422
    assert why in reply.text
    assert "cache_stampede" in reply.text
    assert panels() == []


def test_another_statistic_shows_its_own_fields(maintainer, model, source):
    form = {**OWN, "source": source.id, "stat": "share_over", "show": "1"}

    page = maintainer.post(f"{HERE}/new/custom", data=form, headers=HTMX).text

    assert 'name="over"' in page
    assert 'name="q"' not in page
    assert "Cache misses" in page


# --- One panel --------------------------------------------------------------------------------


def test_the_page_of_a_panel_says_reading_rule_and_source(signed_in, panel, source):
    at = now()
    read(panel, [200.0] * 30 + [612.0])
    with unit_of_work() as session:
        session.add(
            Lamp(panel_id=panel.id, model_id=panel.model_id, lane=panel.lane,
                 state=LampState.BREACH, in_breach=True, since=at, value=612.0, rows=1_210.0,
                 newest_at=at, looked_at=at, windows=[])
        )  # fmt: skip

    page = signed_in(Role.VIEWER).get(f"{HERE}/p99").text

    assert "Breach" in page
    assert "612" in page
    assert "3 of 5 windows above 250 ms" in page
    assert "A window counts from 50 rows or requests on." in page
    assert "It ends with 3 windows inside, at 240 ms." in page
    assert "Serving eu-1" in page
    assert "p99 of the histogram" in page
    assert "/r/latency_regression" in page
    assert "p99 latency: last 612 ms, limit 250 ms." in page
    assert "Close…" not in page


def test_a_panel_of_a_data_input_names_it_as_its_source(signed_in, model):
    clicks = factories.dataset("events.clicks", model)
    found = factories.panel(model, Lane.SCHEMA, slug="schema-clicks", dataset_id=clicks.id)
    factories.lamp(found, LampState.OK)
    reader = signed_in(Role.VIEWER)

    listed = reader.get("/models/recsys-home/health/panels").text
    shown = reader.get("/models/recsys-home/health/panels/schema-clicks").text

    assert '<td class="muted">events.clicks</td>' in listed
    assert 'href="/models/recsys-home/health/inputs/events.clicks">events.clicks</a>' in shown
    assert "sent to Baton" not in shown


def test_the_table_beside_the_chart_has_every_reading_of_a_short_range(signed_in, panel):
    read(panel, [201.0, 202.0, None, 204.0])

    page = signed_in(Role.VIEWER).get(f"{HERE}/p99?range=1h").text

    for words in ("201 ms", "202 ms", "204 ms", "Unreachable"):
        assert words in page


def test_the_points_come_by_column_with_gaps_breaks_and_limits(signed_in, panel):
    read(panel, [200.0, 210.0, None, None, 220.0])

    found = signed_in(Role.VIEWER).get(f"{HERE}/p99/points?range=1h").json

    assert [one for one in found["columns"]["value"] if one] == [200, 210, 220]
    assert len(set(map(len, found["columns"].values()))) == 1
    assert found["limits"] == [{"value": 250, "label": "limit 250 ms"}]
    assert any(is_blind for *_, is_blind in found["gaps"])
    assert {state for *_, state, _ in found["states"]} == {"ok", "unreachable", "no_data"}
    assert found["trouble"] == ""


def test_what_happened_to_the_model_is_beside_the_chart_and_in_it(
    app, signed_in, panel, monkeypatch
):
    mark = Mark(
        now() - timedelta(hours=1), "Deploy feature-gateway 8.14.2", "change", "/incidents/7"
    )
    monkeypatch.setitem(app.extensions, "health_marks", [lambda *_model_and_range: [mark]])
    browser = signed_in(Role.VIEWER)

    page = browser.get(f"{HERE}/p99").text

    assert '<a href="/incidents/7">Deploy feature-gateway 8.14.2</a>' in page
    assert 'class="chg" cx="95.83%"' in page
    marks = browser.get(f"{HERE}/p99/points").json["marks"]
    assert [words for _, words, _ in marks] == ["Deploy feature-gateway 8.14.2"]


def test_a_range_of_ones_own_is_in_the_reader_s_zone(signed_in, panel):
    page = signed_in(Role.VIEWER).get(f"{HERE}/p99?from=2026-03-01T00:00&to=2026-03-02T00:00")

    assert page.status_code == 200
    assert "from=2026-03-01T00:00&amp;to=2026-03-02T00:00" in page.text.replace("%3A", ":")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("from=2026-03-02T00:00&to=2026-03-01T00:00", "begin before it ends"),
        ("from=yesterday", "a date and a time"),
        ("from=2020-01-01T00:00&to=2026-03-01T00:00", "400 days"),
        ("from=3000-01-01T00:00&to=3000-01-02T00:00", "lies ahead"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_beside_its_field(signed_in, panel, query, why):
    browser = signed_in(Role.VIEWER)

    reply = browser.get(f"{HERE}/p99?{query}")

    assert reply.status_code == 422
    assert why in reply.text
    assert browser.get(f"{HERE}/p99/points?{query}").json["trouble"]


def test_changes_of_state_are_paged(signed_in, panel):
    with unit_of_work() as session:
        session.add_all(
            StateChange(panel_id=panel.id, model_id=panel.model_id, at=now(), after="ok",
                        sentence=f"change {number}", detail={})
            for number in range(25)
        )  # fmt: skip
    browser = signed_in(Role.VIEWER)

    first = browser.get(f"{HERE}/p99").text
    assert "change 24" in first
    assert "change 4<" not in first

    onward = first.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0]
    second = browser.get(onward.replace("&amp;", "&")).text
    assert "change 4<" in second
    assert "change 24" not in second


def test_a_line_asked_of_a_source_that_does_not_answer_is_baton_s_own(signed_in, model):
    prometheus = factories.health_source(kind="prometheus", url="http://gone.example.com:9090")
    panel = factories.panel(
        model, slug="asked", source_id=prometheus.id, spec={"query": "x"}, created_at=now()
    )
    read(panel, [200.0, 201.0])

    found = signed_in(Role.VIEWER).get(f"{HERE}/asked/points?ask=1").json

    assert "not on the list of hosts" in found["trouble"]
    assert 200 in found["columns"]["value"]


@pytest.mark.parametrize("part", ["now", "changes"])
def test_its_live_regions_are_sent_once_while_they_are_the_same(signed_in, panel, part):
    browser = signed_in(Role.VIEWER)

    reply = browser.get(f"{HERE}/p99/part/{part}", headers=HTMX)

    assert reply.text.lstrip().startswith(f'<section class="card" aria-labelledby="{part}-h"')
    again = browser.get(
        f"{HERE}/p99/part/{part}", headers={**HTMX, "If-None-Match": reply.headers["ETag"]}
    )
    assert again.status_code == 304


def test_a_panel_that_is_not_there_is_not_found(signed_in, model):
    for path in ("", "/points", "/part/now"):
        assert signed_in(Role.VIEWER).get(f"{HERE}/nothing{path}").status_code == 404


# --- Editing, closing -------------------------------------------------------------------------


def form_of(browser):
    """The fields of the edit page, as they were served."""
    page = browser.get(f"{HERE}/p99/edit").text
    fields = re.findall(r'<(?:input|textarea)[^>]* name="([^"]+)"[^>]*? value="([^"]*)"', page)
    return {**OWN, "stat": "quantile", "lane": "latency", **dict(fields)}


def test_an_edit_is_kept_and_audited(maintainer, panel, said):
    form = {**form_of(maintainer), "title": "p99 of home", "above": "300"}

    reply = maintainer.post(f"{HERE}/p99/edit", data=form)

    assert reply.status_code == 303
    (saved,) = panels()
    assert (saved.title, saved.above, saved.spec) == ("p99 of home", 300, panel.spec)


def test_an_edit_of_something_that_changed_keeps_the_text_and_says_who(maintainer, panel, said):
    form = form_of(maintainer)
    service.edit_panel(
        panel.id,
        panels_of("kserve", "recsys-home", "openmetrics")[4],
        seen_version=None, by=Actor("person", 1, "Sam"), at=now(),
    )  # fmt: skip

    reply = maintainer.post(f"{HERE}/p99/edit", data={**form, "title": "Mine"})

    assert reply.status_code == 409
    assert "Sam changed" in reply.text
    assert 'value="Mine"' in reply.text
    assert "Save mine over theirs" in reply.text


def test_an_edit_with_a_warning_takes_a_second_press(maintainer, panel, said):
    said["linted"] = Linted({"": ["No bucket ends at 250 ms."]})
    form = form_of(maintainer)

    first = maintainer.post(f"{HERE}/p99/edit", data={**form, "title": "p99 of home"})
    assert first.status_code == 422
    assert "No bucket ends at 250 ms." in first.text

    seen = first.text.split('name="seen"')[1].split('value="')[1].split('"')[0]
    again = maintainer.post(f"{HERE}/p99/edit", data={**form, "title": "p99 of home", "seen": seen})
    assert again.status_code == 303


def test_what_is_closed_says_so_is_listed_and_can_be_reopened(maintainer, panel):
    reply = maintainer.post(f"{HERE}/p99/close", data={"version": panel.version})
    page = maintainer.get(reply.location).text
    assert "p99 latency is closed." in page
    assert "Closed since" in page
    assert "Reopen" in page
    assert "p99 latency" not in maintainer.get(HERE).text
    assert "p99 latency" in maintainer.get(f"{HERE}?show=closed").text

    reply = maintainer.post(f"{HERE}/p99/reopen")

    assert "watched again" in maintainer.get(reply.location).text
    assert panels()[0].closed_at is None
    assert maintainer.post(f"{HERE}/p99/reopen").status_code == 409


def test_a_panel_that_changed_since_it_was_seen_is_not_closed(maintainer, panel):
    assert maintainer.post(f"{HERE}/p99/close", data={"version": 7}).status_code == 409


# --- What it costs ----------------------------------------------------------------------------


def test_the_list_of_panels_costs_the_same_for_one_or_twenty(signed_in, model, source, queries):
    factories.panel(model, source_id=source.id)
    browser = signed_in(Role.VIEWER)
    browser.get(HERE)
    one = queries(lambda: browser.get(HERE))
    for _ in range(19):
        factories.panel(model, source_id=source.id)
    db.session.remove()

    assert queries(lambda: browser.get(HERE)) == one


def test_pages_of_panels_load_no_more_css_than_they_may(maintainer, panel):
    from tests.integration.test_css_weight import LIMIT, css_of

    for path in ("", "/p99", "/new?preset=kserve", "/new/custom", "/p99/edit"):
        reply = maintainer.get(f"{HERE}{path}")
        assert reply.status_code == 200
        assert sum(css_of(reply.text).values()) <= LIMIT, path


# --- What the source says before something is saved -------------------------------------------

BUCKETS = """\
# TYPE request_predict_seconds histogram
request_predict_seconds_bucket{model_name="recsys-home",le="0.1"} 1
request_predict_seconds_bucket{model_name="recsys-home",le="0.5"} 2
request_predict_seconds_bucket{model_name="recsys-home",le="+Inf"} 2
request_predict_seconds_count{model_name="recsys-home"} 2
request_predict_seconds_sum{model_name="recsys-home"} 0.4
# EOF
"""


@pytest.fixture
def scraped(monkeypatch, source):
    """The source answers with these buckets."""
    service.allow_host("serving.example.com:9000", "for a test", by=BY, at=now())
    page = Page(200, "text/plain", BUCKETS.encode())
    monkeypatch.setattr(asking, "ask", lambda *_rest, **_more: page)
    return source


def linted(source, **more):
    drafts = panels_of("kserve", "recsys-home", "openmetrics", **more)
    return offers.lint(drafts, source, "recsys-home", at=now())


def test_a_limit_between_two_buckets_is_warned_of(scraped):
    warnings = linted(scraped).warnings

    assert "No bucket of request_predict_seconds ends at 250 ms" in warnings["p99"][0]
    assert "p50" not in warnings


def test_a_name_that_the_source_does_not_know_is_warned_of(scraped):
    warnings = linted(scraped, name="recsys-hoem").warnings

    assert "The source says just now: no such series" in warnings["rate"][-1]


def test_a_source_that_answers_with_rubbish_is_no_error(scraped, monkeypatch):
    monkeypatch.setattr(asking, "ask", lambda *_rest, **_more: 1 / 0)

    assert "could not be read" in linted(scraped).trouble
