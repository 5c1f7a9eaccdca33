"""How long runbooks take to bring in, to read, and to follow with fifty people at once."""

import statistics
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import requests
from sqlalchemy import func, insert, select

from app.core.clock import now
from app.core.db import db
from app.people.rules import BATON, Role
from app.runbooks import syncing
from app.runbooks.runs import service
from app.runbooks.runs.rules import EventKind
from app.runbooks.runs.service import Beginning
from app.runbooks.runs.tables import Run, RunEvent
from tests.support import factories, runbooks

FILES = 500
STEPS = 100
PEOPLE = 50
BETWEEN_TICKS = 3.0  # seconds, of one person
RUNS, EVENTS = 1_000, 50

STEP = (
    "### Step {n}\n<!-- step id=s{n} kind=check -->\nLook at *this* `{{{{model}}}}`.\n\n"
    "```bash\nkubectl get pods -l model={{{{model}}}}\n```\n**Expect:** all `Running`.\n\n"
)


def import_time(app: Any, folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Seconds until that many files of another project are published versions."""
    for number in range(FILES):
        path = folder / "foreign" / f"group{number % 9}" / f"Alert{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(runbooks.foreign(number))
    with app.app_context():
        started = time.perf_counter()
        syncing.import_folder(folder / "foreign", by=BATON, at=now(), name="bench")
        yield f"import of {FILES} files", {"seconds": time.perf_counter() - started}
        db.engine.dispose()


def run_times(app: Any) -> Iterator[tuple[str, dict[str, float]]]:
    """Server time of a run of a hundred steps: alone, and among a thousand of fifty events."""
    with app.app_context():
        version = runbooks.published(hundred_steps(), slug="hundred")
        version_id = version.id
        client = app.test_client()
        factories.sign_in(client, factories.user(Role.RESPONDER))
        first = service.start(Beginning(version_id), by=BATON, at=now()).id
        db.session.remove()
    yield f"runbook of {STEPS} steps", {"p50_ms": page_time(client, "/runbooks/hundred")}
    yield f"run of {STEPS} steps", {"p50_ms": page_time(client, f"/runs/{first}")}
    with app.app_context():
        _many_runs(first, at=now())
        last = db.session.scalar(select(func.max(Run.id)))
        db.session.remove()
    yield f"run of {STEPS} steps, one of {RUNS}", {"p50_ms": page_time(client, f"/runs/{last}")}
    with app.app_context():
        db.engine.dispose()


def hundred_steps() -> str:
    steps = "".join(STEP.format(n=n) for n in range(1, STEPS + 1))
    return f"---\nid: hundred\ntitle: A hundred steps\n---\n\n## Steps\n{steps}"


def start_runs(app: Any) -> tuple[list[int], str]:
    """A run for each person, and a token that may tick."""
    with app.app_context():
        version_id = runbooks.published(hundred_steps(), slug="hundred").id
        made = [service.start(Beginning(version_id), by=BATON, at=now()).id for _ in range(PEOPLE)]
        headers = factories.token_headers("incidents:read", "incidents:write")
        db.engine.dispose()
    return made, headers["Authorization"]


def tick_times(url: str, runs: list[int], authorization: str, seconds: int) -> dict[str, float]:
    """Round trips while each person ticks every few seconds and their page asks what is new."""
    taken: list[float] = []
    failed: list[int] = []
    end = time.monotonic() + max(seconds, 10)

    def follow(run_id: int) -> None:
        own = requests.Session()
        own.headers["Authorization"] = authorization
        address = f"{url}/api/v1/runs/{run_id}/events"
        pause = Random(run_id)
        time.sleep(pause.random() * BETWEEN_TICKS)
        for step in range(1, STEPS + 1):
            if time.monotonic() > end:
                return
            body = {"kind": "done", "step": f"s{step}", "client_event_id": uuid4().hex}
            started = time.perf_counter()
            answer = own.post(address, json=body, timeout=30)
            taken.append((time.perf_counter() - started) * 1000)
            if answer.status_code != 200:
                failed.append(answer.status_code)
            time.sleep(BETWEEN_TICKS / 2)
            own.get(address, params={"since": step}, timeout=30)
            time.sleep(BETWEEN_TICKS / 2)

    people = [threading.Thread(target=follow, args=(run_id,)) for run_id in runs]
    for person in people:
        person.start()
    for person in people:
        person.join()
    if failed:
        raise SystemExit(f"Ticks failed: {failed[:10]}")
    return {"p50_ms": statistics.median(taken), "p99_ms": statistics.quantiles(taken, n=100)[98]}


def page_time(client: Any, path: str) -> float:
    """Server time of a page in milliseconds, the median of ten once it is warm."""
    taken = []
    for _ in range(13):
        started = time.perf_counter()
        if client.get(path).status_code != 200:
            raise SystemExit(f"{path} failed.")
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken[3:])


def _many_runs(first: int, *, at: datetime) -> None:
    """The rows of that many more runs, copies of the first with fifty events each."""
    row = db.session.execute(select(Run.__table__).where(Run.id == first)).mappings().one()
    kept = {key: value for key, value in row.items() if key != "id"} | {"last_seq": EVENTS + 1}
    with db.engine.connect().execution_options(write=True) as connection, connection.begin():
        connection.execute(insert(Run.__table__), [dict(kept) for _ in range(RUNS)])
        ids = list(connection.scalars(select(Run.id).where(Run.id > first)))
        events = [
            {
                "run_id": run_id,
                "seq": seq,
                "kind": EventKind.DONE,
                "step_id": f"s{seq - 1}",
                "at": at,
                "said_at": at,
                "actor": "Bench",
                "client_event_id": uuid4().hex,
                "detail": {"note": ""},
            }
            for run_id in ids
            for seq in range(2, EVENTS + 2)
        ]
        for start in range(0, len(events), 5_000):
            connection.execute(insert(RunEvent.__table__), events[start : start + 5_000])
