"""What the worker does for Baton itself."""

from datetime import timedelta

from app.core import jobs
from app.core.clock import now

KEPT = timedelta(hours=1)  # the records of jobs that are over: long enough to look into a failure


def purge_jobs() -> None:
    jobs.purge_finished(before=now() - KEPT)
