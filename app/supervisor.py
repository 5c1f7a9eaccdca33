"""Runs gunicorn and the worker as one group: started together, restarted alone, ended together.

The sample is part of it where its packages are installed; the group lives on without it.
"""

import ctypes
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from app.config import Settings

log = logging.getLogger(__name__)

ROOT = Path(__file__).parent.parent
PATIENCE = 20.0  # seconds that children get to finish what they are at
TOO_OFTEN = 5  # unexpected ends within so long, after which the group gives up
PR_SET_PDEATHSIG = 1
SAMPLE = ROOT / "examples" / "recommender"


@dataclass(slots=True)
class Child:
    """A process of the group, in a session of its own so that Ctrl-C reaches only us."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    folder: Path | None = None  # in which it is started; none: ours
    is_optional: bool = False  # the group lives on when it fails too often
    within: float = 60.0  # seconds in which `TOO_OFTEN` is too often
    process: subprocess.Popen[bytes] | None = None
    ended_at: list[float] = field(default_factory=list)

    def start(self) -> None:
        self.process = subprocess.Popen(  # noqa: S603 our own command line
            self.command,
            env=self.environment,
            cwd=self.folder,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def fails_too_often(self) -> bool:
        moment = time.monotonic()
        self.ended_at = [*(end for end in self.ended_at if moment - end < self.within), moment]
        return len(self.ended_at) >= TOO_OFTEN

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


def _die_with_parent() -> None:
    """Even if we are killed, our children end."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def children(settings: Settings) -> list[Child]:
    metrics = settings.var.resolve() / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)  # counts of processes long gone
    metrics.mkdir(parents=True)
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    group = [
        Child("web", web_command(settings), environment),
        Child("worker", [sys.executable, "-m", "app.worker"], environment),
    ]
    if settings.sample and (SAMPLE / ".venv" / ".installed").exists():
        group.append(_sample(settings))
    return group


def _sample(settings: Settings) -> Child:
    """The recommender in `examples/`, a program of its own with packages of its own."""
    # It gets none of our secrets, and does not write into our metrics.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BATON_", "PROMETHEUS_", "PYTHON"))
    }
    command = [
        str(SAMPLE / ".venv" / "bin" / "python"), "-m", "recommender",
        "run", "--var", str(settings.var.resolve() / "sample"),
    ]  # fmt: skip
    return Child("sample", command, environment, folder=SAMPLE, is_optional=True, within=600.0)


def web_command(settings: Settings) -> list[str]:
    return [
        sys.executable, "-m", "gunicorn", "wsgi:app",
        "--pythonpath", str(ROOT),  # we may have been started from anywhere
        "--bind", settings.bind,
        "--worker-class", "gthread",
        "--workers", str(settings.workers),
        "--threads", str(settings.threads),
        "--reuse-port",
        "--preload",  # loaded once, and what is loaded is shared
        "--keep-alive", "5",
        "--graceful-timeout", "15",
        "--no-control-socket",
        "--log-level", "warning",
    ]  # fmt: skip


def refusal_to_bind(bind: str) -> str | None:
    """Say why this address can't be listened on; None if it can."""
    host, _, port = bind.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            return f"{bind} can't be listened on: {error.strerror}. Set BATON_BIND to another."
    return None


def supervise(
    group: Sequence[Child], *, ready: Callable[[], bool], greet: Callable[[], None]
) -> int:
    """Run the group until a signal or until one of it fails too often. Returns the exit code."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    code, greeted = 0, False
    for child in group:
        child.start()
    while not stop.wait(0.2):
        if not greeted and ready():
            greet()
            greeted = True
        for child in group:
            if not child.has_ended():
                continue
            if child.fails_too_often():
                if child.is_optional:
                    print(f"{child.name} keeps failing; Baton runs on without it.", file=sys.stderr)  # noqa: T201
                    child.process = None
                    continue
                print(f"{child.name} keeps failing; giving up.", file=sys.stderr)  # noqa: T201
                code = 1
                stop.set()
                break
            print(f"{child.name} ended unexpectedly; starting it again.", file=sys.stderr)  # noqa: T201
            stop.wait(1)
            child.start()
    end(group)
    return code


def end(group: Sequence[Child]) -> None:
    """Ask all to finish, wait, and insist where asking did not help."""
    for child in group:
        child.signal(signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    for child in group:
        if child.process is None:
            continue
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.signal(signal.SIGKILL)
            child.process.wait()
