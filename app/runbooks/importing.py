"""Reading a folder of runbook files. One bad file never stops the rest."""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.core.errors import NotFoundError
from app.core.markdown import MAX_BYTES
from app.runbooks.format import BOM, canonical_sha256, id_of
from app.runbooks.rules import RESERVED, kebab

MARKDOWN = (".md", ".markdown")
NOT_RUNBOOKS = frozenset({"readme", "contributing", "changelog", "license", "code_of_conduct"})


@dataclass(frozen=True, slots=True)
class File:
    """A file that can be a runbook, not read beyond its id."""

    path: str  # below the folder, with slashes
    slug: str
    source: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Failure:
    path: str
    why: str  # a sentence


@dataclass(frozen=True, slots=True)
class Imported:
    """A version that an import made."""

    path: str
    slug: str
    number: int
    published: bool
    remarks: tuple[str, ...]  # sentences: what in the file could not be read
    stays: int | None = None  # number of the version that is published instead
    is_merge: bool = False  # it holds the file together with that version
    conflicts: tuple[str, ...] = ()  # where the file and that version changed the same


@dataclass
class ImportReport:
    """What an import did, file by file."""

    folder: str
    new: list[Imported] = field(default_factory=list)
    changed: list[Imported] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)  # paths
    failed: list[Failure] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)  # slugs whose file is gone
    missing: list[str] = field(default_factory=list)  # gone too, and left as they are
    moved: list[tuple[str, str]] = field(default_factory=list)  # slug, and its path now
    here: list[str] = field(default_factory=list)  # slugs whose text changed in Baton only
    waiting: list[str] = field(default_factory=list)  # changed on both sides, and told before

    @property
    def news(self) -> bool:
        """Whether something happened, or needs somebody."""
        return bool(self.new or self.changed or self.failed or self.retired or self.missing)

    def lines(self) -> list[str]:
        """The report in words, the total first."""
        total = f"{len(self.new)} new, {len(self.changed)} changed, {len(self.unchanged)} unchanged"
        if self.retired:
            total += f", {len(self.retired)} retired"
        found = [f"Runbooks in {self.folder}: {total}, {len(self.failed)} failed."]
        found += [f"  {one.path} is new: {one.slug}." for one in self.new]
        found += [f"  {one.path} changed: {_became(one)}" for one in self.changed]
        for one in (*self.new, *self.changed):
            found += [f"  {one.path}: {remark}" for remark in one.remarks]
        found += [f"  {one.path} failed: {one.why}" for one in self.failed]
        found += [f"  {slug} is now {path}." for slug, path in self.moved]
        found += [f"  {slug} changed in Baton only. Export it to bring the folder up to date."
                  for slug in self.here]  # fmt: skip
        found += [f"  {slug} changed on both sides. A draft that holds both is still waiting."
                  for slug in self.waiting]  # fmt: skip
        found += [f"  {slug} has no file here any more. It was retired." for slug in self.retired]
        if self.missing:
            found.append("  The folder holds no runbook at all, so none was retired.")
        return found


def _became(one: Imported) -> str:
    name = f"{one.slug} v{one.number}"
    if one.published:
        return f"{name} is published."
    if one.stays is None:
        return f"{name} is a draft, because the runbook is retired here."
    holds = "a draft that holds both" if one.is_merge else "a draft"
    found = f"{name} is {holds}, because v{one.stays} is published and was written in Baton."
    if one.conflicts:
        found += f" Choose in {', '.join(one.conflicts)}."
    return found


def read_folder(
    folder: Path, slugs_by_path: Mapping[str, str], others: Collection[str] = ()
) -> tuple[list[File], list[Failure]]:
    """All Markdown files below a folder. `slugs_by_path` are known from earlier imports of it.

    `others` are names of runbooks that have their files elsewhere. Raises `NotFoundError` when the
    folder itself can't be read.
    """
    files: dict[str, File] = {}
    failures: list[Failure] = []
    root = folder.resolve()
    for path in markdown_files(folder):
        name = path.relative_to(folder).as_posix()
        try:
            source = _read(path, root)
            slug = _slug(name, source, slugs_by_path, others, files)
        except (OSError, ValueError) as error:
            failures.append(Failure(_shown(name), _reason(error)))
        else:
            files[slug] = File(_shown(name), slug, source, canonical_sha256(source))
    return list(files.values()), failures


def markdown_files(folder: Path) -> Iterable[Path]:
    """The files below a folder that can be runbooks, by name."""
    check_readable(folder)
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        hidden = any(part.startswith((".", "_")) for part in below.parts)
        if path.suffix.lower() not in MARKDOWN or hidden or path.is_dir():
            continue
        if path.stem.lower() not in NOT_RUNBOOKS:
            yield path


def check_readable(folder: Path) -> None:
    """Raises `NotFoundError` if a folder can't be read."""
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        raise NotFoundError(f"The folder {folder} can't be read.")


def _read(path: Path, root: Path) -> bytes:
    if not path.is_file():
        raise ValueError("It is not a file.")
    # Whoever may write runbooks may not read every file of this host.
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        raise ValueError("It is a link that leads out of the folder.")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(
            f"It is {-(-size // 1024)} KB large; a runbook is {MAX_BYTES // 1024} KB at most."
        )
    source = path.read_bytes()
    if not source.removeprefix(BOM).strip():
        raise ValueError("It is empty.")
    if b"\x00" in source:
        raise ValueError("It is not a text file.")
    return source


def _slug(
    name: str,
    source: bytes,
    slugs_by_path: Mapping[str, str],
    others: Collection[str],
    taken: Mapping[str, File],
) -> str:
    """The id in the file; else what its path was called before; else its name."""
    said = id_of(source)
    if said is not None:
        if said in RESERVED:
            raise ValueError(f"Its id {said} is the address of a page. Give it another.")
        if said in taken:
            raise ValueError(f"Its id {said} is already that of {taken[said].path}.")
        return said
    stem = name.rsplit(".", 1)[0]
    reserved = {*RESERVED, *slugs_by_path.values(), *others, *taken}
    if (known := slugs_by_path.get(name)) is not None and known not in taken:
        return known
    for wanted in (kebab(stem.rsplit("/", 1)[-1]), kebab(stem.replace("/", "-"))):
        if wanted and wanted not in reserved:
            return wanted
    raise ValueError("No id can be made from its name. Give it one in the front matter.")


def _shown(name: str) -> str:
    """A path as every database takes it: names of files need not be text."""
    return name.encode("utf-8", "replace").decode().replace("\n", "?")[:500]


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return f"It can't be read: {error.strerror or error}."
    return str(error)
