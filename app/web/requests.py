"""What every request gets: an id, headers that tell browsers to be strict, and a line in the log."""

import logging
import re
import secrets
import time

from flask import Flask, Response, g, request

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


def register(app: Flask) -> None:
    app.before_request(_begin)
    # Functions run last come first: the line in the log sees the response as it leaves.
    app.after_request(_log)
    app.after_request(_harden)


def _begin() -> None:
    # In tests one application context serves many requests, and keeps what one of them left.
    for left_over in ("toasts", "page_time", "viewer_zone"):
        g.pop(left_over, None)
    said = request.headers.get("X-Request-Id", "")
    g.request_id = said if SANE_ID.fullmatch(said) else secrets.token_hex(8)
    g.began = time.monotonic()


def _harden(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    # Pages show what only signed-in people may see, and none of it may outlive the sign-in.
    response.headers.setdefault("Cache-Control", "no-store")
    if "request_id" in g:
        response.headers["X-Request-Id"] = g.request_id
    return response


def _log(response: Response) -> Response:
    actor = g.get("actor")
    seconds = time.monotonic() - g.get("began", time.monotonic())
    REQUEST_SECONDS.labels(request.endpoint or "none").observe(seconds)
    # Files, unchanged regions and deliveries (which have rows) would drown what people did.
    quiet = request.endpoint == "static" or response.status_code == 304 or g.get("quiet", False)
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
