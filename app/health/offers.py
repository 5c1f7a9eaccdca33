"""What can be watched of a model through a source, and what is odd about it before it is saved."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLateError
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from app.core.db import end_read
from app.health.asking import Asking
from app.health.limit_lint import histogram_of, lint_panel
from app.health.preset_templates import Preset
from app.health.presets import PRESETS, PanelDraft, panels_of
from app.health.rules import FAILURE_MODES, FLEET, LampState, Lane, Rule
from app.health.sources import SOURCES
from app.health.sources.base import Answer, UnreachableError, Watch
from app.health.sources.querying.api import bounds_of
from app.health.tables import HealthSource

log = logging.getLogger(__name__)

SERVING = ("openmetrics", "prometheus")
REPORTING = ("drift", "evidently")
PATIENCE = 6.0  # seconds that a form waits for a source
# What a source says of a panel that is wrongly asked, and not only without traffic just now.
ODD = ("no such series", "no series", "the query gives", "Prometheus refuses")

DRIFT = Preset(
    "drift",
    "Drift reports",
    "Input drift, output quality and latency drift as a drift tool reports them.",
    (),
    (
        "Whether there is drift is the verdict of the tool: Baton guesses none where it gives none.",
        "A report of fewer than 1,000 rows is shown and not judged.",
    ),
)


def presets_for(kind: str | None) -> Sequence[Preset]:
    """What can be chosen for a kind of source; none: reports are sent to Baton."""
    return tuple(PRESETS.values()) if kind in SERVING else (DRIFT,)


def drafts(preset: str, model: str, kind: str | None, *, name: str = "") -> list[PanelDraft]:
    """The panels on offer. Empty for a preset that is not offered there."""
    if preset not in {one.key for one in presets_for(kind)}:
        return []
    if kind in SERVING:
        return panels_of(preset, model, kind or "", name=name)
    return [
        _drift("input-drift", Lane.INPUT_DRIFT, "Input drift"),
        _drift("output-quality", Lane.OUTPUT_QUALITY, "Output quality drift"),
        _drift("latency-drift", Lane.LATENCY_DRIFT, "Latency drift"),
    ]


def _drift(key: str, lane: Lane, title: str) -> PanelDraft:
    return PanelDraft(
        key=key,
        lane=lane,
        title=title,
        unit="",
        spec={"verdict": "tool"},
        rule=Rule(above=0.1, k=2, n=3, min_rows=1_000, stale_after=timedelta(days=2)),
        window=3600,
        failure_mode=FAILURE_MODES[lane],
        severity=3,
    )


def is_chosen(draft: PanelDraft, offered: Sequence[PanelDraft]) -> bool:
    """Whether a panel is checked at first. What can't be measured is where nothing else fills its
    column of the fleet: a model without that lamp looks like one that was forgotten."""
    if draft.lane is Lane.LATENCY_DRIFT and draft.spec.get("verdict"):
        return False
    if not draft.not_measurable:
        return True
    others = [one for one in offered if one.lane is draft.lane and one.key != draft.key]
    return draft.lane in FLEET and all(one.not_measurable for one in others)


def limit_of(rule: Rule) -> float | None:
    return rule.above if rule.above is not None else rule.below


def with_limit(draft: PanelDraft, limit: float) -> PanelDraft:
    """The draft with another limit. Where a breach ends moves along."""
    rule = draft.rule
    was = limit_of(rule)
    if was == limit:
        return draft
    clear = rule.clear
    if clear is not None and was is not None:
        clear = round(limit * clear / was, 6) if was else limit + clear - was
    changed = (
        replace(rule, above=limit, clear=clear)
        if rule.above is not None
        else replace(rule, below=limit, clear=clear)
    )
    return replace(draft, rule=changed)


# --- Before it is saved -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Linted:
    """Warnings by the key of the draft; `trouble` says why nothing could be looked up."""

    warnings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    trouble: str = ""


def lint(
    panels: Sequence[PanelDraft], source: HealthSource | None, model: str, *, at: datetime
) -> Linted:
    """Ask the source where its buckets end and whether it has the series. Never fails, and waits
    for a few seconds only."""
    measured = [one for one in panels if not one.not_measurable]
    if source is None or source.kind not in SERVING or not measured:
        return Linted()
    asking = Asking.of(source)
    watches = [
        Watch(number, model, one.lane, one.spec, one.window) for number, one in enumerate(measured)
    ]
    kind, options = source.kind, dict(source.options)
    end_read()  # nothing is held in the database while others are waited for
    pool = ThreadPoolExecutor(1, "health-lint")
    try:
        answer = pool.submit(_ask, kind, options, asking, watches, at).result(PATIENCE)
    except UnreachableError as error:
        return Linted(trouble=_not_looked(str(error.args[0])))
    except TooLateError:
        return Linted(trouble=_not_looked("The source did not answer in time."))
    except Exception:
        # A look at the buckets is a service to whoever saves; it may not keep them from saving.
        log.exception("A source could not be asked about its buckets.")
        return Linted(trouble=_not_looked("The source could not be read."))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    found = {}
    for number, one in enumerate(measured):
        said = lint_panel(one.spec, one.rule, answer.bounds, unit=one.unit)
        if odd := _oddity(answer, number):
            said = [*said, odd]
        if said:
            found[one.key] = said
    return Linted(found)


def why_not(draft: PanelDraft, kind: str) -> str | None:
    """Say why a source of this kind can't read the panel."""
    return SOURCES[kind].why_not(draft.spec)


def fingerprint(warnings: Sequence[str]) -> str:
    """Of warnings: who presses again, having seen them, means it."""
    said = "\n".join(sorted(warnings))
    return hashlib.sha256(said.encode()).hexdigest()[:16] if said else ""


def _not_looked(why: str) -> str:
    return f"{why} So nobody knows whether its buckets fit the limits."


def _ask(
    kind: str,
    options: Mapping[str, object],
    asking: Asking,
    watches: Sequence[Watch],
    at: datetime,
) -> Answer:
    answer = SOURCES[kind].read(
        watches, (), asking.fetch, lambda _moment: None, options=options, now=at
    )
    if kind != "prometheus":
        return answer
    histograms = {name for watch in watches if (name := histogram_of(watch.spec))}
    return replace(answer, bounds={name: bounds_of(asking.fetch, name) for name in histograms})


def _oddity(answer: Answer, number: int) -> str:
    seen = answer.observations.get(number)
    if seen is None or seen.gap is not LampState.NO_DATA or not seen.remark.startswith(ODD):
        return ""
    return f"The source says just now: {seen.remark}."
