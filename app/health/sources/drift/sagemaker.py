"""SageMaker Model Monitor: `constraint_violations.json`.

It has no time, no rows and no limits: a number is found in a sentence, and nothing else of the
sentence is kept, because it may quote the data.
"""

import re
from collections.abc import Mapping
from typing import Any

from app.health.rules import Lane
from app.health.sources.base import Part, Report
from app.health.sources.drift.reports import report
from app.health.sources.reading import Given, fields, named, number_in, objects, text

name = "sagemaker"

FIGURE = re.compile(
    r"(?:value|distance|metric \S{1,60} with):? *(-?\d[\d.eE+-]{0,20})", re.IGNORECASE
)
BOUND = re.compile(r"threshold:? *(-?\d[\d.eE+-]{0,20})", re.IGNORECASE)
DRIFT_CHECK = "baseline_drift_check"


def fits(document: Any) -> bool:
    return isinstance(fields(document).get("violations"), list)


def parse(document: Any, *, given: Given) -> list[Report]:
    violations = list(objects(fields(document).get("violations")))
    of_quality = [one for one in violations if "metric_name" in one]
    of_drift = [one for one in violations if one.get("constraint_check_type") == DRIFT_CHECK]
    counted = of_quality or of_drift
    others = sorted(
        {
            text(one.get("constraint_check_type"), 60) or "unnamed"
            for one in violations
            if "metric_name" not in one and one.get("constraint_check_type") != DRIFT_CHECK
        }
    )
    verdict: bool | None = bool(counted)
    if not counted and violations != fields(document).get("violations"):
        verdict = None  # something stands there that is not a violation as we know it
    if not counted and others:
        verdict = None  # a column of another type was not compared
    return [
        report(
            given,
            kind=Lane.OUTPUT_QUALITY if of_quality else Lane.INPUT_DRIFT,
            format=name,
            method="violations of the baseline",
            value=float(len(counted)),
            threshold=0.0,
            is_above=True,
            said_outside=verdict,
            parts=[_part(one) for one in counted],
            remark=f"also violated: {named(others)}" if others else "",
        )
    ]


def _part(said: Mapping[str, Any]) -> Part:
    sentence = said.get("description")
    sentence = sentence[:2_000] if isinstance(sentence, str) else ""
    figure, bound = FIGURE.search(sentence), BOUND.search(sentence)
    return Part(
        text(said.get("metric_name")) or text(said.get("feature_name")) or "unnamed",
        text(said.get("constraint_check_type"), 60),
        number_in(figure[1]) if figure else None,
        number_in(bound[1]) if bound else None,
        True,
    )
