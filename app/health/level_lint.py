"""What is worth a warning before a service level is saved: alerts that can never fire, buckets
that do not end where it counts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from app.health import counting, offers
from app.health.limit_lint import histogram_of, lint_objective
from app.health.presets import PanelDraft
from app.health.rules import Lane, Rule
from app.health.service import SloDraft
from app.health.slo_rules import Objective
from app.health.tables import HealthSource, Panel


def warnings_of(
    draft: SloDraft, source: HealthSource | None, model: str, *, at: datetime
) -> Sequence[str]:
    """Sentences for whoever saves it. Asks the source, for a few seconds at most."""
    found = lint_objective(Objective(draft.target, timedelta(days=draft.window_days)))
    if draft.min_events > 1 and not counting.tells_events(draft.spec):
        found.append(
            f"Only a ratio is recorded, and it takes {draft.min_events:g} events for an alert: "
            "none can ever fire. Give the query for all events, or no minimum."
        )
    spec = _as_panel(draft)
    if source is None or not histogram_of(spec):
        return found
    rule = Rule(above=float(spec.get("over", 0)))
    asked = PanelDraft("level", Lane.LATENCY, draft.title, "", spec, rule, 300, "", 3)
    linted = offers.lint([asked], source, model, at=at)
    return [
        *found,
        *linted.warnings.get("level", ()),
        *([linted.trouble] if linted.trouble else []),
    ]


def _as_panel(draft: SloDraft) -> dict[str, Any]:
    """What it counts, as a panel would read it."""
    spec = {name: said for name, said in draft.spec.items() if name != counting.KEPT}
    if "over" in spec:
        return {"stat": "share_over", **spec}
    if not isinstance(spec.get("bad"), str):
        return {}
    return {"query": spec["bad"]} | {name: spec[name] for name in ("by", "value") if name in spec}


def bucket_matched(
    panel: Panel | None, budget_ms: float, model: str, *, at: datetime
) -> bool | None:
    """Whether a bucket of the panel's histogram ends at a latency budget; none if nobody knows.

    Without one, which share of the requests is within the budget is a guess.
    """
    if panel is None or panel.unit not in ("ms", "s") or not histogram_of(panel.spec):
        return None
    limit = budget_ms / (1000 if panel.unit == "s" else 1)
    spec = dict(panel.spec)
    if "over" in spec:
        spec["over"] = counting.in_metric(limit, spec)
    asked = PanelDraft("budget", panel.lane, panel.title, panel.unit, spec, Rule(above=limit),
                       panel.window, "", 3)  # fmt: skip
    linted = offers.lint([asked], panel.source, model, at=at)
    if linted.trouble or panel.source is None:
        return None
    return not any("bucket" in said for said in linted.warnings.get("budget", ()))
