"""Finding runbooks by title, failure mode, signals and text."""

import pytest
from sqlalchemy import event, insert, text

from app.core.db import db, unit_of_work
from app.people.rules import Role
from app.runbooks import search
from app.runbooks.tables import Runbook, RunbookVersion
from tests.support import factories
from tests.support.factories import NOON

MANY = 1_000


def slugs(typed, limit=20):
    return [hit.slug for hit in search.find(typed, limit)]


@pytest.fixture
def books(app):
    """One runbook for each place in which a word may stand."""
    factories.runbook("one", failure_mode="x", source=b"# One\n\nLook at the quokka.\n")
    factories.runbook("two", failure_mode="quokka_lost")
    factories.runbook("three", failure_mode="x", alertname="QuokkaGone")
    factories.runbook("quokka-in-the-title", failure_mode="x")


def test_the_title_counts_most_then_signals_the_mode_and_the_text(books):
    assert slugs("quokka") == ["quokka-in-the-title", "three", "two", "one"]


def test_every_word_must_be_there(books):
    assert slugs("quokka look") == ["one"]
    assert slugs("quokka zebra") == []


def test_the_last_word_may_be_unfinished_and_no_other(books):
    assert "one" in slugs("look quok")
    assert slugs("quok look") == []


def test_words_in_another_form_are_found(app):
    factories.runbook("drift", failure_mode="x", source="Inputs are drifting; a café.".encode())

    for typed in ("drift", "drifts", "drifting", "DRIFT", "drifti", "input drift", "cafe", "CAFÉ"):
        assert slugs(typed) == ["drift"], typed


@pytest.mark.parametrize("typed", ["recsys", "p99high", "RecsysHomeP99High", "homep99", "high"])
def test_the_name_of_an_alert_is_found_by_any_word_of_it_on(app, typed):
    factories.runbook("latency", failure_mode="x", alertname="RecsysHomeP99High")

    assert slugs(typed) == ["latency"]


def test_words_that_english_drops_are_found(app):
    factories.runbook("down", failure_mode="x", source=b"The store is down.")

    assert slugs("down") == ["down"]
    assert slugs("is it down") == []
    assert slugs("is down") == ["down"]


@pytest.mark.parametrize(
    "typed",
    [
        "", " ", '"', "'", '"quokka', "quokka*", "*", "NEAR(a b)", "title:quokka", "a AND", "NOT",
        "OR OR", "- -", "(", "{quokka}", "^quokka", "quokka:*", "a & b", "a | !b", "<->", "\\", "%",
        "_", "é" * 500, "🦊", "'; DROP TABLE runbooks; --", "x " * 400, "\u200b", "´", "1e400",
        "quokka\\:*", "0x1f", "-1", "a" * 3000,
    ],
)  # fmt: skip
def test_anything_may_be_typed(books, typed):
    search.find(typed, 5)
    search.count(typed)


def test_signs_mean_nothing(books):
    assert slugs('"quokka" (look)*') == ["one"]


def test_the_snippet_marks_the_words_and_nothing_else_is_markup(app):
    factories.runbook(
        "hostile",
        failure_mode="x",
        source=b"---\ntitle: x\n---\n# Title\n\nBefore <script>alert(1)</script> the quokka & "
        b"<mark>co</mark>.\n",
    )

    snippet = search.find("quokka", 1)[0].snippet

    assert "<mark>quokka</mark> &amp; &lt;mark&gt;co" in snippet
    assert "<script>" not in snippet


def test_the_snippet_is_the_part_around_the_words(app):
    source = ("Plain words. " * 500 + "Here is the quokka. " + "More words. " * 500).encode()
    factories.runbook("long", failure_mode="x", source=source)

    snippet = search.find("quokka", 1)[0].snippet

    assert "Here is the <mark>quokka</mark>" in snippet
    assert len(snippet) < 250


def test_a_text_of_the_greatest_size_can_be_indexed(app):
    words = " ".join(f"w{number:x}é" for number in range(40_000))
    factories.runbook("huge", failure_mode="x", source=words[:250_000].encode())

    assert slugs("w1fé") == ["huge"]


def test_only_the_text_in_force_is_found(app):
    version = factories.runbook("one", failure_mode="x", source=b"quokka")
    with unit_of_work() as session:
        session.add(
            RunbookVersion(
                runbook_id=version.runbook_id, number=2, sha256="x", source=b"zebra",
                front_matter={}, title="one", author="Test", origin={"kind": "browser"},
                created_at=NOON,
            )
        )  # fmt: skip
        search.index(session, version.runbook_id)

    assert (slugs("quokka"), slugs("zebra")) == (["one"], [])


def test_what_is_published_is_found_from_then_on_and_not_what_was_before(app):
    version = factories.runbook("one", failure_mode="x", source=b"quokka")
    with unit_of_work() as session:
        new = RunbookVersion(
            runbook_id=version.runbook_id, number=2, sha256="x", source=b"zebra",
            front_matter={}, title="one", author="Test", origin={"kind": "browser"},
            created_at=NOON,
        )  # fmt: skip
        session.add(new)
        session.flush()
        session.get_one(Runbook, version.runbook_id).published_id = new.id
        search.index(session, version.runbook_id)

    assert (slugs("quokka"), slugs("zebra")) == ([], ["one"])


def test_an_index_that_is_behind_is_built_again(books):
    with unit_of_work() as session:
        session.execute(text("DELETE FROM runbook_search"))
    assert slugs("quokka") == []

    assert search.catch_up() == 4
    assert len(slugs("quokka")) == 4
    assert search.catch_up() == 0


def test_the_list_shows_where_the_words_stand_and_the_best_first(books, signed_in):
    page = signed_in(Role.VIEWER).get("/runbooks?search=quokka").text

    assert page.index("/runbooks/quokka-in-the-title") < page.index('href="/runbooks/one"')
    assert "Look at the <mark>quokka</mark>" in page
    assert "4 runbooks" in page


def test_a_search_goes_on_on_the_next_page(app, signed_in):
    for number in range(60):
        factories.runbook(f"quokka-{number:02}", failure_mode="x")
    browser = signed_in(Role.VIEWER)

    first = browser.get("/runbooks?search=quokka").text
    link = first.split('rel="next"')[0].rpartition('href="')[2].split('"')[0]
    second = browser.get(link.replace("&amp;", "&")).text

    assert "60 runbooks" in first
    assert second.count('<th scope="row"') == 20
    assert browser.get("/runbooks?search=quokka&cursor=WyJ4Il0").status_code == 400


@pytest.fixture
def many(app):
    """Runbooks that share most of their words."""
    with unit_of_work() as session:
        body = "kubectl rollout undo the model and look at latency " * 20
        ids = range(1, MANY + 1)
        session.execute(
            insert(Runbook),
            [
                {"id": n, "slug": f"book-{n}", "title": f"Runbook {n}", "created_at": NOON,
                 "version": 1}
                for n in ids
            ],
        )  # fmt: skip
        session.execute(
            insert(RunbookVersion),
            [
                {"id": n, "runbook_id": n, "number": 1, "sha256": "x", "front_matter": {},
                 "source": f"# Runbook {n}\n\n{body} special{n}\n".encode(), "title": f"Runbook {n}",
                 "author": "Test", "origin": {"kind": "folder"}, "created_at": NOON}
                for n in ids
            ],
        )  # fmt: skip
        session.execute(text("UPDATE runbooks SET published_id = id"))
    search.reindex_all()


def test_a_word_is_looked_up_in_the_index_among_many_runbooks(many):
    plans = []

    def explain(connection, cursor, statement, parameters, *_rest):
        if "runbook_search" in statement and not statement.startswith("EXPLAIN"):
            prefix = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
            asked = connection.connection.cursor()
            asked.execute(f"{prefix} {statement}", parameters)
            plans.append("\n".join(str(row) for row in asked.fetchall()))

    event.listen(db.engine, "before_cursor_execute", explain)
    try:
        assert slugs("special432", 8) == ["book-432"]
    finally:
        event.remove(db.engine, "before_cursor_execute", explain)

    assert plans
    used = "VIRTUAL TABLE INDEX" if search.is_sqlite() else "ix_runbook_search_words"
    assert used in plans[0]


def test_a_search_costs_the_same_queries_for_one_or_many(books, queries):
    one = queries(lambda: search.find("quokka look", 8))

    assert queries(lambda: search.find("quokka", 8)) == one
    assert one <= 6
