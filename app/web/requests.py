"""What every request gets: an id, headers that tell browsers to be strict, and a line in the log."""

import logging
import re
import time
from random import getrandbits

from flask import Flask, Response, current_app, g, request

from app.core.metrics import REQUEST_SECONDS

log = logging.getLogger("app.web.requests")

SANE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # the arrow of a select box is a data: image
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def may_be_framed_by(origins: str) -> None:
    """Let pages of these origins show the answer to this request in a frame."""
    g.framed_by = origins


def register(app: Flask) -> None:
    app.before_request(_begin)
    # Functions run last come first: the line in the log sees the response as it leaves.
    app.after_request(_log)
    app.after_request(_harden)


def _begin() -> None:
    if current_app.testing:
        # One application context serves many requests there, and keeps what one of them left.
        for left_over in ("toasts", "page_time", "viewer_zone", "quiet", "framed_by"):
            g.pop(left_over, None)
    said = request.environ.get("HTTP_X_REQUEST_ID", "")
    g.request_id = said if SANE_ID.fullmatch(said) else f"{getrandbits(64):016x}"
    g.began = time.monotonic()


def _harden(response: Response) -> Response:
    headers = response.headers
    # Pages show what only signed-in people may see, and none of it may outlive the sign-in.
    headers.setdefault("Cache-Control", "no-store")
    if "request_id" in g:
        headers["X-Request-Id"] = g.request_id
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    if origins := g.get("framed_by"):
        framed = POLICY.replace("frame-ancestors 'none'", f"frame-ancestors {origins}")
        headers["Content-Security-Policy"] = framed
        del headers["X-Frame-Options"]  # knows no origins
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response


def _log(response: Response) -> Response:
    if g.get("quiet", False):
        return response  # a delivery: it has a row, and measures of its own
    actor = g.get("actor")
    seconds = time.monotonic() - g.get("began", time.monotonic())
    REQUEST_SECONDS.labels(request.endpoint or "none").observe(seconds)
    # Files and unchanged regions would drown what people did.
    quiet = request.endpoint == "static" or response.status_code == 304
    log.log(
        logging.DEBUG if quiet else logging.INFO,
        "request",
        extra={
            "status": response.status_code,
            "duration_ms": round(seconds * 1000, 1),
            "actor": f"{actor.kind} {actor.id}" if actor is not None else None,
        },
    )
    return response
