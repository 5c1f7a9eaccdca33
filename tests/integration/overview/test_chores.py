"""What the worker does for Baton itself."""

from app.core import jobs
from app.core.db import unit_of_work
from app.overview.jobs import purge_jobs


def test_purging_leaves_what_waits(app):
    with unit_of_work():
        jobs.enqueue("chores.purge_jobs", key="waits")

    purge_jobs()

    waiting = jobs._client().list_workflows(status="ENQUEUED")
    assert [job.workflow_id for job in waiting] == ["waits"]
