"""Slugs, tags and keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.registry.rules import (
    chat_url_refusal,
    parse_tags,
    routing_key_refusal,
    service_id_refusal,
    slug_from,
    slug_refusal,
    tags_refusal,
)


@pytest.mark.parametrize("slug", ["a", "recsys-home", "v2", "2fast", "a--b", "x" * 80])
def test_a_slug_of_lower_case_letters_digits_and_dashes_is_taken(slug):
    assert slug_refusal(slug) is None


@pytest.mark.parametrize(
    ("slug", "says"),
    [
        ("", "needed"),
        ("x" * 81, "at most 80 characters; this one has 81"),
        ("Recsys Home", "“recsys-home” would do"),
        ("recsys_home", "“recsys-home” would do"),
        ("-home", "“home” would do"),
        ("home-", "“home” would do"),
        ("größe", "lower case letters, digits and dashes"),
        ("home\n", "“home” would do"),
        ("new", "address of a page"),
        ("import", "address of a page"),
    ],
)
def test_another_slug_is_refused_in_a_sentence(slug, says):
    assert says in (slug_refusal(slug) or "")


@given(st.text())
def test_a_slug_made_from_words_can_be_used(words):
    slug = slug_from(words)
    assert slug in {"", "new", "import", "try"} or slug_refusal(slug) is None


def test_tags_are_lower_case_sorted_and_each_there_once():
    assert parse_tags(" Ranking, home  feed,ranking,, ") == ("feed", "home", "ranking")


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        (["fine", "a:b", "team/x"], None),
        (['a"b'], "can't be a tag"),
        (["größe"], "can't be a tag"),
        (["x" * 41], "at most 40 characters"),
        ([f"t{n}" for n in range(21)], "at most 20 tags"),
    ],
)
def test_tags_that_could_not_be_searched_for_are_refused(tags, says):
    why = tags_refusal(tags)
    assert why is None if says is None else says in (why or "")


@pytest.mark.parametrize(
    "key", ["", "a" * 31, "a" * 33, "a" * 31 + "-", "a" * 31 + "é", "a" * 32 + "\n"]
)
def test_a_routing_key_has_32_letters_and_digits_and_is_not_repeated_in_the_refusal(
    key,
):
    why = routing_key_refusal(key)
    assert why is not None
    assert not key or key not in why


def test_a_proper_routing_key_is_taken():
    assert routing_key_refusal("R0123456789abcdefghijklmnopQRSTU") is None


def test_a_service_id_may_be_empty_or_capital_letters_and_digits():
    assert service_id_refusal("") is None
    assert service_id_refusal("PABC123") is None
    assert "capital letters" in (service_id_refusal("pabc 123") or "")


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("", True),
        ("https://chat.example.com/c/ml", True),
        ("http://chat.example.com", False),
        ("javascript:alert(1)", False),
        ("https://", False),
        ("https://a b", False),
        ("https:///path", False),
    ],
)
def test_a_chat_link_is_https(url, taken):
    assert (chat_url_refusal(url) is None) is taken
