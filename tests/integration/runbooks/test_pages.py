"""Pages of runbooks, as people read them."""

import re

import pytest

from app.core.db import db
from app.people.rules import Actor, Role
from app.runbooks import service
from app.runbooks.rules import RESERVED
from app.runbooks.tables import RunbookRendering
from tests.support import factories

PRIYA = Actor("person", None, "Priya Raman")


@pytest.fixture
def reader(signed_in):
    return signed_in(Role.VIEWER)


@pytest.fixture
def two_versions(bring_in, latency, at):
    latency("Look at p99.")
    bring_in()
    latency("Look at p95 of `{{model}}`.", head="escalate_to: model-owner\nescalate_after: 20m\n")
    bring_in()


def text_of(html):
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_without_runbooks_the_list_says_how_to_get_some(reader):
    page = reader.get("/runbooks").text

    assert "No runbooks yet" in page
    assert "baton runbooks import" in page


def test_the_list_shows_what_matters(reader, two_versions):
    factories.team("serving", name="Serving Platform")

    words = text_of(reader.get("/runbooks").text)

    assert "Latency is high latency Latency above its limit Serving Platform v2 3" in words
    assert re.search(r"12 March( 2026)? Baton", words)
    assert "1 runbook" in words


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("search=latency", True),
        ("search=LATENCY+high", True),
        ("search=p99high", True),
        ("search=serving", True),
        ("search=latency+nothing", False),
        ("search=%25", False),
        ("mode=latency_regression", True),
        ("mode=input_drift", False),
        ("owner=serving", True),
        ("owner=other", False),
    ],
)
def test_the_list_finds(reader, two_versions, query, found):
    page = reader.get(f"/runbooks?{query}").text

    assert ("Latency is high" in page) is found
    assert ("No runbook fits" in page) is not found


def test_the_list_goes_on_where_the_page_before_ended(reader, write, bring_in):
    for number in range(120):
        write(f"r{number:03}.md", f"# Runbook {number % 7}\n")
    bring_in()
    seen, url = [], "/runbooks"
    while url:
        page = reader.get(url).text
        seen += re.findall(r'href="/runbooks/(r\d+)"', page)
        following = re.search(r'href="([^"]+)" rel="next"', page)
        url = following[1].replace("&amp;", "&") if following else None

    assert len(seen) == len(set(seen)) == 120


def test_the_list_costs_the_same_for_one_or_fifty(reader, write, bring_in, queries):
    write("one.md", "---\nowner: a\n---\n# One\n")
    bring_in()
    reader.get("/runbooks")
    one = queries(lambda: reader.get("/runbooks"))
    for number in range(49):
        write(f"r{number}.md", f"---\nowner: team{number}\n---\n# R{number}\n1. a\n2. b\n")
    bring_in()

    assert queries(lambda: reader.get("/runbooks")) == one


def test_a_runbook_can_be_read_with_all_it_needs(reader, two_versions):
    reply = reader.get("/runbooks/latency")
    page = reply.text
    words = text_of(page)

    assert reply.status_code == 200
    assert "v2, published" in words
    assert "Look at p95 of {{model}} ." in words
    assert '<span class="var">{{model}}</span>' in page
    assert 'id="s-look"' in page
    assert 'href="#s-back">step 3' in page
    assert "None of these escalate to the model’s owner" in words
    assert "Risky 5 min Action" in words
    assert "Undo Step 1 , about 2 min" in words
    assert "$ kubectl rollout undo" in words
    assert '<data id="c-back-1" value="kubectl rollout undo deployment/{{model}}" hidden>' in page
    assert "Expect rolled back ." in words
    assert "Escalate after 20 min" in words
    assert "latency.md" in words


def test_an_old_version_can_be_read_for_ever_and_says_that_it_is_old(reader, two_versions):
    words = text_of(reader.get("/runbooks/latency/v1").text)

    assert "Look at p99." in words
    assert "This is v1; v2 is the published one." in words


@pytest.mark.parametrize(
    "path",
    [
        "/runbooks/none",
        "/runbooks/latency/v9",
        "/runbooks/latency/v0",
        "/runbooks/latency/v99999999999999999999",
        "/runbooks/%00",
        "/runbooks/Latency",
        "/runbooks/latency/v9/source",
        "/runbooks/%00/v1/source",
    ],
)
def test_what_is_not_there_is_not_found(reader, two_versions, path):
    assert reader.get(path).status_code == 404


def test_the_source_is_downloaded_byte_for_byte(reader, write, bring_in):
    source = b"\xef\xbb\xbf# Caf\xe9\r\n\r\n<script>alert(1)</script>  \r\n"
    write("cafe.md", source)
    bring_in()

    reply = reader.get("/runbooks/cafe/v1/source")

    assert reply.data == source
    assert reply.headers["Content-Disposition"] == 'attachment; filename="cafe-v1.md"'
    assert reply.mimetype == "text/markdown"


def test_a_page_costs_the_same_for_three_steps_or_a_hundred(reader, write, bring_in, queries):
    write("short.md", "# Short\n\n1. a\n2. b\n3. c\n")
    write("long.md", "# Long\n\n" + "".join(f"{n}. Step {n}\n" for n in range(1, 101)))
    bring_in()
    reader.get("/runbooks/short")
    short = queries(lambda: reader.get("/runbooks/short"))

    assert queries(lambda: reader.get("/runbooks/long")) == short


def test_reading_makes_the_html_that_is_missing(reader, two_versions):
    db.session.query(RunbookRendering).delete()
    db.session.commit()

    assert "Look at p95" in reader.get("/runbooks/latency").text
    assert db.session.query(RunbookRendering).count() == 1


def test_hostile_text_stays_text_on_the_page(reader, write, bring_in):
    write(
        "bad.md",
        "---\ntitle: '<script>alert(1)</script>'\nowner: '<b>x'\nrequires: ['{{config}}']\n---\n"
        "## <img src=x onerror=alert(1)>\n\n### A <svg onload=alert(1)>\n"
        "<!-- step id=a kind=action confirm='<script>alert(2)</script>' -->\n"
        "{{ config }} {% raw %}\n",
    )
    bring_in()

    page = reader.get("/runbooks/bad").text

    assert "<script>alert" not in page
    assert "<svg onload" not in page
    assert "<img src=x" not in page
    assert "{% raw %}" in page
    assert "SECRET_KEY" not in page


def test_a_file_of_no_known_shape_is_a_page_to_read(reader, write, bring_in):
    write("notes.md", "# Notes\n\nSome <namespace> prose.\n\n> [!WARNING]\n> Careful.\n")
    bring_in()

    page = reader.get("/runbooks/notes").text

    assert "Some &lt;namespace&gt; prose." in page
    assert '<div data-alert="warning">' in page


def test_a_signed_out_browser_is_asked_to_sign_in(client, two_versions):
    for path in ("/runbooks", "/runbooks/latency", "/runbooks/latency/v1/source", "/r/Any"):
        assert client.get(path).status_code == 303


# --- /r/<alertname>


@pytest.mark.parametrize(
    "name",
    [
        "RecsysHomeP99High",
        "recsyshomep99high",
        "RECSYSHOMEP99HIGH",
        "latency",
        "Latency",
        "LatencyRegression",
        "latency-regression",
        "latency_regression",
    ],
)
def test_an_alert_leads_to_its_runbook_in_any_case(reader, two_versions, name):
    reply = reader.get(f"/r/{name}")

    assert (reply.status_code, reply.location) == (302, "/runbooks/latency")


def test_an_alert_leads_to_the_version_that_is_published_now(reader, two_versions, write, bring_in):
    write("other.md", "---\nid: other\nsignals: [RecsysHomeP99High2]\n---\n# Other\n")
    bring_in()
    write("other.md", "---\nid: other\nsignals: [Something]\n---\n# Other\n")
    bring_in()

    assert reader.get("/r/RecsysHomeP99High2").status_code == 200
    assert reader.get("/r/something").location == "/runbooks/other"


def test_an_alert_without_a_runbook_gets_a_page_that_says_whom_to_ask(app, reader, monkeypatch):
    monkeypatch.setitem(app.extensions, "alert_owners", lambda name: ["Ranking", "Serving"])

    reply = reader.get("/r/NobodyKnows")
    words = text_of(reply.text)

    assert reply.status_code == 200
    assert "NobodyKnows" in words
    assert "came from models of Ranking and Serving" in words
    assert "A maintainer can begin a runbook" in words


def test_an_alert_that_never_came_has_no_known_owner(app, reader, monkeypatch):
    monkeypatch.delitem(app.extensions, "alert_owners", raising=False)

    assert "No alert of this name has arrived yet" in reader.get("/r/NobodyKnows").text


@pytest.mark.parametrize("name", ["a%00b", "a%0Ab", "x" * 201])
def test_what_can_be_no_alert_is_not_found(reader, name):
    assert reader.get(f"/r/{name}").status_code == 404


def test_a_maintainer_begins_a_runbook_from_there(signed_in):
    maintainer = signed_in(Role.MAINTAINER)
    assert "Begin a runbook" in maintainer.get("/r/DiskFull").text

    reply = maintainer.post("/r/DiskFull")

    assert (reply.status_code, reply.location) == (303, "/runbooks/disk-full/edit")
    page = text_of(maintainer.get("/runbooks/disk-full").text)
    assert "This is a draft." in page
    assert "v1, draft" in page
    for heading in ("When to use", "Impact", "Stop and escalate if", "Roll back", "Verify"):
        assert heading in page
    assert "v1 draft" in text_of(maintainer.get("/runbooks").text)
    # A draft is nobody's runbook yet, so the alert leads to the page that knows of it.
    stub = maintainer.get("/r/diskfull")
    assert stub.status_code == 200
    assert 'href="/runbooks/disk-full"' in stub.text


def test_beginning_twice_leads_to_the_same_draft(signed_in):
    maintainer = signed_in(Role.MAINTAINER)

    first, second = maintainer.post("/r/DiskFull"), maintainer.post("/r/DISKFULL")

    assert first.location == second.location == "/runbooks/disk-full/edit"
    assert "1 runbook" in text_of(maintainer.get("/runbooks").text)


def test_only_a_maintainer_may_begin_one(signed_in):
    assert signed_in(Role.RESPONDER).post("/r/DiskFull").status_code == 403


def test_a_draft_reads_without_a_remark(app, at):
    draft = service.start_draft("Recsys:Home.P99 High", by=PRIYA, at=at)

    from app.runbooks.format import read

    document = read(draft.source)
    assert document.remarks == ()
    assert document.facts.signals[0].alertname == "recsys:home.p99 high"
    assert document.facts.id == draft.runbook.slug == "recsys-home-p99-high"


def test_no_runbook_can_have_the_address_of_a_page(app):
    rules = [rule.rule.split("/") for rule in app.url_map.iter_rules()]
    pages = {
        re.split(r"\.", parts[-1])[0]
        for parts in rules
        if parts[:-1] in (["", "runbooks"], ["", "api", "v1", "runbooks"])
        and not parts[-1].startswith("<")
    }

    assert pages - {""} <= RESERVED
    assert "freshness" in pages
