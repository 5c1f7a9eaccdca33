"""The commands of a step, filled in: as they are shown, and as they are copied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from app.runbooks.filling import Filled, fill_command, fill_html
from app.runbooks.front_matter import Variable


@dataclass(frozen=True, slots=True)
class Command:
    html: Markup
    label: str
    name: str
    index: int  # among the blocks of its step: what a client says it copied
    filled: Filled


def command(
    block: Mapping[str, Any], index: int, values: Mapping[str, str], variables: Sequence[Variable]
) -> Command:
    filled = fill_command(block["copied"], values, variables, block["language"])
    # A recorded session is shown with its prompts and answers, which nobody wants to copy.
    whole = block["html"].count("\n") == block["copied"].count("\n")
    html = filled.html if whole and not filled.refused else fill_html(block["html"], values)
    return Command(html, block["label"], block["name"], index, filled)
