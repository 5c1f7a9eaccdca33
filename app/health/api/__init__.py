"""Health over JSON. A module that adds routes is imported here."""

from app.health.api import levels, panels, reports, sources
from app.health.api.blueprint import api

__all__ = ["api", "levels", "panels", "reports", "sources"]
