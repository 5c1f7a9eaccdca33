"""Text that was made to be slow is linted in about a second, or refused with a reason."""

import time

import pytest

from app.runbooks.lint import lint
from tests.unit.runbooks.hostile import SLOW, SLOW_MKDOCS, _full


@pytest.mark.parametrize(
    "name", ["raw tables", "wide table", "quoted lines", "many attributes", "open tags"]
)
def test_slow_text_is_linted_or_refused_in_time(name):
    source = _full({**SLOW, **SLOW_MKDOCS}[name]).encode()
    began = time.process_time()

    found = lint(source, slug="slow")

    assert time.process_time() - began < 4  # one second, on a machine that does nothing else
    assert found
