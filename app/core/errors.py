"""What can go wrong in a way that a person can act on.

Each error holds one sentence for its reader; `web/errors.py` shows it as a page, an htmx part or
problem JSON. Anything that is not a `BatonError` is a bug.
"""

from http import HTTPStatus


class BatonError(Exception):
    """A refusal with a sentence for its reader, and the HTTP status that goes with it."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    title = "Something went wrong"

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class BadRequestError(BatonError):
    status = HTTPStatus.BAD_REQUEST
    title = "Not understood"


class NotSignedInError(BatonError):
    status = HTTPStatus.UNAUTHORIZED
    title = "Sign in first"


class ForbiddenError(BatonError):
    status = HTTPStatus.FORBIDDEN
    title = "Not yours to do"


class NotFoundError(BatonError):
    status = HTTPStatus.NOT_FOUND
    title = "Not found"


class ConflictError(BatonError):
    """Somebody else was first. The sentence says who did what, and when."""

    status = HTTPStatus.CONFLICT
    title = "Changed meanwhile"


class PreconditionFailedError(ConflictError):
    """The copy that If-Match names is not the newest."""

    status = HTTPStatus.PRECONDITION_FAILED


class TooLargeError(BatonError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    title = "Too large"


class RefusedError(BatonError):
    """Well formed, but against a rule. The sentence says which."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Refused"


class TooManyTriesError(BatonError):
    """`retry_after` is in seconds."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    title = "Too many tries"

    def __init__(self, sentence: str, *, retry_after: int) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class UpstreamError(BatonError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "Not reachable"
