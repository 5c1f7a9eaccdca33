"""The body of a delivery as people are shown it: readable, and without the key it may hold."""

import json
import re
from dataclasses import dataclass

SHOWN = 65_536  # characters on a page; the whole can be downloaded
# PagerDuty's events carry the key of the door in their body.
KEY = re.compile(rb'("routing_key"\s*:\s*")((?:[^"\\]|\\.)*)(")')


@dataclass(frozen=True, slots=True)
class ShownBody:
    text: str
    cut: bool  # longer than a page shows


def without_key(body: bytes) -> bytes:
    """The body as it came, with only the end of a routing key left."""
    return KEY.sub(lambda found: found[1] + "…".encode() + found[2][-4:] + found[3], body)


def readable(body: bytes) -> ShownBody:
    """The body as indented JSON, or as it came if that can't be done."""
    body = without_key(body)
    try:
        text = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "replace")
    # Half of a surrogate pair, which JSON may hold, can't be sent to a browser.
    text = text.encode("utf-8", "replace").decode()
    return ShownBody(text[:SHOWN], len(text) > SHOWN)
