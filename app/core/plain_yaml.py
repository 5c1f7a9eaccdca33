"""YAML that people and tools send, without what surprises: no aliases, no key that stands twice."""

from collections.abc import Callable
from typing import Any, TypeVar

import yaml

MAX_DEPTH = 40
T = TypeVar("T")


class NotPlainError(Exception):
    """This is not YAML, or not such as is taken. `sentence` says why; it may begin a line number."""

    def __init__(self, sentence: str, line: int | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.line = line

    def __str__(self) -> str:
        return self.sentence if self.line is None else f"Line {self.line}: {self.sentence}"


class PlainLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # either
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key.value, str):
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value} stands there twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def document(content: bytes | str) -> Any:
    """The one document in there. Raises `NotPlainError`."""
    return _read(content, _load)


def documents(content: bytes | str) -> list[Any]:
    """All documents in there. Raises `NotPlainError`."""
    return _read(content, lambda text: list(yaml.load_all(text, Loader=PlainLoader)))


def document_and_tree(content: bytes | str) -> tuple[Any, yaml.Node | None]:
    """The document, and its nodes, each of which knows its line. Raises `NotPlainError`."""
    return _read(content, lambda text: (_load(text), yaml.compose(text, Loader=PlainLoader)))


def _load(text: str) -> Any:
    return yaml.load(text, Loader=PlainLoader)  # noqa: S506 a safe one


def _read(content: bytes | str, read: Callable[[str], T]) -> T:
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        _refuse_what_grows(text)
        return read(text)
    except UnicodeDecodeError:
        raise NotPlainError("The file is not UTF-8 text.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        sentence = f"this is not YAML: {error.problem}."
        raise NotPlainError(sentence, mark.line + 1 if mark else None) from None
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, OverflowError):
        # A date as 2026-13-45; a key that is a list, which no mapping can hold.
        raise NotPlainError("This is not YAML that can be read.") from None


def _refuse_what_grows(text: str) -> None:
    """A few aliases can stand for more than any machine has memory, and brackets for its stack."""
    depth = 0
    for event in yaml.parse(text, Loader=PlainLoader):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent):
            said = f"Aliases, as in *{event.anchor}, are not taken. Write it out."
            raise NotPlainError(said, line)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise NotPlainError("It is nested too deep.", line)
