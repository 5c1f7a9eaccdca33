"""Work that nothing can interrupt inside this process: Python-Markdown, and patterns of authors.

It is done by `mkdocs.py`, in one process beside each of ours, started when it is first needed.
The kernel ends it when a piece of work has used up its seconds, and the next piece starts another.
"""

import atexit
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

PROGRAM = Path(__file__).with_name("mkdocs.py")
# It needs no secret of ours.
ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


class TooSlowError(Exception):
    """The work took too long, or too much memory."""


def html_of(
    text: str, references: dict[str, list[str]], *, inline: bool, seconds: float
) -> tuple[str, float]:
    """What Python-Markdown makes of a text, not safe to show, and the seconds that it took."""
    asked = {"text": text, "references": references, "inline": inline}
    answer = _process.ask(asked, seconds)
    return answer["html"], answer["seconds"]


def matches(pattern: str, value: str, *, seconds: float = 0.2) -> bool:
    """Whether a value has the form of a pattern. One that is no expression fits everything."""
    answer = _process.ask({"pattern": pattern, "value": value}, seconds)
    return bool(answer["matches"])


class _Process:
    def __init__(self) -> None:
        self.lock = Lock()
        self.running: subprocess.Popen[bytes] | None = None
        self.left_alone: subprocess.Popen[bytes] | None = None  # of the process that forked us

    def ask(self, asked: dict[str, Any], seconds: float) -> dict[str, Any]:
        if seconds <= 0:
            raise TooSlowError
        line = json.dumps(asked | {"seconds": seconds}).encode() + b"\n"
        with self.lock:
            said = self._answer(line)
            if not said.endswith(b"\n"):
                self.stop()
                raise TooSlowError
        answer: dict[str, Any] = json.loads(said)
        if answer.get("refused"):
            raise TooSlowError
        return answer

    def _answer(self, line: bytes) -> bytes:
        if self.running is None or self.running.poll() is not None:
            self.stop()
            self.running = _start()
        assert self.running.stdin is not None
        assert self.running.stdout is not None
        with suppress(BrokenPipeError):
            # Past Python's buffer, which a fork in this moment would send twice.
            left = memoryview(line)
            while left:
                left = left[os.write(self.running.stdin.fileno(), left) :]
        return self.running.stdout.readline()

    def stop(self) -> None:
        if self.running is not None:
            with self.running as process:
                process.kill()
            self.running = None

    def forget(self) -> None:
        """After a fork: the process is our parent's, and so may be the lock."""
        self.lock = Lock()
        self.left_alone, self.running = self.running, None


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  our own program, with nothing of the text in its name
        # -P: its folder has modules with names of the standard library's.
        [sys.executable, "-P", str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        cwd="/",
    )


_process = _Process()
atexit.register(_process.stop)
os.register_at_fork(after_in_child=_process.forget)
