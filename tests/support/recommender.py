"""The sample recommender as a process, at a pace that tests can wait for."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from app.supervisor import SAMPLE
from tests.support.processes import clean_environment, wait_for

PYTHON = SAMPLE / ".venv" / "bin" / "python"


def require() -> None:
    """See that its packages are there: left out with a reason, and in CI a failure."""
    if (SAMPLE / ".venv" / ".installed").exists():
        return
    why = "The sample's packages are not installed: make -C examples/recommender install"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"In CI no test is left out. {why}", pytrace=False)
    pytest.skip(why)


@contextmanager
def recommender(folder: Path, *, rate: float, window: float) -> Iterator[str]:
    """A running one, by day and night alike; its address."""
    require()
    command = [
        str(PYTHON), "-m", "recommender", "run", "--var", str(folder),
        "--rate", str(rate), "--swing", "0", "--window", str(window),
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=SAMPLE, env=clean_environment())
    with suppress(PermissionError):
        # Where we may: what else this machine is at must not look like a slow provider.
        os.setpriority(os.PRIO_PROCESS, process.pid, -10)
    try:
        yield wait_for(lambda: _answers(process, folder / "address"), "the recommender to answer")
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0


def _answers(process: "subprocess.Popen[bytes]", told: Path) -> str | None:
    assert process.poll() is None, "The recommender has ended."
    if not told.exists():
        return None
    address = told.read_text()
    try:
        return address if asked(f"{address}/health") else None
    except requests.RequestException:
        return None


def asked(url: str) -> Any:
    """What it answers, as JSON."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(url, timeout=5)
    answer.raise_for_status()
    return answer.json()
