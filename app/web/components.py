"""The filters behind `web/components.html`."""

from collections.abc import Iterable, Mapping
from typing import Any
from zlib import crc32

from flask import Flask, g
from jinja2 import Undefined
from markupsafe import Markup

from app.web.assets import static

COLOURS = 4


def attributes(given: Mapping[str, Any]) -> Markup:
    """HTML attributes: underscores become hyphens, True stands alone, None and False are left out.

    A name that ends in an underscore escapes a reserved word, as in `class_`.
    """
    said = Markup("")
    for name, value in given.items():
        if value is None or value is False or isinstance(value, Undefined):
            continue
        html_name = name.rstrip("_").replace("_", "-")
        said += (
            Markup(" {}").format(html_name)
            if value is True
            else Markup(' {}="{}"').format(html_name, value)
        )
    return said


def meant(given: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes for a field of WTForms, which would write None down as a word."""
    return {name: value for name, value in given.items() if value is not None}


def icon_svg(name: str, small: bool = False) -> Markup:
    """An icon of static/icons.svg."""
    known: dict[tuple[str, bool], Markup] = g.setdefault("icons", {})
    if (name, small) not in known:
        more = " i--sm" if small else ""
        known[name, small] = Markup(
            '<svg class="i{}" aria-hidden="true"><use href="{}#i-{}"/></svg>'
        ).format(more, static("icons.svg"), name)
    return known[name, small]


def initials(name: str) -> str:
    """`PR` for Priya Raman: the first letter of the first and of the last word."""
    words = name.split()
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()


def colour_of(name: str) -> int:
    """The same of the four colours of an avatar for the same name, always."""
    return crc32(name.encode()) % COLOURS + 1


def sentences(errors: Any) -> str:
    """The errors of a form's field as one text; those of fields within it are nested."""
    if isinstance(errors, Mapping):
        errors = errors.values()
    if isinstance(errors, str) or not isinstance(errors, Iterable):
        return str(errors)
    return " ".join(text for one in errors if (text := sentences(one)))


def register(app: Flask) -> None:
    app.jinja_env.filters.update(
        attributes=attributes,
        meant=meant,
        initials=initials,
        colour_of=colour_of,
        sentences=sentences,
    )
    app.jinja_env.globals["icon_svg"] = icon_svg
