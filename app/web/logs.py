"""Logs as JSON, one object a line, each with the request it belongs to."""

import logging
import re
import sys

from flask import g, has_request_context, request
from pythonjsonlogger.json import JsonFormatter

# The last part of these addresses is a secret: whoever has it needs no account.
SECRET_PATH = re.compile(r"(?<=/embed/panels/)[^/]+")


class RequestFields(logging.Filter):
    """Adds id, method and path. Never the query: it may hold what people searched for."""

    def filter(self, record: logging.LogRecord) -> bool:
        if has_request_context():
            record.request_id = g.get("request_id")
            record.method = request.method
            record.path = SECRET_PATH.sub("…", request.path)
        return True


def handler() -> logging.Handler:
    """Writes to standard output."""
    made = logging.StreamHandler(sys.stdout)
    made.setFormatter(
        JsonFormatter(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
        )
    )
    made.addFilter(RequestFields())
    return made


def configure(level: str = "INFO") -> None:
    """Send every log of this process through our handler."""
    root = logging.getLogger()
    root.handlers = [handler()]
    root.setLevel(level.upper())
