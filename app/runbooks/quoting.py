"""How a value is written where a command has a variable.

Values come from alerts, and so from strangers. A value must stay one word in a shell and one
string in a query, wherever the author put the variable: bare, in quotes, or in the quotes of a
program that stands in quotes itself. Each language here is read just far enough to know that.
What can't be written safely is refused with the reason, because the reader can still type it.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from unicodedata import category

VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}")
LONGEST = 500
# Nobody copies more, and reading it takes time.
LONGEST_CODE = 16_000
MOST_VARIABLES = 200

NUMBER = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?")
# Nothing that any language takes for its own.
PLAIN = re.compile(r"(?!.*--)[A-Za-z0-9_][A-Za-z0-9_.:/@+-]*|" + NUMBER.pattern)
# Words of people, without what shells and templates take for their own.
QUIET = re.compile(r"[^\"'`\\$;&|<>(){}\[\]*?!#%~^]*")
# In a shell, outside quotes.
UNQUOTED = re.compile(r"[A-Za-z0-9_@%+:./-][A-Za-z0-9_@%+:./=-]*")
# A word of a shell that holds more than these may be a program for something else.
SIMPLE_WORD = re.compile(r"[\w@%+=:,./~^-]*")
PROMQL_BARE = re.compile(r"[A-Za-z_:][\w:]*|\d{1,30}(?:ms|[smhdwy])(?:\d{1,9}(?:ms|[smhdwy]))*")
SQL_BARE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
YAML_BARE = re.compile(r"[A-Za-z0-9_](?:[\w./+:-]*[\w/+])?", re.ASCII)
RE2_SIGNS = re.compile(r"[\\.+*?()|\[\]{}^$]")
# A value that is all there is of its scalar.
YAML_BEFORE = re.compile(r"(?::[ \t]+|-[ \t]+|\[[ \t]*|,[ \t]*)$")
YAML_AFTER = re.compile(r"[ \t]*(?:[\]},]|[ \t]#|$)", re.MULTILINE)
HEREDOC = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]+)'|\"([^\"\n]+)\"|\\?([\w.-]+))")

SHELLS = frozenset(
    {"", "bash", "sh", "shell", "zsh", "ksh", "console", "shell-session", "shellsession"}
)


class CannotStandError(Exception):
    """A value can't be written here. `args[0]` says why, in a clause."""


Put = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a variable stands, and how a value is written there."""

    name: str
    start: int
    end: int
    put: Put


def unprintable(value: str) -> str | None:
    """Why a value can stand in no command at all, in a clause."""
    if len(value) > LONGEST:
        return f"it is longer than {LONGEST} characters"
    if any(character in "\n\r\x0b\x0c\x85\u2028\u2029" for character in value):
        return "it has more than one line"
    # Control and format characters change what is read, or what a terminal does; blanks other
    # than the usual one look like it and are none.
    if any(category(one)[0] == "C" or (category(one) == "Zs" and one != " ") for one in value):
        return "it has characters that can't be seen"
    return None


def slots(code: str, language: str) -> list[Slot]:
    """Every place in a command where a variable stands, in order."""
    if len(code) <= LONGEST_CODE and code.count("{{") <= MOST_VARIABLES:
        try:
            return LANGUAGES.get(language, _others)(code)
        except RecursionError:
            pass  # brackets in brackets, for pages
    return [Slot(found[1], found.start(), found.end(), _plain) for found in VARIABLE.finditer(code)]


# What most places have in common


def _plain(value: str) -> str:
    if PLAIN.fullmatch(value):
        return value
    raise CannotStandError("here it can be made of letters, digits and . _ : / @ + - only")


def _quiet(value: str) -> str:
    if QUIET.fullmatch(value):
        return value
    raise CannotStandError("it has characters that programs take for their own")


def _without(value: str, signs: str) -> str:
    if found := next((sign for sign in signs if sign in value), ""):
        raise CannotStandError(f"it has a {found} and stands inside quotes that this would end")
    return value


# Shells


@dataclass(slots=True)
class _Word:
    """One word as the called program gets it, with a gap for each variable."""

    text: str = ""
    gaps: list[tuple[int, int, re.Match[str], str]] = field(default_factory=list)


class _Shell:
    """Reads commands as a POSIX shell does: quotes, substitutions, comments, here-documents."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.found: list[Slot] = []
        self.at = 0
        self.heredocs: list[tuple[str, bool]] = []
        self.sound = True  # false: the quotes make no sense, so nothing is certain

    def slots(self) -> list[Slot]:
        self.commands("")
        if self.at < len(self.code):
            self.sound = False
        found = sorted(self.found, key=lambda slot: slot.start)
        if self.sound:
            return found
        return [Slot(slot.name, slot.start, slot.end, _plain) for slot in found]

    def commands(self, closer: str) -> None:
        """Words up to a closing bracket, or to the end."""
        word = _Word()
        while self.at < len(self.code):
            sign = self.code[self.at]
            if sign in " \t\n;&|<>()":
                self.end(word)
                word = _Word()
                if sign == closer:
                    self.at += 1
                    return
                self.between(sign)
            elif sign == "#" and not word.text and not word.gaps:
                self.until("\n", whole=False)
            else:
                self.piece(word)
        self.end(word)
        self.sound = self.sound and not closer

    def between(self, sign: str) -> None:
        self.at += 1
        if sign == "(":
            self.commands(")")
        elif sign == "\n" and self.heredocs:
            self.bodies()
        elif self.code.startswith("<<<", self.at - 1):
            self.at += 2
        elif sign == "<" and (found := HEREDOC.match(self.code, self.at - 1)):
            self.heredocs.append((found[2] or found[3] or found[4], found[1] == "-"))
            self.at = found.end()

    def piece(self, word: _Word) -> None:
        """What can stand in a word outside quotes."""
        sign = self.code[self.at]
        if found := VARIABLE.match(self.code, self.at):
            self.gap(word, found, "bare")
        elif sign == "\\":
            self.escaped(word)
        elif sign == "'":
            self.single(word)
        elif sign == '"':
            self.double(word)
        elif sign == "`":
            self.until("`")
            word.text += "`"
        elif sign == "$":
            self.dollar(word, quoted=False)
        else:
            word.text += sign
            self.at += 1

    def escaped(self, word: _Word) -> None:
        if found := VARIABLE.match(self.code, self.at + 1):
            self.slot(found, _plain)
            self.at = found.end()
        else:
            word.text += self.code[self.at + 1 : self.at + 2].strip("\n")
            self.at += 2

    def single(self, word: _Word) -> None:
        self.at += 1
        while self.at < len(self.code) and self.code[self.at] != "'":
            if found := VARIABLE.match(self.code, self.at):
                self.gap(word, found, "single")
            else:
                word.text += self.code[self.at]
                self.at += 1
        self.close()

    def double(self, word: _Word) -> None:
        self.at += 1
        while self.at < len(self.code) and self.code[self.at] != '"':
            sign = self.code[self.at]
            if found := VARIABLE.match(self.code, self.at):
                self.gap(word, found, "double")
            elif sign == "\\":
                self.escaped(word)
            elif sign == "`":
                self.until("`")
                word.text += "`"
            elif sign == "$":
                self.dollar(word, quoted=True)
            else:
                word.text += sign
                self.at += 1
        self.close()

    def close(self) -> None:
        self.sound = self.sound and self.at < len(self.code)
        self.at += 1

    def dollar(self, word: _Word, *, quoted: bool) -> None:
        rest = self.code[self.at + 1 : self.at + 3]
        word.text += "$"
        if rest == "((":
            self.at += 3
            self.until("))")
        elif rest[:1] == "(":
            self.at += 2
            self.commands(")")
        elif rest[:1] == "{" and rest != "{{":
            self.at += 2
            self.until("}")
        elif rest[:1] == "'" and not quoted:
            self.at += 2
            self.until("'")
        else:
            self.at += 1

    def until(self, closer: str, *, whole: bool = True) -> None:
        """Text whose inside we don't read: a value in it must be plain."""
        if self.code.startswith(closer, self.at) and closer == "`":
            self.at += 1
        while self.at < len(self.code) and not self.code.startswith(closer, self.at):
            if found := VARIABLE.match(self.code, self.at):
                self.slot(found, _plain)
                self.at = found.end()
            elif self.code.startswith("${", self.at) and closer == "}":
                self.at += 2
                self.until("}")
            else:
                self.at += 2 if self.code[self.at] == "\\" and whole else 1
        if whole:
            self.sound = self.sound and self.at < len(self.code)
            self.at += len(closer)

    def bodies(self) -> None:
        """The here-documents that were announced in the line above."""
        for delimiter, indented in self.heredocs:
            while self.at < len(self.code):
                end = self.code.find("\n", self.at)
                end = len(self.code) if end < 0 else end
                line = self.code[self.at : end]
                if (line.lstrip("\t") if indented else line) == delimiter:
                    self.at = end
                    break
                for found in VARIABLE.finditer(self.code, self.at, end):
                    before = self.code[self.at : found.start()]
                    self.slot(found, _in_program(before, _in_heredoc))
                self.at = end + 1
            else:
                self.sound = False
        self.heredocs = []

    def gap(self, word: _Word, found: re.Match[str], quotes: str) -> None:
        word.gaps.append((len(word.text), len(word.gaps), found, quotes))
        self.at = found.end()

    def end(self, word: _Word) -> None:
        simple = SIMPLE_WORD.fullmatch(word.text) is not None
        for length, others, found, quotes in word.gaps:
            put = SHELL_QUOTES[quotes]
            if not simple:
                put = _in_program(word.text[:length], put)
            if length == 0 and others == 0:
                put = _no_option(put)
            self.slot(found, put)

    def slot(self, found: re.Match[str], put: Put) -> None:
        self.found.append(Slot(found[1], found.start(), found.end(), put))


def _bare(value: str) -> str:
    return value if UNQUOTED.fullmatch(value) else f"'{_in_single(value)}'"


def _in_single(value: str) -> str:
    return value.replace("'", "'\"'\"'")


def _in_double(value: str) -> str:
    # Nothing but single quotes keeps an interactive shell from reading `!` as history.
    return value if not re.search(r"[\"\\$`!]", value) else f"\"'{_in_single(value)}'\""


def _in_heredoc(value: str) -> str:
    # The shell reads these there, whatever quotes the document has of its own.
    return _without(value, "\\$`")


SHELL_QUOTES: dict[str, Put] = {"bare": _bare, "single": _in_single, "double": _in_double}


def _no_option(put: Put) -> Put:
    def refused(value: str) -> str:
        if value.startswith("-") and not NUMBER.fullmatch(value):
            raise CannotStandError("it begins with a hyphen and would be read as an option")
        return put(value)

    return refused


def _in_program(before: str, put: Put) -> Put:
    """In a word that may be a program: a query, JSON, or commands for another shell."""
    quote, opened = _open_quote(before)

    def checked(value: str) -> str:
        if not quote:
            return put(_plain(value))
        if re.search(r"[=!]~\s*$", before[:opened]) and re.search(r"[\\^$|?*+()\[\]{}]", value):
            raise CannotStandError("it has signs that mean something in a regular expression")
        return put(_without(value, '"\\$`' if quote == '"' else "'\\"))

    return checked


def _open_quote(text: str) -> tuple[str, int]:
    """The quote that is open at the end of a text, and where it was opened."""
    quote, opened, at = "", 0, 0
    while at < len(text):
        sign = text[at]
        if sign == "\\" and quote != "'":
            at += 1
        elif sign == quote:
            quote = ""
        elif not quote and sign in "\"'":
            quote, opened = sign, at
        at += 1
    return quote, opened


def _shell(code: str) -> list[Slot]:
    return _Shell(code).slots()


# Queries and data: strings, comments, and what is bare


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of a text: a string with its quotes, a comment, or a variable outside both."""

    kind: str  # string | comment | variable
    found: re.Match[str]


def _pieces(code: str, tokens: re.Pattern[str]) -> Iterator[_Piece]:
    for found in tokens.finditer(code):
        if found.lastgroup:
            yield _Piece(found.lastgroup, found)


def _slots(
    code: str, tokens: re.Pattern[str], bare: Callable[[int, int], Put], string: Callable[..., Put]
) -> list[Slot]:
    """The variables of a text, in strings and outside them. In comments, and where a string
    does not end, a value must be plain."""
    found: list[Slot] = []
    for piece in _pieces(code, tokens):
        start, end = piece.found.span()
        for variable in VARIABLE.finditer(code, start, end):
            put: Put = _plain
            if piece.kind == "variable":
                put = bare(variable.start(), variable.end())
            elif piece.kind == "string":
                put = string(code[start], start)
            found.append(Slot(variable[1], variable.start(), variable.end(), put))
    return found


BARE = r"(?P<variable>\{\{\s*[A-Za-z_][\w.-]*\s*\}\})"
DOUBLE = r"\"(?:[^\"\\\n]|\\.)*\""
SINGLE = r"'(?:[^'\\\n]|\\.)*'"
REST = r"(?P<open>[\"'`].*)"

PROMQL = re.compile(
    rf"(?P<string>{DOUBLE}|{SINGLE}|`[^`]*`)|(?P<comment>#[^\n]*)|{BARE}|{REST}",
    re.DOTALL,
)
JSON = re.compile(rf"(?P<string>{DOUBLE})|(?P<comment>//[^\n]*)|{BARE}|{REST}", re.DOTALL)
SQL = re.compile(
    r"(?P<string>'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`)"
    r"|(?P<comment>--[^\n]*|/\*.*?\*/|\$(?:[A-Za-z_]\w*)?\$.*?\$(?:[A-Za-z_]\w*)?\$)"
    rf"|{BARE}|{REST}",
    re.DOTALL,
)
YAML = re.compile(
    rf"(?P<string>(?:(?<=[\s\[{{,(:?-])|^)(?:{DOUBLE}|'(?:[^'\n]|'')*'))"
    rf"|(?P<comment>(?:(?<=\s)|^)#[^\n]*)|{BARE}",
    re.MULTILINE,
)


def _before(code: str, start: int) -> str:
    return code[max(0, start - 80) : start]


def _fits(pattern: re.Pattern[str], value: str, what: str) -> str:
    if pattern.fullmatch(value) or NUMBER.fullmatch(value):
        return value
    raise CannotStandError(f"here only {what} can stand")


def _promql(code: str) -> list[Slot]:
    def bare(start: int, end: int) -> Put:
        return lambda value: _fits(PROMQL_BARE, value, "a name, a number or a duration")

    def string(quote: str, start: int) -> Put:
        is_pattern = re.search(r"[=!]~\s*$", _before(code, start)) is not None

        def put(value: str) -> str:
            if is_pattern:
                value = RE2_SIGNS.sub(r"\\\g<0>", value)
            if quote == "`":
                return _without(value, "`")
            return value.replace("\\", "\\\\").replace(quote, "\\" + quote)

        return put

    return _slots(code, PROMQL, bare, string)


def _json(code: str) -> list[Slot]:
    def bare(start: int, end: int) -> Put:
        alone = not re.search(r"[^\s\[{,:]$", _before(code, start)) and not re.match(
            r"[^\s\]},]", code[end : end + 1]
        )

        def put(value: str) -> str:
            if NUMBER.fullmatch(value) or value in {"true", "false", "null"}:
                return value
            if not alone:
                raise CannotStandError("here only a number can stand")
            return json.dumps(value, ensure_ascii=False)

        return put

    def string(quote: str, start: int) -> Put:
        return lambda value: json.dumps(value, ensure_ascii=False)[1:-1]

    return _slots(code, JSON, bare, string)


def _yaml(code: str) -> list[Slot]:
    def bare(start: int, end: int) -> Put:
        alone = YAML_BEFORE.search(_before(code, start)) and YAML_AFTER.match(code, end)

        def put(value: str) -> str:
            if YAML_BARE.fullmatch(value) or NUMBER.fullmatch(value):
                return value
            if not alone:
                raise CannotStandError("here it can be made of letters, digits and . _ / + - only")
            return "'" + value.replace("'", "''") + "'"

        return put

    def string(quote: str, start: int) -> Put:
        if quote == "'":
            return lambda value: value.replace("'", "''")
        return lambda value: json.dumps(value, ensure_ascii=False)[1:-1]

    return _slots(code, YAML, bare, string)


def _sql(code: str) -> list[Slot]:
    def bare(start: int, end: int) -> Put:
        return lambda value: _fits(SQL_BARE, value, "a name or a number")

    def string(quote: str, start: int) -> Put:
        # Whether a backslash means anything depends on the database.
        return lambda value: _without(value, "\\").replace(quote, quote * 2)

    return _slots(code, SQL, bare, string)


def _text(code: str) -> list[Slot]:
    return [Slot(found[1], found.start(), found.end(), _quiet) for found in VARIABLE.finditer(code)]


def _others(code: str) -> list[Slot]:
    """A language that we don't read: in quotes words of people, elsewhere plain values."""
    found: list[Slot] = []
    for variable in VARIABLE.finditer(code):
        line = code.rfind("\n", 0, variable.start()) + 1
        quote, _ = _open_quote(code[line : variable.start()])
        put = _quiet if quote else _plain
        found.append(Slot(variable[1], variable.start(), variable.end(), put))
    return found


LANGUAGES: dict[str, Callable[[str], list[Slot]]] = {
    **dict.fromkeys(SHELLS, _shell),
    **dict.fromkeys(("promql", "logql"), _promql),
    **dict.fromkeys(("json", "jsonc", "json5"), _json),
    **dict.fromkeys(("yaml", "yml"), _yaml),
    **dict.fromkeys(("sql", "mysql", "postgresql", "postgres", "pgsql"), _sql),
    **dict.fromkeys(("text", "txt", "markdown", "md"), _text),
}
