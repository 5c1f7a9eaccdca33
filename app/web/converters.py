"""Parts of addresses. What no database column can hold is an address that does not exist."""

from typing import Any

from flask import Flask
from werkzeug.routing import IntegerConverter, Map, UnicodeConverter, ValidationError

from app.web.texts import UNSTORABLE

LARGEST_ID = 2**31 - 1
LARGEST_BIG_ID = 2**63 - 1


class Id(IntegerConverter):
    """`<int:…>`: the id of a row."""

    def __init__(self, url_map: Map, **more: Any) -> None:
        super().__init__(url_map, **{"max": LARGEST_ID, **more})


class BigId(IntegerConverter):
    """`<bigid:…>`: the id of a row of a table that grows without people, such as deliveries."""

    def __init__(self, url_map: Map, **more: Any) -> None:
        super().__init__(url_map, **{"max": LARGEST_BIG_ID, **more})


class Text(UnicodeConverter):
    """`<slug>`: anything between two slashes."""

    def to_python(self, value: str) -> str:
        if UNSTORABLE.search(value):
            raise ValidationError
        return value


def register(app: Flask) -> None:
    app.url_map.converters.update(int=Id, bigid=BigId, default=Text, string=Text)
