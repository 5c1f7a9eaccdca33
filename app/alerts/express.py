"""The express lane to the doors: a delivery that is fine never enters Flask.

Most of the time of a small request goes into what only pages need: sessions, hooks, headers for
browsers. What is not fine here, for whatever reason, is handed on unread, so that Flask's way
(`door.py`) gives every refusal its sentence and its row.
"""

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from flask import Flask

from app.alerts.door import Knock, take
from app.alerts.sources import SOURCES
from app.core.clock import now
from app.core.errors import BatonError

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

PATHS = {
    **{f"/in/{name}": source for name, source in SOURCES.items()},
    "/v2/enqueue": SOURCES["events_v2"],
}


def in_front_of(app: Flask) -> Wsgi:
    """The app's WSGI callable with the express lane before it."""
    flask, limit = app.wsgi_app, app.config["MAX_CONTENT_LENGTH"]

    def receive(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        source = PATHS.get(environ["PATH_INFO"])
        length = environ.get("CONTENT_LENGTH") or ""
        fits = length.isdecimal() and 0 < int(length) <= limit
        if source is None or not fits or environ["REQUEST_METHOD"] != "POST":
            return flask(environ, start_response)
        body = environ["wsgi.input"].read(int(length))
        with app.app_context():
            try:
                answer = take(Knock(source, environ, len(body)), body, at=now())
            except BatonError:
                answer = None
        if answer is not None:
            return answer(environ, start_response)
        environ["wsgi.input"] = BytesIO(body)
        return flask(environ, start_response)

    return receive
