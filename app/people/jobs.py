"""Background work on accounts."""

from app.core.clock import now
from app.people import service


def purge_sign_in_attempts() -> None:
    """Drop what throttling no longer counts, and one-time links that ended long ago."""
    service.forget_old_tries_and_links(now())
