"""Pictures and other files that stand beside a runbook, as its text refers to them.

A file is known by the path that the text says, so that a text keeps its pictures when it is moved,
copied or edited. Only what a runbook plausibly needs is taken, by its ending; a folder of runbooks
may hold secrets.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path, PurePosixPath
from posixpath import normpath
from urllib.parse import quote, unquote

from app.runbooks.format import Document, Step

MAX_FILE_BYTES = 2 * 1024 * 1024
MAX_BYTES = 20 * 1024 * 1024  # of one runbook
MOST_FILES = 200
LONGEST_PATH = 300

# Shown in the page, if they begin as their kind does.
PICTURES = {
    ".png": ("image/png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ".jpg": ("image/jpeg", re.compile(rb"\xff\xd8\xff")),
    ".jpeg": ("image/jpeg", re.compile(rb"\xff\xd8\xff")),
    ".gif": ("image/gif", re.compile(rb"GIF8[79]a")),
    ".webp": ("image/webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
}
# Handed out as downloads. SVG is one of them: it can hold scripts and styles.
DOWNLOADS = {
    ".svg": "image/svg+xml", ".pdf": "application/pdf", ".txt": "text/plain", ".log": "text/plain",
    ".csv": "text/csv", ".tsv": "text/tab-separated-values", ".json": "application/json",
    ".yaml": "application/yaml", ".yml": "application/yaml", ".toml": "application/toml",
    ".sql": "application/sql", ".sh": "text/x-shellscript", ".py": "text/x-python",
    ".promql": "text/plain", ".ipynb": "application/x-ipynb+json", ".drawio": "application/xml",
}  # fmt: skip

IN_TEXT = re.compile(r"\]\(\s*(?:<([^<>\n]+)>|([^\s()<>]+(?:\([^\s()<>]*\)[^\s()<>]*)*))")
IN_TAGS = re.compile(
    r"<(?:img|a)\s[^<>]*?\b(?:src|href)\s*=\s*(?:\"([^\"<>]*)\"|'([^'<>]*)'|([^\s\"'<>]+))",
    re.IGNORECASE,
)
IN_DEFINITIONS = re.compile(r"\]:\s{0,9}(?:<([^<>\n]+)>|([^\s<>]+))")
# In an address, two dots would be taken away by browsers.
UP = "~"


@dataclass(frozen=True, slots=True)
class File:
    path: str  # as the text says it
    media_type: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Beside:
    """What was found beside a runbook."""

    files: tuple[File, ...] = ()
    remarks: tuple[str, ...] = ()  # sentences: what could not be taken

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(file.path for file in self.files)


def picture_type(path: str) -> str | None:
    """The media type of a picture that is shown in the page; None for a download."""
    media_type, _ = PICTURES.get(PurePosixPath(path).suffix.lower(), (None, None))
    return media_type


def path_of(target: str) -> str | None:
    """The path that a link or a picture refers to, if it is relative and of a kind that we take."""
    said = unquote(re.split(r"[?#]", unescape(target), maxsplit=1)[0]).strip()
    if not said or len(said) > LONGEST_PATH or said[0] in "/\\" or not said.isprintable():
        return None
    path = normpath(said)
    parts = path.split("/")
    odd = any(
        part == UP or (part.startswith(".") and part != "..") or ".." in part[1:] for part in parts
    )
    suffix = PurePosixPath(path).suffix.lower()
    if odd or re.search(r"[:\\{}]", path) or (suffix not in PICTURES and suffix not in DOWNLOADS):
        return None
    return path


def address_of(path: str) -> str:
    """A path as the end of an address."""
    return "/".join(UP if part == ".." else quote(part, safe="") for part in path.split("/"))


def path_at(address: str) -> str:
    """The path that such an address, decoded, stands for."""
    return "/".join(".." if part == UP else part for part in address.split("/"))


def mentioned(text: str) -> tuple[str, ...]:
    """All that `referenced` could find in a text that was not parsed, and maybe some more."""
    found = {
        path_of("".join(target)) or ""
        for pattern in (IN_TEXT, IN_TAGS, IN_DEFINITIONS)
        for target in pattern.findall(text)
    }
    return tuple(sorted(found - {""}))


def differing(
    folder: Path, path: str, references: Iterable[str], kept: Mapping[str, str]
) -> tuple[str, ...]:
    """Those of the references whose files are not the ones that were kept (hash by path).

    A file that is not there, or that is not taken, is none of them: the one that was kept stays.
    """
    return tuple(
        file.path
        for said in references
        for file in load(folder, path, (said,)).files
        if kept.get(file.path) != file.sha256
    )


def referenced(document: Document) -> tuple[str, ...]:
    """The paths that a runbook's links and pictures refer to, in order. Some may be examples."""
    found: dict[str, None] = {}
    for text in _texts(document):
        for pattern in (IN_TEXT, IN_TAGS):
            for target in pattern.findall(text):
                found[path_of("".join(target)) or ""] = None
    for said in document.references.values():
        found[path_of(str(said.get("href", ""))) or ""] = None
    found.pop("", None)
    return tuple(found)


def _texts(document: Document) -> Iterable[str]:
    yield document.intro
    for section in document.sections:
        for part in section.flow:
            if isinstance(part, Step):
                yield part.title_source
                yield part.body
            else:
                yield part


def beside(folder: Path, path: str, document: Document) -> Beside:
    """The files that a runbook at `path` below `folder` refers to. None of them fails an import."""
    return load(folder, path, referenced(document))


def load(folder: Path, path: str, references: Iterable[str]) -> Beside:
    root = folder.resolve()
    files: list[File] = []
    remarks: list[str] = []
    size = 0
    for number, said in enumerate(references):
        try:
            if number >= MOST_FILES:
                raise ValueError(f"is one file more than the {MOST_FILES} that a runbook can have")
            content = _content(root, root / Path(path).parent / said)
            size += len(content)
            if size > MAX_BYTES:
                size -= len(content)
                raise ValueError(
                    f"would make more than {MAX_BYTES >> 20} MB of files in one runbook"
                )
            files.append(File(said, _media_type(said, content), content))
        except OSError as error:
            remarks.append(f"The file {said} can't be read: {error.strerror or error}.")
        except ValueError as error:
            remarks.append(f"The file {said} {error}; it was left out.")
    return Beside(tuple(files), tuple(remarks))


def _content(root: Path, path: Path) -> bytes:
    path = path.resolve()
    if not path.is_relative_to(root):
        raise ValueError("is outside the folder of runbooks")
    if any(part.startswith(".") for part in path.relative_to(root).parts):
        raise ValueError("is hidden")
    if not path.is_file():
        raise ValueError("is not there")
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"is larger than {MAX_FILE_BYTES >> 20} MB")
    return content


def _media_type(path: str, content: bytes) -> str:
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in PICTURES:
        return DOWNLOADS[suffix]
    media_type, beginning = PICTURES[suffix]
    if not beginning.match(content):
        raise ValueError(f"is no {media_type.removeprefix('image/').upper()} picture")
    return media_type
