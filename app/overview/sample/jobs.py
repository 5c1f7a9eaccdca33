"""What the worker does for the sample."""

from app.core.clock import now
from app.overview.sample import service


def follow() -> None:
    """Set it up when it first runs, and ask it where it answers now."""
    service.follow(at=now())
