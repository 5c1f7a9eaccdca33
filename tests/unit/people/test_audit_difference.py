from datetime import UTC, datetime

from app.people.audit import difference
from app.people.rules import FieldChange, Role, field_changes


def test_only_what_changed_is_kept():
    assert difference({"name": "Ada", "role": "viewer"}, {"name": "Ada", "role": "responder"}) == (
        {"role": "viewer"},
        {"role": "responder"},
    )


def test_what_is_new_or_gone_is_kept_whole():
    assert difference(None, {"name": "Ada"}) == (None, {"name": "Ada"})
    assert difference({"name": "Ada"}, None) == ({"name": "Ada"}, None)


def test_that_a_secret_changed_is_kept_but_not_the_secret():
    before, after = difference(
        {"routing_key": None, "password_hash": "old", "secret": "same"},
        {"routing_key": "R0KEY", "password_hash": "new", "secret": "same"},
    )

    assert before == {"routing_key": None, "password_hash": "not shown"}
    assert after == {"routing_key": "not shown", "password_hash": "not shown"}


def test_a_secret_inside_a_value_is_hidden_too():
    _, after = difference(None, {"pager": {"region": "eu", "api_key": "K"}})

    assert after == {"pager": {"region": "eu", "api_key": "not shown"}}


def test_values_become_fit_for_json():
    at = datetime(2026, 3, 12, tzinfo=UTC)

    _, after = difference(
        None, {"role": Role.VIEWER, "at": at, "tags": {"b", "a"}, "pair": (1, at)}
    )

    assert after == {
        "role": "viewer",
        "at": "2026-03-12T00:00:00+00:00",
        "tags": ["a", "b"],
        "pair": [1, "2026-03-12T00:00:00+00:00"],
    }
    assert type(after["role"]) is str


def test_a_change_is_read_field_by_field():
    before = {"chat_url": None, "active": True, "tags": ["a", "b"], "pager": {"region": "us"}}
    after = {"chat_url": "https://chat", "active": False, "tags": [], "pager": {"region": "eu"}}

    assert field_changes(before, after) == [
        FieldChange("chat url", None, "https://chat"),
        FieldChange("active", "yes", "no"),
        FieldChange("tags", "a, b", None),
        FieldChange("pager", "region: us", "region: eu"),
    ]


def test_fields_that_were_nothing_from_the_start_are_not_read_out():
    assert field_changes(None, {"chat_url": None, "tags": [], "tier": 0}) == [
        FieldChange("tier", None, "0")
    ]


def test_moments_are_read_to_the_minute():
    [change] = field_changes(None, {"expires_at": "2026-04-11T02:14:37.882055+00:00"})

    assert change.after == "2026-04-11 02:14 UTC"
