from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import BadRequestError
from app.web.pagination import decode_cursor, encode_cursor, page_of

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


def test_a_row_too_many_means_there_is_a_next_page():
    page = page_of([9, 8, 7], 2, key=lambda number: (number,))

    assert list(page.items) == [9, 8]
    assert page.next is not None
    assert decode_cursor(page.next, int) == (8,)


@pytest.mark.parametrize("rows", [[], [9], [9, 8]])
def test_the_last_page_has_no_next(rows):
    assert page_of(rows, 2, key=lambda number: (number,)).next is None


@given(
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.datetimes(timezones=st.just(UTC)),
)
def test_a_cursor_gives_back_its_key(number, text, moment):
    cursor = encode_cursor(number, text, moment)

    assert decode_cursor(cursor, int, str, datetime) == (number, text, moment)
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.text())
def test_rubbish_is_refused_with_a_sentence(text):
    with pytest.raises(BadRequestError, match="first page"):
        decode_cursor(text, int)


@pytest.mark.parametrize(
    "cursor",
    [
        encode_cursor("8"),
        encode_cursor(8, 9),
        encode_cursor(),
        encode_cursor(2**70),
        "W3RydWVd",  # [true]
        "W251bGxd",  # [null]
    ],
)
def test_a_key_of_another_kind_is_refused(cursor):
    with pytest.raises(BadRequestError):
        decode_cursor(cursor, int)


@pytest.mark.parametrize("text", ["a\0b", "half \ud83d"])
def test_a_text_that_no_database_holds_is_refused(text):
    with pytest.raises(BadRequestError):
        decode_cursor(encode_cursor(text), str)


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(BadRequestError):
        decode_cursor(encode_cursor(NOON.replace(tzinfo=None).isoformat()), datetime)
