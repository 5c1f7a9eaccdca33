"""`baton runbooks lint`: for authors, and for the CI of a repository of runbooks.

It needs no database: what stands around a runbook is what stands beside its file.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from app.core.clock import now
from app.core.errors import NotFoundError
from app.runbooks.format import id_of
from app.runbooks.importing import markdown_files
from app.runbooks.lint import Finding, Level, Surroundings, lint
from app.runbooks.rules import kebab

UNREADABLE = 2


@dataclass(frozen=True, slots=True)
class Beside:
    """The files beside a runbook, as its links say them."""

    folder: Path

    def __contains__(self, path: object) -> bool:
        try:
            return (self.folder / str(path)).exists()
        except (OSError, ValueError):
            return False


@click.command("lint")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "shape",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    help="github writes annotations that GitHub Actions shows in the changed files.",
)
def command(paths: tuple[Path, ...], shape: str) -> None:
    """Check runbook files, and all in folders, against the rules.

    Without PATHS it takes the folder of BATON_RUNBOOKS, else `runbooks`. Exit code 1 if there are
    errors, 2 if a path can't be read.
    """
    sources, unreadable = _read(paths or (Path(os.environ.get("BATON_RUNBOOKS") or "runbooks"),))
    findings = _findings(sources)
    for path, why in unreadable.items():
        click.echo(f"{path} can't be read: {why}.", err=True)
    for line in SHAPES[shape](findings):
        click.echo(line)
    if unreadable:
        sys.exit(UNREADABLE)
    errors = any(one.level is Level.ERROR for found in findings.values() for one in found)
    sys.exit(1 if errors else 0)


def _read(paths: Iterable[Path]) -> tuple[dict[Path, bytes], dict[Path, str]]:
    """The files that are named and those in folders, and why some can't be read."""
    sources: dict[Path, bytes] = {}
    unreadable: dict[Path, str] = {}
    files: list[Path] = []
    for path in paths:
        try:
            files += markdown_files(path) if path.is_dir() else [path]
        except NotFoundError:
            unreadable[path] = "permission denied"
    for file in files:
        try:
            sources[file] = file.read_bytes()
        except OSError as error:
            unreadable[file] = (error.strerror or "unknown reason").lower()
    return sources, unreadable


def _findings(sources: Mapping[Path, bytes]) -> dict[Path, list[Finding]]:
    ids = {path: id_of(source) or kebab(path.stem) for path, source in sources.items()}
    today = now().date()
    return {
        path: lint(
            source,
            slug=kebab(path.stem),
            surroundings=Surroundings(
                slugs={name for other, name in ids.items() if other != path},
                files=Beside(path.parent),
                today=today,
            ),
        )
        for path, source in sources.items()
    }


def _as_text(findings: Mapping[Path, Sequence[Finding]]) -> Iterable[str]:
    for path, found in findings.items():
        for one in found:
            yield f"{path}:{one.line}: {one.level} {one.rule}: {one.sentence}"
    errors, warnings = _counts(findings)
    yield (
        f"{_counted(len(findings), 'file')}: {_counted(errors, 'error')}, "
        f"{_counted(warnings, 'warning')}."
    )


def _as_json(findings: Mapping[Path, Sequence[Finding]]) -> Iterable[str]:
    errors, warnings = _counts(findings)
    said = {
        "files": len(findings),
        "errors": errors,
        "warnings": warnings,
        "findings": [
            {"path": path.as_posix(), **asdict(one)}
            for path, found in findings.items()
            for one in found
        ],
    }
    yield json.dumps(said, indent=2, ensure_ascii=False)


def _as_github(findings: Mapping[Path, Sequence[Finding]]) -> Iterable[str]:
    for path, found in findings.items():
        for one in found:
            where = f"file={_property(path.as_posix())},line={one.line},title={one.rule}"
            yield f"::{one.level} {where}::{_message(one.sentence)}"


SHAPES = {"text": _as_text, "json": _as_json, "github": _as_github}


def _message(words: str) -> str:
    return words.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(words: str) -> str:
    return _message(words).replace(":", "%3A").replace(",", "%2C")


def _counts(findings: Mapping[Path, Sequence[Finding]]) -> tuple[int, int]:
    levels = [one.level for found in findings.values() for one in found]
    return levels.count(Level.ERROR), levels.count(Level.WARNING)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
