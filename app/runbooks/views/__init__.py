"""Pages of runbooks. A module that adds pages is imported here."""

from app.runbooks.views import (
    assets,
    comparing,
    coverage,
    editing,
    finding,
    reading,
    reviewing,
    sync,
)
from app.runbooks.views.blueprint import bp

__all__ = [
    "assets",
    "bp",
    "comparing",
    "coverage",
    "editing",
    "finding",
    "reading",
    "reviewing",
    "sync",
]
