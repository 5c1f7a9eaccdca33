"""The one place that reads the clock. Everything below a view or a job gets its time passed in."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)
