"""One serving API, watched both ways: by a scrape of Baton's own and by a real Prometheus."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.health.asking import Asking
from app.health.presets import OPENMETRICS, PRESETS, PROMETHEUS, panels_of
from app.health.rules import LampState, Lane, Observation
from app.health.sources.base import CountWatch, Totals, Watch
from app.health.sources.openmetrics import OpenMetrics
from app.health.sources.prometheus import Prometheus, range_query
from app.health.sources.querying import api
from tests.support.processes import metrics_endpoint, prometheus, wait_for

WINDOW = 4
EVERY = "250ms"
RPS = {"ok": 38.0, "error": 2.0}
# Of all requests, the share that is done by then.
DONE = {"0.05": 0.5, "0.1": 0.9, "0.15": 0.96, "0.25": 0.985, "1": 1.0, "+Inf": 1.0}
OUTCOMES = "requests_total"


def page(seconds: float) -> bytes:
    """Counters after so many seconds of steady traffic."""
    total = sum(RPS.values()) * seconds
    lines = ["# TYPE requests_total counter"]
    for outcome, rps in RPS.items():
        lines.append(f'requests_total{{model="m",outcome="{outcome}"}} {rps * seconds}')
    lines.append("# TYPE took_seconds histogram")
    lines += [
        f'took_seconds_bucket{{model="m",le="{end}"}} {share * total}'
        for end, share in DONE.items()
    ]
    lines += [f'took_seconds_count{{model="m"}} {total}', f'took_seconds_sum{{model="m"}} {total}']
    lines += ['busy{model="m"} 3', ""]
    return "\n".join(lines).encode()


@dataclass
class Watched:
    """A serving API and the Prometheus that scrapes it."""

    prometheus: Asking
    metrics: Asking


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder: Path = tmp_path_factory.mktemp("prometheus")
    began = time.monotonic()
    with metrics_endpoint() as metrics:
        metrics.exposition = lambda: page(time.monotonic() - began)  # type: ignore[method-assign]  # this page grows
        config = {
            "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY},
            "scrape_configs": [
                {"job_name": "model", "static_configs": [{"targets": [metrics.target]}]}
            ],
        }
        with prometheus(folder, config, {"groups": []}) as url:
            yield Watched(
                Asking(url, is_allowed=True),
                Asking(f"http://{metrics.target}/metrics", is_allowed=True),
            )


@pytest.fixture(scope="module")
def scraped(watched: Watched) -> dict[str, Observation]:
    """What Baton reads itself, over a window in which Prometheus scrapes too."""
    kept: list[Totals] = []

    def history(moment: datetime) -> Totals | None:
        return max((one for one in kept if one.at <= moment), key=lambda one: one.at, default=None)

    its = {"labels": {"model": "m"}}
    specs = {
        "rate": {"stat": "rate", "metric": OUTCOMES, **its},
        "errors": {"stat": "ratio", "metric": OUTCOMES, "bad": {"outcome": "error"}, **its},
        "p50": {"stat": "quantile", "metric": "took_seconds", "q": 0.5, **its},
        "p95": {"stat": "quantile", "metric": "took_seconds", "q": 0.95, **its},
        "p99": {"stat": "quantile", "metric": "took_seconds", "q": 0.99, **its},
        "over": {"stat": "share_over", "metric": "took_seconds", "over": 0.15, **its},
        "busy": {"stat": "gauge", "metric": "busy", **its},
    }
    watches = [
        Watch(number, "m", Lane.OTHER, spec, WINDOW) for number, spec in enumerate(specs.values())
    ]
    began = time.monotonic()

    def look() -> dict[int, Observation] | None:
        answer = OpenMetrics().read(
            watches, (), watched.metrics.fetch, history, options={}, now=datetime.now(UTC)
        )
        assert answer.totals is not None
        kept.append(answer.totals)
        is_over = time.monotonic() - began > WINDOW + 0.5
        return dict(answer.observations) if is_over and has_seen_it_all(watched) else None

    seen = wait_for(look, "a whole window")
    return {name: seen[number] for number, name in enumerate(specs)}


def has_seen_it_all(watched: Watched) -> bool:
    """Whether Prometheus has scraped for a whole window: it takes seconds to begin."""
    found = api.ask(watched.prometheus.fetch, f"count_over_time(busy[{WINDOW + 2}s])").series
    return any((value or 0) >= WINDOW * 4 + 2 for one in found for _, value in one.points)


def asked(watched: Watched, **specs: dict[str, object]) -> dict[str, Observation]:
    watches = [
        Watch(number, "m", Lane.OTHER, {"by": "model", **spec}, WINDOW)
        for number, spec in enumerate(specs.values())
    ]
    answer = Prometheus().read(
        watches, (), watched.prometheus.fetch, lambda _: None,
        options={}, now=datetime.now(UTC) + timedelta(seconds=1),
    )  # fmt: skip
    return {name: answer.observations[number] for number, name in enumerate(specs)}


def quantile(q: float) -> str:
    return f"histogram_quantile({q}, sum by (le, $by) (rate(took_seconds_bucket[$w])))"


def test_baton_computes_what_a_prometheus_computes(watched, scraped):
    all_ = "sum by ($by) (rate(requests_total[$w]))"
    theirs = asked(
        watched,
        rate={"query": all_, "rows": "sum by ($by) (increase(requests_total[$w]))"},
        errors={"query": f'sum by ($by) (rate(requests_total{{outcome="error"}}[$w])) / {all_}'},
        p50={"query": quantile(0.5)},
        p95={"query": quantile(0.95)},
        p99={"query": quantile(0.99)},
        over={
            "query": '1 - sum by ($by) (rate(took_seconds_bucket{le="0.15"}[$w])) / '
            "sum by ($by) (rate(took_seconds_count[$w]))"
        },
        busy={"query": "sum by ($by) (busy)"},
    )
    for name, ours in scraped.items():
        assert theirs[name].value is not None, (name, theirs[name])
        assert not ours.is_partial, (name, ours)
        # A rate hangs on when each of them scraped, and Prometheus' on how far it extrapolates.
        exactness = 0.1 if name == "rate" else 1e-6
        assert ours.value == pytest.approx(theirs[name].value, rel=exactness), name
    assert scraped["rate"].value == pytest.approx(40, rel=0.05)
    assert scraped["rate"].rows == pytest.approx(theirs["rate"].rows, rel=0.2)


def test_a_prometheus_without_the_model_has_no_data(watched, scraped):
    seen = asked(
        watched, other={"query": "sum by ($by) (rate(took_seconds_count[$w]))", "value": "x"}
    )
    assert seen["other"].gap is LampState.NO_DATA


def test_a_query_that_it_refuses_says_why(watched):
    seen = asked(
        watched, bad={"query": "sum(rate(up)) by (x)"}, good={"query": "sum by ($by) (busy)"}
    )
    assert "Prometheus refuses the query" in seen["bad"].remark
    assert seen["good"].value == 3


def test_events_of_a_service_level_are_counted(watched, scraped):
    spec = {
        "bad": 'sum by ($by) (increase(requests_total{outcome="error"}[$w]))',
        "total": "sum by ($by) (increase(requests_total[$w]))",
        "by": "model",
    }
    watch = CountWatch(1, "m", spec, (2, WINDOW))
    answer = Prometheus().read(
        (), (watch,), watched.prometheus.fetch, lambda _: None, options={}, now=datetime.now(UTC)
    )
    for window, (bad, total) in answer.counts[1].items():
        assert total == pytest.approx(40 * window, rel=0.2)
        assert bad / total == pytest.approx(0.05, rel=0.01)


def test_it_answers_a_chart_of_any_length_and_tells_the_ends_of_buckets(watched, scraped):
    end = datetime.now(UTC)
    points = range_query(
        watched.prometheus.fetch, "sum by (model) (busy)", end - timedelta(days=400), end, 1,
        by="model", value="m",
    )  # fmt: skip
    assert [value for _, value in points][-1:] in (
        [3.0],
        [],
    )  # a step may end before its first sample
    recent = range_query(watched.prometheus.fetch, "busy", end - timedelta(seconds=3), end, 1)
    assert {value for _, value in recent} == {3.0}
    assert api.bounds_of(watched.prometheus.fetch, "took_seconds") == [0.05, 0.1, 0.15, 0.25, 1.0]


@pytest.mark.parametrize("key", PRESETS)
def test_it_understands_every_query_of_the_presets(watched, key):
    drafts = [one for one in panels_of(key, "m", PROMETHEUS) if not one.not_measurable]
    watches = [
        Watch(number, "m", one.lane, one.spec, one.window) for number, one in enumerate(drafts)
    ]
    answer = Prometheus().read(
        watches, (), watched.prometheus.fetch, lambda _: None, options={}, now=datetime.now(UTC)
    )
    for number, one in enumerate(drafts):
        assert "refuses" not in answer.observations[number].remark, (one.key, one.spec)


def test_a_scrape_understands_every_spec_of_the_presets(watched):
    for key in PRESETS:
        watches = [
            Watch(number, "m", one.lane, one.spec, one.window)
            for number, one in enumerate(panels_of(key, "m", OPENMETRICS))
        ]
        answer = OpenMetrics().read(
            watches, (), watched.metrics.fetch, lambda _: None, options={}, now=datetime.now(UTC)
        )
        states = {seen.gap for seen in answer.observations.values()}
        assert states <= {LampState.NO_DATA, LampState.NOT_MEASURABLE}
