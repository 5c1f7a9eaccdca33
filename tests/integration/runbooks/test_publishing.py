"""From a draft to a published version and on: every way there, and every refusal."""

import html
import re
from datetime import timedelta

import pytest

from app.core.db import db
from app.core.errors import ConflictError, RefusedError
from app.people.rules import Actor, Role
from app.people.tables import AuditEntry
from app.runbooks import drafts, publishing, queries, reviewing
from app.runbooks.drafts import EditedMeanwhileError
from app.runbooks.rules import Status, Verdict
from app.runbooks.tables import Draft, Review, Runbook, VersionEvent
from tests.support import factories
from tests.support.runbooks import actor, latency, published

TOKEN = Actor("token", 1, "a token")


@pytest.fixture
def people(app):
    return {name: factories.user(Role.MAINTAINER, name=name) for name in ("Ana Lima", "Ben Roth")}


@pytest.fixture
def ana(people):
    return actor(people["Ana Lima"])


@pytest.fixture
def ben(people):
    return actor(people["Ben Roth"])


@pytest.fixture
def runbook(app):
    return published()


@pytest.fixture
def write(at):
    """Save a text as the draft; the version of the draft."""

    def put(text, by, message=""):
        return drafts.save("latency", text, message, drafts.open_draft("latency").version,
                           by=by, at=at).version  # fmt: skip

    return put


@pytest.fixture
def in_review(write, ana, at):
    """Ana's change to a risky step, in review."""

    def hand_in(text=None, by=None):
        seen = write(text or latency(back="restart"), by or ana, "Restart it instead")
        return publishing.ask_for_review("latency", seen, by=by or ana, at=at)

    return hand_in


@pytest.fixture
def browser(app):
    """A browser in which that person is signed in."""

    def open_for(person):
        client = app.test_client()
        factories.sign_in(client, person)
        return client

    return open_for


def status_of(version):
    return queries.last_event(version.id).status


def statuses():
    return {
        line.number: line.status.value
        for line in queries.versions(db.session.query(Runbook).one().id)
    }


def actions():
    db.session.rollback()
    return [entry.action for entry in db.session.query(AuditEntry).order_by(AuditEntry.id)]


def words_of(page):
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", page).split()))


# --- Straight to publication


def test_an_author_publishes_a_harmless_change_alone(runbook, write, ana, at):
    seen = write(latency("Look at p95."), ana, "p95 says more")

    version = publishing.publish_draft("latency", seen, by=ana, at=at)

    assert statuses() == {1: "retired", 2: "published"}
    assert queries.published("latency").number == 2
    assert (version.author, version.message) == ("Ana Lima", "p95 says more")
    assert version.origin == {"kind": "browser", "writers": [ana.id]}
    assert version.parent_id == runbook.id
    assert db.session.query(Draft).count() == 0
    assert actions()[-1] == "runbook.publish"


def test_an_author_can_t_publish_a_change_of_a_risky_step_alone(runbook, write, ana, at):
    seen = write(latency(back="restart"), ana)

    with pytest.raises(RefusedError, match="second person"):
        publishing.publish_draft("latency", seen, by=ana, at=at)

    assert statuses() == {1: "published"}
    assert db.session.query(Draft).count() == 1


@pytest.mark.parametrize(
    ("before", "after"), [("sev2", "sev2"), ("sev2", "sev4"), ("sev4", "sev1")]
)
def test_an_author_can_t_publish_a_change_of_a_severe_runbook_alone(
    app, write, ana, at, before, after
):
    published(latency(severity=before))
    seen = write(latency("Look at p95.", severity=after), ana)

    with pytest.raises(RefusedError, match=r"SEV-[12]"):
        publishing.publish_draft("latency", seen, by=ana, at=at)


def test_another_maintainer_publishes_what_the_author_could_not(runbook, write, ana, ben, at):
    seen = write(latency(back="restart"), ana)

    version = publishing.publish_draft("latency", seen, by=ben, at=at)

    assert (version.author, version.author_id) == ("Ana Lima", ana.id)
    assert status_of(version) is Status.PUBLISHED


def test_errors_block_publishing_from_the_editor_and_warnings_do_not(runbook, write, ana, at):
    seen = write(latency("TODO"), ana)
    with pytest.raises(RefusedError, match="error is fixed"):
        publishing.publish_draft("latency", seen, by=ana, at=at)

    seen = write(latency("Look at http://grafana.example.com."), ana)
    publishing.publish_draft("latency", seen, by=ana, at=at)

    assert statuses()[2] == "published"


def test_an_emergency_does_not_excuse_errors(runbook, write, ana, at):
    seen = write(latency("TODO", back="restart"), ana)

    with pytest.raises(RefusedError, match="error is fixed"):
        publishing.publish_draft("latency", seen, emergency_reason="now", by=ana, at=at)


def test_a_draft_that_says_nothing_new_is_not_published(runbook, write, ana, at):
    seen = write(latency() + "\n\n", ana)

    with pytest.raises(RefusedError, match="v1 says already"):
        publishing.publish_draft("latency", seen, by=ana, at=at)


def test_what_somebody_saved_since_is_not_published_unseen(runbook, write, ana, ben, at):
    seen = write(latency("p95"), ana)
    write(latency("p90"), ben)

    for hand_in in (publishing.publish_draft, publishing.ask_for_review):
        with pytest.raises(EditedMeanwhileError, match="Ben Roth saved"):
            hand_in("latency", seen, by=ana, at=at)


@pytest.mark.parametrize("hand_in", [publishing.publish_draft, publishing.ask_for_review])
def test_a_draft_behind_what_is_published_has_to_catch_up_first(
    runbook, write, ana, ben, at, hand_in
):
    seen = write(latency("p95"), ana)
    published(latency("p90"), at=at)

    with pytest.raises(RefusedError, match="v2 was published since"):
        hand_in("latency", seen, by=ben, at=at)


# --- Review


def test_a_review_is_asked_for_and_approved_and_the_author_publishes(
    in_review, runbook, ana, ben, at
):
    version = in_review()
    assert statuses() == {1: "published", 2: "in_review"}

    publishing.review(version.id, Verdict.APPROVED, "Fine.", by=ben, at=at)
    publishing.publish(version.id, by=ana, at=at)

    assert statuses() == {1: "retired", 2: "published"}
    assert [one for one in actions() if one != "runbook.edit"][-3:] == [
        "runbook.ask_for_review",
        "runbook.approve",
        "runbook.publish",
    ]


def test_without_an_approval_the_author_can_t_publish(runbook, in_review, ana, at):
    version = in_review()

    with pytest.raises(RefusedError, match="second person"):
        publishing.publish(version.id, by=ana, at=at)


def test_nobody_approves_their_own_version(runbook, in_review, ana, at):
    version = in_review()

    with pytest.raises(RefusedError, match="You wrote this"):
        publishing.review(version.id, Verdict.APPROVED, "", by=ana, at=at)

    assert db.session.query(Review).count() == 0


def test_nobody_who_wrote_a_part_of_it_approves_it_or_publishes_it_alone(
    runbook, write, ana, ben, at
):
    write(latency(back="restart"), ana)
    seen = write(latency("Look at p95.", back="restart"), ben)
    with pytest.raises(RefusedError, match="second person"):
        publishing.publish_draft("latency", seen, by=ana, at=at)

    version = publishing.ask_for_review("latency", seen, by=ben, at=at)

    for writer in (ana, ben):
        with pytest.raises(RefusedError, match="You wrote this"):
            publishing.review(version.id, Verdict.APPROVED, "", by=writer, at=at)
    with pytest.raises(RefusedError, match="second person"):
        publishing.publish(version.id, by=ana, at=at)


def test_a_token_may_ask_for_changes_but_not_approve(runbook, in_review, at):
    version = in_review()

    with pytest.raises(RefusedError, match="takes a person"):
        publishing.review(version.id, Verdict.APPROVED, "", by=TOKEN, at=at)
    publishing.review(version.id, Verdict.CHANGES, "Its link is dead.", by=TOKEN, at=at)

    assert status_of(version) is Status.DRAFT


def test_asking_for_changes_gives_it_back_and_editing_goes_on_from_there(
    runbook, in_review, ana, ben, at
):
    version = in_review()

    publishing.review(version.id, Verdict.CHANGES, "Say how long it takes.", by=ben, at=at)

    assert statuses() == {1: "published", 2: "draft"}
    opened = drafts.open_draft("latency")
    assert opened.base.number == 2
    assert opened.source == latency(back="restart")
    assert opened.message == "Restart it instead"


def test_asking_for_changes_takes_a_comment(runbook, in_review, ben, at):
    with pytest.raises(RefusedError, match="Say what"):
        publishing.review(in_review().id, Verdict.CHANGES, " ", by=ben, at=at)


def test_an_approval_that_was_taken_back_does_not_count(runbook, in_review, ana, ben, at):
    version = in_review()
    publishing.review(version.id, Verdict.APPROVED, "", by=ben, at=at)
    publishing.review(version.id, Verdict.CHANGES, "No: wait.", by=ben, at=at)

    with pytest.raises(RefusedError, match="second person"):
        publishing.publish(version.id, by=ana, at=at)


def test_handing_in_again_takes_the_place_of_what_waited(runbook, in_review, write, ana, ben, at):
    first = in_review()
    publishing.review(first.id, Verdict.CHANGES, "Shorter.", by=ben, at=at)
    in_review(latency("Short.", back="restart"))

    assert statuses() == {1: "published", 2: "retired", 3: "in_review"}
    assert queries.last_event(first.id).reason == "v3 took its place."
    with pytest.raises(ConflictError):
        publishing.review(first.id, Verdict.APPROVED, "", by=ben, at=at)


def test_a_version_that_was_overtaken_can_t_be_published(runbook, in_review, ben, at):
    version = in_review()
    published(latency("Another."), at=at)

    with pytest.raises(RefusedError, match="v3 was published after v2 was written"):
        publishing.publish(version.id, by=ben, at=at)


def test_a_retired_version_can_neither_be_published_nor_reviewed(runbook, in_review, ben, at):
    version = in_review()
    publishing.drop(version.id, "Not needed", by=ben, at=at)

    with pytest.raises(ConflictError, match="retired"):
        publishing.publish(version.id, by=ben, at=at)
    with pytest.raises(ConflictError, match="retired"):
        publishing.review(version.id, Verdict.APPROVED, "", by=ben, at=at)


def test_only_what_waits_can_be_given_up(runbook, ben, at):
    with pytest.raises(RefusedError, match="Retire the runbook"):
        publishing.drop(runbook.id, "", by=ben, at=at)


def test_published_once_is_not_published_again(runbook, ben, at):
    with pytest.raises(RefusedError, match="already published"):
        publishing.publish(runbook.id, by=ben, at=at)


# --- Emergencies


def test_an_emergency_is_published_at_once_flagged_and_stays_a_task(runbook, write, ana, ben, at):
    seen = write(latency(back="restart"), ana)

    version = publishing.publish_draft(
        "latency", seen, emergency_reason="INC-214 needs it", by=ana, at=at
    )

    event = queries.last_event(version.id)
    assert (event.status, event.emergency, event.reason) == (
        Status.PUBLISHED, True, "INC-214 needs it",
    )  # fmt: skip
    (task,) = reviewing.open_reviews().emergencies
    assert (task.number, task.said) == (2, "INC-214 needs it")
    with pytest.raises(RefusedError, match="You wrote this"):
        publishing.review(version.id, Verdict.APPROVED, "", by=ana, at=at)

    publishing.review(version.id, Verdict.APPROVED, "", by=ben, at=at)
    assert reviewing.open_reviews().emergencies == []
    assert statuses()[2] == "published"


def test_an_emergency_stays_a_task_when_a_newer_version_comes_out(runbook, write, ana, at):
    seen = write(latency(back="restart"), ana)
    publishing.publish_draft("latency", seen, emergency_reason="now", by=ana, at=at)
    seen = write(latency("p95", back="restart"), ana)
    publishing.publish_draft("latency", seen, by=ana, at=at)

    assert [task.number for task in reviewing.open_reviews().emergencies] == [2]


def test_a_reason_does_not_flag_what_needed_nobody_else(runbook, write, ana, at):
    seen = write(latency("p95"), ana)

    version = publishing.publish_draft("latency", seen, emergency_reason="now", by=ana, at=at)

    assert not queries.last_event(version.id).emergency


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_an_emergency_takes_a_reason(runbook, in_review, ana, at, reason):
    with pytest.raises(RefusedError):
        publishing.publish(in_review().id, emergency_reason=reason, by=ana, at=at)


# --- Back


def test_an_older_text_becomes_the_newest_version(runbook, write, ana, at):
    publishing.publish_draft("latency", write(latency("p95"), ana), by=ana, at=at)

    version = publishing.revert_to(runbook.id, by=ana, at=at)

    assert statuses() == {1: "retired", 2: "retired", 3: "published"}
    assert (version.source, version.message) == (runbook.source, "Back to v1")
    assert version.origin == {"kind": "browser", "reverts_to": 1}


def test_going_back_over_a_risky_step_waits_for_a_second_person(runbook, in_review, ana, ben, at):
    version = in_review()
    publishing.publish(version.id, by=ben, at=at)

    back = publishing.revert_to(runbook.id, by=ana, at=at)
    assert status_of(back) is Status.IN_REVIEW
    assert queries.published("latency").number == 2

    publishing.publish(back.id, by=ben, at=at)
    assert queries.published("latency").number == 3


def test_going_back_in_an_emergency_is_at_once(runbook, in_review, ana, ben, at):
    publishing.publish(in_review().id, by=ben, at=at)

    publishing.revert_to(runbook.id, emergency_reason="It breaks more", by=ana, at=at)

    assert queries.published("latency").number == 3
    assert [task.number for task in reviewing.open_reviews().emergencies] == [3]


def test_errors_do_not_block_the_way_back(app, write, ana, at):
    older = published(latency("TODO"))
    publishing.publish_draft("latency", write(latency("p95"), ana), by=ana, at=at)

    publishing.revert_to(older.id, by=ana, at=at)

    assert queries.published("latency").number == 3


def test_only_what_was_published_once_can_be_gone_back_to(runbook, in_review, ben, at):
    version = in_review()

    with pytest.raises(RefusedError, match="never published"):
        publishing.revert_to(version.id, by=ben, at=at)


def test_what_is_published_can_t_be_gone_back_to(runbook, ben, at):
    with pytest.raises(RefusedError, match="says already"):
        publishing.revert_to(runbook.id, by=ben, at=at)


# --- Retiring


def test_a_runbook_is_retired_and_brought_back(app, ana, at):
    published(at=at - timedelta(days=1))

    publishing.retire("latency", "Merged into slow-model", by=ana, at=at)
    assert statuses() == {1: "retired"}
    assert queries.signals_index() == []
    assert queries.slug_for_alert("RecsysHomeP99High") is None

    publishing.bring_back("latency", by=ana, at=at)
    assert statuses() == {1: "published"}
    assert queries.slug_for_alert("RecsysHomeP99High") == "latency"
    assert {"runbook.retire_runbook", "runbook.bring_back"} <= set(actions())


def test_a_runbook_is_retired_and_brought_back_once(runbook, ana, at):
    with pytest.raises(ConflictError):
        publishing.bring_back("latency", by=ana, at=at)
    publishing.retire("latency", "Old", by=ana, at=at)
    with pytest.raises(ConflictError):
        publishing.retire("latency", "Old", by=ana, at=at)


def test_retiring_takes_a_reason(runbook, ana, at):
    with pytest.raises(RefusedError, match="Say why"):
        publishing.retire("latency", " ", by=ana, at=at)


# --- The pages


def test_a_change_goes_through_review_in_the_browser(runbook, people, browser):
    ana, ben = browser(people["Ana Lima"]), browser(people["Ben Roth"])
    text = {"source": latency(back="restart"), "message": "Restart it", "version": 0, "base": 1}

    refused = ana.post("/runbooks/latency/edit/publish", data=text)
    assert refused.status_code == 422
    assert "A second person has to approve this" in words_of(refused.text)
    assert "kubectl rollout restart" in refused.text
    version = re.search(r'name="version" type="hidden" value="(\d+)"', refused.text)[1]

    asked = ana.post("/runbooks/latency/edit/review", data=text | {"version": version})
    assert asked.location == "/runbooks/latency/v2/review"
    own = words_of(ana.get(asked.location).text)
    assert "You wrote this version" in own
    assert "Approve and publish" not in own

    assert "Waiting for a review 1 Latency is high, v2" in words_of(
        ben.get("/runbooks/reviews").text
    )
    review = words_of(ben.get(asked.location).text)
    assert "Command changed" in review
    assert "Approve and publish" in review
    assert "“Restart it”" in review

    done = ben.post(asked.location, data={"verdict": "publish", "comment": "Good."})
    assert done.location.startswith("/runbooks/latency")
    read = words_of(ben.get("/runbooks/latency").text)
    assert "v2, published" in read
    assert "kubectl rollout restart" in read
    assert "Nothing waits for a review" in words_of(ben.get("/runbooks/reviews").text)


def test_changes_that_a_reviewer_wants_are_shown_to_the_author(runbook, in_review, people, browser):
    in_review()
    ben = browser(people["Ben Roth"])

    silent = ben.post("/runbooks/latency/v2/review", data={"verdict": "changes", "comment": ""})
    assert silent.status_code == 422
    assert "Say what should change" in silent.text
    ben.post(
        "/runbooks/latency/v2/review", data={"verdict": "changes", "comment": "How long is that?"}
    )

    ana = browser(people["Ana Lima"])
    assert "Ben Roth asked for changes to v2: How long is that?" in words_of(
        ana.get("/runbooks/latency/edit").text
    )
    assert "Ben Roth: How long is that?" in words_of(ana.get("/runbooks/reviews").text)


def test_an_emergency_is_shown_until_somebody_reviewed_it(runbook, people, browser):
    ana, ben = browser(people["Ana Lima"]), browser(people["Ben Roth"])
    text = {"source": latency(back="restart"), "message": "", "version": 0, "base": 1}

    ana.post("/runbooks/latency/edit/publish", data=text | {"reason": "INC-7 can't wait"})

    for page in ("/runbooks/latency", "/runbooks/reviews", "/runbooks/latency/v2/review"):
        assert "INC-7 can't wait" in words_of(ben.get(page).text), page
    ben.post("/runbooks/latency/v2/review", data={"verdict": "approved", "comment": ""})
    assert "emergency" not in words_of(ben.get("/runbooks/latency").text)
    assert "Nothing waits" in words_of(ben.get("/runbooks/reviews").text)


def test_buttons_on_the_page_of_a_runbook_retire_and_bring_it_back(runbook, people, browser):
    ana = browser(people["Ana Lima"])

    ana.post("/runbooks/latency/retire", data={"reason": "Use slow-model instead."})
    page = words_of(ana.get("/runbooks/latency").text)
    assert "This runbook was retired" in page
    assert "Use slow-model instead." in page
    ana.post("/runbooks/latency/bring-back")

    assert "v1, published" in words_of(ana.get("/runbooks/latency").text)


def test_buttons_revert_and_give_up(runbook, in_review, people, browser):
    in_review()
    ana = browser(people["Ana Lima"])
    ana.post("/runbooks/latency/v2/drop", data={"reason": "No"})
    assert statuses()[2] == "retired"

    assert "Revert to v2" not in ana.get("/runbooks/latency/v2").text
    reply = ana.post("/runbooks/latency/v1/revert")
    assert reply.status_code == 422


def test_a_viewer_reads_reviews_and_has_no_buttons(runbook, in_review, signed_in):
    in_review()
    viewer = signed_in(Role.VIEWER)

    page = viewer.get("/runbooks/latency/v2/review")

    assert page.status_code == 200
    assert 'name="verdict"' not in page.text
    assert viewer.get("/runbooks/reviews").status_code == 200


def test_the_list_of_reviews_costs_the_same_for_one_or_thirty(
    app, people, browser, ana, at, queries
):
    ben = browser(people["Ben Roth"])

    def begin(number):
        slug = f"r{number}"
        published(latency(), slug=slug)
        drafts.save(slug, latency(back=f"to-{number}"), "", 0, by=ana, at=at)
        drafts_version = drafts.open_draft(slug).version
        if number % 2:
            publishing.ask_for_review(slug, drafts_version, by=ana, at=at)

    for number in range(2):
        begin(number)
    ben.get("/runbooks/reviews")
    one = queries(lambda: ben.get("/runbooks/reviews"))
    for number in range(2, 20):
        begin(number)

    assert queries(lambda: ben.get("/runbooks/reviews")) == one


def test_rows_that_say_what_happened_are_only_added(runbook, in_review, ben, at):
    version = in_review()
    before = db.session.query(VersionEvent).count()
    publishing.review(version.id, Verdict.APPROVED, "", by=ben, at=at)
    publishing.publish(version.id, by=ben, at=at)

    assert db.session.query(VersionEvent).count() == before + 2
