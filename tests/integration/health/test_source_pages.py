"""Settings of sources and hosts: who may do what, what is kept, and what is never shown."""

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlalchemy import select

from app.core.clock import now
from app.core.db import db, end_read
from app.health import service
from app.health.asking import Asking
from app.health.panel_files import EXAMPLE
from app.health.service import SourceDraft
from app.health.tables import AllowedHost, HealthSource
from app.people.rules import COMMAND_LINE as BY
from app.people.rules import Role
from app.people.tables import AuditEntry
from tests.support import factories

HOST = "serving.example.com:9000"
URL = f"http://{HOST}/metrics"
SECRET = "s3cret-token-of-20-ch"
FORM = {"name": "Serving", "url": URL, "every": "30", "sign_in": "none"}
METRICS = """\
# TYPE queue_depth gauge
queue_depth{model="recsys-home"} 3
# TYPE requests counter
requests_total{model="recsys-home"} 12
requests_total{model="search"} 4
"""


@pytest.fixture
def administrator(signed_in):
    return signed_in(Role.ADMINISTRATOR)


@pytest.fixture
def maintainer(signed_in):
    return signed_in(Role.MAINTAINER)


@pytest.fixture
def source(app):
    service.allow_host(HOST, "Serving", by=BY, at=now())
    draft = SourceDraft("Serving", "openmetrics", URL, secret={"bearer": SECRET})
    return service.create_source(draft, by=BY, at=now())


def only_source():
    end_read()
    return db.session.scalars(select(HealthSource)).one()


def patterns():
    end_read()
    return list(db.session.scalars(select(AllowedHost.pattern)))


@contextmanager
def serving(body):
    """A serving API on loopback, and the Authorization of whoever asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers.get("Authorization"))
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- The list


def test_an_empty_list_says_what_a_source_is(administrator):
    page = administrator.get("/settings/sources").text

    assert "Nothing is asked yet" in page
    assert "/settings/sources/new" in page


def test_a_source_in_trouble_says_why(maintainer):
    factories.health_source(
        name="Prod", trouble="prod:9000 did not answer in time.", failures=4, asked_at=now()
    )

    page = maintainer.get("/settings/sources").text

    assert "prod:9000 did not answer in time." in page
    assert 'data-state="unreachable"' in page
    assert "4 tries" in page
    assert "/settings/sources/new" not in page


def test_a_source_that_nobody_asks_any_more_is_not_shown_as_answering(maintainer, at):
    factories.health_source(asked_at=at, answered_at=at)

    page = maintainer.get("/settings/sources").text

    assert 'data-state="no_data"' in page
    assert "not asked for" in page
    assert 'data-state="ok"' not in page


def test_sources_are_found_by_name_and_by_what_is_wrong(maintainer):
    factories.health_source(name="Alpha", asked_at=now(), answered_at=now())
    factories.health_source(name="Beta", trouble="It is gone.", failures=1, asked_at=now())
    factories.health_source(name="Gamma", closed_at=now())

    def names(query):
        page = maintainer.get(f"/settings/sources{query}").text
        return [name for name in ("Alpha", "Beta", "Gamma") if f">{name}<" in page]

    assert names("") == ["Alpha", "Beta"]
    assert names("?q=alp") == ["Alpha"]
    assert names("?which=trouble") == ["Beta"]
    assert names("?which=closed") == ["Gamma"]
    assert "Nothing fits" in maintainer.get("/settings/sources?q=zeta").text


def test_a_long_list_has_pages(maintainer):
    for number in range(52):
        factories.health_source(name=f"Source {number:02}")

    first = maintainer.get("/settings/sources").text
    following = re.search(r'href="([^"]*cursor=[^"]*)" rel="next"', first)[1]
    second = maintainer.get(following.replace("&amp;", "&")).text

    assert first.count('<th scope="row">') == 50
    assert "Source 51" in second
    assert "Source 01" not in second


def test_the_list_costs_the_same_for_one_or_thirty(maintainer, queries):
    model = factories.model()
    factories.panel(model, source_id=factories.health_source().id)
    one = queries(lambda: maintainer.get("/settings/sources"))
    for _ in range(29):
        factories.panel(model, source_id=factories.health_source().id)

    assert queries(lambda: maintainer.get("/settings/sources")) == one


def test_the_live_part_is_the_same_until_something_changes(maintainer, source):
    first = maintainer.get("/settings/sources/part/list")
    again = maintainer.get(
        "/settings/sources/part/list", headers={"If-None-Match": first.headers["ETag"]}
    )

    assert (first.status_code, again.status_code) == (200, 304)


# --- Making and editing


def test_the_kind_is_chosen_first(administrator):
    kinds = administrator.get("/settings/sources/new").text
    form = administrator.get("/settings/sources/new?kind=evidently").text

    for kind in ("openmetrics", "prometheus", "drift", "evidently", "contracts"):
        assert f"kind={kind}" in kinds
    assert 'name="projects"' in form
    assert 'name="expected"' not in form


def test_a_source_is_made_with_its_secret_encrypted(administrator):
    service.allow_host(HOST, "", by=BY, at=now())

    reply = administrator.post(
        "/settings/sources/new?kind=openmetrics",
        data=FORM | {"sign_in": "bearer", "bearer": SECRET},
    )

    made = only_source()
    assert reply.location == f"/settings/sources/{made.id}"
    assert Asking.of(made).secret == {"bearer": SECRET}
    assert SECRET not in made.secret_encrypted
    page = administrator.get(reply.location).text
    assert SECRET not in page
    assert "bearer token that ends in 0-ch" in page


def test_a_host_that_is_not_allowed_is_offered_and_put_on_the_list_in_the_same_press(
    administrator,
):
    there = "/settings/sources/new?kind=openmetrics"
    typed = FORM | {"sign_in": "bearer", "bearer": SECRET}

    refused = administrator.post(there, data=typed)

    assert refused.status_code == 422
    assert "is not on the list" in refused.text
    assert f"Allow {HOST} and save" in refused.text
    assert f'value="{SECRET}"' in refused.text  # what was typed is not lost
    assert refused.headers["Cache-Control"] == "no-store"
    assert patterns() == []

    administrator.post(there, data=typed | {"allow": HOST})

    assert patterns() == [HOST]
    assert only_source().url == URL
    end_read()
    assert list(db.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id))) == [
        "health.host.allow",
        "health.source.create",
    ]


def test_agreeing_to_one_host_allows_no_other(administrator):
    reply = administrator.post(
        "/settings/sources/new?kind=openmetrics",
        data=FORM | {"url": "http://elsewhere.example.com:80/", "allow": HOST},
    )

    assert reply.status_code == 422
    assert "Allow elsewhere.example.com:80 and save" in reply.text
    assert patterns() == []


def test_a_source_that_is_refused_allows_nothing(administrator):
    reply = administrator.post(
        "/settings/sources/new?kind=openmetrics", data=FORM | {"every": "1", "allow": HOST}
    )

    assert reply.status_code == 422
    assert "Look every 5 seconds" in reply.text
    assert patterns() == []


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"name": ""}, "Give it a name."),
        ({"url": ""}, "Give its address."),
        ({"every": "often"}, "Not a valid integer"),
        ({"sign_in": "bearer"}, "Give the token."),
        ({"sign_in": "header", "header": "Host", "value": "x"}, "no header to sign in with"),
        ({"sign_in": "password", "user": "a:b", "password": "c"}, "no colon"),
        ({"sign_in": "bearer", "bearer": "schlüssel"}, "beyond ASCII"),
        ({"url": "http://169.254.169.254/", "allow": "169.254.169.254:80"}, "never asks"),
        ({"url": f"http://{HOST}\\@elsewhere:80/"}, "neither a space, a backslash"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_kept(administrator, typed, sentence):
    service.allow_host(HOST, "", by=BY, at=now())

    reply = administrator.post("/settings/sources/new?kind=openmetrics", data=FORM | typed)

    assert reply.status_code == 422
    assert sentence in reply.text
    assert db.session.query(HealthSource).count() == 0


def test_options_are_those_of_the_kind(administrator):
    service.allow_host(HOST, "", by=BY, at=now())
    administrator.post(
        "/settings/sources/new?kind=evidently",
        data=FORM | {"projects": "Home feed = recsys-home\nA = b", "zone": "Europe/Lisbon"},
    )

    made = only_source()
    assert made.options == {
        "projects": {"Home feed": "recsys-home", "A": "b"},
        "zone": "Europe/Lisbon",
    }
    form = administrator.get(f"/settings/sources/{made.id}/edit").text
    assert "Home feed = recsys-home" in form


def test_a_zone_that_does_not_exist_is_refused(administrator):
    service.allow_host(HOST, "", by=BY, at=now())

    reply = administrator.post(
        "/settings/sources/new?kind=drift", data=FORM | {"zone": "Europe/Atlantis"}
    )

    assert reply.status_code == 422
    assert "There is no time zone" in reply.text


def test_an_edit_keeps_the_secret_unless_told_otherwise(administrator, source):
    there = f"/settings/sources/{source.id}/edit"
    form = administrator.get(there).text
    assert SECRET not in form

    administrator.post(there, data=FORM | {"every": "60", "sign_in": "keep", "seen": "1"})
    assert Asking.of(only_source()).secret == {"bearer": SECRET}

    administrator.post(there, data=FORM | {"sign_in": "none", "seen": "2"})
    assert only_source().secret_encrypted is None


def test_a_kept_secret_does_not_follow_an_address_to_another_host(administrator, source):
    service.allow_host("elsewhere.example.com:80", "", by=BY, at=now())

    reply = administrator.post(
        f"/settings/sources/{source.id}/edit",
        data=FORM | {"url": "http://elsewhere.example.com:80/", "sign_in": "keep", "seen": "1"},
    )

    assert reply.status_code == 422
    assert "Give its sign-in again" in reply.text
    assert only_source().url == URL


def test_of_two_edits_the_second_is_told_and_loses_nothing(administrator, source):
    there = f"/settings/sources/{source.id}/edit"
    administrator.post(there, data=FORM | {"name": "First", "sign_in": "keep", "seen": "1"})

    second = administrator.post(
        there, data=FORM | {"name": "Second", "sign_in": "keep", "seen": "1"}
    )

    assert second.status_code == 409
    assert "while you were editing" in second.text
    assert 'value="Second"' in second.text
    assert only_source().name == "First"


def test_a_source_is_closed_and_opened_again(administrator, source):
    here = f"/settings/sources/{source.id}"

    administrator.post(f"{here}/close", data={"version": "1"})
    assert "It is not asked" in administrator.get(here).text
    assert administrator.post(f"{here}/ask").status_code == 409

    administrator.post(f"{here}/reopen")
    assert only_source().closed_at is None


# --- Asking now


def test_asking_now_shows_what_came_and_no_secret(maintainer, app):
    with serving(METRICS) as (host, asked):
        service.allow_host(host, "", by=BY, at=now())
        draft = SourceDraft(
            "Serving", "openmetrics", f"http://{host}/metrics", secret={"bearer": SECRET}
        )
        made = service.create_source(draft, by=BY, at=now())
        model = factories.model("recsys-home")
        spec = {"stat": "gauge", "metric": "queue_depth", "labels": {"model": "recsys-home"}}
        factories.panel(model, source_id=made.id, title="Queue", spec=spec)
        gone = spec | {"metric": "nothing_of_that_name"}
        factories.panel(model, source_id=made.id, title="Gone", spec=gone)

        page = maintainer.post(f"/settings/sources/{made.id}/ask")

    assert page.status_code == 200
    assert asked == [f"Bearer {SECRET}"]
    assert SECRET not in page.text
    facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page.text))
    assert (facts["Families"], facts["Series"]) == ("2", "3")
    assert facts["Panels with a reading"] == "1 of 2"
    assert "Gone of recsys-home: " in page.text


def test_asking_now_tells_of_reports_about_models_that_nobody_registered(maintainer, app):
    factories.model("recsys-home")
    said = {"method": "psi", "value": 0.1, "threshold": 0.2, "direction": "above"}
    reports = [{"model": model, "kind": "input", "report": said}
               for model in ("recsys-home", "recsys_home")]  # fmt: skip
    with serving(json.dumps(reports)) as (host, _asked):
        service.allow_host(host, "", by=BY, at=now())
        made = service.create_source(
            SourceDraft("Drift", "drift", f"http://{host}/drift"), by=BY, at=now()
        )
        page = maintainer.post(f"/settings/sources/{made.id}/ask").text

    assert "No model in production is called recsys_home: such reports are left out." in page


def test_asking_now_records_nothing(maintainer, source):
    maintainer.post(f"/settings/sources/{source.id}/ask")

    assert only_source().asked_at is None


def test_a_source_that_does_not_answer_says_so(maintainer, app):
    with serving("") as (host, _asked):
        pass
    service.allow_host(host, "", by=BY, at=now())
    made = service.create_source(
        SourceDraft("Serving", "prometheus", f"http://{host}"), by=BY, at=now()
    )

    page = maintainer.post(f"/settings/sources/{made.id}/ask").text

    assert f"{host} can&#39;t be reached." in page


def test_a_source_whose_host_was_taken_off_the_list_is_not_asked(maintainer, app):
    with serving(METRICS) as (host, asked):
        allowed = service.allow_host(host, "", by=BY, at=now())
        made = service.create_source(
            SourceDraft("Serving", "openmetrics", f"http://{host}/metrics"), by=BY, at=now()
        )
        service.forbid_host(allowed.id, by=BY, at=now())

        page = maintainer.post(f"/settings/sources/{made.id}/ask").text

    assert asked == []
    assert "is not on the list of hosts that Baton may ask" in page


def test_a_source_that_answers_again_is_looked_at_at_once(maintainer, app, at):
    with serving(METRICS) as (host, _asked):
        service.allow_host(host, "", by=BY, at=now())
        made = factories.health_source(
            url=f"http://{host}/metrics",
            trouble="It did not answer.",
            failures=9,
            due_at=now().replace(year=2090),
        )

        maintainer.post(f"/settings/sources/{made.id}/ask")

    assert only_source().due_at <= now()


def test_a_path_never_leads_to_another_host():
    asking = Asking("http://127.0.0.1:9/a", {"bearer": SECRET}, is_allowed=True)

    with pytest.raises(Exception, match="leads away"):
        asking.fetch("http://elsewhere.example.com/")


# --- Hosts


def test_a_host_is_added_and_says_what_it_opens(administrator):
    administrator.post("/settings/hosts", data={"pattern": "*.example.com:443", "why": "Serving"})

    page = administrator.get("/settings/hosts").text

    assert "Any one name before example.com, as in a.example.com, at port 443" in page
    assert "Serving" in page


def test_a_host_that_is_none_is_refused_with_its_text(administrator):
    reply = administrator.post("/settings/hosts", data={"pattern": "http://a", "why": "because"})

    assert reply.status_code == 422
    assert 'value="because"' in reply.text


def test_the_list_says_which_sources_use_a_host(maintainer, source):
    service.allow_host("*.example.com:9000", "", by=BY, at=now())
    service.allow_host("serving.example.com:9001", "", by=BY, at=now())

    page = maintainer.get("/settings/hosts").text

    assert page.count(f'href="/settings/sources/{source.id}"') == 2
    assert page.count("no source") == 1
    assert "Remove" not in page


def test_a_host_that_was_taken_off_can_be_put_back(administrator, maintainer, source):
    host = db.session.scalars(select(AllowedHost)).one()

    administrator.post(f"/settings/hosts/{host.id}/remove")
    page = administrator.get("/settings/hosts").text

    assert patterns() == []
    assert "Put it back" in page
    assert "Put it back" not in maintainer.get("/settings/hosts").text
    source_page = administrator.get(f"/settings/sources/{source.id}").text
    assert "Baton may not ask it." in source_page

    administrator.post("/settings/hosts", data={"pattern": HOST, "why": "Serving"})

    assert patterns() == [HOST]
    assert "Put it back" not in administrator.get("/settings/hosts").text


def test_the_list_of_hosts_costs_the_same_for_one_or_thirty(administrator, queries):
    service.allow_host("h.example.com:80", "", by=BY, at=now())
    one = queries(lambda: administrator.get("/settings/hosts"))
    for number in range(29):
        service.allow_host(f"h{number}.example.com:80", "", by=BY, at=now())
        factories.health_source(url=f"http://h{number}.example.com/")

    assert queries(lambda: administrator.get("/settings/hosts")) == one


def test_a_maintainer_reads_and_writes_nothing(maintainer, source):
    assert maintainer.get(f"/settings/sources/{source.id}").status_code == 200
    assert maintainer.post("/settings/hosts", data={"pattern": "a:80"}).status_code == 403
    assert maintainer.get("/settings/sources/new").status_code == 403
    assert maintainer.post(f"/settings/sources/{source.id}/close").status_code == 403


# --- Importing a file


def test_a_file_is_shown_before_it_is_imported(administrator, app):
    service.allow_host(HOST, "", by=BY, at=now())
    factories.model("shop-similar", owner=factories.team())
    there = "/settings/sources/import"
    assert "format: health/1" in administrator.get(there).text

    shown = administrator.post(there, data={"text": EXAMPLE})

    assert "Nothing is written yet." in shown.text
    assert db.session.query(HealthSource).count() == 0
    seen = re.search(r'name="seen" value="(\w{64})"', shown.text)[1]
    done = administrator.post(there, data={"text": EXAMPLE, "seen": seen})
    assert done.location == "/settings/sources"
    assert only_source().slug == "serving-prod"
    assert "Nothing to do." in administrator.post(there, data={"text": EXAMPLE}).text


def test_a_file_with_problems_lists_them_and_keeps_the_text(administrator, app):
    reply = administrator.post("/settings/sources/import", data={"text": EXAMPLE})

    assert reply.status_code == 422
    assert "Line 3: Source serving-prod: " in reply.text
    assert "Line 9: shop-similar is not registered." in reply.text
    assert "checkout_seconds" in reply.text
