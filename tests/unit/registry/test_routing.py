"""Which model an alert belongs to."""

import re

from hypothesis import given
from hypothesis import strategies as st

from app.registry.rules import Match, Routing, RoutingRow, matcher_text


def row(model_id, slug, *matchers):
    return RoutingRow(model_id, slug, team_id=model_id * 10, tier=2, matchers=matchers)


def slug_found(rows, labels):
    match = Routing(rows).find(labels)
    return match.slug if match else None


def test_a_model_without_matchers_is_found_by_its_slug_in_model_or_model_name():
    rows = [row(1, "recsys-home")]
    assert slug_found(rows, {"model": "recsys-home"}) == "recsys-home"
    assert slug_found(rows, {"model_name": "recsys-home", "pod": "a"}) == "recsys-home"
    assert slug_found(rows, {"service": "recsys-home"}) is None


def test_a_model_with_matchers_is_found_by_those_only():
    rows = [row(1, "recsys-home", {"service": "ranking"})]
    assert slug_found(rows, {"model": "recsys-home"}) is None
    assert slug_found(rows, {"service": "ranking"}) == "recsys-home"


def test_all_labels_of_a_matcher_must_fit_and_any_matcher_will_do():
    rows = [row(1, "m", {"a": "1", "b": "2"}, {"c": "3"})]
    assert slug_found(rows, {"a": "1"}) is None
    assert slug_found(rows, {"a": "1", "b": "2"}) == "m"
    assert slug_found(rows, {"c": "3"}) == "m"


def test_the_matcher_with_most_labels_wins_even_with_a_star():
    rows = [row(1, "wide", {"a": "1"}), row(2, "narrow", {"a": "1", "b": "x*"})]
    assert slug_found(rows, {"a": "1", "b": "xy"}) == "narrow"


def test_of_equally_many_labels_the_one_with_fewer_stars_wins():
    rows = [row(1, "family", {"a": "re*"}), row(2, "member", {"a": "recsys"})]
    assert slug_found(rows, {"a": "recsys"}) == "member"
    assert slug_found(rows, {"a": "rest"}) == "family"


def test_a_tie_goes_to_the_model_that_was_added_first():
    rows = [row(7, "later", {"a": "1"}), row(3, "first", {"b": "1"})]
    assert slug_found(rows, {"a": "1", "b": "1"}) == "first"


def test_a_star_needs_the_label_to_be_there():
    assert slug_found([row(1, "m", {"a": "*"})], {"b": "1"}) is None


def test_the_match_says_why():
    rows = [row(1, "m"), row(2, "n", {"ns": "prod-*", "app": "n"})]
    assert Routing(rows).find({"model_name": "m"}) == Match(
        1, "m", team_id=10, tier=2, why="label model_name is m"
    )
    found = Routing(rows).find({"ns": "prod-eu", "app": "n", "pod": "7"})
    assert found is not None
    assert found.why == "label app is n and ns is prod-eu, which fits prod-*"


def test_alerts_that_differ_in_other_labels_get_the_same_answer():
    routing = Routing([row(1, "m")])
    found = {routing.find({"model": "m", "pod": f"pod-{n}"}) for n in range(50)}
    assert len(found) == 1


def test_no_models_claim_nothing():
    assert Routing([]).find({"model": "m"}) is None


# Few names and values, so that claims collide.
label = st.sampled_from(["model", "model_name", "ns", "app"])
value = st.text(st.sampled_from("ab"), max_size=3)
glob = st.text(st.sampled_from("ab*"), min_size=1, max_size=4)
rows = st.lists(
    st.lists(st.dictionaries(label, glob, min_size=1, max_size=3), max_size=3),
    max_size=8,
).map(
    lambda models: [
        RoutingRow(number, "ab"[number % 2] * (number % 3 + 1), 1, 1, tuple(found))
        for number, found in enumerate(models, start=1)
    ]
)


def brute_force(rows, labels):
    """The specification, word by word, with regular expressions and no index."""
    fitting = []
    for row in rows:
        for matcher in row.matchers or ({"model": row.slug}, {"model_name": row.slug}):
            if all(
                name in labels
                and re.fullmatch(
                    ".*".join(map(re.escape, wanted.split("*"))), labels[name], re.DOTALL
                )
                for name, wanted in matcher.items()
            ):
                globs = sum("*" in wanted for wanted in matcher.values())
                fitting.append((-len(matcher), globs, row.model_id))
    return min(fitting)[2] if fitting else None


@given(rows, st.dictionaries(label, value, max_size=4))
def test_the_index_finds_what_trying_every_matcher_finds(rows, labels):
    match = Routing(rows).find(labels)
    assert (match.model_id if match else None) == brute_force(rows, labels)


@given(rows, st.dictionaries(label, value, max_size=4))
def test_the_answer_does_not_depend_on_the_order_of_rows_or_labels(rows, labels):
    turned = dict(reversed(labels.items()))
    assert Routing(rows).find(labels) == Routing(rows[::-1]).find(turned)


@given(rows)
def test_a_model_is_found_by_labels_copied_from_its_own_matcher(rows):
    for each in rows:
        for matcher in each.matchers:
            labels = {name: wanted.replace("*", "") for name, wanted in matcher.items()}
            assert Routing(rows).find(labels) is not None, matcher_text(matcher)
