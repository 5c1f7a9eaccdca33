"""The documentation tells of what there is."""

from pathlib import Path

from app.config import Settings

DOCS = Path(__file__).parents[2] / "docs"


def test_every_setting_is_documented_with_its_description():
    text = (DOCS / "configuration.md").read_text()
    missing = [
        name
        for name, field in Settings.model_fields.items()
        if f"| `BATON_{name.upper()}` |" not in text or (field.description or "?") not in text
    ]

    assert missing == []


def test_no_setting_is_documented_that_does_not_exist():
    rows = [
        line.split("`")[1]
        for line in (DOCS / "configuration.md").read_text().splitlines()
        if line.startswith("| `BATON_")
    ]

    assert sorted(rows) == sorted(f"BATON_{name.upper()}" for name in Settings.model_fields)
