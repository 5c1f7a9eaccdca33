"""What no database takes as text: NUL, and half of a surrogate pair, which JSON can write.

Nobody means to send either, so it is refused where it comes in, once for all features: in an
address by the converters, in a query string and a form before the request reaches its view, in the
JSON of our own API by `Strict`. What comes through the inbound doors is kept as it is; the sources
replace it when they read a body.
"""

import re
from collections.abc import Iterator, Mapping

from flask import Flask, request
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from app.core.errors import BadRequestError

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
REFUSAL = "It holds a character that can't be stored."

DOORS = ("/in/", "/v2/")  # a sender is never refused for what its text holds
PROGRAMS = ("/api/", *DOORS)  # their bodies are no forms, whatever their content type says


class Strict(BaseModel):
    """What our own API takes: nothing that it does not know, and no text that can't be stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _names_can_be_stored(cls, given: object) -> object:
        # Here, because pydantic itself fails when it has to tell of a field of such a name.
        _check(_names(given))
        return given

    @field_validator("*")
    @classmethod
    def _texts_can_be_stored(cls, value: object) -> object:
        _check(_texts(value))
        return value


def register(app: Flask) -> None:
    app.before_request(_refuse)


def _refuse() -> None:
    if request.path.startswith(DOORS):
        return
    given = list(request.args.items(multi=True))
    if not request.path.startswith(PROGRAMS):
        given += request.form.items(multi=True)
    for name, text in given:
        if UNSTORABLE.search(name + text):
            raise BadRequestError(
                "The request holds a character that can't be stored, such as NUL. Leave it out."
            )


def _check(texts: Iterator[str]) -> None:
    if any(map(UNSTORABLE.search, texts)):
        raise ValueError(REFUSAL)


def _texts(value: object) -> Iterator[str]:
    todo = [value]
    for one in todo:  # which grows meanwhile
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            todo += one.values()
        elif isinstance(one, list | tuple):
            todo += one


def _names(value: object) -> Iterator[str]:
    todo = [value]
    for one in todo:
        if isinstance(one, Mapping):
            yield from map(str, one)
            todo += one.values()
        elif isinstance(one, list | tuple):
            todo += one
