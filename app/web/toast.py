"""Short confirmations at the edge of the page. Never the only copy of something."""

import json
from dataclasses import asdict, dataclass

from flask import Flask, Response, flash, g, request


@dataclass(frozen=True, slots=True)
class Toast:
    sentence: str
    tone: str  # ok | bad


def toast(sentence: str, tone: str = "ok") -> None:
    """Show a sentence after this request: at once with htmx, else on the next page."""
    g.setdefault("toasts", []).append(Toast(sentence, tone))


def register(app: Flask) -> None:
    app.after_request(_send)


def _send(response: Response) -> Response:
    toasts: list[Toast] = g.get("toasts", [])
    if not toasts:
        return response
    leaves = any(name in response.headers for name in ("HX-Redirect", "HX-Refresh", "HX-Location"))
    if request.headers.get("HX-Request") != "true" or leaves or response.status_code in (302, 303):
        for one in toasts:
            flash(one.sentence, one.tone)
        return response
    events = _events(response.headers.get("HX-Trigger", ""))
    events["toast"] = {"toasts": [asdict(one) for one in toasts]}
    response.headers["HX-Trigger"] = json.dumps(events)
    return response


def _events(header: str) -> dict[str, object]:
    """The events that a view asked for itself, as a list of names or as JSON."""
    if header.startswith("{"):
        found: dict[str, object] = json.loads(header)
        return found
    return {name.strip(): None for name in header.split(",") if name.strip()}
