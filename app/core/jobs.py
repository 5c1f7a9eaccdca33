"""Background work on DBOS: enqueued in the caller's transaction, run by any worker, not lost.

A job is a wake-up; the row it works on is the truth. Jobs run at least once, so each is
idempotent, and a sweep finds rows whose wake-up never came.

DBOS by itself leaves the jobs of a dead worker where they are. So each worker beats its heart in
our own table, and any other gives a dead one's jobs back to the queue (`_reap`).
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSClient, DBOSConfig
from flask import Flask, current_app
from sqlalchemy import Engine, String, delete, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, mapped_column

from app.core.clock import now
from app.core.db import Table, db

log = logging.getLogger(__name__)

# DBOS runs and recovers only jobs of its own version. Raise it when a job's arguments change in a
# way that old rows don't fit, and only then: jobs enqueued before would be stranded.
VERSION = "1"
# Seconds between two looks into a queue. Each look costs a worker some milliseconds, also at night.
POLL = {"alerts": 0.25, "pagerduty": 0.5, "health": 0.5}
POLL_OTHERS = 2.0
HEARTBEAT = 2.0  # seconds
DEAD_AFTER = timedelta(seconds=10)


class Worker(Table):
    """A worker process and when it was last seen alive."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(120), primary_key=True)
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    cycled_at: Mapped[datetime | None]  # when a scheduled job last ran here, through the queue


@dataclass(frozen=True, slots=True)
class Job:
    """A function that a worker runs. Its queue is the part of the name before the dot."""

    name: str  # as in pagerduty.send_lane
    run: Callable[..., None]

    @property
    def queue(self) -> str:
        return queue_of(self.name)


@dataclass(frozen=True, slots=True)
class Every:
    """A job on a schedule, run once across all workers. Six cron fields, the first is seconds."""

    cron: str
    job: Job


def every(*, run: Callable[[], None], name: str, seconds: int = 0, minutes: int = 0) -> Every:
    """A job that runs every so many seconds (a divisor of 60), minutes, or once a day at 03:17."""
    if seconds:
        cron = f"*/{seconds} * * * * *"
    elif minutes:
        cron = f"0 */{minutes} * * * *"
    else:
        cron = "0 17 3 * * *"
    return Every(cron, Job(name, run))


def queue_of(job_name: str) -> str:
    return job_name.partition(".")[0]


def enqueue(name: str, *args: Any, key: str | None = None, delay: float | None = None) -> None:
    """Let a worker run the job, if and when the transaction at hand commits.

    A `key` that was used before makes this a no-op. `delay` is in seconds.
    """
    enqueue_on(db.session.connection(), name, *args, key=key, delay=delay)


def enqueue_on(
    connection: Any, name: str, *args: Any, key: str | None = None, delay: float | None = None
) -> None:
    """`enqueue` for code that holds a connection of its own rather than the session."""
    options: dict[str, Any] = {
        "workflow_name": name,
        "queue_name": queue_of(name),
        "app_version": VERSION,
    }
    if key is not None:
        options["workflow_id"] = key
    if delay is not None:
        options["delay_seconds"] = delay
    _client().enqueue_in_transaction(connection, options, *args)  # type: ignore[arg-type]


def _client() -> DBOSClient:
    client = current_app.extensions.get("jobs")
    if client is None:
        # It only writes rows: no thread of DBOS runs in a web process.
        client = DBOSClient(system_database_engine=db.engine, application_name="baton", lazy=True)
        current_app.extensions["jobs"] = client
    assert isinstance(client, DBOSClient)
    return client


def migrate(url: str) -> None:
    """Create or update the tables that DBOS keeps beside ours."""
    logging.getLogger("dbos").setLevel(logging.ERROR)
    DBOS.migrate(url)


def run_worker(
    app: Flask,
    jobs: Sequence[Job],
    schedule: Sequence[Every],
    *,
    concurrency: dict[str, int],
    stop: threading.Event,
) -> None:
    """Run jobs until `stop` is set. `concurrency` is per queue and worker; 1 means 1 in all."""
    me = f"{_this_host()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    with app.app_context():
        engine = db.engine
        url = engine.url.render_as_string(hide_password=False)
    # Known to the others before it takes its first job: a job of an unknown worker is nobody's.
    if not _first_beat(engine, me, stop):
        return
    functions = {
        job.name: DBOS.workflow(name=job.name)(_guarded(app, job))
        for job in (*jobs, *(entry.job for entry in schedule))
    }
    for entry in schedule:
        functions[f"tick {entry.job.name}"] = DBOS.workflow(name=f"tick {entry.job.name}")(
            _tick(app, entry.job, me)
        )
    DBOS(
        config=DBOSConfig(
            name="baton",
            system_database_url=url,
            application_version=VERSION,
            executor_id=me,
            log_level="ERROR",
            use_listen_notify=False,
            scheduler_polling_interval_sec=1.0,
            sys_db_pool_size=12,
        )
    )
    DBOS.launch()
    try:
        queues = {job.queue for job in jobs} | {entry.job.queue for entry in schedule}
        for queue in sorted(queues):
            limit = concurrency.get(queue, 4)
            DBOS.register_queue(
                queue,
                worker_concurrency=limit,
                global_concurrency=1 if limit == 1 else None,
                polling_interval_sec=POLL.get(queue, POLL_OTHERS),
            )
        DBOS.apply_schedules(
            [
                {
                    "schedule_name": entry.job.name,
                    "workflow_fn": functions[f"tick {entry.job.name}"],
                    "schedule": entry.cron,
                    "queue_name": entry.job.queue,
                }
                for entry in schedule
            ]
        )
        log.info("worker started", extra={"worker": me})
        while True:
            try:
                _beat(engine, me)
                _reap(engine, me)
            except Exception:
                # The database may be away for a while. Others then take our jobs, twice at worst.
                log.exception("heartbeat failed")
            if stop.wait(HEARTBEAT):
                break
    finally:
        DBOS.destroy(workflow_completion_timeout_sec=10)
        _forget(engine, me)
        log.info("worker stopped", extra={"worker": me})


def _guarded(app: Flask, job: Job) -> Callable[..., None]:
    def run(*args: Any) -> None:
        with app.app_context():
            started = time.perf_counter()
            try:
                job.run(*args)
            except Exception:
                # The row says what is still to be done, and a sweep brings it back.
                log.exception("job failed", extra={"job": job.name})
                app.extensions["observe_job"](job.name, "failed", time.perf_counter() - started)
                raise
            app.extensions["observe_job"](job.name, "done", time.perf_counter() - started)

    return run


def _tick(app: Flask, job: Job, worker: str) -> Callable[[datetime, Any], None]:
    run = _guarded(app, job)

    def tick(_due: datetime, _context: Any) -> None:
        run()
        with app.app_context(), db.engine.connect() as connection:
            connection = connection.execution_options(write=True)
            with connection.begin():
                connection.execute(
                    update(Worker).where(Worker.id == worker).values(cycled_at=now())
                )

    return tick


def _this_host() -> str:
    """Where process numbers mean the same: a host, or a container on it."""
    with suppress(OSError):
        return f"{socket.gethostname()}-{Path('/proc/self/ns/pid').stat().st_ino}"
    return socket.gethostname()


def _is_gone(worker: str) -> bool:
    """Whether it ran here and its process is no more: no need to wait for its silence."""
    if not worker.startswith(f"{_this_host()}-"):
        return False
    try:
        os.kill(int(worker.rsplit("-", 2)[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _first_beat(engine: Engine, me: str, stop: threading.Event) -> bool:
    """Wait for the database, which may start after us. False: we are to stop."""
    while not stop.is_set():
        try:
            _beat(engine, me)
        except DBAPIError as error:
            log.warning("the database is away", extra={"error": type(error).__name__})
            stop.wait(HEARTBEAT)
        else:
            return True
    return False


def _beat(engine: Engine, me: str) -> None:
    at = now()
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        beat = update(Worker).where(Worker.id == me).values(seen_at=at)
        if not connection.execute(beat).rowcount:
            connection.execute(insert(Worker).values(id=me, started_at=at, seen_at=at))


def _reap(engine: Engine, me: str) -> None:
    """Give the jobs of dead workers back to the queue."""
    dead_since = now() - DEAD_AFTER
    with engine.connect() as connection:
        others = connection.execute(select(Worker.id, Worker.seen_at).where(Worker.id != me)).all()
    dead = [row.id for row in others if row.seen_at < dead_since or _is_gone(row.id)]
    if not dead:
        return
    # Private, and the reason for the pin on DBOS 3.4: an idempotent UPDATE of pending rows.
    DBOS._recover_pending_workflows(dead)
    # A database that drops away midway leaves rows behind; their owner stays dead until none are.
    left = {
        pending.executor_id
        for pending in DBOS.list_workflows(
            status="PENDING", executor_id=dead, load_input=False, load_output=False
        )
    }
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        connection.execute(
            delete(Worker).where(Worker.id.in_([worker for worker in dead if worker not in left]))
        )
    log.warning("took over the jobs of dead workers", extra={"workers": dead})


def _forget(engine: Engine, me: str) -> None:
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        connection.execute(delete(Worker).where(Worker.id == me))


def purge_finished(*, before: datetime) -> int:
    """Delete the records of jobs that ended before then. Returns how many."""
    client, purged = _client(), 0
    while True:
        finished = client.list_workflows(
            status=["SUCCESS", "ERROR", "CANCELLED"],
            completed_before=before.astimezone(UTC).isoformat(),
            limit=1000,
            load_input=False,
            load_output=False,
        )
        if not finished:
            return purged
        client.delete_workflows([job.workflow_id for job in finished])
        purged += len(finished)
