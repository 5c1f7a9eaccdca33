"""Starting and ending the processes: training once, then serving, provider and visitors."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from recommender.faults import Faults
from recommender.folder import Folder

STARTS_WITHIN = 60.0
USUAL_PORT = 8090
LOOKS_EVERY = 0.25


class Process:
    """One of our own modules as a process, which ends when this one does."""

    def __init__(self, module: str, **options: object) -> None:
        self.module = module
        self._options = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"recommender.{self.module}", *self._options],
            stdin=subprocess.PIPE,  # kept open: its end tells the process that we are gone
            # These arrays are small: threads for them would cost more than they bring.
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )

    def ends_well(self, ending: threading.Event) -> bool:
        while self.is_running and not ending.wait(0.05):
            pass
        self.stop()
        return self._process is not None and self._process.returncode == 0

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def run(folder: Folder, *, port: int | None, rate: float, swing: float, window: float) -> int:
    """Run until told to end, and give the exit code. Without a port it takes one that is free."""
    ending = threading.Event()
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, lambda *_: ending.set())

    if not folder.reference.exists():
        print("Training the model, for the first and only time.", flush=True)
        training = Process("training", var=folder.root)
        training.start()
        if not training.ends_well(ending):
            return 0 if ending.is_set() else 1
    port = port or usable_port(folder)
    url = f"http://127.0.0.1:{port}"
    folder.tell_address(url)
    folder.control_token()
    faults = Faults(folder)

    provider_port = free_port()
    provider = Process("provider", var=folder.root, port=provider_port)
    serving = Process(
        "serving", var=folder.root, port=port, provider_port=provider_port, window=window
    )
    visitors = Process("traffic", var=folder.root, port=port, rate=rate, swing=swing)
    try:
        # The provider first: serving would begin its life on the second rung.
        for process in (provider, serving):
            if process is serving or not faults.active("provider-down"):
                process.start()
        if not answers(url, serving, ending):
            return 0 if ending.is_set() else 1
        visitors.start()
        print(f"The recommender answers at {url}/recommend?user=1&item=1", flush=True)
        for fault in faults.as_json():
            if fault["since"]:
                print(f"A fault is still on: {fault['name']}", flush=True)
        while not ending.wait(LOOKS_EVERY):
            keep(provider, stopped=faults.active("provider-down"))
            for process in (serving, visitors):
                if not process.is_running:
                    print(f"The {process.module} process has ended.", file=sys.stderr)
                    return 1
        return 0
    finally:
        for process in (visitors, serving, provider):
            process.stop()
        # Whoever looks for us must not find the program that has the port after us.
        folder.address.unlink(missing_ok=True)


def keep(provider: Process, *, stopped: bool) -> None:
    """Hold the provider in the state that its fault asks for."""
    if stopped and provider.is_running:
        provider.stop()
    elif not stopped and not provider.is_running:
        provider.start()


def answers(url: str, serving: Process, ending: threading.Event) -> bool:
    """Wait until serving answers; false when it ended, or should."""
    opener = build_opener(ProxyHandler({}))
    give_up = time.monotonic() + STARTS_WITHIN
    while serving.is_running and time.monotonic() < give_up and not ending.is_set():
        with suppress(URLError, OSError), opener.open(f"{url}/health", timeout=1):
            # Asked again: the answer may be another program's, which had the port before.
            return serving.is_running
        ending.wait(0.1)
    return False


def usable_port(folder: Folder) -> int:
    """Give the port of a run that did not end well, the usual one, or any that is free."""
    kept = folder.address.read_text() if folder.address.exists() else ""
    before = kept.rpartition(":")[2]
    wanted = [int(before)] if before.isdigit() else []
    for port in (*wanted, USUAL_PORT):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return free_port()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
