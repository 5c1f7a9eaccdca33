"""Pages of health. A module that adds pages is imported here."""

from app.health.views import columns, embeds, inputs, levels, of_model, panel_forms, panels, sources
from app.health.views.blueprint import bp

__all__ = [
    "bp",
    "columns",
    "embeds",
    "inputs",
    "levels",
    "of_model",
    "panel_forms",
    "panels",
    "sources",
]
