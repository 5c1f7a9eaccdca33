"""What Baton watches of the sample: the same that people would set up for a model of theirs."""

from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil

from app.health.budgets import BudgetDraft, Rung, Stage
from app.health.presets import OPENMETRICS, PanelDraft, panels_of
from app.health.rules import FAILURE_MODES, Lane, Rule
from app.health.service import SloDraft
from app.registry.drafts import ModelDraft, TeamDraft

TEAM = TeamDraft(slug="sample-shop", name="Sample shop")
TAG = "sample"
MODEL = ModelDraft(
    slug="shop-similar",
    team=TEAM.slug,
    tier=2,
    purpose="Shows similar items beside each item of a shop that does not exist. It came with "
    "Baton, so that there is something to watch and to break.",
    tags=(TAG,),
)
PRESET = "recommender"
DATASET = "shop.item_features"
READER, APPROVER = "recommender-reader", "data-owner@shop.example"
FRESH_WITHIN = 3_600  # seconds; what its data step promises
REVIEW_EVERY = timedelta(days=90)

BUDGET_MS = 150.0
STAGES = {"features": 15, "candidates": 20, "ranking": 100, "filter": 15}  # ms; they add up to it
OWNERS = {"ranking": "Ranking provider"}  # of stages that are not the shop's own
PEAK_RPS = 27.0  # its visitors at the busiest hour of their day
LADDER = (
    Rung("Ranking provider", "As long as it answers within 350 ms", 0),
    Rung(
        "Cached list of the item",
        "A stage past its timeout; after five failures in a row the provider is left alone",
        0,
        "The list of last night, the same for everybody",
    ),
    Rung(
        "Popularity list",
        "A new item, which has no cached list",
        0,
        "The same best sellers beside each item",
    ),
)
TIMEOUTS = (
    "Features and candidates are given up after 100 ms, ranking after 350 ms. Nothing is asked "
    "twice. After five failures in a row the provider is left alone but for one trial in 2 s."
)


@dataclass(frozen=True, slots=True)
class Pace:
    """How closely it is watched. The tests watch it more closely than people do."""

    every: int = 10  # seconds between two looks
    window: int = 30  # seconds that one reading looks back over
    looks: float = 10  # seconds between two looks, as they really come

    @property
    def k(self) -> int:
        """Windows that make a breach: more than can hold the same moment.

        They overlap. With fewer, one bad second of a busy machine would be all of them.
        """
        return ceil(self.window / self.looks) + 2

    def steady(self, rule: Rule) -> Rule:
        return replace(rule, k=self.k, n=self.k + 1)


def panels(kind: str, pace: Pace) -> list[PanelDraft]:
    """The panels of its metrics, which a source of this kind reads."""
    offered = panels_of(PRESET, MODEL.slug, kind)
    chosen = [one for one in offered if one.lane is not Lane.GPU]
    chosen += [_stage(stage, kind, limit) for stage, limit in STAGES.items()]
    return [one if one.lane is Lane.LATENCY_DRIFT else _paced(one, pace) for one in chosen]


def _paced(draft: PanelDraft, pace: Pace) -> PanelDraft:
    return replace(draft, window=pace.window, rule=pace.steady(draft.rule))


def stage_panel(stage: str) -> str:
    """The slug of the panel that observes a stage."""
    return f"stage-{stage}"


def _stage(stage: str, kind: str, limit: float) -> PanelDraft:
    histogram = "recommender_stage_duration_seconds"
    only = f'{{stage="{stage}"}}'
    asked = {
        "query": f"histogram_quantile(0.95, sum by (le, $by) (rate({histogram}_bucket{only}[$w])))",
        "rows": f"sum by ($by) (increase({histogram}_count{only}[$w]))",
        "by": "model",
        "value": MODEL.slug,
        "scale": 1000,
    }
    scraped = {
        "stat": "quantile",
        "metric": histogram,
        "labels": {"model": MODEL.slug, "stage": stage},
        "q": 0.95,
        "scale": 1000,
    }
    return PanelDraft(
        key=stage_panel(stage),
        lane=Lane.LATENCY,
        title=f"p95 of {stage}",
        unit="ms",
        spec=scraped if kind == OPENMETRICS else asked,
        rule=Rule(above=limit, clear=limit * 0.9, min_rows=50),
        window=0,
        failure_mode="",  # it says where the time went; that it went is said by the whole
        severity=3,
    )


def drift_panels() -> list[PanelDraft]:
    """Inputs and output apart. The sample compares; its own threshold counts."""
    stale = timedelta(minutes=5)  # its windows take one minute, at night up to three
    return [
        PanelDraft(
            key="input-drift",
            lane=Lane.INPUT_DRIFT,
            title="Input drift",
            unit="",
            spec={"verdict": "tool"},
            rule=Rule(above=0.2, min_rows=1_000, stale_after=stale),
            window=60,
            failure_mode=FAILURE_MODES[Lane.INPUT_DRIFT],
            severity=3,
        ),
        PanelDraft(
            key="best-sellers",
            lane=Lane.OUTPUT_QUALITY,
            title="Share of best sellers shown",
            unit="",
            spec={"verdict": "tool"},
            # Rows are items, ten a list: with fewer lists the share is a matter of luck.
            rule=Rule(above=0.34, min_rows=5_000, stale_after=stale),
            window=60,
            # What grows here is what feeds on itself; the runbook of drift in general sends on.
            failure_mode="feedback_loop",
            severity=3,
        ),
    ]


def service_level(kind: str) -> SloDraft:
    histogram = "recommender_request_duration_seconds"
    counted = f"sum by ($by) (increase({histogram}_count[$w]))"
    within = f'sum by ($by) (increase({histogram}_bucket{{le="0.15"}}[$w]))'
    asked = {"bad": f"{counted} - {within}", "total": counted, "by": "model", "value": MODEL.slug}
    scraped = {
        "metric": histogram,
        "labels": {"model": MODEL.slug},
        "over": BUDGET_MS / 1000,
    }
    return SloDraft(
        title="Recommendations within 150 ms",
        target=0.99,
        window_days=28,
        spec=scraped if kind == OPENMETRICS else asked,
        min_events=500,
        # The panel of p99 opens the incident. A burn that was shown for some minutes would go on
        # for hours after it is healed, because its windows are hours.
        failure_mode="",
    )


def budget(*, panel_id: int, slo_id: int) -> BudgetDraft:
    return BudgetDraft(
        route="/recommend",
        percentile=99,
        budget_ms=BUDGET_MS,
        clock="server",
        panel_id=panel_id,
        slo_id=slo_id,
        stages=tuple(
            Stage(name, limit, OWNERS.get(name, TEAM.name), stage_panel(name))
            for name, limit in STAGES.items()
        ),
        timeouts=TIMEOUTS,
        peak_rps=PEAK_RPS,
        ladder=LADDER,
    )
