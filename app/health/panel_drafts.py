"""Panels before they are kept: what a panel has to be, and a kept one to change some of it."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.health.presets import PanelDraft
from app.health.recording import rule_of
from app.health.rules import DRIFT, Lane, why_no_rule
from app.health.sources import SOURCES
from app.health.sources.drift import observing
from app.health.tables import Panel

OF_INPUTS = (Lane.SCHEMA, Lane.FRESHNESS, Lane.ACCESS)
RULE = ("above", "below", "clear", "k", "n", "min_rows", "stale_after")
LONGEST_WINDOW = 90 * 86_400  # seconds; also of the time after which a sample is too old
MAX_TITLE, MAX_UNIT, MAX_FAILURE_MODE = 120, 20, 80
MAX_SPEC_VALUES, MAX_SPEC_TEXT, MAX_SPEC_DEPTH = 500, 8_000, 6
LARGEST = 2**53  # beyond it, not every integer is a number that JSON can tell


def why_no_panel(draft: PanelDraft, kind: str | None) -> str | None:
    """Say why this can't be a panel of a source of that kind; none: of a data input, or pushed."""
    if not draft.title.strip():
        return "Give the panel a title."
    for said, most in (
        (draft.title.strip(), MAX_TITLE),
        (draft.unit, MAX_UNIT),
        (draft.failure_mode, MAX_FAILURE_MODE),
    ):
        if len(said) > most:
            return f"“{said[:20]}…” has more than {most} letters."
    # Where somebody else says what is outside, a limit is only drawn.
    rule = draft.rule
    if rule.above is None and rule.below is None and _is_said(draft, kind):
        rule = replace(rule, above=0.0, clear=None)
    if why := why_no_rule(rule):
        return why
    if not 1 <= draft.window <= LONGEST_WINDOW:
        return "Say over how many seconds one reading looks back, at most 90 days."
    if draft.rule.stale_after.total_seconds() > LONGEST_WINDOW:
        return "A sample is too old after 90 days at the latest."
    if not 1 <= draft.severity <= 4:
        return "The severity is 1 to 4."
    if why := why_no_spec(draft.spec):
        return why
    return None if kind is None else _why_not(kind, draft.spec)


def _is_said(draft: PanelDraft, kind: str | None) -> bool:
    """Whether a tool or a check gives the verdict, or the promise of a data input the limit."""
    return draft.spec.get("verdict") == "tool" or (kind is None and draft.lane in OF_INPUTS)


def why_not_pushed(lane: Lane, spec: Mapping[str, Any]) -> str | None:
    """Say why no report that is sent to Baton could ever speak to this panel."""
    if lane not in DRIFT:
        lanes = ", ".join(lane.value for lane in DRIFT)
        return f"Without a source it waits for reports, and those are about {lanes}. Name a source."
    return observing.why_not(spec)


def _why_not(kind: str, spec: Mapping[str, Any]) -> str | None:
    source = SOURCES.get(kind)
    if source is None:
        return f"There is no kind of source {kind} any more."
    try:
        return source.why_not(spec)
    except (TypeError, AttributeError, ValueError, OverflowError):
        # A part of it has a shape that nobody has thought of.
        return "The spec can't be read by this kind of source."


def why_no_spec(spec: Mapping[str, Any]) -> str | None:
    """Say why this can't be kept: it is too large, nested too deep, or holds no plain values."""
    values, level = 0, [spec]
    for _ in range(MAX_SPEC_DEPTH):
        values += len(level)
        if values > MAX_SPEC_VALUES:
            return f"A spec holds at most {MAX_SPEC_VALUES} values."
        inner: list[Any] = []
        for one in level:
            if why := _why_no_value(one):
                return why
            if isinstance(one, Mapping):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        level = inner
        if not level:
            return None
    return f"A spec is nested at most {MAX_SPEC_DEPTH - 1} levels deep."


def _why_no_value(one: Any) -> str | None:
    match one:
        case bool() | None:
            return None
        case str():
            fits = len(one) <= MAX_SPEC_TEXT
            return None if fits else f"A text in a spec has at most {MAX_SPEC_TEXT} letters."
        case int():
            return None if abs(one) <= LARGEST else "A number in the spec is too large."
        case float():
            return None if math.isfinite(one) else "A number in the spec is NaN or infinite."
        case Mapping():
            if all(isinstance(name, str) and len(name) <= MAX_TITLE for name in one):
                return None
            return f"The names in a spec are texts of at most {MAX_TITLE} letters."
        case list():
            return None
    return "A spec holds texts, numbers, lists and objects."


def draft_of(panel: Panel) -> PanelDraft:
    """A kept panel as a draft, to change some of it."""
    return PanelDraft(
        key=panel.slug,
        lane=panel.lane,
        title=panel.title,
        unit=panel.unit,
        spec=dict(panel.spec),
        rule=rule_of(panel),
        window=panel.window,
        failure_mode=panel.failure_mode,
        severity=panel.severity,
    )
