"""The editor: drafts, conflicts, checks and preview, and beginning a runbook."""

import html
import re
from datetime import timedelta

import pytest

from app.core.clock import now
from app.core.db import db
from app.core.errors import ConflictError, NotFoundError, RefusedError
from app.people.rules import Role
from app.people.tables import AuditEntry
from app.runbooks import drafts
from app.runbooks.drafts import EditedMeanwhileError, NewRunbook
from app.runbooks.format import read
from app.runbooks.runs.rules import RunStatus
from app.runbooks.runs.tables import Presence
from app.runbooks.tables import Draft, RunbookVersion
from tests.support import factories
from tests.support.runbooks import actor, latency, published

JSON = {"Accept": "application/json"}
HTMX = {"HX-Request": "true"}
FOREIGN = "# Foreign\n\n## Mitigation\n\n1. Look at it\n2. Restart it\n"


@pytest.fixture
def editor(signed_in):
    return signed_in(Role.MAINTAINER)


@pytest.fixture
def runbook(app):
    return published()


@pytest.fixture
def ana(app):
    return actor(factories.user(Role.MAINTAINER, name="Ana Lima"))


@pytest.fixture
def ben(app):
    return actor(factories.user(Role.MAINTAINER, name="Ben Roth"))


def words_of(page):
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", page).split()))


def source_in(page):
    return html.unescape(
        re.search(r'<textarea id="source"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)[1]
    )


def ids_in(source):
    return [step.attributes["id"] for step in read(source.encode()).steps]


def hidden_in(page, name):
    return re.search(rf'<input id="{name}" name="{name}" type="hidden" value="(\d*)">', page)[1]


def form_in(page, **changed):
    found = {"version": hidden_in(page, "version"), "base": hidden_in(page, "base")}
    return found | {"source": source_in(page), "message": ""} | changed


# --- Opening and saving


def test_the_editor_opens_with_what_is_published_and_writes_nothing(editor, runbook):
    page = editor.get("/runbooks/latency/edit").text

    assert source_in(page) == latency()
    assert "Draft v2" in page
    assert "Based on v1" in words_of(page)
    assert db.session.query(Draft).count() == 0


def test_steps_without_an_id_have_one_when_the_editor_opens(editor, app):
    published(FOREIGN, slug="foreign")

    source = source_in(editor.get("/runbooks/foreign/edit").text)

    assert ids_in(source) == ["look-at-it", "restart-it"]


def test_a_draft_is_saved_and_opens_again(editor, runbook):
    page = editor.get("/runbooks/latency/edit").text
    text = latency("Look at p95.")

    reply = editor.post(
        "/runbooks/latency/edit", data=form_in(page, source=text, message="p95 says more")
    )

    assert (reply.status_code, reply.location) == (303, "/runbooks/latency/edit")
    again = editor.get("/runbooks/latency/edit").text
    assert source_in(again) == text
    assert 'value="p95 says more"' in again
    assert "is saved" in again
    assert db.session.query(RunbookVersion).count() == 1


def test_line_ends_of_a_browser_are_no_change(editor, runbook):
    page = editor.get("/runbooks/latency/edit").text
    typed = latency("Look at p95.").replace("\n", "\r\n")

    editor.post("/runbooks/latency/edit", data=form_in(page, source=typed))

    assert db.session.query(Draft).one().source == latency("Look at p95.")


def test_saving_writes_ids_but_not_while_somebody_types(app, ana, at):
    published(FOREIGN, slug="foreign")
    text = FOREIGN + "3. Rest\n"

    typing = drafts.save("foreign", text, "", 0, write_ids=False, by=ana, at=at)
    assert typing.source == text
    text = text.replace("3. Rest", "3. Restore it")
    saved = drafts.save("foreign", text, "", typing.version, by=ana, at=at)

    assert ids_in(saved.source) == ["look-at-it", "restart-it", "restore-it"]


def test_the_id_of_a_step_that_is_gone_never_comes_back_for_another(app, ana, at):
    published("# F\n\n## Steps\n\n### One\n<!-- step id=alpha -->\nOne.\n", slug="foreign")
    published(FOREIGN, slug="foreign")

    saved = drafts.save("foreign", FOREIGN + "3. Alpha\n", "", 0, by=ana, at=at)

    assert ids_in(saved.source) == ["look-at-it", "restart-it", "alpha-2"]


def test_a_script_saves_with_json_and_hears_the_new_version(editor, runbook):
    page = editor.get("/runbooks/latency/edit").text
    text = latency("Look at p95.")

    first = editor.post(
        "/runbooks/latency/edit?typing", data=form_in(page, source=text), headers=JSON
    )
    again = editor.post(
        "/runbooks/latency/edit?typing",
        data=form_in(page, source=text + "\nMore.\n", version=first.json["version"]),
        headers=JSON,
    )

    assert first.json["version"] == 1
    assert first.json["source"] is None
    assert again.json["version"] == 2


def test_a_save_that_is_sent_again_is_saved_once(app, runbook, ana, at):
    first = drafts.save("latency", latency("p95"), "", 0, by=ana, at=at)
    again = drafts.save("latency", latency("p95"), "", 0, by=ana, at=at)

    assert again.version == first.version == 1


def test_the_trail_tells_who_wrote_and_not_every_save(app, runbook, ana, ben, at):
    version = 0
    for number, who in enumerate((ana, ana, ana, ben)):
        version = drafts.save("latency", latency(f"p{number}"), "", version, by=who, at=at).version

    entries = (
        db.session.query(AuditEntry).filter_by(action="runbook.edit").order_by(AuditEntry.id).all()
    )
    assert [entry.actor_name for entry in entries] == ["Ana Lima", "Ben Roth"]


def test_a_text_that_is_too_long_is_refused_and_kept_in_the_editor(editor, runbook):
    page = editor.get("/runbooks/latency/edit").text
    long = "a line of text\n" * 20_000

    reply = editor.post("/runbooks/latency/edit", data=form_in(page, source=long))

    assert reply.status_code == 422
    assert "at most 256 KB" in reply.text
    assert source_in(reply.text) == long


def test_a_message_that_is_too_long_is_refused(app, runbook, ana, at):
    with pytest.raises(RefusedError, match="300 characters"):
        drafts.save("latency", latency("p95"), "x" * 301, 0, by=ana, at=at)


# --- Two people


def test_of_two_people_the_second_is_told_and_neither_loses_a_word(signed_in, runbook):
    ana, ben = signed_in(Role.MAINTAINER), signed_in(Role.MAINTAINER)
    anas, bens = (one.get("/runbooks/latency/edit").text for one in (ana, ben))
    ana.post("/runbooks/latency/edit", data=form_in(anas, source=latency("Ana was here.")))

    reply = ben.post("/runbooks/latency/edit", data=form_in(bens, source=latency("Ben was here.")))

    assert reply.status_code == 409
    assert source_in(reply.text) == latency("Ben was here.")
    assert "Ana was here." in words_of(reply.text)
    assert "saved this draft while you were editing" in words_of(reply.text)
    assert '<div class="dl dl--del">' in reply.text
    assert db.session.query(Draft).one().source == latency("Ana was here.")

    kept = ben.post(
        "/runbooks/latency/edit", data=form_in(reply.text, source=latency("Both were here."))
    )
    assert kept.status_code == 303
    db.session.rollback()
    assert db.session.query(Draft).one().source == latency("Both were here.")


def test_a_script_is_told_of_a_conflict_with_both_texts(editor, runbook, ana, at):
    page = editor.get("/runbooks/latency/edit").text
    drafts.save("latency", latency("Ana was here."), "", 0, by=ana, at=at)

    reply = editor.post(
        "/runbooks/latency/edit?typing", data=form_in(page, source=latency("Mine.")), headers=JSON
    )

    assert reply.status_code == 409
    assert reply.mimetype == "application/problem+json"
    assert reply.json["theirs"] == latency("Ana was here.")
    assert reply.json["detail"].startswith("Ana Lima saved this draft")


def test_whoever_types_on_in_a_draft_that_was_discarded_is_told(app, runbook, ana, ben, at):
    version = drafts.save("latency", latency("One."), "", 0, by=ana, at=at).version
    drafts.discard("latency", version, by=ben, at=at)

    with pytest.raises(EditedMeanwhileError, match="Ben Roth ended this draft") as told:
        drafts.save("latency", latency("Two."), "", version, by=ana, at=at)

    assert told.value.mine == latency("Two.")
    assert told.value.theirs.source == latency()


# --- Discarding


def test_a_draft_is_discarded(editor, runbook, ana, at):
    drafts.save("latency", latency("p95"), "", 0, by=ana, at=at)

    reply = editor.post("/runbooks/latency/edit/discard", data={"version": 1})

    assert reply.location == "/runbooks/latency"
    assert db.session.query(Draft).count() == 0
    assert db.session.query(AuditEntry).filter_by(action="runbook.discard_draft").count() == 1


def test_what_somebody_wrote_meanwhile_is_not_discarded_unseen(editor, runbook, ana, at):
    drafts.save("latency", latency("p95"), "", 0, by=ana, at=at)
    drafts.save("latency", latency("p90"), "", 1, by=ana, at=at)

    reply = editor.post("/runbooks/latency/edit/discard", data={"version": 1})

    assert reply.status_code == 409
    assert "Ana Lima saved this draft" in words_of(reply.text)
    assert db.session.query(Draft).count() == 1


def test_there_is_nothing_to_discard_without_a_draft(app, runbook, ana, at):
    with pytest.raises(ConflictError):
        drafts.discard("latency", 0, by=ana, at=at)


# --- Checks and preview


def test_the_preview_checks_and_shows_the_text_at_hand_and_saves_nothing(editor, runbook):
    page = editor.get("/runbooks/latency/edit").text
    text = latency("TODO: write **this**.").replace("#back", "#nowhere")

    part = editor.post(
        "/runbooks/latency/edit/preview", data=form_in(page, source=text), headers=HTMX
    ).text

    assert "<html" not in part
    assert "RB20" in part
    assert "RB21" in part
    assert "<strong>this</strong>" in part
    assert "Publish opens when the" in part
    assert 'id="hand-in" hx-swap-oob="true"' in part
    assert db.session.query(Draft).count() == 0


@pytest.fixture
def shown_as(editor, runbook):
    """The command of the first step in the preview, filled in as asked."""

    def read(fill):
        page = editor.get("/runbooks/latency/edit").text
        data = form_in(page, fill=fill)
        part = editor.post("/runbooks/latency/edit/preview", data=data, headers=HTMX).text
        return re.search(r"kubectl get pods -l app= (\S+)", words_of(part))[1]

    return read


def test_the_preview_is_filled_in_as_somebody_chooses(shown_as, app):
    model = factories.model("eta-courier", owner=factories.team("serving"))
    incident = factories.incident(model_id=model.id)

    assert shown_as("names") == "{{model}}"
    assert shown_as("example") == "recsys-home"
    assert shown_as("model:eta-courier") == "eta-courier"
    assert shown_as(f"incident:{incident.id}") == "eta-courier"
    assert shown_as("incident:999999") == "recsys-home"
    assert shown_as("rubbish") == "recsys-home"


def test_the_newest_incident_that_fails_this_way_is_shown_first(editor, runbook):
    owner = factories.team("serving")
    for slug, mode in (("fraud-card", "latency_regression"), ("eta-courier", "input_drift")):
        model = factories.model(slug, owner=owner)
        factories.incident(model_id=model.id, failure_mode=mode)

    page = editor.get("/runbooks/latency/edit").text

    assert re.search(r'<option value="incident:\d+" selected>INC-\d+, fraud-card</option>', page)
    assert 'data-filled="model">fraud-card' in page
    assert page.index(", fraud-card</option>") < page.index(", eta-courier</option>")


def test_what_an_incident_can_t_fill_in_is_named(editor, app):
    published(
        latency().replace("variables:\n", "variables:\n  - {name: shard, from: alert.shard}\n")
    )
    incident = factories.incident(model_id=factories.model("eta", owner=factories.team("a")).id)

    page = words_of(editor.get("/runbooks/latency/edit").text)

    assert incident.id
    assert "No value here for shard . Whoever follows it is asked." in page


def test_a_value_is_never_markup_in_the_preview(editor, app):
    published(latency().replace("variables:\n", "variables:\n  - {name: t, from: incident.title}\n")
              .replace("Look at p99.", "Look at {{t}}."))  # fmt: skip
    model = factories.model("eta", owner=factories.team("a"))
    factories.incident(model_id=model.id, title="<img src=x onerror=alert(1)>")

    page = editor.get("/runbooks/latency/edit").text

    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_a_section_s_title_is_plain_text_in_a_preview_that_is_filled_in(editor, app):
    published(latency().replace("## Roll back", "## Roll back `<b>`"))

    page = editor.get("/runbooks/latency/edit").text

    assert "<b></h2>" not in page
    assert "Roll back &lt;b&gt;</h2>" in page


def test_the_editor_says_who_else_is_at_it(editor, runbook, ana):
    drafts.save("latency", latency("p95"), "", 0, by=ana, at=now())
    keep_reading(runbook, "Ben Roth", at=now())
    page = words_of(editor.get("/runbooks/latency/edit").text)

    assert "Ana Lima is writing too" in page
    assert "Ben Roth is following it now" in page


def test_who_has_gone_is_not_said_to_be_there(editor, runbook, ana):
    drafts.save("latency", latency("p95"), "", 0, by=ana, at=now() - timedelta(minutes=6))
    keep_reading(runbook, "Ben Roth", at=now() - timedelta(minutes=2))
    page = words_of(editor.get("/runbooks/latency/edit").text)

    assert "is writing too" not in page
    assert "following it now" not in page


def keep_reading(version, name, *, at):
    """Somebody looks at an open run of a version."""
    run = factories.run(version, status=RunStatus.OPEN)
    user_id = factories.user(name=name).id
    factories.keep(Presence(run_id=run.id, user_id=user_id, name=name, seen_at=at))


def test_without_a_script_the_preview_is_the_whole_page_with_the_text_at_hand(editor, runbook):
    page = editor.get("/runbooks/latency/edit").text

    reply = editor.post(
        "/runbooks/latency/edit/preview", data=form_in(page, source=latency("TODO"))
    )

    assert reply.status_code == 200
    assert source_in(reply.text) == latency("TODO")
    assert "RB20" in reply.text


def test_what_can_t_be_read_is_told_and_stays_in_the_editor(editor, runbook):
    page = editor.get("/runbooks/latency/edit").text
    text = "> " * 40_000 + "\n" + "x" * 200_000

    reply = editor.post("/runbooks/latency/edit/preview", data=form_in(page, source=text))

    assert reply.status_code == 200
    assert source_in(reply.text) == text
    assert "t-bad" in reply.text


def test_a_fix_is_applied_to_the_text_at_hand(editor, runbook):
    text = latency().replace("kubectl get pods", "$ kubectl get pods")
    page = editor.get("/runbooks/latency/edit").text
    checked = editor.post("/runbooks/latency/edit/preview", data=form_in(page, source=text)).text
    fix = re.search(r'name="fix" value="(RB10:\d+)"', checked)[1]

    reply = editor.post("/runbooks/latency/edit/fix", data=form_in(checked, source=text, fix=fix))

    assert source_in(reply.text) == latency()


def test_a_fix_of_a_text_that_changed_since_is_not_guessed(editor, runbook):
    page = editor.get("/runbooks/latency/edit").text

    reply = editor.post("/runbooks/latency/edit/fix", data=form_in(page, fix="RB10:3"))

    assert reply.status_code == 409
    assert "has changed since" in words_of(reply.text)


def test_what_the_text_says_is_never_markup_in_the_editor(editor, runbook):
    page = editor.get("/runbooks/latency/edit").text
    evil = "</textarea><script>alert(1)</script>"

    shown = editor.post(
        "/runbooks/latency/edit/preview", data=form_in(page, source=latency(evil))
    ).text

    assert "<script>alert" not in shown
    assert evil in source_in(shown)


def test_the_draft_is_compared_with_what_is_published(editor, runbook):
    page = editor.get("/runbooks/latency/edit").text
    text = latency("Look at p95.", back="restart")

    reply = editor.post("/runbooks/latency/edit/compare", data=form_in(page, source=text))
    words = words_of(editor.get(reply.location).text)

    assert "Changes from v1 to the draft" in words
    assert "Command changed" in words
    assert "kubectl rollout restart" in words


# --- While somebody else publishes


def test_a_draft_learns_of_a_version_that_came_out_meanwhile(editor, runbook, ana, at):
    drafts.save("latency", latency("Look at p95."), "", 0, by=ana, at=at)
    published(latency(back="restart"), at=at)

    page = editor.get("/runbooks/latency/edit").text
    assert "v2 was published since this was begun from v1" in words_of(page)
    assert drafts.open_draft("latency").behind

    reply = editor.post("/runbooks/latency/edit/catch-up", data=form_in(page))
    assert reply.status_code == 303
    opened = drafts.open_draft("latency")
    assert opened.source == latency("Look at p95.", back="restart")
    assert (opened.base.number, opened.behind) == (2, False)


def test_the_text_stays_with_the_version_it_was_begun_from(editor, runbook, at):
    page = editor.get("/runbooks/latency/edit").text
    published(latency(back="restart"), at=at)

    editor.post("/runbooks/latency/edit", data=form_in(page, source=latency("p95")))

    opened = drafts.open_draft("latency")
    assert (opened.base.number, opened.behind) == (1, True)


# --- A new runbook


def test_a_runbook_is_begun_from_the_template_of_its_failure_mode(editor):
    factories.team("serving")
    data = {
        "failure_mode": "cache_stampede",
        "title": "Misses flood the origin",
        "slug": "",
        "owner": "serving",
        "models": "reco-*, ads",
    }

    reply = editor.post("/runbooks/new", data=data)

    assert reply.location == "/runbooks/misses-flood-the-origin/edit"
    opened = drafts.open_draft("misses-flood-the-origin")
    said = read(opened.source.encode()).facts
    assert (said.failure_mode, said.owner) == ("cache_stampede", "serving")
    assert said.models == ("reco-*", "ads")
    assert opened.published is None
    page = editor.get(reply.location).text
    assert "errors are fixed" in page


@pytest.mark.parametrize("slug", ["new", "reviews", "Up", "a_b"])
def test_a_name_that_can_be_no_address_is_refused(editor, slug):
    data = {"failure_mode": "input_drift", "title": "T", "slug": slug, "owner": "", "models": "*"}

    assert editor.post("/runbooks/new", data=data).status_code == 422


def test_a_name_is_given_once(app, runbook, ana, at):
    with pytest.raises(ConflictError, match="already"):
        drafts.begin(NewRunbook("latency", "T", "input_drift", ""), by=ana, at=at)


def test_the_page_for_a_new_one_offers_first_what_has_none(editor, runbook):
    page = editor.get("/runbooks/new?mode=index_corrupt").text

    assert "Latency above its limit (has one)" in page
    assert '<option selected value="index_corrupt">' in page


# --- Who, and what it costs


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/runbooks/new"),
        ("post", "/runbooks/new"),
        ("get", "/runbooks/latency/edit"),
        ("post", "/runbooks/latency/edit"),
        ("post", "/runbooks/latency/edit/preview"),
        ("post", "/runbooks/latency/edit/fix"),
        ("post", "/runbooks/latency/edit/discard"),
        ("post", "/runbooks/latency/edit/catch-up"),
        ("get", "/runbooks/latency/edit/compare"),
        ("post", "/runbooks/latency/edit/compare"),
        ("post", "/runbooks/latency/edit/review"),
        ("post", "/runbooks/latency/edit/publish"),
        ("post", "/runbooks/latency/v1/review"),
        ("post", "/runbooks/latency/v1/publish"),
        ("post", "/runbooks/latency/v1/drop"),
        ("post", "/runbooks/latency/v1/revert"),
        ("post", "/runbooks/latency/retire"),
        ("post", "/runbooks/latency/bring-back"),
    ],
)
def test_only_maintainers_write(signed_in, runbook, method, path):
    responder = signed_in(Role.RESPONDER)

    assert getattr(responder, method)(path).status_code == 403


def test_a_viewer_sees_no_button_to_edit(signed_in, runbook):
    assert "/runbooks/latency/edit" not in signed_in(Role.VIEWER).get("/runbooks/latency").text
    assert "/runbooks/latency/edit" in signed_in(Role.MAINTAINER).get("/runbooks/latency").text


@pytest.mark.parametrize("path", ["", "/discard", "/review", "/publish", "/preview"])
def test_another_site_can_t_write_for_somebody(app, editor, runbook, path):
    app.config["WTF_CSRF_ENABLED"] = True
    try:
        reply = editor.post(f"/runbooks/latency/edit{path}", data={"source": "x", "version": 0})
    finally:
        app.config["WTF_CSRF_ENABLED"] = False

    assert reply.status_code == 400
    assert db.session.query(Draft).count() == 0


@pytest.mark.parametrize("path", ["/runbooks/none/edit", "/runbooks/latency/edit?from=9"])
def test_what_is_not_there_can_t_be_edited(editor, runbook, path):
    assert editor.get(path).status_code == 404


def test_a_draft_of_no_runbook_is_not_found(app, ana, at):
    with pytest.raises(NotFoundError):
        drafts.save("none", "x", "", 0, by=ana, at=at)


def test_the_editor_costs_the_same_after_one_version_or_thirty(editor, runbook, queries, at):
    editor.get("/runbooks/latency/edit")
    one = queries(lambda: editor.get("/runbooks/latency/edit"))
    for number in range(29):
        published(latency(f"p{number}"), at=at)

    assert queries(lambda: editor.get("/runbooks/latency/edit")) <= one
    assert one <= 23
