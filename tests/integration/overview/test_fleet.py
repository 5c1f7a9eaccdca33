"""The lamps of all models on Now: what a row says, what comes first, and how to read on."""

import re
from datetime import timedelta
from html import unescape

import pytest

from app.core.clock import now
from app.health import fleet
from app.health.rules import FLEET, LampState, Lane
from app.incidents.rules import State
from app.overview import queries
from app.people.rules import Role
from app.registry.tables import TeamMember
from tests.integration.overview import rows
from tests.support import factories

HTMX = {"HX-Request": "true"}


@pytest.fixture
def person(app):
    return factories.user(Role.RESPONDER, name="Priya Raman")


@pytest.fixture
def browser(app, person):
    client = app.test_client()
    factories.sign_in(client, person)
    rows.worker(now(), cycled=now())
    return client


@pytest.fixture
def team(app):
    return factories.team("serving", name="Serving")


@pytest.fixture
def lit(team):
    """A model with a lamp a lane, in the states that are told."""

    def light(slug: str, *, tier: int = 1, at=None, **states):
        at = at or now()
        model = factories.model(slug, owner=team, tier=tier)
        for lane, state in states.items():
            panel = factories.panel(model, Lane(lane), slug=lane, title=lane.replace("_", " "))
            if state is not None:
                rows.lamp(panel, LampState(state), at)
        return model

    return light


def region(browser, query: str = "") -> str:
    reply = browser.get(f"/now/fleet?{query}", headers=HTMX)
    assert reply.status_code == 200
    return reply.text


def models(page: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/models/([^"]*)"', page)


def row_of(page: str, slug: str) -> str:
    return next(
        row
        for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
        if f'href="/models/{slug}"' in row
    )


def cells(page: str, slug: str) -> list[str]:
    """What the seven columns of a row say, as words."""
    found = re.findall(r"<td(?! class=\"narrow-only).*?</td>", row_of(page, slug), re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", unescape(cell)).split()) for cell in found]


def counts(page: str) -> dict[str, int]:
    seg = page[page.index('<nav class="seg"') :]
    found = re.findall(r">([^<\d]+) ([\d,]+)</a>", seg[: seg.index("</nav>")])
    return {name: int(count.replace(",", "")) for name, count in found}


# A row


def test_a_row_shows_a_lamp_for_each_of_the_seven_lanes(browser, lit):
    lit("recsys-home", latency="breach", errors="ok", output_quality="partial",
        latency_drift="no_data", input_drift="unreachable", throughput="no_traffic",
        freshness="not_measurable")  # fmt: skip

    found = cells(region(browser), "recsys-home")

    words = ["Breach", "OK", "No traffic", "Partial", "No data", "Unreachable", "Not measurable"]
    assert [cell.startswith(word) for cell, word in zip(found, words, strict=True)] == [True] * 7
    assert found[0] == "Breach 84 / 250 ms"


def test_a_lane_without_a_panel_is_a_dash_and_no_state(browser, lit):
    lit("recsys-home", latency="ok")

    page = region(browser)

    assert cells(page, "recsys-home")[1:] == ["– none"] * 6
    assert row_of(page, "recsys-home").count('data-state="') == 2  # and the count for phones


def test_a_lane_with_several_panels_shows_the_worst(browser, lit):
    home = lit("recsys-home", latency="ok")
    slow = factories.panel(home, Lane.LATENCY, slug="p50", title="p50 latency")
    rows.lamp(slow, LampState.BREACH, now(), value=300.0)

    page = region(browser)

    assert cells(page, "recsys-home")[0] == "Breach 300 / 250 ms"
    assert "p50 latency: 300 / 250 ms" in page
    assert "The worst of 2" in page


def test_a_lamp_tells_the_age_of_its_newest_sample(browser, lit):
    lit("recsys-home", latency="ok", at=now() - timedelta(seconds=125))

    assert "latency: 84 / 250 ms, newest sample 2 min ago" in region(browser)


def test_what_nobody_has_looked_at_is_not_ok(browser, lit):
    lit("recsys-home", latency=None)

    page = region(browser)

    assert cells(page, "recsys-home")[0] == "No data not looked yet"
    assert counts(page)["Cannot see"] == 1


def test_without_a_worker_what_was_ok_is_no_data(browser, lit):
    lit("recsys-home", latency="ok", at=now() - timedelta(seconds=361))

    assert cells(region(browser), "recsys-home")[0] == "No data no sample for 6 min"


def test_a_closed_panel_says_nothing(browser, lit):
    home = lit("recsys-home", latency="ok")
    closed = factories.panel(home, Lane.ERRORS, closed_at=now())
    rows.lamp(closed, LampState.BREACH, now())

    page = region(browser)

    assert "Breach" not in row_of(page, "recsys-home")
    assert counts(page)["Breach"] == 0


@pytest.mark.parametrize(
    ("lanes", "said"),
    [
        ({"schema": "breach"}, "Breach Schema"),
        ({"schema": "breach", "access": "breach"}, "Breach Access, Schema"),
        ({"schema": "breach", "access": "no_data"}, "Breach Schema, 1 more"),
        ({"fallback": "unreachable"}, "Unreachable Fallback"),
        ({"schema": "ok", "access": "not_measurable"}, None),
    ],
)
def test_trouble_that_has_no_column_stands_below_the_name(browser, lit, lanes, said):
    lit("recsys-home", latency="ok", **lanes)

    head = re.search(r"<th.*?</th>", row_of(region(browser), "recsys-home"), re.DOTALL)
    assert head is not None
    lamp = re.search(r'<a href="/models/recsys-home/health" class="lamp.*?</a>', head[0])

    words = lamp and " ".join(re.sub(r"<[^>]*>", " ", lamp[0]).split())
    assert words == said


def test_only_what_is_not_ok_leads_to_its_panel(browser, lit):
    lit("recsys-home", latency="breach", errors="ok")

    row = row_of(region(browser), "recsys-home")

    assert re.findall(r'href="([^"]*/panels/[^"]*)"', row) == [
        "/models/recsys-home/health/panels/latency"
    ]


@pytest.mark.parametrize(
    ("lanes", "said"),
    [
        ({"latency": "ok", "errors": "ok"}, "all 2 OK"),
        ({"latency": "ok", "errors": "breach"}, "1 more OK"),
        ({"errors": "breach"}, ""),
        ({}, "No panel"),
    ],
)
def test_on_a_phone_the_lamps_that_are_ok_are_counted(browser, lit, lanes, said):
    lit("recsys-home", **lanes)

    row = row_of(region(browser), "recsys-home")
    narrow = re.search(r'<td class="narrow-only">(.*?)</td>', row, re.DOTALL)

    assert narrow is not None
    assert " ".join(re.sub(r"<[^>]*>", " ", narrow[1]).split()) == said


def test_the_worst_open_incident_stands_beside_the_name(browser, lit):
    home = lit("recsys-home")
    factories.incident(model_id=home.id, severity=3, failure_mode="a")
    worst = factories.incident(model_id=home.id, severity=1, failure_mode="b")
    factories.incident(model_id=home.id, failure_mode="c", state=State.RESOLVED)

    row = row_of(region(browser), "recsys-home")

    assert f"INC-{worst.id} +1</a>" in row
    assert "SEV-1, and 1 more open" in row


# What comes first


def test_incidents_come_first_then_the_worst_lamp_then_the_tier(browser, lit):
    bad, worse = lit("bad", tier=4), lit("worse", tier=4, latency="ok")
    factories.incident(model_id=bad.id, severity=2)
    factories.incident(model_id=worse.id, severity=1)
    lit("breach", tier=3, latency="ok", errors="breach")
    lit("unreachable", latency="unreachable")
    lit("no-data", latency="no_data")
    lit("partial", latency="partial")
    lit("fine-2", tier=2, latency="ok")
    lit("fine-1", tier=1, latency="ok")
    lit("idle", latency="no_traffic")
    lit("cannot", latency="not_measurable")
    lit("nobody-watches")

    assert models(region(browser)) == [
        "worse", "bad", "breach", "unreachable", "no-data", "partial", "fine-1", "fine-2",
        "idle", "cannot", "nobody-watches",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sort", "expected", "heading", "direction"),
    [
        ("name", ["a", "b", "c"], "Model", "ascending"),
        ("tier", ["b", "a", "c"], "Tier", "ascending"),
        ("errors", ["c", "b", "a"], "Errors", "descending"),
        ("rubbish", ["b", "c", "a"], None, None),
    ],
)
def test_the_headings_sort(browser, lit, sort, expected, heading, direction):
    lit("a", tier=2, latency="ok")
    lit("b", tier=1, latency="breach", errors="ok")
    lit("c", tier=3, latency="ok", errors="partial")

    page = region(browser, f"sort={sort}")

    assert models(page) == expected
    sorted_by = re.findall(r'<th scope="col" aria-sort="(\w+)">(.*?)</th>', page, re.DOTALL)
    assert [one for one, _ in sorted_by] == ([direction] if direction else [])
    assert all(heading in text for _, text in sorted_by)
    assert ("worst first" in page) is (heading is not None)


@pytest.mark.parametrize("lane", FLEET)
def test_every_lane_can_be_sorted_by(browser, lit, lane):
    lit("a")
    lit("b", **{lane.value: "breach"})

    assert models(region(browser, f"sort={lane.value}")) == ["b", "a"]


def shown_places(model_ids, at) -> dict[int, int]:
    found = fleet.lamps_of(model_ids, at=at)
    return {model_id: fleet.PLACE[health.worst] for model_id, health in found.items()}


@pytest.mark.parametrize("age", [0, 30, 59, 90, 200, 359, 362, 5000])
def test_the_order_has_the_same_doubt_as_the_lamps(app, lit, person, age):
    at = now()
    made = []
    for number, state in enumerate(LampState):
        one = lit(f"m-{number}")
        made.append(one.id)
        rows.lamp(factories.panel(one), state, at, age=age)
    # Fresh when somebody looked, and overdue since.
    late = lit("late")
    panel = factories.panel(late, Lane.FRESHNESS, above=1800.0, stale_after=172_800, unit="s")
    rows.lamp(panel, LampState.OK, at, age=age, value=1600.0)
    # Nothing to serve: known since somebody asked, however old the newest sample is.
    quiet = lit("quiet")
    rows.lamp(factories.panel(quiet), LampState.NO_TRAFFIC, at, age=age,
              newest_at=at - timedelta(days=1))  # fmt: skip

    page = queries.fleet(queries.FleetFilter(), person.id, at=at)

    assert {row.id: row.worst for row in page.items} == shown_places([*made, late.id, quiet.id], at)
    blind = {fleet.PLACE[LampState.UNREACHABLE], fleet.PLACE[LampState.NO_DATA]}
    assert page.counts.blind == sum(row.worst in blind for row in page.items)


# Which models


def test_the_filters_count_all_models_and_narrow_the_rows(browser, person, lit, team):
    factories.keep(TeamMember(team_id=team.id, user_id=person.id))
    lit("in-breach", latency="breach", errors="unreachable")
    lit("not-seen", latency="ok", access="no_data")
    broken = lit("broken", latency="ok")
    factories.incident(model_id=broken.id)
    factories.model("of-others", owner=factories.team("logistics"))
    factories.model("gone", owner=team, retired_at=now())

    assert counts(region(browser)) == {
        "All": 4, "Breach": 1, "Cannot see": 2, "Incidents": 1, "Yours": 3
    }  # fmt: skip
    assert models(region(browser, "show=breach")) == ["in-breach"]
    assert models(region(browser, "show=blind")) == ["in-breach", "not-seen"]
    assert models(region(browser, "show=open")) == ["broken"]
    assert models(region(browser, "show=mine")) == ["broken", "in-breach", "not-seen"]
    assert counts(region(browser, "show=breach&models=x"))["All"] == 4


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("models=HOME", ["recsys-home"]),
        ("models=logistics", ["eta-courier"]),
        ("models=ranks feed", ["recsys-home"]),
        ("models=100%25", []),
        ("models=_", []),
        ("show=rubbish", ["eta-courier", "recsys-home"]),
    ],
)
def test_models_are_found_by_words(browser, team, query, expected):
    factories.model("recsys-home", owner=team, purpose="Ranks the home feed")
    factories.model("eta-courier", owner=factories.team("logistics"))

    assert models(region(browser, query)) == expected


def test_filters_and_order_keep_each_other(browser, lit):
    lit("recsys-home", latency="breach")

    page = unescape(region(browser, "show=breach&sort=tier&models=home"))

    assert "/?show=open&sort=tier&models=home#fleet" in page
    assert "/?show=breach&sort=errors&models=home#fleet" in page
    assert '<input type="hidden" name="sort" value="tier">' in page


def test_no_model_that_fits_is_said_in_words(browser, lit):
    lit("recsys-home", latency="ok")

    assert "Nothing that is watched is outside its limit." in region(browser, "show=breach")
    assert "Every source answers, with data." in region(browser, "show=blind")


# Pages


@pytest.fixture
def sixty(lit):
    states = ["ok", "breach", "no_data", "partial"]
    made = [
        lit(f"model-{number:02}", tier=1 + number % 4, latency=states[number * 7 % 4])
        for number in range(60)
    ]
    for one in made[::7]:
        factories.incident(model_id=one.id, severity=1 + one.id % 4)
    return {one.slug for one in made}


def link(page: str, rel: str) -> str | None:
    found = re.search(rf'href="([^"]*)" rel="{rel}"', page)
    return unescape(found[1]).partition("#")[0].partition("?")[2] if found else None


@pytest.mark.parametrize("sort", ["worst", "name", "tier", "latency", "errors"])
def test_every_model_is_on_exactly_one_page_forwards_and_backwards(browser, sixty, sort):
    pages, query = [], f"sort={sort}"
    while query:
        page = region(browser, query)
        pages.append(models(page))
        query, last = link(page, "next"), page
    assert [len(page) for page in pages] == [25, 25, 10]
    assert {slug for page in pages for slug in page} == sixty

    back, query = [pages[-1]], link(last, "prev")
    while query:
        page = region(browser, query)
        back.append(models(page))
        query = link(page, "prev")

    assert back[::-1] == pages


def more_of(page: str) -> str | None:
    found = re.search(r'hx-get="(/now/fleet/more[^"]*)"', page)
    return unescape(found[1]) if found else None


def test_show_more_adds_the_next_rows_and_the_region_keeps_them(browser, sixty):
    first = region(browser)
    url = more_of(first)
    assert url is not None
    assert "25 of 60" in first

    second = browser.get(url, headers=HTMX).text

    assert len(models(second)) == 25
    assert "50 of 60" in second
    assert "Show 10 more" not in first
    assert '<input type="hidden" id="fleet-shown" name="rows" value="50">' in second
    assert 'hx-swap-oob="true"' in second
    # What the live region asks for then is what is there.
    assert models(region(browser, "rows=50")) == models(first) + models(second)
    third = browser.get(more_of(second), headers=HTMX).text
    assert len(models(third)) == 10
    assert more_of(third) is None


def test_the_live_region_of_a_later_page_begins_where_the_page_does(browser, sixty):
    later = link(region(browser), "next")
    page = region(browser, later)
    asks = re.search(r'id="fleet" .*?hx-get="([^"]*)"', page)
    assert asks is not None

    again = browser.get(unescape(asks[1]), headers=HTMX).text

    assert models(again) == models(page)
    back = region(browser, link(page, "prev"))
    asks = re.search(r'id="fleet" .*?hx-get="([^"]*)"', back)
    assert asks is not None
    assert models(browser.get(unescape(asks[1]), headers=HTMX).text) == models(region(browser))


def test_one_page_takes_in_so_many_rows_and_no_more(browser, sixty, monkeypatch):
    monkeypatch.setattr("app.overview.views.MODELS_AT_ONCE", 40)
    url = more_of(region(browser))

    assert url is not None
    second = browser.get(url, headers=HTMX).text
    assert len(models(second)) == 15
    assert more_of(second) is None
    assert link(second, "next") is not None
    assert len(models(region(browser, "rows=5000"))) == 40


@pytest.mark.parametrize("query", ["after=rubbish", "before=rubbish", "sort=name&after=WzEsMl0"])
def test_a_broken_link_to_another_page_is_refused_with_a_sentence(browser, query):
    for path in ("/", "/now/fleet", "/now/fleet/more"):
        reply = browser.get(f"{path}?{query}")

        if "before" in query and path == "/now/fleet/more":
            continue
        assert reply.status_code == 400
        assert "Start at the first page again" in reply.text


def test_a_page_that_everything_has_left_says_so(browser, lit):
    lit("recsys-home", latency="ok")
    cursor = queries.encode_cursor(9, 9, 9, "z")

    page = region(browser, f"after={cursor}")

    assert models(page) == []
    assert counts(page)["All"] == 1
    assert "No model comes after these" in page


# The list of models


@pytest.mark.parametrize(
    ("lanes", "said"),
    [
        ({"latency": "ok", "errors": "ok"}, "OK 2 panels"),
        ({"latency": "ok", "errors": "breach", "schema": "no_data"}, "Breach 1 of 3"),
        ({"latency": "no_data"}, "No data 1 panel"),
        ({}, "None"),
    ],
)
def test_the_list_of_models_tells_the_worst_lamp_and_how_many(browser, lit, lanes, said):
    lit("recsys-home", **lanes)

    page = browser.get("/models").text
    cell = re.search(r'<td data-k="Health">(.*?)</td>', page, re.DOTALL)

    assert cell is not None
    assert " ".join(re.sub(r"<[^>]*>", " ", cell[1]).split()) == said
