"""`docs/health-sources.md` tells of what there is."""

from pathlib import Path

import pytest

from app.health.panel_files import EXAMPLE
from app.health.presets import PRESETS
from app.health.source_options import OPTIONS
from app.health.sources import SOURCES, contracts, drift

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def text():
    return (DOCS / "health-sources.md").read_text()


def preset_row(preset):
    """The row of the table for one preset, as `docs/health-sources.md` has to hold it."""
    panels = ", ".join(template.title for template in preset.panels if not template.cannot)
    cannot = " ".join(preset.cannot) or "Nothing that these panels need."
    return f"| {preset.title} (`{preset.key}`) | {panels or 'none'} | {cannot} |"


@pytest.mark.parametrize("key", PRESETS)
def test_every_preset_is_told_with_what_it_can_t(text, key):
    assert preset_row(PRESETS[key]) in text.splitlines()


def test_no_preset_is_told_that_does_not_exist(text):
    rows = [line for line in text.splitlines() if line.startswith("| ") and " (`" in line]

    assert rows == [preset_row(preset) for preset in PRESETS.values()]


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_is_told_with_its_options(text, kind):
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(f"| `{kind}` | ")]
    (told,) = [cells[3] for cells in rows if len(cells) == 4]

    assert told.rstrip(" |") == ", ".join(f"`{name}`" for name in OPTIONS[kind])


@pytest.mark.parametrize("name", [*drift.FORMATS, *contracts.FORMATS])
def test_every_format_is_told(text, name):
    assert f"| `{name}` | " in text


def test_the_example_file_is_the_one_that_is_tested(text):
    assert f"```yaml\n{EXAMPLE}```" in text
