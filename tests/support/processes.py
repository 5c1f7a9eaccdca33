"""Real processes: an installation as its users start it, and those that it talks to."""

import json
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import requests
import trustme
import yaml
from sqlalchemy import create_engine, text
from werkzeug.serving import make_server

from app.integrations.pagerduty.sandbox import SandboxPager
from app.integrations.pagerduty.sandbox.store import read
from tests.support import programs

T = TypeVar("T")

BATON = Path(sys.executable).with_name("baton")  # the command, as it is installed
LOOK = 0.05  # seconds between two looks at a condition


def wait_for(condition: Callable[[], T], what: str, seconds: float = 60.0) -> T:
    """What the condition gives once that is something; fails when the time is over."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {seconds:g} s in vain for {what}.")
        time.sleep(LOOK)
    return found


def free_port() -> int:
    """A port of loopback that nobody listens on.

    Not from the range that the system gives to outgoing connections: until its program listens,
    one of those could take it.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("All ports of loopback seem to be in use.")


def clean_environment(**settings: str) -> dict[str, str]:
    """Ours without what would reach into an installation or slow it down."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BATON_", "PROMETHEUS_", "PYTEST_"))
        and not name.lower().endswith("_proxy")
        and name != "PYTHONDONTWRITEBYTECODE"  # each command would compile all of Baton anew
    }
    return {**ours, **settings}


def processes_with(variable: str, value: str) -> dict[int, str]:
    """The processes that were started with this in their environment, and their command lines."""
    wanted = f"{variable}={value}".encode()
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # it ended, or is somebody else's
    return found


def parent_of(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^PPid:\s+(\d+)$", status, re.MULTILINE)
    return int(found[1]) if found else None


def database_on(server: str, name: str) -> str:
    """A new, empty database of this PostgreSQL, as BATON_DATABASE_URL names it."""
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    admin.dispose()
    return server.replace("postgresql+psycopg://", "postgresql://").replace(
        "/postgres?", f"/{name}?"
    )


# --- Baton


@dataclass(frozen=True, slots=True)
class Greeting:
    """What `baton run` prints once it answers."""

    address: str
    link: str | None


class Baton:
    """An installation of its own: a var folder, a database, a port."""

    CHILDREN = {"web": "gunicorn", "worker": "app.worker"}

    def __init__(self, var: Path, *, database_url: str = "", **settings: str) -> None:
        self.var = var
        self.bind = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.bind}"
        self.log = var.with_name(f"{var.name}.log")
        self.environment = clean_environment(
            BATON_VAR=var.name,  # from the folder in which all commands are run, as people do
            BATON_BIND=self.bind,
            BATON_DATABASE_URL=database_url,
            **{"BATON_SAMPLE": "off", **settings},  # quicker; one test is about the sample
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._printed_before = 0

    # Commands

    def command(self, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
        """Run another `baton` command beside the installation."""
        return subprocess.run(
            [BATON, *arguments],
            env=self.environment,
            cwd=self.var.parent,
            input=said,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def secret(self, *arguments: str) -> str:
        """The last line of what a command prints, as a script takes it."""
        done = self.command(*arguments)
        assert done.returncode == 0, f"baton {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return done.stdout.splitlines()[-1]

    # From start to end

    def start(self) -> Greeting:
        """`baton run`, from a folder that is not the repository's, until it greets."""
        assert self._process is None, "It runs already."
        self.var.parent.mkdir(parents=True, exist_ok=True)
        self._printed_before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [BATON, "run"],
                env=self.environment,
                cwd=self.var.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # as a terminal does; Ctrl-C goes to this group
            )
        self._wait(lambda: "Ctrl-C stops it." in self.printed(), "Baton to greet")
        address = re.search(r"^Baton runs at (\S+)$", self.printed(), re.MULTILINE)
        link = re.search(r"^(http\S+/welcome/\S+)$", self.printed(), re.MULTILINE)
        assert address is not None, self.printed()
        return Greeting(address[1], link[1] if link else None)

    def wait_until_ready(self) -> None:
        """Until it can keep a delivery and a worker has run a scheduled job."""
        self._wait(lambda: self.answers("/health/ready"), "Baton to be ready")

    def answers(self, path: str = "/health/live") -> bool:
        try:
            with self.browser() as browser:
                return browser.get(f"{self.url}{path}", timeout=2).ok
        except requests.RequestException:
            return False

    def interrupt(self) -> int:
        """Press Ctrl-C. Returns the exit code once all of it is gone."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGINT)
        code = self._process.wait(timeout=60)
        self._process = None
        left = self.processes()
        assert not left, f"Left behind: {left}"
        return code

    def end(self) -> None:
        """After a test, whatever came of it."""
        if self._process is not None:
            self.kill_everything()

    def printed(self) -> str:
        """What the present run has printed, its children's logs included."""
        with self.log.open("rb") as output:
            output.seek(self._printed_before)
            return output.read().decode("utf-8", "replace")

    # Violence

    def processes(self) -> dict[int, str]:
        return processes_with("BATON_BIND", self.bind)

    def child(self, name: str) -> int | None:
        """The process that the supervisor runs as `web` or `worker`, and that leads its group."""
        if self._process is None:
            return None
        for pid, command in self.processes().items():
            if self.CHILDREN[name] in command and parent_of(pid) == self._process.pid:
                return pid
        return None

    def kill(self, name: str) -> None:
        """kill -9 for a child of the supervisor and all of its group."""
        pid = wait_for(lambda: self.child(name), f"a {name} process")
        os.killpg(pid, signal.SIGKILL)

    def kill_supervisor(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def kill_everything(self) -> None:
        """kill -9 for the supervisor and whatever it started, as when the power goes."""
        self.kill_supervisor()
        deadline = time.monotonic() + 10
        while left := self.processes():
            assert time.monotonic() < deadline, f"Can't be killed: {left}"
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    # Calls

    def browser(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # a proxy of this machine has no business on loopback
        return session

    def api(self, token: str) -> "Api":
        session = self.browser()
        session.headers["Authorization"] = f"Bearer {token}"
        return Api(f"{self.url}/api/v1", session)

    def _wait(self, condition: Callable[[], T], what: str) -> T:
        def alive_and_so() -> T:
            assert self._process is not None
            code = self._process.poll()
            assert code is None, f"It ended with {code}:\n{self.printed()}"
            return condition()

        try:
            return wait_for(alive_and_so, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.printed()[-4000:]}") from None


class Api:
    """Baton's JSON API with one token."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self.url = url
        self.session = session

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        return self._call("GET", path, params=query)

    def post(self, path: str, body: Any) -> dict[str, Any]:
        return self._call("POST", path, json=body)

    def put(self, path: str, body: Any) -> dict[str, Any]:
        return self._call("PUT", path, json=body)

    def all(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """The items of all pages of a list."""
        items: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.get(path, limit=200, **query, **({"cursor": cursor} if cursor else {}))
            items += page["items"]
            if (cursor := page["next"]) is None:
                return items

    def _call(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        answer = self.session.request(method, self.url + path, timeout=20, **more)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        found = answer.json()
        assert isinstance(found, dict)
        return found


# --- The pager


@dataclass(frozen=True, slots=True)
class Page:
    """An incident at the pager, and which of Baton's it is about."""

    incident: int  # Baton's number
    dedup_key: str
    status: str
    title: str
    created_at: datetime
    event: dict[str, Any]  # of its first trigger


class TlsPager:
    """The sandbox pager behind a socket with a certificate of its own."""

    def __init__(self, url: str, ca: Path, sandbox: SandboxPager) -> None:
        self.url = url
        self.sandbox = sandbox
        self.settings = {
            "BATON_PAGERDUTY_EVENTS_URL": url,
            "BATON_PAGERDUTY_CA": str(ca),
        }

    def pages(self) -> list[Page]:
        """All incidents that were opened at the pager, oldest first."""
        rows = self.sandbox.store.rows(
            "SELECT i.incident_key, i.status, i.title, i.created_at, a.body "
            "FROM incidents i JOIN alerts a ON a.incident_id = i.id ORDER BY i.number"
        )
        pages = []
        for row in rows:
            event = json.loads(row["body"])
            number = event["payload"]["custom_details"]["incident"].removeprefix("INC-")
            pages.append(
                Page(
                    int(number),
                    row["incident_key"],
                    row["status"],
                    row["title"],
                    read(row["created_at"]),
                    event,
                )
            )
        return pages

    def pages_of(self, incident: int) -> list[Page]:
        return [page for page in self.pages() if page.incident == incident]


@contextmanager
def tls_pager(folder: Path) -> Iterator[TlsPager]:
    authority = trustme.CA()
    ca = folder / "pager-ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    sandbox = SandboxPager(folder / "pager.sqlite3")
    server = make_server("127.0.0.1", 0, sandbox.app, threaded=True, ssl_context=context)
    server.daemon_threads = True  # type: ignore[attr-defined]
    with _served(server):
        yield TlsPager(f"https://127.0.0.1:{server.port}", ca, sandbox)


# --- Those that send


class Metrics:
    """A model server's metrics endpoint, with values that the test sets."""

    def __init__(self) -> None:
        self.target = ""  # host and port
        self._values: dict[str, float] = {}

    def set(self, name: str, labels: Mapping[str, str], value: float) -> None:
        written = ",".join(f'{label}="{said}"' for label, said in labels.items())
        self._values = {**self._values, f"{name}{{{written}}}": value}

    def exposition(self) -> bytes:
        return "".join(f"{name} {value}\n" for name, value in self._values.items()).encode()


@contextmanager
def metrics_endpoint() -> Iterator[Metrics]:
    metrics = Metrics()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = metrics.exposition()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    metrics.target = f"127.0.0.1:{server.server_port}"
    with _served(server):
        yield metrics


@contextmanager
def alertmanager(folder: Path, config: dict[str, Any]) -> Iterator[str]:
    """A real Alertmanager with this configuration; its URL."""
    program = programs.require(programs.ALERTMANAGER)
    address = f"127.0.0.1:{free_port()}"
    command = [
        str(program),
        f"--config.file={_written(folder / 'alertmanager.yml', config)}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with _running(command, folder / "alertmanager.log", f"http://{address}/-/ready"):
        yield f"http://{address}"


@contextmanager
def prometheus(folder: Path, config: dict[str, Any], rules: dict[str, Any]) -> Iterator[str]:
    """A real Prometheus with this configuration and these rules; its URL."""
    program = programs.require(programs.PROMETHEUS)
    address = f"127.0.0.1:{free_port()}"
    config = {**config, "rule_files": [_written(folder / "rules.yml", rules)]}
    command = [
        str(program),
        f"--config.file={_written(folder / 'prometheus.yml', config)}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={address}",
        f"--web.external-url=http://{address}",
        "--rules.alert.resend-delay=1s",
    ]
    with _running(command, folder / "prometheus.log", f"http://{address}/-/ready"):
        yield f"http://{address}"


def _written(path: Path, document: dict[str, Any]) -> str:
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return str(path)


@contextmanager
def _running(command: Sequence[str], log: Path, ready: str) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=clean_environment(), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: _is_ready(process, ready, log), f"{command[0]} to be ready")
        yield
    finally:
        process.kill()
        process.wait()


def _is_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> bool:
    assert process.poll() is None, f"It ended:\n{log.read_text()[-4000:]}"
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(url, timeout=2).ok
        except requests.RequestException:
            return False


@contextmanager
def _served(server: Any) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
