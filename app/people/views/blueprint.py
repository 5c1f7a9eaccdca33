"""What the pages of people hang on, and what their forms share."""

from flask import Blueprint

from app.core.errors import RefusedError

bp = Blueprint("people", "app.people", template_folder="templates")


def seen_version(said: str | None) -> int:
    """The version that the reader of a form saw."""
    if said is None or not said.isdigit():
        raise RefusedError("This form came without its version. Open the page again.")
    return int(said)
