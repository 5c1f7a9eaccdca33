"""Numbers in addresses. One that no database column holds is an address that does not exist."""

from typing import Any

from flask import Flask
from werkzeug.routing import IntegerConverter, Map

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


def register(app: Flask) -> None:
    app.url_map.converters.update(int=Id, bigid=BigId)
