"""A folder of runbook files, and importing it."""

import textwrap

import pytest

from app.runbooks import syncing


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runbooks"


@pytest.fixture
def write(folder):
    """Write a file into the folder: its text, or its bytes."""

    def put(name, text):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return path

    return put


@pytest.fixture
def bring_in(app, folder, at):
    """Import the folder."""

    def run(**more):
        return syncing.import_folder(folder, at=more.pop("at", at), **more)

    return run


@pytest.fixture
def latency(write):
    """Write the file of a runbook for latency; `text` stands in its first step."""

    def put(text="Look at p99.", *, name="latency.md", head=""):
        return write(
            name,
            f"---\nschema: runbook/1\nid: latency\ntitle: Latency is high\n"
            f"failure_mode: latency_regression\nseverity: sev2\nowner: serving\n"
            f"signals:\n  - {{alertname: RecsysHomeP99High}}\n{head}---\n\n"
            f"# Latency is high\n\n## Impact\nSlow.\n\n## Steps\n\n### Look\n"
            f"<!-- step id=look kind=check minutes=2 -->\n{text}\n\n### Which?\n"
            f"<!-- step id=which kind=decision -->\n- **This** → [go: back](#back)\n\n"
            f"## Roll back\n\n### Go back\n"
            f"<!-- step id=back kind=action risk=high minutes=5 undo=look -->\n"
            f"```bash {{name=undo}}\n$ kubectl rollout undo deployment/{{{{model}}}}\n```\n"
            f"**Expect:** `rolled back`.\n",
        )

    return put
