"""`make bench`: how fast a delivery becomes durable, deliveries become incidents, and pages answer.

Everything runs on loopback and is measured side by side in one run, three times; figures are
medians. A 2xx means durable: PostgreSQL runs with fsync on, SQLite with synchronous=FULL. The load
comes from wrk on the same cores.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from sqlalchemy import create_engine, func, insert, select, text

from app import ROOT, create_app
from app.alerts.rules import DeliveryState
from app.alerts.tables import Delivery
from app.config import Settings
from app.core import migrations
from app.core.clock import now
from app.core.db import db
from app.incidents.rules import State
from app.incidents.tables import Incident, Member
from app.integrations.pagerduty.rules import Action, MessageState
from app.integrations.pagerduty.tables import Message
from app.people.rules import BATON, Role
from app.registry.tables import MlModel
from app.runbooks import search, syncing
from app.runbooks.tables import Runbook, RunbookVersion
from app.supervisor import Child, end, web_command
from bench import fleet, following, polling
from tests.support import factories, postgres

CONCURRENCY = 16
STORM = 2_000  # deliveries of 50 alerts over 50 models
CASES = {
    "single": (1, 0),
    "fifty": (50, 0),
    "duplicates": (1, 20),
}
COLUMNS = {
    "requests_a_second": "req/s",
    "alerts_a_second": "alerts/s",
    "seconds": "s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "of_bare": "of bare",
    "cores": "cores",
    "lag_p99_s": "lag p99 s",
}


@dataclass
class Installation:
    """A Baton of its own, with its database, its models and a key."""

    name: str
    settings: Settings
    environment: dict[str, str]
    key: str = ""

    @property
    def app(self) -> Any:
        return create_app(self.settings)


def main() -> None:
    arguments = _arguments()
    if shutil.which("wrk") is None:
        sys.exit("The benchmark needs wrk (Debian: apt-get install wrk).")
    # Also when told to end: what was started is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rounds: dict[str, list[dict[str, float]]] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder, _postgres() as url:
            for number in range(arguments.rounds):
                _print_heading(f"round {number + 1} of {arguments.rounds}")
                with closing(_round(Path(folder) / str(number), url, arguments)) as cases:
                    for name, measured in cases:
                        rounds.setdefault(name, []).append(measured)
                        _print_line(name, measured)
    except KeyboardInterrupt:
        print("\nStopped. This was measured until then.", file=sys.stderr)
        sys.exit(130)
    finally:
        _print_result(rounds)


def _print_result(rounds: dict[str, list[dict[str, float]]]) -> None:
    """Medians of what was measured, as a table and as JSON."""
    if not rounds:
        return
    result = {
        name: {key: round(statistics.median(one[key] for one in each), 2) for key in each[0]}
        for name, each in rounds.items()
    }
    most = max(map(len, rounds.values()))
    _print_heading("median" if most > 1 else "result")
    for name, measured in result.items():
        fewer = f" (of {len(rounds[name])})" if len(rounds[name]) < most else ""
        _print_line(name + fewer, measured)
    print(json.dumps(result, indent=2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6, help="for each case")
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    return parser.parse_args()


@contextmanager
def _postgres() -> Iterator[str]:
    url, stop = postgres.start(fsync=True, options="-c shared_buffers=256MB")
    try:
        yield url
    finally:
        stop()


def _round(
    folder: Path, server: str, arguments: argparse.Namespace
) -> Iterator[tuple[str, dict[str, float]]]:
    for engine in ("sqlite", "postgresql"):
        if arguments.only not in (None, engine):
            continue
        made = _installation(engine, folder / engine, server)
        for case, (alerts, distinct) in CASES.items():
            # Beside each other, because the machine is quicker at one time than at another.
            with _serving(_bare(folder)) as port:
                bare = _load(port, "none", alerts, distinct, arguments.seconds)
                yield f"bare {case}, beside {engine}", bare
            # The doors alone: what they accept waits in the inbox.
            with _serving(made) as port:
                measured = _load(port, made.key, alerts, distinct, arguments.seconds)
                measured["of_bare"] = measured["requests_a_second"] / bare["requests_a_second"]
                yield f"{engine} {case}", measured
                with _working(made):
                    _wait_until_idle(made)
        made = _installation(engine, folder / f"{engine}-page", server)
        yield f"{engine} from the door to the pager", _to_a_page(made)
        yield f"{engine} storm", _storm(_installation(engine, folder / f"{engine}-storm", server))
        made = _installation(engine, folder / f"{engine}-pages", server)
        for page, milliseconds in _page_times(made):
            yield f"{engine} {page}", {"p50_ms": milliseconds}
        made = _installation(engine, folder / f"{engine}-following", server)
        for case, measured in following.import_time(made.app, folder):
            yield f"{engine} {case}", measured
        for case, measured in following.run_times(made.app):
            yield f"{engine} {case}", measured
        made = _installation(engine, folder / f"{engine}-ticks", server)
        runs, token = following.start_runs(made.app)
        with _serving(made) as port:
            ticks = following.tick_times(f"http://127.0.0.1:{port}", runs, token, arguments.seconds)
        yield f"{engine} tick, {following.PEOPLE} people", ticks
        made = _installation(engine, folder / f"{engine}-polling", server)
        with polling.hosts() as (ports, scraped):
            polling.fill(made.app, ports, scraped)
            cost = polling.cost(made.app, made.environment, folder / f"{engine}-polling")
        yield f"{engine} 10,000 panels over {polling.HOSTS} hosts", cost


def _bare(folder: Path) -> Installation:
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(var=folder, bind=f"127.0.0.1:{_free_port()}")
    return Installation("bare", settings, {**os.environ})


def _installation(engine: str, folder: Path, server: str) -> Installation:
    folder.mkdir(parents=True)
    url = ""
    if engine == "postgresql":
        name = f"bench_{time.monotonic_ns()}"
        admin = create_engine(server, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        admin.dispose()
        url = server.replace("/postgres?", f"/{name}?")
    settings = Settings(
        var=folder, database_url=url, bind=f"127.0.0.1:{_free_port()}", log_level="WARNING"
    )
    environment = {
        **os.environ,
        "BATON_VAR": str(folder),
        "BATON_DATABASE_URL": url,
        "BATON_BIND": settings.bind,
        "BATON_LOG_LEVEL": "WARNING",
        "BATON_SAMPLE": "off",
    }
    made = Installation(engine, settings, environment)
    with made.app.app_context():
        migrations.migrate()
        syncing.import_folder(syncing.home(), by=BATON, at=now())  # as `baton run` does
        owner = factories.team("serving")
        for number in range(50):
            factories.model(f"model-{number}", owner=owner)
        _row, made.key = factories.integration("alertmanager")
        db.session.remove()
        db.engine.dispose()
    return made


@contextmanager
def _serving(made: Installation) -> Iterator[int]:
    command = web_command(made.settings)
    if made.name == "bare":
        command[command.index("wsgi:app")] = "bench.bare:app"
    port = made.settings.bind.rpartition(":")[2]
    with _process(command, made.environment):
        _wait(lambda: _all_answer(int(port)), 60)
        yield int(port)


@contextmanager
def _working(made: Installation) -> Iterator[None]:
    with _process([sys.executable, "-m", "app.worker"], made.environment):
        _wait(lambda: _ready(made), 30)
        yield


@contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    child = Child("measured", command, environment, folder=ROOT)
    child.start()
    try:
        yield
    finally:
        end([child])


def _load(port: int, key: str, alerts: int, distinct: int, seconds: int) -> dict[str, float]:
    done = subprocess.run(
        [
            "wrk", "-t1", f"-c{CONCURRENCY}", f"-d{seconds}s", "-s", str(ROOT / "bench/load.lua"),
            f"http://127.0.0.1:{port}", "--", key, str(alerts), str(distinct),
        ],
        check=True,
        capture_output=True,
        text=True,
    )  # fmt: skip
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    measured = json.loads(line.removeprefix("RESULT "))
    if measured["errors"]:
        sys.exit(f"{measured['errors']} requests failed:\n{done.stdout}")
    rate = measured["requests"] / measured["seconds"]
    return {
        "requests_a_second": rate,
        "alerts_a_second": rate * alerts,
        "p50_ms": measured["p50_ms"],
        "p99_ms": measured["p99_ms"],
    }


def _to_a_page(made: Installation) -> dict[str, float]:
    """From the door to the pager, for one alert at a time."""
    with _serving(made) as port, _working(made), made.app.app_context():
        for number in range(20):
            alert = {
                "status": "firing",
                "labels": {"alertname": "ModelLatencyHigh", "model": f"model-{number}"},
                "startsAt": "2026-03-12T01:51:00Z",
            }
            request = Request(
                f"http://127.0.0.1:{port}/in/alertmanager",
                json.dumps({"version": "4", "groupKey": str(number), "alerts": [alert]}).encode(),
                {"Authorization": f"Bearer {made.key}", "Content-Type": "application/json"},
            )
            urlopen(request, timeout=10).close()
            _wait(lambda sent=number + 1: _pages() >= sent, 60)  # type: ignore[misc]  # has a default
        arrived = db.session.scalars(select(Delivery.received_at).order_by(Delivery.id)).all()
        paged = db.session.scalars(
            select(Message.settled_at).where(Message.action == Action.TRIGGER).order_by(Message.id)
        ).all()
        db.session.remove()
        db.engine.dispose()
    taken = sorted(
        (sent - came).total_seconds() * 1000 for came, sent in zip(arrived, paged, strict=True)
    )
    return {"p50_ms": statistics.median(taken), "p99_ms": taken[-1]}


def _storm(made: Installation) -> dict[str, float]:
    """100,000 alerts wait; one worker turns them into 50 incidents and 50 pages."""
    app = made.app
    with app.app_context():
        _fill_inbox(made)
        with _process([sys.executable, "-m", "app.worker"], made.environment):
            _wait(lambda: _count(select(func.count()).select_from(Incident)) > 0, 60)
            started = time.monotonic()
            # Seldom, because to ask takes from the same two cores.
            _wait(lambda: not _waiting(), 600, every=0.5)
            seconds = time.monotonic() - started
            _wait(lambda: _pages() >= 50, 120)
        measured = {
            "alerts_a_second": STORM * 50 / seconds,
            "incidents": _count(select(func.count()).select_from(Incident)),
            "pages": _pages(),
            "members": _count(select(func.count()).select_from(Member)),
        }
        db.engine.dispose()
    if (measured["incidents"], measured["pages"], measured["members"]) != (50, 50, STORM * 50):
        sys.exit(f"The storm did not become 50 incidents and 50 pages: {measured}")
    return measured


def _fill_inbox(made: Installation) -> None:
    rows = []
    for number in range(STORM):
        alerts = [
            {
                "status": "firing",
                "labels": {
                    "alertname": "ModelLatencyHigh",
                    "model": f"model-{number % 50}",
                    "severity": "critical",
                    "feature": f"f{number}.{one}",
                },
                "annotations": {"summary": "p99 latency 612 ms, limit 250 ms"},
                "startsAt": "2026-03-12T01:51:00Z",
                "fingerprint": f"{number}.{one}",
            }
            for one in range(50)
        ]
        body = json.dumps(
            {"version": "4", "groupKey": str(number), "status": "firing", "alerts": alerts}
        )
        rows.append(
            {
                "receipt": f"{number:032x}",
                "integration_id": 1,
                "source": "alertmanager",
                "received_at": now(),
                "path": "/in/alertmanager",
                "headers": {},
                "body": body.encode(),
                "size": len(body),
                "state": DeliveryState.RECEIVED,
            }
        )
    with db.engine.connect().execution_options(write=True) as connection, connection.begin():
        connection.execute(insert(Delivery.__table__), rows)


def _page_times(made: Installation) -> Iterator[tuple[str, float]]:
    """Server time of pages with 2,000 models, 10,000 incidents, a third of them open, and 5,000
    runbooks; then of Now and the search with seven lamps for each model."""
    app = made.app
    with app.app_context():
        _fill_incidents()
        client = app.test_client()
        factories.sign_in(client, factories.user(Role.RESPONDER))
        _fill_runbooks()
        db.session.remove()
    for path in (
        "/",
        "/incidents/",
        "/incidents/1",
        "/runbooks?search=latency",
        "/search?q=latency",
    ):
        yield f"page {path}", following.page_time(client, path)
    with app.app_context():
        fleet.light_lamps()
        db.session.remove()
    for page, path in (
        ("Now, 2,000 models x 7 lamps", "/"),
        ("Now, worst latency first", "/?sort=latency"),
        ("Now, 200 rows of lamps", "/now/fleet?rows=200"),
        ("search in 14,000 panels", "/search?q=latency"),
    ):
        yield page, following.page_time(client, path)


def _fill_incidents() -> None:
    at = now()
    owner = factories.team("ranking")
    with db.engine.connect().execution_options(write=True) as connection, connection.begin():
        connection.execute(
            insert(MlModel.__table__),
            [
                {"slug": f"m-{n}", "tier": 1 + n % 4, "team_id": owner.id, "created_at": at}
                for n in range(1950)
            ],
        )
        models = list(connection.scalars(select(MlModel.id)))
        connection.execute(
            insert(Incident.__table__),
            [
                {
                    "uuid": f"{n:032x}",
                    "title": f"p99 latency {n} ms, limit 250 ms",
                    "state": State.TRIGGERED if n % 3 == 0 else State.RESOLVED,
                    "severity": 1 + n % 4,
                    "model_id": models[n % len(models)],
                    "failure_mode": f"mode_{n // len(models)}",
                    "team_id": owner.id,
                    "opened_at": at,
                    "resolved_at": None if n % 3 == 0 else at,
                }
                for n in range(10_000)
            ],
        )


def _fill_runbooks() -> None:
    at = now()
    text_of = "kubectl rollout undo the model and look at latency " * 20
    with db.engine.connect().execution_options(write=True) as connection, connection.begin():
        connection.execute(
            insert(Runbook.__table__),
            [
                {"id": n, "slug": f"book-{n}", "title": f"Runbook {n}", "created_at": at}
                for n in range(1_001, 6_001)  # after those that are shipped
            ],
        )
        connection.execute(
            insert(RunbookVersion.__table__),
            [
                {
                    "id": n, "runbook_id": n, "number": 1, "sha256": "x", "front_matter": {},
                    "source": f"# Runbook {n}\n\n{text_of} special{n}\n".encode(),
                    "title": f"Runbook {n}", "author": "Bench", "origin": {"kind": "folder"},
                    "created_at": at,
                }
                for n in range(1_001, 6_001)
            ],
        )  # fmt: skip
        connection.execute(text("UPDATE runbooks SET published_id = id WHERE id > 1000"))
    search.reindex_all()


def _waiting() -> int:
    return _count(
        select(func.count())
        .select_from(Delivery)
        .where(Delivery.state.in_(("received", "retrying")))
    )


def _pages() -> int:
    return _count(
        select(func.count())
        .select_from(Message)
        .where(Message.action == Action.TRIGGER, Message.state == MessageState.SENT)
    )


def _count(query: Any) -> int:
    with db.engine.connect() as connection:
        return int(connection.scalar(query) or 0)


def _wait_until_idle(made: Installation) -> None:
    with made.app.app_context():
        _wait(lambda: not _waiting(), 900)
        db.engine.dispose()


def _ready(made: Installation) -> bool:
    try:
        with urlopen(f"http://{made.settings.bind}/health/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _all_answer(port: int) -> bool:
    """Whether the workers are loaded: a dozen new connections in a row are answered quickly."""
    for _ in range(12):
        try:
            urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
        except HTTPError:
            continue
        except (URLError, OSError):
            return False
    return True


def _wait(condition: Callable[[], bool], seconds: float, *, every: float = 0.05) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("The benchmark waited too long for what it needs.")
        time.sleep(every)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _print_heading(title: str) -> None:
    heads = "".join(f"{head:>12}" for head in COLUMNS.values())
    print(f"\n{title:<44}{heads}", file=sys.stderr, flush=True)


def _print_line(name: str, measured: dict[str, float]) -> None:
    cells = "".join(
        f"{measured[column]:>12,.2f}" if column in measured else f"{'':>12}" for column in COLUMNS
    )
    print(f"{name:<44}{cells}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
