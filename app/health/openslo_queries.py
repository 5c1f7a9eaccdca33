"""The queries of OpenSLO files, as other tools write them and as Baton does.

Files have {{.window}} where Baton has $w, and ask for one model where Baton asks for all at once.
"""

import re
from collections.abc import Mapping
from typing import Any

from app.health.sources.querying import promql

WINDOW = re.compile(r"\{\{\s*\.window\s*\}\}")
SELECTOR = r"[a-zA-Z_:][\w:]*(?:\{[^{}]*\})?"
PLAIN_COUNTER = re.compile(rf"\s*(?:sum\s*\(\s*({SELECTOR})\s*\)|({SELECTOR}))\s*")
FIXED_RANGE = re.compile(r"\[\s*\d")
LESS_GOOD = re.compile(
    r"(?P<total>.+) - \((?P<good>.+) or (?:vector\(0\)|0 \* (?P=total))\)", re.DOTALL
)
OF_SLOTH = re.compile(r"slo:sli_error:ratio_rate\$w\{(?P<labels>.*)\}")
OF_PYRRA = re.compile(
    r'(?:(?P<metric>[a-zA-Z_:][\w:]*):burnrate\$w\{|\{__name__=~"\.\+:burnrate\$w",)(?P<labels>.*)\}'
)
LABEL = re.compile(r'\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*')
ONE_MODEL = re.compile(
    r"\((?P<query>.+)\) and on \((?P<by>[a-zA-Z_]\w*)\) "
    r'label_replace\(vector\(1\), "(?P=by)", "(?P<value>(?:[^"\\]|\\.)*)", "", ""\)',
    re.DOTALL,
)


def with_window(query: str) -> str:
    """As files write it."""
    return re.sub(r"\$w\b", "{{.window}}", query)


def from_file(query: str) -> str:
    return WINDOW.sub("$w", query).strip()


def summed(query: str, grouping: str) -> str:
    """The query within one sum, if it is not already."""
    opening = f"sum{grouping} (" if grouping else "sum("
    return query if _is_one_call(query, opening) else f"{opening}{query})"


def _is_one_call(query: str, opening: str) -> bool:
    """Whether the whole of a query is that one call."""
    if not query.startswith(opening):
        return False
    depth = 0
    for found in promql.WORD.finditer(query):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if found[0] == ")" and depth == 0:
            return found.end() == len(query)
    return False


def for_all_models(query: str, by: str) -> str:
    """A query of one label as the one for all models that it was."""
    return re.sub(rf"\b{re.escape(by)}\b", "$by", query)


def labels_in(said: str) -> dict[str, str]:
    """The labels of a selector. Raises ValueError with a sentence."""
    found = {}
    for part in re.findall(r'(?:[^",]|"(?:[^"\\]|\\.)*")+', said):
        match = LABEL.fullmatch(part)
        if match is None:
            raise ValueError("The labels of its raw ratio can't be read: give them with =.")
        found[match[1]] = unquoted(match[2])
    return found


def unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def of_recorder(spec: Mapping[str, Any]) -> str:
    """The series that sloth or pyrra records."""
    slo = quoted(spec["slo"])
    if spec["recorded"] == "pyrra":
        return f'{{__name__=~".+:burnrate{{{{.window}}}}",slo="{slo}"}}'
    service = quoted(spec["service"])
    return f'slo:sli_error:ratio_rate{{{{.window}}}}{{sloth_service="{service}",sloth_slo="{slo}"}}'


def of_one_model(query: str, spec: Mapping[str, Any], model: str) -> str:
    """A query as others can ask it: of this model alone."""
    value = quoted(str(spec.get("value") or model))
    if not promql.is_shared(query):
        return with_window(query.replace("$m", value))
    by = str(spec.get("by", ""))
    of_all = with_window(query.replace("$by", by))
    return f'({of_all}) and on ({by}) label_replace(vector(1), "{by}", "{value}", "", "")'
