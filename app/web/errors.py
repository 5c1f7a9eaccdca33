"""Every error as a page, an htmx part or problem JSON (RFC 9457).

Nothing here touches the database or asks who is signed in: it may be the database that failed.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, jsonify, make_response, request
from flask_wtf.csrf import CSRFError, generate_csrf
from pydantic import ValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from app.core.errors import BadRequestError, BatonError, ConflictError, TooManyTriesError
from app.web.navigation import SIGN_IN, url_if_there
from app.web.parts import is_htmx
from app.web.texts import PROGRAMS

log = logging.getLogger(__name__)

# A refused form is shown again so that nothing typed is lost, but never what should stay hidden.
SECRET_NAMES = re.compile(r"pass|secret|token|key|code", re.IGNORECASE)

NO_OBJECT = "A JSON object is needed here, if only {}."

SENTENCES = {
    400: ("Not understood", "Baton could not read this request. Go back and try again."),
    401: ("Sign in first", "Sign in to see this."),
    403: ("Not yours to do", "Your role does not allow this. Ask an administrator."),
    404: ("Not found", "There is nothing at this address. It may have been renamed or retired."),
    405: ("Not possible this way", "This address does not take that kind of request."),
    408: ("Too slow", "The request took too long to arrive. Try again."),
    413: ("Too large", "What was sent is larger than Baton takes."),
    415: ("Not understood", "Baton does not read this content type."),
    422: ("Refused", "Something in this request does not fit."),
    429: ("Too many tries", "Wait a little, then try again."),
    500: (
        "Something failed in Baton",
        "Nothing of this request was saved. The failure is in the log under the request number.",
    ),
    503: ("Not reachable", "Baton can't do this at the moment. Try again soon."),
}
DATABASE_AWAY = (
    "Baton can't use its database",
    "Nothing of this request was saved. Alerts and pages in PagerDuty do not depend on this page.",
)
CHANGED_MEANWHILE = (
    "Somebody else changed this at the same moment, and nothing of yours was saved. "
    "Look again, then decide."
)
OLD_FORM = "This form is older than your session. Your text is kept: press the button again."
OLD_FORM_PAGE = (
    "This form is older than your session, and nothing of it was saved. "
    "Open it again and send it from there."
)
TEXT_KEPT = " What you wrote is kept below."


@dataclass(frozen=True, slots=True)
class Fallback:
    """Something that works while Baton does not, and is really set up here."""

    title: str
    sentence: str
    url: str = ""
    label: str = "Open"


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as its reader is told it."""

    status: int
    title: str
    sentence: str
    retry_after: int | None = None


def offer_fallback(app: Flask, fallback: Callable[[], Fallback | None]) -> None:
    """List this on the page of a 5xx, if it says something. It must not need the database."""
    app.extensions.setdefault("fallbacks", []).append(fallback)


def register(app: Flask) -> None:
    app.register_error_handler(BatonError, _baton_error)
    app.register_error_handler(CSRFError, _old_form)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(StaleDataError, _changed_meanwhile)
    app.register_error_handler(RecursionError, _too_deep)
    app.register_error_handler(Exception, _bug)
    for away in (OperationalError, InterfaceError, PoolTimeoutError):
        app.register_error_handler(away, _database_away)


def problem_json(problem: Problem, **further: Any) -> Response:
    """RFC 9457: `application/problem+json`."""
    response = jsonify(
        type="about:blank",
        title=problem.title,
        status=problem.status,
        detail=problem.sentence,
        request_id=g.get("request_id"),
        **further,
    )
    response.status_code = problem.status
    response.mimetype = "application/problem+json"
    return _with_retry(response, problem)


def invalid_request(error: ValidationError) -> Response:
    """For flask-openapi3: which fields of an API request do not fit, and why. Never their values."""
    faults = [
        {
            "field": ".".join(str(step) for step in fault["loc"]),
            "why": NO_OBJECT
            if fault["type"] in ("model_type", "model_attributes_type")
            else fault["msg"].removeprefix("Value error, "),  # our own sentences
        }
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    names = ", ".join(fault["field"] or "the body" for fault in faults)
    return problem_json(Problem(422, "Refused", f"These do not fit: {names}."), errors=faults)


def wants_json() -> bool:
    """Whether the request came from a program."""
    if request.path.startswith(PROGRAMS):
        return True
    accepts = request.accept_mimetypes
    return accepts.best_match(["text/html", "application/json"]) == "application/json" and bool(
        accepts
    )


def _baton_error(error: BatonError) -> Response:
    retry_after = error.retry_after if isinstance(error, TooManyTriesError) else None
    return _answer(Problem(int(error.status), error.title, error.sentence, retry_after))


def _old_form(_error: CSRFError) -> Response:
    sentence = OLD_FORM
    if not is_htmx():
        sentence = OLD_FORM_PAGE + (TEXT_KEPT if _typed() else "")
    response = _answer(Problem(400, "Form too old", sentence))
    # The page takes the new token over, so that pressing again works.
    response.headers["X-CSRF-Token"] = generate_csrf()
    return response


def _http_error(error: HTTPException) -> Response:
    if error.response is not None or error.code is None or error.code < 400:
        return make_response(error.get_response())
    if error.code >= 500:
        log.error("HTTP %s: %s", error.code, error.description)
    known = SENTENCES.get(error.code)
    title, sentence = known or (HTTP_STATUS_CODES.get(error.code, "Not understood"), "Try again.")
    retry_after = getattr(error, "retry_after", None)
    problem = Problem(
        error.code, title, sentence, retry_after if isinstance(retry_after, int) else None
    )
    response = _answer(problem)
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers.setdefault(name, value)  # Allow, and the like
    return response


def _changed_meanwhile(error: StaleDataError) -> Response:
    """A service that locks what it changes says more; this is for what none has thought of."""
    log.warning("Two changes met, and the second was refused.", exc_info=error)
    return _answer(Problem(HTTPStatus.CONFLICT, ConflictError.title, CHANGED_MEANWHILE))


def _too_deep(error: RecursionError) -> Response:
    """JSON nested thousands of levels deep ends the parser. Anything else that does is a bug."""
    if not (request.path.startswith(PROGRAMS) and request.is_json):
        return _bug(error)
    return _answer(Problem(HTTPStatus.BAD_REQUEST, BadRequestError.title, "It is nested too deep."))


def _database_away(error: Exception) -> Response:
    log.error("The database did not answer.", exc_info=error)
    return _answer(Problem(HTTPStatus.SERVICE_UNAVAILABLE, *DATABASE_AWAY, retry_after=12))


def _bug(error: Exception) -> Response:
    log.error("Unexpected error.", exc_info=error)
    return _answer(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, *SENTENCES[500]))


def _answer(problem: Problem) -> Response:
    if wants_json():
        return problem_json(problem)
    context = {
        "status": problem.status,
        "title": problem.title,
        "sentence": problem.sentence,
        "request_id": g.get("request_id", "unknown"),
        "sign_in": _sign_in_url() if problem.status == 401 else None,
        "back": _back(),
    }
    if is_htmx():
        response = make_response(_render("web/error_part.html", **context), problem.status)
        # Beside the form, never in its place: what was typed stays.
        response.headers["HX-Retarget"] = "#banners"
        response.headers["HX-Reswap"] = "innerHTML"
    else:
        read = request.method in ("GET", "HEAD")
        response = make_response(
            _render(
                "web/error.html",
                **context,
                retry=request.full_path.rstrip("?") if read and problem.status >= 500 else None,
                typed=[] if read else _typed(),
                fallbacks=_fallbacks() if problem.status >= 500 else [],
            ),
            problem.status,
        )
    response.vary.add("HX-Request")
    return _with_retry(response, problem)


def _render(template: str, **context: Any) -> str:
    # Not `render_template`: that asks every feature for its context, which may need the database.
    return current_app.jinja_env.get_template(template).render(**context)


def _with_retry(response: Response, problem: Problem) -> Response:
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response


def _sign_in_url() -> str | None:
    back = request.full_path.rstrip("?") if request.method == "GET" and not is_htmx() else _back()
    return url_if_there(SIGN_IN, next=back)


def _back() -> str | None:
    """The page of ours that the request came from."""
    came_from = urlsplit(request.headers.get("HX-Current-URL") or request.referrer or "")
    if came_from.netloc != request.host or not came_from.path.startswith("/"):
        return None
    return came_from.path + (f"?{came_from.query}" if came_from.query else "")


def _typed() -> list[tuple[str, str]]:
    """The prose of a form that was not taken. One word is quickly typed again."""
    try:
        form = request.form
    except HTTPException:
        return []
    return [
        (name.replace("_", " "), text)
        for name, text in form.items()
        if " " in text.strip() and not SECRET_NAMES.search(name)
    ]


def _fallbacks() -> list[Fallback]:
    found = []
    for ask in current_app.extensions.get("fallbacks", []):
        try:
            if fallback := ask():
                found.append(fallback)
        except Exception:
            log.exception("A fallback could not be asked.")
    return found
