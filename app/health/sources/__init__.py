"""Every kind of source that readings come from, one line each."""

from app.health.sources.base import HealthSource
from app.health.sources.contracts.source import Contracts
from app.health.sources.drift.source import Drift, Evidently
from app.health.sources.openmetrics import OpenMetrics
from app.health.sources.prometheus import Prometheus

SOURCES: dict[str, HealthSource] = {
    "contracts": Contracts(),
    "drift": Drift(),
    "evidently": Evidently(),
    "openmetrics": OpenMetrics(),
    "prometheus": Prometheus(),
}
