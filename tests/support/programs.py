"""The programs that end-to-end and browser tests run against, and what happens without them.

`python -m tests.support.programs` prints the Debian packages of those that are missing.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Program:
    package: str  # Debian's
    names: tuple[str, ...]  # by any of these it may go
    tests: str  # what can't be tested without it

    def find(self) -> Path | None:
        found = (shutil.which(name, path=SEARCH_PATH) for name in self.names)
        return next((Path(path) for path in found if path), None)


# Debian puts these here; a CI runner's PATH may be shorter.
SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin"))

PROMETHEUS = Program("prometheus", ("prometheus",), "end-to-end tests that start a real Prometheus")
ALERTMANAGER = Program(
    "prometheus-alertmanager",
    ("prometheus-alertmanager", "alertmanager"),
    "end-to-end tests that start a real Alertmanager",
)
# The same browser without the window that nobody sees: it opens a page in a quarter of the time.
CHROMIUM = Program(
    "chromium-headless-shell",
    ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"),
    "all browser tests",
)
ALL = (PROMETHEUS, ALERTMANAGER, CHROMIUM)


def require(program: Program) -> Path:
    """The program, or the end of this test: left out with a reason, and in CI a failure."""
    found = program.find()
    if found is not None:
        return found
    why = f"{program.package} is not installed: apt-get install {program.package}"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"In CI no test is left out, and {why}", pytrace=False)
    pytest.skip(why)


def main() -> None:
    for program in ALL:
        if program.find() is None:
            print(f"{program.package}\t{program.tests}")  # noqa: T201


if __name__ == "__main__":
    main()
