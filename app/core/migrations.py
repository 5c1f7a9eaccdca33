"""Bringing a database up to date.

Alembic is imported by what uses it, because it takes as long as a fifth of everything else.
"""

from pathlib import Path

from flask import current_app

from app.core import jobs
from app.core.db import db

FOLDER = Path(__file__).parents[2] / "migrations"


def migrate() -> None:
    """Bring the current app's tables and those of its job queue up to date."""
    from flask_migrate import Migrate, upgrade

    Migrate(current_app, db, directory=str(FOLDER))
    upgrade()
    jobs.migrate(current_app.config["SQLALCHEMY_DATABASE_URI"])
    db.engine.dispose()
