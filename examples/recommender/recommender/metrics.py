"""What the recommender tells about itself, in OpenMetrics."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from recommender import model
from recommender.ladder import RUNGS

# 0.15 is the budget: with a bound right there, the share of requests within it is counted and
# not interpolated.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
OUTCOMES = ("ok", "error", "invalid")
ARMS = ("control", "treatment")
STAGES = ("features", "candidates", "ranking", "filter")
LIVE = ("model", "version")


class Metrics:
    """Every series carries the version that is live, and exists from its first moment.

    A counter that only appears with its first error makes "no errors" and "not measured" look
    the same.
    """

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Histogram(
            "recommender_request_duration_seconds",
            "How long a recommendation took, from the request's arrival to its answer",
            LIVE,
            buckets=BUCKETS,
            registry=registry,
        )
        self._stages = Histogram(
            "recommender_stage_duration_seconds",
            "How long one stage took",
            (*LIVE, "stage"),
            buckets=BUCKETS,
            registry=registry,
        )
        self._outcomes = Counter(
            "recommender_requests", "Requests by outcome", (*LIVE, "outcome"), registry=registry
        )
        self._served = Counter(
            "recommender_served",
            "Lists by the rung of the failover ladder they came from",
            (*LIVE, "rung"),
            registry=registry,
        )
        self._exposures = Counter(
            "recommender_exposures",
            "Lists shown by arm of the experiment",
            (*LIVE, "arm"),
            registry=registry,
        )
        self._in_flight = Gauge(
            "recommender_in_flight", "Requests being answered now", LIVE, registry=registry
        )
        self._breaker_open = Gauge(
            "recommender_breaker_open",
            "1 while the provider is not asked",
            LIVE,
            registry=registry,
        )
        self._model_info = Gauge(
            "recommender_model_info",
            "The model that is live",
            (*LIVE, "trained_at"),
            registry=registry,
        )
        self._labels: tuple[str, str] = (model.NAME, "")

    def went_live(
        self, version: str, *, trained_at: str, breaker_is_open: Callable[[], bool]
    ) -> None:
        """Begin the series of a version, and end the gauges of the one before."""
        labels = (model.NAME, version)
        self._requests.labels(*labels)
        for children, values in (
            (self._stages, STAGES),
            (self._outcomes, OUTCOMES),
            (self._served, RUNGS),
            (self._exposures, ARMS),
        ):
            for value in values:
                children.labels(*labels, value)
        for gauge in (self._in_flight, self._breaker_open, self._model_info):
            gauge.clear()
        self._in_flight.labels(*labels)
        self._breaker_open.labels(*labels).set_function(lambda: float(breaker_is_open()))
        self._model_info.labels(*labels, trained_at).set(1)
        self._labels = labels

    @contextmanager
    def request(self) -> Iterator[None]:
        # Bound now: a request that began under one version is counted for that one.
        took = self._requests.labels(*self._labels)
        with self._in_flight.labels(*self._labels).track_inprogress(), took.time():
            yield

    def stage_took(self, stage: str, seconds: float) -> None:
        self._stages.labels(*self._labels, stage).observe(seconds)

    def ended(self, outcome: str) -> None:
        self._outcomes.labels(*self._labels, outcome).inc()

    def served(self, rung: str, *, arm: str) -> None:
        self._served.labels(*self._labels, rung).inc()
        self._exposures.labels(*self._labels, arm).inc()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Give everything in the format the reader asks for, with its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
