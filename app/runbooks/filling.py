"""Values in the place of variables: after parsing, into text only.

The text of a runbook is parsed without its values, because they come from alerts. On a page they
are escaped; in a command they are written so that they stay one word or one string
(`quoting.py`), or copying is refused.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from unicodedata import category
from urllib.parse import quote

from markupsafe import Markup

from app.runbooks import isolated, quoting
from app.runbooks.front_matter import Variable
from app.runbooks.quoting import CannotStandError

EMPTY = Markup()
MASK = "••••••"
MARK = re.compile(r'<span class="var">\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}</span>')
# Behind the host of an address, where a value can't lead to another one.
LINK = re.compile(r'(?<=\bhref=")(https?://[^"/?#{}%]+[/?#])([^"]*)(?=")')
IN_LINK = re.compile(r"(?:\{|%7B){2}(?:\s|%20)*([A-Za-z_][\w.-]*)(?:\s|%20)*(?:\}|%7D){2}")
# Patterns that need no more than a moment, whatever the value. Others are matched elsewhere.
PIECE = r"(?:\[\^?(?:[^\[\]\\]|\\.)+\]|\\[dDwWsS.\\/+*?()|{}\[\]^$-]|[^\\\[\](){}|*+?^$])"
QUICK = re.compile(rf"\^?(?:{PIECE}(?:[*+?]|\{{\d{{1,3}}(?:,\d{{0,3}})?\}})?)*\$?")


@dataclass(frozen=True, slots=True)
class Filled:
    """A command with its values."""

    text: str  # to copy; empty when it is refused
    missing: tuple[str, ...]  # variables without a value: they stand in the text as they were
    shown: str  # the same as `text` with secret values masked, for pages and logs
    refused: str = ""  # a sentence: why it can't be copied
    html: Markup = EMPTY  # `shown`, with its values marked


def fill_html(html: str, values: Mapping[str, str]) -> Markup:
    """HTML of a runbook with the values that there are. The marks of others stay."""
    html = MARK.sub(
        lambda found: (
            _marked(found[1], _visible(value)) if (value := values.get(found[1])) else found[0]
        ),
        html,
    )
    # Of rendered HTML that was cleaned; what is filled in is escaped.
    return Markup(LINK.sub(lambda found: found[1] + _filled_link(found[2], values), html))  # noqa: S704 from our HTML


def fill_command(
    command: str, values: Mapping[str, str], variables: Sequence[Variable], language: str = ""
) -> Filled:
    """A command with the values that there are, each written for the place where it stands.

    `language` is that of its fence; a command without one is read as a shell would.
    """
    secret = {variable.name for variable in variables if variable.secret}
    missing: list[str] = []
    texts: list[str] = []
    shown: list[str] = []
    marked: list[str] = []
    end = 0
    for slot in quoting.slots(command, language):
        between, written = command[end : slot.start], command[slot.start : slot.end]
        end = slot.end
        if value := values.get(slot.name):
            try:
                text = _written(value, slot)
            except CannotStandError as error:
                return _refused(command, slot.name, str(error.args[0]))
            said = MASK if slot.name in secret else text
            marks = _marked(slot.name, said)
        else:
            missing.append(slot.name)
            text = said = written
            marks = f'<span class="var">{escape(written, quote=False)}</span>'
        texts += between, text
        shown += between, said
        marked += escape(between, quote=False), marks
    rest = command[end:]
    return Filled(
        text="".join(texts) + rest,
        missing=tuple(dict.fromkeys(missing)),
        shown="".join(shown) + rest,
        html=Markup("".join(marked) + escape(rest, quote=False)),  # noqa: S704 each part is escaped
    )


def values_at_start(variables: Sequence[Variable], known: Mapping[str, str]) -> dict[str, str]:
    """What is known of variables; nothing that does not fit: then a person is asked."""
    found = ((variable, _value_at_start(variable, known)) for variable in variables)
    return {variable.name: value for variable, value in found if value}


def _value_at_start(variable: Variable, known: Mapping[str, str]) -> str | None:
    if variable.secret:
        return None
    for value in (known.get(variable.source or ""), variable.default):
        if value and check_value(variable, value) is None:
            return value
    return None


def check_value(variable: Variable, value: str) -> str | None:
    """What is wrong with a value, in a sentence."""
    if not value:
        return f"{variable.name} needs a value." if variable.required else None
    if why := quoting.unprintable(value):
        return f"This can't be the value of {variable.name}: {why}."
    if variable.choices and value not in variable.choices:
        *others, last = variable.choices
        listed = f"{', '.join(others)} or {last}" if others else last
        return f"{variable.name} can only be {listed}."
    if variable.pattern is None:
        return None
    try:
        fits = matches(variable.pattern, value)
    except isolated.TooSlowError:
        return (
            f"The pattern of {variable.name} takes too long to check. Its author can simplify it."
        )
    return None if fits else f"{variable.name} must have the form {variable.pattern}"


def matches(pattern: str, value: str) -> bool:
    """Whether the whole of a value has the form of a pattern. One that is none fits everything."""
    if QUICK.fullmatch(pattern) and len(re.findall(r"[*+{]", pattern)) <= 2:
        try:
            return re.fullmatch(pattern, value) is not None
        except re.error:
            return True
    return isolated.matches(pattern, value)


def _written(value: str, slot: quoting.Slot) -> str:
    if why := quoting.unprintable(value):
        raise CannotStandError(why)
    return slot.put(value)


def _refused(command: str, name: str, why: str) -> Filled:
    return Filled(
        text="",
        missing=(),
        shown=command,
        refused=f"The value of {name} can't be put into this command: {why}. Type it by hand.",
        html=Markup.escape(command),
    )


def _marked(name: str, value: str) -> str:
    return f'<span class="var" data-filled="{escape(name)}">{escape(value)}</span>'


def _visible(value: str) -> str:
    return "".join("\ufffd" if category(one)[0] == "C" else one for one in value)


def _filled_link(rest: str, values: Mapping[str, str]) -> str:
    def encoded(found: re.Match[str]) -> str:
        value = values.get(found[1], "")
        # Dots alone would lead to another folder.
        if not value.strip(".") or quoting.unprintable(value):
            return found[0]
        return quote(value, safe="")

    return IN_LINK.sub(encoded, rest)
