"""Pages of health. A module that adds pages is imported here."""

from app.health.views.blueprint import bp

__all__ = ["bp"]
