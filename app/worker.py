"""All background work on one page."""

import signal
import threading

from app import create_app
from app.alerts import jobs as alerts
from app.config import Settings
from app.core.jobs import Every, Job, every, run_worker
from app.core.warm import warm_up
from app.health import jobs as health
from app.integrations.pagerduty import jobs as pagerduty
from app.overview import jobs as overview
from app.overview.sample import jobs as sample
from app.people import jobs as people
from app.runbooks import jobs as runbooks
from app.runbooks.runs import jobs as runs
from app.web import logs

JOBS = (
    Job("alerts.process_inbox", alerts.process_inbox),
    Job("alerts.tell_end", alerts.tell_end),
    Job("pagerduty.send_lane", pagerduty.send_lane),
    Job("pagerduty.wake_lanes", pagerduty.wake_lanes),
)


def look() -> None:
    """Ask what is due, and hand on what changed: a breach waits for no further tick."""
    health.tick()
    alerts.read_health()


SCHEDULE: tuple[Every, ...] = (
    every(seconds=5, name="alerts.sweep", run=alerts.sweep),
    every(seconds=5, name="pagerduty.sweep", run=pagerduty.sweep),
    every(seconds=5, name="runs.sense", run=runs.sense),
    every(seconds=1, name="health.look", run=look),
    every(minutes=30, name="chores.roll_up_readings", run=health.roll_up),
    every(name="chores.purge_readings", run=health.purge),
    every(seconds=10, name="chores.watch_runbooks", run=runbooks.watch_folder),
    every(seconds=10, name="chores.follow_sample", run=sample.follow),
    every(name="chores.purge_deliveries", run=alerts.purge_deliveries),
    every(name="chores.purge_sign_in_attempts", run=people.purge_sign_in_attempts),
    every(minutes=30, name="chores.purge_jobs", run=overview.purge_jobs),
)


def main() -> None:
    """Run the worker until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = Settings()
    logs.configure(settings.log_level)
    app = create_app(settings)
    warm_up()
    run_worker(
        app,
        JOBS,
        SCHEDULE,
        # One at a time takes the inbox, so that deliveries are read in the order they came.
        concurrency={
            "alerts": 1,
            "pagerduty": settings.job_concurrency,
            "health": 1,
            "chores": 1,
        },
        stop=stop,
    )


if __name__ == "__main__":
    main()
