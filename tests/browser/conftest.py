"""What all browser tests have in common."""

from pathlib import Path

import pytest

from tests.support import programs

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


def pytest_runtest_setup() -> None:
    programs.require(programs.CHROMIUM)
