"""What the list of models says of their health."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from flask import Flask, current_app
from flask.blueprints import BlueprintSetupState
from markupsafe import Markup

from app.core.clock import now
from app.health import fleet
from app.health.views.blueprint import bp
from app.registry.sections import ModelColumn, add_model_column


@bp.record_once
def _in_list_of_models(state: BlueprintSetupState) -> None:
    add_model_column(cast(Flask, state.app), ModelColumn("Health", health_by_model))


def health_by_model(model_ids: Sequence[int]) -> Mapping[int, Markup]:
    """The worst lamp of each model, and how many panels are like it."""
    written: Any = current_app.jinja_env.get_template("health/_column.html").module
    return {
        model_id: Markup(written.health_cell(found))  # noqa: S704 macros escape
        for model_id, found in fleet.lamps_of(model_ids, at=now()).items()
    }
