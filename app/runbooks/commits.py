"""Which git commit the files of a folder are from."""

import hashlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

PATIENCE = 5.0  # seconds


def commits_of(folder: Path, files: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """The last commit of each file (its path below the folder, and its content), by path.

    A file that differs from what was committed has none. Nothing at all where the folder is in no
    work tree, where git is not installed, or where the history takes too long to read.
    """
    committed = _committed(folder)
    wanted = {path for path, content in files if _is_blob(content, committed.get(path))}
    if not wanted:
        return {}
    # One walk through the history for all files; renames and merges need no more than that.
    log = _git(folder, "log", "--format=%x01%H", "--name-only", "--relative", "-z", "--", ".")
    found: dict[str, str] = {}
    for entry in log.split("\x01")[1:]:
        commit, _, names = entry.partition("\x00")
        for name in (name.lstrip("\n") for name in names.split("\x00")):
            if name in wanted:
                found.setdefault(name, commit.strip())
        if len(found) == len(wanted):
            break
    return found


def _committed(folder: Path) -> dict[str, str]:
    """Ids of the files as they were committed last, by path."""
    found: dict[str, str] = {}
    for line in _git(folder, "ls-tree", "-r", "-z", "HEAD").split("\x00"):
        about, _, path = line.partition("\t")
        if about.count(" ") == 2:
            found[path] = about.split(" ")[2]
    return found


def _is_blob(content: bytes, blob: str | None) -> bool:
    if blob is None:
        return False
    kind = hashlib.sha1 if len(blob) == 40 else hashlib.sha256
    return kind(b"blob %d\x00" % len(content) + content, usedforsecurity=False).hexdigest() == blob


def _git(folder: Path, *arguments: str) -> str:
    """What git says, or nothing. Only commands that run no filter and no hook of the repository."""
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-C", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 - git and fixed options; the folder is one argument
            [*command, *arguments],
            capture_output=True,
            timeout=PATIENCE,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")
