"""How texts, times, keys and links of strangers are read, whatever the source."""

from datetime import UTC, datetime

import pytest

from app.alerts.sources import sender_id_of
from app.alerts.sources.base import (
    Alert,
    AlertStatus,
    ElementError,
    UnparsableError,
    as_text,
    clean,
    decode,
    fingerprint_of,
    identity,
    moment,
    read_each,
    texts,
    web_links,
)


def read_time(said):
    remarks = []
    return moment(said, called="startsAt", remarks=remarks), remarks


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("2026-03-12T01:51:00Z", (1, 51, 0, 0)),
        ("2026-03-12T01:51:00.123456789Z", (1, 51, 0, 123456)),
        ("2026-03-12T02:51:00+01:00", (1, 51, 0, 0)),
        ("2026-03-12T01:51:00", (1, 51, 0, 0)),
        ("2026-03-12", (0, 0, 0, 0)),
    ],
)
def test_a_time_is_read_as_utc(said, read):
    assert read_time(said) == (datetime(2026, 3, 12, *read, tzinfo=UTC), [])


@pytest.mark.parametrize("said", [None, "", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"])
def test_a_time_that_is_not_set_is_none(said):
    assert read_time(said) == (None, [])


@pytest.mark.parametrize(
    "said",
    [
        "asdf",
        "9999-12-31T23:59:59-14:00",
        "3026-03-12T01:51:00Z",
        "1066-10-14T09:00:00Z",
        "2026-02-30T00:00:00Z",
        "\ud83d",
        1773280260,
        float("nan"),
        True,
        {},
        ["2026-03-12"],
    ],
)
def test_a_time_that_cannot_be_meant_is_none_with_a_remark(said):
    time, remarks = read_time(said)
    assert time is None
    assert remarks[0].startswith("Its startsAt, ")
    assert remarks[0].endswith("is not a time we can read.")


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (None, ""),
        ("as it is", "as it is"),
        (True, "true"),
        (12, "12"),
        (0.5, "0.5"),
        (float("nan"), "NaN"),
        ({"a": [1, "é"]}, '{"a":[1,"é"]}'),
        ("a\x00b", "a\ufffdb"),
        ("half \ud83d of an emoji", "half \ufffd of an emoji"),
        ({"a": "\ud83d"}, '{"a":"\ufffd"}'),
        (10**4000, "1" + "0" * 4000),
    ],
)
def test_any_json_value_becomes_text(said, text):
    assert as_text(said) == text


def test_a_cut_text_shows_that_it_was_cut():
    assert clean("abcdef", 4) == "abc…"
    assert clean("abcd", 4) == "abcd"


def test_labels_keep_what_fits_and_say_what_was_lost():
    remarks = []
    said = {f"label_{number:03}": number for number in range(150)} | {"a" * 300: "b" * 3000}
    read = texts(said, 2000, called="labels", remarks=remarks)
    assert len(read) == 100
    assert remarks == ["It has 151 labels; the first 100 are kept."]

    read = texts({"a" * 300: "b" * 3000, "none": None}, 2000, called="labels", remarks=remarks)
    assert [(len(name), len(text)) for name, text in read.items()] == [(200, 2000)]


def test_labels_that_are_no_object_are_left_out_with_a_remark():
    remarks = []
    assert texts(["a"], 2000, called="labels", remarks=remarks) == {}
    assert texts(None, 2000, called="labels", remarks=remarks) == {}
    assert remarks == ["Its labels are a list instead of an object, and left out."]


def test_two_long_keys_with_one_beginning_stay_two():
    first, second = identity("k" * 300 + "1"), identity("k" * 300 + "2")
    assert first != second
    assert len(first) == 64
    assert identity("k" * 255) == "k" * 255
    assert identity(17) == "17"
    assert identity(" ") == ""


def test_the_order_of_labels_does_not_change_the_fingerprint():
    assert fingerprint_of({"a": "1", "b": "2"}) == fingerprint_of({"b": "2", "a": "1"})
    assert fingerprint_of({"a": "1"}) != fingerprint_of({"a": "2"})


@pytest.mark.parametrize(
    ("headers", "read"),
    [
        ({}, None),
        ({"x-webhook-id": " 7f3a "}, "7f3a"),
        ({"request-id": "7f3a"}, "7f3a"),
        ({"x-request-id": "set by a proxy"}, None),
        ({"x-amz-sns-message-id": "7f3a"}, "7f3a"),
        ({"ce-id": "17", "ce-source": "/mlflow"}, "/mlflow 17"),
        ({"ce-id": "17"}, None),
    ],
)
def test_the_senders_id_of_a_delivery_is_in_a_header(headers, read):
    assert sender_id_of(headers) == read


def test_a_long_id_of_a_delivery_is_hashed():
    assert len(sender_id_of({"request-id": "7" * 500})) == 64


def test_only_web_addresses_become_links_and_each_once():
    links = web_links(
        ("https://example.com/a", "A"),
        ("https://example.com/a", "again"),
        (" HTTP://example.com/b ", ""),
        ("javascript:alert(1)", "no"),
        ("/relative", "no"),
        ("https://example.com/" + "x" * 2000, "no"),
        (None, "no"),
        ({"href": "https://example.com"}, "no"),
    )
    assert [(link.href, link.text) for link in links] == [
        ("https://example.com/a", "A"),
        ("HTTP://example.com/b", "HTTP://example.com/b"),
    ]


def test_no_alert_has_links_without_end():
    assert len(web_links(*((f"https://example.com/{n}", "") for n in range(500)))) == 20


def test_half_an_emoji_and_a_byte_order_mark_are_no_reason_to_refuse_a_body():
    assert decode(b'{"summary": "cut \\ud83d"}') == {"summary": "cut \ud83d"}
    assert decode(b"\xef\xbb\xbf[]") == []


@pytest.mark.parametrize(
    "body", [b"", b" \n", b"{", b"alert=1", b"\xff\xfe", b"1" * 5000, b"[" * 10**6]
)
def test_a_body_that_is_not_json_is_refused_with_a_sentence(body):
    with pytest.raises(UnparsableError, match=r"JSON.*\.$"):
        decode(body)


def test_a_delivery_of_nonsense_names_a_hundred_faults_and_counts_the_rest():
    def read(element):
        raise ElementError("It has no name.")

    alerts, faults = read_each(range(250), read)
    assert alerts == ()
    assert len(faults) == 101
    assert faults[0].where == "alerts[0]"
    assert faults[-1].why == "150 more could not be read."


def test_one_bad_element_fails_alone():
    def read(element):
        if element == 1:
            raise ElementError("It has no name.")
        return Alert(str(element), AlertStatus.FIRING, "X", "X")

    alerts, faults = read_each(range(3), read)
    assert [alert.fingerprint for alert in alerts] == ["0", "2"]
    assert [(fault.where, fault.why) for fault in faults] == [("alerts[1]", "It has no name.")]
