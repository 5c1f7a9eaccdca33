"""Health over JSON. A module that adds routes is imported here."""

from app.health.api.blueprint import api

__all__ = ["api"]
