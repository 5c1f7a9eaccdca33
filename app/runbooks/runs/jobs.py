"""What the worker does for runs."""

from app.core.clock import now
from app.runbooks.runs import sensing


def sense() -> None:
    """Let readings answer for the steps that wait for them."""
    sensing.sense_waiting(at=now())
