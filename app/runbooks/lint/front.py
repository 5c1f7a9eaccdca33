"""Where the keys of the front matter stand in the file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from app.runbooks.front_matter import FENCED, LOOKS_LIKE_KEYS, PARSER, UnreadableError, load


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of the file from `start` up to `end`, which is the first that is not meant."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Front:
    keys: Mapping[str, Lines]
    items: Mapping[str, tuple[Lines, ...]]  # of the keys that hold lists
    close: int  # the line that ends the front matter; 0 if there is none
    why_not: str | None  # a clause: why it can't be read
    why_line: int

    @property
    def is_readable(self) -> bool:
        return bool(self.close) and self.why_not is None

    def line(self, key: str) -> int:
        """Of a key; where there is no such key, of the first line."""
        return self.keys[key].start if key in self.keys else 1

    def item_line(self, key: str, number: int) -> int:
        items = self.items.get(key, ())
        return items[number].start if number < len(items) else self.line(key)

    @classmethod
    def of(cls, text: str, above: int) -> "Front":
        fenced = FENCED.match(text)
        if not above or fenced is None:
            never = re.match(r"---[ \t]*\n", text)
            if never and not fenced and LOOKS_LIKE_KEYS.match(text, never.end()):
                return cls({}, {}, 0, "no line `---` ends it", 1)
            return cls({}, {}, 0, None, 1)
        # The line of its end, or the last if the file ends with it.
        close = fenced[1].count("\n") + 2
        try:
            load(fenced[1])
        except UnreadableError as error:
            said = re.search(r" in line (\d+)", str(error))
            why = str(error)[: said.start()] if said else str(error)
            return cls({}, {}, close, why, min(int(said[1]), close) if said else 1)
        keys: dict[str, Lines] = {}
        items: dict[str, tuple[Lines, ...]] = {}
        for key, value in _pairs(fenced[1]):
            keys[key.value] = Lines(_line(key.start_mark), _line_after(value))
            if isinstance(value, yaml.SequenceNode):
                items[key.value] = tuple(
                    Lines(_line(item.start_mark), _line_after(item)) for item in value.value
                )
        return cls(keys, items, close, None, 1)


def _pairs(text: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    try:
        root = next(iter(yaml.compose_all(text, Loader=PARSER)), None)
    except yaml.YAMLError:
        return []  # a second document, which is not read
    if not isinstance(root, yaml.MappingNode):
        return []
    return [pair for pair in root.value if isinstance(pair[0], yaml.ScalarNode)]


def _line(mark: yaml.Mark) -> int:
    return int(mark.line) + 2  # the first line is that with ---


def _line_after(node: yaml.Node) -> int:
    # A block ends where the next thing begins, in the first column; what is in one line there.
    end = node.end_mark
    within = end.column > 0 and end.line >= node.start_mark.line
    return _line(end) + 1 if within else max(_line(end), _line(node.start_mark) + 1)
